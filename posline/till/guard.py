"""Who may speak to a listener on loopback: only pages and programs of this machine.

A web page anywhere can make a browser send requests to 127.0.0.1. What it cannot do is choose the `Host` header (a name
rebound to 127.0.0.1 still stands in it), hide its `Origin`, or, for the requests that carry none (pictures, scripts),
the `Sec-Fetch-Site` of today's browsers. So these are checked before anything else is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from posline.till.problems import Forbidden, problem_of

__all__ = ["PAGE_HEADERS", "LoopbackGuard", "hostname_of", "is_loopback", "why_refused"]

UNUSED = (  # what a browser could give a page, and none of ours asks for
    "accelerometer", "camera", "display-capture", "encrypted-media", "geolocation", "gyroscope", "hid",
    "magnetometer", "microphone", "midi", "payment", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": ", ".join(f"{feature}=()" for feature in UNUSED),
    "cache-control": "no-cache",
}


class LoopbackGuard:
    """ASGI: answers 403 to whatever does not come from this machine's own pages and programs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await WebSocketClose(1008, "the page has no websocket")(scope, receive, send)
            return
        if scope["type"] == "http":
            reason = why_refused(Headers(scope=scope))
            if reason:
                await problem_of(Forbidden(reason))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without port) can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback
    except ValueError:
        return False


def why_refused(headers: Mapping[str, str]) -> str | None:
    """The reason to refuse a request with these headers, or None."""
    host = headers.get("host", "")
    name = hostname_of(f"//{host}")
    if name is None or not is_loopback(name):
        return (
            f"the till answers only to this machine's own address, not to {host[:100]!r}: open it as http://127.0.0.1"
        )
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        return f"a page of {origin[:100]!r} may not use the till"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return "a page of another site may not use the till"  # to follow a link to the till's page is fine
    return None


def hostname_of(url: str) -> str | None:
    """The host in a URL; None where there is none that can be read."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
