"""Dialling: the shell of a link that this device began, redialled with jittered back-off while it is wanted."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random as randomness
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from posline.sync.frames import MAX_MESSAGE_BYTES
from posline.sync.liveness import FAR_RETRY_S, INTERNET, LAN, NEAR_RETRY_S, PENALTY_S, backoff_s
from posline.sync.shell import REFUSED, run_link
from posline.trust.gate import Gate

if TYPE_CHECKING:
    from posline.sync.engine import Engine

__all__ = ["Dialler", "is_near"]

log = logging.getLogger("posline.sync")

OPEN_S = 5.0  # to connect and upgrade
CLOSE_S = 1.0
STEADY_S = 2.0  # a link that lasted so long was a good one, and is dialled again at once
LINKED_S = 1.0  # how often to look whether a device that is linked the other way round still is


def is_near(url: str) -> bool:
    """Whether the address is one of a local network, where silence and waiting are shorter."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".home.arpa"))


class Dialler:
    """Keeps one link to one address. `store` is the device that answered there, "" until one did."""

    def __init__(self, engine: Engine, shop: str, url: str, gate: Gate) -> None:
        self.shop, self.url, self.store = shop, url, ""
        self.near = is_near(url)
        self._engine, self._gate = engine, gate
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to dial."""
        self._task = asyncio.create_task(self._run(), name=f"dial {self.url}")

    def stop(self) -> None:
        """Dial no more."""
        if self._task is not None:
            self._task.cancel()

    async def stopped(self) -> None:
        """Return once nothing runs any more."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            if self.store and self._engine.hub.linked(self.shop, self.store):
                await asyncio.sleep(LINKED_S)
                continue
            refused, reason, began_s = False, "", self._engine.now()
            try:
                greeted, refused, reason = await self._link()
                steady = greeted and not refused and self._engine.now() - began_s >= STEADY_S
                failures = 0 if steady else failures + 1
            except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ConnectionClosed, EOFError) as error:
                failures += 1
                reason = str(error) or type(error).__name__
            except Exception:
                failures += 1
                log.exception("a link to %s failed", self.url)
            level = logging.WARNING if refused else logging.INFO
            log.log(level, "no link to %s (%s): trying again", self.url, reason)
            most = PENALTY_S if refused else NEAR_RETRY_S if self.near else FAR_RETRY_S
            await asyncio.sleep(backoff_s(failures, randomness.random(), most=most))

    async def _link(self) -> tuple[bool, bool, str]:
        """One connection, to its end: (whether the peer said who it is, whether it would not have us, why it ended)."""
        deflate = ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
        connection: ClientConnection
        async with connect(
            self.url,
            extensions=[deflate],
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,  # liveness is the link's own
            proxy=None,
        ) as connection:
            link = self._engine.hub.connect(
                self.shop, self._gate, dialling=True, now=self._engine.now(), pace=LAN if self.near else INTERNET
            )

            async def receive() -> bytes | str | None:
                try:
                    message = await connection.recv()
                except ConnectionClosed:
                    return None
                if link.greeted:
                    self.store = link.peer.store
                return message

            async def send(message: bytes) -> None:
                try:
                    await connection.send(message)
                except ConnectionClosed as error:
                    raise ConnectionResetError("the other side is gone") from error

            async def close(code: int, reason: str) -> None:
                await connection.close(code, reason)

            reason = await run_link(self._engine, link, receive=receive, send=send, close=close)
            self.store = link.peer.store or self.store
            refused = link.refused or connection.close_code == REFUSED
            return link.greeted, refused, connection.close_reason or reason
