"""Cuts the power of a recorded till at each of its calls, and starts the program on what is left of the disk.

    python -m tests.power.states RECORDING... --states N [--seed S] [--real K] [--doubt SUFFIX]

Prints one JSON line. The program is loaded once; for each state a process is forked from this one, which puts the state
on a disk in memory, opens it and looks (`tests.power.promises`). With `--real K` each K-th state is also started as the
program that people start. With `--doubt` the cuts are tried once more, as if no fsync of a file whose name ends so had
been called, until a broken promise shows that the rig can find one. PYTHONPATH says which product is tried.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from posline.trust.certificate import KEY_FILE
from tests.faults.rig import sale
from tests.power.acts import Act, read_acts
from tests.power.apart import in_child, warm
from tests.power.calls import Moment, read_calls
from tests.power.disk import VARIANTS, Disk, State, lay_out
from tests.power.program import environment, program, till
from tests.power.promises import Expected, broken_promises
from tests.power.recording import DATA

__all__ = ["Cut", "Recorded", "attempt", "cuts", "load", "main", "places"]

TOLD_EACH = 200
RETRIES = 4  # where a state is known already, another one is looked for
RESTORED_EACH = 20  # of the states in which a backup is there, it is restored in one
SYNCS = ("fsync", "fdatasync")
MEMORY = Path("/dev/shm")
SHARES = {  # of the states, how many are made which way
    "lost": 5, "some": 6, "torn": 3, "kept": 2, "names alone": 1, "nameless": 1, "grown": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording, read: what lay on the disk before, the moments of each program, the acts, the entries, (kind,
    id), that were there before, and the key of its certificate."""

    folder: Path
    before: State
    runs: Sequence[Sequence[Moment]]
    acts: Sequence[Act]
    held: Sequence[tuple[str, str]]
    tls_key: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A state of a disk after a cut behind moment `at`, by the variant `how`, and what must hold of it."""

    at: int
    how: str
    state: State
    expected: Expected


def load(folder: Path, doubted: str = "") -> Recorded:
    """Read a recording, and check that the model of the disk ends with what lies on the real one. The fsyncs of files
    whose names end with `doubted` are left out."""
    place = folder / "disk"
    runs: list[list[Moment]] = []
    told: list[dict[str, str]] = []
    while (trace := folder / f"trace-{len(runs) + 1}").exists():
        moments = read_calls(trace, place)
        runs.append([m for m in moments if not (doubted and m.call.name in SYNCS and m.call.at.endswith(doubted))])
        note = folder / f"{trace.name}.json"
        told += [json.loads(note.read_text())] if note.exists() else []
    acts = read_acts([moment for run in runs for moment in run])
    for act, body in zip((act for act in acts if act.path == "command"), told, strict=True):
        act.body = dict(body)
    held, key = _held(folder / "before" / DATA), (place / DATA / KEY_FILE).read_bytes()
    recorded = Recorded(folder, _tree(folder / "before"), runs, acts, held, key)
    disk = Disk(place, recorded.before)
    for run in runs:
        for moment in run:
            disk.take(moment)
        disk.restarted()
    modelled, real = dict(disk.now()), {path: c for path, c in _tree(place).items() if not path.endswith("-shm")}
    wrong = [path for path in modelled.keys() | real if modelled.get(path, 0) != real.get(path, 0)]
    assert not wrong, f"the model of the disk and the disk differ: {wrong}"
    return recorded


def _tree(place: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(place)): None if path.is_dir() else path.read_bytes() for path in sorted(place.rglob("*"))
    }


def _held(data: Path) -> list[tuple[str, str]]:
    """The entries of a till that has stopped."""
    if not (data / "posline.db").exists():
        return []
    with closing(sqlite3.connect(f"file:{data / 'posline.db'}?mode=ro&immutable=1", uri=True)) as db:
        return db.execute("SELECT kind, id FROM entry").fetchall()


def places(recorded: Recorded) -> list[int]:
    """The moments behind which the disk may look otherwise than before."""
    disk, found, at = Disk(recorded.folder / "disk", recorded.before), [], 0
    for run in recorded.runs:
        for moment in run:
            if disk.take(moment):
                found.append(at)
            at += 1
        disk.restarted()
    return found


def cuts(recorded: Recorded, wanted: int, rng: random.Random) -> Iterator[Cut]:
    """At most `wanted` cuts, spread over all moments; each state of the disk once, unless more had been answered."""
    where = places(recorded)
    kinds, weights = list(SHARES), list(SHARES.values())
    chosen = sorted((rng.choice(where), rng.choices(kinds, weights)[0]) for _ in range(wanted))
    seen: set[tuple[str, int]] = set()
    disk, at, index = Disk(recorded.folder / "disk", recorded.before), 0, 0
    after = dict(zip(where, [*where[1:], 1 << 60], strict=True))
    for run in recorded.runs:
        for moment in run:
            disk.take(moment)
            while index < len(chosen) and chosen[index][0] == at:
                how = chosen[index][1]
                index += 1
                # until the next change the disk stays as it is, so all that was answered by then must be there
                due = [act for act in recorded.acts if act.answered is not None and act.answered < after[at]]
                asked = [
                    act for act in recorded.acts
                    if act.arrived < after[at] and (act.answered is None or act.answered >= after[at])
                ]  # fmt: skip
                for turn in range(1 + RETRIES):
                    state = disk.cut(VARIANTS[how if turn == 0 else "some"](rng))
                    key = _digest(state), len(due)
                    if key not in seen:
                        seen.add(key)
                        expected = Expected(due, asked, recorded.held, recorded.tls_key)
                        yield Cut(at, how if turn == 0 else "some", state, expected)
                        break
            at += 1
        disk.restarted()


def _digest(state: State) -> str:
    total = hashlib.blake2b()
    for path, content in sorted(state.items()):
        total.update(f"{path} {-1 if content is None else len(content)}\n".encode())
        total.update(content or b"")
    return total.hexdigest()


def _look(cut: Cut, disk: Path) -> list[str]:
    lay_out(cut.state, disk)
    return broken_promises(disk, cut.expected)


def _really(cut: Cut, folder: Path) -> list[str]:
    """As a person starts it: the program, its HTTP API and `posline verify`."""
    lay_out(cut.state, folder)
    data = folder / DATA
    process = till(data, folder.with_name("log"))
    sold = [act for act in cut.expected.due if (act.method, act.path) == ("POST", "/api/sales")]
    problems: list[str] = []
    with process:
        asked = [act.body for act in cut.expected.asked if (act.method, act.path) == ("POST", "/api/sales")]
        for body in (*asked, sale()):
            if process.post("/api/sales", body).status_code not in (200, 201):
                problems.append(f"the real program does not ring {body}")
        held = Counter((found["id"], found["total"], found["number"]) for found in process.sales())
        for act in sold:
            if held[act.id, act.answer["total"], act.answer["number"]] != 1:
                problems.append(f"the real program does not list the sale {act.id} once")
        if process.stop() != 0:
            problems.append("the real program does not stop cleanly")
    done = subprocess.run(
        program("verify", "--data", str(data)), env=os.environ | environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return problems + ([] if done.returncode == 0 else [f"posline verify: {done.stdout} {done.stderr}"])


@dataclass(slots=True)
class Tried:
    """What came of the cuts of one recording."""

    made: Counter[str]
    digests: set[str]
    broken: list[dict[str, Any]]
    real: int = 0

    def figures(self, recorded: Recorded, seconds: float) -> dict[str, Any]:
        """As they are printed."""
        return {
            "calls": sum(map(len, recorded.runs)) // 2, "changes": len(places(recorded)),
            "answers": sum(act.answered is not None for act in recorded.acts), "cuts": sum(self.made.values()),
            "states": len(self.digests), "variants": dict(self.made), "real_starts": self.real,
            "seconds": round(seconds, 1), "violations": len(self.broken), "first": self.broken[:5],
        }  # fmt: skip


def attempt(recorded: Recorded, states: int, seed: str, *, real: int = 0, until_broken: bool = False) -> Tried:
    """Try so many cuts of a recording."""
    tried = Tried(Counter(), set(), [])
    gc.collect()
    gc.freeze()  # or each child would copy what it only counts
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="posline-power-", dir=MEMORY if MEMORY.is_dir() else None) as work:
        disk = Path(work) / "disk"
        for number, cut in enumerate(cuts(recorded, states, random.Random(seed)), 1):
            tried.digests.add(_digest(cut.state))
            tried.made[cut.how] += 1
            restored = number % RESTORED_EACH == 0
            looked = dataclasses.replace(cut, expected=dataclasses.replace(cut.expected, restored=restored))
            problems = in_child(partial(_look, looked, disk))
            shutil.rmtree(disk, ignore_errors=True)
            if real and number % real == 0 and not problems and _by_itself(cut):
                problems = _really(cut, disk)
                shutil.rmtree(disk, ignore_errors=True)
                tried.real += 1
            if problems:
                tried.broken.append({"at": cut.at, "how": cut.how, "broken": problems[:3]})
                if until_broken:
                    break
            if number % TOLD_EACH == 0:
                rate, found = number / (time.monotonic() - begun), len(tried.broken)
                print(f"{recorded.folder.name}: {number}, {rate:.1f}/s, {found} broken", file=sys.stderr, flush=True)
    return tried


def main(arguments: Sequence[str]) -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--states", type=int, required=True)
    parser.add_argument("--seed", default="power")
    parser.add_argument("--real", type=int, default=0)
    parser.add_argument("--doubt", default="")
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    warm()
    figures: dict[str, Any] = {}
    for recording in given.recordings:
        seed, begun = f"{given.seed} {recording.name}", time.monotonic()
        recorded = load(recording)
        tried = attempt(recorded, given.states, seed, real=given.real)
        figures[recording.name] = tried.figures(recorded, time.monotonic() - begun)
        if given.doubt:
            doubted = attempt(load(recording, given.doubt), given.states, seed, until_broken=True)
            figures[recording.name]["doubted"] = {
                "cuts": sum(doubted.made.values()), "violations": len(doubted.broken), "first": doubted.broken,
            }  # fmt: skip
    print(json.dumps(figures))


def _by_itself(cut: Cut) -> bool:
    """Whether the till may be started as it is: no command was cut off."""
    return all(act.path != "command" for act in cut.expected.asked)


if __name__ == "__main__":
    main(sys.argv[1:])
