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

__all__ = ["FeedItem", "read_feed"]


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One event. `event` is 'entry' or 'status'; `status` is what the entry was worth as of this event."""

    n: int
    shop: str
    event: str
    status: Status
    entry: Entry


def read_feed(store: Store, *, shops: Sequence[str] | None, after: int, limit: int) -> list[FeedItem]:
    """Up to `limit` events behind number `after`, of all shops or of some."""
    where, values = "", [after]
    if shops is not None:
        keys = [key for shop in shops if (key := store.shop_key(shop)) is not None]
        where = f" AND f.shop IN ({','.join('?' * len(keys))})"
        values += keys
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
