"""Sales of a till that is linked with nobody: rung many at a time through the Python API, and what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from pathlib import Path

from posline.till.till import open_till

__all__ = ["main"]

AT_ONCE = 64


async def ring(folder: Path, count: int, seed: str) -> dict[str, list[int]]:
    """Ring `count` sales of one line; {id: [price, quantity]} of each, as it was acknowledged."""
    rng, rung = random.Random(seed), dict[str, list[int]]()
    asked = iter(range(count))

    async def some() -> None:
        for _ in asked:
            id, price, quantity = str(uuid.UUID(int=rng.getrandbits(128), version=4)), rng.randrange(1, 9999), 1
            sale = await till.sell([{"sku": "loose", "quantity": quantity, "price": price}], id=id)
            assert sale.total == price * quantity
            rung[id] = [price, quantity]

    async with open_till(folder) as till, asyncio.TaskGroup() as cashiers:
        for _ in range(AT_ONCE):
            cashiers.create_task(some())
    return rung


def main() -> None:
    """COUNT SEED --data FOLDER."""
    count, seed, _, folder = sys.argv[1:]
    print(json.dumps(asyncio.run(ring(Path(folder), int(count), seed))))
