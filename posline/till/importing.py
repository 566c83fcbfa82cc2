"""Taking a catalogue file over into the shop, a slice at a time: sales go on meanwhile.

What differs from the catalogue is written as entries of up to 200 products, or, where the file replaces the catalogue
as a whole, all of it into a document of its own. That one becomes the catalogue by the last entry, the setting, so that
a cut before it leaves the old one as it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posline.core.money import is_rate
from posline.core.products import FIELDS, MAX_PRODUCTS, barcodes_of
from posline.errors import BadRequest
from posline.till.catalogue import BadRow, Barcodes, Row, read_catalogue
from posline.till.editing import CATALOGUE, changed, may_edit

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["import_catalogue", "pieces_of", "product_by"]

ENTRY_BYTES = 40_000  # of products in one entry: well under an element's 48 KiB, whatever stands around them
SLICE = 200  # rows read and compared in another thread at a time, some 10 ms
LISTED_MAX = 1000  # rows named in an answer, of either sort


async def import_catalogue(
    till: Till,
    file: Path,
    *,
    replace: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Take over the products of a file that differ from what the catalogue says; with `replace`, let the file be the
    catalogue. Without, what the file has no column for stays as it is, and an empty cell takes away what was there.
    With `dry_run` nothing is written, and the answer says what would be.

    What the file says was in stock is recorded for products that were never received or counted. Answers {products,
    written, unchanged, stocked, bad, bad_count, warnings, warning_count, catalogue}, where `bad` rows were left out and
    those of `warnings` were taken. Raises BadRequest, NotAllowed, CommitFailed.
    """
    may_edit(till.replica)
    async with till.importing:
        return await _import(till, file, replace=replace, dry_run=dry_run)


async def _import(till: Till, file: Path, *, replace: bool, dry_run: bool) -> dict[str, Any]:
    taking = _Taking(till, file, replace)
    more = True
    while more:
        more = await asyncio.to_thread(taking.read)
        for products in taking.entries(last=not more):
            if not dry_run:
                async with till.editing:
                    await till.write("products", {"products": products}, document=taking.document)
    if replace and not taking.count:
        raise BadRequest.of(file.name, "holds no product: the catalogue stays as it is")
    if replace and not dry_run:
        await till.write("setting", {"name": CATALOGUE, "value": taking.number}, document="shop")
    opening = [(p["sku"], p["stock"]) for p in taking.stocked if p["stock"] != "0"]
    opened = await till.stock.open_with(opening, dry_run=dry_run)
    return taking.answer() | {"stocked": opened}


class _Taking:
    """One file on its way into the catalogue."""

    def __init__(self, till: Till, file: Path, replace: bool) -> None:
        self._till, self._replace = till, replace
        self._rows: Iterator[Row | BadRow] = iter(read_catalogue(file))
        self.number = _next_number(till) if replace else 0
        self.document = f"catalog/{self.number}" if replace else till.reports.catalogue
        self.count = self.written = 0
        self.stocked: list[dict[str, Any]] = []
        self._bad: list[BadRow] = []
        self._warnings: list[BadRow] = []
        self._bad_count = self._warning_count = 0
        self._barcodes = Barcodes(self._owner)
        self._classes = till.terms().classes
        self._changed: dict[str, tuple[int, dict[str, Any]]] = {}  # with their sizes in bytes
        self._latest: dict[str, Any] | None = None
        self._asked = ""

    def read(self) -> bool:
        """Read and compare a slice of the file; whether there was anything left in it. Runs in any thread."""
        rows = list(islice(self._rows, SLICE))
        for row in rows:
            if isinstance(row, BadRow):
                self._leave(row)
                continue
            now = self._now(row.product["sku"])
            try:
                product = product_by(row, now, self._till.day)
            except BadRequest as error:
                self._leave(BadRow(row.line, str(error)))
                continue
            self._take(row, product, product != now)
        return bool(rows)

    def _now(self, sku: str) -> dict[str, Any] | None:
        """A product as the file so far leaves it: rows of what changes later stand behind the one of what it is now."""
        if self._latest is not None and self._latest["sku"] == sku:
            return self._latest
        if sku in self._changed:
            return self._changed[sku][1]
        return None if self._replace else self._till.reports.product(sku)

    def _leave(self, row: BadRow) -> None:
        self._bad_count += 1
        if len(self._bad) < LISTED_MAX:
            self._bad.append(row)

    def _take(self, row: Row, product: dict[str, Any], differs: bool) -> None:
        self.count += 1
        if "stock" in row.product and not row.start:
            self.stocked.append({"sku": product["sku"], "stock": row.product["stock"]})
        self._asked, self._latest = product["sku"], product
        for warning in (self._barcodes.shared(product), self._untaxed(product)):
            if warning is None:
                continue
            self._warning_count += 1
            if len(self._warnings) < LISTED_MAX:
                self._warnings.append(BadRow(row.line, warning))
        if differs:
            size = len(json.dumps(product, ensure_ascii=False).encode()) + 1
            self._changed[product["sku"]] = size, product
            self.written += 1

    def _untaxed(self, product: dict[str, Any]) -> str | None:
        """That a product's tax class is none of the shop's (yet), if so: nothing else would tell that it sells without
        tax."""
        tax = product.get("tax", "")
        if not tax or tax in self._classes or is_rate(tax) or "tax_rate" in product:
            return None
        return f"tax: {tax[:40]} is no tax class of this shop: it sells without tax until the setting 'tax' has it"

    def _owner(self, code: str) -> str | None:
        """Whose barcode it is in the catalogue that the file is added to, if it is another product's."""
        if self._replace:
            return None
        return next((sku for sku in self._till.reports.catalog.owners(code) if sku != self._asked), None)

    def entries(self, *, last: bool) -> Iterator[list[dict[str, Any]]]:
        """The products of each entry that is full, and with `last` of the one that is not."""
        yield from pieces_of(self._changed, last=last)

    def answer(self) -> dict[str, Any]:
        """What it came to."""
        return {
            "products": self.count,
            "written": self.written,
            "unchanged": self.count - self.written,
            "bad": [{"line": row.line, "detail": row.detail} for row in self._bad],
            "bad_count": self._bad_count,
            "warnings": [{"line": row.line, "detail": row.detail} for row in self._warnings],
            "warning_count": self._warning_count,
            "catalogue": self.document,
        }


def pieces_of(changed: dict[str, tuple[int, dict[str, Any]]], *, last: bool) -> Iterator[list[dict[str, Any]]]:
    """Take away from what changed, {SKU: (size, product)}, the products of each entry that is full, and with `last` of
    the one that is not."""
    while changed:
        size, piece = 0, list[dict[str, Any]]()
        for weight, product in islice(changed.values(), MAX_PRODUCTS):
            if piece and size + weight > ENTRY_BYTES:
                break
            size += weight
            piece.append(product)
        if not last and len(piece) == len(changed) and len(piece) < MAX_PRODUCTS:
            return
        for product in piece:
            del changed[product["sku"]]
        yield piece


def product_by(row: Row, now: dict[str, Any] | None, today: str) -> dict[str, Any]:
    """What becomes of a product, `now` as it is on the day `today`, by a row. Raises BadRequest."""
    if now is None:
        return row.product if row.start <= today else changed(row.product["sku"], None, {"from": row.start}, today)
    start = {"from": row.start} if row.start else {}
    return changed(row.product["sku"], now, _said(row, now) | start, today)


def _said(row: Row, now: dict[str, Any]) -> dict[str, Any]:
    """What a row changes of a product: each field that the file has a column for, None where its cell is empty."""
    fields = {name: row.product.get(name) for name in FIELDS if name in row.columns}
    if "barcodes" in row.columns:
        fields["barcode"] = row.product.get("barcode")  # also where the row names a single one
    elif fields.get("barcode") is None and len(barcodes_of(now)) > 1:
        fields.pop("barcode", None)  # no first one does not mean that the second comes first, and is next to go
    if labels := row.columns.difference(FIELDS, ("",)):
        kept = {name: value for name, value in now.get("labels", {}).items() if name not in labels}
        fields["labels"] = kept | row.product.get("labels", {})
    return fields


def _next_number(till: Till) -> int:
    """The number of a catalogue that nobody has begun. Two managers who replace the catalogue while they are apart must
    not mix theirs, so each goes on from the last number by its place among the members."""
    numbers = [int(name[8:]) for name in till.replica.documents() if name.startswith("catalog/")]
    current = int(till.reports.catalogue[8:])
    members = sorted(till.store.members(till.shop_id))
    return max([current, *numbers]) + 1 + members.index(till.id)
