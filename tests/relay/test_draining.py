"""Processes of a head office that are told to go, under load: what was staged is kept, and the tills are elsewhere."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.storage.folder import Folder
from relay.operations.roster import Roster
from relay.postgres.home import DatabaseHome
from relay.relay import Relay
from tests.faults import rig
from tests.postgres import Cluster
from tests.relay.processes import Office, crowd_at, ring, until

SHOPS, TILLS = 4, 3
RING_S = 6.0


def told(process: rig.Process, number: signal.Signals) -> None:
    assert process._child is not None
    process._child.send_signal(number)


def events(process: rig.Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.timeout(300)
async def test_a_process_that_drains_under_load_loses_nothing_and_its_tills_are_elsewhere_at_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    office = Office(cluster, tmp_path, count=2)
    office.url = cluster.url("drained")
    for process in office.processes:
        process.arguments = [*process.arguments[:-1], office.url, "--log-format", "json"]
    first, second = office.processes
    try:
        await office.start()
        async with crowd_at(office, SHOPS, TILLS) as crowd:
            await until("all tills to be linked", lambda: all(till.linked for till in crowd.tills))
            ringing = asyncio.create_task(ring(crowd, RING_S))
            await asyncio.sleep(RING_S / 3)
            async with Relay(DatabaseHome(office.url), serving=False) as relay:
                roster = Roster(relay.office.database)
                assert [each.state for each in roster.listed(relay.office.now_ms())] == ["serving", "serving"]
            began_s = time.monotonic()
            told(first, signal.SIGTERM)
            assert await asyncio.to_thread(first.wait) == 0
            gone_s = time.monotonic() - began_s
            await until("every till to be linked elsewhere", lambda: all(till.linked for till in crowd.tills), 10)
            rung = await ringing
            total = sum(len(ids) for ids in rung.values())
            await until("all sales to be known", lambda: sum(len(till.replica.held) for till in crowd.tills) == total)
            async with Relay(DatabaseHome(office.url), serving=False) as relay:
                for shop in crowd.shops:
                    here = [r.entry.id for r in relay.branch(shop.id).reports.counted(("sale",), None, None)]
                    assert sorted(here) == sorted(rung[shop.id]), "each sale once"
            assert gone_s < 15
            (drained,) = [each for each in events(first) if each["event"] == "drained"]
            assert drained["whole"] is True
            ended = [each["message"] for each in events(first) if "a link ended" in each["message"]]
            assert any("elsewhere" in each for each in ended)
    finally:
        office.kill()
    assert second is office.processes[1]


class Slow(BaseHTTPRequestHandler):
    """A receiver that answers once it may."""

    may, came = threading.Event(), threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.came.set()
        self.may.wait(30)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


def test_a_webhook_under_way_ends_before_the_process_and_a_second_signal_waits_for_nothing(tmp_path: Path) -> None:
    receiver = HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    till = rig.Process(tmp_path / "till", arguments=["till", "--shop", "North", "--port", "0", "--sync-port", "0"])
    relay = rig.relay(tmp_path / "office")
    try:
        with till, relay:
            run = partial(rig.run, "--data", str(relay.data), module="relay.cli")
            run("webhook", "add", f"http://127.0.0.1:{receiver.server_port}/", "--private", "--from-beginning")
            link = run("invite").strip()
            rig.run("attach", link, "--data", str(till.data))
            assert Slow.came.wait(30)
            told(relay, signal.SIGTERM)
            base = relay.page
            rig.wait_for("it not to be ready", lambda: httpx.get(f"{base}/readyz", trust_env=False).status_code == 503)
            said = httpx.get(f"{base}/readyz", trust_env=False).json()
            assert said["ready"] is False and "going down" in said["reason"] and said["do"]
            assert httpx.get(f"{base}/healthz", trust_env=False).status_code == 200, "it lives"
            assert relay.running, "it waits for the webhook"
            Slow.may.set()
            assert relay.wait() == 0
            found = json.loads(run("webhook", "list", "--json"))
            assert int(found["webhooks"][0]["at"]) > 0 and found["webhooks"][0]["tries"] == 0, "it is written down"

            Slow.may.clear()
            Slow.came.clear()
            relay.start()
            till.post("/api/sales", rig.sale())
            assert Slow.came.wait(30)
            began_s = time.monotonic()
            told(relay, signal.SIGTERM)
            rig.wait_for("it to drain", lambda: relay.log.read_text().count("draining:") == 2)
            told(relay, signal.SIGTERM)
            assert relay.wait() == 0
            assert time.monotonic() - began_s < 10
    finally:
        Slow.may.set()
        receiver.shutdown()
        receiver.server_close()
    with Folder(tmp_path / "office"):
        pass  # it let go of it
