"""`posline export ...`: what it asks of a till, and how it is called. A head office writes the same lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posline.storage.reports import Recorded, Reports
from posline.till.exporting import EXPORTS, FORMATS, entry_lines
from posline.till.local import Command, Lines, aside
from posline.till.sale import Sale
from posline.till.terminal import Ask, DayOf, print_lines

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["EXPORTED", "EXPORT_COMMANDS", "add_export_commands", "exported_lines"]

EXPORTED = ("sales", *EXPORTS)
SALES_HELP = "Every counted sale once, on stdout."
Format = Annotated[str, typer.Option(help="csv: a row a line; jsonl: an object an entry.")]
From = Annotated[str | None, typer.Option("--from", help="First day.")]
To = Annotated[str | None, typer.Option(help="Last day.")]


def exported_lines(
    what: str, reports: Reports, show: Callable[[Recorded], Sale], format: str, first: str | None, last: str | None
) -> Iterator[str]:
    """The lines of an export (EXPORTED), each with its end, of the days from `first` to `last`."""
    kinds = ("sale",) if what == "sales" else EXPORTS[what].kinds
    recorded = reports.counted(kinds, first, last)
    if what == "sales":
        return FORMATS[format](show(one) for one in recorded)
    return entry_lines(EXPORTS[what], format, recorded, reports.label)


def _command(what: str) -> Command:
    async def command(till: Till, arguments: Mapping[str, Any]) -> Any:
        first, last = arguments.get("from"), arguments.get("to")
        return Lines(aside(exported_lines(what, till.reports, till.show, str(arguments["format"]), first, last)))

    return command


EXPORT_COMMANDS: dict[str, Command] = {f"export_{what}": _command(what) for what in EXPORTED}


def add_export_commands(export: typer.Typer, ask: Ask, day_of: DayOf) -> None:
    """Put the commands into the group `export`; `ask` asks the till."""
    _add(export, "sales", SALES_HELP, ask, day_of)
    for what, each in EXPORTS.items():
        _add(export, what, each.help, ask, day_of)


def _add(export: typer.Typer, what: str, help: str, ask: Ask, day_of: DayOf) -> None:
    @export.command(what, help=help)
    def write(context: typer.Context, format: Format = "csv", from_: From = None, to: To = None) -> None:
        if format not in FORMATS:
            raise typer.BadParameter("the format is csv or jsonl")
        asked = {"format": format, "from": day_of(from_), "to": day_of(to)}
        with contextlib.closing(iter(ask(context, f"export_{what}", asked))) as lines:
            print_lines(lines)
