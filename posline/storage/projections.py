"""What counted entries do beyond being counted, as one list of projections that the ledger keeps up to date.

A projection is told of each entry of its kinds that begins to count and of each that ceases to, in any order, and
writes tables that are a function of the set of entries that count. So all of them can be emptied and made again
(`rebuild` of the store), which is what a newer version does that knows more kinds, and what `posline verify` holds them
against.

Works inside the transaction of whoever calls it.
"""

from __future__ import annotations

from typing import Protocol

from posline.core.entry import Entry
from posline.core.members import Shop
from posline.storage.accounts import Accounts
from posline.storage.carts import Carts
from posline.storage.connection import Connection
from posline.storage.dialect import SQLITE, Dialect
from posline.storage.drawers import Drawers
from posline.storage.effects import Effects
from posline.storage.filings import Filings
from posline.storage.goods import Goods
from posline.storage.returns import Returns

__all__ = ["TABLES", "Projection", "Projections"]

# what `rebuild` empties and `verify` compares: every table that a projection writes
TABLES = (
    "edit",
    "edit_conflict",
    "redate",
    "unseen",
    *Goods.tables,
    *Accounts.tables,
    *Returns.tables,
    *Carts.tables,
    *Drawers.tables,
    *Filings.tables,
)


class Projection(Protocol):
    """Tables that follow the counted entries of some kinds. `document` is the key of the entry's document."""

    kinds: frozenset[str]

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` counts from now on."""

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` no longer counts."""

    def flush(self) -> None:
        """All entries of a batch were told: write what was gathered."""


class Projections:
    """All projections over one writing connection."""

    def __init__(self, db: Connection, dialect: Dialect = SQLITE) -> None:
        self.effects = Effects(db, dialect)
        self.returns = Returns(db)
        everything: tuple[Projection, ...] = (
            self.effects,
            Goods(db),
            Accounts(db),
            self.returns,
            Carts(db),
            Drawers(db),
            Filings(db),
        )
        self._all = everything
        self._of: dict[str, tuple[Projection, ...]] = {
            kind: tuple(p for p in everything if kind in p.kinds)
            for kind in sorted({kind for p in everything for kind in p.kinds})
        }

    def concerned(self, kind: str) -> bool:
        """Whether any projection follows entries of this kind."""
        return kind in self._of

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` counts from now on."""
        for projection in self._of[entry.kind]:
            projection.apply(shop, authority, entry, document)

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` no longer counts."""
        for projection in self._of[entry.kind]:
            projection.undo(shop, authority, entry, document)

    def flush(self) -> None:
        """A batch is over."""
        for projection in self._all:
            projection.flush()
