"""`posline-relay export ...`: how it is called. What it writes is made in `relay.exporting`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from posline.till.local import CommandFailed
from posline.till.terminal import Ask, DayOf
from relay.exporting import ACCOUNTING, EXPORTS, FORMATS, WHOLE, from_text, write_file

__all__ = ["Shops", "add_export_commands"]

Shops = Annotated[
    list[str] | None, typer.Option("--shop", help="A shop's id or name; may stand several times [every shop]")
]
Format = Annotated[
    str, typer.Option(help="csv: a row a line; jsonl: an object a row; parquet: typed columns; accounting also: json.")
]
From = Annotated[str | None, typer.Option("--from", help="First day.")]
To = Annotated[str | None, typer.Option(help="Last day.")]
Out = Annotated[
    Path | None, typer.Option(help="Write this file; it appears under its name once it is whole [stdout]")
]


def add_export_commands(export: typer.Typer, ask: Ask, day_of: DayOf) -> None:
    """Put the commands into the group `export`; `ask` asks the head office."""
    for what, help in EXPORTS.items():
        _add(export, what, help, ask, day_of)


def _add(export: typer.Typer, what: str, help: str, ask: Ask, day_of: DayOf) -> None:
    @export.command(what.replace("_", "-"), help=help)
    def write(
        context: typer.Context, shop: Shops = None, format: Format = "csv", from_: From = None, to: To = None,
        out: Out = None,
    ) -> None:  # fmt: skip
        forms = (*FORMATS, WHOLE) if what == ACCOUNTING else FORMATS
        if format not in forms:
            raise typer.BadParameter(f"the format is {', '.join(forms[:-1])} or {forms[-1]}")
        if format == "parquet" and out is None and sys.stdout.isatty():
            raise typer.BadParameter("Parquet is nothing to read on a screen: name a file with --out")
        asked = {"what": what, "shops": shop or [], "format": format, "from": day_of(from_), "to": day_of(to)}
        with contextlib.closing(iter(ask(context, "export", asked))) as lines:
            _write(out, from_text(lines))


def _write(out: Path | None, pieces: Iterator[bytes]) -> None:
    if out is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    try:
        write_file(out, pieces)
    except OSError as error:
        raise CommandFailed(f"{out} cannot be written ({error.strerror}): name another file") from error
