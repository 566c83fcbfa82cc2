"""Where a request comes from: the address, whether the line is encrypted, and whether one of our own pages sent it.

Behind a proxy the connection is the proxy's. What it says of the real one counts only where the proxy is one that was
named at the start; anybody else could write such headers. Knows nothing of people.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

__all__ = ["Caller", "Network", "caller_of", "from_proxy", "is_one_of", "local_path", "network", "same_site"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HOPS_MAX = 20  # addresses of a forwarded header that are looked at


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end. `host` is what the browser's address bar says, with the port where one stands there."""

    address: str
    secure: bool
    host: str


def network(text: str) -> Network:
    """An address, or a network of them. Raises ValueError."""
    return ipaddress.ip_network(text.strip(), strict=False)


def caller_of(request: HTTPConnection, trusted: Sequence[Network]) -> Caller:
    """Where a request comes from, by its connection and by what trusted proxies say."""
    address = request.client.host if request.client is not None else ""
    secure, host = request.url.scheme in ("https", "wss"), request.headers.get("host", "")
    if not is_one_of(address, trusted):
        return Caller(_plain(address), secure, host)
    hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    for hop in reversed(hops[-HOPS_MAX:]):  # each proxy adds whom it heard: the last that is no proxy of ours
        if not _is_address(hop):
            break
        address = hop
        if not is_one_of(hop, trusted):
            break
    said = request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    host = request.headers.get("x-forwarded-host", "").rpartition(",")[2].strip() or host
    return Caller(_plain(address), said == "https" if said else secure, host)


def from_proxy(request: HTTPConnection, trusted: Sequence[Network]) -> bool:
    """Whether the connection is one of a trusted proxy's."""
    return request.client is not None and is_one_of(request.client.host, trusted)


def same_site(request: Request, caller: Caller) -> bool:
    """Whether a form was sent by a page of ours. Browsers say so themselves, and no page can make them lie: by
    Sec-Fetch-Site where the line is encrypted or within this machine, else by the page's origin. What says neither is
    no browser that forms are made for."""
    if fetched := request.headers.get("sec-fetch-site"):
        return fetched == "same-origin"
    try:
        parts = urlsplit(request.headers.get("origin", ""))
    except ValueError:
        return False
    return parts.scheme == ("https" if caller.secure else "http") and parts.netloc.lower() == caller.host.lower()


def local_path(text: str) -> str:
    """`text` where it is a path of this head office, else "/": nobody is sent elsewhere after signing in."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    return text if plain and text.isascii() and text.isprintable() and len(text) < 1000 else "/"


def is_one_of(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address lies in one of these networks."""
    try:
        found = ipaddress.ip_address(_plain(address))
    except ValueError:
        return False
    return any(found in each for each in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _plain(address: str) -> str:
    """An IPv4 address as one, also where it came in by a socket that takes both kinds."""
    return address.removeprefix("::ffff:") if "." in address else address
