"""The audit trail, page by page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import Route

from relay.office import PAGE, Audited
from relay.price_lists import ALL
from relay.rights import Right, Role
from relay.web.frame import Frame, Visit, off
from relay.web.words import Words

__all__ = ["trail_routes"]

LINE = re.compile(r"[0-9a-f]{1,40}")
COUNTED = re.compile(r"([0-9]+) (shops|products)(?:: (.*))?", re.DOTALL)  # as prices write what they moved, and why


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
        "audit.html", lines=lines[:PAGE], more=more, before=before,
        about=lambda line: _about(visit.words, shops, line),
        detail=lambda line: _detail(visit.words, names, line.detail),
    )  # fmt: skip


def _about(words: Words, shops: Mapping[str, str], line: Audited) -> str:
    """What a line is about: a shop, a list of prices, or whatever has a name of its own."""
    kind, _, which = line.about.partition(":")
    if line.act.startswith("price_"):
        if kind == ALL:
            return words.t("price_all")
        if kind == "group":
            return words.t("price_group_of", name=which)
        return shops.get(which or kind, which or kind)
    return shops.get(line.about, line.about)


def _detail(words: Words, names: Mapping[str, str], detail: str) -> str:
    """What more a line says, as far as it is not what somebody wrote."""
    counted = COUNTED.fullmatch(detail)
    if counted is None:
        return words.comma.join(names.get(part, part) for part in detail.split(", "))
    said = words.t("shops_count" if counted[2] == "shops" else "price_products", n=int(counted[1]))
    return f"{said}: {counted[3]}" if counted[3] else said


def _names(words: Words, shops: Mapping[str, str]) -> dict[str, str]:
    """What stands in a line's detail, as people know it."""
    roles = {role.value: words.t(f"role_{role.value}") for role in Role}
    return {**shops, **roles, "every shop": words.t("every_shop"), "read": words.t("token_read")}
