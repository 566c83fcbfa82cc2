"""The calls for accountants and integrators who take files: exports, and the accounting of days."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.body import read_object
from posline.till.problems import json_answer
from posline.till.query import day_of
from relay.asker import Asker
from relay.bookkeeping import books_of, range_of
from relay.exporting import MEDIA, Asked, export, one_by_one, require
from relay.number_commands import post_day
from relay.relay import Branch, Relay
from relay.rights import Actor, Right

__all__ = ["number_routes"]

AT_ONCE = 4  # exports: each holds a thread, and the database as it was when it began
DAYS_MAX = 400  # of accounting in one answer: a year, and some days; the export has no limit


def number_routes(relay: Relay, asker: Asker) -> list[Route]:
    """/api/.../export and /api/.../accounting."""
    api = _Numbers(relay, asker)
    return [
        Route("/api/shops/{shop}/export/{what}", api.export_one, methods=["GET"]),
        Route("/api/export/{what}", api.export_several, methods=["GET"]),
        Route("/api/shops/{shop}/accounting/{day}", api.day, methods=["GET"]),
        Route("/api/shops/{shop}/accounting", api.span_of_one, methods=["GET"]),
        Route("/api/accounting", api.span_of_several, methods=["GET"]),
        Route("/api/shops/{shop}/accounting/{day}/postings", api.post, methods=["POST"]),
        Route("/api/shops/{shop}/accounting/{day}/postings", api.postings_of_day, methods=["GET"]),
        Route("/api/shops/{shop}/postings", api.postings, methods=["GET"]),
        Route("/api/accounts", api.accounts, methods=["GET"]),
        Route("/api/accounts/{what}", api.set_account, methods=["PUT"]),
        Route("/api/accounts/{what}", api.reset_account, methods=["DELETE"]),
    ]


def _span(request: Request) -> tuple[str | None, str | None]:
    query = request.query_params
    first, last = (day_of(query[name], name) if query.get(name) else None for name in ("from", "to"))
    if first and last and first > last:
        raise BadRequest.of("from", f"{first} is behind the last day, {last}")
    return first, last


class _Numbers:
    def __init__(self, relay: Relay, asker: Asker) -> None:
        self._relay, self._asker = relay, asker
        self._room = asyncio.Semaphore(AT_ONCE)

    # -- exports ---------------------------------------------------------------------------------------------------

    async def export_one(self, request: Request) -> Response:
        return await self._export(request, [await self._asker.branch(request, Right.EXPORT)])

    async def export_several(self, request: Request) -> Response:
        return await self._export(request, await self._asker.branches(request, Right.EXPORT))

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
        branch, day = await self._asker.branch(request, Right.EXPORT), day_of(request.path_params["day"])

        def work() -> dict[str, Any]:
            with books_of(self._relay.store, branch.id, self._relay.chart) as books:
                return books.day(day)

        return json_answer(await asyncio.to_thread(work))

    async def span_of_one(self, request: Request) -> Response:
        return await self._days(request, [await self._asker.branch(request, Right.EXPORT)])

    async def span_of_several(self, request: Request) -> Response:
        return await self._days(request, await self._asker.branches(request, Right.EXPORT))

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

    # -- postings --------------------------------------------------------------------------------------------------

    async def post(self, request: Request) -> Response:
        viewer = await self._asker.viewer(request, Right.EXPORT, changes=True)
        branch = await self._asker.branch(request, Right.EXPORT, changes=True)
        day, asked = day_of(request.path_params["day"]), await read_object(request)
        after, provisional = asked.get("after"), asked.get("provisional", False)
        if after is not None and not isinstance(after, str):
            raise BadRequest.of("after", "is the id of a posting")
        if type(provisional) is not bool:
            raise BadRequest.of("provisional", "is true where a day that is not closed may be posted, or else false")
        how = {"after": after, "provisional": provisional, "by": Actor(viewer.name)}
        return json_answer({"postings": await asyncio.to_thread(post_day, self._relay, branch, day, **how)})

    async def postings_of_day(self, request: Request) -> Response:
        branch, day = await self._asker.branch(request, Right.EXPORT), day_of(request.path_params["day"])
        return await self._listed(branch, day, day)

    async def postings(self, request: Request) -> Response:
        return await self._listed(await self._asker.branch(request, Right.EXPORT), *_span(request))

    async def _listed(self, branch: Branch, first: str | None, last: str | None) -> Response:
        found = await asyncio.to_thread(self._relay.postings.listed, branch.id, first, last)
        return json_answer({"postings": [posting.to_dict() for posting in found]})

    # -- accounts --------------------------------------------------------------------------------------------------

    async def accounts(self, request: Request) -> Response:
        await self._asker.viewer(request, Right.EXPORT)
        return json_answer({"accounts": self._relay.chart.listed()})

    async def set_account(self, request: Request) -> Response:
        viewer = await self._asker.viewer(request, Right.ADMINISTER, changes=True)
        asked, by = await read_object(request), Actor(viewer.name)
        for field in ("account", "name"):
            if not isinstance(asked.get(field), str):
                raise BadRequest.of(field, "is a text")
        await asyncio.to_thread(
            self._relay.postings.set_account, request.path_params["what"], asked["account"], asked["name"], by=by
        )
        return json_answer({"accounts": self._relay.chart.listed()})

    async def reset_account(self, request: Request) -> Response:
        by = Actor((await self._asker.viewer(request, Right.ADMINISTER, changes=True)).name)
        await asyncio.to_thread(self._relay.postings.reset_account, request.path_params["what"], by=by)
        return json_answer({"accounts": self._relay.chart.listed()})
