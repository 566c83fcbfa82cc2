"""Reading rows out of a database file that SQLite will not read any more: page by page, each by itself.

SQLite finds a row by way of other pages, and gives up where one of them is damaged. Here nothing leads anywhere: every
page image, of the file and of its write-ahead log, is looked at for rows of the shapes that are asked for, so a row is
found as long as the page that it lies on can be read. What is found may be old, may stand there twice, and is to be
checked by whoever takes it. Nothing is written.

The formats are SQLite's own (https://sqlite.org/fileformat2.html). Knows nothing of what any table means.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGE_BYTES", "Image", "Pages", "Value"]

Value = int | float | str | bytes | None

PAGE_BYTES = 4096  # of every file that posline.storage.connection makes
HEADER_BYTES = 100  # of the file, on its first page
WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
WAL_MAGIC = (0x377F0682, 0x377F0683)  # the last bit: checksums are over big-endian words
TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x0A, 0x02
TABLE_LOCAL_MAX = PAGE_BYTES - 35
INDEX_LOCAL_MAX = (PAGE_BYTES - 12) * 64 // 255 - 23
LOCAL_MIN = (PAGE_BYTES - 12) * 32 // 255 - 23
OVERFLOW_BYTES = PAGE_BYTES - 4
PAYLOAD_MAX = 256 * 1024  # four times the largest row there is: longer is damage
COLUMNS_MAX = 64
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True, slots=True)
class Image:
    """One state of one page. `order` 0 is the file's, a higher one is of the log, the last the newest."""

    number: int
    order: int
    bytes: bytes


class Pages:
    """The page images of a database file and its write-ahead log. Either may be missing, short or unreadable."""

    def __init__(self, database: Path) -> None:
        self._handle = _open(database)
        self._log = _open(database.with_name(database.name + "-wal"))
        self._frames: dict[int, list[tuple[int, int]]] = {}  # page -> (order, where it stands), ascending
        self.unreadable = 0  # pages that the disk did not give
        self.unreadable += _read_wal(self._log, self._found)

    def close(self) -> None:
        """Let go of both files."""
        for handle in (self._handle, self._log):
            if handle >= 0:
                os.close(handle)

    def _found(self, order: int, page: int, at: int) -> None:
        self._frames.setdefault(page, []).append((order, at))

    def images(self) -> Iterator[Image]:
        """Every image, in order of their pages, the oldest of each first."""
        count = 0 if self._handle < 0 else -(-os.fstat(self._handle).st_size // PAGE_BYTES)
        for number in range(1, count + 1):
            if (image := self._read(self._handle, (number - 1) * PAGE_BYTES)) is not None:
                yield Image(number, 0, image)
        for number in sorted(self._frames):
            for order, at in self._frames[number]:
                if (image := self._read(self._log, at)) is not None:
                    yield Image(number, order, image)

    def _read(self, handle: int, at: int) -> bytes | None:
        try:
            found = os.pread(handle, PAGE_BYTES, at)
        except OSError:
            self.unreadable += 1
            return None
        return found if len(found) == PAGE_BYTES else None

    def _page(self, number: int, order: int) -> bytes | None:
        """A page as it was when the log had grown to `order`, or as it is, where that is not known."""
        frames = self._frames.get(number)
        if frames:
            before = [at for when, at in frames if when <= order]
            if before or self._handle < 0:
                return self._read(self._log, before[-1] if before else frames[-1][1])
        return self._read(self._handle, (number - 1) * PAGE_BYTES) if number > 0 and self._handle >= 0 else None

    def rows(self, image: Image) -> Iterator[list[Value]]:
        """The values of each row on a page, of a table or an index. Whatever does not hang together is passed over."""
        page, base = image.bytes, HEADER_BYTES if image.number == 1 else 0
        kind = page[base]
        if kind not in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
            return
        first = base + (12 if kind == INDEX_INTERIOR else 8)
        count = int.from_bytes(page[base + 3 : base + 5], "big")
        for slot in range(min(count, (PAGE_BYTES - first) // 2)):
            at = int.from_bytes(page[first + 2 * slot : first + 2 * slot + 2], "big")
            try:
                yield self._cell(page, at, kind, image.order)
            except (ValueError, IndexError, struct.error):
                continue

    def _cell(self, page: bytes, at: int, kind: int, order: int) -> list[Value]:
        if kind == INDEX_INTERIOR:
            at += 4
        size, at = _varint(page, at)
        if kind == TABLE_LEAF:
            _, at = _varint(page, at)  # the row's number
        if not 0 < size <= PAYLOAD_MAX:
            raise ValueError(size)
        most = TABLE_LOCAL_MAX if kind == TABLE_LEAF else INDEX_LOCAL_MAX
        if size <= most:
            return _values(_exactly(page, at, size))
        local = LOCAL_MIN + (size - LOCAL_MIN) % OVERFLOW_BYTES
        local = local if local <= most else LOCAL_MIN
        payload = _exactly(page, at, local)
        (following,) = struct.unpack_from(">I", page, at + local)
        while len(payload) < size:
            further = self._page(following, order)
            if further is None:
                raise ValueError(following)
            payload += further[4 : 4 + size - len(payload)]
            (following,) = struct.unpack_from(">I", further, 0)
        return _values(payload)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return -1


def _read_wal(handle: int, found: Callable[[int, int, int], None]) -> int:
    """Read the log behind an open handle (-1: there is none). `found(order, page, where its image stands)` is told of
    the frames of all commits that can be read, the ones behind a break too. How many pieces the disk did not give."""
    unreadable = 0
    try:
        header = os.pread(handle, WAL_HEADER_BYTES, 0) if handle >= 0 else b""
    except OSError:
        header, unreadable = b"", 1
    size = os.fstat(handle).st_size if handle >= 0 else 0
    whole = len(header) == WAL_HEADER_BYTES and struct.unpack_from(">I", header)[0] in WAL_MAGIC
    salts = header[16:24] if whole else b""
    order_of_words = ">" if header[3:4] == b"\x83" else "<"
    sums = _checksum(header[:24], (0, 0), order_of_words) if whole else (0, 0)
    waiting: list[tuple[int, int, int]] = []  # frames of a commit whose end was not met yet
    places = range(WAL_HEADER_BYTES, size - FRAME_HEADER_BYTES - PAGE_BYTES + 1, FRAME_HEADER_BYTES + PAGE_BYTES)
    for frame, at in enumerate(places, 1):
        try:
            bytes_ = os.pread(handle, FRAME_HEADER_BYTES + PAGE_BYTES, at)
        except OSError:
            bytes_, unreadable = b"", unreadable + 1
        if len(bytes_) < FRAME_HEADER_BYTES + PAGE_BYTES:
            continue
        page, end = struct.unpack_from(">II", bytes_)
        own = struct.unpack_from(">II", bytes_, 16)
        made = _checksum(bytes_[FRAME_HEADER_BYTES:], _checksum(bytes_[:8], sums, order_of_words), order_of_words)
        sums = own  # each frame's checksum goes on from the one before it, so those behind a damaged one can be checked
        salts = salts or bytes_[8:16]  # where the header is gone, the first frame says whose life it is
        unchecked = frame == 1 and not whole  # its checksum goes on from the header's
        if bytes_[8:16] != salts or page == 0 or (made != own and not unchecked):
            continue
        waiting.append((frame, page, at + FRAME_HEADER_BYTES))
        if end:
            for each in waiting:
                found(*each)
            waiting.clear()
    return unreadable


def _checksum(data: bytes, sums: tuple[int, int], words: str) -> tuple[int, int]:
    a, b = sums
    for x, y in struct.iter_unpack(words + "II", data):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b


def _exactly(data: bytes, at: int, size: int) -> bytes:
    found = data[at : at + size]
    if len(found) != size:
        raise ValueError(size)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at
    value = value << 8 | data[at]
    return value - (1 << 64) if value >= 1 << 63 else value, at + 1


def _values(payload: bytes) -> list[Value]:
    """The columns of a record. Raises ValueError where it is none."""
    header, at = _varint(payload, 0)
    if not 0 < header <= len(payload):
        raise ValueError(header)
    kinds: list[int] = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
        if len(kinds) > COLUMNS_MAX:
            raise ValueError(len(kinds))
    if at != header:
        raise ValueError(at)
    values: list[Value] = []
    for kind in kinds:
        value: Value = None
        if kind in _INTEGERS:
            value = int.from_bytes(_exactly(payload, at, _INTEGERS[kind]), "big", signed=True)
            at += _INTEGERS[kind]
        elif kind == 7:
            (value,) = struct.unpack_from(">d", payload, at)
            at += 8
        elif kind in (8, 9):
            value = kind - 8
        elif kind >= 12:
            size = (kind - 12) // 2
            piece = _exactly(payload, at, size)
            value = piece if kind % 2 == 0 else piece.decode()
            at += size
        elif kind != 0:
            raise ValueError(kind)
        values.append(value)
    if at != len(payload):
        raise ValueError(at)
    return values
