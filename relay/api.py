"""The head office's HTTP API: the shops' answers in the tills' own shapes, behind bearer tokens, and the feed.

Whoever presents a token sees the shops that it opens, with the rights that it gives; pages of ours ask with the session
of whoever is signed in. The pages themselves are in relay/web.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from posline.core.base64url import base64url
from posline.core.numbers import AUTHOR
from posline.errors import Ambiguous, BadRequest, NotFound, PoslineError
from posline.till.admitting import text_field
from posline.till.api_reports import report_answer
from posline.till.asking import answering
from posline.till.calls import list_answer, several
from posline.till.problems import json_answer
from posline.till.query import day_of, limit_of, place
from posline.till.sale import Sale
from relay.api_feed import feed_routes
from relay.api_numbers import number_routes
from relay.api_prices import price_routes
from relay.api_webhooks import webhook_routes
from relay.asker import Asker
from relay.office import NAME_MAX, SHOP_ACTOR
from relay.operations.readiness import health_routes
from relay.operations.watching import Watched, route_names
from relay.relay import Branch, Relay
from relay.rights import Actor, Right
from relay.web.frame import Frame, WebOptions
from relay.web.pages import web_routes

__all__ = ["build_app"]

UPDATES_MAX = 2000  # of a shop's document, in the request that attaches it


def build_app(relay: Relay, sync: list[BaseRoute], options: WebOptions | None = None) -> Starlette:
    """The application on the head office's port; `sync` are the routes that links come in by."""
    options = options or WebOptions()
    frame = Frame(relay, options)
    api = _Api(relay, frame)
    routes = [
        *sync,
        *web_routes(frame),
        WebSocketRoute("/attach", answering(api.attach)),
        Route("/api/shops", api.shops, methods=["GET"]),
        Route("/api/shops/{shop}/reports/day/{day}", api.day, methods=["GET"]),
        Route("/api/shops/{shop}/reports/{kind}", api.report, methods=["GET"]),
        Route("/api/shops/{shop}/sales", api.sales, methods=["GET"]),
        Route("/api/shops/{shop}/sales/{wanted}", api.sale, methods=["GET"]),
        *number_routes(relay, api),
        *webhook_routes(relay, api),
        *feed_routes(relay, api),
        *price_routes(relay, api),
        *health_routes(relay, metrics=options.metrics),
    ]
    handlers = relay.exception_handlers()
    handlers[HTTPException] = frame.not_found(handlers[HTTPException])
    watched = Middleware(
        Watched, meters=relay.meters, names=route_names(routes), trusted=options.trusted, access=options.access_log
    )
    return Starlette(routes=routes, middleware=[watched], exception_handlers=handlers)


class _Api(Asker):
    def __init__(self, relay: Relay, frame: Frame) -> None:
        super().__init__(relay, frame)
        self._one_at_a_time = asyncio.Lock()  # attaching

    async def _branch(self, request: Request) -> Branch:
        """The shop that is asked for; a CSV file of it is an export."""
        return await self.branch(request, Right.EXPORT if request.query_params.get("format") == "csv" else Right.SEE)

    async def shops(self, request: Request) -> Response:
        viewer = await self.viewer(request)
        branches = [branch for branch in self._relay.branches() if viewer.covers(branch.id)]
        return json_answer({
            "shops": [
                {
                    "shop": branch.id,
                    "name": branch.name,
                    "alias": branch.registered.alias,
                    "day": branch.day,
                    "attached": branch.registered.attached,
                    "peers": peers,
                    "refused": branch.refusals.listed(),
                }
                for branch, peers in zip(branches, self._relay.peers_of(branches), strict=True)
            ]
        })  # fmt: skip

    async def day(self, request: Request) -> Response:
        branch, day = await self._branch(request), day_of(request.path_params["day"])
        if request.query_params.get("format", "json") == "json":
            return json_answer(await asyncio.to_thread(branch.reports.day, day))
        return await report_answer(request, "day", branch.reports, shop=branch.name, today=day)

    async def report(self, request: Request) -> Response:
        branch, kind = await self._branch(request), request.path_params["kind"]
        return await report_answer(request, kind, branch.reports, shop=branch.name, today=branch.day)

    async def sales(self, request: Request) -> Response:
        branch, query = await self._branch(request), request.query_params
        asked: dict[str, Any] = {
            "day": day_of(query["day"]) if query.get("day") else None,
            "till": query.get("till") or None,
            "after": place(branch.reports, query.get("after")),
            "limit": limit_of(query.get("limit")),
            "newest": query.get("order") == "newest",
        }

        def work() -> list[tuple[int, Sale]]:
            return [(r.n, branch.show(r)) for r in branch.reports.sales(**asked)]

        return list_answer(await asyncio.to_thread(work))

    async def sale(self, request: Request) -> Response:
        branch, wanted = await self._branch(request), request.path_params["wanted"]
        found = [branch.show(r) for r in branch.reports.sale(wanted)]
        if not found:
            raise NotFound(f"no sale has the id or receipt {wanted[:60]!r}")
        if len(found) > 1:
            return several(Ambiguous(wanted, [sale.id for sale in found]), found)
        return json_answer(found[0].to_dict())

    async def attach(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """{token, shop, name, updates}: a shop asks to be taken."""
        shop, name = text_field(question, "shop"), text_field(question, "name")
        if AUTHOR.fullmatch(shop) is None:
            raise BadRequest.of("shop", "is no shop's id")
        updates = question.get("updates", [])
        if not isinstance(updates, list) or len(updates) > UPDATES_MAX or not all(isinstance(u, str) for u in updates):
            raise BadRequest.of("updates", "must be a list of updates in base64url")
        async with self._one_at_a_time:
            try:
                alias = await asyncio.to_thread(self._relay.invitations.take, text_field(question, "token"), shop)
            except PoslineError as error:
                self._relay.refusals.note(f"the shop {name[:NAME_MAX]!r}", str(error), time.time_ns() // 1_000_000)
                self._relay.meters.refused.add("invitation")
                raise
            by = Actor(SHOP_ACTOR + name.replace("\0", ""))
            branch = await self._relay.attach(shop=shop, name=name, updates=updates, alias=alias, by=by)
        return {"shop": branch.id, "name": branch.name, "key": base64url(self._relay.key.public)}
