"""The calls about shifts, cash and closed days. Thin routes over `posline.till.shifts`."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.people import REPORTS
from posline.till.api_reports import form_of, sheet_answer
from posline.till.body import read_object
from posline.till.problems import json_answer
from posline.till.query import day_of
from posline.till.reporting import shift_sheet
from posline.till.shifts import Done
from posline.till.till import Till

__all__ = ["shift_routes"]


def shift_routes(till: Till) -> list[Route]:
    """/api/shifts, /api/cash and /api/days."""

    async def open(request: Request) -> Response:
        return _answer(await till.shifts.open(await read_object(request)))

    async def close(request: Request) -> Response:
        return _answer(await till.shifts.close(await read_object(request)))

    async def cash(request: Request) -> Response:
        return _answer(await till.shifts.cash(await read_object(request)))

    async def close_day(request: Request) -> Response:
        day = day_of(request.path_params["day"])
        return _answer(await till.shifts.close_day(await read_object(request), day))

    async def current(request: Request) -> Response:
        return _shown(request, await asyncio.to_thread(till.shifts.current))

    async def listed(request: Request) -> Response:
        till.people.let_read(REPORTS)
        day = day_of(request.query_params.get("day") or till.day)
        return json_answer({"shifts": await asyncio.to_thread(till.shifts.listed, day)})

    async def one(request: Request) -> Response:
        till.people.let_read(REPORTS)
        return _shown(request, await asyncio.to_thread(till.shifts.find, request.path_params["id"]))

    def _shown(request: Request, shift: dict[str, Any]) -> Response:
        form = form_of(request)
        if form == "json" or shift["report"] is None:
            return json_answer(shift)
        currency = str(till.replica.founding.get("currency", ""))
        return sheet_answer(shift_sheet(shift, till.shop, currency), form, f"shift-{shift['day']}")

    return [
        Route("/api/shifts/open", open, methods=["POST"]),
        Route("/api/shifts/close", close, methods=["POST"]),
        Route("/api/shifts/current", current, methods=["GET"]),
        Route("/api/shifts/{id}", one, methods=["GET"]),
        Route("/api/shifts", listed, methods=["GET"]),
        Route("/api/cash", cash, methods=["POST"]),
        Route("/api/days/{day}/close", close_day, methods=["POST"]),
    ]


def _answer(done: Done) -> Response:
    return json_answer(done.answer, 200 if done.repeated else 201)
