"""What the commands of `posline-relay` ask of a head office, whether it runs or is opened for the one command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from posline.storage.verify import verify
from posline.till.invitation import Invitation
from posline.till.local import Command, Lines
from posline.till.report_commands import sheet_of
from posline.trust.certificate import ROOT_FILE
from relay.exporting import Asked, as_text, export, one_by_one, require
from relay.relay import Relay

__all__ = ["COMMANDS"]

DEFAULT_ADDRESS = "127.0.0.1:8800"


async def invite(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A link for `posline attach`."""
    expires_s, note = float(arguments["expires_s"]), str(arguments.get("shop") or "")
    token = relay.invitations.add(expires_s=expires_s, note=note)
    if not relay.serving:
        ends_ms = time.time_ns() // 1_000_000 + int(expires_s * 1000)
        relay.register.leave_invitation(token, ends_ms=ends_ms, note=note)
    address, _, pin = relay.register.address.partition(" ")
    return {"link": str(Invitation("attach", (address or DEFAULT_ADDRESS,), relay.key.id, token, pin))}


async def shop_list(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """The shops, by name."""
    return {
        "shops": [
            {"shop": branch.id, "name": branch.name, "attached": branch.registered.attached}
            for branch in relay.branches()
        ]
    }


async def user_add(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A token with which a person reads every shop."""
    return {"user": arguments["name"], "token": relay.register.hand_out(shop="", role="read", name=arguments["name"])}


async def token_add(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A token for a program, for one shop."""
    shop = relay.register.find(arguments["shop"])
    token = relay.register.hand_out(
        shop=shop.id,
        role=arguments["role"],
        name=arguments.get("name") or "",
        author=arguments.get("author") or None,
    )
    _, _, pin = relay.register.address.partition(" ")
    certificate = str(relay.folder.path / ROOT_FILE) if pin and (relay.folder.path / ROOT_FILE).exists() else None
    return {"shop": shop.id, "role": arguments["role"], "certificate": certificate, "token": token}


async def verify_ledger(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """Problems found by working the ledgers out again from the documents, of one shop or of all."""
    branches = [relay.branch(arguments["shop"])] if arguments.get("shop") else relay.branches()

    def work() -> list[str]:
        return [
            f"{branch.name}: {problem}" if len(branches) > 1 else problem
            for branch in branches
            for problem in verify(relay.store, branch.id)
        ]

    return {"problems": await asyncio.to_thread(work)}


async def report_day(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/shops/{shop}/reports/day/{day}."""
    branch = relay.branch(arguments["shop"])
    return await asyncio.to_thread(branch.reports.day, arguments.get("day") or branch.day)


async def report_sheet(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/shops/{shop}/reports/{kind}: {shop, by, from, to}."""
    branch, by = relay.branch(arguments["shop"]), str(arguments["by"])
    asked = {"first": arguments.get("from"), "last": arguments.get("to")}
    sheet = await asyncio.to_thread(sheet_of, branch.reports, by, shop=branch.name, today=branch.day, **asked)
    return sheet.to_dict()


async def export_file(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A file for other programs, in pieces that are written as lines: {what, shops, format, from, to}; no shops are all
    of them."""
    asked = Asked(
        str(arguments["what"]), str(arguments["format"]), arguments.get("from") or None, arguments.get("to") or None
    )
    require(asked)
    branches = [relay.branch(shop) for shop in arguments["shops"]] or relay.branches()
    return Lines(one_by_one(as_text(export(relay.store, branches, asked, relay.chart))))


COMMANDS: dict[str, Command] = {
    "invite": invite,
    "shop_list": shop_list,
    "user_add": user_add,
    "token_add": token_add,
    "verify": verify_ledger,
    "report_day": report_day,
    "report_sheet": report_sheet,
    "export": export_file,
}
