"""Two processes of one head office on PostgreSQL: either one's pages know what the other has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.rig.chain import Chain
from relay.alarms import Found
from relay.board import DayRow
from relay.feeding import NUMBERING, Feed
from relay.marks import marked_since
from relay.office import CONSOLE
from relay.postgres.connection import Readers, Rows
from relay.postgres.home import DatabaseHome
from relay.presence import Heard
from relay.relay import Relay
from tests.postgres import Cluster, programs
from tests.relay.test_board import equal
from tests.till.test_joining import until


@pytest.mark.skipif(programs() is None, reason="no PostgreSQL here")
async def test_what_one_process_hears_the_others_pages_show(tmp_path: Path) -> None:
    with Cluster() as cluster:
        url = cluster.url("board")
        async with Relay(DatabaseHome(url)) as one, Relay(DatabaseHome(url)) as two:
            chain = Chain(["North"])
            await chain.attach(one)
            (shop,) = chain.shops
            shop.moment.ms = one.office.now_ms()
            till = shop.tills[0].store_id

            def row(relay: Relay) -> DayRow | None:
                day = relay.today(shop.id)
                return relay.board.rows([shop.id], [day]).get((shop.id, day))

            def report() -> Any:
                return one.branch(shop.id).reports.day(one.today(shop.id))

            for expected in (1, 2, 3):
                chain.sell(shop)
                await chain.bring(one, shop)
                await until(lambda expected=expected: (found := row(two)) is not None and found.count == expected)
            equal(row(two), report())
            (seen,) = two.overview.shops(lambda shop: True)
            assert (seen.today.count, seen.today.net) == (3, report()["net"])

            _, before = marked_since(two.office.database, 0)
            one.presence.write({(shop.id, till): Heard("till", one.office.now_ms(), 2, 0)})
            (peer,) = two.peers(two.branch(shop.id))
            assert (peer["name"], peer["connected"], peer["behind"]) == ("A", True, 2)
            assert marked_since(two.office.database, before)[0] == {shop.id}, "pages of the other process are told"
            one.presence.end()
            (peer,) = two.peers(two.branch(shop.id))
            assert not peer["connected"] and peer["last_seen"]
            one.alarms.came(shop.id, [Found("x", "refused", 1, {"who": "w", "why": "y"})])
            assert [alarm.name for alarm in two.alarms.open(lambda shop: True)] == ["x"]
            shop.tills[0].write("day closed", {"of_day": one.today(shop.id), "vector": []})
            await chain.bring(one, shop)
            await until(lambda: bool((found := row(two)) and found.closed))
            equal(row(two), report())
            assert two.sums.over("tender", None, one.today(shop.id), "9").totals["net"] == report()["net"]


async def test_what_others_did_in_many_shops_is_one_question(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Relay(DatabaseHome(cluster.url("many"))) as relay:
        for n in range(30):
            relay.office.attach(f"{n:026}", f"Shop {n}", alias="", by=CONSOLE)
        asked: list[str] = []
        execute = Readers.execute

        def counted(self: Readers, query: str, values: Sequence[object] = ()) -> Rows:
            asked.append(query)
            return execute(self, query, values)

        monkeypatch.setattr(Readers, "execute", counted)
        assert len(relay.branches()) == 30
        assert len([query for query in asked if "version FROM shop" in query]) == 1


async def test_no_event_is_numbered_while_a_process_that_starts_begins_a_life_of_the_feed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number would be of another life than the one in which it was given out: a reader would be told that the
    database was put back, and a webhook would be switched off."""
    home, begin, free = DatabaseHome(cluster.url("lives")), Feed.begin, list[bool]()

    def begun(feed: Feed) -> None:
        begin(feed)
        with home.database.connect() as another:  # as if it were to number something
            row = another.execute("SELECT pg_try_advisory_lock(%s)", (home.database.lock(NUMBERING),)).fetchone()
            free.append(bool(row and row[0]))

    monkeypatch.setattr(Feed, "begin", begun)
    async with Relay(home):
        assert free == [False]


async def test_what_a_thread_hears_of_another_process_is_told_to_links_by_the_event_loop(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of prices and tokens that write are looked at in threads, and links are no business of theirs."""
    url = cluster.url("threads")
    async with Relay(DatabaseHome(url)) as one, Relay(DatabaseHome(url)) as two:
        chain = Chain(["North"])
        await chain.attach(one)
        (shop,) = chain.shops
        two.branch(shop.id)
        told: list[int] = []
        monkeypatch.setattr(two.engine.hub, "elsewhere", lambda *_: told.append(threading.get_ident()))
        two.store.sums(shop.id)  # as a link does that comes up
        chain.sell(shop)
        await chain.bring(one, shop)
        monkeypatch.setattr("relay.relay.GLANCE_S", 0.0)
        await asyncio.to_thread(two.branch, shop.id)
        assert told == [threading.get_ident()]
