"""Entries as files for other programs: sales, refunds, cash, stock and so on, each counted entry once.

A CSV file has a row for each line of a sale or refund and each move of stock, and else a row an entry; a file of JSON
lines an object an entry. The order is the same on every replica: by day, then till, then number. Amounts are whole
minor units.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from posline.storage.reports import Recorded
from posline.till.cells import csv_line, inert
from posline.till.sale import Sale

__all__ = ["EXPORTS", "FORMATS", "Export", "csv_lines", "entry_lines", "jsonl_lines"]

SALE_COLUMNS = ("day", "at", "receipt", "id", "till", "label", "run", "seq", "number", "status", "by")
LINE_COLUMNS = ("line", "sku", "name", "quantity", "price", "discount", "tax", "total")
TAIL_COLUMNS = ("sale_total", "rounding", "tenders", "change")


def csv_lines(sales: Iterable[Sale]) -> Iterator[str]:
    """A header, then a row for each line of each sale. `total` is the line's; `sale_total` stands in every row of its
    sale, so add it up once a sale."""
    yield _line((*SALE_COLUMNS, *LINE_COLUMNS, *TAIL_COLUMNS))
    for sale in sales:
        tenders = " ".join(f"{tender.kind}:{tender.amount}" for tender in sale.tenders)
        head = [getattr(sale, name) for name in SALE_COLUMNS]
        tail = [sale.total, sale.rounding, tenders, sale.change]
        for item in sale.lines:
            yield _line([*head, *(getattr(item, name) for name in LINE_COLUMNS), *tail])


def jsonl_lines(sales: Iterable[Sale]) -> Iterator[str]:
    """A JSON object for each sale, as the API answers it."""
    for sale in sales:
        yield _json(sale.to_dict()) + "\n"


FORMATS = {"csv": csv_lines, "jsonl": jsonl_lines}


# -- entries of other kinds --------------------------------------------------------------------------------------------

HEAD_COLUMNS = ("day", "at", "kind", "id", "till", "label", "run", "seq", "status", "by")
_ENVELOPE = frozenset({"v", "id", "kind", "till", "run", "seq", "prev", "at", "day", "by", "sig", "seen", "label"})


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported under one name: entries of these `kinds`. In CSV each item of their list `parts` has a row of
    its own, with its `part_columns`; `columns` are of the whole entry. Where both have a field of one name, the
    entry's column is called entry_ and that name."""

    kinds: tuple[str, ...]
    help: str
    columns: tuple[str, ...]
    parts: str = ""
    part_columns: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the CSV columns."""
        own = (f"entry_{name}" if name in self.part_columns else name for name in self.columns)
        return (*HEAD_COLUMNS, *self.part_columns, *own)


EXPORTS = {
    "refunds": Export(
        ("refund", "void"),
        "Every counted refund and void once, on stdout. Amounts are what goes back, above 0.",
        ("receipt", "sale", "total", "tax", "rounding", "tenders", "reason", "restock", "customer", "approved"),
        "lines",
        ("line", "sku", "quantity", "tax", "total"),
    ),
    "cash": Export(
        ("cash",),
        "Cash put into drawers and taken out, on stdout.",
        ("direction", "amount", "reason", "approved"),
    ),
    "stock": Export(
        ("stock",),
        "Goods that came, went or were counted, on stdout; sales are not among them.",
        ("note",),
        "moves",
        ("sku", "quantity", "reason", "counted"),
    ),
    "customers": Export(
        ("customer",),
        "What was written down of customers, on stdout; of one customer the last is what holds.",
        ("customer", "name", "phone", "ntn", "cnic", "address", "limit", "note", "active"),
    ),
    "payments": Export(
        ("payment",),
        "What customers paid on account, on stdout.",
        ("customer", "amount", "tenders", "note"),
    ),
    "filings": Export(
        ("filing",),
        "What became of each receipt at the tax office, on stdout.",
        ("sale", "usin", "adapter", "filer", "state", "number", "code", "errors", "why", "at_service", "qr"),
    ),
}


def entry_lines(
    export: Export, format: str, recorded: Iterable[Recorded], label: Callable[[str], str]
) -> Iterator[str]:
    """The entries as lines of a file, csv or jsonl. `label` is what people call a till."""
    if format == "jsonl":
        for one in recorded:
            said = {name: value for name, value in one.entry.body.items() if name not in _ENVELOPE}
            yield _json(_head(one, label) | _receipt(one) | said) + "\n"
        return
    yield _line(export.header)
    for one in recorded:
        whole = one.entry.body | _receipt(one)
        head = list(_head(one, label).values())
        own = [_cell(whole.get(name)) for name in export.columns]
        for part in whole.get(export.parts, ()) if export.parts else ({},):
            yield _line([*head, *(_cell(part.get(name)) for name in export.part_columns), *own])


def _head(recorded: Recorded, label: Callable[[str], str]) -> dict[str, Any]:
    entry = recorded.entry
    return {
        "day": recorded.day, "at": entry.at, "kind": entry.kind, "id": entry.id, "till": entry.till,
        "label": entry.body.get("label") or label(entry.till), "run": entry.run, "seq": entry.seq,
        "status": recorded.status.value, "by": entry.by,
    }  # fmt: skip


def _receipt(recorded: Recorded) -> dict[str, Any]:
    return {"receipt": recorded.receipt} if recorded.entry.kind == "refund" else {}


def _cell(value: object) -> object:
    """A field as one cell: tenders as kind:amount, other lists and objects as JSON."""
    if isinstance(value, list) and all(isinstance(v, Mapping) and {"kind", "amount"} <= v.keys() for v in value):
        return " ".join(f"{tender['kind']}:{tender['amount']}" for tender in value)
    return _json(value) if isinstance(value, list | dict | bool) else value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _line(cells: Iterable[object]) -> str:
    return csv_line(inert(cell) if isinstance(cell, str) else cell for cell in cells)
