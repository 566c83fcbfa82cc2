"""Carts that wait and goods on hand, as committed. Read from the projections that keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from posline.storage.connection import Connection

__all__ = ["Cart", "carts", "is_stocked", "on_hand", "stocked"]

_WHERE = "SELECT hold, author, day, at, by, name, sale, cart FROM cart c WHERE shop = ?1"
_SOLD = "EXISTS (SELECT 1 FROM entry e WHERE e.shop = c.shop AND e.id = c.sale AND e.kind = 'sale' AND e.status <= 1)"
_ENDED = "EXISTS (SELECT 1 FROM uncart u WHERE u.shop = c.shop AND u.hold = c.hold{})"


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart that was put aside. `sale` is the id under which it is to be sold; `ended` why it waits no more, or ""."""

    hold: str
    till: str
    day: str
    at: str
    by: str
    name: str
    sale: str
    cart: dict[str, Any]
    ended: str


def carts(read: Connection, shop: int | None, *, hold: str = "", recalled: bool = False) -> list[Cart]:
    """Carts that wait, the oldest first; with `recalled` also those that were taken up and not sold yet; with `hold`
    the one with this id, whatever became of it."""
    query, values = _WHERE, [shop]
    if hold:
        query, values = query + " AND hold = ?2", [shop, hold]  # type: ignore[list-item]
    else:
        query += f" AND NOT {_SOLD} AND NOT " + _ENDED.format(" AND u.why <> 'recalled'" if recalled else "")
    rows = read.execute(query + " ORDER BY at, hold, hash", values).fetchall()
    found: dict[str, Cart] = {}
    for id, author, day, at, by, name, sale, cart in rows:
        whys = read.execute("SELECT DISTINCT why FROM uncart WHERE shop = ? AND hold = ?", (shop, id)).fetchall()
        sold = read.execute(
            "SELECT 1 FROM entry WHERE shop = ? AND id = ? AND kind = 'sale' AND status <= 1", (shop, sale)
        ).fetchone()
        ended = "sold" if sold else max((why for (why,) in whys), default="")
        found.setdefault(id, Cart(id, author, day, at, by, name, sale, json.loads(cart), ended))
    return list(found.values())


def on_hand(read: Connection, shop: int | None, skus: Sequence[str]) -> dict[str, int]:
    """Thousandths on hand of each of these SKUs; 0 of what never moved."""
    found = dict.fromkeys(skus, 0)
    for sku in found:
        row = read.execute("SELECT quantity FROM onhand WHERE shop = ? AND sku = ?", (shop, sku)).fetchone()
        if row is not None:
            found[sku] = int(row[0])
    return found


def is_stocked(read: Connection, shop: int | None, sku: str) -> bool:
    """Whether goods of this SKU were ever received, counted or moved, and not only sold."""
    query = "SELECT 1 FROM onhand WHERE shop = ? AND sku = ? AND stocked > 0"
    return read.execute(query, (shop, sku)).fetchone() is not None


def stocked(read: Connection, shop: int | None, after: str, limit: int) -> Iterator[tuple[str, int, bool]]:
    """(SKU, thousandths on hand, whether it was ever received or counted) of all that moved, by SKU behind `after`."""
    for sku, quantity, moves in read.execute(
        "SELECT sku, quantity, stocked FROM onhand WHERE shop = ? AND sku > ? ORDER BY sku LIMIT ?",
        (shop, after, limit),
    ).fetchall():
        yield sku, int(quantity), moves > 0
