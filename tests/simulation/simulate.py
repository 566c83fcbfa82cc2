"""`make simulate HOURS=n`: run schedule after schedule, each from a seed of its own, for so long, or so many.

    python -m tests.simulation.simulate --hours 1 --workers 2     as many as there is time for
    python -m tests.simulation.simulate --runs 1000 --workers 2   so many in all, however long it takes
    python -m tests.simulation.simulate --seed 123                replay one
    python -m tests.simulation.simulate --schedule FILE           replay one that was written down

A failing schedule is made as short as can be within a minute, written to run/simulation/, and named with the command
that replays it; the others go on. Ends with 1 when any failed, or when there were fewer than were asked for.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from tests.simulation import _source  # noqa: F401
from tests.simulation.schedule import Outcome, Schedule, draw, run, shrink

__all__ = ["Tally", "main"]

OUT = Path("run/simulation")
REPORT_S = 60.0  # between two lines of progress
BATCH_S = 5.0  # between two reports of a worker
KEEP_RUNS = 20  # between two collections: Python's own, inside runs, took a seventh of the time


@dataclass
class Tally:
    """What runs came to together."""

    runs: int = 0
    steps: int = 0
    shop_s: float = 0.0
    told: int = 0
    messages: int = 0
    failures: int = 0
    done: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """One run more."""
        self.runs += 1
        self.steps += outcome.steps
        self.shop_s += outcome.shop_s
        self.told += outcome.told
        self.messages += outcome.messages
        self.failures += outcome.failure is not None
        for what, times in outcome.done.items():
            self.done[what] = self.done.get(what, 0) + times

    def join(self, other: Tally) -> None:
        """The runs of both."""
        for name in ("runs", "steps", "shop_s", "told", "messages", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for what, times in other.done.items():
            self.done[what] = self.done.get(what, 0) + times

    def figures(self) -> dict[str, Any]:
        """As they are shown."""
        return {
            "runs": self.runs, "steps": self.steps, "shop_days": round(self.shop_s / 86_400), "confirmed": self.told,
            "messages": self.messages, "failures": self.failures,
        }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do it; returns the exit code."""
    how = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__, formatter_class=how)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--runs", type=int, help="stop after so many, and not after a time")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--first", type=int, help="the first seed; the others follow it")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--schedule", type=Path, help="replay what stands in this file")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds to make a failing schedule shorter")
    parser.add_argument("--stop", action="store_true", help="stop at the first that fails, and leave it as it is")
    asked = parser.parse_args(arguments)
    if asked.seed is not None or asked.schedule is not None:
        schedule = draw(asked.seed) if asked.schedule is None else Schedule.from_json(asked.schedule.read_text())
        return 1 if _one(schedule, asked.shrink if asked.schedule is None else 0.0) else 0
    if asked.runs is not None and (asked.runs < 1 or asked.hours or asked.minutes):
        parser.error("--runs takes a number above 0, and no time beside it")
    seconds = asked.hours * 3600 + asked.minutes * 60 or 60.0
    first = asked.first if asked.first is not None else secrets.randbelow(10**9)
    tally = simulate(first, seconds, asked.workers, asked.shrink, runs=asked.runs or 0, stop=asked.stop)
    lacking = 0 if asked.runs is None or asked.stop else asked.runs - tally.runs
    if lacking:
        print(f"{lacking:,} runs are lacking: a worker ended before it was through")
    return 1 if tally.failures or lacking else 0


def _one(schedule: Schedule, shrink_s: float) -> bool:
    outcome = run(schedule)
    tally = Tally()
    tally.add(outcome)
    print(json.dumps(tally.figures() | {"traits": schedule.traits, "digest": outcome.digest[:16]}))
    if outcome.failure is not None:
        _tell(schedule, outcome, shrink_s)
    return outcome.failure is not None


def _tell(schedule: Schedule, outcome: Outcome, shrink_s: float) -> None:
    """Say what failed and how to see it again, with the shortest schedule that could be found."""
    assert outcome.failure is not None
    short = shrink(schedule, outcome.failure, seconds=shrink_s) if shrink_s else schedule
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / f"{schedule.seed}.json"
    file.write_text(short.to_json())
    print(f"seed {schedule.seed} fails at {outcome.where}: {outcome.failure[:1500]}")
    print(f"  {len(short.steps)} of {len(schedule.steps)} steps: {' '.join(name for name, _ in short.steps)}")
    print(f"  replay: python -m tests.simulation.simulate --seed {schedule.seed}")
    print(f"  replay: python -m tests.simulation.simulate --schedule {file}", flush=True)


def _work(seeds: range, until: float, shrink_s: float, stop: bool, tallies: multiprocessing.Queue[Tally]) -> None:
    """Run these seeds, as far as there is time."""
    gc.disable()
    tally, told_s = Tally(), time.time()
    for nth, seed in enumerate(seeds):
        if time.time() >= until:
            break
        if nth % KEEP_RUNS == 0:
            gc.collect()
        schedule = draw(seed)
        outcome = run(schedule)
        tally.add(outcome)
        if outcome.failure is not None:
            _tell(schedule, outcome, 0.0 if stop else shrink_s)
            if stop:
                break
        if time.time() - told_s > BATCH_S:
            tallies.put(tally)
            tally, told_s = Tally(), time.time()
    tallies.put(tally)


def simulate(first: int, seconds: float, workers: int, shrink_s: float, *, runs: int = 0, stop: bool = False) -> Tally:
    """Run seeds from `first` on in `workers` processes, for so long or, with `runs`, so many in all. Says each
    minute how far it is."""
    goal = f"{runs:,} runs" if runs else f"for {seconds / 60:.0f} minutes"
    print(f"seeds from {first} on, {workers} at a time, {goal}", flush=True)
    began = time.time()
    end, until = (first + runs, math.inf) if runs else (sys.maxsize, began + seconds)
    spawn = multiprocessing.get_context("spawn")
    tallies: multiprocessing.Queue[Tally] = spawn.Queue()
    running = [
        spawn.Process(target=_work, args=(range(first + n, end, workers), until, shrink_s, stop, tallies))
        for n in range(workers)
    ]
    for worker in running:
        worker.start()
    whole, said_s = Tally(), began
    while any(worker.is_alive() for worker in running) or not tallies.empty():
        try:
            whole.join(tallies.get(timeout=1.0))
        except Empty:
            continue
        if time.time() - said_s >= REPORT_S:
            said_s = time.time()
            _progress(whole, began)
    for worker in running:
        worker.join()
    _progress(whole, began)
    for what, times in sorted(whole.done.items()):
        print(f"  {times:>9,} {what}")
    out = os.environ.get("POSLINE_PROOF_OUT")
    if out:
        from tests.proof import keep

        keep("simulate", whole.figures())
    return whole


def _progress(tally: Tally, began: float) -> None:
    took = time.time() - began
    print(f"{took / 60:6.1f} min  {json.dumps(tally.figures())}  {tally.runs / took:.1f} runs/s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
