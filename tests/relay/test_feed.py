"""The feed: each event once behind a cursor, filters that lose nothing, waiting, and cursors of another feed."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from posline.core.base64url import base64url
from posline.core.status import Status
from posline.storage import feed as storage_feed
from posline.storage.folder import Folder
from posline.storage.store import Store
from relay.feeding import Feed, NotThisFeed, event_id
from relay.postgres.connection import Database
from relay.postgres.home import DatabaseHome
from relay.relay import Relay
from tests.kit import Writer, all_entries, founded, shop_of, take
from tests.postgres import Cluster
from tests.relay.test_relay import Office, office
from tests.till.shop import TEA
from tests.till.test_joining import until


async def read_all(found: Office, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    """Every event, page by page, with the cursors that each page gives."""
    items: list[dict[str, Any]] = []
    after, life = "0", ""
    while True:
        asked = {"after": after, "feed": life} if life else {"after": after}
        answer = await found.http.get("/api/feed", headers=headers, params=asked | query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["entries"]
        after, life = page["next"], page["feed"]
        if after == page["end"] or not page["entries"]:
            return items


async def sold(found: Office, count: int = 3) -> None:
    """Every till sells, and the head office has it."""
    for till in found.tills:
        sales = [await till.sell([TEA]) for _ in range(count)]
        branch = found.relay.branch(till.shop_id)
        await until(lambda branch=branch, sales=sales: all(branch.reports.by_id(sale.id) for sale in sales))


async def test_a_filter_leaves_out_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with office(tmp_path, "North", "South") as found:
        await sold(found)
        every, one = await found.token(None), await found.token("North")
        whole = await read_all(found, every)
        south = found.tills[1].shop_id
        sales = [item for item in whole if item["kind"] == "sale"]
        assert len(sales) == 6
        theirs = [item for item in whole if item["shop"] == south]
        assert (await read_all(found, every, shop="South"))[: len(theirs)] == theirs  # tills sign meanwhile
        assert (await read_all(found, every, shop=["South", "North"], limit=2))[: len(whole)] == whole
        for scan in (1, 2, 7, 20_000):  # a question looks at so many events
            monkeypatch.setattr(storage_feed, "SCAN_MAX", scan)
            got: list[dict[str, Any]] = []
            after, end = "0", "1"
            while after != end:
                page = (
                    await found.http.get(
                        "/api/feed", headers=every, params={"after": after, "kinds": "sale,refund", "limit": 2}
                    )
                ).json()
                assert int(page["next"]) > int(after), "a cursor goes on where nothing was of these kinds"
                got, after, end = got + page["entries"], page["next"], page["end"]
            assert got == sales
        assert await read_all(found, one, kinds="sale") == [i for i in sales if i["shop"] != south]
        for query, status in (
            ({"shop": "South"}, 403), ({"kinds": ","}, 422), ({"kinds": "x" * 41}, 422), ({"wait": "61"}, 422),
            ({"wait": "-1"}, 422), ({"format": "xml"}, 422), ({"after": "x"}, 422),
        ):  # fmt: skip
            assert (await found.http.get("/api/feed", headers=one, params=query)).status_code == status, query


async def test_a_line_an_event(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await sold(found)
        reader = await found.token("North")
        plain = (await found.http.get("/api/feed", headers=reader)).json()
        lines = await found.http.get("/api/feed?format=ndjson", headers=reader)
        assert [json.loads(line) for line in lines.text.splitlines()] == plain["entries"]
        heads = [lines.headers[f"posline-{name}"] for name in ("next", "feed", "end")]
        assert heads == [plain["next"], plain["feed"], plain["end"]]
        assert lines.headers["content-type"] == "application/x-ndjson"


async def test_whoever_waits_is_answered_at_the_commit_or_in_time(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await sold(found)
        (till,), reader = found.tills, await found.token("North")
        end = (await found.http.get("/api/feed?limit=1000", headers=reader)).json()["next"]
        began = time.monotonic()
        quiet = await found.http.get("/api/feed", headers=reader, params={"after": end, "wait": 1})
        assert quiet.json()["entries"] == [] and quiet.json()["next"] == end and time.monotonic() - began >= 0.9
        asked = {"after": end, "wait": 20, "kinds": "sale"}
        waiting = asyncio.create_task(found.http.get("/api/feed", headers=reader, params=asked, timeout=30))
        await until(lambda: found.relay.arrivals.waiting == 1)
        sale = await till.sell([TEA])
        answer = (await waiting).json()
        assert [item["id"] for item in answer["entries"]] == [sale.id]


async def test_whoever_waits_is_told_when_the_head_office_stops(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        reader = await found.token("North")
        asked = {"kinds": "refund", "wait": 60}
        waiting = asyncio.create_task(found.http.get("/api/feed", headers=reader, params=asked, timeout=60))
        await until(lambda: found.relay.arrivals.waiting == 1)
        await found.relay.__aexit__(None, None, None)
        assert (await waiting).status_code == 503


async def test_a_database_that_was_put_back_is_noticed_behind_every_cursor(tmp_path: Path) -> None:
    folder, copy = tmp_path / "office", tmp_path / "copy"
    async with office(tmp_path, "North") as found:
        await sold(found)
        old = (await found.http.get("/api/feed?limit=1000", headers=await found.token("North"))).json()
    shutil.copytree(folder, copy)
    with Folder(folder) as opened:
        async with Relay(opened) as relay:
            feed = relay.feed
            feed.check(int(old["next"]), old["feed"])
            assert feed.life_of(int(old["next"])) == old["feed"], "a start changes nothing of what was numbered"
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    beyond = int(old["next"]) + 2
    with Folder(folder) as opened:
        async with Relay(opened) as relay:
            lost = relay.feed  # what came in after the copy was made, and was read, is in no later life
            relay.store._db.execute("INSERT INTO feed (shop, entry, event, status) SELECT shop, entry, event, status"
                                    " FROM feed ORDER BY n LIMIT 2")  # fmt: skip
            cursor = beyond, lost.life_of(beyond)
            lost.check(*cursor)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    with Folder(folder) as opened:
        async with Relay(opened) as relay:
            feed = relay.feed
            feed.check(int(old["next"]), old["feed"])
            with pytest.raises(NotThisFeed, match="put back to an older copy"):
                feed.check(beyond, None)
            relay.store._db.execute("INSERT INTO feed (shop, entry, event, status) SELECT shop, entry, event, status"
                                    " FROM feed ORDER BY n LIMIT 9")  # fmt: skip
            feed.check(beyond, None)  # a number alone is not enough by now
            with pytest.raises(NotThisFeed):
                feed.check(*cursor)


async def test_a_cursor_of_the_future_is_refused_over_http(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        reader = await found.token("North")
        for query in ({"after": "999999"}, {"after": "1", "feed": "another"}):
            answer = await found.http.get("/api/feed", headers=reader, params=query)
            assert answer.status_code == 409 and "another feed" in answer.json()["title"], query
        assert (await found.http.get("/api/feed?after=0&feed=another", headers=reader)).status_code == 200


def test_a_later_change_of_status_is_an_event_of_its_own() -> None:
    """Two tills recorded one sale while apart; the copy that came first turns out to be the duplicate."""
    one, two = sorted((Writer("alif"), Writer("be")), key=lambda writer: writer.id)
    shop = shop_of(one, two)
    for writer in (two, one):
        writer.sale(id="5f0e4d6e-6e3c-4b5e-9c5a-0f2f6f3f1a10")
        writer.seal()
    store = Store.open(":memory:", feed=True)
    Feed(store).begin()
    take(store, shop, [[entry] for entry in [*all_entries(two), *all_entries(one)]])
    feed = Feed(store)
    page = feed.page(shops=None, kinds=["sale"], after=0, limit=1000)
    told = [(item.event, item.entry.till == one.id, item.status) for item in page.items]
    last = {item.entry.hash: item.status for item in page.items}
    (kept,) = (e for e in one.entries if e.kind == "sale")
    (dropped,) = (e for e in two.entries if e.kind == "sale")
    assert last == {kept.hash: Status.COUNTED, dropped.hash: Status.DUPLICATE}
    assert told[-1][0] == "status" or told[-2][0] == "status"
    assert sum(event == "entry" for event, _, _ in told) == 2, "an entry is new once"
    lives = feed.lives_of([item.n for item in page.items])
    ids = [event_id(item, life) for item, life in zip(page.items, lives, strict=True)]
    assert len(set(ids)) == len(ids) and all(lives)


async def test_what_is_recorded_while_another_process_starts_is_of_one_life(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its readers hear of another life than they were told, and each webhook is switched off."""
    url, begin, till = cluster.url("started_beside"), Feed.begin, founded()
    looked, committed = threading.Event(), threading.Event()

    def slowly(self: Feed) -> None:
        begin(self)
        looked.set()
        assert committed.wait(30)

    def waits_for_the_start() -> bool:
        with Database(url).connect() as asking:
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return asking.execute(waiting).fetchone() is not None

    async def started() -> None:
        async with Relay(DatabaseHome(url)):
            pass

    async with Relay(DatabaseHome(url)) as first:
        monkeypatch.setattr(Feed, "begin", slowly)
        starting = asyncio.create_task(asyncio.to_thread(asyncio.run, started()))
        try:
            await until(looked.is_set)
            updates = [base64url(row.update) for row in till.rows("shop", 0, 100)]
            await first.attach(shop=till.shop, name="North", updates=updates, alias="")
            await until(lambda: first.feed.end() > 0 or waits_for_the_start())
            told = first.feed.lives_of([1]) if first.feed.end() else []
        finally:
            committed.set()
            await starting
        await until(lambda: first.feed.end() > 0)
        assert told in ([], first.feed.lives_of([1])), "what was told of an event stands"
