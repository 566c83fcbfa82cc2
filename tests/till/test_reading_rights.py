"""What a shop keeps from its cashiers: who may read its reports is proved by a session, since a GET has no body."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from posline.till.till import Till
from tests.till.shop import running, sale

READ = (
    "/api/reports/day/{day}",
    "/api/reports/day/{day}?format=csv",
    "/api/reports/days",
    "/api/shifts",
    "/api/shifts/{shift}",
    "/api/conflicts",
    "/api/customers?owing=1",
)
OPEN = ("/api/shifts/current", "/api/customers?q=a", "/api/status", "/api/sales", "/api/shop", "/api/catalogue")


async def closed_shift(till: Till, client: httpx.AsyncClient) -> str:
    await client.post("/api/sales", json=sale())
    answer = await client.post("/api/shifts/close", json={"id": sale()["id"], "counted": {"cash": 500}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def status(client: httpx.AsyncClient, path: str, till: Till, shift: str) -> httpx.Response:
    return await client.get(path.format(day=till.day, shift=shift))


async def test_reports_are_everybodys_until_the_shop_says_otherwise(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        shift = await closed_shift(till, client)
        for path in READ:
            assert (await status(client, path, till, shift)).status_code == 200, path
        await client.put("/api/cashiers/Ali", json={"pin": "1234"})
        await client.put("/api/cashiers/Sana", json={"role": "manager", "pin": "5678"})
        for path in READ:
            assert (await status(client, path, till, shift)).status_code == 200, path
        await client.put("/api/settings/permissions", json={"value": {"reports": "supervisor"}})
        await client.post("/api/sales", json=sale())
        for path in READ:
            refused = await status(client, path, till, shift)
            assert refused.status_code == 403, path
            assert "POST /api/session" in refused.json()["detail"] and "Sana can" in refused.json()["detail"]
        for path in OPEN:
            assert (await status(client, path, till, shift)).status_code == 200, path
        await client.post("/api/session", json={"by": "Ali", "pin": "1234"})
        assert (await status(client, READ[0], till, shift)).status_code == 403
        await client.post("/api/session", json={"by": "Sana", "pin": "5678"})
        for path in READ:
            assert (await status(client, path, till, shift)).status_code == 200, path


@pytest.mark.parametrize("value", [{"reports": "boss"}, {"report": "manager"}, {"members": "nobody"}])
async def test_a_misspelt_right_is_refused(tmp_path: Path, value: dict[str, str]) -> None:
    async with running(tmp_path) as (_, client):
        assert (await client.put("/api/settings/permissions", json={"value": value})).status_code == 422
