"""The head office's books about people in PostgreSQL, which several processes write at once.

A transaction takes one lock of the whole database's first, so that each runs as if it were alone: they are short and
few, since people make them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from posline.errors import DiskFull
from relay.database import Cursor, Transaction
from relay.postgres.connection import FULL, PASSING, Database, Readers, Writer, first_line
from relay.postgres.spelling import spelled_table

__all__ = ["OfficeDatabase"]

LOCK = "office"
READERS = 4  # at once: questions are short


class OfficeDatabase:
    """See `relay.database.Database`."""

    def __init__(self, database: Database) -> None:
        """`database`'s schema is there already. Raises Unavailable."""
        self._database = database
        self._writing = threading.Lock()
        try:
            self._writer, self._readers = Writer(database), Readers(database, READERS)
        except psycopg.OperationalError as error:
            raise database.unavailable(error) from error

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """See Database. Raises Unavailable."""
        return self._readers.execute(sql, params)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See Database."""
        with self._writing:
            try:
                self._writer.execute("BEGIN")
                self._writer.execute("SELECT pg_advisory_xact_lock(?)", (self._database.lock(LOCK),))
                yield _Statements(self._writer)
                self._writer.execute("COMMIT")
            except BaseException as error:
                self._writer.undo(error)
                if isinstance(error, FULL):
                    raise DiskFull(f"the database has no room: {first_line(error)}") from error
                raise

    def stats(self) -> dict[str, int]:
        """What its pool says of itself."""
        return self._readers.stats()

    def passing(self, error: Exception) -> bool:
        """See Database."""
        return isinstance(error, PASSING)

    def close(self) -> None:
        """See Database."""
        self._readers.close()
        with self._writing:
            self._writer.close()


class _Statements:
    """What a transaction executes; tables are made in PostgreSQL's own types."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        return self._writer.execute(spelled_table(sql) if sql.startswith("CREATE ") else sql, params)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor | None:
        return self._writer.executemany(sql, rows)
