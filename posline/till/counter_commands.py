"""The commands around the counter: `posline cashier ...`, `posline setting ...` and `posline stock`.

Both halves are here: what each asks of a till, and how the command line reads and prints it. They ask for no PIN:
whoever may read the data folder owns the till, and so has a way back in where everybody's PIN is forgotten.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from posline.errors import BadRequest, NotFound, NotPossible
from posline.till.local import Command
from posline.till.shared import SETTINGS, current, put
from posline.till.terminal import Ask, console, print_json

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["COUNTER_COMMANDS", "COUNTER_READING", "add_counter_commands"]

PAGE = 1000  # products read at a time


# -- what they ask of a till -------------------------------------------------------------------------------------------


async def cashier_list(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/cashiers."""
    return {"cashiers": [cashier.public() for cashier in till.people.listed()]}


async def cashier_add(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A new cashier, or one who comes back. Raises NotPossible where the name is taken."""
    name = str(arguments["name"])
    now = till.people.cashier(name)
    if now is not None and now.active:
        raise NotPossible(f"{name} is a cashier already: 'posline cashier set' changes the role or the PIN")
    return (await till.people.save(name, {**arguments["fields"], "active": True})).public()


async def cashier_set(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Change a cashier: what is not given stays. Raises NotFound."""
    name = str(arguments["name"])
    if till.people.cashier(name) is None:
        known = ", ".join(cashier.name for cashier in till.people.listed()) or "nobody yet"
        raise NotFound(f"no cashier is called {name[:60]!r}: there is {known[:200]}")
    return (await till.people.save(name, arguments["fields"])).public()


async def setting_list(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/settings, and what each is for."""
    return {"settings": current(till), "about": {name: about for name, (about, _) in SETTINGS.items()}}


async def setting_get(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/settings/{name}."""
    name, values = str(arguments["name"]), current(till)
    if name not in values:
        raise NotFound(f"{name[:60]!r} is no setting: there are {', '.join(sorted(values))}")
    return {"name": name, "value": values[name]}


async def setting_set(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As PUT /api/settings/{name}, with a value as a person types it."""
    name = str(arguments["name"])
    return {"name": name, "value": await put(till, name, _typed(name, str(arguments["value"])))}


def _typed(name: str, text: str) -> Any:
    """What a person who types `text` means: JSON, or the text itself where the setting takes no such value."""
    try:
        value = json.loads(text, parse_float=str, parse_constant=_no_number)
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "["):
            raise BadRequest.of("value", f"is no JSON: {error}") from error
        return text
    check = SETTINGS[name][1] if name in SETTINGS else None
    return text if check is not None and value is not None and check(value) and not check(text) else value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


async def stock(till: Till, arguments: Mapping[str, Any]) -> Any:
    """What is on hand: of one SKU, or of all that ever moved; with `low`, of what is low or below 0."""
    if arguments.get("sku"):
        return {"stock": [till.stock.of(str(arguments["sku"]))]}

    def work() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := till.stock.listed(found[-1]["sku"] if found else "", PAGE, low=bool(arguments.get("low"))):
            found += page
        return found

    return {"stock": await asyncio.to_thread(work)}


COUNTER_COMMANDS: dict[str, Command] = {
    "cashier_list": cashier_list,
    "cashier_add": cashier_add,
    "cashier_set": cashier_set,
    "setting_list": setting_list,
    "setting_get": setting_get,
    "setting_set": setting_set,
    "stock": stock,
}
COUNTER_READING = frozenset({"cashier_list", "setting_list", "setting_get", "stock"})


# -- how they are called -----------------------------------------------------------------------------------------------

Role = Annotated[str | None, typer.Option(help="cashier, supervisor or manager [cashier]")]
Pin = Annotated[str | None, typer.Option(help="4 to 12 digits; - reads a line of stdin, which no history keeps.")]
Language = Annotated[str | None, typer.Option(help="en or ur [en]")]


def add_counter_commands(app: typer.Typer, ask: Ask) -> None:
    """Put the commands into the command line `app`; `ask(context, name, arguments)` runs one on the till."""
    cashier = typer.Typer(no_args_is_help=True, help="Who rings, with which role and PIN.")
    setting = typer.Typer(no_args_is_help=True, help="What all tills of the shop go by.")
    app.add_typer(cashier, name="cashier")
    app.add_typer(setting, name="setting")

    def say(context: typer.Context, found: Mapping[str, Any], line: str) -> None:
        print_json(found) if context.obj.json else print(line)

    @cashier.command("list")
    def list_(context: typer.Context) -> None:
        """Everybody who rings or rang here."""
        found = ask(context, "cashier_list")
        print_json(found) if context.obj.json else _print_cashiers(found["cashiers"])

    @cashier.command("add")
    def add(context: typer.Context, name: str, role: Role = None, pin: Pin = None, language: Language = None) -> None:
        """Let somebody ring by name. A PIN is only needed by who approves, or does, what the shop restricts."""
        found = ask(context, "cashier_add", {"name": name, "fields": _given(role, pin, language)})
        say(context, found, f"{name} rings as {found['role']}")

    @cashier.command("set")
    def set_(
        context: typer.Context,
        name: str,
        role: Role = None,
        pin: Pin = None,
        no_pin: Annotated[bool, typer.Option("--no-pin", help="Take the PIN away.")] = False,
        language: Language = None,
    ) -> None:
        """Change a cashier's role, PIN or language. What is not named stays as it is."""
        fields = _given(role, "" if no_pin else pin, language)
        if not fields:
            raise typer.BadParameter("name what is to change: --role, --pin, --no-pin or --language")
        found = ask(context, "cashier_set", {"name": name, "fields": fields})
        say(context, found, f"{name} rings as {found['role']}")

    @cashier.command("remove")
    def remove(context: typer.Context, name: str) -> None:
        """Let a cashier ring and approve no more. What they rang stays under their name."""
        found = ask(context, "cashier_set", {"name": name, "fields": {"active": False}})
        say(context, found, f"{name} approves nothing any more, at any till")

    @setting.command("list")
    def settings(context: typer.Context) -> None:
        """Every setting that the shop's tills share, and what it is for."""
        found = ask(context, "setting_list")
        print_json(found) if context.obj.json else _print_settings(found)

    @setting.command("get")
    def get(context: typer.Context, name: str) -> None:
        """The value of a setting, in JSON; null where it is not set."""
        found = ask(context, "setting_get", {"name": name})
        print_json(found if context.obj.json else found["value"])

    @setting.command("set")
    def put_(
        context: typer.Context,
        name: str,
        value: Annotated[str, typer.Argument(help="JSON or a text; @FILE reads a file, - stdin; null unsets it.")],
    ) -> None:
        """Set a setting for the whole shop, at a till that may manage it."""
        found = ask(context, "setting_set", {"name": name, "value": _read(value)})
        say(context, found, f"{name} is {json.dumps(found['value'], ensure_ascii=False)}")

    @app.command("stock")
    def stock_(
        context: typer.Context,
        sku: Annotated[str | None, typer.Argument(help="One product [all that ever moved]")] = None,
        low: Annotated[bool, typer.Option("--low", help="Only what is low, or below 0.")] = False,
    ) -> None:
        """What is on hand, by all that was received, counted and sold at any till."""
        found = ask(context, "stock", {"sku": sku, "low": low})
        print_json(found) if context.obj.json else _print_stock(found["stock"])


def _given(role: str | None, pin: str | None, language: str | None) -> dict[str, Any]:
    if pin == "-":
        pin = sys.stdin.readline().strip()
        if not pin:
            raise typer.BadParameter("there is no PIN on stdin")
    given = {"role": role, "pin": pin, "language": language}
    return {name: value for name, value in given.items() if value is not None}


def _read(value: str) -> str:
    if value == "-":
        return sys.stdin.read().strip()
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{value[1:]} cannot be read: {error}") from error


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in ("on hand", "low at") else "left")
    return table


def _print_cashiers(cashiers: list[dict[str, Any]]) -> None:
    if not cashiers:
        console().print("nobody yet: everybody may do everything, under any name")
        return
    table = _table("name", "role", "PIN", "language", "")
    for cashier in cashiers:
        gone = "" if cashier["active"] else "removed"
        table.add_row(
            *_plain(cashier["name"], cashier["role"], "yes" if cashier["pin"] else "no", cashier["language"], gone)
        )
    console().print(table)


def _print_settings(found: Mapping[str, Any]) -> None:
    table = _table("setting", "value", "what it says")
    for name, value in found["settings"].items():
        shown = "" if value is None else json.dumps(value, ensure_ascii=False)
        table.add_row(*_plain(name, shown if len(shown) <= 60 else shown[:59] + "…", found["about"][name]))
    console().print(table)


def _print_stock(stock: list[dict[str, Any]]) -> None:
    if not stock:
        console().print("nothing")
        return
    table = _table("sku", "name", "on hand", "unit", "low at", "")
    for item in stock:
        state = "BELOW 0" if item["negative"] else "low" if item["low"] else ""
        table.add_row(
            *_plain(item["sku"], item["name"], item["on_hand"], item["unit"] or "", item["low_at"] or "", state)
        )
    console().print(table)


def _plain(*cells: str) -> list[Text]:
    """Cells whose brackets are letters, not markup."""
    return [Text(cell) for cell in cells]
