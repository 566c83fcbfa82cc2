"""Who may do what at the head office: roles, the rights that each has, and over which shops. All of it stands here.

Knows nothing of passwords, tokens or tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from posline.errors import BadRequest, PoslineError

__all__ = ["RIGHTS", "Actor", "NotYours", "Right", "Role", "Viewer", "scope"]


class Right(StrEnum):
    """What may be allowed."""

    SEE = "see"  # sales, totals, tills and alarms of a shop
    EXPORT = "export"  # all of it as a file or a feed
    PRICES = "prices"  # change what goods cost
    ADMINISTER = "administer"  # shops, people, tokens, the audit trail


class Role(StrEnum):
    """What a person is at the head office."""

    OWNER = "owner"
    ACCOUNTANT = "accountant"
    MANAGER = "manager"
    READER = "reader"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.ACCOUNTANT: frozenset({Right.SEE, Right.EXPORT}),
    Role.MANAGER: frozenset({Right.SEE, Right.PRICES}),
    Role.READER: frozenset({Right.SEE}),
}
PROGRAM_RIGHTS = frozenset({Right.SEE, Right.EXPORT})  # of a token that was handed out to a program


class NotYours(PoslineError):
    """Whoever asks is known, and may not do this."""

    status = 403
    title = "Not yours to do"
    word = "not_yours"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, for the audit trail: a name, and the address that it was done from."""

    name: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever asks, and what is theirs: `shops` None is every shop. `person` is "" for a program; `author` is whose
    entries a program writes, where it may."""

    name: str
    rights: frozenset[Right]
    shops: frozenset[str] | None = None
    person: str = ""
    role: Role | None = None
    language: str = ""
    author: str | None = None

    @classmethod
    def program(cls, name: str, shop: str, author: str | None) -> Viewer:
        """The bearer of a program's token; `shop` "" is every shop."""
        return cls(name, PROGRAM_RIGHTS, frozenset({shop}) if shop else None, author=author)

    def covers(self, shop: str) -> bool:
        """Whether this shop is one of theirs; "", which is the office itself, is for whoever sees every shop."""
        return self.shops is None or shop in self.shops

    def may(self, right: Right, shop: str | None = None) -> bool:
        """Whether they have this right, over this shop where one is named."""
        return right in self.rights and (shop is None or self.covers(shop))

    def require(self, right: Right, shop: str | None = None) -> None:
        """Raise NotYours unless they may."""
        if not self.may(right, shop):
            raise NotYours(f"this needs the right to {right}, which {self.name or 'this token'} does not have here")


def scope(role: Role, shops: frozenset[str] | None) -> frozenset[str] | None:
    """The shops of a person with this role to whom these were named; None is every shop, also those that are attached
    later. Raises BadRequest."""
    if role is Role.OWNER and shops is not None:
        raise BadRequest.of("shops", "an owner sees every shop: name none, or choose another role")
    if role is Role.MANAGER and shops is None:
        raise BadRequest.of("shops", "a manager has shops of their own: name at least one")
    if shops is not None and not shops:
        raise BadRequest.of("shops", "none is named: name at least one, or every shop")
    return shops
