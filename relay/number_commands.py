"""What `posline-relay accounting` and `posline-relay webhook` ask of a head office."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from posline.errors import BadRequest, Unavailable
from posline.till.local import Command, Lines
from relay.bookkeeping import books_of, range_of
from relay.exporting import Asked, as_text, export, one_by_one, require
from relay.office import CONSOLE, NAME_MAX
from relay.relay import Branch, Relay
from relay.rights import Actor
from relay.webhooks import BATCH, Subscription

__all__ = ["NUMBER_COMMANDS", "actor_of", "post_day", "shown_webhook", "start_of"]

POSTING_TRIES = 5  # of a day that others post at the same moment


def actor_of(arguments: Mapping[str, Any]) -> Actor:
    """Whoever ran the command, as the machine knows them, or asked by the API."""
    if isinstance(by := arguments.get("by"), Actor):
        return by
    name = str(arguments.get("operator") or "")[:NAME_MAX]
    return Actor(f"{CONSOLE.name} ({name})") if name else CONSOLE


async def export_file(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A file for other programs, in pieces that are written as lines: {what, shops, format, from, to}; no shops are all
    of them."""
    asked = Asked(
        str(arguments["what"]), str(arguments["format"]), arguments.get("from") or None, arguments.get("to") or None
    )
    require(asked)
    branches = [relay.branch(shop) for shop in arguments["shops"]] or relay.branches()
    return Lines(one_by_one(as_text(export(relay.store, branches, asked, relay.chart))))


# -- accounting --------------------------------------------------------------------------------------------------------


async def accounting_show(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/accounting: {shops, from, to}."""
    branches = [relay.branch(shop) for shop in arguments["shops"]] or relay.branches()
    first, last = arguments.get("from") or None, arguments.get("to") or None

    def work() -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        for branch in branches:
            with books_of(relay.store, branch.id, relay.chart) as books:
                found += books.days(first, last)
        return {"from": first, "to": last} | range_of(found, relay.chart)

    return await asyncio.to_thread(work)


def post_day(relay: Relay, branch: Branch, day: str, **how: Any) -> list[dict[str, Any]]:
    """All postings of a day, with the one that it adds now (`Postings.post`). Raises Unavailable too."""
    for _ in range(POSTING_TRIES):
        known = len(relay.postings.listed(branch.id, day, day))  # before the day is added up: see `Postings.post`
        with books_of(relay.store, branch.id, relay.chart) as books:
            found = relay.postings.post(books.day(day), known=known, **how)
        if found is not None:
            return [posting.to_dict() for posting in found]
    raise Unavailable(f"{day} is being posted by others at the same moment: ask again in a moment")


async def accounting_post(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """As POST /api/shops/{shop}/accounting/{day}/postings: {shop, day, after, provisional}."""
    branch = relay.branch(arguments["shop"])
    how = {
        "after": arguments.get("after") or None, "provisional": bool(arguments.get("provisional")),
        "by": actor_of(arguments),
    }  # fmt: skip
    day = arguments.get("day") or branch.day
    return {"postings": await asyncio.to_thread(post_day, relay, branch, day, **how)}


async def accounting_accounts(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """The accounts that journals are posted to."""
    return {"accounts": relay.chart.listed()}


async def accounting_set(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """Post something to an account of its own: {what, account, name}; without an account, as before there was one."""
    if arguments.get("account"):
        relay.postings.set_account(arguments["what"], arguments["account"], arguments["name"], by=actor_of(arguments))
    else:
        relay.postings.reset_account(arguments["what"], by=actor_of(arguments))
    return await accounting_accounts(relay, {})


# -- webhooks ----------------------------------------------------------------------------------------------------------


def shown_webhook(relay: Relay, one: Subscription) -> dict[str, Any]:
    """A subscription and how far it has heard, without its secret."""
    progress, end = relay.webhooks.progress(one.id), relay.feed.end()
    return {
        "id": one.id, "url": one.url, "shops": list(one.shops), "shop_names": [_called(relay, id) for id in one.shops],
        "kinds": list(one.kinds), "batch": one.batch, "private": one.private, "active": one.active,
        "off_why": one.off_why, "at": str(progress.at), "end": str(end), "behind": max(0, end - progress.at),
        "tries": progress.tries, "failed": progress.failed, "heard_ms": progress.heard_ms or None,
        "given_up": relay.webhooks.dead_counts().get(one.id, 0),
    }  # fmt: skip


def _called(relay: Relay, id: str) -> str:
    """What a shop calls itself; its id where it is not served."""
    shop = relay.office.shop(id)
    return id if shop is None or shop.removed_ms else relay.take_up(shop).name


def start_of(relay: Relay, after: object) -> tuple[int, str]:
    """(number, life) behind which a subscription begins: a cursor, "0" for all there is, or None for what comes from
    now on. Raises BadRequest, NotThisFeed."""
    if after is None:
        at = relay.feed.end()
    elif isinstance(after, str) and after.isascii() and after.isdecimal() and len(after) <= 18:
        at = int(after)
    else:
        raise BadRequest.of("after", "is a cursor of the feed, in text; 0 is its beginning")
    relay.feed.check(at, None)
    return at, relay.feed.life_of(at)


async def webhook_add(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{url, shops, kinds, batch, private, after, secret}; answers the secret, this once."""
    at, life = start_of(relay, arguments.get("after"))
    one = relay.webhooks.add(
        arguments["url"], at=at, life=life, shops=[relay.branch(shop).id for shop in arguments.get("shops") or []],
        kinds=arguments.get("kinds") or [], batch=arguments.get("batch") or BATCH,
        private=bool(arguments.get("private")), secret=arguments.get("secret") or "", by=actor_of(arguments),
    )  # fmt: skip
    return shown_webhook(relay, one) | {"secret": one.secret}


async def webhook_list(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """All subscriptions."""
    return {"webhooks": [shown_webhook(relay, one) for one in relay.webhooks.listed()]}


async def webhook_switch(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id, active}."""
    fields = {"active": bool(arguments["active"])}
    return shown_webhook(relay, relay.webhooks.change(arguments["id"], fields, by=actor_of(arguments)))


async def webhook_remove(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id}."""
    relay.webhooks.remove(arguments["id"], by=actor_of(arguments))
    return {"removed": arguments["id"]}


async def webhook_rotate(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id}; answers the new secret, this once."""
    one = relay.webhooks.rotate(arguments["id"], by=actor_of(arguments))
    return shown_webhook(relay, one) | {"secret": one.secret}


async def webhook_replay(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id, after}."""
    at, life = start_of(relay, arguments.get("after"))
    relay.webhooks.replay(arguments["id"], at=at, life=life, by=actor_of(arguments))
    return shown_webhook(relay, relay.webhooks.get(arguments["id"]))


async def webhook_dead(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id}: what was given up."""
    one = relay.webhooks.get(arguments["id"])
    return {
        "dead": [
            {"n": dead.n, "event_id": f"{dead.life}-{dead.n}", "at_ms": dead.at_ms, "queued": dead.queued,
             "why": dead.why}
            for dead in relay.webhooks.dead(one.id)
        ]
    }  # fmt: skip


async def webhook_requeue(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id, numbers}; without numbers, all."""
    return {"requeued": relay.webhooks.requeue(arguments["id"], arguments.get("numbers") or None)}


async def webhook_discard(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id, numbers}; without numbers, all."""
    numbers = arguments.get("numbers") or None
    return {"discarded": relay.webhooks.discard(arguments["id"], numbers, by=actor_of(arguments))}


NUMBER_COMMANDS: dict[str, Command] = {
    "export": export_file,
    **{
        command.__name__: command
        for command in (
            accounting_show, accounting_post, accounting_accounts, accounting_set, webhook_add, webhook_list,
            webhook_switch, webhook_remove, webhook_rotate, webhook_replay, webhook_dead, webhook_requeue,
            webhook_discard,
        )
    },
}  # fmt: skip
