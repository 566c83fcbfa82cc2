"""A sale that a page rang while its till did not answer says when that was, and is otherwise like any other."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from posline.core.entry import decode
from posline.core.faults import Faults
from posline.core.rung import asked_rung, rung_field, rung_of
from posline.core.sales import check_sale
from posline.till.exporting import csv_lines
from posline.till.till import Till
from tests.till.shop import running, sale


def ago(till: Till, **span: float) -> str:
    return (datetime.fromisoformat(till.now()) - timedelta(**span)).isoformat()


async def ring(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/sales", json=sale(**fields))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_what_was_rung_earlier_says_when_and_is_filed_under_today(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        early = ago(till, days=3)
        found = await ring(client, rung=early)
        assert datetime.fromisoformat(found["rung"]) - datetime.fromisoformat(early) < timedelta(milliseconds=1)
        assert found["day"] == till.day and found["at"] > found["rung"]
        [recorded] = till.reports.by_id(found["id"])
        assert recorded.entry.body["rung"] == found["rung"] and recorded.status.value == "counted"
        in_london = (datetime.fromisoformat(early) - timedelta(hours=5)).replace(tzinfo=None).isoformat() + "+00:00"
        assert (await ring(client, rung=in_london))["rung"][:16] == found["rung"][:16], "in the shop's own zone"


async def test_what_was_rung_just_now_or_cannot_be_is_left_out_and_never_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        for rung in (None, ago(till, seconds=50), ago(till, hours=-2), "1999-12-31T23:00:00Z"):
            found = await ring(client, rung=rung)
            assert found["rung"] is None and "rung" not in till.reports.by_id(found["id"])[0].entry.body
        assert (await ring(client))["rung"] is None


@pytest.mark.parametrize("wrong", ["yesterday", "2026-11-20T10:15:00", "2026-11-20", "", 5, True, {}, "9" * 300])
async def test_what_is_no_time_is_named(tmp_path: Path, wrong: Any) -> None:
    async with running(tmp_path) as (_, client):
        sold = await ring(client)
        for path in ("/api/sales", f"/api/sales/{sold['id']}/refund"):
            body = sale(rung=wrong) if path == "/api/sales" else {"id": str(uuid.uuid4()), "reason": "x", "rung": wrong}
            refused = await client.post(path, json=body)
            assert refused.status_code == 422 and refused.json()["errors"][0]["field"] == "rung"


async def test_it_is_no_part_of_what_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        asked = sale(rung=ago(till, hours=1))
        first = (await client.post("/api/sales", json=asked)).json()
        for rung in (ago(till, hours=2), None):
            again = await client.post("/api/sales", json=asked | {"rung": rung})
            assert again.status_code == 200 and again.json()["rung"] == first["rung"]
        assert (await client.post("/api/sales", json=asked | {"by": "Ali"})).status_code == 409
        refund = {"id": str(uuid.uuid4()), "reason": "stale", "rung": ago(till, minutes=5)}
        url = f"/api/sales/{first['id']}/refund"
        back = await client.post(url, json=refund)
        assert back.status_code == 201 and back.json()["rung"] is not None
        del refund["rung"]
        assert (await client.post(url, json=refund)).json()["rung"] == back.json()["rung"]


async def test_receipts_say_it_in_both_languages(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        late, now = await ring(client, rung="2026-11-20T10:15:30+05:00"), await ring(client)
        assert late["rung"] == "2026-11-20T10:15:30.000+05:00"
        for form in ("text", "html"):
            url = f"/api/receipts/{late['id']}?format={form}"
            english = (await client.get(url)).text
            assert "Rung" in english and "20-11-2026 10:15" in english and "10:15:30" not in english
            assert "Rung" not in (await client.get(f"/api/receipts/{now['id']}?format={form}")).text
        assert b"Rung" in (await client.get(f"/api/receipts/{late['id']}?format=escpos")).content
        if till.printing.state()["urdu"]:
            urdu = (await client.get(f"/api/receipts/{late['id']}?format=text&language=ur")).text
            assert "فروخت کا وقت" in urdu and "10:15" in urdu and "20-11-2026" in urdu


async def test_exports_and_an_older_reader_do_not_mind(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        late = await ring(client, rung=ago(till, hours=1))
        header, row = csv_lines(till.sales())
        assert "rung" not in header and late["rung"] not in row
        [recorded] = till.reports.by_id(late["id"])
        entry = recorded.entry
        older = decode(entry.document, entry.raw)
        assert older.fault is None and check_sale("", entry.body) is None
        plain = decode(entry.document, entry.raw.replace(f',"rung":"{late["rung"]}"'.encode(), b""))
        assert plain.fault is None and "rung" not in plain.body and plain.content() == entry.content()
        for junk in (b"5", b'"soon"', b"null", b'"2026-13-40T99:00:00.000+05:00"'):
            odd = decode(entry.document, entry.raw.replace(f'"{late["rung"]}"'.encode(), junk))
            assert odd.fault is None and rung_of(odd.body) is None, "what nobody checks makes no entry invalid"
            assert till.show(replace(recorded, entry=odd)).rung is None


def test_a_minute_and_the_far_past() -> None:
    zone, at = ZoneInfo("Asia/Karachi"), 1_764_000_000_000
    assert rung_field("2025-11-24T16:00:00Z", at, zone) == {}
    assert rung_field("2025-11-24T15:59:00Z", at, zone) == {}
    assert rung_field("2025-11-24T15:58:59.999Z", at, zone) == {"rung": "2025-11-24T20:58:59.999+05:00"}
    faults = Faults()
    assert asked_rung(faults, "0001-01-01T00:00:00+23:59") is not None and not faults.found
    assert rung_field("0001-01-01T00:00:00+23:59", at, zone) == {}
