"""What was taken back of each sale, by refunds and voids, and where that is more than was sold.

Two tills may each refund the same line while apart. Both refunds stay, since money left both drawers; the sale is named
in `excess`, which raises an alarm.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

import msgspec

from posline.core.entry import Entry
from posline.core.members import Shop
from posline.core.money import parse_quantity
from posline.core.sales import sale_figures
from posline.storage.connection import Connection

__all__ = ["Returns"]

DUPLICATE = 1  # as posline.storage.ledger numbers it, which stands above this; below it is what counts
_body = msgspec.json.Decoder(dict[str, Any]).decode
_Line = tuple[int, int]  # thousandths sold, and what they cost


class Returns:
    """A row for each line that a refund or void takes back, quantities in thousandths."""

    kinds = frozenset({"sale", "refund", "void"})
    tables: ClassVar[tuple[str, ...]] = ("returned", "excess")

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._touched: set[tuple[int, str]] = set()

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` takes something back, or is a sale that something may have been taken back of already."""
        if entry.kind == "sale":
            self.touch(shop, entry.id)
            return
        body = entry.body
        self._db.executemany(
            "INSERT OR IGNORE INTO returned (shop, sale, hash, line, of, kind, quantity, total, tax)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            [
                (shop, body["sale"], entry.hash, line["line"], bytes.fromhex(body["of"]), entry.kind,
                 parse_quantity(line["quantity"]), line.get("total", 0), line.get("tax", 0))
                for line in body["lines"]
            ],
        )  # fmt: skip
        self._touched.add((shop, body["sale"]))

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` takes nothing back after all."""
        if entry.kind == "sale":
            self.touch(shop, entry.id)
            return
        sale = entry.body["sale"]
        self._db.execute("DELETE FROM returned WHERE shop = ? AND sale = ? AND hash = ?", (shop, sale, entry.hash))
        self._touched.add((shop, sale))

    def touch(self, shop: int, sale: str) -> None:
        """What is known of a sale changed: also of a copy that does not count, which a refund may name."""
        query = "SELECT 1 FROM returned WHERE shop = ? AND sale = ? LIMIT 1"
        if self._db.execute(query, (shop, sale)).fetchone() is not None:
            self._touched.add((shop, sale))

    def flush(self) -> None:
        """Look again at each sale of which something was taken back."""
        for shop, sale in self._touched:
            if self._exceeds(shop, sale):
                self._db.execute("INSERT OR IGNORE INTO excess (shop, sale) VALUES (?, ?)", (shop, sale))
            else:
                self._db.execute("DELETE FROM excess WHERE shop = ? AND sale = ?", (shop, sale))
        self._touched.clear()

    def _exceeds(self, shop: int, sale: str) -> bool:
        """Whether more was taken back of any line than was sold. What names a sale that is not here waits for it."""
        sold: dict[bytes, list[_Line]] = {}
        same: dict[bytes, bytes] = {}  # the same sale, recorded twice: what was taken back of either is one
        for hash, kept, raw in self._db.execute(
            "SELECT hash, kept, raw FROM entry WHERE shop = ? AND id = ? AND kind = 'sale' AND status <= ?",
            (shop, sale, DUPLICATE),
        ).fetchall():
            same[hash] = kept or hash
            body = _body(raw)
            quantities = (parse_quantity(line["quantity"]) for line in body["lines"])
            sold[hash] = list(zip(quantities, sale_figures(body).lines, strict=True))
        back: dict[tuple[bytes, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for of, line, quantity, total in self._db.execute(
            "SELECT of, line, quantity, total FROM returned WHERE shop = ? AND sale = ?", (shop, sale)
        ):
            if of in same:
                taken = back[same[of], line]
                for at, amount in enumerate((quantity, total, 1)):
                    taken[at] += amount
        return any(
            line > len(sold[hash]) or quantity > sold[hash][line - 1][0]
            # tills that were apart each rounded their part: less than a minor unit of each is no excess
            or total >= sold[hash][line - 1][1] + parts
            for (hash, line), (quantity, total, parts) in back.items()
            if hash in sold
        )
