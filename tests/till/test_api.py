"""The till's HTTP API, as contract.md's table has it."""

from __future__ import annotations

import asyncio
import csv
import errno
import io
import json
import os
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import DiskFull
from posline.till.api import build_app
from posline.till.catalogue import Row, read_catalogue
from posline.till.commands import COMMANDS
from posline.till.exporting import csv_lines
from posline.till.local import Local
from tests.till.shop import TEA, running, sale

SALE_KEYS = [
    "id",
    "receipt",
    "number",
    "till",
    "label",
    "run",
    "seq",
    "status",
    "day",
    "at",
    "by",
    "lines",
    "subtotal",
    "discount",
    "tax",
    "rounding",
    "total",
    "tenders",
    "change",
    "durable",
    "rung",
]
DAY_KEYS = [
    "day",
    "currency",
    "sales",
    "refunds",
    "voids",
    "net",
    "rounding",
    "tenders",
    "tills",
    "duplicates",
    "held",
    "disputed",
    "invalid",
    "newer",
    "closes",
    "provisional",
    "waiting_for",
    "late",
    "digest",
]


async def test_a_sale_has_every_key_of_the_contract(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        asked = sale(
            lines=[{"sku": "TEA", "quantity": 1.5, "price": 333, "discount": 100, "name": "Tea"}],
            tenders=[{"kind": "cash", "amount": 500}],
            by="Asma",
        )
        answer = await client.post("/api/sales", json=asked)
        assert answer.status_code == 201
        found = answer.json()
        assert list(found) == SALE_KEYS
        assert found["id"] == asked["id"] and found["by"] == "Asma" and found["status"] == "counted"
        assert found["receipt"].startswith("A-1-") and len(found["receipt"]) == 8
        assert found["lines"] == [
            {"line": 1, "sku": "TEA", "name": "Tea", "quantity": "1.5", "price": 333, "discount": 100, "tax": 0,
             "total": 400}
        ]  # fmt: skip
        assert (found["subtotal"], found["discount"], found["total"]) == (500, 100, 400)
        assert (found["tenders"], found["change"]) == ([{"kind": "cash", "amount": 500}], 100)
        assert found["durable"] == {"here": True, "tills": 0, "head_office": False}
        for wanted in (asked["id"], found["receipt"], found["receipt"].lower()):
            assert (await client.get(f"/api/sales/{wanted}")).json() == found


async def test_the_same_id_answers_the_first_result_and_other_content_409(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        asked = sale()
        first = await client.post("/api/sales", json=asked)
        reordered = json.dumps({"lines": [dict(reversed(TEA.items())) | {"quantity": 2.0}], "id": asked["id"].upper()})
        again = await client.post("/api/sales", content=reordered)
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        other = await client.post("/api/sales", json=asked | {"lines": [TEA | {"quantity": 3}]})
        assert other.status_code == 409 and other.headers["content-type"] == "application/problem+json"
        filled_in = await client.post("/api/sales", json=asked | {"by": ""})
        assert filled_in.status_code == 409, "defaults are not filled in when a retry is compared"
        assert till.day_report()["sales"]["count"] == 1


async def test_a_hundred_posts_of_one_id_at_once_and_after_a_restart_are_one_sale(tmp_path: Path) -> None:
    asked = sale()
    async with running(tmp_path) as (_, client):
        answers = await asyncio.gather(*(client.post("/api/sales", json=asked) for _ in range(100)))
        assert sorted(a.status_code for a in answers) == [200] * 99 + [201]
        assert len({a.content for a in answers}) == 1
    async with running(tmp_path) as (till, client):
        answers = await asyncio.gather(*(client.post("/api/sales", json=asked) for _ in range(100)))
        assert {a.status_code for a in answers} == {200}
        assert till.day_report()["sales"] == {"count": 1, "total": 500, "discount": 0, "tax": 0}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": "7"}, "id"),
        ({"id": None}, "id"),
        ({"id": 5}, "id"),
        ({"lines": []}, "lines"),
        ({"lines": "tea"}, "lines"),
        ({"lines": [7]}, "lines.0"),
        ({"lines": [TEA] * 501}, "lines"),
        ({"lines": [TEA | {"price": 1.5}]}, "lines.0.price"),
        ({"lines": [TEA | {"price": -1}]}, "lines.0.price"),
        ({"lines": [TEA | {"price": 10**30}]}, "lines.0.price"),
        ({"lines": [TEA | {"price": True}]}, "lines.0.price"),
        ({"lines": [TEA | {"quantity": 0}]}, "lines.0.quantity"),
        ({"lines": [TEA | {"quantity": "1.2345"}]}, "lines.0.quantity"),
        ({"lines": [TEA | {"quantity": "1e3"}]}, "lines.0.quantity"),
        ({"lines": [TEA | {"quantity": 10**6}]}, "lines.0.quantity"),
        ({"lines": [TEA | {"discount": 501}]}, "lines.0.discount"),
        ({"lines": [TEA | {"name": "x" * 201}]}, "lines.0.name"),
        ({"lines": [{"sku": "UNKNOWN", "quantity": 1}]}, "lines.0.price"),
        ({"lines": [TEA | {"discuont": 5}]}, "lines.0.discuont"),
        ({"tenders": [{"kind": "cash", "amount": 499}]}, "tenders"),
        ({"tenders": []}, "tenders"),
        ({"tenders": [{"kind": "card", "amount": 501}]}, "tenders"),
        ({"by": 7}, "by"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_recorded(
    tmp_path: Path, changed: dict[str, Any], field: str
) -> None:
    async with running(tmp_path) as (till, client):
        answer = await client.post("/api/sales", json=sale() | changed)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        found = answer.json()
        assert {"title", "detail", "errors"} <= found.keys() and field in [e["field"] for e in found["errors"]]
        assert till.day_report()["sales"]["count"] == 0


async def test_a_sale_on_account_may_be_paid_less_than_it_costs(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        asked = sale(tenders=[{"kind": "cash", "amount": 200}, {"kind": "account", "amount": 0}])
        assert (await client.post("/api/sales", json=asked)).status_code == 201
        assert till.day_report()["tenders"] == {"account": 300, "cash": 200}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"id": "\xed\xa0\x80"}',
        b'{"id":NaN}',
        b'{"id":Infinity}',
        b'{"id":"a","id":"b"}',
        b'{"lines":[{"sku":"a","sku":"b"}]}',
        b'{"id":"\\ud800"}',
        b'{"\\ud800":1,"\\ud800":2}',
        b'{"by":"\\ud800","id":"0190aaaa-0000-7000-8000-000000000000","lines":[{"sku":"a","quantity":1,"price":1}]}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e' + b"9" * 5000 + b"}",
        b"[" * 15_000 + b"]" * 15_000,
        b'{"a":' * 15_000 + b"1" + b"}" * 15_000,
        b'{"lines":' + b"[" * 100_000,
        b'{"a":"' + b'\\"' * 400_000,
        b'{"a":1e999999999,"id":"0190aaaa-0000-7000-8000-000000000000","lines":[]}',
        b'{"id":"0190aaaa-0000-7000-8000-000000000000","lines":[{"sku":"a","quantity":1e-999999999,"price":1}]}',
    ],
    ids=range(21),
)
async def test_malformed_json_is_422_and_quick(tmp_path: Path, body: bytes) -> None:
    async with running(tmp_path) as (till, client):
        answer = await asyncio.wait_for(client.post("/api/sales", content=body), 5)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"]
        assert till.day_report()["sales"]["count"] == 0


async def test_a_body_over_a_mebibyte_is_413_whether_or_not_it_says_so(tmp_path: Path) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 65536

    async with running(tmp_path) as (_, client):
        assert (await client.post("/api/sales", content=b" " * ((1 << 20) + 1))).status_code == 413
        assert (await client.post("/api/sales", content=chunks())).status_code == 413
        assert (await client.post("/api/sales", content=b" " * (1 << 20))).status_code == 422


async def test_what_is_not_there_is_a_problem_document_too(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        for method, path, status in (
            ("GET", "/api/nothing", 404),
            ("DELETE", "/api/sales", 405),
            ("GET", f"/api/sales/{uuid.uuid4()}", 404),
            ("GET", "/api/sales/A-77-0000", 404),
            ("GET", "/api/sales/x%00y", 404),
            ("GET", "/api/reports/day/2026-02-31", 422),
            ("GET", "/api/reports/day/1999-01-01", 422),
            ("GET", "/api/sales?limit=0", 422),
            ("GET", "/api/products?limit=00000000199999999999999999999", 422),
            ("GET", "/api/sales?after=x", 422),
            ("GET", "/api/sales?day=today", 422),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == status, path
            assert answer.headers["content-type"] == "application/problem+json" and answer.json()["title"], path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8700"}, 200),
        ({"host": "[::1]:8700"}, 200),
        ({"origin": "http://127.0.0.1:8700"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:8700"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "192.168.1.5:8700"}, 403),
        ({"host": ""}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "http://[broken"}, 403),
    ],
)
async def test_only_this_machines_own_pages_are_answered(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with running(tmp_path) as (till, client):
        assert (await client.get("/api/status", headers=headers)).status_code == status
        answer = await client.post("/api/sales", json=sale(), headers=headers)
        assert answer.status_code == (201 if status == 200 else 403)
        assert till.day_report()["sales"]["count"] == (1 if status == 200 else 0)


async def test_a_full_disk_is_507_and_the_till_sells_again_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as (till, client):
        asked = sale()
        honest = till.store.commit

        def full(batch: Any) -> Any:
            raise DiskFull("the disk is full: free some room and sell on")

        monkeypatch.setattr(till.store, "commit", full)
        answers = await asyncio.gather(*(client.post("/api/sales", json=asked) for _ in range(5)))
        assert {a.status_code for a in answers} == {507}
        monkeypatch.setattr(till.store, "commit", honest)
        assert (await client.get(f"/api/sales/{asked['id']}")).status_code == 404
        answer = await client.post("/api/sales", json=asked)
        assert answer.status_code == 201 and answer.json()["number"] == 1


async def test_a_file_that_finds_no_room_is_507_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept beside the database: here a token that is handed out."""
    async with running(tmp_path) as (till, _):
        local = Local(till, COMMANDS)

        def full(*given: Any, **named: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(till.folder, "save_settings", full)
        transport = httpx.ASGITransport(build_app(till, local))
        headers = {"authorization": f"Bearer {local.secret}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            answer = await client.post("/api/local/token_add", json={"role": "read"})
        assert answer.status_code == 507 and "free some room" in answer.json()["detail"]


async def test_a_till_that_is_going_down_says_that_the_outcome_is_unknown(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        await till.close()
        answer = await client.post("/api/sales", json=sale())
        assert answer.status_code == 503 and "repeat the same id" in answer.json()["detail"]


async def test_the_list_has_a_stable_order_and_a_cursor(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        ids = [(await client.post("/api/sales", json=sale())).json()["id"] for _ in range(7)]
        seen: list[str] = []
        after = ""
        while True:
            page = (await client.get("/api/sales", params={"limit": 3, "after": after, "day": till.day})).json()
            if not page["sales"]:
                break
            seen += [s["id"] for s in page["sales"]]
            after = page["next"]
        assert seen == ids
        newest = (await client.get("/api/sales?order=newest&limit=2")).json()["sales"]
        assert [s["id"] for s in newest] == ids[:-3:-1]
        assert (await client.get("/api/sales?till=A")).json()["sales"] != []
        assert (await client.get("/api/sales?till=Z")).json()["sales"] == []


async def test_a_receipt_that_two_sales_carry_answers_300_with_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as (till, client):
        first, second = [(await client.post("/api/sales", json=sale())).json() for _ in range(2)]
        both = till.reports.sale(first["id"]) + till.reports.sale(second["id"])
        monkeypatch.setattr(till.reports, "sale", lambda wanted: both)
        answer = await client.get(f"/api/sales/{first['receipt']}")
        assert answer.status_code == 300
        assert {s["id"] for s in answer.json()["sales"]} == {first["id"], second["id"]}


async def test_a_day_report_has_every_key_of_the_contract(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        for _ in range(3):
            await client.post("/api/sales", json=sale())
        day = (await client.get(f"/api/reports/day/{till.day}")).json()
        assert list(day) == [*DAY_KEYS, "tax", "cash", "payments", "addendum"]
        assert day["sales"] == {"count": 3, "total": 1500, "discount": 0, "tax": 0} and day["net"] == 1500
        (own,) = day["tills"]
        assert (own["till"], own["label"], own["count"], own["total"]) == (till.id, "A", 3, 1500)
        assert own["receipts"] == {"first": 1, "last": 3, "missing": [], "missing_count": 0}
        assert day["provisional"] is True and day["waiting_for"] == [till.id]
        empty = (await client.get("/api/reports/day/2025-01-01")).json()
        assert list(empty) == list(day) and empty["sales"]["count"] == 0


async def test_prices_names_and_tax_come_from_the_catalogue(tmp_path: Path) -> None:
    async with running(tmp_path / "till") as (till, client):
        file = tmp_path / "products.csv"
        file.write_text("sku,name,price,tax,barcode\nTEA,Green tea,11800,18,5901234\nSALT,Salt,500,,\n")
        products = [row.product for row in read_catalogue(file) if isinstance(row, Row)]
        await till.write("products", {"products": products}, document=till.reports.catalogue)
        asked = sale(lines=[{"sku": "TEA", "quantity": 1}, {"sku": "SALT", "quantity": 2, "name": "Rock salt"}])
        found = (await client.post("/api/sales", json=asked)).json()
        assert [(s["name"], s["price"], s["tax"], s["total"]) for s in found["lines"]] == [
            ("Green tea", 11800, 1800, 11800),
            ("Rock salt", 500, 0, 1000),
        ]
        assert (found["total"], found["tax"]) == (12800, 1800)
        for query in ("q=green", "q=TEA", "barcode=5901234"):
            answer = (await client.get(f"/api/products?{query}")).json()
            assert [p["sku"] for p in answer["products"]] == ["TEA"]
        page = (await client.get("/api/products?limit=1")).json()
        assert page["products"][0]["sku"] == "SALT"
        assert (await client.get(f"/api/products?after={page['next']}")).json()["products"][0]["sku"] == "TEA"


async def test_status_healthz_and_metrics(tmp_path: Path) -> None:
    async with running(tmp_path, shop="Corner shop") as (till, client):
        await client.post("/api/sales", json=sale())
        status = (await client.get("/api/status")).json()
        assert {"shop", "till", "label", "day", "peers", "waiting", "alarms"} <= status.keys()
        assert (status["shop"], status["till"], status["label"]) == ("Corner shop", till.id, "A")
        assert status["waiting"] >= 1 and status["peers"] == [] and status["alarms"] == []
        assert (await client.get("/healthz")).json()["ok"] is True
        metrics = (await client.get("/metrics")).text
        assert "posline_day_sales 1\n" in metrics and "# TYPE posline_day_total gauge" in metrics


async def test_the_page_is_served_under_a_strict_policy_and_without_inline_code(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        for path, kind in (("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/page.css", "text/css")):
            answer = await client.get(path)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
        page = (await client.get("/")).text
        assert "<script>" not in page and "style=" not in page and "onclick" not in page


async def test_no_name_is_a_formula_in_an_exported_file(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        for name in ("=1+1", "+1", "-2+3", "@SUM(1)", "\t=1", "Tea"):
            await client.post("/api/sales", json=sale(lines=[{"sku": "X", "quantity": 1, "price": 5, "name": name}]))
        rows = list(csv.DictReader(io.StringIO("".join(csv_lines(till.sales())))))
        assert [row["name"] for row in rows] == ["'=1+1", "'+1", "'-2+3", "'@SUM(1)", "'\t=1", "Tea"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/sales", {"lines": [{"sku": f"S{n:03}" + "x" * 190, "quantity": 1, "price": 1} for n in range(500)]}),
        ("/api/stock", {"moves": [{"sku": "S" * 200, "quantity": "1", "reason": "r"} for _ in range(500)]}),
    ],
)
async def test_what_fits_no_entry_is_the_askers_to_split(tmp_path: Path, path: str, asked: dict[str, Any]) -> None:
    """Within each limit by itself and too large in all: that was 500, an error of ours that would pass."""
    async with running(tmp_path) as (till, client):
        answer = await client.post(path, json={"id": str(uuid.uuid4())} | asked)
        assert answer.status_code == 422 and "of 49152" in answer.json()["errors"][0]["detail"]
        assert (await client.post("/api/sales", json=sale())).status_code == 201
        assert till.day_report()["tills"][0]["missing_count"] == 0
