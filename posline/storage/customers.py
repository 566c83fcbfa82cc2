"""Customers and what stands in their books, as committed. Read from the projections of edits and of accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from posline.core.books import book_of, phone_digits
from posline.storage.effects import CUSTOMERS
from posline.storage.store import Store

__all__ = ["Balance", "Customers"]

_NAMED = "SELECT name, value FROM edit WHERE shop = ?1 AND document = ?2 AND current = 1"


@dataclass(frozen=True, slots=True)
class Balance:
    """What a customer owes the shop (`account`) and what the shop owes the customer (`credit`), in minor units."""

    account: int = 0
    credit: int = 0


class Customers:
    """What one shop's ledger knows of its customers."""

    def __init__(self, store: Store, shop: str) -> None:
        self._store, self._shop = store, shop
        self._read = store.read

    @property
    def _key(self) -> int | None:
        return self._store.shop_key(self._shop)

    def customer(self, customer: str) -> dict[str, Any] | None:
        """A customer's current fields by id, or None."""
        row = self._read.execute(_NAMED + " AND name = ?3", (self._key, CUSTOMERS, book_of(customer))).fetchone()
        return None if row is None else {"customer": row[0], **json.loads(row[1])}

    def found(self, wanted: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Customers whose name holds `wanted`, or whose phone, NTN or CNIC begins or ends with its digits; by name.

        `after` is the id of the last one had so far; that one may have been renamed or put out of use since."""
        words, digits = wanted.casefold().split(), phone_digits(wanted)
        made: list[dict[str, Any]] = []
        for id, value in self._read.execute(_NAMED, (self._key, CUSTOMERS)):
            customer = {"customer": id, **json.loads(value)}
            if customer.get("active", True) and _matches(customer, words, digits):
                made.append(customer)
        made.sort(key=_place)
        last = self.customer(after) if after else None
        if last is not None:
            made = [customer for customer in made if _place(customer) > _place(last)]
        return made[:limit] if last is not None or not after else []

    def in_conflict(self, customer: str) -> bool:
        """Whether several edits of a customer stand side by side, made by tills that were apart."""
        row = self._read.execute(
            "SELECT 1 FROM edit_conflict WHERE shop = ? AND document = ? AND name = ? LIMIT 1",
            (self._key, CUSTOMERS, customer),
        ).fetchone()
        return row is not None

    # -- books ---------------------------------------------------------------------------------------------------------

    def balance(self, customer: str) -> Balance:
        """What stands in a customer's books. A customer may be anything that sales name, known or not."""
        sums = dict(
            self._read.execute(
                "SELECT book, sum(amount) FROM statement WHERE shop = ? AND customer = ? GROUP BY book",
                (self._key, book_of(customer)),
            ).fetchall()
        )
        return Balance(int(sums.get("account", 0)), int(sums.get("credit", 0)))

    def owing(self, after: int, limit: int) -> Iterator[tuple[str, Balance]]:
        """Whose books are not even, those who owe most first; from place `after` on."""
        for customer, account, credit in self._read.execute(
            "SELECT customer, account, credit FROM (SELECT customer,"
            " sum(CASE WHEN book = 'account' THEN amount ELSE 0 END) AS account,"
            " sum(CASE WHEN book = 'credit' THEN amount ELSE 0 END) AS credit"
            " FROM statement WHERE shop = ? GROUP BY customer) books"
            " WHERE account <> 0 OR credit <> 0 ORDER BY account DESC, credit, customer LIMIT ? OFFSET ?",
            (self._key, limit, after),
        ).fetchall():
            yield customer, Balance(int(account), int(credit))

    def statement(
        self, customer: str, after: int, limit: int, *, first: str = "", last: str = "9"
    ) -> list[dict[str, Any]]:
        """Movements of a customer's books in an order that all replicas share, each with the balance of its book after
        it; of the days `first` to `last`, from place `after` on."""
        rows = self._read.execute(
            "SELECT day, at, kind, id, book, amount, balance FROM (SELECT *, sum(amount) OVER"
            " (PARTITION BY book ORDER BY day, at, hash) AS balance FROM statement WHERE shop = ? AND customer = ?)"
            " moves WHERE day BETWEEN ? AND ? ORDER BY day, at, hash, book LIMIT ? OFFSET ?",
            (self._key, book_of(customer), first, last, limit, after),
        ).fetchall()
        names = ("day", "at", "kind", "id", "book", "amount", "balance")
        return [dict(zip(names, row, strict=True)) for row in rows]


def _place(customer: dict[str, Any]) -> tuple[str, str]:
    return str(customer["name"]).casefold(), str(customer["customer"])


def _matches(customer: dict[str, Any], words: list[str], digits: str) -> bool:
    name = str(customer["name"]).casefold()
    if all(word in name for word in words):
        return True
    numbers = [phone_digits(str(customer.get(field, ""))) for field in ("phone", "ntn", "cnic")]
    return len(digits) >= 3 and any(number.startswith(digits) or number.endswith(digits) for number in numbers)
