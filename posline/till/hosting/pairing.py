"""Pairing, as a device's browser sees it: the page that explains it, the authority to install, and the cookie."""

from __future__ import annotations

import plistlib
import re
import uuid
from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.core.faults import Faults
from posline.errors import BadRequest
from posline.till.body import parse_object, read_body
from posline.till.guard import PAGE_HEADERS
from posline.till.hosting.hosting import Hosting
from posline.till.problems import json_answer

__all__ = ["pairing_routes", "put_cookie", "secret_of"]

COOKIE = "__Host-posline-"  # and the host's id: cookies know no ports. The prefix binds it to this host, by HTTPS alone
ID_CHARACTERS = 8
COOKIE_S = 400 * 86_400  # the longest that browsers keep one; put anew whenever the page opens
BODY_BYTES_MAX = 2000
_REQUEST = re.compile(r"[0-9a-f]{32}")
_FILES = {
    "pair.html": ("/pair", "text/html"),
    "pair.js": ("/pair.js", "text/javascript"),
    "pair.css": ("/pair.css", "text/css"),
}


def secret_of(cookies: Mapping[str, str], hosting: Hosting) -> str:
    """The secret that a request's cookies present to this host; "" for none."""
    return cookies.get(_name(hosting), "")


def put_cookie(answer: Response, hosting: Hosting, secret: str) -> None:
    """Have the browser keep a device's secret: for no script, and for no request of another site's page."""
    answer.set_cookie(
        _name(hosting), secret, max_age=COOKIE_S, path="/", secure=True, httponly=True, samesite="strict"
    )


def _name(hosting: Hosting) -> str:
    return COOKIE + hosting.host.whole.store_id[:ID_CHARACTERS]


def pairing_routes(hosting: Hosting) -> list[Route]:
    """/pair with its files, /host.crt, /host.mobileconfig, GET /pair/host and POST /pair."""

    async def certificate(request: Request) -> Response:
        return _file(hosting.authority.certificate, "application/x-x509-ca-cert", "posline.crt")

    async def profile(request: Request) -> Response:
        return _file(_profile(hosting), "application/x-apple-aspen-config", "posline.mobileconfig")

    async def host(request: Request) -> Response:
        return json_answer({"fingerprint": hosting.authority.fingerprint})

    async def pair(request: Request) -> Response:
        faults = Faults()
        body = parse_object(await read_body(request, limit=BODY_BYTES_MAX))
        fields = faults.fields("", body, frozenset({"token", "request"}))
        token, asked = faults.text("token", fields.get("token")), faults.text("request", fields.get("request"))
        faults.raise_any()
        if not _REQUEST.fullmatch(asked):
            raise BadRequest.of("request", "must be 32 hex digits of the device's own making, the same at every repeat")
        paired = await hosting.pair(token, asked, request.headers.get("user-agent", ""))
        answer = json_answer({"till": paired.device.author, "label": paired.device.label}, 201)
        put_cookie(answer, hosting, paired.secret)
        return answer

    static = [_static(name, path, media_type) for name, (path, media_type) in _FILES.items()]
    return [
        *static,
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
