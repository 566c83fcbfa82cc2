"""What can still be read of a damaged database, sorted into a scratch file beside it.

An entry is taken where something else on the disk agrees with it: its row's own hash, an index, the entry behind it on
the chain, the mark of what this disk wrote last. So a flipped bit cannot change one, only lose one. Everything else is
local and small: requests as they were asked, what others are known to hold, settings.

The damaged file itself is only read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from posline.core.entry import Entry, decode
from posline.core.kinds import NUMBERED
from posline.core.members import shop_id
from posline.core.status import SHORT
from posline.core.update import strings_of
from posline.errors import Refused
from posline.storage.connection import Connection, connect
from posline.storage.pages import Pages, Value
from posline.storage.product_index import VERSION_NOTE
from posline.storage.records import Mark

__all__ = ["SALVAGED", "LogRow", "OwnMark", "Remains"]

SALVAGED = "salvaged"  # the setting that says that a file was built of remains, and no till began on it yet
JUMP_MAX = 1_000_000  # entries between what was found of this disk's own and a mark that is believed
NOT_KEPT = frozenset({"rules", VERSION_NOTE})  # settings that say how a file's tables were made
FOUNDING = b'"kind":"founding"'
_AUTHOR = re.compile(r"[a-z2-7]{26}")
_SCRATCH = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE element (document INTEGER, hash BLOB, author TEXT, seq INTEGER, own INTEGER, sure INTEGER, prev TEXT,
    raw BLOB, PRIMARY KEY (document, hash)) WITHOUT ROWID;
CREATE TABLE known (hash BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE row (document INTEGER, n INTEGER, digest BLOB, origin TEXT, data BLOB,
    PRIMARY KEY (document, n, digest)) WITHOUT ROWID;
CREATE TABLE document (key INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE request (id TEXT PRIMARY KEY, form BLOB) WITHOUT ROWID;
CREATE TABLE have (author TEXT, run INTEGER, store TEXT, seq INTEGER, hash BLOB,
    PRIMARY KEY (author, run, store)) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
BEGIN;
"""


@dataclass(frozen=True, slots=True)
class OwnMark:
    """How far this disk wrote, by what is left of it. `certain`: nothing that it wrote can lie behind."""

    run: int
    seq: int
    hash: bytes
    number: int
    certain: bool


@dataclass(frozen=True, slots=True)
class LogRow:
    """A row of a document's log. `sound`: every element in it is confirmed."""

    n: int
    origin: str
    data: bytes
    sound: bool


class Remains:
    """The readable rest of `database`, of one shop and of this disk's author, while it is open."""

    def __init__(self, database: Path, shop: str, author: str) -> None:
        self._author = author
        self._path = database.with_name(database.name + ".sorting")
        self._drop()
        self._db: Connection = connect(str(self._path))
        self._db.executescript(_SCRATCH)
        self.shop = shop  # or whichever is found, where that is not known
        self._named: set[str] = set()  # ids in the table of shops
        self._marks: list[tuple[int, int, bytes, int]] = []
        self._pages = Pages(database)
        self.unconfirmed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pages.close()
        self._db.close()
        self._drop()

    def _drop(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    # -- reading -------------------------------------------------------------------------------------------------------

    def sort(self) -> None:
        """Look through all pages, and confirm what is found. Raises OSError where the disk does not give one."""
        for image in self._pages.images():
            for row in self._pages.rows(image):
                with contextlib.suppress(UnicodeError, OverflowError):
                    self._take(row)
        if self._pages.unreadable:  # a disk that gives nothing now may do so in a moment: nothing is given up for that
            raise OSError(errno.EIO, f"{self._pages.unreadable} pages cannot be read")
        self._name_documents()
        self._take_logs()
        self._confirm()
        if self._is_another_shops():
            for table in ("element", "row", "request", "have", "meta"):
                self._db.execute(f"DELETE FROM {table}")
            self._marks.clear()

    def _is_another_shops(self) -> bool:
        """Whether the file is whole another shop's, put in the place of ours: it is named after a founding that it
        holds. Neither a letter that changed nor what a member made up comes to that."""
        foundings = {
            shop_id(decode("shop", raw))
            for (raw,) in self._db.execute("SELECT raw FROM element WHERE instr(raw, ?)", (FOUNDING,))
        }
        return self.shop not in self._named | foundings and not self._named.isdisjoint(foundings)

    def _take(self, row: list[Value]) -> None:
        """One row of whichever table has this shape."""
        match row:
            case [None, int(), int(document), bytes(hash), str(), str(), str(author), int(), int(seq), str(prev), _, _,
                  _, _, int(own), _, _, _, _, _, bytes(raw)] if len(hash) == 32:  # fmt: skip
                if hashlib.sha256(raw).digest() == hash:
                    self._db.execute(
                        "INSERT INTO element VALUES (?,?,?,?,?,1,?,?) ON CONFLICT (document, hash) DO UPDATE"
                        " SET own = max(own, excluded.own)",
                        (document, hash, author, seq, bool(own), prev, raw),
                    )
                else:
                    self._know(hash)
            case [int(), int(document), int(n), bytes(), bytes(), str(origin), bytes(data)]:
                place = document, n, hashlib.sha256(data).digest()
                self._db.execute("INSERT OR IGNORE INTO row VALUES (?,?,?,?,?)", (*place, origin, data))
            case [int(), bytes(hash), int(), int()] if len(hash) == 32:
                self._know(hash)
            case [int(), int(key), str(name), int(), int(), bytes(total)] if len(total) == 32:
                self._db.execute("INSERT OR IGNORE INTO document VALUES (?,?)", (key, name))
            case [int(), str(author), int(run), str(store), int(seq), bytes(hash)] if len(hash) == 32:
                self._db.execute(
                    "INSERT INTO have VALUES (?,?,?,?,?) ON CONFLICT (author, run, store) DO UPDATE"
                    " SET seq = excluded.seq, hash = excluded.hash WHERE excluded.seq > seq",
                    (author, run, store, seq, hash),
                )
            case [int(), str(author), int(run), int(seq), bytes(hash), int(number), int(), int()] if len(hash) == 32:
                self._know(hash)
                if author == self._author:
                    self._marks.append((run, seq, hash, number))
            case [int(), str(id), bytes(form)] if len(id) == 36:
                self._db.execute("INSERT OR IGNORE INTO request VALUES (?,?)", (id, form))
            case [None, str(id)] if _AUTHOR.fullmatch(id):
                self.shop = self.shop or id
                self._named.add(id)
            case [str(name), str(value)] if name not in NOT_KEPT:
                self._db.execute(
                    "INSERT INTO meta VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (name, value),
                )

    def _know(self, hash: bytes) -> None:
        self._db.execute("INSERT OR IGNORE INTO known VALUES (?)", (hash,))

    def _name_documents(self) -> None:
        """Documents whose names were not found are named by what lies in them; a catalogue is the only one that its
        entries do not name, and there is mostly one."""
        for (document,) in self._db.execute(
            "SELECT document FROM element UNION SELECT document FROM row EXCEPT SELECT key FROM document"
        ).fetchall():
            row = self._db.execute("SELECT raw FROM element WHERE document = ? LIMIT 1", (document,)).fetchone()
            if row is None:
                found = self._db.execute("SELECT data FROM row WHERE document = ? LIMIT 1", (document,)).fetchone()
                row = next(((raw,) for raw in _elements(found[0])), None) if found is not None else None
            if row is None:
                continue
            day = decode("", row[0]).day
            names = [name for name in ("shop", f"journal/{day}", "catalog/1") if _belongs(name, row[0])]
            if names:
                self._db.execute("INSERT INTO document VALUES (?,?)", (document, names[0]))

    def _take_logs(self) -> None:
        """Elements that only the log has."""
        for document, data in self._db.execute("SELECT document, data FROM row"):
            for raw in _elements(data):
                entry = decode("", raw)
                if entry.till:
                    self._db.execute(
                        "INSERT OR IGNORE INTO element VALUES (?,?,?,?,?,0,?,?)",
                        (document, entry.hash, entry.till, entry.seq, entry.till == self._author, entry.prev, raw),
                    )

    def _confirm(self) -> None:
        """What only the log has counts as read where a hash of it is known, or the entry behind it names it."""
        self._db.execute("UPDATE element SET sure = 1 WHERE sure = 0 AND hash IN (SELECT hash FROM known)")
        unsure = self._db.execute("SELECT count(*) FROM element WHERE sure = 0").fetchone()[0]
        if unsure:
            self._db.execute("CREATE INDEX element_prev ON element (prev)")
        while unsure:
            done = self._db.execute(
                f"UPDATE element SET sure = 1 WHERE sure = 0 AND EXISTS (SELECT 1 FROM element b WHERE"
                f" b.prev = substr(lower(hex(element.hash)), 1, {SHORT}) AND b.author = element.author AND b.sure = 1)"
            ).rowcount
            if not done:
                break
            unsure -= done
        self.unconfirmed = unsure

    # -- what there is -------------------------------------------------------------------------------------------------

    def documents(self) -> list[tuple[int, str]]:
        """(key, name) of the documents of which anything is left, the shop's own first, then catalogues, then days."""
        found = self._db.execute(
            "SELECT key, name FROM document WHERE key IN (SELECT document FROM element UNION SELECT document FROM row)"
        ).fetchall()
        return sorted(found, key=lambda each: (each[1] != "shop", each[1].startswith("journal/"), each[1]))

    def rows(self, document: int) -> Iterator[LogRow]:
        """A document's log, in the order of its commits; what was squashed may be there both ways."""
        for n, origin, data in self._db.execute(
            "SELECT n, origin, data FROM row WHERE document = ? ORDER BY n, length(data) DESC", (document,)
        ):
            hashes = [hashlib.sha256(raw).digest() for raw in _elements(data)]
            yield LogRow(n, origin, data, bool(hashes) and all(self._sure(document, hash) for hash in hashes))

    def _sure(self, document: int, hash: bytes) -> bool:
        query = "SELECT sure FROM element WHERE document = ? AND hash = ?"
        row = self._db.execute(query, (document, hash)).fetchone()
        return row is not None and bool(row[0])

    def elements(self, document: int) -> Iterator[tuple[bytes, str]]:
        """(hash, element) of each that is confirmed, an author's in the order of its numbers."""
        for hash, raw in self._db.execute(
            "SELECT hash, raw FROM element WHERE document = ? AND sure = 1 ORDER BY author, seq", (document,)
        ):
            yield hash, raw.decode()

    def own(self) -> OwnMark | None:
        """How far this disk wrote; None where nothing of it is left."""
        tip: tuple[int, int, bytes] | None = None
        number = 0
        believed = set(self._marks)
        for (raw,) in self._db.execute(
            "SELECT raw FROM element WHERE author = ? AND own = 1 AND sure = 1", (self._author,)
        ):
            entry = decode("", raw)  # of no document, but its place in the chain and its number stand in it
            if tip is None or entry.seq > tip[1]:
                tip = entry.run, entry.seq, entry.hash
            place = entry.run, entry.seq
            # one of which a part rotted: what it names lies elsewhere, or something else lies there
            believed -= {m for m in believed if (m[:2] == place) != (m[2] == entry.hash)}
            if entry.kind in NUMBERED and isinstance(last := entry.body.get("number"), int):
                number = max(number, last)
        marks = [m for m in believed if tip is None or tip[1] <= m[1] <= tip[1] + JUMP_MAX]
        if marks:
            run, seq, hash, last = max(marks, key=lambda mark: mark[1])
            return OwnMark(run, seq, hash, max(number, last), certain=True)
        return None if tip is None else OwnMark(*tip, number, certain=False)

    def own_hashes(self) -> Iterator[bytes]:
        """Of what this disk wrote itself."""
        query = "SELECT hash FROM element WHERE author = ? AND own = 1 AND sure = 1"
        for (hash,) in self._db.execute(query, (self._author,)):
            yield hash

    def requests(self) -> list[tuple[str, bytes]]:
        """(id, normal form) of what was asked here."""
        return list(self._db.execute("SELECT id, form FROM request"))

    def settings(self) -> list[tuple[str, str]]:
        """(name, JSON) of small local settings."""
        return list(self._db.execute("SELECT name, value FROM meta"))

    def haves(self) -> Iterator[tuple[str, Mark]]:
        """(store, mark) of what others said they hold."""
        for author, run, store, seq, hash in self._db.execute("SELECT author, run, store, seq, hash FROM have"):
            yield store, Mark(author, run, seq, hash)


def _elements(data: bytes) -> list[bytes]:
    """The elements in an update; none where it cannot be read to its end."""
    try:
        return strings_of(data)
    except Refused:
        return []


def _belongs(name: str, raw: bytes) -> bool:
    entry: Entry = decode(name, raw)
    return entry.placed and entry.fault is None
