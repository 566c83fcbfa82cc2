"""The print queue alone: durable, bounded, in order, and never printing twice unasked."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from posline.errors import NotFound
from posline.till import print_queue
from posline.till.print_queue import LAPSE_S, OPEN_MAX, WAITING_MAX, PrintQueue
from posline.till.printers import PrinterFault, PrinterSettings, Target
from posline.till.receipts.escpos import kick

SETTLED_S = 20.0


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(content: Mapping[str, Any], copy: bool) -> bytes:
    """What a job looks like on paper, in these tests."""
    return f"{content['name']}{' COPY' if copy else ''}\n".encode()


class Bench:
    """A queue whose sending the test decides: each try takes the next of `outcomes`, which is a fault or None."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.clock = path, Clock()
        self.paper: list[bytes] = []
        self.outcomes: list[PrinterFault | None] = []
        self.queue = self.start(**options)

    def start(self, target: str = "tcp://127.0.0.1:1", **options: Any) -> PrintQueue:
        settings = PrinterSettings.read({"target": target})
        given: dict[str, Any] = {"clock": self.clock, "sender": self._send, "retry_s": (1.0, 2.0)} | options
        self.queue = PrintQueue(self.path / "printing.db", shown, settings, **given)
        return self.queue

    def _send(self, target: Target, chunks: Iterable[bytes]) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None and not outcome.began:
            raise outcome
        self.paper.append(b"".join(chunks))
        if outcome is not None:
            raise outcome

    def add(self, name: str, **options: Any) -> str:
        return self.queue.add(f"sale {name}", name, {"name": name}, **options)

    def settle(self) -> None:
        assert self.queue.settle(SETTLED_S)

    def later(self, seconds: float) -> None:
        """Let time go by, and have the queue look at the clock."""
        self.settle()
        self.clock.now += seconds
        self.queue.drop("nothing")
        self.settle()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A queue with a printer that takes everything, until told otherwise."""
    made = Bench(tmp_path)
    yield made
    made.queue.close()


REFUSED = PrinterFault("no printer answers", began=False)
BROKEN = PrinterFault("the printer broke off", began=True)

# -- the queue ---------------------------------------------------------------------------------------------------------


def test_jobs_are_printed_in_order_and_a_second_time_as_copies(bench: Bench) -> None:
    for name in ("one", "two", "one"):
        bench.add(name)
    bench.add("two", copy=False)
    bench.settle()
    assert bench.paper == [b"one\n", b"two\n", b"one COPY\n", b"two\n"]


def test_one_id_is_printed_once(bench: Bench) -> None:
    for _ in range(3):
        bench.add("one", id="job")
    bench.settle()
    assert bench.paper == [b"one\n"]
    bench.queue.close()
    bench.start()
    bench.add("one", id="job")
    bench.settle()
    assert bench.paper == [b"one\n"], "nor after a start"
    bench.add("one")
    bench.settle()
    assert bench.paper[1:] == [b"one COPY\n"], "and that it was printed is known"


def test_what_had_not_begun_is_tried_again_ever_more_slowly(bench: Bench) -> None:
    bench.outcomes = [REFUSED, REFUSED]
    bench.add("one")
    bench.settle()
    state = bench.queue.state()
    assert (state.state, state.why, state.waiting) == ("fault", "no printer answers", 1)
    bench.later(0.9)
    assert len(bench.outcomes) == 1, "not yet"
    bench.later(0.2)
    assert (bench.outcomes, bench.paper) == ([], [])
    bench.later(1.9)
    assert bench.paper == []
    bench.later(0.2)
    assert bench.paper == [b"one\n"] and bench.queue.state().state == "ok"


def test_what_may_be_on_paper_is_not_printed_again_unasked(bench: Bench) -> None:
    bench.outcomes = [BROKEN]
    job = bench.add("one")
    bench.add("two")
    bench.later(60)
    assert bench.paper == [b"one\n", b"two\n"], "the next one goes on"
    (unsure,) = bench.queue.state().unsure
    assert (unsure["id"], unsure["name"], unsure["why"]) == (job, "one", "the printer broke off")
    bench.queue.again(job)
    bench.settle()
    assert bench.paper[2:] == [b"one COPY\n"], "and says then that it may be the second"
    assert bench.queue.state().unsure == ()
    with pytest.raises(NotFound):
        bench.queue.again(job)


def test_a_crash_while_printing_leaves_a_question_and_prints_nothing(bench: Bench) -> None:
    bench.add("done")
    bench.settle()
    bench.queue.close()
    with sqlite3.connect(bench.path / "printing.db") as store:  # as a kill in the middle of each leaves them
        for id, state in (("a", "sending"), ("b", "waiting")):
            row = (id, f"sale {id}", id, f'{{"name": "{id}"}}', -1, state)
            store.execute("INSERT INTO job (id, document, name, content, copy, state) VALUES (?,?,?,?,?,?)", row)
    store.close()
    bench.start()
    bench.add("c")
    bench.settle()
    assert bench.paper == [b"done\n", b"c\n"], "nothing of before"
    state = bench.queue.state()
    assert [job["name"] for job in state.unsure] == ["a"] and [job["name"] for job in state.lapsed] == ["b"]
    for id in ("a", "b"):
        bench.queue.again(id)
    bench.settle()
    assert sorted(bench.paper[2:]) == [b"a COPY\n", b"b\n"]


def test_a_job_that_is_sending_is_written_down_before_its_first_byte(bench: Bench) -> None:
    seen = []

    def spying(target: Target, chunks: Iterable[bytes]) -> None:
        for _ in chunks:
            with contextlib.closing(sqlite3.connect(bench.path / "printing.db")) as store:
                seen.extend(store.execute("SELECT state FROM job").fetchall())

    bench.queue.close()
    bench.start(sender=spying)
    bench.add("one")
    bench.settle()
    assert seen == [("sending",)]


def test_what_waits_too_long_is_printed_only_if_somebody_asks(bench: Bench) -> None:
    bench.outcomes = [REFUSED] * 3
    job = bench.add("one")
    bench.later(LAPSE_S + 1)
    assert [lapsed["name"] for lapsed in bench.queue.state().lapsed] == ["one"]
    assert bench.queue.state().waiting == 0
    bench.outcomes.clear()
    bench.queue.again(job)
    bench.settle()
    assert bench.paper == [b"one\n"], "no copy: there is no first one"


def test_the_queue_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WAITING_MAX <= 1000 and OPEN_MAX <= 1000
    waiting, open_ = 20, 25
    monkeypatch.setattr(print_queue, "WAITING_MAX", waiting)
    monkeypatch.setattr(print_queue, "OPEN_MAX", open_)
    bench.outcomes = [REFUSED] * 1000
    for n in range(waiting + open_ + 50):
        bench.add(str(n))
    bench.settle()
    state = bench.queue.state()
    assert state.waiting == waiting and len(state.lapsed) == 20
    assert state.lapsed[-1]["name"] == str(open_ + 49), "the newest of those that lapsed"
    with contextlib.closing(sqlite3.connect(bench.path / "printing.db")) as store:
        count = dict(store.execute("SELECT state, count(*) FROM job GROUP BY state"))
    assert count == {"waiting": waiting, "lapsed": open_, "dropped": 50}


def test_the_drawer_opens_once_and_at_once_or_not_at_all(bench: Bench) -> None:
    bench.outcomes = [BROKEN]
    bench.add("one", kick=True)
    bench.settle()
    assert bench.paper == [kick(2) + b"one\n"]
    bench.outcomes = [REFUSED]
    bench.queue.kick()
    bench.later(60)
    assert len(bench.paper) == 1, "a minute later nobody expects it"
    bench.outcomes.clear()
    bench.queue.kick()
    bench.settle()
    assert bench.paper[1:] == [kick(2)]


def test_a_second_try_of_the_paper_leaves_the_drawer_alone(bench: Bench) -> None:
    def dying(target: Target, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            bench.paper.append(chunk)
            if len(bench.paper) == 1:
                raise PrinterFault("broke off behind the drawer", began=True)

    bench.queue.close()
    bench.start(sender=dying)
    bench.add("one", kick=True)
    bench.later(2)
    assert bench.paper == [kick(2), b"one\n"]


def test_a_job_that_cannot_be_drawn_is_set_aside(bench: Bench) -> None:
    bench.queue.add("sale x", "x", {})
    bench.add("one")
    bench.settle()
    assert bench.paper == [b"one\n"] and [job["name"] for job in bench.queue.state().lapsed] == ["x"]


def test_without_a_printer_any_more_nothing_waits(bench: Bench) -> None:
    bench.outcomes = [REFUSED] * 5
    bench.add("one")
    bench.settle()
    bench.queue.set_printer(PrinterSettings())
    bench.settle()
    state = bench.queue.state()
    assert (state.state, state.waiting, len(state.lapsed)) == ("off", 0, 1)


def test_its_own_database_damaged_is_no_reason_not_to_print(tmp_path: Path) -> None:
    (tmp_path / "printing.db").write_bytes(b"no database" * 1000)
    bench = Bench(tmp_path)
    bench.add("one")
    bench.settle()
    bench.queue.close()
    assert bench.paper == [b"one\n"]
