"""`posline verify` beside a till that is selling."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posline.storage import verify as verifying
from posline.storage.store import Store
from posline.storage.verify import Harm, verify
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


@pytest.mark.parametrize("column", ["id", "kind", "author", "run", "seq", "prev", "number", "amount", "raw"])
async def test_a_row_of_the_ledger_that_rotted_is_named(tmp_path: Path, column: str) -> None:
    async with open_till(tmp_path) as till:
        sold = (await till.sell([TEA])).id
        shop = till.shop_id
    database = tmp_path / "posline.db"
    with sqlite3.connect(database) as db:
        changed = f"2 * {column}"
        if column == "raw":
            changed = "CAST(replace(raw, '\"by\"', '\"bY\"') AS BLOB)"
        elif column in ("id", "kind", "author", "prev"):
            changed = f"substr({column}, 2)"
        assert db.execute(f"UPDATE entry SET {column} = {changed} WHERE id = ?", (sold,)).rowcount == 1
    db.close()
    with closing(Store.open(database)) as store:
        problems = list(verify(store, shop))
    assert any(isinstance(problem, Harm) for problem in problems)

