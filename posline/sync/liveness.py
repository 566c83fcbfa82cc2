"""Whether the other side is still there, found out by our own pings: a router that is up with a dead line behind it
closes nothing. Pure; times in seconds of any steady clock."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "FAR_RETRY_S",
    "INTERNET",
    "LAN",
    "NEAR_RETRY_S",
    "PENALTY_S",
    "STALL_S",
    "STOCK",
    "Liveness",
    "Pace",
    "backoff_s",
]


@dataclass(frozen=True, slots=True)
class Pace:
    """After how much silence to ask, and after how much to give up; and after how much to ask while neither side waits
    for anything, where that may take longer."""

    ask_s: float
    dead_s: float
    resting_ask_s: float = 0.0


LAN = Pace(0.6, 2.0)
INTERNET = Pace(3.0, 10.0, 6.0)  # a head office has thousands of links on which nothing happens for minutes
STOCK = Pace(10.0, 60.0)  # a stock client gives up a line that is silent for 30 s, and may be slow to answer itself
LISTENER = 1.25  # times as long before it asks: one question between two is enough

FIRST_RETRY_S = 0.2
NEAR_RETRY_S = 5.0  # on the LAN: a till that was switched on is found within seconds
FAR_RETRY_S = 30.0  # over the internet: what is down there is down for longer, and many dial it
STALL_S = 0.5  # between two looks: then it was this process that stood still, and not the line
PENALTY_S = 300.0  # after a peer closed on us for breaking its rules


class Liveness:
    """One link's silence."""

    def __init__(self, pace: Pace, now: float, *, dialling: bool = True) -> None:
        self.pace = pace
        self._late = 1.0 if dialling else LISTENER
        self._heard = self._asked = self._since = now
        self._waits = True  # whether something was said that the other side is to answer; `_since` when

    def heard(self, now: float) -> None:
        """Anything arrived."""
        self._heard = self._asked = now

    def waits(self, waits: bool, now: float) -> None:
        """Whether an answer is waited for: silence then counts from when that began."""
        if waits and not self._waits:
            self._since = now
        self._waits = waits

    def stood_still(self, seconds: float, now: float) -> None:
        """Nobody looked for so long. That does not count: what the other side said meanwhile waits in the socket."""
        self._heard, self._since = min(now, self._heard + seconds), min(now, self._since + seconds)

    def ask(self, now: float) -> bool:
        """Whether a ping is due; asking once starts the wait for the next."""
        if now < self._asks_at:
            return False
        self._asked = now
        return True

    def dead(self, now: float) -> bool:
        """Whether the silence has lasted too long."""
        return now >= self._dies_at

    @property
    def due(self) -> float:
        """When to look again, if nothing happens until then."""
        return min(self._asks_at, self._dies_at)

    @property
    def _asks_at(self) -> float:
        rests = not self._waits and self.pace.resting_ask_s > 0
        return self._asked + self._late * (self.pace.resting_ask_s if rests else self.pace.ask_s)

    @property
    def _dies_at(self) -> float:
        return max(self._heard, self._since) + self.pace.dead_s


def backoff_s(failures: int, chance: float, *, most: float = NEAR_RETRY_S) -> float:
    """How long to wait, `most` seconds at the longest, before dialling again after `failures` in a row; `chance` from 0
    to 1 spreads many tills out."""
    return min(most, FIRST_RETRY_S * 2.0 ** min(failures, 20)) * (0.5 + chance / 2)
