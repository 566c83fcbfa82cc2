"""Webhooks: who is told of what comes in, how far each has heard, and what could not be told to anybody.

A subscription hears the events of the feed in the feed's order, in messages of some events each. What is to be sent
next and how far it has got is in tables, so that a crash sends again at the most what was not acknowledged. `decide`
and `settle` say what follows from what, with the time handed in; `relay.delivering` sends. No I/O but the tables.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from posline.errors import BadRequest, NotFound
from posline.storage.feed import FeedItem, FeedPage
from relay.database import Database, Transaction, transact
from relay.feeding import shown
from relay.office import CONSOLE
from relay.rights import Actor

__all__ = [
    "STEPS", "Dead", "Message", "Outcome", "Progress", "Settled", "Subscription", "Webhooks",
    "decide", "read_secret", "settle", "signatures",
]  # fmt: skip

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("webhooks", (
        "CREATE TABLE webhook (id TEXT PRIMARY KEY, url TEXT NOT NULL, secret TEXT NOT NULL, old_secret TEXT NOT NULL,"
        " old_until_ms INTEGER NOT NULL, shops TEXT NOT NULL, kinds TEXT NOT NULL, batch INTEGER NOT NULL,"
        " private INTEGER NOT NULL, active INTEGER NOT NULL, off_why TEXT NOT NULL, made_ms INTEGER NOT NULL)",
        # everything up to `at` was acknowledged, given up or is not wanted; a message that is being sent ends at `upto`
        "CREATE TABLE webhook_progress (webhook TEXT PRIMARY KEY, at INTEGER NOT NULL, life TEXT NOT NULL,"
        " upto INTEGER NOT NULL, singly INTEGER NOT NULL, tries INTEGER NOT NULL, next_ms INTEGER NOT NULL,"
        " given_up INTEGER NOT NULL, heard_ms INTEGER NOT NULL, failed TEXT NOT NULL)",
        "CREATE TABLE webhook_dead (webhook TEXT NOT NULL, n INTEGER NOT NULL, life TEXT NOT NULL,"
        " at_ms INTEGER NOT NULL, queued INTEGER NOT NULL, why TEXT NOT NULL, PRIMARY KEY (webhook, n))",
    )),
)  # fmt: skip
BATCH, BATCH_MAX = 50, 100  # events of one message: some 50 kB
TRIES_MAX = 8  # of a message that its receiver does not take, until it is sent singly, or its one event is given up
GIVEN_UP_MAX = 20  # events in a row: behind that it is the receiver that is not well, and nothing more is given up
DELAY_S, DELAY_S_MAX = 5.0, 3600.0  # before the second try, and before any; doubled from try to try
ROTATION_MS = 24 * 3600 * 1000  # how long an old secret signs beside the new one
SECRET, SECRET_BYTES = "whsec_", 32
URL_CHARACTERS_MAX, KINDS_MAX, SHOPS_MAX = 500, 50, 1000
WHY_CHARACTERS = 300
# answers that say nothing of the events: the receiver moved, does not know us, is busy or not there
ELSEWHERE = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 407, 421, 429, 503})
GONE = 410
SKIPPED_MAX = 500  # events that are not wanted and are looked at again each time: else each of them would be a write
LEFT_BEHIND = "the feed is not the one that it was reading"


# -- what there is -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told. No `shops` are all of them, no `kinds` all kinds of entry; `private` that it may lie within the
    operator's own network; `off_why` why it was switched off, where no person did."""

    id: str
    url: str
    secret: str
    old_secret: str = ""
    old_until_ms: int = 0
    shops: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    batch: int = BATCH
    private: bool = False
    active: bool = True
    off_why: str = ""
    made_ms: int = 0

    def secrets(self, now_ms: int) -> list[str]:
        """Those that sign now: for a while after a rotation, two."""
        return [self.secret, *([self.old_secret] if self.old_secret and now_ms < self.old_until_ms else [])]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a subscription has heard: everything up to number `at`, which was numbered in `life`. `upto` ends the
    message that is being sent; up to `singly` one event is sent at a time; `given_up` is how many were in a row."""

    at: int
    life: str
    upto: int = 0
    singly: int = 0
    tries: int = 0
    next_ms: int = 0
    given_up: int = 0
    heard_ms: int = 0
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Dead:
    """An event that its receiver does not take; `queued` where it is to be sent once more."""

    n: int
    life: str
    at_ms: int
    queued: bool
    why: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent in one request: the events of the feed up to `last`, or one that is `requeued`."""

    id: str
    ids: tuple[str, ...]
    body: bytes
    last: int
    requeued: Dead | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: the answer's status, or none with the error in words. `reached` is False where the
    receiver cannot have seen it; `after_s` is when it asked to be tried again."""

    status: int | None
    error: str = ""
    reached: bool = True
    after_s: float | None = None

    @property
    def words(self) -> str:
        """For people."""
        said = f"it answered {self.status}" if self.status is not None else ""
        return ": ".join(filter(None, (said, self.error)))[:WHY_CHARACTERS]


# -- what follows from what --------------------------------------------------------------------------------------------

Read = Callable[[int, int], FeedPage]  # events behind a number, at most so many, of its shops and kinds
Lives = Callable[[Sequence[int]], list[str]]


def decide(
    one: Subscription, progress: Progress, queued: tuple[Dead, FeedItem] | None, read: Read, lives: Lives, now_ms: int
) -> tuple[Message | None, Progress]:
    """What to send now, and the progress to keep before it is sent. Without a message there is nothing, or not yet.
    `queued` is what was given up and is to be sent once more."""
    if now_ms < progress.next_ms:
        return None, progress
    if queued is not None and not progress.upto:
        dead, item = queued
        return _message(one, [item], [dead.life], item.n, dead), progress
    limit = 1 if progress.at < progress.singly else one.batch
    page = read(progress.at, BATCH_MAX if progress.upto else limit)
    items = [item for item in page.items if not progress.upto or item.n <= progress.upto]
    if not items:
        if page.reached - progress.at < SKIPPED_MAX:
            return None, replace(progress, upto=0)
        return None, replace(progress, upto=0, at=page.reached, life=lives([page.reached])[0])
    numbered = lives([item.n for item in items])
    return _message(one, items, numbered, items[-1].n, None), replace(progress, upto=items[-1].n)


def _message(
    one: Subscription, items: Sequence[FeedItem], lives: Sequence[str], last: int, requeued: Dead | None
) -> Message:
    events = [shown(item, life) for item, life in zip(items, lives, strict=True)]
    said = {"webhook": one.id, "feed": lives[-1], "events": events}
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    ids = tuple(str(event["event_id"]) for event in events)
    return Message(f"msg_{lives[-1]}-{items[0].n}-{last}", ids, body.encode(), last, requeued)


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds after a request. `dead` is what is given up, or stays so; `heard` that the receiver took the
    message."""

    one: Subscription
    progress: Progress
    dead: Dead | None = None
    heard: bool = False


def settle(
    one: Subscription, progress: Progress, message: Message, outcome: Outcome, now_ms: int, jitter: float
) -> Settled:
    """What follows from what came of a request. `jitter` is by chance from 0 to 1."""
    if outcome.status is not None and 200 <= outcome.status < 300:
        heard = replace(progress, tries=0, next_ms=0, given_up=0, heard_ms=now_ms, failed="")
        return Settled(one, heard if message.requeued else _passed(heard, message), heard=True)
    if outcome.status == GONE:
        return Settled(replace(one, active=False, off_why="its receiver answered 410: it is gone for good"), progress)
    tries = progress.tries + 1
    delay_s = min(DELAY_S_MAX, DELAY_S * 2 ** min(tries - 1, 20)) * (1 + jitter) / 2
    if outcome.after_s is not None:
        delay_s = max(delay_s, min(outcome.after_s, DELAY_S_MAX))
    failed = replace(progress, tries=tries, next_ms=now_ms + int(1000 * delay_s), failed=outcome.words)
    refused = outcome.reached and outcome.status not in ELSEWHERE
    if not refused:
        return Settled(one, failed)
    if message.requeued is not None:
        back = replace(message.requeued, queued=False, at_ms=now_ms, why=outcome.words)
        return Settled(one, replace(failed, tries=0, next_ms=0), back)
    if tries < TRIES_MAX or progress.given_up >= GIVEN_UP_MAX:
        return Settled(one, failed)
    if len(message.ids) > 1:  # one of them it does not take; the others are not to wait for it
        return Settled(one, replace(failed, tries=0, next_ms=0, upto=0, singly=message.last))
    dead = Dead(message.last, message.ids[0].rpartition("-")[0], now_ms, False, outcome.words)
    given_up = progress.given_up + 1
    return Settled(one, replace(_passed(failed, message), tries=0, next_ms=0, given_up=given_up), dead)


def _passed(progress: Progress, message: Message) -> Progress:
    return replace(progress, at=message.last, life=message.ids[-1].rpartition("-")[0], upto=0)


# -- signatures --------------------------------------------------------------------------------------------------------


def fresh_secret() -> str:
    """A new secret, as Standard Webhooks writes them."""
    return SECRET + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def read_secret(text: str) -> bytes:
    """The key of a secret. Raises BadRequest."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest.of("secret", "is whsec_ and base64") from error
    if not 24 <= len(key) <= 64:
        raise BadRequest.of("secret", "has 24 to 64 bytes, in base64 behind whsec_")
    return key


def signatures(keys: Sequence[str], id: str, at_s: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature a secret, of the message's id, its time and its body."""
    said = f"{id}.{at_s}.".encode() + body
    made = (hmac.digest(read_secret(key), said, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in made)


# -- tables ------------------------------------------------------------------------------------------------------------

_ONE = "id, url, secret, old_secret, old_until_ms, shops, kinds, batch, private, active, off_why, made_ms"
_PROGRESS = "at, life, upto, singly, tries, next_ms, given_up, heard_ms, failed"


def no_trail(tx: Transaction, by: Actor, act: str, about: str, detail: str = "") -> None:
    """Of tables that stand by themselves."""


@dataclass
class Webhooks:
    """The subscriptions of a head office. Every method may be called from any thread."""

    database: Database
    clock: Callable[[], int]  # milliseconds since 1970
    changed: Callable[[], None] = lambda: None  # whoever delivers is to look again
    audit: Callable[..., None] = no_trail  # `Office.audit`: a line of the trail, within the transaction

    def listed(self) -> list[Subscription]:
        """All of them, the oldest first."""
        return [_one(row) for row in self.database.execute(f"SELECT {_ONE} FROM webhook ORDER BY made_ms, id")]

    def get(self, id: str) -> Subscription:
        """One of them. Raises NotFound."""
        return _get(self.database, id)

    def progress(self, id: str) -> Progress:
        """How far one has heard."""
        row = self.database.execute(f"SELECT {_PROGRESS} FROM webhook_progress WHERE webhook = ?", (id,)).fetchone()
        return Progress(0, "") if row is None else Progress(*row)

    def add(
        self, url: str, *, at: int, life: str, shops: Sequence[str] = (), kinds: Sequence[str] = (),
        batch: int = BATCH, private: bool = False, secret: str = "", by: Actor = CONSOLE,
    ) -> Subscription:  # fmt: skip
        """A new one, which hears what is behind number `at` of the feed. Raises BadRequest."""
        _check(url, shops, kinds, batch, private)
        if secret:
            read_secret(secret)
        one = Subscription(
            f"wh_{secrets.token_hex(6)}", url, secret or fresh_secret(), shops=tuple(shops), kinds=tuple(kinds),
            batch=batch, private=private, made_ms=self.clock(),
        )  # fmt: skip

        def work(tx: Transaction) -> None:
            tx.execute(
                f"INSERT INTO webhook ({_ONE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                _row(one),
            )
            _keep(tx, one.id, Progress(at, life))
            self.audit(tx, by, "webhook_added", one.id, url)

        transact(self.database, work)
        self.changed()
        return one

    def change(self, id: str, fields: Mapping[str, Any], *, by: Actor = CONSOLE) -> Subscription:
        """Change its url, shops, kinds, batch, private or active. Raises NotFound, BadRequest."""

        def work(tx: Transaction) -> Subscription:
            one = replace(_get(tx, id), **fields)
            _check(one.url, one.shops, one.kinds, one.batch, one.private)
            if "active" in fields:
                one = replace(one, off_why="")
            _put(tx, one)
            # a message that is under way had been made by what held before
            tx.execute(
                "UPDATE webhook_progress SET tries = 0, next_ms = 0, given_up = 0, upto = 0 WHERE webhook = ?", (id,)
            )
            self.audit(tx, by, "webhook_changed", id, ", ".join(f"{k} {v}" for k, v in fields.items())[:WHY_CHARACTERS])
            return one

        one = transact(self.database, work)
        self.changed()
        return one

    def remove(self, id: str, *, by: Actor = CONSOLE) -> None:
        """End it, with all that is known of it. Raises NotFound."""
        one = self.get(id)

        def work(tx: Transaction) -> None:
            for table, column in (("webhook_dead", "webhook"), ("webhook_progress", "webhook"), ("webhook", "id")):
                tx.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))
            self.audit(tx, by, "webhook_removed", id, one.url)

        transact(self.database, work)
        self.changed()

    def rotate(self, id: str, *, by: Actor = CONSOLE) -> Subscription:
        """Give it a new secret; for a day both sign, so that its receiver can change over. Raises NotFound."""
        secret = fresh_secret()  # one, though the transaction may happen twice

        def work(tx: Transaction) -> Subscription:
            one = _get(tx, id)
            if one.secret != secret:
                one = replace(one, secret=secret, old_secret=one.secret, old_until_ms=self.clock() + ROTATION_MS)
                _put(tx, one)
                self.audit(tx, by, "webhook_rotated", id, one.url)
            return one

        return transact(self.database, work)

    def replay(self, id: str, *, at: int, life: str, by: Actor = CONSOLE) -> None:
        """Let it hear once more what is behind number `at`, and switch it on. Raises NotFound."""

        def work(tx: Transaction) -> None:
            one = replace(_get(tx, id), active=True, off_why="")
            _put(tx, one)
            _keep(tx, id, Progress(at, life))
            self.audit(tx, by, "webhook_replayed", id, f"{one.url}, behind {at}")

        transact(self.database, work)
        self.changed()

    def switch_off(self, id: str, why: str) -> None:
        """As nobody asked for it."""
        asked = "UPDATE webhook SET active = 0, off_why = ? WHERE id = ?"
        transact(self.database, lambda tx: tx.execute(asked, (why, id)))

    # -- what is given up ------------------------------------------------------------------------------------------

    def dead(self, id: str, *, queued: bool | None = None) -> list[Dead]:
        """What one does not take, in the feed's order."""
        where = "" if queued is None else f" AND queued = {int(queued)}"
        rows = self.database.execute(
            f"SELECT n, life, at_ms, queued, why FROM webhook_dead WHERE webhook = ?{where} ORDER BY n", (id,)
        )
        return [Dead(n, life, at_ms, bool(queued), why) for n, life, at_ms, queued, why in rows]

    def dead_counts(self) -> dict[str, int]:
        """How many events each subscription did not take."""
        rows = self.database.execute("SELECT webhook, count(*) FROM webhook_dead GROUP BY webhook")
        return {webhook: int(count) for webhook, count in rows}

    def requeue(self, id: str, numbers: Sequence[int] | None = None) -> int:
        """Send these once more, or all; returns how many that are. Raises NotFound."""
        done = self._each(id, numbers, "UPDATE webhook_dead SET queued = 1 WHERE webhook = ? AND n = ?", None, CONSOLE)
        self.changed()
        return done

    def discard(self, id: str, numbers: Sequence[int] | None = None, *, by: Actor = CONSOLE) -> int:
        """Never send these, or all of them; returns how many that are. Raises NotFound."""
        statement = "DELETE FROM webhook_dead WHERE webhook = ? AND n = ?"
        return self._each(id, numbers, statement, "webhook_discarded", by)

    def _each(self, id: str, numbers: Sequence[int] | None, statement: str, act: str | None, by: Actor) -> int:
        self.get(id)
        held = {dead.n for dead in self.dead(id)}
        wanted = sorted(held) if numbers is None else list(numbers)
        if strange := [n for n in wanted if n not in held]:
            raise NotFound(f"number {strange[0]} is not among what was given up: 'posline-relay webhook dead' lists it")

        def work(tx: Transaction) -> None:
            for n in wanted:
                tx.execute(statement, (id, n))
            if act is not None and wanted:
                self.audit(tx, by, act, id, ", ".join(map(str, wanted))[:WHY_CHARACTERS])

        transact(self.database, work)
        return len(wanted)

    # -- as messages go out ----------------------------------------------------------------------------------------

    def keep(self, id: str, before: Progress, progress: Progress) -> bool:
        """Keep how far one is, before a message goes out. False where somebody moved it meanwhile: nothing is kept."""

        def work(tx: Transaction) -> bool:
            if _progress(tx, id) not in (before, progress):
                return False
            _keep(tx, id, progress)
            return True

        return transact(self.database, work)

    def settled(self, before: Progress, after: Settled, message: Message) -> bool:
        """Keep what `settle` said. False where somebody moved the subscription meanwhile: nothing is kept."""
        id, dead = after.one.id, after.dead

        def work(tx: Transaction) -> bool:
            if _progress(tx, id) != before:
                return False
            _keep(tx, id, after.progress)
            if not after.one.active:
                tx.execute("UPDATE webhook SET active = 0, off_why = ? WHERE id = ?", (after.one.off_why, id))
            if message.requeued is not None and after.heard:
                tx.execute("DELETE FROM webhook_dead WHERE webhook = ? AND n = ?", (id, message.requeued.n))
            if dead is not None:
                tx.execute(
                    "INSERT INTO webhook_dead (webhook, n, life, at_ms, queued, why) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (webhook, n) DO UPDATE SET life = excluded.life, at_ms = excluded.at_ms, queued = 0,"
                    " why = excluded.why",
                    (id, dead.n, dead.life, dead.at_ms, int(dead.queued), dead.why),
                )
            return True

        return transact(self.database, work)


def _get(asked: Database | Transaction, id: str) -> Subscription:
    row = asked.execute(f"SELECT {_ONE} FROM webhook WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"no webhook has the id {id[:60]!r}: 'posline-relay webhook list' shows them")
    return _one(row)


def _put(tx: Transaction, one: Subscription) -> None:
    columns = ", ".join(f"{name.strip()} = ?" for name in _ONE.split(",")[1:])
    tx.execute(f"UPDATE webhook SET {columns} WHERE id = ?", (*_row(one)[1:], one.id))


def _progress(tx: Transaction, id: str) -> Progress | None:
    row = tx.execute(f"SELECT {_PROGRESS} FROM webhook_progress WHERE webhook = ?", (id,)).fetchone()
    return None if row is None else Progress(*row)


def _keep(tx: Transaction, id: str, progress: Progress) -> None:
    names = [name.strip() for name in _PROGRESS.split(",")]
    tx.execute(
        f"INSERT INTO webhook_progress (webhook, {_PROGRESS}) VALUES (?, {', '.join('?' * len(names))})"
        f" ON CONFLICT (webhook) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}",
        (id, *(getattr(progress, name) for name in names)),
    )


def _row(one: Subscription) -> tuple[Any, ...]:
    return (
        one.id, one.url, one.secret, one.old_secret, one.old_until_ms, json.dumps(one.shops), json.dumps(one.kinds),
        one.batch, int(one.private), int(one.active), one.off_why, one.made_ms,
    )  # fmt: skip


def _one(row: Sequence[Any]) -> Subscription:
    id, url, secret, old_secret, old_until_ms, shops, kinds, batch, private, active, off_why, made_ms = row
    return Subscription(
        id, url, secret, old_secret, old_until_ms, tuple(json.loads(shops)), tuple(json.loads(kinds)), batch,
        bool(private), bool(active), off_why, made_ms,
    )  # fmt: skip


def _check(url: object, shops: object, kinds: object, batch: object, private: object) -> None:
    if not isinstance(url, str) or len(url) > URL_CHARACTERS_MAX:
        raise BadRequest.of("url", f"is a text of at most {URL_CHARACTERS_MAX} characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequest.of("url", str(error)) from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.fragment:
        raise BadRequest.of("url", "is https://HOST/PATH, without a name, a password or a fragment")
    if parts.scheme == "http" and not private:
        raise BadRequest.of("url", "is https://...: sales do not go over the internet for everybody to read")
    for name, value, most in (("shops", shops, SHOPS_MAX), ("kinds", kinds, KINDS_MAX)):
        if not isinstance(value, list | tuple) or len(value) > most or not all(isinstance(v, str) and v for v in value):
            raise BadRequest.of(name, f"is a list of up to {most} texts, or is left out for all")
    if type(batch) is not int or not 1 <= batch <= BATCH_MAX:
        raise BadRequest.of("batch", f"is how many events a message has at the most, from 1 to {BATCH_MAX}")
