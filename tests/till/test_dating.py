"""A manager says what time it is, and where entries of a wrong clock belong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from posline.core.clock import parse_iso
from posline.errors import BadRequest, NotFound
from posline.storage.verify import verify
from posline.till.commands import COMMANDS
from posline.till.dating import redate, set_time
from posline.till.opening import Clockwork
from posline.till.till import open_till
from tests.till.shop import TEA, until

LOST = Clockwork(wall_ms=lambda: 1000, synchronised=lambda: False)
NOW, DAY = "2027-03-05T15:30", "2027-03-05"


async def test_a_till_that_is_told_the_time_moves_what_it_misfiled(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", clockwork=LOST) as a:
        sale = await a.sell([TEA])
        assert sale.day != DAY and any(alarm["kind"] == "clock" for alarm in a.alarms())
        for wrong in ("now", "1999-01-01", "2027-13-01", ""):
            with pytest.raises(BadRequest):
                await set_time(a, wrong)
        found = await COMMANDS["set_time"](a, {"time": NOW})
        assert found["day"] == DAY and found["at"].startswith(NOW) and found["at"].endswith("+05:00")
        await until(lambda: a.sale(sale.id).day == DAY and not a.alarms())
        assert a.day_report(DAY)["sales"]["count"] == 1 and (await a.sell([TEA])).day == DAY
        assert (await set_time(a, "2035-03-05T15:30"))["day"] == "2035-03-05"  # a slip
        assert (await set_time(a, NOW))["day"] == DAY == (await a.sell([TEA])).day
    earlier = parse_iso("2027-02-01T12:00:00+05:00")
    async with open_till(tmp_path / "a", clockwork=replace(LOST, wall_ms=lambda: earlier)) as a:
        assert (await a.sell([TEA])).day == DAY, "a clock that is behind what a manager said is not believed"
    async with open_till(tmp_path / "b", clockwork=Clockwork(synchronised=lambda: True)) as b:
        with pytest.raises(BadRequest, match="is known"):
            await set_time(b, NOW)


async def test_a_wrong_time_that_another_till_said_is_set_right_by_hand(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", clockwork=Clockwork(synchronised=lambda: False)) as a:
        assert a.replica.clock is not None
        today = a.day
        a.replica.clock.heard(parse_iso("2096-10-02T12:00:00+00:00"), True)
        assert (await a.sell([TEA])).day == "2096-10-02"
        assert (await set_time(a, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"))["day"] == today
        a.replica.clock.heard(parse_iso("2096-10-02T12:00:00+00:00"), True)
        assert (await a.sell([TEA])).day == today
        await a.sell([TEA])
    async with open_till(tmp_path / "a", clockwork=Clockwork(synchronised=lambda: False)) as a:
        assert (await a.sell([TEA])).day == today, "nothing that was only said keeps a till in another year"


async def test_entries_are_moved_by_hand(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        sales = [await a.sell([TEA]) for _ in range(3)]
        run = sales[0].run
        answer = await COMMANDS["redate"](
            a, {"run": run, "first": sales[0].seq, "last": sales[1].seq, "day": DAY}
        )  # fmt: skip
        assert (answer["entries"], answer["day"]) == (2, DAY)
        await until(lambda: a.day_report(DAY)["sales"]["count"] == 2)
        assert a.sale(sales[2].id).day == sales[2].day and a.day_report(sales[2].day)["sales"]["count"] == 1
        await redate(a, run, sales[0].seq, sales[1].seq, sales[2].day)
        await until(lambda: a.day_report(sales[2].day)["sales"]["count"] == 3)
        with pytest.raises(NotFound, match="no entry"):
            await redate(a, run + 1, 1, 2, DAY)
        with pytest.raises(BadRequest):
            await redate(a, run, 3, 2, DAY)
        with pytest.raises(BadRequest):
            await COMMANDS["redate"](a, {"run": run, "first": 1, "last": 2, "day": "tomorrow"})
        assert not list(verify(a.store, a.shop_id))
