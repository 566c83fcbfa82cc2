"""Attacks of web pages on the till's page and API: a browser on this machine can be made to send a lot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posline.till.api import build_app
from posline.till.commands import COMMANDS
from posline.till.listener import AddressRefused, Listener
from posline.till.local import Local
from posline.till.till import Till, open_till

BODY = json.dumps({"id": "5f0e4d6e-6e3c-4b5e-9c5a-0f2f6f3f1a10", "lines": [{"sku": "X", "quantity": "1", "price": 1}]})
JSON = {"content-type": "application/json"}
UPGRADE = {
    "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[tuple[Till, Listener]]:
    async with open_till(tmp_path / "a") as till:
        listener = Listener(build_app(till, Local(till, COMMANDS)), host="127.0.0.1", port=0)
        await listener.start()
        try:
            yield till, listener
        finally:
            await listener.stop()


async def status(listener: Listener, method: str, path: str, headers: dict[str, str], body: str = "") -> int:
    """The status of one request, sent as it stands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    headers = {"host": listener.address, "connection": "close", "content-length": str(len(body))} | headers
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())])
    writer.write(f"{head}\r\n\r\n{body}".encode())
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_a_name_that_was_rebound_to_this_machine(page: tuple[Till, Listener]) -> None:
    till, listener = page
    for path in ("/", "/api/status", "/api/sales", "/metrics"):
        assert await status(listener, "GET", path, {"host": f"evil.example:{listener.port}"}) == 403
    assert await status(listener, "POST", "/api/sales", {"host": "evil.example"}, BODY) == 403
    assert till.day_report()["sales"]["count"] == 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
async def test_a_page_of_somebody_else_posts_a_sale(page: tuple[Till, Listener], origin: str) -> None:
    till, listener = page
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"origin": origin, "content-type": kind}
        assert await status(listener, "POST", "/api/sales", headers, BODY) == 403
    assert await status(listener, "OPTIONS", "/api/sales", {"origin": origin}) == 403, "no preflight passes either"
    assert till.day_report()["sales"]["count"] == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_page_of_somebody_else_shows_a_picture_or_script_of_the_till(
    page: tuple[Till, Listener], site: str
) -> None:
    _, listener = page
    for path in ("/api/status", "/api/events", "/api/sales", "/metrics"):
        assert await status(listener, "GET", path, {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}) == 403
    assert await status(listener, "GET", "/", {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}) == 200, "a link"
    for own in ("same-origin", "none"):
        assert await status(listener, "GET", "/api/status", {"sec-fetch-site": own, "sec-fetch-mode": "cors"}) == 200


@pytest.mark.parametrize("origin", ["https://evil.example", None])
async def test_a_page_of_somebody_else_opens_a_websocket(page: tuple[Till, Listener], origin: str | None) -> None:
    _, listener = page
    headers = UPGRADE | ({} if origin is None else {"origin": origin})
    for path in ("/", "/sync", "/join", "/api/events", "/api/sales"):
        assert await status(listener, "GET", path, headers) != 101


async def test_the_commands_of_this_machine_need_its_secret(page: tuple[Till, Listener]) -> None:
    till, listener = page
    headers: dict[str, str]
    for headers in ({}, {"authorization": "Bearer guess"}):
        body = json.dumps({"till": "A"})
        for command in ("remove", "invite", "join", "restore"):
            answer = await status(listener, "POST", f"/api/local/{command}", JSON | headers, body)
            assert answer in (401, 403, 404)
    assert not till.links.listening


async def test_the_page_listens_on_this_machine_alone(page: tuple[Till, Listener]) -> None:
    till, _ = page
    for host in ("0.0.0.0", "::", "", "192.0.2.7"):
        with pytest.raises(AddressRefused, match="without TLS"):
            Listener(build_app(till, Local(till, COMMANDS)), host=host, port=0)
