"""The calls for accountants and integrators who take files: exports, and the accounting of days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.problems import json_answer
from posline.till.query import day_of
from relay.bookkeeping import books_of, range_of
from relay.exporting import MEDIA, Asked, export, one_by_one, require
from relay.relay import Branch, Relay

__all__ = ["number_routes"]

AT_ONCE = 4  # exports: each holds a thread, and the database as it was when it began
DAYS_MAX = 400  # of accounting in one answer: a year, and some days; the export has no limit
OneShop = Callable[[Request], Branch]
EveryShop = Callable[[Request], Sequence[Branch]]


def number_routes(relay: Relay, branch: OneShop, branches: EveryShop) -> list[Route]:
    """/api/.../export and /api/.../accounting. `branch` is the shop that a request names, `branches` are those that its
    query names, or all that whoever asks may see; both raise where that is not theirs."""
    api = _Numbers(relay, branch, branches)
    return [
        Route("/api/shops/{shop}/export/{what}", api.export_one, methods=["GET"]),
        Route("/api/export/{what}", api.export_several, methods=["GET"]),
        Route("/api/shops/{shop}/accounting/{day}", api.day, methods=["GET"]),
        Route("/api/shops/{shop}/accounting", api.span_of_one, methods=["GET"]),
        Route("/api/accounting", api.span_of_several, methods=["GET"]),
    ]


def _span(request: Request) -> tuple[str | None, str | None]:
    query = request.query_params
    first, last = (day_of(query[name], name) if query.get(name) else None for name in ("from", "to"))
    if first and last and first > last:
        raise BadRequest.of("from", f"{first} is behind the last day, {last}")
    return first, last


class _Numbers:
    def __init__(self, relay: Relay, branch: OneShop, branches: EveryShop) -> None:
        self._relay, self._branch, self._branches = relay, branch, branches
        self._room = asyncio.Semaphore(AT_ONCE)

    # -- exports ---------------------------------------------------------------------------------------------------

    async def export_one(self, request: Request) -> Response:
        return await self._export(request, [self._branch(request)])

    async def export_several(self, request: Request) -> Response:
        return await self._export(request, self._branches(request))

    async def _export(self, request: Request, branches: Sequence[Branch]) -> Response:
        first, last = _span(request)
        asked = Asked(request.path_params["what"], request.query_params.get("format") or "csv", first, last)
        require(asked)

        async def pieces() -> Any:
            async with self._room:
                made = export(self._relay.store, branches, asked, self._relay.chart)
                async for piece in one_by_one(made):
                    yield piece

        days = "-to-".join(filter(None, (first, last))) or "all"
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{asked.what}-{days}.{asked.format}"',
        }
        return StreamingResponse(pieces(), media_type=MEDIA[asked.format], headers=headers)

    # -- accounting ------------------------------------------------------------------------------------------------

    async def day(self, request: Request) -> Response:
        branch, day = self._branch(request), day_of(request.path_params["day"])

        def work() -> dict[str, Any]:
            with books_of(self._relay.store, branch.id, self._relay.chart) as books:
                return books.day(day)

        return json_answer(await asyncio.to_thread(work))

    async def span_of_one(self, request: Request) -> Response:
        return await self._days(request, [self._branch(request)])

    async def span_of_several(self, request: Request) -> Response:
        return await self._days(request, self._branches(request))

    async def _days(self, request: Request, branches: Sequence[Branch]) -> Response:
        first, last = _span(request)

        def work() -> dict[str, Any]:
            found: list[dict[str, Any]] = []
            for branch in branches:
                with books_of(self._relay.store, branch.id, self._relay.chart) as books:
                    for day in books.days(first, last):
                        if len(found) == DAYS_MAX:
                            raise BadRequest.of("from", f"more than {DAYS_MAX} days of shops: ask for fewer, or export")
                        found.append(day)
            return {"from": first, "to": last} | range_of(found, self._relay.chart)

        return json_answer(await asyncio.to_thread(work))
