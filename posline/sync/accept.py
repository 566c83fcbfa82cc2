"""Accepting: the shell of links that others dial, as Starlette routes, and a websocket protocol for uvicorn that keeps
no compression state between messages and never lets a message grow over its limit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol

from posline.sync.frames import MAX_MESSAGE_BYTES
from posline.sync.shell import run_link

if TYPE_CHECKING:
    from posline.replica import Replica
    from posline.sync.engine import Engine
    from posline.trust.gate import Gate

__all__ = ["CONNECTIONS_MAX", "WebSocketProtocol", "accept_routes"]

log = logging.getLogger("posline.sync")

CONNECTIONS_MAX = 10_000  # on one device; a head office of 2,000 shops of four tills has 8,000
UNKNOWN_SHOP = 4404  # close codes of our own lie above 4000
TOO_MANY = 4429


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol with permessage-deflate that starts afresh at each message, which costs 2 % on full
    segments and saves some 60 kB a connection, and with our limit on a message after decompression."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        deflate = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
        self.conn = ServerProtocol(extensions=[deflate], max_size=MAX_MESSAGE_BYTES, logger=log)


def accept_routes(engine: Engine, find: Callable[[str | None], tuple[Replica, Gate] | None]) -> list[BaseRoute]:
    """/sync and /sync/{shop}."""
    live = 0

    async def sync(socket: WebSocket) -> None:
        nonlocal live
        found = find(socket.path_params.get("shop"))
        await socket.accept()
        if found is None or live >= CONNECTIONS_MAX:
            code, reason = (UNKNOWN_SHOP, "no such shop here") if found is None else (TOO_MANY, "too many connections")
            await socket.close(code, reason)
            return
        live += 1
        try:
            await _serve(engine, socket, *found)
        finally:
            live -= 1

    return [WebSocketRoute("/sync", sync), WebSocketRoute("/sync/{shop}", sync)]


async def _serve(engine: Engine, socket: WebSocket, replica: Replica, gate: Gate) -> None:
    link = engine.hub.connect(replica.shop, gate, dialling=False, now=engine.now())

    async def receive() -> bytes | str | None:
        try:
            message = await socket.receive()
        except (RuntimeError, WebSocketDisconnect):
            return None
        if message["type"] == "websocket.disconnect":
            return None
        found: bytes | str = message.get("bytes") or message.get("text") or b""
        return found

    async def close(reason: str) -> None:
        with contextlib.suppress(WebSocketDisconnect):  # it is gone already
            await socket.close(1000, reason.encode()[:120].decode(errors="ignore"))

    reason = await run_link(engine, link, receive=receive, send=socket.send_bytes, close=close)
    log.info("a link ended: %s", reason)
