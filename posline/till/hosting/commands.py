"""`posline host`: letting phones and tablets sell through this till.

Both halves are here: what each command asks of a till, and how the command line reads and prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from posline.till.hosting.at_till import hosting_of
from posline.till.hosting.devices import PORT
from posline.till.invitation import parse_duration
from posline.till.local import Command
from posline.till.terminal import console, print_json
from posline.till.text import print_invitation

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["HOST_COMMANDS", "HOST_READING", "host_app"]

Ask = Callable[..., Any]  # (context, name of the command, its arguments) -> its answer


# -- what they ask of a till -------------------------------------------------------------------------------------------


async def switch(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Host from now on, or no more."""
    hosting = hosting_of(till)
    await hosting.switch(bool(arguments["on"]), port=arguments.get("port"), name=arguments.get("name"))
    return hosting.shown()


async def invite(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A link by which one device is paired."""
    hosting = hosting_of(till)
    link = hosting.invite(str(arguments.get("label") or ""), float(arguments["expires_s"]))
    return {"link": link, "fingerprint": hosting.authority.fingerprint}


async def listed(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/hosting."""
    return hosting_of(till).shown()


async def remove(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Let a device sell no more."""
    return await hosting_of(till).remove(str(arguments["device"]))


HOST_COMMANDS: dict[str, Command] = {
    "host_switch": switch, "host_invite": invite, "host_list": listed, "host_remove": remove,
}  # fmt: skip
HOST_READING = frozenset({"host_list"})


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
        """Which devices are paired, when each was last there, and what waits in its browser."""
        found = ask(context, "host_list")
        print_json(found) if context.obj.json else _print_state(found)

    @app.command("remove")
    def remove_one(
        context: typer.Context, device: Annotated[str, typer.Argument(help="Its label, or its id.")]
    ) -> None:
        """Let a lost phone or tablet sell no more, from this moment on."""
        found = ask(context, "host_remove", {"device": device})
        print_json(found) if context.obj.json else print(found["detail"])

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
