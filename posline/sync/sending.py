"""What one link has still to send: a cursor into the log of each document, and a window of updates not yet answered.

Catch-up and live sales are the same thing here: rows behind the cursor, in commit order, which is causal order, so that
nothing sent ever hangs in the air at the other side. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from posline.core.update import StateVector
from posline.storage.records import Row

__all__ = ["WINDOW_BYTES", "WINDOW_UPDATES", "InFlight", "Sending", "Window", "covers"]

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
