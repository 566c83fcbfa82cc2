"""The database behind the head office's books about people: what it must be able to do, and SQLite as one that does.

Everything that is written here is asked of `Database`, so that another database can stand behind it: its statements
keep to what SQLite and PostgreSQL both speak. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from posline.errors import DiskFull, FolderDamaged, PoslineError, Unavailable
from posline.storage.connection import Connection, Error, Readers, connect, failure, is_damage, is_full

__all__ = ["Cursor", "Database", "SqliteDatabase", "Step", "Transaction", "transact", "up_to_date"]

T = TypeVar("T")
Step = tuple[str, Sequence[str]]  # a step of the schema: its name, and its statements
TRIES = 8  # of a transaction, where other processes write at once
WAIT_S = 0.02  # before the second try, and twice as long before each further one


class Cursor(Protocol):
    """What a statement answers."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """Statements that stand or fall together."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Run one statement; `?` stands for each of `params`."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor | None:
        """Run one statement for each of `rows`; None where there were none."""
        ...


class Database(Protocol):
    """Tables that several threads, and with some databases several processes, ask and change at once."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Ask by one statement that changes nothing; what was committed before is seen."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commits at its end, or rolls back when an exception leaves it. As if it ran alone."""
        ...

    def passing(self, error: Exception) -> bool:
        """Whether a transaction that failed so may be tried again: another one was in its way, or the line was cut."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def transact(database: Database, work: Callable[[Transaction], T]) -> T:
    """Run `work` in one transaction, and again where it came to nothing through no fault of its own. So it does nothing
    but execute statements, and it may happen twice: a commit whose answer was lost stands."""
    wait_s = WAIT_S
    for left in reversed(range(TRIES)):
        try:
            with database.transaction() as found:
                return work(found)
        except PoslineError:
            raise
        except Exception as error:
            if not database.passing(error):
                raise
            if not left:
                raise Unavailable(f"the database does not answer ({error}): it is tried again with the next") from error
        time.sleep(wait_s)
        wait_s *= 2
    raise AssertionError


def up_to_date(database: Database, steps: Sequence[Step], now_ms: int) -> None:
    """Apply the steps of the schema that were not applied yet, each in a transaction with the note that it was."""

    def begin(tx: Transaction) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS office_step (name TEXT PRIMARY KEY, at_ms INTEGER NOT NULL)")

    transact(database, begin)
    for name, statements in steps:

        def apply(tx: Transaction, name: str = name, statements: Sequence[str] = statements) -> None:
            noted = tx.execute(
                "INSERT INTO office_step (name, at_ms) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, now_ms)
            )
            if noted.rowcount == 1:
                for statement in statements:
                    tx.execute(statement)

        transact(database, apply)


class SqliteDatabase:
    """A file of its own: it never waits for the commits of sales. One connection writes; each thread reads by its own,
    and waits for nobody."""

    def __init__(self, path: Path) -> None:
        """Raises FolderDamaged, DiskFailed, DiskFull."""
        self._writing = threading.RLock()
        try:
            self._writer: Connection = connect(str(path))
            try:
                found = [row[0] for row in self._writer.execute("PRAGMA quick_check(1)")]
                if found != ["ok"]:
                    raise _damaged(path, found)
                self._readers = Readers(str(path))
            except BaseException:
                self._writer.close()
                raise
        except Error as error:
            raise (_damaged(path, error) if is_damage(error) else failure(error, str(path))) from error

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """See Database."""
        found: Cursor = self._readers.execute(sql, params)
        return found

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See Database."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if isinstance(error, Error) and is_full(error):
                    raise DiskFull("there is no room on the head office's disk") from error
                raise

    def passing(self, error: Exception) -> bool:
        """See Database. Nobody else writes this file."""
        return False

    def close(self) -> None:
        """See Database."""
        self._readers.close()
        with self._writing:
            self._writer.close()


def _damaged(path: Path, why: object) -> FolderDamaged:
    return FolderDamaged(
        f"the head office's books about people {path} are damaged ({why}): put back the copy you kept of this file. "
        "Or move it away, begin without its users, tokens and names of shops, and attach each shop again"
    )
