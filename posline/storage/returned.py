"""What was taken back of a sale, read from the projection that `posline.storage.returns` keeps. Committed rows only."""

from __future__ import annotations

from posline.core.entry import Entry
from posline.core.refunding import NOTHING, Taken
from posline.storage.connection import Connection

__all__ = ["excess", "returns_of", "taken_of"]


def taken_of(read: Connection, shop: int | None, sale: Entry, *, but: str = "") -> tuple[dict[int, Taken], bool]:
    """(what was taken back of each line of a sale, by its number; whether the sale was voided).

    A sale that several tills recorded is one: what names any copy is taken back of all, whichever of them counts. What
    was recorded under the id `but` is left out, for whoever asks again with that id.
    """
    rows = read.execute(
        "SELECT r.line, r.kind, r.quantity, r.total, r.tax FROM returned r WHERE r.shop = ?1 AND r.sale = ?2"
        " AND (r.of = ?3 OR r.of IN (SELECT other.hash FROM entry this JOIN entry other ON other.shop = this.shop"
        " AND other.id = this.id AND coalesce(other.kept, other.hash) = coalesce(this.kept, this.hash)"
        " WHERE this.shop = ?1 AND this.hash = ?3))"
        " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.shop = ?1 AND e.hash = r.hash AND e.id = ?4)",
        (shop, sale.id, sale.hash, but),
    ).fetchall()
    taken: dict[int, Taken] = {}
    for line, _, quantity, total, tax in rows:
        before = taken.get(line, NOTHING)
        taken[line] = Taken(before.quantity + quantity, before.total + total, before.tax + tax)
    return taken, any(kind == "void" for _, kind, *_ in rows)


def returns_of(read: Connection, shop: int | None, sale: str) -> list[int]:
    """The refunds and voids of a sale's id that count, as places in the ledger's order."""
    rows = read.execute(
        "SELECT DISTINCT e.n, e.day, e.author, e.run, e.seq, e.hash FROM returned r"
        " CROSS JOIN entry e ON e.shop = r.shop AND e.hash = r.hash"
        " WHERE r.shop = ? AND r.sale = ? ORDER BY e.day, e.author, e.run, e.seq, e.hash",
        (shop, sale),
    )
    return [n for n, *_ in rows]


def excess(read: Connection, shop: int | None, limit: int) -> list[str]:
    """Ids of sales of which more was taken back than was sold."""
    rows = read.execute("SELECT sale FROM excess WHERE shop = ? ORDER BY sale LIMIT ?", (shop, limit))
    return [sale for (sale,) in rows]
