"""Carts that wait: put aside at one till, taken up at any.

A cart waits until it is recalled, dropped or sold, anywhere. Two tills that recall one cart while apart both have it;
it carries the id of the sale that it will be, so that the two ring one sale, or are told that they rang two.
"""

from __future__ import annotations

import json
from typing import ClassVar

from posline.core.entry import Entry
from posline.core.members import Shop
from posline.storage.connection import Connection

__all__ = ["Carts"]


class Carts:
    """`cart` has what was put aside, `uncart` what ended it."""

    kinds = frozenset({"hold", "unhold", "sale"})
    tables: ClassVar[tuple[str, ...]] = ("cart", "uncart")

    def __init__(self, db: Connection) -> None:
        self._db = db

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """A cart is put aside, or waits no more."""
        body = entry.body
        if entry.kind == "hold":
            self._db.execute(
                "INSERT OR IGNORE INTO cart (shop, hold, hash, author, day, at, by, name, sale, cart)"
                " VALUES (?,?,?,?,?,?,?,?,?,?)",
                (shop, entry.id, entry.hash, entry.till, entry.day, entry.at, entry.by, body["name"], body["sale"],
                 json.dumps(body["cart"], ensure_ascii=False)),
            )  # fmt: skip
        elif (hold := body.get("hold")) is not None:
            why = body.get("why", "sold")
            self._db.execute(
                "INSERT OR IGNORE INTO uncart (shop, hold, hash, why) VALUES (?,?,?,?)", (shop, hold, entry.hash, why)
            )

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """As if it had not been."""
        if entry.kind == "hold":
            self._db.execute(
                "DELETE FROM cart WHERE shop = ? AND hold = ? AND hash = ?", (shop, entry.id, entry.hash)
            )
        elif (hold := entry.body.get("hold")) is not None:
            self._db.execute("DELETE FROM uncart WHERE shop = ? AND hold = ? AND hash = ?", (shop, hold, entry.hash))

    def flush(self) -> None:
        """Nothing is gathered here."""
