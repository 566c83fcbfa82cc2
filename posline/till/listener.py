"""One listening address and the application behind it: uvicorn, told when to start and when to stop.

A listener without TLS binds to this machine's own addresses only: what it carries is a shop's sales and its tokens.
Knows nothing of what the application does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from posline.errors import PoslineError
from posline.till.guard import is_loopback

__all__ = ["AddressRefused", "Listener", "Tls"]

BACKLOG = 512  # connections that may wait to be accepted
KEEP_ALIVE_S = 75  # idle HTTP connections; longer than a browser's own 60 s, so that it is the one to close
STOP_S = 3  # how long requests in flight may take once the process is told to stop


class AddressRefused(PoslineError):
    """The address cannot be listened on."""

    title = "The address cannot be used"


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its key, as PEM files."""

    certificate: Path
    key: Path


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the command that runs us decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
    ) -> None:
        """`websocket` is uvicorn's name of a websocket protocol, or a class of one; 'none' refuses upgrades."""
        if tls is None and not is_loopback(host):
            raise AddressRefused(
                f"without TLS only this machine may connect: listen on 127.0.0.1 and not {host}, or give a certificate"
            )
        self.host, self.port, self._tls = host, port, tls
        self._app, self._websocket, self._message_bytes_max = app, websocket, message_bytes_max
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

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
        family = socket.AF_INET6 if _is_v6(self.host) else socket.AF_INET
        bound = None
        try:
            bound = socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
            bound.setblocking(False)
            config = uvicorn.Config(
                self._app, http="httptools", ws=self._websocket, ws_max_size=self._message_bytes_max,
                ws_ping_interval=None, lifespan="off", log_config=None, access_log=False, server_header=False,
                backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=STOP_S, proxy_headers=False,
                ssl_certfile=self._tls.certificate if self._tls else None,
                ssl_keyfile=self._tls.key if self._tls else None,
            )  # fmt: skip
            config.load()
        except OSError as error:
            if bound is not None:
                bound.close()
            raise AddressRefused(
                f"cannot listen on {self.address} ({error.strerror or error}): is another Posline running? Stop it, or "
                "name another port"
            ) from error
        self.port = bound.getsockname()[1]
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]), name=f"listen {self.address}")
        while not self._server.started:
            if self._serving.done():
                await self._serving  # raises what went wrong
            await asyncio.sleep(0.001)

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
