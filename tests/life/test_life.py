"""Two years of a busy shop: what a till needs to start, to sell, to answer and to sync follows today, not its history.

In a proof 730 days of 2,000 sales at five tills (about an hour, 20 GB in POSLINE_LIFE or the temporary folder); at
every change three short days, by the same way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest

from posline.storage.reports import Reports
from posline.storage.verify import verify
from tests.life.measure import catch_up, measure
from tests.life.years import NEWCOMER, Life
from tests.proof import PROOF, Note, share

DAYS = share(3, 730)
MARKS = (30, 182, 365, DAYS) if PROOF else (DAYS,)
SALES_A_DAY = share(50, 2_000)
TILLS = 5
RECONNECT_BYTES_MAX, RECONNECT_MESSAGES_MAX = 2_000, 8
GROWTH_MAX = 1.5  # of start and memory, from the first mark to the last


@pytest.mark.timeout(4 * 3600 if PROOF else 120)
def test_years_of_a_busy_shop(note: Note) -> None:
    with tempfile.TemporaryDirectory(prefix="posline-life-", dir=os.environ.get("POSLINE_LIFE")) as name:
        folder = Path(name)
        life = Life(folder, tills=TILLS, days=DAYS, sales_a_day=SALES_A_DAY)
        seen = []
        for mark in MARKS:
            life.live(mark - 1 - life.today)
            life.close()
            before = life.copy(life.names[1], folder / "a day behind")
            life.open()
            life.live(1)
            assert len(life.roots()) == 1, "the tills differ"
            size_bytes, messages = life.reconnect()
            assert size_bytes <= RECONNECT_BYTES_MAX, "a reconnect follows history"
            assert messages <= RECONNECT_MESSAGES_MAX
            life.close()
            first, last = life.day_of(0), life.day_of(life.today - 1)
            whole = life.copy(life.names[0], folder / "whole")
            newcomer = life.copy(NEWCOMER, folder / "new")
            measured = asyncio.run(measure(whole, last))
            day_s = asyncio.run(catch_up(whole, before, [first, last]))
            all_s = asyncio.run(catch_up(whole, newcomer, [first, last]))
            for copy in (whole, before, newcomer):
                shutil.rmtree(copy)
            figures = asdict(measured) | {
                "sales": life.sales, "reconnect_bytes": size_bytes, "reconnect_messages": messages,
                "catch_up_of_a_day_s": day_s, "joining_s": all_s,
            }  # fmt: skip
            note(**{f"after {mark} days": figures})
            seen.append(measured)
            life.open()
        books = life.tills[0]
        assert list(verify(books.opened.store, books.opened.replica.shop)) == []
        reports = Reports(books.opened.store, books.opened.replica.shop, here="")
        days = [reports.day(day)["sales"] for day in reports.days()]
        assert (sum(day["count"] for day in days), sum(day["total"] for day in days)) == (life.sales, life.total)
        life.close()
        if PROOF:
            assert seen[-1].start_s <= GROWTH_MAX * seen[0].start_s
            assert seen[-1].memory_mib <= GROWTH_MAX * seen[0].memory_mib
