"""The book that is kept apart: what people were told, what was forged, what was lost with its only disk; and the shop
held against it, and against the independent checker, at the end.

Converging is not surviving. So each sale, refund, void or close that somebody saw confirmed must count exactly once in
the end, unless the rules leave it out: its only disk is gone, or its till was removed before it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.entry import decode
from posline.storage.records import Staged
from posline.storage.removal import points_of
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from tests.kit import statuses
from tests.simulation.oracle import Oracle, differences, shown
from tests.simulation.oracle_bytes import Element

if TYPE_CHECKING:
    from tests.simulation.world import Machine, World

__all__ = ["MESSAGE_BYTES_MAX", "Book", "Told", "check_ledger"]

MESSAGE_BYTES_MAX = 66 * 1024  # an update of 64 KiB and its frame
UNTOLD = frozenset({"run", "seal", "redate", "founding", "member", "role", "remove", "accept", "key"})
Wires = Sequence[tuple["Machine", "Machine"]]


@dataclass(frozen=True)
class Told:
    """What somebody was told stands."""

    kind: str
    id: str
    amount: int
    author: str
    machine: str


class Book:
    """What the shop is held against."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.told: dict[bytes, Told] = {}
        self.tried: dict[str, dict[int, dict[str, Any]]] = {}  # sales: id -> total -> what was asked for
        self.open: dict[str, dict[str, Any]] = {}  # sales that nobody saw confirmed yet
        self.forged: set[bytes] = set()
        self.went_back: set[bytes] = set()  # lay on a disk that was then lost, or put back to before them
        self.gone: set[bytes] = set()  # of those, the ones that lay nowhere else
        self.places: dict[bytes, tuple[str, int, int]] = {}  # author, run, number of what lay on a disk that was lost

    # -- while it goes on -------------------------------------------------------------------------------------------

    def asks(self, id: str, fields: dict[str, Any]) -> None:
        """Somebody wants a sale."""
        self.tried.setdefault(id, {})[fields["total"]] = fields
        self.open[id] = fields

    def released(self, machine: Machine, staged: Staged, request: str | None) -> None:
        """A commit stands, and whoever asked for it is told."""
        if not staged.own or machine.hostile:
            return
        entry = staged.entries[0]
        if entry.kind in UNTOLD:
            return
        self._world.did(f"told of a {entry.kind}")
        self.confirm(machine, entry.hash, entry.kind, entry.id, entry.amount, entry.till)
        if request is not None:
            self.open.pop(request, None)

    def confirm(self, machine: Machine, hash: bytes, kind: str, id: str, amount: int, author: str) -> None:
        """Somebody sees it on a screen."""
        self.told.setdefault(hash, Told(kind, id, amount, author, machine.name))

    def lost(self, hashes: set[bytes]) -> None:
        """A disk is gone, or was put back, and these with it."""
        self.went_back |= hashes
        machines = self._world.machines
        self.gone |= {hash for hash in hashes if not any(self._holds(machine, hash) for machine in machines)}

    @staticmethod
    def _holds(machine: Machine, hash: bytes) -> bool:
        store = machine.store or Store.open(machine.drive.path)
        row = store.read.execute("SELECT 1 FROM entry WHERE hash = ?", (hash,)).fetchone()
        if machine.store is None:
            store.close()
        return row is not None

    # -- in the end -------------------------------------------------------------------------------------------------

    def audit(self, wires: Wires, *, verified: int = 0) -> Oracle:
        """Hold the shop against all that; `verified`: how many machines are also looked at as `posline verify` does."""
        world = self._world
        parts = world.parts(wires)
        oracles: dict[str, Oracle] = {}
        said: dict[str, list[str]] = {}
        for machine in (machine for part in parts for machine in part):
            root = machine.running.root()
            if root not in oracles:
                oracles[root] = check_ledger(machine, world.shop)
                said[root] = _reports(machine, world.shop)
            else:
                _check_statuses(machine, world.shop, oracles[root])
                now = _reports(machine, world.shop)
                both = zip(said[root], now, strict=False)
                unlike = [f"{one[:400]} and {other[:400]}" for one, other in both if one != other]
                assert now == said[root], f"{machine.name} holds the same and says otherwise: {unlike}"
        oracle = oracles[parts[0][0].running.root()]
        for part in parts:
            if not all(machine.hostile for machine in part):
                self._confirmed(part[0], oracles)
        self._forgeries(oracle)
        if not world.rewound and not world.twins:
            self._numbers(oracles)
            if not world.reshaped:
                self.lights()
        first = len(self.told)  # a different one in each run
        for n in range(min(verified, len(world.machines))):
            machine = world.machines[(first + n) % len(world.machines)]
            for problem in verify(machine.disk, world.shop):
                assert self._on_purpose(problem, oracles[machine.running.root()]), f"{machine.name}: {problem}"
        assert world.watch.largest <= MESSAGE_BYTES_MAX
        return oracle

    def _confirmed(self, machine: Machine, oracles: dict[str, Oracle]) -> None:
        """Whatever somebody was told of counts once, by what this machine holds."""
        oracle = oracles[machine.running.root()]
        elsewhere = {
            place: element
            for other in oracles.values()
            for place, element in other.elements.items()
            if place not in oracle.elements
        }
        outside = {bytes.fromhex(hash) for _, hash in elsewhere}
        at = {bytes.fromhex(hash): (document, hash) for document, hash in oracle.elements}
        once = _counts(oracle)
        wholes: dict[str, Oracle] = {}
        for hash, told in self.told.items():
            place = at.get(hash)
            if place is None:
                assert hash in self.gone or hash in outside, f"what was confirmed is missing: {told}"
                continue
            status = oracle.status[place]
            if status in ("counted", "duplicate"):
                element = oracle.elements[place]
                assert once[element.id, element.content()] == 1, f"what was confirmed counts not once: {told}"
                continue
            if not self._removed(oracle, told.author) and self._unreached(oracle, place, machine.disk):
                continue
            if self._left_out(oracle, place, told):
                continue
            more = [e for e in elsewhere.values() if e.till == told.author and bytes.fromhex(e.hash) not in self.forged]
            assert more, f"what was confirmed is {status}: {told}"
            if told.author not in wholes:
                both = [*oracle.elements.values(), *more]
                wholes[told.author] = Oracle([(e.document, e.raw) for e in both], self._world.shop)
            self._apart(oracle, wholes[told.author], place, told, machine.disk)

    def _left_out(self, oracle: Oracle, place: tuple[str, str], told: Told) -> bool:
        """Whether the rules leave an entry out: what a removed till wrote beyond its removal, and the unsigned last
        sales of a disk that went back, which nobody can vouch for."""
        status, removed = oracle.status[place], self._removed(oracle, told.author)
        if status == "invalid" and removed:  # it changed its key after its removal, which nobody need believe
            assert oracle.elements[place].signature and self._keyless(oracle, told.author), f"invalid: {told}"
            return True
        back = bytes.fromhex(place[1]) in self.went_back and place not in oracle.vouched
        return status in ("held", "disputed") and (removed or back)

    def _removed(self, oracle: Oracle, author: str) -> bool:
        """Whether an author is, or was for a while, no member by what is held: it may have been let in again by who
        had not heard of its new key."""
        members = oracle.members
        return author in members.ends or author not in members.keys or self._keyless(oracle, author)

    def _apart(self, oracle: Oracle, whole: Oracle, place: tuple[str, str], told: Told, disk: Store) -> None:
        """An entry may wait for another of its till that nobody here will get: documents come each by itself, and who
        was removed before all had come is told nothing more, not even that. `whole` is what is here with all that
        the till wrote and only those have who do not link with anybody here any more. By that the entry counts. Here
        it is promised only to be shown, and named by a removal of its till where something behind it is signed.
        """
        status = oracle.status[place]
        if whole.status[place] not in ("counted", "duplicate"):
            assert self._left_out(whole, place, told), f"what was confirmed is {status}, whatever comes: {told}"
            return
        first = oracle.elements[place]
        assert _counts(whole)[first.id, first.content()] == 1, f"what was confirmed would count not once: {told}"
        unheard = [e for p, e in whole.elements.items() if e.kind == "key" and p not in oracle.elements]
        rekeyed = any(e.till == told.author and e.hash in whole.members.stands for e in unheard)
        # signed with a key that nobody here has heard of, it is invalid for as long
        waits = status in ("held", "disputed") or (status == "invalid" and first.signature and rekeyed)
        assert waits, f"what was confirmed is {status}: {told}"
        ends = [end for end in _ends(oracle, first) if _passed(oracle, first, end[1])]
        if status == "disputed" and ends:
            named = points_of(disk, self._world.shop, first.till, vouched_only=False)
            assert set(ends) & set(named), f"no removal would name {first.kind} {first.id}"
        self._world.did("a till's entry without another that it waits for")

    def _unreached(self, oracle: Oracle, place: tuple[str, str], disk: Store) -> bool:
        """Whether an entry waits for one behind it that went with its till's only disk, and over which that till had
        signed: nobody can tell then whether it was that one's past. What is promised still: it is shown, and
        whoever removes the lost till names it, so that it counts."""
        if oracle.status[place] != "disputed":
            return False
        first = oracle.elements[place]
        gone = {self.places[hash] for hash in self.gone}
        for run, seq, hash in _ends(oracle, first):
            if (first.till, run, seq + 1) in gone and _passed(oracle, first, seq):
                named = points_of(disk, self._world.shop, first.till, vouched_only=False)
                assert (run, seq, hash) in named, f"no removal would name {first.kind} {first.id}"
                return True
        return False

    @staticmethod
    def _rekeyed(oracle: Oracle, author: str) -> int | None:
        """The number of an author's first change of key that is held; None where none is."""
        held = [e.seq for e in oracle.elements.values() if e.till == author and e.hash in oracle.members.held
                and e.kind == "key"]  # fmt: skip
        return min(held, default=None)

    def _keyless(self, oracle: Oracle, author: str) -> bool:
        """Whether a change of an author's key is held."""
        return self._rekeyed(oracle, author) is not None

    def _forgeries(self, oracle: Oracle) -> None:
        """Nothing counts that nobody rang, and nothing that was forged."""
        elements = oracle.elements
        back = {element.run for (_, hash), element in elements.items() if bytes.fromhex(hash) in self.went_back}
        silent, thieves = set(oracle.members.ends), self._world.thieves
        for place in oracle.counted("sale"):
            element, hash = elements[place], bytes.fromhex(place[1])
            if hash in self.forged:
                # the tail of a run whose till never came back to it has nobody to tell the forged from the true
                alone = element.run in back or element.till in silent or place[1] in oracle.members.accepted
                assert alone or element.till in thieves, f"a forged sale counts: {element.raw!r}"
            elif element.till not in thieves:
                rung = self.tried.get(element.id, ())
                assert element.body["total"] in rung, f"a sale that nobody rang: {element.raw!r}"

    def _numbers(self, oracles: dict[str, Oracle]) -> None:
        """No till ever skips a number or gives one twice, whoever belongs to the shop meanwhile and whatever counts: so
        its own disk has all that it wrote, and nobody has anything else of it. What counts of it has no gap either,
        unless a manager took a forger's word.

        Other disks may lack some: whoever was removed before it heard of what had gone before may have one document of
        a till without the other. That is named as missing there, which `check_ledger` looks at."""
        forged = {hash.hex() for hash in self.forged}
        for machine in self._world.machines:
            if not machine.writes or machine.hostile:
                continue
            oracle, who = oracles[machine.running.root()], machine.key.id
            wrote = {hash for _, hash in oracle.elements} - forged
            for numbers in oracle.numbers(who, of=wrote):
                assert numbers == list(range(1, len(numbers) + 1)), f"{machine.name} wrote {numbers}"
            for other in oracles.values():
                strange = {e.raw for e in other.elements.values() if e.till == who and e.hash not in wrote | forged}
                assert not strange, f"{machine.name} never wrote what others have of it: {sorted(strange)[0]!r}"
            if who in oracle.members.now and not oracle.members.accepted & forged:
                # what was signed with a key that nobody need believe is invalid; up to there nothing is left out
                until = self._rekeyed(oracle, who)
                for numbers in oracle.numbers(who, until=until):
                    assert numbers == list(range(1, len(numbers) + 1)), f"{machine.name} numbers {numbers}"

    def lights(self) -> None:
        """Whoever is said to hold an entry has it on its disk, forged ones too. (A disk that went back takes more with
        it than it can tell, until its next connection; and a thief may say what it likes of itself.)"""
        world = self._world
        honest = {machine.key.id: machine for machine in world.machines if not machine.hostile}
        held = {who: _held(machine) for who, machine in honest.items() if machine.up}
        for machine in world.machines:
            if not machine.up or machine.old:
                continue
            reports = Reports(machine.disk, world.shop, here=machine.key.id)
            for document, hash, raw in machine.disk.read.execute(
                "SELECT d.name, e.hash, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
                " WHERE e.author <> ''"
            ).fetchall():
                lacking = {who for who in held if hash not in held[who]}
                false = lacking & reports.holders(decode(document, raw)) if lacking else lacking
                names = [honest[who].name for who in false]
                assert not false, f"{machine.name} believes that {names} hold what they do not: {hash.hex()[:16]}"

    def waiting(self) -> dict[str, int]:
        """How many entries of each till no other device is known to hold."""
        found = {}
        for machine in self._world.machines:
            if machine.writes:
                books = Reports(machine.disk, self._world.shop, here=machine.key.id)
                found[machine.name] = books.waiting(machine.key.id)
        return found

    def _on_purpose(self, problem: str, oracle: Oracle) -> bool:
        """Whether what `posline verify` names is what was done to this shop."""
        if "in the ledger and" in problem or "by the rules" in problem:
            return False
        for place, status in oracle.status.items():
            if status in ("invalid", "held", "disputed"):
                element = oracle.elements[place]
                if (element.id if element.placed else place[1][:16]) in problem and status in problem:
                    return True
        gaps = "lacks" in problem and "number" in problem
        world = self._world
        apart = world.rewound or world.twins or world.reshaped or bool(self.forged)
        return apart and ("went on twice" in problem or gaps)


def _counts(oracle: Oracle) -> dict[tuple[str, str], int]:
    """How often what has this id and this content counts."""
    once: dict[tuple[str, str], int] = defaultdict(int)
    for place, status in oracle.status.items():
        if status == "counted":
            element = oracle.elements[place]
            once[element.id, element.content()] += 1
    return once


def _ends(oracle: Oracle, first: Element) -> list[tuple[int, int, str]]:
    """Where the chain from this element on ends in its run, as (run, number, hash)."""
    own = [e for e in oracle.elements.values() if (e.till, e.run) == (first.till, first.run)]
    ends, work = [], [first]
    while work:
        here = work.pop()
        following = [e for e in own if e.seq == here.seq + 1 and e.prev == here.hash[:24]]
        work += following
        if not following:
            ends.append((here.run, here.seq, here.hash))
    return ends


def _passed(oracle: Oracle, first: Element, seq: int) -> bool:
    """Whether its run has no entry with the next number, and a vouched one behind that."""
    own = [(p, e) for p, e in oracle.elements.items() if (e.till, e.run) == (first.till, first.run)]
    return all(e.seq != seq + 1 for _, e in own) and any(e.seq > seq and p in oracle.vouched for p, e in own)


def check_ledger(machine: Machine, shop: str) -> Oracle:
    """Hold one machine's ledger, days, settings and products against the independent checker, over just what it holds;
    returns the checker's answer."""
    rows = machine.disk.read.execute(
        "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
    ).fetchall()
    oracle = Oracle(rows, shop)
    _check_statuses(machine, shop, oracle)
    reports = Reports(machine.disk, shop, here=machine.key.id)
    days = oracle.days()
    assert reports.days() == sorted(days), f"{machine.name} has the days {reports.days()}, by the rules {sorted(days)}"
    for day, places in days.items():
        unlike = differences(oracle.report(day, places), shown(reports.day(day)))
        assert not unlike, f"{machine.name} reports {day} otherwise: {unlike[:600]}"
    for name, value in oracle.settings().items():
        assert reports.setting(name) == value, f"{machine.name} reads {reports.setting(name)} as {name}, not {value}"
    for sku, product in oracle.products(reports.catalogue).items():
        found = reports.product(sku)
        assert found is not None, f"{machine.name} has no product {sku}"
        assert found["price"] == product["price"], f"{machine.name} sells {sku} at {found['price']}"
    return oracle


def _check_statuses(machine: Machine, shop: str, oracle: Oracle) -> None:
    ours = oracle.verdicts()
    theirs = {place: (s.value, vouched, kept) for place, (s, vouched, kept) in statuses(machine.disk, shop).items()}
    if ours != theirs:
        wrong = sorted(place for place in ours.keys() | theirs.keys() if ours.get(place) != theirs.get(place))
        place = wrong[0]
        raise AssertionError(
            f"{machine.name} judges {len(wrong)} of {len(ours)} elements otherwise, the first {place[0]}"
            f" {place[1].hex()[:16]}: {theirs.get(place)}, by the rules {ours.get(place)}:"
            f" {oracle.elements[place[0], place[1].hex()].raw[:300]!r}"
        )


def _reports(machine: Machine, shop: str) -> list[str]:
    """All that a machine says of its days, and what it warns of."""
    reports = Reports(machine.disk, shop, here="")
    said = [json.dumps(reports.day(day), sort_keys=True) for day in reports.days()]
    settings = json.dumps(reports.settings(""), sort_keys=True)
    return [*said, settings, json.dumps(reports.products(), sort_keys=True), str(sorted(map(str, reports.alarms())))]


def _held(machine: Machine) -> set[bytes]:
    return {hash for (hash,) in machine.disk.read.execute("SELECT hash FROM entry")}
