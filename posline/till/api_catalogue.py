"""The calls by which a page keeps what it needs to sell with nothing running. Thin routes over
`.page_catalogue` and `.page_shop`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.page_catalogue import kept_catalogue
from posline.till.page_shop import kept_shop
from posline.till.problems import json_answer
from posline.till.query import LIST_MAX, limit_of
from posline.till.till import Till

__all__ = ["kept_routes"]

TEXT_MAX = 200  # characters of a SKU; a version has fewer


def kept_routes(till: Till) -> list[Route]:
    """GET /api/catalogue?have=&after=&limit= and GET /api/shop."""

    async def catalogue(request: Request) -> Response:
        query = request.query_params
        have, after = query.get("have", ""), query.get("after", "")
        for name, text in (("have", have), ("after", after)):
            if len(text) > TEXT_MAX:
                raise BadRequest.of(name, "is none of an earlier answer")
        limit = limit_of(query.get("limit") or str(LIST_MAX))
        return json_answer(await asyncio.to_thread(kept_catalogue, till, have, after, limit))

    async def shop(request: Request) -> Response:
        departments = await asyncio.to_thread(till.reports.catalog.departments)
        return json_answer(kept_shop(till, departments))

    return [Route("/api/catalogue", catalogue, methods=["GET"]), Route("/api/shop", shop, methods=["GET"])]
