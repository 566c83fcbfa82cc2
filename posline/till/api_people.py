"""The calls about cashiers and the shop's shared settings. Thin routes over `posline.till.people` and `.shared`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest, NotFound
from posline.till.body import read_object
from posline.till.dating import set_time
from posline.till.problems import json_answer
from posline.till.shared import current, put
from posline.till.till import Till

__all__ = ["people_routes"]


def people_routes(till: Till) -> list[Route]:
    """/api/cashiers, /api/settings and /api/time."""

    async def cashiers(request: Request) -> Response:
        return json_answer({"cashiers": [cashier.public() for cashier in till.people.listed()]})

    async def save(request: Request) -> Response:
        fields = await read_object(request)
        await till.people.allow_person(request.path_params["name"], fields)
        asked = {name: value for name, value in fields.items() if name not in ("id", "by", "approve")}
        cashier = await till.people.save(request.path_params["name"], asked)
        return json_answer(cashier.public())

    async def check(request: Request) -> Response:
        fields = await read_object(request)
        return json_answer((await till.people.check(request.path_params["name"], fields.get("pin"))).public())

    async def settings(request: Request) -> Response:
        return json_answer({"settings": current(till)})

    async def setting(request: Request) -> Response:
        name = request.path_params["name"]
        values = current(till)
        if name not in values:
            raise NotFound(f"{name[:60]!r} is no setting: there are {', '.join(sorted(values))}")
        return json_answer({"name": name, "value": values[name]})

    async def set_one(request: Request) -> Response:
        fields = await read_object(request)
        if "value" not in fields:
            raise BadRequest.of("value", "is needed; null takes the setting back to its default")
        approved = await till.people.allow_setting(request.path_params["name"], fields)
        by = fields.get("by", "")
        if not isinstance(by, str):
            raise BadRequest.of("by", "must be a text")
        name = request.path_params["name"]
        value: Any = await put(till, name, whole(fields["value"]), by=by, approved=approved)
        return json_answer({"name": name, "value": value})

    async def time(request: Request) -> Response:
        fields = await read_object(request)
        await till.people.allow("settings", fields)
        said = fields.get("time")
        if not isinstance(said, str):
            raise BadRequest.of("time", "must be a text such as 2026-11-24T15:30")
        return json_answer(await set_time(till, said))

    return [
        Route("/api/time", time, methods=["POST"]),
        Route("/api/cashiers", cashiers, methods=["GET"]),
        Route("/api/cashiers/{name}", save, methods=["PUT"]),
        Route("/api/cashiers/{name}/check", check, methods=["POST"]),
        Route("/api/settings", settings, methods=["GET"]),
        Route("/api/settings/{name}", setting, methods=["GET"]),
        Route("/api/settings/{name}", set_one, methods=["PUT"]),
    ]


def whole(value: Any) -> Any:
    """A setting's value, which entries hold: without fractions. Raises BadRequest."""
    if isinstance(value, Decimal):
        raise BadRequest.of("value", f"{value} is no whole number: write decimals as texts")
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value
