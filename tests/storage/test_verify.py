"""`posline verify` beside a till that is selling."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from posline.storage import verify as verifying
from posline.storage.verify import verify
from posline.till.till import open_till
from tests.till.shop import TEA


async def test_what_is_sold_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_till(tmp_path) as till:
        await till.sell([TEA])
        loop, honest = asyncio.get_running_loop(), verifying.judge

        def slow(*given: Any) -> Any:  # the log was read, and the ledger comes next
            asyncio.run_coroutine_threadsafe(till.sell([TEA]), loop).result(30)
            return honest(*given)

        monkeypatch.setattr(verifying, "judge", slow)
        assert await asyncio.to_thread(lambda: list(verify(till.store, till.shop_id))) == []
        assert len(till.sales()) == 2
