"""No question that a till is asked makes SQLite walk through all that the shop ever sold.

A small ledger shows it as well as a large one: how a table is to be searched is decided by its indexes alone. Two years
of a busy shop had shown it first (tests/life): a till's status took seconds there, and held up its sales.
"""

from __future__ import annotations

import random
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posline.storage.connection import Readers
from posline.storage.soundness import LAST_NUMBER, LAST_WRITTEN
from posline.storage.store import Store
from tests.fuzz.calls import TILL, filled
from tests.till.shop import running, sale

# `SEARCH entry USING INDEX entry_place (shop=?)` is the whole shop, and so is a scan. Of the partial indexes, those of
# entries without a day and of odd ones hold few; the one of sales is walked in its own order, as far as a page goes.
_WHOLE = re.compile(
    r"SCAN (e|entry)\b"
    r"|SEARCH (e|entry) USING (COVERING )?INDEX (?!entry_(odd|standing|sale)\b)\w+ \(shop=\?( AND author=\?)?\)"
)
_ONCE = "coalesce(max(number), 0) FROM entry"  # asked by a till whose disk has written nothing yet


async def test_no_question_walks_through_the_whole_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[Any, ...]] = {}
    execute = Readers.execute

    def watched(self: Readers, query: str, *values: Any) -> Any:
        asked.setdefault(query, values)
        return execute(self, query, *values)

    monkeypatch.setattr(Readers, "execute", watched)
    async with running(tmp_path / "a") as (till, http):
        rung = (await http.post("/api/sales", json=sale())).json()
        await http.post("/api/shifts/close", json=sale() | {"counted": {"cash": 0}})
        places = {"day": till.day, "till": till.id, "sale": [rung["id"]], "report": "product", "now": till.now()[:16]}
        for by in ("product", "department", "cashier", "hour", "tender", "tax", "till", "days", "day"):
            await http.get(f"/api/reports/{by}")
        for query in ("", f"day={till.day}", f"till={till.id}", "order=newest"):
            assert (await http.get(f"/api/sales?{query}")).status_code == 200
        for call in TILL:
            if call.method == "GET" and not call.path.endswith("events"):
                query = {name: str(filled(value, places, random.Random(1))) for name, value in call.query.items()}
                await http.get(filled(call.path, places, random.Random(1)), params=query)
        till.reports.gaps()
        assert list(till.reports.counted(["sale"], None, None))
        found = {}
        for query, values in asked.items():
            if query.lstrip().startswith(("SELECT", "WITH")) and _ONCE not in query:
                plan = [row[3] for row in execute(till.store.read, "EXPLAIN QUERY PLAN " + query, *values)]
                if any(_WHOLE.search(step) for step in plan):
                    found[query] = plan
        assert len(asked) > 50
        assert not found, "\n".join(f"{query}\n    {plan}" for query, plan in found.items())


@pytest.mark.parametrize("query", [LAST_WRITTEN, LAST_NUMBER])
def test_nor_does_a_start(query: str) -> None:
    with closing(Store.open(":memory:")) as store:
        plan = [row[3] for row in store.read.execute("EXPLAIN QUERY PLAN " + query, (None,) * query.count("?"))]
    assert all("(shop=? AND author=? AND run=?" in step for step in plan if " entry " in step), plan
    assert any(" entry " in step for step in plan), plan
