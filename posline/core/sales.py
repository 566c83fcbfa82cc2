"""What a sale, a refund and a void say: their checks, what counts as the same content, and their figures. No I/O.

Checks and contents are called through the table of kinds. Everything here is a function of one entry's body: knows
nothing of catalogues, settings or other entries, so a refund is only checked in itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from posline.core.checks import MAX_LINES, MAX_TEXT, Body
from posline.core.checks import amount as is_amount
from posline.core.checks import hash_text as is_hash
from posline.core.checks import place as is_place
from posline.core.checks import tenders as check_tenders
from posline.core.checks import text as is_text
from posline.core.checks import uuid_text as is_uuid
from posline.core.money import (
    EXCLUSIVE,
    INCLUSIVE,
    MAX_MONEY,
    MODES,
    PRINTED,
    line_total,
    parse_quantity,
    parse_rate,
    receipt_taxes,
    round_half_up,
    tax_fraction,
)
from posline.core.numbers import valid_label

__all__ = [
    "CASH",
    "RECEIPT",
    "ReturnFigures",
    "SaleFigures",
    "TaxGroup",
    "add_taxes",
    "check_refund",
    "check_sale",
    "check_void",
    "refund_content",
    "refund_figures",
    "sale_content",
    "sale_figures",
    "tax_groups",
    "void_content",
    "void_figures",
]

CASH = "cash"  # what a sale or refund without tenders was settled in, exactly
RECEIPT = "receipt"  # `tax_by`: tax was rounded once for all lines of a mode and rate

_WHOLE = {str(pieces): pieces for pieces in range(1, 100)}
_RARE = frozenset({"note", "customer", "hold", "discount_reason", "filing", "tax_by"})  # fields that few sales have
_encode = msgspec.json.Encoder(order="sorted").encode
# the numerators and taxes of a receipt's lines, by mode and rate with their denominator
_Groups = dict[tuple[str, int, int], tuple[list[int], list[int]]]


# -- a sale ----------------------------------------------------------------------------------------


def check_sale(_: str, body: Body) -> str | None:
    """What is wrong with a sale, or None."""
    number, label, lines, total = body.get("number"), body.get("label"), body.get("lines"), body.get("total")
    if not is_place(number) or type(label) is not str or not valid_label(label):
        return "its receipt number or label is out of range"
    if type(lines) is not list or not 0 < len(lines) <= MAX_LINES:
        return f"it has not 1 to {MAX_LINES} lines"
    groups: _Groups | None = None
    if not _RARE.isdisjoint(body):
        wrong = _rare(body)
        if wrong is not None:
            return wrong
        groups = {} if "tax_by" in body else None
    reckoned = 0
    for line in lines:
        cost = _plain_line(line)
        if cost is None:
            wrong, cost = _line(line, groups)
            if wrong is not None:
                return wrong
        reckoned += cost
    for (_mode, _rate, denominator), (numerators, taxes) in (groups or {}).items():
        if taxes != receipt_taxes(numerators, denominator):
            return "its lines' taxes are not the receipt's tax shared over them"
    if type(total) is not int or total != reckoned:
        return f"its total is not the {reckoned} of its lines"
    return _paid(body, total)


def _rare(body: Body) -> str | None:
    if body.get("tax_by", RECEIPT) != RECEIPT:
        return "its tax is rounded in a way that is not known here"
    if not all(is_text(body.get(name, ""), 0) for name in ("note", "customer", "hold", "discount_reason")):
        return "one of its texts is too long"
    filing = body.get("filing")
    if filing is None:
        return None if "filing" not in body else "it does not say who files it"
    if type(filing) is not dict or not is_text(filing.get("adapter")) or not is_text(filing.get("filer")):
        return "it does not say who files it"
    return None


def _plain_line(line: object) -> int | None:
    """What a line of whole pieces without tax or name costs; None for any other line, right or wrong. Nine lines in ten
    are such, and checking lines is most of what reading a sale costs."""
    if type(line) is not dict:
        return None
    get = line.get
    sku, quantity, price, discount = get("sku"), get("quantity"), get("price"), get("discount", 0)
    if type(sku) is not str or type(quantity) is not str or type(price) is not int or type(discount) is not int:
        return None
    pieces = _WHOLE.get(quantity)
    if pieces is None or len(line) != 3 + ("discount" in line) or not 0 < len(sku) <= MAX_TEXT:
        return None
    cost = price * pieces - discount
    return cost if 0 <= price <= MAX_MONEY and discount >= 0 and 0 <= cost <= MAX_MONEY else None


def _line(line: object, groups: _Groups | None) -> tuple[str | None, int]:
    """(what is wrong, what the line costs). Where tax is rounded by receipt, its share is checked with its group."""
    if type(line) is not dict or not is_text(line.get("sku")) or not is_text(line.get("name", ""), 0):
        return "a line names nothing that was sold", 0
    if not is_text(line.get("class", ""), 0) or not is_text(line.get("reason", ""), 0):
        return "a line's tax class or reason is no text", 0
    price, discount = line.get("price"), line.get("discount", 0)
    thousandths = _quantity(line.get("quantity"))
    if not thousandths:
        return "a line's quantity is no decimal above 0", 0
    if type(price) is not int or not is_amount(price) or not is_amount(discount):
        return "a line's price or discount is out of range", 0
    cost = line_total(price, thousandths, discount)
    if cost < 0 or cost > MAX_MONEY:
        return "a line costs less than nothing, or too much", 0
    if "rate" in line or "tax" in line:
        wrong = _tax(line, cost, thousandths, groups)
        if wrong is not None:
            return wrong, 0
        if line.get("mode") == EXCLUSIVE:
            cost += line["tax"]
    elif "mode" in line:
        return "a line says how its tax stands to its price, and has none", 0
    return (None, cost) if cost <= MAX_MONEY else ("a line costs less than nothing, or too much", 0)


def _quantity(value: object) -> int:
    """Thousandths, or 0 where it is no quantity."""
    try:
        return parse_quantity(value) if type(value) is str else 0
    except ValueError:
        return 0


def _rate(value: object) -> int | None:
    try:
        return parse_rate(value) if type(value) is str else None
    except ValueError:
        return None


def _tax(line: Body, cost: int, thousandths: int, groups: _Groups | None) -> str | None:
    rate, tax, mode, mrp = _rate(line.get("rate")), line.get("tax"), line.get("mode", INCLUSIVE), line.get("mrp", 0)
    if mode not in MODES or not is_amount(mrp) or (mode == PRINTED and "mrp" not in line):
        return "a line's way of taxing is not known here, or its printed price is none"
    if rate is None or type(tax) is not int or not is_amount(tax):
        return "a line's tax is not what its rate makes it"
    numerator, denominator = tax_fraction(mode, rate, cost, mrp, thousandths)
    if groups is not None:
        numerators, taxes = groups.setdefault((mode, rate, denominator), ([], []))
        numerators.append(numerator)
        taxes.append(tax)
    elif tax != round_half_up(numerator, denominator):
        return "a line's tax is not what its rate makes it"
    return None


def _paid(body: Body, total: int) -> str | None:
    rounding, change, tenders = body.get("rounding", 0), body.get("change", 0), body.get("tenders")
    if type(rounding) is not int or abs(rounding) > MAX_MONEY or not is_amount(change) or total + rounding < 0:
        return "its rounding or change is out of range"
    if tenders is None:
        return None if change == 0 else "it gives change for nothing"
    wrong, paid = check_tenders(tenders)
    if wrong is not None:
        return wrong
    if paid - change != total + rounding:
        return f"its tenders less change are not the {total + rounding} to be paid"
    return None


# -- a refund and a void ---------------------------------------------------------------------------


def check_refund(_: str, body: Body) -> str | None:
    """What is wrong with a refund in itself, or None. Whether it gives back more than was sold is a question to all
    refunds of the sale."""
    label, total = body.get("label"), body.get("total")
    if not is_place(body.get("number")) or type(label) is not str or not valid_label(label):
        return "its receipt number or label is out of range"
    wrong = _returned(body)
    if wrong is not None:
        return wrong
    reckoned = taxes = 0
    for line in body["lines"]:
        if not is_amount(line.get("total")) or not is_amount(line.get("tax", 0)):
            return "a line's total or tax is out of range"
        if not _classed(line):
            return "a line's tax class, rate or mode is none"
        reckoned += line["total"]
        taxes += line.get("tax", 0)
    if type(total) is not int or total != reckoned:
        return f"its total is not the {reckoned} of its lines"
    if body.get("tax", 0) != taxes:
        return f"its tax is not the {taxes} of its lines"
    if type(body.get("restock", True)) is not bool:
        return "it does not say whether the goods are put back"
    return _given_back(body, total)


def check_void(_: str, body: Body) -> str | None:
    """What is wrong with a void in itself, or None."""
    wrong = _returned(body)
    if wrong is not None:
        return wrong
    total, tax = body.get("total"), body.get("tax", 0)
    if type(total) is not int or not all(map(is_amount, (total, tax, body.get("discount", 0)))):
        return "its total, tax or discount is out of range"
    taxes = body.get("taxes")
    if taxes is not None:
        if type(taxes) is not list or not 0 < len(taxes) <= MAX_LINES:
            return "its taxes are no list"
        for group in taxes:
            if type(group) is not dict or not _classed(group) or not is_amount(group.get("total")):
                return "one of its taxes is none"
            if not is_amount(group.get("tax", 0)):
                return "one of its taxes is none"
        if sum(g["total"] for g in taxes) != total or sum(g.get("tax", 0) for g in taxes) != tax:
            return "its taxes do not sum to its total and tax"
    elif tax:
        return "its tax is of no class or rate"
    return _given_back(body, total)


def _returned(body: Body) -> str | None:
    """What is wrong with the sale that is named, the reason and the lines' quantities."""
    sale, of, lines = body.get("sale"), body.get("of"), body.get("lines")
    if not is_uuid(sale) or not is_hash(of):
        return "it does not name the sale that it takes back"
    if not is_text(body.get("reason")):
        return "it gives no reason"
    if not is_text(body.get("customer", ""), 0):
        return "one of its texts is too long"
    if type(lines) is not list or not 0 < len(lines) <= MAX_LINES:
        return f"it has not 1 to {MAX_LINES} lines"
    seen: set[int] = set()
    for line in lines:
        if type(line) is not dict or not is_place(line.get("line")) or line["line"] > MAX_LINES:
            return "a line does not say which of the sale's it is"
        if line["line"] in seen:
            return f"it names line {line['line']} twice"
        seen.add(line["line"])
        if not is_text(line.get("sku")) or not _quantity(line.get("quantity")):
            return "a line does not say what comes back, or how much"
    return None


def _classed(part: Body) -> bool:
    if not is_text(part.get("class", ""), 0) or part.get("mode", INCLUSIVE) not in MODES:
        return False
    return _rate(part["rate"]) is not None if "rate" in part else "tax" not in part


def _given_back(body: Body, total: int) -> str | None:
    tenders = body.get("tenders")
    if type(tenders) is list and any(type(t) is dict and t.get("amount") == 0 for t in tenders):
        return "a tender gives nothing back"
    return "it gives change" if "change" in body else _paid(body, total)


# -- content ---------------------------------------------------------------------------------------


def sale_content(body: Body) -> bytes:
    """What a valid sale says, in one form: numbers, labels, names, notes, reasons and filing are no part of it."""
    return _encode(
        [
            "sale",
            [
                [
                    line["sku"],
                    parse_quantity(line["quantity"]),
                    line["price"],
                    line.get("discount", 0),
                    line.get("tax", 0),
                ]
                for line in body["lines"]
            ],
            _tenders_content(body),
            body.get("change", 0),
            body.get("customer", ""),
            body.get("rounding", 0),
            body["total"],
        ]
    )


def refund_content(body: Body) -> bytes:
    """What a valid refund says, in one form; as sale_content."""
    return _returned_content("refund", body, [body.get("restock", True)])


def void_content(body: Body) -> bytes:
    """What a valid void says, in one form; as sale_content."""
    return _returned_content("void", body, [body.get("discount", 0)])


def _returned_content(kind: str, body: Body, more: list[object]) -> bytes:
    lines = sorted(
        [line["line"], line["sku"], parse_quantity(line["quantity"]), line.get("total", 0), line.get("tax", 0)]
        for line in body["lines"]
    )
    said = [kind, body["sale"], body["of"], lines, _tenders_content(body), body.get("customer", "")]
    return _encode([*said, body.get("rounding", 0), body["total"], body.get("tax", 0), *more])


def _tenders_content(body: Body) -> list[list[object]]:
    return sorted([tender["kind"], tender["amount"], tender.get("reference", "")] for tender in _tenders(body))


def _tenders(body: Body) -> list[dict[str, Any]]:
    return body.get("tenders") or [{"kind": CASH, "amount": body["total"] + body.get("rounding", 0)}]


# -- figures ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SaleFigures:
    """What a sale sums to, in minor units. `subtotal` is price x quantity; `total` is that less `discount`, with tax
    that comes on top. `net_tenders` is what stayed in the drawer or on account, by kind."""

    subtotal: int
    discount: int
    tax: int
    rounding: int
    total: int
    change: int
    tenders: list[dict[str, Any]]
    net_tenders: dict[str, int]
    lines: list[int] = field(default_factory=list)  # each line's total

    @property
    def payable(self) -> int:
        """What was to be paid."""
        return self.total + self.rounding


@dataclass(frozen=True, slots=True)
class ReturnFigures:
    """What a refund or void takes back, in minor units and above 0. `net_tenders` is what is given back, by kind."""

    discount: int
    tax: int
    rounding: int
    total: int
    net_tenders: dict[str, int]

    @property
    def payable(self) -> int:
        """What was to be given back."""
        return self.total + self.rounding


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """What was sold of one tax class, rate (per cent; None: without tax) and mode: `total` with its `tax`, in minor
    units. `code` is "" where lines name no class."""

    code: str
    rate: str | None
    mode: str
    total: int
    tax: int

    @property
    def taxable(self) -> int:
        """The total without its tax. Where tax is on the printed price it may be below 0: the discount was deep."""
        return self.total - self.tax

    def to_dict(self) -> dict[str, Any]:
        """As reports show it."""
        return {"class": self.code, "rate": self.rate, "mode": self.mode} | {
            "taxable": self.taxable, "tax": self.tax, "total": self.total,
        }  # fmt: skip


def sale_figures(body: Body) -> SaleFigures:
    """The figures of a valid sale entry."""
    discount = tax = on_top = 0
    costs: list[int] = []
    for line in body["lines"]:
        off = line.get("discount", 0)
        cost = line_total(line["price"], parse_quantity(line["quantity"]), off)
        discount += off
        if "tax" in line:
            tax += line["tax"]
            if line.get("mode") == EXCLUSIVE:
                on_top += line["tax"]
                cost += line["tax"]
        costs.append(cost)
    total, rounding, change = body["total"], body.get("rounding", 0), body.get("change", 0)
    tenders = _tenders(body)
    net = _net(tenders)
    if change:
        net[CASH] = net.get(CASH, 0) - change
    return SaleFigures(total + discount - on_top, discount, tax, rounding, total, change, tenders, net, costs)


def refund_figures(body: Body) -> ReturnFigures:
    """The figures of a valid refund entry."""
    return ReturnFigures(0, body.get("tax", 0), body.get("rounding", 0), body["total"], _net(_tenders(body)))


def void_figures(body: Body) -> ReturnFigures:
    """The figures of a valid void entry."""
    tax, discount = body.get("tax", 0), body.get("discount", 0)
    return ReturnFigures(discount, tax, body.get("rounding", 0), body["total"], _net(_tenders(body)))


def _net(tenders: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    net: dict[str, int] = {}
    for tender in tenders:
        net[tender["kind"]] = net.get(tender["kind"], 0) + tender["amount"]
    return net


def tax_groups(kind: str, body: Body) -> list[TaxGroup]:
    """What a valid sale, refund or void comes to by tax class, rate and mode; they sum to its total and tax."""
    if kind == "sale":
        parts = [dict(line, total=total) for line, total in zip(body["lines"], sale_figures(body).lines, strict=True)]
    elif kind == "void":
        parts = body.get("taxes") or [{"total": body["total"]}]
    else:
        parts = body["lines"]
    return add_taxes(
        (1, TaxGroup(part.get("class", ""), part.get("rate"), _mode(part), part["total"], part.get("tax", 0)))
        for part in parts
    )


def _mode(part: Body) -> str:
    return str(part.get("mode", INCLUSIVE))


def add_taxes(groups: Iterable[tuple[int, TaxGroup]]) -> list[TaxGroup]:
    """Groups added up by class, rate and mode, each with its sign (refunds and voids: -1), in the order of those."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for sign, group in groups:
        sum_ = sums.setdefault((group.code, "" if group.rate is None else group.rate, group.mode), [0, 0])
        sum_[0] += sign * group.total
        sum_[1] += sign * group.tax
    return [TaxGroup(code, rate or None, mode, *sums[code, rate, mode]) for code, rate, mode in sorted(sums)]
