"""Damage at rest: a till says what is wrong, keeps what is whole, sells, and gets back what the others have of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.damage import DAMAGES, Aftermath, Shop, open_shop
from tests.faults.rig import LoggingElsewhere, command, sale, till
from tests.machine import tmpfs
from tests.proof import PROOF, Note, share

SEEDS = share(1, 20)
KINDS = tuple(DAMAGES) if PROOF else ("range garbled", "log gone")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Where hundreds of copies of a shop cost no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="posline-damage-", dir=memory if memory.is_dir() else None) as at:
        yield Path(at)


@pytest.fixture(scope="module")
def shop(place: Path) -> Shop:
    """A shop whose first till is about to be damaged."""
    (place / "shop").mkdir()
    return open_shop(place / "shop", sales=share(40, 120), alone=5)


@pytest.mark.timeout(4 * 3600 if PROOF else 120)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_till_sells_on_and_gets_back_what_the_others_have(
    kind: str, shop: Shop, place: Path, note: Note
) -> None:
    found: Counter[str] = Counter()
    wrong: list[str] = []
    slowest = 0.0
    for seed in range(SEEDS):
        work = place / "work"
        work.mkdir()
        try:
            after = Aftermath.of(shop, work, kind, seed)
        finally:
            shutil.rmtree(work)
        found.update({
            "damages": 1, "said at the start": after.said, "of these in reading": after.ended,
            "found by verify": after.silent,
            "harmless": not (after.said or after.silent), "sales lost that nobody else had": after.lost,
        })  # fmt: skip
        slowest = max(slowest, after.ready_s)
        wrong += [f"{after.what}: {each}" for each in after.wrong]
    note(kind=kind, **{name.replace(" ", "_"): count for name, count in found.items()}, slowest_start_s=slowest)
    assert not wrong, wrong


def test_a_read_only_disk_is_named_in_one_line(tmp_path: Path) -> None:
    """A till on a disk that was mounted for reading only ends at once and says why."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with tmpfs(disk):
        with LoggingElsewhere(disk / "till", "posline.cli", till(disk / "till").arguments) as process:
            assert process.post("/api/sales", sale()).status_code == 201
            process.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        done = subprocess.run(
            [*command(), "till", "--data", str(disk / "till")], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1 and "Read-only" in done.stderr and "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
