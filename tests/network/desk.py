"""Asking a program that listens on a host of its own: HTTP over connections that were made on that host.

A small client, so that what it measures is the program and not itself; `HostTransport` puts it under httpx.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.network.hosts import Host

__all__ = ["Answer", "Desk", "HostTransport"]

ANSWER_S = 30.0
IDLE_MAX = 8  # connections kept open for the next request


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.content)


class Desk:
    """Somebody on a host who asks one address of it."""

    def __init__(self, host: Host, url: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port, url
        self.url = url
        self._host, self._place, self._tls = host, (parts.hostname, parts.port), tls
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> Any:
        """GET, as JSON. Raises AssertionError where it is not answered with 200."""
        answer = await self.ask("GET", path)
        assert answer.status == 200, (path, answer.status, answer.content[:500])
        return answer.json()

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request. Raises OSError, EOFError; ConnectionError where the connection had ended meanwhile."""
        named = {"host": f"{self._place[0]}:{self._place[1]}", **(headers or {})}
        if body:
            named |= {"content-type": "application/json", "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        async with asyncio.timeout(ANSWER_S):
            reader, writer = self._kept() or await self._connect()
            try:
                writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
                answer = await self._read(reader)
            except BaseException:
                writer.transport.abort()
                raise
        if answer.headers.get("connection") == "close" or len(self._idle) >= IDLE_MAX:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return answer

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that still stands; the program closes those that nothing was asked over for a while."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = self._host.socket()
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, self._place)
        except BaseException:
            made.close()
            raise
        named = self._place[0] if self._tls is not None else None
        return await asyncio.open_connection(sock=made, ssl=self._tls, server_hostname=named, limit=1 << 20)

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> Answer:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        if headers.get("transfer-encoding") == "chunked":
            content = b""
            while size := int(await reader.readline(), 16):
                content += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            content = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, content)


class HostTransport(httpx.AsyncBaseTransport):
    """httpx over desks: each URL goes to the desk of the program that it begins with."""

    def __init__(self, desks: dict[str, Desk]) -> None:
        """`desks` by any name that stands in the URL for the host: http://NAME/path."""
        self._desks = desks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        headers = {name: value for name, value in request.headers.items() if name == "authorization"}
        path = request.url.raw_path.decode()
        answer = await self._desks[request.url.host].ask(request.method, path, await request.aread(), headers)
        return httpx.Response(answer.status, content=answer.content, request=request)
