"""Sums over a span of business days: by product, department, cashier, hour, tender, tax, till, or day.

Only entries that count are in them, by the same rules as in the day report, so every summary's net is the sum of the
days' `net`, to the minor unit. Each is a function of the entries held: two replicas that hold the same answer the same
bytes. Rows are read one after the other as of one moment, so memory is bounded by how many things there are to sum by,
and an entry that is moved to another day meanwhile is never in twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from posline.core.drawer import Takings
from posline.core.money import format_quantity, parse_quantity, parse_rate
from posline.core.sales import CASH, ReturnFigures, SaleFigures, refund_figures, sale_figures, tax_groups, void_figures
from posline.storage.day import DAYS
from posline.storage.ledger import COUNTED, DUPLICATE
from posline.storage.store import Store

__all__ = ["BY", "UNKNOWN", "summary"]

BY = ("product", "department", "cashier", "hour", "tender", "tax", "till", "days")
UNKNOWN = ""  # a department, cashier or product that no entry names
_KINDS = "'sale', 'refund', 'void', 'payment'"
_MONEY = ("sales", "discount", "refunds", "voids", "net", "tax")
_COUNTED = ("count", "sales", "discount", "refund_count", "refunds", "void_count", "voids", "net", "tax")
_PAID = ("sales", "refunds", "voids", "net", "payments")
_TAXED = ("sales", "refunds", "voids", "net", "taxable", "tax")
# the figures of each summary's rows, and those of them that can be added up over rows
_FIGURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "product": (("sold", "returned", *_MONEY), _MONEY),
    "department": (_MONEY, _MONEY),
    "tender": (("count", *_PAID), _PAID),
    "tax": (_TAXED, _TAXED),
}
_body = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class Tally:
    """One row's running sums: quantities in thousandths, amounts in minor units, refunds and voids above 0. `tax` is
    that of sales less what was given back."""

    sold: int = 0
    returned: int = 0
    count: int = 0
    sales: int = 0
    discount: int = 0
    refund_count: int = 0
    refunds: int = 0
    void_count: int = 0
    voids: int = 0
    tax: int = 0
    payments: int = 0

    @property
    def net(self) -> int:
        """Sales less refunds and voids."""
        return self.sales - self.refunds - self.voids

    @property
    def taxable(self) -> int:
        """The net without its tax."""
        return self.net - self.tax

    def take(self, kind: str, total: int, tax: int) -> None:
        """Add an amount of an entry of some kind."""
        if kind == "sale":
            self.sales += total
            self.tax += tax
        elif kind == "refund":
            self.refunds += total
            self.tax -= tax
        else:
            self.voids += total
            self.tax -= tax

    def add(self, other: Tally) -> None:
        """Add another row's sums."""
        for name in _NAMES:
            value = getattr(other, name)
            if value:
                setattr(self, name, getattr(self, name) + value)

    def shown(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The named figures, quantities as decimals in text."""
        return {
            name: format_quantity(getattr(self, name)) if name in ("sold", "returned") else getattr(self, name)
            for name in names
        }


_NAMES = tuple(field.name for field in fields(Tally))


def summary(
    store: Store,
    shop: str,
    by: str,
    first: str | None,
    last: str | None,
    *,
    label: Callable[[str], str],
    product: Callable[[str], Mapping[str, Any] | None],
) -> dict[str, Any]:
    """{by, from, to, currency, rows, totals, figures} of the days from `first` to `last`; None leaves an end open.

    `by` is one of BY. `label` is what people call a till; `product` is a product of the current catalogue. A void or
    refund counts where and when it was recorded. `figures` are those of all entries, as a day report has them; a row
    for each thing summed by, and `totals` of what can be added up over rows. By tender, `net` is what was paid: its
    total is net and rounding.
    """
    assert by in BY
    gathered = _Gathering(store, shop, by)
    gathered.gather(first, last)
    rows = gathered.rows
    made = list(_listed(by, gathered, label, product))
    totals = Tally()
    for tally in rows.values():
        totals.add(tally)
    figures = gathered.takings.figures()
    wanted = ("sales", "refunds", "voids", "net", "tax", "rounding")
    return {
        "by": by,
        "from": first,
        "to": last,
        "currency": gathered.currency,
        "rows": made,
        "totals": totals.shown(_FIGURES.get(by, (_COUNTED, _COUNTED))[1]),
        "figures": {name: figures[name] for name in wanted},
    }


class _Gathering:
    """One summary in the making."""

    def __init__(self, store: Store, shop: str, by: str) -> None:
        self._read, self._key, self._by = store.read, store.shop_key(shop), by
        founding = store.authority(shop).founding
        said = founding.body if founding is not None else {}
        self.currency = str(said.get("currency", ""))
        self.day_start = int(str(said.get("day_start", "00:00"))[:2])
        self._zone = ZoneInfo(str(said.get("zone", "UTC")))
        self.takings = Takings()
        self.rows: dict[tuple[str, ...], Tally] = {}  # by what each row is about
        self.names: dict[str, str] = {}  # what lines called things, for those that no catalogue names

    def gather(self, first: str | None, last: str | None) -> None:
        """Add up the entries of these days."""
        days = self._read.execute(DAYS, (self._key, first or "0", last or "9")).fetchall()
        for (day,) in days:
            for kind, author, raw in self._read.execute(
                "SELECT kind, author, raw FROM entry INDEXED BY entry_day WHERE shop = ? AND day = ? AND status = ?"
                f" AND kind IN ({_KINDS}) ORDER BY author, run, seq, hash",
                (self._key, day, COUNTED),
            ):
                body = _body(raw)
                self.takings.add(kind, body)
                self._add(kind, author, day, body)

    def _row(self, *about: str) -> Tally:
        row = self.rows.get(about)
        if row is None:
            row = self.rows[about] = Tally()
        return row

    def _add(self, kind: str, author: str, day: str, body: dict[str, Any]) -> None:
        if self._by == "tender":
            self._add_tenders(kind, body)
        elif kind == "payment":
            return
        elif self._by == "tax":
            for group in tax_groups(kind, body):
                self._row(group.code, group.rate or "", group.mode).take(kind, group.total, group.tax)
        elif self._by in ("product", "department"):
            self._add_lines(kind, body)
        else:
            _add_whole(self._row(self._place(author, day, body)), kind, body)

    def _add_tenders(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "payment":
            for tender in body.get("tenders") or [{"kind": CASH, "amount": body["amount"]}]:
                self._row(tender["kind"]).payments += tender["amount"]
            return
        for tender, amount in _figures(kind, body).net_tenders.items():
            row = self._row(tender)
            row.take(kind, amount, 0)
            row.count += kind == "sale"

    def _place(self, author: str, day: str, body: dict[str, Any]) -> str:
        if self._by == "cashier":
            return str(body.get("by", UNKNOWN))
        if self._by == "hour":
            return _hour(body["at"], self._zone)
        return author if self._by == "till" else day

    def _add_lines(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "sale":
            for line, total in zip(body["lines"], sale_figures(body).lines, strict=True):
                row = self._row(line["sku"])
                row.sales += total
                row.sold += parse_quantity(line["quantity"])
                row.discount += line.get("discount", 0)
                row.tax += line.get("tax", 0)
                if "name" in line:
                    self.names.setdefault(line["sku"], line["name"])
            return
        left, left_tax = body["total"], body.get("tax", 0)
        for line, total, tax in self._lines_back(kind, body):
            row = self._row(line["sku"])
            row.take(kind, total, tax)
            row.returned += parse_quantity(line["quantity"])
            left, left_tax = left - total, left_tax - tax
        if left or left_tax:
            self._row(UNKNOWN).take(kind, left, left_tax)

    def _lines_back(self, kind: str, body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int, int]]:
        """What comes back, line by line. A void says its sum only; what its lines cost, the sale says, if that is
        here."""
        if kind == "refund":
            for line in body["lines"]:
                yield line, line["total"], line.get("tax", 0)
            return
        sale = self._sale(body["of"])
        sold, totals = (sale["lines"], sale_figures(sale).lines) if sale is not None else ([], [])
        for line in body["lines"]:
            place = line["line"] - 1
            if place < len(sold) and sold[place]["sku"] == line["sku"]:
                yield line, totals[place], sold[place].get("tax", 0)
            else:
                yield line, 0, 0

    def _sale(self, of: str) -> dict[str, Any] | None:
        """The sale whose element has this hash, if it is here and valid."""
        row = self._read.execute(
            "SELECT raw FROM entry WHERE shop = ? AND hash = ? AND kind = 'sale' AND status <= ?",
            (self._key, bytes.fromhex(of), DUPLICATE),
        ).fetchone()
        return None if row is None else _body(row[0])


def _hour(at: str, zone: ZoneInfo) -> str:
    """The hour of the clock in a zone; as it was written where a wild clock wrote a time that no calendar has there."""
    try:
        return f"{datetime.fromisoformat(at).astimezone(zone).hour:02d}"
    except OverflowError:
        return at[11:13]


def _figures(kind: str, body: dict[str, Any]) -> SaleFigures | ReturnFigures:
    if kind == "sale":
        return sale_figures(body)
    return refund_figures(body) if kind == "refund" else void_figures(body)


def _add_whole(row: Tally, kind: str, body: dict[str, Any]) -> None:
    """Add all of an entry."""
    figures = _figures(kind, body)
    row.take(kind, figures.total, figures.tax)
    if kind == "sale":
        row.count += 1
        row.discount += figures.discount
    else:
        row.refund_count += kind == "refund"
        row.void_count += kind == "void"


def _listed(
    by: str,
    gathered: _Gathering,
    label: Callable[[str], str],
    product: Callable[[str], Mapping[str, Any] | None],
) -> Iterator[dict[str, Any]]:
    """The rows as they are answered, in an order that is the same everywhere."""
    names, rows = _FIGURES.get(by, (_COUNTED, _COUNTED))[0], gathered.rows
    if by == "product":
        for (sku,), tally in sorted(rows.items(), key=lambda row: (-row[1].net, row[0])):
            known = product(sku) or {}
            name = str(known.get("name") or gathered.names.get(sku, sku))
            yield {"sku": sku, "name": name, "department": str(known.get("department", UNKNOWN)), **tally.shown(names)}
    elif by == "department":
        departments: dict[str, Tally] = {}
        for (sku,), tally in rows.items():
            known = product(sku) or {}
            departments.setdefault(str(known.get("department", UNKNOWN)), Tally()).add(tally)
        for department, tally in sorted(departments.items()):
            yield {"department": department, **tally.shown(names)}
    elif by == "tax":
        for (code, rate, mode), tally in sorted(rows.items(), key=lambda row: (row[0][0], _rate(row[0][1]), row[0])):
            yield {"class": code, "rate": rate or None, "mode": mode, **tally.shown(names)}
    elif by == "till":
        for till, author, tally in sorted((label(row[0]), row[0], tally) for row, tally in rows.items()):
            yield {"label": till, "till": author, **tally.shown(names)}
    elif by == "hour":  # from the hour at which a business day starts
        for (hour,), tally in sorted(rows.items(), key=lambda row: (int(row[0][0]) - gathered.day_start) % 24):
            yield {"hour": hour, **tally.shown(names)}
    else:
        column = "day" if by == "days" else by
        for (name,), tally in sorted(rows.items()):
            yield {column: name, **tally.shown(names)}


def _rate(text: str) -> int:
    """For the order of rates; what has none comes first."""
    return parse_rate(text) if text else -1
