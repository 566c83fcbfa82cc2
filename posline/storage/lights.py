"""Where an entry is on a disk besides this one, by what other devices said they hold.

A device says of a run only its last entry there (a mark), and means the chain behind it. So an entry is held where a
mark's entry is that entry, or has it behind itself on the chain. Its number alone does not say so: a member that lies
can put a forged entry under a till's next number, and whoever took that up may lack the true one.

Reads committed rows; what is forged costs a walk along the run, what is not costs a few look-ups.
"""

from __future__ import annotations

from posline.core.entry import Entry
from posline.core.status import SHORT
from posline.storage.ledger import SIGNED
from posline.storage.records import Mark
from posline.storage.store import Store

__all__ = ["holders", "waiting"]

# the runs of an author of which some device is not known to hold all that this disk wrote. Where a mark names the last
# entry of the run and this disk wrote it, the chain behind it is all of that.
OPEN = """
SELECT run FROM run r WHERE shop = ?1 AND author = ?2 AND NOT EXISTS (
    SELECT 1 FROM have h JOIN entry e ON e.shop = h.shop AND e.hash = h.hash AND e.own = 1
    WHERE h.shop = r.shop AND h.author = r.author AND h.run = r.run AND h.seq = r.whole
        AND h.hash = r.whole_hash AND r.whole = r.tip AND h.store <> ?3)"""
# from a mark's entry back along the chain, to the first entry that this disk wrote
OWN_BEHIND = """
WITH RECURSIVE behind (seq, hash, prev, own) AS (
    SELECT seq, hash, prev, own FROM entry WHERE shop = ?1 AND author = ?2 AND run = ?3 AND seq = ?4 AND hash = ?5
    UNION SELECT e.seq, e.hash, e.prev, e.own FROM behind b CROSS JOIN entry e
        ON e.shop = ?1 AND e.author = ?2 AND e.run = ?3 AND e.seq = b.seq - 1
    WHERE b.own = 0 AND lower(substr(hex(e.hash), 1, ?6)) = b.prev)
SELECT coalesce(max(CASE WHEN own = 1 THEN seq ELSE 0 END), 0) FROM behind"""


def holders(store: Store, shop: str, entry: Entry) -> set[str]:
    """The store ids of the devices that are known to hold `entry`: they said so, or it is their own and vouched for.
    Members or not."""
    marks = {s: mark for s, mark in store.haves(shop, entry.till, entry.run).items() if mark.seq >= entry.seq}
    if marks and not _lone_chain(store, shop, entry.till, entry.run):
        ahead = _from(store, shop, entry, max(mark.seq for mark in marks.values()))
        marks = {s: mark for s, mark in marks.items() if mark.hash in ahead}
    found = set(marks)
    if entry.till not in found and _vouched(store, shop, entry):
        found.add(entry.till)
    return found


def waiting(store: Store, shop: str, author: str, *, here: str) -> int:
    """How many of the entries that this disk (`here`) wrote as `author` no other device is known to hold."""
    key = store.shop_key(shop)
    count = 0
    for (run,) in store.read.execute(OPEN, (key, author, here)).fetchall():
        marks = [mark for s, mark in store.haves(shop, author, run).items() if s != here]
        held = max((_own_behind(store, key, mark) for mark in marks), default=0)
        count += store.read.execute(
            "SELECT count(*) FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq > ? AND own = 1",
            (key, author, run, held),
        ).fetchone()[0]
    return count


def _own_behind(store: Store, key: int | None, mark: Mark) -> int:
    """The number of the last entry of this disk's own on the chain that a mark stands for; 0 when there is none."""
    place = key, mark.author, mark.run, mark.seq, mark.hash, SHORT
    return int(store.read.execute(OWN_BEHIND, place).fetchone()[0])


def _lone_chain(store: Store, shop: str, author: str, run: int) -> bool:
    """Whether all that is here of a run is one chain from its `run` entry to its end: then numbers say it all."""
    place = store.shop_key(shop), author, run
    row = store.read.execute(
        "SELECT plain, whole, tip FROM run WHERE shop = ? AND author = ? AND run = ?", place
    ).fetchone()
    if row is None or row[0]:
        return row is not None
    _, whole, tip = row
    count, first = store.read.execute(
        "SELECT count(*), min(seq) FROM entry WHERE shop = ? AND author = ? AND run = ?", place
    ).fetchone()
    if whole != tip or count != whole - first + 1:
        return False
    start = "SELECT 1 FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ? AND kind = 'run' AND signed = ?"
    return store.read.execute(start, (*place, first, SIGNED)).fetchone() is not None


def _from(store: Store, shop: str, entry: Entry, last: int) -> set[bytes]:
    """The hashes of the entry and of those that have it behind them on the chain, up to number `last`."""
    rows = store.read.execute(
        "SELECT seq, hash, prev FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq > ? AND seq <= ?"
        " ORDER BY seq",
        (store.shop_key(shop), entry.till, entry.run, entry.seq, last),
    )
    reached = {(entry.seq, entry.hash.hex()[:SHORT])}
    found = {entry.hash}
    for seq, hash, prev in rows:
        if (seq - 1, prev) in reached:
            reached.add((seq, hash.hex()[:SHORT]))
            found.add(hash)
    return found


def _vouched(store: Store, shop: str, entry: Entry) -> bool:
    row = store.read.execute(
        "SELECT 1 FROM entry WHERE shop = ? AND hash = ? AND vouched = 1", (store.shop_key(shop), entry.hash)
    ).fetchone()
    return row is not None
