"""The integrator's feed as the head office serves it: pages behind a cursor, and cursors that belong to this feed.

A cursor is a number, and numbers say nothing of which feed counted them. A head office whose database was put back to
an older copy counts on from there, and gives numbers anew that its readers have passed. So the feed has *lives*: each
start begins one, and an event belongs to the life in which it was numbered. A reader who says the life of its cursor is
told where that is not the one that the number has here.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import Any

from posline.errors import PoslineError
from posline.storage.feed import FeedItem, FeedPage, feed_end, read_feed, scan_feed
from posline.storage.store import Store

__all__ = ["NUMBERING", "Arrivals", "Feed", "NotThisFeed", "event_id", "shown"]

NUMBERING = "feed"  # what is done alone, of several processes: giving events their numbers, and beginning a life
LIVES = "feed_lives"  # [number of the last event before it, id], in their order
ID_BYTES = 6


class NotThisFeed(PoslineError):
    """A cursor that this feed never gave out."""

    status = 409
    title = "This cursor is of another feed"


class Feed:
    """The feed of an open store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self) -> None:
        """Begin a life. It stands with the store's next commit, before which no event may get its number."""
        lives, end = self._lives(), feed_end(self._store)
        lives = [life for life in lives if life[0] < end]  # one in which nothing was numbered, nobody has a cursor of
        if end and not lives:
            lives = [[0, secrets.token_hex(ID_BYTES)]]  # an earlier version's events
        self._store.set_meta(LIVES, [*lives, [end, secrets.token_hex(ID_BYTES)]])

    def _lives(self) -> list[list[Any]]:
        found = self._store.get_meta(LIVES)
        return [list(life) for life in found] if isinstance(found, list) else []

    def end(self) -> int:
        """The number of the last event."""
        return feed_end(self._store)

    def lives_of(self, numbers: Sequence[int]) -> list[str]:
        """The lives in which these events were numbered."""
        lives = self._lives()
        return [next((str(id) for began, id in reversed(lives) if began < n), "") for n in numbers]

    def life_of(self, n: int) -> str:
        """The life of one event; "" of the beginning, which is before all of them."""
        return self.lives_of([n])[0] if n else ""

    def check(self, after: int, life: str | None) -> None:
        """Raise NotThisFeed where a cursor, which was given out in `life`, is none of this feed; a life of None is not
        known to whoever asks."""
        end = feed_end(self._store)
        if after > end or (life is not None and after and life != self.life_of(after)):
            raise NotThisFeed(
                f"the cursor {after} was not given out by this feed, which ends at {end}: the head office's database"
                " was put back to an older copy since, or this is another head office. Read again from the beginning,"
                " without 'after', and leave out what you have by its shop, hash, event and status"
            )

    def page(self, *, shops: Sequence[str] | None, kinds: Sequence[str] | None, after: int, limit: int) -> FeedPage:
        """Events behind a cursor. Of one shop or of all, and without `kinds`, the cursor stays at the last event that
        was given; else it goes on behind what was looked at."""
        if kinds is not None or (shops is not None and len(shops) > 1):
            return scan_feed(self._store, shops=shops, kinds=kinds, after=after, limit=limit)
        items = read_feed(self._store, shops=shops, after=after, limit=limit)
        return FeedPage(items, items[-1].n if items else after, feed_end(self._store))


def event_id(item: FeedItem, life: str) -> str:
    """The id of an event, which no other event of any life has."""
    return f"{life}-{item.n}"


def shown(item: FeedItem, life: str) -> dict[str, Any]:
    """An event as the feed and webhooks say it."""
    entry = item.entry
    return {
        "cursor": str(item.n),
        "feed": life,
        "event_id": event_id(item, life),
        "event": item.event,
        "status": item.status.value,
        "shop": item.shop,
        "document": entry.document,
        "hash": entry.hash.hex(),
        "id": entry.id,
        "kind": entry.kind,
        "entry": entry.body or None,
    }


class Arrivals:
    """Wakes whoever waits for the next commit. One event loop's."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.waiting = 0

    def tell(self) -> None:
        """Something was committed."""
        self._next.set()
        self._next = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """What is set at the next commit; to be taken before looking whether there is anything."""
        return self._next

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return at the commit, or after so many seconds; counted as one of those that wait."""
        self.waiting += 1
        try:
            await self.pause(event, seconds)
        finally:
            self.waiting -= 1

    async def pause(self, event: asyncio.Event, seconds: float) -> None:
        """As `wait`, for the head office itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
