"""A shop's phones and tablets that are hosted here: a code to pair one, the list, and removing one."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from posline.errors import PoslineError
from posline.till.invitation import EXPIRES_DEFAULT_S
from relay.hosting import desk
from relay.rights import Right
from relay.web.codes import drawing
from relay.web.frame import Frame, Visit, off
from relay.web.shops import PATH, shop

__all__ = ["hosting_routes"]


def hosting_routes(frame: Frame) -> list[Route]:
    """For those who administer."""
    right = Right.ADMINISTER
    return [
        frame.post(PATH + "/{shop}/devices", invite, right=right),
        frame.post(PATH + "/{shop}/devices/{device}/remove", remove, right=right),
    ]


async def invite(visit: Visit) -> Response:
    """{label}: the code for one device."""
    branch, label = visit.branch(visit.request.path_params["shop"]), visit.form.get("label", "")
    by, expires_s = visit.actor, EXPIRES_DEFAULT_S
    try:
        link = await off(lambda: desk.invite(visit.relay, branch, label, by=by, expires_s=expires_s))
    except PoslineError as error:
        return await shop(visit, error)
    ends_ms = visit.relay.office.now_ms() + EXPIRES_DEFAULT_S * 1000
    return visit.show("paired.html", link=link, code=drawing(link), branch=branch, ends_ms=ends_ms)


async def remove(visit: Visit) -> Response:
    """Host it no more."""
    branch, device = visit.branch(visit.request.path_params["shop"]), visit.request.path_params["device"]
    try:
        await off(lambda: desk.remove(visit.relay, branch, device, by=visit.actor))
    except PoslineError as error:
        return await shop(visit, error)
    visit.relay.tills.on_changed()
    return visit.go(f"{PATH}/{branch.id}", "device_removed")
