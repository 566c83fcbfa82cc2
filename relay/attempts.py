"""How often somebody may try to sign in: counted by name and by address in the books, so that all processes share it.

After some free tries each further one makes the next wait, twice as long each time. Somebody who tries an owner's name
from many places makes that name wait a minute at most, and not at all in a browser in which that person has signed in
before: such a browser is counted by itself.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from relay.database import Transaction, transact
from relay.office import Office

__all__ = ["Attempts", "Counted", "by_address", "by_device", "by_name"]

WAIT_MS = 1000  # after the last free try, and then twice as long each time
FORGET_MS = 3_600_000  # without a try, the count begins anew
KEPT_MS = 86_400_000  # rows that nobody needs any more


@dataclass(frozen=True, slots=True)
class Counted:
    """What tries are counted by: how many are free, and how long the longest wait is."""

    kind: str
    who: str
    free: int
    wait_max_ms: int


def by_name(folded: str) -> Counted:
    """Whose name was typed; only its hash is kept, since people type passwords there too."""
    return Counted("name", hashlib.sha256(folded.encode()).hexdigest(), 5, 60_000)


def by_device(hash: str) -> Counted:
    """A browser in which this person has signed in before."""
    return Counted("device", hash, 10, 60_000)


def by_address(address: str) -> Counted:
    """Where it comes from: an address, or of the longer kind the network, whose addresses one machine has many of. A
    shop's people may share one."""
    try:
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address):
            address = str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    except ValueError:
        pass
    return Counted("address", address, 20, 900_000)


class Attempts:
    """The counts of one head office."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def begin(self, *counted: Counted) -> int:
        """A try is about to be looked at: 0, and it counts as failed until `succeeded`; or how many milliseconds it has
        to wait first, and it does not count. Counted before it is looked at: many tries at once are not one."""
        now = self._office.now_ms()

        def work(tx: Transaction) -> int:
            rows = [
                tx.execute(
                    "SELECT failed, last_ms, free_ms FROM office_attempt WHERE kind = ? AND who = ?",
                    (each.kind, each.who),
                ).fetchone()
                or (0, 0, 0)
                for each in counted
            ]
            waits = max(free_ms - now for _, _, free_ms in rows)
            if waits > 0:
                return int(min(waits, max(each.wait_max_ms for each in counted)))  # a clock may have been set back
            for each, (failed, last_ms, _) in zip(counted, rows, strict=True):
                failed = 1 if abs(now - last_ms) > FORGET_MS else failed + 1
                beyond = failed - each.free
                wait_ms = 0 if beyond < 0 else min(WAIT_MS << min(beyond, 20), each.wait_max_ms)
                tx.execute(
                    "INSERT INTO office_attempt (kind, who, failed, last_ms, free_ms) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (kind, who) DO UPDATE SET failed = excluded.failed, last_ms = excluded.last_ms,"
                    " free_ms = excluded.free_ms",
                    (each.kind, each.who, failed, now, now + wait_ms),
                )
            return 0

        return transact(self._office.database, work)

    def succeeded(self, *counted: Counted) -> None:
        """The try that began was right. Of an address only this one is forgiven: else whoever has a name of their own
        could guess others' between signing in."""
        now = self._office.now_ms()

        def work(tx: Transaction) -> None:
            for each in counted:
                if each.kind == "address":
                    tx.execute(
                        "UPDATE office_attempt SET failed = failed - 1, free_ms = 0"
                        " WHERE kind = ? AND who = ? AND failed > 0",
                        (each.kind, each.who),
                    )
                else:
                    tx.execute("DELETE FROM office_attempt WHERE kind = ? AND who = ?", (each.kind, each.who))
            tx.execute("DELETE FROM office_attempt WHERE last_ms < ?", (now - KEPT_MS,))

        transact(self._office.database, work)
