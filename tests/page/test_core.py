"""The page reckons as the till does: prices, taxes, labels of scales, words. Both are run over the same cases."""

from __future__ import annotations

import json
import random
import subprocess
import uuid
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from posline.core.clock import business_day
from posline.core.money import format_quantity, parse_quantity
from posline.core.numbers import reference
from posline.core.pricing import Product, Terms, price_sale
from posline.core.products import DATED, on_day
from posline.core.sales import sale_figures
from posline.core.scales import PATTERNS, ean_check_digit, priced_line, read_label, read_patterns
from posline.core.tax import PAKISTAN, read_classes
from posline.core.words import fold

HERE = Path(__file__).parent
TAX = {
    **PAKISTAN,
    "trade": {"mode": "exclusive", "rates": [{"rate": "18"}]},
    "old": {"rates": [{"rate": "17"}, {"from": "2026-06-01", "rate": "7.5"}, {"from": "2030-01-01", "rate": "20"}]},
}
KINDS = ("cash", "card", "raast", "account")


def page(cases: list[tuple[str, list[Any]]]) -> list[Any]:
    """What the page makes of each (call, arguments)."""
    asked = json.dumps([{"call": call, "args": args} for call, args in cases])
    found = subprocess.run(["node", str(HERE / "core.mjs")], input=asked, capture_output=True, text=True, check=True)
    answers: list[Any] = json.loads(found.stdout)
    return answers


def product(die: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {
        "sku": f"P{die.randrange(10**6)}",
        "name": "Thing",
        "price": die.randrange(1, 10 ** die.randrange(3, 8)),
    }
    made["tax"] = die.choice(
        ["", "standard", "third_schedule", "reduced", "exempt", "zero", "services", "trade", "old", "5", "no such"]
    )
    if die.random() < 0.2:
        made["tax_rate"] = die.choice(["0", "5", "12.5", "18"])
    if die.random() < 0.3:
        made["third_schedule"] = die.random() < 0.7
    if die.random() < 0.3:
        made["mrp"] = die.randrange(1, 10**6)
    return made


def discounted(die: random.Random, most: int) -> dict[str, Any]:
    chance = die.random()
    if chance < 0.2:
        return {"discount": die.randrange(0, max(1, most))}
    return {"discount_percent": die.choice(["2.5", "10", "33.3333", "100"])} if chance < 0.4 else {}


def a_case(seed: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Product], Terms, dict[str, Any]]:
    """(request, cart of the page, catalogue, terms, terms of the page)."""
    die = random.Random(seed)
    goods = [product(die) for _ in range(die.randrange(1, 6))]
    lines, shown = [], []
    for one in goods:
        thousandths = die.choice([1000, 3000, 250, 1, 12_345, 999_999])
        price = one["price"] if die.random() < 0.8 else die.randrange(1, 10**6)
        less = discounted(die, price * thousandths // 1000)
        lines.append({"sku": one["sku"], "quantity": format_quantity(thousandths), "price": price, **less})
        printed = one.get("third_schedule") is True
        shown.append({
            "sku": one["sku"], "quantity": thousandths, "price": price,
            "tax": one["tax"] or ("third_schedule" if printed else ""),
            "rate": one.get("tax_rate"), "mrp": one.get("mrp"), "printed": printed,
            "discount": less.get("discount", 0), "discount_percent": less.get("discount_percent", ""),
        })  # fmt: skip
    whole = discounted(die, 500)
    request: dict[str, Any] = {"id": str(uuid.UUID(int=seed + 1)), "lines": lines, **whole}
    unit, by_receipt = die.choice([0, 100, 500, 1000]), die.random() < 0.3
    catalogue = {
        g["sku"]: Product(
            g["sku"],
            g["name"],
            g["price"],
            g["tax"] or ("third_schedule" if g.get("third_schedule") else ""),
            g.get("tax_rate"),
            g.get("mrp"),
            g.get("third_schedule") is True,
        )
        for g in goods
    }
    classes, faults = read_classes(TAX)
    assert not faults
    cart = {"lines": shown, "discount": whole.get("discount", 0), "discount_percent": whole.get("discount_percent", "")}
    terms = Terms(classes, "2026-11-26", by_receipt, unit)
    return request, cart, catalogue, terms, {
        "classes": TAX, "day": "2026-11-26", "tax_by_receipt": by_receipt, "cash_unit": unit,
    }  # fmt: skip


def test_a_cart_comes_to_what_the_till_makes_of_it() -> None:
    wanted, cases = [], []
    for seed in range(1200):
        request, cart, catalogue, terms, shown = a_case(seed)
        die = random.Random(seed)
        if die.random() < 0.6:  # paid with this and that, the last one so that it is enough
            request["tenders"] = [
                {"kind": die.choice(KINDS), "amount": die.randrange(0, 5000)} for _ in range(die.randrange(0, 2))
            ]
            request["tenders"] += [{"kind": "cash", "amount": 10**12}]
        try:
            sale = price_sale(request, catalogue.get, terms)
        except Exception:  # more taken off than it costs, or over the limits: no sale
            continue
        figures = sale_figures(sale.body())
        tenders = request.get("tenders", [])
        wanted.append({
            "total": sale.total, "rounding": sale.rounding, "tax": figures.tax, "discount": figures.discount,
            "change": 0 if any(t["kind"] == "account" for t in tenders) else sale.change,
        })  # fmt: skip
        cases.append(("price", [cart, shown, tenders]))
    assert len(cases) > 600
    for answer, expected, case in zip(page(cases), wanted, cases, strict=True):
        if any(t["kind"] == "account" for t in case[1][2]):
            answer["change"] = 0
        assert {name: answer[name] for name in expected} == expected, case


def test_labels_of_scales_are_read_alike() -> None:
    die = random.Random(7)
    patterns = [
        *PATTERNS,
        {"pattern": "27....{NNNN}C*", "value": "pieces"},
        {"pattern": "28...{NNDDD}C", "value": "price"},
    ]
    patterns = [p for p in patterns if not read_patterns([p])[1]]
    sound, _ = read_patterns(patterns)
    codes = [f"{die.choice(['21', '23', '27', '28', '40'])}{die.randrange(10**10):010d}" for _ in range(800)]
    codes = [f"{code}{ean_check_digit(code) if die.random() < 0.9 else 0}" for code in codes] + [
        "211234",
        "2112345015002",
    ]
    for code, found in zip(codes, page([("read_label", [code, patterns, 2]) for code in codes]), strict=True):
        label = read_label(code, sound)
        if label is None:
            assert found is None, code
        else:
            assert found is not None, code
            assert found["codes"] == list(label.codes), code
            assert (found.get("quantity"), found.get("amount")) == (label.quantity, label.amount), code
    amounts = [
        (die.randrange(1, 10 ** die.randrange(2, 8)), die.randrange(0, 10 ** die.randrange(1, 7))) for _ in range(500)
    ]
    for (amount, price), found in zip(amounts, page([("priced_line", [a, p]) for a, p in amounts]), strict=True):
        assert (found["quantity"], found["price"], found["discount"]) == priced_line(amount, price), (amount, price)


TEXTS = [
    "Kellogg's 1.5 kg", "  Café  ÇA ", "ٹپال دانے دار", "يوسف", "كوكا كولا", "چینی ۱۲", "٣ kg", "ﷺ", "Straße", "ＡＢＣ",
    "a‌b",
    "دہی، میٹھا", "100% Juice", "O’Neil", "ۂ ۃ ہ ھ ە ه", "½ kg", "x²", "日本",
]  # fmt: skip


def test_words_are_folded_alike() -> None:
    for text, found in zip(TEXTS, page([("fold", [text]) for text in TEXTS]), strict=True):
        assert found == fold(text), text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3*8961014000017", (3000, "8961014000017")),
        ("3*", (3000, "")),
        ("1.5 x tea", (1500, "tea")),
        (".5*TEA", (500, "TEA")),
        ("\x1d0104012345678901\x1e", (None, "0104012345678901")),
        ("۳*۱۲", (3000, "12")),
        ("*", (None, "*")),
        ("0*TEA", (None, "0*TEA")),
        (" TEA ", (None, "TEA")),
    ],
)
def test_what_is_typed_before_a_code_is_how_much(text: str, wanted: tuple[int | None, str]) -> None:
    (found,) = page([("typed", [text])])
    assert (found["quantity"], found["code"]) == wanted


def test_quantities_amounts_and_references() -> None:
    texts = ["1", "0.5", "12.345", "0", "0.000", "1.2345", "1234567", "01", "-1", "1e3", ""]
    for text, found in zip(texts, page([("parse_quantity", [text]) for text in texts]), strict=True):
        try:
            assert found == parse_quantity(text), text
        except ValueError:
            assert found is None, text
    amounts = [
        ("1500", 150000),
        ("12.5", 1250),
        (".5", 50),
        ("1,234.56", 123456),
        ("1.234", None),
        ("x", None),
        ("", None),
    ]
    assert page([("parse_amount", [text, 2]) for text, _ in amounts]) == [amount for _, amount in amounts]
    assert page([("parse_amount", ["12.5", 0])]) == [None]
    ids = [str(uuid.UUID(int=random.Random(n).getrandbits(128), version=4)) for n in range(50)]
    assert page([("reference", [id]) for id in ids]) == [reference(id) for id in ids]


def test_a_product_is_what_it_is_on_that_day() -> None:
    die, cases = random.Random(11), []
    days = ["2026-11-30", "2026-12-01", "2026-12-15", "2027-01-01"]
    for _ in range(300):
        stages: list[Any] = [
            {"from": die.choice([*days[1:], "soon"]), **{name: value for name, value in product(die).items()
             if name in DATED and die.random() < 0.6}, **({"mrp": None} if die.random() < 0.2 else {})}
            for _ in range(die.randrange(4))
        ]  # fmt: skip
        cases.append((product(die) | ({"ahead": stages} if stages else {}), die.choice(days)))
    for (goods, day), found in zip(cases, page([("on_day", list(case)) for case in cases]), strict=True):
        wanted = on_day(goods, day)
        assert {n: v for n, v in found.items() if n != "ahead"} == {n: v for n, v in wanted.items() if n != "ahead"}
    moments = [die.randrange(1_700_000_000, 1_900_000_000) * 1000 for _ in range(200)]
    zones, starts = ["Asia/Karachi", "UTC", "Europe/Berlin"], ["04:00", "00:00"]
    asked = [(ms, die.choice(zones), die.choice(starts)) for ms in moments]
    said = page([("business_day", list(each)) for each in asked])
    assert said == [business_day(ms, ZoneInfo(zone), int(start[:2]) * 60) for ms, zone, start in asked]


def test_the_catalogue_finds_as_one_types() -> None:
    goods = [
        {"sku": "1", "name": "Aseptic Milk", "price": 1},
        {"sku": "2", "name": "Milk, fresh", "price": 1, "barcode": "012345678905"},
        {"sku": "3", "name": "Olpers Milk", "price": 1, "favourite": "1", "name_ur": "اولپرز دودھ"},
        {"sku": "4", "name": "Tea", "price": 1, "barcodes": ["8961", "8962"], "department": "Drinks"},
    ]
    found = page([
        ("put", [goods]), ("search", ["milk", 9]), ("search", ["دودھ", 9]), ("search", ["drinks te", 9]),
        ("search", ["ilk", 9]), ("bearing", ["0012345678905"]), ("bearing", ["8962"]), ("bearing", ["4"]),
        ("put", [[{"sku": "4", "name": "Green tea", "price": 1, "barcode": "9"}]]), ("bearing", ["8961"]),
        ("search", ["tea", 9]), ("search", ["  ", 9]),
    ])  # fmt: skip
    assert found == [
        None, ["2", "3", "1"], ["3"], ["4"], ["1", "2", "3"], ["2"], ["4"], ["4"], None, [], ["4"], [],
    ]  # fmt: skip
