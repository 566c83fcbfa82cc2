"""The calls that take a sale back: refunds and voids. Thin routes over `posline.till.refunding`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import Ambiguous
from posline.till.body import read_object
from posline.till.problems import json_answer, problem
from posline.till.query import day_of, limit_of
from posline.till.refund import Refund
from posline.till.refunding import Refunded, refunds_of
from posline.till.refunding import refund as refund_sale
from posline.till.refunding import void as void_sale
from posline.till.till import Till

__all__ = ["refund_routes"]


def refund_routes(till: Till) -> list[Route]:
    """POST /api/sales/{wanted}/refund and /void, GET .../returns, GET /api/refunds and /api/refunds/{wanted}."""

    async def refund(request: Request) -> Response:
        return await _recorded(till, request, refund_sale)

    async def void(request: Request) -> Response:
        return await _recorded(till, request, void_sale)

    async def returns(request: Request) -> Response:
        recorded = till.one(request.path_params["wanted"])
        sale = till.show(recorded)
        found, left = refunds_of(till, recorded)
        lines = [
            {"line": line.line, "sku": line.sku, "name": line.name, "quantity": line.quantity, "left": left[line.line]}
            for line in sale.lines
        ]
        return json_answer({"sale": sale.id, "lines": lines, "returns": [refund.to_dict() for refund in found]})

    async def one(request: Request) -> Response:
        return json_answer(till.refunded(request.path_params["wanted"]).to_dict())

    async def several(request: Request) -> Response:
        query = request.query_params
        day = day_of(query["day"]) if query.get("day") else None
        asked: dict[str, Any] = {"day": day, "after": query.get("after") or None, "limit": limit_of(query.get("limit"))}

        def work() -> list[tuple[int, Refund]]:
            return till.refunds(**asked)

        found = await asyncio.to_thread(work)
        return json_answer({
            "refunds": [refund.to_dict() for _, refund in found],
            "next": str(max(n for n, _ in found)) if found else None,
        })  # fmt: skip

    return [
        Route("/api/sales/{wanted}/returns", returns, methods=["GET"]),
        Route("/api/sales/{wanted}/refund", refund, methods=["POST"]),
        Route("/api/sales/{wanted}/void", void, methods=["POST"]),
        Route("/api/refunds", several, methods=["GET"]),
        Route("/api/refunds/{wanted}", one, methods=["GET"]),
    ]


async def _recorded(
    till: Till, request: Request, record: Callable[[Till, str, dict[str, Any]], Awaitable[Refunded]]
) -> Response:
    wanted = request.path_params["wanted"]
    body = await read_object(request)
    try:
        refunded = await record(till, wanted, body)
    except Ambiguous as error:
        sales = [till.show(r).to_dict() for r in till.reports.sale(wanted)]
        return problem(error.status, error.title, str(error), more={"sales": sales})
    return json_answer(refunded.refund.to_dict(), 200 if refunded.repeated else 201)
