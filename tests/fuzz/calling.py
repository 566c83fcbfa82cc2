"""Drives every route of a till, or of a head office, with spoilt requests, in one process and without a socket.

What must hold of each answer is here; what the answers add up to is in `ledger`. Seeded, so a seed repeats a run.

    python -m tests.fuzz.calling --requests 300 --seed 1
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

from starlette.applications import Starlette

from tests.fuzz.asgi import Answer, Asked, ask
from tests.fuzz.calls import Call, filled
from tests.fuzz.child import Slate
from tests.fuzz.mutate import TEXTS, dump, spoil, twist, twist_text

__all__ = ["Caller", "Watcher", "figures", "spoilt", "unspoilt"]

BODY_BYTES_MAX = 8 << 20  # of an answer: a thousand sales with their lines
SECONDS_MAX = 4.0  # of processor time, that one answer may take
NUMERAL = (
    "0",
    "-1",
    "1.5",
    "x",
    "",
    "²",
    "١",
    "9" * 17,
    "9" * 30,
    "000000001" + "9" * 30,
    "000000009" + "0" * 20,
    "1e3",
    "0x1",
    " 5",
    "+5",
)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW")
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/plain"),
    (b"content-type", b"multipart/form-data; boundary=\xff"),
    (b"content-type", b""),
    (b"posline-till", b"a" * 26),
    (b"posline-till", b"\xff\xfe"),
    (b"posline-till", b""),
    (b"origin", b"null"),
    (b"origin", b"http://[broken"),
    (b"host", b"evil.example"),
    (b"host", b""),
    (b"host", b"[::1]:8700"),
    (b"host", b"\xff"),
    (b"sec-fetch-site", b"cross-site"),
    (b"if-none-match", b'*, "x", W/'),
    (b"content-length", b"abc"),
    (b"content-length", b"99999999999999999999999999"),
    (b"content-length", b"-1"),
    (b"content-length", b"\xb2"),
    (b"cookie", b"posline-session-=x; =; \xff=\xff; a"),
    (b"cookie", b";;;="),
    (b"authorization", b"Bearer "),
    (b"authorization", b"Bearer \xff\xfe"),
    (b"authorization", b"Basic x"),
    (b"accept", b"\x00"),
    (b"accept-encoding", b"gzip;q=nan"),
    (b"range", b"bytes=0-0,-1"),
    (b"x" * 5000, b"y" * 5000),
    (b"transfer-encoding", b"chunked"),
    (b"expect", b"100-continue"),
    (b"if-modified-since", b"yesterday"),
)


class Watcher(logging.Handler):
    """Keeps what is logged as an error: none may be."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        self.found.append(self.format(record))


def _path(template: str, places: Mapping[str, Any], rng: Random, broken: bool) -> bytes:
    """The path of a call; where it is to be broken, one of its parts is another one."""
    parts = template.strip("/").split("/")
    held = [n for n, part in enumerate(parts) if part.startswith("{")] or [len(parts) - 1]
    odd = rng.choice(held) if broken else -1
    made = []
    for n, part in enumerate(parts):
        text = str(filled(part, places, rng))
        if n != odd:
            made.append(quote(text, safe=""))
            continue
        how = rng.randrange(4)
        if how == 0:
            made.append(
                quote_from_bytes(rng.choice((b"\xff", b"\x00", b"\xed\xa0\x80", b"..", b"%", b"a/b", b"\n", b" ")))
            )
        elif how == 1:
            made.append(rng.choice(("%", "%zz", "%C3", "..", ".", "", ";a=b", "*")))
        else:
            made.append(quote(twist_text(text, rng)[:600].encode("utf-8", "replace"), safe=""))
    return ("/" + "/".join(made)).encode()


def _query(query: Mapping[str, Any], rng: Random, broken: bool, *, every: bool = False) -> bytes:
    """The query string, or the fields of a form; parts of it are left out unless it is to have `every` one, and where
    it is to be broken one is another one."""
    pairs = [(name, str(text)) for name, text in query.items() if every or rng.random() < 0.7]
    if broken:
        at = rng.randrange(len(pairs)) if pairs else -1
        how = rng.randrange(5)
        if how == 0 or at < 0:
            pairs.append(
                (rng.choice((*query, "limit", "after", "day", "format")) if query else "limit", rng.choice(TEXTS))
            )
        elif how == 1:
            pairs.append(pairs[at])
        elif how == 2:
            return bytes(byte for byte in spoil(urlencode(pairs).encode(), rng) if 0x20 < byte < 0x7F and byte != 0x23)
        else:
            numeral = pairs[at][1].isdigit() or pairs[at][0] in ("limit", "after", "amount")
            odd = rng.choice(
                NUMERAL if numeral and rng.random() < 0.7 else (twist_text(pairs[at][1], rng), rng.choice(TEXTS))
            )
            pairs[at] = (pairs[at][0], odd[:3000])
    return urlencode(
        [(name.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for name, text in pairs]
    ).encode()


def _body(body: Any, rng: Random, broken: bool) -> bytes:
    if not broken:
        return dump(body)
    how = rng.randrange(14)
    if how == 0:
        return spoil(dump(body), rng)
    if how == 1:
        return rng.choice(
            (
                b"",
                b"[]",
                b"null",
                b"{",
                b"\xff",
                b"\xef\xbb\xbf{}",
                b"[" * 30_000,
                b'{"a":' * 20_000,
                b'{"id":1e999999}',
            )
        )
    if how == 2 and rng.random() < 0.2:
        return dump(body) + b" " * (1 << 20)
    for _ in range(rng.choice((1, 1, 1, 2))):
        body = twist(body, rng)
    return dump(body, rng if rng.random() < 0.1 else None)


def _sent(call: Call, places: Mapping[str, Any], rng: Random, broken: bool) -> tuple[bytes, bytes]:
    """(the body of a call, its content type)."""
    if call.body is not None:
        return _body(filled(dict(call.body), places, rng), rng, broken), b"application/json"
    if call.form is not None:
        fields = _query(filled(dict(call.form), places, rng), rng, broken, every=True)
        return fields, b"application/x-www-form-urlencoded"
    text = call.file.encode()
    return spoil(text, rng) if broken else text, b"text/csv"


def unspoilt(
    call: Call, places: Mapping[str, Any], rng: Random, *, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Asked:
    """The example as it stands."""
    query = _query(filled(dict(call.query), places, rng), rng, False, every=True)
    body, kind = _sent(call, places, rng, False)
    asked = Asked(call.method, _path(call.path, places, rng, False), query, body, list(headers))
    if body:
        asked.headers.append((b"content-type", kind))
    return asked


def spoilt(call: Call, places: Mapping[str, Any], rng: Random, *, headers: Sequence[tuple[bytes, bytes]] = ()) -> Asked:
    """A request made from the example: one in six as it stands, the others broken in a place or two."""
    sends = call.body is not None or call.form is not None or bool(call.file)
    kinds = ["body"] * 6 * sends + ["query"] * 3 * bool(call.query) + ["path", "headers"]
    broken = set() if rng.random() < 0.16 else {rng.choice(kinds) for _ in range(rng.choice((1, 1, 2)))}
    query = filled(dict(call.query), places, rng)
    asked = Asked(call.method, _path(call.path, places, rng, "path" in broken), _query(query, rng, "query" in broken))
    if sends:
        asked.body, kind = _sent(call, places, rng, "body" in broken)
        asked.headers.append((b"content-type", kind))
    asked.headers += headers
    if "headers" in broken:
        if rng.random() < 0.25:
            asked.method = rng.choice(METHODS)
        else:
            odd = rng.choice(HEADERS)
            asked.headers = [pair for pair in asked.headers if pair[0] != odd[0]] + [odd]
    return asked


class Caller:
    """Asks an application, and holds what must hold of every answer."""

    def __init__(self, app: Starlette, watcher: Watcher, slate: Slate | None) -> None:
        self.app, self._watcher, self._slate = app, watcher, slate
        self.statuses: Counter[int] = Counter()
        self.routes: Counter[str] = Counter()
        self.slowest_s = 0.0

    async def ask(self, asked: Asked, *, good: Sequence[int] = ()) -> Answer:
        """One request and its answer, judged; where statuses are `good`, it has one of them. Raises AssertionError with
        the request in it."""
        if self._slate is not None:
            self._slate.put(asked.shown().encode("utf-8", "replace"))
        began = time.process_time()
        answer = await ask(self.app, asked)
        took = time.process_time() - began
        self.statuses[answer.status] += 1
        self.slowest_s = max(self.slowest_s, took)
        wrong = self._wrong(asked, answer, took)
        if wrong is None and good and answer.status not in good:
            wrong = f"an example is answered otherwise than {good}"
        assert wrong is None, f"{wrong}\n{asked.shown()}\n{answer.status} {answer.body[:2000]!r}"
        return answer

    def _wrong(self, asked: Asked, answer: Answer, took: float) -> str | None:
        if self._watcher.found:
            return f"an error was logged: {self._watcher.found.pop()}"
        if answer.status >= 500:
            return "a failure of ours"
        if len(answer.body) > BODY_BYTES_MAX:
            return f"an answer of {len(answer.body)} bytes"
        if took > SECONDS_MAX:
            return f"an answer took {took:.1f} s"
        kind = answer.headers.get("content-type", "")
        if answer.status >= 400 and kind.startswith("text/html"):  # one of the pages for people, which says it in words
            return None if answer.status < 500 and b"<html lang=" in answer.body else "a page that broke"
        if answer.status >= 400 or answer.status == 300:
            if kind != "application/problem+json":
                return f"a refusal as {kind}"
            found = _strictly(answer.body)
            if not isinstance(found, dict) or found.get("status") != answer.status:
                return "a refusal that is no problem document"
            if not all(isinstance(found.get(name), str) and found[name] for name in ("type", "title", "detail")):
                return "a refusal without words"
            faults = found.get("errors", [])
            if any(set(fault) != {"field", "detail"} or not fault["detail"] for fault in faults):
                return "a fault that does not say what is wrong"
            return "a bad request that names no field" if answer.status == 422 and not faults else None
        if kind.startswith("application/json") and _strictly(answer.body) is None:
            return "an answer that is no JSON"
        return None


def figures(caller: Caller, began: float, **more: Any) -> dict[str, Any]:
    """What a run comes to."""
    return {
        "requests": sum(caller.statuses.values()),
        "routes": len(caller.routes),
        "statuses": dict(sorted(caller.statuses.items())),
        "seconds": round(time.monotonic() - began, 1),
        "slowest_ms": round(caller.slowest_s * 1000),
        **more,
    }


def _strictly(body: bytes) -> Any:
    def no(text: str) -> Any:
        raise ValueError(text)

    try:
        found = json.loads(body.decode(), parse_constant=no)
        return {} if found is None else found
    except ValueError:
        return None
