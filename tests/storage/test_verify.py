"""`posline verify` beside a till that is selling."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posline.storage import pieces
from posline.storage import verify as verifying
from posline.storage.connection import Error
from posline.storage.scrub import Scrub
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


async def shop_with_much_in_it(folder: Path) -> str:
    """A till that ran twice, was wrote in two documents; its shop."""
    async with open_till(folder) as till:
        await till.sell([TEA])
    async with open_till(folder) as till:
        await till.sell([TEA])
        await till.sell([TEA])
        return till.shop_id


def harms(database: Path, shop: str, change: str) -> list[str]:
    """What `posline verify` finds once the closed file was changed by itself."""
    with sqlite3.connect(database) as db:
        assert db.execute(change).rowcount == 1, change
    db.close()
    with closing(Store.open(database)) as store:
        return [problem for problem in verify(store, shop) if isinstance(problem, Harm)]


async def test_what_a_newer_version_added_to_the_tables_is_no_harm(tmp_path: Path) -> None:
    """Else an older one that opens the file would have it built anew as damaged."""
    async with open_till(tmp_path) as till:
        await till.sell([TEA])
        await till.shifts.close_day({"id": str(uuid.uuid4())}, till.day)
    with closing(sqlite3.connect(tmp_path / "posline.db")) as db:
        for table in ("shop", "document", "dayclose", "onhand", "run"):
            db.execute(f"ALTER TABLE {table} ADD COLUMN further TEXT")
        db.execute("CREATE TABLE newer (shop INTEGER)")
    async with open_till(tmp_path) as till:
        assert list(verify(till.store, till.shop_id)) == []


SALE = "WHERE kind = 'sale' AND number = 2"
ROTTEN = {
    **{name: f"UPDATE entry SET {name} = 2 * {name} + 1 {SALE}" for name in ("run", "seq", "number", "amount")},
    **{name: f"UPDATE entry SET {name} = substr({name}, 2) {SALE}" for name in ("id", "kind", "author", "prev")},
    "raw": f"UPDATE entry SET raw = CAST(replace(raw, '\"by\"', '\"bY\"') AS BLOB) {SALE}",
    "day": f"UPDATE entry SET day = '2020-01-01' {SALE}",
    "signed": f"UPDATE entry SET signed = 3 {SALE}",
    "fault": f"UPDATE entry SET fault = 'x' {SALE}",
    "type of vouched": f"UPDATE entry SET vouched = x'' {SALE}",
    "status": f"UPDATE entry SET status = 77 {SALE}",
    "letters of a table": "UPDATE mark SET author = CAST(x'c5' || author AS TEXT) WHERE number > 0",
    "what a row of the log brings": "UPDATE log SET after = CAST(after || x'00' AS BLOB) WHERE n = 1 AND document = 2",
    "reason": f"UPDATE entry SET reason = 'x' {SALE}",
    "vouched": f"UPDATE entry SET vouched = 1 - vouched {SALE}",
    "how far a run reaches": "UPDATE run SET whole = whole + 4 WHERE LAST",
    "a run's last": "UPDATE run SET tip = tip + 4 WHERE LAST",
    "where a run went on from": "UPDATE continuation SET seq = seq + 1",
    "the last row of a log": "UPDATE document SET n = n - 1 WHERE name LIKE 'journal/%'",
    "the last entry written": "UPDATE mark SET seq = seq + 1 WHERE number > 0",
    "its hash": "UPDATE mark SET hash = zeroblob(32) WHERE number > 0",
    "its run": "UPDATE mark SET run = run + 1 WHERE number > 0",
    "its author": "UPDATE mark SET author = 'x' WHERE number > 0",
    "the last number": "UPDATE mark SET number = number - 1 WHERE number > 0",
    "the shop": "UPDATE shop SET id = substr(id, 2)",
}


@pytest.mark.parametrize("what", ROTTEN)
async def test_what_rotted_in_the_ledger_is_named(tmp_path: Path, what: str) -> None:
    shop = await shop_with_much_in_it(tmp_path)
    last = "tip = (SELECT max(tip) FROM run)"
    assert harms(tmp_path / "posline.db", shop, ROTTEN[what].replace("LAST", last))


@pytest.mark.parametrize("at_once", [3, pieces.IN_A_QUERY])
async def test_where_nothing_rotted_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(pieces, "IN_A_QUERY", at_once)
    shop = await shop_with_much_in_it(tmp_path)
    assert harms(tmp_path / "posline.db", shop, "UPDATE shop SET id = id") == []


@pytest.mark.parametrize("what", ["prev", "number", "amount", "id", "kind", "fault", "raw"])
async def test_what_only_repeats_an_entry_is_also_looked_at_in_passing(tmp_path: Path, what: str) -> None:
    shop = await shop_with_much_in_it(tmp_path)
    assert harms(tmp_path / "posline.db", shop, ROTTEN[what])
    with closing(Store.open(tmp_path / "posline.db")) as store, pytest.raises(Error, match="not what was written"):
        scrub = Scrub()
        while scrub.step(store):
            pass
