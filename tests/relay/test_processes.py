"""Several processes of one head office on one PostgreSQL: killed at random under load, and the database under them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.rig.crowd import Crowd, CrowdShop
from posline.storage.verify import verify
from relay.commands import COMMANDS
from relay.postgres.home import DatabaseHome
from relay.relay import Relay
from tests.postgres import Cluster
from tests.proof import PROOF, Note, share
from tests.relay.processes import Office, crowd_at, ring, until

SHOPS, TILLS = share(6, 50), 4
RING_S = share(12, 180)
KILL_S = 1.5  # between kills, about
SELDOM = 0.003 if PROOF else 0.1  # of all messages: each costs a second and more, one after the other
HEARD_S = share(90, 600)  # for the receiver to have heard them all


@dataclass
class Receiver:
    """Who hears webhooks, does each event once by its id, and is away now and then."""

    done: list[dict[str, Any]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    again: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(3))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(re.search(r"(?i)content-length: *(\d+)", head)[1])
                body = json.loads(await reader.readexactly(length))
                busy = self.rng.random() < SELDOM
                if not busy:
                    self._take(body)
                late = self.rng.random() < SELDOM  # it took it, and its answer is lost
                if late:
                    break
                writer.write(f"HTTP/1.1 {'503 Busy' if busy else '200 OK'}\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    def _take(self, body: dict[str, Any]) -> None:
        for event in body["events"]:
            if event["event_id"] in self.ids:
                self.again += 1
            else:
                self.ids.add(event["event_id"])
                self.done.append(event)


def held_by_all(shop: CrowdShop, ids: set[str]) -> bool:
    """Whether each till has each sale of the shop; they hear of each other's through the head office alone."""
    return all(len(till.replica.head(_journal(till)).state) and _count(till) == len(ids) for till in shop.tills)


def _journal(till: Any) -> str:
    return f"journal/{till.replica.day(time.time_ns() // 1_000_000)}"


def _count(till: Any) -> int:
    key = till.replica.store.shop_key(till.replica.shop)
    query = "SELECT count(*) FROM entry WHERE shop = ? AND kind = 'sale' AND status = 0"
    return int(till.replica.store.read.execute(query, (key,)).fetchone()[0])


async def whole_feed(url: str, token: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    after = ""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        while True:
            query = {"limit": "500"} | ({"after": after} if after else {})
            answer = (await http.get("/api/feed", params=query, headers={"authorization": f"Bearer {token}"})).json()
            if not answer["entries"]:
                return events
            events += answer["entries"]
            after = answer["next"]


@pytest.mark.timeout(share(900, 2400))
async def test_three_processes_killed_at_random_lose_and_double_nothing(
    cluster: Cluster, tmp_path: Path, note: Note
) -> None:
    office, receiver, rng = Office(cluster, tmp_path), Receiver(), random.Random(7)
    try:
        await office.start()
        async with receiver.listening() as hook, crowd_at(office, SHOPS, TILLS) as crowd:
            async with Relay(DatabaseHome(office.url), serving=False) as relay:
                relay.webhooks.add(hook, at=0, life="", private=True)
                token = (await COMMANDS["user_add"](relay, {"name": "Owner"}))["token"]
            killing = asyncio.create_task(kill_now_and_then(office, rng))
            rung = await ring(crowd, RING_S)
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            for process in office.processes:
                if not process.running:
                    await asyncio.to_thread(process.start)
            await until(
                "every till to hold its shop's sales, by the head office alone",
                lambda: all(held_by_all(shop, rung[shop.id]) for shop in crowd.shops),
            )
            total = sum(len(ids) for ids in rung.values())
            await until("all sales to be known at the head office", lambda: _acknowledged(crowd) == total)
            await asyncio.to_thread(office.kill)  # what was acknowledged is on the disk, whoever dies now
            await office.start()
            async with Relay(DatabaseHome(office.url), serving=False) as relay:
                for shop in crowd.shops:
                    branch = relay.branch(shop.id)
                    here = {r.entry.id for r in branch.reports.counted(("sale",), None, None)}
                    assert here == rung[shop.id]
                    await until("a till's own day to be the head office's", partial(_same_day, relay, shop))
                    assert [p for p in verify(relay.store, shop.id) if "lacks" in p or "harm" in p] == []
            events = await whole_feed(office.processes[0].page, token)
            assert [int(event["cursor"]) for event in events] == list(range(1, len(events) + 1)), "no hole, no repeat"
            first = Counter((e["shop"], e["document"], e["hash"]) for e in events if e["event"] == "entry")
            assert set(first.values()) == {1}, "each entry once"
            assert sum(e["kind"] == "sale" and e["event"] == "entry" for e in events) == total
            await until("the receiver to have heard it all", lambda: len(receiver.ids) >= len(events), HEARD_S)
            assert [e["event_id"] for e in receiver.done] == [e["event_id"] for e in events], "once each, in order"
            waits = sorted(wait for till in crowd.tills for wait, _ in till.replica.held)
            note(
                tills=len(crowd.tills), sales=total, kills=office.kills, events=len(events),
                webhooks_again=receiver.again, held_p50_ms=round(1000 * waits[len(waits) // 2]),
                held_p99_ms=round(1000 * waits[len(waits) * 99 // 100]),
            )  # fmt: skip
    finally:
        office.kill()


def _same_day(relay: Relay, shop: CrowdShop) -> bool:
    """Whether a till's report of the last day is the head office's: a seal may still be on its way between them."""
    reports = relay.branch(shop.id).reports
    day = reports.days()[-1]
    return bool(reports.day(day) == shop.tills[0].reports.day(day))


async def kill_now_and_then(office: Office, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(KILL_S * (0.5 + rng.random()))
        await office.kill_one(rng)


def _acknowledged(crowd: Crowd) -> int:
    return sum(len(till.replica.held) for till in crowd.tills)


@pytest.mark.timeout(share(600, 1800))
async def test_a_database_that_crashes_under_load_loses_nothing_that_was_acknowledged(
    tmp_path: Path, note: Note
) -> None:
    with Cluster(durable=True) as own:
        office, rng = Office(own, tmp_path, count=2), random.Random(5)
        try:
            await office.start()
            async with crowd_at(office, share(3, 20), TILLS) as crowd:
                ringing = asyncio.create_task(ring(crowd, share(15, 90)))
                crashes = 0
                while not ringing.done():
                    await asyncio.sleep(1 + rng.random())
                    await asyncio.to_thread(own.crash if crashes % 2 == 0 else own.stop)
                    await asyncio.sleep(rng.random())
                    await asyncio.to_thread(own.start)
                    crashes += 1
                rung = await ringing
                total = sum(len(ids) for ids in rung.values())
                await until("all sales to be known at the head office", lambda: _acknowledged(crowd) == total)
                assert all(process.running for process in office.processes), "they wait for it, and do not end"
                office.kill()
                async with Relay(DatabaseHome(office.url), serving=False) as relay:
                    for shop in crowd.shops:
                        here = [r.entry.id for r in relay.branch(shop.id).reports.counted(("sale",), None, None)]
                        assert Counter(here) == Counter(rung[shop.id])
                        assert [p for p in verify(relay.store, shop.id) if "lacks" in p or "harm" in p] == []
                note(tills=len(crowd.tills), sales=total, crashes=crashes)
        finally:
            office.kill()
