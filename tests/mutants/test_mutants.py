"""The promises are broken on purpose, one after another, and each time a test notices.

At every change two of them; in a proof all. The power rig has mutants of its own (tests/power/mutants.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.mutants.mutants import MUTANTS
from tests.mutants.plant import ROOT, Mutant, copy, plant, spoilt
from tests.power.mutants import MUTANTS as OF_POWER
from tests.proof import PROOF

SHARE = ("deletions-pass", "client-id-reused")
TRIED = [mutant for mutant in MUTANTS if PROOF or mutant.name in SHARE]
PASSED, FAILED, TESTS_S = 0, 1, 300  # pytest's exit codes; how long one test may take


def run(product: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run tests on a copy of the product, from a copy of themselves beside it."""
    shutil.copytree(ROOT / "tests", product / "tests", ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", product)
    for name in ("examples", "docs", "benchmarks"):
        (product / name).symlink_to(ROOT / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("POSLINE_", "PYTEST_"))}
    wanted = sorted(set(tests))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *wanted],
        cwd=product, env=environment | {"PYTHONPATH": str(product)}, capture_output=True, text=True,
        timeout=TESTS_S * len(wanted), check=False,
    )  # fmt: skip


def test_each_mutant_has_its_line() -> None:
    """All of them at every change: one whose line has gone would be missed at the next proof only."""
    for mutant in [*MUTANTS, *(mutant for some in OF_POWER.values() for mutant in some)]:
        assert spoilt(mutant) != (ROOT / mutant.file).read_text(), mutant.name


@pytest.mark.timeout(TESTS_S * len(TRIED) + 60)
def test_without_a_fault_the_same_tests_pass(tmp_path: Path) -> None:
    """Else a test that fails in a copy for some other reason would pass for one that noticed."""
    done = run(copy(tmp_path / "product"), (mutant.killed_by for mutant in TRIED))
    assert done.returncode == PASSED, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.timeout(TESTS_S + 60)
@pytest.mark.parametrize("mutant", TRIED, ids=lambda mutant: mutant.name)
def test_a_broken_promise_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    done = run(plant(mutant, tmp_path / "product"), [mutant.killed_by])
    assert done.returncode == FAILED, f"{mutant.name} lives: {done.stdout[-2000:]}{done.stderr[-2000:]}"
