"""One listening address and the application behind it: uvicorn, told when to start and when to stop.

A listener without TLS binds to this machine's own addresses only: what it carries is a shop's sales and its tokens. The
host "" means every address of this machine.
Knows nothing of what the application does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from posline.errors import PoslineError
from posline.sync.discovery import local_addresses
from posline.sync.places import neighbourhood
from posline.till.guard import is_loopback
from posline.trust.certificate import Tls

__all__ = ["AddressRefused", "Listener"]

BACKLOG = 512  # connections that may wait to be accepted
KEEP_ALIVE_S = 75  # idle HTTP connections; longer than a browser's own 60 s, so that it is the one to close
HANDSHAKE_S = 5.0  # for TLS
SHUTDOWN_S = 2.0  # for the other side to close TLS too
REQUEST_S = 10.0  # for the head of a request: from the connection for the first one, from its first byte for others
HEAD_BYTES_MAX = 64 * 1024  # of a request before its body, or behind it; a proof has 4 KiB, a browser's cookies 8
PIPELINED_MAX = 100  # requests on one connection that wait for the answer to one before them
CONNECTIONS_MAX = 12_000  # a head office of 2,000 shops of four tills has 8,000 links, and some ask it things
ADDRESS_CONNECTIONS_MAX = 100  # from one neighbourhood; tills of a large shop may come to a head office from one
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: those with forward secrecy that nobody has broken
STOP_S = 3  # how long requests in flight may take once the process is told to stop


class AddressRefused(PoslineError):
    """The address cannot be listened on."""

    title = "The address cannot be used"


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which gives up on who connects and asks nothing, on one address that connects too often,
    and on a head without end; uvicorn itself waits for ever, and keeps all that comes."""

    is_crowd: Callable[[str], bool] = staticmethod(lambda host: False)  # whether many are behind an address
    _deadline: asyncio.TimerHandle | None = None
    _bare = 0  # bytes that came since the last head or piece of a body was whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX or self._too_many_from_here():
            transport.abort()
        else:
            self._await_head()

    def _too_many_from_here(self) -> bool:
        if self.client is None or is_loopback(self.client[0]) or self.is_crowd(self.client[0]):
            return False
        mine = neighbourhood(self.client[0])
        clients = [getattr(other, "client", None) for other in self.connections]
        same = sum(client is not None and neighbourhood(client[0]) == mine for client in clients)
        return same > ADDRESS_CONNECTIONS_MAX

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bare += len(data)
        super().data_received(data)
        if self._bare > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_done()
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED_MAX:
            raise ValueError("too many requests at once")  # what the parser raises of it is answered 400

    def on_body(self, body: bytes) -> None:
        self._bare = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._bare = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _head_done(self) -> None:
        self._bare = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the command that runs us decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with a deadline for TLS, for which it gives 60 s."""
        config, loop, protocol = self.config, asyncio.get_running_loop(), cast(type[_Protocol], self.config.http)
        self.servers = [
            await loop.create_server(
                lambda: protocol(config, self.server_state, self.lifespan.state),
                sock=each, ssl=config.ssl, backlog=config.backlog,
                ssl_handshake_timeout=HANDSHAKE_S if config.ssl else None,
                ssl_shutdown_timeout=SHUTDOWN_S if config.ssl else None,
            )
            for each in sockets or ()
        ]  # fmt: skip
        self.started = True


class Listener:
    """Serves `app` from `start()` to `stop()`. `host` and `port` are what is really bound, also for port 0."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        websocket: Any = "none",
        message_bytes_max: int = 1 << 20,
        tls: Tls | None = None,
        tls_1_2: bool = False,
        is_crowd: Callable[[str], bool] | None = None,
    ) -> None:
        """`websocket` is uvicorn's name of a websocket protocol, or a class of one; 'none' refuses upgrades. `tls_1_2`:
        also programs that know no newer TLS. `is_crowd` says of an address that many are behind it, as behind a
        proxy."""
        if tls is None and not is_loopback(host):
            raise AddressRefused(
                f"without TLS only this machine may connect: listen on 127.0.0.1 and not {host or 'everywhere'}, or "
                "give a certificate"
            )
        self.host, self.port, self._tls = host, port, tls
        self._app, self._websocket, self._message_bytes_max = app, websocket, message_bytes_max
        self._tls_1_2, self._is_crowd = tls_1_2, is_crowd
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def reached(self) -> str:
        """`host:port` that others can dial: this machine's best address where it listens everywhere."""
        if self.host not in ("", "0.0.0.0", "::"):
            return self.address
        host = local_addresses()[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    @property
    def sync_url(self) -> str:
        """Where a replica dials it."""
        return f"{'wss' if self._tls else 'ws'}://{self.address}"

    async def start(self) -> None:
        """Bind and serve; returns once connections are accepted. Raises AddressRefused."""
        bound = None
        try:
            bound = self._bind()
            bound.setblocking(False)

            class Protocol(_Protocol):
                is_crowd = staticmethod(self._is_crowd or _Protocol.is_crowd)

            config = uvicorn.Config(
                self._app, http=Protocol, ws=self._websocket, ws_max_size=self._message_bytes_max,
                ws_ping_interval=None, lifespan="off", log_config=None, access_log=False, server_header=False,
                backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=STOP_S, proxy_headers=False,
                ssl_certfile=self._tls.certificate if self._tls else None,
                ssl_keyfile=self._tls.key if self._tls else None,
            )  # fmt: skip
            config.load()
            if config.ssl is not None:
                config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2 if self._tls_1_2 else ssl.TLSVersion.TLSv1_3
                config.ssl.set_ciphers(CIPHERS)
                config.ssl.num_tickets = 0  # links last for hours: nobody resumes one
        except OSError as error:
            if bound is not None:
                bound.close()
            raise AddressRefused(
                f"cannot listen on {self.address} ({error.strerror or error}): is another Posline running? Stop it, or "
                "name another port"
            ) from error
        self.port = bound.getsockname()[1]
        self._context = config.ssl
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]), name=f"listen {self.address}")
        while not self._server.started:
            if self._serving.done():
                await self._serving  # raises what went wrong
            await asyncio.sleep(0.001)

    def _bind(self) -> socket.socket:
        if self.host:
            family = socket.AF_INET6 if _is_v6(self.host) else socket.AF_INET
            return socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # a machine may have IPv6 switched off
                return socket.create_server(
                    ("", self.port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
                )
        return socket.create_server(("", self.port), backlog=BACKLOG)

    def renew(self, tls: Tls) -> None:
        """Show another certificate from the next connection on."""
        if self._context is not None:
            self._context.load_cert_chain(tls.certificate, tls.key)

    def refuse(self) -> None:
        """Accept no more connections; those that are open go on."""
        if self._server is not None:
            for each in self._server.servers:
                each.close()

    async def stop(self) -> None:
        """Stop accepting, let what is in flight finish, close."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = None


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
