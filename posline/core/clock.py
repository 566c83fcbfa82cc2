"""Which time to put on an entry, and how far to believe it.

Time orders nothing that matters; what hangs on it is which business day a sale is filed under. So a clock never stops a
sale: it says what time it thinks it is and marks how it knows.

- *confirmed*: the kernel says it is synchronised; or else a person said so, or a peer whose own time is confirmed. The
  kernel's time raises the floor, below which nothing is ever believed. A word does not: one peer that lies, or one slip
  of a finger, would have the whole shop's sales filed in its year for good. It is only what an unconfirmed time may not
  lie below, until the kernel or another word says otherwise.
- *unconfirmed*: the wall clock, where it lies between that and 400 days past it (the process that founds a shop
  takes any time past the floor, since the battery may hold while this version is old).
- *suspect*: the time of the last own entry, plus what the monotonic clock has counted since the start.

Pure: wall, monotonic and synchronised time are handed in, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

__all__ = ["Clock", "Reading", "Trust", "business_day", "iso", "parse_iso"]

Trust = Literal["confirmed", "unconfirmed", "suspect"]

DAY_MS = 86_400_000
BELIEVED_PAST_FLOOR_MS = 400 * DAY_MS  # a shop that never meets a network keeps its day for a year and a month
UNUSUAL_MS = 36 * 3_600_000  # further than a weekend day from the last entry: right or wrong, a person should look
PULL_MS = 60_000  # how far a peer's time may pull ours forward
LATEST_MS = 4_133_980_799_000  # 2100-12-31: entries beyond it have no journal


@dataclass(frozen=True, slots=True)
class Reading:
    """A time in milliseconds since 1970 UTC, how it is known, and what a person should be told about it."""

    at_ms: int
    trust: Trust
    warning: str | None = None


class Clock:
    """One device's sense of time since this process started."""

    def __init__(
        self,
        *,
        wall_ms: Callable[[], int],
        monotonic_ms: Callable[[], int],
        synchronised: Callable[[], bool],
        floor_ms: int,
        last_own_ms: int | None,
        said_ms: int = 0,
    ) -> None:
        """`last_own_ms` is the time of the last own entry, None for a device that has written none; `said_ms` what an
        earlier process was last told of the time, 0 for nothing."""
        self._wall, self._monotonic, self._synchronised = wall_ms, monotonic_ms, synchronised
        self.floor_ms, self.said_ms = floor_ms, said_ms
        self._founded = last_own_ms is not None
        self._last_ms = last_own_ms  # of the last own entry of a believed clock
        self._confirmed_ms = 0  # of an own entry with a confirmed time
        self._base_ms, self._base_mono_ms = (
            max(last_own_ms or 0, floor_ms),
            monotonic_ms(),
        )  # what suspect time runs from
        self._offset_ms: int | None = None  # confirmed time less monotonic time, as a peer or a person gave it
        self._heard_ms = 0

    @property
    def confirmed(self) -> bool:
        """Whether the time is known."""
        return self._known() is not None

    @property
    def sure(self) -> bool:
        """Whether it is known by more than somebody's word."""
        return self._by_kernel() is not None

    def now(self) -> Reading:
        """The time for an entry written now: hybrid logical, so never behind the last own entry of a believed clock
        (nor, by at most a minute, behind what peers said)."""
        kernel = self._by_kernel()
        known = self._told() if kernel is None else kernel
        if known is not None:
            self.floor_ms, self._founded = max(self.floor_ms, kernel or 0), True
            self.said_ms = known if kernel is None else 0
            # far ahead of what is known now, it was a word that was wrong
            own = self._confirmed_ms if self._confirmed_ms - known <= UNUSUAL_MS else 0
            return Reading(max(self._pulled(known), own), "confirmed", self._against(known))
        wall = self._wall()
        if not self._believable(wall, max(self.floor_ms, self.said_ms)):
            elapsed = self._monotonic() - self._base_mono_ms
            return Reading(
                min(self._base_ms + elapsed, LATEST_MS),
                "suspect",
                "this till's clock is wrong: set the date; sales go on and are moved to the right day afterwards",
            )
        warning = None
        last = self._last_ms
        if last is not None and abs(wall - last) > UNUSUAL_MS:
            warning = "this till's clock is far from its last sale: check the date"
            last = None  # one of the two was wildly wrong; staying with the later one could trap the till in 2035
        at = max(self._pulled(wall), last or 0, self._confirmed_ms)
        return Reading(at, "unconfirmed", warning)

    def written(self, at_ms: int, trust: Trust) -> None:
        """An own entry was written with this time."""
        self._base_ms, self._base_mono_ms = max(at_ms, self.floor_ms), self._monotonic()
        if trust != "suspect":
            self._last_ms = at_ms
        if trust == "confirmed":
            self._confirmed_ms = max(self._confirmed_ms, at_ms)

    def heard(self, peer_at_ms: int, peer_confirmed: bool) -> bool:
        """A peer says what time it is; True if that confirmed ours just now. Never raises, whatever it says."""
        if not 0 <= peer_at_ms <= LATEST_MS:
            return False
        if peer_confirmed and self._known() is None and peer_at_ms >= self.floor_ms:
            self._offset_ms = peer_at_ms - self._monotonic()
            return True
        self._heard_ms = max(self._heard_ms, peer_at_ms)
        return False

    def set_by_person(self, at_ms: int) -> None:
        """A manager says what time it is."""
        self._offset_ms = at_ms - self._monotonic()
        self._confirmed_ms = min(self._confirmed_ms, at_ms)

    def _known(self) -> int | None:
        """The confirmed time, or None."""
        kernel = self._by_kernel()
        return self._told() if kernel is None else kernel

    def _told(self) -> int | None:
        return None if self._offset_ms is None else self._monotonic() + self._offset_ms

    def _against(self, known: int) -> str | None:
        """What a person should be told where a word goes against a clock of our own that may be right."""
        wall = self._wall()
        if abs(wall - known) <= UNUSUAL_MS or not self._believable(wall, self.floor_ms):
            return None
        return "this till's clock is far from what was said to be the time: check the date, set what is wrong"

    def _by_kernel(self) -> int | None:
        if not self._synchronised():
            return None
        wall = self._wall()
        return wall if self.floor_ms <= wall <= LATEST_MS else None

    def _believable(self, wall: int, floor: int) -> bool:
        latest = min(floor + BELIEVED_PAST_FLOOR_MS, LATEST_MS) if self._founded else LATEST_MS
        return floor <= wall <= latest

    def _pulled(self, at_ms: int) -> int:
        return max(at_ms, min(self._heard_ms, at_ms + PULL_MS))


def iso(at_ms: int, zone: ZoneInfo) -> str:
    """ISO 8601 with milliseconds and the zone's offset."""
    seconds, millis = divmod(at_ms, 1000)
    moment = datetime.fromtimestamp(seconds, zone) + timedelta(milliseconds=millis)
    return moment.isoformat(timespec="milliseconds")


def parse_iso(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time with offset. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def business_day(at_ms: int, zone: ZoneInfo, day_start_min: int) -> str:
    """The date in the shop's zone, counted from its day start (minutes after midnight), as YYYY-MM-DD."""
    local = datetime.fromtimestamp(at_ms / 1000, zone).replace(tzinfo=None)
    return (local - timedelta(minutes=day_start_min)).date().isoformat()
