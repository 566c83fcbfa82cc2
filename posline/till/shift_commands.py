"""`posline report shift` and `posline day close`: what they ask of the till, how they are called, what they print."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from posline.errors import NotFound
from posline.till.report_commands import Csv, Html, Written, write_sheet
from posline.till.reporting import shift_sheet
from posline.till.terminal import console, print_json
from posline.till.text import money

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["add_shift_commands", "close_day", "print_shift", "report_shift"]


async def report_shift(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A Z report by its id or its shift's; without one the X report, or the last Z report where no shift is open."""
    currency = {"currency": str(till.replica.founding.get("currency", "")), "shop": till.shop}
    if arguments.get("shift"):
        return await asyncio.to_thread(till.shifts.find, str(arguments["shift"])) | currency
    try:
        return await asyncio.to_thread(till.shifts.current) | currency
    except NotFound:
        return await asyncio.to_thread(till.shifts.last) | currency


async def close_day(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As POST /api/days/{day}/close, today's where none is named; and how the day stands then."""
    day = arguments.get("day") or till.day
    done = await till.shifts.close_day({"id": str(uuid.uuid4())}, day, owner=True)
    report = await asyncio.to_thread(till.day_report, day)
    waiting = [till.reports.label(author) for author in report["waiting_for"]]
    return done.answer | {"provisional": report["provisional"], "waiting_for": waiting}


def add_shift_commands(
    app: typer.Typer,
    report: typer.Typer,
    ask: Callable[[typer.Context, str, Mapping[str, Any]], Any],
    day_or_none: Callable[[str | None], str | None],
) -> None:
    """Put the commands where they are called: `report` is the group of reports; `ask` asks the till."""
    day = typer.Typer(no_args_is_help=True, help="Business days.")
    app.add_typer(day, name="day")

    @day.command("close")
    def day_close(
        context: typer.Context, day: Annotated[str | None, typer.Argument(help="YYYY-MM-DD [today]")] = None
    ) -> None:
        """Close a business day for this till. What comes for it later is listed as late."""
        found = ask(context, "day_close", {"day": day_or_none(day)})
        if context.obj.json:
            print_json(found)
            return
        missing = ", ".join(found["waiting_for"])
        state = f"provisional until closed at {missing}" if found["provisional"] else "final"
        print(f"till {found['label']} closed {found['day']}; the day is {state}")

    @report.command("shift")
    def shift(
        context: typer.Context,
        shift: Annotated[str | None, typer.Argument(help="The id of a shift or a Z report [the open shift]")] = None,
        csv: Csv = False,
        html: Html = None,
    ) -> None:
        """The open shift as it stands (X), or the last one as it was closed (Z)."""
        found = ask(context, "report_shift", {"shift": shift})
        written = Written(context.obj.json, csv, html)
        if found["report"] is not None and written.as_sheet and not written.json:
            sheet = shift_sheet(found, found["shop"], found["currency"])
            write_sheet(sheet.to_dict(), written)
            return
        print_json(found) if context.obj.json else print_shift(found)


def print_shift(shift: Mapping[str, Any]) -> None:
    """An X or Z report as people read it."""
    out = console()
    currency = shift["currency"]
    if shift["report"] is None:
        float = money(shift["float"], currency)
        out.print(f"till {shift['label']}: shift open since {shift['at']}, float {float}", markup=False)
        return
    closed = f"Z report {shift['number']}, closed {shift['at']}" if shift["report"] == "Z" else "X report"
    out.print(f"till {shift['label']}: {closed} {shift['by']}".rstrip(), style="bold", markup=False)
    if shift["opened"]:
        out.print(f"opened {shift['opened']['at']} {shift['opened']['by']}".rstrip(), markup=False)
    figures = Table(show_header=False, box=None, pad_edge=False)
    figures.add_column()
    figures.add_column(justify="right")
    rows = [(f"{shift[name]['count']} {name}", shift[name]["total"]) for name in ("sales", "refunds", "voids")]
    rows += [("net", shift["net"]), ("of which tax", shift["tax"]), ("rounding", shift["rounding"])]
    if not shift["blind"]:
        rows += [(f"paid by {kind}", total) for kind, total in shift["tenders"].items()]
        rows += [(f"cash {way}", moved["total"]) for way, moved in shift["cash"].items() if moved["count"]]
        if shift["payments"]["count"]:
            rows.append(("payments on account", shift["payments"]["total"]))
    for name, amount in rows:
        figures.add_row(name, money(amount, currency))
    out.print(figures)
    if shift["blind"]:
        out.print("what should be in the drawer is shown once it is counted")
    else:
        out.print(_drawer(shift, currency))
    for twin in shift["duplicates"]:
        amount, by = money(twin["amount"], currency), twin["kept_by"]
        out.print(f"recorded at another till too, and counted there: {amount} (till {by}, {twin['id']})", markup=False)
    if shift["note"]:
        out.print(f"note: {shift['note']}", markup=False)


def _drawer(shift: Mapping[str, Any], currency: str) -> Table:
    """Float, what should be there, what was counted."""
    table = Table("drawer", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("expected", "counted", "over or short"):
        table.add_column(heading, justify="right")
    counted, over = shift["counted"] or {}, shift["over_short"] or {}
    for kind in sorted({*shift["expected"], *counted}):
        table.add_row(
            kind,
            money(shift["expected"].get(kind, 0), currency),
            money(counted[kind], currency) if kind in counted else "",
            money(over[kind], currency) if kind in over else "",
        )
    if shift["float"]:
        table.caption = f"cash with a float of {money(shift['float'], currency)}"
    return table
