"""Draws the receipts that docs/receipts.md shows: `python -m docs.draw_receipts`.

Each is drawn dot for dot as a printer of 203 dpi would print it, in black and white.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posline.core.entry import encode
from posline.core.proof import make_proof
from posline.till.receipts.blocks import PAPERS, Receipt
from posline.till.receipts.layout import Fiscal, Made, Udhaar, receipt_of
from posline.till.receipts.raster import png
from posline.till.receipts.settings import ReceiptSettings
from posline.trust.keys import Key

HERE = Path(__file__).parent / "receipts"
SHOP = ReceiptSettings(
    name="Madina General Store",
    name_ur="مدینہ جنرل سٹور",
    address=("14 Ferozepur Road, Lahore",),
    address_ur=("۱۴ فیروز پور روڈ، لاہور",),
    phone="042-35761234",
    ntn="1234567-8",
    strn="3277876112233",
    pos="812345",
    footer=("Goods are taken back within 7 days with this receipt.",),
    footer_ur=("سامان اس رسید کے ساتھ 7 دن کے اندر واپس کیا جا سکتا ہے۔",),
    proof=True,
)
LINES = [
    {"line": 1, "sku": "101", "name": "Basmati rice 5 kg", "name_ur": "باسمتی چاول 5 کلو", "quantity": "1",
     "price": 189000, "discount": 0, "tax": 0, "total": 189000},
    {"line": 2, "sku": "102", "name": "Milk pack 1000 ml", "name_ur": "دودھ پیک 1000 ملی لیٹر", "quantity": "3",
     "price": 34000, "discount": 2000, "tax": 15254, "rate": "18", "total": 100000},
    {"line": 3, "sku": "103", "name": "Sugar, loose", "name_ur": "کھلی چینی", "unit": "kg", "quantity": "1.250",
     "price": 15990, "discount": 0, "tax": 952, "rate": "5", "total": 19988},
]  # fmt: skip
SALE: dict[str, Any] = {
    "kind": "sale", "receipt": "A-1234-K7QM", "label": "A", "by": "Ayesha", "day": "2026-11-26",
    "at": "2026-11-26T18:42:07.000+05:00", "lines": LINES, "subtotal": 310988, "discount": 2000, "tax": 16206,
    "rounding": 12, "total": 308988, "tenders": [{"kind": "cash", "amount": 350000}], "change": 41000,
}  # fmt: skip
SPLIT = SALE | {
    "tenders": [{"kind": "raast", "amount": 200000, "reference": "RT88213"}, {"kind": "account", "amount": 108988}],
    "change": 0, "rounding": 0,
}  # fmt: skip
REFUND: dict[str, Any] = {
    "kind": "refund", "receipt": "B-88-20HD", "label": "B", "by": "Bilal", "day": "2026-11-28",
    "at": "2026-11-28T11:05:40.000+05:00", "sale_receipt": "A-1234-K7QM", "reason": "pack was torn",
    "lines": [LINES[1] | {"quantity": "1", "tax": 5085, "total": 33333, "discount": 0}], "tax": 5085, "rounding": -33,
    "total": 33333, "tenders": [],
}  # fmt: skip
VOID = SALE | {"kind": "void", "receipt": "", "sale_receipt": "A-1234-K7QM", "reason": "rung twice", "tenders": [],
               "change": 0}  # fmt: skip
FILED = Fiscal("accepted", "812345251126184207001", service="FBR")


def receipts() -> Iterator[tuple[str, Receipt]]:
    """(name of the picture, the receipt)."""
    proof = proof_of_the_sale()
    for language in ("en", "ur"):
        made = Made(language=language)
        customer = Udhaar("Imran Ali" if language == "en" else "عمران علی", "0300-1234567", balance=458988)
        yield f"sale-{language}", receipt_of(SALE, SHOP, made, proof=proof)
        yield f"udhaar-{language}", receipt_of(SPLIT, SHOP, made, customer=customer)
        yield f"refund-{language}", receipt_of(REFUND, SHOP, made)
        yield f"copy-{language}", receipt_of(SALE, SHOP.on(PAPERS["58"]), Made(copy=True, language=language))
        yield f"fiscal-{language}", receipt_of(SALE, SHOP, made, fiscal=FILED)
    yield "offline-en", receipt_of(SALE, SHOP, fiscal=Fiscal("offline"))
    yield "void-ur", receipt_of(VOID, SHOP, Made(language="ur"))


def proof_of_the_sale() -> tuple[str, ...]:
    """A code as it stands on the sale's receipt, by a key that is no till's."""
    key = Key(bytes(32))
    lines = [
        {name: line[name] for name in ("sku", "quantity", "price", "discount", "rate", "tax") if line.get(name)}
        for line in LINES
    ]
    raw = encode({
        "v": 1, "id": "6a1d2d52-95cb-4c36-a8f9-1b3b5c8d7e10", "kind": "sale", "till": key.id, "run": 5512345678901234,
        "seq": 1301, "prev": "c0" * 12, "at": SALE["at"], "day": SALE["day"], "by": "Ayesha", "number": 1234,
        "label": "A", "lines": lines, "total": 308988, "tenders": SALE["tenders"], "change": 41000, "rounding": 12,
    })  # fmt: skip
    return make_proof(raw.encode(), "s" * 26, key.sign, receipt="A-1234-K7QM")


def main() -> None:
    """Write the pictures."""
    HERE.mkdir(exist_ok=True)
    for name, receipt in receipts():
        (HERE / f"{name}.png").write_bytes(png(receipt))


if __name__ == "__main__":
    main()
