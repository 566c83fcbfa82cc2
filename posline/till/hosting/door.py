"""Who passes on a host's HTTPS listener, and how far: the one place that decides what a phone or tablet may reach.

    1. Only a browser at the host's own name, from this host's own pages: a name that somebody rebound to this machine,
       and another site's page, get nothing. At a till also only one on a local network.
    2. Without a paired device's cookie: the page's own files, which say nothing of the shop, and pairing.
    3. With one: the calls of `ALLOWED`, as that device's till, and nothing else.

Each call of a till is in `ALLOWED` or in `REFUSED`; a test holds both to be all there are.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from posline.errors import PoslineError
from posline.till.addressed import Addressed
from posline.till.calls import api_routes
from posline.till.guard import hostname_of
from posline.till.hosting.authority import is_private
from posline.till.hosting.hosted import HostedTill
from posline.till.hosting.hosting import Hosting
from posline.till.hosting.pairing import Cookie, cookie_of, pairing_routes
from posline.till.pages import page_routes
from posline.till.problems import Forbidden, exception_handlers, problem, problem_of
from posline.till.session import SessionReader

__all__ = [
    "ALLOWED", "OWNERS", "REFUSED", "Door", "Entrance", "Rates", "device_app", "from_another_page", "unpaired",
]  # fmt: skip

ALLOWED = frozenset({
    # selling, and what came back
    ("POST", "/api/sales"), ("GET", "/api/sales"), ("GET", "/api/sales/{wanted}"),
    ("GET", "/api/sales/{wanted}/returns"), ("POST", "/api/sales/{wanted}/refund"),
    ("POST", "/api/sales/{wanted}/void"), ("GET", "/api/refunds"), ("GET", "/api/refunds/{wanted}"),
    ("GET", "/api/holds"), ("POST", "/api/holds"), ("GET", "/api/holds/{hold}"), ("POST", "/api/holds/{hold}/recall"),
    ("POST", "/api/holds/{hold}/drop"),
    # what is sold, and to whom
    ("GET", "/api/catalogue"), ("GET", "/api/products"), ("GET", "/api/products/{sku:path}"),
    ("PUT", "/api/products/{sku:path}"), ("GET", "/api/departments"), ("GET", "/api/stock"), ("POST", "/api/stock"),
    ("GET", "/api/scan"), ("GET", "/api/raast"), ("GET", "/api/qr"),
    ("GET", "/api/customers"), ("POST", "/api/customers"), ("GET", "/api/customers/{customer}"),
    ("PUT", "/api/customers/{customer}"), ("GET", "/api/customers/{customer}/statement"), ("POST", "/api/payments"),
    # its own drawer, and what the day came to
    ("POST", "/api/shifts/open"), ("POST", "/api/shifts/close"), ("GET", "/api/shifts/current"),
    ("GET", "/api/shifts/{id}"), ("GET", "/api/shifts"), ("POST", "/api/cash"), ("POST", "/api/days/{day}/close"),
    ("GET", "/api/reports/day/{day}"), ("GET", "/api/reports/{kind}"),
    # who stands there, receipts, and how things are
    ("POST", "/api/session"), ("GET", "/api/session"), ("DELETE", "/api/session"), ("GET", "/api/cashiers"),
    ("POST", "/api/cashiers/{name}/check"), ("GET", "/api/receipts/{wanted}"), ("GET", "/api/shop"),
    ("GET", "/api/status"), ("GET", "/api/events"),
})  # fmt: skip
REFUSED = frozenset({
    # what holds for the whole shop, or lets somebody into it
    ("POST", "/api/invite"), ("PUT", "/api/cashiers/{name}"), ("GET", "/api/settings"), ("GET", "/api/settings/{name}"),
    ("PUT", "/api/settings/{name}"), ("POST", "/api/time"), ("GET", "/api/conflicts"), ("POST", "/api/restore"),
    # what is the host's own: its printer, its drawer, its filing, its figures
    ("GET", "/api/print"), ("POST", "/api/print"), ("POST", "/api/drawer"), ("GET", "/api/fiscal"),
    ("GET", "/api/fiscal/{wanted}"), ("GET", "/healthz"), ("GET", "/metrics"),
})  # fmt: skip

OWNERS = re.compile(r"owner\.|views/owner/|vendor/uplot|core/owner\.|kept\.js|following\.js")
WAITING = "posline-waiting"  # how much a page says that it keeps
WAITING_DIGITS = 7
RATE_S, BURST = 40.0, 400.0  # requests a second, and at once: a page that opens asks for some sixty files
STRANGER_RATE_S, STRANGER_BURST = 10.0, 150.0
CALLERS_MAX = 1000
KEEP_COOKIE = "/api/shop"  # asked when the page opens: then the cookie is good for another year


def device_app(till: HostedTill) -> Starlette:
    """What answers one device: the allowed calls of its own till."""
    routes = [route for route in api_routes(till) if _names(route) <= ALLOWED]
    middleware = [Middleware(Addressed, till), Middleware(SessionReader, till)]
    return Starlette(routes=routes, middleware=middleware, exception_handlers=exception_handlers(till.suspect))


def _names(route: Route) -> set[tuple[str, str]]:
    return {(method, route.path) for method in route.methods or () if method != "HEAD"}


class Entrance(ABC):
    """ASGI: what a host's listener for browsers serves. Whose it is says where a request may come from, and whose a
    cookie is."""

    def __init__(self, routes: Iterable[Route], monotonic_ms: Callable[[], int]) -> None:
        """`routes` are those of pairing, which anybody may ask."""
        pages = page_routes("posline.till", "page", lambda name: bool(OWNERS.match(name)))
        self.routes = [*pages, *routes]
        self._open = Starlette(routes=self.routes, exception_handlers=exception_handlers())
        self._rates = Rates(monotonic_ms)

    @abstractmethod
    def caller(self, request: HTTPConnection) -> str:
        """The address that a request comes from."""

    @abstractmethod
    def from_elsewhere(self, request: HTTPConnection) -> str | None:
        """Why a request is not one of this host's own pages'; None where it is."""

    @abstractmethod
    async def app_of(self, secret: str, waiting: int | None) -> tuple[str, ASGIApp] | Response:
        """The device with this secret and what answers it, or what a stranger is told. `waiting` is how much its page
        says that it keeps."""

    @property
    @abstractmethod
    def cookie(self) -> Cookie:
        """Where devices keep their secrets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await WebSocketClose(1008, "there is no websocket here")(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = HTTPConnection(scope)
        answer, app = await self._decide(request)
        await (answer or app or self._open)(scope, receive, self._keeping(send, request) if app else send)

    async def _decide(self, request: HTTPConnection) -> tuple[Response | None, ASGIApp | None]:
        """An answer at once, or the application of the device that asks; neither for what anybody may see."""
        why = self.from_elsewhere(request)
        if why is not None:
            return problem_of(Forbidden(why)), None
        found: tuple[str, ASGIApp] | Response | None = None
        if request.scope["path"].startswith("/api/"):
            try:
                found = await self.app_of(self.cookie.of(request), _count(request.headers.get(WAITING, "")))
            except PoslineError as error:  # what it would be looked up in does not answer
                found = problem_of(error)
        if not isinstance(found, tuple):
            free = self._rates.take(self.caller(request), STRANGER_RATE_S, STRANGER_BURST)
            return (found if free else _too_many()), None
        if not self._rates.take(found[0], RATE_S, BURST):
            return _too_many(), None
        return None, found[1]

    def _keeping(self, send: Send, request: HTTPConnection) -> Send:
        """Send the cookie once more with what a page asks when it opens, so that a device in use is never forgotten."""
        if request.scope["path"] != KEEP_COOKIE:
            return send
        secret = self.cookie.of(request)

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                carrier = Response()
                self.cookie.put(carrier, secret)
                MutableHeaders(scope=message).append("set-cookie", carrier.headers["set-cookie"])
            await send(message)

        return kept


class Door(Entrance):
    """The entrance of a till that hosts."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting
        super().__init__(pairing_routes(hosting), hosting.host.clockwork.monotonic_ms)

    @property
    def cookie(self) -> Cookie:
        """See Entrance."""
        return cookie_of(self._hosting)

    def caller(self, request: HTTPConnection) -> str:
        """See Entrance."""
        return request.client.host if request.client is not None else ""

    def from_elsewhere(self, request: HTTPConnection) -> str | None:
        """See Entrance: a page of this host on a local network."""
        address, headers = self.caller(request), request.headers
        if address and not is_private(address):
            return "only devices on the shop's own network may connect"
        host = headers.get("host", "")
        name = hostname_of(f"//{host}")
        if name is None or name.lower() not in self._hosting.authority.hosts:
            return f"this till is not called {host[:100]!r}: open it as {self._hosting.url}"
        return from_another_page(headers, f"https://{host}")

    async def app_of(self, secret: str, waiting: int | None) -> tuple[str, ASGIApp] | Response:
        """See Entrance."""
        return self._hosting.app_of(secret, waiting) or unpaired(
            "this device is not paired with this till, or was removed from it. What it sold stays in its browser: ask "
            "for a code at the till's owner page under 'Phones and tablets', and open it here"
        )


def from_another_page(headers: Headers, origin: str) -> str | None:
    """Why a request is not from a page of this `origin`, or typed by a person; None where it is."""
    said = headers.get("origin")
    if said is not None and said.lower() != origin.lower():
        return f"a page of {said[:100]!r} may not use the till"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return "a page of another site may not use the till"
    return None


def unpaired(detail: str, **more: Any) -> Response:
    """What a browser is told that is no device of this host's."""
    return problem(401, "Not paired", detail, more=more)


def _too_many() -> Response:
    answer = problem(429, "Too many requests", "asked too often: wait a second, and ask again with the same id")
    answer.headers["retry-after"] = "1"
    return answer


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= WAITING_DIGITS else None


class Rates:
    """How often each caller may ask: so many at once, and so many a second on and on."""

    def __init__(self, monotonic_ms: Callable[[], int]) -> None:
        self._now = monotonic_ms
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()  # -> what is left, as of when

    def take(self, caller: str, rate_s: float, burst: float) -> bool:
        """Whether `caller` may ask now."""
        now = self._now()
        left, at = self._left.pop(caller, (burst, now))
        left = min(burst, left + (now - at) / 1000 * rate_s)
        allowed = left >= 1.0
        self._left[caller] = left - allowed, now
        while len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)
        return allowed
