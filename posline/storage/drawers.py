"""Shifts and closed days, so that they are found without walking through a till's history.

What a Z report covers are numbers of its till, never dates; what the close of a day covers are places in each till's
chain. Both are worked out by whoever asks; here they are only kept in order.
"""

from __future__ import annotations

import json
from typing import ClassVar

from posline.core.entry import Entry
from posline.core.members import Shop
from posline.storage.connection import Connection

__all__ = ["Drawers"]

OPENED, CLOSED = "shift opened", "shift closed"


class Drawers:
    """`shift` has each opening and close of a till, `dayclose` each close of a business day."""

    kinds = frozenset({OPENED, CLOSED, "day closed"})
    tables: ClassVar[tuple[str, ...]] = ("shift", "dayclose")

    def __init__(self, db: Connection) -> None:
        self._db = db

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """A shift begins or ends, or a day is closed."""
        if entry.kind == "day closed":
            self._db.execute(
                "INSERT OR IGNORE INTO dayclose (shop, day, hash, author, run, seq, at, vector)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (shop, entry.body["of_day"], entry.hash, entry.till, entry.run, entry.seq, entry.at,
                 json.dumps(entry.body["vector"])),
            )  # fmt: skip
            return
        self._db.execute(
            "INSERT OR IGNORE INTO shift (shop, author, seq, run, hash, kind, id, shift, day, at)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (shop, entry.till, entry.seq, entry.run, entry.hash, entry.kind, entry.id, _shift(entry), entry.day,
             entry.at),
        )  # fmt: skip

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """As if it had not been."""
        if entry.kind == "day closed":
            self._db.execute(
                "DELETE FROM dayclose WHERE shop = ? AND day = ? AND hash = ?",
                (shop, entry.body["of_day"], entry.hash),
            )
            return
        self._db.execute(
            "DELETE FROM shift WHERE shop = ? AND author = ? AND seq = ? AND run = ? AND hash = ?",
            (shop, entry.till, entry.seq, entry.run, entry.hash),
        )

    def flush(self) -> None:
        """Nothing is gathered here."""


def _shift(entry: Entry) -> str | None:
    """Which shift an entry opens or closes; None where a close covers what was rung without one."""
    shift = entry.id if entry.kind == OPENED else entry.body["shift"]
    return None if shift is None else str(shift)
