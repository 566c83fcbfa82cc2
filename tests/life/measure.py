"""What a till with a history is like: the real program on a copy of a folder, asked by HTTP."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from examples.rig.programs import Program

__all__ = ["Measured", "catch_up", "measure"]

STARTS, ASKED, RUNG = 3, 20, 100
SYNCED_S = 3_600.0
LOOK_S = 0.02


@dataclass(slots=True)
class Measured:
    """One till. Times are medians: from the start to the ready line in seconds, others in milliseconds."""

    start_s: float
    memory_mib: float
    memory_after_mib: float
    disk_mib: float
    ring_ms: float
    day_ms: float
    month_ms: float
    search_ms: float
    receipt_ms: float
    list_ms: float


def program(folder: Path, *more: str) -> Program:
    """`posline till` on a folder."""
    arguments = ["till", "--data", str(folder), "--port", "0", "--sync-port", "0", "--no-discovery", *more]
    return Program(folder.name, "posline", arguments, folder)


@asynccontextmanager
async def _asking(till: Program) -> Any:
    async with httpx.AsyncClient(base_url=till.urls["page"], timeout=600, trust_env=False) as http:
        yield http


async def _median_ms(count: int, ask: Callable[[], Awaitable[httpx.Response]]) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        answer = await ask()
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code < 300, answer.text
    return round(statistics.median(times), 2)


async def measure(folder: Path, day: str) -> Measured:
    """Start a till on `folder`, which is somebody else's to lose, and ask it about `day`."""
    starts = []
    till = program(folder)
    for _ in range(STARTS):
        if till.running:
            await till.stop()
        began = time.perf_counter()
        await till.start()
        starts.append(time.perf_counter() - began)
    memory = till.memory_bytes()
    try:
        async with _asking(till) as http:
            receipts = itertools.cycle(
                [s["receipt"] for s in (await http.get(f"/api/sales?day={day}&limit=50")).json()["sales"]]
            )
            sku = itertools.count(1)
            measured = Measured(
                start_s=round(statistics.median(starts), 3),
                memory_mib=round(memory / 2**20, 1),
                memory_after_mib=0.0,
                disk_mib=round(_size_bytes(folder) / 2**20, 1),
                ring_ms=await _median_ms(RUNG, lambda: http.post("/api/sales", json=_sale())),
                day_ms=await _median_ms(ASKED, lambda: http.get(f"/api/reports/day/{day}")),
                month_ms=await _median_ms(3, lambda: http.get(f"/api/reports/product?from={day[:8]}01&to={day}")),
                search_ms=await _median_ms(ASKED, lambda: http.get(f"/api/products?q=P{next(sku)}")),
                receipt_ms=await _median_ms(ASKED, lambda: http.get(f"/api/sales/{next(receipts)}")),
                list_ms=await _median_ms(ASKED, lambda: http.get(f"/api/sales?day={day}&limit=100")),
            )
            measured.memory_after_mib = round(till.memory_bytes() / 2**20, 1)
            return measured
    finally:
        await till.stop()


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _sale() -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "lines": [{"sku": "loose", "quantity": 1, "price": 150}]}


async def catch_up(whole: Path, behind: Path, days: Sequence[str]) -> float:
    """Seconds until the till in `behind`, which was off for a while or joins only now, has of `days` what `whole` has
    and each is known to hold everything of the other's; from its ready line on."""
    first = program(whole)
    await first.start()
    second = program(behind, "--peer", first.urls["sync"])
    try:
        await second.start()
        began = time.perf_counter()
        async with _asking(first) as one, _asking(second) as other:
            while time.perf_counter() - began < SYNCED_S:
                if await _all_there(one, other, days):
                    took_s = round(time.perf_counter() - began, 3)
                    sums = [(await client.get(f"/api/reports/till?to={days[-1]}")).text for client in (one, other)]
                    assert sums[0] == sums[1]
                    return took_s
                await asyncio.sleep(LOOK_S)
            raise AssertionError(f"not synced after {SYNCED_S} s")
    finally:
        await second.stop()
        await first.stop()


async def _all_there(one: httpx.AsyncClient, other: httpx.AsyncClient, days: Sequence[str]) -> bool:
    """Whether each is linked and lacks nothing of the other's, and nobody waits for a light."""
    for client in (other, one):
        status = (await client.get("/api/status")).json()
        peers = [peer for peer in status["peers"] if peer["connected"]]
        if not peers or any(peer["behind"] for peer in peers) or status["waiting"]:
            return False
    for day in days:
        here, there = [(await client.get(f"/api/reports/day/{day}")).json()["digest"] for client in (one, other)]
        if here != there:
            return False
    return True
