"""Ringing, where more than one thing happens at a time."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from posline.errors import BadRequest, CommitFailed, Conflict, DiskFull
from posline.till.till import open_till
from tests.till.shop import TEA, running, sale


async def test_a_sale_whose_caller_has_gone_is_recorded_all_the_same(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        id = str(uuid.uuid4())
        asking = asyncio.create_task(till.sell([TEA], id=id))
        await asyncio.sleep(0)
        asking.cancel()
        again = await till.sell([TEA], id=id)
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert again.id == id and till.day_report()["sales"]["count"] == 1


async def test_other_content_waits_for_the_first_and_is_then_a_conflict(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        id = uuid.uuid4()
        first = asyncio.create_task(till.sell([TEA], id=id))
        await asyncio.sleep(0)
        with pytest.raises(Conflict):
            await till.sell([TEA | {"price": 1}], id=id)
        assert (await first).total == 500


async def test_who_waited_for_a_sale_that_failed_rings_it_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_till(tmp_path) as till:
        honest, left = till.store.commit, 1

        def full_once(batch: Any) -> Any:
            nonlocal left
            if left:
                left -= 1
                raise DiskFull("no room")
            return honest(batch)

        monkeypatch.setattr(till.store, "commit", full_once)
        id = uuid.uuid4()
        first, second = await asyncio.gather(till.sell([TEA], id=id), till.sell([TEA], id=id), return_exceptions=True)
        assert isinstance(first, CommitFailed) and not isinstance(second, BaseException)
        assert second.number == 1 and till.day_report()["sales"]["count"] == 1


async def test_an_id_that_another_kind_of_entry_has_is_a_conflict(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        id = str(uuid.uuid4())
        await till.engine.durable(till.replica.write("seal", {}, id=id))
        with pytest.raises(Conflict):
            await till.sell([TEA], id=id)


async def test_a_price_that_changed_does_not_make_a_retry_another_sale(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:

        async def price(amount: int) -> None:
            product = {"sku": "SALT", "name": "Salt", "price": amount}
            await till.write("products", {"products": [product]}, document=till.reports.catalogue)

        await price(100)
        asked = {"sku": "SALT", "quantity": 1}
        tenders = [{"kind": "cash", "amount": 100}]
        first = await till.sell([asked], id=(id := uuid.uuid4()), tenders=tenders)
        await price(120)
        assert (await till.sell([asked], id=id, tenders=tenders)) == first
        with pytest.raises(BadRequest, match="20 less"):
            await till.sell([asked], tenders=tenders)
        assert (await till.sell([asked])).total == 120


async def test_what_no_sale_can_hold_is_a_bad_request(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        nested: list[Any] = []
        for _ in range(5000):
            nested = [nested]
        wrong: list[Any] = [TEA | {"price": 10**40}, TEA | {"name": object()}, TEA | {"x": nested}, {1: 2}]
        wrong.append(TEA | {"sku": "\ud800"})
        for line in wrong:
            with pytest.raises(BadRequest):
                await till.sell([line])
        assert till.day_report()["sales"]["count"] == 0


async def test_whoever_asks_while_the_till_goes_down_is_told_to_ask_again(tmp_path: Path) -> None:
    """Contract: 503. Between the last commit and the closing of the disk it was 500, for a folder read only."""
    async with running(tmp_path) as (till, client):
        stop, answers = till.links.stop, []

        async def stopping() -> None:
            answers.extend([
                await client.post("/api/sales", json=sale()),
                await client.post("/api/shifts/open", json={"id": sale()["id"], "float": 1}),
            ])
            await stop()

        till.links.stop = stopping  # type: ignore[method-assign]
        await till.close()
        assert [answer.status_code for answer in answers] == [503, 503]
