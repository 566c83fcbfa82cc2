"""`posline export ...`: what it asks of a till, and how it is called. A head office takes the same from here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posline.storage.reports import Recorded, Reports
from posline.till.exporting import EXPORTS, FORMATS, entry_lines
from posline.till.local import Command, Lines, aside
from posline.till.sale import Sale
from posline.till.terminal import print_lines

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["EXPORTED", "EXPORT_COMMANDS", "add_export_commands", "exported"]

EXPORTED = ("sales", *EXPORTS)
SALES_HELP = "Every counted sale once, on stdout."
Format = Annotated[str, typer.Option(help="csv: a row a line; jsonl: an object an entry.")]
From = Annotated[str | None, typer.Option("--from", help="First day.")]
To = Annotated[str | None, typer.Option(help="Last day.")]
Shop = Annotated[str, typer.Option("--shop", help="The shop's id or name.")]
Ask = Callable[[typer.Context, str, Mapping[str, Any]], Any]
DayOf = Callable[[str | None], str | None]


def exported(what: str, reports: Reports, show: Callable[[Recorded], Sale], arguments: Mapping[str, Any]) -> Lines:
    """The lines of an export (EXPORTED): {format, from, to}."""
    kinds = ("sale",) if what == "sales" else EXPORTS[what].kinds
    recorded = reports.counted(kinds, arguments.get("from"), arguments.get("to"))
    format = str(arguments["format"])
    if what == "sales":
        return Lines(aside(FORMATS[format](show(one) for one in recorded)))
    return Lines(aside(entry_lines(EXPORTS[what], format, recorded, reports.label)))


def _command(what: str) -> Command:
    async def command(till: Till, arguments: Mapping[str, Any]) -> Any:
        return exported(what, till.reports, till.show, arguments)

    return command


EXPORT_COMMANDS: dict[str, Command] = {f"export_{what}": _command(what) for what in EXPORTED}


def add_export_commands(export: typer.Typer, ask: Ask, day_of: DayOf, *, shops: bool = False) -> None:
    """Put the commands into the group `export`; `ask` asks the till, or where there are `shops`, the head office."""
    _add(export, "sales", SALES_HELP, ask, day_of, shops)
    for what, each in EXPORTS.items():
        _add(export, what, each.help, ask, day_of, shops)


def _add(export: typer.Typer, what: str, help: str, ask: Ask, day_of: DayOf, shops: bool) -> None:
    def write(context: typer.Context, asked: dict[str, Any], format: str, first: str | None, last: str | None) -> None:
        if format not in FORMATS:
            raise typer.BadParameter("the format is csv or jsonl")
        asked |= {"format": format, "from": day_of(first), "to": day_of(last)}
        with contextlib.closing(iter(ask(context, f"export_{what}", asked))) as lines:
            print_lines(lines)

    if shops:

        @export.command(what, help=help)
        def of_shop(
            context: typer.Context, shop: Shop, format: Format = "csv", from_: From = None, to: To = None
        ) -> None:
            write(context, {"shop": shop}, format, from_, to)

    else:

        @export.command(what, help=help)
        def here(context: typer.Context, format: Format = "csv", from_: From = None, to: To = None) -> None:
            write(context, {}, format, from_, to)
