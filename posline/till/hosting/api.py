"""The calls of the owner's page about phones and tablets. Thin routes over `posline.till.hosting.hosting`."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.faults import Faults
from posline.core.people import MEMBERS
from posline.errors import BadRequest
from posline.till.body import read_object
from posline.till.codes import svg_of
from posline.till.hosting.at_till import hosting_of, remove_device
from posline.till.hosting.at_till import shown as shown_of
from posline.till.invitation import EXPIRES_DEFAULT_S
from posline.till.problems import json_answer
from posline.till.recording import uuid_of
from posline.till.till import Till

__all__ = ["hosting_routes"]

SCALE = 4
REMEMBERED = 100  # ids of requests, so that one that is repeated opens no second door
PORT_MAX = 65_535
_WHO = frozenset({"id", "by", "pin", "approve"})


def hosting_routes(till: Till) -> list[Route]:
    """/api/hosting, and below it what becomes of devices."""
    made: OrderedDict[str, tuple[int, str]] = OrderedDict()  # id -> (when it ends, the link)

    async def asked(request: Request, *known: str) -> dict[str, Any]:
        faults = Faults()
        fields = faults.fields("", await read_object(request), _WHO | set(known))
        faults.raise_any()
        await till.people.allow(MEMBERS, fields)
        return fields

    async def shown(request: Request) -> Response:
        return json_answer(shown_of(till))

    async def switch(request: Request) -> Response:
        fields = await asked(request, "on", "port", "name")
        on, port, name = _flag(fields, "on"), fields.get("port"), fields.get("name")
        if port is not None and not (type(port) is int and 0 < port <= PORT_MAX):
            raise BadRequest.of("port", f"must be a whole number from 1 to {PORT_MAX}")
        if name is not None and not isinstance(name, str):
            raise BadRequest.of("name", "must be a text; empty for this machine's address")
        await hosting_of(till).switch(on, port=port, name=name)
        return json_answer(shown_of(till))

    async def invite(request: Request) -> Response:
        fields = await asked(request, "label")
        label = fields.get("label", "")
        if not isinstance(label, str):
            raise BadRequest.of("label", "must be a text; empty for the next free letter")
        id, now = uuid_of(fields), till.clockwork.monotonic_ms()
        ends_ms, link = made.get(id, (now, ""))
        repeated = ends_ms > now
        if not repeated:
            ends_ms, link = now + EXPIRES_DEFAULT_S * 1000, hosting_of(till).invite(label)
            made[id] = ends_ms, link
            while len(made) > REMEMBERED:
                made.popitem(last=False)
        answer = {"link": link, "expires_s": (ends_ms - now) // 1000, "svg": svg_of(link, SCALE)}
        return json_answer(answer, 200 if repeated else 201)

    async def remove(request: Request) -> Response:
        await asked(request)
        return json_answer(await remove_device(till, request.path_params["device"]))

    async def decide(request: Request) -> Response:
        fields, device = await asked(request, "let_in"), request.path_params["device"]
        decided = till.requests.let_in if _flag(fields, "let_in") else till.requests.refuse
        return json_answer(await decided(device))

    async def trust(request: Request) -> Response:
        await till.requests.trust(_flag(await asked(request, "on"), "on"))
        return json_answer(shown_of(till))

    return [
        Route("/api/hosting", shown, methods=["GET"]),
        Route("/api/hosting", switch, methods=["PUT"]),
        Route("/api/hosting/invite", invite, methods=["POST"]),
        Route("/api/hosting/devices/{device}/remove", remove, methods=["POST"]),
        Route("/api/hosting/requests/{device}", decide, methods=["POST"]),
        Route("/api/hosting/trust-office", trust, methods=["PUT"]),
    ]


def _flag(fields: dict[str, Any], name: str) -> bool:
    if type(fields.get(name)) is not bool:
        raise BadRequest.of(name, "must be true or false")
    return bool(fields[name])
