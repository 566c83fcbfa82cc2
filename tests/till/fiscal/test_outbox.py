"""The outbox: what each answer leads to, what a crash leaves, and that no invoice is ever sent twice by itself."""

from __future__ import annotations

import asyncio
import threading
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from posline.core.fiscal import State
from posline.core.fiscal_answers import Answer, Verdict
from posline.errors import NotPossible
from posline.storage.verify import verify
from posline.till.fiscal import acts, desk
from posline.till.fiscal.desk import Desk, setting_of
from posline.till.fiscal.outbox import Outbox
from tests.till.fiscal.shop import ACCEPTED, HOUR_MS, TEA, Fake, Killed, Time, filing, set_up, states, turns
from tests.till.shop import running, sale

REJECTED = Answer(Verdict.REJECTED, code="104", errors=("POSID is not valid",))
SILENT = Answer(Verdict.UNKNOWN, code="no-answer", errors=("no answer (ReadTimeout)",))
AWAY = Answer(Verdict.NOT_TAKEN, code="unreached")
SHUT = Answer(Verdict.NOT_TAKEN, code="http-401")


async def test_nothing_is_filed_where_filing_is_off(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        answer = await client.post("/api/sales", json=sale())
        assert "filing" not in till.one(answer.json()["id"]).entry.body
        service = Fake()
        assert await Outbox(till.fiscal.desk, service=service).turn() > 60
        assert service.probes == 0
        assert till.fiscal.view(till.one(answer.json()["id"]).entry).variant == "plain"
        assert (await client.get("/api/fiscal")).json() == {
            "on": False, "fault": "", "queue": [],
            "counts": {"queued": 0, "sending": 0, "accepted": 0, "rejected": 0, "unknown": 0},
        }  # fmt: skip


async def test_whoever_asks_while_the_setting_is_being_read_is_told_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that asked at a till's start left the outbox, and a sale, without a setting."""
    async with filing(tmp_path, Fake()) as (_, outbox):
        known, told = outbox.desk.setting(), []
        fresh = Desk(**{each.name: getattr(outbox.desk, each.name) for each in fields(outbox.desk)})

        def slow(*asked: Any) -> Any:
            if not told:
                told.append(None)
                thread = threading.Thread(target=lambda: told.append(fresh.setting()))
                thread.start()
                thread.join()
            return setting_of(*asked)

        monkeypatch.setattr(desk, "setting_of", slow)
        told.append(fresh.setting())
        assert known is not None and told == [None, known, known]


async def test_a_sale_names_its_filer_and_is_filed_once(tmp_path: Path) -> None:
    service = Fake()
    async with filing(tmp_path, service) as (till, outbox):
        sold = await till.sell(TEA)
        entry = till.one(sold.id).entry
        assert entry.body["filing"] == {"adapter": "fbr_ims", "filer": till.id}
        assert till.fiscal.view(entry).variant == "offline", "printed before it is filed"
        assert await outbox.turn() == 0.0
        assert await outbox.turn() > 60
        view = till.fiscal.view(entry, copy=True)
        assert (view.variant, view.number, view.qr, view.copy) == ("accepted", "N1", "N1", True)
        assert [invoice["USIN"] for invoice in service.sent] == [view.usin]
        paper = till.fiscal.on_paper(till.one(sold.id))
        assert (paper.state, paper.number, paper.qr, paper.service) == ("accepted", "N1", "N1", "FBR")
        assert till.printing.papers.fiscal(till.one(sold.id)) == paper, "what is printed"
        assert view.usin.startswith(uuid.UUID(sold.id).hex)
        assert list(verify(till.store, till.shop_id)) == []


@pytest.mark.parametrize(
    ("answer", "state"),
    [(ACCEPTED, "accepted"), (REJECTED, "rejected"), (SILENT, "unknown"), (AWAY, "queued"), (SHUT, "queued")],
)
async def test_what_an_answer_leads_to(tmp_path: Path, answer: Answer, state: str) -> None:
    service = Fake(answer)
    async with filing(tmp_path, service) as (till, outbox):
        await till.sell(TEA)
        await outbox.turn()
        assert states(till) == {state: 1}
        await outbox.turn()
        assert len(service.sent) == 1, "nothing is sent again at once"


async def test_one_bad_invoice_delays_the_next_by_one_pause(tmp_path: Path) -> None:
    service, time = Fake(REJECTED, SILENT), Time()
    async with filing(tmp_path, service, time) as (till, outbox):
        for _ in range(4):
            await till.sell(TEA)
        pause_s = await outbox.turn()
        assert states(till) == {"rejected": 1, "unknown": 1, "queued": 2}
        assert 0 < pause_s <= 2
        time.ms += int(pause_s * 1000) + 1
        await outbox.turn()
        assert states(till) == {"rejected": 1, "unknown": 1, "accepted": 2}


async def test_what_is_not_taken_goes_behind_what_was_not_tried(tmp_path: Path) -> None:
    """A front that refuses one invoice without a look at it must not keep all others from being filed."""
    service, time = Fake(SHUT), Time()
    async with filing(tmp_path, service, time) as (till, outbox):
        first = await till.sell(TEA)
        second = await till.sell(TEA)
        time.ms += int(await outbox.turn() * 1000) + 1
        service.answers.extend([ACCEPTED, SHUT])
        await outbox.turn()
        assert till.fiscal.view(till.one(second.id).entry).state == "accepted"
        assert till.fiscal.view(till.one(first.id).entry).state == "queued"


async def test_a_service_that_is_away_for_a_day_costs_no_entry_and_the_countdown_starts_when_it_is_back(
    tmp_path: Path,
) -> None:
    service, time = Fake(), Time()
    service.away = "cannot be reached"
    async with filing(tmp_path, service, time) as (till, outbox):
        await till.sell(TEA)
        down_ms, pauses = time.ms, []
        while time.ms < down_ms + 24 * HOUR_MS:
            pauses.append(await outbox.turn())
            time.ms += int(pauses[-1] * 1000) + 1
        assert states(till) == {"queued": 1}
        assert till.store.read.execute("SELECT count(*) FROM filing").fetchone() == (0,)
        assert pauses[0] <= 2
        assert 150 <= max(pauses) <= 300
        assert len(set(pauses)) > len(pauses) / 2, "with jitter"
        status = till.fiscal.status()
        assert status["down_since"] is not None
        assert status["due"] is None
        assert [alarm["kind"] for alarm in till.alarms()] == ["fiscal"], "half a day away is worth a look"
        service.away = ""
        service.answers.append(SHUT)
        await outbox.turn()
        back_ms = time.ms
        assert till.fiscal.status()["due"] == till.fiscal._iso(back_ms + 24 * HOUR_MS)
        assert till.fiscal.alarms() == []
        time.ms = back_ms + 21 * HOUR_MS
        assert "must be filed by" in till.fiscal.alarms()[0]["detail"]
        time.ms = back_ms + 25 * HOUR_MS
        assert till.fiscal.status()["overdue"]
        assert "should have been filed by" in till.fiscal.alarms()[0]["detail"]
        await outbox.turn()
        assert states(till) == {"accepted": 1}
        assert till.alarms() == []


async def test_an_intent_is_on_the_disk_before_the_request_leaves(tmp_path: Path) -> None:
    service = Fake()
    async with filing(tmp_path, service) as (till, outbox):
        await till.sell(TEA)
        seen: list[str] = []

        async def send(body: bytes) -> Answer:
            seen.extend(state for state, n in till.fiscal.filed.counts().items() if n)
            return ACCEPTED

        service.send = send  # type: ignore[method-assign]
        await outbox.turn()
        assert seen == ["sending"]


@pytest.mark.parametrize("dies", ["before the request", "before the answer is written"])
async def test_after_a_crash_nothing_is_sent_again_until_a_person_has_looked(tmp_path: Path, dies: str) -> None:
    service, time = Fake(Killed()), Time()
    async with filing(tmp_path, service, time) as (till, outbox):
        sold = await till.sell(TEA)
        with pytest.raises(Killed):
            await outbox.turn()
        assert states(till) == {"sending": 1}
    async with filing(tmp_path, service, time) as (till, outbox):
        await turns(outbox)
        assert states(till) == {"unknown": 1}
        assert [alarm["kind"] for alarm in till.alarms()] == ["fiscal"]
        time.ms += 100 * HOUR_MS
        await turns(outbox)
        assert len(service.sent) == 1
        assert till.fiscal.queue()[0]["errors"] == ["it was cut off between the intent and the answer"]
        with pytest.raises(NotPossible):
            await acts.release(till, sold.id)
        if dies == "before the request":
            await acts.resolve(till, sold.receipt, number=None, why="not in the portal", by="Amna")
            assert states(till) == {"queued": 1}
            await turns(outbox)
            assert len(service.sent) == 2
        else:
            await acts.resolve(till, sold.id, number="812345XYZ")
            await turns(outbox)
            assert len(service.sent) == 1
        assert states(till) == {"accepted": 1}
        assert list(verify(till.store, till.shop_id)) == []


async def test_a_service_that_can_be_asked_settles_what_is_in_doubt(tmp_path: Path) -> None:
    service, time = Fake(SILENT, SILENT), Time()
    async with filing(tmp_path, service, time, inquiry="https://gateway.example/inquiry") as (till, outbox):
        taken, lost = await till.sell(TEA), await till.sell(TEA)
        for _ in range(2):
            time.ms += int(await outbox.turn() * 1000) + 1
        assert states(till) == {"unknown": 2}
        usin = {f.id: f.usin for f in till.fiscal.filed.standing_so(State.UNKNOWN, 10)}
        service.known = {
            usin[taken.id]: Answer(Verdict.ACCEPTED, "N9"),
            usin[lost.id]: Answer(Verdict.NOT_TAKEN, code="not-found"),
        }
        await outbox.turn()
        assert states(till) == {"unknown": 2}, "it may still be at it"
        time.ms += 61_000
        await turns(outbox)
        assert till.fiscal.view(till.one(taken.id).entry).number == "N9"
        assert states(till) == {"accepted": 2}
        assert [invoice["USIN"] for invoice in service.sent] == [usin[taken.id], usin[lost.id], usin[lost.id]]


async def test_a_rejected_sale_is_filed_after_it_is_released(tmp_path: Path) -> None:
    service = Fake(REJECTED)
    async with filing(tmp_path, service) as (till, outbox):
        sold = await till.sell(TEA)
        await turns(outbox)
        assert till.fiscal.view(till.one(sold.id).entry).variant == "rejected"
        assert till.fiscal.queue()[0]["errors"] == ["POSID is not valid"]
        with pytest.raises(NotPossible):
            await acts.resolve(till, sold.id, number="1")
        await acts.release(till, sold.id, by="Amna")
        await turns(outbox)
        assert states(till) == {"accepted": 1}


async def test_what_takes_a_sale_back(tmp_path: Path) -> None:
    """A sale that was voided before it was filed is never filed; of one that was, the void and the refund are returns,
    and wait until the service has the sale."""
    service, time = Fake(), Time()
    async with filing(tmp_path, service, time) as (till, outbox):
        never = await till.sell(TEA)
        await till.void(never.id, "mistake")
        assert states(till) == {}
        await turns(outbox)
        assert service.sent == []

        voided, refunded = await till.sell(TEA), await till.sell(TEA)
        await till.refund(refunded.id, reason="broken")
        service.answers.extend([ACCEPTED, REJECTED])
        await turns(outbox)
        assert states(till) == {"accepted": 1, "rejected": 1, "queued": 1}, "the refund waits for its sale"
        await till.void(voided.id, "mistake")
        await turns(outbox)
        assert states(till) == {"accepted": 2, "rejected": 1, "queued": 1}
        back = service.sent[-1]
        assert (back["InvoiceType"], back["RefUSIN"]) == (3, service.sent[0]["USIN"])
        await acts.release(till, refunded.id)
        await turns(outbox)
        assert states(till) == {"accepted": 4}
        assert [invoice["InvoiceType"] for invoice in service.sent] == [1, 1, 3, 1, 3]
        assert list(verify(till.store, till.shop_id)) == []


async def test_a_filer_that_is_set_no_more_hands_over_what_it_has_not_sent(tmp_path: Path) -> None:
    service, other = Fake(), "b" * 26
    async with filing(tmp_path, service) as (till, outbox):
        sold = await till.sell(TEA)
        await set_up(till, filer=other)
        await turns(outbox)
        assert service.sent == []
        found = till.fiscal.filed.named(sold.id)[0]
        assert (found.state, found.filer) == (State.QUEUED, other)


async def test_a_setting_that_is_wrong_stops_filing_and_no_sale(tmp_path: Path) -> None:
    service = Fake()
    async with filing(tmp_path, service, pos_id="12") as (till, outbox):
        sold = await till.sell(TEA)
        assert "filing" not in till.one(sold.id).entry.body
        await outbox.turn()
        assert "fiscal.pos_id" in outbox.trouble
        assert "fiscal.pos_id" in till.alarms()[0]["detail"]


async def test_the_outbox_wakes_up_for_a_sale_and_stops_with_the_till(tmp_path: Path) -> None:
    service = Fake()
    async with filing(tmp_path, service) as (till, _):
        till.fiscal.start()
        await till.sell(TEA)
        async with asyncio.timeout(10):
            while states(till) != {"accepted": 1}:  # noqa: ASYNC110  # it happens in the outbox's own task
                await asyncio.sleep(0.01)
