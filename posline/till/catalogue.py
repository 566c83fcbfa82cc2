"""Catalogue files: CSV in, with every bad row named and none of them in the way of the others, and CSV out.

Columns are `sku,name,price` and optionally `barcode,department,tax,unit,stock`; any other column is kept as a label of
the product. Prices are whole minor units. Files that end in `.gz` or begin like gzip are unpacked. Knows nothing of
shops: it yields products, and takes them.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from posline.core.checks import MAX_TEXT
from posline.core.money import MAX_MONEY
from posline.errors import BadRequest

__all__ = ["BadRow", "read_catalogue", "write_catalogue"]

REQUIRED = ("sku", "name", "price")
OPTIONAL = ("barcode", "department", "tax", "unit", "stock")
_STOCK = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,3})?")
GZIP_MAGIC = b"\x1f\x8b"
ROW_CHARACTERS_MAX = 64 * 1024  # a longer row is no product, but most likely a quote that is never closed


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, by its line in the file (the first is 1), and why."""

    line: int
    detail: str


def read_catalogue(path: Path) -> Iterator[dict[str, Any] | BadRow]:
    """The products of a CSV file, in its order, with the rows that are none named in between.

    Raises BadRequest when the file as a whole is no catalogue.
    """
    try:
        with _open(path) as source:
            yield from _products(source)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRequest.of(path.name, f"cannot be read ({reason})") from error


def _open(path: Path) -> IO[str]:
    raw = path.open("rb")
    packed = raw.read(2) == GZIP_MAGIC
    raw.seek(0)
    plain: Any = gzip.GzipFile(fileobj=raw) if packed else raw
    # bytes that are no UTF-8 become lone surrogates here, and the row that holds them is named as bad
    return io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _products(source: IO[str]) -> Iterator[dict[str, Any] | BadRow]:
    rows = csv.reader(source, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise BadRequest.of("line 1", f"is no CSV ({error})") from error
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise BadRequest.of("line 1", f"the columns sku, name and price are needed; {', '.join(missing)} is missing")
    if len(set(header)) != len(header):
        raise BadRequest.of("line 1", "a column stands twice")
    seen: dict[str, int] = {}
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(line, f"is no CSV ({error})")
            continue
        if not any(cell.strip() for cell in row):
            continue
        found = _product(header, row)
        if isinstance(found, str):
            yield BadRow(line, found)
            continue
        fault = _fault(found)
        if fault is not None:
            yield BadRow(line, fault)
        elif found["sku"] in seen:
            yield BadRow(line, f"sku: {found['sku']} stands in line {seen[found['sku']]} already")
        else:
            seen[found["sku"]] = line
            yield found


def _product(header: Sequence[str], row: Sequence[str]) -> dict[str, Any] | str:
    """One row as a product, or what is wrong with it."""
    if len(row) != len(header):
        return f"has {len(row)} cells where the first line has {len(header)}"
    if sum(map(len, row)) > ROW_CHARACTERS_MAX:
        return "is too long for a product: is a quote not closed?"
    try:
        for cell in row:
            cell.encode("utf-8")
    except UnicodeEncodeError:
        return "is not UTF-8"
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    product: dict[str, Any] = {"sku": cells["sku"], "name": cells["name"]}
    price = cells["price"]
    if not (price.isascii() and price.isdecimal() and len(price) <= 16):
        return f"price: {price[:40]!r} is no whole number of minor units"
    product["price"] = int(price)
    product |= {name: cells[name] for name in OPTIONAL if cells.get(name)}
    labels = {k: v for k, v in cells.items() if v and k and k not in REQUIRED and k not in OPTIONAL}
    if labels:
        product["labels"] = labels
    return product


def _fault(product: Mapping[str, Any]) -> str | None:
    """What keeps a product out of an entry, or None."""
    for name in ("sku", "name"):
        if not product[name]:
            return f"{name}: is empty"
    texts = {name: value for name, value in product.items() if isinstance(value, str)} | product.get("labels", {})
    for name, value in texts.items():
        if len(value) > MAX_TEXT or len(name) > MAX_TEXT:
            return f"{name[:40]}: is longer than {MAX_TEXT} characters"
    if product["price"] > MAX_MONEY:
        return f"price: is over {MAX_MONEY}"
    if not _STOCK.fullmatch(product.get("stock", "0")):
        return f"stock: {product['stock'][:40]!r} is no number with at most 3 digits behind the point"
    return None


def write_catalogue(products: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a CSV file that `read_catalogue` reads back to the same products."""
    held = list(products)
    labels = sorted({name for product in held for name in product.get("labels", {})})
    used = [name for name in OPTIONAL if any(name in product for product in held)]
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in [[*REQUIRED, *used, *labels]] + [
        [product.get(name, "") for name in (*REQUIRED, *used)]
        + [product.get("labels", {}).get(name, "") for name in labels]
        for product in held
    ]:
        writer.writerow(row)
        yield line.getvalue()
        line.seek(0)
        line.truncate()
