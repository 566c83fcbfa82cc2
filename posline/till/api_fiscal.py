"""The call that shows how filing goes. No token and no secret is in any answer; what a person decides is a command."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.till.problems import json_answer
from posline.till.query import limit_of
from posline.till.till import Till

__all__ = ["fiscal_routes"]


def fiscal_routes(till: Till) -> list[Route]:
    """GET /api/fiscal: how filing goes, and what is not filed yet; GET /api/fiscal/{wanted}: one sale's filing."""

    async def fiscal(request: Request) -> Response:
        query = request.query_params
        limit, every = limit_of(query.get("limit")), query.get("all") == "true"

        def work() -> dict[str, Any]:
            return till.fiscal.status() | {"queue": till.fiscal.queue(limit=limit, every=every)}

        return json_answer(await asyncio.to_thread(work))

    async def one(request: Request) -> Response:
        recorded = till.one(request.path_params["wanted"])
        return json_answer({"sale": recorded.entry.id, **till.fiscal.view(recorded.entry).to_dict()})

    return [
        Route("/api/fiscal", fiscal, methods=["GET"]),
        Route("/api/fiscal/{wanted}", one, methods=["GET"]),
    ]
