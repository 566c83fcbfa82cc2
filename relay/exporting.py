"""Tables as files: CSV, JSON lines and Parquet, written as they are read, a bounded number of rows at a time.

Parquet needs pyarrow, which is asked for only then. What is read is of one moment: see `Store.snapshot`. A file on the
disk appears under its name only once it is whole.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from posline.errors import BadRequest, NotFound, PoslineError
from posline.storage.files import UNFINISHED, sync_folder
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.till.cells import csv_line, inert
from posline.till.export_commands import EXPORTED, exported_lines
from relay.accounting import Chart
from relay.bookkeeping import Bookkeeping, Together
from relay.relay import Branch
from relay.tables import TABLES, Column, Source, Table, text_of

__all__ = [
    "ACCOUNTING",
    "EXPORTS",
    "FORMATS",
    "MEDIA",
    "WHOLE",
    "Asked",
    "NoParquet",
    "as_text",
    "export",
    "from_text",
    "one_by_one",
    "require",
    "write_file",
]  # fmt: skip

T = TypeVar("T")
FORMATS = ("csv", "jsonl", "parquet")
WHOLE = "json"  # of accounting alone: days with all that is known of them, and what they come to
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
}
ROWS_AT_ONCE = 500  # of text in one piece
GROUP_ROWS = 20_000  # of a Parquet row group, which is in memory as a whole: some 10 MB
PIECE_BYTES = 1 << 20
NAMES_KEPT = 20_000  # of products, in memory during one export
ACCOUNTING = "accounting"
# the journals of days, a row a line
ACCOUNTING_COLUMNS = (
    Column("shop"), Column("shop_name"), Column("day", "day"), Column("currency"), Column("state"),
    Column("ties", "flag"), Column("account"), Column("account_name"), Column("what"), Column("debit", "money"),
    Column("credit", "money"),
)  # fmt: skip
EXPORTS: Mapping[str, str] = {name: table.help for name, table in TABLES.items()} | {
    ACCOUNTING: "The journal of each business day, balanced, a row a line."
}


class NoParquet(PoslineError):
    """This installation cannot write Parquet."""

    status = 501
    title = "Parquet is not installed here"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is exported: a name of EXPORTS, in a form of FORMATS, of the days from `first` to `last`."""

    what: str
    format: str
    first: str | None = None
    last: str | None = None


def require(asked: Asked) -> None:
    """Raise what stands in the way of an export before any of it is written: NotFound, BadRequest, NoParquet."""
    if asked.what not in EXPORTS:
        raise NotFound(f"there is no export {asked.what[:40]!r}: ask for {', '.join(EXPORTS)}")
    if asked.format not in FORMATS and (asked.what, asked.format) != (ACCOUNTING, WHOLE):
        raise BadRequest.of("format", f"is one of {', '.join(FORMATS)}; of accounting also {WHOLE}")
    if asked.first and asked.last and asked.first > asked.last:
        raise BadRequest.of("from", f"{asked.first} is behind the last day, {asked.last}")
    if asked.format == "parquet":
        _arrow()


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NoParquet(
            "Parquet files need the package pyarrow: install it at the head office with pip install 'posline[parquet]',"
            " or ask for csv or jsonl"
        ) from error
    return pyarrow, pyarrow.parquet


def export(store: Store, branches: Sequence[Branch], asked: Asked, chart: Chart) -> Iterator[bytes]:
    """The file, in pieces. Of several shops they stand behind one another; each row says its own."""
    with store.snapshot() as still:
        if asked.format != "parquet" and asked.what in EXPORTED:
            yield from _text_of_tills(still, branches, asked)
            return
        if asked.format == WHOLE:
            yield from _accounting(still, branches, asked, chart)
            return
        write, zone = _WRITERS[asked.format], _zone(branches)
        if asked.what == ACCOUNTING:
            yield from write(ACCOUNTING_COLUMNS, _journals(still, branches, asked, chart), zone)
        else:
            table = TABLES[asked.what]
            yield from write(table.columns, _rows(still, branches, asked, table), zone)


def _zone(branches: Sequence[Branch]) -> str:
    """The time zone that all these shops have, or else UTC."""
    zones = {str(branch.replica.founding.get("zone", "UTC")) for branch in branches}
    return zones.pop() if len(zones) == 1 else "UTC"


# -- rows --------------------------------------------------------------------------------------------------------------


def _rows(still: Store, branches: Sequence[Branch], asked: Asked, table: Table) -> Iterator[list[Any]]:
    for branch in branches:
        reports = Reports(still, branch.id, here=branch.replica.store_id)
        currency = str(branch.replica.founding.get("currency", ""))
        source = Source(branch.id, branch.name, currency, _kept(reports.label), _names(reports))
        for recorded in reports.counted(table.kinds, asked.first, asked.last):
            yield from table.made(recorded, source)


def _kept(label: Callable[[str], str]) -> Callable[[str], str]:
    return lru_cache(maxsize=NAMES_KEPT)(label)


def _names(reports: Reports) -> Callable[[str, str], str | None]:
    """The catalogue's name of (sku, time), asked once for each product and day."""

    kept: dict[tuple[str, str], str | None] = {}

    def name_of(sku: str, at: str) -> str | None:
        asked = sku, at[:10]
        if asked not in kept:
            if len(kept) == NAMES_KEPT:
                kept.clear()
            product = reports.product_at(sku, at)
            kept[asked] = None if product is None else str(product["name"])
        return kept[asked]

    return name_of


def _journals(still: Store, branches: Sequence[Branch], asked: Asked, chart: Chart) -> Iterator[list[Any]]:
    for branch in branches:
        for day in Bookkeeping(still, branch.id, chart).days(asked.first, asked.last):
            head = [branch.id, branch.name, date.fromisoformat(day["day"]), day["currency"], day["state"], day["ties"]]
            for line in day["journal"]:
                yield [*head, *(line[name] for name in ("account", "name", "what", "debit", "credit"))]


def _accounting(still: Store, branches: Sequence[Branch], asked: Asked, chart: Chart) -> Iterator[bytes]:
    """As GET /api/accounting answers it, day by day."""
    together, between = Together(chart), ""
    yield f'{{"from":{json.dumps(asked.first)},"to":{json.dumps(asked.last)},"days":['.encode()
    for branch in branches:
        for day in Bookkeeping(still, branch.id, chart).days(asked.first, asked.last):
            together.add(day)
            yield (between + _compact(day)).encode()
            between = ","
    yield f"],{_compact(together.summed())[1:]}".encode()


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- writers -----------------------------------------------------------------------------------------------------------


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines as bytes, some at a time."""
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if len(piece) == ROWS_AT_ONCE:
            yield "".join(piece).encode()
            piece = []
    if piece:
        yield "".join(piece).encode()


def _csv(columns: Sequence[Column], rows: Iterable[Sequence[Any]], zone: str) -> Iterator[bytes]:
    def lines() -> Iterator[str]:
        yield csv_line(column.name for column in columns)
        for row in rows:
            yield csv_line(inert(v) if isinstance(v, str) else text_of(v) for v in row)

    return _pieces(lines())


def _jsonl(columns: Sequence[Column], rows: Iterable[Sequence[Any]], zone: str) -> Iterator[bytes]:
    names = [column.name for column in columns]

    def plain(value: Any) -> Any:
        return value if value is None or isinstance(value, bool) else text_of(value)

    def lines() -> Iterator[str]:
        for row in rows:
            said = {name: plain(value) for name, value in zip(names, row, strict=True)}
            yield _compact(said) + "\n"

    return _pieces(lines())


class _Sink:
    """What Parquet is written into: it is never gone back in."""

    closed = False

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        self._held.append(bytes(data))
        self._size += len(self._held[-1])
        return len(self._held[-1])

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> Iterator[bytes]:
        """What was written since it was last asked, in pieces of a size that a line can carry."""
        held, self._held = b"".join(self._held), []
        for start in range(0, len(held), PIECE_BYTES):
            yield held[start : start + PIECE_BYTES]


def _parquet(columns: Sequence[Column], rows: Iterable[Sequence[Any]], zone: str) -> Iterator[bytes]:
    arrow, parquet = _arrow()
    types = {
        "text": arrow.string(), "money": arrow.int64(), "count": arrow.int64(), "flag": arrow.bool_(),
        "quantity": arrow.decimal128(12, 3), "rate": arrow.decimal128(7, 4), "day": arrow.date32(),
        "time": arrow.timestamp("ms", tz=zone),
    }  # fmt: skip
    schema = arrow.schema([arrow.field(column.name, types[column.kind]) for column in columns])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(rows):
            by_column = zip(zip(*group, strict=True), schema, strict=True)
            batch = [arrow.array(cells, field.type) for cells, field in by_column]
            writer.write_table(arrow.Table.from_arrays(batch, schema=schema), row_group_size=GROUP_ROWS)
            yield from sink.taken()
    yield from sink.taken()


def _groups(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    group: list[Sequence[Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


_WRITERS: Mapping[str, Callable[[Sequence[Column], Iterable[Sequence[Any]], str], Iterator[bytes]]] = {
    "csv": _csv, "jsonl": _jsonl, "parquet": _parquet,
}  # fmt: skip


def _text_of_tills(still: Store, branches: Sequence[Branch], asked: Asked) -> Iterator[bytes]:
    """The files that tills write, too: of one shop the same bytes; of several, each row or object begins with its
    shop."""
    several = len(branches) != 1

    def lines() -> Iterator[str]:
        for place, branch in enumerate(branches):
            reports = Reports(still, branch.id, here=branch.replica.store_id)
            own = exported_lines(asked.what, reports, branch.shown_from(reports), asked.format, asked.first, asked.last)
            for number, line in enumerate(own):
                header = asked.format == "csv" and number == 0
                if header and place:
                    continue
                yield line if not several else _with_shop("shop" if header else branch.id, line, asked.format)

    return _pieces(lines())


def _with_shop(shop: str, line: str, format: str) -> str:
    if format == "csv":
        return f"{csv_line([shop])[:-1]},{line}"
    return f'{{"shop":{json.dumps(shop)},{line[1:]}'


# -- files -------------------------------------------------------------------------------------------------------------


def write_file(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a file whole: under another name first, fsynced, renamed. Returns its size. Raises OSError; then there is
    no file, or the one that was there before."""
    temporary, size = path.with_name(path.name + UNFINISHED), 0
    try:
        with temporary.open("wb") as file:
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.absolute().parent)
    return size


async def one_by_one(pieces: Iterator[T]) -> AsyncIterator[T]:
    """Pieces that read the disk, all of them in one other thread: what stands still for a reader does so for a thread.
    Nobody waits meanwhile, and whoever stops reading ends the reading of the disk, too."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="export")
    try:
        while (piece := await loop.run_in_executor(thread, next, pieces, None)) is not None:
            yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            thread.submit(close)
        thread.shutdown(wait=False)


def as_text(pieces: Iterable[bytes]) -> Iterator[str]:
    """Bytes as lines of text, for the way from a running head office to its command."""
    return (base64.b64encode(piece).decode() + "\n" for piece in pieces)


def from_text(lines: Iterable[str]) -> Iterator[bytes]:
    """The bytes that `as_text` made lines of, however they were cut on the way."""
    held = ""
    for text in lines:
        held += text
        *whole, held = held.split("\n")
        for line in whole:
            yield base64.b64decode(line, validate=True)
    if held:
        raise binascii.Error("the answer ended in the middle of a line")
