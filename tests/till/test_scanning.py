"""Codes at the counter: a scan is a line that can be rung as it is, and a Raast QR is for the amount of the sale."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.core.raast import payment_qr
from posline.core.scales import ean_check_digit
from tests.core.test_raast import STATIC
from tests.till.shop import running, sale

PRODUCTS = [
    {"sku": "TEA", "name": "Tea", "price": 45_000, "barcode": "4006381333931"},
    {"sku": "12345", "name": "Mangoes", "price": 32_500, "unit": "kg"},
    {"sku": "MEAT", "name": "Beef", "price": 110_000, "unit": "kg", "barcode": "2300042000005"},
    {"sku": "OWN", "name": "Bag, with a barcode like a scale's", "price": 500, "barcode": "2112345015002"},
    {"sku": "GONE", "name": "Not sold any more", "price": 500, "barcode": "5901234123457", "active": False},
    {"sku": "TWIN1", "name": "Pen, blue", "price": 900, "barcode": "96385074"},
    {"sku": "TWIN2", "name": "Pen, red", "price": 950, "barcode": "96385074"},
]


@asynccontextmanager
async def counter(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(folder) as (till, client):
        await till.write("products", {"products": PRODUCTS}, document="catalog/1")
        yield client


async def scan(client: httpx.AsyncClient, code: str) -> dict[str, Any]:
    answer = await client.get("/api/scan", params={"code": code})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def full(digits: str) -> str:
    return f"{digits}{ean_check_digit(digits)}"


async def test_a_scan_is_a_line_that_rings_to_what_the_label_says(tmp_path: Path) -> None:
    async with counter(tmp_path) as client:
        weight, price = await scan(client, full("211234501234")), await scan(client, full("230004299999"))
        assert weight["line"] == {"sku": "12345", "quantity": "1.234", "price": 32_500}
        assert weight["label"] == {"item": "12345", "quantity": "1.234", "amount": None}
        assert price["label"] == {"item": "00042", "quantity": None, "amount": 99_999}
        lines = [(await scan(client, "4006381333931"))["line"], weight["line"], price["line"]]
        sold = await client.post("/api/sales", json={"id": str(uuid.uuid4()), "lines": lines})
        assert sold.status_code == 201, sold.text
        assert [line["total"] for line in sold.json()["lines"]] == [45_000, 40_105, 99_999]
        assert sold.json()["lines"][2]["quantity"] == "0.909"


async def test_a_products_own_barcode_goes_before_any_pattern(tmp_path: Path) -> None:
    async with counter(tmp_path) as client:
        assert (await scan(client, "2112345015002"))["line"] == {"sku": "OWN", "quantity": "1", "price": 500}
        assert (await scan(client, " TEA "))["line"]["sku"] == "TEA"


async def test_what_is_not_one_product_is_no_line(tmp_path: Path) -> None:
    async with counter(tmp_path) as client:
        both = await scan(client, "96385074")
        assert ([p["sku"] for p in both["products"]], both["line"]) == (["TWIN1", "TWIN2"], None)
        for unknown in ("8964000000001", "5901234123457", "GONE", full("219999901500")):
            found = await scan(client, unknown)
            assert (found["products"], found["line"]) == ([], None)
        unweighed = await scan(client, full("211234500000"))
        assert ([p["sku"] for p in unweighed["products"]], unweighed["line"]) == (["12345"], None)
        assert (await client.get("/api/scan", params={"code": " "})).status_code == 422


async def test_the_shops_own_patterns_hold_and_can_be_none(tmp_path: Path) -> None:
    async with counter(tmp_path) as client:
        code = full("271234501500")
        assert (await scan(client, code))["label"] is None
        patterns = [{"pattern": "27.....{NNDDD}", "value": "weight"}]
        assert (await client.put("/api/settings/scales", json={"value": patterns})).status_code == 200
        assert (await scan(client, code))["line"]["quantity"] == "1.5"
        await client.put("/api/settings/scales", json={"value": []})
        assert (await scan(client, code))["label"] is None
        wrong = await client.put("/api/settings/scales", json={"value": [{"pattern": "27", "value": "weight"}]})
        assert [error["field"] for error in wrong.json()["errors"]] == ["scales.0.pattern"]


async def test_a_raast_qr_for_the_amount_or_the_shops_own(tmp_path: Path) -> None:
    async with counter(tmp_path) as client:
        assert (await client.get("/api/raast?amount=100")).status_code == 404
        refused = await client.put("/api/settings/raast", json={"value": STATIC[:-1] + "G"})
        assert [error["field"] for error in refused.json()["errors"]] == ["raast"]
        assert (await client.put("/api/settings/raast", json={"value": STATIC})).status_code == 200
        made = (await client.get("/api/raast?amount=125050")).json()
        assert (made["payload"], made["amount"]) == (payment_qr(STATIC, 125_050), 125_050)
        assert made["svg"].startswith("<svg") and "http" not in made["svg"].replace("http://www.w3.org/2000/svg", "")
        own = (await client.get("/api/raast")).json()
        assert (own["payload"], own["amount"]) == (STATIC, None)


@pytest.mark.parametrize("amount", ["", "0", "-5", "1.5", "٥", "9" * 14])
async def test_an_amount_that_is_none_is_named(amount: str, tmp_path: Path) -> None:
    async with counter(tmp_path) as client:
        await client.put("/api/settings/raast", json={"value": STATIC})
        answer = await client.get("/api/raast", params={"amount": amount})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["amount"]


async def test_a_receipt_that_is_scanned_or_typed_names_its_sale(tmp_path: Path) -> None:
    async with running(tmp_path) as (till, client):
        sold = (await client.post("/api/sales", json=sale())).json()
        back = {"id": str(uuid.uuid4()), "reason": "sour"}
        refunded = (await client.post(f"/api/sales/{sold['id']}/refund", json=back)).json()
        (code,) = till.printing.papers.proof(till.one(sold["id"]))
        for scanned in (code, code.lower(), sold["receipt"]):
            found = (await client.get("/api/scan", params={"code": scanned})).json()
            assert found["receipt"] == {"id": sold["id"], "receipt": sold["receipt"], "kind": "sale", "here": True}
        found = (await client.get("/api/scan", params={"code": refunded["receipt"]})).json()
        assert found["receipt"]["kind"] == "refund"
        other = "A" if code[40] != "A" else "B"
        damaged = await client.get("/api/scan", params={"code": code[:40] + other + code[41:]})
        assert damaged.status_code == 422
        async with running(tmp_path / "other") as (_other, elsewhere):
            found = (await elsewhere.get("/api/scan", params={"code": code})).json()
            assert found["receipt"] == {"id": sold["id"], "receipt": None, "kind": None, "here": False}
            assert (await elsewhere.get("/api/scan", params={"code": sold["receipt"]})).json()["receipt"] is None
