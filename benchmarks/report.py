"""What does a report over a busy day cost?

A till's folder with 10,000 real baskets on one business day, opened as the programs open it. Each summary, the day
report beside it, and as the baseline the least that any of them could cost: reading the day's entries and their JSON.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.entries import write_now
from benchmarks.figures import Answer, Figure, median, scaled
from posline.till.till import open_till

SALES = 10_000
ROUNDS = 5
BY = ("product", "department", "cashier", "hour", "tender", "tax", "till")


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


async def answer() -> Answer:
    """Measure."""
    count = scaled(SALES, 200)
    with tempfile.TemporaryDirectory(prefix="posline-bench-") as name:
        folder = Path(name) / "till"
        write_now(folder, count)
        async with open_till(folder, read_only=True) as till:
            (day,) = till.reports.days()
            key = till.store.shop_key(till.shop_id)

            def parse() -> list[object]:
                rows = till.store.read.execute("SELECT raw FROM entry WHERE shop = ? AND day = ?", (key, day))
                return [json.loads(raw) for (raw,) in rows]

            works: dict[str, Callable[[], object]] = {"day report": lambda: till.day_report(day)}
            for by in BY:
                works[f"by {by}"] = lambda by=by: till.reports.summary(by, day, day)  # type: ignore[misc]
            times: dict[str, list[float]] = {what: [] for what in works}
            least: list[float] = []
            for _ in range(ROUNDS):
                least.append(timed(parse))
                for what, work in works.items():
                    times[what].append(timed(work))
    return Answer(
        f"What does a report over {count:,} sales of one day cost?",
        f"{ROUNDS} rounds, turn about, in one process. Baseline: reading the day's entries and parsing their JSON with "
        "Python's own json.",
        [Figure(what, median(found), "ms", median(least), "reading alone", "") for what, found in times.items()],
    )


if __name__ == "__main__":
    from benchmarks.figures import table

    print(table(asyncio.run(answer())))
