"""Browsers before a head office's pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from playwright.async_api import Page, async_playwright

from posline.storage.folder import Folder
from posline.sync.accept import WebSocketProtocol
from posline.till.listener import Listener
from relay.api import build_app
from relay.office import CONSOLE
from relay.passwords import Passwords
from relay.relay import Relay
from relay.rights import Role
from relay.web import frame as frame_module
from relay.web.frame import WebOptions
from tests.page.counter import ARGUMENTS, CHROMIUM
from tests.relay.test_people import QUICK, SECRET

__all__ = [
    "EVIL", "NORTH", "OURS", "PAGES", "SOUTH", "Web", "chromium", "form", "linked", "listening", "said", "secret_of",
    "web",
]  # fmt: skip

PAGES = Path(frame_module.__file__).parent
NORTH, SOUTH = "n" * 26, "s" * 26
EVIL = '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>'
OURS = {"sec-fetch-site": "same-origin"}


@dataclass
class Web:
    """A head office with two shops, and browsers before it."""

    relay: Relay
    app: Any

    def browser(
        self, *, secure: bool = False, address: str = "192.0.2.7", language: str = "en", **headers: str
    ) -> httpx.AsyncClient:
        """One that says where its forms come from, as all do."""
        base = f"http{'s' if secure else ''}://office.test"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(address, 4711)), base_url=base,
            headers={"accept": "text/html", "accept-language": language, **OURS, **headers},
        )  # fmt: skip

    async def person(self, name: str, role: Role = Role.OWNER, shops: list[str] | None = None, **how: Any) -> Any:
        """A browser in which somebody is signed in who chose SECRET."""
        token = self.relay.people.add(name, role, shops, by=CONSOLE)
        client = self.browser(**how)
        answer = await client.post("/first", data={"token": token, "password": SECRET, "again": SECRET})
        assert answer.status_code == 303, answer.text
        return client


@asynccontextmanager
async def web(tmp_path: Path, options: WebOptions | None = None) -> AsyncIterator[Web]:
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder) as relay:
            relay.people.passwords = Passwords(PasswordHasher(**QUICK))
            for id, name in ((NORTH, "North"), (SOUTH, "South")):
                await relay.attach(shop=id, name=name, updates=[], alias="")
            yield Web(relay, build_app(relay, [], options))


async def form(client: httpx.AsyncClient, page: str, to: str, **fields: Any) -> httpx.Response:
    """Open a page, and send a form of it."""
    shown = await client.get(page)
    assert shown.status_code == 200, shown.text
    found = re.search(r'name="csrf" value="([^"]+)"', shown.text)
    assert found is not None
    return await client.post(to, data={"csrf": found[1], **fields})


def secret_of(answer: httpx.Response) -> str:
    found = re.search(r"<output[^>]*>([^<]+)</output>", answer.text)
    assert answer.status_code == 200 and found is not None, answer.text
    return unescape(found[1])


def said(answer: httpx.Response) -> str:
    return answer.headers["location"].partition("?said=")[2]


@asynccontextmanager
async def listening(office: Web) -> AsyncIterator[Listener]:
    app = build_app(office.relay, office.relay.engine.routes(office.relay.find))
    front = Listener(app, host="127.0.0.1", port=0, websocket=WebSocketProtocol)
    await front.start()
    office.relay.office.remember_address(front.address)
    try:
        yield front
    finally:
        front.refuse()
        await front.stop()


def linked(relay: Relay, shop: str) -> bool:
    return any(peer["connected"] for peer in relay.peers(relay.branch(shop)))


@asynccontextmanager
async def chromium(**options: Any) -> AsyncIterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=ARGUMENTS)
        context = await browser.new_context(**options)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if "Content Security" in told.text else None)
        try:
            yield page
            assert not complaints, complaints
        finally:
            await browser.close()
