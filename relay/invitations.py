"""The open invitations of a head office, in its books: made by one process, and taken up at any.

A token is the id of its invitation and a secret behind it, so that wrong guesses count against the one invitation that
they were made at. Only hashes are kept.
"""

from __future__ import annotations

import secrets

from posline.till.invitation import (
    EXPIRES_DEFAULT_S,
    EXPIRES_MAX_S,
    OPEN_MAX,
    TOKEN_BYTES,
    TRIES_MAX,
    Invitation,
    InvitationRefused,
)
from posline.trust.gate import token_hash
from relay.database import Transaction, transact
from relay.office import CONSOLE, Office, named
from relay.rights import Actor

__all__ = ["ID_CHARS", "TOKEN_CHARS_MAX", "OfficeInvitations", "fresh_token"]

DEFAULT_ADDRESS = "127.0.0.1:8800"  # before the first start
ID_BYTES = 6
ID_CHARS = 8  # as base64url
TOKEN_CHARS_MAX = 64
CLOSED = "the invitation has expired or is not from here: ask for a new one"


def fresh_token(at_ms: int, expires_s: float) -> tuple[str, str, int]:
    """A one-time token made at `at_ms`: (its invitation's id, the token, when it ends in milliseconds since 1970)."""
    id = secrets.token_urlsafe(ID_BYTES)
    return id, id + secrets.token_urlsafe(TOKEN_BYTES), at_ms + int(min(expires_s, EXPIRES_MAX_S) * 1000)


class OfficeInvitations:
    """Invitations to attach a shop."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def add(self, *, expires_s: float = EXPIRES_DEFAULT_S, note: str = "", by: Actor = CONSOLE) -> str:
        """A fresh one-time token. `note` is what the head office will call the shop; it comes back from `take`. Raises
        InvitationRefused where too many are open."""
        at_ms, alias = self._office.now_ms(), named("shop", note, empty=True)
        id, token, ends_ms = fresh_token(at_ms, expires_s)

        def work(tx: Transaction) -> None:
            tx.execute("DELETE FROM office_invitation WHERE ends_ms <= ?", (at_ms,))
            (count,) = tx.execute("SELECT count(*) FROM office_invitation WHERE taken_by = ''").fetchone()
            if count >= OPEN_MAX:
                raise InvitationRefused(f"{OPEN_MAX} invitations are open: wait until some have expired")
            tx.execute(
                "INSERT INTO office_invitation (id, hash, alias, made_ms, ends_ms, wrong, taken_by)"
                " VALUES (?, ?, ?, ?, ?, 0, '') ON CONFLICT (id) DO NOTHING",
                (id, token_hash(token), alias, at_ms, ends_ms),
            )
            self._office.audit(tx, by, "invitation_made", alias)

        transact(self._office.database, work)
        return token

    def link(self, token: str, store: str) -> Invitation:
        """The link in which a token is passed on; `store` is the head office's own id."""
        address, _, pin = self._office.address.partition(" ")
        return Invitation("attach", (address or DEFAULT_ADDRESS,), store, token, pin)

    def take(self, token: str, by: str) -> str:
        """Use the token for the shop `by`, and return its note: once, but the same shop may ask again where the answer
        was lost. Raises InvitationRefused."""
        if len(token) > TOKEN_CHARS_MAX:
            raise InvitationRefused(CLOSED)
        hash, at_ms = token_hash(token), self._office.now_ms()

        def work(tx: Transaction) -> tuple[str, str] | None:
            asked = "SELECT alias, taken_by FROM office_invitation WHERE hash = ? AND ends_ms > ? AND wrong < ?"
            row = tx.execute(asked, (hash, at_ms, TRIES_MAX)).fetchone()
            if row is None:  # what is wrong counts, and so this is no exception yet: it would be rolled back
                tx.execute("UPDATE office_invitation SET wrong = wrong + 1 WHERE id = ?", (token[:ID_CHARS],))
                return None
            alias, taken_by = row
            if not taken_by:
                tx.execute("UPDATE office_invitation SET taken_by = ? WHERE hash = ? AND taken_by = ''", (by, hash))
            return alias, taken_by or by

        found = transact(self._office.database, work)
        if found is None:
            shop = self._office.shop(by)
            if shop is not None and shop.removed_ms:
                raise InvitationRefused(
                    "this shop was removed from the head office: ask there for a new invitation ('posline-relay "
                    "invite'), and attach it with that"
                )
            raise InvitationRefused(CLOSED)
        if found[1] != by:
            raise InvitationRefused("the invitation was used already: ask for a new one")
        return found[0]
