"""My account: password, language, and where I am signed in."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest, PoslineError
from relay.passwords import PASSWORD_MIN
from relay.people import NotSignedIn
from relay.web.frame import Frame, Visit, off

__all__ = ["account_routes"]


def account_routes(frame: Frame) -> list[Route]:
    """Everybody's own page."""
    return [
        frame.get("/account", account, right=None),
        frame.post("/account/password", password, right=None),
        frame.post("/account/session", end_session, right=None),
        frame.post("/account/sign-out", everywhere, right=None),
    ]


async def account(visit: Visit, error: PoslineError | None = None) -> Response:
    """What there is to know and to change of oneself."""
    seats = await off(visit.relay.people.seats, visit.viewer.person, visit.session)
    shops = await off(visit.relay.office.shops)
    theirs = [shop for shop in shops if visit.viewer.covers(shop.id)]
    return visit.show("account.html", error=error, seats=seats, shops=theirs, least=PASSWORD_MIN)


async def password(visit: Visit) -> Response:
    """{old, password, again}."""
    fresh = visit.form.get("password", "")
    try:
        if fresh != visit.form.get("again", ""):
            raise BadRequest.of("again", "is not the same as the password")
        found = await visit.relay.people.change_password(
            visit.viewer.person, visit.form.get("old", ""), fresh, visit.browser
        )
    except (NotSignedIn, BadRequest) as error:
        return await account(visit, error)
    return visit.seat(found, "/account", "password_changed")


async def end_session(visit: Visit) -> Response:
    """{id}: of one's own."""
    if id := visit.form.get("id", ""):
        await off(visit.relay.people.end_session, visit.viewer.person, id, visit.actor)
    return visit.go("/account", "session_ended")


async def everywhere(visit: Visit) -> Response:
    """End all sessions, this one too."""
    await off(visit.relay.people.end_session, visit.viewer.person, "", visit.actor)
    return visit.unseat("/sign-in", "signed_out_everywhere")
