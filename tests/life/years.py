"""A busy shop's years in an hour: five tills on real folders, a clock that is moved by hand, and lines in memory.

What the tills write, how they sign, sync, close their shifts and join the rows of their logs is the product's own code.
Two things are not as in life: some sales of a till share a commit, and the disk is not waited for (`synchronous=OFF`),
since what is looked at is how large and how slow things become, and not whether they survive.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from examples.rig.baskets import read_baskets
from posline.core.clock import Clock
from posline.core.pricing import Terms, price_sale
from posline.core.refunding import refund_body
from posline.storage.folder import Folder
from posline.storage.shifts import TillShifts
from posline.sync.hub import Hub
from posline.sync.link import Link
from posline.till.opening import Clockwork, Opened, close_store, open_folder
from posline.till.till import open_till
from posline.trust.gate import TokenGate
from tests.till.shop import invited

__all__ = ["NEWCOMER", "OPENS_MS", "Life", "Till"]

DAY_MS = 86_400_000
OPENS_MS, OPEN_MS = 4 * 3_600_000, 13 * 3_600_000  # 9 in the morning in Karachi, and how long the shop is open
TOGETHER = 40  # sales of a till in a commit
PRICES_A_DAY, PRODUCTS = 20, 2_000
NEWCOMER = "newcomer"  # was admitted at the beginning, and has never been on
TOKEN = "between these tills"
SQUASH_AFTER_ROWS = 256  # as the engine does at idle


@dataclass(eq=False)
class Till:
    """A till that is open."""

    folder: Folder
    opened: Opened
    hub: Hub

    @property
    def name(self) -> str:
        return self.folder.path.name


@dataclass(eq=False)
class Line:
    """Two links that are joined. `carried` counts what went over it, in bytes and messages."""

    ends: tuple[Till, Till]
    links: tuple[Link, Link]
    carried: list[int] = field(default_factory=lambda: [0, 0])


class Life:
    """The shop. Its first day is so chosen that its last one was yesterday."""

    def __init__(self, folder: Path, *, tills: int, days: int, sales_a_day: int, seed: int = 1) -> None:
        self.folder, self.days, self.sales_a_day = folder, days, sales_a_day
        self.random = random.Random(seed)
        self.first = date.fromtimestamp(time.time()) - timedelta(days=days)  # noqa: DTZ012  # yesterday, wherever we are
        self.first_ms = (int(time.time() * 1000) // DAY_MS - days) * DAY_MS
        self.wall_ms = self.first_ms + OPENS_MS
        self.today = 0
        self.sales = 0
        self.total = 0
        self.carried = [0, 0]
        self.lines: list[Line] = []
        self.tills: list[Till] = []
        self.names = [f"till{number}" for number in range(tills)]
        self.squashed: dict[tuple[str, str], int] = {}  # till and document -> row, over all its starts
        self._bodies = [
            price_sale({"id": str(uuid.UUID(int=1)), "lines": list(basket.lines)}, lambda sku: None, Terms()).body()
            for basket in read_baskets()
        ]
        asyncio.run(self._found())
        self.open()

    async def _found(self) -> None:
        """The first till founds the shop and admits the others, as the commands do it."""
        async with open_till(self.folder / self.names[0], shop="Years", zone="UTC", day_start="00:00") as first:
            for name in [*self.names[1:], NEWCOMER]:
                await invited(first, self.folder / name)

    # -- processes -----------------------------------------------------------------------------------------------------

    def _clock(self) -> Clock:
        """Believed whatever it says: the shop is older than this version, which knows no time before its build."""
        return Clock(wall_ms=lambda: self.wall_ms, monotonic_ms=lambda: self.wall_ms, synchronised=lambda: True,
                     floor_ms=0, last_own_ms=None)  # fmt: skip

    def open(self) -> None:
        """Every till starts, and all are linked with all."""
        for name in self.names:
            folder = Folder(self.folder / name)
            opened = open_folder(folder, Clockwork(), None)
            opened.store._db.execute("PRAGMA synchronous=OFF")
            opened.replica.clock = self._clock()
            hub = Hub(random=random.Random(f"{name} {self.today}"), kind="till")
            hub.add(opened.replica)
            opened.replica.begin()
            self.tills.append(Till(folder, opened, hub))
        for number, one in enumerate(self.tills):
            for other in self.tills[number + 1 :]:
                self.link(one, other)
        self.settle()

    def close(self) -> None:
        """A clean stop of all: sealed, committed, closed."""
        for till in self.tills:
            till.opened.replica.tick(self._now_s)
            till.opened.replica.seal_soon()
            till.opened.replica.tick(self._now_s)
        self.settle()
        for till in self.tills:
            self.squash(till, everything=True)
            close_store(till.opened.store)
            till.folder.close()
        self.tills, self.lines = [], []

    def link(self, one: Till, other: Till) -> Line:
        """A line comes up."""
        gate, shop = TokenGate(TOKEN), one.opened.replica.shop
        links = (one.hub.connect(shop, gate, dialling=True, now=self._now_s),
                 other.hub.connect(shop, gate, dialling=False, now=self._now_s))  # fmt: skip
        self.lines.append(Line((one, other), links))
        return self.lines[-1]

    def cut(self, line: Line) -> None:
        """A line breaks."""
        self.lines.remove(line)
        for till, link in zip(line.ends, line.links, strict=True):
            till.hub.disconnect(link, self._now_s)

    @property
    def _now_s(self) -> float:
        return (self.wall_ms - self.first_ms) / 1000

    # -- what goes on --------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Commit what is staged and carry what is to be sent, until nothing moves."""
        moved = True
        while moved:
            moved = False
            for till in self.tills:
                replica = till.opened.replica
                while replica.staged:
                    moved = True
                    batch = replica.staged[:256]
                    commit = till.opened.store.commit(batch)
                    replica.release(batch, commit)
                    till.hub.released(batch, commit)
            for line in self.lines:
                for way in (0, 1):
                    moved |= self._carry(line, way)

    def _carry(self, line: Line, way: int) -> bool:
        source, sink, till = line.links[way], line.links[1 - way], line.ends[1 - way]
        moved = False
        while not sink.crowded and (message := source.take()) is not None:
            moved = True
            for count in (line.carried, self.carried):
                count[0] += len(message)
                count[1] += 1
            till.hub.received(sink, message, self._now_s)
        assert source.closing is None, source.closing
        return moved

    def pass_s(self, seconds: float) -> None:
        """Time goes by, in steps in which no line is given up."""
        while seconds > 0:
            step = min(seconds, 0.4)
            seconds -= step
            self.wall_ms += round(step * 1000)
            for till in self.tills:
                till.hub.tick(self._now_s)
            self.settle()
        for till in self.tills:
            till.opened.replica.tick(self._now_s)
        self.settle()

    def squash(self, till: Till, *, everything: bool = False) -> None:
        """Join rows of the log, as the engine does when a till is idle."""
        replica = till.opened.replica
        for document in replica.documents():
            n = till.opened.store.head(replica.shop, document).n
            after = self.squashed.get((till.name, document), 0)
            if n - after >= SQUASH_AFTER_ROWS or (everything and n > after):
                while last := till.opened.store.squash(replica.shop, document, after=after):
                    self.squashed[till.name, document], after = after, last

    def live(self, days: int) -> None:
        """So many business days."""
        for _ in range(days):
            self._day()

    def _day(self) -> None:
        self.wall_ms = self.first_ms + self.today * DAY_MS + OPENS_MS
        self.pass_s(2.0)  # lines that nobody heard anything on over night say something
        for till in self.tills:
            till.opened.replica.write("shift opened", {"float": 5_000}, by=till.name)
        self._prices()
        self.settle()
        each = self.sales_a_day // len(self.tills)
        rounds = max(1, each // TOGETHER)
        for number in range(rounds):
            self.wall_ms = self.first_ms + self.today * DAY_MS + OPENS_MS + number * (OPEN_MS // rounds)
            for till in self.tills:
                for _ in range(min(TOGETHER, each)):
                    self._customer(till)
            self.settle()
            if number % 25 == 24:
                self.pass_s(1.2)
        self._evening()
        self.today += 1

    def _prices(self) -> None:
        """The owner changes some prices."""
        products = [
            {"sku": f"P{self.random.randrange(PRODUCTS)}", "name": "Something that is sold", "price": price}
            for price in self.random.sample(range(100, 9_000), PRICES_A_DAY)
        ]
        self.tills[0].opened.replica.write("products", {"products": products}, document="catalog/1", by="owner")

    def _customer(self, till: Till) -> None:
        body = self.random.choice(self._bodies)
        self.wall_ms += 50
        staged = till.opened.replica.write("sale", body, by=till.name)
        self.sales += 1
        self.total += int(body["total"])
        if self.random.random() < 0.01:
            sold = staged.entries[0]
            back = refund_body(sold.body, sold.hash, {}, {"id": sold.id, "reason": "torn"})
            till.opened.replica.write("refund", back, by=till.name)

    def _evening(self) -> None:
        """Everybody counts and closes."""
        for till in self.tills:
            replica = till.opened.replica
            shifts = TillShifts(till.opened.store, replica.shop, replica.store_id)
            fields = shifts.closing([], {"cash": 0})
            assert fields is not None
            replica.write("shift closed", fields, by=till.name)
            reading = self._clock().now()
            for day in shifts.unclosed(replica.day(reading.at_ms)):
                replica.write("day closed", {"of_day": day, "vector": shifts.vector(day, list(replica.staged))})
        self.settle()
        self.pass_s(1.2)
        for till in self.tills:
            self.squash(till)

    # -- looking -------------------------------------------------------------------------------------------------------

    def roots(self) -> set[str]:
        """The digests over everything: one, where all hold the same."""
        return {till.opened.replica.root() for till in self.tills}

    def reconnect(self) -> tuple[int, int]:
        """Bytes and messages until two tills that were cut off, with nothing new, know that."""
        line = self.lines[0]
        ends = line.ends
        self.cut(line)
        line = self.link(*ends)
        self.settle()
        return line.carried[0], line.carried[1]

    def day_of(self, number: int) -> str:
        """The name of a business day."""
        return time.strftime("%Y-%m-%d", time.gmtime((self.first_ms + number * DAY_MS + OPENS_MS) / 1000))

    def copy(self, name: str, target: Path) -> Path:
        """A copy of a closed till's folder."""
        shutil.copytree(self.folder / name, target, ignore=shutil.ignore_patterns("lock", "local.json"))
        return target
