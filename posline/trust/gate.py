"""Who may link: the one small interface between a link and trust.

A listener asks the gate of a shop what a token may do; a dialler asks it for the token to present. How tokens come
about is the business of whoever builds the gate.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["Gate", "Grant", "Scope", "TokenGate", "token_hash"]


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


class Gate(Protocol):
    """Decides about links of one shop."""

    def admit(self, document: str, token: str) -> Grant | str:
        """What `token` may do with `document`; a str is the reason of the refusal, in words an owner can act on."""
        ...

    def token(self) -> str:
        """What a dialler of this shop presents."""
        ...


def token_hash(token: str) -> str:
    """What is kept of a token that was handed out: its SHA-256, never the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class TokenGate:
    """A shop's own secret token opens everything; tokens handed out to programs open what they were granted."""

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
