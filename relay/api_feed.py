"""GET /api/feed: pages, waiting for what comes, filters by shop and kind, JSON or a line an event."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import BadRequest
from posline.storage.feed import FeedPage
from posline.till.problems import json_answer
from posline.till.query import cursor, limit_of
from relay.asker import Asker
from relay.feeding import Feed, shown
from relay.relay import Relay
from relay.rights import Right

__all__ = ["feed_routes"]

WAIT_S_MAX = 60  # most proxies give up on a quiet request at 60 to 120 seconds
WAITING_MAX = 500  # readers at once; a further one is answered at once, and asks again
POLL_S = 1.0  # another process of the head office may have written
KINDS_MAX, KIND_CHARACTERS_MAX = 50, 40


def feed_routes(relay: Relay, asker: Asker) -> list[Route]:
    """/api/feed."""

    async def feed(request: Request) -> Response:
        return await _feed(relay, request, await asker.ids(request, Right.EXPORT))

    return [Route("/api/feed", feed, methods=["GET"])]


async def _feed(relay: Relay, request: Request, shops: Sequence[str] | None) -> Response:
    query = request.query_params
    after, limit, kinds = cursor(query.get("after") or None), limit_of(query.get("limit")), _kinds(request)
    wait_s, form = _wait(query.get("wait")), query.get("format") or "json"
    if form not in ("json", "ndjson"):
        raise BadRequest.of("format", "is json or ndjson")
    await asyncio.to_thread(relay.feed.check, after, query.get("feed"))
    deadline = time.monotonic() + wait_s
    while True:
        feed, arrival = relay.feed, relay.arrivals.next  # OutcomeUnknown once the head office goes down
        page = await asyncio.to_thread(feed.page, shops=shops, kinds=kinds, after=after, limit=limit)
        looked, after, left = page.reached > after, page.reached, deadline - time.monotonic()
        if page.items or left <= 0 or relay.arrivals.waiting >= WAITING_MAX:
            return await asyncio.to_thread(_answer, feed, page, form)
        if not looked or after == page.end:  # else more is there, and has not been looked at
            await relay.arrivals.wait(arrival, min(left, POLL_S))
            if await request.is_disconnected():
                return Response(status_code=204)


def _kinds(request: Request) -> list[str] | None:
    named = [kind.strip() for text in request.query_params.getlist("kinds") for kind in text.split(",")]
    if not named:
        return None
    if len(named) > KINDS_MAX or not all(0 < len(kind) <= KIND_CHARACTERS_MAX for kind in named):
        raise BadRequest.of("kinds", f"names up to {KINDS_MAX} kinds of entry with commas between, such as sale,refund")
    return named


def _wait(text: str | None) -> float:
    if not text:
        return 0.0
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and int(text) <= WAIT_S_MAX):
        raise BadRequest.of("wait", f"is a whole number of seconds from 0 to {WAIT_S_MAX}")
    return float(text)


def _answer(feed: Feed, page: FeedPage, form: str) -> Response:
    lives = feed.lives_of([item.n for item in page.items])
    entries = [shown(item, life) for item, life in zip(page.items, lives, strict=True)]
    life = feed.life_of(page.reached)
    if form == "json":
        return json_answer({"entries": entries, "next": str(page.reached), "feed": life, "end": str(page.end)})
    lines = "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in entries)
    headers = {
        "cache-control": "no-store", "posline-next": str(page.reached), "posline-feed": life,
        "posline-end": str(page.end),
    }  # fmt: skip
    return Response(lines.encode(), media_type="application/x-ndjson", headers=headers)
