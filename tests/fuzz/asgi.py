"""An application asked in its own process, with any bytes that HTTP can carry as path, query, headers and body."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message

__all__ = ["Answer", "Asked", "ask"]

WITHIN_S = 30.0
PORT = 8700
STREAMS = (b"/api/events", b"/live")


@dataclass
class Asked:
    """A request. `path` and `query` are as they stand in the request line."""

    method: str
    path: bytes
    query: bytes = b""
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def shown(self) -> str:
        """For whoever looks for what went wrong."""
        return f"{self.method} {self.path!r} ?{self.query!r} {self.headers!r} {self.body[:3000]!r}"


@dataclass
class Answer:
    """What came back. `whole` is False where the stream goes on and was left after its first piece."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    whole: bool = True

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


async def ask(app: ASGIApp, asked: Asked) -> Answer:
    """The answer of `app`. A stream that does not end by itself is left after its first piece."""
    headers = list(asked.headers)
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", b"127.0.0.1:%d" % PORT))
    if asked.body and not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
        headers.append((b"content-length", str(len(asked.body)).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote_to_bytes(asked.path).decode("utf-8", "replace"),
        "raw_path": asked.path,
        "query_string": asked.query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", PORT),
        "state": {},
    }
    pieces: Sequence[bytes] = [asked.body[:700], asked.body[700:]] if len(asked.body) > 700 else [asked.body]
    waiting = [{"type": "http.request", "body": p, "more_body": n + 1 < len(pieces)} for n, p in enumerate(pieces)]
    gone, first = asyncio.Event(), asyncio.Event()
    found: dict[str, Any] = {"body": b"", "whole": False}

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found["status"], found["headers"] = message["status"], message.get("headers", [])
        else:
            found["body"] += message.get("body", b"")
            found["whole"] = not message.get("more_body", False)
            first.set()

    began = time.perf_counter()
    task = asyncio.ensure_future(app(scope, receive, send))
    streams = asked.path in STREAMS
    async with asyncio.timeout(WITHIN_S):
        if streams:
            await asyncio.wait([task, asyncio.ensure_future(first.wait())], return_when=asyncio.FIRST_COMPLETED)
            gone.set()
        try:
            await task
        except Exception:  # what the application answers 500 to is raised again behind its answer
            if "status" not in found:
                raise
    took = time.perf_counter() - began
    names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in found["headers"]}
    return Answer(found["status"], names, found["body"], took, found["whole"])
