"""A chain of shops with weeks of trade behind it, brought to a head office: for pictures, tests and trying out.

Each shop has two tills that hold everything in memory and run on a time that is told. What they rang is handed to the
head office as their links would hand it, entry by entry, so whatever it shows of them is what it shows of real ones.
"""

from __future__ import annotations

import csv
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from examples.rig.crowd import commit, updates_of
from posline.core.base64url import base64url
from posline.core.clock import Clock
from posline.core.entry import Entry
from posline.core.refunding import refund_body
from posline.replica import Replica, found
from posline.storage.store import Store
from posline.trust.keys import Key
from relay.relay import Relay

__all__ = ["NAMES", "Chain", "Shop", "goods"]

GOODS = Path(__file__).parents[1] / "data" / "kiryana.csv"
NAMES = ("Mall Road", "Saddar", "Johar Town", "گلبرگ", "Bahria", "Model Town", "DHA Phase 5", "Cantt", "Anarkali")
CASHIERS = ("Amina", "Bilal", "Sana", "Usman")
ZONE = ZoneInfo("Asia/Karachi")
TENDERS = ("cash", "cash", "cash", "card", "jazzcash")
RUSH = (2, 4, 5, 6, 6, 5, 4, 4, 5, 8, 10, 9, 6, 3)  # how busy the hours from 9 on are


def goods() -> list[dict[str, Any]]:
    """A small grocer's products, as a catalogue has them."""
    with GOODS.open(encoding="utf-8") as file:
        return [
            {
                "sku": row["sku"],
                "name": row["name"],
                "price": int(row["price"]),
                "department": row["department"],
                **({"name_ur": row["name_ur"]} if row["name_ur"] else {}),
            }
            for row in csv.DictReader(file)
        ]


@dataclass
class Moment:
    """The time that tills are told."""

    ms: int

    def clock(self) -> Clock:
        """A clock on it."""
        return Clock(
            wall_ms=lambda: self.ms,
            monotonic_ms=lambda: self.ms,
            synchronised=lambda: True,
            floor_ms=0,
            last_own_ms=None,
        )


@dataclass
class Shop:
    """One shop, its tills, and how far the head office has been told of each document."""

    name: str
    tills: list[Replica]
    moment: Moment
    sold: list[Entry] = field(default_factory=list)
    told: dict[tuple[int, str], int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The shop's id."""
        return self.tills[0].shop


class Chain:
    """Shops that were founded here."""

    def __init__(self, names: Sequence[str] = NAMES, *, seed: int = 1, began: datetime | None = None) -> None:
        """`began`: when they were founded, else 40 days ago."""
        self.random, self.goods = random.Random(seed), goods()
        start = began or datetime.now(UTC) - timedelta(days=40)
        self.shops = [self._shop(name, Moment(int(start.timestamp() * 1000))) for name in names]

    def _key(self) -> Key:
        return Key(self.random.randbytes(32))

    def _shop(self, name: str, moment: Moment) -> Shop:
        key, recovery = self._key(), self._key()
        first = found(
            Store.open(":memory:"),
            author=key,
            public_key=base64url(key.public),
            recovery_key=base64url(recovery.public),
            clock=moment.clock(),
            random=random.Random(self.random.getrandbits(64)),
            name=name,
            currency="PKR",
            zone="Asia/Karachi",
            monotonic_ms=lambda: moment.ms,
        )
        commit(first)
        other = self._key()
        fields = {"key": base64url(other.public), "label": "B", "role": "manager"}
        first.write("member", fields, document="shop")
        first.write("products", {"products": self.goods}, document="catalog/1")
        commit(first)
        second = Replica(
            Store.open(":memory:"),
            first.shop,
            author=other,
            clock=moment.clock(),
            random=random.Random(self.random.getrandbits(64)),
            documents=True,
            monotonic_ms=lambda: moment.ms,
        )
        for update in updates_of(first):
            second.integrate("shop", update, origin=first.store_id)
        commit(second)
        return Shop(name, [first, second], moment)

    async def attach(self, relay: Relay) -> None:
        """Have a head office take the shops."""
        for shop in self.shops:
            updates = [base64url(update) for update in updates_of(shop.tills[0])]
            await relay.attach(shop=shop.id, name=shop.name, updates=updates, alias="")

    def sell(self, shop: Shop, till: int = 0, lines: Sequence[dict[str, Any]] | None = None, by: str = "") -> Entry:
        """Ring a sale now."""
        chance, replica = self.random, shop.tills[till]
        made = list(lines or ())
        for product in [] if made else chance.sample(self.goods, chance.choice((1, 1, 2, 3, 4, 6))):
            quantity = chance.choice((1, 1, 1, 2, 3))
            made.append(
                {
                    "sku": product["sku"],
                    "name": product["name"],
                    "quantity": str(quantity),
                    "price": product["price"],
                }
            )
        total = sum(int(line["quantity"]) * line["price"] for line in made)
        tenders = [{"kind": chance.choice(TENDERS), "amount": total}]
        id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        body = {"lines": made, "total": total, "tenders": tenders}
        entry = replica.write("sale", body, id=id, by=by or chance.choice(CASHIERS)).entries[0]
        shop.sold.append(entry)
        return entry

    def trade(
        self, shop: Shop, day: datetime, sales: int, *, until: datetime | None = None, close: bool = True
    ) -> None:
        """A day of trade, with a refund now and then; `close`: the tills close it."""
        chance = self.random
        places = sorted(9 + h + chance.random() for h in chance.choices(range(len(RUSH)), RUSH, k=sales))
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=ZONE)
        for place in places:
            at = midnight + timedelta(hours=place)
            if until is not None and at >= until:
                break
            shop.moment.ms = max(shop.moment.ms + 1, int(at.timestamp() * 1000))
            till = chance.choice((0, 0, 1))
            entry = self.sell(shop, till)
            if chance.random() < 0.03:
                body = refund_body(entry.body, entry.hash, {}, {"reason": "damaged", "lines": [{"line": 1}]})
                shop.tills[till].write("refund", body, by=entry.by)
        if close:
            shop.moment.ms = max(shop.moment.ms + 1, int((midnight + timedelta(hours=23)).timestamp() * 1000))
            for replica in shop.tills:
                replica.write("day closed", {"of_day": midnight.date().isoformat(), "vector": []}, by="Amina")
        for replica in shop.tills:
            replica.seal_soon()
            replica.tick(shop.moment.ms / 1000)
            commit(replica)

    async def bring(self, relay: Relay, shop: Shop) -> None:
        """Hand a head office what the tills wrote since it was last told."""
        branch, staged = relay.branch(shop.id), []
        if relay.engine.hub.replica(shop.id) is None:
            relay.engine.add(branch.replica)
        for n, replica in enumerate(shop.tills):
            commit(replica)
            for document in sorted(replica.documents(), key=lambda name: (name != "shop", name)):
                while rows := replica.rows(document, shop.told.get((n, document), 0), 256):
                    for row in rows:
                        staged.append(branch.replica.integrate(document, row.update, origin=replica.store_id))
                    shop.told[n, document] = rows[-1].n
        await relay.engine.durable(*(one for one in staged if one is not None))
