"""Sales of a till that is linked with nobody: `python -m tests.network.backlog FOLDER COUNT`.

Rings that many real baskets through the Python API, many at a time and so many a day as a busy shop has, on a clock
that runs ahead; and prints as JSON what was acknowledged and how
many bytes the sales' entries take under zstd -3 in pieces of 64 KiB (0 where zstandard is not installed).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
import uuid
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import posline
from examples.rig.baskets import read_baskets
from posline.till.opening import Clockwork

__all__ = ["Backlog"]

AT_ONCE = 64
A_DAY = 2000
DAY_MS = 86_400_000
PIECE_BYTES = 65536
ZSTD_LEVEL = 3


@dataclass
class Backlog:
    """What was rung."""

    confirmed: dict[str, int] = field(default_factory=dict)  # id -> total, in the order of the answers
    days: list[str] = field(default_factory=list)
    raw_bytes: int = 0
    zstd_bytes: int = 0


async def ring(folder: Path, count: int) -> Backlog:
    """Ring `count` sales."""
    found, baskets = Backlog(), read_baskets()
    numbers = iter(range(count))

    def wall_ms() -> int:
        return time.time_ns() // 1_000_000 + len(found.confirmed) // A_DAY * DAY_MS

    async def some(till: posline.Till) -> None:
        for number in numbers:
            basket = baskets[number % len(baskets)]
            sale = await till.sell(basket.lines, id=str(uuid.uuid4()), by="backlog")
            assert sale.total == basket.total
            found.confirmed[str(sale.id)] = sale.total
            if sale.day not in found.days:
                found.days.append(sale.day)

    async with posline.open_till(folder, clockwork=Clockwork(wall_ms=wall_ms)) as till, asyncio.TaskGroup() as cashiers:
        for _ in range(AT_ONCE):
            cashiers.create_task(some(till))
    return found


def weigh(folder: Path, found: Backlog) -> None:
    """Add the sizes of the entries of all sales in the folder, in the order in which they were written."""
    path = next(path for path in folder.iterdir() if path.suffix == ".db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        raw = [row[0] for row in database.execute("SELECT raw FROM entry WHERE kind = 'sale' ORDER BY n")]
    assert len(raw) == len(found.confirmed)
    whole = b"\n".join(raw)
    found.raw_bytes = len(whole)
    try:
        from zstandard import ZstdCompressor
    except ImportError:
        return
    pieces = (whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES))
    found.zstd_bytes = sum(len(ZstdCompressor(ZSTD_LEVEL).compress(piece)) for piece in pieces)


if __name__ == "__main__":
    made = asyncio.run(ring(Path(sys.argv[1]), int(sys.argv[2])))
    weigh(Path(sys.argv[1]), made)
    print(json.dumps(asdict(made)))
