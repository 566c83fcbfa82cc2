"""What is published reaches each shop once, through crashes and late tills, and a shop's own changes are seen."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from posline.errors import BadEntry, NotPossible
from posline.replica import Replica
from posline.sync.accept import WebSocketProtocol
from posline.till.joining import attach
from posline.till.listener import Listener
from posline.till.till import open_till
from relay.api import build_app
from relay.authoring import authoring_of, may_write
from relay.postgres.home import DatabaseHome
from relay.price_desk import OPERATOR, Desk
from relay.price_lists import ALL, group_list, shop_list
from relay.prices import Change
from relay.publishing import Publisher, held_versions
from relay.relay import Branch, Relay
from relay.rights import Actor
from tests.postgres import Cluster
from tests.relay.test_relay import Office, office
from tests.till.test_joining import attaching, until

TEA, MILK = {"name": "Tea", "price": 300}, {"name": "Milk", "price": 220}


def publisher_of(relay: Relay) -> Publisher:
    return Publisher(relay, authoring_of(relay), share=0.9)


async def through(publisher: Publisher) -> None:
    """Carry out all there is, once the shops' tills have let the head office in."""
    relay = publisher._relay
    await until(lambda: all(may_write(branch.replica, relay.key.id) for branch in relay.branches()))
    async with asyncio.timeout(60):
        while await publisher.round():
            pass


def publish(found: Office, name: str = ALL, **products: Any) -> int:
    relay = found.relay
    relay.prices.draft(name, [Change(sku, fields) for sku, fields in products.items()], why="spring")
    return relay.prices.publish([name], [shop.id for shop in relay.office.shops()])


def edits(branch: Branch) -> list[str]:
    """The SKUs that the head office wrote in a shop, in order, as often as it wrote them."""
    rows = branch.replica.store.read.execute(
        "SELECT e.name FROM edit e JOIN shop s ON s.key = e.shop WHERE s.id = ? AND e.author = ?"
        " ORDER BY e.seq, e.name",
        (branch.id, branch.replica.store_id),
    )
    return [name for (name,) in rows]


async def test_lists_reach_their_shops_and_who_holds_them_is_seen(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        relay, (north, south) = found.relay, found.tills
        relay.prices.set_group("Hills", [north.shop_id])
        publish(found, TEA=TEA, MILK=MILK)
        relay.prices.draft(group_list("Hills"), [Change("TEA", {"price": 340})])
        relay.prices.draft(shop_list(south.shop_id), [Change("MILK", {"price": 200}, "2099-01-01")])
        lists = [group_list("Hills"), shop_list(south.shop_id)]
        relay.prices.publish(lists, [north.shop_id, south.shop_id])
        with pytest.raises(NotPossible):
            relay.prices.publish(lists, [north.shop_id])
        publisher = publisher_of(relay)
        await through(publisher)
        await until(lambda: (north.reports.product("TEA") or {}).get("price") == 340)
        await until(lambda: "ahead" in (south.reports.product("MILK") or {}))
        assert south.reports.product("TEA") == {"sku": "TEA", **TEA}
        assert south.reports.product("MILK") == {"sku": "MILK", **MILK, "ahead": [{"from": "2099-01-01", "price": 200}]}
        assert (await north.sell([{"sku": "TEA", "quantity": 2}])).total == 680
        for till in (north, south):
            branch = relay.branch(till.shop_id)
            await until(lambda branch=branch: held_versions(relay, branch)["tills"][0]["version"] == 2)
            held = held_versions(relay, branch)
            assert (held["version"], held["wanted"], held["tills"][0]["behind"]) == (2, 2, False)
            assert branch.replica.writers == {}
        assert edits(relay.branch(north.shop_id)) == ["MILK", "TEA"], "its group's price at once"
        relay.prices.publish_again([north.shop_id, south.shop_id])
        await through(publisher)
        assert len(edits(relay.branch(north.shop_id))) == 2, "what is there is not written again"
        assert [each["now"]["price"] for each in relay.prices.history(sku="TEA")] == [340, 300]


async def test_what_a_manager_changed_is_seen_and_kept_or_not(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        relay, (till,) = found.relay, found.tills
        branch, publisher = relay.branch(till.shop_id), publisher_of(relay)
        publish(found, TEA=TEA)
        await through(publisher)
        await until(lambda: till.reports.product("TEA"))
        await till.write("products", {"products": [{"sku": "TEA", "name": "Tea", "price": 280}]}, document="catalog/1")
        await until(lambda: (branch.reports.product("TEA") or {})["price"] == 280)
        relay.prices.set_policy(ALL, True)
        publish(found, TEA={"price": 310})
        await through(publisher)
        assert branch.reports.product("TEA")["price"] == 280  # type: ignore[index]
        assert held_versions(relay, branch)["tasks"][0]["kept"] == 1
        relay.prices.set_policy(ALL, False)
        relay.prices.publish_again([branch.id])
        await through(publisher)
        await until(lambda: (till.reports.product("TEA") or {})["price"] == 310)


async def test_a_shop_that_comes_later_gets_the_catalogue(tmp_path: Path) -> None:
    async with office(tmp_path) as found:
        relay = found.relay
        publish(found, TEA=TEA)
        assert not await publisher_of(relay).round()
    async with office(tmp_path, "Late") as found:
        await through(publisher_of(found.relay))
        await until(lambda: found.tills[0].reports.product("TEA"))


@pytest.mark.parametrize("error", [BadEntry("not by our rules"), KeyError("price")])
async def test_a_shop_that_cannot_be_written_to_keeps_no_other_waiting(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path, "North", "South") as found:
        relay, (stuck, other) = found.relay, sorted(found.tills, key=lambda till: till.shop_id)
        authoring = authoring_of(relay)
        write = authoring.write

        async def refusing(replica: Replica, *drafts: Any, **how: Any) -> Any:
            if replica.shop == stuck.shop_id:
                raise error
            return await write(replica, *drafts, **how)

        monkeypatch.setattr(authoring, "write", refusing)
        publish(found, TEA=TEA)
        await through(Publisher(relay, authoring, share=0.9))
        await until(lambda: other.reports.product("TEA"))
        (task,) = relay.prices.waiting()
        assert task.shop == stuck.shop_id and str(error) in task.why, "it says why"
        await through(publisher_of(relay))
        await until(lambda: stuck.reports.product("TEA"))


async def test_killed_at_random_points_it_writes_each_product_once(tmp_path: Path) -> None:
    die = random.Random(5)
    async with office(tmp_path, "North", "South") as found:
        relay = found.relay
        goods = {f"P{n:04}": {"name": f"Product {n}", "price": n} for n in range(1, 701)}
        publish(found, **goods)
        for _ in range(40):
            publisher = publisher_of(relay)
            publisher.start()
            await asyncio.sleep(die.random() * 0.1)
            task = publisher._task  # it is killed, and does not stop
            assert task is not None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for branch in relay.branches():
                branch.replica.release_writer(relay.key.id)
            if not relay.prices.waiting():
                break
        await through(publisher_of(relay))
        for till in found.tills:
            branch = relay.branch(till.shop_id)
            assert edits(branch) == sorted(goods)
            await until(lambda till=till: len(till.reports.products(limit=1000)) == len(goods))
            assert branch.reports.forks() == [] and branch.reports.gaps() == []


async def test_two_processes_that_both_lead_write_each_product_once(cluster: Cluster, tmp_path: Path) -> None:
    """On PostgreSQL, the books too: each carries the same publication out, and the shop is written to once."""
    url = cluster.url("two_publishers")
    async with Relay(DatabaseHome(url)) as one, Relay(DatabaseHome(url)) as two:
        front = Listener(
            build_app(one, one.engine.routes(one.find)), host="127.0.0.1", port=0, websocket=WebSocketProtocol
        )
        await front.start()
        async with open_till(tmp_path / "till", shop="North") as till:
            await attach(till, attaching(one, front))
            goods = {f"P{n:03}": {"name": f"Product {n}", "price": n} for n in range(1, 451)}
            changes = [Change(sku, fields) for sku, fields in goods.items()]
            assert len(one.prices.draft(ALL, changes, why="spring")) == len(goods)
            assert one.prices.draft(ALL, changes) == [] and two.prices.counts()[ALL] == (0, len(goods))
            assert two.prices.publish([ALL], [till.shop_id]) == 1
            await until(lambda: may_write(one.branch("North").replica, one.key.id))
            await until(lambda: may_write(two.branch("North").replica, two.key.id))
            await asyncio.gather(through(publisher_of(one)), through(publisher_of(two)))
            branch = one.branch("North")
            assert edits(branch) == sorted(goods)
            assert branch.reports.forks() == []
            await until(lambda: len(till.reports.products(limit=1000)) == len(goods))
            await until(lambda: held_versions(two, two.branch("North"))["tills"][0]["version"] == 1)
            desk = Desk(two, OPERATOR, Actor("x"))
            assert desk.status()["versions"][0]["done"] == 1 and desk.shop("North")["differences"] == []
            desk.set_group("Hills", ["North"])
            desk.edit("group:Hills", "P001", {"price": 7}, start="2099-01-01")
            assert [row["sku"] for row in desk.items("group:Hills", q="p0")] == ["P001"]
            assert desk.preview()["count"] == 1 and desk.discard() == 1
            assert len(desk.history(sku="P001")) == 1 and len(list(desk.export())) == len(goods) + 1
        front.refuse()
    await front.stop()
