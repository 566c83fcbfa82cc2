"""The API's calls about products: search and lists, one product, departments, what several edited while apart."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.people import REPORTS
from posline.errors import NotFound
from posline.till.body import read_object
from posline.till.editing import save_product
from posline.till.problems import json_answer
from posline.till.query import limit_of
from posline.till.till import Till

__all__ = ["product_routes"]

TEXT_MAX = 200  # characters of what is searched for, and of an SKU


def product_routes(till: Till) -> list[Route]:
    """/api/products, /api/products/{sku} and /api/departments."""

    async def products(request: Request) -> Response:
        found = await asyncio.to_thread(_found, till, request, limit_of(request.query_params.get("limit")))
        more = found and not _yes(request, "favourites")  # those come all at once
        return json_answer({"products": found, "next": found[-1]["sku"] if more else None})

    async def product(request: Request) -> Response:
        sku = request.path_params["sku"]
        found = till.reports.product(sku)
        if found is None:
            raise NotFound(f"no product has the SKU {sku[:60]!r}")
        return json_answer(found)

    async def save(request: Request) -> Response:
        return json_answer(await save_product(till, request.path_params["sku"], await read_object(request)))

    async def departments(request: Request) -> Response:
        return json_answer({"departments": await asyncio.to_thread(till.reports.catalog.departments)})

    async def conflicts(request: Request) -> Response:
        till.people.let_read(REPORTS)
        return json_answer({"conflicts": await asyncio.to_thread(till.reports.conflicts)})

    return [
        Route("/api/products", products, methods=["GET"]),
        Route("/api/products/{sku:path}", product, methods=["GET"]),
        Route("/api/products/{sku:path}", save, methods=["PUT"]),
        Route("/api/departments", departments, methods=["GET"]),
        Route("/api/conflicts", conflicts, methods=["GET"]),
    ]


def _found(till: Till, request: Request, limit: int) -> list[dict[str, Any]]:
    """What a query asks for; a barcode is looked up before anything is searched."""
    catalog, query = till.reports.catalog, request.query_params
    asked = {name: query.get(name, "")[:TEXT_MAX] for name in ("q", "barcode", "after", "department")}
    if asked["barcode"]:
        return [p for p in catalog.with_barcode(asked["barcode"].strip()) if p["sku"] > asked["after"]][:limit]
    if _yes(request, "favourites"):
        return catalog.favourites()
    if _yes(request, "scheduled"):
        return catalog.scheduled(after=asked["after"], limit=limit)
    if asked["q"].strip():
        return catalog.search(asked["q"], department=asked["department"], after=asked["after"], limit=limit)
    retired = _yes(request, "retired")
    return catalog.listed(department=asked["department"], after=asked["after"], limit=limit, retired=retired)


def _yes(request: Request, name: str) -> bool:
    return request.query_params.get(name) in ("1", "true", "yes")
