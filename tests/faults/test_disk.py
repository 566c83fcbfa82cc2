"""A full disk: the sale is refused with 507 and nothing is recorded; with room again the till sells on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rig import run, sale, till
from tests.machine import tmpfs

SIZE = "16m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    with tmpfs(place, size=SIZE):
        yield place


def test_a_full_disk_answers_507_records_nothing_and_sells_again(small_disk: Path) -> None:
    with till(small_disk / "till") as process:
        confirmed = []
        ballast = small_disk / "ballast"
        body = sale(price=5)
        assert process.post("/api/sales", body).status_code == 201
        confirmed.append(body["id"])
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        refused = None
        for _ in range(4000):
            body = sale(price=7)
            answer = process.post("/api/sales", body)
            if answer.status_code != 201:
                refused = body
                break
            confirmed.append(body["id"])
        assert refused is not None and answer.status_code == 507, answer.text
        assert "room" in answer.text or "full" in answer.text
        assert process.post("/api/sales", sale(price=8)).status_code == 507
        assert process.get("/api/status")["label"] == "A"
        assert process.running
        assert {s["id"] for s in process.sales()} == set(confirmed)
        ballast.unlink()
        assert process.post("/api/sales", refused).status_code == 201
        confirmed.append(refused["id"])
        assert sorted(s["id"] for s in process.sales()) == sorted(confirmed)
        report = process.get(f"/api/reports/day/{process.get('/api/status')['day']}")
        assert report["sales"]["count"] == len(confirmed)
        assert [t["missing"] for t in report["tills"]] == [[]]
        assert process.stop() == 0
    run("verify", "--data", str(process.data))


def test_a_till_that_was_killed_on_a_full_disk_starts_and_tells(small_disk: Path) -> None:
    with till(small_disk / "till") as process:
        body = sale(price=5)
        assert process.post("/api/sales", body).status_code == 201
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        process.kill()
    ballast.unlink()
    with process:
        assert [s["id"] for s in process.sales()] == [body["id"]]
        assert process.post("/api/sales", sale(price=6)).status_code == 201
