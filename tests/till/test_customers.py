"""Customers and udhaar: balances are sums of entries, whoever lent, and two tills that lend while apart both count."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from posline.till.till import Till, open_till
from tests.till.shop import TEA, invited, running, sale, until


def bibi(**changed: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "name": "Rasheeda Bibi", "phone": "0300-1234567"} | changed


async def test_a_customer_is_found_by_name_or_phone_and_edited(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        request = bibi()
        made = await client.post("/api/customers", json=request)
        assert made.status_code == 201
        assert (await client.post("/api/customers", json=request)).status_code == 200
        assert (await client.post("/api/customers", json=request | {"name": "Another"})).status_code == 409
        await client.post("/api/customers", json=bibi(name="Akram", phone="+92 321 7654321"))
        for wanted, name in (("bib", "Rasheeda Bibi"), ("+923001234567", "Rasheeda Bibi"), ("4321", "Akram")):
            found = (await client.get("/api/customers", params={"q": wanted})).json()["customers"]
            assert [customer["name"] for customer in found] == [name], wanted
        url = f"/api/customers/{request['id']}"
        changed = await client.put(url, json={"id": str(uuid.uuid4()), "limit": 5000, "phone": None})
        assert changed.status_code == 200
        assert (changed.json()["limit"], changed.json().get("phone")) == (5000, None)
        assert (await client.put(url, json={"id": str(uuid.uuid4()), "active": False})).status_code == 200
        assert (await client.get("/api/customers", params={"q": "bibi"})).json()["customers"] == []
        assert (await client.get("/api/customers/nobody")).status_code == 404
        wrong = await client.post("/api/customers", json={"id": str(uuid.uuid4()), "limit": -1})
        assert {error["field"] for error in wrong.json()["errors"]} == {"name", "limit"}


async def test_udhaar_part_payments_and_statement(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        customer = bibi(limit=600)
        await client.post("/api/customers", json=customer)
        id = customer["id"]
        on_account = {"customer": id, "tenders": [{"kind": "cash", "amount": 100}, {"kind": "account", "amount": 0}]}
        sold = (await client.post("/api/sales", json=sale(**on_account))).json()
        assert sold["tenders"] == [{"kind": "cash", "amount": 100}, {"kind": "account", "amount": 400}]
        payment = {"id": str(uuid.uuid4()), "customer": id, "amount": 150}
        paid = await client.post("/api/payments", json=payment)
        assert (paid.status_code, paid.json()["balance"]["account"]) == (201, 250)
        assert (await client.post("/api/payments", json=payment)).status_code == 200
        await client.post("/api/sales", json=sale(customer=id, tenders=[{"kind": "account", "amount": 500}]))
        shown = (await client.get(f"/api/customers/{id}")).json()
        assert (shown["balance"], shown["over_limit"]) == ({"account": 750, "credit": 0}, True)
        back = {"id": str(uuid.uuid4()), "reason": "sour", "tenders": [{"kind": "credit", "amount": 500}]}
        await client.post(f"/api/sales/{sold['id']}/refund", json=back)
        rows = (await client.get(f"/api/customers/{id}/statement")).json()["rows"]
        assert [(r["kind"], r["book"], r["amount"], r["balance"]) for r in rows] == [
            ("sale", "account", 400, 400), ("payment", "account", -150, 250), ("sale", "account", 500, 750),
            ("refund", "credit", 500, 500),
        ]  # fmt: skip
        spent = await client.post("/api/sales", json=sale(customer=id, tenders=[{"kind": "credit", "amount": 500}]))
        assert spent.status_code == 201
        assert (await client.get(f"/api/customers/{id}")).json()["balance"] == {"account": 750, "credit": 0}
        owing = (await client.get("/api/customers", params={"owing": 1})).json()["customers"]
        assert [(c["name"], c["balance"]["account"]) for c in owing] == [("Rasheeda Bibi", 750)]
        for wrong in ({"amount": 0}, {"amount": 5, "tenders": [{"kind": "cash", "amount": 4}]}, {"amount": "5"}):
            body = {"id": str(uuid.uuid4()), "customer": id} | wrong
            assert (await client.post("/api/payments", json=body)).status_code == 422


async def test_a_shop_may_lend_to_customers_only_and_up_to_their_limit(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        await client.put("/api/cashiers/Sana", json={"role": "supervisor", "pin": "5678"})
        for name in ("require_customer", "enforce_limit"):
            assert (await client.put(f"/api/settings/{name}", json={"value": True})).status_code == 200
        customer = bibi(limit=600)
        await client.post("/api/customers", json=customer)
        lent = {"tenders": [{"kind": "account", "amount": 500}]}
        assert (await client.post("/api/sales", json=sale(**lent))).status_code == 403
        lent["customer"] = customer["id"]
        assert (await client.post("/api/sales", json=sale(**lent))).status_code == 201
        refused = await client.post("/api/sales", json=sale(**lent))
        assert refused.status_code == 403 and "over the limit of 600" in refused.json()["detail"]
        lent["approve"] = {"by": "Sana", "pin": "5678"}
        assert (await client.post("/api/sales", json=sale(**lent))).status_code == 201


async def test_two_tills_that_lend_while_apart_both_count(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        customer, _ = await a.books.add(bibi(limit=600))
        id = customer["customer"]

        async def lend(till: Till) -> None:
            await till.ring(sale(lines=[TEA], customer=id, tenders=[{"kind": "account", "amount": 500}]))

        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.books.found("bibi", "", 5))
        async with open_till(tmp_path / "b", read_only=False) as b:
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            await lend(a)
            await lend(b)
            await a.books.change(id, {"id": str(uuid.uuid4()), "phone": "0311-1111111"})
            await b.books.change(id, {"id": str(uuid.uuid4()), "phone": "0322-2222222"})
            assert not a.books.shown(id)["over_limit"] and not b.books.shown(id)["over_limit"]
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.books.shown(id) == b.books.shown(id) and a.books.shown(id)["over_limit"])
            shown = a.books.shown(id)
            assert (shown["balance"]["account"], shown["conflict"]) == (1000, True)
            assert a.books.statement(id, 0, 10)["rows"] == b.books.statement(id, 0, 10)["rows"]
            await b.books.change(id, {"id": str(uuid.uuid4()), "phone": "0311-1111111"})
            await until(lambda: not a.books.shown(id)["conflict"])
