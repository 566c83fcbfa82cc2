"""The promises are broken on purpose, one after another, and each time a test notices.

At every change two of them; in a proof all. The power rig has mutants of its own (tests/power/mutants.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutants import MUTANTS
from tests.mutants.plant import ROOT, Mutant, plant
from tests.proof import PROOF

SHARE = ("deletions-pass", "client-id-reused")
FAILED, TESTS_S = 1, 300  # pytest's exit code where a test failed; how long one may take


def tree(mutant: Mutant, folder: Path) -> Path:
    """The product with its fault, and the tests beside it."""
    plant(mutant, folder)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("examples", "docs", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.timeout(TESTS_S + 60)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if PROOF or m.name in SHARE], ids=lambda mutant: mutant.name)
def test_a_broken_promise_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    folder = tree(mutant, tmp_path / "product")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("POSLINE_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", mutant.killed_by],
        cwd=folder, env=environment | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=TESTS_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == FAILED, f"{mutant.name} lives: {done.stdout[-2000:]}{done.stderr[-2000:]}"
