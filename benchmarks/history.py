"""Does a till with years of sales behind it start, and sell, like an empty one?

A shop of 1,000,000 sales over some hundred business days, written through the replica and the store as a till writes
them, many to a transaction, under a clock that is moved by hand. It is made once and kept in POSLINE_BENCH_CACHE (by
default in the temporary folder), since that takes minutes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.entries import Hand, Writer, requests
from benchmarks.figures import Answer, Figure, median, percentile, scaled
from benchmarks.wire import Wire
from examples.rig.programs import Program
from posline.storage.folder import Folder
from posline.till.opening import Clockwork, Founding, close_store, open_folder

ROUNDS = 5
SALES = 1_000_000
SALES_A_DAY = 2_000
RUNG = 300  # sales rung a round
DAY_MS = 86_400_000
OPENS_MS, GAP_MS = 6 * 3_600_000, 10_000  # a day's first sale, and the time to the next


def cache() -> Path:
    """Where the history is kept."""
    return Path(os.environ.get("POSLINE_BENCH_CACHE", Path(tempfile.gettempdir()) / "posline-bench-cache"))


def build(count: int) -> tuple[Path, float]:
    """The folder with the history, and the seconds it took to make (0 if it was there)."""
    ready = cache() / f"history-{count}"
    if ready.exists():
        return ready, 0.0
    making = cache() / f"making-{os.getpid()}"
    days = -(-count // SALES_A_DAY)
    first_ms = (int(time.time() * 1000) // DAY_MS - days - 1) * DAY_MS
    hand = Hand(first_ms)
    start = time.perf_counter()
    folder = Folder(making)
    try:
        opened = open_folder(folder, Clockwork(), Founding(shop="Bench", label="A", zone="UTC"))
        # The shop is older than this version, whose clock believes no time before its build.
        opened.replica.clock = hand.clock()
        writer = Writer(opened)
        for day in range(days):
            hand.at_ms = first_ms + (day + 1) * DAY_MS + OPENS_MS - GAP_MS

            def next_customer() -> None:
                hand.at_ms += GAP_MS

            writer.sales(min(SALES_A_DAY, count - day * SALES_A_DAY), before_each=next_customer)
        close_store(opened.store)
    finally:
        folder.close()
    making.rename(ready)
    return ready, time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a till, and a few sales."""

    ready_s: float
    memory_mib: float
    ring_us: float


async def start(data: Path) -> Start:
    """Start a till on `data` until it says ready; then ring."""
    till = Program(
        "till", "posline", ["till", "--data", str(data), "--port", "0", "--sync-port", "0", "--no-discovery"], data
    )
    begin = time.perf_counter()
    await till.start()
    ready_s = time.perf_counter() - begin
    try:
        wire = await Wire.open(till.urls["page"])
        memory_mib = till.memory_bytes() / 2**20
        times = []
        for body in itertools.islice(requests(), scaled(RUNG, 20)):
            request = wire.request("POST", "/api/sales", body)
            sent = time.perf_counter_ns()
            status, answer = await wire.send(request)
            times.append((time.perf_counter_ns() - sent) / 1000)
            assert status == 201, answer[:300]
        await wire.close()
        return Start(ready_s, memory_mib, percentile(times, 0.5))
    finally:
        await till.stop()


async def answer() -> Answer:
    """Measure."""
    count = scaled(SALES, 2 * SALES_A_DAY)
    kept, took_s = build(count)
    with tempfile.TemporaryDirectory(prefix="posline-bench-", dir=cache()) as name:
        long, empty = Path(name) / "long", Path(name) / "empty"
        shutil.copytree(kept, long)
        await start(empty)  # founds its shop, which a till does once
        rounds = [(await start(empty), await start(long)) for _ in range(ROUNDS)]
        size_mib = sum(file.stat().st_size for file in long.iterdir()) / 2**20
    found = Answer(
        f"What do {count:,} sales of history cost?",
        f"{ROUNDS} rounds, turn about: a till program with the history, and one without. From its start to its ready "
        f"line; resident memory then; and POST /api/sales, the p50 of {scaled(RUNG, 20)}.",
        [
            Figure("start", median([o.ready_s * 1000 for _, o in rounds]), "ms",
                   median([e.ready_s * 1000 for e, _ in rounds]), "empty", ""),
            Figure("memory", median([o.memory_mib for _, o in rounds]), "MiB",
                   median([e.memory_mib for e, _ in rounds]), "empty", ""),
            Figure("POST /api/sales, p50", median([o.ring_us for _, o in rounds]), "us",
                   median([e.ring_us for e, _ in rounds]), "empty", ""),
            Figure("data folder", size_mib, "MiB"),
        ],
    )  # fmt: skip
    if took_s:
        found.notes.append(f"Making the history took {took_s:,.0f} s ({count / took_s:,.0f} sales a second).")
    return found


if __name__ == "__main__":
    from benchmarks.figures import table

    print(table(asyncio.run(answer())))
