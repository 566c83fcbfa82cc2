"""What stands in a store besides the documents themselves: who is a member, how far runs are held, here and elsewhere.

Committed rows only, but for what others said they hold, which may wait in memory for its commit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from posline.core.entry import Entry, decode
from posline.core.members import Member, Shop, read_shop
from posline.storage.connection import Connection
from posline.storage.records import Head, Mark, Written

__all__ = ["Standing"]


class Standing(ABC):
    """The part of a store that answers these questions, through `read`."""

    def __init__(self, read: Connection) -> None:
        self.read = read
        self._authorities: dict[str, tuple[int, Shop]] = {}
        self._haves: dict[tuple[str, str, int, str], Mark] = {}  # shop, author, run, store

    @abstractmethod
    def shop_key(self, shop: str) -> int | None:
        """The number that stands for a shop in the tables; None when nothing of it was committed yet."""

    @abstractmethod
    def document_key(self, shop: str, document: str) -> int | None:
        """The number that stands for a document in the tables."""

    @abstractmethod
    def head(self, shop: str, document: str) -> Head:
        """A document's head as of its last commit; an empty one when it is not here."""

    @property
    def stands_still(self) -> bool:
        """Whether this thread reads as of a moment that may have passed: then what it reads is nobody else's."""
        return False

    def settled(self, shop: str) -> bool:
        """Whether digests in memory are of all that was committed in a shop until now: where several processes write,
        another may have been faster."""
        return True

    def authors(self, shop: str, document: str) -> dict[str, tuple[int, str]]:
        """Count and set hash of each author's elements in a document."""
        rows = self.read.execute(
            "SELECT author, count, sum FROM digest WHERE shop = ? AND document = ?",
            (self.shop_key(shop), self.document_key(shop, document)),
        )
        return {author: (count, total.hex()) for author, count, total in rows}

    def haves(self, shop: str, author: str, run: int) -> dict[str, Mark]:
        """How far each store said it holds a run; only those whose hash is ours at that number, since a light must not
        lie where two lives of a till used one number."""
        key = self.shop_key(shop)
        found = {
            store: Mark(author, run, seq, hash)
            for store, seq, hash in self.read.execute(
                "SELECT store, seq, hash FROM have WHERE shop = ? AND author = ? AND run = ?", (key, author, run)
            )
        }
        found |= {
            store: mark for (of, a, r, store), mark in list(self._haves.items()) if (of, a, r) == (shop, author, run)
        }
        return {
            store: mark
            for store, mark in found.items()
            if self.read.execute(
                "SELECT 1 FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ? AND hash = ?",
                (key, author, run, mark.seq, mark.hash),
            ).fetchone()
        }

    def members(self, shop: str) -> Mapping[str, Member]:
        """The shop's members by author id, as committed."""
        return self.authority(shop).members

    def authority(self, shop: str) -> Shop:
        """The shop's founding and members, as committed."""
        n = self.head(shop, "shop").n
        cached = self._authorities.get(shop)
        if cached is None or cached[0] != n:
            cached = n, read_shop(self.acts(shop), shop)
            if not self.stands_still:  # what was read then may be of before `n`
                self._authorities[shop] = cached
        return cached[1]

    def acts(self, shop: str) -> list[Entry]:
        """The entries of the shop's document, which say who is a member, as committed."""
        rows = self.read.execute(
            "SELECT raw FROM entry WHERE shop = ? AND document = ? AND day IS NULL",
            (self.shop_key(shop), self.document_key(shop, "shop")),
        )
        return [decode("shop", raw) for (raw,) in rows]

    def written(self, shop: str, author: str) -> Written | None:
        """What this disk wrote last as `author`; None when nothing."""
        query = "SELECT run, seq, hash, number, foreign_seq, foreign_number FROM mark WHERE shop = ? AND author = ?"
        row = self.read.execute(query, (self.shop_key(shop), author)).fetchone()
        return None if row is None else Written(*row)

    def written_elsewhere(self, shop: str, author: str) -> tuple[int, int]:
        """The highest number, and the highest of a receipt, that is vouched for under this name and that this disk did
        not write. A disk that has written nothing keeps no mark of them: it may be an empty one under an old key."""
        written = self.written(shop, author)
        if written is not None:
            return written.foreign_seq, written.foreign_number
        query = "SELECT coalesce(max(seq), 0), coalesce(max(number), 0) FROM entry WHERE shop = ? AND author = ?"
        seq, number = self.read.execute(query + " AND vouched = 1", (self.shop_key(shop), author)).fetchone()
        return seq, number

    def left_behind(self, shop: str, author: str) -> bool:
        """Whether `author` may have gone on from what this disk wrote last: it is a copy's, and there was another."""
        written = self.written(shop, author)
        return written is not None and written.foreign_seq >= written.seq

    def has_run(self, shop: str, author: str, run: int) -> bool:
        """Whether anything of a run is here."""
        query = "SELECT 1 FROM run WHERE shop = ? AND author = ? AND run = ?"
        return self.read.execute(query, (self.shop_key(shop), author, run)).fetchone() is not None

    def marks(self, shop: str, runs: Iterable[tuple[str, int]]) -> list[Mark]:
        """How far these runs, (author, run), are held here without a gap."""
        found = []
        for author, run in runs:
            row = self.read.execute(
                "SELECT whole, whole_hash FROM run WHERE shop = ? AND author = ? AND run = ? AND whole > 0",
                (self.shop_key(shop), author, run),
            ).fetchone()
            if row is not None:
                found.append(Mark(author, run, *row))
        return found

    def all_marks(self, shop: str, *, unless: str) -> list[Mark]:
        """How far every run is held here without a gap, but for those that the store `unless` is known to hold so."""
        rows = self.read.execute(
            "SELECT author, run, whole, whole_hash FROM run r WHERE shop = ? AND whole > 0 AND NOT EXISTS (SELECT 1"
            " FROM have h WHERE h.shop = r.shop AND h.author = r.author AND h.run = r.run AND h.store = ?"
            " AND h.seq = r.whole AND h.hash = r.whole_hash)",
            (self.shop_key(shop), unless),
        )
        return [Mark(*row) for row in rows]

    def entries_by_hash(self, shop: str, document: str, prefixes: Sequence[bytes]) -> list[bytes]:
        """The bytes of the elements whose hashes begin with these prefixes."""
        key, name = self.shop_key(shop), self.document_key(shop, document)
        found: list[bytes] = []
        for prefix in prefixes:
            upper = prefix + b"\xff" * (32 - len(prefix))
            rows = self.read.execute(
                "SELECT raw FROM entry WHERE shop = ? AND hash BETWEEN ? AND ? AND document = ?",
                (key, prefix, upper, name),
            )
            found += [raw for (raw,) in rows]
        return found

    def prefixes(self, shop: str, document: str, author: str, size: int) -> list[bytes]:
        """The first `size` bytes of the hash of each element of an author in a document, sorted."""
        rows = self.read.execute(
            "SELECT substr(hash, 1, ?) FROM entry WHERE shop = ? AND document = ? AND author = ? ORDER BY 1",
            (size, self.shop_key(shop), self.document_key(shop, document), author),
        )
        return [prefix for (prefix,) in rows]
