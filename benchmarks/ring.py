"""How long does a sale take, from the request to the receipt?

In process: `till.sell` against the bare commit of the same bytes: one INSERT of the entry, synchronous=FULL, WAL, the
same SQLite. Over HTTP: POST /api/sales against the same server echoing the same body. Turn about, several rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import posline
from benchmarks.entries import requests, write_now
from benchmarks.figures import Answer, Figure, median, percentile, scaled
from benchmarks.wire import Wire
from examples.rig.programs import Program
from posline.storage.connection import connect

ROUNDS = 7
SALES = 400  # a round
TOGETHER = 16  # requests in flight, for what a till can take at most


class Bare:
    """One table, one INSERT, one fsync."""

    def __init__(self, path: Path) -> None:
        self._db = connect(str(path))
        self._db.execute("CREATE TABLE sale (n INTEGER PRIMARY KEY, raw BLOB NOT NULL)")

    def commit(self, raw: bytes) -> None:
        """Returns when it is on the disk."""
        self._db.execute("INSERT INTO sale (raw) VALUES (?)", (raw,))

    def close(self) -> None:
        self._db.close()


async def in_process(folder: Path) -> tuple[list[list[float]], list[list[float]]]:
    """Rounds of bare commits and of sales, in microseconds."""
    entries = itertools.cycle(write_now(folder / "sample", scaled(2000, 100)))
    bare = Bare(folder / "bare.db")
    asked = requests()
    count = scaled(SALES, 20)
    plain: list[list[float]] = []
    rung: list[list[float]] = []
    async with posline.open_till(folder / "till", label="A") as till:
        for _ in range(ROUNDS + 1):
            times = []
            for raw in itertools.islice(entries, count):
                start = time.perf_counter_ns()
                bare.commit(raw)
                times.append((time.perf_counter_ns() - start) / 1000)
            plain.append(times)
            times = []
            for request in itertools.islice(asked, count):
                start = time.perf_counter_ns()
                await till.sell(request["lines"], id=request["id"])
                times.append((time.perf_counter_ns() - start) / 1000)
            rung.append(times)
    bare.close()
    return plain[1:], rung[1:]  # the first round warms up


async def over_http(folder: Path) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Rounds of echoes and of sales in microseconds, and of sales a second with many requests in flight."""
    till = Program(
        "till",
        "posline",
        ["till", "--data", str(folder / "served"), "--port", "0", "--sync-port", "0", "--no-discovery"],
        folder / "served",
    )
    server = Program("echo", "benchmarks.echo", [], folder / "echo")
    try:
        await asyncio.gather(till.start(), server.start())
        page = till.urls["page"]
        echo = await Wire.open(server.urls["page"])
        wires = [await Wire.open(page) for _ in range(TOGETHER)]
        asked, count = requests(), scaled(SALES, 20)
        echoed: list[list[float]] = []
        rung: list[list[float]] = []
        rates: list[float] = []
        for _ in range(ROUNDS + 1):
            batch = list(itertools.islice(asked, count))
            echoed.append(await _send(echo, [echo.request("POST", "/echo", body) for body in batch], 200))
            sales = [wires[0].request("POST", "/api/sales", body) for body in batch]
            rung.append(await _send(wires[0], sales, 201))
            more = iter([wires[0].request("POST", "/api/sales", next(asked)) for _ in range(count)])
            start = time.perf_counter()
            await asyncio.gather(*(_send(wire, more, 201) for wire in wires))
            rates.append(count / (time.perf_counter() - start))
        for wire in [echo, *wires]:
            await wire.close()
        return echoed[1:], rung[1:], rates[1:]
    finally:
        await till.stop()
        await server.stop()


async def _send(wire: Wire, prepared: Any, expected: int) -> list[float]:
    """Send requests one after the other; what each took, in microseconds."""
    times = []
    for request in prepared:
        start = time.perf_counter_ns()
        status, body = await wire.send(request)
        times.append((time.perf_counter_ns() - start) / 1000)
        assert status == expected, (status, body[:300])
    return times


def _over_rounds(rounds: list[list[float]], share: float) -> float:
    return median([percentile(times, share) for times in rounds])


async def answer() -> Answer:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="posline-bench-") as name:
        plain, rung = await in_process(Path(name))
        echoed, served, rates = await over_http(Path(name))
    count = len(plain[0])
    found = Answer(
        "How long does a sale take?",
        f"{ROUNDS} rounds of {count} real sales, turn about with the baseline; p50 and p99 of a round, median of the "
        "rounds. Bare commit: one INSERT of the same entry with `synchronous=FULL` in WAL mode. Echo: the same server "
        "answering the same body, on keep-alive.",
    )
    for share, label, goal in ((0.5, "p50", "2.4 or less"), (0.99, "p99", "")):
        bare, took = _over_rounds(plain, share), _over_rounds(rung, share)
        found.figures.append(Figure(f"`till.sell`, {label}", took, "us", bare, "bare commit", goal))
    for share, label in ((0.5, "p50"), (0.99, "p99")):
        echo, took = _over_rounds(echoed, share), _over_rounds(served, share)
        found.figures.append(Figure(f"POST /api/sales, {label}", took, "us", echo, "echo", ""))
    bare = _over_rounds(plain, 0.5)
    found.figures.append(
        Figure("POST /api/sales, p50 above the echo", _over_rounds(served, 0.5) - _over_rounds(echoed, 0.5), "us", bare,
               "bare commit"),
    )  # fmt: skip
    found.figures.append(Figure(f"sales a second with {TOGETHER} in flight", median(rates), "/s"))
    return found


if __name__ == "__main__":
    from benchmarks.figures import table

    print(table(asyncio.run(answer())))
