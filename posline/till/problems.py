"""Problem documents (RFC 9457): the one place where an error becomes an HTTP answer.

Every refusal of the till's and of the relay's API passes here, so that all of them look alike: `title`, `status`,
`detail`, and for bad fields `errors`. Knows nothing of sales.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from posline.errors import BadRequest, DiskFailed, DiskFull, FieldError, OutcomeUnknown, PoslineError, Unloadable
from posline.storage.connection import Error

__all__ = [
    "Forbidden", "TooLarge", "TooSlow", "Unauthorised", "exception_handlers", "json_answer", "problem", "problem_of",
]  # fmt: skip

log = logging.getLogger("posline.http")

_UNKNOWN_METHOD = 405
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TITLES = {404: "Not found", 405: "Method not allowed", 500: "Something went wrong"}


class TooLarge(PoslineError):
    """A body over the limit; it was not read to its end."""

    status = 413
    title = "The body is too large"


class TooSlow(PoslineError):
    """A body that did not come to its end in time."""

    status = 408
    title = "The body took too long"


class Forbidden(PoslineError):
    """The request comes from where none may come."""

    status = 403
    title = "Forbidden"


class Unauthorised(PoslineError):
    """A token is missing, or it does not open this."""

    status = 401
    title = "A token is needed"


def json_answer(value: Any, status: int = 200, *, media_type: str = "application/json") -> Response:
    """`value` as a JSON answer; UTF-8, compact, and never cached, since every figure may change with the next sale."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(text.encode("utf-8"), status, {"cache-control": "no-store"}, media_type)


def problem(
    status: int, title: str, detail: str, *, errors: Sequence[FieldError] = (), more: Mapping[str, Any] | None = None
) -> Response:
    """A problem document. `more` are members of its own that a kind of problem adds."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = [{"field": e.field, "detail": e.detail} for e in errors]
    return json_answer(body | dict(more or {}), status, media_type="application/problem+json")


def problem_of(error: PoslineError) -> Response:
    """The problem document of one of Posline's own errors."""
    errors = error.errors if isinstance(error, BadRequest) else ()
    answer = problem(error.status, error.title, str(error), errors=errors)
    if error.status == Unauthorised.status:
        answer.headers["www-authenticate"] = "Bearer"
    elif error.status == TooSlow.status:
        answer.headers["connection"] = "close"  # what still comes belongs to no request
    return answer


async def _on_posline_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PoslineError)
    if error.status >= 500:
        log.error("%s %s: %s", request.scope.get("method", "websocket"), request.url.path, error)
    return problem_of(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"there is no {request.method} {request.url.path} here"
    answer = problem(error.status_code, _TITLES.get(error.status_code, error.detail), detail)
    if error.status_code == _UNKNOWN_METHOD and error.headers:
        answer.headers.update(error.headers)
    return answer


def exception_handlers(
    suspect: Callable[[BaseException], bool] = lambda error: False,
    over: Callable[[], bool] = lambda: False,
) -> dict[Any, Callable[[Request, Exception], Any]]:
    """What a Starlette application maps its exceptions with. `suspect` is asked whether an error means that the disk
    failed, and sees to what follows; `over` whether the process goes down, and closes what a request may be reading."""

    async def on_anything(request: Request, error: Exception) -> Response:
        if suspect(error):
            return problem_of(DiskFailed(str(error)))
        if over():
            return problem_of(OutcomeUnknown("it is going down"))
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, _TITLES[500], "an error of ours, written to the log; repeating the same id is safe")

    async def on_system(request: Request, error: Exception) -> Response:
        if isinstance(error, OSError) and error.errno in _FULL:  # in a small file: the database says so by itself
            log.error("%s %s: %s", request.method, request.url.path, error)
            return problem(DiskFull.status, DiskFull.title, "the disk is full: free some room and ask again")
        return await on_anything(request, error)

    return {
        Unloadable: on_anything,
        OSError: on_system,
        PoslineError: _on_posline_error,
        HTTPException: _on_http_exception,
        Error: on_anything,
        Exception: on_anything,
    }
