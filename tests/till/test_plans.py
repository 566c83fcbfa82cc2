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
from posline.till.api import build_app
from posline.till.commands import COMMANDS
from posline.till.local import Local
from posline.till.till import open_till
from posline.writer import KIND_AT
from tests.fuzz.calling import Caller, Watcher
from tests.fuzz.calls import TILL, Call
from tests.fuzz.selling import Shop

# `SEARCH entry USING INDEX entry_place (shop=?)` is the whole shop, and so is a scan. Of the partial indexes, those of
# entries without a day and of odd ones hold few; the one of sales is walked in its own order, as far as a page goes.
_WHOLE = re.compile(
    r"SCAN (e|entry)\b"
    r"|SEARCH (e|entry) USING (COVERING )?INDEX (?!entry_(odd|standing|sale)\b)\w+ \(shop=\?( AND author=\?)?\)"
)
STATEMENTS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
_ONCE = "coalesce(max(number), 0) FROM entry"  # asked by a till whose disk has written nothing yet


async def test_no_question_walks_through_the_whole_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[Any, ...]] = {}
    written: set[str] = set()  # by the connection that writes, with the values in their places
    execute = Readers.execute

    def watched(self: Readers, query: str, *values: Any) -> Any:
        asked.setdefault(query, values)
        return execute(self, query, *values)

    monkeypatch.setattr(Readers, "execute", watched)
    async with open_till(tmp_path) as till:
        local = Local(till, COMMANDS)
        shop = Shop(till, random.Random(1), Caller(build_app(till, local), Watcher(), None), local.secret)
        await shop.begin()
        till.store._db.set_trace_callback(written.add)
        for call in TILL:
            await shop.call(call, whole=True)
        days = {"from": till.day, "to": till.day}
        for by in ("product", "department", "cashier", "hour", "tender", "tax", "till", "days"):
            for asked_for in ({}, days):
                await shop.call(Call("GET", f"/api/reports/{by}", asked_for), whole=True)
        for query in ({}, {"day": till.day}, {"till": till.id}, {"order": "newest"}):
            await shop.call(Call("GET", "/api/sales", query), whole=True)
        till.reports.gaps()
        assert list(till.reports.counted(["sale"], None, None))
        till.store._db.set_trace_callback(None)
        found = {}
        for query, values in [*asked.items(), *((query, ()) for query in written)]:
            if query.lstrip().startswith(STATEMENTS) and _ONCE not in query:
                plan = [row[3] for row in execute(till.store.read, "EXPLAIN QUERY PLAN " + query, *values)]
                if any(_WHOLE.search(step) for step in plan):
                    found[query] = plan
        assert len(asked) > 80, "the test asks little"
        assert len(written) > 60, "the test writes little"
        assert not found, "\n".join(f"{query}\n    {plan}" for query, plan in found.items())


@pytest.mark.parametrize("query", [LAST_WRITTEN, LAST_NUMBER, KIND_AT])
def test_nor_does_a_start(query: str) -> None:
    with closing(Store.open(":memory:")) as store:
        plan = [row[3] for row in store.read.execute("EXPLAIN QUERY PLAN " + query, (None,) * query.count("?"))]
    assert all("(shop=? AND author=? AND run=?" in step for step in plan if " entry " in step), plan
    assert any(" entry " in step for step in plan), plan
