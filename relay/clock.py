"""The head office's sense of time, by which it writes entries of its own and of the devices that it hosts."""

from __future__ import annotations

from posline.core.build import BUILD_MS
from posline.core.clock import Clock
from posline.till.opening import Clockwork

__all__ = ["office_clock"]


def office_clock(work: Clockwork) -> Clock:
    """This machine's clock, believed as far as its kernel says that it is synchronised."""
    return Clock(
        wall_ms=work.wall_ms, monotonic_ms=work.monotonic_ms, synchronised=work.synchronised, floor_ms=BUILD_MS,
        last_own_ms=None,
    )  # fmt: skip
