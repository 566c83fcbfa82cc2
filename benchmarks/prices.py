"""What do sales notice while the head office publishes a whole catalogue?

A head office and some shops with a till each, all programs of their own. Each till rings a sale now and then, and the
time to its receipt and to the head office's light are taken: first with nothing else to do, then while 50,000 products
are imported and published to all of them. It ends when all is published, or when its time is over.

python -m benchmarks.prices [--products N] [--shops N] [--seconds S]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import Answer, Figure, percentile, scaled, table
from benchmarks.search import shelf
from examples.rig.programs import Program, free_port, last_line, run

PRODUCTS, SHOPS, SECONDS, QUIET_S = 50_000, 2, 240, 60
EVERY_S = 0.1  # between two sales of a till
LOOK_S = 0.01  # between two looks for the light
LOST_S = 60.0


@dataclass
class Times:
    """Milliseconds: from the request to the receipt, and from the receipt to the head office's light."""

    receipt: list[float] = field(default_factory=list)
    light: list[float] = field(default_factory=list)


async def ring(http: httpx.AsyncClient, times: Times) -> None:
    """Sales at one till, one after the other, until cancelled."""
    line = {"sku": "TEA", "name": "Tea", "quantity": "1", "price": 25000}
    while True:
        id = str(uuid.uuid4())
        began = time.perf_counter()
        answer = await http.post("/api/sales", json={"id": id, "lines": [line]})
        answer.raise_for_status()
        stands = time.perf_counter()
        while not (await http.get(f"/api/sales/{id}")).json()["durable"]["head_office"]:
            if time.perf_counter() - stands > LOST_S:
                break
            await asyncio.sleep(LOOK_S)
        times.receipt.append((stands - began) * 1000)
        times.light.append((time.perf_counter() - stands) * 1000)
        await asyncio.sleep(EVERY_S)


async def measured(tills: list[httpx.AsyncClient], until: Any) -> Times:
    """What sales take until that is done."""
    times = Times()
    tasks = [asyncio.create_task(ring(http, times)) for http in tills]
    try:
        await until
    finally:
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found
    return times


async def status(relay: Program) -> list[dict[str, Any]]:
    """The shops, with how far each is."""
    printed = await run("posline-relay", "prices", "status", "--json", "--data", str(relay.data), expect=None)
    found: list[dict[str, Any]] = json.loads(printed)["shops"]
    return found


async def published(relay: Program, file: Path, seconds: float) -> None:
    """Import and publish; returns when every till has it, or the time is over."""
    at = ["--data", str(relay.data)]
    await run("posline-relay", "prices", "import", str(file), *at)
    await run("posline-relay", "prices", "publish", *at)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(5)
        if all(shop["version"] and not any(till["behind"] for till in shop["tills"]) for shop in await status(relay)):
            return


async def answer(products: int = 0, shops: int = SHOPS, seconds: float = 0) -> Answer:
    """Measure."""
    products, seconds = products or scaled(PRODUCTS, 500), seconds or scaled(SECONDS, 20)
    with tempfile.TemporaryDirectory(prefix="posline-bench-") as name:
        folder = Path(name)
        file = folder / "prices.csv"
        with file.open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(["sku", "name", "price", "department"])
            rows.writerows([sku, title, 100 + n, f"Aisle {n % 30}"] for n, (sku, title) in enumerate(shelf(products)))
        relay = Program(
            "relay", "posline-relay", ["serve", "--data", str(folder / "relay"), "--port", str(free_port())],
            folder / "relay",
        )  # fmt: skip
        tills = [
            Program(
                f"till {n}", "posline",
                ["till", "--data", str(folder / f"{n}"), "--shop", f"Shop {n}", "--port", "0", "--sync-port", "0",
                 "--no-discovery"], folder / f"{n}",
            )
            for n in range(shops)
        ]  # fmt: skip
        try:
            await asyncio.gather(relay.start(), *(till.start() for till in tills))
            for till in tills:
                link = last_line(await run("posline-relay", "invite", "--data", str(relay.data)))
                await run("posline", "attach", link, "--data", str(till.data))
            https = [httpx.AsyncClient(base_url=till.urls["page"], trust_env=False, timeout=30) for till in tills]
            quiet = await measured(https, asyncio.sleep(scaled(QUIET_S, 5)))
            began = time.monotonic()
            busy = await measured(https, published(relay, file, seconds))
            took = time.monotonic() - began
            done = [next((task for task in shop["tasks"]), {"written": 0}) for shop in await status(relay)]
            for http in https:
                await http.aclose()
        finally:
            await asyncio.gather(*(till.stop() for till in tills), relay.stop())
    written = sum(task["written"] for task in done)
    found = Answer(
        "What do sales notice while the head office publishes a whole catalogue?",
        f"{products:,} products to {shops} shops with a till each, for at most {seconds:.0f} s behind the import; "
        f"sales at every till, {len(quiet.light)} before and {len(busy.light)} during it. The baseline is the same "
        "with nothing published.",
    )
    told = (("receipt", quiet.receipt, busy.receipt), ("head office's light", quiet.light, busy.light))
    for what, before, during in told:
        for share, label in ((0.5, "p50"), (0.99, "p99")):
            value, baseline = percentile(during, share), percentile(before, share)
            found.figures.append(Figure(f"{what}, {label}", value, "ms", baseline, "nothing published"))
    found.figures.append(Figure("products written in shops, a second", written / took, ""))
    found.notes.append(f"{written:,} products were written in {took:.0f} s, import and all.")
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=0)
    parser.add_argument("--shops", type=int, default=SHOPS)
    parser.add_argument("--seconds", type=float, default=0)
    asked = parser.parse_args()
    print(table(asyncio.run(answer(asked.products, asked.shops, asked.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
