"""Accepting: the shell of links that others dial, as Starlette routes, and a websocket protocol for uvicorn that keeps
no compression state between messages and holds no more of what arrives than it was asked for."""

from __future__ import annotations

import contextlib
import logging
from asyncio import Task
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.server import ServerProtocol

from posline.errors import PoslineError
from posline.sync.deflating import ListenerDeflate
from posline.sync.frames import MAX_MESSAGE_BYTES
from posline.sync.moods import Mood
from posline.sync.places import is_loopback, neighbourhood
from posline.sync.shell import close_reason, run_link

if TYPE_CHECKING:
    from posline.replica import Replica
    from posline.sync.engine import Engine
    from posline.sync.link import Link
    from posline.trust.gate import Doorkeeper, Gate

__all__ = ["CONNECTIONS_MAX", "INTRODUCE", "LISTENER", "NONCE", "WebSocketProtocol", "accept_routes", "proof_of"]

log = logging.getLogger("posline.sync")

# headers of the upgrade, by which both sides prove who they are (posline.trust.handshake)
NONCE, INTRODUCE, LISTENER = "Posline-Nonce", "Posline-Introduce", "Posline-Listener"
NONCE_CHARS_MAX = 100
HEADER_CHARS = 4096  # of a proof in one header: clients take lines of 8 KiB, and an introduction is longer
MAPPED = "::ffff:"  # before an IPv4 address on a socket that takes both

CONNECTIONS_MAX = 10_000  # on one device; a head office of 2,000 shops of four tills has 8,000
STRANGERS_MAX = 256  # of one neighbourhood that have not said yet who they are: a chain behind one router comes at once
SHOP_LINKS_MAX = 64  # of one shop: eight times its tills, each with a program that follows, and old ones not yet gone
GOING_AWAY, TRY_AGAIN = 1001, 1013
UNKNOWN_SHOP = 4404  # close codes of our own lie above 4000
TOO_MANY = 4429
BITE_BYTES = 4096  # taken from the socket's bytes at a time: deflated, at most 4 MiB of messages can be in so many
WRITE_BYTES_MAX = 1024 * 1024  # waiting in the socket: answers to websocket pings alone came to this
PIECES_MAX = 1024  # of one message: even of nothing, they would pile up
LINGER_S = 3.0  # after the link is over, for what is left in the socket


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol, with a few things done otherwise.

    Messages are compressed by `posline.sync.deflating`. Bytes are read in small bites, and none while a message waits
    to be taken: uvicorn decodes all that one read brought, and 256 KiB of deflated zeros are 256 MiB of messages. A
    connection whose other side takes nothing any more is dropped soon after its link is over, with what it would not
    take.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = ServerProtocol(extensions=[ListenerDeflate()], max_size=MAX_MESSAGE_BYTES, logger=log)
        self._unread = bytearray()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._bite()

    def _bite(self) -> None:
        while self._unread and not self.read_paused and not self.transport.is_closing():
            bite = bytes(self._unread[:BITE_BYTES])
            del self._unread[:BITE_BYTES]
            super().data_received(bite)
            if self.transport.get_write_buffer_size() > WRITE_BYTES_MAX:
                self.transport.abort()

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except InvalidState:  # the other side had begun to close already
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > PIECES_MAX:
            self.transport.abort()

    async def receive(self) -> Any:
        message = await super().receive()
        self._bite()
        return message

    def on_task_complete(self, task: Task[None]) -> None:
        super().on_task_complete(task)
        self.loop.call_later(LINGER_S, self.transport.abort)


def _host(socket: WebSocket) -> str:
    return socket.client.host if socket.client is not None else ""


def accept_routes(
    engine: Engine,
    find: Callable[[str | None], tuple[Replica, Doorkeeper] | None],
    *,
    tls: str | Callable[[], str] = "",
    address: Callable[[WebSocket], str] = _host,
    turned_away: Callable[[str], None] = lambda why: None,
) -> list[BaseRoute]:
    """/sync and /sync/{shop}. `tls` is the fingerprint of the certificate that they are served under, or tells which
    one it is by now; `address` says where a connection comes from; `turned_away` is told in a word why one was."""
    pin = tls if callable(tls) else lambda: tls
    live = 0
    strangers: dict[str, list[Link]] = {}  # by address, those that were not known yet when last looked at

    def full(replica: Replica, host: str) -> str:
        """Why there is no room for one more, or ""."""
        if live >= CONNECTIONS_MAX:
            return "too many connections"
        unknown = [link for link in strangers.get(host, ()) if link.mood is Mood.WAITING]
        if host in strangers:
            strangers[host] = unknown
        if len(unknown) >= STRANGERS_MAX:
            return "too many connections from this address have not said who they are"
        if sum(link.mood in (Mood.OPEN, Mood.STOCK) for link in engine.hub.links(replica.shop)) >= SHOP_LINKS_MAX:
            return "too many connections of this shop"
        return ""

    async def sync(socket: WebSocket) -> None:
        nonlocal live
        if engine.leaving:  # said before the upgrade, so that a balancer tries the next one
            turned_away("stopping")
            await socket.send_denial_response(Response("this process is going\n", 503, {"retry-after": "1"}))
            return
        if engine.stopping:
            turned_away("stopping")
            await socket.accept()
            await socket.close(GOING_AWAY, "stopping")
            return
        host = neighbourhood(address(socket))
        try:
            found = find(socket.path_params.get("shop"))
        except PoslineError as error:  # what it is looked up in does not answer
            await socket.accept()
            await socket.close(TRY_AGAIN, close_reason(str(error)))
            return
        crowded = "" if found is None else full(found[0], host)
        if found is None or crowded:
            turned_away("no such shop" if found is None else "crowded")
            await socket.accept()
            await socket.close(*((UNKNOWN_SHOP, "no such shop here") if found is None else (TOO_MANY, crowded)))
            return
        replica, keeper = found
        nonce = socket.headers.get(NONCE, "")[:NONCE_CHARS_MAX]
        try:
            proof, gate = keeper.welcome(nonce, introduce=INTRODUCE in socket.headers, tls=pin())
        except PoslineError as error:
            await socket.accept()
            await socket.close(TRY_AGAIN, close_reason(str(error)))
            return
        live += 1
        try:
            await socket.accept(headers=[(LISTENER.encode(), piece) for piece in _pieces(proof.encode())])
            if engine.stopping or engine.leaving:  # meanwhile
                await socket.close(GOING_AWAY, "stopping")
                return
            await _serve(engine, socket, replica, gate, strangers.setdefault(host, []))
        finally:
            live -= 1
            if not [link for link in strangers.get(host, ()) if link.mood is Mood.WAITING]:
                strangers.pop(host, None)

    return [WebSocketRoute("/sync", sync), WebSocketRoute("/sync/{shop}", sync)]


def proof_of(headers: Headers) -> str:
    """What a listener said of itself in the upgrade response, which may be in several headers; "" for nothing."""
    return "".join("".join(headers.get_all(LISTENER)).split(", "))  # a proxy may have made one of them


def _pieces(proof: bytes) -> list[bytes]:
    return [proof[at : at + HEADER_CHARS] for at in range(0, len(proof), HEADER_CHARS)]


async def _serve(engine: Engine, socket: WebSocket, replica: Replica, gate: Gate, strangers: list[Link]) -> None:
    if engine.hub.replica(replica.shop) is None:
        engine.add(replica)
    here = socket.client is not None and is_loopback(socket.client.host.removeprefix(MAPPED) + ":0")
    link = engine.hub.connect(replica.shop, gate, dialling=False, now=engine.now(), here=here)
    strangers.append(link)

    async def receive() -> bytes | str | None:
        try:
            message = await socket.receive()
        except (RuntimeError, WebSocketDisconnect):
            return None
        if message["type"] == "websocket.disconnect":
            link.ended = message.get("reason") or ""
            return None
        found: bytes | str = message.get("bytes") or message.get("text") or b""
        return found

    async def send(message: bytes) -> None:
        try:
            await socket.send_bytes(message)
        except (RuntimeError, WebSocketDisconnect) as error:
            raise ConnectionResetError("the other side is gone") from error

    async def close(code: int, reason: str) -> None:
        with contextlib.suppress(WebSocketDisconnect):  # it is gone already
            await socket.close(code, reason)

    reason = await run_link(engine, link, receive=receive, send=send, close=close)
    about = {"event": "link_ended", "shop": replica.shop, "peer": link.peer.store, "reason": reason}
    log.info("a link ended: %s", reason, extra=about)
