"""What was scanned, as a line that can be rung: a product's own barcode, or a scale's label. And what a phone scans.

Reads the catalogue and two shared settings, and records nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import segno

from posline.core.checks import MAX_TEXT
from posline.core.money import format_quantity, minor_digits
from posline.core.numbers import parse_receipt, parse_reference
from posline.core.proof import Part, Reference, open_codes, read_code
from posline.core.raast import payment_qr, read_shop_qr
from posline.core.scales import ScaleLabel, priced_line, read_label, read_patterns
from posline.errors import Ambiguous, BadRequest, NotFound

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["RAAST", "SCALES", "SVG_SCALE", "payment", "scanned"]

SCALES = "scales"  # the shared setting with the patterns of scales' labels
RAAST = "raast"  # ... and the one with the text of the shop's own QR
PAPER_KINDS = ("sale", "refund", "void")
SVG_SCALE = 4  # pixels a module
FOUND_MAX = 20  # products that answer to one code


def scanned(till: Till, code: str) -> dict[str, Any]:
    """What a code is: {code, products, label, line, receipt}.

    `products` bear it: none where it is unknown, several where two were given the same. `label` is a scale's {item,
    quantity, amount}, else None. `line` is ready for POST /api/sales; None where there is no one product, or where it
    has yet to be weighed. `receipt` is what a receipt's own code, number or reference names, {id, receipt, kind, here},
    for a refund; None for anything else.

    Raises BadRequest where the code is none, and Ambiguous for a reference of several.
    """
    code = code.strip()
    if (paper := _paper(till, code)) is not None:
        return _answer(code, [], None, None) | {"receipt": paper}
    if not 0 < len(code) <= MAX_TEXT:
        raise BadRequest.of("code", f"must be a text of 1 to {MAX_TEXT} characters")
    products = _bearing(till, code)
    if products:
        return _answer(code, products, None, _line(products[0], "1") if len(products) == 1 else None)
    currency = str(till.replica.founding.get("currency", ""))
    patterns, _ = read_patterns(till.reports.setting(SCALES))
    label = read_label(code, patterns, minor_digits=minor_digits(currency))
    if label is None:
        return _answer(code, [], None, None)
    for likely in label.codes:
        products = _bearing(till, likely)
        if products:
            break
    return _answer(code, products, label, _weighed(products[0], label) if len(products) == 1 else None)


def payment(till: Till, amount: int | None) -> dict[str, Any]:
    """The QR that a customer pays `amount` (paisa) with, as {payload, amount, svg}; without an amount, the shop's own,
    for where a bank does not take the one that was made.

    Raises NotFound where the shop has set none, and BadRequest.
    """
    own = till.reports.setting(RAAST)
    if own is None:
        raise NotFound("this shop has no Raast QR yet: scan its own once, and save the text as the setting 'raast'")
    read_shop_qr(own)
    payload = str(own) if amount is None else payment_qr(own, amount)
    return {"payload": payload, "amount": amount, "svg": segno.make(payload, error="m").svg_inline(scale=SVG_SCALE)}


def _bearing(till: Till, code: str) -> list[dict[str, Any]]:
    """The products that are sold and bear this barcode, or the one with this SKU."""
    found = till.reports.products(barcode=code, limit=FOUND_MAX)
    if not found and (product := till.reports.product(code)) is not None:
        found = [product]
    return [product for product in found if product.get("active") is not False]


def _weighed(product: Mapping[str, Any], label: ScaleLabel) -> dict[str, Any] | None:
    if label.quantity is not None:
        return _line(product, format_quantity(label.quantity))
    if label.amount is None:
        return None
    quantity, price, discount = priced_line(label.amount, product["price"])
    line = _line(product, format_quantity(quantity)) | {"price": price}
    return line | {"discount": discount} if discount else line


def _line(product: Mapping[str, Any], quantity: str) -> dict[str, Any]:
    """With the price that the cashier sees, so that it holds whatever the catalogue says when it is rung."""
    return {"sku": product["sku"], "quantity": quantity, "price": product["price"]}


def _answer(
    code: str, products: list[dict[str, Any]], label: ScaleLabel | None, line: dict[str, Any] | None
) -> dict[str, Any]:
    said = None
    if label is not None:
        quantity = None if label.quantity is None else format_quantity(label.quantity)
        said = {"item": label.item, "quantity": quantity, "amount": label.amount}
    return {"code": code, "products": products, "label": said, "line": line, "receipt": None}


def _paper(till: Till, code: str) -> dict[str, Any] | None:
    """What a receipt's QR code, its number or its reference names, whether or not it is here. Raises BadRequest where
    the code is a receipt's and damaged, or one of several, and Ambiguous where a reference is of several."""
    if code[:5].upper().startswith(("PL1:", "PLR1:")):
        found = read_code(code)
        if isinstance(found, Part) and found.count > 1:
            raise BadRequest.of("code", f"is one of the {found.count} codes of its receipt: type the receipt's number")
        id = found.id if isinstance(found, Reference) else open_codes([code]).entry.id
        held = [r for r in till.reports.by_id(id) if r.entry.kind in PAPER_KINDS]
        if not held:
            return {"id": id, "receipt": None, "kind": None, "here": False}
    elif parse_receipt(code) is not None or parse_reference(code) is not None:
        held = till.reports.sale(code) or till.reports.refund(code)
        if not held:
            return None
        if parse_reference(code) is not None and len({r.entry.id for r in held}) > 1:
            raise Ambiguous(code, [r.entry.hash.hex() for r in held])
    else:
        return None
    receipt = held[0].receipt if held[0].entry.number else None
    return {"id": held[0].entry.id, "receipt": receipt, "kind": held[0].entry.kind, "here": True}
