"""Request bodies: their size is counted while they arrive, and their JSON is read strictly.

Strict means what rules section 1 asks of entries, as far as it applies to a caller: UTF-8, no lone surrogate, no key
twice, no NaN, bounded depth. Fractions stay exact (Decimal). Knows nothing of what a body means.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from posline.errors import BadRequest
from posline.till.problems import TooLarge, TooSlow

__all__ = ["BODY_BYTES_MAX", "DEPTH_MAX", "parse_object", "read_body", "read_object"]

BODY_BYTES_MAX = 1 << 20  # contract: a body over 1 MiB is answered 413
BODY_S = 30.0  # for all of it: whoever sends half a body keeps no connection
DEPTH_MAX = 16  # as deep as an entry may be (rules section 1)
_NUMBER_DIGITS_MAX = 40  # far more than any amount; keeps the conversion of a number of a million digits away

_BRACKET = re.compile(
    r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL
)  # an unclosed string runs to the end: no rescans
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


async def read_body(request: Request, *, limit: int = BODY_BYTES_MAX) -> bytes:
    """The body. Raises TooLarge as soon as it is known to be over `limit` bytes, TooSlow, BadRequest."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except ClientDisconnect as error:
        raise BadRequest.of("body", "the connection ended before the body did") from error
    except TimeoutError as error:
        raise TooSlow(f"the body was not here whole after {BODY_S:.0f} s: send the request again") from error
    return b"".join(chunks)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises TooLarge, TooSlow, BadRequest."""
    return parse_object(await read_body(request))


def parse_object(body: bytes) -> dict[str, Any]:
    """Read `body` as one JSON object; fractions become Decimal. Raises BadRequest."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest.of("body", f"not UTF-8 at byte {error.start}") from error
    _check_depth(text)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_fraction,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except BadRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise BadRequest.of("body", f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadRequest.of("body", "must be a JSON object")
    if _SURROGATE_ESCAPE.search(text):
        _check_surrogates(found)
    return found


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a body may have {limit} bytes")


def _check_depth(text: str) -> None:
    # Counted before parsing, for the parser recurses. The cheap test passes nearly every body of a till.
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for match in _BRACKET.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise BadRequest.of("body", f"nested deeper than {DEPTH_MAX}")
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        named = twice.encode("utf-8", "replace").decode()  # half a character is in no answer either
        raise BadRequest.of(named[:60], "stands twice in the same object")
    return found


def _integer(text: str) -> int:
    if len(text) > _NUMBER_DIGITS_MAX:
        raise BadRequest.of("body", "a number has too many digits")
    return int(text)


def _fraction(text: str) -> Decimal:
    if len(text) > _NUMBER_DIGITS_MAX:
        raise BadRequest.of("body", "a number has too many digits")
    found = Decimal(text)
    # 1e999999999 is short, and a billion digits once anybody writes it out
    if max(abs(found.adjusted()), abs(int(found.as_tuple().exponent))) > _NUMBER_DIGITS_MAX:
        raise BadRequest.of("body", "a number has too many digits")
    return found


def _constant(text: str) -> NoReturn:
    raise BadRequest.of("body", f"{text} is no number")


def _check_surrogates(value: Any) -> None:
    # Depth is bounded by _check_depth, so this recursion is too.
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRequest.of("body", "a text holds half a character (a lone surrogate)") from error
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_surrogates(key)
            _check_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item)
