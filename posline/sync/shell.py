"""What both ends of a socket do with a link: read into it, write out of it, close when it says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from posline.sync.link import Link

if TYPE_CHECKING:
    from posline.sync.engine import Engine

__all__ = ["run_link"]

log = logging.getLogger("posline.sync")


async def run_link(
    engine: Engine,
    link: Link,
    *,
    receive: Callable[[], Awaitable[bytes | str | None]],
    send: Callable[[bytes], Awaitable[None]],
    close: Callable[[str], Awaitable[None]],
) -> str:
    """Run a link until either side ends it; returns why. `receive` gives None at the end of the connection.

    `send` waits while the socket is full, and meanwhile nothing more is taken from the link.
    """
    output = asyncio.Event()
    output.set()
    link.on_output = output.set
    tasks = {
        asyncio.create_task(_read(engine, link, receive)),
        asyncio.create_task(_write(link, output, send)),
    }
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engine.hub.disconnect(link, engine.now())
    reason = link.closing or "the connection ended"
    try:
        await asyncio.wait_for(close(reason), 2.0)
    except (OSError, RuntimeError, TimeoutError) as error:
        log.debug("closing: %s", error)
    return reason


async def _read(engine: Engine, link: Link, receive: Callable[[], Awaitable[bytes | str | None]]) -> None:
    while link.closing is None:
        while link.crowded and link.closing is None:
            await engine.wait_for_room()
        message = await receive()
        if message is None:
            return
        engine.hub.received(link, message, engine.now())


async def _write(link: Link, output: asyncio.Event, send: Callable[[bytes], Awaitable[None]]) -> None:
    while True:
        await output.wait()
        output.clear()
        while (message := link.take()) is not None:
            await send(message)
        if link.closing is not None:
            return
