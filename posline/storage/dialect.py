"""What differs between databases beyond how they spell SQL, which the connection sees to.

SQLite is the one that every till has. A head office may hand in another's; all else in this package is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posline.storage.connection import Connection

__all__ = ["SQLITE", "Dialect", "WordIndex"]

# the names of products whose numbers the index of words found: those that begin with the first word, then the others
_BY_WORDS = (
    "SELECT p.sku FROM (SELECT rowid AS n FROM product_words WHERE product_words MATCH ? AND rowid BETWEEN ? AND ?"
    " ORDER BY rowid LIMIT ?) f CROSS JOIN product p ON p.n = f.n ORDER BY p.name < ? OR p.name > ?, p.name, p.sku"
)


class WordIndex:
    """SQLite's: a table of FTS5 beside `product`, which knows nothing but the words and numbers of products."""

    def change(self, db: Connection, n: int, before: str, after: str) -> None:
        """The words of product `n` are others now; "" for none."""
        if before:
            db.execute("INSERT INTO product_words (product_words, rowid, words) VALUES ('delete', ?, ?)", (n, before))
        if after:
            db.execute("INSERT INTO product_words (rowid, words) VALUES (?, ?)", (n, after))

    def clear(self, db: Connection) -> None:
        """`product` was emptied, and so is this."""
        db.execute("INSERT INTO product_words (product_words) VALUES ('rebuild')")

    def found(
        self, read: Connection, shop: int, numbers: tuple[int, int], words: Sequence[str], whole: str, limit: int
    ) -> list[str]:
        """The SKUs of up to `limit` products with these numbers of which some word begins with each of `words`, and
        that have the word `whole` if that is not ""; those first whose name begins with the first word."""
        asked = " ".join(f'"{word}"*' for word in words) + (f' "{whole}"' if whole else "")
        last = words[0] + "\U0010ffff"
        return [sku for (sku,) in read.execute(_BY_WORDS, (asked, *numbers, limit, words[0], last))]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`feed` is the table that events for integrators are written to. With `numbers_by_shop`, each shop's entries are
    numbered by themselves, since several processes write at once; else all together."""

    words: WordIndex
    feed: str = "feed"
    numbers_by_shop: bool = False


SQLITE = Dialect(WordIndex())
