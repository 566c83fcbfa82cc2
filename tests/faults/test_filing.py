"""SIGKILL at random moments while a till files: the simulator's ledger has no sale twice, and each ends accepted or is
listed for a person. With POSLINE_PROOF=1 many times over."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.rig import Process, run, sale, till

KILLS = 80 if os.environ.get("POSLINE_PROOF") else 2
SALES = 12  # rung between two kills
LOAD_S = (0.0, 0.15)  # from the last answer to the kill
SETTLED_S = 60.0


def _ledger(simulator: Process) -> dict[str, Any]:
    found = httpx.get(simulator.page + "/ledger", timeout=30, trust_env=False).json()
    return dict(found)


def _filing(process: Process) -> dict[str, Any]:
    return dict(process.get("/api/fiscal?all=true&limit=1000"))


@pytest.mark.timeout(900)
def test_kills_while_filing_file_nothing_twice(tmp_path: Path) -> None:
    rng = random.Random("filing")
    simulator = Process(tmp_path / "service", "posline.cli", ["fiscal", "simulate", "--port", "0"])
    process = till(tmp_path / "till")
    ids: list[str] = []
    with simulator:
        with process:
            url = simulator.page + "/api/IMSFiscal/GetInvoiceNumberByModel"
            setting = json.dumps({"adapter": "fbr_ims", "pos_id": 812345, "url": url})
            said = json.loads(run("fiscal", "set", setting, "--json", "--data", str(process.data)))
            assert said["on"]
            assert said["here"]
            assert process.stop() == 0
        never = threading.Event()
        for _ in range(KILLS):
            with process:
                for _ in range(SALES):
                    body = sale(price=rng.randrange(1, 10_000))
                    assert process.post("/api/sales", body).status_code == 201
                    ids.append(body["id"])
                never.wait(rng.uniform(*LOAD_S))  # nothing sets it: this is the random moment
                process.kill()
        with process:
            deadline = time.monotonic() + SETTLED_S
            while (counts := _filing(process)["counts"])["queued"] or counts["sending"]:
                assert time.monotonic() < deadline, counts
                never.wait(0.05)
            ledger = _ledger(simulator)
            assert ledger["duplicates"] == {}
            print(f"{KILLS} kills, {len(ids)} sales: {counts}, {ledger['requests']} requests")
            assert counts["accepted"] + counts["unknown"] == len(ids)
            assert counts["unknown"] <= KILLS, "a kill leaves at most the one that was being sent in doubt"
            numbers = {entry["usin"]: entry["number"] for entry in ledger["accepted"]}
            for each in _filing(process)["queue"]:
                if each["state"] == "accepted":
                    assert each["number"] == numbers[each["usin"]]
            for each in [e for e in _filing(process)["queue"] if e["state"] == "unknown"][:2]:
                known = numbers.get(each["usin"])
                outcome = ["accepted", known] if known else ["not-sent"]
                run("fiscal", "resolve", each["usin"], *outcome, "--data", str(process.data))
            assert _ledger(simulator)["duplicates"] == {}
            assert process.stop() == 0
        run("verify", "--data", str(process.data))
