"""The calls about who may: the session of a browser, where a PIN was given, and new tills that are invited. Thin routes
over `posline.till.session` and `.inviting`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.faults import Faults
from posline.core.people import Cashier
from posline.till.body import read_object
from posline.till.inviting import Inviting
from posline.till.problems import json_answer
from posline.till.session import proven
from posline.till.till import Till

__all__ = ["session_routes"]

_FIELDS = frozenset({"id", "by", "pin"})


def session_routes(till: Till) -> list[Route]:
    """POST, GET and DELETE /api/session, and POST /api/invite."""
    inviting = Inviting(till)

    async def begin(request: Request) -> Response:
        faults = Faults()
        fields = faults.fields("", await read_object(request), _FIELDS)
        by = faults.text("by", fields.get("by"))
        faults.raise_any()
        cashier = await till.people.check(by, fields.get("pin"))
        sessions = till.people.sessions
        sessions.end(sessions.presented(request.cookies))  # one browser is one person at a time
        return sessions.put(json_answer(_shown(cashier)), sessions.begin(cashier))

    async def now(request: Request) -> Response:
        answer, sessions = json_answer(_shown(proven())), till.people.sessions
        if proven() is None and sessions.presented(request.cookies):
            sessions.put(answer, "")
        return answer

    async def end(request: Request) -> Response:
        sessions = till.people.sessions
        sessions.end(sessions.presented(request.cookies))
        return sessions.put(json_answer(_shown(None)), "")

    async def invite(request: Request) -> Response:
        answer, repeated = await inviting.invite(await read_object(request))
        return json_answer(answer, 200 if repeated else 201)

    return [
        Route("/api/invite", invite, methods=["POST"]),
        Route("/api/session", begin, methods=["POST"]),
        Route("/api/session", now, methods=["GET"]),
        Route("/api/session", end, methods=["DELETE"]),
    ]


def _shown(cashier: Cashier | None) -> dict[str, Any]:
    if cashier is None:
        return {"name": None}
    return {"name": cashier.name, "role": cashier.role, "language": cashier.language}
