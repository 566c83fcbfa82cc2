"""What a page keeps of the catalogue: all of it once, then only what changed, and never a product that is not so."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.storage import versions
from posline.till.changes import Change
from posline.till.editing import save_product
from posline.till.membership import set_role
from posline.till.page_catalogue import KEPT
from posline.till.till import Till, open_till
from tests.till.shop import invited, running, until


def shelf(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"sku": f"{n:05}", "name": f"Thing {n}", "price": 100 + n} | fields for n in range(count)]


async def fill(till: Till, products: list[dict[str, Any]]) -> None:
    for start in range(0, len(products), 200):
        await till.write("products", {"products": products[start : start + 200]}, document="catalog/1")


async def ask(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/api/catalogue", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def whole(client: httpx.AsyncClient, limit: int = 1000) -> tuple[str, dict[str, Any]]:
    """(the version of the first page, all products by SKU), as a page reads them."""
    first = page = await ask(client, limit=limit)
    kept = {product["sku"]: product for product in page["products"]}
    while page["next"] is not None:
        page = await ask(client, after=page["next"], limit=limit)
        assert page["whole"] and all(product["sku"] > list(kept)[-1] for product in page["products"])
        kept |= {product["sku"]: product for product in page["products"]}
    return first["version"], kept


async def follow(client: httpx.AsyncClient, version: str, kept: dict[str, Any]) -> str:
    """Bring `kept` up to date by what changed alone."""
    answer = await ask(client, have=version)
    assert not answer["whole"] and answer["next"] is None
    for sku in answer["gone"]:
        kept.pop(sku, None)
    kept |= {product["sku"]: product for product in answer["products"]}
    return str(answer["version"])


async def test_all_of_it_by_pages_with_what_selling_needs(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        retired = {"sku": "A", "name": "Old", "price": 1, "active": False}
        await fill(till, [*shelf(25, labels={"shelf": "A"}, unit="kg", stock="5"), retired])
        version, kept = await whole(client, limit=10)
        assert list(kept) == [f"{n:05}" for n in range(25)]
        assert kept["00003"] == {"sku": "00003", "name": "Thing 3", "price": 103, "unit": "kg"}
        nothing_new = await ask(client, have=version)
        assert nothing_new == {"version": version, "whole": False, "products": [], "gone": [], "next": None}
        assert set().union(*kept.values()) <= set(KEPT)
        assert (await client.get("/api/catalogue", params={"limit": "1001"})).status_code == 422
        assert (await client.get("/api/catalogue", params={"have": "x" * 201})).status_code == 422
        assert (await ask(client, have="nonsense"))["whole"]


async def test_what_changed_alone_comes_to_the_same_as_all_of_it(tmp_path: Path) -> None:
    dice = random.Random(7)
    async with running(tmp_path) as (till, client):
        await fill(till, shelf(40))
        version, kept = await whole(client)
        for turn in range(30):
            for _ in range(dice.randrange(3)):
                sku = f"{dice.randrange(45):05}"
                fields = {"name": f"Named {turn}", "price": dice.randrange(1000), "active": dice.random() < 0.7}
                await save_product(till, sku, fields)
            if turn % 7 == 0:
                await till.write("setting", {"name": "low_stock", "value": str(turn)}, document="shop")
                await till.sell([{"sku": "00001", "quantity": 1}])
            version = await follow(client, version, kept)
            assert kept == (await whole(client))[1]


async def test_what_is_added_while_the_pages_are_read_comes_with_the_first_pages_version(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await fill(till, shelf(20))
        first = await ask(client, limit=10)
        await save_product(till, "00000A", {"name": "Between", "price": 5})
        second = await ask(client, after=first["next"], limit=10)
        assert second["version"] != first["version"]
        kept = {product["sku"]: product for product in first["products"] + second["products"]}
        assert "00000A" not in kept
        await follow(client, first["version"], kept)
        assert kept["00000A"]["price"] == 5


async def test_edits_of_tills_that_were_apart_and_a_role_that_decides_between_them(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (a, client):
        await fill(a, shelf(3))
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            await b.connect(await a.listen())
            await until(lambda: b.reports.product("00001") and b.id in a.store.members(a.shop_id))
        version, kept = await whole(client)  # whatever reaches it from here on is news
        async with open_till(tmp_path / "b") as b:  # apart: nobody dials
            other = b.id
            b.links.refuse()
            await save_product(b, "00001", {"name": "From B", "price": 2})
            await save_product(a, "00001", {"name": "From A", "price": 1})
            await b.connect(await a.listen())
            await until(lambda: a.reports.catalog.in_conflict("00001"))
        version = await follow(client, version, kept)
        assert kept == (await whole(client))[1]
        before = kept["00001"]["name"]
        await set_role(a, other if before == "From B" else a.id, "till", force=True)
        answer = await ask(client, have=version)
        assert answer["whole"] and answer["products"][1]["name"] != before, "a role is another one: nothing is sure"


async def test_a_file_that_was_put_back_from_a_copy_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    async with open_till(folder) as till:
        await fill(till, shelf(3))
    shutil.copytree(folder, tmp_path / "image")
    async with running(folder) as (till, client):
        await save_product(till, "00001", {"name": "Lost", "price": 7})
        version, _ = await whole(client)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "image", folder)
    async with running(folder) as (till, client):
        assert (await ask(client, have=version))["whole"], "it is newer than the file is"
        for price in range(3):
            await save_product(till, "00002", {"name": "Other", "price": price})
        answer = await ask(client, have=version)
        assert answer["whole"] and answer["products"][1]["name"] == "Thing 1"


async def test_another_catalogue_and_too_many_changes_are_answered_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "CHANGED_MAX", 10)
    async with running(tmp_path) as (till, client):
        await fill(till, shelf(30))
        version, kept = await whole(client)
        await fill(till, shelf(10, unit="kg"))
        version = await follow(client, version, kept)
        await fill(till, shelf(11, unit="l"))
        answer = await ask(client, have=version)
        assert answer["whole"] and len(answer["products"]) == 30
        await till.write("products", {"products": shelf(2)}, document="catalog/2")
        await till.write("setting", {"name": "catalog", "value": 2}, document="shop")
        other = await ask(client, have=answer["version"])
        assert other["whole"] and len(other["products"]) == 2 and other["version"].startswith("catalog/2.")


async def test_what_does_not_count_is_in_no_page_and_comes_once_it_counts(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await fill(till, shelf(3))
        version, kept = await whole(client)
        entry = till.replica.write("products", {"products": shelf(1, unit="kg")}, document="catalog/1")
        await till.engine.durable(entry)
        hash = entry.entries[0].hash
        version_with = (await ask(client, have=version))["version"]
        # as if its till had been removed: the same elements, and one of them out of what counts
        till.store._db.execute("UPDATE entry SET status = 3 WHERE hash = ?", (hash,))
        assert (await ask(client, have=version_with))["whole"]
        assert (await follow(client, version, kept)) not in (version, version_with)
        till.store._db.execute("UPDATE entry SET status = 0 WHERE hash = ?", (hash,))
        assert (await ask(client, have=version_with))["products"] == []


async def test_news_of_the_catalogue_and_of_the_shop(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        heard: list[Change] = []
        changes = aiter(till.changes())

        async def next_of(kind: str) -> Change:
            while True:
                heard.append(await anext(changes))
                if heard[-1].kind == kind:
                    return heard[-1]

        waiting = asyncio.ensure_future(next_of("catalogue"))
        await until(lambda: till._news.heard)
        await fill(till, shelf(2))
        told = await asyncio.wait_for(waiting, 5)
        assert told.body == {"version": (await ask(client))["version"]}
        await till.sell([{"sku": "00001", "quantity": 1}])
        await client.put("/api/cashiers/Ali", json={"role": "supervisor"})
        assert (await asyncio.wait_for(next_of("shop"), 5)).body == {}
        assert [change.kind for change in heard if change.kind != "status"] == ["catalogue", "sale", "shop"]
        again = await asyncio.wait_for(next_of("catalogue"), 5)
        assert again.body == told.body, "the same products: a page that has them need not ask"
