"""Power that goes at each single step of an act: asked again, the act is there once and every total adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.steps import ACTS

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("act", sorted(ACTS))
def test_a_death_at_any_statement_loses_and_doubles_nothing(act: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.steps", str(tmp_path), act],
        capture_output=True, text=True, cwd=ROOT, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["deaths"] >= 8, "a commit has more steps than that"
