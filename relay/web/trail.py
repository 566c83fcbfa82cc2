"""The audit trail, page by page."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from relay.office import PAGE
from relay.rights import Right
from relay.web.frame import Frame, Visit, off

__all__ = ["trail_routes"]


def trail_routes(frame: Frame) -> list[Route]:
    """For those who administer."""
    return [frame.get("/office/audit", trail, right=Right.ADMINISTER)]


async def trail(visit: Visit) -> Response:
    """The lines behind ?before=, the newest first."""
    before = visit.request.query_params.get("before", "")[:64]
    lines = await off(lambda: visit.relay.office.trail(before=before, limit=PAGE + 1))
    shops = {shop.id: shop.alias or shop.name for shop in await off(lambda: visit.relay.office.shops(removed=True))}
    more = lines[PAGE - 1].id if len(lines) > PAGE else ""
    return visit.show("audit.html", lines=lines[:PAGE], more=more, before=before, shops=shops)
