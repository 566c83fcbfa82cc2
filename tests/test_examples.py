"""The examples run, and what they tell people is true."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import signal
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from examples.rig.audit import Holding, disagreements
from examples.rig.baskets import BUSIEST, CATALOGUE, busiest_date, read_baskets, shelf_prices
from examples.rig.lines import Line
from examples.rig.programs import endpoint

ROOT = Path(__file__).parent.parent
DATA = ROOT / "examples" / "data"


def test_the_baskets_add_up() -> None:
    """Summed here from the file itself, in decimals, and not by the code of the demo."""
    count, lines, total, by_date = 0, 0, Decimal(0), Counter[str]()
    with gzip.open(DATA / "baskets.jsonl.gz", "rt", encoding="utf-8") as file:
        for text in file:
            basket = json.loads(text)
            amount = Decimal(0)
            for line in basket["lines"]:
                amount += Decimal(line["price"]) * Decimal(line["quantity"]) - line.get("discount", 0)
            assert amount == basket["total"] > 0
            by_date[basket["at"][:10]] += 1
            count += 1
            if basket["at"].startswith(BUSIEST):
                lines += len(basket["lines"])
                total += amount
    assert (count, sum(by_date.values())) == (9119, 9119)
    assert by_date.most_common(1) == [(BUSIEST, 520)]
    assert (lines, total) == (5705, 1685268)


def test_the_demo_reads_what_the_file_says() -> None:
    baskets = read_baskets(BUSIEST)
    assert len(baskets) == 520
    assert sum(basket.total for basket in baskets) == 1685268
    assert all(basket.total == basket.stated_total for basket in baskets)
    assert busiest_date(read_baskets()) == BUSIEST


def test_the_catalogue_holds_what_was_sold() -> None:
    shelf = shelf_prices()
    assert len(shelf) == 20997
    sold = {line["sku"] for basket in read_baskets() for line in basket.lines}
    assert sold - set(shelf) == {"926775", "1093587"}
    with gzip.open(CATALOGUE, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["name"] and len(row["name"]) <= 200 and int(row["price"]) > 0 for row in rows)


def test_an_address_can_be_taken_from_a_url() -> None:
    assert endpoint("ws://127.0.0.1:8701/sync") == ("127.0.0.1", 8701)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1000):
        writer.write(chunk)
    writer.close()


async def _ends(reader: asyncio.StreamReader) -> bool:
    """Whether the connection is over, by a close or a reset."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_line_carries_breaks_goes_dead_and_heals() -> None:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    line = Line("test")
    await line.open()
    line.target = server.sockets[0].getsockname()[:2]

    async def call() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", line.port)

    reader, writer = await call()
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"

    line.die()
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(3), 0.1)
    late_reader, late_writer = await call()  # a dead line still takes calls
    late_writer.write(b"late")
    line.heal()
    assert await reader.readexactly(3) == b"two"
    assert await late_reader.readexactly(4) == b"late"
    late_writer.write_eof()
    assert await late_reader.read() == b""
    late_writer.close()

    await line.cut()
    assert await _ends(reader)
    writer.close()
    reader, writer = await call()
    assert await _ends(reader)
    writer.close()

    line.heal()
    reader, writer = await call()
    writer.write(b"three")
    assert await reader.readexactly(5) == b"three"
    writer.close()
    await line.close()
    server.close()


def _holding(name: str, *, count: int, total: int, digest: str) -> Holding:
    figures = {
        "sales": {"count": count, "total": total},
        "held": [],
        "disputed": [],
        "invalid": [],
        "tills": [{"label": "A", "missing_count": 0, "receipts": {"missing_count": 0}}],
        "digest": digest,
    }
    return Holding(name, reports={"2026-11-23": json.dumps(figures).encode()}, figures={"2026-11-23": figures})


def test_the_audit_sees_what_is_wrong() -> None:
    confirmed = {"x": 100, "y": 250}
    sound = _holding("till A", count=2, total=350, digest="d1")
    sound.sales, sound.totals, sound.recomputed = Counter(confirmed.keys()), dict(confirmed), 350
    assert sound.faults(confirmed) == []

    lost = _holding("till B", count=1, total=100, digest="d2")
    lost.sales, lost.totals, lost.recomputed = Counter(["x"]), {"x": 100}, 100
    assert "1 confirmed sales are lost" in lost.faults(confirmed)
    assert lost.lost(confirmed) == 1

    doubled = _holding("till C", count=3, total=450, digest="d1")
    doubled.sales, doubled.totals, doubled.recomputed = Counter(["x", "x", "y"]), dict(confirmed), 450
    assert "1 sales count twice" in doubled.faults(confirmed)
    assert doubled.lost(confirmed) == 0

    wrong = _holding("relay", count=2, total=351, digest="d1")
    wrong.sales, wrong.totals, wrong.recomputed = Counter(["x", "z"]), {"x": 101, "z": 250}, 351
    assert {"1 sales that nobody rang", "1 sales have another total than the basket"} <= set(wrong.faults(confirmed))

    assert disagreements([sound, lost]) == ["till B and till A have different digests"]
    assert disagreements([sound, doubled]) == ["till C and till A have one digest and different reports"]


async def _example(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def test_the_demo_keeps_its_promise(tmp_path: Path) -> None:
    """A part of the day, with every cut and kill of the whole one."""
    demo = await _example("examples.demo", "--fast", "--keep", str(tmp_path))
    assert demo.stdout is not None
    said = (await demo.stdout.read()).decode()
    assert await demo.wait() == 0, said
    for event in ("the internet is cut", "the LAN is cut", "SIGKILL", "the relay is stopped", "goes dead"):
        assert event in said
    assert "All replicas agree with the baskets, to the last sale and minor unit." in said


async def test_a_shop_on_one_machine_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    for start in range(2):
        shop = await _example(
            "examples.shop_on_one_machine", "--data", str(tmp_path / "run"),
            "--port", "0", "--sync-port", "0", "--relay-port", "0",
        )  # fmt: skip
        assert shop.stdout is not None
        lines = [(await shop.stdout.readline()).decode().split() for _ in range(2)]
        assert [line[0] for line in lines] == ["till", "relay"], lines
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(lines[0][1] + "/healthz")).status_code == 200
            assert (await http.get(lines[0][1] + "/api/status")).json()["shop"] == "My shop", start
        shop.send_signal(signal.SIGINT)
        said = (await shop.stdout.read()).decode()
        assert await shop.wait() == 0, said
        assert ("choose a password" in said) == (start == 0)
