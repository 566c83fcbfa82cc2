"""A till is invited from a page, with a QR; who may is the shop's to say."""

from __future__ import annotations

import io
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import pytest
import segno

from posline.storage.folder import Folder
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.membership import set_role
from posline.till.opening import Clockwork
from tests.core.test_raast import STATIC
from tests.till.shop import invited, running

SVG = "{http://www.w3.org/2000/svg}"


def asked(**more: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4())} | more


def holds(svg: str, text: str, scale: int = 4) -> bool:
    """Whether a picture is the code of a text."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", scale=scale, dark="#000", light="#fff")
    return svg == out.getvalue().decode()


async def test_a_till_joins_by_what_a_page_was_given(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await till.listen()
        request = asked()
        made = await client.post("/api/invite", json=request)
        assert made.status_code == 201 and list(made.json()) == ["link", "expires_s", "svg"]
        assert made.json()["expires_s"] == 900 and holds(made.json()["svg"], made.json()["link"])
        again = await client.post("/api/invite", json=request)
        assert again.status_code == 200 and again.json()["link"] == made.json()["link"]
        assert (await client.post("/api/invite", json=asked())).json()["link"] != made.json()["link"]
        with Folder(tmp_path / "b") as folder:
            label = await request_membership(folder, Invitation.parse(made.json()["link"], "join"), label="")
        assert label == "B" and len(till.store.members(till.shop_id)) == 2
        for wrong in ({}, asked(to="x"), {"id": "no"}):
            assert (await client.post("/api/invite", json=wrong)).status_code == 422


async def test_a_link_that_expired_is_made_anew(tmp_path: Path) -> None:
    ms = [1_000_000]
    async with running(tmp_path, clockwork=Clockwork(monotonic_ms=lambda: ms[0])) as (_, client):
        request = asked()
        first = (await client.post("/api/invite", json=request)).json()
        ms[0] += 899_000
        assert (await client.post("/api/invite", json=request)).json()["expires_s"] == 1
        ms[0] += 1_000
        later = await client.post("/api/invite", json=request)
        assert later.status_code == 201 and later.json()["link"] != first["link"]


async def test_it_is_a_managers_as_soon_as_one_has_a_pin(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await client.put("/api/cashiers/Ali", json={"pin": "1234"})
        await client.put("/api/cashiers/Omar", json={"role": "manager"})
        assert (await client.post("/api/invite", json=asked())).status_code == 201, "nobody could prove to be one"
        await client.put("/api/cashiers/Omar", json={"pin": "5678"})
        refused = await client.post("/api/invite", json=asked(by="Ali", pin="1234"))
        assert refused.status_code == 403 and "Omar" in refused.json()["detail"]
        assert (await client.post("/api/invite", json=asked(by="Omar", pin="5678"))).status_code == 201
        approve = {"by": "Omar", "pin": "5678"}
        assert (await client.post("/api/invite", json=asked(by="Ali", approve=approve))).status_code == 201
        await client.post("/api/session", json={"by": "Omar", "pin": "5678"})
        assert (await client.post("/api/invite", json=asked())).status_code == 201
        await client.delete("/api/session")
        await client.put("/api/settings/permissions", json={"value": {"members": "cashier"}})
        assert (await client.post("/api/invite", json=asked())).status_code == 201, "the shop's own word goes first"
        await client.put("/api/settings/permissions", json={"value": None, "approve": approve})
        await client.put("/api/cashiers/Omar", json={"active": False, "approve": approve})
        assert (await client.post("/api/invite", json=asked())).status_code == 201


async def test_a_till_that_may_admit_nobody_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await invited(till, tmp_path / "b")
        await set_role(till, till.id, "till", force=True)
        refused = await client.post("/api/invite", json=asked())
        assert refused.status_code == 403 and "run 'posline invite' on a till that may" in refused.json()["detail"]


async def test_any_text_as_a_picture_that_holds_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        for text in ("https://example.org/?a=1&b=2", "چائے <script>alert(1)</script>", "x" * 1000):
            answer = await client.get("/api/qr", params={"text": text, "scale": "3"})
            assert answer.status_code == 200 and holds(answer.text, text, 3)
            assert answer.headers["content-type"] == "image/svg+xml" and answer.headers["cache-control"] == "no-store"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            tags = {element.tag for element in ET.fromstring(answer.text).iter()}
            assert tags == {f"{SVG}svg", f"{SVG}g", f"{SVG}path"}, "and no text of whoever asked"


@pytest.mark.parametrize(
    "query",
    [{}, {"text": ""}, {"text": "x" * 1001}, {"text": "\U0001f375" * 1000}, {"text": "a", "scale": "0"},
     {"text": "a", "scale": "41"}, {"text": "a", "scale": "-1"}, {"text": "a", "scale": "1.5"}],
)  # fmt: skip
async def test_what_is_no_code_is_named(tmp_path: Path, query: dict[str, str]) -> None:
    async with running(tmp_path) as (_, client):
        refused = await client.get("/api/qr", params=query)
        assert refused.status_code == 422 and refused.json()["errors"][0]["field"] in ("text", "scale")


async def test_the_raast_code_as_a_picture(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):

        async def get(**query: str) -> httpx.Response:
            return await client.get("/api/raast", params={"amount": "12500"} | query)

        assert (await get(format="svg")).status_code == 404
        await client.put("/api/settings/raast", json={"value": STATIC})
        found = (await get()).json()
        picture = await get(format="svg")
        assert picture.headers["content-type"] == "image/svg+xml" and holds(picture.text, found["payload"])
        assert (await get(format="json")).json() == found
        assert (await get(format="png")).status_code == 422
