"""Tokens: of programs, and those that people bear; who may open what, since when, and ending it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from posline.core.numbers import AUTHOR
from posline.errors import BadRequest, PoslineError
from relay.rights import Right
from relay.web.frame import Frame, Visit, off

__all__ = ["tokens_routes"]

PATH = "/office/tokens"


def tokens_routes(frame: Frame) -> list[Route]:
    """For those who administer."""
    right = Right.ADMINISTER
    return [
        frame.get(PATH, tokens, right=right),
        frame.post(PATH, add, right=right),
        frame.post(PATH + "/revoke", revoke, right=right),
    ]


async def tokens(visit: Visit, error: PoslineError | None = None) -> Response:
    """The list, and a form for one more."""
    office = visit.relay.office
    listed, shops = await off(office.tokens), await off(lambda: office.shops(removed=True))
    return visit.show(
        "tokens.html", error=error, tokens=listed, names={shop.id: shop for shop in shops},
        shops=[shop for shop in shops if not shop.removed_ms], form=visit.form, now_ms=office.now_ms(),
    )  # fmt: skip


async def add(visit: Visit) -> Response:
    """{name, shop, role, author}: a program's token for one shop, or for reading every shop."""
    form, office = visit.form, visit.relay.office
    shop, role, author = form.get("shop", ""), form.get("role", "read"), form.get("author", "").strip()
    try:
        if not form.get("name", "").strip():
            raise BadRequest.of("name", "says what the token is for")
        if shop and office.shop(shop) is None:
            raise BadRequest.of("shop", "is not attached here")
        if role not in ("read", "write") or (role == "write" and not (shop and AUTHOR.fullmatch(author))):
            raise BadRequest.of("author", "a token that writes is for one shop, and names a member's id")
        token = await off(
            lambda: office.hand_out(
                shop=shop, role=role, name=form["name"], author=author if role == "write" else "", by=visit.actor
            )
        )
    except PoslineError as error:
        return await tokens(visit, error)
    return visit.show("secret.html", what="program", name=form["name"], secret=token, back=PATH)


async def revoke(visit: Visit) -> Response:
    """{id}."""
    id = visit.form.get("id", "")
    await off(lambda: visit.relay.office.revoke(id, by=visit.actor))
    return visit.go(PATH, "token_revoked")
