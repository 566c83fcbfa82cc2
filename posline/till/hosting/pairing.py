"""Pairing, as a device's browser sees it: the page that explains it, the authority to install, and the cookie."""

from __future__ import annotations

import plistlib
import re
import uuid
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.faults import Faults
from posline.errors import BadRequest
from posline.till.body import parse_object, read_body
from posline.till.guard import PAGE_HEADERS
from posline.till.hosting.hosting import Hosting
from posline.till.problems import json_answer

__all__ = ["Cookie", "asked_to_pair", "cookie_of", "pairing_pages", "pairing_routes"]

COOKIE = "posline-"  # and the host's id: cookies know no ports
SECURE = "__Host-"  # a prefix that binds it to this host, by HTTPS alone
ID_CHARACTERS = 8
COOKIE_S = 400 * 86_400  # the longest that browsers keep one; put anew whenever the page opens
BODY_BYTES_MAX = 2000
_REQUEST = re.compile(r"[0-9a-f]{32}")
_FILES = {
    "pair.html": ("/pair", "text/html"),
    "pair.js": ("/pair.js", "text/javascript"),
    "pair.css": ("/pair.css", "text/css"),
}


@dataclass(frozen=True, slots=True)
class Cookie:
    """Where a device's browser keeps its secret: for no script, and for no request of another site's page."""

    name: str
    secure: bool = True

    @classmethod
    def named(cls, host: str, *, secure: bool = True) -> Cookie:
        """The one of the host with this id. Not `secure` only where nothing but this machine can connect."""
        return cls((SECURE if secure else "") + COOKIE + host[:ID_CHARACTERS], secure)

    def of(self, request: HTTPConnection) -> str:
        """The secret that a request presents; "" for none."""
        return request.cookies.get(self.name, "")

    def put(self, answer: Response, secret: str) -> None:
        """Have the browser keep a secret."""
        answer.set_cookie(
            self.name, secret, max_age=COOKIE_S, path="/", secure=self.secure, httponly=True, samesite="strict"
        )


def cookie_of(hosting: Hosting) -> Cookie:
    """The one of a till that hosts."""
    return Cookie.named(hosting.host.whole.store_id)


async def asked_to_pair(request: Request) -> tuple[str, str]:
    """The token and the device's own id of its request, of POST /pair. Raises BadRequest."""
    faults = Faults()
    body = parse_object(await read_body(request, limit=BODY_BYTES_MAX))
    fields = faults.fields("", body, frozenset({"token", "request"}))
    token, asked = faults.text("token", fields.get("token")), faults.text("request", fields.get("request"))
    faults.raise_any()
    if not _REQUEST.fullmatch(asked):
        raise BadRequest.of("request", "must be 32 hex digits of the device's own making, the same at every repeat")
    return token, asked


def pairing_pages() -> list[Route]:
    """/pair with its files."""
    return [_static(name, path, media_type) for name, (path, media_type) in _FILES.items()]


def pairing_routes(hosting: Hosting) -> list[Route]:
    """/pair with its files, /host.crt, /host.mobileconfig, GET /pair/host and POST /pair."""

    async def certificate(request: Request) -> Response:
        return _file(hosting.authority.certificate, "application/x-x509-ca-cert", "posline.crt")

    async def profile(request: Request) -> Response:
        return _file(_profile(hosting), "application/x-apple-aspen-config", "posline.mobileconfig")

    async def host(request: Request) -> Response:
        return json_answer({"fingerprint": hosting.authority.fingerprint})

    async def pair(request: Request) -> Response:
        token, asked = await asked_to_pair(request)
        paired = await hosting.pair(token, asked, request.headers.get("user-agent", ""))
        answer = json_answer({"till": paired.device.author, "label": paired.device.label}, 201)
        cookie_of(hosting).put(answer, paired.secret)
        return answer

    return [
        *pairing_pages(),
        Route("/host.crt", certificate, methods=["GET"]),
        Route("/host.mobileconfig", profile, methods=["GET"]),
        Route("/pair/host", host, methods=["GET"]),
        Route("/pair", pair, methods=["POST"]),
    ]


def _static(name: str, path: str, media_type: str) -> Route:
    content = files("posline.till.hosting").joinpath("page", name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, headers=PAGE_HEADERS, media_type=media_type)

    return Route(path, answer, methods=["GET"])


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(content, headers=headers, media_type=media_type)


def _profile(hosting: Hosting) -> bytes:
    """The authority as iPhones and iPads install it."""
    own = uuid.uuid5(uuid.NAMESPACE_URL, f"posline:{hosting.authority.fingerprint}")
    inner = {
        "PayloadType": "com.apple.security.root", "PayloadVersion": 1, "PayloadContent": hosting.authority.certificate,
        "PayloadIdentifier": f"pk.posline.host.{own}", "PayloadUUID": str(own), "PayloadDisplayName": "Posline",
        "PayloadDescription": "Lets this device open the till's page.",
    }  # fmt: skip
    outer = uuid.uuid5(own, "profile")
    return plistlib.dumps({
        "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadContent": [inner],
        "PayloadIdentifier": f"pk.posline.profile.{outer}", "PayloadUUID": str(outer), "PayloadDisplayName": "Posline",
        "PayloadDescription": "The certificate of a Posline till in your shop.",
    })  # fmt: skip
