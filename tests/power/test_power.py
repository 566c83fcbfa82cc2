"""The power goes while a real till works: what its disk then holds keeps every promise.

Two rigs. `tests.power.states` records a till's system calls and rebuilds the disk at each of them, with what was not
fsynced lost, kept, or kept in part; `tests.power.cutting` copies a real file system under a till that is stopped. Both
start the program on what is left. With POSLINE_PROOF=1 at length, and against products without their care.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.plant import ROOT, Mutant, plant
from tests.power.image import why_no_image
from tests.power.mutants import MUTANTS
from tests.power.program import why_not
from tests.power.recording import SCENARIOS, record
from tests.proof import PROOF, Note, share

STATES = {  # in a proof; most of them where most is written; where no other disk is found, it counts once
    "counter": 2300, "checkpoint": 2400, "catalogue": 1500, "joining": 1400, "papers": 1200, "joined at once": 900,
    "restored": 800, "renewed": 900,
}  # fmt: skip
BOUNDED_STATES = 40
REAL_EACH = 100  # of the states, one is started as people start it
MUTANT_STATES = {"sales": 80, "counter": 400}  # a change of key is a small part of a counter's day
CUTS = {"": 200, "data=writeback": 60, "data=journal": 30, "nobarrier": 30}  # in a proof, by options of mount
BOUNDED_CUTS = 2

recorded = pytest.mark.skipif(bool(why_not()), reason=why_not())
mounted = pytest.mark.skipif(bool(why_no_image()), reason=why_no_image())
at_length = pytest.mark.skipif(not PROOF, reason="at length, with POSLINE_PROOF=1")


def run(module: str, *arguments: str, source: str = "") -> dict[str, Any]:
    """Run a rig as a program of its own, since it forks, on the product under test; its figures."""
    source = source or os.environ.get("POSLINE_SOURCE", "")
    path = os.pathsep.join(filter(None, (source, str(ROOT))))
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": path, "POSLINE_SOURCE": source}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    return dict(json.loads(done.stdout))


@contextmanager
def product(source: str) -> Iterator[None]:
    """Programs are started from `source`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSLINE_SOURCE", source)
        yield


@recorded
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", STATES if PROOF else ["counter"])
def test_a_cut_at_any_call_breaks_no_promise(scenario: str, tmp_path: Path, note: Note) -> None:
    folder = record(scenario, tmp_path / scenario)
    states = share(BOUNDED_STATES, STATES[scenario])
    counts = "--states", str(states), "--real", str(share(0, REAL_EACH))
    found = run("tests.power.states", str(folder), *counts, "--doubt=-wal")[scenario]
    note(**found)
    assert not found["violations"], found["first"]
    assert found["states"] > 0.7 * states, "most states differ"
    assert found["doubted"]["violations"], "without its log's fsyncs it would lose sales, and that must be seen"


@recorded
@at_length
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("scenario", "mutant"),
    [pytest.param(scenario, mutant, id=mutant.name) for scenario, mutants in MUTANTS.items() for mutant in mutants],
)
def test_a_product_without_its_care_is_found(scenario: str, mutant: Mutant, tmp_path: Path, note: Note) -> None:
    (tmp_path / "product").mkdir()
    source = str(plant(mutant, tmp_path / "product"))
    with product(source):
        folder = record(scenario, tmp_path / scenario)
    found = run("tests.power.states", str(folder), "--states", str(MUTANT_STATES[scenario]), source=source)[scenario]
    note(cuts=found["cuts"], violations=found["violations"], first=found["first"][:1])
    assert found["violations"], mutant.breaks


@mounted
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("options", CUTS if PROOF else [""], ids=lambda options: options or "data=ordered")
def test_a_cut_on_ext4_breaks_no_promise(options: str, note: Note) -> None:
    found = run("tests.power.cutting", "--cuts", str(share(BOUNDED_CUTS, CUTS[options])), "--options", options)
    note(**found)
    assert not found["violations"], found["first"]


@mounted
@at_length
@pytest.mark.timeout(600)
def test_a_product_that_does_not_fsync_is_found_on_ext4(tmp_path: Path, note: Note) -> None:
    (tmp_path / "product").mkdir()
    mutant = next(mutant for mutant in MUTANTS["sales"] if mutant.name == "commits are not fsynced")
    found = run("tests.power.cutting", "--cuts", "12", source=str(plant(mutant, tmp_path / "product")))
    note(**found)
    assert found["violations"]


def test_each_scenario_has_its_share() -> None:
    assert set(STATES) | {"sales"} == set(SCENARIOS)
