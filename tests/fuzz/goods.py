"""Goods: scale labels, the shop's payment QR, products, and rows of catalogue files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from posline.core.money import MAX_MONEY, line_total, parse_percent, quantity_of
from posline.core.products import barcodes_of, check_products, edited, favourite_place, product_of, spellings
from posline.core.raast import PAYLOAD_MAX, payment_qr, read_shop_qr
from posline.core.scales import PATTERNS, QUANTITY_MAX, ean_check_digit, priced_line, read_label, read_patterns
from posline.errors import BadRequest
from posline.till.catalogue import BadRow, Row, read_catalogue, write_catalogue
from tests.fuzz.mutate import EDGES, TEXTS, spoil, twist_text
from tests.fuzz.target import Target, items_mutator, refusing, scratch

__all__ = ["CATALOGUES", "LABELS", "PAYMENTS", "PRODUCTS", "payment_seeds"]


# -- labels of scales ------------------------------------------------------------------------------


def _label_seeds() -> list[bytes]:
    """[patterns, barcode, price, an amount]."""
    patterns = [
        [*PATTERNS],
        [{"pattern": "02.....C{NNDD}*", "value": "pieces"}],
        [{"pattern": "2*....C{NNDDD}", "value": "price", "note": "n"}],
        [{"pattern": "20....{NNNNDD}", "value": "price"}, {"pattern": "0......{NNNNN}", "value": "weight"}],
    ]
    codes = [
        f"{stem}{ean_check_digit(stem)}" for stem in ("211234501500", "231234500999", "021234512345", "201234000150")
    ]
    return [json.dumps([pattern, code, 37_550, 4321]).encode() for pattern in patterns for code in codes]


def _mutate_label(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.4:
        try:
            patterns, _, price, amount = json.loads(data)
        except (ValueError, TypeError):
            return spoil(data, rng)
        stem = f"{rng.choice(('21', '23', '02', '20', '29', '04'))}{rng.randrange(10**10):010}"
        code = f"{stem}{ean_check_digit(stem) if rng.random() < 0.9 else rng.randrange(10)}"
        new = [
            patterns,
            code,
            rng.choice((price, rng.randrange(10**6), 1, MAX_MONEY)),
            rng.choice((amount, rng.randrange(10**6), 1, MAX_MONEY)),
        ]
        return json.dumps(new).encode()
    return items_mutator(data, rng)


def _check_label(data: bytes) -> str:
    try:
        patterns, code, price, amount = json.loads(data)
    except (ValueError, TypeError, RecursionError):
        return "none"
    found, faults = read_patterns(patterns)
    assert found or faults or patterns in ([], {}) or patterns is None, "a pattern was left out and nobody is told"
    for pattern in found:
        assert read_patterns([{"pattern": pattern.text, "value": pattern.value}]) == ([pattern], [])
    said = f"{min(len(found), 2)} patterns {min(len(faults), 2)} faults"
    if isinstance(code, str):
        for digits in (0, 2, 3):
            label = read_label(code, found, minor_digits=digits)
            if label is None:
                continue
            assert label.item.isdigit() and label.codes and label.item in label.codes
            assert label.quantity is None or (0 <= label.quantity <= QUANTITY_MAX and type(label.quantity) is int)
            assert label.amount is None or (type(label.amount) is int and 0 <= label.amount <= MAX_MONEY)
            said += " read"
        assert spellings(code)[0] == code
    if type(price) is int and type(amount) is int and 0 <= price <= MAX_MONEY and 0 < amount <= MAX_MONEY:
        quantity, dearer, discount = priced_line(amount, price)
        assert 0 < quantity <= QUANTITY_MAX and discount >= 0 and type(dearer) is int
        assert line_total(dearer, quantity, discount) == amount, "the line costs something else than the label says"
        assert not price or (dearer >= min(price, dearer) and (quantity == 1000 or dearer >= price))
        said += " priced"
    return said


# -- the payment QR --------------------------------------------------------------------------------


def _crc(text: str) -> str:
    """CRC-16/CCITT-FALSE, bit by bit."""
    crc = 0xFFFF
    for byte in text.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return f"{crc:04X}"


def _with_check(text: str) -> str:
    return f"{text}6304{_crc(f'{text}6304')}"


def payment_seeds() -> list[bytes]:
    account = "0032d9131dda6e894d78b44a756e37874ba00106MEZNPK0224PK36MEZN0001234567890123"
    start = f"00020101021128{len(account):02}{account}52045411530358658"
    return [
        _with_check(text).encode()
        for text in (
            f"{start}02PK5908Al-Karam6006Lahore",
            f"{start}02PK5909شاپ لاہور6006Lahore62070703T01",
            f"{start}02PK54031005908Al-Karam6006Lahore",
        )
    ]


def _mutate_payment(data: bytes, rng: Random) -> bytes:
    """One field spoilt, left out or said twice, with lengths and a check sum that are right, mostly."""
    text = data.decode("utf-8", "replace")
    fields: list[tuple[str, str]] = []
    at = 0
    while at + 4 <= len(text) - 8 and text[at : at + 4].isascii() and text[at : at + 4].isdigit():
        size = int(text[at + 2 : at + 4])
        fields.append((text[at : at + 2], text[at + 4 : at + 4 + size]))
        at += 4 + size
    if not fields or rng.random() < 0.2:
        return twist_text(text, rng).encode("utf-8", "replace")
    place = rng.randrange(len(fields))
    tag, value = fields[place]
    how = rng.randrange(7)
    if how == 0:
        del fields[place]
    elif how == 1:
        fields.insert(place, fields[place])
    elif how == 2:
        fields[place] = (f"{rng.randrange(100):02}", value)
    elif how == 3:
        fields.append((f"{rng.randrange(64, 100):02}", "v" * rng.choice((1, 50, 99, 400))))
    else:
        fields[place] = (tag, twist_text(value, rng))
    made = "".join(f"{tag}{len(value) + (rng.random() < 0.03):02}{value}" for tag, value in fields)
    return _with_check(made.encode("utf-8", "replace").decode()).encode()


def _check_payment(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    with refusing(BadRequest):
        shop = read_shop_qr(text)
    assert _crc(text[:-4]) == text[-4:].upper(), "a QR with a wrong check sum was read"
    said = "read"
    for amount in (1, 99, 100, 123_456, MAX_MONEY):
        try:
            made = payment_qr(text, amount)
        except BadRequest:
            continue
        paid = read_shop_qr(made)
        assert len(made) <= PAYLOAD_MAX and (paid.iban, paid.bank, paid.name) == (shop.iban, shop.bank, shop.name)
        fields = dict(paid.fields)
        assert Fraction(fields["54"]) == Fraction(amount, 100) and fields["01"] == "12", "it pays another amount"
        said = "paid"
    return said


# -- products --------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "sku": "TEA",
    "name": "Tea",
    "name_ur": "چائے",
    "price": 250,
    "barcode": "8964000000001",
    "barcodes": ["8964000000001", "036000291452"],
    "department": "Tea",
    "unit": "kg",
    "tax": "standard",
    "tax_rate": "18",
    "mrp": 300,
    "third_schedule": True,
    "hs_code": "0902.1000",
    "uom": "KG",
    "sro_schedule": "x",
    "sro_serial": "y",
    "favourite": "2/14",
    "stock": "-1.5",
    "low_stock": "3",
    "active": False,
    "labels": {"brand": "Tapal", "x": "y"},
}


def _product_seeds() -> list[bytes]:
    """[fields of a product, what is edited]."""
    return [
        json.dumps([FULL, {"price": 300, "barcode": "1"}]).encode(),
        json.dumps([FULL, {"barcodes": [], "labels": None}]).encode(),
        json.dumps([{"sku": "1", "name": "n", "price": 0}, {"name": "other", "stock": 5}]).encode(),
    ]


def _check_product(data: bytes) -> str:
    try:
        fields, edit = json.loads(data, parse_float=Decimal)
    except (ValueError, TypeError, RecursionError):
        return "none"
    wrong = check_products([fields])
    for number in list(fields.values())[:5] if isinstance(fields, dict) else ():
        for read in (quantity_of, parse_percent):
            try:
                assert type(read(number)) is int
            except ValueError:
                continue
    if wrong is None:
        assert all(barcodes_of(fields))
        favourite_place(fields)
    if not isinstance(fields, dict) or not isinstance(edit, dict):
        return f"no object {wrong is None}"
    with refusing(BadRequest):
        product = product_of(fields)
    assert product_of(product) == product, "it is another product once written down"
    assert check_products([product]) is None, "an entry would be refused for it"
    assert type(product["price"]) is int and 0 <= product["price"] <= MAX_MONEY
    try:
        after = edited(product["sku"], product, edit)
    except BadRequest:
        return f"a product of {len(product)}, an edit refused"
    assert after["sku"] == product["sku"] and check_products([after]) is None
    return f"a product of {len(product)}, edited"


# -- catalogue files -------------------------------------------------------------------------------


def _catalogue_seeds() -> list[bytes]:
    lines = list(
        write_catalogue(
            [
                product_of(FULL),
                product_of({"sku": "'=1", "name": "=x", "price": 5}),
                product_of({"sku": "C", "name": 'a "b", c', "price": 10**12}),
            ]
        )
    )
    plain = "".join(lines).encode()
    small = b"sku,name,price\nA,Tea,100\nB,Oil,200\n\nA,again,1\n"
    return [
        plain,
        small,
        b"\xef\xbb\xbf" + small,
        gzip.compress(small, mtime=0),
        small.replace(b"\n", b"\r\n"),
        b"price,name,sku,active,mrp\n5,x,D,yes,\n",
    ]


def _mutate_catalogue(data: bytes, rng: Random) -> bytes:
    if data[:2] == b"\x1f\x8b":
        try:
            inner = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return spoil(data, rng)
        return spoil(data, rng) if rng.random() < 0.15 else gzip.compress(_mutate_catalogue(inner, rng), mtime=0)
    if rng.random() < 0.3:
        return spoil(data, rng)
    rows = list(csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline="")))
    if not rows:
        return spoil(data, rng)
    at = rng.randrange(len(rows))
    how = rng.randrange(6)
    if how == 0:
        rows.append(list(rng.choice(rows)))
    elif how == 1 and rows[at]:
        del rows[at][rng.randrange(len(rows[at]))]
    elif how == 2:
        rows[at].append(rng.choice(TEXTS)[:300])
    elif rows[at]:
        cell = rng.randrange(len(rows[at]))
        rows[at][cell] = rng.choice((twist_text(rows[at][cell], rng), str(rng.choice(EDGES)), rng.choice(TEXTS)))[
            :70_000
        ]
    made = io.StringIO()
    csv.writer(made, lineterminator=rng.choice(("\n", "\r\n"))).writerows(rows)
    return made.getvalue().encode("utf-8", "replace" if rng.random() < 0.5 else "surrogatepass")


@cache
def _folder() -> Path:
    return scratch("catalogues")


def _check_catalogue(data: bytes) -> str:
    path = _folder() / "catalogue.csv"
    path.write_bytes(data)
    good: list[dict[str, Any]] = []
    bad = 0
    with refusing(BadRequest):
        for row in read_catalogue(path):
            if isinstance(row, BadRow):
                assert row.line > 0 and row.detail
                bad += 1
            else:
                assert isinstance(row, Row) and check_products([row.product]) is None
                good.append(row.product)
    assert len({product["sku"] for product in good}) == len(good)
    if good:
        path.write_text("".join(write_catalogue(good)), newline="")
        again = list(read_catalogue(path))
        assert [row.product for row in again if isinstance(row, Row)] == good, "a file that is written reads otherwise"
    return f"{min(len(good), 3)} rows {min(bad, 2)} bad"


LABELS = Target("labels", _label_seeds, _mutate_label, _check_label, 30_000)
PAYMENTS = Target("payments", payment_seeds, _mutate_payment, _check_payment, 20_000)
PRODUCTS = Target("products", _product_seeds, items_mutator, _check_product, 40_000)
CATALOGUES = Target("catalogues", _catalogue_seeds, _mutate_catalogue, _check_catalogue, 10_000)
