"""What both ends of a socket do with a link: read into it, write out of it, close when it says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from posline.errors import Unavailable
from posline.sync.link import Link

if TYPE_CHECKING:
    from posline.sync.engine import Engine

__all__ = ["DONE", "REFUSED", "close_reason", "run_link"]

log = logging.getLogger("posline.sync")

# Websocket close codes: our own lie above 4000.
DONE = 1000
REFUSED = 4403  # the other side broke the rules or may not link: it should take its time before it comes again

LAST_WORDS_S = 1.0  # for what the link had still to say once it is over, such as why
CLOSE_S = 2.0  # for the other side to agree that the connection ends


def close_reason(reason: str) -> str:
    """What fits into a websocket close frame, which has room for 123 bytes."""
    return reason.encode()[:120].decode(errors="ignore")


async def run_link(
    engine: Engine,
    link: Link,
    *,
    receive: Callable[[], Awaitable[bytes | str | None]],
    send: Callable[[bytes], Awaitable[None]],
    close: Callable[[int, str], Awaitable[None]],
) -> str:
    """Run a link until either side ends it; returns why. `receive` gives None at the end of the connection.

    `send` waits while the socket is full, and meanwhile nothing more is taken from the link. A link that is over ends
    also where the socket takes nothing and gives nothing.
    """
    output, over = asyncio.Event(), asyncio.Event()

    def on_output() -> None:
        output.set()
        if link.closing is not None:
            over.set()

    link.on_output = on_output
    on_output()
    reading = asyncio.create_task(_read(engine, link, receive))
    writing = asyncio.create_task(_write(link, output, send))
    ending = asyncio.create_task(over.wait())
    try:
        await asyncio.wait({reading, writing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if link.closing is not None and not writing.done():
            await asyncio.wait({writing}, timeout=LAST_WORDS_S)
    finally:
        tasks = (reading, writing, ending)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Unavailable):
                log.warning("a link ends: %s", result)
            elif isinstance(result, Exception) and not isinstance(result, OSError) and not engine.suspect(result):
                log.error("a link failed", exc_info=result)
        engine.hub.disconnect(link, engine.now())
        engine.left.set()
    reason = link.closing or "the connection ended"
    try:
        await asyncio.wait_for(close(REFUSED if link.refused else DONE, close_reason(reason)), CLOSE_S)
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
