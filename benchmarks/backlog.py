"""How fast does a till that was cut off hand its backlog to the head office, and in how many bytes?

A till and a relay as programs of their own, a real websocket between them through a counting line. The till holds
10,000 real sales when the line comes up. Baselines of the same round: the same entries loaded into SQLite in bulk, 256
to a transaction with `synchronous=FULL`; and the same entries under zstd -3 in pieces of 64 KiB.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import zstandard

from benchmarks.entries import BATCH, write_now
from benchmarks.figures import Answer, Figure, median, scaled
from benchmarks.wire import Wire
from examples.rig.lines import Line
from examples.rig.programs import Program, endpoint, last_line, run
from posline.storage.connection import connect

ROUNDS = 3
SALES = 10_000
PIECE_BYTES = 65536
ZSTD_LEVEL = 3
POLL_S = 0.005
WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Round:
    """One round's figures; the sizes are bytes a sale."""

    synced_s: float
    carried: float
    back: float
    loaded_s: float
    zstd: float
    raw: float


async def hand_over(folder: Path, count: int) -> tuple[float, float, float, list[bytes]]:
    """Seconds, bytes to the relay a sale, bytes back a sale, and the entries."""
    line = Line("internet")
    await line.open()
    serve = ["serve", "--data", str(folder / "relay"), "--port", "0", "--own-certificate", "--address", line.address]
    relay = Program("relay", "posline-relay", serve, folder / "relay")
    till = Program(
        "till",
        "posline",
        [
            "till",
            "--data",
            str(folder / "till"),
            "--port",
            "0",
            "--sync-port",
            "0",
            "--host",
            "127.0.0.1",
            "--no-discovery",
        ],
        folder / "till",
    )
    try:
        await asyncio.gather(relay.start(), till.start())
        line.target = endpoint(relay.urls["page"])
        link = last_line(await run("posline-relay", "invite", "--data", str(relay.data)))
        await run("posline", "attach", link, "--data", str(till.data))
        await till.stop()
        entries = write_now(till.data, count)
        await line.cut()
        await till.start()
        wire = await Wire.open(till.urls["page"])
        assert (await wire.get("/api/status"))["waiting"] >= count
        line.reset_count()
        line.heal()
        limit_s = time.monotonic() + WITHIN_S
        while not line.bytes_there:
            assert time.monotonic() < limit_s, "the till did not redial"
            await asyncio.sleep(POLL_S)
        start_s = time.monotonic()
        while (await wire.get("/api/status"))["waiting"]:
            assert time.monotonic() < limit_s, "the backlog did not arrive"
            await asyncio.sleep(POLL_S)
        took_s = time.monotonic() - start_s
        await wire.close()
        return took_s, line.bytes_there / count, line.bytes_back / count, entries
    finally:
        await till.stop()
        await relay.stop()
        await line.close()


def bulk_load(path: Path, entries: list[bytes]) -> float:
    """Seconds to put the entries and their hashes into SQLite."""
    database = connect(str(path))
    database.execute("CREATE TABLE entry (n INTEGER PRIMARY KEY, hash BLOB NOT NULL, raw BLOB NOT NULL)")
    start = time.perf_counter()
    for first in range(0, len(entries), BATCH):
        database.execute("BEGIN")
        rows = [(hashlib.sha256(raw).digest(), raw) for raw in entries[first : first + BATCH]]
        database.executemany("INSERT INTO entry (hash, raw) VALUES (?, ?)", rows)
        database.execute("COMMIT")
    took_s = time.perf_counter() - start
    database.close()
    return took_s


def zstd_bytes(entries: list[bytes]) -> int:
    """The entries, one a line, compressed in pieces."""
    whole = b"\n".join(entries)
    pieces = (whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES))
    return sum(len(zstandard.ZstdCompressor(ZSTD_LEVEL).compress(piece)) for piece in pieces)


async def measure(folder: Path, count: int) -> Round:
    """One round."""
    synced_s, there, back, entries = await hand_over(folder, count)
    loaded_s = bulk_load(folder / "bulk.db", entries)
    return Round(synced_s, there, back, loaded_s, zstd_bytes(entries) / count, sum(map(len, entries)) / count)


async def answer() -> Answer:
    """Measure."""
    count, rounds = scaled(SALES, 300), []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="posline-bench-") as name:
            rounds.append(await measure(Path(name), count))
    rate = median([count / r.synced_s for r in rounds])
    bulk = median([count / r.loaded_s for r in rounds])
    return Answer(
        f"How fast do {count:,} sales reach the head office?",
        f"{ROUNDS} rounds of real sales (10 lines each on average), two programs and a real websocket through a proxy "
        "that counts; from the first byte on the line until the till knows that the relay holds everything on disk. "
        f"Bytes are those of the TCP connection, compressed as sent. zstd -{ZSTD_LEVEL}: the same entries in 64 KiB "
        f"pieces. Bulk load: the same entries and hashes into a bare SQLite table, {BATCH} to a transaction.",
        [
            Figure("sales a second", rate, "/s", bulk, "bulk load", "40,000/s"),
            Figure(
                "bytes a sale to the relay",
                median([r.carried for r in rounds]),
                "B",
                median([r.zstd for r in rounds]),
                f"zstd -{ZSTD_LEVEL}",
                "1.2 or less",
            ),
            Figure("bytes a sale back (acknowledgements)", median([r.back for r in rounds]), "B"),
            Figure("bytes a sale as written", median([r.raw for r in rounds]), "B"),
        ],
    )


if __name__ == "__main__":
    from benchmarks.figures import table

    print(table(asyncio.run(answer())))
