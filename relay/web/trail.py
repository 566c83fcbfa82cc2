"""The audit trail, page by page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import Route

from relay.office import CONSOLE, PAGE, SHOP_ACTOR
from relay.rights import Right, Role
from relay.web.frame import Frame, Visit, off
from relay.web.words import Words

__all__ = ["trail_routes"]

LINE = re.compile(r"[0-9a-f]{1,40}")


def trail_routes(frame: Frame) -> list[Route]:
    """For those who administer."""
    return [frame.get("/office/audit", trail, right=Right.ADMINISTER)]


async def trail(visit: Visit) -> Response:
    """The lines behind ?before=, the newest first."""
    asked = visit.request.query_params.get("before", "")
    before = asked if LINE.fullmatch(asked) else ""
    lines = await off(lambda: visit.relay.office.trail(before=before, limit=PAGE + 1))
    shops = {shop.id: shop.alias or shop.name for shop in await off(lambda: visit.relay.office.shops(removed=True))}
    more = lines[PAGE - 1].id if len(lines) > PAGE else ""
    names = _names(visit.words, shops)
    return visit.show(
        "audit.html", lines=lines[:PAGE], more=more, before=before, names=shops,
        who=lambda line: _who(visit.words, line.who),
        detail=lambda line: visit.words.comma.join(names.get(part, part) for part in line.detail.split(", ")),
    )  # fmt: skip


def _who(words: Words, who: str) -> str:
    """A person's name is their own; a shop, and whoever typed a command, are said to be that."""
    if who.startswith(SHOP_ACTOR):
        return words.t("who_shop", name=who.removeprefix(SHOP_ACTOR))
    if who.startswith(CONSOLE.name):
        return words.t("who_console") + who.removeprefix(CONSOLE.name)
    return who or words.t("somebody")


def _names(words: Words, shops: Mapping[str, str]) -> dict[str, str]:
    """What stands in a line's detail, as people know it."""
    roles = {role.value: words.t(f"role_{role.value}") for role in Role}
    return {**shops, **roles, "every shop": words.t("every_shop"), "read": words.t("token_read")}
