"""The lines between machines, and who watches what goes over them.

A line is two ordered streams. Each message takes the line's delay; one direction may stand still while the other goes
on. When a line breaks, what is under way is lost, or its last message arrives in part.

The watch looks at each message as it leaves a machine: nothing may be said that is not on that machine's disk.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posline.core.members import read_shop
from posline.core.segment import elements
from posline.errors import Refused
from posline.sync.frames import Stateless, SyncStatus, Update, decode
from posline.sync.link import Link
from posline.sync.messages import Announce, Have, read
from posline.trust.gate import Grant, Scope

if TYPE_CHECKING:
    from tests.simulation.world import Machine

__all__ = ["QUEUE_MAX", "Door", "Line", "Watch", "harmless", "objection"]

QUEUE_MAX = 20  # messages that a line holds under way: a socket's buffers


@dataclass(eq=False)
class Line:
    """One connection, dialled by the first machine. What is under way is (when it arrives, message)."""

    machines: tuple[Machine, Machine]
    links: tuple[Link, Link]
    delay_s: float = 0.0
    under_way: tuple[deque[tuple[float, bytes]], deque[tuple[float, bytes]]] = field(
        default_factory=lambda: (deque(), deque())
    )
    ready: list[bool] = field(default_factory=lambda: [True, True])  # whether a link has something for its socket
    stalled: list[bool] = field(default_factory=lambda: [False, False])
    spoilt: bool = False  # somebody put something on it that its ends never said
    asked: tuple[deque[list[bytes]], deque[list[bytes]]] = field(default_factory=lambda: (deque(), deque()))


def objection(machine: Machine, other: Machine) -> str | None:
    """Why `machine` would not link with `other`; who is not known may introduce itself with the acts that it holds."""
    shop = machine.running.shop
    authority, who = machine.disk.authority(shop), other.key.id
    if who in authority.removals:
        return "it was removed"
    if who in authority.members:
        return None
    acts = {act.hash: act for act in [*machine.disk.acts(shop), *other.disk.acts(shop)]}
    if not authority.everyone or who in read_shop(acts.values(), shop).members:
        return None
    return "it is no member"


class Door:
    """The gate of one connection: in comes who is a member, proven (keys and proofs have tests of their own)."""

    def __init__(self, machine: Machine, other: Machine) -> None:
        self._machine, self._other = machine, other
        self.peer: str | None = other.key.id

    def admit(self, document: str, token: str) -> Grant | str:
        """See posline.trust.gate.Gate."""
        return objection(self._machine, self._other) or Grant(Scope.REPLICA)

    def token(self) -> str:
        """See Gate."""
        return "proof"

    def objection(self) -> str | None:
        """See Gate: only a removal ends a link that is up."""
        removed = self._other.key.id in self._machine.disk.authority(self._machine.running.shop).removals
        return "it was removed" if removed else None


def harmless(message: bytes) -> bool:
    """Whether a garbled message cannot pass for another honest one: TCP and TLS would not let it, and what a letter
    changes inside an entry is that entry's signature's business, not a line's."""
    try:
        return not isinstance(decode(message), Update)
    except Refused:
        return True


class Watch:
    """Looks at what leaves machines."""

    def __init__(self) -> None:
        self.reused = False  # clocks of one client were used twice: by a copy of a running machine, or by a thief
        self.largest = 0
        self.messages = 0

    def left(self, line: Line, direction: int, message: bytes) -> None:
        """A machine gave a message to its socket."""
        self.messages += 1
        self.largest = max(self.largest, len(message))
        if len(message) < 2:
            return
        frame = decode(message)
        machine = line.machines[direction]
        if isinstance(frame, Update):
            hashes = [hashlib.sha256(raw).digest() for raw in elements(frame.update)]
            line.asked[direction].append(hashes)
            self._holds(machine, hashes, f"sends in {frame.document}")
        elif isinstance(frame, SyncStatus) and not line.spoilt:
            asked = line.asked[1 - direction]
            assert asked, f"{machine.name} answers what nobody asked"
            hashes = asked.popleft()
            if frame.applied and not self.reused:
                self._holds(machine, hashes, f"says that it holds of {frame.document}")
        elif isinstance(frame, Stateless):
            said = read(frame.payload)
            if isinstance(said, Announce):
                self._announced(machine, said)
            elif isinstance(said, Have) and said.store == machine.key.id:
                for mark in said.marks:
                    self._holds(machine, [mark.hash], "says that it has")

    @staticmethod
    def _holds(machine: Machine, hashes: list[bytes], doing: str) -> None:
        read = machine.disk.read
        for hash in hashes:
            row = read.execute("SELECT 1 FROM entry WHERE shop = 1 AND hash = ?", (hash,)).fetchone()
            assert row is not None, f"{machine.name} {doing} what is not on its disk: {hash.hex()[:16]}"

    @staticmethod
    def _announced(machine: Machine, said: Announce) -> None:
        """What is announced stands on the disk, all of one commit; others may have followed since it was said."""
        store, shop = machine.disk, machine.running.shop
        place = 1, store.document_key(shop, said.document)
        state = dict(store.read.execute("SELECT client, clock FROM clock WHERE shop = ? AND document = ?", place))
        ahead = {client for client, clock in said.state.items() if clock > state.get(client, 0)}
        assert not ahead, f"{machine.name} announces more of {said.document} than is on its disk"
        row = store.read.execute("SELECT count, sum FROM document WHERE shop = ? AND key = ?", place).fetchone()
        held = (0, "0" * 64) if row is None else (row[0], bytes(row[1]).hex())
        if state == said.state:
            assert held == (said.count, said.digest), f"{machine.name} announces another digest than its disk has"
