"""Prices that change on a business day, at tills: without a network, at the day's own turn, and by files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from posline.core.clock import parse_iso
from posline.till.commands import COMMANDS
from posline.till.opening import Clockwork
from posline.till.till import open_till
from tests.till.shop import invited, running, until

EVENING = parse_iso("2026-11-30T22:00:00+05:00")
NIGHT = parse_iso("2026-12-01T03:59:59+05:00")  # the business day begins at four
MORNING = parse_iso("2026-12-01T04:00:01+05:00")
FIRST = "2026-12-01"


def clockwork(at: list[int], *, sure: bool = True) -> Clockwork:
    return replace(Clockwork(), wall_ms=lambda: at[0], synchronised=lambda: sure)


async def test_a_till_that_is_offline_changes_at_its_own_days_turn(tmp_path: Path) -> None:
    at = [EVENING]
    async with open_till(tmp_path / "a", shop="Corner", clockwork=clockwork(at)) as a:
        await invited(a, tmp_path / "b")
        async with running(tmp_path / "b", clockwork=clockwork(at)) as (b, client):
            await a.write("products", {"products": [{"sku": "TEA", "name": "Tea", "price": 300}]}, document="catalog/1")
            await until(lambda: b.reports.product("TEA"))
            answer = await client.put("/api/products/TEA", json={"price": 330, "from": FIRST})
            assert answer.json()["ahead"] == [{"from": FIRST, "price": 330}] and answer.json()["price"] == 300
            await until(lambda: "ahead" in (a.reports.product("TEA") or {}))
            listed = (await client.get("/api/products?scheduled=1")).json()["products"]
            assert [product["sku"] for product in listed] == ["TEA"]
    async with running(tmp_path / "b", clockwork=clockwork(at)) as (b, client):  # alone from now on
        line = [{"sku": "TEA", "quantity": 1}]
        assert (await b.sell(line)).total == 300
        at[0] = NIGHT
        assert (await b.sell(line)).total == 300, "still the old business day"
        version = (await client.get("/api/catalogue")).json()["version"]
        at[0] = MORNING
        sold = await b.sell(line)
        assert (sold.total, sold.day) == (330, FIRST)
        assert (await client.get("/api/products/TEA")).json() == {"sku": "TEA", "name": "Tea", "price": 330}
        assert (await client.get("/api/scan?code=TEA")).json()["products"][0]["price"] == 330
        kept = (await client.get("/api/catalogue")).json()
        assert (kept["version"], kept["products"][0]["price"]) == (version, 330), "no edit was needed for it"
        await client.put("/api/products/TEA", json={"name": "Strong tea"})
        assert b.reports.product("TEA") == {"sku": "TEA", "name": "Strong tea", "price": 330}


async def test_a_doubtful_clock_says_what_its_prices_go_by(tmp_path: Path) -> None:
    at = [EVENING]
    async with running(tmp_path, shop="Corner", clockwork=clockwork(at)) as (_, client):
        await client.put("/api/products/TEA", json={"name": "Tea", "price": 300})
        await client.put("/api/products/TEA", json={"price": 330, "from": FIRST})
    at[0] = 0  # it boots in 1970
    async with running(tmp_path, clockwork=clockwork(at, sure=False)) as (till, _):
        assert (await till.sell([{"sku": "TEA", "quantity": 1}])).total == 300
        (alarm,) = [alarm for alarm in till.alarms() if alarm["kind"] == "clock"]
        assert "2026-11-30" in alarm["detail"] and "prices" in alarm["detail"]
        assert till.replica.clock is not None
        till.replica.clock.set_by_person(MORNING)
        assert (await till.sell([{"sku": "TEA", "quantity": 1}])).total == 330


async def test_a_file_says_what_is_from_a_day_on_and_comes_back(tmp_path: Path) -> None:
    at = [EVENING]
    async with running(tmp_path / "a", shop="Corner", clockwork=clockwork(at)) as (till, _):
        file = tmp_path / "goods.csv"
        file.write_text(
            f"sku,name,price,from\nTEA,Tea,300,\nTEA,Tea,330,{FIRST}\nMILK,Milk,9,2026-11-01\n"
            f"NEW,New,1,{FIRST}\nMILK,Cream,10,{FIRST}\nSOAP,Soap,1,sometime\n"
        )
        found = await COMMANDS["catalogue_import"](till, {"file": str(file)})
        assert (found["products"], found["written"], [row["line"] for row in found["bad"]]) == (3, 3, [5, 6, 7])
        assert till.reports.product("TEA")["ahead"] == [{"from": FIRST, "price": 330}]  # type: ignore[index]
        assert till.reports.product("MILK") == {"sku": "MILK", "name": "Milk", "price": 9}
        lines = [line async for line in (await COMMANDS["catalogue_export"](till, {})).lines]
        out = tmp_path / "out.csv"
        out.write_text("".join(lines))
        again = await COMMANDS["catalogue_import"](till, {"file": str(out)})
        assert (again["written"], again["bad"]) == (0, [])
        await COMMANDS["catalogue_import"](till, {"file": str(out), "replace": True})
        assert till.reports.catalogue == "catalog/2" and "ahead" in (till.reports.product("TEA") or {})
        at[0] = MORNING
        assert (await COMMANDS["catalogue_import"](till, {"file": str(file)}))["bad_count"] == 1, "by now it may all be"
        assert till.reports.product("MILK") == {"sku": "MILK", "name": "Cream", "price": 10}
