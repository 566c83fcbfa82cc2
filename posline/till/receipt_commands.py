"""The commands around paper: `posline receipt`, `posline printer ...` and `posline restore-receipt`.

Both halves are here: what each asks of a till, and how the command line reads and prints it.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posline.till.local import Command
from posline.till.receipt_forms import FORMS, drawn
from posline.till.terminal import Ask, print_json

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["RECEIPT_COMMANDS", "add_receipt_commands"]

SETTLE_S = 20.0  # for a test page: a printer that does not answer has said so by then


async def receipt(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A receipt's bytes in one of the forms, in base64."""
    form = arguments["format"]
    made = drawn(till, arguments["wanted"], form, copy=bool(arguments.get("copy")), language=arguments["language"])
    return {"format": form, "content": base64.b64encode(made).decode()}


async def printer_show(till: Till, arguments: Mapping[str, Any]) -> Any:
    """This till's printer, and how it is."""
    return {"printer": till.printing.printer.to_dict(), **till.printing.state()}


async def printer_set(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Use another printer."""
    till.printing.set_printer(arguments)
    return {"printer": till.printing.printer.to_dict()}


async def printer_test(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Print a page that shows what the printer can do, and wait for what becomes of it."""
    till.printing.test()
    await asyncio.to_thread(till.printing.settle, SETTLE_S)
    return till.printing.state()


async def restore_receipt(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Bring a sale back from the codes on its receipt."""
    restored = await till.restoring.scan({"id": str(uuid.uuid4()), "code": list(arguments["codes"])})
    return restored.to_dict() | {"counts": restored.counts}


RECEIPT_COMMANDS: dict[str, Command] = {
    "receipt": receipt,
    "printer_show": printer_show,
    "printer_set": printer_set,
    "printer_test": printer_test,
    "restore_receipt": restore_receipt,
}


def add_receipt_commands(app: typer.Typer, ask: Ask) -> None:
    """Put the commands into the command line `app`; `ask(context, name, arguments)` runs one on the till."""
    printer = typer.Typer(no_args_is_help=True, help="This till's receipt printer and drawer.")
    app.add_typer(printer, name="printer")

    @app.command("receipt")
    def receipt_(
        context: typer.Context,
        wanted: Annotated[str, typer.Argument(metavar="ID", help="The sale's, refund's or void's id, or its receipt.")],
        format: Annotated[str, typer.Option(help="text, html, escpos (a printer's bytes), png")] = "text",
        copy: Annotated[bool, typer.Option("--copy", help="Marked as a copy.")] = False,
        language: Annotated[str, typer.Option(help="en or ur [the shop's first]")] = "",
        out: Annotated[Path | None, typer.Option(help="A file [stdout]")] = None,
    ) -> None:
        """Show a receipt, of any till."""
        if format not in FORMS:
            raise typer.BadParameter(f"the format is one of {', '.join(FORMS)}")
        if language not in ("", "en", "ur"):
            raise typer.BadParameter("the language is en or ur")
        found = ask(context, "receipt", {"wanted": wanted, "format": format, "copy": copy, "language": language})
        if context.obj.json:
            print_json(found)
            return
        made = base64.b64decode(found["content"])
        if out is not None:
            out.write_bytes(made)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(made)
            sys.stdout.buffer.flush()

    @printer.command("show")
    def show(context: typer.Context) -> None:
        """This till's printer, how it is, and what waits for a decision."""
        found = ask(context, "printer_show")
        print_json(found) if context.obj.json else _print_state(found)

    @printer.command("set")
    def set_(
        context: typer.Context,
        target: Annotated[
            str | None,
            typer.Argument(help="none, tcp://HOST:9100, usb:/dev/usb/lp0, serial:/dev/ttyUSB0?baud=9600, file:PATH"),
        ] = None,
        paper: Annotated[str | None, typer.Option(help="58, 80 or 80/42 (mm; 42 columns) [80]")] = None,
        drawer: Annotated[int | None, typer.Option(help="The drawer's pin: 2 or 5, 0 for no drawer [2]")] = None,
        automatic: Annotated[
            bool | None, typer.Option("--automatic/--asked", help="Print each sale, or only what is asked for.")
        ] = None,
        pictures: Annotated[
            bool | None, typer.Option("--pictures/--letters", help="All as pictures, for printers with odd letters.")
        ] = None,
        language: Annotated[str | None, typer.Option(help="en or ur; empty for the shop's first")] = None,
    ) -> None:
        """Set this till's printer. What is not named stays as it is."""
        given = {
            "target": target, "paper": paper, "drawer": drawer, "automatic": automatic, "pictures": pictures,
            "language": language,
        }  # fmt: skip
        found = ask(context, "printer_set", {name: value for name, value in given.items() if value is not None})
        print_json(found) if context.obj.json else _print_state(found)

    @printer.command("test")
    def test(context: typer.Context) -> None:
        """Print a test page. Exits 1 where the printer does not take it."""
        found = ask(context, "printer_test")
        print_json(found) if context.obj.json else _print_state(found)
        if found["state"] == "fault":
            raise typer.Exit(1)

    @app.command("restore-receipt")
    def restore_receipt_(
        context: typer.Context,
        code: Annotated[
            list[str] | None, typer.Argument(help="The texts of the codes, each quoted [lines on stdin]")
        ] = None,
    ) -> None:
        """Bring a lost sale back from the codes on its receipt. It counts once, however often that is done. Exits 1
        while it does not count."""
        codes = list(code or [line for line in sys.stdin.read().splitlines() if line.strip()])
        found = ask(context, "restore_receipt", {"codes": codes})
        print_json(found) if context.obj.json else print(f"{found.get('receipt', '')} {found['detail']}".strip())
        if not found["counts"]:
            raise typer.Exit(1)


def _print_state(found: Mapping[str, Any]) -> None:
    if "printer" in found:
        for name, value in found["printer"].items():
            print(f"{name}: {value}")
    if "state" in found:
        print(f"state: {found['state']}" + (f" ({found['why']})" if found["why"] else ""))
        for what in ("unsure", "lapsed"):
            for job in found[what]:
                print(f"{what}: {job['name']} ({job['why']})")
