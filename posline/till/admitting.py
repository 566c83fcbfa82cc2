"""Admitting devices to the shop: the member's end of `join`, and what a till does to attach a head office.

An admission is a `member` entry in the shop's document, written by a till that may; the token of an invitation decides
only whether it is written. Repeating a request whose answer was lost changes nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posline.core.base64url import base64url
from posline.core.members import Role
from posline.core.numbers import author_id, next_label, valid_label
from posline.errors import BadRequest, PoslineError

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = [
    "SHOP_BYTES_MAX",
    "Admitting",
    "NotAdmitted",
    "admit",
    "free_label",
    "public_key",
    "shop_updates",
    "text_field",
]

KEY_BYTES = 32
SHOP_BYTES_MAX = 400_000  # of the shop's document that travel with an admission; the rest comes by sync
NAME_CHARACTERS_MAX = 200


class NotAdmitted(PoslineError):
    """This till may not admit anybody."""

    status = 403
    title = "Not admitted"


def text_field(body: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    """A short text of a request. Raises BadRequest."""
    found = body.get(name, "" if optional else None)
    if not isinstance(found, str) or len(found) > NAME_CHARACTERS_MAX or not (found or optional):
        raise BadRequest.of(name, f"a text of at most {NAME_CHARACTERS_MAX} characters is needed")
    return found


def public_key(text: str) -> bytes:
    """A public key from base64url. Raises BadRequest."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest.of("key", "is no public key in base64url") from error
    if len(raw) != KEY_BYTES:
        raise BadRequest.of("key", f"is no public key: it has {len(raw)} bytes and not {KEY_BYTES}")
    return raw


def shop_updates(till: Till) -> list[str]:
    """The shop's document as updates in base64url, as far as an answer has room."""
    updates: list[str] = []
    size = after = 0
    while rows := till.replica.rows("shop", after, 256):
        for row in rows:
            size += len(row.update)
            if size > SHOP_BYTES_MAX:
                return updates
            updates.append(base64url(row.update))
        after = rows[-1].n
    return updates


def free_label(till: Till, wanted: str, author: str) -> str:
    """`wanted` if no other till has it, else with a digit behind it; without a wish, the next free letter."""
    members = till.store.members(till.shop_id)
    taken = {m.label for m in till.store.authority(till.shop_id).everyone.values() if m.author != author}
    taken |= {label for a in members if a != author and (label := till.reports.renamed(a))}
    if wanted and not valid_label(wanted):
        raise BadRequest.of("label", f"{wanted[:40]!r} is none: up to six of A-Z and 0-9")
    return next_label(taken, wanted or None)


async def admit(till: Till, key: bytes, *, role: Role, label: str, fields: Mapping[str, Any] | None = None) -> str:
    """Make the owner of `key` a member, unless it is one, and answer its label. Raises NotAdmitted."""
    author = author_id(key)
    authority = till.store.authority(till.shop_id)
    members = authority.members
    if author in members:
        return members[author].label
    if author in authority.removals and role is not Role.HEAD_OFFICE:
        raise NotAdmitted("this till was removed from the shop: join with an empty data folder, as a new till")
    own = members.get(till.id)
    if own is None or own.role is not Role.MANAGER:
        raise NotAdmitted("this till may not admit others: ask a till of the shop that may")
    async with till.admitting:  # one at a time, or two could be given one label
        if author in (members := till.store.members(till.shop_id)):
            return members[author].label
        given = free_label(till, label, author) if role in (Role.TILL, Role.MANAGER) else label
        entry = {"key": base64url(key), "member": author, "label": given, "role": role.value, **(fields or {})}
        await till.write("member", entry, document="shop")
    return given


class Admitting:
    """What a joining till asks, and is answered."""

    def __init__(self, till: Till) -> None:
        self._till = till

    async def join(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """{token, key, label?, succeeds?}: the membership, and all that the new till needs to begin."""
        till = self._till
        key = public_key(text_field(question, "key"))
        succeeds = text_field(question, "succeeds", optional=True)
        label = text_field(question, "label", optional=True)
        fields = {"succeeds": succeeds} if succeeds else None
        try:
            till.invitations.take(text_field(question, "token"), author_id(key))
            given = await admit(till, key, role=Role.MANAGER, label=label, fields=fields)
        except PoslineError as error:
            till.watch.refusals.note("a till that wanted to join", str(error), till.clockwork.wall_ms())
            raise
        return {
            "shop": till.shop_id,
            "name": till.shop,
            "label": given,
            "from": till.id,
            "where": till.links.known_addresses(),
            "updates": shop_updates(till),
        }
