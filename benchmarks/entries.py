"""Real sales as entries in a till's folder, written faster than one by one: many to a transaction."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.rig.baskets import read_baskets
from posline.core.clock import Clock
from posline.core.pricing import price_sale
from posline.storage.folder import Folder
from posline.till.opening import Clockwork, Founding, Opened, close_store, open_folder

BATCH = 256  # entries in a transaction


def requests() -> Iterator[dict[str, Any]]:
    """POST /api/sales bodies: the real baskets over and over, each time with fresh ids."""
    baskets = read_baskets()
    for basket in itertools.cycle(baskets):
        yield {"id": str(uuid.uuid4()), "lines": list(basket.lines), "by": "bench"}


@dataclass
class Hand:
    """A clock that is moved by hand."""

    at_ms: int

    def clock(self) -> Clock:
        """Time as this hand points, believed whatever it is."""

        def now() -> int:
            return self.at_ms

        return Clock(wall_ms=now, monotonic_ms=now, synchronised=lambda: True, floor_ms=0, last_own_ms=None)


@dataclass
class Writer:
    """Writes sales into an open folder."""

    opened: Opened
    written: list[bytes] = field(default_factory=list)  # the sales' entries, where they are wanted
    _bodies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bodies = [
            price_sale({"id": str(uuid.UUID(int=1)), "lines": list(basket.lines)}, lambda sku: None).body()
            for basket in read_baskets()
        ]

    def sales(self, count: int, *, before_each: Callable[[], None] | None = None, keep: bool = False) -> None:
        """Write `count` of them."""
        replica = self.opened.replica
        for number in range(count):
            if before_each is not None:
                before_each()
            staged = replica.write("sale", self._bodies[number % len(self._bodies)], by="bench")
            if keep:
                self.written.append(staged.entries[0].raw)
            if len(replica.staged) >= BATCH:
                self.commit()
        self.commit()

    def commit(self) -> None:
        """Write what is staged."""
        batch = list(self.opened.replica.staged)
        if batch:
            self.opened.replica.release(batch, self.opened.store.commit(batch))


def write_now(folder: Path, count: int) -> list[bytes]:
    """Add `count` sales of now to a till's folder, and return their entries."""
    held = Folder(folder)
    try:
        opened = open_folder(held, Clockwork(), Founding(shop="Bench", label="A"))
        writer = Writer(opened)
        writer.sales(count, keep=True)
        close_store(opened.store)
        return writer.written
    finally:
        held.close()
