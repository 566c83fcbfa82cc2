"""From a request to the lines and totals of a sale. No I/O.

A request is whatever a program sent to `POST /api/sales`: nothing about it is believed. Every fault is named by its
field, all at once. What a shop decides (tax, rounding) comes in as `Terms`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from posline.core.checks import MAX_LINES
from posline.core.faults import Faults, asked_tenders
from posline.core.money import (
    EXCLUSIVE,
    INCLUSIVE,
    MAX_MONEY,
    PRINTED,
    apportion,
    format_quantity,
    is_rate,
    line_total,
    parse_percent,
    parse_rate,
    part_of,
    quantity_of,
    receipt_taxes,
    round_cash,
    round_half_up,
    tax_fraction,
)
from posline.core.rung import asked_rung
from posline.core.sales import CASH, RECEIPT
from posline.core.tax import TaxClass
from posline.errors import BadRequest

__all__ = ["PricedSale", "Product", "Terms", "price_sale", "request_key"]

ON_ACCOUNT = "account"  # udhaar: the only tender that may leave something unpaid
_FIELDS = frozenset({
    "id", "lines", "tenders", "by", "customer", "note", "discount", "discount_percent", "discount_reason", "hold",
    "pin", "approve", "rung",
})  # fmt: skip
_LINE_FIELDS = frozenset({
    "sku", "quantity", "price", "discount", "discount_percent", "reason", "name", "class",
})  # fmt: skip
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Product:
    """A product as the catalogue has it. Amounts in minor units; `tax` is a class or a rate in per cent ("" for none),
    `rate` its own rate, within its class or without one, `mrp` the retail price that is printed on it. `printed` says
    that it is taxed on that price (Third Schedule), whatever its class says."""

    sku: str
    name: str
    price: int
    tax: str = ""
    rate: str | None = None
    mrp: int | None = None
    printed: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What the shop has settled for all its sales: tax classes by name and the business `day` whose rates hold, whether
    tax is rounded by receipt, and to how many minor units cash is rounded (0: not at all)."""

    classes: Mapping[str, TaxClass] = field(default_factory=dict)
    day: str = "9999-12-31"
    tax_by_receipt: bool = False
    cash_unit: int = 0


@dataclass(frozen=True, slots=True)
class PricedSale:
    """A sale whose amounts are settled, lines and tenders as an entry writes them; tenders None is exact cash.

    `extra` are further fields of the entry. `lowered` has (discount, cost before it) of each line and of the whole;
    `repriced` and `opened` say whether a line's price is below the catalogue's or its tax class is another, or whether
    it is of no product in it.
    """

    id: str
    lines: list[dict[str, Any]]
    total: int
    tenders: list[dict[str, Any]] | None
    change: int
    by: str
    rounding: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    lowered: tuple[tuple[int, int], ...] = ()
    repriced: bool = False
    opened: bool = False

    def body(self) -> dict[str, Any]:
        """The sale entry's own fields; what is at its default is left out."""
        body: dict[str, Any] = {"lines": self.lines}
        if self.tenders is not None:
            body["tenders"] = self.tenders
        for name, value in (("change", self.change), ("rounding", self.rounding)):
            if value:
                body[name] = value
        return body | dict(self.extra) | {"total": self.total}


# -- a request -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Line:
    """A line under way: what it is, and what it costs less discounts, before tax that comes on top."""

    made: dict[str, Any]
    thousandths: int
    gross: int
    cost: int
    tax: str
    rate: str | None
    mrp: int | None
    printed: bool
    repriced: bool
    opened: bool


def price_sale(request: object, product: Callable[[str], Product | None], terms: Terms | None = None) -> PricedSale:
    """Settle a request's prices, discounts, tax and payment; `product` looks up the catalogue.

    Raises BadRequest with every field that is wrong.
    """
    terms = terms or Terms()
    faults = Faults()
    fields = faults.fields("", request, _FIELDS)
    id = fields.get("id")
    if not isinstance(id, str) or _UUID.fullmatch(id) is None:
        faults.add("id", "must be a UUID made by the caller, the same at every repeat")
        id = ""
    by = faults.text("by", fields.get("by", ""), 0)
    asked_rung(faults, fields.get("rung"))
    extra = {
        name: text
        for name in ("customer", "note", "discount_reason", "hold")
        if fields.get(name) is not None and (text := faults.text(name, fields[name], 0))
    }
    lines = _lines(faults, fields.get("lines"), product, terms)
    sound = not faults.found
    _whole_discount(faults, fields, lines)
    asked = asked_tenders(faults, fields.get("tenders"))
    # what goes on account is known only once the tax is: so a rate by tender is not had with udhaar beside it
    kinds = {tender["kind"] for tender in asked or () if tender["amount"] or tender["kind"] == ON_ACCOUNT} or {CASH}
    total = sum(line.cost for line in lines) + _put_taxes(lines, terms, kinds)
    if sound and total > MAX_MONEY:
        faults.add("lines", f"come to {total}: at most {MAX_MONEY}")
    if sound and any(line.made.get("tax", 0) > MAX_MONEY for line in lines):  # on a printed price: beside the total
        faults.add("lines", f"have a tax of over {MAX_MONEY} on their printed prices")
    if any("tax" in line.made for line in lines) and terms.tax_by_receipt:
        extra["tax_by"] = RECEIPT
    rounding = _rounding(asked, total, terms.cash_unit)
    change = _settle(faults, asked, total + rounding) if not faults.found else 0
    if faults.found:
        raise BadRequest(faults.found)
    return PricedSale(
        id.lower(), [line.made for line in lines], total, asked, change, by, rounding, extra, _lowered(lines),
        any(line.repriced for line in lines), any(line.opened for line in lines),
    )  # fmt: skip


def _lines(
    faults: Faults, asked: object, product: Callable[[str], Product | None], terms: Terms
) -> list[_Line]:
    if not isinstance(asked, list) or not asked:
        faults.add("lines", "must be a list of at least one line")
        return []
    if len(asked) > MAX_LINES:
        faults.add("lines", f"has {len(asked)} lines: at most {MAX_LINES}")
        return []
    made = (_line(faults, f"lines.{index}", line, product, terms) for index, line in enumerate(asked))
    return [line for line in made if line is not None]


def _line(
    faults: Faults, where: str, asked: object, product: Callable[[str], Product | None], terms: Terms
) -> _Line | None:
    fields = faults.fields(where, asked, _LINE_FIELDS)
    if not isinstance(asked, dict):
        return None
    before = len(faults.found)
    sku = faults.text(f"{where}.sku", fields.get("sku"))
    thousandths = 0
    try:
        thousandths = quantity_of(fields.get("quantity"))
    except ValueError as error:
        faults.add(f"{where}.quantity", str(error))
    known = product(sku) if sku else None
    price = _price(faults, f"{where}.price", fields.get("price"), sku, known)
    name = faults.text(f"{where}.name", fields["name"], 0) if fields.get("name") is not None else None
    tax = _class(faults, f"{where}.class", fields.get("class"), known, terms)
    reason = faults.text(f"{where}.reason", fields["reason"], 0) if fields.get("reason") is not None else ""
    if len(faults.found) > before:
        return None
    gross = line_total(price, thousandths)
    discount = _discount(faults, where, fields, gross)
    cost = gross - discount
    if not 0 <= cost <= MAX_MONEY:
        why = "is more than the line costs" if cost < 0 else f"makes the line cost over {MAX_MONEY}"
        faults.add(f"{where}.{'discount' if cost < 0 else 'quantity'}", why)
    if len(faults.found) > before:
        return None
    line: dict[str, Any] = {"sku": sku, "quantity": format_quantity(thousandths), "price": price}
    if discount:
        line["discount"] = discount
    if reason:
        line["reason"] = reason
    if name and (known is None or name != known.name):
        line["name"] = name
    own = known if known is not None and tax == known.tax else None
    return _Line(
        line, thousandths, gross, cost, tax, own.rate if own else None, known.mrp if known else None,
        own is not None and own.printed,
        known is not None and (price < known.price or tax != known.tax), known is None,
    )  # fmt: skip


def _price(faults: Faults, where: str, asked: object, sku: str, known: Product | None) -> int:
    if asked is not None:
        return faults.amount(where, asked)
    if known is None and sku:
        faults.add(where, f"is needed: {sku} is not in the catalogue")
    return known.price if known is not None else 0


def _class(faults: Faults, where: str, asked: object, known: Product | None, terms: Terms) -> str:
    """The tax class of a line: the one it names, or its product's."""
    if asked is None:
        return known.tax if known is not None else ""
    name = faults.text(where, asked, 0)
    if name and name not in terms.classes and not is_rate(name):
        there = ", ".join(sorted(terms.classes)) or "none"
        faults.add(where, f"{name[:40]!r} is no tax class of this shop: it has {there}")
    return name


def _discount(faults: Faults, where: str, fields: Mapping[str, Any], gross: int) -> int:
    """The discount that a line or a whole sale asks for, as an amount or as a part of `gross`."""
    prefix = f"{where}." if where else ""
    if fields.get("discount_percent") is None:
        return faults.amount(f"{prefix}discount", fields.get("discount", 0))
    if fields.get("discount"):
        faults.add(f"{prefix}discount_percent", "stands beside a discount: give one of them")
        return 0
    try:
        return part_of(gross, parse_percent(fields["discount_percent"]))
    except ValueError as error:
        faults.add(f"{prefix}discount_percent", str(error))
        return 0


def _whole_discount(faults: Faults, fields: Mapping[str, Any], lines: Sequence[_Line]) -> None:
    """Share the discount of the whole sale over its lines, in proportion to what they cost: so each line's tax and each
    refund is right by itself."""
    whole = sum(line.cost for line in lines)
    discount = _discount(faults, "", fields, whole)
    if discount > whole and not faults.found:
        faults.add("discount", f"is more than the {whole} that the lines cost")
    if not discount or faults.found:
        return
    for line, share in zip(lines, apportion([line.cost * discount for line in lines], whole, discount), strict=True):
        if share:
            line.cost -= share
            line.made["discount"] = line.made.get("discount", 0) + share


def _lowered(lines: Sequence[_Line]) -> tuple[tuple[int, int], ...]:
    off = [(line.gross - line.cost, line.gross) for line in lines]
    return (*off, (sum(part for part, _ in off), sum(gross for _, gross in off)))


# -- tax -------------------------------------------------------------------------------------------


def _put_taxes(lines: Sequence[_Line], terms: Terms, kinds: set[str]) -> int:
    """Write class, rate and tax into the lines; what comes on top of the lines' prices."""
    groups: dict[tuple[str, str, int], list[tuple[_Line, int]]] = {}
    for line in lines:
        found = _rate(line, terms, kinds)
        if found is None:
            continue
        mode, rate = found
        mrp = line.mrp if line.mrp is not None else int(line.made["price"])
        numerator, denominator = tax_fraction(mode, parse_rate(rate), line.cost, mrp, line.thousandths)
        line.made["rate"] = rate
        if mode != INCLUSIVE:
            line.made["mode"] = mode
        if mode == PRINTED:
            line.made["mrp"] = mrp
        groups.setdefault((mode, rate, denominator), []).append((line, numerator))
    on_top = 0
    for (mode, _, denominator), members in groups.items():
        numerators = [numerator for _, numerator in members]
        if terms.tax_by_receipt:
            taxes = receipt_taxes(numerators, denominator)
        else:
            taxes = [round_half_up(numerator, denominator) for numerator in numerators]
        for (line, _), tax in zip(members, taxes, strict=True):
            line.made["tax"] = tax
        if mode == EXCLUSIVE:
            on_top += sum(taxes)
    return on_top


def _rate(line: _Line, terms: Terms, kinds: set[str]) -> tuple[str, str] | None:
    """(mode, rate in per cent) of a line, whose class is written into it; None where it has no tax."""
    mode, rate, known = INCLUSIVE, line.rate, terms.classes.get(line.tax)
    if is_rate(line.tax):
        rate = line.tax
    elif known is not None:
        line.made["class"] = known.code
        mode, dated = known.mode, known.rate(terms.day, kinds)
        if rate is None or dated is None:  # what is exempt stays so
            rate = dated
    return None if rate is None else (PRINTED if line.printed else mode, rate)


# -- payment ---------------------------------------------------------------------------------------


def _rounding(tenders: Sequence[Mapping[str, Any]] | None, total: int, unit: int) -> int:
    """What is added to the total so that its part in cash can be paid in coins. Cards, wallets and udhaar are exact."""
    if not unit or (tenders and any(tender["kind"] == ON_ACCOUNT for tender in tenders)):
        return 0
    if tenders and not any(tender["kind"] == CASH for tender in tenders):
        return 0
    in_cash: int = total - sum(tender["amount"] for tender in tenders or () if tender["kind"] != CASH)
    return round_cash(in_cash, unit) - in_cash if in_cash > 0 else 0


def _settle(faults: Faults, tenders: list[dict[str, Any]] | None, payable: int) -> int:
    """The change. What is not paid goes on account, where that is one of the tenders."""
    if tenders is None:
        return 0
    paid: int = sum(tender["amount"] for tender in tenders)
    cash = sum(tender["amount"] for tender in tenders if tender["kind"] == CASH)
    if paid < payable:
        account = next((tender for tender in tenders if tender["kind"] == ON_ACCOUNT), None)
        if account is None:
            faults.add("tenders", f"come to {paid}, {payable - paid} less than the {payable} to be paid")
            return 0
        account["amount"] += payable - paid
        return 0
    if paid - cash > payable:
        faults.add(
            "tenders", f"other than cash come to {paid - cash}, over the {payable} to be paid: no change is given"
        )
    return paid - payable


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
    if name == "discount_percent" and not isinstance(value, bool) and isinstance(value, int | str | Decimal):
        try:
            return parse_percent(value)
        except ValueError:
            return str(value)
    if name == "id" and isinstance(value, str):
        return value.lower()
    return str(value) if isinstance(value, Decimal) else value
