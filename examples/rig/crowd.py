"""Many shops in one process: tills that hold everything in memory and link to a head office over real sockets.

What a head office sees of them is what it sees of real ones: handshakes, catch-up, one update a sale, each answered.
They are tills without a page, a disk or a cable to each other, so thousands fit into one machine.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from posline.core.base64url import base64url
from posline.core.clock import Clock
from posline.replica import Replica, found
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.engine import Engine
from posline.till.asking import AskFailed, ask_first
from posline.trust.doors import MemberDoors
from posline.trust.keys import Key

__all__ = ["Crowd", "CrowdShop", "CrowdTill"]

SEED_BYTES = 32
ATTACHED_S = 60.0  # until somebody takes a shop
PRICES = (4500, 12000, 18500, 25000, 99900)


class _Counting(Replica):
    """Notes when the head office says that it holds what was written here."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.rung: dict[tuple[int, int], tuple[float, str]] = {}  # (run, seq) -> when, the sale's id
        self.held: list[tuple[float, str]] = []  # seconds until the head office held it, the sale's id
        self.office = ""

    def heard_have(self, store_id: str, marks: Sequence[Mark]) -> None:
        super().heard_have(store_id, marks)
        if store_id != self.office or self.author is None:
            return
        now = time.monotonic()
        for mark in marks:
            if mark.author == self.author.id:
                for place in [p for p in self.rung if p[0] == mark.run and p[1] <= mark.seq]:
                    rung_s, id = self.rung.pop(place)
                    self.held.append((now - rung_s, id))


class CrowdTill:
    """One till."""

    def __init__(self, replica: _Counting, key: Key) -> None:
        self.replica, self.key = replica, key
        self.engine = Engine(replica.store)
        self.engine.add(replica)

    @property
    def reports(self) -> Reports:
        """What its ledger answers."""
        return Reports(self.replica.store, self.replica.shop, here=self.key.id)

    @property
    def linked(self) -> bool:
        """Whether it has a link to the head office."""
        return self.engine.hub.linked(self.replica.shop, self.replica.office)

    async def start(self, office: str, urls: Callable[[], Sequence[str]]) -> None:
        """Link to the head office of this id, at one of these addresses."""
        self.replica.office = office
        doors = MemberDoors(
            self.replica.shop,
            key=lambda: self.key,
            authority=lambda: self.replica.store.authority(self.replica.shop),
            acts=lambda: self.replica.store.acts(self.replica.shop),
            programs=lambda token: None,
        )
        await self.engine.start()
        self.engine.dial_member(self.replica.shop, office, urls, doors, lambda url, worked: None)

    async def sell(self, rng: random.Random) -> str:
        """Ring a sale of a few things; its id once it is committed here."""
        things = [
            (rng.randrange(5000), rng.randrange(1, 4), rng.choice(PRICES)) for _ in range(rng.choice((1, 1, 2, 3, 5)))
        ]
        lines = [{"sku": f"S{sku}", "quantity": str(count), "price": price} for sku, count, price in things]
        total = sum(count * price for _, count, price in things)
        id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        staged = self.replica.write("sale", {"lines": lines, "total": total}, id=id)
        entry = staged.entries[0]
        self.replica.rung[entry.run, entry.seq] = time.monotonic(), id
        await self.engine.durable(staged)
        return id

    async def stop(self) -> None:
        """End its link."""
        await self.engine.stop()


@dataclass
class CrowdShop:
    """A shop and its tills."""

    name: str
    tills: list[CrowdTill] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The shop's id."""
        return self.tills[0].replica.shop


class Crowd:
    """Shops that were founded here, each with its tills, known to a head office."""

    def __init__(self, shops: int, tills: int, *, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.shops = [self._shop(f"Shop {n:04d}", tills) for n in range(1, shops + 1)]

    @property
    def tills(self) -> list[CrowdTill]:
        """All tills of all shops."""
        return [till for shop in self.shops for till in shop.tills]

    def _key(self) -> Key:
        return Key(self.random.randbytes(SEED_BYTES))

    def _shop(self, name: str, tills: int) -> CrowdShop:
        key, recovery = self._key(), self._key()
        store = Store.open(":memory:")
        first = found(
            store, author=key, public_key=base64url(key.public), recovery_key=base64url(recovery.public),
            clock=_clock(), random=random.Random(self.random.getrandbits(64)), name=name, currency="PKR",
            zone="Asia/Karachi", monotonic_ms=_monotonic_ms,
        )  # fmt: skip
        _commit(first)
        founder = self._replica(store, first.shop, key)
        shop = CrowdShop(name, [CrowdTill(founder, key)])
        for n in range(1, tills):
            other = self._key()
            label = chr(ord("A") + n)
            fields = {"key": base64url(other.public), "member": other.id, "label": label, "role": "manager"}
            founder.write("member", fields, document="shop")
            _commit(founder)
            shop.tills.append(CrowdTill(self._replica(Store.open(":memory:"), first.shop, other), other))
        return shop

    def _replica(self, store: Store, shop: str, key: Key) -> _Counting:
        return _Counting(
            store, shop, author=key, clock=_clock(), random=random.Random(self.random.getrandbits(64)), documents=True,
            monotonic_ms=_monotonic_ms,
        )  # fmt: skip

    def admit(self, office: bytes, office_id: str) -> None:
        """Make the head office with this public key a member of each shop, and tell each till who is one."""
        for shop in self.shops:
            founder = shop.tills[0].replica
            fields = {"key": base64url(office), "member": office_id, "label": "HQ", "role": "head office"}
            founder.write("member", fields, document="shop")
            _commit(founder)
            for till in shop.tills[1:]:
                for update in _updates(founder):
                    till.replica.integrate("shop", update, origin=founder.store_id)
                _commit(till.replica)

    async def attach(self, shop: CrowdShop, urls: Sequence[str], token: str) -> None:
        """Have a head office take a shop, by an invitation's token."""
        updates = [base64url(update) for update in _updates(shop.tills[0].replica)]
        question = {"token": token, "shop": shop.id, "name": shop.name, "updates": updates}
        async with asyncio.timeout(ATTACHED_S):
            while True:
                try:
                    await ask_first(list(urls), "", question)
                    return
                except AskFailed:
                    await asyncio.sleep(0.2)  # a process that is just being started

    async def stop(self) -> None:
        """End all links."""
        await asyncio.gather(*(till.stop() for till in self.tills))


def _clock() -> Clock:
    return Clock(
        wall_ms=lambda: time.time_ns() // 1_000_000, monotonic_ms=_monotonic_ms, synchronised=lambda: True,
        floor_ms=0, last_own_ms=None,
    )  # fmt: skip


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _commit(replica: Replica) -> None:
    batch = list(replica.staged)
    replica.release(batch, replica.store.commit(batch))


def _updates(replica: Replica) -> list[bytes]:
    return [row.update for row in replica.rows("shop", 0, 10_000)]
