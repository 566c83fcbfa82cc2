"""The header that says which till a request is for."""

from __future__ import annotations

from pathlib import Path

from posline.storage.folder import Folder
from posline.till.keeping import backup, restore
from posline.till.till import open_till
from posline.trust.keys import Key
from tests.till.shop import running, sale


async def test_what_is_meant_for_another_till_is_not_recorded(tmp_path: Path) -> None:
    async with running(tmp_path, label="B", shop="Corner") as (till, client):
        refused = await client.post("/api/sales", json=sale(), headers={"Posline-Till": "a" * 26})
        assert refused.status_code == 421 and refused.headers["content-type"] == "application/problem+json"
        said = refused.json()
        assert said["title"] == "Another till" and "Nothing was recorded" in said["detail"]
        assert {name: said[name] for name in ("till", "label", "shop", "shop_id")} == {
            "till": till.id, "label": "B", "shop": "Corner", "shop_id": till.shop_id
        }  # fmt: skip
        assert (await client.get("/api/status", headers={"Posline-Till": ""})).status_code == 421
        assert till.sales() == []
        own = await client.post("/api/sales", json=sale(), headers={"Posline-Till": till.id})
        assert own.headers["posline-till"] == till.id, "so that a page knows who answered"
        assert own.status_code == 201 and (await client.post("/api/sales", json=sale())).status_code == 201


async def test_the_guard_stands_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        headers = {"Posline-Till": "a" * 26, "Origin": "http://elsewhere.example"}
        assert (await client.post("/api/sales", json=sale(), headers=headers)).status_code == 403
        await till.close()
        assert (await client.post("/api/sales", json=sale(), headers={"Posline-Till": "a" * 26})).status_code == 503


async def test_a_restored_till_takes_what_was_meant_for_those_before_it(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", "K") as till:
        first, recovery = till.id, str(till.recovery)
        backup(till, tmp_path / "a.db")
    with Folder(tmp_path / "b") as folder:
        restore(folder, tmp_path / "a.db", recovery=Key.from_code(recovery), label="")
    async with open_till(tmp_path / "b") as till:
        second = till.id
        backup(till, tmp_path / "b.db")
    with Folder(tmp_path / "c") as folder:
        restore(folder, tmp_path / "b.db", recovery=Key.from_code(recovery), label="")
    async with running(tmp_path / "c") as (till, client):
        for meant in (first, second, till.id):
            answer = await client.post("/api/sales", json=sale(), headers={"Posline-Till": meant})
            assert answer.status_code == 201, answer.text
    async with running(tmp_path / "a") as (_, client):
        answer = await client.post("/api/sales", json=sale(), headers={"Posline-Till": second})
        assert answer.status_code == 421, "the one before takes nothing of its successor"
