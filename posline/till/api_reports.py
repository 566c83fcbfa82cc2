"""The calls about reports: GET /api/reports/{kind}. A head office answers its shops' reports by the same code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.people import REPORTS
from posline.errors import BadRequest
from posline.storage.reports import Reports
from posline.till.problems import json_answer
from posline.till.query import day_of
from posline.till.report_commands import sheet_of
from posline.till.report_page import CONTENT_SECURITY, page
from posline.till.reporting import Sheet, csv_text

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["form_of", "report_answer", "report_routes", "sheet_answer"]

FORMS = ("json", "csv", "html")


def report_routes(till: Till) -> list[Route]:
    """/api/reports, shifts aside. `day` is the day report of contract.md; the others are sheets."""

    async def day(request: Request) -> Response:
        till.people.let_read(REPORTS)
        day = day_of(request.path_params["day"])
        if request.query_params.get("format", "json") == "json":
            return json_answer(await asyncio.to_thread(till.day_report, day))
        return await report_answer(request, "day", till.reports, shop=till.shop, today=day)

    async def report(request: Request) -> Response:
        till.people.let_read(REPORTS)
        return await report_answer(request, request.path_params["kind"], till.reports, shop=till.shop, today=till.day)

    return [
        Route("/api/reports/day/{day}", day, methods=["GET"]),
        Route("/api/reports/{kind}", report, methods=["GET"]),
    ]


async def report_answer(request: Request, kind: str, reports: Reports, *, shop: str, today: str) -> Response:
    """A report as the query asks for it: from, to, and format (json, csv, html). Raises NotFound, BadRequest."""
    query = request.query_params
    form = form_of(request)
    first, last = (day_of(query[name], name) if query.get(name) else None for name in ("from", "to"))

    def work() -> Response:  # a long span takes a while, and nobody waits to sell meanwhile
        sheet = sheet_of(reports, kind, shop=shop, today=today, first=first, last=last)
        return sheet_answer(sheet, form, f"{kind}-{first or last or today}")

    return await asyncio.to_thread(work)


def form_of(request: Request) -> str:
    """The form that the query asks for. Raises BadRequest."""
    form = request.query_params.get("format") or "json"
    if form not in FORMS:
        raise BadRequest.of("format", f"is one of {', '.join(FORMS)}")
    return form


def sheet_answer(sheet: Sheet, form: str, name: str) -> Response:
    """A sheet as JSON, as a CSV file called `name`, or as a page to print."""
    headers = {"cache-control": "no-store"}
    if form == "csv":
        headers["content-disposition"] = f'attachment; filename="{name}.csv"'
        return Response(csv_text(sheet).encode(), headers=headers, media_type="text/csv; charset=utf-8")
    if form == "html":
        headers["content-security-policy"] = CONTENT_SECURITY
        return Response(page(sheet).encode(), headers=headers, media_type="text/html; charset=utf-8")
    return json_answer(sheet.to_dict())
