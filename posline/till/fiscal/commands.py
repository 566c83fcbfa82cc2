"""What `posline fiscal` asks of a till. Each takes the till and plain arguments, and answers JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posline.till.fiscal import acts
from posline.till.local import Command

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["FISCAL_COMMANDS", "FISCAL_READING"]


async def status(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/fiscal, without its list."""
    return till.fiscal.status()


async def queue(till: Till, arguments: Mapping[str, Any]) -> Any:
    """What is not filed yet."""
    return {"queue": till.fiscal.queue(limit=int(arguments.get("limit", 100)), every=bool(arguments.get("all")))}


async def set_up(till: Till, arguments: Mapping[str, Any]) -> Any:
    """How this shop, or this till, files."""
    return await acts.set_up(till, arguments["value"], own=bool(arguments.get("own")))


async def token(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Keep the token, or forget it."""
    given = arguments.get("token")
    return acts.forget_token(till) if given is None else acts.keep_token(till, str(given))


async def resolve(till: Till, arguments: Mapping[str, Any]) -> Any:
    """What a person found at the service."""
    return await acts.resolve(
        till, arguments["id"], number=arguments.get("number"), why=arguments.get("why", ""), by=arguments.get("by", "")
    )


async def release(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Queue again, or give away."""
    return await acts.release(
        till, arguments["id"], filer=arguments.get("filer", ""), not_sent=bool(arguments.get("not_sent")),
        why=arguments.get("why", ""), by=arguments.get("by", ""),
    )  # fmt: skip


FISCAL_COMMANDS: dict[str, Command] = {
    "fiscal_status": status,
    "fiscal_queue": queue,
    "fiscal_set": set_up,
    "fiscal_token": token,
    "fiscal_resolve": resolve,
    "fiscal_release": release,
}
FISCAL_READING = frozenset({"fiscal_status", "fiscal_queue"})
