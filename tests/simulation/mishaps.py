"""What happens to a shop by itself: commits, messages, time; and what goes wrong with machines, lines and clocks."""

from __future__ import annotations

import random

from posline.core.update import structs_of
from posline.errors import FolderDamaged, PoslineError
from posline.storage.store import Store
from posline.storage.verify import Harm, verify
from posline.sync.frames import Stateless, encode
from tests.simulation.actions import action, line_of, pick, up
from tests.simulation.book import check_ledger
from tests.simulation.disk import Files, copy_of, rotten
from tests.simulation.network import QUEUE_MAX, harmless
from tests.simulation.world import MACHINES_MAX, Machine, World

__all__: list[str] = []

DAY_MS = 86_400_000
# whatever counts, is shown or is gone on from: the elements with their standing, the log that they come from, and what
# follows from them. Not what others said of themselves, what was asked here and what integrators were told: all of that
# may be lost and is said again. Of the last receipt number written here, see `_noticed`
CONTENT = (
    "SELECT n, hash, id, kind, author, run, seq, prev, day, number, amount, signed, vouched, status, fault, reason,"
    " kept, raw FROM entry",
    "SELECT key, name, n, count, sum FROM document",
    "SELECT shop, author, run, begun, plain, tip, tip_hash, whole, whole_hash, label FROM run",
    "SELECT shop, author, run, seq, hash FROM mark",
    *(
        f"SELECT * FROM {table}"
        for table in (
            "shop", "clock", "digest", "continuation", "conflict", "ending", "redate", "edit", "edit_conflict",
            "statement", "returned", "excess", "cart", "uncart", "shift", "dayclose", "fileable", "filing", "onhand",
            "opening", "unseen", "product", "barcode",
        )
    ),
)  # fmt: skip

LOG = "SELECT document, n, before, after, data FROM log"

# -- commits and processes ------------------------------------------------------------------------------------------


@action(22)
def commit(world: World, chance: random.Random) -> None:
    """A commit stands, and people and peers are told."""
    busy = (m for m in world.machines if m.up and (m.running.staged or m.pending is not None))
    if (machine := pick(chance, busy)) is not None:
        world.commit(machine, chance.choice((1, 3, 512)))


@action(2)
def commit_slowly(world: World, chance: random.Random) -> None:
    """A commit stands, and nobody is told yet: others come in between."""
    if (machine := pick(chance, (m for m in world.machines if m.up and m.running.staged))) is not None:
        world.begin_commit(machine, chance.choice((1, 3, 512)))
        world.did("a slow disk")


@action(1.5)
def fill_disk(world: World, chance: random.Random) -> None:
    """A commit fails for want of room."""
    if (machine := pick(chance, (m for m in world.machines if m.up and m.running.staged))) is not None:
        world.fail_commit(machine, chance)


@action(1.5)
def crash(world: World, chance: random.Random) -> None:
    """A process dies."""
    if (machine := up(world, chance)) is not None:
        world.did("a crash" if not machine.pending else "a crash between a commit and its answer")
        world.kill(machine)


@action(1.5)
def cut_power(world: World, chance: random.Random) -> None:
    """The power goes while a commit is written."""
    if (machine := pick(chance, (m for m in world.machines if m.up and m.running.staged))) is not None:
        world.cut_power(machine, chance)


@action(1)
def tidy_log(world: World, chance: random.Random) -> None:
    """SQLite moves its log into the main file; now and then the power goes as it does."""
    if (machine := up(world, chance)) is not None and machine.pending is None:
        world.checkpoint(machine, chance, cut=chance.random() < 0.5)
        world.did("a checkpoint")


@action(0.7)
def stop(world: World, chance: random.Random) -> None:
    """A process is stopped as it should be."""
    if (machine := up(world, chance)) is not None:
        world.stop(machine)
        world.did("a stop")


@action(4)
def boot(world: World, chance: random.Random) -> None:
    """A machine that was off is switched on."""
    if (machine := pick(chance, (m for m in world.machines if not m.up))) is not None:
        world.boot(machine)


@action(0.7)
def squash(world: World, chance: random.Random) -> None:
    """The log's rows are joined into fuller ones."""
    if (machine := up(world, chance)) is not None and machine.pending is None:
        for document in machine.running.documents():
            with world.version(machine):
                machine.disk.squash(world.shop, document, after=chance.choice((0, 0, 5)))
        world.did("a squash")


@action(1, "skew")
def upgrade(world: World, chance: random.Random) -> None:
    """A machine of an older version gets today's."""
    if (machine := pick(chance, (m for m in world.machines if m.old))) is not None:
        if machine.up:
            world.kill(machine)
        machine.old = False
        world.boot(machine)
        world.did("an upgrade")


# -- disks ---------------------------------------------------------------------------------------------------------


@action(1.12, "disks")
def copy_disk(world: World, chance: random.Random) -> None:
    """Somebody copies a disk."""
    if (machine := up(world, chance)) is not None:
        world.snapshot(machine)


@action(0.8, "disks")
def put_back(world: World, chance: random.Random) -> None:
    """A disk is put back to an older copy."""
    copies = [copy for copy in world.copies if copy[0] in world.machines]
    if copies:
        world.put_back(*chance.choice(copies))
        world.did("a disk put back")


@action(0.32, "disks")
def fork(world: World, chance: random.Random) -> None:
    """A disk is copied into another machine, and both run."""
    machine = pick(chance, (m for m in world.machines if m.up and m.writes and m.pending is None))
    if machine is not None and len(world.machines) < MACHINES_MAX:
        world.twin(machine, running=False)
        world.did("a disk copied and run twice")


@action(0.32, "disks")
def clone(world: World, chance: random.Random) -> None:
    """A running machine is copied, memory and all, and both run."""
    machine = pick(chance, (m for m in world.machines if m.up and m.writes))
    if machine is not None and len(world.machines) < MACHINES_MAX:
        world.twin(machine, running=True)
        world.did("a running machine copied")


@action(0.64, "disks")
def rot(world: World, chance: random.Random) -> None:
    """Bytes of a stopped machine's file change. It must not count something else without a word; where that is seen,
    the machine gets an old disk, or an empty one."""
    machine = pick(chance, (m for m in world.machines if m.up and m.pending is None))
    if machine is None:
        return
    world.commit_all(machine)
    for line in [line for line in world.lines if machine in line.machines]:
        world.cut(line)
    good, before = copy_of(machine.disk, machine.drive), (_content(machine.disk), _given(machine.disk))
    machine.disk.close()
    machine.store = machine.replica = machine.hub = machine.pending = None
    machine.asked.clear()
    whole = machine.drive.look()
    machine.drive.put(Files(rotten(whole.main, chance), b""))
    with world.version(machine):
        how = _noticed(world, machine, before)
    world.did(f"rot, {how}")
    machine.drive.put(good)
    if how == "harmless":
        world.boot(machine)
        return
    copies = [copy for copy in world.copies if copy[0] is machine]
    if copies and chance.random() < 0.5:
        world.put_back(*copies[-1])
    else:
        world.put_back(machine, Files(), machine.key, machine.waiting_key)


def _content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """See CONTENT. Of an update of the log: which strings it brings under which client id and clock. In which array
    they stand, and where in it, decides nothing, since all is a function of the set of elements."""
    found = {query: sorted(store.read.execute(query).fetchall(), key=repr) for query in CONTENT}
    found["log"] = []
    for *place, data in store.read.execute(LOG + " ORDER BY document, n").fetchall():
        for client, (clock, structs) in structs_of(data).items():
            found["log"].append((*place, client, clock, *(string for struct in structs for string in struct.strings)))
    return found


def _given(store: Store) -> dict[str, int]:
    """The last receipt number written here, by its author."""
    return dict(store.read.execute("SELECT author, number FROM mark").fetchall())


def _noticed(world: World, machine: Machine, before: tuple[dict[str, list[tuple[object, ...]]], dict[str, int]]) -> str:
    """How the rot shows: at the start, when it is looked for, or not at all since it changes nothing."""
    try:
        store = Store.open(machine.drive.path)
    except FolderDamaged:
        return "refused at the start"
    except PoslineError:
        return "refused at the start"
    try:
        # not what tills did, which is named of any disk of this shop
        if any(isinstance(problem, Harm) for problem in verify(store, world.shop)):
            return "named"
        now, given = _content(store), _given(store)
        unlike = sorted(query for query in now if now[query] != before[0][query])
        assert not unlike, f"{machine.name} counts something else since its disk rotted, and nothing says so: {unlike}"
        # a higher one leaves numbers out, which are then named as missing; a lower one would give some again
        lower = [author for author, number in before[1].items() if given[author] < number]
        assert not lower, f"{machine.name} gives numbers again since its disk rotted, and nothing says so"
        return "harmless"
    finally:
        store.close()


# -- lines ---------------------------------------------------------------------------------------------------------


@action(45)
def move(world: World, chance: random.Random) -> None:
    """Messages leave and arrive, on one line or many."""
    for _ in range(chance.choice((1, 5, 20))):
        found = line_of(world, chance)
        if found is None:
            return
        world.send(*found)
        if chance.random() < 0.8:
            world.carry(*found)
        world.sweep()


@action(10)
def flow(world: World, chance: random.Random) -> None:
    """For a moment everything works as it should."""
    for _ in range(chance.choice((1, 3))):
        for line in list(world.lines):
            for direction in (0, 1):
                world.send(line, direction)
                world.carry(line, direction, QUEUE_MAX)
        for machine in world.machines:
            if machine.up and chance.random() < 0.7:
                world.commit(machine)
        world.sweep()
    world.pass_s(0.1)


@action(7)
def connect(world: World, chance: random.Random) -> None:
    """A connection comes up."""
    one = up(world, chance)
    other = pick(chance, (m for m in world.machines if m.up and m is not one))
    if one is not None and other is not None:
        world.connect(one, other, chance.choice((0.0, 0.0, 0.05, 0.5)))
        world.did("a connection")


@action(2.5)
def cut(world: World, chance: random.Random) -> None:
    """A connection breaks; now and then its last message arrives in part."""
    found = line_of(world, chance)
    if found is not None:
        line, direction = found
        if line.under_way[direction] and chance.random() < 0.5:
            message = line.under_way[direction][0][1]
            world.deliver(line, direction, message[: chance.randint(0, max(0, len(message) - 1))])
            world.did("a message in part")
        if line in world.lines:
            world.cut(line)
        world.did("a cut")


@action(1)
def stall(world: World, chance: random.Random) -> None:
    """One direction of a line stands still, and the other goes on; or it goes on again."""
    found = line_of(world, chance)
    if found is not None:
        line, direction = found
        line.stalled[direction] = not line.stalled[direction]
        world.did("a line in one direction only")


@action(1)
def garble(world: World, chance: random.Random) -> None:
    """A message arrives with a letter wrong, and then the connection is gone."""
    found = line_of(world, chance)
    if found is not None:
        line, direction = found
        if line.under_way[direction]:
            message = bytearray(line.under_way[direction].popleft()[1])
            message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)
            if harmless(bytes(message)):
                line.spoilt = True
                world.deliver(line, direction, bytes(message))
                world.did("a garbled message")
        if line in world.lines:
            world.cut(line)


@action(0.5)
def repeat(world: World, chance: random.Random) -> None:
    """Something on the way says a message twice, or lets two change places."""
    found = line_of(world, chance)
    if found is not None:
        line, direction = found
        queue = line.under_way[direction]
        if queue:
            line.spoilt = True
            at = chance.randrange(len(queue))
            if chance.random() < 0.5:
                queue.insert(at, queue[at])
                world.did("a message twice")
            elif len(queue) > 1:
                queue[at], queue[at - 1] = queue[at - 1], queue[at]
                world.did("messages in another order")


@action(0.4)
def noise(world: World, chance: random.Random) -> None:
    """Something that is no message arrives, or one of a later version."""
    found = line_of(world, chance)
    if found is not None:
        what = chance.randbytes(chance.choice((1, 20, 300)))
        if chance.random() < 0.3:
            what = encode(Stateless("shop", '{"v":1,"t":"tomorrow","x":[1]}'))
            world.did("a message from the future")
        if harmless(what):
            found[0].spoilt = True
            world.deliver(*found, what)
            world.did("noise")


# -- time ----------------------------------------------------------------------------------------------------------


@action(9)
def wait(world: World, chance: random.Random) -> None:
    """A moment goes by."""
    world.pass_s(chance.choice((0.05, 0.1, 0.1, 0.3, 1.1)))


@action(2)
def night(world: World, chance: random.Random) -> None:
    """Minutes or hours go by."""
    world.pass_s(chance.choice((60.0, 3600.0, 12 * 3600.0, 24 * 3600.0)))
    world.did("hours")


@action(0.4)
def wrong_clock(world: World, chance: random.Random) -> None:
    """A machine's clock jumps, and nobody may say what is right."""
    if (machine := pick(chance, world.machines)) is not None:
        machine.time.synchronised = chance.random() < 0.5
        machine.time.wall_ms += chance.choice((-50 * 365, -2, -1, 1, 2, 800)) * DAY_MS
        world.did("a wrong clock")


# -- in between ----------------------------------------------------------------------------------------------------


@action(0.8)
def look(world: World, chance: random.Random) -> None:
    """One machine's ledger is held against the rules, over what it holds right now."""
    if (machine := up(world, chance)) is not None and not machine.old:
        check_ledger(machine, world.shop)
        world.did("a look")


@action(0.7)
def lights(world: World, chance: random.Random) -> None:
    """Whoever is said to hold something holds it."""
    if not world.rewound and not world.twins and not world.reshaped:
        world.book.lights()
        world.did("a look at the lights")
