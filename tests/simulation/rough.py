"""A rougher shop: besides what `tests.simulation.world` does, members forge, lines garble and stall, ids are rung at
two tills, disks fill up in the middle of a transaction. And a book kept apart, entry by entry: what each cashier saw
confirmed, what lay on disks that went back, what was forged.
"""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posline.core.document import lone_update
from posline.core.entry import Entry, decode
from posline.core.status import Status
from posline.errors import DiskFull, Refused
from posline.storage.records import Staged
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from tests.kit import DAY, key_of, statuses
from tests.simulation.world import MESSAGE_BYTES_MAX, Line, Machine, World

COUNTS = (Status.COUNTED, Status.DUPLICATE)


@dataclass(frozen=True)
class Receipt:
    """What a cashier was told."""

    id: str
    total: int
    author: str


class Rough(World):
    """The shop, and the book about it."""

    def __init__(self, folder: Path, seed: int, *, tills: int, relay: bool) -> None:
        self.acknowledged: dict[bytes, Receipt] = {}
        self.went_back: set[bytes] = set()  # entries that lay on a disk which was then put back to before them
        self.gone: set[bytes] = set()  # of those, the ones that lay nowhere else
        self.forged: set[bytes] = set()
        self.stalled: set[tuple[int, int]] = set()
        self.totals: dict[str, set[int]] = defaultdict(set)  # every sale that was tried
        super().__init__(folder, seed, tills=tills, relay=relay)

    # -- the shop's work -----------------------------------------------------------------------------------------------

    def ring(self, machine: Machine) -> None:
        """A sale; or one that another till has rung too, as it was or changed."""
        replica = machine.running
        if not replica.founding:
            return
        again = self.totals and self.random.random() < 0.08
        id = self.random.choice(sorted(self.totals)) if again else str(uuid.UUID(int=self.random.getrandbits(128)))
        total = self.random.randint(1, 100_000)
        if again and self.random.random() < 0.7:
            total = self.random.choice(sorted(self.totals[id]))
        self.totals[id].add(total)
        fields = {"lines": [{"sku": "1", "quantity": "1", "price": total}], "total": total}
        replica.write("sale", fields, id=id, request=b"{}")

    def edit(self) -> None:
        """A till changes a setting or a price: its run goes on in another document."""
        running = [m for m in self.machines if m.up and m.writes and m.running.founding]
        if not running:
            return
        replica, value = self.random.choice(running).running, self.random.randint(1, 1000)
        if self.random.random() < 0.5:
            replica.write("setting", {"name": f"name {value % 3}", "value": value}, document="shop")
        else:
            product = {"sku": f"sku {value % 3}", "name": "tea", "price": value}
            replica.write("products", {"products": [product]}, document="catalog/1")

    def commit(self, machine: Machine, *, fails: bool = False, dies: bool = False) -> None:
        """Commit what is staged; `fails` is a disk with no room left, found out inside the transaction."""
        replica = machine.running
        if not replica.staged:
            return
        batch = replica.staged[: self.random.choice((1, 3, 512))]
        if fails:
            fill(machine.disk)
        try:
            commit = machine.disk.commit(batch)
        except DiskFull:
            assert fails
            replica.reset()
            machine.switchboard.failed([self.shop])
            return
        finally:
            machine.disk._db.execute("PRAGMA max_page_count=1000000")
        if dies:
            self.kill(machine)
            return
        replica.release(batch, commit)
        for staged in batch:
            self._confirm(staged)
        machine.switchboard.released(batch, commit)

    def _confirm(self, staged: Staged) -> None:
        if staged.own and staged.entries[0].kind == "sale":
            entry = staged.entries[0]
            self.acknowledged[entry.hash] = Receipt(entry.id, entry.amount, entry.till)

    # -- lines ---------------------------------------------------------------------------------------------------------

    def carry(self, line: Line, direction: int) -> bool:
        """A message arrives, unless its direction of the line stands still."""
        if (id(line), direction) in self.stalled:
            return False
        return super().carry(line, direction)

    def stall(self) -> None:
        """One direction of a line stands still; the other goes on."""
        if self.lines:
            self.stalled.add((id(self.random.choice(self.lines)), self.random.getrandbits(1)))

    def garble(self) -> None:
        """A message arrives cut short or with a letter wrong, or not at all, and then the connection is gone."""
        if not self.lines:
            return
        line, direction = self.random.choice(self.lines), self.random.getrandbits(1)
        queue = line.under_way[direction]
        if queue:
            message = bytearray(queue.popleft())
            if self.random.random() < 0.5:
                message = message[: self.random.randint(0, len(message))]
            elif message:
                message[self.random.randrange(len(message))] ^= 1 << self.random.getrandbits(3) % 8
                if not _harmless(bytes(message)):
                    message = bytearray()
            line.machines[1 - direction].switchboard.received(line.links[1 - direction], bytes(message), self.now)
        self.cut(line)

    # -- disks ---------------------------------------------------------------------------------------------------------

    def put_back(self, machine: Machine, copy: Path) -> None:
        """The disk is what it was once."""
        before = self._hashes(machine)
        others: set[bytes] = set()
        for other in self.machines:
            if other is not machine:
                others |= self._hashes(other)
        super().put_back(machine, copy)
        lost = before - self._hashes(machine)
        self.went_back |= lost
        self.gone |= lost - others

    def _hashes(self, machine: Machine) -> set[bytes]:
        store = machine.store or Store.open(machine.path)
        found = {hash for (hash,) in store.read.execute("SELECT hash FROM entry")}
        if machine.store is None:
            store.close()
        return found

    # -- a member that forges ------------------------------------------------------------------------------------------

    def forge(self) -> None:
        """A member writes under another's name what only the other may write."""
        running = [m for m in self.machines if m.up]
        if not running:
            return
        machine = self.random.choice(running)
        replica = machine.running
        journals = [name for name in replica.documents() if name.startswith("journal/")]
        if not journals:
            return
        document = self.random.choice(journals)
        rows = machine.disk.read.execute(
            "SELECT raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE d.name = ?"
            " AND e.kind IN ('sale', 'run', 'seal') ORDER BY e.n DESC LIMIT 20",
            (document,),
        ).fetchall()
        if not rows:
            return
        victim = decode(document, self.random.choice(rows)[0])
        if victim.fault is not None:
            return
        entry = self._forgery(victim)
        update = lone_update(self.random.getrandbits(53) or 1, victim.till, [entry.raw.decode()])
        self.forged.add(entry.hash)
        try:
            replica.integrate(document, update, origin="thief")
        except Refused:
            return

    def _forgery(self, victim: Entry) -> Entry:
        fields: dict[str, Any] = {
            "v": 1, "id": str(uuid.UUID(int=self.random.getrandbits(128), version=4)), "kind": "sale",
            "till": victim.till, "run": victim.run, "seq": victim.seq, "prev": victim.prev, "at": victim.at,
            "day": victim.day, "by": "", "number": self.random.randint(1, 50), "label": "X",
            "lines": [{"sku": "1", "quantity": "1", "price": 666_666}], "total": 666_666,
        }  # fmt: skip
        how = self.random.choice(("number", "next", "far", "run", "signed", "stranger"))
        if how == "next":
            fields |= {"seq": victim.seq + 1, "prev": victim.hash.hex()[:24]}
        elif how == "far":
            fields |= {"seq": 2**53 - 1}
        elif how == "run":
            fields |= {"run": self.random.getrandbits(53), "seq": 1, "prev": ""}
        elif how == "stranger":
            fields |= {"id": victim.id, "till": key_of("a stranger").id}
        raw = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        if how == "signed":
            raw = raw[:-1] + ',"sig":"' + "A" * 86 + '"}'
        return decode(f"journal/{victim.day or DAY}", raw.encode())

    # -- the book against the shop -------------------------------------------------------------------------------------

    def audit(self) -> None:
        """All agree, and each of the book's lines is borne out."""
        self.stalled.clear()
        first = self.machines[0]
        verdicts = statuses(first.disk, self.shop)
        elements = _elements(first.disk, self.shop)
        books = [Reports(m.disk, self.shop, here=m.key.id) for m in self.machines]
        days = books[0].days()
        report = {day: json.dumps(books[0].day(day), sort_keys=True) for day in days}
        for machine, book in zip(self.machines, books, strict=True):
            assert statuses(machine.disk, self.shop) == verdicts, machine.name
            assert book.days() == days
            assert {day: json.dumps(book.day(day), sort_keys=True) for day in days} == report, machine.name
            for which in range(3):
                assert book.setting(f"name {which}") == books[0].setting(f"name {which}"), machine.name
                assert book.product(f"sku {which}") == books[0].product(f"sku {which}"), machine.name
        standing = {hash: verdict[0] for (_, hash), verdict in verdicts.items()}
        vouched = _vouched(elements)
        for hash, receipt in self.acknowledged.items():
            status = standing.get(hash)
            if status is None:
                assert hash in self.gone, f"a confirmed sale is missing: {receipt}"
            elif status not in COUNTS:
                # the rules leave only this: unsigned last sales of a disk that went back, which nobody can vouch for
                assert hash in self.went_back, f"a confirmed sale is {status}: {receipt}"
                assert hash not in vouched, f"a confirmed and signed sale is {status}: {receipt}"
        counted: dict[tuple[str, int], int] = defaultdict(int)
        for hash, entry in elements.items():
            if entry.kind == "sale" and standing[hash] is Status.COUNTED and hash not in self.forged:
                counted[entry.id, entry.amount] += 1
                assert entry.amount in self.totals[entry.id], "a sale that nobody rang"
        assert all(times == 1 for times in counted.values()), "a sale counts twice"
        for hash, receipt in self.acknowledged.items():
            if standing.get(hash) in COUNTS:
                assert counted[receipt.id, receipt.total] == 1, f"a confirmed sale counts for nothing: {receipt}"
        lost_runs = {elements[h].run for h in self.went_back if h in elements}
        for hash in self.forged & standing.keys():
            # the tail of a run whose till never came back to it has nobody to tell the forged from the true
            assert standing[hash] not in COUNTS or elements[hash].run in lost_runs, elements[hash].raw
        amount = sum(e.amount for h, e in elements.items() if e.kind == "sale" and standing[h] is Status.COUNTED)
        assert sum(book["sales"]["total"] for book in map(books[0].day, days)) == amount
        if not self.rewound:
            self._numbers(elements, standing)
            for machine, book in zip(self.machines, books, strict=True):
                assert book.waiting(machine.key.id) == 0, f"{machine.name} waits for a light that never comes"
        for machine in self.machines:
            for problem in verify(machine.disk, self.shop):
                assert self._on_purpose(problem, elements), f"{machine.name}: {problem}"
        assert self.largest <= MESSAGE_BYTES_MAX

    def lights(self) -> None:
        """At any moment: whoever is said to hold an entry has it on its disk. (A disk that went back takes more with it
        than it can tell, until its next connection.)"""
        if self.rewound:
            return
        held = {machine.key.id: self._hashes(machine) for machine in self.machines}
        for machine in self.machines:
            if machine.up:
                rows = machine.disk.read.execute("SELECT store, seq, author, run FROM have").fetchall()
                rows += [(store, mark.seq, mark.author, mark.run) for (*_, store), mark in machine.disk._haves.items()]
                for store, _, author, run in rows:
                    mark = machine.disk.haves(self.shop, author, run).get(store)
                    if mark is not None and store in held:
                        lacking = {
                            hash
                            for (hash,) in machine.disk.read.execute(
                                "SELECT hash FROM entry WHERE author = ? AND run = ? AND seq <= ? AND vouched = 1",
                                (author, run, mark.seq),
                            )
                        } - held[store]
                        assert not lacking, f"{machine.name} believes that {store} holds what it does not"

    def _numbers(self, elements: dict[bytes, Entry], standing: dict[bytes, Status]) -> None:
        """No till's numbers have a gap or a number twice."""
        for machine in self.machines:
            mine = [e for h, e in elements.items() if e.till == machine.key.id and standing[h] in COUNTS]
            assert sorted(e.seq for e in mine) == list(range(1, len(mine) + 1)), machine.name
            receipts = sorted(e.number for e in mine if e.number is not None)
            assert receipts == list(range(1, len(receipts) + 1)), machine.name

    def _on_purpose(self, problem: str, elements: dict[bytes, Entry]) -> bool:
        """Whether what `posline verify` names is what was done to this shop."""
        for hash in self.forged | self.went_back:
            entry = elements.get(hash)
            called = hash.hex()[:16] if entry is None or not entry.id else entry.id
            if called in problem and any(word in problem for word in ("invalid", "held", "disputed")):
                return "in the ledger and" not in problem
        return self.rewound and ("went on twice" in problem or ("lacks" in problem and "number" in problem))


def _harmless(message: bytes) -> bool:
    """Whether a garbled message cannot pass for another honest one: TCP and TLS would not let it, and what a letter
    changes inside an entry is that entry's signature's business, not a line's."""
    from posline.sync.frames import Update, decode

    try:
        return not isinstance(decode(message), Update)
    except Refused:
        return True


def _elements(store: Store, shop: str) -> dict[bytes, Entry]:
    rows = store.read.execute(
        "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE e.shop = ?",
        (store.shop_key(shop),),
    )
    return {entry.hash: entry for name, raw in rows for entry in [decode(name, raw)]}


def _vouched(elements: dict[bytes, Entry]) -> set[bytes]:
    """What lies on a chain behind a signature, worked out here from the bytes alone."""
    short: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for hash, entry in elements.items():
        short[entry.till, hash.hex()[:24]].append(hash)
    work = [h for h, e in elements.items() if e.signature is not None and e.fault is None and e.signature != bytes(64)]
    found: set[bytes] = set()
    while work:
        hash = work.pop()
        if hash in found:
            continue
        found.add(hash)
        work += short[elements[hash].till, elements[hash].prev]
    return found


def fill(store: Store) -> None:
    """No room is left on the disk."""
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")


def chance_of(seed: int) -> random.Random:
    """The randomness of one run."""
    return random.Random(f"rough {seed}")
