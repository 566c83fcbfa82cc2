"""What `posline-relay prices` asks of a head office."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posline.till.local import Command, Lines
from relay.exporting import one_by_one
from relay.number_commands import actor_of
from relay.price_desk import OPERATOR, Desk
from relay.relay import Relay

__all__ = ["PRICE_COMMANDS"]


def _desk(relay: Relay, arguments: Mapping[str, Any]) -> Desk:
    return Desk(relay, OPERATOR, actor_of(arguments))


async def prices_lists(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """The lists."""
    return {"lists": await asyncio.to_thread(_desk(relay, arguments).lists)}


async def prices_import(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{file, list, why, dry_run}."""
    desk = _desk(relay, arguments)
    return await asyncio.to_thread(
        desk.import_file, Path(arguments["file"]), arguments["list"], why=arguments.get("why") or "",
        dry_run=bool(arguments.get("dry_run")),
    )  # fmt: skip


async def prices_export(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{list}: as lines of CSV."""
    return Lines(one_by_one(_desk(relay, arguments).export(arguments["list"])))


async def prices_set(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{list, sku, fields, from, why}; fields None takes the product out of the list."""
    return await asyncio.to_thread(
        _desk(relay, arguments).edit, arguments["list"], arguments["sku"], arguments["fields"],
        start=arguments.get("from") or "", why=arguments.get("why") or "",
    )  # fmt: skip


async def prices_preview(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """What publishing would change."""
    return await asyncio.to_thread(_desk(relay, arguments).preview)


async def prices_publish(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{lists, why}; no lists are all that have drafts."""
    desk = _desk(relay, arguments)
    version = await asyncio.to_thread(desk.publish, arguments.get("lists") or None, why=arguments.get("why") or "")
    return {"version": version}


async def prices_discard(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{lists}; no lists are all that have drafts."""
    return {"discarded": await asyncio.to_thread(_desk(relay, arguments).discard, arguments.get("lists") or None)}


async def prices_status(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shop}: which version each shop and till has; of one shop also what differs there."""
    desk = _desk(relay, arguments)
    if arguments.get("shop"):
        return await asyncio.to_thread(desk.shop, arguments["shop"])
    return await asyncio.to_thread(desk.status)


async def prices_override(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shop, why}: compare all of its products once more."""
    desk = _desk(relay, arguments)
    return {"version": await asyncio.to_thread(desk.override, arguments["shop"], why=arguments.get("why") or "")}


async def prices_group(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{group, shops}: which shops a group is of; none remove it; without `shops`, what there is."""
    desk = _desk(relay, arguments)
    if arguments.get("remove"):
        await asyncio.to_thread(desk.remove_group, arguments["group"])
    elif arguments.get("group"):
        await asyncio.to_thread(desk.set_group, arguments["group"], arguments.get("shops") or [])
    return {"groups": await asyncio.to_thread(desk.groups)}


async def prices_policy(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{list, differ}."""
    desk = _desk(relay, arguments)
    await asyncio.to_thread(desk.set_policy, arguments["list"], bool(arguments["differ"]))
    return {"lists": await asyncio.to_thread(desk.lists)}


async def prices_history(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{sku}: who changed what, when and why."""
    return {"history": await asyncio.to_thread(_desk(relay, arguments).history, sku=arguments.get("sku") or "")}


PRICE_COMMANDS: dict[str, Command] = {
    command.__name__: command
    for command in (
        prices_lists, prices_import, prices_export, prices_set, prices_preview, prices_publish, prices_discard,
        prices_status, prices_override, prices_group, prices_policy, prices_history,
    )
}  # fmt: skip
