"""The disk changes under a till that sells: it becomes read-only, or takes its time.

A file system that gives up on its device (`errors=remount-ro`) turns every write into an error, in the midst of a day.
A worn card holds up each fsync for a good part of a second: sales wait for their disk, and nothing else does.
"""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.injecting import Traced
from tests.faults.rig import LoggingElsewhere, Process, run, sale, till, wait_for
from tests.machine import lacks
from tests.power.image import Image, why_no_image
from tests.power.program import why_not
from tests.proof import Note, share

DELAY_S = 0.4  # each fsync of the data folder
CASHIERS = 6  # at once, at one till
ROUNDS = share(1, 30)


@pytest.mark.skipif(bool(why_no_image()), reason=why_no_image())
def test_a_disk_that_becomes_read_only_ends_the_till_with_a_word_and_costs_no_sale(tmp_path: Path) -> None:
    image = Image(tmp_path)
    bodies = [sale(price=price) for price in range(1, 10)]
    told: dict[str, int] = {}
    with image.mount() as place:
        process = LoggingElsewhere(place / "till", arguments=till(place / "till").arguments)
        with process:
            for n, body in enumerate(bodies):
                if n == 5:  # as the kernel does it of itself after an error of the device
                    subprocess.run(["mount", "-o", "remount,abort", str(place)], check=True)
                try:
                    told[body["id"]] = process.post("/api/sales", body).status_code
                except httpx.HTTPError:
                    break
            assert process.wait() == 1
        assert process.log.read_text().strip().splitlines()[-1].startswith("posline: the disk failed")
        assert "Traceback" not in process.log.read_text()
    unsaid = {code for code in told.values() if code != 201}
    assert unsaid == {503}  # it is not known whether it was recorded: ask again
    # a copy: whoever has a namespace of its own at this moment may still have the other mounted, as it is now
    with image.started_again(image.cut()) as place, till(place / "till") as process:
        held = {s["id"] for s in process.sales()}
        assert held >= {id for id, code in told.items() if code == 201}
        for body in bodies:
            assert process.post("/api/sales", body).status_code == (200 if body["id"] in held else 201)
        assert sorted(s["number"] for s in process.sales()) == list(range(1, len(bodies) + 1))
        assert process.stop() == 0
        assert run("verify", "--data", str(process.data)).strip() == "no problems"


@pytest.mark.timeout(1200)
def test_a_slow_disk_holds_up_the_sales_that_wait_for_it_and_nothing_else(tmp_path: Path, note: Note) -> None:
    if reason := why_not():
        lacks(f"this test slows system calls down: {reason}")
    slow = Traced(tmp_path / "slow", arguments=till(tmp_path / "slow").arguments)
    slow.rules = tuple(f"inject={call}:delay_enter={DELAY_S * 1e6:.0f}" for call in ("fsync", "fdatasync"))
    slow.trace = tmp_path / "trace"
    other = till(tmp_path / "other")
    with till(slow.data) as first:  # founding it takes many fsyncs
        assert first.stop() == 0
    with slow:
        link = run("invite", "--data", str(slow.data)).strip().splitlines()[-1]
        run("join", link, "--label", "B", "--data", str(other.data))
        with other:
            wait_for("a link", lambda: [peer["connected"] for peer in other.get("/api/status")["peers"]] == [True])
            slowest_s, sold = 0.0, 0
            ended = _links_ended(slow, other)
            synced = _syncs(slow.trace)
            for _ in range(ROUNDS):
                for price in range(1, 4):
                    assert other.post("/api/sales", sale(price=price)).status_code == 201
                answers = [_asked(slow, sale(price=price)) for price in range(1, 1 + CASHIERS)]
                meanwhile = 0
                while any(thread.is_alive() for thread, _ in answers):
                    began = time.monotonic()
                    assert slow.get("/api/status")["label"] == "A" and slow.get("/api/reports/day/" + _day(slow))
                    slowest_s = max(slowest_s, time.monotonic() - began)
                    meanwhile += 1
                for thread, answer in answers:
                    thread.join()
                    assert answer["code"] == 201
                    assert answer["took_s"] >= DELAY_S, "answered before its fsync"
                assert meanwhile >= 3, "what only reads waits for the disk too"
                sold += CASHIERS
            synced = _syncs(slow.trace) - synced
            assert synced < sold, f"{synced} syncs of the log for {sold} sales: they do not share them"
            wait_for("sync", lambda: len(slow.sales()) == len(other.sales()) == sold + 3 * ROUNDS)
            wait_for("every light", lambda: all(s["durable"]["tills"] == 1 for s in [*slow.sales(), *other.sales()]))
            assert _links_ended(slow, other) == ended, "the other till took a slow disk for a dead line"
            note(sales=sold, syncs=synced, delay_s=DELAY_S, slowest_read_s=round(slowest_s, 3))
            assert other.stop() == 0
        assert slow.stop() == 0


def _asked(process: Process, body: dict[str, Any]) -> tuple[threading.Thread, dict[str, Any]]:
    """A cashier who waits for an answer."""
    answer: dict[str, Any] = {}

    def ask() -> None:
        began = time.monotonic()
        answer["code"] = process.post("/api/sales", body).status_code
        answer["took_s"] = time.monotonic() - began

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answer


def _links_ended(*processes: Process) -> int:
    """How often a link was lost, by the log of whichever end had been dialled."""
    return sum(process.log.read_text().count("a link ended") for process in processes)


def _day(process: Process) -> str:
    return str(process.get("/api/status")["day"])


def _syncs(trace: Path) -> int:
    """How often the write-ahead log was forced to the disk."""
    lines = trace.read_text(errors="replace").splitlines()
    return sum("sync(" in line and "posline.db-wal" in line for line in lines)
