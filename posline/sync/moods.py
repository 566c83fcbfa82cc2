"""Where a link stands, what may come when, and what a link remembers of its peer. Pure.

The table of moves is the handshake: an illegal frame is refused and changes nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from posline.storage.records import Staged
from posline.sync.frames import (
    AuthGranted,
    AuthRefused,
    AuthToken,
    CloseDocument,
    Frame,
    Ping,
    Pong,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
)
from posline.sync.messages import RefusedUpdate

__all__ = ["MOVES", "Answer", "Mood", "Patience", "Peer", "Tally"]

MINUTE_S = 60.0


class Mood(Enum):
    """Where a link stands."""

    WAITING = "the other side has not said who it is"
    OPEN = "replicas talk"
    STOCK = "a stock client follows"
    CLOSED = "over"


# which moods each kind of frame may come in; anything else is refused and changes nothing
MOVES: dict[type[object], frozenset[Mood]] = {
    AuthToken: frozenset({Mood.WAITING, Mood.STOCK}),
    AuthGranted: frozenset({Mood.WAITING}),
    AuthRefused: frozenset({Mood.WAITING}),
    Stateless: frozenset({Mood.WAITING, Mood.OPEN, Mood.STOCK}),
    SyncStep1: frozenset({Mood.STOCK}),
    SyncStep2: frozenset({Mood.STOCK}),
    Update: frozenset({Mood.OPEN, Mood.STOCK}),
    SyncStatus: frozenset({Mood.OPEN, Mood.STOCK}),
    CloseDocument: frozenset({Mood.OPEN, Mood.STOCK}),
    Ping: frozenset(Mood),
    Pong: frozenset(Mood),
}


@dataclass(slots=True)
class Answer:
    """An update that arrived: `waits_for` is the staged update whose commit decides, None once it is decided."""

    document: str
    waits_for: Staged | None
    applied: bool
    why: RefusedUpdate | None = None
    then: Frame | None = None


@dataclass(slots=True)
class Peer:
    """What the other side said of itself."""

    store: str = ""
    session: str = ""
    kind: str = ""
    version: str = ""
    links: frozenset[str] = frozenset()


@dataclass(slots=True)
class Tally:
    """How many updates the links of one hub answered since it began, one way or the other."""

    acknowledged: int = 0
    refused: int = 0

    def count(self, applied: bool) -> None:
        """One more."""
        self.acknowledged += applied
        self.refused += not applied


@dataclass(slots=True)
class Patience:
    """How many times in a minute something may be refused before it is too much."""

    most: int
    recent: deque[float] = field(default_factory=deque)

    def worn_out(self, now: float) -> bool:
        """Once more; True when it is too much."""
        self.recent.append(now)
        while now - self.recent[0] > MINUTE_S:
            self.recent.popleft()
        return len(self.recent) > self.most
