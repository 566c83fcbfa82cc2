"""What makes products findable: their words, names, barcodes, departments and keys, kept beside the current edits.

Written inside the ledger's transaction, whenever another edit of a product is current. Everything here follows from the
table `edit`: where the rules of this version differ from those that a file was indexed by, it is made again when the
file is opened. `posline.storage.products` asks it.

The number of a product says where it belongs: its shop, its document, its place there. So one range of numbers is one
catalogue, for the index of words too, which knows nothing but numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from posline.core.products import ahead_of, barcodes_of, is_active
from posline.core.words import WORDS_VERSION, fold
from posline.storage.connection import Connection
from posline.storage.dialect import SQLITE, Dialect

__all__ = ["ProductIndex", "department_word", "differences", "numbers_of"]

INDEX_VERSION = f"3.{WORDS_VERSION}"  # of what is below; another one makes the index again
VERSION_NOTE = "product index"  # where the file says which one it has
PLACE_BITS = 22  # of a product in its catalogue: four million
DOCUMENT_BITS = 18  # of a document in its shop: seven hundred years of days
LINES = "\n"  # stands between fields, so that no search for a part of a text reaches over two of them

Row = tuple[int, str, str, str, str, str, str]  # active, name, name_ur, department, favourite, words, ahead


def numbers_of(shop: int, document: int) -> tuple[int, int]:
    """The first and the last number that a product of this catalogue can have."""
    first = ((shop << DOCUMENT_BITS) | document) << PLACE_BITS
    return first, first + (1 << PLACE_BITS) - 1


def department_word(department: str) -> str:
    """The one word that stands for a department as a whole. It begins like no word that anybody can type."""
    return "\ue000" + fold(department).replace(" ", "\ue001") if department else ""


class ProductIndex:
    """The index over one writing connection, for all its shops."""

    def __init__(self, db: Connection, dialect: Dialect = SQLITE) -> None:
        self._db, self._words = db, dialect.words

    def follow(self, shop: int, document: int, skus: Iterable[str]) -> None:
        """The edits of these products changed: index what is current of each."""
        for sku in skus:
            row = self._db.execute(
                "SELECT value FROM edit WHERE shop = ? AND document = ? AND name = ? AND current = 1",
                (shop, document, sku),
            ).fetchone()
            self._put(shop, document, sku, None if row is None else json.loads(row[0]))

    @property
    def up_to_date(self) -> bool:
        """Whether the file was indexed by this version's rules."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (VERSION_NOTE,)).fetchone()
        return row is not None and json.loads(row[0]) == INDEX_VERSION

    def make(self) -> None:
        """Make the whole index, within the caller's transaction."""
        self._db.execute("DELETE FROM product")
        self._db.execute("DELETE FROM barcode")
        self._words.clear(self._db)
        self._db.execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (VERSION_NOTE, json.dumps(INDEX_VERSION)),
        )
        for shop, document in self._db.execute(
            "SELECT shop, key FROM document WHERE name >= 'catalog/' AND name < 'catalog0'"
        ).fetchall():
            skus = self._db.execute(
                "SELECT name FROM edit WHERE shop = ? AND document = ? AND current = 1 ORDER BY name", (shop, document)
            ).fetchall()
            self.follow(shop, document, (sku for (sku,) in skus))

    def _put(self, shop: int, document: int, sku: str, product: Mapping[str, Any] | None) -> None:
        known = self._db.execute(
            "SELECT n, active, name, name_ur, department, favourite, words, ahead FROM product"
            " WHERE shop = ? AND document = ? AND sku = ?",
            (shop, document, sku),
        ).fetchone()
        wanted = None if product is None else _row(sku, product)
        self._barcodes(shop, document, sku, product)
        n, before = (None, None) if known is None else (int(known[0]), tuple(known[1:]))
        if wanted == before:
            return
        said = before[5] if before is not None else ""
        if wanted is None:
            assert n is not None
            self._words.change(self._db, n, said, "")
            self._db.execute("DELETE FROM product WHERE shop = ? AND n = ?", (shop, n))
            return
        if n is None:
            n = self._next(shop, document)
            if n is None:
                return  # the catalogue is fuller than any shop's: it is sold by its sku, and not found otherwise
            self._db.execute(
                "INSERT INTO product (n, shop, document, sku, active, name, name_ur, department, favourite, words,"
                " ahead) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (n, shop, document, sku, *wanted),
            )
        else:
            self._db.execute(
                "UPDATE product SET active = ?, name = ?, name_ur = ?, department = ?, favourite = ?, words = ?,"
                " ahead = ? WHERE shop = ? AND n = ?",
                (*wanted, shop, n),
            )
        if wanted[5] != said:  # most edits change a price, and no word
            self._words.change(self._db, n, said, wanted[5])

    def _next(self, shop: int, document: int) -> int | None:
        first, last = numbers_of(shop, document)
        (highest,) = self._db.execute(
            "SELECT max(n) FROM product NOT INDEXED WHERE shop = ? AND n BETWEEN ? AND ?", (shop, first, last)
        ).fetchone()
        n = first if highest is None else int(highest) + 1
        return n if n <= last else None

    def _barcodes(self, shop: int, document: int, sku: str, product: Mapping[str, Any] | None) -> None:
        codes = set(_codes(product))
        rows = self._db.execute(
            "SELECT code FROM barcode WHERE shop = ? AND document = ? AND sku = ?", (shop, document, sku)
        ).fetchall()
        held = {code for (code,) in rows}
        for code in sorted(held - codes):
            self._db.execute(
                "DELETE FROM barcode WHERE shop = ? AND document = ? AND code = ? AND sku = ?",
                (shop, document, code, sku),
            )
        for code in sorted(codes - held):
            self._db.execute(
                "INSERT INTO barcode (shop, document, code, sku) VALUES (?,?,?,?)", (shop, document, code, sku)
            )


def differences(db: Connection, shop: int, document: int) -> Iterator[str]:
    """The products of a catalogue that the index has otherwise than the edits say, by SKU."""
    place = (shop, document)
    held = {
        row[0]: tuple(row[1:])
        for row in db.execute(
            "SELECT sku, active, name, name_ur, department, favourite, words, ahead FROM product"
            " WHERE shop = ? AND document = ?",
            place,
        )
    }
    codes: dict[str, set[str]] = {}
    for code, sku in db.execute("SELECT code, sku FROM barcode WHERE shop = ? AND document = ?", place):
        codes.setdefault(sku, set()).add(code)
    for sku, value in db.execute(
        "SELECT name, value FROM edit WHERE shop = ? AND document = ? AND current = 1 ORDER BY name", place
    ):
        product = json.loads(value)
        row, bears = held.pop(sku, None), codes.pop(sku, set())  # both, or what is left would be named again
        if row != _row(sku, product) or bears != set(_codes(product)):
            yield sku
    yield from sorted(held.keys() | codes.keys())


def _row(sku: str, product: Mapping[str, Any]) -> Row:
    """A product as the index has it. One that is retired has no words, so no search finds it."""
    active = is_active(product)
    name, name_ur = fold(_text(product, "name")), fold(_text(product, "name_ur"))
    department = _text(product, "department")
    fields = [fold(sku), name, name_ur, *map(fold, barcodes_of(product)), fold(department), department_word(department)]
    words = LINES.join(filter(None, fields)) if active else ""
    last = max((str(stage["from"]) for stage in ahead_of(product)), default="")
    return int(active), name, name_ur, department, _text(product, "favourite"), words, last


def _codes(product: Mapping[str, Any] | None) -> list[str]:
    return [] if product is None or not is_active(product) else barcodes_of(product)


def _text(product: Mapping[str, Any], field: str) -> str:
    """A field's text; entries from before a field was known may have anything there."""
    value = product.get(field)
    return value if isinstance(value, str) else ""
