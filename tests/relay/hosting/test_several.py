"""Devices of a head office of several processes, and of one that is stopped, killed, or made of a backup."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from posline.storage.folder import Folder
from posline.till.opening import Clockwork
from posline.till.shared import put
from relay.commands import COMMANDS
from relay.hosting import desk
from relay.hosting.steward import VOUCH_MS
from relay.office import CONSOLE
from relay.operations.backups import put_back
from relay.operations.dumps import load
from relay.postgres.connection import Database
from tests.kit import StillTime
from tests.postgres import Cluster
from tests.relay.hosting.offices import process, shop_at
from tests.till.shop import sale, until

DAY_MS = 86_400_000


async def test_two_processes_that_are_asked_at_once_with_one_id_record_it_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    url = cluster.url("hosted_twice")
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(process(url)) for _ in range(2)]
        shop = await stack.enter_async_context(shop_at(tmp_path / "till", first))
        one = await shop.paired(first)
        two = second.phone(one)
        bodies = [sale() for _ in range(12)]
        for body in bodies:
            async with asyncio.timeout(20):
                while True:
                    answers = await asyncio.gather(one.sell(body), two.sell(body))
                    found = {answer.status_code for answer in answers}
                    assert found <= {200, 201, 503}, [answer.text for answer in answers]
                    if 503 not in found:
                        break
        assert shop.sold(first, one) == [(body["id"], n) for n, body in enumerate(bodies, 1)]


async def test_what_another_process_committed_is_known_to_an_open_till(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.url("hosted_news")
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(process(url)) for _ in range(2)]
        shop = await stack.enter_async_context(shop_at(tmp_path / "till", first))
        one = await shop.paired(first)
        tea, cash = {"sku": "TEA", "name": "Tea"}, sale(lines=[{"sku": "TEA", "quantity": 1}])
        await shop.till.write("products", {"products": [tea | {"price": 300}]}, document="catalog/1")
        await shop.give(first)
        assert (await one.sell(cash)).json()["total"] == 300
        await put(shop.till, "rounding", 500)
        await shop.till.write("products", {"products": [tea | {"price": 450}]}, document="catalog/1")
        await shop.give(second)
        async with asyncio.timeout(20):
            while (await one.sell(cash | {"id": sale()["id"]})).json()["total"] != 450:  # noqa: ASYNC110  # it asks
                await asyncio.sleep(0)
        assert (await one.ask("GET", "/api/shop")).json()["cash_unit"] == 500


async def test_a_till_that_goes_on_elsewhere_is_let_go_of_here(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.url("hosted_moved")
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(process(url)) for _ in range(2)]
        shop = await stack.enter_async_context(shop_at(tmp_path / "till", first))
        one = await shop.paired(first)
        await one.sell(sale())
        assert (await second.phone(one).sell(sale())).status_code == 201
        await until(lambda: len(first.relay.tills) == 0)
        assert [number for _, number in shop.sold(second, one)] == [1, 2]


async def test_what_a_killed_process_left_unsigned_is_vouched_for_by_whoever_leads(
    place: Path | str, tmp_path: Path
) -> None:
    async with process(place) as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        await phone.sell(sale())
        at.relay.tills._let_go(phone.till)  # as a process that is gone: nobody here knows of it any more

        def unvouched() -> int:
            report = at.relay.branch(shop.id).reports.day(at.relay.branch(shop.id).day)
            return int(next(each for each in report["tills"] if each["till"] == phone.till)["unvouched"]["count"])

        await at.steward.round()
        assert unvouched() == 1, "it may be open in another process still"
        at.relay.office.now_ms = lambda: time.time_ns() // 1_000_000 + VOUCH_MS + 1000
        await at.steward.round()
        assert unvouched() == 0
        entries = "SELECT count(*) FROM entry WHERE author = ?"
        before = at.relay.store.read.execute(entries, (phone.till,)).fetchone()
        await at.steward.round()
        assert at.relay.store.read.execute(entries, (phone.till,)).fetchone() == before, "once"
        assert not at.relay.branch(shop.id).replica.writers
        assert (await phone.sell(sale())).json()["number"] == 2


async def test_a_stop_signs_and_the_next_start_goes_on(place: Path | str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with process(place) as at:
            shop = await stack.enter_async_context(shop_at(tmp_path / "till", at))
            phone = await shop.paired(at)
            body = sale()
            await phone.sell(body)
        async with process(place) as again:
            report = again.relay.branch(shop.id).reports.day(again.relay.branch(shop.id).day)
            assert next(e for e in report["tills"] if e["till"] == phone.till)["unvouched"]["count"] == 0
            back = again.phone(phone)
            assert (await back.sell(body)).status_code == 200
            assert (await back.sell(sale())).json()["number"] == 2


async def test_a_head_office_made_of_a_backup_hosts_nobody_until_they_are_paired_anew(
    place: Path | str, tmp_path: Path, cluster: Cluster
) -> None:
    copy, other = tmp_path / "copy", "sqlite" if isinstance(place, Path) else cluster.url("made_of_a_backup")
    async with AsyncExitStack() as stack:
        async with process(place) as at:
            shop = await stack.enter_async_context(shop_at(tmp_path / "till", at))
            phone = await shop.paired(at)
            await phone.sell(sale())
            at.invite(shop.id)
            seed = at.relay.devices.of(shop.id)[0].signing
            await COMMANDS["backup"](at.relay, {"file": str(copy), "with_key": True})
            assert seed not in copy.read_bytes().decode("latin-1"), "not even in what was free in its pages"
            sold = sale()
            await phone.sell(sold)
            await at.relay.tills.let_go_of_idle(at.relay.tills.clockwork.monotonic_ms() + 1)
            await shop.take(at)
        if other == "sqlite":
            with Folder(tmp_path / "made") as folder:
                put_back(folder, copy, None)
            made: Path | str = tmp_path / "made"
        else:
            load(copy, Database(other))
            made = other
        async with process(made) as again:
            await shop.give(again)
            lost = again.phone(phone)
            assert (await lost.sell(sale())).status_code == 401
            assert again.relay.devices.of(shop.id) == []
            fresh = await shop.paired(again, "NEW")
            assert (await fresh.sell(sold)).status_code == 200, "what the lost one had recorded is known by its id"
            assert (await fresh.sell(sale())).json()["number"] == 1
            assert again.relay.branch(shop.id).reports.forks() == []
            assert [number for _, number in shop.sold(again, phone)] == [1, 2]


async def test_idle_tills_and_their_shops_cost_no_memory(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        await phone.sell(sale())
        assert await at.relay.let_go_of_idle(time.monotonic() - 60) == 0
        assert len(at.relay.tills) == 1
        assert await at.relay.let_go_of_idle(time.monotonic() + 1) == 1
        assert len(at.relay.tills) == 0 and not at.relay._branches
        report = at.relay.branch(shop.id).reports.day(at.relay.branch(shop.id).day)
        assert next(e for e in report["tills"] if e["till"] == phone.till)["unvouched"]["count"] == 0, "signed first"
        assert (await phone.sell(sale())).json()["number"] == 2


async def test_what_follows_a_device_ends_with_it_and_keeps_its_till_open_until_then(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        gone, kept = await shop.paired(at), await shop.paired(at, "TWO")
        streams = [asyncio.ensure_future(phone.client.get("/api/events")) for phone in (gone, kept)]
        try:
            await until(lambda: len(at.relay.tills) == 2 and all(each.followed for each in at.relay.tills))
            await at.relay.let_go_of_idle(time.monotonic() + 1)
            assert len(at.relay.tills) == 2, "somebody looks at each of them"
            desk.remove(at.relay, at.relay.branch(shop.id), gone.till, by=CONSOLE)
            await until(streams[0].done)
            assert not streams[1].done()
            at.relay.tills.hush()  # this process goes: the page finds another one
            await until(streams[1].done)
        finally:
            for stream in streams:
                stream.cancel()


async def test_a_database_that_goes_away_costs_no_sale_and_doubles_none(tmp_path: Path) -> None:
    with Cluster() as server:
        async with process(server.url("hosted_away")) as at, shop_at(tmp_path / "till", at) as shop:
            phone, bodies = await shop.paired(at), [sale() for _ in range(3)]
            assert (await phone.sell(bodies[0])).status_code == 201
            posting = asyncio.ensure_future(phone.sell(bodies[1]))
            await asyncio.to_thread(server.crash)
            answers = [(await posting).status_code, (await phone.sell(bodies[1])).status_code]
            assert set(answers) <= {200, 201, 503}, answers
            assert answers[1] == 503, "it asks again"
            await asyncio.to_thread(server.start)
            for body in bodies:
                async with asyncio.timeout(40):
                    while (await phone.sell(body)).status_code == 503:  # noqa: ASYNC110  # it asks
                        await asyncio.sleep(0.1)
            assert shop.sold(at, phone) == [(body["id"], n) for n, body in enumerate(bodies, 1)]


async def test_a_head_office_that_learns_the_time_dates_what_was_sold_before_by_how_long_ago_it_was(
    tmp_path: Path,
) -> None:
    still = StillTime(0, synchronised=False)  # no battery, no network
    work = Clockwork(
        wall_ms=lambda: still.wall_ms, monotonic_ms=lambda: still.mono_ms, synchronised=lambda: still.synchronised
    )
    async with process(tmp_path / "office", work) as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        evening = (await phone.sell(sale())).json()
        still.pass_ms(9 * 3_600_000)
        still.synchronised, still.wall_ms = True, (time.time_ns() // 1_000_000 // DAY_MS + 1) * DAY_MS
        await phone.sell(sale())
        branch = at.relay.branch(shop.id)
        branch.replica.tick(0.0)
        await at.relay.engine.durable(*branch.replica.staged)
        was = branch.replica.day(still.wall_ms - 9 * 3_600_000)
        assert was < branch.replica.day(still.wall_ms)
        on_that_day = branch.reports.sales(day=was, till=None, after=0, limit=10)
        assert [each.entry.id for each in on_that_day] == [evening["id"]]
