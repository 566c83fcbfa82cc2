"""Who may link: the small interfaces between a link and trust.

A `Doorkeeper` stands for one shop on one device. For each connection it makes a `Gate`, which decides what the other
side may do and gives the token that a dialler presents. How a device proves who it is, is the doorkeeper's business.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from posline.errors import PoslineError

__all__ = ["Doorkeeper", "Gate", "Grant", "Scope", "Stranger", "TokenGate", "token_hash"]


class Scope(StrEnum):
    """What a link may do; the values are what Hocuspocus' Auth message says."""

    REPLICA = "replica"
    WRITER = "read-write"
    READER = "readonly"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token was granted. A writer's updates pass only for entries of `author`."""

    scope: Scope
    author: str | None = None


class Stranger(PoslineError):
    """What answers at an address is not to be linked with. `introduce`: it may only not know us, or we it, yet."""

    title = "A stranger answers"

    def __init__(self, reason: str, *, introduce: bool = False) -> None:
        super().__init__(reason)
        self.introduce = introduce


class Gate(Protocol):
    """Decides about one connection."""

    @property
    def peer(self) -> str | None:
        """The author that the other side proved to be; None until, or unless, it did."""
        ...

    def admit(self, document: str, token: str) -> Grant | str:
        """What `token` may do with `document`; a str is the reason of the refusal, in words an owner can act on."""
        ...

    def token(self) -> str:
        """What a dialler presents."""
        ...

    def objection(self) -> str | None:
        """Why the connection may not go on any more, as the shop's members stand now; None when it may."""
        ...


class Doorkeeper(Protocol):
    """Makes the gates of one shop's connections on one device. `tls` is the fingerprint of the listener's certificate,
    "" without TLS; a proof is good only for the connection that it was made for."""

    def welcome(self, nonce: str, *, introduce: bool, tls: str) -> tuple[str, Gate]:
        """A connection came in with the dialler's `nonce`, "" where it brought none: (our proof for the upgrade's
        answer or "", its gate). With `introduce` the dialler asks who admitted us."""
        ...

    def approach(self, proof: str, nonce: str, *, introduce: bool, tls: str, expects: str = "") -> Gate:
        """A listener answered our `nonce` with `proof`: the gate of the connection. Raises Stranger, also where it is
        not `expects` (an author; "" is anybody of the shop). With `introduce` our token says who admitted us."""
        ...


def token_hash(token: str) -> str:
    """What is kept of a token that was handed out: its SHA-256, never the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class TokenGate:
    """One secret token opens everything; tokens handed out to programs open what they were granted. For connections
    within one machine's memory: doorkeeper and gate in one, it proves nothing of who speaks."""

    peer: str | None = None

    def __init__(self, shop_token: str, handed_out: Mapping[str, Grant] | None = None) -> None:
        """`handed_out` maps `token_hash` to grants; it is read at each decision, so additions count at once."""
        self._shop_token = shop_token
        self._handed_out: Mapping[str, Grant] = handed_out if handed_out is not None else {}

    def admit(self, document: str, token: str) -> Grant | str:
        """See Gate."""
        if self._shop_token and hmac.compare_digest(
            token.encode("utf-8", "surrogatepass"), self._shop_token.encode("utf-8")
        ):
            return Grant(Scope.REPLICA)
        grant = self._handed_out.get(token_hash(token))
        if grant is None:
            return "this token is not known to the shop: ask for a new one with 'token add' or 'invite'"
        return grant

    def token(self) -> str:
        """See Gate."""
        return self._shop_token

    def objection(self) -> str | None:
        """See Gate."""
        return None

    def welcome(self, nonce: str, *, introduce: bool, tls: str) -> tuple[str, Gate]:
        """See Doorkeeper."""
        return "", self

    def approach(self, proof: str, nonce: str, *, introduce: bool, tls: str, expects: str = "") -> Gate:
        """See Doorkeeper."""
        return self
