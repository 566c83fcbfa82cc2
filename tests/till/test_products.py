"""The catalogue through the till's API and commands: found as one types, edited anywhere, taken over from files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from posline.errors import BadRequest
from posline.storage.verify import verify
from posline.till.commands import COMMANDS
from posline.till.editing import save_product
from posline.till.membership import set_role
from posline.till.till import Till, open_till
from tests.till.shop import invited, running, sale, until, written

SHELF = [
    {"sku": "101", "name": "Tapal Danedar Tea 475 g", "name_ur": "چائے", "price": 65_000, "department": "Grocery",
     "barcode": "8964000100019", "barcodes": ["8964000100019", "8964000100026"], "favourite": "1"},
    {"sku": "102", "name": "Lipton Tea Bags", "price": 40_000, "department": "Grocery"},
    {"sku": "103", "name": "7-Up 1.5 L", "price": 18_000, "department": "Drinks", "favourite": "2/3"},
    {"sku": "104", "name": "Tomatoes", "name_ur": "ٹماٹر", "price": 12_000, "unit": "kg", "low_stock": "5"},
]  # fmt: skip


async def fill(till: Till) -> None:
    await till.write("products", {"products": SHELF}, document="catalog/1")


def skus(answer: Any) -> list[str]:
    return [product["sku"] for product in answer.json()["products"]]


async def test_products_are_found_as_one_types(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await fill(till)
        for query, found in (
            ({"q": "t"}, ["101", "104", "102"]),
            ({"q": "tea"}, ["102", "101"]),
            ({"q": "tea dan"}, ["101"]),
            ({"q": "TEA BAG"}, ["102"]),
            ({"q": "7up"}, ["103"]),
            ({"q": "چائ"}, ["101"]),
            ({"q": "ٹماٹر"}, ["104"]),
            ({"q": "104"}, ["104"]),
            ({"q": "8964000100026"}, ["101"]),
            ({"barcode": "8964000100026"}, ["101"]),
            ({"barcode": "896400010002"}, []),
            ({"department": "Drinks"}, ["103"]),
            ({"favourites": "1"}, ["101", "103"]),
            ({"after": "102"}, ["103", "104"]),
            ({"q": "nothing like it"}, []),
        ):
            answer = await client.get("/api/products", params=query)
            assert sorted(skus(answer)) == sorted(found), query
        assert (await client.get("/api/departments")).json()["departments"] == [
            {"department": "Drinks", "products": 1}, {"department": "Grocery", "products": 2},
        ]  # fmt: skip


async def test_an_edit_changes_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await fill(till)
        changed = await client.put("/api/products/101", json={"price": 66_000, "favourite": None})
        assert changed.status_code == 200
        one = (await client.get("/api/products/101")).json()
        assert (one["price"], one["name"], one.get("favourite")) == (66_000, SHELF[0]["name"], None)
        before = written(till)
        assert (await client.put("/api/products/101", json={"price": 66_000})).status_code == 200
        assert written(till) == before, "saving what stands writes nothing"
        taken = await client.put("/api/products/102", json={"barcode": "8964000100026"})
        assert taken.status_code == 422 and "101" in taken.json()["detail"]
        wrong = await client.put("/api/products/102", json={"price": 1.5, "colour": "red", "mrp": -1})
        assert {error["field"] for error in wrong.json()["errors"]} == {"price", "colour", "mrp"}
        assert (await client.put("/api/products/102", json={"active": False})).status_code == 200
        assert skus(await client.get("/api/products", params={"q": "tea"})) == ["101"]
        assert (await client.get("/api/products/999")).status_code == 404


async def test_a_price_change_in_the_middle_of_a_sale_does_not_change_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await fill(till)
        seen = sale(lines=[{"sku": "102", "quantity": 1, "price": 40_000}])
        plain = sale(lines=[{"sku": "102", "quantity": 1}])
        first = (await client.post("/api/sales", json=plain)).json()
        await client.put("/api/products/102", json={"price": 45_000})
        assert (await client.post("/api/sales", json=seen)).json()["total"] == 40_000
        again = await client.post("/api/sales", json=plain)
        assert (again.status_code, again.json()) == (200, first)
        fresh = sale(lines=[{"sku": "102", "quantity": 1}])
        assert (await client.post("/api/sales", json=fresh)).json()["total"] == 45_000


async def test_what_was_edited_while_apart_is_shown_until_somebody_decides(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        await fill(a)
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.reports.product("104"))
            await save_product(b, "105", {"name": "Fresh dates", "price": 500})
            await until(lambda: a.product("105"))
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            await save_product(a, "104", {"price": 13_000})
            await save_product(b, "104", {"price": 14_000})
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.reports.conflicts() and a.reports.conflicts() == b.reports.conflicts())
            assert a.reports.product("104") == b.reports.product("104")
            (alarm,) = [alarm for alarm in b.alarms() if alarm["kind"] == "edit_conflict"]
            assert alarm["count"] == 1
            await save_product(b, "104", {"price": 13_500})
            await until(lambda: not a.reports.conflicts() and a.reports.product("104")["price"] == 13_500)
            for till in (a, b):
                assert list(verify(till.store, till.shop_id)) == []
            await set_role(a, "B", "till")
            await until(lambda: b.store.members(b.shop_id)[b.id].role.value == "till")
            with pytest.raises(Exception, match="may not edit products"):
                await save_product(b, "104", {"price": 1})


async def imported(till: Till, path: Path, **more: Any) -> dict[str, Any]:
    return dict(await COMMANDS["catalogue_import"](till, {"file": str(path), **more}))


async def exported(till: Till, path: Path) -> None:
    lines = await COMMANDS["catalogue_export"](till, {})
    path.write_text("".join([line async for line in lines.lines]))  # noqa: ASYNC240


async def test_a_file_goes_in_with_its_stock_once_and_comes_out_the_same(tmp_path: Path) -> None:
    file, out = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_text(
        "sku,name,price,name_ur,barcodes,department,unit,tax,mrp,third_schedule,stock,shelf\n"
        "1,=cmd|' /C calc'!A0,100,,,,,,,,,\n"
        "2,'@home,200,چائے,111 222,Grocery,kg,standard,250,yes,12.5,=A1\n"
        "3,,5,,,,,,,,,\n"
        "4,Salt,x,,,,,,,,,\n"
        "5,Sugar,300,,,Grocery,,,,,-3,\n"
    )
    async with open_till(tmp_path / "a") as till:
        answer = await imported(till, file)
        assert (answer["products"], answer["written"], answer["stocked"], answer["bad_count"]) == (3, 3, 2, 2)
        assert [row["line"] for row in answer["bad"]] == [4, 5]
        assert (till.stock.of("2")["on_hand"], till.stock.of("5")["on_hand"]) == ("12.5", "-3")
        again = await imported(till, file)
        assert (again["written"], again["stocked"]) == (0, 0), "and nothing is in stock twice"
        assert till.stock.of("2")["on_hand"] == "12.5"
        await exported(till, out)
        with out.open(newline="") as rows:
            assert not any(cell.startswith(("=", "@", "+")) for row in csv.reader(rows) for cell in row)
        before = {sku: till.reports.product(sku) for sku in ("1", "2", "5")}
        assert (await imported(till, out))["written"] == 0
        assert {sku: till.reports.product(sku) for sku in ("1", "2", "5")} == before
        assert before["2"] is not None and before["2"]["name"] == "@home", "an exported file's mark is no name"
        only = tmp_path / "only.csv"
        only.write_text("sku,name,price\n5,Sugar,310\n")
        await imported(till, only, replace=True)
        assert till.reports.product("1") is None
        assert till.product("5").price == 310  # type: ignore[union-attr]
        with pytest.raises(BadRequest, match="holds no product"):
            only.write_text("sku,name,price\n")
            await imported(till, only, replace=True)


async def test_rows_that_are_taken_and_look_wrong_are_named(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(
        "sku,name,price,tax,tax_rate,barcode\n"
        "1,Tea,100,standard,,111\n2,Salt,100,gst,,\n3,Rice,100,18,,111\n4,Oil,100,gst,5,\n5,Ghee,100,,,\n"
    )
    async with open_till(tmp_path / "a") as till:
        answer = await imported(till, file)
        assert (answer["products"], answer["bad_count"], answer["warning_count"]) == (5, 0, 2)
        named = [(row["line"], row["detail"].split(":")[0]) for row in answer["warnings"]]
        assert named == [(3, "tax"), (4, "barcode")]
        sold = await till.sell([{"sku": sku, "quantity": 1} for sku in "12345"])
        assert [line.tax > 0 for line in sold.lines] == [True, False, True, True, False], "which is what was said"


async def test_two_tills_that_take_one_file_while_apart_have_its_stock_once(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("sku,name,price,stock\n" + "".join(f"{n},Thing {n},100,10\n" for n in range(450)))
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.store.members(b.shop_id))
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            assert (await imported(a, file))["stocked"] == (await imported(b, file))["stocked"] == 450
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.day_report()["digest"] == b.day_report()["digest"])
            assert {till.stock.of(sku)["on_hand"] for till in (a, b) for sku in ("0", "200", "449")} == {"10"}


async def test_stock_that_one_till_received_while_apart_shifts_nobody_elses_opening(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("sku,name,price,stock\n" + "".join(f"{n},Thing {n},100,10\n" for n in range(450)))
    moves = [{"sku": "0", "quantity": 3, "reason": "receipt"}]
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.store.members(b.shop_id))
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            await b.stock.move({"id": "0190f0c2-7b8e-4c3a-9f5e-0000000000aa", "moves": moves})
            assert ((await imported(a, file))["stocked"], (await imported(b, file))["stocked"]) == (450, 449)
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.day_report()["digest"] == b.day_report()["digest"])
            for till in (a, b):
                assert {till.stock.of(str(n))["on_hand"] for n in range(1, 450)} == {"10"}
                assert till.stock.of("0")["on_hand"] == "13"
                assert list(verify(till.store, till.shop_id)) == []


async def test_a_dry_run_says_what_it_would_do_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("sku,name,price,stock\n1,Tea,100,5\n2,Salt,x,\n3,Rice,300,\n")
    async with open_till(tmp_path / "a") as till:
        for replace in (False, True):
            before = written(till)
            would = await imported(till, file, dry_run=True, replace=replace)
            assert (would["written"], would["stocked"], [row["line"] for row in would["bad"]]) == (2, 1, [3])
            assert written(till) == before and till.reports.product("1") is None
        did = await imported(till, file)
        assert (did["written"], did["stocked"]) == (2, 1)
