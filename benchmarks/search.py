"""How long does a search take while somebody types, and what does a large catalogue cost a till?

A till with 50,000 products: the real ones of examples/data, then variants of them. Each beginning of a product's name
that somebody would type on the way to it, up to twelve letters, and words that no product has. The baseline is what a
till without an index does: one LIKE over the names in a plain table of the same products.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Answer, Figure, median, percentile, scaled
from examples.rig.programs import Program
from posline.till.commands import COMMANDS
from posline.till.till import open_till

PRODUCTS = 50_000
TYPED = 60  # names that are typed out, letter by letter
LETTERS = 12
SHOWN = 20
ROUNDS = 3
NOWHERE = ("zzqx", "qwx 7", "xylo phone")
SOURCE = Path(__file__).parents[1] / "examples" / "data" / "products.csv.gz"


def shelf(count: int) -> list[tuple[str, str]]:
    """(sku, name) of that many products."""
    with gzip.open(SOURCE, "rt", newline="") as file:
        real = [(row["sku"], row["name"]) for row in csv.DictReader(file)]
    sizes = ("", " Family", " Twin Pack", " Mini")
    return [(f"{sku}{'-' * (n > 0)}{n or ''}", name + sizes[n]) for n in range(len(sizes)) for sku, name in real][
        :count
    ]


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


async def started(data: Path) -> float:
    """Milliseconds from a till program's start to its ready line."""
    arguments = ["till", "--data", str(data), "--port", "0", "--sync-port", "0", "--no-discovery"]
    program = Program("till", "posline", arguments, data)
    begun = time.perf_counter()
    await program.start()
    took = (time.perf_counter() - begun) * 1000
    await program.stop()
    return took


async def answer() -> Answer:
    """Measure."""
    count = scaled(PRODUCTS, 1000)
    products = shelf(count)
    plain = sqlite3.connect(":memory:")
    plain.execute("CREATE TABLE product (sku TEXT PRIMARY KEY, name TEXT NOT NULL)")
    plain.executemany("INSERT INTO product VALUES (?, ?)", products)
    rng = random.Random("search")
    names = [rng.choice(products)[1].lower() for _ in range(scaled(TYPED, 10))]
    typed = [name[:n] for name in names for n in range(1, min(len(name), LETTERS) + 1)]
    found: list[float] = []
    scanned: list[float] = []
    missed: list[float] = []
    with tempfile.TemporaryDirectory(prefix="posline-bench-") as folder:
        file, data, empty = Path(folder) / "products.csv", Path(folder) / "till", Path(folder) / "empty"
        with file.open("w", newline="") as rows:
            csv.writer(rows).writerows([("sku", "name", "price"), *((sku, name, 100) for sku, name in products)])
        async with open_till(empty):
            pass
        async with open_till(data) as till:
            begun = time.perf_counter()
            await COMMANDS["catalogue_import"](till, {"file": str(file)})
            took = time.perf_counter() - begun
            search, like = (
                till.reports.catalog.search,
                "SELECT sku FROM product WHERE name LIKE ? ORDER BY name LIMIT ?",
            )
            for _ in range(ROUNDS):
                for text in typed:
                    found.append(timed(lambda text=text: search(text, limit=SHOWN)))  # type: ignore[misc]
                    scanned.append(timed(lambda t=text: plain.execute(like, (f"%{t}%", SHOWN)).fetchall()))  # type: ignore[misc]
                missed += [timed(lambda text=text: search(text, limit=SHOWN)) for text in NOWHERE]  # type: ignore[misc]
        starts = [(await started(data), await started(empty)) for _ in range(ROUNDS)]
    plain.close()
    return Answer(
        f"How long does a search over {count:,} products take?",
        f"{len(typed)} beginnings of real names, {ROUNDS} rounds, the first {SHOWN} products shown, turn about with "
        "the baseline: one LIKE over the names in a plain table in memory. The goals are 50 ms for what is typed, and "
        f"3 s from a till program's start to its ready line. Taking the file over took {took:.1f} s.",
        [
            Figure("as one types, p50", median(found), "ms", median(scanned), "LIKE", ""),
            Figure("as one types, p99", percentile(found, 0.99), "ms", percentile(scanned, 0.99), "LIKE", ""),
            Figure("what is nowhere", median(missed), "ms", median(scanned), "LIKE", ""),
            Figure("start", median([s for s, _ in starts]), "ms", median([e for _, e in starts]), "empty", ""),
        ],
    )


if __name__ == "__main__":
    from benchmarks.figures import table

    print(table(asyncio.run(answer())))
