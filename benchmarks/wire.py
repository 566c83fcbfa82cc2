"""A keep-alive HTTP client that does little, so that it measures the server and not itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the server of `url`."""
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer, parts.netloc)

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        """The bytes of a request, made beforehand so that making them is not measured."""
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\n"
        if body is not None:
            head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
        return head.encode() + b"\r\n" + payload

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; the answer's status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        assert length is not None, head
        return int(lines[0].split()[1]), await self._reader.readexactly(length)

    async def get(self, path: str) -> Any:
        """GET, and read the JSON."""
        status, body = await self.send(self.request("GET", path))
        assert status == 200, (path, status, body[:300])
        return json.loads(body)
