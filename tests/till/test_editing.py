"""Editing a product through the API: once per id, by those who may, and what becomes of it elsewhere."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx

from posline.till.api import build_app
from posline.till.membership import set_role
from posline.till.people import PERMISSIONS
from posline.till.till import open_till
from tests.till.shop import invited, running, sale, until, written

TEA = {"name": "Tea", "price": 25_000, "department": "Hot", "favourite": "1"}


async def test_an_edit_with_an_id_is_made_once_and_a_late_repeat_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await client.put("/api/products/TEA", json=TEA)
        asked = {"id": str(uuid.uuid4()), "price": 26_000, "by": "Bibi"}
        first = await client.put("/api/products/TEA", json=asked)
        assert (first.status_code, first.json()["price"], first.json()["department"]) == (200, 26_000, "Hot")
        assert (await client.put("/api/products/TEA", json={"price": 27_000})).status_code == 200
        again = await client.put("/api/products/TEA", json=asked)
        assert (again.status_code, again.json()) == (200, first.json()), "the first result"
        assert till.reports.product("TEA")["price"] == 27_000, "and not the old price once more"
        for path, change in (("TEA", {"price": 1}), ("MILK", {}), ("TEA", {"unit": "kg"})):
            assert (await client.put(f"/api/products/{path}", json=asked | change)).status_code == 409, (path, change)
        for wrong in (7, "", "no uuid"):
            assert (await client.put("/api/products/TEA", json={"id": wrong, "price": 1})).status_code == 422
        failed = {"id": str(uuid.uuid4()), "price": -1}
        assert (await client.put("/api/products/TEA", json=failed)).status_code == 422
        mended = await client.put("/api/products/TEA", json=failed | {"price": 5})
        assert (mended.status_code, mended.json()["price"]) == (200, 5), "the id is free"
        assert (await client.put("/api/products/TEA", json={"by": 5, "price": 1})).status_code == 422


async def test_the_repeat_of_an_edit_at_another_till_is_known_there(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        async with running(tmp_path / "b") as (b, client):
            asked = {"id": str(uuid.uuid4()), **TEA}
            assert (await client.put("/api/products/TEA", json=asked)).status_code == 200
            await until(lambda: a.reports.product("TEA"))
            sold = await a.sell([{"sku": "TEA", "quantity": 1}])
            assert (sold.total, sold.lines[0].name) == (25_000, "Tea"), "what was added at one till sells at another"
            await set_role(a, "B", "till")
            await until(lambda: b.store.members(b.shop_id)[b.id].role.value == "till")
            answer = await client.put("/api/products/TEA", json={"price": 1})
            assert answer.status_code == 403 and "manager" in answer.json()["detail"]
            assert b.reports.product("TEA") == a.reports.product("TEA") == {"sku": "TEA", **TEA}
        transport = httpx.ASGITransport(app=build_app(a), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700") as client:
            before = written(a)
            assert (await client.put("/api/products/TEA", json=asked)).status_code == 200
            assert (await client.put("/api/products/TEA", json=asked | {"price": 9})).status_code == 409
            assert written(a) == before


async def test_a_shop_may_ask_for_a_role_and_somebody_else_may_approve(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await client.put("/api/products/TEA", json=TEA)
        for name, role, pin in (("Bibi", "manager", "4321"), ("Ali", "cashier", "1234")):
            await till.people.save(name, {"role": role, "pin": pin})
        await till.write("setting", {"name": PERMISSIONS, "value": {"products": "manager"}}, document="shop")
        for asking in ({}, {"by": "Bibi"}, {"by": "Ali", "pin": "1234"}, {"approve": {"by": "Bibi", "pin": "0000"}}):
            assert (await client.put("/api/products/TEA", json={"price": 1} | asking)).status_code == 403, asking
        assert till.reports.product("TEA")["price"] == 25_000
        approved = {"id": str(uuid.uuid4()), "price": 2, "by": "Ali", "approve": {"by": "Bibi", "pin": "4321"}}
        assert (await client.put("/api/products/TEA", json=approved)).json()["price"] == 2
        (held,) = till.reports.by_id(approved["id"])
        assert (held.entry.by, held.entry.body["approved"]) == ("Ali", "Bibi")
        own = {"price": 3, "by": "Bibi", "pin": "4321"}
        assert (await client.put("/api/products/TEA", json=own)).json()["price"] == 3
        assert '"pin"' not in held.entry.raw.decode() and '"4321"' not in held.entry.raw.decode()


async def test_an_address_with_blanks_is_no_way_to_write_over_a_product(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await client.put("/api/products/TEA", json=TEA)
        for sku in ("%20TEA", "TEA%20", "%20"):
            answer = await client.put(f"/api/products/{sku}", json={"name": "Other", "price": 1})
            assert answer.status_code == 422, sku
        assert till.reports.product("TEA") == {"sku": "TEA", **TEA}
        assert (await client.put("/api/products/a/b%20c", json={"name": "Odd", "price": 1})).json()["sku"] == "a/b c"
        assert (await client.get("/api/products/a/b%20c")).json()["name"] == "Odd"


async def test_lists_end(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        tea = TEA | {"barcode": "1"}
        shelf = [tea | {"sku": f"{n:02}", "name": f"Tea {n}", "favourite": f"{n + 1}"} for n in range(7)]
        await till.write("products", {"products": shelf}, document="catalog/1")
        for query in ({"q": "tea"}, {"barcode": "1"}, {"department": "Hot"}, {"favourites": "1"}, {"retired": "1"}, {}):
            after, found = "", []
            for _ in range(9):
                params = {"limit": "2", "after": after} | query
                answer = (await client.get("/api/products", params=params)).json()
                found += [product["sku"] for product in answer["products"]]
                if answer["next"] is None:
                    break
                after = answer["next"]
            assert sorted(found) == [product["sku"] for product in shelf], query
            assert answer["next"] is None, query


async def test_what_a_product_says_of_tax_is_what_it_sells_with(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        for sku, fields in {
            "BISCUIT": {"price": 10_000, "tax": "standard", "mrp": 11_800, "third_schedule": True},
            "RICE": {"price": 10_500, "tax": "standard", "tax_rate": "5"},
            "SOAP": {"price": 11_800, "tax": "18"},
        }.items():
            assert (await client.put(f"/api/products/{sku}", json={"name": sku} | fields)).status_code == 200
        lines = [{"sku": sku, "quantity": 1} for sku in ("BISCUIT", "RICE", "SOAP")]
        sold = (await client.post("/api/sales", json=sale(lines=lines))).json()
        assert [(line["total"], line["tax"]) for line in sold["lines"]] == [
            (10_000, 1_800), (10_500, 500), (11_800, 1_800),
        ]  # fmt: skip
        await client.put("/api/products/BISCUIT", json={"third_schedule": None, "tax": None})
        sold = (await client.post("/api/sales", json=sale(lines=lines[:1]))).json()
        assert sold["lines"][0]["tax"] == 0
