"""Shifts, cash and days at a till: what each call answers, and that each sale lies in exactly one Z report."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from posline.cli import app
from posline.core.document import lone_update
from posline.core.ranges import Numbers
from posline.errors import CommitFailed, Conflict, DiskFull, NotFound, NotPossible
from posline.storage.shifts import TillShifts
from posline.till.commands import COMMANDS
from posline.till.opening import Clockwork
from posline.till.shared import put
from posline.till.till import Till, open_till
from tests.kit import StillTime, Writer, text_key
from tests.till.shop import TEA, running, sale

DAY_MS = 86_400_000


def new() -> str:
    return str(uuid.uuid4())


def at(time: StillTime) -> Clockwork:
    """A till's clock and dice that stand still and are the same at each run."""
    return Clockwork(lambda: time.wall_ms, lambda: time.mono_ms, lambda: True, random.Random(7))


async def close(till: Till, counted: int = 0, **more: Any) -> dict[str, Any]:
    return (await till.shifts.close({"id": new(), "counted": {"cash": counted}, **more})).answer


async def test_a_shift_from_float_to_z_report(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        opened = {"id": new(), "float": 1000, "by": "Amina"}
        answer = await client.post("/api/shifts/open", json=opened)
        assert answer.status_code == 201 and answer.json()["float"] == 1000
        again = await client.post("/api/shifts/open", json=opened)
        assert (again.status_code, again.json()) == (200, answer.json())
        taken = await client.post("/api/shifts/open", json={"id": new(), "float": 0, "by": "Bilal"})
        assert taken.status_code == 409 and "Amina's shift is open" in taken.json()["detail"]
        cash = [{"kind": "cash", "amount": 1000}]
        first = (await client.post("/api/sales", json=sale(tenders=cash, by="Amina"))).json()
        card = [{"kind": "card", "amount": 500}]
        second = (await client.post("/api/sales", json=sale(tenders=card))).json()
        await till.refund(second["id"], [{"line": 1, "quantity": 1}], reason="cold")
        await till.void(first["id"], "mistyped")
        moved = {"id": new(), "direction": "out", "amount": 300, "reason": "milk", "by": "Amina"}
        answer = await client.post("/api/cash", json=moved)
        assert answer.status_code == 201 and (await client.post("/api/cash", json=moved)).status_code == 200
        assert answer.json()["amount"] == 300
        await client.post("/api/cash", json={"id": new(), "direction": "in", "amount": 50, "reason": "coins"})
        x = (await client.get("/api/shifts/current")).json()
        assert (x["report"], x["counted"], x["over_short"]) == ("X", None, None)
        assert x["expected"] == {"card": 250, "cash": 1000 - 300 + 50}
        closing = {"id": new(), "counted": {"cash": 740, "card": 250}, "note": "10 short", "by": "Amina"}
        answer = await client.post("/api/shifts/close", json=closing)
        z = answer.json()
        assert answer.status_code == 201
        assert (z["sales"]["count"], z["sales"]["total"]) == (2, 1000)
        assert (z["refunds"]["total"], z["voids"]["total"]) == (250, 500)
        assert (z["net"], z["tenders"]) == (250, {"card": 250, "cash": 0})
        assert z["cash"] == {"in": {"count": 1, "total": 50}, "out": {"count": 1, "total": 300}}
        assert (z["expected"], z["over_short"]) == (x["expected"], {"card": 0, "cash": -10})
        assert (z["shift"], z["opened"]["by"], z["number"], z["note"]) == (opened["id"], "Amina", 1, "10 short")
        assert [(c["by"], c["sales"], c["total"]) for c in z["cashiers"]] == [("", 1, 500), ("Amina", 1, 500)]
        again = await client.post("/api/shifts/close", json=closing)
        assert (again.status_code, again.json()) == (200, z)
        other = await client.post("/api/shifts/close", json=closing | {"counted": {"cash": 750}})
        assert other.status_code == 409
        for id in (closing["id"], opened["id"]):
            assert (await client.get(f"/api/shifts/{id}")).json() == z
        assert (await client.get(f"/api/shifts?day={till.day}")).json() == {"shifts": [z]}
        gone = await client.get("/api/shifts/current")
        assert gone.status_code == 404 and gone.json()["detail"].startswith("no shift is open: ")
        late = await client.post("/api/shifts/close", json={"id": new(), "counted": {}})
        assert late.status_code == 404
        report = (await client.get(f"/api/reports/day/{till.day}")).json()
        assert report["net"] == z["net"] and report["tenders"] == z["tenders"] and report["cash"] == z["cash"]
        assert (await client.get(f"/api/shifts/{new()}")).status_code == 404


async def test_each_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await till.sell([TEA])
        for path, body, fields in (
            ("shifts/open", {"float": -1, "by": 7, "flaot": 1}, {"float", "by", "flaot"}),
            ("shifts/open", {"float": 1.5}, {"float"}),
            ("shifts/close", {}, {"counted"}),
            ("shifts/close", {"counted": {"Cash": 1, "card": "2"}}, {"counted.Cash", "counted.card"}),
            ("shifts/close", {"counted": {f"k{n}": 1 for n in range(21)}}, {"counted"}),
            ("cash", {"direction": "up", "amount": 0}, {"direction", "amount", "reason"}),
            ("cash", {"direction": "in", "amount": True, "reason": "x" * 201}, {"amount", "reason"}),
            ("days/2026-13-01/close", {}, {"day"}),
            ("days/2099-01-01/close", {}, {"day"}),
        ):
            answer = await client.post(f"/api/{path}", json={"id": new()} | body)
            assert answer.status_code == 422, (path, answer.text)
            assert {e["field"] for e in answer.json()["errors"]} == fields
        answer = await client.post("/api/cash", json={"direction": "in", "amount": 1, "reason": "x"})
        assert answer.json()["errors"][0]["field"] == "id"
        assert not (await client.get("/api/shifts")).json()["shifts"]


async def test_a_shift_need_not_be_opened(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        await till.sell([TEA])
        first = await close(till, 500)
        assert (first["shift"], first["opened"], first["float"], first["over_short"]) == (None, None, 0, {"cash": 0})
        await till.sell([TEA])  # between two shifts: in the Z report of the next one
        opened = (await till.shifts.open({"id": new(), "float": 200})).answer
        assert till.shifts.find(opened["id"]) == opened
        assert till.shifts.listed(till.day) == [first, opened]
        second = await close(till, 700)
        assert (second["shift"], second["sales"]["count"], second["number"]) == (opened["id"], 1, 2)
        assert second["over_short"] == {"cash": 0}
        empty = (await till.shifts.open({"id": new(), "float": 9})).answer
        third = await close(till, 9)  # nothing was sold: it can be closed all the same
        assert (third["shift"], third["sales"]["count"], third["expected"]) == (empty["id"], 0, {"cash": 9})


async def test_who_counts_blind_is_told_nothing_before(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        await till.write("setting", {"name": "blind_count", "value": True}, document="shop")
        await till.sell([TEA])
        x = till.shifts.current()
        assert x["blind"] and [x[name] for name in ("expected", "tenders", "cash", "payments")] == [None] * 4
        z = await close(till, 480)
        assert (z["expected"], z["tenders"], z["over_short"]) == ({"cash": 500}, {"cash": 500}, {"cash": -20})


@pytest.mark.parametrize("inline", [True, False])
async def test_sales_that_race_with_closes_lie_in_exactly_one_z_report(
    inline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not inline:  # a commit runs in its thread, and what is rung meanwhile is only staged when a close is written
        monkeypatch.setattr("posline.sync.engine.INLINE_UPDATES", 0)
    async with open_till(tmp_path) as till:
        shifts: list[dict[str, Any]] = []

        async def ring(prices: range) -> None:
            for price in prices:
                await till.sell([TEA | {"quantity": 1, "price": price}])

        async def shut() -> None:
            while not all(cashier.done() for cashier in cashiers):
                try:
                    shifts.append(await close(till))
                except NotFound:
                    await asyncio.sleep(0)

        cashiers = [asyncio.create_task(ring(range(first, 161, 4))) for first in (1, 2, 3, 4)]
        await asyncio.gather(*cashiers, shut(), shut())
        await till.sell([TEA | {"quantity": 1, "price": 1000}])
        shifts.append(await close(till))
        rows = till.store.read.execute("SELECT run, seq FROM entry WHERE kind = 'sale'").fetchall()
        for run, seq in rows:
            assert sum((run, seq) in Numbers(z["covers"]) for z in shifts) == 1
        assert sum(z["sales"]["count"] for z in shifts) == len(rows) == 161
        assert sum(z["net"] for z in shifts) == sum(range(1, 161)) + 1000 == till.day_report()["net"]
        assert sorted(z["number"] for z in shifts) == list(range(1, len(shifts) + 1)) and len(shifts) > 5
        receipts = sorted((z["receipts"]["first"], z["receipts"]["last"]) for z in shifts)
        assert all(one[1] + 1 == next[0] for one, next in itertools.pairwise(receipts))


async def test_two_ids_open_one_shift_and_close_it_once(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        asked = [till.shifts.open({"id": new(), "float": n}) for n in range(5)]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, NotPossible) for one in done) == 4
        shut = await asyncio.gather(*(close(till) for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(one, NotFound) for one in shut) == 3


async def test_a_z_report_is_the_same_after_restarts_and_covers_all_their_runs(tmp_path: Path) -> None:
    for price in (100, 200, 300):
        async with open_till(tmp_path) as till:
            await till.sell([TEA | {"quantity": 1, "price": price}])
    id = new()
    async with open_till(tmp_path) as till:
        z = (await till.shifts.close({"id": id, "counted": {"cash": 600}})).answer
        assert z["net"] == 600 and len(z["covers"]) == 4
    async with open_till(tmp_path) as till:
        again = await till.shifts.close({"id": id, "counted": {"cash": 600}})
        assert again.repeated and again.answer == z
        till.store._db.execute("DELETE FROM request")  # as on a disk that was put back, and had its entries from peers
        again = await till.shifts.close({"id": id, "counted": {"cash": 600}})
        assert again.repeated and again.answer == z
        with pytest.raises(Conflict):
            await till.shifts.close({"id": id, "counted": {"cash": 1}})
        await till.sell([TEA])
        assert (await close(till))["net"] == 500


async def test_a_close_for_which_there_is_no_room_is_no_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_till(tmp_path) as till:
        await till.sell([TEA])
        honest, request = till.store.commit, {"id": new(), "counted": {"cash": 1}}

        def full(batch: Any) -> Any:
            raise DiskFull("no room")

        monkeypatch.setattr(till.store, "commit", full)
        with pytest.raises(CommitFailed):
            await till.shifts.close(request)
        monkeypatch.setattr(till.store, "commit", honest)
        await till.sell([TEA])
        done = await till.shifts.close(request)
        assert not done.repeated and done.answer["net"] == 1000


async def test_a_close_closes_earlier_days_and_mends_what_a_crash_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = StillTime()
    async with open_till(tmp_path, clockwork=at(time)) as till:
        days = []
        for _ in range(3):
            await till.sell([TEA])
            days.append(till.day)
            time.pass_ms(DAY_MS)
        await till.sell([TEA])
        closed = lambda: [till.day_report(day)["provisional"] for day in days]  # noqa: E731
        assert closed() == [True] * 3
        honest, commits = till.store.commit, 0

        def one_entry(batch: list[Any]) -> Any:
            """The close is committed, and then the disk is gone before the days are."""
            nonlocal commits
            commits += 1
            if commits > 1:
                raise CommitFailed("the power went")
            return honest(batch)

        monkeypatch.setattr("posline.sync.engine.BATCH_UPDATES", 1)
        monkeypatch.setattr(till.store, "commit", one_entry)
        request = {"id": new(), "counted": {"cash": 2000}}
        with pytest.raises(CommitFailed):
            await till.shifts.close(request)
    monkeypatch.undo()
    async with open_till(tmp_path, clockwork=at(time)) as till:
        z = await till.shifts.close(request)
        assert z.repeated and z.answer["net"] == 2000 and closed() == [True] * 3
        await till.sell([TEA])
        assert (await close(till))["net"] == 500 and closed() == [False] * 3
        assert [len(till.day_report(day)["closes"]) for day in days] == [1, 1, 1]
        assert not any(till.day_report(day)["late"] for day in days)
        today = till.day_report()
        assert today["provisional"] and today["waiting_for"] == [till.id], "today is closed by hand alone"


async def test_a_day_that_was_closed_shows_what_came_late(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await till.sell([TEA])
        request = {"id": new()}
        answer = await client.post(f"/api/days/{till.day}/close", json=request)
        assert answer.status_code == 201 and answer.json()["day"] == till.day
        again = await client.post(f"/api/days/{till.day}/close", json=request)
        assert (again.status_code, again.json()) == (200, answer.json())
        assert (await client.post("/api/days/2026-01-01/close", json=request)).status_code == 409
        report = till.day_report()
        assert (report["provisional"], report["waiting_for"], report["late"]) == (False, [], [])
        assert report["closes"] == [{"till": till.id, "run": answer.json()["run"], "last": answer.json()["last"]}]
        sold = await till.sell([TEA])
        report = till.day_report()
        assert [entry["id"] for entry in report["late"]] == [sold.id]
        assert report["addendum"] == {"count": 1, "net": 500, "tenders": {"cash": 500}} and not report["provisional"]
        await client.post(f"/api/days/{till.day}/close", json={"id": new()})
        report = till.day_report()
        assert not report["late"] and len(report["closes"]) == 2, "every close stands"


async def test_a_sale_that_counts_at_another_till_is_noted_in_the_drawer(tmp_path: Path) -> None:
    time = StillTime()
    async with open_till(tmp_path, clockwork=at(time)) as till:
        names = (f"till {n}" for n in itertools.count())
        other = next(writer for writer in map(Writer, names) if writer.id < till.id)  # the lower id's copy counts
        key = text_key(other.key.public)
        await till.write("member", {"key": key, "label": "B", "role": "till"}, document="shop")
        id = new()
        await till.sell([{"sku": "1", "quantity": 1, "price": 100}], id=id)
        await till.sell([{"sku": "1", "quantity": 1, "price": 40}])
        other.name = "B"
        other.begin()
        other.sale(100, id=id)
        other.seal()
        for client, entry in enumerate(other.entries, 5):
            till.whole.integrate(entry.document, lone_update(client, other.id, [entry.raw.decode()]), origin="b")
        await till.engine.durable(*till.replica.staged)
        twin = {"id": id, "kind": "sale", "amount": 100, "kept_by": other.id}
        assert till.shifts.current()["duplicates"] == [twin]
        assert [alarm["kind"] for alarm in till.alarms()] == ["duplicate"]
        z = await close(till, 40)
        assert (z["net"], z["duplicates"], z["over_short"]) == (140, [twin], {"cash": -100})
        assert till.shifts.find(z["id"])["duplicates"] == [twin]
        report = till.day_report()
        assert z["net"] + 100 - sum(d["amount"] for d in report["duplicates"]) == report["net"]
        assert report["waiting_for"] == sorted([other.id, till.id])
        fields = TillShifts(till.store, till.shop_id, other.id).closing((), {"cash": 90})
        assert fields is not None
        closed = other.write("shift closed", fields, id=new())
        till.whole.integrate(closed.document, lone_update(99, other.id, [closed.raw.decode()]), origin="b")
        await till.engine.durable(*till.replica.staged)
        there = till.shifts.find(closed.id)
        assert (there["till"], there["label"], there["over_short"]) == (other.id, "B", {"cash": -10})
        assert {shown["id"] for shown in till.shifts.listed(till.day)} == {z["id"], closed.id}
        assert till.shifts.last() == z, "its own"


async def test_what_needs_a_supervisor_is_approved_by_one(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await till.people.save("Nadia", {"role": "supervisor", "pin": "4711"})
        await put(till, "permissions", {"shift": "supervisor", "cash": "supervisor", "day": "supervisor"})
        await till.sell([TEA], by="Amina")
        approve = {"approve": {"by": "Nadia", "pin": "4711"}}
        for path, body, kind in (
            ("shifts/open", {"float": 5}, "shift opened"),
            ("cash", {"direction": "out", "amount": 1, "reason": "tea"}, "cash"),
            ("shifts/close", {"counted": {}}, "shift closed"),
            (f"days/{till.day}/close", {}, "day closed"),
        ):
            asked = body | {"id": new(), "by": "Amina"}
            assert (await client.post(f"/api/{path}", json=asked)).status_code == 403
            wrong = asked | {"approve": {"by": "Nadia", "pin": "4712"}}
            assert (await client.post(f"/api/{path}", json=wrong)).status_code == 403
            done = await client.post(f"/api/{path}", json=asked | approve)
            assert done.status_code == 201, done.text
            again = await client.post(f"/api/{path}", json=asked | approve)
            assert (again.status_code, again.json()) == (200, done.json())
            [recorded] = till.reports.by_id(asked["id"])
            assert (recorded.entry.kind, recorded.entry.by) == (kind, "Amina")
            assert recorded.entry.body["approved"] == "Nadia" and "4711" not in recorded.entry.raw.decode()
        assert (await COMMANDS["day_close"](till, {}))["day"] == till.day, "whoever owns the machine may"


async def test_a_void_is_for_what_no_z_report_has(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        first = await till.sell([TEA])
        z = await close(till)
        second = await till.sell([TEA])
        with pytest.raises(NotPossible, match="Z report"):
            await till.void(first.id, "mistyped")
        await till.void(second.id, "mistyped")
        assert till.shifts.current()["net"] == 0 and till.shifts.find(z["id"])["net"] == 500


async def test_what_would_be_too_many_ranges_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posline.storage.shifts.COVERS_MAX", 2)
    for _ in range(4):
        async with open_till(tmp_path) as till:
            await till.sell([TEA])
    async with open_till(tmp_path) as till:
        z = await close(till)
        assert z["net"] == 2000 and len(z["covers"]) == 2 and z["covers"][0][0] == 0
        covered = Numbers(z["covers"])
        rows = till.store.read.execute("SELECT run, seq FROM entry WHERE kind = 'sale'").fetchall()
        assert all(place in covered for place in rows)
        with pytest.raises(NotFound):
            till.shifts.current()
        await till.sell([TEA])
        assert (await close(till))["net"] == 500


def test_the_commands(tmp_path: Path) -> None:
    def say(*words: str) -> str:
        done = CliRunner().invoke(app, ["--data", str(tmp_path), *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    async def sell() -> None:
        async with open_till(tmp_path) as till:
            await till.shifts.open({"id": new(), "float": 10_000, "by": "Amina"})
            await till.sell([TEA])

    asyncio.run(sell())
    assert "X report" in (said := say("report", "shift")) and "100.00" in said and "105.00" in said
    assert json.loads(say("--json", "report", "shift"))["expected"] == {"cash": 10_500}

    async def shut() -> str:
        async with open_till(tmp_path) as till:
            return str((await close(till, 10_400))["id"])

    id = asyncio.run(shut())
    assert "Z report 1" in (said := say("report", "shift")) and "-1.00" in said
    assert say("report", "shift", id) == said
    assert "the day is final" in say("day", "close")
    report = json.loads(say("--json", "report", "day"))
    assert not report["provisional"] and "closed at till A" in say("report", "day")


async def test_a_z_report_is_a_sheet_too(tmp_path: Path) -> None:
    async with running(tmp_path) as (_till, client):
        await client.post("/api/shifts/open", json={"id": new(), "float": 500})
        await client.post("/api/sales", json=sale(tenders=[{"kind": "card", "amount": 500}]))
        z = (await client.post("/api/shifts/close", json={"id": new(), "counted": {"cash": 400}})).json()
        text = (await client.get(f"/api/shifts/{z['id']}", params={"format": "csv"})).text
        assert "cash expected,,5.00,4.00,-1.00" in text and "card expected,,5.00,," in text
        page = await client.get(f"/api/shifts/{z['id']}", params={"format": "html"})
        assert page.headers["content-type"].startswith("text/html") and "Z report 1" in page.text
        assert (await client.get(f"/api/shifts/{z['id']}", params={"format": "pdf"})).status_code == 422


async def test_a_duplicate_that_came_out_overnight_is_noted_the_next_day(tmp_path: Path) -> None:
    time = StillTime()
    async with open_till(tmp_path, clockwork=at(time)) as till:
        names = (f"till {n}" for n in itertools.count())
        other = next(writer for writer in map(Writer, names) if writer.id < till.id)  # the lower id's copy counts
        await till.write("member", {"key": text_key(other.key.public), "label": "B", "role": "till"}, document="shop")
        id, day = new(), till.day
        await till.sell([{"sku": "1", "quantity": 1, "price": 100}], id=id)
        await close(till)
        time.wall_ms, time.mono_ms = time.wall_ms + DAY_MS, time.mono_ms + DAY_MS
        assert till.day > day and not [alarm for alarm in till.alarms() if alarm["kind"] == "duplicate"]
        other.name = "B"
        other.begin()
        other.sale(100, id=id)
        other.seal()
        for client, entry in enumerate(other.entries, 5):
            till.whole.integrate(entry.document, lone_update(client, other.id, [entry.raw.decode()]), origin="b")
        await till.engine.durable(*till.replica.staged)
        await till.sell([{"sku": "1", "quantity": 1, "price": 40}])
        (alarm,) = [alarm for alarm in till.alarms() if alarm["kind"] == "duplicate"]
        assert (alarm["count"], alarm["amount"]) == (1, 100) and day in alarm["detail"]
        time.wall_ms, time.mono_ms = time.wall_ms + DAY_MS, time.mono_ms + DAY_MS
        await till.sell([{"sku": "1", "quantity": 1, "price": 40}])
        assert not [alarm for alarm in till.alarms() if alarm["kind"] == "duplicate"], "it was told for a day"
