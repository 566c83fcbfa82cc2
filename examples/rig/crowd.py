"""Many shops in one process: tills that hold everything in memory and link to a head office over real sockets.

What a head office sees of them is what it sees of real ones: handshakes, catch-up, one update a sale, each answered.
They are tills without a page, a disk or a cable to each other, so thousands fit into one machine: the n-th tills of all
shops lie in one store and one engine, a lane.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from posline.core.base64url import base64url, from_base64url
from posline.core.clock import Clock
from posline.replica import Replica, found
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.engine import Engine
from posline.till.asking import AskFailed, ask_first
from posline.trust.doors import MemberDoors
from posline.trust.keys import Key

__all__ = ["Crowd", "CrowdShop", "CrowdTill", "commit", "updates_of"]

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
        self._heard = asyncio.Event()

    async def wait_held(self, seconds: float) -> None:
        """Return when the head office holds all that was written here, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                while self.rung:
                    self._heard.clear()
                    await self._heard.wait()

    def heard_have(self, store_id: str, marks: Sequence[Mark]) -> None:
        super().heard_have(store_id, marks)
        if store_id == self.office:
            self._note(marks)

    def equal_with(self, store_id: str) -> None:
        super().equal_with(store_id)
        if store_id == self.office:
            self._note(self.store.all_marks(self.shop, unless=""))

    def _note(self, marks: Iterable[Mark]) -> None:
        """The head office holds runs that far."""
        now = time.monotonic()
        for mark in marks:
            if self.author is not None and mark.author == self.author.id:
                for place in [p for p in self.rung if p[0] == mark.run and p[1] <= mark.seq]:
                    rung_s, id = self.rung.pop(place)
                    self.held.append((now - rung_s, id))
        self._heard.set()


class CrowdTill:
    """One till."""

    def __init__(self, replica: _Counting, key: Key, lane: Engine) -> None:
        self.replica, self.key, self.engine = replica, key, lane
        lane.add(replica)

    @property
    def reports(self) -> Reports:
        """What its ledger answers."""
        return Reports(self.replica.store, self.replica.shop, here=self.key.id)

    @property
    def linked(self) -> bool:
        """Whether it has a link to the head office."""
        return self.engine.hub.linked(self.replica.shop, self.replica.office)

    def start(self, office: str, urls: Callable[[], Sequence[str]]) -> None:
        """Link to the head office of this id, at one of these addresses."""
        self.replica.office = office
        doors = MemberDoors(
            self.replica.shop,
            key=lambda: self.key,
            authority=lambda: self.replica.store.authority(self.replica.shop),
            acts=lambda: self.replica.store.acts(self.replica.shop),
            programs=lambda token: None,
        )
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
        self.lanes = [Engine(Store.open(":memory:")) for _ in range(tills)]
        self.shops = [self._shop(f"Shop {n:04d}", tills) for n in range(1, shops + 1)]

    @property
    def tills(self) -> list[CrowdTill]:
        """All tills of all shops."""
        return [till for shop in self.shops for till in shop.tills]

    def _key(self) -> Key:
        return Key(self.random.randbytes(SEED_BYTES))

    def _shop(self, name: str, tills: int) -> CrowdShop:
        key, recovery = self._key(), self._key()
        first = found(
            self.lanes[0].store, author=key, public_key=base64url(key.public), recovery_key=base64url(recovery.public),
            clock=_clock(), random=random.Random(self.random.getrandbits(64)), name=name, currency="PKR",
            zone="Asia/Karachi", monotonic_ms=_monotonic_ms,
        )  # fmt: skip
        commit(first)
        founder = self._replica(self.lanes[0], first.shop, key)
        shop = CrowdShop(name, [CrowdTill(founder, key, self.lanes[0])])
        for n in range(1, tills):
            other = self._key()
            label = chr(ord("A") + n)
            fields = {"key": base64url(other.public), "member": other.id, "label": label, "role": "manager"}
            founder.write("member", fields, document="shop")
            commit(founder)
            lane = self.lanes[n]
            shop.tills.append(CrowdTill(self._replica(lane, first.shop, other), other, lane))
        return shop

    def _replica(self, lane: Engine, shop: str, key: Key) -> _Counting:
        return _Counting(
            lane.store, shop, author=key, clock=_clock(), documents=True,
            random=random.Random(self.random.getrandbits(64)),
            monotonic_ms=_monotonic_ms,
        )  # fmt: skip

    def admit(self, office: bytes, office_id: str) -> None:
        """Make the head office with this public key a member of each shop, and tell each till who is one."""
        for shop in self.shops:
            founder = shop.tills[0].replica
            fields = {"key": base64url(office), "member": office_id, "label": "HQ", "role": "head office"}
            founder.write("member", fields, document="shop")
            commit(founder)
            for till in shop.tills[1:]:
                for update in updates_of(founder):
                    till.replica.integrate("shop", update, origin=founder.store_id)
                commit(till.replica)

    async def attach(self, shop: CrowdShop, urls: Sequence[str], token: str) -> bytes:
        """Have a head office take a shop, by an invitation's token; its public key."""
        updates = [base64url(update) for update in updates_of(shop.tills[0].replica)]
        question = {"token": token, "shop": shop.id, "name": shop.name, "updates": updates}
        async with asyncio.timeout(ATTACHED_S):
            while True:
                try:
                    _, answer = await ask_first(list(urls), "", question)
                    return from_base64url(str(answer["key"]))
                except AskFailed:
                    await asyncio.sleep(0.2)  # a process that is just being started

    async def start(self) -> None:
        """Begin to commit; each till is started by itself."""
        for lane in self.lanes:
            await lane.start()

    async def stop(self) -> None:
        """End all links."""
        await asyncio.gather(*(lane.stop() for lane in self.lanes))


def _clock() -> Clock:
    return Clock(
        wall_ms=lambda: time.time_ns() // 1_000_000, monotonic_ms=_monotonic_ms, synchronised=lambda: True,
        floor_ms=0, last_own_ms=None,
    )  # fmt: skip


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def commit(replica: Replica) -> None:
    """Commit and release what a replica in memory has staged."""
    batch = list(replica.staged)
    replica.release(batch, replica.store.commit(batch))


def updates_of(replica: Replica) -> list[bytes]:
    """What it holds of the shop's document."""
    return [row.update for row in replica.rows("shop", 0, 10_000)]
