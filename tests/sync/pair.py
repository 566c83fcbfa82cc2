"""Several replicas joined by links in memory, on a clock and a network that the test moves. No sockets, no threads."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from posline.replica import Replica
from posline.storage.store import Store
from posline.sync.hub import Hub
from posline.sync.link import Link
from posline.trust.gate import TokenGate
from tests.kit import StillTime, founded, joined, key_of, text_key

TOKEN = "the shop's own token"


@dataclass(eq=False)
class Device:
    """A replica and its hub."""

    name: str
    replica: Replica
    hub: Hub
    time: StillTime

    def commit(self) -> None:
        """Commit and release what is staged, as the engine would."""
        batch = list(self.replica.staged)
        if not batch:
            return
        commit = self.replica.store.commit(batch)
        self.replica.release(batch, commit)
        self.hub.released(batch, commit)


@dataclass(eq=False)
class Line:
    """One connection: what is under way in each direction, in order, as TCP keeps it."""

    ends: tuple[tuple[Device, Link], tuple[Device, Link]]
    under_way: tuple[deque[bytes], deque[bytes]] = field(default_factory=lambda: (deque(), deque()))
    up: bool = True
    carried: int = 0  # messages
    carried_bytes: int = 0
    largest: int = 0


class Net:
    """Devices and lines."""

    def __init__(self) -> None:
        self.now = 0.0
        self.devices: dict[str, Device] = {}
        self.lines: list[Line] = []

    def add(self, name: str, replica: Replica, *, kind: str = "till", time: StillTime | None = None) -> Device:
        """Put a replica on the net, in the place of one of the same name."""
        hub = Hub(random=random.Random(f"{name}{self.now}"), kind=kind)
        hub.add(replica)
        device = self.devices[name] = Device(name, replica, hub, time or StillTime())
        return device

    def link(self, one: str, other: str) -> Line:
        """`one` dials `other`."""
        a, b = self.devices[one], self.devices[other]
        gate = TokenGate(TOKEN)
        dialling = a.hub.connect(a.replica.shop, gate, dialling=True, now=self.now)
        accepting = b.hub.connect(b.replica.shop, gate, dialling=False, now=self.now)
        line = Line(((a, dialling), (b, accepting)))
        self.lines.append(line)
        return line

    def cut(self, line: Line) -> None:
        """The connection breaks; what was under way is gone."""
        line.up = False
        for (device, link), (_, other) in zip(line.ends, reversed(line.ends), strict=True):
            link.ended = other.closing or ""
            device.hub.disconnect(link, self.now)
        self.lines.remove(line)

    def move(self, line: Line, direction: int) -> bool:
        """Carry one message; False when there is none."""
        (_, source), (target, sink) = line.ends[direction], line.ends[1 - direction]
        queue = line.under_way[direction]
        if not queue:
            message = source.take()
            if message is None:
                return False
            queue.append(message)
        message = queue.popleft()
        line.carried += 1
        line.carried_bytes += len(message)
        line.largest = max(line.largest, len(message))
        target.hub.received(sink, message, self.now)
        return True

    def settle(self, *, most: int = 100_000) -> int:
        """Carry and commit until nothing moves; returns how many messages that took."""
        moved = 0
        for _ in range(most):
            busy = 0
            for line in list(self.lines):
                for direction in (0, 1):
                    while line.up and self.move(line, direction):
                        busy += 1
                        assert moved + busy < most, "the net does not settle"
                if line.up and any(link.closing for _, link in line.ends):
                    self.cut(line)
            for device in self.devices.values():
                if device.replica.staged:
                    busy += 1
                    device.commit()
            moved += busy
            if not busy:
                return moved
        raise AssertionError("the net does not settle")

    def wait(self, seconds: float, step: float = 0.1) -> None:
        """Let time go by, and carry what that brings about."""
        for _ in range(round(seconds / step)):
            self.now += step
            for device in list(self.devices.values()):
                device.time.pass_ms(round(step * 1000))
                device.hub.tick(self.now)
                device.replica.tick(self.now)
            self.settle()


def shop(*names: str, relay: bool = True) -> Net:
    """A shop whose tills have met nobody yet; the first founded it, and `relay` is its head office."""
    net = Net()
    time = StillTime()
    first = net.add(names[0], founded(names[0], time), time=time)
    for name in names[1:]:
        time = StillTime()
        net.add(name, joined(first.replica, name, time), time=time)
    if relay:
        key = key_of("relay")
        first.replica.write(
            "member", {"key": text_key(key.public), "label": "HQ", "role": "head office"}, document="shop"
        )
        first.commit()
        time = StillTime()
        replica = Replica(
            Store.open(":memory:"),
            first.replica.shop,
            author=None,
            clock=time.clock(),
            random=random.Random("relay"),
            documents=False,
            store_id=key.id,
            sign=key.sign,
        )
        net.add("relay", replica, kind="head office", time=time)
    return net
