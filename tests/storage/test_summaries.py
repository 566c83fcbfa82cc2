"""Summaries as functions of what is held: they sum to the days' own figures, on every till, whatever was sold."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.entry import Entry
from posline.core.money import format_quantity, line_total, parse_rate, round_half_up, tax_fraction
from posline.core.refunding import refund_body, void_body
from posline.replica import Replica
from posline.storage.reports import Reports
from posline.storage.summaries import BY
from tests.kit import NOON_MS, StillTime, Writer, all_entries, commit, founded, joined, sale, send, shop_of, take
from tests.proof import share

HOUR_MS = 3_600_000
DEPARTMENTS = {"TEA": "Drinks", "RICE": "Grocery", "SOAP": "", "GONE": None}


def books(replica: Replica) -> Reports:
    return Reports(replica.store, replica.shop, here=replica.store_id)


def some_line(chance: random.Random) -> tuple[dict[str, Any], int]:
    """A line and what it costs."""
    quantity, price = chance.choice((1000, 2000, 1500, 333)), chance.randint(0, 5000)
    gross = line_total(price, quantity)
    discount = chance.choice((0, 0, gross // 10))
    cost = gross - discount
    line: dict[str, Any] = {"sku": chance.choice([*DEPARTMENTS]), "quantity": format_quantity(quantity), "price": price}
    line |= {"discount": discount} if discount else {}
    mode = chance.choice(("", "inclusive", "exclusive", "printed"))
    if mode:
        rate, mrp = chance.choice(("18", "5.5", "0")), price + 10
        tax = round_half_up(*tax_fraction(mode, parse_rate(rate), cost, mrp, quantity))
        line |= {"rate": rate, "tax": tax, "class": "GST"}
        line |= {"mode": mode} if mode != "inclusive" else {}
        line |= {"mrp": mrp} if mode == "printed" else {}
        cost += tax if mode == "exclusive" else 0
    return line, cost


def some_sale(chance: random.Random) -> dict[str, Any]:
    """A sale paid in one of the usual ways."""
    lines, costs = zip(*(some_line(chance) for _ in range(chance.randint(1, 4))), strict=True)
    total = sum(costs)
    body: dict[str, Any] = {"lines": list(lines), "total": total}
    match chance.randrange(4):
        case 0:
            body |= {"tenders": [{"kind": "cash", "amount": total + 700}], "change": 700}
        case 1:
            body |= {"tenders": [{"kind": "card", "amount": total}]}
        case 2:
            rounding = -(total % 100)
            body |= {"rounding": rounding} if rounding else {}
    return body


def trade(seed: int, acts: int) -> list[Replica]:
    """Two tills that sell, take back and meet over two days; at the end both hold everything."""
    chance, time = random.Random(seed), StillTime()
    first = founded(f"alif {seed}", time)
    tills = [first, joined(first, f"be{seed % 1000}", time)]
    products = [
        {"sku": sku, "name": sku.title(), "price": 100} | ({"department": department} if department else {})
        for sku, department in DEPARTMENTS.items()
        if department is not None
    ]
    first.write("products", {"products": products}, document="catalog/1")
    meet(tills)
    rung: list[tuple[str, dict[str, Any], Entry]] = []
    taken: set[str] = set()
    for _ in range(acts):
        till = chance.choice(tills)
        time.pass_ms(chance.randint(0, 4 * HOUR_MS))
        match chance.choices(("sell", "again", "refund", "void", "payment", "meet"), (8, 1, 2, 2, 1, 2))[0]:
            case "sell":
                id, fields = str(uuid.UUID(int=chance.getrandbits(128), version=4)), some_sale(chance)
                by = chance.choice(("", "Amina", "اسلم"))
                rung.append((id, fields, till.write("sale", fields, id=id, by=by).entries[0]))
            case "again" if rung:  # the same sale at another till, which does not hold it
                id, fields, _entry = chance.choice(rung)
                if not books(till).by_id(id) and not any(staged.id == id for staged in till.staged):
                    till.write("sale", fields, id=id)
            case "refund" if left := [r for r in rung if r[0] not in taken]:
                sold = chance.choice(left)[2]
                taken.add(sold.id)
                asked = {"id": str(uuid.uuid4()), "reason": "torn", "lines": [{"line": 1}]}
                till.write("refund", refund_body(sold.body, sold.hash, {}, asked))
            case "void" if left := [r for r in rung if r[0] not in taken]:
                sold = chance.choice(left)[2]
                taken.add(sold.id)
                till.write("void", void_body(sold.body, sold.hash, "mistyped"))
            case "payment":
                till.write("payment", {"customer": "c", "amount": chance.randint(1, 500)})
            case "meet":
                meet(tills)
    meet(tills)
    return tills


def meet(tills: list[Replica]) -> None:
    for till in tills:
        commit(till)
    for _ in range(2):
        send(tills[0], tills[1])
        send(tills[1], tills[0])


@settings(max_examples=share(14, 40), deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 40))
def test_every_summary_sums_to_the_days_on_every_till(seed: int, acts: int) -> None:
    tills = trade(seed, acts)
    reports = books(tills[0])
    days = [reports.day(day) for day in reports.days()]
    wanted = {name: sum(day[name] for day in days) for name in ("net", "tax", "rounding")}
    sums = {kind: sum(day[kind]["total"] for day in days) for kind in ("sales", "refunds", "voids")}
    for by in BY:
        found = reports.summary(by, None, None)
        assert json.dumps(found) == json.dumps(books(tills[1]).summary(by, None, None)), "the same bytes everywhere"
        assert {name: found["figures"][name] for name in wanted} == wanted
        assert {kind: found["figures"][kind]["total"] for kind in sums} == sums
        rows, totals = found["rows"], found["totals"]
        for name, total in totals.items():
            assert total == sum(row[name] for row in rows), (by, name)
        if by == "tender":
            assert totals["net"] == wanted["net"] + wanted["rounding"]
            paid: dict[str, int] = {}
            for day in days:
                for kind, amount in day["tenders"].items():
                    paid[kind] = paid.get(kind, 0) + amount
            assert {row["tender"]: row["net"] for row in rows if row["tender"] in paid} == paid
            assert totals["payments"] == sum(day["payments"]["total"] for day in days)
            continue
        assert totals["net"] == wanted["net"] and totals["tax"] == wanted["tax"], by
        assert {kind: totals[kind] for kind in sums} == sums, by
        if "discount" in totals:
            assert totals["discount"] == sum(day["sales"]["discount"] for day in days)
        if "count" in totals:
            assert totals["count"] == sum(day["sales"]["count"] for day in days)
    by_day = {row["day"]: row["net"] for row in reports.summary("days", None, None)["rows"]}
    assert by_day.items() <= {day["day"]: day["net"] for day in days}.items()


def one_till(**lines: Any) -> Replica:
    till = founded("alif", lines.pop("time", None))
    till.write("products", {"products": [{"sku": "TEA", "name": "Chai", "price": 250, "department": "Drinks"}]},
               document="catalog/1")  # fmt: skip
    return till


def test_a_void_takes_each_line_out_of_its_product_and_department() -> None:
    till = one_till()
    body = {"total": 800, "lines": [{"sku": "TEA", "quantity": "2", "price": 250},
                                    {"sku": "loose", "name": "اچار", "quantity": "0.5", "price": 600}]}  # fmt: skip
    sold = till.write("sale", body).entries[0]
    till.write("void", void_body(sold.body, sold.hash, "mistyped"))
    commit(till)
    rows = {row["sku"]: row for row in books(till).summary("product", None, None)["rows"]}
    assert (rows["TEA"]["name"], rows["TEA"]["department"], rows["loose"]["name"]) == ("Chai", "Drinks", "اچار")
    assert [(rows[sku]["sold"], rows[sku]["returned"], rows[sku]["voids"]) for sku in ("TEA", "loose")] == [
        ("2", "2", 500),
        ("0.5", "0.5", 300),
    ]
    departments = books(till).summary("department", None, None)["rows"]
    assert [(row["department"], row["net"], row["voids"]) for row in departments] == [("", 0, 300), ("Drinks", 0, 500)]


def test_a_void_whose_sale_is_not_here_is_of_no_product() -> None:
    till = one_till()
    sold = Writer("stranger", run=1).sale(700)
    till.write("void", void_body(sold.body, sold.hash, "mistyped"))
    commit(till)
    rows = {row["sku"]: row for row in books(till).summary("product", None, None)["rows"]}
    assert (rows[""]["voids"], rows["1"]["voids"], rows["1"]["returned"]) == (700, 0, "1")


def test_what_does_not_count_is_in_no_summary() -> None:
    """A held sale (of a stranger), a duplicate and a disputed one stay out, as of the day report."""
    first, stranger = Writer("alif"), Writer("stranger")
    shop = shop_of(first)
    stranger.begin()
    sold = first.sale(500)
    first.sale(500, id=sold.id)
    first.seal()
    first.sale(900, seq=sold.seq, prev=sold.prev)  # the chain has another entry in its place
    stranger.sale(300)
    till = founded("be")
    take(till.store, shop, [all_entries(first, stranger)])
    reports = Reports(till.store, shop, here="")
    assert [row["net"] for row in reports.summary("till", None, None)["rows"]] == [500]
    (day,) = reports.days()
    assert reports.day(day)["net"] == 500 and reports.day(day)["duplicates"] and reports.day(day)["held"]


def test_hours_are_of_the_shops_clock_from_the_start_of_its_day() -> None:
    time = StillTime()  # noon
    till = one_till(time=time)
    for hours in (0, 5, 15):  # 12:00, 17:00, 03:00 of the same business day
        time.wall_ms, time.mono_ms = NOON_MS + hours * HOUR_MS, 1_000_000 + hours * HOUR_MS
        till.write("sale", sale(100))
    commit(till)
    (day,) = books(till).days()
    assert [row["hour"] for row in books(till).summary("hour", day, day)["rows"]] == ["12", "17", "03"]


@pytest.mark.parametrize(("first", "last", "net"), [("2026-11-23", "2026-11-23", 100), ("2026-11-24", None, 200),
                                                    (None, "2026-11-24", 300), ("2026-12-01", None, 0)])  # fmt: skip
def test_a_span_takes_in_both_its_ends(first: str | None, last: str | None, net: int) -> None:
    time = StillTime()
    till = one_till(time=time)
    till.write("sale", sale(100))
    time.pass_ms(24 * HOUR_MS)
    till.write("sale", sale(200))
    commit(till)
    found = books(till).summary("cashier", first, last)
    assert found["totals"]["net"] == net and found["figures"]["net"] == net


def test_an_hour_is_the_shops_own_where_a_till_wrote_another_zones() -> None:
    till = Writer("alif")
    shop = shop_of(till)
    till.sale(100, at="2026-11-23T06:59:59.000+00:00")
    held = founded("be")
    take(held.store, shop, [all_entries(till)])
    rows = Reports(held.store, shop, here="").summary("hour", None, None)["rows"]
    assert [row["hour"] for row in rows] == ["11"], "Karachi is five hours ahead"


def test_tax_is_listed_by_class_and_then_by_rate() -> None:
    till = one_till()
    rates = (("B", "5.5", 521), ("A", "18", 1525), ("A", "5.5", 521), ("A", "100", 5000))
    lines = [
        {"sku": "1", "quantity": "1", "price": 10000, "class": code, "rate": rate, "tax": tax}
        for code, rate, tax in rates
    ]
    till.write("sale", {"lines": lines, "total": 40000})
    commit(till)
    found = books(till).summary("tax", None, None)
    assert [(row["class"], row["rate"], row["taxable"]) for row in found["rows"]] == [
        ("A", "5.5", 9479), ("A", "18", 8475), ("A", "100", 5000), ("B", "5.5", 9479),
    ]  # fmt: skip
