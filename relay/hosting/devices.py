"""The devices that a head office hosts, as its books have them, and the open invitations to pair one.

They lie in the books since every process of the head office speaks for each of them, their signing keys included. Of a
device's secret, as of an invitation's token, only the hash is kept. No backup holds any of it: a head office that is
made of one hosts nobody, so nobody goes on from an entry that a device has long left behind.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from posline.core.base64url import base64url, from_base64url
from posline.core.numbers import valid_label
from posline.errors import BadRequest, NotPossible
from posline.till.hosting.devices import SECRET_BYTES
from posline.till.hosting.requests import REQUEST
from posline.till.invitation import (
    EXPIRES_DEFAULT_S,
    OPEN_MAX,
    TRIES_MAX,
    InvitationRefused,
)
from posline.till.opening import KEY_SEED_BYTES
from posline.trust.gate import token_hash
from posline.trust.keys import Key
from relay.database import Step, Transaction, transact
from relay.invitations import ID_CHARS, TOKEN_CHARS_MAX, fresh_token
from relay.office import Office, iso_ms
from relay.rights import Actor

__all__ = ["ASKED", "DEVICES_MAX", "HOSTED_TABLES", "STEPS", "Device", "OfficeDevices"]

HOSTED_TABLES = ("office_hosted", "office_pairing")  # which no backup holds
STEPS: tuple[Step, ...] = (
    ("hosted devices", (
        "CREATE TABLE office_hosted (author TEXT PRIMARY KEY, shop TEXT NOT NULL, label TEXT NOT NULL,"
        " invited_by TEXT NOT NULL, request TEXT NOT NULL UNIQUE, secret TEXT NOT NULL, signing TEXT NOT NULL,"
        " paired_ms INTEGER NOT NULL, agent TEXT NOT NULL, seen_ms INTEGER NOT NULL, waiting INTEGER NOT NULL,"
        " vouched_ms INTEGER NOT NULL, removed_ms INTEGER NOT NULL, told TEXT NOT NULL)",
        "CREATE INDEX office_hosted_secret ON office_hosted (secret)",
        "CREATE INDEX office_hosted_shop ON office_hosted (shop)",
        "CREATE TABLE office_pairing (id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, shop TEXT NOT NULL,"
        " label TEXT NOT NULL, invited_by TEXT NOT NULL, ends_ms INTEGER NOT NULL, wrong INTEGER NOT NULL,"
        " taken_by TEXT NOT NULL)",
    )),
)  # fmt: skip
COLUMNS = "author, shop, label, invited_by, signing, paired_ms, agent, seen_ms, waiting, vouched_ms, removed_ms, told"
URL = "tills"  # the note of where devices reach this head office
ASKED, WITHDRAWN = "asked", "withdrawn"  # what the shop was told of a device
DEVICES_MAX = 50  # of one shop
AGENT_CHARACTERS = 120
SEEN_MS = 60_000  # how exactly it is written down when a device was last there
FORGET_MS = 86_400_000  # how long a removed one is known, so that it cannot come back by its own pairing
CLOSED = "the code has expired or is not from here: ask at the head office for a new one"


@dataclass(frozen=True, slots=True)
class Device:
    """One hosted till. `label` is the one that was asked for, `invited_by` who asked; `waiting` is how much its page
    said that it keeps. Times are milliseconds since 1970, 0 for never; `told` is "", ASKED or WITHDRAWN."""

    author: str
    shop: str
    label: str
    invited_by: str
    signing: str = field(repr=False)
    paired_ms: int
    agent: str
    seen_ms: int
    waiting: int
    vouched_ms: int
    removed_ms: int
    told: str

    @property
    def key(self) -> Key:
        """Its signing key."""
        return Key(from_base64url(self.signing))

    @property
    def setting(self) -> str:
        """The name of the shop's setting by which it asks to be let in."""
        return REQUEST + self.author

    @property
    def asks(self) -> dict[str, str] | None:
        """What that setting is to be: who asks, and None where nobody does any more."""
        if self.removed_ms:
            return None
        said = {"label": self.label, "by": self.invited_by, "agent": self.agent}
        return {"key": base64url(self.key.public), **said}

    @property
    def seen(self) -> str | None:
        """When it was last there, as ISO 8601."""
        return iso_ms(self.seen_ms) if self.seen_ms else None


class OfficeDevices:
    """The devices of a head office. Every method may be called from any thread, but not from the event loop's."""

    def __init__(self, office: Office) -> None:
        self._office, self._database = office, office.database

    # -- where they are hosted -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where devices reach this head office, as of its last start; "" where it hosts none."""
        return self._office.note(URL)

    def remember(self, url: str) -> None:
        """Keep where devices reach it; "" ends that."""
        self._office.set_note(URL, url)

    # -- pairing -------------------------------------------------------------------------------------------------------

    def invite(self, shop: str, label: str, *, by: Actor, expires_s: float = EXPIRES_DEFAULT_S) -> str:
        """The link with which one device is paired for a shop. Raises NotPossible, BadRequest, InvitationRefused."""
        url, at_ms = self.url, self._office.now_ms()
        if not url:
            raise NotPossible("this head office hosts no devices: start it with 'posline-relay serve --tills URL'")
        if label and not valid_label(label):
            raise BadRequest.of("label", f"{label[:40]!r} is none: up to six of A-Z and 0-9")
        id, token, ends_ms = fresh_token(at_ms, expires_s)

        def work(tx: Transaction) -> None:
            tx.execute("DELETE FROM office_pairing WHERE ends_ms <= ?", (at_ms,))
            gone = "DELETE FROM office_hosted WHERE told = ? AND removed_ms > 0 AND removed_ms < ?"
            tx.execute(gone, (WITHDRAWN, at_ms - FORGET_MS))
            hosted = "SELECT count(*) FROM office_hosted WHERE shop = ? AND removed_ms = 0"
            if tx.execute(hosted, (shop,)).fetchone()[0] >= DEVICES_MAX:
                raise NotPossible(f"{DEVICES_MAX} devices of this shop are hosted here: remove some first")
            (count,) = tx.execute("SELECT count(*) FROM office_pairing WHERE taken_by = ''").fetchone()
            if count >= OPEN_MAX:
                raise InvitationRefused(f"{OPEN_MAX} codes are open: wait until some have expired")
            tx.execute(
                "INSERT INTO office_pairing (id, hash, shop, label, invited_by, ends_ms, wrong, taken_by)"
                " VALUES (?, ?, ?, ?, ?, ?, 0, '') ON CONFLICT (id) DO NOTHING",
                (id, token_hash(token), shop, label, by.name, ends_ms),
            )
            self._office.audit(tx, by, "device_invited", shop, label)

        transact(self._database, work)
        return f"{url}/pair#{token}"

    def pair(self, token: str, request: str, agent: str, where: str) -> tuple[Device, str]:
        """The device that shows an invitation's token, and the secret that its cookie holds from now on. `request` is
        an id of its own making: the same one may ask again where the answer was lost. Raises InvitationRefused."""
        if len(token) > TOKEN_CHARS_MAX:
            raise InvitationRefused(CLOSED)
        hash, at_ms = token_hash(token), self._office.now_ms()
        seed, secret = secrets.token_bytes(KEY_SEED_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        key = Key(seed)

        def work(tx: Transaction) -> Device | str:
            asked = "SELECT shop, label, invited_by, taken_by FROM office_pairing WHERE hash = ? AND ends_ms > ?"
            row = tx.execute(f"{asked} AND wrong < ?", (hash, at_ms, TRIES_MAX)).fetchone()
            if row is None:  # what is wrong counts, and so this is no exception yet: it would be rolled back
                tx.execute("UPDATE office_pairing SET wrong = wrong + 1 WHERE id = ?", (token[:ID_CHARS],))
                return CLOSED
            shop, label, invited_by, taken_by = row
            if taken_by not in ("", request):
                return "the code was used already: ask at the head office for a new one"
            known = _one(tx.execute(f"SELECT {COLUMNS} FROM office_hosted WHERE request = ?", (request,)).fetchone())
            if known is not None and (known.removed_ms or not taken_by):  # or what another code paired
                return "this device was removed: load the page of a new code afresh"
            if known is None:
                tx.execute("UPDATE office_pairing SET taken_by = ? WHERE hash = ?", (request, hash))
                tx.execute(
                    "INSERT INTO office_hosted (author, shop, label, invited_by, request, secret, signing, paired_ms,"
                    " agent, seen_ms, waiting, vouched_ms, removed_ms, told)"
                    " VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, 0, 0, 0, 0, '')",
                    (key.id, shop, label, invited_by, request, base64url(seed), at_ms, agent[:AGENT_CHARACTERS]),
                )
                self._office.audit(tx, Actor(invited_by, where), "device_paired", shop, label)
            author = key.id if known is None else known.author
            tx.execute("UPDATE office_hosted SET secret = ? WHERE author = ?", (token_hash(secret), author))
            found = _one(tx.execute(f"SELECT {COLUMNS} FROM office_hosted WHERE author = ?", (author,)).fetchone())
            assert found is not None
            return found

        found = transact(self._database, work)
        if isinstance(found, str):
            raise InvitationRefused(found)
        return found, secret

    # -- who is there --------------------------------------------------------------------------------------------------

    def presenting(self, secret: str) -> Device | None:
        """The device whose secret this is; None for a stranger, and for one that was removed."""
        if not 0 < len(secret) <= TOKEN_CHARS_MAX:
            return None
        asked = f"SELECT {COLUMNS} FROM office_hosted WHERE secret = ? AND removed_ms = 0"
        return _one(self._database.execute(asked, (token_hash(secret),)).fetchone())

    def note_seen(self, device: Device, waiting: int | None) -> None:
        """It is there, and its page keeps so much: written at most once a minute, and before anything that it asks for
        is done, so that whoever vouches for it knows that it wrote something."""
        at_ms = self._office.now_ms()
        if 0 <= at_ms - device.seen_ms < SEEN_MS:
            return
        kept = device.waiting if waiting is None else waiting
        asked = "UPDATE office_hosted SET seen_ms = ?, waiting = ? WHERE author = ?"
        transact(self._database, lambda tx: tx.execute(asked, (at_ms, kept, device.author)))

    def of(self, shop: str) -> list[Device]:
        """The devices of a shop, in the order in which they came."""
        asked = f"SELECT {COLUMNS} FROM office_hosted WHERE shop = ? AND removed_ms = 0 ORDER BY paired_ms, author"
        return [Device(*row) for row in self._database.execute(asked, (shop,))]

    def standing(self, authors: Iterable[str]) -> set[str]:
        """Those of these devices that are hosted."""
        asked = "SELECT 1 FROM office_hosted WHERE author = ? AND removed_ms = 0"
        return {author for author in authors if self._database.execute(asked, (author,)).fetchone() is not None}

    def remove(self, device: Device, *, by: Actor, label: str = "") -> None:
        """Its cookie opens nothing from this moment on. Its key goes once what it sold is signed (`told`)."""
        at_ms = self._office.now_ms()

        def work(tx: Transaction) -> None:
            asked = "UPDATE office_hosted SET removed_ms = ?, secret = '' WHERE author = ? AND removed_ms = 0"
            if tx.execute(asked, (at_ms, device.author)).rowcount:
                self._office.audit(tx, by, "device_removed", device.shop, label or device.label)
                self._office.doors_changed(tx)

        transact(self._database, work)

    # -- for whoever leads ---------------------------------------------------------------------------------------------

    def untold(self) -> list[Device]:
        """Those that their shop has not been told of yet, or not yet that they are gone."""
        asked = f"SELECT {COLUMNS} FROM office_hosted WHERE (removed_ms = 0 AND told = '')"
        found = self._database.execute(f"{asked} OR (removed_ms > 0 AND told <> ?)", (WITHDRAWN,))
        return [Device(*row) for row in found]

    def told(self, device: Device) -> None:
        """Its shop was told as much as `device` says; the key of one that is gone goes now."""
        if device.removed_ms:
            asked, values = "UPDATE office_hosted SET told = ?, signing = ''", (WITHDRAWN, device.author)
        else:
            asked, values = "UPDATE office_hosted SET told = ?", (ASKED, device.author)
        where = " WHERE author = ? AND removed_ms = ?"
        transact(self._database, lambda tx: tx.execute(asked + where, (*values, device.removed_ms)))

    def unvouched(self, before_ms: int) -> list[Device]:
        """Those that were there since they were last vouched for, and not since `before_ms`."""
        asked = f"SELECT {COLUMNS} FROM office_hosted WHERE removed_ms = 0 AND seen_ms > vouched_ms AND seen_ms < ?"
        return [Device(*row) for row in self._database.execute(asked, (before_ms,))]

    def vouched(self, device: Device) -> None:
        """What it had written when it was last there is signed."""
        asked = "UPDATE office_hosted SET vouched_ms = ? WHERE author = ?"
        transact(self._database, lambda tx: tx.execute(asked, (device.seen_ms, device.author)))


def _one(row: Any) -> Device | None:
    return None if row is None else Device(*row)
