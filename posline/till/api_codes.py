"""The calls about codes that are scanned, by the till or by a customer's phone. Thin routes over `.scanning`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.problems import json_answer
from posline.till.scanning import payment, scanned
from posline.till.till import Till

__all__ = ["code_routes"]

AMOUNT_DIGITS_MAX = 13


def code_routes(till: Till) -> list[Route]:
    """GET /api/scan?code= and GET /api/raast?amount=."""

    async def scan(request: Request) -> Response:
        return json_answer(await asyncio.to_thread(scanned, till, request.query_params.get("code", "")))

    async def raast(request: Request) -> Response:
        return json_answer(await asyncio.to_thread(payment, till, _amount(request.query_params.get("amount"))))

    return [Route("/api/scan", scan, methods=["GET"]), Route("/api/raast", raast, methods=["GET"])]


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= AMOUNT_DIGITS_MAX):
        raise BadRequest.of("amount", "must be a whole number of paisa")
    return int(text)
