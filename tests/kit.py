"""What tests of entries, ledgers and replicas share: authors that write chains by hand, and clocks that stand still."""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from posline.core.clock import Clock
from posline.core.document import lone_update
from posline.core.entry import Entry, decode, encode, sign
from posline.core.kinds import SIGNED_KINDS
from posline.core.members import key_proof, shop_id
from posline.core.status import Status
from posline.core.update import read_update
from posline.replica import Replica, found
from posline.storage.records import Staged
from posline.storage.store import Store
from posline.trust.keys import Key

DAY = "2026-11-23"
JOURNAL = f"journal/{DAY}"
NOON_MS = 1_795_417_200_000  # 2026-11-23T12:00:00+05:00


def text_key(key: bytes) -> str:
    """A public key as entries write it."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def key_of(name: str) -> Key:
    """A key that is the same at each call."""
    return Key(random.Random(name).randbytes(32))


@dataclass
class Writer:
    """An author that writes its chain by hand, rightly or wrongly as the test says."""

    name: str
    run: int = 0
    seq: int = 0
    number: int = 0
    last: Entry | None = None
    entries: list[Entry] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)  # the last entry of each author in the shop's document

    def __post_init__(self) -> None:
        self.key = key_of(self.name)  # an author is named after its first key, whichever it signs with later
        self.id = self.key.id
        self.random = random.Random(self.name)

    def write(self, kind: str, fields: dict[str, Any], *, document: str = JOURNAL, **over: Any) -> Entry:
        """The next entry of the chain; `over` replaces fields of the envelope, and leaves the chain where it was."""
        envelope = {
            "v": 1,
            "id": str(uuid.UUID(int=self.random.getrandbits(128), version=4)),
            "kind": kind,
            "till": self.id,
            "run": self.run,
            "seq": self.seq + 1,
            "prev": self.last.hash.hex()[:24] if self.last is not None else "",
            "at": "2026-11-23T12:00:00.000+05:00",
            "day": DAY,
            "by": "",
        } | over
        if document == "shop":
            fields = {"seen": dict(self.seen)} | fields
        fields = envelope | fields
        signed = kind in SIGNED_KINDS or document == "shop"
        text = sign(fields, self.key.sign) if signed else encode(fields)
        entry = decode(document, text.encode())
        assert entry.fault is None, entry.fault
        if not over.keys() & {"seq", "prev", "till", "run"}:
            self.seq, self.last = self.seq + 1, entry
            self.entries.append(entry)
            if document == "shop":
                self.seen[self.id] = entry.hash.hex()
        return entry

    def hear(self, *others: Writer) -> None:
        """Learn what the others know of the shop."""
        for other in others:
            self.seen |= other.seen

    def begin(self, run: int | None = None, **over: Any) -> Entry:
        """Start a run behind the last entry."""
        after = None
        if self.last is not None:
            after = {"run": self.last.run, "seq": self.last.seq, "hash": self.last.hash.hex()}
        self.run = run if run is not None else self.random.getrandbits(53)
        return self.write("run", {"after": after, "label": self.name[:6].upper()}, **over)

    def sale(self, total: int = 100, **over: Any) -> Entry:
        """A sale of one thing."""
        chained = not over.keys() & {"seq", "prev", "till", "run"}
        fields = {
            "number": self.number + 1,
            "label": self.name[:6].upper(),
            "lines": [{"sku": "1", "quantity": "1", "price": total}],
            "total": total,
        }
        self.number += chained
        return self.write("sale", fields, **over)

    def seal(self, **over: Any) -> Entry:
        """A signature over everything before it."""
        return self.write("seal", {}, **over)

    def founding(self) -> Entry:
        """This author founds a shop."""
        return self.write(
            "founding",
            {
                "name": "Test",
                "key": text_key(self.key.public),
                "recovery": text_key(key_of("recovery").public),
                "currency": "PKR",
                "zone": "Asia/Karachi",
                "day_start": "04:00",
                "label": "A",
            },
            document="shop",
        )

    def admit(self, other: Writer, role: str = "manager") -> Entry:
        """This author admits another, who learns of it."""
        fields = {"key": text_key(key_of(other.name).public), "label": other.name[:6].upper(), "role": role}
        entry = self.write("member", fields, document="shop")
        other.hear(self)
        return entry

    def act(self, kind: str, fields: dict[str, Any], **over: Any) -> Entry:
        """An entry of the shop's document; `seen` among the fields lies about what this author had seen."""
        return self.write(kind, fields, document="shop", **over)

    def remove(self, other: Writer | str, *points: Entry, **lies: Any) -> Entry:
        """This author removes another, whose entries count as far as the chains behind these."""
        named = [[e.run, e.seq, e.hash.hex()] for e in points]
        return self.act("remove", {"member": other if isinstance(other, str) else other.id, "points": named} | lies)

    def set_role(self, other: Writer, role: str, **lies: Any) -> Entry:
        """This author makes another one manager or till."""
        return self.act("role", {"member": other.id, "role": role} | lies)

    def accept(self, *entries: Entry, **lies: Any) -> Entry:
        """This author accepts entries that are held or disputed."""
        return self.act("accept", {"entries": [e.hash.hex() for e in entries]} | lies)

    def rotate(self, name: str | None = None, *, proof: bytes | None = None, **over: Any) -> Entry:
        """This author changes its key, and signs with the new one from now on."""
        place = {"seq": self.seq + 1, "prev": self.last.hash.hex()[:24] if self.last is not None else ""} | over
        fresh = Key(random.Random(name or f"{self.name} {self.seq}").randbytes(32), self.id)
        made = fresh.sign(key_proof(self.id, place["seq"], place["prev"])) if proof is None else proof
        entry = self.act("key", {"key": text_key(fresh.public), "proof": text_key(made)}, **over)
        self.key = fresh
        return entry

    def twin(self) -> Writer:
        """A copy of this author as it is now: its thief, or its other life. What it writes from now on is its own."""
        other = Writer(self.name, self.run, self.seq, self.number, self.last, [], dict(self.seen))
        other.key = self.key
        other.random.seed(f"{self.name} {self.seq} twin")
        return other


def shop_of(*writers: Writer) -> str:
    """The first founds a shop and admits the others; each begins a run. Returns the shop's id."""
    founder, *others = writers
    founder.begin()
    shop = shop_id(founder.founding())
    for other in others:
        founder.admit(other)
        other.begin()
    return shop


def all_entries(*writers: Writer) -> list[Entry]:
    """Everything they wrote, in their own order."""
    return [entry for writer in writers for entry in writer.entries]


def staged(store: Store, shop: str, entries: Sequence[Entry], *, client: int) -> list[Staged]:
    """Updates that bring these entries, as a peer would send them; one for each stretch of one document and author."""
    made: list[Staged] = []
    for index, entry in enumerate(entries):
        update = lone_update(client + index, entry.till or "a" * 26, [entry.raw.decode()])
        read = read_update(update, {})
        made.append(Staged(shop, entry.document, update, read.before, read.after, [entry], "peer"))
    return made


def take(store: Store, shop: str, batches: Iterable[Sequence[Entry]]) -> None:
    """Commit the entries batch by batch."""
    client = 1 + sum(store.head(shop, name).n for name in store.documents(shop)) * 1000
    for batch in batches:
        store.commit(staged(store, shop, batch, client=client))
        client += len(batch)


def statuses(store: Store, shop: str) -> dict[tuple[str, bytes], tuple[Status, bool, bytes | None]]:
    """What the ledger says of every element: (status, vouched, duplicate of)."""
    from posline.storage.ledger import STATUSES

    rows = store.read.execute(
        "SELECT d.name, e.hash, e.status, e.vouched, e.kept FROM entry e"
        " JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE e.shop = ?",
        (store.shop_key(shop),),
    )
    return {(name, hash): (STATUSES[code], bool(vouched), kept) for name, hash, code, vouched, kept in rows}


class StillTime:
    """Wall, monotonic and synchronised time that move when told to."""

    def __init__(self, wall_ms: int = NOON_MS, *, synchronised: bool = True) -> None:
        self.wall_ms, self.mono_ms, self.synchronised = wall_ms, 1_000_000, synchronised

    def pass_ms(self, ms: int) -> None:
        """Let time go by."""
        self.wall_ms += ms
        self.mono_ms += ms

    def clock(self, *, last_own_ms: int | None = None, floor_ms: int = NOON_MS - 86_400_000) -> Clock:
        """A clock on this time."""
        return Clock(
            wall_ms=lambda: self.wall_ms,
            monotonic_ms=lambda: self.mono_ms,
            synchronised=lambda: self.synchronised,
            floor_ms=floor_ms,
            last_own_ms=last_own_ms,
        )


def commit(replica: Replica) -> None:
    """Commit and release what a replica has staged."""
    batch = list(replica.staged)
    replica.release(batch, replica.store.commit(batch))


def founded(name: str = "alif", time: StillTime | None = None, store: Store | None = None) -> Replica:
    """A new shop on a store in memory, committed."""
    key, time = key_of(name), time or StillTime()
    replica = found(
        store or Store.open(":memory:"),
        author=key,
        public_key=text_key(key.public),
        recovery_key=text_key(key_of("recovery").public),
        clock=time.clock(),
        random=random.Random(name),
        name="Test",
        currency="PKR",
        zone="Asia/Karachi",
        monotonic_ms=lambda: time.mono_ms,
    )
    commit(replica)
    return replica


def joined(first: Replica, name: str, time: StillTime | None = None, store: Store | None = None) -> Replica:
    """Another till, admitted by `first`, that holds nothing of the shop yet."""
    key, time = key_of(name), time or StillTime()
    first.write(
        "member", {"key": text_key(key.public), "label": name[:6].upper(), "role": "manager"}, document="shop"
    )
    commit(first)
    return Replica(
        store or Store.open(":memory:"),
        first.shop,
        author=key,
        clock=time.clock(),
        random=random.Random(name),
        documents=True,
        monotonic_ms=lambda: time.mono_ms,
    )


def sale(total: int = 100, sku: str = "1") -> dict[str, Any]:
    """The fields of a sale of one thing."""
    return {"lines": [{"sku": sku, "quantity": "1", "price": total}], "total": total}


def send(source: Replica, target: Replica) -> None:
    """Bring `target` everything that `source` has committed and it lacks, document by document."""
    for document in sorted(source.documents(), reverse=True):
        after = 0
        while rows := source.rows(document, after, 256):
            for row in rows:
                target.integrate(document, row.update, origin=source.store_id)
            after = rows[-1].n
    commit(target)
