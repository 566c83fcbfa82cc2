"""The calls about codes that are scanned, by the till or by a customer's phone. Thin routes over `.scanning` and
`.codes`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.codes import SCALE_MAX, svg_answer, svg_of
from posline.till.problems import json_answer
from posline.till.scanning import SVG_SCALE, payment, scanned
from posline.till.till import Till

__all__ = ["code_routes"]

AMOUNT_DIGITS_MAX = 13


def code_routes(till: Till) -> list[Route]:
    """GET /api/scan?code=, /api/raast?amount=&format= and /api/qr?text=&scale=."""

    async def scan(request: Request) -> Response:
        return json_answer(await asyncio.to_thread(scanned, till, request.query_params.get("code", "")))

    async def raast(request: Request) -> Response:
        form = request.query_params.get("format", "json")
        if form not in ("json", "svg"):
            raise BadRequest.of("format", "is json or svg")
        found = await asyncio.to_thread(payment, till, _amount(request.query_params.get("amount")))
        return json_answer(found) if form == "json" else svg_answer(svg_of(found["payload"], SVG_SCALE))

    async def qr(request: Request) -> Response:
        query = request.query_params
        scale = query.get("scale", str(SVG_SCALE))
        if not (scale.isascii() and scale.isdecimal() and len(scale) < 3 and 0 < int(scale) <= SCALE_MAX):
            raise BadRequest.of("scale", f"is a whole number from 1 to {SCALE_MAX}")
        return svg_answer(await asyncio.to_thread(svg_of, query.get("text", ""), int(scale)))

    return [
        Route("/api/scan", scan, methods=["GET"]),
        Route("/api/raast", raast, methods=["GET"]),
        Route("/api/qr", qr, methods=["GET"]),
    ]


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= AMOUNT_DIGITS_MAX):
        raise BadRequest.of("amount", "must be a whole number of paisa")
    return int(text)
