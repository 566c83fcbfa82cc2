"""`posline host`: letting phones and tablets sell through this till.

Both halves are here: what each command asks of a till, and how the command line reads and prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from posline.till.hosting.at_till import hosting_of, remove_device, shown
from posline.till.hosting.devices import PORT
from posline.till.invitation import parse_duration
from posline.till.local import Command
from posline.till.terminal import Ask, console, print_json
from posline.till.text import print_invitation

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["HOST_COMMANDS", "HOST_READING", "host_app"]

_ASKING = "Its id, or the label that it wishes, as 'posline host list' shows them."



# -- what they ask of a till -------------------------------------------------------------------------------------------


async def switch(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Host from now on, or no more."""
    await hosting_of(till).switch(bool(arguments["on"]), port=arguments.get("port"), name=arguments.get("name"))
    return shown(till)


async def invite(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A link by which one device is paired."""
    hosting = hosting_of(till)
    link = hosting.invite(str(arguments.get("label") or ""), float(arguments["expires_s"]))
    return {"link": link, "fingerprint": hosting.authority.fingerprint}


async def listed(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/hosting."""
    return shown(till)


async def remove(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Let a device sell no more."""
    return await remove_device(till, str(arguments["device"]))


async def let_in(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Let a device in that the head office hosts, or refuse it."""
    decide = till.requests.let_in if arguments["let_in"] else till.requests.refuse
    return await decide(str(arguments["device"]))


async def trust_office(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Let in what the head office asks for from now on, or let it wait for a person."""
    await till.requests.trust(bool(arguments["on"]))
    return shown(till)


HOST_COMMANDS: dict[str, Command] = {
    "host_switch": switch, "host_invite": invite, "host_list": listed, "host_remove": remove,
    "host_let_in": let_in, "host_trust_office": trust_office,
}  # fmt: skip
HOST_READING = frozenset({"host_list"})


class OnOff(StrEnum):
    """Whether something is so."""

    ON = "on"
    OFF = "off"


# -- the command line --------------------------------------------------------------------------------------------------


def host_app(ask: Ask) -> typer.Typer:
    """The commands, which reach the till by `ask`."""
    app = typer.Typer(no_args_is_help=True, help="Phones and tablets that sell by this till; off until switched on.")

    @app.command("on")
    def on(
        context: typer.Context,
        port: Annotated[int | None, typer.Option(min=1, max=65535, help=f"Where they connect [{PORT}]")] = None,
        name: Annotated[
            str | None, typer.Option(help="A name of this machine on the network, such as till.local [its address]")
        ] = None,
    ) -> None:
        """Let phones and tablets in, now and whenever the till runs."""
        found = ask(context, "host_switch", {"on": True, "port": port, "name": name})
        print_json(found) if context.obj.json else _print_state(found)

    @app.command("off")
    def off(context: typer.Context) -> None:
        """Let nobody in any more. What is paired stays paired, and what its devices sell meanwhile waits in them."""
        found = ask(context, "host_switch", {"on": False})
        print_json(found) if context.obj.json else _print_state(found)

    @app.command("invite")
    def invite_one(
        context: typer.Context,
        label: Annotated[str, typer.Option(help="What stands before the number on its receipts [next letter]")] = "",
        expires: Annotated[str, typer.Option(help="Such as 15m or 2h.")] = "15m",
    ) -> None:
        """Show the code by which one phone or tablet is paired."""
        found = ask(context, "host_invite", {"label": label, "expires_s": parse_duration(expires)})
        if context.obj.json:
            print_json(found)
            return
        print(f"the certificate that the device installs has this fingerprint (SHA-256):\n{found['fingerprint']}")
        print_invitation(found["link"])

    @app.command("list")
    def list_all(context: typer.Context) -> None:
        """Which devices are paired, when each was last there, and what waits in its browser; and which of the head
        office's ask to be let in."""
        found = ask(context, "host_list")
        print_json(found) if context.obj.json else _print_state(found)

    @app.command("remove")
    def remove_one(
        context: typer.Context, device: Annotated[str, typer.Argument(help="Its label, or its id.")]
    ) -> None:
        """Let a lost phone or tablet sell no more, from this moment on."""
        found = ask(context, "host_remove", {"device": device})
        print_json(found) if context.obj.json else print(found["detail"])

    @app.command("let-in")
    def let_one_in(context: typer.Context, device: Annotated[str, typer.Argument(help=_ASKING)]) -> None:
        """Let a phone, tablet or browser sell that the head office hosts, and asks for."""
        found = ask(context, "host_let_in", {"device": device, "let_in": True})
        print_json(found) if context.obj.json else print(found["detail"])

    @app.command("refuse")
    def refuse_one(context: typer.Context, device: Annotated[str, typer.Argument(help=_ASKING)]) -> None:
        """Refuse a device that the head office asks for, for good."""
        found = ask(context, "host_let_in", {"device": device, "let_in": False})
        print_json(found) if context.obj.json else print(found["detail"])

    @app.command("trust-office")
    def trust(context: typer.Context, wanted: Annotated[OnOff, typer.Argument(metavar="on|off")]) -> None:
        """Let in by itself, or no more, whatever device the head office asks for."""
        found = ask(context, "host_trust_office", {"on": wanted is OnOff.ON})
        print_json(found) if context.obj.json else _print_requests(found)

    return app


def _print_state(found: Mapping[str, Any]) -> None:
    if not found["on"]:
        print("hosting is off: 'posline host on' lets phones and tablets in")
    else:
        where = ", ".join(found["urls"])
        print(f"hosting is on at {where}" + ("" if found["listening"] else ", once the till runs"))
        if found["trouble"]:
            print(f"nobody can connect: {found['trouble']}")
        print(f"certificate (SHA-256) {found['fingerprint']}")
        if found["certificate"]["note"]:
            print(found["certificate"]["note"])
    if found["devices"]:
        table = Table("device", "paired", "last seen", "waiting", box=None)
        for device in found["devices"]:
            waiting = "" if device["waiting"] is None else str(device["waiting"])
            state = device["last_seen"] or "never" if device["member"] else "removed"
            table.add_row(device["label"] or device["id"][:6], device["paired"], state, waiting)
        console().print(table)
    if found["elsewhere"]:
        table = Table("device", "hosted by", box=None)
        for device in found["elsewhere"]:
            table.add_row(escape(device["label"]), escape(device["host"]))
        console().print(table)
    _print_requests(found)


def _print_requests(found: Mapping[str, Any]) -> None:
    if found["trust_office"]:
        print("what the head office asks for is let in with nobody asked: 'posline host trust-office off' ends that")
    elif found["requests"]:
        print("the head office asks for these: 'posline host let-in DEVICE', or 'posline host refuse DEVICE'")
    if found["requests"]:
        table = Table("device", "id", "paired by", "asked", "browser", box=None)
        for each in found["requests"]:
            table.add_row(each["label"], each["id"], escape(each["by"]), each["asked"], escape(each["agent"]))
        console().print(table)
    elif not found["trust_office"] and found["head_office"]:
        print("no device of the head office waits to be let in")
