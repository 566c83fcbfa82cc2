"""A receipt that was printed before its sale had a number is found by the reference on it."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.numbers import parse_receipt, parse_reference, reference
from tests.till.shop import running, sale

ID = "5f0e4d6e-6e3c-4b02-9d0c-3c3a5f6d7e80"
BESIDE = "5f0e4d6e-6eff-4b02-9d0c-3c3a5f6d7e80"  # the same ten digits


@given(st.uuids())
def test_a_reference_says_how_its_id_begins(id: uuid.UUID) -> None:
    begun = parse_reference(f" {reference(str(id)).lower()} ")
    assert begun is not None and len(begun) == 11 and str(id).startswith(begun)
    assert parse_receipt(reference(str(id))) is None


@pytest.mark.parametrize("text", ["", "R-", "R-5F0E4D6E6", "R-5F0E4D6E6E1", "R-5F0E4D6E6G", "5F0E4D6E6E", "R-1-K7QM"])
def test_anything_else_is_none(text: str) -> None:
    assert parse_reference(text) is None


def test_a_reference_has_ten_digits_in_capitals() -> None:
    assert reference(ID) == "R-5F0E4D6E6E" and parse_reference("R-5F0E4D6E6E") == "5f0e4d6e-6e"


async def test_every_call_that_takes_a_receipt_takes_a_reference(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        other = str(uuid.uuid4())
        for id in (ID.upper(), other):
            assert (await client.post("/api/sales", json=sale(id=id))).status_code == 201
        for wanted in ("R-5F0E4D6E6E", "r-5f0e4d6e6e"):
            assert (await client.get(f"/api/sales/{wanted}")).json()["id"] == ID
            assert (await client.get(f"/api/sales/{wanted}/returns")).json()["sale"] == ID
            paper = await client.get(f"/api/receipts/{wanted}")
            assert paper.status_code == 200 and till.sale(ID).receipt in paper.text
            scanned = (await client.get("/api/scan", params={"code": f" {wanted} "})).json()["receipt"]
            assert scanned == {"id": ID, "receipt": till.sale(ID).receipt, "kind": "sale", "here": True}
        asked = {"id": BESIDE, "reason": "stale", "lines": [{"line": 1, "quantity": "1"}]}
        refunded = await client.post("/api/sales/R-5F0E4D6E6E/refund", json=asked)
        assert refunded.status_code == 201 and refunded.json()["sale"] == ID
        assert (await client.post("/api/sales/R-5F0E4D6E6E/refund", json=asked)).status_code == 200
        assert (await client.get("/api/refunds/R-5F0E4D6E6E")).json()["id"] == BESIDE
        assert (await client.get("/api/sales/R-5F0E4D6E6E")).json()["id"] == ID, "a refund is no sale"
        void = await client.post(f"/api/sales/{reference(other)}/void", json={"id": str(uuid.uuid4()), "reason": "x"})
        assert void.status_code == 201 and void.json()["sale"] == other
        for path in ("sales/R-0000000000", "refunds/R-0000000000", "receipts/R-0000000000"):
            assert (await client.get(f"/api/{path}")).status_code == 404
        nothing = (await client.get("/api/scan", params={"code": "R-0000000000"})).json()
        assert nothing["receipt"] is None and nothing["products"] == []


async def test_several_that_begin_alike_are_all_named(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        for id in (ID, BESIDE):
            await client.post("/api/sales", json=sale(id=id))
        answer = await client.get("/api/sales/R-5F0E4D6E6E")
        assert answer.status_code == 300 and {s["id"] for s in answer.json()["sales"]} == {ID, BESIDE}
        asked = {"id": str(uuid.uuid4()), "reason": "x"}
        for action in ("refund", "void"):
            refused = await client.post(f"/api/sales/R-5F0E4D6E6E/{action}", json=asked)
            assert refused.status_code == 300 and len(refused.json()["sales"]) == 2
        assert (await client.get("/api/sales/R-5F0E4D6E6E/returns")).status_code == 300
        assert (await client.get("/api/receipts/R-5F0E4D6E6E")).status_code == 300
        assert (await client.get("/api/scan", params={"code": "R-5F0E4D6E6E"})).status_code == 300


async def test_it_is_looked_up_by_the_index_and_reads_no_ledger(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await client.post("/api/sales", json=sale(id=ID))
        read, asked = till.store.read._mine.connection, []
        read.set_trace_callback(asked.append)
        assert till.sale("R-5F0E4D6E6E").id == ID and till.printing.papers.find("R-5F0E4D6E6E").entry.id == ID
        read.set_trace_callback(None)
        ranges = [query for query in asked if ">= '5f0e4d6e-6e'" in query]
        assert len(ranges) == 2
        for query in ranges:
            [plan, *_] = [row[3] for row in read.execute(f"EXPLAIN QUERY PLAN {query}") if " e" in row[3]]
            assert "USING INDEX entry_id (shop=? AND id>? AND id<?)" in plan, plan
