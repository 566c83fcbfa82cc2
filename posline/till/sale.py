"""A sale as the outside sees it: the shape of the API, the library and the exports alike.

Built from an entry of the ledger and what the ledger knows about it. Knows nothing of how either came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from posline.core.rung import rung_of
from posline.core.sales import sale_figures
from posline.storage.reports import Recorded

__all__ = ["Durable", "Line", "Sale", "Tender", "as_answer", "sale_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Amounts are whole minor units, `quantity` a decimal in text; `total` is less `discount`, with tax."""

    line: int
    sku: str
    name: str
    quantity: str
    price: int
    discount: int
    tax: int
    total: int


@dataclass(frozen=True, slots=True)
class Tender:
    """What was paid with, and how much."""

    kind: str
    amount: int
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Durable:
    """On which disks a sale is known to be: this one, how many other tills', the head office's."""

    here: bool
    tills: int
    head_office: bool


@dataclass(frozen=True, slots=True)
class Sale:
    """A recorded sale. `total` is before cash `rounding`; tenders less `change` are both of them together. `rung` is
    when a page rang it, where that was well before it was recorded, `at`."""

    id: str
    receipt: str
    number: int
    till: str
    label: str
    run: int
    seq: int
    status: str
    day: str
    at: str
    by: str
    lines: tuple[Line, ...]
    subtotal: int
    discount: int
    tax: int
    rounding: int
    total: int
    tenders: tuple[Tender, ...]
    change: int
    durable: Durable
    rung: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The sale as the API answers it."""
        return as_answer(self)


def as_answer(found: Any) -> dict[str, Any]:
    """A sale, or what takes one back, as the API answers it: a tender's reference only where there is one."""
    answer = asdict(found)
    answer["lines"] = list(answer["lines"])
    answer["tenders"] = [
        {name: value for name, value in tender.items() if name != "reference" or value} for tender in answer["tenders"]
    ]
    return answer


def sale_of(recorded: Recorded, name_of: Callable[[str, str], str | None], durable: Mapping[str, Any]) -> Sale:
    """The sale that an entry is. `name_of` answers the catalogue's name of (sku, time) for lines that carry none."""
    entry = recorded.entry
    body = entry.body
    figures = sale_figures(body)
    lines = tuple(
        Line(
            number,
            line["sku"],
            line.get("name") or name_of(line["sku"], entry.at) or line["sku"],
            line["quantity"],
            line["price"],
            line.get("discount", 0),
            line.get("tax", 0),
            total,
        )
        for number, (line, total) in enumerate(zip(body["lines"], figures.lines, strict=True), 1)
    )
    tenders = tuple(Tender(t["kind"], t["amount"], t.get("reference", "")) for t in figures.tenders)
    return Sale(
        id=entry.id,
        receipt=recorded.receipt,
        number=entry.number or 0,
        till=entry.till,
        label=body["label"],
        run=entry.run,
        seq=entry.seq,
        status=recorded.status.value,
        day=recorded.day,
        at=entry.at,
        by=entry.by,
        lines=lines,
        subtotal=figures.subtotal,
        discount=figures.discount,
        tax=figures.tax,
        rounding=figures.rounding,
        total=figures.total,
        tenders=tenders,
        change=figures.change,
        durable=Durable(durable["here"], durable["tills"], durable["head_office"]),
        rung=rung_of(entry.body),
    )
