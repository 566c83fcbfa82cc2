"""A refund or void as the outside sees it: the shape of the API, the library and the exports alike.

Built from an entry of the ledger, the sale it takes back of, and what the ledger knows about both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from posline.core.rung import rung_of
from posline.core.sales import refund_figures, sale_figures, void_figures
from posline.storage.reports import Recorded
from posline.till.sale import Durable, Tender, as_answer

__all__ = ["Refund", "Returned", "refund_of"]


@dataclass(frozen=True, slots=True)
class Returned:
    """Of one line of the sale, how much was taken back. Amounts are whole minor units, `quantity` a decimal in text. A
    void's lines have the sale's amounts, and 0 while the sale is not here."""

    line: int
    sku: str
    name: str
    quantity: str
    tax: int
    total: int


@dataclass(frozen=True, slots=True)
class Refund:
    """A recorded refund or void (`kind`). Amounts are what goes back, above 0; a void has no receipt of its own."""

    id: str
    kind: str
    receipt: str | None
    number: int | None
    till: str
    label: str
    run: int
    seq: int
    status: str
    day: str
    at: str
    by: str
    sale: str
    sale_receipt: str | None
    lines: tuple[Returned, ...]
    tax: int
    rounding: int
    total: int
    tenders: tuple[Tender, ...]
    reason: str
    restock: bool
    customer: str
    approved: str
    durable: Durable
    rung: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The refund or void as the API answers it."""
        return as_answer(self)


def refund_of(
    recorded: Recorded,
    sale: Recorded | None,
    label: str,
    name_of: Callable[[str, str], str | None],
    durable: Mapping[str, Any],
) -> Refund:
    """The refund or void that an entry is. `sale` is what it takes back of, where that is here."""
    entry = recorded.entry
    body = entry.body
    numbered = entry.kind == "refund"
    figures = refund_figures(body) if numbered else void_figures(body)
    payable = figures.total + figures.rounding
    tenders = body.get("tenders") or [{"kind": "cash", "amount": payable}]
    sold = {} if sale is None else _sold_lines(sale)
    lines = []
    for line in body["lines"]:
        of, cost = sold.get(line["line"], ({}, 0))
        amounts = (line.get("tax", 0), line["total"]) if numbered else (of.get("tax", 0), cost)
        name = of.get("name") or name_of(line["sku"], entry.at) or line["sku"]
        lines.append(Returned(line["line"], line["sku"], name, line["quantity"], *amounts))
    return Refund(
        id=entry.id,
        kind=entry.kind,
        receipt=recorded.receipt if numbered else None,
        number=entry.number if numbered else None,
        till=entry.till,
        label=str(body.get("label", label)),
        run=entry.run,
        seq=entry.seq,
        status=recorded.status.value,
        day=recorded.day,
        at=entry.at,
        by=entry.by,
        sale=body["sale"],
        sale_receipt=None if sale is None else sale.receipt,
        lines=tuple(lines),
        tax=figures.tax,
        rounding=figures.rounding,
        total=figures.total,
        tenders=tuple(Tender(t["kind"], t["amount"], t.get("reference", "")) for t in tenders),
        reason=body["reason"],
        restock=body.get("restock", True),
        customer=body.get("customer", ""),
        approved=body.get("approved", ""),
        durable=Durable(durable["here"], durable["tills"], durable["head_office"]),
        rung=rung_of(entry.body),
    )


def _sold_lines(sale: Recorded) -> dict[int, tuple[Mapping[str, Any], int]]:
    """The lines of a sale by number, and what each cost."""
    body = sale.entry.body
    return dict(enumerate(zip(body["lines"], sale_figures(body).lines, strict=True), 1))
