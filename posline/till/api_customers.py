"""The calls about customers and what they owe. Thin routes over `posline.till.customers`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.people import REPORTS
from posline.till.body import read_object
from posline.till.problems import json_answer
from posline.till.query import cursor, day_of, limit_of
from posline.till.till import Till

__all__ = ["customer_routes"]


def customer_routes(till: Till) -> list[Route]:
    """/api/customers, their statements, and POST /api/payments."""
    books = till.books

    async def customers(request: Request) -> Response:
        query = request.query_params
        limit = limit_of(query.get("limit"))
        if query.get("owing"):
            till.people.let_read(REPORTS)
            place = cursor(query.get("after"))
            owing = await asyncio.to_thread(books.owing, place, limit)
            return json_answer({"customers": owing, "next": str(place + len(owing)) if owing else None})
        found = await asyncio.to_thread(books.found, query.get("q", ""), query.get("after", ""), limit)
        return json_answer({"customers": found, "next": found[-1]["customer"] if found else None})

    async def add(request: Request) -> Response:
        customer, repeated = await books.add(await read_object(request))
        return json_answer(customer, 200 if repeated else 201)

    async def one(request: Request) -> Response:
        return json_answer(books.shown(request.path_params["customer"]))

    async def change(request: Request) -> Response:
        customer, _ = await books.change(request.path_params["customer"], await read_object(request))
        return json_answer(customer)

    async def statement(request: Request) -> Response:
        query = request.query_params
        asked = request.path_params["customer"], cursor(query.get("after")), limit_of(query.get("limit"))
        first, last = (day_of(query[name]) if query.get(name) else None for name in ("from", "to"))
        return json_answer(await asyncio.to_thread(books.statement, *asked, first=first, last=last))

    async def pay(request: Request) -> Response:
        payment, repeated = await books.pay(await read_object(request))
        return json_answer(payment, 200 if repeated else 201)

    return [
        Route("/api/customers", customers, methods=["GET"]),
        Route("/api/customers", add, methods=["POST"]),
        Route("/api/customers/{customer}", one, methods=["GET"]),
        Route("/api/customers/{customer}", change, methods=["PUT"]),
        Route("/api/customers/{customer}/statement", statement, methods=["GET"]),
        Route("/api/payments", pay, methods=["POST"]),
    ]
