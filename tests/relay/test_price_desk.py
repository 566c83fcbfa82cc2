"""Prices through the API and the commands: files, drafts, who may, and what differs in a shop."""

from __future__ import annotations

import asyncio
import gzip
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import BadRequest
from relay.commands import COMMANDS
from relay.price_desk import OPERATOR, Desk
from relay.rights import Actor, Role
from relay.uploads import WAITING_MAX
from tests.relay.test_publishing import publisher_of, through
from tests.relay.test_relay import Office, office
from tests.till.test_joining import until

FILE = """sku,name,price,tax,from,shop,group,shelf
TEA,Tea,300,standard,,,,A1
TEA,Tea,330,standard,2099-01-01,,,A1
MILK,Milk,220,,,,,
MILK,,210,,,South,,
MILK,,205,,,,Hills,
BAD,Bad,-1,,,,,
,No sku,1,,,,,
TEA,,1,,,Nowhere,,
SUGAR,,140,,,,,
"""


async def person(found: Office, name: str, role: Role, *shops: str) -> dict[str, str]:
    token = found.relay.people.add(name, role, list(shops) or None, by=Actor("x"))
    return {"authorization": f"Bearer {token}"}


async def test_a_file_is_previewed_drafted_published_and_comes_back(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        relay, (north, south), owner = found.relay, found.tills, await found.token(None)
        assert (await found.http.put("/api/prices/groups/Hills", json={"shops": ["North"]}, headers=owner)).is_success
        for dry_run, body in (("1", FILE.encode()), ("", gzip.compress(FILE.encode()))):
            path = f"/api/prices/import?why=spring&dry_run={dry_run}"
            answer = (await found.http.put(path, content=body, headers=owner)).json()
            assert (answer["rows"], answer["changed"], answer["bad_count"]) == (9, 5, 4), answer
            assert [row["line"] for row in answer["bad"]] == [7, 8, 9, 10]
            drafts = (await found.http.get("/api/prices/preview", headers=owner)).json()["count"]
            assert drafts == (0 if dry_run else 4)
        again = (await found.http.put("/api/prices/import", content=FILE.encode(), headers=owner)).json()
        assert (again["changed"], again["unchanged"]) == (0, 5)
        assert (await found.http.post("/api/prices/publish", json={"why": "spring"}, headers=owner)).json() == {
            "version": 2  # the first one is the group's
        }
        await through(publisher_of(relay))
        await until(lambda: (south.reports.product("MILK") or {}).get("price") == 210)
        await until(lambda: (north.reports.product("MILK") or {}).get("price") == 205)
        tea = north.reports.product("TEA")
        assert tea == {"sku": "TEA", "name": "Tea", "price": 300, "tax": "standard", "labels": {"shelf": "A1"},
                       "ahead": [{"from": "2099-01-01", "price": 330}]}  # fmt: skip
        file = (await found.http.get("/api/prices/export", headers=owner)).text
        assert "2099-01-01" in file
        assert (await found.http.put("/api/prices/import", content=file.encode(), headers=owner)).json()["changed"] == 0
        status = (await found.http.get("/api/prices/status", headers=owner)).json()
        assert [(v["number"], v["done"], v["shops"]) for v in status["versions"]] == [(2, 2, 2), (1, 1, 1)]
        history = (await found.http.get("/api/prices/history?sku=MILK", headers=owner)).json()["history"]
        assert {(each["list"].partition(":")[0], each["who"], each["why"]) for each in history} == {
            ("all", "Owner", "spring"), ("group", "Owner", "spring"), ("shop", "Owner", "spring"),
        }  # fmt: skip


async def test_who_may_set_what(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        north, south = (f"shop:{till.shop_id}" for till in found.tills)
        owner = await found.token(None)
        await found.http.put("/api/prices/items/TEA", json={"name": "Tea", "price": 300}, headers=owner)
        manager = await person(found, "Mina", Role.MANAGER, found.tills[0].shop_id)
        accountant, reader = await person(found, "Adil", Role.ACCOUNTANT), await person(found, "Rida", Role.READER)
        program = await found.token("North")
        for who, name, status in (
            (manager, north, 200), (manager, south, 404), (manager, "all", 403), (accountant, "all", 403),
            (reader, north, 403), (program, north, 403), ({}, north, 401), (owner, south, 200),
        ):  # fmt: skip
            answer = await found.http.put("/api/prices/items/TEA", json={"list": name, "price": 5}, headers=who)
            assert answer.status_code == status, (name, answer.text)
        assert (await found.http.post("/api/prices/publish", json={}, headers=manager)).status_code == 202
        lists = {each["list"]: each["drafts"] for each in Desk(found.relay, OPERATOR, Actor("x")).lists()}
        assert (lists["all"], lists[north], lists[south]) == (1, 0, 1), "hers alone is published"
        for body in ({}, {"lists": []}):  # she has no draft any more: nobody else's goes out in its place
            assert (await found.http.post("/api/prices/publish", json=body, headers=manager)).status_code == 409
        lists = {each["list"]: each["drafts"] for each in Desk(found.relay, OPERATOR, Actor("x")).lists()}
        assert (lists["all"], lists[south]) == (1, 1)
        seen = (await found.http.get("/api/prices", headers=manager)).json()["lists"]
        assert [(each["list"], each["may_set"]) for each in seen] == [("all", False), (north, True)]
        assert (await found.http.get(f"/api/prices/items?list={south}", headers=manager)).status_code == 404
        await found.http.post("/api/prices/publish", json={"lists": [south], "why": "South closes"}, headers=owner)
        for who, numbers in ((owner, [2, 1]), (manager, [1]), (program, [1])):
            status = (await found.http.get("/api/prices/status", headers=who)).json()
            assert [each["number"] for each in status["versions"]] == numbers, "nobody hears of others' shops"
        for path in ("groups/X", "policy"):
            body = {"shops": [], "list": "all", "differ": True}
            assert (await found.http.put(f"/api/prices/{path}", json=body, headers=manager)).status_code == 403
        for answer in (
            await found.http.put("/api/prices/items/TEA", json={"price": "x"}, headers=owner),
            await found.http.put("/api/prices/items/NEW", json={"price": 5}, headers=owner),
            await found.http.put("/api/prices/items/TEA", json={"name": "T", "from": "2099-01-01"}, headers=owner),
        ):
            assert answer.status_code == 422, answer.text


async def test_a_product_is_found_by_its_sku_among_many_that_have_it_in_them(tmp_path: Path) -> None:
    async with office(tmp_path) as found:
        owner = await found.token(None)
        rows = "".join(f"{n},Tea,9\n" for n in range(1000, 2001))  # each has a 9, and comes before it
        file = f"sku,name,price\n{rows}9,Nine,900\n"
        assert (await found.http.put("/api/prices/import", content=file, headers=owner)).json()["changed"] == 1002
        said = (await found.http.put("/api/prices/items/9", json={"price": 910}, headers=owner)).json()
        assert said["draft"] == {"sku": "9", "name": "Nine", "price": 910}


async def test_a_file_with_one_column_of_barcodes_speaks_of_the_first(tmp_path: Path) -> None:
    async with office(tmp_path) as found:
        owner = await found.token(None)

        async def sent(file: str) -> tuple[Any, Any]:
            await found.http.put("/api/prices/import", content=file, headers=owner)
            (item,) = (await found.http.get("/api/prices/items", headers=owner)).json()["items"]
            return item["draft"].get("barcode"), item["draft"].get("barcodes")

        assert await sent("sku,name,price,barcodes\nTEA,Tea,300,11|22\n") == ("11", ["11", "22"])
        assert await sent("sku,barcode\nTEA,33\n") == ("33", ["33", "22"])
        assert await sent("sku,barcode\nTEA,\n") == ("33", ["33", "22"])
        assert await sent("sku,barcodes\nTEA,\n") == (None, None)


async def test_files_that_take_long_keep_nobody_else_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def slow(*asked: Any, **how: Any) -> dict[str, Any]:
        assert done.wait(60)
        return {}

    monkeypatch.setattr(Desk, "import_file", slow)
    async with office(tmp_path) as found:
        owner = await found.token(None)
        async with httpx.AsyncClient(base_url=found.http.base_url, trust_env=False, timeout=60, headers=owner) as http:
            files = [asyncio.create_task(http.put("/api/prices/import", content=b"sku\n")) for _ in range(40)]
            try:
                async with asyncio.timeout(20):
                    await until(lambda: sum(file.done() for file in files) == 40 - WAITING_MAX)
                    assert (await found.http.get("/api/prices", headers=owner)).is_success
            finally:
                done.set()
            answers = [answer.status_code for answer in await asyncio.gather(*files)]
        assert (answers.count(200), answers.count(503)) == (WAITING_MAX, 40 - WAITING_MAX)


async def test_what_differs_in_a_shop_is_told(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        relay, (till,), owner = found.relay, found.tills, await found.token(None)
        await found.http.put("/api/prices/items/TEA", json={"name": "Tea", "price": 300}, headers=owner)
        await found.http.post("/api/prices/publish", json={}, headers=owner)
        await through(publisher_of(relay))
        await until(lambda: till.reports.product("TEA"))
        await till.write("products", {"products": [{"sku": "TEA", "name": "Tea", "price": 280}]}, document="catalog/1")
        branch = relay.branch("North")
        await until(lambda: (branch.reports.product("TEA") or {})["price"] == 280)
        shop = (await found.http.get("/api/prices/shops/North", headers=owner)).json()
        assert shop["differences"] == [
            {"sku": "TEA", "name": "Tea", "field": "price", "office": 300, "shop": 280, "kept": False}
        ]
        assert (await found.http.post("/api/prices/shops/North", json={}, headers=owner)).json() == {"version": 2}
        await through(publisher_of(relay))
        assert (await found.http.get("/api/prices/shops/North", headers=owner)).json()["differences"] == []


async def test_the_commands_do_the_same(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        relay = found.relay
        file = tmp_path / "prices.csv"
        file.write_text("sku,name,price\nTEA,Tea,300\n")

        async def run(name: str, **asked: Any) -> Any:
            return await COMMANDS[name](relay, asked)

        assert (await run("prices_import", file=str(file), list="all", dry_run=True))["changed"] == 1
        await run("prices_import", file=str(file), list="all")
        await run("prices_set", list="shop:North", sku="TEA", fields={"price": 310}, **{"from": "2099-01-01"})
        assert (await run("prices_preview"))["count"] == 2
        assert await run("prices_publish") == {"version": 1}
        with pytest.raises(BadRequest):
            await run("prices_set", list="all", sku="TEA", fields={"price": -1})
        assert (await run("prices_policy", list="all", differ=True))["lists"][0]["differ"] is True
        lines = [line async for line in (await run("prices_export", list="shop:North")).lines]
        assert lines[1].strip().endswith(found.tills[0].shop_id)
        assert (await run("prices_status"))["shops"][0]["wanted"] == 1
