"""Answers about products: one by SKU, by barcode, lists, search as one types, what two managers edited while apart.

Every answer is of the current catalogue, and of committed rows. How much a search looks at is bounded, whatever is
typed, but for the last resort: where no word begins so, each product is looked at once for a part of a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from posline.core.clock import parse_iso
from posline.core.products import favourite_place, on_day, spellings
from posline.core.words import fold
from posline.storage.committed import Committed
from posline.storage.pieces import in_pieces
from posline.storage.product_index import department_word, numbers_of
from posline.storage.store import Store

__all__ = ["FOUND_MAX", "Products", "no_day"]

FOUND_MAX = 1000  # products that one search finds, over all its pages
WORDS_MAX = 8  # of a search, the first ones: nobody reads on behind the eighth
TYPED_MAX = 200  # characters of a search
CONFLICTS_MAX = 1000  # edits that stand beside others, in one answer
LAST = "\U0010ffff"  # behind every text that begins alike

PLACE = "shop = ? AND document = ?"
BY_NAME = "SELECT sku FROM product WHERE {place} AND {name} BETWEEN ? AND ? AND active = 1{more} ORDER BY {name}, sku"
BY_PART = (
    "SELECT sku FROM product NOT INDEXED WHERE shop = ? AND n BETWEEN ? AND ? AND active = 1{more}"
    " AND instr(replace(words, ' ', ''), ?) > 0 ORDER BY name, sku LIMIT ?"
)
# an index of its own, since a product may have been edited a thousand times
CURRENT = (
    "SELECT name, value FROM edit INDEXED BY edit_current"
    " WHERE shop = ? AND document = ? AND current = 1 AND name IN ({marks})"
)


def no_day() -> str:
    """Before every day: nothing that is scheduled has begun."""
    return ""


class Products:
    """What one shop's catalogue answers, each product as it is on the business day that `today` names. What changes at
    the day's turn changes as it is read: nothing need run for it, and an answer about one product is still one row."""

    def __init__(self, store: Store, shop: str, today: Callable[[], str] = no_day) -> None:
        self._store, self._shop, self.today = store, shop, today
        self._read = store.read
        self._current = -1, ""  # the shop's edition as of which it was looked up, and its name

    # -- which catalogue -----------------------------------------------------------------------------------------------

    @property
    def catalogue(self) -> str:
        """The name of the current catalogue's document."""
        edition = self._store.edition(self._shop)
        current = self._current
        if current[0] != edition:
            row = self._read.execute(
                "SELECT value FROM edit WHERE shop = ? AND document = ? AND name = 'catalog' AND current = 1",
                (self._store.shop_key(self._shop), self._store.document_key(self._shop, "shop")),
            ).fetchone()
            current = edition, f"catalog/{(json.loads(row[0]) if row is not None else None) or 1}"
            if not self._store.stands_still:  # what was read then may be of before
                self._current = current
        return current[1]

    def scheduled(self, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Products, by SKU behind `after`, that change on a day that is yet to come."""
        query = "SELECT sku FROM product WHERE shop = ? AND document = ? AND ahead <> '' AND ahead > ? AND sku > ?"
        return self.several(self._column(query + " ORDER BY sku LIMIT ?", self.today(), after, limit))

    def _place(self) -> tuple[int | None, int | None]:
        return self._store.shop_key(self._shop), self._store.document_key(self._shop, self.catalogue)

    # -- one -----------------------------------------------------------------------------------------------------------

    def get(self, sku: str) -> dict[str, Any] | None:
        """A product of the current catalogue, retired or not, or None."""
        return next(iter(self.several([sku])), None)

    def several(self, skus: Sequence[str]) -> list[dict[str, Any]]:
        """Those of these products that there are, as they are now, in this order."""
        values: dict[str, str] = {}
        for marks, piece in in_pieces(skus):
            rows = self._read.execute(CURRENT.format(marks=marks), (*self._place(), *piece))
            values.update(rows.fetchall())
        products = [json.loads(values[sku]) for sku in skus if sku in values]
        if not any("ahead" in product for product in products):
            return products
        today = self.today()
        return [on_day(product, today) for product in products]

    def said(self, skus: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the current edit of each of these products says, whatever day it is, by SKU."""
        found: dict[str, dict[str, Any]] = {}
        for marks, piece in in_pieces(skus):
            rows = self._read.execute(CURRENT.format(marks=marks), (*self._place(), *piece))
            found.update((sku, json.loads(value)) for sku, value in rows)
        return found

    def at(self, sku: str, at: str) -> dict[str, Any] | None:
        """A product as it stood at a time (ISO 8601), for names on old receipts; no total depends on it."""
        row = self._read.execute(
            # by catalogue, as the key of `edit` goes: a receipt asks this for each of its lines
            "SELECT value FROM edit WHERE shop = ?1 AND name = ?2 AND document IN (SELECT key FROM document"
            " WHERE shop = ?1 AND name >= 'catalog/' AND name < 'catalog0')"
            " ORDER BY at > ?3, CASE WHEN at > ?3 THEN at END, at DESC LIMIT 1",
            (self._store.shop_key(self._shop), sku, at),
        ).fetchone()
        if row is None:
            return None
        product: dict[str, Any] = json.loads(row[0])
        return on_day(product, self._day(at)) if "ahead" in product else product

    def _day(self, at: str) -> str:
        """The business day of a time; before every day where a wild clock wrote one that no calendar has."""
        try:
            return Committed(self._store, self._shop).day(parse_iso(at))
        except (ValueError, OverflowError, OSError):
            return ""

    def with_barcode(self, code: str) -> list[dict[str, Any]]:
        """The products, retired ones aside, that bear this barcode among theirs, by SKU: one, unless two were given the
        same. A code of 12 digits and one of 13 that begins with 0 are the same one, printed in two ways."""
        return self.several(self.owners(code))

    def owners(self, code: str) -> list[str]:
        """The SKUs of `with_barcode`."""
        query = "SELECT sku FROM barcode WHERE shop = ? AND document = ? AND code = ?"
        return sorted({sku for same in spellings(code) for sku in self._column(query, same)})

    # -- lists ---------------------------------------------------------------------------------------------------------

    def listed(
        self, *, department: str = "", after: str = "", limit: int = 100, retired: bool = False
    ) -> list[dict[str, Any]]:
        """Products by SKU, behind `after`; with `retired`, those too that are not sold any more."""
        if department:
            query = "SELECT sku FROM product WHERE shop = ? AND document = ? AND department = ? AND sku > ?"
            return self.several(self._column(query + " AND active = 1 ORDER BY sku LIMIT ?", department, after, limit))
        query = "SELECT sku FROM product WHERE shop = ? AND document = ? AND sku > ?"
        query += " ORDER BY sku LIMIT ?" if retired else " AND active = 1 ORDER BY sku LIMIT ?"
        return self.several(self._column(query, after, limit))

    def favourites(self) -> list[dict[str, Any]]:
        """The products that have a key of their own, in the order of the keys."""
        skus = self._column(
            "SELECT sku FROM product WHERE shop = ? AND document = ? AND active = 1 AND favourite <> ''"
        )
        found = [(favourite_place(product), product) for product in self.several(skus)]
        return [p for _, p in sorted(((at, p) for at, p in found if at), key=lambda each: (each[0], each[1]["sku"]))]

    def departments(self) -> list[dict[str, Any]]:
        """{department, products} of each that sells anything, by name."""
        rows = self._read.execute(
            "SELECT department, count(*) FROM product WHERE shop = ? AND document = ? AND active = 1"
            " AND department <> '' GROUP BY department",
            self._place(),
        )
        return [{"department": department, "products": count} for department, count in rows]

    # -- search --------------------------------------------------------------------------------------------------------

    def search(self, wanted: str, *, department: str = "", after: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Products for what is typed so far, the likeliest first, behind `after` (the SKU of the last one seen).

        First the product with just this SKU or barcode; then names, English or Urdu, that begin so; then products of
        whose words (of name, SKU, barcode, department) one begins with each word typed, in any order. Only where there
        is none of these: those that hold what is typed anywhere. Retired products are not found.
        """
        most = FOUND_MAX if after else min(limit, FOUND_MAX)
        skus = self._search(wanted.strip()[:TYPED_MAX], department, most)
        if after:
            skus = skus[skus.index(after) + 1 :] if after in skus else []
        return self.several(skus[:limit])

    def _search(self, typed: str, department: str, most: int) -> list[str]:
        found: dict[str, None] = {}

        def take(skus: Iterable[str]) -> bool:
            found.update(dict.fromkeys(skus))
            return len(found) >= most

        more, of = (" AND department = ?", (department,)) if department else ("", ())
        exact = "SELECT sku FROM product INDEXED BY product_sku WHERE shop = ? AND document = ? AND sku IN (?, ?, ?)"
        exact += " AND active = 1" + more
        take(self._column(exact, typed, typed.upper(), typed.lower(), *of))
        take(p["sku"] for p in self.with_barcode(typed) if not department or p.get("department") == department)
        text = fold(typed)
        if not text:
            return list(found)[:most]
        for name in ("name", "name_ur"):
            query = BY_NAME.format(place=PLACE, name=name, more=(" AND name_ur <> ''" if name != "name" else "") + more)
            if take(self._column(query + " LIMIT ?", text, text + LAST, *of, most)):
                return list(found)[:most]
        take(self._by_words(text.split()[:WORDS_MAX], department))
        if not found:
            take(self._by_part(text, more, of, most))
        return list(found)[:most]

    def _by_words(self, words: Sequence[str], department: str) -> list[str]:
        shop, document = self._place()
        if shop is None or document is None:
            return []
        index, numbers = self._store.dialect.words, numbers_of(shop, document)
        return index.found(self._read, shop, numbers, words, department_word(department), FOUND_MAX)

    def _by_part(self, text: str, more: str, of: Sequence[str], most: int) -> list[str]:
        """Wherever it stands, and whether or not a blank is in it: "7up" is "7-Up"."""
        shop, document = self._place()
        if shop is None or document is None:
            return []
        values = (shop, *numbers_of(shop, document), *of, text.replace(" ", ""), most)
        return [sku for (sku,) in self._read.execute(BY_PART.format(more=more), values)]

    # -- edits that stand beside each other ----------------------------------------------------------------------------

    def conflicts(self) -> list[dict[str, Any]]:
        """What several edited while apart, so that none had seen the other's: {document, name, edits: [{value, till,
        at, current}...]}, the edit that is current first. The next edit that has seen them all settles it. `name` is a
        SKU, or, in the document `shop`, a setting."""
        rows = self._read.execute(
            "SELECT d.name, e.name, e.value, e.author, e.at, e.current FROM (SELECT DISTINCT shop, document, name FROM"
            " edit_conflict WHERE shop = ? LIMIT ?) c JOIN document d ON d.shop = c.shop AND d.key = c.document"
            " JOIN edit e ON e.shop = c.shop AND e.document = c.document AND e.name = c.name"
            " WHERE (d.name = 'shop' OR d.name = ?) AND (e.current = 1 OR EXISTS (SELECT 1 FROM edit_conflict o WHERE"
            " o.shop = e.shop AND o.document = e.document AND o.name = e.name AND o.hash = e.hash))"
            " ORDER BY d.name, e.name, e.current DESC, e.hash",
            (self._store.shop_key(self._shop), CONFLICTS_MAX, self.catalogue),
        )
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for document, name, value, author, at, current in rows:
            conflict = found.setdefault((document, name), {"document": document, "name": name, "edits": []})
            edit = {"value": json.loads(value), "till": author, "at": at, "current": bool(current)}
            conflict["edits"].append(edit)
        return list(found.values())

    def conflict_count(self) -> int:
        """How many products and settings `conflicts` would name."""
        rows = self._read.execute(
            "SELECT count(*) FROM (SELECT DISTINCT document, name FROM edit_conflict WHERE shop = ?"
            " AND document IN (?, ?)) several",
            (*self._place(), self._store.document_key(self._shop, "shop")),
        )
        return int(rows.fetchone()[0])

    def in_conflict(self, sku: str) -> bool:
        """Whether several edits of a product stand beside each other."""
        return bool(
            self._column("SELECT 1 FROM edit_conflict WHERE shop = ? AND document = ? AND name = ? LIMIT 1", sku)
        )

    # ------------------------------------------------------------------------------------------------------------------

    def _column(self, query: str, *values: object) -> list[Any]:
        """The first column of a query over the current catalogue, whose first two values are its shop and document."""
        return [row[0] for row in self._read.execute(query, (*self._place(), *values))]
