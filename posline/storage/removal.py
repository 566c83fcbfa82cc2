"""What a removal of a till says, from the committed ledger: how far its chain is held here, and how much that is.

A chain covers what lies behind it, so only the tips are named: the last entry of each unbroken stretch that no other
entry follows. Knows nothing of who may remove.
"""

from __future__ import annotations

from dataclasses import dataclass

from posline.core.entry import decode
from posline.core.numbers import receipt
from posline.core.status import SHORT, UNREACHED
from posline.storage.ledger import DUPLICATE
from posline.storage.store import Store

__all__ = ["Holding", "holding_of", "points_of"]

FIT = "({0}.status <= ? OR {0}.reason = ?)"


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of a till's entries is here: how many, the last one's number, and its last receipt ("" for none)."""

    entries: int
    last_seq: int
    last_receipt: str


def points_of(store: Store, shop: str, author: str, *, vouched_only: bool) -> list[tuple[int, int, str]]:
    """The tips of `author`'s run tree as (run, seq, hash in hex), the last first: behind them lies every entry of its
    that counts here, or would but for a hole between it and a signature: what fills it may be gone with the till. With
    `vouched_only`, every one that its signature vouches for."""
    key = store.shop_key(shop)
    fit = "e.shop = ? AND e.author = ? AND e.run = ? AND " + FIT.format("e")
    fit += " AND e.vouched = 1" if vouched_only else ""
    points: list[tuple[int, int, bytes]] = []
    for (run,) in store.read.execute("SELECT run FROM run WHERE shop = ? AND author = ?", (key, author)).fetchall():
        place = (key, author, run, DUPLICATE, UNREACHED)
        count, first, last = store.read.execute(
            f"SELECT count(*), min(e.seq), max(e.seq) FROM entry e WHERE {fit}", place
        ).fetchone()
        if not count:
            continue
        query = f"SELECT e.run, e.seq, e.hash FROM entry e WHERE {fit}"
        if count == last - first + 1:
            points += store.read.execute(f"{query} AND e.seq = ?", (*place, last))
        else:  # something is missing or claimed twice: each stretch has a tip of its own
            points += store.read.execute(
                f"{query} AND NOT EXISTS (SELECT 1 FROM entry f WHERE f.shop = e.shop AND f.author = e.author"
                " AND f.run = e.run AND f.seq = e.seq + 1 AND f.prev = substr(lower(hex(e.hash)), 1, ?)"
                f" AND {FIT.format('f')}" + (" AND f.vouched = 1)" if vouched_only else ")"),
                (*place, SHORT, DUPLICATE, UNREACHED),
            )
    followed = set(
        store.read.execute(
            "SELECT c.run, c.seq, c.hash FROM continuation c JOIN entry e ON e.shop = c.shop AND e.author = c.author"
            " AND e.run = c.next AND e.kind = 'run' AND e.status <= ? WHERE c.shop = ? AND c.author = ?"
            " AND c.next <> c.run",
            (DUPLICATE, key, author),
        )
    )
    tips = sorted((p for p in points if p not in followed), key=lambda p: (-p[1], p[0]))
    return [(run, seq, hash.hex()) for run, seq, hash in tips]


def holding_of(store: Store, shop: str, author: str) -> Holding:
    """How much of an author's entries is here, of whatever counts."""
    place = (store.shop_key(shop), author, DUPLICATE)
    fit = "shop = ? AND author = ? AND status <= ?"
    count, last = store.read.execute(f"SELECT count(*), coalesce(max(seq), 0) FROM entry WHERE {fit}", place).fetchone()
    row = store.read.execute(
        f"SELECT raw FROM entry WHERE {fit} AND number IS NOT NULL ORDER BY number DESC, seq DESC LIMIT 1", place
    ).fetchone()
    entry = None if row is None else decode("", row[0])
    printed = "" if entry is None else receipt(str(entry.body["label"]), entry.body["number"], entry.till, entry.run)
    return Holding(count, last, printed)
