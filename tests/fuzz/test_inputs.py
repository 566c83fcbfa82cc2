"""A million spoilt inputs: no crash, no hang, no growth, and nothing passes that means something else than was read.

In a run of all tests the plain driver tries a bounded share, the same inputs each time. In a proof atheris (libFuzzer)
tries all of them, where its wheel is installed: `pip install -e '.[proof]'`; where there is none for this Python, the
plain driver does.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fuzz.child import start
from tests.fuzz.target import checked
from tests.fuzz.targets import TARGETS, counts
from tests.proof import PROOF, Note, share

GUIDED = importlib.util.find_spec("atheris") is not None
INPUTS = share(20_000, 1_000_000)
SEED = os.environ.get("POSLINE_FUZZ_SEED", "1")
RSS_MIB_MAX = 400


@pytest.mark.skipif(PROOF, reason="a proof tries all of them, target by target")
def test_a_bounded_share_of_spoilt_inputs_breaks_no_promise(tmp_path: Path, note: Note) -> None:
    began = time.monotonic()
    figures = start("tests.fuzz.plain", ["--inputs", str(INPUTS), "--seed", SEED], tmp_path).figures
    assert [one["target"] for one in figures] == list(TARGETS)
    assert all(one["outcomes"] > 2 for one in figures), "nothing but refusals: the mutator makes nothing that is read"
    note(
        inputs=sum(one["inputs"] for one in figures),
        targets=len(figures),
        seconds=round(time.monotonic() - began, 1),
        slowest_ms=max(one["slowest_ms"] for one in figures),
        growth_mib=max(one["growth_mib"] for one in figures),
    )


def guided_figures(told: str) -> dict[str, Any]:
    """What libFuzzer says at its end: `branches` are edges of our code that were reached."""

    def last(pattern: str) -> int:
        return int(re.findall(pattern, told)[-1])

    return {
        "inputs": last(r"number_of_executed_units: (\d+)"),
        "peak_rss_mib": last(r"peak_rss_mb: +(\d+)"),
        "slowest_s": last(r"slowest_unit_time_sec: +(\d+)"),
        "branches": last(r"DONE +cov: (\d+)"),
        "kept": last(r"corp: (\d+)"),
    }


@pytest.mark.skipif(not PROOF, reason="the whole count is for a proof")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", TARGETS)
def test_all_spoilt_inputs_break_no_promise(tmp_path: Path, note: Note, name: str) -> None:
    began = time.monotonic()
    inputs = counts(INPUTS)[name]
    if GUIDED:
        arguments = [name, "--runs", str(inputs), "--seed", SEED, "--corpus", str(tmp_path / "corpus" / "inputs")]
        figures = guided_figures(start("tests.fuzz.guided", arguments, tmp_path).told)
        assert figures["peak_rss_mib"] < RSS_MIB_MAX, "memory grows"
    else:
        (figures,) = start(
            "tests.fuzz.plain", ["--targets", name, "--inputs", str(INPUTS), "--seed", SEED], tmp_path
        ).figures
    assert figures["inputs"] >= inputs
    note(**figures, driver="atheris" if GUIDED else "plain", wall_s=round(time.monotonic() - began, 1))


@pytest.mark.parametrize("name", TARGETS)
def test_what_targets_begin_with_is_mostly_read(name: str) -> None:
    target = TARGETS[name]
    said = [checked(target, data) for data in target.seeds()]
    assert sum(not one.startswith("no: ") for one in said) * 2 >= len(said), said
    rng = Random(name)
    assert len({target.mutate(data, rng) for data in target.seeds() for _ in range(20)}) > 10
