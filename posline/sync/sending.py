"""What one link has still to send: a cursor into the log of each document, and a window of updates not yet answered.

Catch-up and live sales are the same thing here: rows behind the cursor, in commit order, which is causal order, so that
nothing sent ever hangs in the air at the other side. Between replicas, what another device brought waits a moment for
that device to bring it to the peer itself. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from posline.core.update import StateVector, clip
from posline.errors import Refused
from posline.replica import Replica
from posline.storage.records import Mark, Row
from posline.sync.comparing import first_things_first
from posline.sync.messages import RefusedUpdate
from posline.writer import Random

__all__ = ["WINDOW_BYTES", "WINDOW_UPDATES", "InFlight", "Sender", "Sending", "Window", "covers"]

ROWS_A_READ = 64  # of the log, at a time
DEFER_S = 0.25  # others' rows, to peers that reach their sender themselves; then until the peer's next `have`
DEFER_MOST_S = 1.5  # but no longer: such a peer says what it has once a second
DEFERRED_MAX = 10_000  # rows that wait for their turn; beyond, they go out at once
HAVE_KEPT = 20_000  # runs of which it is remembered how far the peer has them
WINDOW_UPDATES = 32  # not yet answered: enough to keep a line of 100 ms busy with 64 KiB each
WINDOW_BYTES = 512 * 1024


def covers(state: Mapping[int, int], clocks: Mapping[int, int]) -> bool:
    """Whether `state` holds everything up to `clocks`."""
    return all(state.get(client, 0) >= clock for client, clock in clocks.items())


@dataclass(slots=True)
class Sending:
    """One document's rows on their way to one peer. `peer` is what the peer is known to hold; None when it is known
    only that it holds everything before the cursor."""

    cursor: int
    peer: StateVector | None
    catching_up: bool = False
    final: bool = False  # a stock client waits for a SyncStep2 when its catch-up is through
    ahead: deque[Row] = field(default_factory=deque)  # read and not yet sent: the window opens one row at a time


@dataclass(frozen=True, slots=True)
class InFlight:
    """An update that was sent and not yet answered."""

    document: str
    n: int
    size: int
    after: StateVector


@dataclass(slots=True)
class Window:
    """Updates not yet answered, oldest first; the peer answers each in order."""

    waiting: deque[InFlight] = field(default_factory=deque)
    size: int = 0

    @property
    def open(self) -> bool:
        """Whether one more may be sent."""
        return len(self.waiting) < WINDOW_UPDATES and self.size < WINDOW_BYTES

    def sent(self, update: InFlight) -> None:
        """One more is on its way."""
        self.waiting.append(update)
        self.size += update.size

    def answered(self) -> InFlight | None:
        """The oldest was answered; None when nothing was asked."""
        if not self.waiting:
            return None
        update = self.waiting.popleft()
        self.size -= update.size
        return update


class Sender:
    """The rows of one link, on their way to its peer. Times are seconds of the link's clock."""

    def __init__(
        self,
        replica: Replica,
        random: Random,
        now: float,
        *,
        room: Callable[[], bool],
        reaches: Callable[[str], bool],
        put: Callable[[str, bytes], None],
        caught_up: Callable[[str, StateVector], None],
    ) -> None:
        """`room` says whether the outbox takes more, and `reaches(store)` whether the peer is linked with that store
        itself. `put(document, update)` puts an update into the outbox, and `caught_up(document, state)` hears that a
        stock client has been sent all that it lacked."""
        self.windowed = True  # between replicas; a stock client answers nothing
        self._replica, self._random, self._now = replica, random, now
        self._has_room, self._reaches, self._update, self._caught_up = room, reaches, put, caught_up
        self._sending: dict[str, Sending] = {}
        self._window = Window()
        self._brought: dict[str, StateVector] = {}  # what came over this very link
        self._deferred: deque[tuple[float, float, str, int]] = deque()  # when due, since when, the row
        self._have: dict[tuple[str, int], Mark] = {}  # author, run -> how far the peer has it
        self._have_heard_s = now
        self._poison: set[tuple[str, int]] = set()  # rows that the peer refuses

    @property
    def behind(self) -> int:
        """How many rows the peer is not known to hold durably."""
        waiting = sum(max(0, self._replica.head(name).n - s.cursor) for name, s in self._sending.items())
        return waiting + len(self._window.waiting) + len(self._deferred)

    @property
    def waits(self) -> bool:
        """Whether the peer is to answer something."""
        return bool(self._window.waiting)

    @property
    def due_at(self) -> float:
        """When there may be something to send, if nothing happens until then."""
        return self._deferred[0][0] if self._deferred else math.inf

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way or waits."""
        return not (self._window.waiting or self._sending or self._deferred)

    def begin(self, document: str, state: StateVector, *, final: bool = False) -> None:
        """Send what the peer, which holds `state` of the document, lacks; with `final`, say when that is through."""
        first = self._replica.store.first_uncovered(self._replica.shop, document, state)
        self._sending[document] = Sending(first - 1, dict(state), True, final)

    def added(self, document: str, before: int) -> None:
        """A commit added rows behind row `before`."""
        if document not in self._sending:
            self._sending[document] = Sending(before, None)

    def drop(self, document: str) -> None:
        """Send no more of a document."""
        self._sending.pop(document, None)

    def brought(self, document: str, after: StateVector) -> None:
        """The peer itself brought this."""
        self._brought.setdefault(document, {}).update(after)
        sending = self._sending.get(document)
        if sending is not None and sending.peer is not None:
            sending.peer.update(after)

    def they_have(self, marks: Iterable[Mark]) -> None:
        """The peer holds these runs that far. Only a hint that saves sending, so it may be forgotten."""
        if len(self._have) > HAVE_KEPT:
            self._have.clear()
        for mark in marks:
            known = self._have.get((mark.author, mark.run))
            if known is None or mark.seq >= known.seq:
                self._have[mark.author, mark.run] = mark

    def _has(self, mark: Mark) -> bool:
        """Whether the peer was heard to hold this. Two lives of a till may each have an entry at this place: then ours
        goes out, so that the digests are compared; where the peer is further, its own row has them compared."""
        known = self._have.get((mark.author, mark.run))
        return known is not None and (known.seq > mark.seq or known == mark)

    def heard_have(self, marks: Iterable[Mark], now: float) -> None:
        """The peer said what it has."""
        self._have_heard_s = now
        self.they_have(marks)

    def answered(self, document: str, applied: bool, refusal: RefusedUpdate | None) -> None:
        """The peer answered the oldest update on its way. Raises Refused where that is none of the document."""
        update = self._window.answered()
        if update is None or update.document != document:
            raise Refused("an answer to nothing that was asked")
        if applied:
            sending = self._sending.get(document)
            if sending is not None and sending.peer is not None:
                for client, clock in update.after.items():
                    sending.peer[client] = max(clock, sending.peer.get(client, 0))
            return
        if refusal is not None and refusal.hole:
            if any(poisoned == update.document for poisoned, _ in self._poison):
                self._poison.add((update.document, update.n))  # it leans on what is refused: no more of it here
            return
        self._poison.add((update.document, update.n))
        reason = refusal.reason if refusal is not None else "without a word why"
        self._replica.alarm(
            "refused", f"another device refuses entries of {update.document} ({reason}): is its version older?"
        )

    def send(self, now: float) -> None:
        """Send rows as far as there is room."""
        self._now = now
        self._send_deferred()
        for document in sorted(self._sending, key=first_things_first):
            if not self._send(document, self._sending[document]):
                break
            if self.windowed:
                del self._sending[document]  # the next commit puts it back, where that commit begins

    def _send(self, document: str, sending: Sending) -> bool:
        """Send rows behind the cursor as far as there is room; False when there is none."""
        head = self._replica.head(document)
        while sending.cursor < head.n:
            if not self._room():
                return False
            if not sending.ahead:
                sending.ahead.extend(self._replica.rows(document, sending.cursor, ROWS_A_READ))
                if not sending.ahead:
                    break
            row = sending.ahead.popleft()
            sending.cursor = row.n
            self._send_row(document, sending, row)
        if sending.final:
            sending.final = False
            self._caught_up(document, head.state)
        sending.catching_up = False
        return True

    def _room(self) -> bool:
        return self._has_room() and (self._window.open or not self.windowed)

    def _send_row(self, document: str, sending: Sending, row: Row) -> None:
        """Send one row, or what of it the peer lacks, or leave it for later."""
        if (document, row.n) in self._poison:
            return
        update = row.update
        if sending.peer is not None:
            if covers(sending.peer, row.after):
                return
            if not covers(row.before, {c: k for c, k in sending.peer.items() if c in row.after}):
                update = clip(update, sending.peer)
        elif covers(self._brought.get(document, {}), row.after):
            return  # not by its origin: two lives of one till have the same
        live = not sending.catching_up and self.windowed and row.origin != self._replica.store_id
        if live and self._reaches(row.origin) and len(self._deferred) < DEFERRED_MAX:
            wait = DEFER_S * (1 + self._random.getrandbits(8) / 256)
            self._deferred.append((self._now + wait, self._now, document, row.n))
            return
        self._put(document, row, update)
        if sending.peer is not None and not self.windowed:
            sending.peer.update(row.after)

    def _put(self, document: str, row: Row, update: bytes) -> None:
        self._update(document, update)
        if self.windowed:
            self._window.sent(InFlight(document, row.n, len(update), row.after))

    def _send_deferred(self) -> None:
        """Others' rows whose sender should have brought them to the peer by now, and has not."""
        joined: dict[str, range] = {}  # rows that were squashed into one meanwhile go out once
        while self._deferred and self._room():
            due, since, document, n = self._deferred[0]
            if due > self._now or (self._have_heard_s <= since and self._now - since < DEFER_MOST_S):
                return
            self._deferred.popleft()
            if n in joined.get(document, ()):
                continue
            for row in self._replica.rows(document, n - 1, 1):
                joined[document] = range(n, row.n + 1)
                marks = self._replica.marks_of(row.update)
                if not all(map(self._has, marks)):
                    self._put(document, row, row.update)
