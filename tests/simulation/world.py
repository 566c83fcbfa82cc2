"""A whole shop in one thread: machines whose processes come and go, lines between them, and one seeded time.

The state machines are the product's own (replica, store, hub, link); what is made up around them is what a computer
would do: when which message arrives, what a disk keeps, what the clocks say, and what people see on their screens.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from posline.core.clock import Clock, parse_iso
from posline.core.entry import decode
from posline.errors import DiskFull
from posline.replica import Replica
from posline.storage.records import Commit, Staged
from posline.storage.store import Store
from posline.sync.hub import Hub
from posline.trust.keys import Key
from tests.kit import NOON_MS, StillTime, founded, text_key
from tests.simulation.book import Book
from tests.simulation.disk import Disk, Files, copy_of, synchronous, torn
from tests.simulation.network import QUEUE_MAX, Door, Line, Watch, objection
from tests.simulation.versions import OLD_RULES, as_version

__all__ = ["Machine", "World", "key_of"]

STEP_S = 0.3  # less than anything that waits
QUIET_S = 200.0  # longer than anything waits: seals, announcements, comparisons
LEAP_S = 20.0  # at a time, where nothing is under way
MACHINES_MAX = 8
TODAY = nullcontext()

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files that no power cut would outlive: for speed
_keys: dict[str, Key] = {}
_founded: dict[tuple[str, ...], tuple[str, dict[str, Files]]] = {}  # what a founded shop's disks hold, by its machines


def key_of(name: str) -> Key:
    """A key that is the same at each call."""
    if name not in _keys:
        _keys[name] = Key(random.Random(name).randbytes(32))
    return _keys[name]


@dataclass(eq=False)
class Machine:
    """A till or a head office: a disk that stays, and a process on it that comes and goes."""

    name: str
    key: Key
    drive: Disk
    time: StillTime
    writes: bool = True
    hostile: bool = False
    old: bool = False  # runs a version that knows fewer kinds
    lives: int = 0
    waiting_key: Key | None = None  # a new key, whose entry is not committed yet
    store: Store | None = None
    replica: Replica | None = None
    hub: Hub | None = None
    pending: tuple[list[Staged], Commit] | None = None  # on the disk, but nobody was told yet: the disk is slow
    asked: dict[int, tuple[Staged, str]] = field(default_factory=dict)  # requests that wait for their commit

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.replica is not None

    @property
    def running(self) -> Replica:
        """Its replica."""
        assert self.replica is not None
        return self.replica

    @property
    def switchboard(self) -> Hub:
        """Its hub."""
        assert self.hub is not None
        return self.hub

    @property
    def disk(self) -> Store:
        """Its store."""
        assert self.store is not None
        return self.store

    @property
    def sells(self) -> bool:
        """Whether people can work at it now: it knows its shop, as far as its own key (an emptied disk has to hear of a
        change of it first; one that nobody need believe is its key all the same)."""
        if not self.writes or not self.up or not self.running.founding:
            return False
        shop, own = self.running.shop, self.key
        keys = self.disk.authority(shop).keys.get(own.id)
        if keys is None or own.public in [key for _, key in keys]:
            return True
        changes = [act for act in self.disk.acts(shop) if act.kind == "key" and act.till == own.id]
        return any(act.fault is None and act.body["key"] == text_key(own.public) for act in changes)


def phone_of(machine: Machine) -> Key:
    """The key of the phone that a till hosts; it lies beside the till's own, and is lost with it."""
    return key_of(f"phone of {machine.key.id}")


def founded_disks(names: Sequence[str], roles: Sequence[str]) -> tuple[str, dict[str, Files]]:
    """A shop that the first machine founded and to which it admitted the others: its id, and each disk's bytes. Made
    once; every run starts from the same bytes."""
    place = *names, *roles
    if place not in _founded:
        folder = Path(tempfile.mkdtemp(dir=MEMORY))
        first = Store.open(folder / names[0])
        founder = founded(names[0], StillTime(), first)
        for name, role in zip(names[1:], roles[1:], strict=True):
            label = f"{'R' if role == 'head office' else 'T'}{name[-1]}"
            fields = {"key": text_key(key_of(name).public), "label": label, "role": role}
            founder.write("member", fields, document="shop")
        first.commit(list(founder.staged))
        for name in names[1:]:
            store = Store.open(folder / name)
            take_shop(first, founder.shop, store)
            store.close()
        first.close()
        disks = {name: Files((folder / name).read_bytes()) for name in names}
        shutil.rmtree(folder)
        _founded[place] = founder.shop, disks
    return _founded[place]


def take_shop(source: Store, shop: str, target: Store) -> None:
    """Commit the shop's document to another disk, as a device does that joins."""
    replica = Replica(
        target, shop, author=None, clock=None, random=random.Random(1), documents=False, store_id="a" * 26
    )
    for row in source.rows(shop, "shop", 0, 10_000):
        replica.integrate("shop", row.update, origin="b" * 26)
    if replica.staged:
        target.commit(replica.staged)


class World:
    """The shop. Whoever acts on it brings the randomness along, so that a step does the same whatever was before."""

    def __init__(
        self, folder: Path, seed: int, *, tills: int, relays: int, hostile: bool = False, old: int = 0
    ) -> None:
        self.folder, self.seed = folder, seed
        self.now = 0.0
        self.machines: list[Machine] = []
        self.lines: list[Line] = []
        self.watch = Watch()
        self.book = Book(self)
        self.copies: list[tuple[Machine, Files, Key, Key | None]] = []
        self.twins = False  # two processes run as one till
        self.copied: set[str] = set()  # the authors of which they did
        self.rewound = False  # a disk was copied, put back or lost: numbers may repeat or be missing, and are named
        self.reshaped = False  # who belongs to the shop was changed
        self.thieves = {key_of("thief9").id} if hostile else set()  # the authors that lie, wherever their machines are
        self.done: dict[str, int] = {}  # what really happened, and how often
        self._named: set[str] = set()
        names = [f"till{n}" for n in range(tills)] + [f"relay{n}" for n in range(relays)]
        roles = ["manager"] * tills + ["head office"] * relays
        if hostile:
            names, roles = [*names, "thief9"], [*roles, "till"]
        self.shop, disks = founded_disks(names, roles)
        for name, role in zip(names, roles, strict=True):
            machine = self.add(name, key_of(name), disks[name], writes=role != "head office")
            machine.hostile = name == "thief9"
            machine.old = name.startswith("till") and int(name[4:]) >= tills - old
        for machine in self.machines:
            self.boot(machine)

    def add(self, name: str, key: Key, files: Files, *, writes: bool) -> Machine:
        """A machine more, whose process does not run yet."""
        self._named.add(name)
        machine = Machine(name, key, Disk(self.folder, name, files), StillTime(), writes)
        machine.time.pass_ms(round(self.now * 1000))
        self.machines.append(machine)
        return machine

    def new_name(self, kind: str) -> str:
        """One that no machine has or had: keys and draws come of it."""
        return next(name for n in itertools.count() if (name := f"{kind}{n}") not in self._named)

    def did(self, what: str) -> None:
        """Note that something really happened."""
        self.done[what] = self.done.get(what, 0) + 1

    @staticmethod
    def version(machine: Machine) -> AbstractContextManager[None]:
        """While this machine's program runs: what its version knows."""
        return as_version(OLD_RULES) if machine.old else TODAY

    # -- processes --------------------------------------------------------------------------------------------------

    def boot(self, machine: Machine, *, draws: str = "") -> None:
        """Start a process on a machine's disk. Two with equal `draws` are one process that was copied as it ran: what
        was drawn at random is the same in both. What they draw from then on is not: it is the system's."""
        machine.lives += 1
        life = f"{self.seed} {machine.name} {machine.lives}"
        lots, hub_lots = random.Random(draws or life), random.Random(f"hub {draws or life}")
        with self.version(machine):
            machine.store = Store.open(machine.drive.path)
            self._finish_rotation(machine)
            machine.replica = Replica(
                machine.store,
                self.shop,
                author=machine.key if machine.writes else None,
                clock=self._clock(machine) if machine.writes else None,
                random=lots,
                documents=machine.writes,
                store_id=machine.key.id,
                sign=machine.key.sign,
                monotonic_ms=lambda: machine.time.mono_ms,
            )
            kind = "till" if machine.writes else "head office"
            machine.hub = Hub(random=hub_lots, kind=kind)
            machine.hub.add(machine.replica)
            if machine.sells:
                machine.replica.begin()
                if phone_of(machine).id in machine.store.members(self.shop):
                    machine.replica.writer(phone_of(machine)).vouch()
        if draws:
            lots.seed(life)
            hub_lots.seed(f"hub {life}")

    def _clock(self, machine: Machine) -> Clock:
        last = None
        if (written := machine.disk.written(self.shop, machine.key.id)) is not None:
            row = machine.disk.read.execute("SELECT raw FROM entry WHERE hash = ?", (written.hash,)).fetchone()
            last = parse_iso(decode("", row[0]).at) if row is not None else None
        return machine.time.clock(last_own_ms=last, floor_ms=NOON_MS - 86_400_000)

    def _finish_rotation(self, machine: Machine) -> None:
        """The key to go on with after a change that a crash cut short; see posline.till.opening."""
        if machine.waiting_key is not None:
            acts = machine.disk.acts(self.shop)
            named = {e.body["key"] for e in acts if e.kind == "key" and e.fault is None and e.till == machine.key.id}
            if text_key(machine.waiting_key.public) in named:
                machine.key = machine.waiting_key
            machine.waiting_key = None

    def kill(self, machine: Machine, files: Files | None = None) -> None:
        """The process is gone with everything that it had not committed; its lines break. `files` is what is left on
        the disk where that is not all that was written."""
        for line in [line for line in self.lines if machine in line.machines]:
            self.cut(line)
        machine.drive.crash(machine.disk, files)
        machine.store = machine.replica = machine.hub = machine.pending = None
        machine.asked.clear()

    def stop(self, machine: Machine) -> None:
        """The process ends as it should: it signs what is unsigned, commits and closes its file."""
        replica = machine.running
        with self.version(machine):
            if replica.author is not None:
                replica.tick(self.now)
                replica.seal_soon()
                replica.tick(self.now)
        self.commit_all(machine)
        for line in [line for line in self.lines if machine in line.machines]:
            self.cut(line)
        machine.disk.close()
        machine.drive.put(machine.drive.look())
        machine.store = machine.replica = machine.hub = None
        machine.asked.clear()

    # -- commits ----------------------------------------------------------------------------------------------------

    def commit(self, machine: Machine, most: int = 512) -> None:
        """Commit some of what is staged and tell everybody; or tell them of what the slow disk has taken meanwhile."""
        if machine.pending is None:
            self.begin_commit(machine, most)
        self.finish_commit(machine)

    def begin_commit(self, machine: Machine, most: int = 512) -> None:
        """What is staged goes to the disk, which takes its time: nobody is told yet."""
        replica = machine.running
        if machine.pending is None and (replica.staged or machine.disk.noted):
            batch = list(replica.staged[:most])
            with self.version(machine):
                machine.pending = batch, machine.disk.commit(batch)

    def finish_commit(self, machine: Machine) -> None:
        """The disk has it: whoever waited is told, and what is new goes to the links."""
        if machine.pending is None:
            return
        (batch, commit), machine.pending = machine.pending, None
        with self.version(machine):
            machine.running.release(batch, commit)
        if machine.waiting_key is not None and machine.running.author is machine.waiting_key:
            named = {e.body.get("key") for staged in batch for e in staged.entries if e.kind == "key" and staged.own}
            if text_key(machine.waiting_key.public) in named:
                machine.key, machine.waiting_key = machine.waiting_key, None
        for staged in batch:
            request = machine.asked.pop(id(staged), None)
            self.book.released(machine, staged, request[1] if request is not None else None)
        with self.version(machine):
            machine.switchboard.released(batch, commit)

    def commit_all(self, machine: Machine) -> None:
        """Commit until nothing is staged."""
        self.finish_commit(machine)
        while machine.running.staged:
            self.commit(machine)

    def fail_commit(self, machine: Machine, chance: random.Random) -> None:
        """No room is left on the disk, found out inside the transaction; or in the first moment of it."""
        self.finish_commit(machine)
        replica = machine.running
        if not replica.staged:
            return
        batch = list(replica.staged[: chance.choice((1, 3, 512))])
        pages = machine.disk._db.execute("PRAGMA page_count").fetchone()[0] + chance.choice((0, 0, 1))
        machine.disk._db.execute(f"PRAGMA max_page_count={pages}")
        try:
            with self.version(machine):
                commit = machine.disk.commit(batch)
        except DiskFull:
            self.did("disk full")
            machine.asked.clear()  # people are told that nothing was recorded
            machine.waiting_key = None
            with self.version(machine):
                replica.reset()
                machine.switchboard.failed([self.shop])
        else:  # it fitted into what was free
            machine.pending = batch, commit
            self.finish_commit(machine)
        finally:
            machine.disk._db.execute("PRAGMA max_page_count=1073741823")

    def cut_power(self, machine: Machine, chance: random.Random) -> None:
        """The power goes while a commit is under way. What stands afterwards is all that was acknowledged, with or
        without that commit as a whole."""
        self.finish_commit(machine)
        batch = list(machine.running.staged[: chance.choice((1, 3, 512))])
        if not batch:
            return
        durable = synchronous(machine.disk)
        acknowledged, before = hashes_on(machine.disk), machine.drive.look()
        with self.version(machine):
            machine.disk.commit(batch)
        whole, after = hashes_on(machine.disk), machine.drive.look()
        self.kill(machine, torn(before, after, chance, durable=durable))
        self.boot(machine)
        found = hashes_on(machine.disk)
        assert found in (acknowledged, whole), (
            f"after a power cut {machine.name} has {len(found)} entries: {len(acknowledged)} were acknowledged,"
            f" {len(whole)} with the commit that was under way; {len(acknowledged - found)} of the former are gone"
        )
        self.did("power cut")

    def checkpoint(self, machine: Machine, chance: random.Random, *, cut: bool) -> None:
        """The log's pages go into the main file; where the power goes in the middle, some of them, and in part."""
        before, held = machine.drive.look(), hashes_on(machine.disk)
        machine.disk._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if cut:
            after = machine.drive.look()
            self.kill(machine, Files(torn(Files(before.main), Files(after.main), chance).main, before.wal))
            self.boot(machine)
            assert hashes_on(machine.disk) == held, f"{machine.name} lost something as its log was tidied up"
            self.did("power cut in a checkpoint")

    # -- disks ------------------------------------------------------------------------------------------------------

    def snapshot(self, machine: Machine) -> None:
        """A copy of a machine's whole disk, its key too, while its process runs."""
        files = copy_of(machine.disk, machine.drive)
        self.copies.append((machine, files, machine.key, machine.waiting_key))

    def put_back(self, machine: Machine, files: Files, key: Key, waiting: Key | None = None) -> None:
        """The disk is another one from now on, and a process starts on it."""
        before = self.lose(machine)
        machine.drive.put(files)
        machine.key, machine.waiting_key = key, waiting
        self.boot(machine)
        self.book.lost(before - hashes_on(machine.disk))

    def lose(self, machine: Machine) -> set[bytes]:
        """The machine's disk is gone; returns what lay on it."""
        if machine.up:
            self.kill(machine)
        store = Store.open(machine.drive.path)
        held = hashes_on(store)
        rows = store.read.execute("SELECT hash, author, run, seq FROM entry").fetchall()
        self.book.places |= {hash: (author, run, seq) for hash, author, run, seq in rows}
        store.close()
        self.rewound = True
        return held

    def twin(self, machine: Machine, *, running: bool) -> None:
        """The disk is copied into another machine, and both run; with `running`, the process is copied too."""
        if running:
            self.kill(machine)
            files = machine.drive.look()
        else:
            files = copy_of(machine.disk, machine.drive)
        name = machine.name
        while name in self._named:
            name += "'"
        twin = self.add(name, machine.key, files, writes=machine.writes)
        twin.old, twin.hostile = machine.old, machine.hostile
        twin.time.wall_ms, twin.time.synchronised = machine.time.wall_ms, machine.time.synchronised
        self.rewound = self.twins = True
        self.copied.add(machine.key.id)
        self.watch.reused |= running
        draws = f"{self.seed} {machine.name} twins {machine.lives}" if running else ""
        for each in (machine, twin):
            if not each.up:
                self.boot(each, draws=draws)

    # -- lines ------------------------------------------------------------------------------------------------------

    def connect(self, dialler: Machine, listener: Machine, delay_s: float = 0.0) -> None:
        """A connection comes up."""
        with self.version(dialler):
            mine = dialler.switchboard.connect(self.shop, Door(dialler, listener), dialling=True, now=self.now)
        with self.version(listener):
            theirs = listener.switchboard.connect(self.shop, Door(listener, dialler), dialling=False, now=self.now)
        line = Line((dialler, listener), (mine, theirs), delay_s)
        for direction, link in enumerate(line.links):
            link.on_output = partial(line.ready.__setitem__, direction, True)
        self.lines.append(line)

    def cut(self, line: Line) -> None:
        """A connection breaks; what is under way is lost."""
        self.lines.remove(line)
        for machine, link, other in zip(line.machines, line.links, reversed(line.links), strict=True):
            link.ended = other.closing or ""
            if machine.hub is not None:
                machine.hub.disconnect(link, self.now)

    def send(self, line: Line, direction: int) -> bool:
        """The socket takes a message from the link; True if that was more than a ping."""
        if not line.ready[direction]:
            return False
        queue, link = line.under_way[direction], line.links[direction]
        moved = False
        with self.version(line.machines[direction]):
            while len(queue) < QUEUE_MAX:
                message = link.take()
                if message is None:
                    line.ready[direction] = False
                    break
                self.watch.left(line, direction, message)
                queue.append((self.now + line.delay_s, message))
                moved |= len(message) > 1
        return moved

    def carry(self, line: Line, direction: int, most: int = 1) -> int:
        """Messages arrive at the other end, as many as are due; returns how many."""
        queue, sink = line.under_way[direction], line.links[1 - direction]
        if not queue:
            return 0
        carried = 0
        while carried < most and queue and queue[0][0] <= self.now and not sink.crowded and not line.stalled[direction]:
            self.deliver(line, direction, queue.popleft()[1])
            carried += 1
        return carried

    def deliver(self, line: Line, direction: int, message: bytes) -> None:
        """A message arrives, whatever it is."""
        machine = line.machines[1 - direction]
        with self.version(machine):
            machine.switchboard.received(line.links[1 - direction], message, self.now)

    def sweep(self) -> None:
        """Sockets are closed whose link is over."""
        for line in [line for line in self.lines if any(link.closing is not None for link in line.links)]:
            if line in self.lines:
                self.cut(line)

    # -- time -------------------------------------------------------------------------------------------------------

    def pass_s(self, seconds: float) -> None:
        """Time goes by for everybody."""
        self.now += seconds
        for machine in self.machines:
            machine.time.pass_ms(round(seconds * 1000))
            if machine.up:
                with self.version(machine):
                    machine.switchboard.tick(self.now)
                    machine.running.tick(self.now)
        self.sweep()

    def drain(self) -> int:
        """Carry and commit until nothing moves; returns how much more than pings and their answers did."""
        moved = 0
        for _ in range(10_000):
            busy = 0
            for line in list(self.lines):
                for direction in (0, 1):
                    moved += self.send(line, direction)
                    busy += self.carry(line, direction, QUEUE_MAX)
            for machine in self.machines:
                if machine.up and (machine.running.staged or machine.pending is not None):
                    self.commit(machine)
                    busy += 1
                    moved += 1
            self.sweep()
            if not busy:
                return moved
        raise AssertionError("the shop never falls silent")

    # -- after all that ---------------------------------------------------------------------------------------------

    def heal(self, wires: Sequence[tuple[Machine, Machine]]) -> None:
        """Every process runs, in today's version, every line of `wires` is up, and the shop is left alone until it has
        come to rest."""
        for machine in self.machines:
            if machine.old and machine.up:
                self.kill(machine)
            machine.old = False
            if not machine.up:
                self.boot(machine)
        for line in list(self.lines):
            self.cut(line)
        self.rest(wires)

    def rest(self, wires: Sequence[tuple[Machine, Machine]] = (), *, leap_s: float = LEAP_S) -> None:
        """Leave the shop alone until nothing is under way; only lines of `wires` that are down come up again."""
        quiet_s, began = 0.0, self.now
        for _ in range(2000):
            joined = {frozenset(map(id, line.machines)) for line in self.lines}
            for one, other in wires:
                if frozenset((id(one), id(other))) not in joined and mutual(one, other):
                    self.connect(one, other)
            moved = self.drain()
            step = STEP_S if moved or quiet_s < 2.5 else leap_s
            self.pass_s(step)
            quiet_s = 0.0 if moved else quiet_s + step
            # two lives of one till answer each other's runs with new ones for as long as both run
            enough = 3.0 if self.twins else QUIET_S
            if quiet_s > enough and self.now - began > QUIET_S and self.settled(wires):
                return
        raise AssertionError(f"the shop does not come to rest: {[sorted(roots(part)) for part in self.parts(wires)]}")

    def parts(self, wires: Sequence[tuple[Machine, Machine]]) -> list[list[Machine]]:
        """The machines by which of them can hear each other over `wires`, the largest part first."""
        part = {id(machine): {id(machine)} for machine in self.machines}
        for one, other in wires or [line.machines for line in self.lines]:
            if part[id(one)] is not part[id(other)] and mutual(one, other):
                part[id(one)] |= part[id(other)]
                for member in part[id(one)]:
                    part[member] = part[id(one)]
        found = {id(members): members for members in part.values()}
        groups = [[machine for machine in self.machines if id(machine) in members] for members in found.values()]
        return sorted(groups, key=lambda group: -len(group))

    def settled(self, wires: Sequence[tuple[Machine, Machine]]) -> bool:
        """Whether nothing is under way and all that hear each other hold the same."""
        if any(machine.running.staged for machine in self.machines):
            return False
        return all(len(set(roots(part).values())) == 1 for part in self.parts(wires))

    def close(self) -> None:
        """Close every store."""
        for machine in self.machines:
            if machine.store is not None:
                machine.store.close()
                machine.store = machine.replica = machine.hub = None


def mutual(one: Machine, other: Machine) -> bool:
    """Whether two machines would link with each other."""
    return objection(one, other) is None and objection(other, one) is None


def roots(machines: Sequence[Machine]) -> dict[str, str]:
    """What each holds, as a digest."""
    return {machine.name: machine.running.root()[:12] for machine in machines}


def hashes_on(store: Store, author: str = "") -> set[bytes]:
    """The elements on a disk; those of one author."""
    rows = store.read.execute("SELECT hash FROM entry WHERE ? IN ('', author)", (author,))
    return {hash for (hash,) in rows}
