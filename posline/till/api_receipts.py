"""The calls around paper: receipts as text, page, picture and printer's bytes; the printer, the drawer, and receipts
that are scanned back in. Thin routes over `posline.till.printing` and `posline.till.restoring`."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import Ambiguous, BadRequest, NotPossible
from posline.till.body import read_object
from posline.till.problems import json_answer, problem
from posline.till.receipt_forms import FORMS, drawn
from posline.till.recording import uuid_of
from posline.till.reporting import paper_rows, shift_sheet
from posline.till.till import Till

__all__ = ["receipt_routes"]

HTML_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a page that asks for nothing
_TEXTS = ("entry", "job", "do", "reason", "by", "language", "shift")


def receipt_routes(till: Till) -> list[Route]:
    """GET /api/receipts/{wanted}; GET and POST /api/print; POST /api/drawer; POST /api/restore. Which
    printer it is, commands alone may say: it may be any file that the till may write."""

    async def receipt(request: Request) -> Response:
        query, wanted = request.query_params, request.path_params["wanted"]
        form = query.get("format", "text")
        if form not in FORMS:
            raise BadRequest.of("format", f"is one of {', '.join(FORMS)}")
        if query.get("language", "") not in ("", "en", "ur"):
            raise BadRequest.of("language", "is en or ur")

        def work() -> bytes:
            return drawn(till, wanted, form, copy=query.get("copy") == "1", language=query.get("language", ""))

        try:
            answer = await asyncio.to_thread(work)
        except Ambiguous as error:
            return problem(error.status, error.title, str(error), more={"hashes": list(error.hashes)})
        headers = {"cache-control": "no-store", "content-security-policy": HTML_POLICY}
        return Response(answer, media_type=FORMS[form].media_type, headers=headers)

    async def queue(request: Request) -> Response:
        return json_answer(till.printing.state() | {"printer": till.printing.printer.to_dict()})

    async def to_print(request: Request) -> Response:
        body = _read(await read_object(request))
        id = uuid_of(body)
        if "job" in body:
            if body.get("do") not in ("again", "drop"):
                raise BadRequest.of("do", "is again or drop")
            await till.people.allow("reprint", body)
            (till.printing.again if body["do"] == "again" else till.printing.drop)(body["job"])
            return json_answer(till.printing.state())
        if body.get("shift"):
            await till.people.allow("shift", body)
            return json_answer(await asyncio.to_thread(_print_shift, till, body["shift"], id), 202)
        copy = body.get("copy")
        if copy is not None and not isinstance(copy, bool):
            raise BadRequest.of("copy", "is true or false, or left out where the till is to know")
        if not body.get("entry"):
            raise BadRequest.of("entry", "is the id or receipt of what is to be printed; or give a shift")
        await till.people.allow("reprint", body)
        answer = await asyncio.to_thread(
            till.printing.print, body["entry"], copy=copy, id=id, language=body.get("language", "")
        )
        return json_answer(answer, 202)

    async def drawer(request: Request) -> Response:
        body = _read(await read_object(request))
        id = uuid_of(body)
        by = await till.people.allow("drawer", body) or body.get("by", "")
        return json_answer(till.printing.open_drawer(body.get("reason", ""), by=by, id=id), 202)

    async def restore(request: Request) -> Response:
        restored = await till.restoring.scan(await read_object(request))
        status = 202 if restored.recorded is None else 201 if restored.new else 200
        return json_answer(restored.to_dict(), status)

    return [
        Route("/api/receipts/{wanted}", receipt, methods=["GET"]),
        Route("/api/print", queue, methods=["GET"]),
        Route("/api/print", to_print, methods=["POST"]),
        Route("/api/drawer", drawer, methods=["POST"]),
        Route("/api/restore", restore, methods=["POST"]),
    ]


def _print_shift(till: Till, wanted: str, id: str) -> dict[str, Any]:
    """Print the X report of the `current` shift, or the Z report with this id or of this shift."""
    shift = till.shifts.current() if wanted == "current" else till.shifts.find(wanted)
    if shift["report"] is None:
        raise NotPossible("this shift is open: its X report is printed at its own till, as 'current'")
    sheet = shift_sheet(shift, till.shop, str(till.replica.founding.get("currency", "")))
    facts = [("Till", str(shift["label"])), ("Date", str(shift["at"])[:16].replace("T", " ")), ("Cashier", shift["by"])]
    job = till.printing.print_report(
        sheet.title, paper_rows(sheet), facts=[(name, said) for name, said in facts if said], id=id
    )
    return {"job": job, "report": shift["report"], "shift": shift["id"]}


def _read(body: dict[str, Any]) -> dict[str, Any]:
    for name in _TEXTS:
        if name in body and not (isinstance(body[name], str) and len(body[name]) <= 200):
            raise BadRequest.of(name, "is a text of at most 200 characters")
    return body
