"""Refunds and voids through the till's API: of any till's sale, in parts, once per id, never more than was sold."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import BadRequest, Conflict, NotAllowed, NotPossible
from posline.till.shared import put
from posline.till.till import open_till
from tests.attacks.hostile import bring, member_of
from tests.till.shop import TEA, invited, running, sale, until

THREE = [
    {"sku": "TEA", "name": "Tea", "quantity": "3", "price": 250, "discount": 1},
    {"sku": "MILK", "name": "Milk", "quantity": "1.5", "price": 199},
]


def asked(**changed: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "reason": "broken"} | changed


async def rung(client: httpx.AsyncClient, **changed: Any) -> dict[str, Any]:
    answer = await client.post("/api/sales", json=sale(lines=THREE, **changed))
    assert answer.status_code == 201
    return dict(answer.json())


async def test_a_sale_is_refunded_in_parts_and_never_beyond_what_was_sold(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        sold = await rung(client)
        url = f"/api/sales/{sold['id']}/refund"
        first = await client.post(url, json=asked(lines=[{"line": 1, "quantity": 1}]))
        assert first.status_code == 201
        body = first.json()
        assert body["sale"] == sold["id"]
        assert body["sale_receipt"] == sold["receipt"]
        assert body["receipt"].startswith("A-2-"), "refunds take numbers of the same counter as sales"
        assert body["lines"] == [
            {"line": 1, "sku": "TEA", "name": "Tea", "quantity": "1", "tax": 0, "total": body["total"]}
        ]
        too_many = await client.post(url, json=asked(lines=[{"line": 1, "quantity": 3}]))
        assert too_many.status_code == 422
        assert too_many.json()["errors"][0]["field"] == "lines.0.quantity"
        rest = await client.post(f"/api/sales/{sold['receipt']}/refund", json=asked())
        assert rest.status_code == 201
        assert body["total"] + rest.json()["total"] == sold["total"]
        assert (await client.post(url, json=asked())).status_code == 422
        returns = (await client.get(f"/api/sales/{sold['id']}/returns")).json()
        assert [line["left"] for line in returns["lines"]] == ["0", "0"]
        assert [r["id"] for r in returns["returns"]] == [body["id"], rest.json()["id"]]


async def test_a_repeated_refund_is_one_refund(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        sold = await rung(client)
        request = asked()
        first = await client.post(f"/api/sales/{sold['id']}/refund", json=request)
        again = await client.post(f"/api/sales/{sold['id']}/refund", json=request)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["seq"] == again.json()["seq"]
        other = await client.post(f"/api/sales/{sold['id']}/refund", json=request | {"reason": "other"})
        assert other.status_code == 409
        another = await rung(client)
        elsewhere = await client.post(f"/api/sales/{another['id']}/refund", json=request)
        assert elsewhere.status_code == 409, "the same id and body for another sale is another refund"
        found = (await client.get(f"/api/refunds/{first.json()['receipt']}")).json()
        assert found["id"] == request["id"]
        assert (await client.get(f"/api/sales/{request['id']}")).status_code == 404
        assert [r["id"] for r in (await client.get("/api/refunds", params={"day": till.day})).json()["refunds"]] == [
            request["id"]
        ]


async def test_what_is_wrong_is_refused_and_records_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        sold = await rung(client)
        url = f"/api/sales/{sold['id']}/refund"
        for body, status in (
            (asked(reason=""), 422),
            (asked(id="7"), 422),
            (asked(tenders=[{"kind": "cash", "amount": 1}]), 422),
            (asked(lines=[{"line": 9}]), 422),
        ):
            assert (await client.post(url, json=body)).status_code == status, body
        assert (await client.post(f"/api/sales/{uuid.uuid4()}/refund", json=asked())).status_code == 404
        assert (await client.get("/api/refunds")).json() == {"refunds": [], "next": None}


async def test_a_void_is_for_the_till_that_rang_it_and_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        sold = await rung(client)
        request = asked(reason="mistyped")
        first = await client.post(f"/api/sales/{sold['id']}/void", json=request)
        assert first.status_code == 201
        assert (first.json()["kind"], first.json()["total"]) == ("void", sold["total"])
        assert first.json()["receipt"] is None
        amounts = [(line["tax"], line["total"]) for line in first.json()["lines"]]
        assert amounts == [(line["tax"], line["total"]) for line in sold["lines"]], "what the sale's lines cost"
        assert (await client.post(f"/api/sales/{sold['id']}/void", json=request)).status_code == 200
        assert (await client.post(f"/api/sales/{sold['id']}/void", json=asked())).status_code == 409
        assert (await client.post(f"/api/sales/{sold['id']}/refund", json=asked())).status_code == 409
        partly = await rung(client)
        await client.post(f"/api/sales/{partly['id']}/refund", json=asked(lines=[{"line": 2}]))
        assert (await client.post(f"/api/sales/{partly['id']}/void", json=asked())).status_code == 409


async def test_a_program_refunds_without_a_server(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        sold = await till.sell(THREE)
        back = await till.refund(sold.receipt, [{"line": 2, "quantity": "0.5"}], reason="sour")
        assert back.lines[0].total == 100  # 1.5 x 199 = 299 rounded; a third of it
        assert till.refunded(back.id) == till.refunded(back.receipt or "")
        before = till.stock.of("TEA")["on_hand"]
        broken = await till.refund(sold.id, [{"line": 1, "quantity": 1}], reason="broken", restock=False)
        assert not broken.restock and till.stock.of("TEA")["on_hand"] == before
        voided = await till.void((await till.sell(THREE)).id, "mistyped")
        assert voided.total == sold.total


async def test_a_program_says_who_approves(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        await till.people.save("Sana", {"role": "supervisor", "pin": "5678"})
        await put(till, "permissions", {"refund": "supervisor", "void": "supervisor"})
        sold = await till.sell(THREE)
        sana = {"by": "Sana", "pin": "5678"}
        with pytest.raises(NotAllowed):
            await till.refund(sold.id, [{"line": 2}], reason="sour")
        assert (await till.refund(sold.id, [{"line": 2}], reason="sour", approve=sana)).approved == "Sana"
        other = await till.sell(THREE)
        with pytest.raises(NotAllowed):
            await till.void(other.id, "mistyped")
        assert (await till.void(other.id, "mistyped", approve=sana)).approved == "Sana"


async def test_two_tills_refund_one_line_while_apart_and_the_shop_is_told(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            sold = await a.sell([TEA])
            await until(lambda: b.reports.by_id(sold.id))
            for dialler in (*a.engine.dialled(a.shop_id), *b.engine.dialled(b.shop_id)):
                dialler.stop()
            await until(lambda: not any(peer["connected"] for peer in a.status()["peers"]))
            first = await a.refund(sold.id, reason="came to A")
            second = await b.refund(sold.id, reason="came to B")
            assert first.total == second.total == sold.total
        async with open_till(tmp_path / "b") as b:
            await until(lambda: a.day_report() == b.day_report() and a.reports.by_id(second.id))
            for till in (a, b):
                assert {till.refunded(first.id).status, till.refunded(second.id).status} == {"counted"}
                (alarm,) = [alarm for alarm in till.status()["alarms"] if alarm["kind"] == "excess"]
                assert alarm["sales"] == [sold.id] and sold.receipt in alarm["detail"]
            with pytest.raises(BadRequest, match="nothing is left"):
                await a.refund(sold.id, reason="a third time")
            again = await b.refund(sold.id, reason="came to A", id=first.id)
            assert again.receipt == first.receipt, "asked again at another till, it is the same refund"
            with pytest.raises(Conflict):
                await b.refund(sold.id, [{"line": 1, "quantity": 1}], reason="came to A", id=first.id)


async def test_a_void_at_another_till_or_after_the_shift_is_a_refund(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            sold = await a.sell([TEA])
            await until(lambda: b.reports.by_id(sold.id))
            with pytest.raises(NotPossible, match="which alone can void it"):
                await b.void(sold.id, "mistyped")
            back = await b.refund(sold.id, reason="came to B")
            await until(lambda: a.reports.by_id(back.id))
            with pytest.raises(NotPossible, match="was refunded already"):
                await a.void(sold.id, "mistyped")


async def test_a_sale_that_three_tills_recorded_is_refunded_once(tmp_path: Path) -> None:
    """A refund of one copy that does not count was not seen by whoever asked for another one's: each paid out."""
    async with running(tmp_path) as (till, client):
        rung = (await client.post("/api/sales", json=sale())).json()
        copy = {"lines": [dict(TEA)], "total": rung["total"], "number": 1}
        for name in ("yota", "zeta"):
            member = await member_of(till, name=name)
            await bring(till, member.put("sale", copy | {"label": name[0].upper()}, id=rung["id"]))
        found = till.reports.by_id(rung["id"])
        assert [r.status.value for r in found] == ["counted", "duplicate", "duplicate"]
        for wanted in [*(r.receipt for r in reversed(found)), rung["id"]]:
            answer = await client.post(f"/api/sales/{wanted}/refund", json={"id": str(uuid.uuid4()), "reason": "x"})
            assert answer.status_code == (201 if wanted == found[2].receipt else 422), wanted
        assert till.day_report()["net"] == 0
