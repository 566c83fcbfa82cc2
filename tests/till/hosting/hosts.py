"""What the tests of hosting share: a till that hosts, and devices that reach it by HTTPS as browsers do."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from posline.till.hosting.at_till import hosting_of
from posline.till.hosting.hosting import Hosting
from posline.till.till import Till, open_till

__all__ = ["Phone", "hosting", "paired", "phone"]


class Phone:
    """A device's browser: what it keeps, and how it asks."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.till = self.label = ""

    async def pair(self, link: str, request: str | None = None) -> httpx.Response:
        """Show the token of a link."""
        body = {"token": link.partition("#")[2], "request": request or secrets.token_hex(16)}
        answer = await self.client.post("/pair", json=body)
        if answer.status_code == 201:
            self.till, self.label = answer.json()["till"], answer.json()["label"]
        return answer

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """As the page asks: for its own till."""
        named = {"posline-till": self.till} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, json=body, headers=named)

    async def sell(self, body: dict[str, Any]) -> httpx.Response:
        """Post a sale."""
        return await self.ask("POST", "/api/sales", body)


_OPEN: list[httpx.AsyncClient] = []


def phone(hosting: Hosting) -> Phone:
    """A browser that trusts the host's authority, and checks name and date as browsers do; closed with its host."""
    context = ssl.create_default_context(cadata=hosting.authority.pem.decode())
    client = httpx.AsyncClient(base_url=f"https://127.0.0.1:{hosting.port}", verify=context, trust_env=False)
    _OPEN.append(client)
    return Phone(client)


@asynccontextmanager
async def hosting(folder: Path, port: int = 0, **options: Any) -> AsyncIterator[tuple[Till, Hosting]]:
    """A till that hosts."""
    async with open_till(folder, **options) as till:
        await till.listen()
        found = hosting_of(till)
        await found.switch(True, port=port)
        try:
            yield till, found
        finally:
            while _OPEN:
                await _OPEN.pop().aclose()


async def paired(hosting: Hosting, label: str = "") -> Phone:
    """A device that was let in."""
    made = phone(hosting)
    answer = await made.pair(hosting.invite(label))
    assert answer.status_code == 201, answer.text
    return made
