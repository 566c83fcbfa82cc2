"""How a process of a head office goes: told once it drains, told twice it ends at once.

Draining: it is not ready any more, takes no new links, has what is staged committed and acknowledged, asks those that
are linked to go, spread out so that not all dial at once, and ends webhooks that are under way. Then it stops.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from relay.delivering import Deliverer
from relay.relay import Relay

__all__ = ["DRAIN_S", "Told", "drain"]

log = logging.getLogger("posline.relay")

DRAIN_S = 20.0  # that draining may take
LINKS_A_SECOND = 200  # that are asked to go: as many handshakes as another process takes beside its work
SPREAD_PART = 0.4  # of the time, at the most, for that


class Told:
    """What this process was told by signals: `once` to go, `again` to do so at once, `reload` to read files again."""

    def __init__(self, once: asyncio.Event) -> None:
        self.once, self.again, self.reload = once, asyncio.Event(), asyncio.Event()

    def heed(self) -> None:
        """Listen to signals. To be called before anybody is told that the process is ready."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._stop)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self.reload.set)

    def _stop(self) -> None:
        (self.again if self.once.is_set() else self.once).set()


async def drain(relay: Relay, deliverer: Deliverer, told: Told, seconds: float) -> None:
    """Let this process go empty; returns when it is, after `seconds`, or when it was told twice."""
    relay.draining.set()
    count, began_s = relay.links_here(), time.monotonic()
    log.info(
        "draining: %d links are asked to go, within %.0f s; a second signal ends at once", count, seconds,
        extra={"event": "draining", "links": count, "seconds": seconds},
    )  # fmt: skip
    spread_s = min(SPREAD_PART * seconds, count / LINKS_A_SECOND)
    going = asyncio.create_task(_go(relay, deliverer, spread_s))
    jobs = [going, *(asyncio.create_task(event.wait()) for event in (told.again, relay.broken))]
    await asyncio.wait(jobs, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    left = relay.links_here()
    if not going.done():
        log.warning(
            "%s with %d links and perhaps a webhook left: what was not acknowledged is sent again, elsewhere",
            "told twice: it ends" if told.again.is_set() else "time is up: it ends", left,
            extra={"event": "drained", "whole": False, "links": left},
        )  # fmt: skip
    else:
        took_s = time.monotonic() - began_s
        log.info("drained in %.1f s", took_s, extra={"event": "drained", "whole": True, "seconds": round(took_s, 2)})
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def _go(relay: Relay, deliverer: Deliverer, spread_s: float) -> bool:
    await asyncio.gather(relay.engine.leave(spread_s), deliverer.drain())
    return True
