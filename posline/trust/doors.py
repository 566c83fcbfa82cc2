"""The doorkeeper of a shop: lets in its members, who prove their keys, and programs with a token that was handed out.

Who is a member is what the shop's document says here and now. A device whose admission has not arrived here yet
introduces itself with the entries that admitted it, which lead back to somebody who is known; so two tills that were
admitted by a third one, which is gone, still meet. Knows no sockets.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from posline.core.entry import Entry, decode, verify
from posline.core.members import Role, Shop, member_key, read_shop
from posline.core.numbers import author_id
from posline.trust.gate import Gate, Grant, Scope, Stranger
from posline.trust.handshake import (
    INTRODUCTION_CHARS_MAX,
    INTRODUCTION_MAX,
    NONCE_BYTES,
    Statement,
    read_statement,
    state,
    vouches,
)

if TYPE_CHECKING:
    from posline.trust.keys import Key

__all__ = ["REMOVED", "MemberDoors", "introduction"]

REMOVED = "was removed from the shop"
REVOKED = "its token was revoked: ask for a new one with 'token add'"
UNKNOWN = "it is no member of this shop here (yet): admit it with 'posline invite', or let a till that knows it connect"
BETWEEN = "somebody stands between the two devices, with another certificate: look at the network"
OTHER_KEY = "its key is not the one that this shop knows: it may be a copy or a forger; remove it, and invite it anew"


class MemberDoors:
    """See Doorkeeper."""

    def __init__(
        self,
        shop: str,
        key: Callable[[], Key],
        authority: Callable[[], Shop],
        acts: Callable[[], Sequence[Entry]],
        programs: Callable[[str], Grant | None],
        refused: Callable[[str, str], None] = lambda author, why: None,
        closed: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`key` is this device's own, as of now; `authority` who is a member, `acts` the entries that say so;
        `programs` what a token that was handed out may do; `refused` is told which author was not let in ("" said
        none) and why; `closed` says why nobody may link here any more, None while they may."""
        self.shop, self.key, self.authority, self.programs, self.refused = shop, key, authority, programs, refused
        self.closed = closed
        self._acts = acts

    def welcome(self, nonce: str, *, introduce: bool, tls: str) -> tuple[str, Gate]:
        """See Doorkeeper."""
        gate = _Incoming(self, tls)
        if not nonce:
            return "", gate
        proof = Statement(
            True, self.key().id, self.shop, nonce, tls, next=gate.nonce,
            introduction=self.introduction() if introduce else (),
        )  # fmt: skip
        return state(self.key(), proof), gate

    def approach(self, proof: str, nonce: str, *, introduce: bool, tls: str, expects: str = "") -> Gate:
        """See Doorkeeper."""
        said = read_statement(proof, listener=True)
        if said is None:
            raise Stranger("what answers there is no till or head office of Posline, or one of before 0.2")
        if said.shop != self.shop:
            raise Stranger("what answers there belongs to another shop")
        if said.nonce != nonce:
            raise Stranger("what answers there repeats an old answer: somebody may stand in between")
        if said.tls != tls:
            raise Stranger(BETWEEN)
        if expects and said.author != expects:
            raise Stranger("another device answers there than the one that was looked for")
        reason = self.objection(said, proof)
        if reason is not None:
            raise Stranger(reason, introduce=not said.introduction)
        mine = Statement(
            False, self.key().id, self.shop, said.next, tls, to=said.author,
            introduction=self.introduction() if introduce else (),
        )  # fmt: skip
        return _Outgoing(self, said.author, state(self.key(), mine))

    def objection(self, said: Statement, text: str) -> str | None:
        """Why the author of a statement is not let in; None when it is."""
        shop = self._as_introduced(said)
        reason = self.standing(said.author, shop)
        if reason is not None:
            return reason
        key = shop.key_of(said.author)
        return None if key is not None and vouches(text, key) else OTHER_KEY

    def standing(self, author: str, shop: Shop | None = None) -> str | None:
        """Why an author may not link, as the members stand; None when it may."""
        shop = shop or self.authority()
        if author in shop.removals:
            member = shop.everyone.get(author)
            return f"{'it' if member is None else f'till {member.label}'} {REMOVED}"
        return None if author in shop.members else UNKNOWN

    def introduction(self) -> tuple[str, ...]:
        """The entries that say who admitted this device, for somebody who does not know it."""
        found = introduction(self._acts(), self.key().id)
        texts = [base64.urlsafe_b64encode(entry.raw).decode() for entry in found]
        while sum(map(len, texts)) > INTRODUCTION_CHARS_MAX:
            del texts[0]  # the other side is likelier to know what is older
        return tuple(texts)

    def _as_introduced(self, said: Statement) -> Shop:
        """The shop with what the statement brings, where that leads to its author from a member known here."""
        shop = self.authority()
        if not said.introduction:
            return shop
        acts = self._acts()
        here = {act.hash for act in acts}
        try:
            brought = [decode("shop", base64.urlsafe_b64decode(text)) for text in said.introduction]
        except (binascii.Error, ValueError):
            return shop
        # signatures first: evaluating a shop is dear, and nobody but a member's friend gets that far
        keys = {author: {of[-1][1]} for author, of in shop.keys.items()}  # none that is known to be an old one
        sound = []
        for entry in (entry for entry in brought if entry.hash not in here):
            if entry.fault is not None or not any(verify(key, entry) for key in keys.get(entry.till, ())):
                return shop
            sound.append(entry)
            if entry.kind == "member":
                admitted = member_key(entry.body["key"])
                keys.setdefault(author_id(admitted), {admitted})
            elif entry.kind == "key":
                keys[entry.till].add(member_key(entry.body["key"]))
        return read_shop([*acts, *sound], self.shop) if sound else shop


class _Incoming:
    """The gate of a connection that came in."""

    def __init__(self, doors: MemberDoors, tls: str) -> None:
        self.peer: str | None = None
        self.nonce = secrets.token_urlsafe(NONCE_BYTES)
        self._doors, self._tls = doors, tls
        self._programs: set[str] = set()  # authors that write tokens on this connection name
        self._tokens: set[str] = set()  # that opened something on this connection

    def admit(self, document: str, token: str) -> Grant | str:
        """See Gate."""
        said = read_statement(token, listener=False)
        found = self._admit(token, said)
        if isinstance(found, str):
            self._doors.refused("" if said is None else said.author, found)
        return found

    def _admit(self, token: str, said: Statement | None) -> Grant | str:
        doors = self._doors
        closed = doors.closed()
        if closed is not None:
            return closed
        grant = doors.programs(token)
        if grant is not None:
            if grant.author is not None and (reason := doors.standing(grant.author)) is not None:
                return reason
            if grant.author is not None:
                self._programs.add(grant.author)
            self._tokens.add(token)
            return grant
        if said is None:
            return "this token does not open the shop: ask for one with 'token add'"
        if said.shop != doors.shop or said.to != doors.key().id:
            return "this token is meant for another shop or device"
        if said.nonce != self.nonce:
            return "this token was made for another connection"
        if said.tls != self._tls:
            return BETWEEN
        reason = doors.objection(said, token)
        if reason is not None:
            return reason
        self.peer = said.author
        shop = doors.authority()
        reader = said.author in shop.members and shop.members[said.author].role is Role.READER
        return Grant(Scope.READER if reader else Scope.REPLICA)

    def token(self) -> str:
        """See Gate."""
        return ""

    def objection(self) -> str | None:
        """See Gate."""
        closed = self._doors.closed()
        if closed is not None:
            return closed
        if any(self._doors.programs(token) is None for token in self._tokens):
            return REVOKED
        authors = self._programs if self.peer is None else {self.peer}
        return next((reason for author in authors if (reason := _removed(self._doors, author)) is not None), None)


class _Outgoing:
    """The gate of a connection that we made."""

    def __init__(self, doors: MemberDoors, peer: str, token: str) -> None:
        self.peer: str | None = peer
        self._doors, self._author, self._token = doors, peer, token

    def admit(self, document: str, token: str) -> Grant | str:
        """See Gate."""
        return "a dialler admits nobody"

    def token(self) -> str:
        """See Gate."""
        return self._token

    def objection(self) -> str | None:
        """See Gate."""
        return _removed(self._doors, self._author)


def _removed(doors: MemberDoors, author: str) -> str | None:
    """Only a removal ends a link that is up: who was introduced is a member once its admission has arrived."""
    return doors.standing(author) if author in doors.authority().removals else None


def introduction(acts: Sequence[Entry], author: str) -> list[Entry]:
    """The entries that admitted `author`, also again after a removal, and its changes of key, with what accepted them;
    before them those of who admitted it, and so on; at most as many as a statement may bring, the oldest left out."""
    admissions: dict[str, list[Entry]] = {}
    changes: dict[str, list[Entry]] = {}
    accepts: list[Entry] = []
    for act in (act for act in acts if not act.fault):
        if act.kind == "member":
            admissions.setdefault(author_id(member_key(act.body["key"])), []).append(act)
        elif act.kind == "key":
            changes.setdefault(act.till, []).append(act)
        elif act.kind == "accept":
            accepts.append(act)
    found: list[Entry] = []
    wanted, done = [author], set[str]()
    while wanted and len(found) < INTRODUCTION_MAX:
        who = wanted.pop(0)
        if who not in done:
            done.add(who)
            admitted, changed = admissions.get(who, []), sorted(changes.get(who, ()), key=lambda act: act.seq)
            named = {act.hash.hex() for act in changed}
            let_in = [act for act in accepts if not named.isdisjoint(act.body["entries"])]
            found = admitted + changed + let_in + found
            wanted += [act.till for act in (*admitted, *let_in)]
    return found[-INTRODUCTION_MAX:]
