"""Marks of change: which shops look otherwise than before on the pages, and in which order that came about.

Whoever changes what pages show of a shop puts a mark on it, in the same transaction. A mark is a number that only ever
grows, so each process sees by one short question what changed since it looked. "" stands for the office itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from relay.database import Database, Step, Transaction

__all__ = ["OFFICE", "STEPS", "last_mark", "mark", "marked_since"]

STEPS: tuple[Step, ...] = (
    ("marks of change", (
        "CREATE TABLE office_mark (shop TEXT PRIMARY KEY, n INTEGER NOT NULL)",
        "CREATE INDEX office_mark_n ON office_mark (n)",
    )),
)  # fmt: skip
OFFICE = ""


def mark(tx: Transaction, shops: Iterable[str]) -> None:
    """Put a mark on these shops. Transactions of the books run as if each were alone, so that numbers only grow."""
    wanted = sorted(set(shops))
    if not wanted:
        return
    (last,) = tx.execute("SELECT coalesce(max(n), 0) FROM office_mark").fetchone()
    tx.executemany(
        "INSERT INTO office_mark (shop, n) VALUES (?, ?) ON CONFLICT (shop) DO UPDATE SET n = excluded.n",
        [(shop, last + 1) for shop in wanted],
    )


def last_mark(database: Database) -> int:
    """The number of the last mark."""
    return int(database.execute("SELECT coalesce(max(n), 0) FROM office_mark").fetchone()[0])


def marked_since(database: Database, n: int) -> tuple[set[str], int]:
    """The shops that were marked behind number `n`, and the last number."""
    rows = database.execute("SELECT shop, n FROM office_mark WHERE n > ?", (n,)).fetchall()
    return {shop for shop, _ in rows}, max((at for _, at in rows), default=n)
