"""Around every HTTP request: its id, what it adds to the figures, and a line in the access log.

A proxy may give a request its id (`X-Request-Id`), so that its log and ours can be put beside each other; of anybody
else none is taken. The id stands in the answer and on every line that is logged meanwhile.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, Sequence

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.operations.logs import REQUEST
from relay.operations.measuring import Meters
from relay.web.caller import Network, caller_of, from_proxy

__all__ = ["Watched", "route_names"]

log = logging.getLogger("posline.access")

ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
HEADER = b"x-request-id"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE, OTHER = "none", "other"  # what is asked for and is not there has as many names as askers please
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds by machines


def route_names(routes: Iterable[BaseRoute]) -> dict[object, str]:
    """What each endpoint is called in figures: its path, with the names of what differs."""
    return {route.endpoint: route.path for route in routes if isinstance(route, Route)}


class Watched:
    """The middleware."""

    def __init__(
        self, app: ASGIApp, *, meters: Meters, names: dict[object, str], trusted: Sequence[Network], access: bool
    ) -> None:
        self._app, self._meters, self._names, self._trusted, self._access = app, meters, names, trusted, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what is no HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.monotonic(), 500
        id = self._id(scope)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, id.encode())]
            await send(message)

        marked = REQUEST.set(id)
        try:
            await self._app(scope, receive, sending)
        finally:
            self._note(scope, status, time.monotonic() - began_s)
            REQUEST.reset(marked)

    def _id(self, scope: Scope) -> str:
        request = HTTPConnection(scope)
        said = request.headers.get("x-request-id", "")
        return said if ID.fullmatch(said) and from_proxy(request, self._trusted) else secrets.token_hex(8)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        route = self._names.get(scope.get("endpoint"), NO_ROUTE)
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._meters.requests.add(route, method, str(status))
        self._meters.request_s.observe(took_s, route)
        if self._access and route not in QUIET:
            caller = caller_of(HTTPConnection(scope), self._trusted)
            log.info(
                "%s %s %d %.0f ms for %s", method, scope["path"], status, took_s * 1000, caller.address,
                extra={
                    "event": "request", "method": method, "path": scope["path"], "route": route, "status": status,
                    "seconds": round(took_s, 4), "address": caller.address,
                },
            )  # fmt: skip
