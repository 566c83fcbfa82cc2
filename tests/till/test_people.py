"""Cashiers, PINs, permissions and limits: nobody waits for a right until the shop restricts something."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import NotAllowed
from posline.till.opening import Clockwork
from posline.till.till import open_till
from tests.till.shop import TEA, running, sale


async def put(client: httpx.AsyncClient, name: str, value: Any, **more: Any) -> httpx.Response:
    return await client.put(f"/api/settings/{name}", json={"value": value} | more)


async def cashier(client: httpx.AsyncClient, name: str, **fields: Any) -> None:
    answer = await client.put(f"/api/cashiers/{name}", json=fields)
    assert answer.status_code == 200, answer.text


def asked(**changed: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "reason": "broken"} | changed


async def test_a_shop_that_set_nothing_lets_everybody_do_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        sold = (await client.post("/api/sales", json=sale(by="Ali", discount_percent="90"))).json()
        assert (await client.post(f"/api/sales/{sold['id']}/refund", json=asked(by="Ali"))).status_code == 201


async def test_what_is_restricted_needs_a_person_of_that_role_and_says_who(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await cashier(client, "Ali", pin="1234")
        await cashier(client, "Sana", role="supervisor", pin="567890")
        assert (await put(client, "permissions", {"refund": "supervisor"})).status_code == 200
        sold = (await client.post("/api/sales", json=sale(by="Ali"))).json()
        url = f"/api/sales/{sold['id']}/refund"
        refused = await client.post(url, json=asked(by="Ali", pin="1234"))
        assert refused.status_code == 403 and "Sana" in refused.json()["detail"]
        assert (await client.post(url, json=asked(by="Sana"))).status_code == 403, "a name is no proof"
        wrong = await client.post(url, json=asked(by="Ali", approve={"by": "Sana", "pin": "000000"}))
        assert wrong.status_code == 403
        request = asked(by="Ali", approve={"by": "Sana", "pin": "567890"})
        done = await client.post(url, json=request)
        assert (done.status_code, done.json()["approved"], done.json()["by"]) == (201, "Sana", "Ali")
        request["approve"] = {"by": "Sana", "pin": "wrong by now"}
        assert (await client.post(url, json=request)).status_code == 200, "what is recorded is answered"
        del request["approve"]
        assert (await client.post(url, json=request)).status_code == 200, "a program that crashed has no PIN any more"
        everything = b"".join(till.store.read.execute("SELECT raw FROM entry").fetchall()[n][0] for n in range(3))
        assert b"567890" not in everything


async def test_a_discount_beyond_the_role_is_approved_or_not_sold(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        await cashier(client, "Ali")
        await cashier(client, "Sana", role="manager", pin="5678")
        limits = {"cashier": {"discount_percent": "10"}, "supervisor": {"discount_percent": "25"}}
        assert (await put(client, "limits", limits)).status_code == 200
        assert (await client.post("/api/sales", json=sale(by="Ali", discount_percent="10"))).status_code == 201
        odd = sale(by="Ali", discount_percent="10", lines=[TEA | {"price": 9, "quantity": 1}, TEA | {"price": 249}])
        assert (await client.post("/api/sales", json=odd)).status_code == 201, "10 per cent, rounded, is 10 per cent"
        deep = sale(by="Ali", discount_percent="10.5")
        refused = await client.post("/api/sales", json=deep)
        assert refused.status_code == 403 and "10.60 per cent" in refused.json()["detail"]
        assert (await client.get(f"/api/sales/{deep['id']}")).status_code == 404
        deep["approve"] = {"by": "Sana", "pin": "5678"}
        assert (await client.post("/api/sales", json=deep)).status_code == 201
        claimed = sale(by="Sana", discount_percent="50")
        assert (await client.post("/api/sales", json=claimed)).status_code == 403, "anybody can write her name"
        assert (await client.post("/api/sales", json=claimed | {"pin": "5678"})).status_code == 201
        by_line = sale(lines=[TEA | {"discount": 499}])
        assert (await client.post("/api/sales", json=by_line)).status_code == 403, "nobody's name is a cashier's"


async def test_what_is_restricted_is_not_freed_by_those_whom_it_restricts(tmp_path: Path) -> None:
    """Nor does a cashier make a manager of somebody, or give one another PIN, to invite a till or read the reports."""
    async with running(tmp_path) as (till, client):
        sana = {"by": "Sana", "pin": "5678"}
        await cashier(client, "Ali", pin="1234")
        await cashier(client, "Sana", role="manager", pin="5678")
        assert (await put(client, "permissions", {"reports": "manager"})).status_code == 200
        assert (await put(client, "limits", {"cashier": {"discount_percent": "10"}})).status_code == 200
        for proof in ({}, {"approve": {"by": "Ali", "pin": "1234"}}, {"approve": {"by": "Sana", "pin": "0000"}}):
            for name, fields in (
                ("Ali", {"role": "manager"}), ("New", {"role": "manager", "pin": "1111"}), ("Sana", {"pin": "1111"}),
                ("Sana", {"active": False}), ("Sana", {"role": "cashier"}),
            ):  # fmt: skip
                answer = await client.put(f"/api/cashiers/{name}", json=fields | proof)
                assert answer.status_code == 403, (name, proof)
            for name in ("permissions", "limits"):
                assert (await put(client, name, None, **proof)).status_code == 403, (name, proof)
            till.people.wrong.clear()
        assert (await client.get(f"/api/reports/day/{till.day}")).status_code == 403
        shown = (await client.get("/metrics")).text
        assert "posline_entries_waiting" in shown and "posline_day" not in shown, "a scraper has no PIN"
        assert (await put(client, "rounding", 100)).status_code == 200, "everything else is anybody's as before"
        await cashier(client, "Bibi")
        await cashier(client, "Omar", role="manager", pin="4321", approve=sana)
        assert (await put(client, "limits", None, approve=sana)).status_code == 200
        assert (await put(client, "permissions", None, approve={"by": "Omar", "pin": "4321"})).status_code == 200


async def test_another_tax_class_is_another_price(tmp_path: Path) -> None:
    """Tax on top is part of what the customer pays: a line that names another class than its product's is cheaper."""
    async with running(tmp_path) as (till, client):
        product = {"sku": "PIPE", "name": "Pipe", "price": 10000, "tax": "trade"}
        await till.write("products", {"products": [product], "seen": {}}, document="catalog/1")
        trade = {"trade": {"mode": "exclusive", "rates": [{"rate": "18"}]}, "none": {"rates": []}}
        assert (await put(client, "tax", trade)).status_code == 200
        assert (await put(client, "limits", {"cashier": {"lower_price": False}})).status_code == 200
        pipe = {"sku": "PIPE", "quantity": 1}
        assert (await client.post("/api/sales", json=sale(lines=[pipe]))).json()["total"] == 11800
        assert (await client.post("/api/sales", json=sale(lines=[pipe | {"class": "trade"}]))).status_code == 201
        for name in ("none", "0", ""):
            answer = await client.post("/api/sales", json=sale(lines=[pipe | {"class": name}]))
            assert answer.status_code == 403 and "tax class" in answer.json()["detail"], name


async def test_wrong_pins_in_a_row_have_to_wait(tmp_path: Path) -> None:
    now = [1_000_000]
    async with open_till(tmp_path, clockwork=Clockwork(monotonic_ms=lambda: now[0])) as till:
        await till.people.save("Sana", {"role": "manager", "pin": "5678"})
        for _ in range(5):
            with pytest.raises(NotAllowed, match="not Sana's PIN"):
                await till.people.check("Sana", "1111")
        with pytest.raises(NotAllowed, match="wait 30 seconds"):
            await till.people.check("Sana", "5678")
        now[0] += 30_000
        assert (await till.people.check("Sana", "5678")).role == "manager"
        await till.people.save("Sana", {"active": False})
        with pytest.raises(Exception, match="no cashier"):
            await till.people.check("Sana", "5678")


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("tax", {"standard": {"rates": [{"rate": "x"}]}}, "tax.standard.rates.0.rate"),
        ("tax_rounding", "both", "value"),
        ("rounding", 1.5, "value"),
        ("permissions", {"refund": "king"}, "permissions.refund"),
        ("limits", {"cashier": {"discount_percent": "200"}}, "limits.cashier.discount_percent"),
        ("colour", "red", "name"),
    ],
)
async def test_a_wrong_setting_is_refused_by_its_field(name: str, value: Any, field: str, tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        answer = await put(client, name, value)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field


async def test_settings_and_cashiers_never_show_a_pin(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        sana = {"by": "Sana", "pin": "5678"}
        await cashier(client, "Sana", role="manager", pin="5678", language="ur")
        assert (await client.get("/api/cashiers")).json() == {
            "cashiers": [{"name": "Sana", "role": "manager", "active": True, "language": "ur", "pin": True}]
        }
        assert (await client.post("/api/cashiers/Sana/check", json={"pin": "5678"})).status_code == 200
        assert (await client.post("/api/cashiers/Sana/check", json={"pin": "5679"})).status_code == 403
        assert (await client.put("/api/cashiers/Sana", json={"pin": "12", "approve": sana})).status_code == 422
        assert (await client.put(f"/api/cashiers/{'N' * 193}", json={})).status_code == 422
        assert (await put(client, "rounding", 100)).json() == {"name": "rounding", "value": 100}
        assert (await client.get("/api/settings")).json()["settings"]["rounding"] == 100
        rounded = (await client.post("/api/sales", json=sale(lines=[TEA | {"price": 249}]))).json()
        assert (rounded["total"], rounded["rounding"], rounded["tenders"]) == (
            498, 2, [{"kind": "cash", "amount": 500}],
        )  # fmt: skip
