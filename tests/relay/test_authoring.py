"""The head office writes into shops under its own key, and never twice from one entry, however many processes try."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from posline.core.clock import Clock
from posline.errors import BadEntry, CommitFailed, Overtaken
from posline.replica import Replica
from posline.storage.connection import connect, reader
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from posline.sync.engine import Engine
from relay.authoring import Authoring, NotOurs
from relay.operations.backups import LEAVE_BEHIND
from relay.postgres.connection import Database
from relay.postgres.store import PostgresStore
from tests.kit import StillTime, commit, founded, key_of, send, text_key
from tests.postgres import Cluster

OFFICE = key_of("office")


def tea(price: int) -> tuple[str, dict[str, Any], str]:
    return "products", {"products": [{"sku": "TEA", "name": "Tea", "price": price}]}, "catalog/1"


def shop_with_an_office() -> Replica:
    """A till of a shop that has admitted the head office."""
    till = founded()
    fields = {"key": text_key(OFFICE.public), "label": "HQ", "role": "head office"}
    till.write("member", fields, document="shop")
    commit(till)
    return till


async def office_over(stack: AsyncExitStack, store: Store, till: Replica, seed: str) -> tuple[Replica, Authoring]:
    """One process of the head office over a store, which has what the till wrote."""
    replica = Replica(
        store, till.shop, author=None, clock=None, random=random.Random(seed), documents=False, store_id=OFFICE.id,
        sign=OFFICE.sign,
    )  # fmt: skip
    engine = Engine(store, kind="head office")
    await engine.start()
    stack.push_async_callback(engine.stop)
    engine.add(replica)
    for document in till.documents():
        for row in till.rows(document, 0, 256):
            staged = replica.integrate(document, row.update, origin="till")
            if staged is not None:
                await engine.durable(staged)
    time = StillTime()
    clock: Clock = time.clock()
    return replica, Authoring(OFFICE, clock, lambda: engine)


def sound(replica: Replica) -> None:
    """Nothing of the head office's is forked, lost or doubted."""
    reports = Reports(replica.store, replica.shop, here=replica.store_id)
    assert reports.forks() == [] and reports.gaps() == []
    assert [problem for problem in verify(replica.store, replica.shop) if "sqlite" not in problem.lower()] == []
    unsure = "SELECT count(*) FROM entry WHERE author = ? AND (status <> 0 OR vouched = 0)"
    assert replica.store.read.execute(unsure, (OFFICE.id,)).fetchone()[0] == 0


async def test_what_it_writes_is_signed_at_once_and_outranks_a_manager() -> None:
    till = shop_with_an_office()
    async with AsyncExitStack() as stack:
        replica, authoring = await office_over(stack, Store.open(":memory:"), till, "one")
        mark = await authoring.write(replica, [tea(300), tea(310)])
        assert (mark.author, mark.seq) == (OFFICE.id, 4), "a run, two edits and the signature"
        assert replica.writers == {}, "and nothing is left of it in memory"
        till.write("products", tea(250)[1], document="catalog/1")  # apart from it
        commit(till)
        for document in ("journal/2026-11-23", "catalog/1"):
            for row in replica.rows(document, 0, 256):
                till.integrate(document, row.update, origin=OFFICE.id)
        commit(till)
        reports = Reports(till.store, till.shop, here=till.store_id)
        assert reports.product("TEA")["price"] == 310
        assert [edit["value"]["price"] for edit in reports.conflicts()[0]["edits"]] == [310, 250]
        with pytest.raises(BadEntry):
            await authoring.write(replica, [tea(320), ("products", {"products": []}, "catalog/1")])
        assert replica.staged == [] and (await authoring.write(replica, [tea(330)])).seq == 7
        sound(replica)


async def test_a_shop_that_has_not_admitted_it_is_left_alone() -> None:
    till = founded()
    async with AsyncExitStack() as stack:
        replica, authoring = await office_over(stack, Store.open(":memory:"), till, "one")
        with pytest.raises(NotOurs):
            await authoring.write(replica, [tea(300)])
        assert replica.staged == []


async def test_whoever_was_overtaken_writes_nothing_and_goes_on_behind_the_other(tmp_path: Path) -> None:
    """In one process: the disk is written by another writer of the same key between staging and commit."""
    till = shop_with_an_office()
    async with AsyncExitStack() as stack:
        replica, authoring = await office_over(stack, Store.open(tmp_path / "db"), till, "one")
        await authoring.write(replica, [tea(300)])
        late = Replica(
            replica.store, till.shop, author=None, clock=None, random=random.Random("late"), documents=False,
            store_id=OFFICE.id,
        )  # fmt: skip
        writer = late.writer(OFFICE, StillTime().clock())
        writer.fenced = True
        writer.write(*tea(1)[:2], document="catalog/1")
        await authoring.write(replica, [tea(310)])
        with pytest.raises(Overtaken):
            replica.store.commit(late.staged)
        late.reset()
        assert writer.write(*tea(320)[:2], document="catalog/1").entries[0].seq == 8, "behind what the other wrote"
        late.store.commit(late.staged)
        late.staged.clear()
        assert Reports(late.store, late.shop, here="").product("TEA")["price"] == 320


async def test_two_processes_that_both_lead_lose_nothing_and_fork_nothing(cluster: Cluster) -> None:
    till = shop_with_an_office()
    schema = Database(cluster.url("two_that_lead"))
    async with AsyncExitStack() as stack:
        made = []
        for seed in ("one", "two"):
            store = PostgresStore.connect(schema, readers=3)
            stack.callback(store.close)
            made.append(await office_over(stack, store, till, seed))
        prices: list[int] = []

        async def edits(place: int) -> None:
            replica, authoring = made[place]
            for n in range(12):
                price = 1000 * (place + 1) + n
                for _ in range(50):
                    try:
                        await authoring.write(replica, [tea(price)])
                        break
                    except CommitFailed:  # the other was faster
                        continue
                prices.append(price)

        await asyncio.gather(edits(0), edits(1))
        replica = made[0][0]
        replica.store.let_go(replica.shop)
        written = replica.store.read.execute(
            "SELECT raw FROM entry WHERE author = ? AND kind = 'products'", (OFFICE.id,)
        ).fetchall()
        assert len(written) == len(prices) == 24, "each edit once"
        sound(replica)


@pytest.mark.parametrize("brought", ["before it writes", "behind it"])
async def test_one_that_was_put_back_forks_nothing_of_what_it_had_written_since(tmp_path: Path, brought: str) -> None:
    """What the copy lacks is with the tills; their owners would be told for ever that a machine runs twice."""
    till, copy = shop_with_an_office(), tmp_path / "copy"
    async with AsyncExitStack() as stack:
        replica, authoring = await office_over(stack, Store.open(tmp_path / "db"), till, "one")
        await authoring.write(replica, [tea(300)])
        send(replica, till)
        with closing(connect(str(copy))) as made:
            reader(str(tmp_path / "db")).backup(made)
            made.execute(LEAVE_BEHIND)
        await authoring.write(replica, [tea(310)])
        send(replica, till)
        known = till if brought == "before it writes" else shop_with_an_office()
        again, authoring = await office_over(stack, Store.open(copy), known, "two")
        await authoring.write(again, [tea(320)])
        await authoring.write(again, [tea(330)])
        send(again, till)
        send(till, again)
        for held in (till, again):
            sound(held)
            assert Reports(held.store, held.shop, here="").product("TEA")["price"] == 330
        went_on = "SELECT count(*) FROM continuation WHERE author = ?"
        assert again.store.read.execute(went_on, (OFFICE.id,)).fetchone()[0] == 2, "the other two runs did"
