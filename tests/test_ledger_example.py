"""The ledger of the examples holds each sale once, whatever is killed, and ties to the head office's own accounting."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from examples.ledger.books import Books
from examples.rig.programs import free_port
from posline.core.entry import decode
from posline.storage.store import Store
from posline.till.till import Till
from relay.accounting import Chart, added_up
from relay.bookkeeping import Bookkeeping
from relay.delivering import Deliverer, HttpSender
from relay.feeding import Feed, shown
from relay.webhooks import STEPS, Webhooks
from tests.kit import take
from tests.relay.books import Tables
from tests.relay.test_accounting import CHART, trade
from tests.relay.test_relay import Office, office
from tests.till.shop import TEA
from tests.till.test_joining import until

ROOT = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def killed_at_random(child: asyncio.subprocess.Process, chance: random.Random) -> None:
    """SIGKILL: behind some of what it says, or in the middle of something."""
    assert child.stdout is not None
    for _ in range(chance.randint(1, 4)):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.stdout.readline(), chance.uniform(0.05, 0.6))
    child.kill()
    await child.wait()


async def trading(till: Till, chance: random.Random, halt: asyncio.Event) -> None:
    """A till that sells, takes back, counts, and moves cash, until it is told to stop."""
    sold: list[str] = []
    while not halt.is_set():
        act = chance.random()
        if act < 0.6 or not sold:
            line = {"sku": "X", "name": "X", "quantity": "1.333", "price": 999, "class": "standard"}
            tender = chance.choice((None, [{"kind": "card", "amount": 500 + 1332}]))
            sold.append((await till.sell([TEA, line], tenders=tender)).id)
        elif act < 0.75:
            await till.refund(sold.pop(), reason="torn")
        elif act < 0.85:
            request = {"id": str(uuid.uuid4()), "direction": "out", "amount": 5, "reason": "Bank: main"}
            await till.shifts.cash(request)
        elif act < 0.95:
            await till.shifts.close({"id": str(uuid.uuid4()), "counted": {"cash": chance.randint(0, 5000)}})
            sold.clear()
        await asyncio.sleep(0.01)  # a cashier is no faster
    await till.sell([TEA])  # whatever chance had in mind: something lies in a Z report, and something in none
    await till.shifts.close({"id": str(uuid.uuid4()), "counted": {"cash": 0}})
    await till.sell([TEA])


@contextlib.asynccontextmanager
async def busy(found: Office, chance: random.Random) -> AsyncIterator[None]:
    """All tills trade; at the end they are done, and the head office has everything."""
    for till in found.tills:
        tax = {"standard": {"name": "S", "rates": [{"rate": "18"}]}}
        await till.write("setting", {"name": "tax", "value": tax}, document="shop")
    halt = asyncio.Event()
    tasks = [asyncio.create_task(trading(till, chance, halt)) for till in found.tills]
    try:
        yield
    finally:
        halt.set()
        await asyncio.gather(*tasks)
    for till in found.tills:
        reports = found.relay.branch(till.shop_id).reports
        own = till.day_report(till.day)["digest"]
        await until(lambda reports=reports, own=own, day=till.day: reports.day(day)["digest"] == own)


def tied(found: Office, path: Path) -> None:
    """The books are the accounting of each shop, and its Z reports and what none of them has."""
    books, count = Books(path), 0
    for till in found.tills:
        days = list(Bookkeeping(found.relay.store, till.shop_id, CHART).days(None, None))
        assert all(day["ties"] for day in days)
        ours = books.balances(till.shop_id)
        assert ours == added_up(day["journal"] for day in days)
        (day,) = (day for day in days if day["shifts"])
        net = {row["figure"]: row for row in day["tie"]}["net"]
        sold = -sum(n for what, n in ours.items() if what.partition(":")[0] in ("sales", "refunds", "voids", "tax"))
        assert sold == net["z_reports"] + net["no_z_report"], "no duplicates in this shop"
        count += sum(shift["net"] != 0 for shift in day["shifts"])
    assert sum(books.balances().values()) == 0 and count > 1
    books.close()


async def test_a_follower_that_is_killed_again_and_again_posts_each_sale_once(tmp_path: Path) -> None:
    chance, path = random.Random(), tmp_path / "books.db"
    async with office(tmp_path, "North", "South") as found:
        token = (await found.token(None))["authorization"].removeprefix("Bearer ")
        where = ("--url", str(found.http.base_url), "--token", token, "--books", str(path))
        async with busy(found, chance):
            for _ in range(6):
                async with program("examples.ledger.follow", *where) as child:
                    await killed_at_random(child, chance)
        async with program("examples.ledger.follow", *where, "--once") as child:
            await child.communicate()
            assert child.returncode == 0
        tied(found, path)
        async with program("examples.ledger.balances", "--books", str(path), *where[:4]) as child:
            said, _ = await child.communicate()
            assert child.returncode == 0, said.decode()
        books = Books(path)
        books.take([{"event_id": "made-up", "feed": "made up", "cursor": "1", "shop": found.tills[0].shop_id,
                     "hash": "x", "kind": "cash", "status": "counted", "entry": {
                         "till": "a", "run": 1, "seq": 1, "day": "2026-11-23", "direction": "in", "amount": 1,
                         "reason": "x"}}])  # fmt: skip
        books.close()
        async with program("examples.ledger.balances", "--books", str(path), *where[:4]) as child:
            said, _ = await child.communicate()
            assert child.returncode == 1 and b"the head office says" in said, "it would say so if they differed"


async def test_a_receiver_that_is_killed_again_and_again_posts_each_sale_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.webhooks.DELAY_S", 0.1)
    monkeypatch.setattr("relay.webhooks.DELAY_S_MAX", 0.2)
    chance, path, port = random.Random(), tmp_path / "books.db", str(free_port())
    async with office(tmp_path, "North", "South") as found:
        webhooks = Webhooks(Tables(STEPS), lambda: time.time_ns() // 1_000_000, found.relay.arrivals.tell)
        one = webhooks.add(f"http://127.0.0.1:{port}/", at=0, life="", private=True, batch=7)
        where = ("examples.ledger.receive", "--port", port, "--secret", one.secret, "--books", str(path))
        deliverer = Deliverer(found.relay.store, webhooks, HttpSender(), found.relay.arrivals)
        deliverer.start()
        try:
            async with busy(found, chance):
                for _ in range(6):
                    async with program(*where) as child:
                        await killed_at_random(child, chance)
            async with program(*where):
                await until(lambda: webhooks.progress(one.id).at == Feed(found.relay.store).page(
                    shops=None, kinds=None, after=10**9, limit=1).end)  # fmt: skip
        finally:
            await deliverer.stop()
        assert webhooks.dead(one.id) == []
        tied(found, path)


def test_duplicates_and_late_entries_tie_in_whatever_order_they_come(tmp_path: Path) -> None:
    """Random shops whose tills record sales twice, held against the books that were told event by event."""
    for seed in range(12):
        shop = trade(seed, 70)
        shop.meet()
        entries = event_rows(shop.tills[0].store)
        store = Store.open(":memory:", feed=True)
        Feed(store).begin()
        random.Random(seed).shuffle(entries)
        take(store, shop.tills[0].shop, [[entry] for entry in entries])
        books = Books(tmp_path / f"{seed}.db")
        feed, after, requeued, chance = Feed(store), 0, list[dict[str, Any]](), random.Random(seed)
        while (page := feed.page(shops=None, kinds=None, after=after, limit=9)).items:
            lives = feed.lives_of([item.n for item in page.items])
            events = [shown(item, life) for item, life in zip(page.items, lives, strict=True)]
            given_up = [event for event in events if event["event"] == "entry" and chance.random() < 0.2]
            taken = [event for event in events if event not in given_up]
            requeued += given_up
            assert books.take(taken) == len(taken) and books.take(taken) == 0
            after = page.reached
        assert books.take(requeued) == len(requeued), "what was given up comes at last, behind what is newer"
        days = list(Bookkeeping(store, shop.tills[0].shop, Chart()).days(None, None))
        assert books.balances() == added_up(day["journal"] for day in days), seed
        for day in days if not any(entry.kind == "redate" for entry in entries) else ():
            assert books.balances(day=day["day"]) == added_up([day["journal"]])
        books.close()


def event_rows(store: Store) -> list[Any]:
    rows = store.read.execute(
        "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
    )
    return [decode(name, raw) for name, raw in rows]
