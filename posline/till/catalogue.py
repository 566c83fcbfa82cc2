"""Catalogue files: CSV in, with every bad row named and none of them in the way of the others, and CSV out.

Columns are `sku,name,price` and optionally the other fields of a product (docs/catalogue.md); any other column is kept
as a label of the product. A row with a day in the column `from` says what the product is from that business day on.
Prices are whole minor units. Files that begin like gzip are unpacked. Knows nothing of shops: it yields products, and
takes them.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from posline.core.products import FIELDS, FLAGS, ahead_of, barcodes_of, is_business_day, on_day, product_of, spellings
from posline.errors import BadRequest
from posline.till.cells import csv_line, inert, lively

__all__ = [
    "LINES_MAX", "LINE_CHARACTERS_MAX", "BadRow", "Barcodes", "Row", "read_catalogue", "write_catalogue",
]  # fmt: skip

START = "from"  # the column with the business day from which a row is so
REQUIRED = ("sku", "name", "price")
PARTS = {"name": "-", "price": 0}  # stand in for what a row need not say
OPTIONAL = tuple(name for name in FIELDS if name not in (*REQUIRED, "labels"))
AMOUNTS = ("price", "mrp")
FLAG_WORDS = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}
GZIP_MAGIC = b"\x1f\x8b"
_BETWEEN_CODES = re.compile(r"[\s|]+")
ROW_CHARACTERS_MAX = 64 * 1024  # a longer row is no product, but most likely a quote that is never closed
LINE_CHARACTERS_MAX = 1024 * 1024  # a longer line is of no table at all: a few kB, unpacked, can be gigabytes of it
LINES_MAX, CHARACTERS_MAX = 2_000_000, 512 * 1024 * 1024
COLUMNS_MAX = 500


@dataclass(frozen=True, slots=True)
class Row:
    """A product, its line in the file (the first is 1), and what the file has columns for: what it has none for it
    says nothing about. `start` is the business day from which it is so, "" for at once; `names` what the columns for
    whom it is say, where the reader asked for those."""

    line: int
    product: dict[str, Any]
    columns: frozenset[str]
    start: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, by its line in the file (the first is 1), and why."""

    line: int
    detail: str


def read_catalogue(path: Path, *, whose: Sequence[str] = (), parts: bool = False) -> Iterator[Row | BadRow]:
    """The products of a CSV file, in its order, with the rows that are none named in between. The columns `whose` say
    for whom a row is, and are no labels. With `parts` a row need say no more of a product than its SKU and one field.

    Raises BadRequest when the file as a whole is no catalogue.
    """
    try:
        with _open(path) as source:
            yield from _products(source, whose, parts)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRequest.of(path.name, f"cannot be read ({reason})") from error


def _open(path: Path) -> IO[str]:
    raw = path.open("rb")
    packed = raw.read(2) == GZIP_MAGIC
    raw.seek(0)
    plain: Any = gzip.GzipFile(fileobj=raw) if packed else raw
    # bytes that are no UTF-8 become lone surrogates here, and the row that holds them is named as bad
    return io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _products(source: IO[str], whose: Sequence[str], parts: bool) -> Iterator[Row | BadRow]:
    rows = csv.reader(_lines(source), strict=True)
    try:
        header = [lively(name.strip()) for name in next(rows, [])]
    except csv.Error as error:
        raise BadRequest.of("line 1", f"is no CSV ({error})") from error
    missing = [name for name in (REQUIRED[:1] if parts else REQUIRED) if name not in header]
    if missing:
        needed = "column sku is" if parts else "columns sku, name and price are"
        raise BadRequest.of("line 1", f"the {needed} needed; {', '.join(missing)} is missing")
    if len(header) > COLUMNS_MAX:
        raise BadRequest.of("line 1", f"has {len(header)} columns, of {COLUMNS_MAX}")
    if len(set(header)) != len(header):
        raise BadRequest.of("line 1", "a column stands twice")
    about = [name for name in (START, *whose) if name in header]  # a column, but nothing of a product
    columns = frozenset(header).difference(about)
    seen: dict[tuple[str, ...], int] = {}
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
        said = dict(zip(header, row, strict=False))
        apart = {name: lively(said.pop(name, "").strip()) for name in about}
        start, names = apart.get(START, ""), tuple(apart.get(name, "") for name in whose)
        found = _product(said, parts) if len(row) == len(header) else _uneven(header, row)
        if isinstance(found, str):
            yield BadRow(line, found)
        elif start and not is_business_day(start):
            yield BadRow(line, f"from: {start[:40]!r} is no business day, YYYY-MM-DD")
        elif (place := (found["sku"], start, *names)) in seen:
            yield BadRow(line, f"sku: {found['sku']} stands in line {seen[place]} already")
        else:
            seen[place] = line
            yield Row(line, found, columns, start, names)


def _lines(source: IO[str]) -> Iterator[str]:
    """No more of a file at a time than a line can be long, and no more lines than a table has. Raises BadRequest."""
    number = characters = 0
    while line := source.readline(LINE_CHARACTERS_MAX):
        number, characters = number + 1, characters + len(line)
        if len(line) == LINE_CHARACTERS_MAX:
            raise BadRequest.of(f"line {number}", "is far too long for a table: is this a CSV file?")
        if number > LINES_MAX or characters > CHARACTERS_MAX:
            raise BadRequest.of(f"line {number}", "is more than is read of one file: split it")
        yield line


def _uneven(header: Sequence[str], row: Sequence[str]) -> str:
    return f"has {len(row)} cells where the first line has {len(header)}"


def _product(row: Mapping[str, str], parts: bool) -> dict[str, Any] | str:
    """One row as a product, or what is wrong with it; with `parts`, no more of one than the row says."""
    if sum(map(len, row.values())) > ROW_CHARACTERS_MAX:
        return "is too long for a product: is a quote not closed?"
    try:
        "".join(row.values()).encode("utf-8")
    except UnicodeEncodeError:
        return "is not UTF-8"
    fields: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for name, cell in row.items():
        text = lively(cell.strip())
        if parts and not text and name in PARTS:
            continue
        if name in AMOUNTS and (text or name in REQUIRED):
            if not (text.isascii() and text.isdecimal() and len(text) <= 16):
                return f"{name}: {text[:40]!r} is no whole number of minor units"
            fields[name] = int(text)
        elif name in FLAGS and text:
            if text.lower() not in FLAG_WORDS:
                return f"{name}: {text[:40]!r} is neither yes nor no"
            fields[name] = FLAG_WORDS[text.lower()]
        elif name == "barcodes" and text:
            fields[name] = [code for code in _BETWEEN_CODES.split(text) if code]
        elif (text and name in OPTIONAL) or name in REQUIRED:
            fields[name] = text
        elif text and name:
            labels[name] = text
    if labels:
        fields["labels"] = labels
    try:
        if not parts:
            return product_of(fields)
        made = product_of(PARTS | fields)
    except BadRequest as error:
        return str(error)
    return {name: value for name, value in made.items() if name in fields or name not in PARTS}


class Barcodes:
    """Who has which barcode, as the rows of a file go by: one that several products bear is worth a warning, and no
    reason to leave a product out. The scanner's answer is both, and the cashier picks."""

    def __init__(self, known: Callable[[str], str | None]) -> None:
        """`known` gives the SKU of another product that has a barcode already, if any."""
        self._known = known
        self._seen: dict[str, str] = {}

    def shared(self, product: Mapping[str, Any]) -> str | None:
        """What is to be said of this product's barcodes, or None. To be asked once for each product."""
        said = []
        for code in barcodes_of(product):
            other = self._seen.setdefault(max(spellings(code), key=len), product["sku"])
            if other == product["sku"]:
                other = self._known(code) or other
            if other != product["sku"]:
                said.append(f"{code} is {other}'s barcode too")
        return f"barcode: {'; '.join(said)}" if said else None


def write_catalogue(products: Iterable[Mapping[str, Any]], whose: Mapping[str, str] | None = None) -> Iterator[str]:
    """The lines of a CSV file that `read_catalogue` reads back to the same products: a row for each, and behind it one
    for each day on which it changes. `whose` are columns that all rows have, with what they say."""
    held = [(start, product) for each in products for start, product in _stages(each)]
    labels = sorted({name for _, product in held for name in product.get("labels", {})})
    used = [name for name in OPTIONAL if any(name in product for _, product in held)]
    start = [START] if any(start for start, _ in held) else []
    apart = dict(whose or {})
    yield csv_line([*REQUIRED, *used, *start, *apart, *map(inert, labels)])
    for day, product in held:
        row = [_cell(product.get(name, "")) for name in (*REQUIRED, *used)] + ([day] if start else [])
        row += [inert(value) for value in apart.values()]
        yield csv_line(row + [inert(product.get("labels", {}).get(name, "")) for name in labels])


def _stages(product: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A product as it is, and as it will be from each day on which it changes."""
    yield "", product
    for stage in ahead_of(product):
        yield stage[START], on_day(product, stage[START])


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(value) if isinstance(value, list) else value
    return inert(text) if isinstance(text, str) else text
