"""What goes back of a sale: the bodies of refunds and voids, from the sale and what was taken back before. No I/O.

A part of a line takes its part of the line's total and tax by running sums: what was taken back so far is always the
line's amount x quantity taken / quantity sold, rounded half up. So the parts of a line that comes back wholly, in
however many refunds, sum to exactly its total and its tax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posline.core.checks import MAX_LINES, Body
from posline.core.faults import Faults, asked_tenders
from posline.core.money import format_quantity, parse_quantity, quantity_of, round_cash, round_half_up
from posline.core.rung import asked_rung
from posline.core.sales import CASH, sale_figures, tax_groups

__all__ = ["NOTHING", "Taken", "refund_body", "same_refund", "void_body"]

_FIELDS = frozenset({"id", "lines", "tenders", "reason", "by", "pin", "approve", "customer", "restock", "rung"})
_CLASSED = ("class", "rate", "mode")  # what a returned line says of its tax, as the sold one did


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken back of one line so far: quantity in thousandths, amounts in minor units."""

    quantity: int
    total: int
    tax: int


NOTHING = Taken(0, 0, 0)


def refund_body(
    sale: Body, of: bytes, taken: Mapping[int, Taken], request: object, *, cash_unit: int = 0
) -> dict[str, Any]:
    """The body of the refund that `request` (of POST /api/sales/{id}/refund) asks of a sale, whose element is `of`.

    `taken` has what was taken back of each line, by its number. Without `lines`, all that is left comes back; a line
    without quantity, all that is left of it. Without `tenders`, it goes back by the one kind that the sale was paid
    with, or else in cash; cash is rounded to `cash_unit` minor units where that is not 0. Raises BadRequest.
    """
    faults = Faults()
    fields = faults.fields("", request, _FIELDS)
    reason = faults.text("reason", fields.get("reason"))
    customer = faults.text("customer", fields["customer"], 0) if fields.get("customer") is not None else None
    restock = fields.get("restock", True)
    asked_rung(faults, fields.get("rung"))
    if type(restock) is not bool:
        faults.add("restock", "is true where the goods are put back, or else false")
    lines = _lines(faults, fields.get("lines"), sale, taken)
    faults.raise_any()
    total, tax = sum(line["total"] for line in lines), sum(line.get("tax", 0) for line in lines)
    tenders, rounding = _tenders(faults, fields.get("tenders"), sale, total, cash_unit)
    faults.raise_any()
    body: dict[str, Any] = {"sale": sale["id"], "of": of.hex(), "lines": lines, "total": total, "reason": reason}
    if tenders is not None:
        body["tenders"] = tenders
    for name, value, default in (
        ("tax", tax, 0),
        ("rounding", rounding, 0),
        ("restock", restock, True),
        ("customer", sale.get("customer", "") if customer is None else customer, ""),
    ):
        if value != default:
            body[name] = value
    return body


def same_refund(body: Body, sale: str, request: Mapping[str, Any]) -> bool:
    """Whether a refund that was recorded is what `request` asks of the sale with this id: what is left now says nothing
    of what was left then."""
    if body["sale"] != sale or body["reason"] != request.get("reason") or not _same_lines(body, request.get("lines")):
        return False
    asked = request.get("tenders")
    if asked is None:
        return True
    given = body.get("tenders") or [{"kind": CASH, "amount": body["total"] + body.get("rounding", 0)}]
    return isinstance(asked, list) and [dict(tender) for tender in asked if isinstance(tender, Mapping)] == given


def _same_lines(body: Body, asked: object) -> bool:
    if asked is None:
        return True
    if not isinstance(asked, list) or not all(isinstance(line, Mapping) for line in asked):
        return False
    held = {line["line"]: parse_quantity(line["quantity"]) for line in body["lines"]}
    if len(asked) != len(held):
        return False
    try:
        return all(
            line.get("line") in held
            and (line.get("quantity") is None or quantity_of(line["quantity"]) == held[line["line"]])
            for line in asked
        )
    except (TypeError, ValueError):
        return False


def _lines(faults: Faults, asked: object, sale: Body, taken: Mapping[int, Taken]) -> list[dict[str, Any]]:
    sold: Sequence[Body] = sale["lines"]
    wanted = _all_left(faults, sold, taken) if asked is None else _asked(faults, asked, sold, taken)
    totals = sale_figures(sale).lines
    return [
        _part(number, sold[number - 1], totals[number - 1], taken.get(number, NOTHING), quantity)
        for number, quantity in wanted
    ]


def _left(number: int, sold: Sequence[Body], taken: Mapping[int, Taken]) -> int:
    return max(0, parse_quantity(sold[number - 1]["quantity"]) - taken.get(number, NOTHING).quantity)


def _all_left(faults: Faults, sold: Sequence[Body], taken: Mapping[int, Taken]) -> list[tuple[int, int]]:
    numbers = range(1, len(sold) + 1)
    wanted = [(number, left) for number in numbers if (left := _left(number, sold, taken))]
    if not wanted:
        faults.add("lines", "nothing is left to refund: all of this sale was taken back before")
    return wanted


def _asked(faults: Faults, asked: object, sold: Sequence[Body], taken: Mapping[int, Taken]) -> list[tuple[int, int]]:
    if not isinstance(asked, list) or not 0 < len(asked) <= MAX_LINES:
        faults.add("lines", f"must be a list of 1 to {MAX_LINES} lines, or be left out for all that is left")
        return []
    wanted: dict[int, int] = {}
    for index, item in enumerate(asked):
        where = f"lines.{index}"
        fields = faults.fields(where, item, frozenset({"line", "quantity"}))
        number = fields.get("line")
        if type(number) is not int or not 1 <= number <= len(sold):
            faults.add(f"{where}.line", f"must be the number of a line of the sale, from 1 to {len(sold)}")
            continue
        if number in wanted:
            faults.add(f"{where}.line", f"line {number} stands here twice")
            continue
        wanted[number] = _quantity(faults, f"{where}.quantity", fields.get("quantity"), _left(number, sold, taken))
    return sorted(wanted.items())


def _quantity(faults: Faults, where: str, asked: object, left: int) -> int:
    if asked is None:
        if not left:
            faults.add(where, "nothing is left of this line: it was taken back before")
        return left
    try:
        quantity = quantity_of(asked)
    except ValueError as error:
        faults.add(where, str(error))
        return 0
    if quantity > left:
        faults.add(where, f"is more than the {format_quantity(left) if left else 0} left of this line")
    return quantity


def _part(number: int, line: Body, total: int, taken: Taken, quantity: int) -> dict[str, Any]:
    sold, so_far = parse_quantity(line["quantity"]), taken.quantity + quantity

    def part(whole: int, before: int) -> int:
        return max(0, round_half_up(whole * so_far, sold) - before)

    made: dict[str, Any] = {
        "line": number,
        "sku": line["sku"],
        "quantity": format_quantity(quantity),
        "total": part(total, taken.total),
    }
    if "tax" in line:
        made["tax"] = part(line["tax"], taken.tax)
    return made | {name: line[name] for name in _CLASSED if name in line}


def _tenders(
    faults: Faults, asked: object, sale: Body, total: int, cash_unit: int
) -> tuple[list[dict[str, Any]] | None, int]:
    """(what is given back, None for cash exactly; cash rounding)."""
    rounded = round_cash(total, cash_unit)
    if asked is None:
        kinds = [kind for kind, amount in sale_figures(sale).net_tenders.items() if amount]
        if kinds and kinds != [CASH] and len(kinds) == 1 and total:
            return [{"kind": kinds[0], "amount": total}], 0
        return None, rounded - total
    tenders = asked_tenders(faults, asked, gives=True)
    if tenders is None:
        return None, 0
    back = sum(tender["amount"] for tender in tenders)
    if back == total:
        return tenders, 0
    if back == rounded and all(tender["kind"] == CASH for tender in tenders):
        return tenders, rounded - total
    faults.add("tenders", f"come to {back}: {total} goes back" + (f", or {rounded} in cash" * (rounded != total)))
    return None, 0


def void_body(sale: Body, of: bytes, reason: str) -> dict[str, Any]:
    """The body of the void of a whole sale, whose element hashes to `of`: it undoes all that the sale did."""
    figures = sale_figures(sale)
    body: dict[str, Any] = {
        "sale": sale["id"],
        "of": of.hex(),
        "reason": reason,
        "total": figures.total,
        "lines": [
            {"line": number, "sku": line["sku"], "quantity": line["quantity"]}
            for number, line in enumerate(sale["lines"], 1)
        ],
    }
    net = {kind: amount for kind, amount in figures.net_tenders.items() if amount}
    if net and net != {CASH: figures.payable}:
        body["tenders"] = [{"kind": kind, "amount": amount} for kind, amount in sorted(net.items())]
    groups = [
        _plain_group(
            {"class": group.code, "rate": group.rate, "mode": group.mode, "total": group.total, "tax": group.tax}
        )
        for group in tax_groups("sale", sale)
    ]
    if groups != [{"total": figures.total}]:  # zero-rated and exempt goods have a class too, and leave it again
        body["taxes"] = groups
    for name, value in (
        ("tax", figures.tax),
        ("discount", figures.discount),
        ("rounding", figures.rounding),
        ("customer", sale.get("customer", "")),
    ):
        if value:
            body[name] = value
    return body


def _plain_group(group: Mapping[str, Any]) -> dict[str, Any]:
    """A tax group as an entry writes it: what is at its default is left out."""
    defaults = {"class": "", "rate": None, "mode": "inclusive"}
    said = {name: value for name, value in group.items() if name not in defaults or value != defaults[name]}
    if "rate" not in said:
        said.pop("tax", None)
    return said
