"""Attacks by a member's entries: odd, wrong or lying ones, that no till and no answer may trip over."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from posline.core.drawer import Takings, read_figures
from posline.till.commands import COMMANDS
from posline.till.shift_commands import print_shift
from posline.till.terms import product_of
from tests.attacks.hostile import bring, member_of
from tests.till.shop import TEA, running, sale

REDATES_WITHIN_S = 8.0  # of a hundred: they took half a minute, and take half a second
FIGURES: dict[str, Any] = {
    "number": 1, "receipts": {"first": 1, "last": 1}, "net": 1, "tax": 0, "rounding": 0, "tenders": {"cash": 1},
    "sales": {"count": 1, "total": 1, "discount": 0, "tax": 0}, "refunds": {"count": 0, "total": 0, "tax": 0},
    "voids": {"count": 0, "total": 0, "tax": 0}, "taxes": [], "cashiers": [],
    "cash": {"in": {"count": 0, "total": 0}, "out": {"count": 0, "total": 0}},
    "payments": {"count": 0, "total": 0, "tenders": {}},
}  # fmt: skip
Z: dict[str, Any] = {
    "shift": None, "float": 5, "covers": [[7, 1, 2]], "counted": {"cash": 5}, "expected": {"cash": 5},
    "figures": FIGURES,
}  # fmt: skip


async def test_a_z_report_that_names_no_shift_stops_no_till(tmp_path: Path) -> None:
    """It was taken for sound, and the table of shifts failed on it: the process ended, at each start anew."""
    async with running(tmp_path) as (till, client):
        hostile = await member_of(till)
        z = {name: value for name, value in Z.items() if name != "shift"}
        await bring(till, hostile.put("shift closed", z))
        assert (await client.post("/api/sales", json=sale())).status_code == 201
        assert (await client.get("/api/shifts")).json()["shifts"] == []
    async with running(tmp_path) as (till, client):
        assert till.day_report()["invalid"] and (await client.post("/api/sales", json=sale())).status_code == 201


@pytest.mark.parametrize("kind", ["sale", "refund", "void"])
async def test_one_broken_entry_hides_no_list(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path) as (till, client):
        rung = (await client.post("/api/sales", json=sale())).json()
        hostile = await member_of(till)
        broken = hostile.put(kind, {"number": 1, "lines": [{"price": []}], "total": 5})
        await bring(till, broken)
        for path in ("/api/sales", "/api/sales?order=newest", "/api/refunds"):
            assert (await client.get(path)).status_code == 200, path
        assert [found["id"] for found in (await client.get("/api/sales")).json()["sales"]] == [rung["id"]]
        for path in (f"/api/sales/{broken.id}", f"/api/refunds/{broken.id}", f"/api/receipts/{broken.id}"):
            assert (await client.get(path)).status_code == 404, path
        assert till.day_report()["invalid"][0]["hash"] == broken.hash.hex()


@pytest.mark.parametrize(
    "figures",
    [
        {}, {"a": 1}, FIGURES | {"sales": None}, FIGURES | {"tenders": [1]}, FIGURES | {"cash": {"in": 5}},
        FIGURES | {"till": "a" * 26, "report": None, "id": "x", "net": "much", "cashiers": [5, {"by": []}]},
    ],
)  # fmt: skip
async def test_a_z_report_with_figures_of_its_own_kind_is_shown_as_ours_are(
    tmp_path: Path, figures: dict[str, Any]
) -> None:
    """Its figures stood over the report's own till and id, and whoever printed it ended in an error."""
    async with running(tmp_path) as (till, client):
        await client.post("/api/sales", json=sale())
        ours = (await client.post("/api/shifts/close", json={"id": str(uuid.uuid4()), "counted": {}})).json()
        hostile = await member_of(till)
        z = hostile.put("shift closed", Z | {"figures": figures})
        await bring(till, z)
        shown = next(z for z in (await client.get("/api/shifts")).json()["shifts"] if z["till"] == hostile.id)
        assert (shown["id"], shown["report"], list(shown)) == (z.id, "Z", list(ours))
        assert shown["sales"].keys() == ours["sales"].keys() and shown["cash"].keys() == ours["cash"].keys()
        print_shift(await COMMANDS["report_shift"](till, {"shift": z.id}))


def test_our_own_figures_are_shown_as_they_are() -> None:
    takings = Takings()
    line = {"sku": "a", "quantity": "1", "price": 118, "class": "standard", "rate": "18", "tax": 18}
    takings.add("sale", {"lines": [line], "total": 118, "by": "Asma", "number": 1})
    takings.add("payment", {"amount": 5})
    takings.add("cash", {"direction": "out", "amount": 5})
    figures = {"number": 3} | takings.figures()
    assert read_figures(figures) == figures


@pytest.mark.parametrize("mrp", ["9" * 200, "", [5], {"a": 1}, True, -5, 10**15, None])
async def test_a_printed_price_that_is_none_stops_no_sale(tmp_path: Path, mrp: Any) -> None:
    """A text as a printed price was repeated a million times over by the tax on it: the process ran out of memory."""
    async with running(tmp_path) as (till, client):
        hostile = await member_of(till)
        product = {"sku": "SOAP", "name": "Soap", "price": 118, "third_schedule": True, "mrp": mrp}
        await bring(till, hostile.put("products", {"products": [product]}))
        asked = sale(lines=[{"sku": "SOAP", "quantity": "999", "price": 118}])
        assert (await client.post("/api/sales", json=asked)).status_code == 201
        assert product_of(product).mrp is None, "should a check at the door ever let it pass"


@pytest.mark.parametrize("kind", ["sale", "cash"])
async def test_a_refund_of_what_is_no_sale_is_shown_and_printed(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path) as (till, client):
        hostile = await member_of(till)
        fields = {"lines": [{"price": []}], "total": 5, "direction": "in", "amount": 5, "reason": "x"}
        named = hostile.put(kind, fields)
        lines = [{"line": 500, "sku": "TEA", "quantity": "1", "total": 5}]
        body = {"sale": named.id, "of": named.hash.hex(), "lines": lines, "total": 5, "reason": "x"}
        refund = hostile.put("refund", body | {"number": 1, "label": "Z"})
        void = hostile.put("void", body)
        await bring(till, named, refund, void)
        for entry in (refund, void):
            assert (await client.get(f"/api/refunds/{entry.id}")).json()["sale_receipt"] is None
            for form in ("text", "html", "escpos", "png"):
                assert (await client.get(f"/api/receipts/{entry.id}?format={form}")).status_code == 200
        assert (await client.get("/api/refunds")).status_code == 200


@pytest.mark.parametrize("path", ["/api/sales", "/api/cash"])
async def test_a_forged_entry_under_our_own_name_keeps_no_id(tmp_path: Path, path: str) -> None:
    """Whoever knew the id of a cart that waits could write a sale of that id under the till's name: the till answered
    409 to the true one, or 200 where it said the same, and recorded nothing."""
    async with running(tmp_path) as (till, client):
        hostile = await member_of(till)
        asked: dict[str, Any] = {"id": str(uuid.uuid4()), "lines": [dict(TEA)]}
        fields: dict[str, Any] = {"number": 900, "label": "A", "total": 500, "lines": [dict(TEA)]}
        if path == "/api/cash":
            asked = {"id": asked["id"], "direction": "in", "amount": 5, "reason": "x"}
            fields = asked
        forged = hostile.put(path[5:].removesuffix("s"), fields, till=till.id, id=asked["id"], seq=900, prev="0" * 24)
        await bring(till, forged)
        assert [r.status.value for r in till.reports.by_id(asked["id"])] == ["held"]
        answer = await client.post(path, json=asked)
        assert answer.status_code == 201
        assert (await client.post(path, json=asked)).status_code == 200
        assert [r.status.value for r in till.reports.by_id(asked["id"])] == ["counted", "held"]


@pytest.mark.parametrize("label", ["no label!", "A" * 300, ["Z"], {"a": 1}, 5, "\u0663", ""])
async def test_a_label_that_is_none_keeps_no_till_from_selling(tmp_path: Path, label: Any) -> None:
    """Any manager may rename a till. One that took what is no label refused every sale, or did not start again."""
    async with running(tmp_path) as (till, client):
        hostile = await member_of(till)
        await bring(till, *(hostile.put("setting", {"name": f"label:{id}", "value": label}) for id in (till.id, "x")))
    async with running(tmp_path) as (till, client):
        assert (await client.post("/api/sales", json=sale())).json()["receipt"].startswith("A-")
        assert till.reports.label(till.id) == "A"
    async with running(tmp_path, label="C") as (till, client):
        assert (await client.post("/api/sales", json=sale())).json()["receipt"].startswith("C-")


async def test_redates_of_a_long_run_stop_no_till(tmp_path: Path) -> None:
    """Each redate compared all redates for each entry of the run that it names, in the commit that sales wait for."""
    async with running(tmp_path) as (till, client):
        for _ in range(10):
            await asyncio.gather(*(client.post("/api/sales", json=sale()) for _ in range(100)))
        hostile = await member_of(till)
        run = till.sales(limit=1)[0].run
        fields = {"author": till.id, "of": run, "first": 1, "last": 2**50, "to": till.day, "seen": {}}
        begun = time.monotonic()
        await bring(till, *(hostile.put("redate", fields) for _ in range(100)))
        assert time.monotonic() - begun < REDATES_WITHIN_S
        moved = hostile.put("redate", fields | {"last": 500, "to": "2026-01-01", "seen": dict(hostile.seen)})
        await bring(till, moved)
        assert len(till.sales(day="2026-01-01", limit=1000)) + len(till.sales(day=till.day, limit=1000)) == 1000
        assert {s.seq > 500 for s in till.sales(day=till.day, limit=1000)} == {True}
