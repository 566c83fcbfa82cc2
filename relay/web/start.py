"""The first page: the shops that are whoever's asks, and what each sold today."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from relay.relay import Branch
from relay.web.frame import Frame, Visit, off

__all__ = ["start_routes"]

SHOPS_SHOWN = 50  # day reports are worked out for so many at a time
ODD = ("duplicates", "held", "disputed", "invalid")  # what somebody has to look at


@dataclass(frozen=True, slots=True)
class Row:
    """A shop's day so far. `linked` of its `devices` are linked now; `odd` is how much needs a look."""

    branch: Branch
    day: str
    currency: str
    sales: int
    net: int
    linked: int
    devices: int
    odd: int


def start_routes(frame: Frame) -> list[Route]:
    """For everybody who sees a shop."""
    return [frame.get("/", start)]


async def start(visit: Visit) -> Response:
    """The shops from the ?from= th on."""
    mine = [branch for branch in visit.relay.branches() if visit.viewer.covers(branch.id)]
    asked = visit.request.query_params.get("from", "")
    first = min(int(asked), len(mine)) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 0
    shown = mine[first : first + SHOPS_SHOWN]
    peers = [visit.relay.peers(branch) for branch in shown]
    linked = [(sum(peer["connected"] for peer in each), len(each)) for each in peers]
    rows = await off(lambda: [_row(branch, *found) for branch, found in zip(shown, linked, strict=True)])
    return visit.show(
        "start.html", rows=rows, count=len(mine), first=first, after=first + SHOPS_SHOWN, before=first - SHOPS_SHOWN
    )


def _row(branch: Branch, linked: int, devices: int) -> Row:
    day = branch.reports.day(branch.day)
    odd = sum(len(day[name]) for name in ODD) + sum(till["missing_count"] for till in day["tills"])
    return Row(branch, day["day"], day["currency"], day["sales"]["count"], day["net"], linked, devices, odd)
