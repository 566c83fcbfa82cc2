"""What was taken back of each sale, by refunds and voids, and where that is more than was sold.

Two tills may each refund the same line while apart. Both refunds stay, since money left both drawers; the sale is named
in `excess`, which raises an alarm.
"""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

import msgspec

from posline.core.entry import Entry
from posline.core.members import Shop
from posline.core.money import parse_quantity
from posline.storage.connection import Connection

__all__ = ["Returns"]

COUNTED, DUPLICATE = 0, 1  # as posline.storage.ledger numbers them, which stands above this
_body = msgspec.json.Decoder(dict[str, object]).decode


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
            self._touch(shop, entry.id)
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
            self._touch(shop, entry.id)
            return
        sale = entry.body["sale"]
        self._db.execute("DELETE FROM returned WHERE shop = ? AND sale = ? AND hash = ?", (shop, sale, entry.hash))
        self._touched.add((shop, sale))

    def _touch(self, shop: int, sale: str) -> None:
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
        sold: dict[bytes, list[int]] = {}
        same: dict[bytes, bytes] = {}  # the same sale, recorded twice: what was taken back of either is one
        for hash, kept, raw in self._db.execute(
            "SELECT hash, kept, raw FROM entry WHERE shop = ? AND id = ? AND kind = 'sale' AND status <= ?",
            (shop, sale, DUPLICATE),
        ).fetchall():
            same[hash] = kept or hash
            lines = _body(raw)["lines"]
            assert isinstance(lines, list)
            sold[hash] = [parse_quantity(line["quantity"]) for line in lines]
        back: dict[bytes, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for of, line, quantity in self._db.execute(
            "SELECT of, line, quantity FROM returned WHERE shop = ? AND sale = ?", (shop, sale)
        ):
            if of in same:
                back[same[of]][line] += quantity
        return any(
            line > len(sold[hash]) or quantity > sold[hash][line - 1]
            for hash, lines in back.items()
            if hash in sold
            for line, quantity in lines.items()
        )
