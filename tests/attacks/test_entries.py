"""Attacks by a member's entries: odd, wrong or lying ones, that no till and no answer may trip over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.attacks.hostile import bring, member_of
from tests.till.shop import running, sale

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
