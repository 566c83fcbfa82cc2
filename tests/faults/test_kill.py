"""SIGKILL at random moments under load: every confirmed sale is there once, and no number is missing."""

from __future__ import annotations

import concurrent.futures
import os
import random
import threading
from pathlib import Path

import httpx
import pytest

from tests.faults.rig import Process, run, sale, till

SHARES = 4  # so that two workers can take turns
KILLS = int(os.environ.get("POSLINE_KILLS") or (100 if os.environ.get("POSLINE_PROOF") else 40))
CASHIERS = 4
LOAD_S = (0.0, 0.25)  # how long after the first answer the kill comes


def _ring(
    process: Process, stop: threading.Event, confirmed: dict[str, int], first: threading.Event, seed: int
) -> None:
    """Ring until the till is gone; what was answered 201 or 200 is confirmed."""
    rng = random.Random(seed)
    with httpx.Client(base_url=process.page, timeout=10, trust_env=False) as http:
        while not stop.is_set():
            body = sale(price=rng.randrange(1, 10_000))
            try:
                answer = http.post("/api/sales", json=body)
            except httpx.HTTPError:
                return
            assert answer.status_code in (200, 201, 503), answer.text
            if answer.status_code in (200, 201):
                confirmed[body["id"]] = body["lines"][0]["price"]
                first.set()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(SHARES))
def test_kills_lose_double_and_skip_nothing(share: int, tmp_path: Path) -> None:
    rng = random.Random(f"kill {share}")
    confirmed: dict[str, int] = {}
    process = till(tmp_path / "till")
    for kill in range(KILLS // SHARES):
        with process:
            stop, first = threading.Event(), threading.Event()
            with concurrent.futures.ThreadPoolExecutor(CASHIERS) as cashiers:
                for cashier in range(CASHIERS):
                    cashiers.submit(_ring, process, stop, confirmed, first, kill * 10 + cashier)
                assert first.wait(30)
                stop.wait(rng.uniform(*LOAD_S))  # nothing sets it: this is the random moment
                process.kill()
                stop.set()
    with process:
        held = process.sales()
        ids = [s["id"] for s in held]
        assert len(ids) == len(set(ids))
        totals = {s["id"]: s["total"] for s in held}
        assert {id: totals.get(id) for id in confirmed} == confirmed
        days = sorted({s["day"] for s in held})
        reports = [process.get(f"/api/reports/day/{day}") for day in days]
        assert sum(r["sales"]["count"] for r in reports) == len(held)
        for report in reports:
            assert [t["missing"] for t in report["tills"]] == [[]]
            assert [t["receipts"]["missing"] for t in report["tills"]] == [[]]
            assert report["duplicates"] == report["held"] == report["disputed"] == report["invalid"] == []
        assert sorted(s["number"] for s in held) == list(range(1, len(held) + 1))
        assert process.stop() == 0
    run("verify", "--data", str(process.data))
