"""Stock on hand: all movements less what was sold, added up in any order. Below 0 is shown, never blocked.

A sale takes from it, a refund and a void put back, `stock` entries move it. A count is written as the difference to
what its till held at the time, so that counts add up like everything else.

What was in stock when the shop began counts once for a SKU, whoever said it and however often: of several, the one in
the entry with the least hash, which every device finds alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from posline.core.checks import signed_quantity
from posline.core.entry import Entry
from posline.core.members import Shop
from posline.core.money import parse_quantity
from posline.storage.connection import Connection

__all__ = ["Goods"]


class Goods:
    """On hand by SKU in thousandths; `stocked` counts the `stock` moves behind it."""

    kinds = frozenset({"sale", "refund", "void", "stock"})
    tables: ClassVar[tuple[str, ...]] = ("onhand", "opening")

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._moved: dict[tuple[int, str], list[int]] = {}

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """The goods of `entry` moved."""
        self._gather(shop, entry, 1)

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """The goods of `entry` did not move after all."""
        self._gather(shop, entry, -1)

    def _gather(self, shop: int, entry: Entry, sign: int) -> None:
        stocked = sign if entry.kind == "stock" else 0
        for sku, thousandths in _moves(entry):
            self._move(shop, sku, sign * thousandths, stocked)
        if stocked:
            for sku, thousandths in _openings(entry).items():
                self._move(shop, sku, self._open(shop, sku, entry.hash, thousandths, sign), sign)

    def _move(self, shop: int, sku: str, thousandths: int, stocked: int) -> None:
        moved = self._moved.setdefault((shop, sku), [0, 0])
        moved[0] += thousandths
        moved[1] += stocked

    def _open(self, shop: int, sku: str, hash: bytes, thousandths: int, sign: int) -> int:
        """By how much what counts of this SKU's opening stock changes, with that of one entry there or gone."""
        before = self._opening(shop, sku)
        if sign > 0:
            self._db.execute(
                "INSERT OR IGNORE INTO opening (shop, sku, hash, quantity) VALUES (?,?,?,?)",
                (shop, sku, hash, thousandths),
            )
        else:
            self._db.execute("DELETE FROM opening WHERE shop = ? AND sku = ? AND hash = ?", (shop, sku, hash))
        return self._opening(shop, sku) - before

    def _opening(self, shop: int, sku: str) -> int:
        row = self._db.execute(
            "SELECT quantity FROM opening WHERE shop = ? AND sku = ? ORDER BY hash LIMIT 1", (shop, sku)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def flush(self) -> None:
        """Write what a batch moved: each SKU once, however many lines it stood in."""
        if self._moved:
            self._db.executemany(
                "INSERT INTO onhand (shop, sku, quantity, stocked) VALUES (?,?,?,?) ON CONFLICT (shop, sku) DO UPDATE"
                " SET quantity = onhand.quantity + excluded.quantity, stocked = onhand.stocked + excluded.stocked",
                [(shop, sku, *moved) for (shop, sku), moved in self._moved.items()],
            )
            self._moved.clear()


def _moves(entry: Entry) -> Iterator[tuple[str, int]]:
    """(SKU, thousandths) of what an entry moves, opening stock aside; below 0 is out of the shop."""
    body = entry.body
    if entry.kind == "stock":
        for move in body["moves"]:
            if move.get("opening") is not True:
                yield move["sku"], signed_quantity(move["quantity"]) or 0
    elif entry.kind == "sale":
        for line in body["lines"]:
            yield line["sku"], -parse_quantity(line["quantity"])
    elif body.get("restock", True):
        for line in body["lines"]:
            yield line["sku"], parse_quantity(line["quantity"])


def _openings(entry: Entry) -> dict[str, int]:
    """Thousandths by SKU that an entry says were in stock when the shop began."""
    found: dict[str, int] = {}
    for move in entry.body["moves"]:
        if move.get("opening") is True:
            found[move["sku"]] = found.get(move["sku"], 0) + (signed_quantity(move["quantity"]) or 0)
    return found
