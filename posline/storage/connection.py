"""Opening SQLite so that a commit is on the disk: every setting in one place, with its reason.

One connection writes and it alone checkpoints; others only read. sqlite-utils chooses `pysqlite3` where it is
installed, and this package uses the same module, so that one process never holds two copies of SQLite on one file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from posline.errors import DiskFailed, DiskFull, FolderDamaged, PoslineError, Unloadable

__all__ = [
    "CHECKPOINT_PAGES",
    "Connection",
    "Error",
    "OperationalError",
    "Place",
    "Readers",
    "altered",
    "connect",
    "failure",
    "is_altered",
    "is_damage",
    "is_failure",
    "is_full",
    "reader",
    "sqlite_warning",
    "version",
]

Connection = Any  # sqlite3.Connection of whichever module sqlite-utils chose
Error: type[Exception] = sqlite3.Error
OperationalError: type[Exception] = sqlite3.OperationalError

CACHE_KIB = 16 * 1024
THREAD_CACHE_KIB = 4 * 1024  # of a reader that is not the first one: threads come some at a time
CHECKPOINT_PAGES = 4000  # 16 MiB of WAL: a shop's busy hour between checkpoints, and still quick to recover
BUSY_MS = 5000  # only a backup or a command's reader can be in the way, and neither stays longer
SOUND_VERSIONS = ((3, 51, 3), (3, 50, 7), (3, 44, 6))  # with the fix of the WAL reset race


def version() -> str:
    """The version of the SQLite library that is linked."""
    return str(sqlite3.sqlite_version)


def sqlite_warning() -> str | None:
    """What is wrong with the linked SQLite, or None.

    Before 3.51.3 (and its backports 3.50.7 and 3.44.6) two connections that write and checkpoint at once can lose a
    commit. Posline never has two that write, so this is a warning and no refusal.
    """
    here = tuple(int(part) for part in version().split("."))
    sound = any(here >= v if v == SOUND_VERSIONS[0] else here[:2] == v[:2] and here >= v for v in SOUND_VERSIONS)
    if sound:
        return None
    return f"SQLite {version()} has a fault in its write-ahead log that 3.51.3 mends: install the pysqlite3 package"


def connect(path: str) -> Connection:
    """The one writing connection. Transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA page_size=4096")
    # readers never wait for the writer, and one fsync a commit; where the disk refuses it, SQLite stays as it was and
    # raises nothing
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode not in ("wal", "memory"):
        raise _Refused(f"the disk did not take the write-ahead log: the file stays in mode {mode}")
    for setting in (
        "PRAGMA synchronous=FULL",  # that fsync: a receipt is shown only behind it
        f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"PRAGMA busy_timeout={BUSY_MS}",
        f"PRAGMA cache_size=-{CACHE_KIB}",
        "PRAGMA foreign_keys=OFF",  # nothing is ever deleted that another row names
        "PRAGMA temp_store=MEMORY",  # a full disk must not stop a report
    ):
        connection.execute(setting)
    return connection


class Place:
    """The file that a path leads to now, for as long as a process has it open.

    SQLite goes on with a file whose folder was moved or deleted under it, and so writes where the next start finds
    nothing; and whoever opens the path once more reads what lies there by then, which may be another shop's file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _file_at(path)

    def check(self) -> None:
        """Raise an error that ends the process where the path does not lead to that file any more."""
        if self._file is not None and _file_at(self._path) != self._file:
            raise _Moved("its folder was moved, deleted or replaced while it was open: put it back where it was")

    def reader(self, cache_kib: int = CACHE_KIB) -> Connection:
        """One more connection that reads that file and no other."""
        connection = reader(self._path, cache_kib)
        try:
            self.check()
        except BaseException:
            connection.close()
            raise
        return connection


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Readers:
    """Connections that only read, one a thread, used like one connection.

    Within one connection every read sees the snapshot of the oldest read that is still under way. Were it shared, a
    report that another thread is reading would hide the latest commits from whoever decides by them.
    """

    def __init__(self, path: str) -> None:
        self._place = Place(path)
        self._mine: threading.local | None = threading.local()
        self._mine.connection = self._place.reader()

    def execute(self, *query: Any) -> Any:
        """As a connection's."""
        mine = self._mine
        if mine is None:
            raise sqlite3.ProgrammingError("the file is closed")
        connection = getattr(mine, "connection", None)
        if connection is None:
            connection = mine.connection = self._place.reader(THREAD_CACHE_KIB)
        return connection.execute(*query)

    @property
    def stands_still(self) -> bool:
        """Whether this thread is inside of `still`."""
        return getattr(self._mine, "is_still", False)

    @contextmanager
    def still(self) -> Iterator[None]:
        """All that this thread reads inside is as of one moment."""
        if self.stands_still:
            yield
            return
        self.execute("BEGIN")
        assert self._mine is not None
        self._mine.is_still = True
        try:
            yield
        finally:
            mine = self._mine
            if mine is not None:
                mine.is_still = False
                mine.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of all of them: one that is being asked or read from is closed by whoever does so, once it is done.
        SQLite ends the process where a connection is closed under a question in another thread."""
        self._mine = None


def reader(path: str, cache_kib: int = CACHE_KIB) -> Connection:
    """A connection that only reads committed rows and never checkpoints."""
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA query_only=ON")
    connection.execute(f"PRAGMA cache_size=-{cache_kib}")
    return connection


def is_full(error: BaseException) -> bool:
    """Whether `error` says that there is no room: the commit was rolled back whole and may be tried again."""
    return "full" in str(error).lower() or getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"


def is_damage(error: BaseException) -> bool:
    """Whether `error` says that the file is not what SQLite wrote: a page is wrong, or it is no database at all. SQLite
    names what is damaged by the bytes that stand there, which need be no text."""
    if isinstance(error, UnicodeDecodeError):
        return True
    return is_altered(error) or _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


class _Refused(sqlite3.DatabaseError):
    """A setting that SQLite did not take."""

    sqlite_errorname = "SQLITE_IOERR"


class _Moved(sqlite3.DatabaseError):
    """The file is not at its place any more."""

    sqlite_errorname = "SQLITE_CANTOPEN_MOVED"


class _Altered(sqlite3.DatabaseError):
    """A row is not what was written, which SQLite cannot see."""

    sqlite_errorname = "SQLITE_CORRUPT_ROW"


def altered(what: str) -> Exception:
    """The error of a row that changed by itself: whoever meets it ends, and the file is built anew."""
    error: Exception = _Altered(what)
    return error


def is_altered(error: BaseException) -> bool:
    """Whether `error` is one that SQLite itself would not find by looking through the file."""
    if isinstance(error, _Altered | Unloadable):
        return True
    return isinstance(error, Error) and str(error).startswith(("Could not decode to UTF-8", "malformed JSON"))


def is_failure(error: BaseException) -> bool:
    """Whether the file or its disk can no longer be believed after `error`: who meets it ends, and starts afresh."""
    return is_damage(error) or _name(error).startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY"))


def failure(error: BaseException, path: str) -> PoslineError:
    """What a file that cannot be opened is told people as."""
    if is_full(error):
        return DiskFull("there is no room on the disk: free some and start again")
    if is_damage(error):
        return FolderDamaged(
            f"the database {path} is damaged ({error}): start the till, which saves what can be read and goes on"
        )
    return DiskFailed(f"the database {path} cannot be used ({error})")


def _name(error: BaseException) -> str:
    return str(getattr(error, "sqlite_errorname", "") or "") if isinstance(error, Error) else ""


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)
