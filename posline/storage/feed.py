"""The integrator's feed: every entry once, and every later change of an entry's status, in the order of their commits.

The one writer numbers them inside its commit, so that no number ever turns up behind a cursor that has passed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posline.core.entry import Entry, decode
from posline.core.status import Status
from posline.storage.ledger import STATUSES
from posline.storage.store import Store

__all__ = ["FeedItem", "FeedPage", "feed_end", "read_feed", "scan_feed"]

SCAN_MAX = 20_000  # events that one question looks at, whatever it leaves out: some 50 ms of work


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One event. `event` is 'entry' or 'status'; `status` is what the entry was worth as of this event."""

    n: int
    shop: str
    event: str
    status: Status
    entry: Entry


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events, and the number up to which everything was looked at: a reader goes on from there. `end` is the last
    number that there is."""

    items: list[FeedItem]
    reached: int
    end: int


def feed_end(store: Store) -> int:
    """The number of the last event; 0 where there is none."""
    return int(store.read.execute("SELECT coalesce(max(n), 0) FROM feed").fetchone()[0])


def read_feed(
    store: Store,
    *,
    shops: Sequence[str] | None,
    after: int,
    limit: int,
    kinds: Sequence[str] | None = None,
    up_to: int | None = None,
) -> list[FeedItem]:
    """Up to `limit` events behind number `after`, of all shops or of some, of all kinds of entry or of some, and none
    behind `up_to`."""
    where, values = "", list[object]([after])
    if shops is not None:
        keys = [key for shop in shops if (key := store.shop_key(shop)) is not None]
        if not keys:
            return []
        # of several shops by the feed's own numbers (+): each shop's by its index would all be sorted for each page
        where, values = f" AND {'+' * (len(keys) > 1)}f.shop IN ({_marks(keys)})", [*values, *keys]
    if kinds is not None:
        where, values = f"{where} AND e.kind IN ({_marks(kinds)})", [*values, *kinds]
    if up_to is not None:
        where, values = f"{where} AND f.n <= ?", [*values, up_to]
    rows = store.read.execute(
        "SELECT f.n, s.id, f.event, f.status, d.name, e.raw FROM feed f JOIN shop s ON s.key = f.shop"
        " JOIN entry e ON e.shop = f.shop AND e.n = f.entry JOIN document d ON d.shop = e.shop AND d.key = e.document"
        f" WHERE f.n > ?{where} ORDER BY f.n LIMIT ?",
        (*values, limit),
    )
    return [
        FeedItem(n, shop, event, STATUSES[status], decode(document, raw))
        for n, shop, event, status, document, raw in rows
    ]


def scan_feed(
    store: Store, *, shops: Sequence[str] | None, kinds: Sequence[str] | None, after: int, limit: int
) -> FeedPage:
    """As `read_feed`, but of a bounded number of events: where few of them are of these shops and kinds, the page may
    be empty, and says how far it looked."""
    end = feed_end(store)
    up_to = min(end, after + SCAN_MAX)
    items = read_feed(store, shops=shops, kinds=kinds, after=after, limit=limit, up_to=up_to)
    return FeedPage(items, items[-1].n if len(items) == limit else max(after, up_to), end)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
