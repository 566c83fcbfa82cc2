"""Whether the other side is still there, found out by our own pings: a router that is up with a dead line behind it
closes nothing. Pure; times in seconds of any steady clock."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAR_RETRY_S", "INTERNET", "LAN", "NEAR_RETRY_S", "PENALTY_S", "STOCK", "Liveness", "Pace", "backoff_s"]


@dataclass(frozen=True, slots=True)
class Pace:
    """After how much silence to ask, and after how much to give up."""

    ask_s: float
    dead_s: float


LAN = Pace(0.6, 2.0)
INTERNET = Pace(3.0, 10.0)
STOCK = Pace(10.0, 60.0)  # a stock client gives up a line that is silent for 30 s, and may be slow to answer itself

FIRST_RETRY_S = 0.2
NEAR_RETRY_S = 5.0  # on the LAN: a till that was switched on is found within seconds
FAR_RETRY_S = 30.0  # over the internet: what is down there is down for longer, and many dial it
STALL_S = 0.5  # between two ticks: then it was this process that stood still, and not the line
PENALTY_S = 300.0  # after a peer closed on us for breaking its rules


class Liveness:
    """One link's silence."""

    def __init__(self, pace: Pace, now: float) -> None:
        self.pace = pace
        self._heard = self._asked = self._looked = now

    def heard(self, now: float) -> None:
        """Anything arrived."""
        self._heard = self._asked = now

    def ask(self, now: float) -> bool:
        """Whether a ping is due; asking once starts the wait for the next."""
        if now - self._asked < self.pace.ask_s:
            return False
        self._asked = now
        return True

    def dead(self, now: float) -> bool:
        """Whether the silence has lasted too long. Time in which nobody looked does not count: what the other side said
        meanwhile waits in the socket."""
        if now - self._looked > STALL_S:
            self._heard += now - self._looked
        self._looked = now
        return now - self._heard >= self.pace.dead_s


def backoff_s(failures: int, chance: float, *, most: float = NEAR_RETRY_S) -> float:
    """How long to wait, `most` seconds at the longest, before dialling again after `failures` in a row; `chance` from 0
    to 1 spreads many tills out."""
    return min(most, FIRST_RETRY_S * 2.0 ** min(failures, 20)) * (0.5 + chance / 2)
