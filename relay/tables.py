"""What a head office exports as tables: their typed columns, and the rows that counted entries make. No I/O.

A table has the same columns whichever shop it is of, and each row says its shop, day and currency, so that tables of
several shops can be put behind one another. Amounts are whole minor units; what goes out or back is below 0 where the
column is not named after that way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from posline.core.drawer import over_short, read_figures
from posline.core.sales import CASH, refund_figures, sale_figures, void_figures
from posline.storage.reports import Recorded

__all__ = ["TABLES", "Column", "Source", "Table", "text_of"]

TEXT, MONEY, COUNT, QUANTITY, RATE, DAY, TIME, FLAG = (
    "text", "money", "count", "quantity", "rate", "day", "time", "flag",
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Value = str | int | bool | Decimal | date | datetime | None
Cells = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is one of the words above: money is whole minor units, quantity and rate exact decimals, day a date, time
    a moment with its zone."""

    name: str
    kind: str = TEXT


@dataclass(frozen=True, slots=True)
class Source:
    """The shop that rows are of. `label` is what people call a till, `name_of` the catalogue's name of (sku, time)."""

    shop: str
    name: str
    currency: str
    label: Callable[[str], str]
    name_of: Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """One export: which kinds of entry it reads, its columns behind those that all have, and the rows of one entry."""

    help: str
    kinds: tuple[str, ...]
    own: tuple[Column, ...]
    rows: Callable[[Recorded, Source], Iterator[Cells]]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, in their order."""
        return (*HEAD, *self.own)

    def made(self, recorded: Recorded, source: Source) -> Iterator[list[Value]]:
        """The rows of an entry, a value for each column."""
        entry = recorded.entry
        head: dict[str, Value] = {
            "shop": source.shop, "shop_name": source.name, "day": date.fromisoformat(recorded.day),
            "at": moment(entry.at), "currency": source.currency, "id": entry.id, "kind": entry.kind,
            "till": entry.till, "label": str(entry.body.get("label") or source.label(entry.till)), "run": entry.run,
            "seq": entry.seq, "by": entry.by,
        }  # fmt: skip
        for cells in self.rows(recorded, source):
            yield [cells[c.name] if c.name in cells else head.get(c.name) for c in self.columns]


HEAD = (
    Column("shop"), Column("shop_name"), Column("day", DAY), Column("at", TIME), Column("currency"), Column("id"),
    Column("kind"), Column("till"), Column("label"), Column("run", COUNT), Column("seq", COUNT), Column("by"),
)  # fmt: skip


def moment(at: str) -> datetime | None:
    """The moment of an entry, in milliseconds; None where a wild clock wrote one that no calendar has."""
    try:
        return datetime.fromisoformat(at).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def text_of(value: Value) -> str | int | None:
    """A value in a file of text: decimals with a point, moments and days as ISO 8601."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else f"{value:f}" if isinstance(value, Decimal) else value


def _decimal(text: object) -> Decimal | None:
    return None if text is None else Decimal(str(text))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- the rows of each --------------------------------------------------------------------------------------------------


def _sales(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body = recorded.entry.body
    figures = sale_figures(body)
    yield {
        "receipt": recorded.receipt, "number": recorded.entry.number, "lines": len(body["lines"]),
        "subtotal": figures.subtotal, "discount": figures.discount, "tax": figures.tax, "total": figures.total,
        "rounding": figures.rounding, "payable": figures.payable, "change": figures.change,
        "customer": body.get("customer"), "note": body.get("note"),
    }  # fmt: skip


def _taxed(line: Mapping[str, Any]) -> Cells:
    return {
        "class": line.get("class"), "rate": _decimal(line.get("rate")),
        "mode": line.get("mode", "inclusive") if "rate" in line else None,
    }  # fmt: skip


def _sale_lines(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body, at = recorded.entry.body, recorded.entry.at
    for number, (line, total) in enumerate(zip(body["lines"], sale_figures(body).lines, strict=True), 1):
        name = line.get("name") or source.name_of(line["sku"], at) or line["sku"]
        yield {
            "receipt": recorded.receipt, "line": number, "sku": line["sku"], "name": name,
            "quantity": _decimal(line["quantity"]), "price": line["price"], "discount": line.get("discount", 0),
            "tax": line.get("tax", 0), "total": total, **_taxed(line),
        }  # fmt: skip


def _refunds(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body, refund = recorded.entry.body, recorded.entry.kind == "refund"
    whole: Cells = {
        "receipt": recorded.receipt if refund else None, "sale": body["sale"], "reason": body["reason"],
        "restock": body.get("restock", True), "customer": body.get("customer"), "entry_total": body["total"],
        "entry_tax": body.get("tax", 0), "entry_rounding": body.get("rounding", 0),
    }  # fmt: skip
    for line in body["lines"]:
        cells = {"line": line["line"], "sku": line["sku"], "quantity": _decimal(line["quantity"]), **_taxed(line)}
        cells |= {"total": line["total"], "tax": line.get("tax", 0)} if refund else {}
        yield {**whole, **cells}


def _tenders(recorded: Recorded, source: Source) -> Iterator[Cells]:
    kind, body = recorded.entry.kind, recorded.entry.body
    sign, net = 1, dict[str, int]()
    if kind == "sale":
        net = sale_figures(body).net_tenders
    elif kind == "payment":
        for tender in body.get("tenders") or [{"kind": CASH, "amount": body["amount"]}]:
            net[tender["kind"]] = net.get(tender["kind"], 0) + tender["amount"]
    else:
        sign, net = -1, (refund_figures(body) if kind == "refund" else void_figures(body)).net_tenders
    for tender_kind, amount in sorted(net.items()):
        said = (t.get("reference") for t in body.get("tenders") or () if t["kind"] == tender_kind)
        yield {
            "tender": tender_kind, "amount": sign * amount, "customer": body.get("customer"),
            "reference": " ".join(filter(None, said)) or None,
        }  # fmt: skip


def _cash(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body = recorded.entry.body
    sign = 1 if body["direction"] == "in" else -1
    yield {"direction": body["direction"], "amount": sign * body["amount"], "reason": body["reason"]}


def _payments(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body = recorded.entry.body
    yield {"customer": body["customer"], "amount": body["amount"], "note": body.get("note")}


def _stock(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body = recorded.entry.body
    for line, move in enumerate(body["moves"], 1):
        yield {
            "line": line, "sku": move["sku"], "quantity": _decimal(move["quantity"]), "reason": move["reason"],
            "counted": _decimal(move.get("counted")), "opening": move.get("opening", False), "note": body.get("note"),
        }  # fmt: skip


def _shifts(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body = recorded.entry.body
    figures, over = read_figures(body["figures"]), over_short(body["counted"], body["expected"])
    yield {
        "number": figures["number"], "shift": body["shift"], "float": body["float"],
        **{name: figures[name]["total"] for name in ("sales", "refunds", "voids", "payments")},
        "sales_count": figures["sales"]["count"], "discount": figures["sales"]["discount"],
        **{name: figures[name] for name in ("net", "tax", "rounding")},
        "cash_in": figures["cash"]["in"]["total"], "cash_out": figures["cash"]["out"]["total"],
        "cash_expected": body["expected"].get(CASH, 0), "cash_counted": body["counted"].get(CASH),
        "cash_over_short": over.get(CASH), "tenders": _json(figures["tenders"]), "expected": _json(body["expected"]),
        "counted": _json(body["counted"]), "covers": _json(body["covers"]), "note": body.get("note"),
    }  # fmt: skip


def _day_closes(recorded: Recorded, source: Source) -> Iterator[Cells]:
    body = recorded.entry.body
    yield {"of_day": date.fromisoformat(body["of_day"]), "vector": _json(body["vector"])}


def _plain(*names: str) -> Callable[[Recorded, Source], Iterator[Cells]]:
    def rows(recorded: Recorded, source: Source) -> Iterator[Cells]:
        body = recorded.entry.body
        yield {name: _json(body[name]) if isinstance(body.get(name), list) else body.get(name) for name in names}

    return rows


def _columns(**kinds: str) -> tuple[Column, ...]:
    """Columns by name; `class_` stands for class."""
    return tuple(Column(name.rstrip("_"), kind) for name, kind in kinds.items())


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


_FILING = ("sale", "usin", "adapter", "filer", "state", "number", "code", "errors", "why", "at_service", "qr")
TABLES: Mapping[str, Table] = {
    "sales": Table(
        "Every counted sale once; as CSV a row a line of a sale.", ("sale",), _columns(
            receipt=TEXT, number=COUNT, lines=COUNT, subtotal=MONEY, discount=MONEY, tax=MONEY, total=MONEY,
            rounding=MONEY, payable=MONEY, change=MONEY, customer=TEXT, note=TEXT,
        ), _sales),
    "sale_lines": Table(
        "Every line of every counted sale once.", ("sale",), _columns(
            receipt=TEXT, line=COUNT, sku=TEXT, name=TEXT, quantity=QUANTITY, price=MONEY, discount=MONEY, tax=MONEY,
            total=MONEY, class_=TEXT, rate=RATE, mode=TEXT,
        ), _sale_lines),
    "tenders": Table(
        "What was paid and given back, by entry and kind of tender, net of change.",
        ("payment", "refund", "sale", "void"),
        _columns(tender=TEXT, amount=MONEY, customer=TEXT, reference=TEXT), _tenders),
    "refunds": Table(
        "Every counted refund and void once. Amounts are what goes back, above 0.", ("refund", "void"), _columns(
            receipt=TEXT, sale=TEXT, line=COUNT, sku=TEXT, quantity=QUANTITY, tax=MONEY, total=MONEY, class_=TEXT,
            rate=RATE, mode=TEXT, reason=TEXT, restock=FLAG, customer=TEXT, entry_total=MONEY, entry_tax=MONEY,
            entry_rounding=MONEY,
        ), _refunds),
    "cash": Table(
        "Cash put into drawers and taken out.", ("cash",),
        _columns(direction=TEXT, amount=MONEY, reason=TEXT), _cash),
    "payments": Table(
        "What customers paid on account.", ("payment",),
        _columns(customer=TEXT, amount=MONEY, note=TEXT), _payments),
    "stock": Table(
        "Goods that came, went or were counted; sales are not among them.", ("stock",), _columns(
            line=COUNT, sku=TEXT, quantity=QUANTITY, reason=TEXT, counted=QUANTITY, opening=FLAG, note=TEXT,
        ), _stock),
    "shifts": Table(
        "Every Z report, as its till wrote it.", ("shift closed",), _columns(
            number=COUNT, shift=TEXT, float=MONEY, sales_count=COUNT, sales=MONEY, refunds=MONEY, voids=MONEY,
            net=MONEY, discount=MONEY, tax=MONEY, rounding=MONEY, payments=MONEY, cash_in=MONEY, cash_out=MONEY,
            cash_expected=MONEY, cash_counted=MONEY, cash_over_short=MONEY, tenders=TEXT, expected=TEXT, counted=TEXT,
            covers=TEXT, note=TEXT,
        ), _shifts),
    "day_closes": Table(
        "Every close of a business day by a till.", ("day closed",), _columns(of_day=DAY, vector=TEXT), _day_closes),
    "customers": Table(
        "What was written down of customers; of one customer the last is what holds.", ("customer",),
        (*_texts("customer", "name", "phone", "ntn", "cnic", "address"), Column("limit", MONEY), Column("note"),
         Column("active", FLAG)),
        _plain("customer", "name", "phone", "ntn", "cnic", "address", "limit", "note", "active")),
    "filings": Table(
        "What became of each receipt at the tax office.", ("filing",), _texts(*_FILING), _plain(*_FILING)),
}  # fmt: skip
