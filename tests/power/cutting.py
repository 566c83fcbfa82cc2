"""Cuts the power of a real till on a real file system, under load, and starts the program on what its disk then holds.

    python -m tests.power.cutting --cuts N [--options data=writeback] [--seed S]

Prints one JSON line. The till is stopped (SIGSTOP) at random moments, from its first start on, and its disk is copied;
what it had answered by then must be on the copy (`tests.power.image`, `tests.power.promises`). PYTHONPATH says which
product is tried.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from posline.storage.files import sync_folder
from tests.faults.rig import Process, sale, wait_for
from tests.power.acts import Act
from tests.power.apart import in_child, warm
from tests.power.image import Image
from tests.power.program import till
from tests.power.promises import Expected, broken_promises
from tests.power.recording import BACKUP, DATA

__all__ = ["main"]

CASHIERS = 4
CUTS_A_SHOP = 12  # then a new one is founded, or working its ledger out would take ever longer
FIRST_START_S = (0.0, 1.5)  # the first cut of each shop: somewhere in its first start
LOAD_S = (0.0, 0.25)  # between two cuts
REFUND_EACH = 5  # of a cashier's sales, one is given back
MEMORY = Path("/dev/shm")


class Cashiers:
    """Ring at a till until told to stop; remember what was asked and what was answered."""

    def __init__(self, process: Process, seed: str) -> None:
        self._process, self._stop = process, threading.Event()
        self.answered: list[Act] = []
        self.asked: dict[int, Act] = {}  # by cashier: what is under way
        self._threads = [
            threading.Thread(target=self._ring, args=(number, random.Random(f"{seed} {number}")))
            for number in range(CASHIERS)
        ]

    def _ring(self, number: int, rng: random.Random) -> None:
        with httpx.Client(base_url=self._process.page, timeout=120, trust_env=False) as http:
            last: Act | None = None
            for turn in range(1, 1_000_000):
                if self._stop.is_set():
                    return
                if turn % REFUND_EACH == 0 and last is not None:
                    body: dict[str, Any] = {"id": str(uuid.uuid4()), "reason": "cold"}
                    act = Act("POST", f"/api/sales/{last.id}/refund", body, 0)
                else:
                    act = last = Act("POST", "/api/sales", sale(price=rng.randrange(1, 10_000)), 0)
                self.asked[number] = act
                try:
                    answer = http.post(act.path, json=act.body)
                except httpx.HTTPError:
                    return  # the till is gone
                if answer.status_code != 201:
                    raise AssertionError(answer.text)
                act.answered, act.status, act.answer = 0, 201, answer.json()
                self.answered.append(act)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._process.kill()  # a cashier may wait for an answer
            for thread in self._threads:
                thread.join(30)


def _stop(pid: int) -> None:
    """Stop a program, and wait until each of its threads has come out of the kernel."""
    os.kill(pid, signal.SIGSTOP)

    def stopped() -> bool:
        states = []
        for task in Path(f"/proc/{pid}/task").iterdir():
            states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
        return set(states) <= {"T", "t", "Z", "X"}

    wait_for("a standstill of the till", stopped)


class Rig:
    """The images, and the process that looks at what is left."""

    def __init__(self, work: Path, options: str, look: Connection, rng: random.Random) -> None:
        self._work, self._options, self._look, self._rng = work, options, look, rng
        self.cuts, self.answered, self.broken = 0, 0, list[dict[str, Any]]()

    def shop(self, cuts: int) -> None:
        """Found a shop on a new file system, and cut its power so often."""
        folder = Path(tempfile.mkdtemp(dir=self._work))
        image = Image(folder, self._options)
        with image.mount() as place:
            (place / Path(BACKUP).parent).mkdir()
            sync_folder(place)
            process = till(place / DATA, folder / "log")
            starting = threading.Thread(target=process.start)
            starting.start()
            try:
                wait_for("the till", lambda: process._child is not None)
                threading.Event().wait(self._rng.uniform(*FIRST_START_S))
                self._cut(image, process, [], [])
                starting.join()
                cashiers = Cashiers(process, f"{self._rng.random()}")
                with cashiers.at_work():
                    for _ in range(cuts - 1):
                        before = len(cashiers.answered)
                        wait_for("an answer", lambda: len(cashiers.answered) > before)  # noqa: B023
                        threading.Event().wait(self._rng.uniform(*LOAD_S))
                        self._cut(image, process, cashiers.answered, cashiers.asked.values())
            finally:
                if process.running:
                    process.kill()
            self.answered += len(cashiers.answered)

    def _cut(self, image: Image, process: Process, answered: Sequence[Act], asked: Any) -> None:
        assert process._child is not None
        _stop(process._child.pid)
        copy = image.cut()
        under_way = list(asked)  # read first: what is answered in between is in both, and then it is answered
        due = list(answered)
        done = {act.id for act in due}
        expected = Expected(due, [act for act in under_way if act.id not in done])
        with image.started_again(copy) as disk:
            self._look.send((disk, expected))
            problems = self._look.recv()
        self.cuts += 1
        if problems:
            self.broken.append({"cut": self.cuts, "answered": len(due), "broken": problems[:3]})
        os.kill(process._child.pid, signal.SIGCONT)


def _looking(asked: Connection) -> None:
    """Forked before any thread is there: answer each state with what is broken in it."""
    with suppress(EOFError):  # the rig has ended
        while True:
            asked.send(in_child(partial(broken_promises, *asked.recv())))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, required=True)
    parser.add_argument("--options", default="")
    parser.add_argument("--seed", default="power")
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    warm()
    here, there = multiprocessing.Pipe()
    looking = os.fork()
    if looking == 0:
        here.close()
        _looking(there)
        os._exit(0)
    there.close()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="posline-power-", dir=MEMORY if MEMORY.is_dir() else None) as work:
        rig = Rig(Path(work), given.options, here, random.Random(given.seed))
        while rig.cuts < given.cuts:
            rig.shop(min(CUTS_A_SHOP, given.cuts - rig.cuts))
    here.close()
    os.waitpid(looking, 0)
    print(json.dumps({
        "cuts": rig.cuts, "answered": rig.answered, "options": given.options or "data=ordered",
        "seconds": round(time.monotonic() - begun, 1), "violations": len(rig.broken), "first": rig.broken[:5],
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
