"""Who passes on a host's HTTPS listener, and how far: the one place that decides what a phone or tablet may reach.

    1. Only a browser on a local network, at a name or address that the certificate is for, from this host's own pages:
       a name that somebody rebound to this machine, and another site's page, get nothing.
    2. Without a paired device's cookie: the page's own files, which say nothing of the shop, and pairing.
    3. With one: the calls of `ALLOWED`, as that device's till, and nothing else.

Each call of a till is in `ALLOWED` or in `REFUSED`; a test holds both to be all there are.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from posline.till.addressed import Addressed
from posline.till.calls import api_routes
from posline.till.guard import hostname_of
from posline.till.hosting.authority import is_private
from posline.till.hosting.hosted import HostedTill
from posline.till.hosting.hosting import Hosting
from posline.till.hosting.pairing import pairing_routes, put_cookie, secret_of
from posline.till.pages import page_routes
from posline.till.problems import Forbidden, exception_handlers, problem, problem_of
from posline.till.session import SessionReader

__all__ = ["ALLOWED", "OWNERS", "REFUSED", "Door", "Rates", "device_app"]

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


def device_app(till: HostedTill) -> ASGIApp:
    """What answers one device: the allowed calls of its own till."""
    routes = [route for route in api_routes(till) if _names(route) <= ALLOWED]
    middleware = [Middleware(Addressed, till), Middleware(SessionReader, till)]
    return Starlette(routes=routes, middleware=middleware, exception_handlers=exception_handlers(till.suspect))


def _names(route: Route) -> set[tuple[str, str]]:
    return {(method, route.path) for method in route.methods or () if method != "HEAD"}


class Door:
    """ASGI: the application of a host's HTTPS listener."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting
        routes = [*page_routes("posline.till", "page", lambda name: bool(OWNERS.match(name))), *pairing_routes(hosting)]
        self._open = Starlette(routes=routes, exception_handlers=exception_handlers())
        self._rates = Rates(hosting.host.clockwork.monotonic_ms)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await WebSocketClose(1008, "there is no websocket here")(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer, app = self._decide(scope, Headers(scope=scope))
        await (answer or app or self._open)(scope, receive, _keeping(send, self._hosting, scope) if app else send)

    def _decide(self, scope: Scope, headers: Headers) -> tuple[Response | None, ASGIApp | None]:
        """An answer at once, or the application of the device that asks; neither for what anybody may see."""
        address = scope["client"][0] if scope.get("client") else ""
        why = _from_elsewhere(address, headers, self._hosting)
        if why is not None:
            return problem_of(Forbidden(why)), None
        found = None
        if scope["path"].startswith("/api/"):
            secret = secret_of(HTTPConnection(scope).cookies, self._hosting)
            found = self._hosting.app_of(secret, _count(headers.get(WAITING, "")))
        if found is None and not self._rates.take(address, STRANGER_RATE_S, STRANGER_BURST):
            return _too_many(), None
        if found is None:
            return (_unpaired() if scope["path"].startswith("/api/") else None), None
        if not self._rates.take(found[0], RATE_S, BURST):
            return _too_many(), None
        return None, found[1]


def _from_elsewhere(address: str, headers: Headers, hosting: Hosting) -> str | None:
    """Why a request is not from a page of this host on a local network; None where it is."""
    if address and not is_private(address):
        return "only devices on the shop's own network may connect"
    host = headers.get("host", "")
    name = hostname_of(f"//{host}")
    if name is None or name.lower() not in hosting.authority.hosts:
        return f"this till is not called {host[:100]!r}: open it as {hosting.url}"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"https://{host}".lower():
        return f"a page of {origin[:100]!r} may not use the till"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return "a page of another site may not use the till"
    return None


def _keeping(send: Send, hosting: Hosting, scope: Scope) -> Send:
    """Send the cookie once more with what a page asks when it opens, so that a device in use is never forgotten."""
    if scope["path"] != KEEP_COOKIE:
        return send
    secret = secret_of(HTTPConnection(scope).cookies, hosting)

    async def kept(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            carrier = Response()
            put_cookie(carrier, hosting, secret)
            MutableHeaders(scope=message).append("set-cookie", carrier.headers["set-cookie"])
        await send(message)

    return kept


def _unpaired() -> Response:
    return problem(
        401, "Not paired",
        "this device is not paired with this till, or was removed from it. What it sold stays in its browser: ask for "
        "a code at the till's owner page under 'Phones and tablets', and open it here",
    )  # fmt: skip


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
