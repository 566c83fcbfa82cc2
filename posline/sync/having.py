"""What one link says of how far this device holds runs: soon to whoever brought it, else once a second. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from posline.replica import Replica
from posline.storage.records import Mark
from posline.sync.messages import MARKS_MAX, Have, in_messages

__all__ = ["Having"]

HAVE_S = 1.0  # between two `have` to links that did not bring what is had


class Having:
    """Marks that are to be said on one link. `tell` sends a message to the peer; times are the link's."""

    def __init__(self, replica: Replica, tell: Callable[[Have], None], now: float) -> None:
        self._replica, self._tell = replica, tell
        self._marks: dict[tuple[str, int], Mark] = {}
        self._said_s = now - HAVE_S
        self._counted = 0

    def held(self, marks: Iterable[Mark], now: float, *, brought: bool) -> None:
        """Runs are held that far; `brought` when the peer brought some of it, so it hears at once."""
        for mark in marks:
            self._marks[mark.author, mark.run] = mark
        if brought:
            self._said_s = now - HAVE_S

    @property
    def due_at(self) -> float:
        """When there is something to say, if nothing happens until then."""
        return self._said_s + HAVE_S if self._marks else math.inf

    def say(self, now: float) -> None:
        """Say what is due, signed, so that others can pass it on and be believed."""
        if now < self.due_at:
            return
        self._said_s = now
        replica = self._replica
        for piece in in_messages(list(self._marks.values()), MARKS_MAX):
            have = Have(replica.store_id, self._counter(), tuple(piece))
            self._tell(replace(have, signature=replica.sign(have.signed(replica.shop))))
        self._marks.clear()

    def _counter(self) -> int:
        clock = self._replica.clock
        self._counted = max(self._counted + 1, clock.now().at_ms if clock is not None else 0)
        return self._counted
