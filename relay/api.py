"""The head office's HTTP API: the shops' answers in the tills' own shapes, behind bearer tokens, and the feed.

Whoever presents a token sees the shops that it opens. The dashboard at `/` is static, and asks this API with a token
that a person types in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from posline.core.base64url import base64url
from posline.core.numbers import AUTHOR
from posline.errors import Ambiguous, BadRequest, NotFound, PoslineError
from posline.storage.feed import FeedItem
from posline.till.admitting import text_field
from posline.till.api_reports import report_answer
from posline.till.asking import answering
from posline.till.calls import list_answer, several
from posline.till.metrics import METRICS_TYPE, Metric, exposition
from posline.till.pages import page_routes
from posline.till.problems import Forbidden, Unauthorised, exception_handlers, json_answer
from posline.till.query import day_of, limit_of
from posline.till.sale import Sale
from posline.till.till import cursor, place
from relay.register import Access
from relay.relay import Branch, Relay

__all__ = ["build_app"]

UPDATES_MAX = 2000  # of a shop's document, in the request that attaches it


def build_app(relay: Relay, sync: list[BaseRoute]) -> Starlette:
    """The application on the head office's port; `sync` are the routes that links come in by."""
    api = _Api(relay)
    routes = [
        *sync,
        *page_routes("relay", "page"),
        WebSocketRoute("/attach", answering(api.attach)),
        Route("/api/shops", api.shops, methods=["GET"]),
        Route("/api/shops/{shop}/reports/day/{day}", api.day, methods=["GET"]),
        Route("/api/shops/{shop}/reports/{kind}", api.report, methods=["GET"]),
        Route("/api/shops/{shop}/sales", api.sales, methods=["GET"]),
        Route("/api/shops/{shop}/sales/{wanted}", api.sale, methods=["GET"]),
        Route("/api/feed", api.feed, methods=["GET"]),
        Route("/healthz", api.healthz, methods=["GET"]),
        Route("/metrics", api.metrics, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers=exception_handlers(relay.suspect))


class _Api:
    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._one_at_a_time = asyncio.Lock()  # attaching

    def _access(self, request: Request) -> Access:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        access = self._relay.access(token.strip()) if scheme.lower() == "bearer" else None
        if access is None:
            raise Unauthorised(
                "present a token of 'posline-relay token add' or 'user add': Authorization: Bearer TOKEN"
            )
        return access

    def _branch(self, request: Request) -> Branch:
        access = self._access(request)
        branch = self._relay.branch(request.path_params["shop"], access)
        if not access.covers(branch.id):
            raise Forbidden("this token does not open that shop")
        return branch

    async def shops(self, request: Request) -> Response:
        access = self._access(request)
        return json_answer({
            "shops": [
                {
                    "shop": branch.id,
                    "name": branch.name,
                    "day": branch.day,
                    "attached": branch.registered.attached,
                    "peers": self._relay.peers(branch),
                    "refused": branch.refusals.listed(),
                }
                for branch in self._relay.branches()
                if access.covers(branch.id)
            ]
        })  # fmt: skip

    async def day(self, request: Request) -> Response:
        branch, day = self._branch(request), day_of(request.path_params["day"])
        if request.query_params.get("format", "json") == "json":
            return json_answer(await asyncio.to_thread(branch.reports.day, day))
        return await report_answer(request, "day", branch.reports, shop=branch.name, today=day)

    async def report(self, request: Request) -> Response:
        branch, kind = self._branch(request), request.path_params["kind"]
        return await report_answer(request, kind, branch.reports, shop=branch.name, today=branch.day)

    async def sales(self, request: Request) -> Response:
        branch, query = self._branch(request), request.query_params
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
        branch, wanted = self._branch(request), request.path_params["wanted"]
        found = [branch.show(r) for r in branch.reports.sale(wanted)]
        if not found:
            raise NotFound(f"no sale has the id or receipt {wanted[:60]!r}")
        if len(found) > 1:
            return several(Ambiguous(wanted, [sale.id for sale in found]), found)
        return json_answer(found[0].to_dict())

    async def feed(self, request: Request) -> Response:
        access = self._access(request)
        after = cursor(request.query_params.get("after") or None)
        items = self._relay.feed(shop=access.shop, after=after, limit=limit_of(request.query_params.get("limit")))
        return json_answer({"entries": [_item(i) for i in items], "next": str(items[-1].n if items else after)})

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
                alias = self._relay.invitations.take(text_field(question, "token"), shop)
            except PoslineError as error:
                self._relay.refusals.note(f"the shop {name!r}", str(error), time.time_ns() // 1_000_000)
                raise
            branch = await self._relay.attach(shop=shop, name=name, updates=updates, alias=alias)
        return {"shop": branch.id, "name": branch.name, "key": base64url(self._relay.key.public)}

    async def healthz(self, request: Request) -> Response:
        return json_answer({"ok": True, "store": self._relay.key.id})

    async def metrics(self, request: Request) -> Response:
        relay = self._relay
        links = sum(peer["connected"] for branch in relay.branches() for peer in relay.peers(branch))
        figures: list[Metric] = [
            ("posline_relay_shops", "gauge", "Shops that are attached", [({}, len(relay.branches()))]),
            ("posline_relay_links", "gauge", "Links that are up", [({}, links)]),
        ]
        return Response(exposition(figures), media_type=METRICS_TYPE)


def _item(item: FeedItem) -> dict[str, Any]:
    entry = item.entry
    return {
        "cursor": str(item.n),
        "event": item.event,
        "status": item.status.value,
        "shop": item.shop,
        "document": entry.document,
        "hash": entry.hash.hex(),
        "id": entry.id,
        "kind": entry.kind,
        "entry": entry.body or None,
    }
