"""`posline-relay device`: phones and tablets that sell by this head office.

Both halves are here: what each command asks of a head office, and how the command line reads and prints it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from posline.cli import checked
from posline.till.invitation import parse_duration
from posline.till.local import Command
from posline.till.terminal import Ask, Shop, console, print_json, visible
from posline.till.text import print_invitation
from relay.hosting import desk
from relay.number_commands import actor_of
from relay.relay import Relay

__all__ = ["DEVICE_COMMANDS", "add_device_commands"]



# -- what they ask of a head office ------------------------------------------------------------------------------------


async def invite(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shop, label?, expires_s}: the link by which one device is paired."""
    branch, label = relay.branch(str(arguments["shop"])), str(arguments.get("label") or "")
    by, expires_s = actor_of(arguments), float(arguments["expires_s"])
    return {"link": await asyncio.to_thread(desk.invite, relay, branch, label, by=by, expires_s=expires_s)}


async def listed(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shop}: its devices."""
    branch = relay.branch(str(arguments["shop"]))
    devices = await asyncio.to_thread(desk.listed, relay, branch)
    return {"url": await asyncio.to_thread(lambda: relay.devices.url), "devices": [each.to_dict() for each in devices]}


async def remove(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shop, device}: let it sell no more."""
    branch, by = relay.branch(str(arguments["shop"])), actor_of(arguments)
    found = await asyncio.to_thread(desk.remove, relay, branch, str(arguments["device"]), by=by)
    relay.tills.on_changed()
    return found


DEVICE_COMMANDS: dict[str, Command] = {"device_invite": invite, "device_list": listed, "device_remove": remove}


# -- the command line --------------------------------------------------------------------------------------------------


def add_device_commands(device: typer.Typer, ask: Ask) -> None:
    """Put the commands into the group `device`; `ask` asks the head office."""

    @device.command("invite")
    def invite_one(
        context: typer.Context,
        shop: Shop,
        label: Annotated[str, typer.Option(help="Asked for on its receipts; the shop's manager decides.")] = "",
        expires: Annotated[str, typer.Option(help="How long the code is good.")] = "15m",
    ) -> None:
        """Show the code by which one phone or tablet is paired. A manager of the shop lets it in."""
        asked = {"shop": shop, "label": label, "expires_s": checked(parse_duration, expires)}
        found = ask(context, "device_invite", asked)
        print_json(found) if context.obj.json else print_invitation(found["link"])

    @device.command("list")
    def list_all(context: typer.Context, shop: Shop) -> None:
        """A shop's devices: whether they are let in, when each was last there, what waits in its browser."""
        found = ask(context, "device_list", {"shop": shop})
        if context.obj.json:
            print_json(found)
            return
        where = f"devices are hosted at {found['url']}" if found["url"] else "no devices are hosted: serve --tills URL"
        print(visible(where))
        table = Table("device", "id", "state", "paired", "last seen", "waiting", box=None)
        for each in found["devices"]:
            waiting = "" if each["waiting"] is None else str(each["waiting"])
            row = (each["label"], each["id"], each["state"], each["paired"], each["last_seen"] or "never", waiting)
            table.add_row(*map(escape, row))
        if found["devices"]:
            console().print(table)

    @device.command("remove")
    def remove_one(
        context: typer.Context, shop: Shop, name: Annotated[str, typer.Argument(metavar="DEVICE", help="Label or id.")]
    ) -> None:
        """Host a lost phone or tablet no more, from this moment on."""
        found = ask(context, "device_remove", {"shop": shop, "device": name})
        print_json(found) if context.obj.json else print(visible(found["detail"]))
