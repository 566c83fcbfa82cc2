"""/api/webhooks: who is told of what comes in, for whoever administers the head office."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest
from posline.till.body import read_object
from posline.till.problems import json_answer
from relay.asker import Asker
from relay.number_commands import NUMBER_COMMANDS, shown_webhook
from relay.relay import Relay
from relay.rights import Actor, Right

__all__ = ["webhook_routes"]

FIELDS = {"url": str, "shops": list, "kinds": list, "batch": int, "active": bool}


def webhook_routes(relay: Relay, asker: Asker) -> list[Route]:
    """Each answer has a subscription as `posline-relay webhook list` shows it; its secret is told only once."""
    api = _Webhooks(relay, asker)
    one = "/api/webhooks/{id}"
    return [
        Route("/api/webhooks", api.listed, methods=["GET"]),
        Route("/api/webhooks", api.add, methods=["POST"]),
        Route(one, api.get, methods=["GET"]),
        Route(one, api.change, methods=["PATCH"]),
        Route(one, api.acting("webhook_remove"), methods=["DELETE"]),
        Route(f"{one}/rotate", api.acting("webhook_rotate"), methods=["POST"]),
        Route(f"{one}/replay", api.acting("webhook_replay", "after"), methods=["POST"]),
        Route(f"{one}/dead", api.dead, methods=["GET"]),
        Route(f"{one}/dead/requeue", api.acting("webhook_requeue", "numbers"), methods=["POST"]),
        Route(f"{one}/dead/discard", api.acting("webhook_discard", "numbers"), methods=["POST"]),
    ]


class _Webhooks:
    def __init__(self, relay: Relay, asker: Asker) -> None:
        self._relay, self._asker = relay, asker

    async def _command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return await NUMBER_COMMANDS[name](self._relay, arguments)

    async def listed(self, request: Request) -> Response:
        await self._asker.viewer(request, Right.ADMINISTER)
        return json_answer(await self._command("webhook_list", {}))

    async def get(self, request: Request) -> Response:
        await self._asker.viewer(request, Right.ADMINISTER)
        return json_answer(shown_webhook(self._relay, self._relay.webhooks.get(request.path_params["id"])))

    async def dead(self, request: Request) -> Response:
        await self._asker.viewer(request, Right.ADMINISTER)
        return json_answer(await self._command("webhook_dead", {"id": request.path_params["id"]}))

    async def add(self, request: Request) -> Response:
        viewer = await self._asker.viewer(request, Right.ADMINISTER, changes=True)
        asked = await self._asked(request, {"after", "secret"}) | {"by": Actor(viewer.name)}
        if "url" not in asked:
            raise BadRequest.of("url", "is missing: whom to tell")
        return json_answer(await self._command("webhook_add", asked), 201)

    async def change(self, request: Request) -> Response:
        viewer = await self._asker.viewer(request, Right.ADMINISTER, changes=True)
        asked = await self._asked(request, set())
        if "shops" in asked:
            asked["shops"] = [self._relay.branch(shop).id for shop in asked["shops"]]
        asked |= {name: tuple(asked[name]) for name in ("shops", "kinds") if name in asked}
        by = Actor(viewer.name)
        one = await asyncio.to_thread(self._relay.webhooks.change, request.path_params["id"], asked, by=by)
        return json_answer(shown_webhook(self._relay, one))

    def acting(self, name: str, field: str = "") -> Callable[[Request], Any]:
        """A call that is one command about one subscription, with at most one field."""

        async def act(request: Request) -> Response:
            viewer = await self._asker.viewer(request, Right.ADMINISTER, changes=True)
            asked: dict[str, Any] = {"id": request.path_params["id"], "by": Actor(viewer.name)}
            if field:
                said = (await read_object(request)).get(field)
                if field == "numbers" and said is not None and not _numbers(said):
                    raise BadRequest.of(field, "is a list of numbers of events, or is left out for all")
                asked[field] = said
            return json_answer(await self._command(name, asked))

        return act

    async def _asked(self, request: Request, more: set[str]) -> dict[str, Any]:
        """The fields of a subscription. Only the operator of the machine may let one lie within its own network."""
        asked = await read_object(request)
        if "private" in asked:
            raise BadRequest.of("private", "is for the operator to say, on the machine: webhook add --private")
        for name, value in asked.items():
            if name not in FIELDS and name not in more:
                raise BadRequest.of(name, f"is none of {', '.join((*FIELDS, *sorted(more)))}")
            if name in FIELDS and type(value) is not FIELDS[name]:
                raise BadRequest.of(name, f"is of another type than {FIELDS[name].__name__}")
            if FIELDS.get(name) is list and not all(isinstance(each, str) for each in value):
                raise BadRequest.of(name, "is a list of texts")
        if not isinstance(asked.get("secret", ""), str):
            raise BadRequest.of("secret", "is a text")
        return dict(asked)


def _numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(n) is int for n in value)
