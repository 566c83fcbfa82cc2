"""The calls that a till answers over HTTP: a thin layer over `Till`. docs say what each one answers.

Every route reads its request, asks the till, and answers; errors become problem documents in `posline.till.problems`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from posline.core.people import REPORTS
from posline.errors import Ambiguous
from posline.till.api_catalogue import kept_routes
from posline.till.api_codes import code_routes
from posline.till.api_customers import customer_routes
from posline.till.api_fiscal import fiscal_routes
from posline.till.api_goods import goods_routes
from posline.till.api_people import people_routes
from posline.till.api_products import product_routes
from posline.till.api_receipts import receipt_routes
from posline.till.api_refunds import refund_routes
from posline.till.api_reports import report_routes
from posline.till.api_session import session_routes
from posline.till.api_shifts import shift_routes
from posline.till.body import read_object
from posline.till.fiscal.view import fiscal_metrics
from posline.till.metrics import METRICS_TYPE, exposition, till_metrics
from posline.till.problems import json_answer, problem
from posline.till.query import day_of, limit_of
from posline.till.sale import Sale
from posline.till.till import Till

__all__ = ["api_routes", "list_answer", "several"]

EVENTS_IDLE_S = 15.0  # a comment keeps a quiet stream of events from being taken for a dead one


def api_routes(till: Till) -> list[Route]:
    """The calls that a till answers, whoever may make them."""
    api = _Api(till)
    return [
        Route("/api/sales", api.ring, methods=["POST"]),
        Route("/api/sales", api.sales, methods=["GET"]),
        Route("/api/sales/{wanted}", api.sale, methods=["GET"]),
        *refund_routes(till),
        *fiscal_routes(till),
        *shift_routes(till),
        *people_routes(till),
        *session_routes(till),
        *code_routes(till),
        *receipt_routes(till),
        *goods_routes(till),
        *customer_routes(till),
        *product_routes(till),
        *report_routes(till),
        *kept_routes(till),
        Route("/api/status", api.status, methods=["GET"]),
        Route("/api/events", api.events, methods=["GET"]),
        Route("/healthz", api.healthz, methods=["GET"]),
        Route("/metrics", api.metrics, methods=["GET"]),
    ]


class _Api:
    def __init__(self, till: Till) -> None:
        self._till = till

    async def ring(self, request: Request) -> Response:
        rung = await self._till.ring(await read_object(request))
        return json_answer(rung.sale.to_dict(), 200 if rung.repeated else 201)

    async def sales(self, request: Request) -> Response:
        till = self._till
        query = request.query_params
        asked: dict[str, Any] = {
            "day": day_of(query["day"]) if query.get("day") else None,
            "till": query.get("till") or None,
            "after": query.get("after") or None,
            "limit": limit_of(query.get("limit")),
            "newest": query.get("order") == "newest",
        }

        def work() -> list[tuple[int, Sale]]:  # a thousand sales take a while, and nobody waits to sell meanwhile
            return [(r.n, till.show(r)) for r in till.listed(**asked)]

        return list_answer(await asyncio.to_thread(work))

    async def sale(self, request: Request) -> Response:
        wanted = request.path_params["wanted"]
        try:
            return json_answer(self._till.sale(wanted).to_dict())
        except Ambiguous as error:
            return several(error, [self._till.show(r) for r in self._till.reports.sale(wanted)])

    async def status(self, request: Request) -> Response:
        return json_answer(self._till.status())

    async def healthz(self, request: Request) -> Response:
        return json_answer({"ok": True, "till": self._till.id})

    async def metrics(self, request: Request) -> Response:
        status, day = self._till.status(), None
        if self._till.people.may_read(REPORTS):  # a scraper has no session
            day = await asyncio.to_thread(self._till.day_report, status["day"])
        figures = till_metrics(status, day) + fiscal_metrics(self._till.fiscal.status())
        return Response(exposition(figures), media_type=METRICS_TYPE)

    async def events(self, request: Request) -> Response:
        return StreamingResponse(
            _events(self._till), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )


async def _events(till: Till) -> AsyncIterator[str]:
    yield f"event: status\ndata: {_compact(till.status())}\n\n"
    changes = aiter(till.changes())
    waiting = asyncio.ensure_future(anext(changes, None))
    try:
        while True:
            done, _ = await asyncio.wait([waiting], timeout=EVENTS_IDLE_S)
            if not done:
                yield ": still here\n\n"
                continue
            change = waiting.result()
            if change is None:
                return
            yield f"event: {change.kind}\ndata: {_compact(change.body)}\n\n"
            waiting = asyncio.ensure_future(anext(changes, None))
    finally:
        waiting.cancel()


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def list_answer(sales: list[tuple[int, Sale]]) -> Response:
    """A list of sales; `next` is the cursor behind it, null where the list is empty."""
    return json_answer({
        "sales": [sale.to_dict() for _, sale in sales],
        "next": str(max(n for n, _ in sales)) if sales else None,
    })  # fmt: skip


def several(error: Ambiguous, sales: list[Sale]) -> Response:
    """300: the sales that an id or a receipt may mean."""
    return problem(error.status, error.title, str(error), more={"sales": [sale.to_dict() for sale in sales]})
