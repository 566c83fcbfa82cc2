"""From a request to the lines and totals of a sale, and from a sale to its figures. No I/O.

A request is whatever a program sent to `POST /api/sales`: nothing about it is believed. Every fault is named by its
field, all at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from posline.core.checks import MAX_LINES
from posline.core.faults import Faults
from posline.core.money import (
    MAX_MONEY,
    format_quantity,
    inclusive_tax,
    line_total,
    parse_rate,
    quantity_of,
)
from posline.errors import BadRequest

__all__ = ["PricedSale", "Product", "price_sale", "request_key"]

MAX_TENDERS = 20
ON_ACCOUNT = "account"  # udhaar: the only tender that may leave something unpaid
CASH = "cash"  # the only tender that change is given from
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_TENDER = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Product:
    """A product as the catalogue has it. `price` in minor units, tax included; `rate` in per cent, None for none."""

    sku: str
    name: str
    price: int
    rate: str | None = None


@dataclass(frozen=True, slots=True)
class PricedSale:
    """A sale whose amounts are settled, lines and tenders as an entry writes them; tenders None is exact cash."""

    id: str
    lines: list[dict[str, Any]]
    total: int
    tenders: list[dict[str, Any]] | None
    change: int
    by: str

    def body(self) -> dict[str, Any]:
        """The sale entry's own fields; what is at its default is left out."""
        body: dict[str, Any] = {"lines": self.lines}
        if self.tenders is not None:
            body["tenders"] = self.tenders
        if self.change:
            body["change"] = self.change
        return body | {"total": self.total}


# -- a request -------------------------------------------------------------------------------------


def price_sale(request: object, product: Callable[[str], Product | None]) -> PricedSale:
    """Settle a request's prices and payment; `product` looks up the catalogue.

    Raises BadRequest with every field that is wrong.
    """
    faults = Faults()
    fields = faults.fields("", request, frozenset({"id", "lines", "tenders", "by"}))
    id = fields.get("id")
    if not isinstance(id, str) or _UUID.fullmatch(id) is None:
        faults.add("id", "must be a UUID made by the caller, the same at every repeat")
        id = ""
    by = faults.text("by", fields.get("by", ""), 0)
    lines, total = _lines(faults, fields.get("lines"), product)
    tenders, change = _tenders(faults, fields.get("tenders"), total)
    if faults.found:
        raise BadRequest(faults.found)
    return PricedSale(id.lower(), lines, total, tenders, change, by)


def _lines(
    faults: Faults, asked: object, product: Callable[[str], Product | None]
) -> tuple[list[dict[str, Any]], int]:
    if not isinstance(asked, list) or not asked:
        faults.add("lines", "must be a list of at least one line")
        return [], 0
    if len(asked) > MAX_LINES:
        faults.add("lines", f"has {len(asked)} lines: at most {MAX_LINES}")
        return [], 0
    lines: list[dict[str, Any]] = []
    total = 0
    for index, line in enumerate(asked):
        made, cost = _line(faults, f"lines.{index}", line, product)
        lines.append(made)
        total += cost
    if total > MAX_MONEY:
        faults.add("lines", f"come to {total}: at most {MAX_MONEY}")
    return lines, total


def _line(
    faults: Faults, where: str, asked: object, product: Callable[[str], Product | None]
) -> tuple[dict[str, Any], int]:
    fields = faults.fields(where, asked, frozenset({"sku", "quantity", "price", "discount", "name"}))
    if not isinstance(asked, dict):
        return {}, 0
    before = len(faults.found)
    sku = faults.text(f"{where}.sku", fields.get("sku"))
    thousandths = 0
    try:
        thousandths = quantity_of(fields.get("quantity"))
    except ValueError as error:
        faults.add(f"{where}.quantity", str(error))
    known = product(sku) if sku else None
    if fields.get("price") is not None:
        price = faults.amount(f"{where}.price", fields["price"])
    elif known is not None:
        price = known.price
    else:
        price = 0
        if sku:
            faults.add(f"{where}.price", f"is needed: {sku} is not in the catalogue")
    discount = faults.amount(f"{where}.discount", fields.get("discount", 0))
    name = faults.text(f"{where}.name", fields["name"], 0) if fields.get("name") is not None else None
    if len(faults.found) > before:
        return {}, 0
    cost = line_total(price, thousandths, discount)
    if not 0 <= cost <= MAX_MONEY:
        reason = "is more than the line costs" if cost < 0 else f"makes the line cost over {MAX_MONEY}"
        faults.add(f"{where}.{'discount' if cost < 0 else 'quantity'}", reason)
        return {}, 0
    line: dict[str, Any] = {"sku": sku, "quantity": format_quantity(thousandths), "price": price}
    if discount:
        line["discount"] = discount
    if name and (known is None or name != known.name):
        line["name"] = name
    if known is not None and known.rate is not None:
        line |= {"rate": known.rate, "tax": inclusive_tax(cost, parse_rate(known.rate))}
    return line, cost


def _tenders(faults: Faults, asked: object, payable: int) -> tuple[list[dict[str, Any]] | None, int]:
    """(tenders as they will be written, the change from them)."""
    if asked is None:
        return None, 0
    if not isinstance(asked, list) or not 0 < len(asked) <= MAX_TENDERS:
        faults.add("tenders", f"must be a list of 1 to {MAX_TENDERS}, or be left out for exact cash")
        return None, 0
    before = len(faults.found)
    tenders: list[dict[str, Any]] = []
    for index, tender in enumerate(asked):
        where = f"tenders.{index}"
        fields = faults.fields(where, tender, frozenset({"kind", "amount", "reference"}))
        kind = fields.get("kind")
        if not isinstance(kind, str) or _TENDER.fullmatch(kind) is None:
            faults.add(f"{where}.kind", "must be a lower-case word such as cash or card")
        made = {"kind": kind, "amount": faults.amount(f"{where}.amount", fields.get("amount"))}
        if fields.get("reference") is not None:
            made["reference"] = faults.text(f"{where}.reference", fields["reference"], 0)
        tenders.append(made)
    if len(faults.found) > before or any(f.field.startswith("lines") for f in faults.found):
        return None, 0
    paid = sum(t["amount"] for t in tenders)
    cash = sum(t["amount"] for t in tenders if t["kind"] == CASH)
    if paid < payable:
        if not any(t["kind"] == ON_ACCOUNT for t in tenders):
            faults.add("tenders", f"come to {paid}, {payable - paid} less than the {payable} to be paid")
            return None, 0
        account = next(t for t in tenders if t["kind"] == ON_ACCOUNT)
        account["amount"] += payable - paid
        paid = payable
    if paid - cash > payable:
        faults.add(
            "tenders", f"other than cash come to {paid - cash}, over the {payable} to be paid: no change is given"
        )
        return None, 0
    return tenders, paid - payable


# -- retries ---------------------------------------------------------------------------------------


def request_key(request: object) -> bytes:
    """A request in normal form, to tell a retry from another sale under the same id: decimals normalised, key order
    ignored, defaults not filled in."""
    return hashlib.sha256(msgspec.json.encode(_normal(request, ""), order="sorted")).digest()


def _normal(value: object, name: str) -> object:
    if isinstance(value, dict):
        return {str(key): _normal(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item, name) for item in value]
    if name == "quantity" and not isinstance(value, bool) and isinstance(value, int | str | Decimal):
        try:
            return format_quantity(quantity_of(value))
        except ValueError:
            return str(value)
    if name == "id" and isinstance(value, str):
        return value.lower()
    return str(value) if isinstance(value, Decimal) else value
