"""/api/prices: lists of prices for programs that keep them, and how far they are in the shops. Routes over a `Desk`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.body import read_object
from posline.till.problems import json_answer
from posline.till.query import limit_of
from relay.asker import Asker
from relay.exporting import one_by_one
from relay.price_desk import Desk
from relay.price_lists import ALL
from relay.relay import Relay
from relay.rights import Actor, Right

__all__ = ["price_routes"]

ABOUT = frozenset({"list", "from", "why", "withdraw"})  # what a request says beside a product's fields


def price_routes(relay: Relay, asker: Asker) -> list[Route]:
    """Each is for whoever may see or set the prices in question; `Desk` says who that is."""
    api = _Api(relay, asker)
    made: Sequence[tuple[str, str, Callable[[Request], Any]]] = (
        ("GET", "", api.lists), ("GET", "/items", api.items), ("PUT", "/items/{sku:path}", api.edit),
        ("GET", "/preview", api.preview), ("POST", "/publish", api.publish), ("POST", "/discard", api.discard),
        ("PUT", "/import", api.import_file), ("GET", "/export", api.export), ("GET", "/history", api.history),
        ("GET", "/status", api.status), ("GET", "/shops/{shop}", api.shop), ("POST", "/shops/{shop}", api.again),
        ("GET", "/groups", api.groups), ("PUT", "/groups/{group}", api.set_group),
        ("DELETE", "/groups/{group}", api.remove_group), ("PUT", "/policy", api.policy),
    )  # fmt: skip
    return [Route(f"/api/prices{path}", call, methods=[method]) for method, path, call in made]


class _Api:
    def __init__(self, relay: Relay, asker: Asker) -> None:
        self._relay, self._asker = relay, asker

    async def _desk(self, request: Request, *, changes: bool = False) -> Desk:
        right = Right.PRICES if changes else Right.SEE
        viewer = await self._asker.viewer(request, right, changes=changes)
        return Desk(self._relay, viewer, Actor(viewer.name))

    async def lists(self, request: Request) -> Response:
        desk = await self._desk(request)
        return json_answer({"lists": await asyncio.to_thread(desk.lists)})

    async def items(self, request: Request) -> Response:
        desk, query = await self._desk(request), request.query_params
        limit = limit_of(query.get("limit"))
        found = await asyncio.to_thread(
            desk.items, query.get("list", ALL), q=query.get("q", ""), after=query.get("after", ""), limit=limit,
            drafts=query.get("drafts", "") in ("1", "true"),
        )  # fmt: skip
        return json_answer({"items": found, "next": found[-1]["sku"] if len(found) == limit else None})

    async def edit(self, request: Request) -> Response:
        desk, asked = await self._desk(request, changes=True), await read_object(request)
        for name in ("list", "from", "why"):
            _text(asked, name)
        fields = None if asked.get("withdraw") is True else {n: v for n, v in asked.items() if n not in ABOUT}
        found = await asyncio.to_thread(
            desk.edit, asked.get("list") or ALL, request.path_params["sku"], fields, start=asked.get("from") or "",
            why=asked.get("why") or "",
        )  # fmt: skip
        return json_answer(found)

    async def preview(self, request: Request) -> Response:
        desk = await self._desk(request)
        return json_answer(await asyncio.to_thread(desk.preview))

    async def publish(self, request: Request) -> Response:
        desk, asked = await self._desk(request, changes=True), await read_object(request)
        version = await asyncio.to_thread(desk.publish, _names(asked, "lists"), why=_text(asked, "why"))
        return json_answer({"version": version}, 202)

    async def discard(self, request: Request) -> Response:
        desk, asked = await self._desk(request, changes=True), await read_object(request)
        return json_answer({"discarded": await asyncio.to_thread(desk.discard, _names(asked, "lists"))})

    async def import_file(self, request: Request) -> Response:
        desk, query = await self._desk(request, changes=True), request.query_params
        dry_run = query.get("dry_run", "") in ("1", "true")

        def work(path: Path) -> dict[str, Any]:
            return desk.import_file(path, query.get("list", ALL), why=query.get("why", ""), dry_run=dry_run)

        return json_answer(await self._relay.uploads.read(request, work))

    async def export(self, request: Request) -> Response:
        desk = await self._desk(request)
        lines = await asyncio.to_thread(desk.export, request.query_params.get("list", ALL))
        return StreamingResponse(one_by_one(lines), media_type="text/csv; charset=utf-8")

    async def history(self, request: Request) -> Response:
        desk, query = await self._desk(request), request.query_params
        limit = limit_of(query.get("limit"))
        return json_answer({"history": await asyncio.to_thread(desk.history, sku=query.get("sku", ""), limit=limit)})

    async def status(self, request: Request) -> Response:
        desk = await self._desk(request)
        return json_answer(await asyncio.to_thread(desk.status))

    async def shop(self, request: Request) -> Response:
        desk, after = await self._desk(request), request.query_params.get("after", "")
        limit = limit_of(request.query_params.get("limit"))
        return json_answer(await asyncio.to_thread(desk.shop, request.path_params["shop"], after=after, limit=limit))

    async def again(self, request: Request) -> Response:
        desk, asked = await self._desk(request, changes=True), await read_object(request)
        why = _text(asked, "why")
        version = await asyncio.to_thread(desk.override, request.path_params["shop"], why=why)
        return json_answer({"version": version}, 202)

    async def groups(self, request: Request) -> Response:
        desk = await self._desk(request)
        return json_answer({"groups": await asyncio.to_thread(desk.groups)})

    async def set_group(self, request: Request) -> Response:
        desk, asked = await self._desk(request, changes=True), await read_object(request)
        shops = _names(asked, "shops")
        if shops is None:
            raise BadRequest.of("shops", "is a list of shops, by id or name")
        await asyncio.to_thread(desk.set_group, request.path_params["group"], shops)
        return json_answer({"groups": await asyncio.to_thread(desk.groups)})

    async def remove_group(self, request: Request) -> Response:
        desk = await self._desk(request, changes=True)
        await asyncio.to_thread(desk.remove_group, request.path_params["group"])
        return json_answer({"groups": await asyncio.to_thread(desk.groups)})

    async def policy(self, request: Request) -> Response:
        desk, asked = await self._desk(request, changes=True), await read_object(request)
        if type(asked.get("differ")) is not bool:
            raise BadRequest.of("differ", "is true where shops may differ from the list, or false")
        await asyncio.to_thread(desk.set_policy, _text(asked, "list"), asked["differ"])
        return json_answer({"lists": await asyncio.to_thread(desk.lists)})


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name) or ""
    if not isinstance(value, str):
        raise BadRequest.of(name, "is a text")
    return value


def _names(asked: Mapping[str, Any], name: str) -> list[str] | None:
    value = asked.get(name)
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise BadRequest.of(name, "is a list of texts")
    return value
