"""Each system call of a till on its data folder fails in turn: nothing confirmed is lost, and nothing is hushed up.

A proof lets calls of every kind fail, once and for good, with an I/O error and for want of room, over a first start and
over a day's and a busy day's work; which of them is drawn, as many of each kind. What runs at every change are two.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

import pytest

from tests.faults.injecting import Book, Fault, Prepared, Trial, calls_of, prepare, written_after_failure
from tests.machine import lacks
from tests.power.program import why_not
from tests.proof import PROOF, Note

DRAWN = 250  # failing calls of each work in a proof
ERRORS = {"pread64": ("EIO",), "mmap": ("EIO",), "unlink": ("EIO",), "fchmod": ("EIO",)}  # those want no room
SHORT = (Fault("fsync", "EIO", "14"), Fault("pwrite64", "ENOSPC", "90+"))  # both while it sells


def _faults(trace: Path, chance: random.Random) -> Iterator[Fault]:
    """Calls to fail, in rounds of one for each kind of call and failure that has any left, so that the few unlinks have
    their turn beside thousands of writes."""
    kinds = []
    for call, count in sorted(calls_of(trace).items()):
        for error in ERRORS.get(call, ("EIO", "ENOSPC")):
            for lasting in ("", "+"):
                order = chance.sample(range(1, count + 1), count)
                kinds.append([Fault(call, error, f"{n}{lasting}") for n in order])
    for turn in zip_longest(*kinds):
        yield from (fault for fault in turn if fault is not None)


def _try(prepared: Prepared, fault: Fault | None, place: Path) -> Trial:
    place.mkdir()
    trial = Trial(place, fault).go(prepared)
    assert not trial.wrong, f"{fault}: {trial.wrong}"
    return trial


@pytest.mark.timeout(4 * 3600 if PROOF else 120)
@pytest.mark.parametrize("work", ("a day's work",) if not PROOF else ("a first start", "a day's work", "a busy day"))
def test_each_call_that_fails_is_survived(work: str, tmp_path: Path, note: Note) -> None:
    if reason := why_not():
        lacks(f"this test lets system calls fail: {reason}")
    if work == "a first start":
        prepared = Prepared(tmp_path / "nothing", Book())
    else:
        prepared = prepare(tmp_path / "before", busy=work == "a busy day")
    faults = list(SHORT)
    if PROOF:
        _try(prepared, None, tmp_path / "whole")
        faults = list(islice(_faults(tmp_path / "whole" / "trace", random.Random(work)), DRAWN))
    wrong: list[str] = []
    trials: list[Trial] = []
    for fault in faults:
        place = tmp_path / "trial"
        place.mkdir()
        trials.append(Trial(place, fault).go(prepared))
        wrong += [f"{fault}: {each}" for each in trials[-1].wrong]
        if trials[-1].wrong:
            print(fault, trials[-1].wrong, flush=True)  # a proof that is cut off has said what it found
        shutil.rmtree(place)
    note(
        work=work, faults=len(trials), ended_by_itself=sum(t.ended for t in trials),
        never_began=sum(not t.began for t in trials), went_on=sum(t.code == 0 for t in trials), wrong=len(wrong),
    )  # fmt: skip
    assert not wrong, wrong


FAILED = """\
11 fdatasync(7</d/posline.db-wal> <unfinished ...>
12 pwrite64(7</d/posline.db-wal>, "x"..., 24, 0) = 24
13 write(9</d/key>, "x", 1) = 1
11 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)
"""


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("", 0),
        ("12 fsync(7</d/posline.db>) = 0\n", 0),
        ("12 pwrite64(7</d/posline.db>, 1, 0) = -1 EIO (Input/output error) (INJECTED)\n", 0),
        ("12 pwrite64(7</d/posline.db> <unfinished ...>\n12 <... pwrite64 resumed>) = -1 EIO (x) (INJECTED)\n", 0),
        ("12 pwrite64(7</d/posline.db>, 1, 0) = 1\n", 1),
        ("12 pwrite64(7</d/posline.db> <unfinished ...>\n12 <... pwrite64 resumed>) = 1\n", 1),
        ("12 pwrite64(7</d/posline.db> <unfinished ...>\n", 1),
    ],
)
def test_a_write_after_a_failure_is_seen_though_strace_split_them(then: str, told: int, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(FAILED + then)
    assert len(written_after_failure(tmp_path / "trace")) == told
