"""Dialling: the shell of a link that this device began, redialled with jittered back-off while it is wanted."""

from __future__ import annotations

import asyncio
import logging
import random as randomness
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from posline.sync.frames import MAX_MESSAGE_BYTES
from posline.sync.liveness import backoff_s
from posline.sync.shell import run_link
from posline.trust.gate import Gate

if TYPE_CHECKING:
    from posline.sync.engine import Engine

__all__ = ["Dialler"]

log = logging.getLogger("posline.sync")

OPEN_S = 5.0  # to connect and upgrade
CLOSE_S = 1.0
LINKED_S = 1.0  # how often to look whether a device that is linked the other way round still is


class Dialler:
    """Keeps one link to one address. `store` is the device that answered there, "" until one did."""

    def __init__(self, engine: Engine, shop: str, url: str, gate: Gate) -> None:
        self.shop, self.url, self.store = shop, url, ""
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
            refused, reason = False, ""
            try:
                greeted, refused, reason = await self._link()
                failures = 0 if greeted and not refused else failures + 1
            except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ConnectionClosed, EOFError) as error:
                failures += 1
                reason = str(error) or type(error).__name__
            except Exception:
                failures += 1
                log.exception("a link to %s failed", self.url)
            level = logging.WARNING if refused else logging.INFO
            log.log(level, "no link to %s (%s): trying again", self.url, reason)
            await asyncio.sleep(backoff_s(failures, randomness.random(), refused=refused))

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
            link = self._engine.hub.connect(self.shop, self._gate, dialling=True, now=self._engine.now())

            async def receive() -> bytes | str | None:
                try:
                    message = await connection.recv()
                except ConnectionClosed:
                    return None
                if link.greeted:
                    self.store = link.peer.store
                return message

            async def send(message: bytes) -> None:
                await connection.send(message)

            async def close(reason: str) -> None:
                await connection.close(1000, reason.encode()[:120].decode(errors="ignore"))

            reason = await run_link(self._engine, link, receive=receive, send=send, close=close)
            self.store = link.peer.store or self.store
            return link.greeted, link.refused, connection.close_reason or reason
