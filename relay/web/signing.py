"""Signing in and out, the first time, and the language of the pages."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest, PoslineError
from relay.passwords import PASSWORD_MIN
from relay.people import NotSignedIn
from relay.web.caller import local_path
from relay.web.frame import Frame, Visit, off
from relay.web.words import LANGUAGES

__all__ = ["signing_routes"]


def signing_routes(frame: Frame) -> list[Route]:
    """What can be asked without being signed in, and the way out."""
    return [
        frame.get("/sign-in", sign_in, anybody=True),
        frame.post("/sign-in", signed, anybody=True),
        frame.get("/first", first, anybody=True),
        frame.post("/first", chose, anybody=True),
        frame.post("/sign-out", sign_out, right=None),
        frame.post("/language", language, anybody=True),
    ]


async def sign_in(visit: Visit, error: PoslineError | None = None) -> Response:
    """The form with name and password."""
    where = local_path(visit.form.get("next", "") or visit.request.query_params.get("next", ""))
    if visit.signed_in and error is None:
        return visit.go(where)
    anybody = await off(visit.relay.people.anybody)
    return visit.show("sign_in.html", error=error, next=where, name=visit.form.get("name", ""), anybody=anybody)


async def signed(visit: Visit) -> Response:
    """{name, password, next}."""
    try:
        found = await visit.relay.people.sign_in(
            visit.form.get("name", ""), visit.form.get("password", ""), visit.browser
        )
    except NotSignedIn as error:
        return await sign_in(visit, error)
    return visit.seat(found, local_path(visit.form.get("next", "")))


async def first(visit: Visit, error: PoslineError | None = None) -> Response:
    """The form with a token, in which a password is chosen."""
    return visit.show("first.html", error=error, least=PASSWORD_MIN)


async def chose(visit: Visit) -> Response:
    """{token, password, again}."""
    password = visit.form.get("password", "")
    try:
        if password != visit.form.get("again", ""):
            raise BadRequest.of("again", "is not the same as the password")
        found = await visit.relay.people.first(visit.form.get("token", "").strip(), password, visit.browser)
    except (NotSignedIn, BadRequest) as error:
        return await first(visit, error)
    return visit.seat(found, "/", "password_chosen")


async def sign_out(visit: Visit) -> Response:
    """End this session."""
    await off(visit.relay.people.sign_out, visit.session, visit.actor)
    return visit.unseat("/sign-in", "signed_out")


async def language(visit: Visit) -> Response:
    """{language, next}: in this browser, and for whoever is signed in everywhere."""
    wanted = visit.form.get("language", "")
    if wanted not in LANGUAGES:
        raise BadRequest.of("language", f"is one of {', '.join(LANGUAGES)}")
    if visit.signed_in:
        await off(visit.relay.people.set_language, visit.viewer.person, wanted)
    return visit.speak(wanted, local_path(visit.form.get("next", "")))
