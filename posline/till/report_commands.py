"""`posline report ...`, shifts aside: what it asks of a till, how it is called, and how the answer is written.

A head office takes the same from here; it names the shop besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posline.errors import BadRequest, NotFound
from posline.storage.reports import Reports
from posline.storage.summaries import BY
from posline.till import text
from posline.till.local import Command, CommandFailed
from posline.till.report_page import page
from posline.till.reporting import Sheet, csv_text, day_sheet, print_sheet, summary_sheet
from posline.till.terminal import Ask, DayOf, Shop, print_json, print_lines

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["REPORT_COMMANDS", "Written", "add_report_commands", "sheet_of", "write_sheet"]

_HELP = {
    "product": "What each product sold, and what came back of it.",
    "department": "What each department sold.",
    "cashier": "What each cashier rang.",
    "hour": "What was sold in each hour of the day.",
    "tender": "What was paid in cash, by card and so on.",
    "tax": "What was sold by tax class and rate, with its tax.",
    "till": "What each till sold.",
    "days": "What was sold on each business day.",
}
Day = Annotated[str | None, typer.Argument(help="YYYY-MM-DD [today]")]
From = Annotated[str | None, typer.Option("--from", help="First day, instead of DAY.")]
To = Annotated[str | None, typer.Option(help="Last day [today]")]
Csv = Annotated[bool, typer.Option("--csv", help="As CSV for a spreadsheet, on stdout.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page for printing into this file.")]


# -- what a report answers ---------------------------------------------------------------------------------------------


def sheet_of(
    reports: Reports, by: str, *, shop: str, today: str, first: str | None = None, last: str | None = None
) -> Sheet:
    """A report over the days from `first` to `last`: without either, of today; without `last`, up to today; without
    `first`, of all days up to `last`. `by` is "day" for the report of one day. Raises NotFound, BadRequest."""
    if by not in (*BY, "day"):
        raise NotFound(f"there is no report {by[:40]!r}: ask for day, {', '.join(BY)}")
    if last is None:
        last = today
        first = today if first is None else first
    if first is not None and first > last:
        raise BadRequest.of("from", f"{first} is behind the last day, {last}")
    if by != "day":
        return summary_sheet(reports.summary(by, first, last), shop)
    if first != last:
        raise BadRequest.of("from", "a day report is of one day: ask for 'days' to see several")
    return day_sheet(reports.day(last), shop)


async def report_day(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/reports/day/{day}."""
    return await asyncio.to_thread(till.day_report, arguments.get("day") or till.day)


async def report_sheet(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/reports/{kind}: {by, from, to}."""
    asked = {"first": arguments.get("from"), "last": arguments.get("to")}
    by = str(arguments["by"])
    sheet = await asyncio.to_thread(sheet_of, till.reports, by, shop=till.shop, today=till.day, **asked)
    return sheet.to_dict()


REPORT_COMMANDS: dict[str, Command] = {"report_day": report_day, "report_sheet": report_sheet}


# -- how it is called --------------------------------------------------------------------------------------------------


class Written:
    """How a report is to be written: as JSON, as CSV, as a page in a file, or for people to read."""

    def __init__(self, json: bool, csv: bool, html: Path | None) -> None:
        if json + csv + (html is not None) > 1:
            raise typer.BadParameter("--json, --csv and --html are three ways of writing it: choose one")
        self.json, self.csv, self.html = json, csv, html

    @property
    def as_sheet(self) -> bool:
        """Whether it is written as a sheet only."""
        return self.csv or self.html is not None


def write_sheet(found: Mapping[str, Any], written: Written) -> None:
    """A sheet's JSON, as it is wanted. Raises CommandFailed where a file cannot be written."""
    if written.json:
        print_json(found)
    elif written.csv:
        print_lines([csv_text(Sheet.from_dict(found))])
    elif written.html is not None:
        try:
            written.html.write_text(page(Sheet.from_dict(found)), encoding="utf-8")
        except OSError as error:
            raise CommandFailed(f"{written.html} cannot be written ({error.strerror}): name another file") from error
    else:
        print_sheet(Sheet.from_dict(found))


def _days(day: str | None, first: str | None, last: str | None, day_of: DayOf) -> dict[str, str | None]:
    if day is not None and (first is not None or last is not None):
        raise typer.BadParameter("name one day, or --from and --to")
    asked = {"from": day_of(day or first), "to": day_of(day or last)}
    if asked["from"] and asked["to"] and asked["from"] > asked["to"]:
        raise typer.BadParameter("--from is behind --to")
    return asked


def add_report_commands(report: typer.Typer, ask: Ask, day_of: DayOf, *, shops: bool = False) -> None:
    """Put the commands into the group `report`; `ask` asks the till, or where there are `shops`, the head office."""

    def day_report(context: typer.Context, asked: dict[str, Any], day: str | None, written: Written) -> None:
        if written.as_sheet:
            write_sheet(ask(context, "report_sheet", {**asked, "by": "day", "from": day, "to": day}), written)
            return
        found = ask(context, "report_day", {**asked, "day": day})
        print_json(found) if written.json else text.print_day(found)

    if shops:

        @report.command("day", help="What a shop sold on a business day.")
        def day_of_shop(
            context: typer.Context, shop: Shop, day: Day = None, csv: Csv = False, html: Html = None
        ) -> None:
            day_report(context, {"shop": shop}, day_of(day), Written(context.obj.json, csv, html))

    else:

        @report.command("day", help="What the shop sold on a business day.")
        def day_here(context: typer.Context, day: Day = None, csv: Csv = False, html: Html = None) -> None:
            day_report(context, {}, day_of(day), Written(context.obj.json, csv, html))

    for by in BY:
        _add(report, by, ask, day_of, shops)




def _add(report: typer.Typer, by: str, ask: Ask, day_of: DayOf, shops: bool) -> None:
    if shops:

        @report.command(by, help=_HELP[by])
        def of_shop(
            context: typer.Context,
            shop: Shop,
            day: Day = None,
            from_: From = None,
            to: To = None,
            csv: Csv = False,
            html: Html = None,
        ) -> None:
            written, days = Written(context.obj.json, csv, html), _days(day, from_, to, day_of)
            write_sheet(ask(context, "report_sheet", {"shop": shop, "by": by, **days}), written)

    else:

        @report.command(by, help=_HELP[by])
        def here(
            context: typer.Context,
            day: Day = None,
            from_: From = None,
            to: To = None,
            csv: Csv = False,
            html: Html = None,
        ) -> None:
            written, days = Written(context.obj.json, csv, html), _days(day, from_, to, day_of)
            write_sheet(ask(context, "report_sheet", {"by": by, **days}), written)
