"""What goes into the store and comes out of it: staged updates, commits, heads, rows of the log, marks of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from posline.core.entry import Entry
from posline.core.segment import squash
from posline.core.update import StateVector
from posline.storage.ledger import Change

__all__ = ["Commit", "Head", "Mark", "Row", "ShopChange", "Staged", "Written", "join_rows"]


@dataclass(frozen=True, slots=True)
class Head:
    """A document as of one commit: its state vector, and its set of elements as count and sum of hashes."""

    document: str
    state: StateVector
    count: int
    sum: int
    n: int  # number of the last row
    past: tuple[tuple[bytes, int, int], ...] = ()  # (encoded state, count, sum) of the last commits, this one last

    @property
    def digest(self) -> str:
        """The set hash, 64 hex digits."""
        return f"{self.sum:064x}"


@dataclass(slots=True, eq=False)
class Staged:
    """One update waiting for its commit. `before` and `after` hold only the clients that it advances."""

    shop: str
    document: str
    update: bytes
    before: StateVector
    after: StateVector
    entries: list[Entry]
    origin: str
    own: bool = False
    id: str | None = None  # with `request`: the normal form of what was asked, kept to recognise a retry
    request: bytes | None = None
    follows: bytes | None = None  # the entry that its author must have written last here, b"" for none; None: any


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a document's log, or several squashed into one; `n` is the number of the last."""

    n: int
    before: StateVector
    after: StateVector
    update: bytes
    origin: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a run is held without a gap: its number there and the hash of that entry."""

    author: str
    run: int
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """What this disk wrote last as an author, and how far others wrote under that name and are vouched for."""

    run: int
    seq: int
    hash: bytes
    number: int
    foreign_seq: int
    foreign_number: int


@dataclass(frozen=True, slots=True)
class ShopChange:
    """A status change and the shop it happened in."""

    shop: str
    change: Change


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction wrote. `before` has the number of the last row that was known here of each document that it
    brought rows to."""

    released: list[Staged]
    changes: list[ShopChange]
    documents: dict[tuple[str, str], Head] = field(default_factory=dict)
    before: dict[tuple[str, str], int] = field(default_factory=dict)


def join_rows(rows: Sequence[Row], *, keep_origin: bool = True) -> list[Row]:
    """Neighbouring rows written as few, each within a message's limits. With `keep_origin`, only rows that came from
    the same place are joined, since forwarding asks where a row came from."""
    joined: list[Row] = []
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and (not keep_origin or rows[end].origin == rows[start].origin):
            end += 1
        at = start
        for update, count in squash([r.update for r in rows[start:end]]):
            group = rows[at : at + count]
            before: StateVector = {}
            after: StateVector = {}
            for row in group:
                after.update(row.after)
                for client, clock in row.before.items():
                    before.setdefault(client, clock)
            same = len({r.origin for r in group}) == 1
            joined.append(Row(group[-1].n, before, after, update, group[0].origin if same else ""))
            at += count
        start = end
    return joined
