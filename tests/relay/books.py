"""A file for the head office's own tables, for tests of what lies in them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Tables:
    """SQLite in memory, with the statements of some steps carried out."""

    def __init__(self, steps: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._lock = threading.RLock()
        for _, statements in steps:
            for statement in statements:
                self.db.execute(statement)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        with self._lock:
            return self.db.execute(sql, params)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def passing(self, error: Exception) -> bool:
        return False

    def close(self) -> None:
        self.db.close()
