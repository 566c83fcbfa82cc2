"""The calls about stock and about carts that wait. Thin routes over `posline.till.stock` and `.holding`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.till.body import read_object
from posline.till.problems import json_answer
from posline.till.query import limit_of
from posline.till.till import Till

__all__ = ["goods_routes"]


def goods_routes(till: Till) -> list[Route]:
    """/api/stock and /api/holds."""

    async def move(request: Request) -> Response:
        moved, repeated = await till.stock.move(await read_object(request))
        return json_answer(moved, 200 if repeated else 201)

    async def stock(request: Request) -> Response:
        query = request.query_params
        if query.get("sku"):
            one = till.stock.of(query["sku"])
            return json_answer(one | {"stock": [one], "next": None})
        limit = limit_of(query.get("limit"))
        low = query.get("low", "") not in ("", "0", "false")
        found = await asyncio.to_thread(till.stock.listed, query.get("after", ""), limit, low=low)
        return json_answer({"stock": found, "next": found[-1]["sku"] if found else None})

    async def holds(request: Request) -> Response:
        recalled = request.query_params.get("recalled", "") not in ("", "0", "false")
        return json_answer({"holds": till.holding.listed(recalled=recalled)})

    async def hold(request: Request) -> Response:
        held, repeated = await till.holding.hold(await read_object(request))
        return json_answer(held, 200 if repeated else 201)

    async def one(request: Request) -> Response:
        return json_answer(till.holding.one(request.path_params["hold"]))

    async def recall(request: Request) -> Response:
        return await end(request, "recalled")

    async def drop(request: Request) -> Response:
        return await end(request, "dropped")

    async def end(request: Request, why: str) -> Response:
        held, repeated = await till.holding.end(request.path_params["hold"], why, await read_object(request))
        return json_answer(held, 200 if repeated else 201)

    return [
        Route("/api/stock", move, methods=["POST"]),
        Route("/api/stock", stock, methods=["GET"]),
        Route("/api/holds", holds, methods=["GET"]),
        Route("/api/holds", hold, methods=["POST"]),
        Route("/api/holds/{hold}", one, methods=["GET"]),
        Route("/api/holds/{hold}/recall", recall, methods=["POST"]),
        Route("/api/holds/{hold}/drop", drop, methods=["POST"]),
    ]
