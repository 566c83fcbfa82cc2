"""What the till's tests share: a till on a folder, its API without a socket, and sales to ring."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from posline.storage.folder import Folder
from posline.till.api import build_app
from posline.till.commands import COMMANDS
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.till import Till, open_till
from posline.writer import SIGNATURES

WITHIN_S = 20.0
TEA = {"sku": "TEA", "name": "Tea", "quantity": "2", "price": 250}


def sale(**changed: Any) -> dict[str, Any]:
    """A body for POST /api/sales, with an id of its own."""
    return {"id": str(uuid.uuid4()), "lines": [dict(TEA)]} | changed


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[tuple[Till, httpx.AsyncClient]]:
    """A till and a client of its API."""
    async with open_till(folder, **options) as till:
        transport = httpx.ASGITransport(app=build_app(till), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700") as client:
            yield till, client


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WITHIN_S):
        while not true():  # noqa: ASYNC110  # what is waited for happens in another till
            await asyncio.sleep(0.02)


def written(till: Till) -> list[str]:
    """The kinds of what is in the books, but for signatures, which come by themselves after a while."""
    kinds = till.store.read.execute("SELECT kind FROM entry ORDER BY n").fetchall()
    return [kind for (kind,) in kinds if kind not in SIGNATURES]


async def invitation(till: Till) -> Invitation:
    """A link of `till`, which listens from now on."""
    if not till.links.listening:
        await till.listen()
    return Invitation.parse((await COMMANDS["invite"](till, {"expires_s": 60}))["link"], "join")


async def invited(till: Till, path: Path) -> None:
    """A new till of the same shop in `path`, by a link of `till`."""
    with Folder(path) as folder:
        await request_membership(folder, await invitation(till), label="")
