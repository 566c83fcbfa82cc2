"""Looking for what changed by itself: a little of the file at a time, while the till has nothing better to do.

A disk may give back other bytes than it was given, and say nothing. SQLite notices that where it breaks its own order;
inside a row it cannot. Each row of the ledger holds the hash of its element, and each element of the log lies in the
ledger: so a row that changed is found, and by reading it, so is a page that can no longer be read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from posline.core.entry import Entry, decode
from posline.core.update import strings_of
from posline.errors import Refused
from posline.storage.connection import altered
from posline.storage.store import Store

__all__ = ["ENTRIES", "REPEATED", "Scrub", "repeated"]

# columns of the ledger's row of an entry that only repeat what the entry says
REPEATED = "e.id, e.kind, e.author, e.run, e.seq, e.prev, e.number, e.amount, e.fault"

ENTRIES = 300  # looked at in one step: some 3 ms
ROWS = 50


def repeated(entry: Entry) -> list[object]:
    """What stands in those columns."""
    known_by = entry.id if entry.placed else entry.hash.hex()
    return [known_by, entry.kind, entry.till, entry.run, entry.seq, entry.prev, entry.number, entry.amount, entry.fault]


@dataclass(slots=True)
class Scrub:
    """How far the looking is; it begins again when it has come through."""

    entry: int = 0
    row: int = 0

    def step(self, store: Store) -> int:
        """Look at the next rows; how many were looked at, 0 at the end of a round. Raises the database's error where
        one changed or cannot be read."""
        return self._entries(store) + self._rows(store)

    def _entries(self, store: Store) -> int:
        rows = store.read.execute(
            f"SELECT e.n, d.name, e.hash, e.raw, {REPEATED} FROM entry e"
            " JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE e.n > ? ORDER BY e.n LIMIT ?",
            (self.entry, ENTRIES),
        ).fetchall()
        for n, name, hash, raw, *said in rows:
            entry = decode(name, raw)
            if entry.hash != hash or said != repeated(entry):
                raise altered(f"entry {n} of the ledger is not what was written")
        self.entry = rows[-1][0] if rows else 0
        return len(rows)

    def _rows(self, store: Store) -> int:
        rows = store.read.execute(
            "SELECT rowid, shop, document, n, data FROM log WHERE rowid > ? ORDER BY rowid LIMIT ?", (self.row, ROWS)
        ).fetchall()
        for _, shop, document, n, data in rows:
            try:
                hashes = [hashlib.sha256(string).digest() for string in strings_of(data)]
            except Refused as error:
                raise altered(f"row {n} of a document's log is not what was written ({error})") from error
            query = "SELECT 1 FROM entry WHERE shop = ? AND hash = ? AND document = ?"
            if any(store.read.execute(query, (shop, hash, document)).fetchone() is None for hash in hashes):
                raise altered(f"row {n} of a document's log is not what was written")
        self.row = rows[-1][0] if rows else 0
        return len(rows)
