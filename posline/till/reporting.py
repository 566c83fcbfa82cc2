"""Reports as sheets: one model of title, columns, rows and totals, and how it is shown as JSON, CSV and in a terminal.

A sheet is made from what `Reports.summary` or a day report answers, at a till and at a head office alike; its JSON form
is what the API answers and what commands get, so every form shows the same figures. `posline.till.report_page` makes
the page for printing. Knows nothing of stores or entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from posline.till.cells import csv_line, inert
from posline.till.terminal import console
from posline.till.text import money

__all__ = [
    "BOM",
    "COUNT",
    "MONEY",
    "NUMBERS",
    "PERCENT",
    "QUANTITY",
    "TEXT",
    "Column",
    "Sheet",
    "csv_text",
    "day_sheet",
    "paper_rows",
    "print_sheet",
    "shift_sheet",
    "shown",
    "summary_sheet",
]

MONEY, QUANTITY, COUNT, PERCENT, TEXT = ("money", "quantity", "count", "percent", "text")
NUMBERS = frozenset({MONEY, QUANTITY, COUNT, PERCENT})  # set to the right
# before a CSV that people open: without it spreadsheets take UTF-8 for an older code, and Urdu names for rubbish
BOM = "\ufeff"
NAMELESS = "(none)"  # what is shown where a text is empty

Value = str | int | None


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is its key in JSON, `title` what people read. A value is whole minor units where `kind` is money, a
    decimal in text for quantity and percent, a whole number for count, else text; None is shown as nothing."""

    name: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A report to be shown. Each row has a value for each column; `totals` has those that can be added up, by column.
    `notes` stand below."""

    name: str
    title: str
    shop: str
    first: str | None
    last: str | None
    currency: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    totals: Mapping[str, Value]
    notes: tuple[str, ...] = ()

    @property
    def span(self) -> str:
        """The days that it is about, in words."""
        if self.first == self.last:
            return self.first or "all days"
        return f"{self.first or 'the first day'} to {self.last or 'the last day'}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON: rows are objects by the columns' names."""
        names = [column.name for column in self.columns]
        return {
            "report": self.name,
            "title": self.title,
            "shop": self.shop,
            "from": self.first,
            "to": self.last,
            "currency": self.currency,
            "columns": [{"name": c.name, "title": c.title, "kind": c.kind} for c in self.columns],
            "rows": [dict(zip(names, row, strict=True)) for row in self.rows],
            "totals": dict(self.totals),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Sheet:
        """The sheet that `to_dict` made it from."""
        columns = tuple(Column(c["name"], c["title"], c["kind"]) for c in found["columns"])
        return cls(
            found["report"], found["title"], found["shop"], found["from"], found["to"], found["currency"], columns,
            tuple(tuple(row[c.name] for c in columns) for row in found["rows"]),
            found["totals"], tuple(found["notes"]),
        )  # fmt: skip


# -- what is made into sheets ------------------------------------------------------------------------------------------

_TITLES = {
    "product": "Sales by product",
    "department": "Sales by department",
    "cashier": "Sales by cashier",
    "hour": "Sales by hour",
    "tender": "Payments by tender",
    "tax": "Sales by tax",
    "till": "Sales by till",
    "days": "Sales by day",
}
_COLUMNS = {
    column.name: column
    for column in (
        Column("sku", "SKU", TEXT),
        Column("name", "Product", TEXT),
        Column("department", "Department", TEXT),
        Column("cashier", "Cashier", TEXT),
        Column("hour", "Hour from", TEXT),
        Column("tender", "Tender", TEXT),
        Column("class", "Tax class", TEXT),
        Column("rate", "Rate", PERCENT),
        Column("mode", "Tax is", TEXT),
        Column("label", "Till", TEXT),
        Column("till", "Till's id", TEXT),
        Column("day", "Day", TEXT),
        Column("sold", "Sold", QUANTITY),
        Column("returned", "Returned", QUANTITY),
        Column("count", "Sales", COUNT),
        Column("sales", "Sold for", MONEY),
        Column("discount", "Discount", MONEY),
        Column("refund_count", "Refunds", COUNT),
        Column("refunds", "Refunded", MONEY),
        Column("void_count", "Voids", COUNT),
        Column("voids", "Voided", MONEY),
        Column("net", "Net", MONEY),
        Column("taxable", "Net without tax", MONEY),
        Column("tax", "Tax", MONEY),
        Column("payments", "Paid on account", MONEY),
    )
}
_TOLD = {"inclusive": "in the price", "exclusive": "on top", "printed": "in the printed price"}
_AMOUNTS = ("sales", "discount", "refunds", "voids", "net", "tax")
_COUNTED = ("count", "sales", "discount", "refund_count", "refunds", "void_count", "voids", "net", "tax")
_SHOWN: dict[str, tuple[str, ...]] = {
    "product": ("sku", "name", "department", "sold", "returned", *_AMOUNTS),
    "department": ("department", *_AMOUNTS),
    "cashier": ("cashier", *_COUNTED),
    "hour": ("hour", *_COUNTED),
    "tender": ("tender", "count", "sales", "refunds", "voids", "net", "payments"),
    "tax": ("class", "rate", "mode", "sales", "refunds", "voids", "net", "taxable", "tax"),
    "till": ("label", "till", *_COUNTED),
    "days": ("day", *_COUNTED),
}


def summary_sheet(summary: Mapping[str, Any], shop: str) -> Sheet:
    """The sheet of what `Reports.summary` answers, for the shop of that name."""
    by, currency, figures = summary["by"], summary["currency"], summary["figures"]
    columns = tuple(_COLUMNS[name] for name in _SHOWN[by])
    notes: tuple[str, ...] = ()
    if by == "tender" and figures["rounding"]:
        rounding = money(figures["rounding"], currency)
        notes = (f"Net is what was paid: the shop's net of {money(figures['net'], currency)} "
                 f"and cash rounding of {rounding}.",)  # fmt: skip
    rows = tuple(tuple(row[column.name] for column in columns) for row in summary["rows"])
    return Sheet(
        by, _TITLES[by], shop, summary["from"], summary["to"], currency, columns, rows, summary["totals"], notes
    )


def day_sheet(day: Mapping[str, Any], shop: str) -> Sheet:
    """The sheet of a day report: its figures, and what each till rang."""
    sales, refunds, voids = day["sales"], day["refunds"], day["voids"]
    rows: list[tuple[Value, ...]] = [
        ("sales", sales["count"], sales["total"]),
        ("of which discount", None, sales["discount"]),
        ("of which tax", None, sales["tax"]),
        ("refunds", refunds["count"], refunds["total"]),
        ("voids", voids["count"], voids["total"]),
        ("net", None, day["net"]),
        ("tax of the net", None, day["tax"]),
        ("rounding", None, day["rounding"]),
        *((f"paid by {kind}", None, amount) for kind, amount in day["tenders"].items()),
        *((f"cash {way}", moved["count"], moved["total"]) for way, moved in day["cash"].items() if moved["count"]),
        *((f"till {till['label']}", till["count"], till["total"]) for till in day["tills"]),
    ]
    if day["payments"]["count"]:
        rows.append(("payments on account", day["payments"]["count"], day["payments"]["total"]))
    notes = [f"This day is {'provisional: a till has not closed it' if day['provisional'] else 'final'}."]
    for name in ("duplicates", "held", "disputed", "invalid", "late"):
        if day[name]:
            notes.append(f"{name}: {len(day[name])}, listed in the day report")
    columns = (Column("figure", "Figure", TEXT), Column("count", "Count", COUNT), Column("amount", "Amount", MONEY))
    return Sheet(
        "day", "Day report", shop, day["day"], day["day"], day["currency"], columns, tuple(rows), {}, tuple(notes)
    )


def shift_sheet(shift: Mapping[str, Any], shop: str, currency: str) -> Sheet:
    """The sheet of an X or Z report: its figures, and what should be in the drawer and was. What a blind count hides
    stays hidden."""
    rows: list[tuple[Value, ...]] = [
        (name, shift[name]["count"], shift[name]["total"], None, None) for name in ("sales", "refunds", "voids")
    ]
    rows += [(name, None, shift[name], None, None) for name in ("net", "tax", "rounding")]
    if not shift["blind"]:
        rows += [(f"paid by {kind}", None, amount, None, None) for kind, amount in shift["tenders"].items()]
        rows += [(f"cash {way}", moved["count"], moved["total"], None, None) for way, moved in shift["cash"].items()]
        rows.append(("payments on account", shift["payments"]["count"], shift["payments"]["total"], None, None))
        rows.append(("float", None, shift["float"], None, None))
        counted, over = shift["counted"] or {}, shift["over_short"] or {}
        for kind in sorted({*shift["expected"], *counted}):
            rows.append((f"{kind} expected", None, shift["expected"].get(kind, 0), counted.get(kind), over.get(kind)))
    notes = [f"Till {shift['label']}, {shift['at']} {shift['by']}".rstrip()]
    notes += [f"recorded at another till too, and counted there: {twin['id']}" for twin in shift["duplicates"]]
    notes += [shift["note"]] if shift["note"] else []
    columns = (
        Column("figure", "Figure", TEXT), Column("count", "Count", COUNT), Column("amount", "Amount", MONEY),
        Column("counted", "Counted", MONEY), Column("over_short", "Over or short", MONEY),
    )  # fmt: skip
    title = f"Z report {shift['number']}" if shift["report"] == "Z" else "X report"
    return Sheet("shift", title, shop, shift["day"], shift["day"], currency, columns, tuple(rows), {}, tuple(notes))


def paper_rows(sheet: Sheet) -> list[tuple[str, str]]:
    """A shift's sheet as two columns, which is what a receipt printer has room for."""
    made: list[tuple[str, str]] = []
    for figure, count, amount, counted, over in sheet.rows:
        name = f"{figure} ({count})" if count is not None else str(figure)
        made.append((name, money(int(amount or 0), sheet.currency)))
        for label, value in (("  counted", counted), ("  over or short", over)):
            if value is not None:
                made.append((label, money(int(value), sheet.currency)))
    return made


# -- how a value is shown ----------------------------------------------------------------------------------------------


def shown(column: Column, value: Value, currency: str) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if column.kind == MONEY:
        return money(int(value), currency)
    if column.kind == PERCENT:
        return f"{value}%"
    if column.kind == COUNT:
        return f"{value:,}"
    if column.name == "mode":
        return _TOLD.get(str(value), str(value))
    if column.name == "hour":
        return f"{value}:00"
    return str(value) or (NAMELESS if column.kind == TEXT else "")


def _cell(column: Column, value: Value, currency: str) -> str:
    """A value as a spreadsheet reads it: amounts as plain decimals, texts that cannot run."""
    if value is None:
        return ""
    if column.kind == MONEY:
        return money(int(value), currency).replace(",", "")
    return inert(str(value)) if column.kind == TEXT else str(value)


# -- CSV ---------------------------------------------------------------------------------------------------------------


def csv_text(sheet: Sheet) -> str:
    """The sheet as CSV, with BOM before it: a header, the rows, and, where there are any, totals in a row that begins
    with "total"."""
    made = [csv_line(column.name for column in sheet.columns)]
    for row in sheet.rows:
        made.append(csv_line(_cell(c, value, sheet.currency) for c, value in zip(sheet.columns, row, strict=True)))
    if sheet.totals:
        totals = [_cell(c, sheet.totals.get(c.name), sheet.currency) for c in sheet.columns[1:]]
        made.append(csv_line(["total", *totals]))
    return BOM + "".join(made)


# -- the terminal ------------------------------------------------------------------------------------------------------


def print_sheet(sheet: Sheet) -> None:
    """The sheet as a table on stdout, in colours on a terminal only."""
    out = console()
    out.print(f"{sheet.title}, {sheet.span}, {sheet.currency}", style="bold", markup=False)
    if not sheet.rows:
        out.print("nothing was recorded on these days")
    else:
        out.print(_table(sheet))
    for note in sheet.notes:
        out.print(note, markup=False)


def _table(sheet: Sheet) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=bool(sheet.totals))
    plain: Callable[[str], Text] = Text  # names are no markup
    for place, column in enumerate(sheet.columns):
        right = column.kind in NUMBERS
        total = shown(column, sheet.totals.get(column.name), sheet.currency) if column.name in sheet.totals else ""
        table.add_column(
            column.title, justify="right" if right else "left", overflow="fold", no_wrap=right,
            footer=plain("total" if place == 0 and sheet.totals else total), header_style="bold", footer_style="bold",
        )  # fmt: skip
    for row in sheet.rows:
        table.add_row(*_shown_row(sheet.columns, row, sheet.currency))
    return table


def _shown_row(columns: Sequence[Column], row: Sequence[Value], currency: str) -> list[Text]:
    made = []
    for column, value in zip(columns, row, strict=True):
        below = column.kind == MONEY and isinstance(value, int) and value < 0
        made.append(Text(shown(column, value, currency), style="red" if below else ""))
    return made
