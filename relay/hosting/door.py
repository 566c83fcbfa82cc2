"""The listener for devices: the page of tills at an origin of its own, for browsers anywhere.

Who passes is decided as at a till (`posline.till.hosting.door`), but for two things: a request must come to the public
address that this head office was started with, from a page of just that origin; and it may come from any network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posline.errors import BadRequest
from posline.till.guard import is_loopback
from posline.till.hosting.door import Entrance, from_another_page
from posline.till.hosting.pairing import Cookie, asked_to_pair, pairing_pages
from posline.till.problems import json_answer
from relay.attempts import by_address
from relay.hosting.tills import WAITING
from relay.operations.readiness import health_routes
from relay.operations.watching import Watched, route_names
from relay.relay import Relay
from relay.web.caller import Network, caller_of
from relay.web.frame import HSTS_S, WebOptions, off

__all__ = ["TILLS_PORT", "Origin", "build_tills", "origin_of"]

TILLS_PORT = 8802
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """A public address: where pages come from, as browsers write it."""

    scheme: str
    name: str
    port: int

    @property
    def secure(self) -> bool:
        """Whether it is HTTPS."""
        return self.scheme == "https"

    @property
    def host(self) -> str:
        """As a browser says it in `Host`."""
        return self.name if self.port == PORTS[self.scheme] else f"{self.name}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}"

    def is_named(self, host: str) -> bool:
        """Whether `host`, with a port or without, is this address."""
        return host.lower() in (self.host, f"{self.name}:{self.port}")


def origin_of(url: str) -> Origin:
    """The public address in `url`. Raises BadRequest."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadRequest.of("tills", f"{url[:100]!r} is no address") from error
    bare = not (parts.query or parts.fragment or parts.username) and parts.path in ("", "/")
    if parts.scheme not in PORTS or not parts.hostname or not bare:
        raise BadRequest.of("tills", f"{url[:100]!r} is none such as https://tills.example.pk, without a path")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise BadRequest.of("tills", f"{url[:100]!r}: beyond this machine, browsers keep the page by https alone")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Origin(parts.scheme, name, port or PORTS[parts.scheme])


def build_tills(relay: Relay, origin: Origin, options: WebOptions) -> ASGIApp:
    """The application on the port for devices. Health is answered at whatever name a balancer asks by."""
    entrance = OfficeDoor(relay, origin, options.trusted)
    routes: list[BaseRoute] = [*health_routes(relay, metrics=False), Mount("/", entrance)]
    relay.tills.names |= route_names([*routes, *entrance.routes])
    watched = Middleware(
        Watched, meters=relay.meters, names=relay.tills.names, trusted=options.trusted, access=options.access_log
    )
    return Starlette(routes=routes, middleware=[watched], exception_handlers=relay.exception_handlers())


class OfficeDoor(Entrance):
    """The entrance of a head office."""

    def __init__(self, relay: Relay, origin: Origin, trusted: Sequence[Network]) -> None:
        self._relay, self._origin, self._trusted = relay, origin, trusted
        self._cookie = Cookie.named(relay.key.id, secure=origin.secure)
        routes = [*pairing_pages(), *_pairing(relay, self._cookie, trusted)]
        super().__init__(routes, relay.tills.clockwork.monotonic_ms)

    @property
    def cookie(self) -> Cookie:
        """See Entrance."""
        return self._cookie

    def caller(self, request: HTTPConnection) -> str:
        """See Entrance: of the longer addresses, of which one machine has many, the network."""
        return by_address(caller_of(request, self._trusted).address).who

    def from_elsewhere(self, request: HTTPConnection) -> str | None:
        """See Entrance."""
        caller = caller_of(request, self._trusted)
        if not self._origin.is_named(caller.host):
            return f"the tills of this head office are not at {caller.host[:100]!r}: open {self._origin}"
        if caller.secure != self._origin.secure:
            return f"the line to the tills of this head office is not as it should be: open {self._origin}"
        return from_another_page(request.headers, str(self._origin))

    async def app_of(self, secret: str, waiting: int | None) -> tuple[str, ASGIApp] | Response:
        """See Entrance."""
        return await self._relay.tills.enter(secret, waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI. A browser that was here once comes by HTTPS alone."""

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["strict-transport-security"] = f"max-age={HSTS_S}"
            await send(message)

        await super().__call__(scope, receive, strict if self._origin.secure else send)


def _pairing(relay: Relay, cookie: Cookie, trusted: Sequence[Network]) -> list[Route]:
    """GET /pair/host: what this is, and what the device that asks is to its shop; and POST /pair."""

    async def host(request: Request) -> Response:
        secret = cookie.of(request)
        state = await relay.tills.state_of(secret) if secret else ""
        return json_answer({"fingerprint": None, "head_office": True, "state": state})

    async def pair(request: Request) -> Response:
        token, asked = await asked_to_pair(request)
        agent, where = request.headers.get("user-agent", ""), caller_of(request, trusted).address
        device, secret = await off(relay.devices.pair, token, asked, agent, where)
        relay.tills.on_changed()
        state = await relay.tills.state_of(secret)
        answer = json_answer({"till": device.author, "label": device.label, "state": state or WAITING}, 201)
        cookie.put(answer, secret)
        return answer

    return [Route("/pair/host", host, methods=["GET"]), Route("/pair", pair, methods=["POST"])]
