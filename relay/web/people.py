"""People: who may use the head office, as what, and which shops they see."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest, PoslineError
from relay.people import Person
from relay.rights import Right, Role
from relay.web.frame import Frame, Visit, off

__all__ = ["people_routes"]

PATH = "/office/people"


def people_routes(frame: Frame) -> list[Route]:
    """For those who administer."""
    right = Right.ADMINISTER
    return [
        frame.get(PATH, people, right=right),
        frame.post(PATH, add, right=right),
        frame.get(PATH + "/{person}", person, right=right),
        frame.post(PATH + "/{person}", change, right=right),
        frame.post(PATH + "/{person}/password", forget, right=right),
        frame.post(PATH + "/{person}/token", hand_out, right=right),
        frame.post(PATH + "/{person}/remove", remove, right=right),
    ]


async def people(visit: Visit, error: PoslineError | None = None) -> Response:
    """Everybody, and a form for one more."""
    listed = await off(visit.relay.people.listed)
    shops = await off(visit.relay.office.shops)
    return visit.show(
        "people.html", error=error, people=listed, shops=shops, names={shop.id: shop for shop in shops},
        roles=list(Role), role=visit.form.get("role", Role.READER.value), name=visit.form.get("name", ""),
        every=visit.form.get("every", "1") == "1", ticked=set(visit.ticked("shop")),
    )  # fmt: skip


async def add(visit: Visit) -> Response:
    """{name, role, every, shop...}."""
    try:
        role, shops = _asked(visit)
        name = visit.form.get("name", "")
        token = await off(lambda: visit.relay.people.add(name, role, shops, by=visit.actor))
    except PoslineError as error:
        return await people(visit, error)
    return visit.show("secret.html", what="first", name=name, secret=token, back=PATH)


async def person(visit: Visit, error: PoslineError | None = None) -> Response:
    """One of them."""
    found = await _person(visit)
    shops = await off(visit.relay.office.shops)
    sent = bool(visit.fields)
    return visit.show(
        "person.html", error=error, person=found, shops=shops, roles=list(Role),
        role=visit.form.get("role", found.role.value),
        every=visit.form.get("every") == "1" if sent else found.shops is None,
        ticked=set(visit.ticked("shop")) if sent else (found.shops or frozenset()),
    )  # fmt: skip


async def change(visit: Visit) -> Response:
    """{role, every, shop...}."""
    found = await _person(visit)
    try:
        role, shops = _asked(visit)
        await off(lambda: visit.relay.people.change(found, role, shops, by=visit.actor))
    except PoslineError as error:
        return await person(visit, error)
    mine = found.id == visit.viewer.person and role is not Role.OWNER
    return visit.go("/" if mine else PATH, "" if mine else "person_changed")


async def forget(visit: Visit) -> Response:
    """A token for a new password."""
    found = await _person(visit)
    token = await off(lambda: visit.relay.people.forget_password(found, by=visit.actor))
    return visit.show("secret.html", what="password", name=found.name, secret=token, back=PATH)


async def hand_out(visit: Visit) -> Response:
    """One more bearer token of theirs."""
    found = await _person(visit)
    token = await off(lambda: visit.relay.people.hand_out(found, by=visit.actor))
    return visit.show("secret.html", what="bearer", name=found.name, secret=token, back="/office/tokens")


async def remove(visit: Visit) -> Response:
    """Nobody is removed by a slip: the page asks first."""
    found = await _person(visit)
    try:
        await off(lambda: visit.relay.people.remove(found, by=visit.actor))
    except PoslineError as error:
        return await person(visit, error)
    return visit.go(PATH, "person_removed")


async def _person(visit: Visit) -> Person:
    return await off(visit.relay.people.person, visit.request.path_params["person"])


def _asked(visit: Visit) -> tuple[Role, list[str] | None]:
    """The role and the shops that a form asks for. An owner's are every shop, whatever is ticked."""
    try:
        role = Role(visit.form.get("role", ""))
    except ValueError as error:
        raise BadRequest.of("role", f"is one of {', '.join(Role)}") from error
    every = role is Role.OWNER or (role is not Role.MANAGER and visit.form.get("every") == "1")
    return role, None if every else visit.ticked("shop")
