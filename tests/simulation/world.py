"""A whole shop in one thread: tills and a head office with real replicas, stores on disk, hubs and links, under a
clock, a network and disks that a seed moves. Whatever a schedule does can be replayed by its seed.

What can happen: sales, lines that come up and break with everything that is under way on them, delivery in any order
between lines, commits that fail, processes that die before, at or after a commit, wrong clocks, days that pass, logs
that are squashed, disks that are copied while they run, and disks put back to an older copy.
"""

from __future__ import annotations

import random
import shutil
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posline.replica import Replica
from posline.storage.records import Staged
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.hub import Hub
from posline.sync.link import Link
from posline.trust.gate import TokenGate
from posline.trust.keys import Key
from tests.kit import StillTime, founded, key_of, text_key

TOKEN = "the shop's own token"
MESSAGE_BYTES_MAX = 66 * 1024  # an update of 64 KiB and its frame
QUEUE_MAX = 20  # messages that a line holds under way: a socket's buffers
STEP_S = 0.4  # less than the silence after which a link is given up
QUIET_S = 200.0  # longer than anything waits: seals, announcements, comparisons


@dataclass(eq=False)
class Machine:
    """A till or a head office: a disk that stays, and a process on it that comes and goes."""

    name: str
    key: Key
    path: Path
    time: StillTime
    writes: bool = True
    lives: int = 0
    store: Store | None = None
    replica: Replica | None = None
    hub: Hub | None = None
    unanswered: dict[int, tuple[Staged, str]] = field(default_factory=dict)  # staged -> sale, until the receipt

    @property
    def up(self) -> bool:
        return self.replica is not None

    @property
    def running(self) -> Replica:
        assert self.replica is not None
        return self.replica

    @property
    def switchboard(self) -> Hub:
        assert self.hub is not None
        return self.hub

    @property
    def disk(self) -> Store:
        assert self.store is not None
        return self.store


@dataclass(eq=False)
class Line:
    """One connection. Each direction is an ordered stream; what is under way is lost when it breaks."""

    machines: tuple[Machine, Machine]
    links: tuple[Link, Link]
    under_way: tuple[deque[bytes], deque[bytes]] = field(default_factory=lambda: (deque(), deque()))


class World:
    """The shop. Every choice comes from `random`."""

    def __init__(self, folder: Path, seed: int, *, tills: int, relay: bool) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.now = 0.0
        self.machines: list[Machine] = []
        self.lines: list[Line] = []
        self.rung: dict[str, int] = {}  # every sale that was tried -> its total
        self.receipts: set[str] = set()  # of those, the ones that a cashier saw confirmed
        self.open: set[str] = set()  # and the ones that were not: they may or may not be there
        self.copies: list[tuple[Machine, Path]] = []
        self.twins = False  # two processes run as one till
        self.rewound = False  # a disk was copied or put back: numbers may repeat or be missing, and are named
        self.largest = 0
        self.carried = 0
        self._found(tills, relay)

    def _found(self, tills: int, relay: bool) -> None:
        names = [f"till{n}" for n in range(tills)] + (["relay"] if relay else [])
        for name in names:
            key = key_of(f"{name}")
            machine = Machine(name, key, self.folder / f"{name}.db", StillTime(), writes=name != "relay")
            self.machines.append(machine)
        first = self.machines[0]
        store = Store.open(first.path)
        founder = founded(first.name, first.time, store)
        self.shop = founder.shop
        for machine in self.machines[1:]:
            role = "manager" if machine.writes else "head office"
            fields = {"key": text_key(machine.key.public), "label": machine.name[-4:].upper(), "role": role}
            founder.write("member", fields, document="shop")
        batch = list(founder.staged)
        store.commit(batch)
        store.close()
        for machine in self.machines:
            self.boot(machine)

    # -- processes -----------------------------------------------------------------------------------------------------

    def boot(self, machine: Machine) -> None:
        """Start a process on a machine's disk."""
        machine.lives += 1
        seed = f"{machine.path.name}{machine.lives}{self.random.getrandbits(32)}"
        machine.store = Store.open(machine.path)
        machine.replica = Replica(
            machine.store,
            self.shop,
            author=machine.key if machine.writes else None,
            clock=machine.time.clock(),
            random=random.Random(seed),
            documents=machine.writes,
            store_id=machine.key.id,
            monotonic_ms=lambda: machine.time.mono_ms,
        )
        machine.hub = Hub(random=random.Random(f"hub{seed}"), kind="till" if machine.writes else "head office")
        machine.hub.add(machine.replica)
        if machine.writes and machine.replica.founding:
            machine.replica.begin()

    def kill(self, machine: Machine) -> None:
        """The process is gone with everything that it had not committed; its lines break."""
        for line in [line for line in self.lines if machine in line.machines]:
            self.cut(line)
        machine.disk.close()
        machine.store = machine.replica = machine.hub = None
        machine.unanswered.clear()

    def commit(self, machine: Machine, *, fails: bool = False, dies: bool = False) -> None:
        """Commit some of what is staged, as the engine would; or fail; or die right behind the commit."""
        replica = machine.running
        if not replica.staged:
            return
        batch = replica.staged[: self.random.choice((1, 3, 512))]
        if fails:
            machine.unanswered.clear()  # the cashier is told that nothing was recorded
            replica.reset()
            machine.switchboard.failed([self.shop])
            return
        commit = machine.disk.commit(batch)
        if dies:
            self.kill(machine)
            return
        replica.release(batch, commit)
        for staged in batch:
            answered = machine.unanswered.pop(id(staged), None)
            if answered is not None:
                self.confirm(answered[1])
        machine.switchboard.released(batch, commit)

    # -- the shop's work -----------------------------------------------------------------------------------------------

    def ring(self, machine: Machine) -> None:
        """A cashier rings a sale, or one again that was never confirmed, at this till or another."""
        replica = machine.running
        if not replica.founding:
            return
        retries = [id for id in sorted(self.open) if self.random.random() < 0.3]
        if retries:
            sale = retries[0]
            if any(entry.kind == "sale" for entry in self._entries(machine, sale)):
                self.confirm(sale)  # the till answers with what it has
                return
            if any(held == sale for _, held in machine.unanswered.values()):
                return  # the second request waits for the first one's commit
        else:
            sale = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
            self.rung[sale] = self.random.randint(1, 100_000)
            self.open.add(sale)
        total = self.rung[sale]
        fields: dict[str, Any] = {"lines": [{"sku": "1", "quantity": "1", "price": total}], "total": total}
        if self.random.random() < 0.02:
            fields["note"] = "x" * self.random.randint(1, 190)
        staged = replica.write("sale", fields, id=sale, request=b"{}")
        machine.unanswered[id(staged)] = staged, sale

    def confirm(self, sale: str) -> None:
        """The cashier sees the receipt."""
        self.receipts.add(sale)
        self.open.discard(sale)

    def _entries(self, machine: Machine, sale: str) -> list[Any]:
        return [recorded.entry for recorded in Reports(machine.disk, self.shop, here=machine.key.id).by_id(sale)]

    # -- lines ---------------------------------------------------------------------------------------------------------

    def connect(self, dialler: Machine, listener: Machine) -> None:
        """A connection comes up."""
        gate = TokenGate(TOKEN)
        links = (
            dialler.switchboard.connect(self.shop, gate, dialling=True, now=self.now),
            listener.switchboard.connect(self.shop, gate, dialling=False, now=self.now),
        )
        self.lines.append(Line((dialler, listener), links))

    def cut(self, line: Line) -> None:
        """A connection breaks."""
        self.lines.remove(line)
        for machine, link in zip(line.machines, line.links, strict=True):
            if machine.hub is not None:
                machine.hub.disconnect(link, self.now)

    def send(self, line: Line, direction: int) -> bool:
        """The socket takes a message from the link."""
        queue = line.under_way[direction]
        if len(queue) >= QUEUE_MAX:
            return False
        message = line.links[direction].take()
        if message is None:
            return False
        self.largest = max(self.largest, len(message))
        queue.append(message)
        return True

    def carry(self, line: Line, direction: int) -> bool:
        """A message arrives at the other end."""
        queue, sink = line.under_way[direction], line.links[1 - direction]
        if not queue or sink.crowded:
            return False
        self.carried += 1
        line.machines[1 - direction].switchboard.received(sink, queue.popleft(), self.now)
        return True

    def sweep(self) -> None:
        """Sockets are closed whose link is over."""
        for line in list(self.lines):
            if any(link.closing is not None for link in line.links):
                self.cut(line)

    # -- disks ---------------------------------------------------------------------------------------------------------

    def snapshot(self, machine: Machine) -> Path:
        """A consistent copy of a machine's disk, while its process runs."""
        copy = self.folder / f"copy{len(self.copies)}.db"
        machine.disk.backup(copy)
        return copy

    def put_back(self, machine: Machine, copy: Path) -> None:
        """The disk is what it was once; the process on it starts afresh."""
        if machine.up:
            self.kill(machine)
        others = self.held(*(m for m in self.machines if m is not machine))
        for suffix in ("", "-wal", "-shm"):
            machine.path.with_name(machine.path.name + suffix).unlink(missing_ok=True)
        shutil.copy(copy, machine.path)
        here = self.held(machine)
        self.receipts &= others | here  # the others lay on nothing but this disk, and are gone
        self.rewound = True
        self.boot(machine)

    def fork(self, machine: Machine) -> None:
        """The disk is copied into another machine, and both run."""
        twin = Machine(f"{machine.name}'", machine.key, self.snapshot(machine), StillTime(), machine.writes)
        self.copies.append((machine, twin.path))
        self.machines.append(twin)
        self.rewound = self.twins = True
        self.boot(twin)

    def held(self, *machines: Machine) -> set[str]:
        """Ids of the sales that lie on any of these machines' disks."""
        found: set[str] = set()
        for machine in machines:
            store = machine.store or Store.open(machine.path)
            found |= {id for (id,) in store.read.execute("SELECT id FROM entry WHERE kind = 'sale'")}
            if machine.store is None:
                store.close()
        return found

    # -- time ----------------------------------------------------------------------------------------------------------

    def pass_s(self, seconds: float) -> None:
        """Time goes by for everybody."""
        self.now += seconds
        for machine in self.machines:
            machine.time.pass_ms(round(seconds * 1000))
            if machine.up:
                machine.switchboard.tick(self.now)
                machine.running.tick(self.now)
        self.sweep()

    # -- after all that ------------------------------------------------------------------------------------------------

    def heal(self, wires: list[tuple[Machine, Machine]]) -> None:
        """Every process runs, every line of `wires` is up, and the shop is left alone until it has come to rest."""
        for machine in self.machines:
            if not machine.up:
                self.boot(machine)
        self.rest(wires)

    def rest(self, wires: Sequence[tuple[Machine, Machine]] = ()) -> None:
        """Leave the shop alone until nothing is under way; only lines of `wires` that are down come up again."""
        quiet_s, began = 0.0, self.now
        for _ in range(3000):
            for dialler, listener in wires:
                if not any({dialler, listener} == set(line.machines) for line in self.lines):
                    self.connect(dialler, listener)
            moved = self.drain()
            self.pass_s(STEP_S)
            quiet_s = 0.0 if moved else quiet_s + STEP_S
            # two lives of one till answer each other's runs with new ones for as long as both run
            if quiet_s > (3.0 if self.twins else QUIET_S) and self.settled() and self.now - began > QUIET_S:
                return
        raise AssertionError(f"the shop does not come to rest: {self.roots()}")

    def settled(self) -> bool:
        """Whether nothing is under way and all hold the same."""
        return len(set(self.roots().values())) == 1 and not any(m.running.staged for m in self.machines)

    def roots(self) -> dict[str, str]:
        return {machine.name: machine.running.root()[:12] for machine in self.machines}

    def drain(self) -> int:
        """Carry and commit until nothing moves; pings and their answers don't count."""
        moved = 0
        for _ in range(100_000):
            busy = 0
            for line in list(self.lines):
                for direction in (0, 1):
                    while self.send(line, direction):
                        busy += 1
                        moved += len(line.under_way[direction][-1]) > 1
                    while self.carry(line, direction):
                        busy += 1
            for machine in self.machines:
                if machine.running.staged:
                    self.commit(machine)
                    busy += 1
                    moved += 1
            self.sweep()
            if not busy:
                return moved
        raise AssertionError("the shop never falls silent")

    def close(self) -> None:
        """Close every store."""
        for machine in self.machines:
            if machine.up:
                self.kill(machine)
