"""News for those who listen: sales as they are committed, the till's status, alarms.

Each listener has its own bounded queue. One that does not read falls behind and is told so by the end of its stream; it
never slows a sale. There are only so many: one device that follows without end leaves others their connections. Knows
nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "News"]

QUEUE_MAX = 1000  # changes that may wait for one listener, about 1 MB
LISTENERS_MAX = 32  # pages and programs that follow one till; a further one takes the place of the first


@dataclass(frozen=True, slots=True)
class Change:
    """What happened: `kind` is 'sale', 'refund' (voids too), 'status' or 'alarm', `body` as the API answers it; or
    'catalogue' ({version}), 'shop' or 'holds' ({}), where products, settings, cashiers and members, or carts that wait
    may have changed."""

    kind: str
    body: dict[str, Any]


class News:
    """Passes changes on to whoever listens at the time."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[Change | None], None] = {}  # in the order in which they came
        self._ended = False

    @property
    def heard(self) -> bool:
        """Whether anybody listens, so that nothing is worked out for nobody."""
        return bool(self._listeners)

    def tell(self, *changes: Change) -> None:
        """Pass each change on. A listener whose queue is full is dropped: it should ask afresh."""
        for change in changes:
            for queue in list(self._listeners):
                if queue.qsize() >= QUEUE_MAX:
                    self._drop(queue)
                else:
                    queue.put_nowait(change)

    def end(self) -> None:
        """Nothing more will be told: every stream ends."""
        self._ended = True
        for queue in self._listeners:
            queue.put_nowait(None)
        self._listeners.clear()

    async def listen(self) -> AsyncIterator[Change]:
        """Changes from now on, until the till stops or this listener falls too far behind."""
        if self._ended:
            return
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        if len(self._listeners) >= LISTENERS_MAX:
            self._drop(next(iter(self._listeners)))
        self._listeners[queue] = None
        try:
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._listeners.pop(queue, None)

    def _drop(self, queue: asyncio.Queue[Change | None]) -> None:
        self._listeners.pop(queue, None)
        queue.put_nowait(None)
