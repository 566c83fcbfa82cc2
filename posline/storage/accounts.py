"""What customers owe the shop (`account`, udhaar), and what the shop owes them (`credit`: the tender `store_credit`).

Two tills that lend to one customer while apart both count: the balance is a sum, and a limit that was passed is shown,
not undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from posline.core.books import book_of
from posline.core.entry import Entry
from posline.core.members import Shop
from posline.storage.connection import Connection

__all__ = ["BOOKS", "STORE_CREDIT", "Accounts"]

ACCOUNT, CREDIT = "account", "credit"  # the books: what is owed to the shop, and by it
STORE_CREDIT = "store_credit"  # the tender that spends credit in a sale, and gives it in a refund or a void
BOOKS = {ACCOUNT: (ACCOUNT, 1), STORE_CREDIT: (CREDIT, -1)}  # tender -> its book, and what it does to it in a sale
INSERT = """INSERT OR IGNORE INTO statement (shop, customer, book, hash, day, at, kind, id, amount)
 VALUES (?,?,?,?,?,?,?,?,?)"""
DELETE = "DELETE FROM statement WHERE shop = ? AND customer = ? AND book = ? AND hash = ?"


class Accounts:
    """Movements of customers' balances, one row an entry and book."""

    kinds = frozenset({"sale", "refund", "void", "payment"})
    tables: ClassVar[tuple[str, ...]] = ("statement",)

    def __init__(self, db: Connection) -> None:
        self._db = db

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """The balances move by `entry`."""
        for customer, book, amount in _movements(entry):
            place = (shop, customer, book, entry.hash)
            self._db.execute(INSERT, (*place, entry.day, entry.at, entry.kind, entry.id, amount))

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """The balances move back."""
        for customer, book, _ in _movements(entry):
            self._db.execute(DELETE, (shop, customer, book, entry.hash))

    def flush(self) -> None:
        """Nothing is gathered here."""


def _movements(entry: Entry) -> Iterator[tuple[str, str, int]]:
    """(customer, book, amount) of each balance that an entry moves. More in `account` is owed to the shop, more in
    `credit` by it."""
    body = entry.body
    customer = book_of(body.get("customer", ""))
    if entry.kind == "payment":
        yield customer, ACCOUNT, -body["amount"]
        paid_by: Any = body.get("tenders", ())
    else:
        paid_by = body.get("tenders") or ()  # without tenders it was cash
    sums: dict[str, int] = {}
    back = -1 if entry.kind in ("refund", "void") else 1
    for tender in paid_by:
        book, sign = BOOKS.get(tender["kind"], ("", 0))
        if book and not (entry.kind == "payment" and book == ACCOUNT):
            sums[book] = sums.get(book, 0) + back * sign * tender["amount"]
    for book, amount in sums.items():
        yield customer, book, amount
