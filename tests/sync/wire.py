"""A store that is served at a port, and connections to it that keep to no protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from posline.replica import Replica
from posline.storage.store import Store
from posline.sync.accept import WebSocketProtocol
from posline.sync.engine import Engine
from posline.sync.frames import Frame, decode, encode
from posline.till.listener import Listener
from posline.trust.gate import Gate, Grant, Scope, TokenGate, token_hash
from tests.kit import StillTime, founded, joined

TOKEN, READ, WRITE = "the shop's own token", "a reader's token", "a writer's token"


@dataclass
class Served:
    """An engine with one replica behind a listening port."""

    replica: Replica
    engine: Engine
    listener: Listener
    gate: Gate

    @property
    def url(self) -> str:
        return f"{self.listener.sync_url}/sync"


def shop_gate(writer: str | None = None) -> TokenGate:
    """The shop's own token, a reader's, and one for entries of `writer`."""
    return TokenGate(
        TOKEN, {token_hash(READ): Grant(Scope.READER), token_hash(WRITE): Grant(Scope.WRITER, writer)}
    )


@asynccontextmanager
async def serving(
    replica: Replica, gate: Gate | None = None, port: int = 0, **options: Any
) -> AsyncIterator[Served]:
    """Serve a replica on a port of this machine; `options` are those of `accept_routes`."""
    engine, gate = Engine(replica.store), gate or shop_gate()
    engine.add(replica)
    await engine.start()
    routes = engine.routes(lambda shop: (replica, gate) if shop in (None, replica.shop) else None, **options)
    listener = Listener(Starlette(routes=routes), host="127.0.0.1", port=port, websocket=WebSocketProtocol)
    await listener.start()
    try:
        yield Served(replica, engine, listener, gate)
    finally:
        await engine.stop()
        await listener.stop()


def on_disk(folder: Path, *names: str) -> list[Replica]:
    """The tills of a new shop, each on a file; the first founded it, the others hold nothing yet."""
    time = StillTime()
    first = founded(names[0], time, Store.open(folder / f"{names[0]}.db"))
    return [first, *(joined(first, name, time, Store.open(folder / f"{name}.db")) for name in names[1:])]


@asynccontextmanager
async def dialled(url: str, *, deflate: bool = True) -> AsyncIterator[ClientConnection]:
    """A bare websocket connection."""
    factory = ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
    async with connect(
        url, extensions=[factory] if deflate else None, compression=None, ping_interval=None, max_size=None, proxy=None,
        close_timeout=1,
    ) as connection:  # fmt: skip
        yield connection


async def say(connection: ClientConnection, *frames: Frame) -> None:
    """Send frames."""
    for frame in frames:
        await connection.send(encode(frame))


async def hear(connection: ClientConnection, kind: type[Frame], within_s: float = 5.0) -> Frame:
    """The next frame of a kind; others are passed over."""
    async with asyncio.timeout(within_s):
        while True:
            message = await connection.recv()
            assert isinstance(message, bytes)
            frame = decode(message)
            if isinstance(frame, kind):
                return frame


async def until(true: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.01)
