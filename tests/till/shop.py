"""What the till's tests share: a till on a folder, its API without a socket, and sales to ring."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from posline.till.api import build_app
from posline.till.till import Till, open_till

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
