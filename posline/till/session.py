"""Sessions: a browser whose cashier gave a PIN once, so that not each step asks for it again.

A session is known by a random cookie that no script can read. Kept of it is only the cookie's hash, in memory, so it
ends with the process; and it ends when its cashier is another one than the one who gave the PIN: changed, removed, or
with a new PIN. It proves who asks and decides nothing by itself: what a role may do is asked in `posline.till.people`.

Which session a request has is carried by a context variable, set for the time of the request by the middleware. Rights
are asked for deep below the routes, by code that is handed a request's body and serves commands and the library too;
these run in no request, so they find nothing there, and no body can claim a session.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from posline.core.people import Cashier
from posline.errors import PoslineError

if TYPE_CHECKING:
    from starlette.responses import Response

    from posline.till.till import Till

__all__ = ["SessionReader", "Sessions", "proven"]

COOKIE = "posline-session-"  # and the till's id: cookies know no ports, and two tills may run on one machine
ID_CHARACTERS = 8
TOKEN_BYTES = 32
SESSIONS_MAX = 1000
LASTS_MS = 12 * 3_600_000  # a long day at the counter
IDLE_MS = 30 * 60_000  # without a request

_proven: ContextVar[Cashier | None] = ContextVar("proven", default=None)


def proven() -> Cashier | None:
    """Whose session the request has that is being answered; None outside of one, and for one without a session."""
    return _proven.get()


@dataclass(slots=True)
class _Session:
    cashier: Cashier  # as they were when the PIN was given, which is a part of it
    begun_ms: int
    used_ms: int


class Sessions:
    """The sessions of one till, the one that was used longest ago first."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._held: OrderedDict[bytes, _Session] = OrderedDict()

    @property
    def cookie(self) -> str:
        """What the cookie of this till's sessions is called."""
        return COOKIE + self._till.id[:ID_CHARACTERS]

    def begin(self, cashier: Cashier) -> str:
        """A session of somebody whose PIN was right; what its cookie holds."""
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._now()
        while len(self._held) >= SESSIONS_MAX:
            self._held.popitem(last=False)
        self._held[_hash(token)] = _Session(cashier, now, now)
        return token

    def cashier(self, token: str) -> Cashier | None:
        """Whose session this is, which was used just now; None where it is none, or none any more."""
        key, now = _hash(token), self._now()
        held = self._held.get(key)
        if held is None:
            return None
        over = now - held.begun_ms >= LASTS_MS or now - held.used_ms >= IDLE_MS
        if over or not held.cashier.active or self._till.people.cashier(held.cashier.name) != held.cashier:
            del self._held[key]
            return None
        held.used_ms = now
        self._held.move_to_end(key)
        return held.cashier

    def end(self, token: str) -> None:
        """There is no such session any more."""
        self._held.pop(_hash(token), None)

    def presented(self, cookies: Mapping[str, str]) -> str:
        """What a request's cookies say of a session here; "" where they say nothing."""
        return cookies.get(self.cookie, "")

    def put(self, answer: Response, token: str) -> Response:
        """The answer with the session in a cookie: for no script, and for no request that another site's page makes.
        With "" the cookie is taken away."""
        answer.set_cookie(
            self.cookie, token, max_age=None if token else 0, path="/", httponly=True, samesite="strict",
            secure=self._till.hosted,
        )  # fmt: skip
        return answer

    def _now(self) -> int:
        return self._till.clockwork.monotonic_ms()


class SessionReader:
    """ASGI: what a request does is done by the cashier whose session it has."""

    def __init__(self, app: ASGIApp, till: Till) -> None:
        self._app, self._till = app, till

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        cashier = self._cashier(scope) if scope["type"] == "http" else None
        if cashier is None:
            await self._app(scope, receive, send)
            return
        before = _proven.set(cashier)
        try:
            await self._app(scope, receive, send)
        finally:
            _proven.reset(before)

    def _cashier(self, scope: Scope) -> Cashier | None:
        if not any(name == b"cookie" for name, _ in scope["headers"]):
            return None
        try:
            sessions = self._till.people.sessions
            token = sessions.presented(HTTPConnection(scope).cookies)
            return sessions.cashier(token) if token else None
        except PoslineError:  # the till is going down: the route says so
            return None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
