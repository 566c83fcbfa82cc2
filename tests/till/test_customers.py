"""Customers and udhaar: balances are sums of entries, whoever lent, and two tills that lend while apart both count."""

from __future__ import annotations

import asyncio
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
        pages = ["Akram", "Rasheeda Bibi", None]
        after = ""
        for name in pages:
            page = (await client.get("/api/customers", params={"limit": 1, "after": after})).json()
            assert [customer["name"] for customer in page["customers"]] == ([name] if name else [])
            after = page["next"]
        url = f"/api/customers/{request['id']}"
        changed = await client.put(url, json={"id": str(uuid.uuid4()), "limit": 5000, "phone": None})
        assert changed.status_code == 200
        assert (changed.json()["limit"], changed.json().get("phone")) == (5000, None)
        assert (await client.put(url, json={"id": str(uuid.uuid4()), "active": False})).status_code == 200
        assert (await client.get("/api/customers", params={"q": "bibi"})).json()["customers"] == []
        gone = (await client.get("/api/customers", params={"after": request["id"]})).json()
        assert gone["customers"] == [], "a page goes on behind one who was put out of use"
        assert (await client.get("/api/customers/nobody")).status_code == 404
        wrong = await client.post("/api/customers", json={"id": str(uuid.uuid4()), "limit": -1})
        assert {error["field"] for error in wrong.json()["errors"]} == {"name", "limit"}


def shown_day(rows: list[dict[str, Any]]) -> str:
    """The one day of all these rows."""
    (day,) = {row["day"] for row in rows}
    return str(day)


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
        back = {"id": str(uuid.uuid4()), "reason": "sour", "tenders": [{"kind": "store_credit", "amount": 500}]}
        await client.post(f"/api/sales/{sold['id']}/refund", json=back)
        rows = (await client.get(f"/api/customers/{id}/statement")).json()["rows"]
        assert [(r["kind"], r["book"], r["amount"], r["balance"]) for r in rows] == [
            ("sale", "account", 400, 400), ("payment", "account", -150, 250), ("sale", "account", 500, 750),
            ("refund", "credit", 500, 500),
        ]  # fmt: skip
        today = shown_day(rows)
        for days, count in (({"from": today, "to": today}, 4), ({"from": "2099-01-01"}, 0), ({"to": "2020-01-01"}, 0)):
            page = (await client.get(f"/api/customers/{id}/statement", params=days)).json()
            assert len(page["rows"]) == count
        assert (await client.get(f"/api/customers/{id}/statement", params={"from": "today"})).status_code == 422
        spent = await client.post(
            "/api/sales", json=sale(customer=id, tenders=[{"kind": "store_credit", "amount": 500}])
        )
        assert spent.status_code == 201
        assert (await client.get(f"/api/customers/{id}")).json()["balance"] == {"account": 750, "credit": 0}
        owing = (await client.get("/api/customers", params={"owing": 1})).json()["customers"]
        assert [(c["name"], c["balance"]["account"]) for c in owing] == [("Rasheeda Bibi", 750)]
        for wrong in ({"amount": 0}, {"amount": 5, "tenders": [{"kind": "cash", "amount": 4}]}, {"amount": "5"},
                      {"amount": 5, "tenders": [{"kind": "Cash", "amount": 5}]}):  # fmt: skip
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
        spent = sale(customer=customer["id"], tenders=[{"kind": "store_credit", "amount": 500}])
        refused = await client.post("/api/sales", json=spent)
        assert refused.status_code == 403 and "500 would be spent of 0" in refused.json()["detail"]


async def test_store_credit_is_somebodys(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        credit = [{"kind": "store_credit", "amount": 500}]
        nobodys = await client.post("/api/sales", json=sale(tenders=credit))
        assert (nobodys.status_code, nobodys.json()["errors"][0]["field"]) == (422, "customer")
        sold = (await client.post("/api/sales", json=sale())).json()
        back = {"id": str(uuid.uuid4()), "reason": "sour", "tenders": credit}
        url = f"/api/sales/{sold['id']}/refund"
        refused = await client.post(url, json=back)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "customer")
        assert (await client.post(url, json=back | {"customer": "0300 1234567"})).status_code == 201
        assert (await client.get("/api/customers/0300 1234567")).json()["balance"] == {"account": 0, "credit": 500}
        spent = sale(customer="+92 300-1234567", tenders=credit)  # two spellings, one book
        assert (await client.post("/api/sales", json=spent)).status_code == 201
        voided = await client.post(
            f"/api/sales/{spent['id']}/void", json={"id": str(uuid.uuid4()), "reason": "mistyped"}
        )
        assert voided.status_code == 201
        shown = (await client.get("/api/customers/0300 1234567")).json()
        assert (shown["customer"], shown["balance"]["credit"]) == ("03001234567", 500)
        lent = sale(customer="03001234567", tenders=[{"kind": "account", "amount": 500}])
        assert (await client.post("/api/sales", json=lent)).status_code == 201
        payment = {"id": str(uuid.uuid4()), "customer": " 0300 123 4567", "amount": 500}
        assert (await client.post("/api/payments", json=payment)).json()["balance"]["account"] == 0


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


async def test_many_at_once_lend_no_more_than_one_after_the_other(tmp_path: Path) -> None:
    """Twenty sales at once were each within the limit that the twenty together passed, and spent one store credit
    twenty times."""
    async with running(tmp_path) as (_till, client):
        ali, bibi = str(uuid.uuid4()), str(uuid.uuid4())
        for id, name in ((ali, "Ali"), (bibi, "Bibi")):
            await client.post("/api/customers", json={"id": id, "name": name, "limit": 1000})
        await client.put("/api/settings/enforce_limit", json={"value": True})
        given = (await client.post("/api/sales", json=sale(customer=bibi))).json()
        back = {"id": str(uuid.uuid4()), "reason": "x", "tenders": [{"kind": "store_credit", "amount": 500}]}
        await client.post(f"/api/sales/{given['id']}/refund", json=back)
        for customer, kind, passed in ((ali, "account", 2), (bibi, "store_credit", 1)):
            asked = [sale(customer=customer, tenders=[{"kind": kind, "amount": 500}]) for _ in range(20)]
            answers = await asyncio.gather(*(client.post("/api/sales", json=one) for one in asked))
            assert sorted(answer.status_code for answer in answers) == [201] * passed + [403] * (20 - passed)
            first = next(n for n, answer in enumerate(answers) if answer.status_code == 201)
            assert (await client.post("/api/sales", json=asked[first])).status_code == 200
        assert (await client.get(f"/api/customers/{ali}")).json()["balance"]["account"] == 1000
        assert (await client.get(f"/api/customers/{bibi}")).json()["balance"]["credit"] == 0


async def test_a_debt_is_not_paid_with_credit_that_is_not_there(tmp_path: Path) -> None:
    """With a limit in force it made room for the next debt, as often as anybody liked."""
    async with running(tmp_path) as (_till, client):
        customer = str(uuid.uuid4())
        await client.post("/api/customers", json={"id": customer, "name": "Ali", "limit": 500})
        await client.put("/api/settings/enforce_limit", json={"value": True})
        lent = sale(customer=customer, tenders=[{"kind": "account", "amount": 500}])
        assert (await client.post("/api/sales", json=lent)).status_code == 201
        paid = {"id": str(uuid.uuid4()), "customer": customer, "amount": 500}
        refused = await client.post("/api/payments", json=paid | {"tenders": [{"kind": "store_credit", "amount": 500}]})
        assert refused.status_code == 422 and "0 store credit" in refused.text
        back = {"id": str(uuid.uuid4()), "reason": "x", "tenders": [{"kind": "store_credit", "amount": 500}]}
        assert (await client.post(f"/api/sales/{lent['id']}/refund", json=back)).status_code == 201
        answer = await client.post("/api/payments", json=paid | {"tenders": [{"kind": "store_credit", "amount": 500}]})
        assert answer.status_code == 201 and answer.json()["balance"] == {"account": 0, "credit": 0}
