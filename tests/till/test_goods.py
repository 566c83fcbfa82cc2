"""Stock and carts that wait: movements that merge, and a cart that any till takes up once."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from posline.errors import NotPossible
from posline.till.till import open_till
from tests.till.shop import TEA, invited, running, sale, until


def moved(*moves: dict[str, Any]) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "moves": list(moves)}


def new(**fields: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4())} | fields


async def test_on_hand_is_all_movements_less_sales(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await till.write("products", {"products": [{"sku": "TEA", "name": "Tea", "price": 250, "low_stock": "7"}]},
                         document="catalog/1")  # fmt: skip
        receipt = moved(
            {"sku": "TEA", "quantity": 10, "reason": "receipt"}, {"sku": "RICE", "quantity": "2.5", "reason": "receipt"}
        )
        first = await client.post("/api/stock", json=receipt)
        assert (first.status_code, first.json()["on_hand"]) == (201, {"TEA": "10", "RICE": "2.5"})
        assert (await client.post("/api/stock", json=receipt)).status_code == 200
        sold = (await client.post("/api/sales", json=sale())).json()
        await client.post("/api/sales", json=sale(lines=[{"sku": "RICE", "quantity": "3", "price": 100}]))
        await client.post(
            f"/api/sales/{sold['id']}/refund", json=new(reason="sour", lines=[{"line": 1, "quantity": 1}])
        )
        tea = (await client.get("/api/stock", params={"sku": "TEA"})).json()
        assert (tea["on_hand"], tea["low"], tea["name"]) == ("9", False, "Tea")
        rice = (await client.get("/api/stock", params={"sku": "RICE"})).json()
        assert (rice["on_hand"], rice["negative"]) == ("-0.5", True)
        counted = await client.post("/api/stock", json=moved({"sku": "TEA", "counted": "6", "reason": "count"}))
        assert counted.json()["moves"] == [{"sku": "TEA", "reason": "count", "counted": "6", "quantity": "-3"}]
        low = (await client.get("/api/stock", params={"low": 1})).json()["stock"]
        assert [(item["sku"], item["on_hand"]) for item in low] == [("RICE", "-0.5"), ("TEA", "6")]
        await client.post(f"/api/sales/{sold['id']}/refund", json=new(reason="broken", restock=False))
        assert (await client.get("/api/stock", params={"sku": "TEA"})).json()["on_hand"] == "6"
        for wrong, field in (
            ({"sku": "TEA", "quantity": "x", "reason": "r"}, "moves.0.quantity"),
            ({"sku": "TEA", "quantity": 1}, "moves.0.reason"),
            ({"sku": "TEA", "quantity": 1, "counted": 1, "reason": "r"}, "moves.0.quantity"),
        ):
            answer = await client.post("/api/stock", json=moved(wrong))
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_counts_of_two_tills_apart_add_up_with_what_was_sold(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        await a.stock.move(moved({"sku": "TEA", "quantity": 10, "reason": "receipt"}))
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.stock.of("TEA")["on_hand"] == "10")
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            await b.sell([TEA])  # two teas, of which A does not hear before it counts
            await a.stock.move(moved({"sku": "TEA", "counted": 9, "reason": "count"}))
            assert (a.stock.of("TEA")["on_hand"], b.stock.of("TEA")["on_hand"]) == ("9", "8")
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.stock.of("TEA")["on_hand"] == b.stock.of("TEA")["on_hand"] == "7")


async def test_a_cart_waits_until_it_is_taken_up_dropped_or_sold(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        request = new(cart={"lines": [TEA | {"quantity": 1.5}], "customer": "Bibi"})
        held = await client.post("/api/holds", json=request)
        assert held.status_code == 201
        assert (await client.post("/api/holds", json=request)).status_code == 200
        assert held.json()["name"].startswith("A "), "it names itself"
        assert held.json()["cart"]["lines"][0]["quantity"] == "1.5"
        other = (await client.post("/api/holds", json=new(name="Akram", cart={"lines": [TEA]}))).json()
        assert [h["name"] for h in (await client.get("/api/holds")).json()["holds"]] == [held.json()["name"], "Akram"]
        taken = new()
        recalled = await client.post(f"/api/holds/{request['id']}/recall", json=taken)
        assert (recalled.status_code, recalled.json()["ended"]) == (201, "recalled")
        assert (await client.post(f"/api/holds/{request['id']}/recall", json=taken)).status_code == 200
        assert (await client.post(f"/api/holds/{request['id']}/recall", json=new())).status_code == 409
        assert [h["name"] for h in (await client.get("/api/holds")).json()["holds"]] == ["Akram"]
        both = (await client.get("/api/holds", params={"recalled": 1})).json()["holds"]
        assert len(both) == 2, "what was taken up and not sold is found again after a crash"
        sold = await client.post("/api/sales", json={"id": other["sale"], "hold": other["id"], **other["cart"]})
        assert sold.status_code == 201
        assert (await client.get("/api/holds")).json()["holds"] == []
        for wrong in (
            {"cart": {}},
            {"cart": {"lines": []}},
            {"cart": {"lines": [1]}, "sale": "x"},
            {"cart": {"lines": ["x" * 25_000]}},
        ):
            assert (await client.post("/api/holds", json=new(**wrong))).status_code == 422
        assert (await client.post(f"/api/holds/{uuid.uuid4()}/drop", json=new())).status_code == 404


async def test_two_tills_that_take_up_one_cart_while_apart_ring_one_sale(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        held, _ = await a.holding.hold(new(name="Bibi", cart={"lines": [TEA]}))
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.holding.listed())
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            for till in (a, b):
                cart, _ = await till.holding.end(held["id"], "recalled", new())
                await till.ring({"id": cart["sale"], "hold": cart["id"], **cart["cart"]})
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.day_report() == b.day_report() and len(a.reports.by_id(held["sale"])) == 2)
            assert a.day_report()["sales"]["count"] == 1
            assert len(a.day_report()["duplicates"]) == 1
            with pytest.raises(NotPossible, match="was sold already"):
                await b.holding.end(held["id"], "dropped", new())


async def test_two_tills_that_ring_one_cart_differently_are_told(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        held, _ = await a.holding.hold(new(name="Bibi", cart={"lines": [TEA]}))
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.holding.listed())
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            for till, quantity in ((a, "2"), (b, "3")):
                cart, _ = await till.holding.end(held["id"], "recalled", new())
                await till.ring({"id": cart["sale"], "hold": cart["id"], "lines": [TEA | {"quantity": quantity}]})
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.day_report() == b.day_report() and len(a.reports.by_id(held["sale"])) == 2)
            assert a.day_report()["sales"] | {"tax": 0} == {"count": 2, "total": 1250, "discount": 0, "tax": 0}
            assert a.holding.listed() == b.holding.listed() == []
            assert a.stock.of("TEA")["on_hand"] == "-5", "both tills handed goods over"
            for till in (a, b):
                assert "conflict" in {alarm["kind"] for alarm in till.status()["alarms"]}


async def test_what_no_entry_can_hold_is_the_askers_to_mend(tmp_path: Path) -> None:
    """Both were 500, an error of ours: a number beyond 2^53 in a cart, and a count too far from what is on hand."""
    async with running(tmp_path) as (_till, client):
        cart = {"lines": [{"sku": "TEA", "quantity": 10**30}]}
        held = await client.post("/api/holds", json={"id": str(uuid.uuid4()), "name": "n", "cart": cart})
        assert held.status_code == 201 and held.json()["cart"]["lines"][0]["quantity"] == str(10**30)
        far = [{"sku": "TEA", "quantity": "-999999", "reason": "lost"}] * 2
        assert (await client.post("/api/stock", json={"id": str(uuid.uuid4()), "moves": far})).status_code == 201
        counted = {"id": str(uuid.uuid4()), "moves": [{"sku": "TEA", "counted": "5", "reason": "counted"}]}
        refused = await client.post("/api/stock", json=counted)
        assert refused.status_code == 422 and refused.json()["errors"][0]["field"] == "moves.0.counted"
        assert "-1999998 on hand" in refused.json()["errors"][0]["detail"]


async def test_a_short_number_of_very_many_digits_is_refused_before_it_is_written_out(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        for number in ("1e9000000", "-1e-9000000", "0e-9000000"):
            for method, path, body in (
                ("POST", "/api/stock", '"moves": [{"sku": "TEA", "reason": "receipt", "quantity": %s}]'),
                ("POST", "/api/holds", '"cart": {"lines": [{"quantity": %s}]}'),
                ("POST", "/api/sales", '"lines": [{"sku": "TEA", "price": 1, "quantity": %s}]'),
                ("PUT", "/api/products/TEA", '"name": "Tea", "price": 1, "stock": %s'),
            ):
                content = f'{{"id": "{uuid.uuid4()}", {body % number}}}'
                answer = await client.request(method, path, content=content)
                assert answer.status_code == 422 and "too many digits" in answer.json()["detail"], (path, number)
