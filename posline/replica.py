"""A replica: stage, commit, release.

`write` and `integrate` only stage, in memory. A store's `commit` writes what is staged, and only then `release` lets it
out. Everything that leaves (answers to peers, state vectors, digests, acknowledgements) is read from committed rows,
never from the documents in memory: a staged element that leaked and then failed to commit would make a peer drop the
next confirmed sale.

Time, randomness, the key and the store are handed in; nothing here knows a socket or a thread.

The numbers of an author's entries, and when it begins a new run, are decided here (docs/protocol.md, "Authors, runs,
chain"); what entries are worth is the ledger's business.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from posline.core.base64url import base64url
from posline.core.clock import Clock, Reading, iso, parse_iso
from posline.core.document import Document, lone_update
from posline.core.entry import Entry, compose, decode
from posline.core.kinds import MEMBERSHIP, NUMBERED, SIGNED_KINDS
from posline.core.members import key_proof, shop_id
from posline.core.segment import elements
from posline.core.status import SHORT
from posline.core.update import MAX_UPDATE_BYTES, MAX_UPDATE_ELEMENTS, StateVector, clip, read_update
from posline.errors import Mismatch, Refused
from posline.storage.committed import Committed
from posline.storage.effects import CUSTOMERS
from posline.storage.records import Commit, Mark, Staged
from posline.storage.store import Store

__all__ = ["Alarm", "Author", "Random", "Replica", "Successor", "found", "is_document"]

SEAL_S = 180.0  # how long unsigned entries wait for a signature while nothing else calls for one
UNHEARD_RUNS_MAX = 2000  # that one store may say it holds: far more than a till begins in a month
NEW_RUN_S = 60.0  # between new runs that somebody else's writing provoked: a flood of forgeries must not make one each
UNCERTAIN_KEPT = 100_000  # entries written without a confirmed clock that can be redated, 10 MB
# the last of each author among some rows
_LAST = "SELECT {0}, lower(hex(hash)) FROM (SELECT {0}, hash, row_number() OVER (PARTITION BY {0} ORDER BY seq DESC,"
_LAST += " hash) AS place FROM {1}) rows WHERE place = 1"
JOURNAL_EDITS = {  # kinds of edits that lie in the journals, and how the last ones of each author are found
    "redate": _LAST.format("writer", "redate WHERE shop = ?"),
    "customer": _LAST.format("author", f"edit WHERE shop = ? AND document = {CUSTOMERS}"),
}
_EDITS = _LAST.format("author", "entry WHERE shop = ? AND document = ? AND day IS NULL AND status = 0")
SIGNATURES = frozenset({"run", "seal"})  # kinds that say nothing but what their author stands by
CLIENT_BITS = 53  # what Yjs can hold
_DOCUMENT = re.compile(r"shop|catalog/[1-9][0-9]{0,5}|journal/20[2-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


class Author(Protocol):
    """Whoever writes: an author id and its signature."""

    @property
    def id(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


class Successor(Author, Protocol):
    """The same author with a new key."""

    @property
    def public(self) -> bytes: ...


class Random(Protocol):
    """Randomness, as `random.Random` gives it."""

    def getrandbits(self, k: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should know: what happened, in words, and since when (milliseconds)."""

    kind: str
    detail: str


def is_document(name: str) -> bool:
    """Whether a shop can have a document of this name."""
    return _DOCUMENT.fullmatch(name) is not None


class Replica(Committed):
    """One shop's documents and ledger on this device."""

    def __init__(
        self,
        store: Store,
        shop: str,
        *,
        author: Author | None,
        clock: Clock | None,
        random: Random,
        documents: bool,
        store_id: str | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        monotonic_ms: Callable[[], int] | None = None,
    ) -> None:
        """`author` and `clock` are None at a head office that writes nothing in this shop; `sign` is its key's, for
        what it says of itself. With `documents`, the documents that this device writes are kept in memory; without,
        none is (2,000 shops' days would be 1.6 GB)."""
        super().__init__(store, shop)
        self.author, self.clock = author, clock
        self._sign = sign
        self.store_id = author.id if author is not None else store_id or ""
        self.alarms: dict[str, Alarm] = {}
        self.staged: list[Staged] = []
        self.unsure = False  # what this disk wrote last is not known: whoever set it says so before the first run
        self.in_step: set[str] = set()  # stores that held just what is here, once
        self._random, self._keep = random, documents
        self._monotonic = monotonic_ms or (lambda: 0)
        self._open: dict[str, Document] = {}
        self._ahead: dict[str, StateVector] = {}  # states that include what is staged
        self._touched: dict[tuple[str, int], None] = {}
        self._run: int | None = None
        self._run_day = ""
        self._last: tuple[int, int, bytes] | None = None  # run, seq, hash of the last own entry
        self._seq = self._number = 0
        self._label = ""
        self._seen: dict[str, dict[str, str]] = {}
        self._unsealed = 0
        self._seal_now = False
        self._sealed_s: float | None = None
        self._new_run = False
        self._new_run_s: float | None = None
        self._unheard: dict[str, set[tuple[str, int]]] = {}  # what each store says it holds of runs that are not here
        self._former: tuple[Author, Staged] | None = None  # who signed before a change of key that is not committed yet
        self._uncertain: list[tuple[int, int, str, int]] = []  # run, seq, day, monotonic ms
        self._recall()

    # -- writing -----------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """The label on this till's receipts, as its membership or a later setting says. A till whose admission came to
        nothing, since who admitted it was removed, sells on all the same."""
        if self.author is None or self._label:
            return self._label
        member = self.store.authority(self.shop).everyone.get(self.author.id)
        return member.label if member is not None else self.author.id[:6].upper()

    def relabel(self, label: str) -> None:
        """Use another label from the next run on."""
        self._label = label
        self._run = None

    def write(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        id: str | None = None,
        document: str | None = None,
        by: str = "",
        request: bytes | None = None,
    ) -> Staged:
        """Stage one entry of our own: its number, its place in the chain, its signature where it needs one.

        `document` is the business day's journal unless given. With `request`, that normal form of what was asked is
        kept beside the entry. Raises BadEntry when the entry would break the rules; then nothing is staged.
        """
        reading = self._now()
        day = self.day(reading.at_ms)
        if self._run is None or self._run_day != day:
            self._begin_run(reading, day)
        return self._append(kind, fields, reading, day, id=id, document=document, by=by, request=request)

    def rotate(self, successor: Successor) -> Staged:
        """Stage the change to a new key: the old one signs it, the new one proves itself, and signs from then on. Where
        the commit fails the old one stays."""
        assert self.author is not None and successor.id == self.author.id and self._former is None, "one at a time"
        reading = self._now()
        day = self.day(reading.at_ms)
        if self._run is None or self._run_day != day:
            self._begin_run(reading, day)
        prev = self._last[2].hex()[:SHORT] if self._last is not None else ""
        proof = successor.sign(key_proof(self.author.id, self._seq + 1, prev))
        fields = {"key": base64url(successor.public), "proof": base64url(proof)}
        staged = self._append("key", fields, reading, day, document="shop")
        self._former, self.author = (self.author, staged), successor
        return staged

    def _now(self) -> Reading:
        assert self.clock is not None, "a replica without a clock writes nothing"
        return self.clock.now()

    def _begin_run(self, reading: Reading, day: str) -> None:
        """Start a run behind the last entry that this disk wrote; its signature vouches for what went before. Its
        numbers go on behind what others wrote under this name and is vouched for; inside a run they never jump."""
        if self.author is not None:
            seq, number = self.store.written_elsewhere(self.shop, self.author.id)
            self._seq, self._number = max(self._seq, seq), max(self._number, number)
        if self.unsure:  # to go on from what is here would cut off what is not, and that may have been confirmed
            self._last, self.unsure = None, False
        last = self._last
        after = None if last is None else {"run": last[0], "seq": last[1], "hash": last[2].hex()}
        self._run, self._run_day = self._random.getrandbits(CLIENT_BITS) or 1, day
        self._new_run = False
        self._append("run", {"after": after, "label": self.label}, reading, day)

    def _append(
        self,
        kind: str,
        fields: Mapping[str, Any],
        reading: Reading,
        day: str,
        *,
        id: str | None = None,
        document: str | None = None,
        by: str = "",
        request: bytes | None = None,
    ) -> Staged:
        assert self.author is not None and self._run is not None
        name = document or f"journal/{day}"
        envelope: dict[str, Any] = {
            "v": 1,
            "id": id or str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            "kind": kind,
            "till": self.author.id,
            "run": self._run,
            "seq": self._seq + 1,
            "prev": self._last[2].hex()[:SHORT] if self._last is not None else "",
            "at": iso(reading.at_ms, self.zone),
            "day": day,
            "by": by,
        }
        if reading.trust != "confirmed":
            envelope["clock"] = reading.trust
        if kind in NUMBERED:
            envelope |= {"number": self._number + 1, "label": self.label}
        envelope |= fields
        edited = kind if kind in JOURNAL_EDITS else name
        if edited == "shop" or edited.startswith("catalog/") or edited in JOURNAL_EDITS:
            envelope["seen"] = self._seen_in(edited)
        signed = kind in SIGNED_KINDS or name == "shop"
        entry = compose(name, envelope, self.author.sign if signed else None)
        staged = self._stage_own(name, entry, id, request)
        self._seq += 1
        self._number += kind in NUMBERED
        self._last = (self._run, self._seq, entry.hash)
        self._unsealed = 0 if signed and kind not in MEMBERSHIP else self._unsealed + (not signed)  # an act may fall
        if "seen" in envelope:
            self._seen.setdefault(edited, {})[self.author.id] = entry.hash.hex()
        if reading.trust != "confirmed" and len(self._uncertain) < UNCERTAIN_KEPT and name.startswith("journal/"):
            self._uncertain.append((self._run, self._seq, day, self._monotonic()))
        assert self.clock is not None
        self.clock.written(reading.at_ms, reading.trust)
        return staged

    def _stage_own(self, name: str, entry: Entry, id: str | None, request: bytes | None) -> Staged:
        document = self._document(name)
        client, known = document.client_id, self._known(name)
        update = document.append(entry.till, [entry.raw.decode()])
        clock = known.get(client, 0)
        before, after = {client: clock}, {client: clock + 1}
        staged = Staged(self.shop, name, update, before, after, [entry], self.store_id, True, id, request)
        self._stage(staged)
        return staged

    def _stage(self, staged: Staged) -> None:
        ahead = self._ahead.get(staged.document)
        if ahead is None:
            ahead = self._ahead[staged.document] = dict(self.store.head(self.shop, staged.document).state)
        ahead.update(staged.after)
        self.staged.append(staged)

    def _known(self, document: str) -> StateVector:
        ahead = self._ahead.get(document)
        return ahead if ahead is not None else self.store.head(self.shop, document).state

    def _seen_in(self, edited: str) -> dict[str, str]:
        """{author: hash} of the last such entry of each author that is held here: causality, with no clock in it.
        `edited` is a document whose entries are edits, or the kind of those that lie in the journals."""
        key = self.store.shop_key(self.shop)
        if edited in JOURNAL_EDITS:
            rows = self.store.read.execute(JOURNAL_EDITS[edited], (key,))
        else:
            rows = self.store.read.execute(_EDITS, (key, self.store.document_key(self.shop, edited)))
        return dict(rows.fetchall()) | self._seen.get(edited, {})

    # -- the documents in memory -------------------------------------------------------------------

    def _document(self, name: str) -> Document:
        """The document in memory, loaded from its log under a fresh client id if it is not there yet."""
        document = self._open.get(name)
        if document is None:
            if name.startswith("journal/"):  # only today's journal stays in memory
                for other in [o for o in self._open if o.startswith("journal/")]:
                    del self._open[other]
            document = self._open[name] = self._load(name)
        return document

    def _load(self, name: str) -> Document:
        document = Document(self._random.getrandbits(CLIENT_BITS) or 1)
        after = 0
        while rows := self.rows(name, after, 256):
            document.load([row.update for row in rows])
            after = rows[-1].n
        for staged in self.staged:
            if staged.document == name:
                document.load([staged.update])
        return document

    def reload(self, name: str) -> None:
        """Drop a document, so that it comes back from its log under a fresh client id."""
        self._open.pop(name, None)

    # -- what peers send ---------------------------------------------------------------------------

    def integrate(
        self, document: str, update: bytes, *, origin: str, only_author: str | None = None, read_only: bool = False
    ) -> Staged | None:
        """Stage what a received update brings beyond what is here; None when that is nothing.

        `only_author` lets only that author's entries pass, `read_only` nothing new at all. Raises Refused, or Hole when
        the update leans on what is not here; then nothing is staged.
        """
        if not is_document(document):
            raise Refused(f"there is no document {document!r}")
        known = self._known(document)
        read = read_update(update, known)
        if not read.after:
            return None
        if read_only:
            raise Refused("this token may only read: ask the shop for one that may write")
        entries = [decode(document, raw) for raw in read.elements]
        if only_author is not None and any(e.till != only_author or not e.placed for e in entries):
            raise Refused("this token may only write entries of its own author")
        live = self._open.get(document)
        if live is not None and live.client_id in read.after:
            self._cloned()
            live = None
        if read.overlaps:
            update = clip(update, known)
        if live is not None:
            try:
                live.apply(update, read)
            except Mismatch as error:
                self.reload(document)
                raise Refused(f"the update did not do what it says ({error})") from error
        staged = Staged(self.shop, document, update, read.before, read.after, entries, origin)
        self._stage(staged)
        if self.clock is not None and entries and entries[-1].fault is None:
            self.clock.heard(parse_iso(entries[-1].at), False)
        return staged

    def append_again(self, document: str, elements: Sequence[str]) -> list[Staged]:
        """Stage elements that a peer lost, once more, under client ids of their own."""
        groups: dict[str, list[str]] = {}
        for text in elements:
            root = decode(document, text.encode()).till or self.store_id
            groups.setdefault(root, []).append(text)
        made: list[Staged] = []
        for root, texts in groups.items():
            for piece in _pieces(texts):
                client = self._random.getrandbits(CLIENT_BITS) or 1
                update = lone_update(client, root, piece)
                entries = [decode(document, text.encode()) for text in piece]
                read = read_update(update, self._known(document))
                live = self._open.get(document)
                if live is not None:
                    live.apply(update, read)
                staged = Staged(self.shop, document, update, read.before, read.after, entries, self.store_id)
                self._stage(staged)
                made.append(staged)
        return made

    def clone_suspected(self, document: str, state: StateVector) -> bool:
        """Whether a peer's state is ahead of our own live client id: then another process runs with our memory."""
        live = self._open.get(document)
        if live is None or state.get(live.client_id, 0) <= self._known(document).get(live.client_id, 0):
            return False
        self._cloned()
        return True

    def _cloned(self) -> None:
        self._open.clear()  # a copied memory has the live client ids of all documents
        self._new_run = True
        self.alarm(
            "clone",
            "another machine runs with a copy of this till's memory or disk: stop one of the two. The sales of both"
            " count.",
        )

    def alarm(self, kind: str, detail: str) -> None:
        """Show `detail` to people until the process ends; one of a kind."""
        self.alarms[kind] = Alarm(kind, detail)

    # -- release -----------------------------------------------------------------------------------

    def release(self, batch: Sequence[Staged], commit: Commit) -> None:
        """`batch` stands on the disk: it may leave now."""
        mine = [staged for staged in batch if staged.shop == self.shop]
        done = set(map(id, mine))
        self.staged = [staged for staged in self.staged if id(staged) not in done]
        if self._former is not None and id(self._former[1]) in done:
            self._former = None
        waiting = {staged.document for staged in self.staged}
        for document in [name for name in self._ahead if name not in waiting]:
            del self._ahead[document]
        written = {staged.entries[0].hash for staged in mine if staged.own}
        for staged in mine:
            for entry in staged.entries:
                if entry.placed:
                    self._touched[entry.till, entry.run] = None
        if self.author is None:
            return
        ours = {e.id for staged in mine for e in staged.entries if e.till == self.author.id and e.hash not in written}
        kinds = {
            c.change.kind
            for c in commit.changes
            if c.shop == self.shop
            and c.change.before is None
            and c.change.author == self.author.id
            and c.change.id in ours
        }
        if kinds:
            self._foreign(kinds)

    def _foreign(self, kinds: set[str]) -> None:
        """Entries under our name that this disk did not write: somebody forges, or an older or other life of this till.
        A new run signs where we stand and counts on from what is vouched for. Not for another life's signatures alone:
        two lives would answer each other's for ever."""
        if kinds - SIGNATURES and not self._new_run:
            self._new_run, self._open = True, {}  # another life may have our live client ids: on under fresh ones
        self.alarm(
            "foreign",
            "entries arrived under this till's name that this disk did not write: a restored or copied data folder, or"
            " a forger. Check the day report's disputed and repeated numbers.",
        )

    def reset(self) -> None:
        """The commit failed: everything staged is gone, and the documents come back under fresh client ids."""
        if self._former is not None:
            self.author, self._former = self._former[0], None
        self.staged.clear()
        self._ahead.clear()
        self._open.clear()
        self._seen.clear()
        self._uncertain.clear()
        self._recall()
        self._unsealed = int(self._last is not None)  # a seal may have been among what is gone

    def _recall(self) -> None:
        """Take up the numbers where this disk left off."""
        self._run, self._unsealed, self._last, self._seq, self._number = None, 0, None, 0, 0
        if self.author is None:
            return
        written = self.store.written(self.shop, self.author.id)
        if written is not None:
            self._last = (written.run, written.seq, written.hash)
            self._seq, self._number = max(written.seq, written.foreign_seq), max(written.number, written.foreign_number)

    # -- as time goes by ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a run where there is none; it vouches for what was written last, by an earlier process too."""
        if self._run is None:
            reading = self._now()
            self._begin_run(reading, self.day(reading.at_ms))

    def seal_soon(self) -> None:
        """A link came up, or the till is stopping: sign what is unsigned at the next tick."""
        self._seal_now = True

    def tick(self, now_s: float) -> None:
        """Stage what is due: a new run, a seal, a redate. `now_s` is any steady clock in seconds."""
        if self.author is None or not self.founding:
            return
        due = self._new_run_s is None or now_s - self._new_run_s >= NEW_RUN_S
        if self._new_run and due and not self.unsure:
            self._new_run_s = now_s
            reading = self._now()
            self._begin_run(reading, self.day(reading.at_ms))
        if self._unsealed == 0 or self._sealed_s is None:
            self._sealed_s, self._seal_now = now_s, self._seal_now and self._unsealed > 0
        elif (self._seal_now or now_s - self._sealed_s >= SEAL_S) and not self.unsure:
            self.begin() if self._run is None else self.write("seal", {})
            self._sealed_s, self._seal_now = now_s, False
        self._redate()

    def _redate(self) -> None:
        """Time is confirmed: move what was filed under a wrong day. How long ago an entry was written is known from the
        monotonic clock, so its true day is too."""
        if not self._uncertain or self.clock is None or not self.clock.confirmed or self.author is None:
            return
        uncertain, self._uncertain = self._uncertain, []
        now_ms, mono_ms = self._now().at_ms, self._monotonic()
        moves: list[tuple[int, int, int, str]] = []
        for run, seq, day, written_ms in uncertain:
            true_day = self.day(now_ms - (mono_ms - written_ms))
            if true_day == day:
                continue
            if moves and moves[-1][0] == run and moves[-1][2] == seq - 1 and moves[-1][3] == true_day:
                moves[-1] = (run, moves[-1][1], seq, true_day)
            else:
                moves.append((run, seq, seq, true_day))
        for run, first, last, true_day in moves:
            self.write("redate", {"author": self.author.id, "of": run, "first": first, "last": last, "to": true_day})

    # -- what others hold --------------------------------------------------------------------------

    def durable(self) -> list[Mark]:
        """How far the runs that commits touched since the last call are held here."""
        touched, self._touched = self._touched, {}
        return self.store.marks(self.shop, touched)

    def marks_of(self, update: bytes) -> list[Mark]:
        """The last entry of each run in an update."""
        last: dict[tuple[str, int], Mark] = {}
        for raw in elements(update):
            entry = decode("", raw)
            if entry.placed:
                last[entry.till, entry.run] = Mark(entry.till, entry.run, entry.seq, entry.hash)
        return list(last.values())

    def sign(self, message: bytes) -> bytes:
        """This device's signature; b"" where it has no key."""
        if self.author is not None:
            return self.author.sign(message)
        return self._sign(message) if self._sign is not None else b""

    def heard_have(self, store_id: str, marks: Sequence[Mark]) -> None:
        """Another store says how far it holds runs durably. Of runs that are not here it may name some, but who makes
        them up must not fill the disk."""
        unheard = self._unheard.setdefault(store_id, set())
        kept = []
        for mark in marks:
            place = mark.author, mark.run
            if place not in unheard and not self.store.has_run(self.shop, *place):
                if len(unheard) >= UNHEARD_RUNS_MAX:
                    continue
                unheard.add(place)
            kept.append(mark)
        self.store.have(self.shop, store_id, kept)

    def equal_with(self, store_id: str) -> None:
        """A peer's committed digest over everything equals ours: it holds what we hold."""
        self.in_step.add(store_id)
        self.store.have(self.shop, store_id, self.store.all_marks(self.shop, unless=store_id))


def _pieces(texts: Sequence[str]) -> list[list[str]]:
    pieces: list[list[str]] = [[]]
    size = 0
    for text in texts:
        weight = len(text.encode()) + 8
        if pieces[-1] and (len(pieces[-1]) >= MAX_UPDATE_ELEMENTS or size + weight > MAX_UPDATE_BYTES - 256):
            pieces.append([])
            size = 0
        pieces[-1].append(text)
        size += weight
    return [piece for piece in pieces if piece]


def found(
    store: Store,
    *,
    author: Author,
    public_key: str,
    recovery_key: str,
    clock: Clock,
    random: Random,
    name: str,
    currency: str,
    zone: str,
    day_start: str = "04:00",
    label: str = "A",
    monotonic_ms: Callable[[], int] | None = None,
) -> Replica:
    """Stage a new shop's first two entries, its founder's first run and its founding; the shop is named by the latter.

    Keys are base64url. The caller commits `replica.staged`.
    """
    replica = Replica(store, "", author=author, clock=clock, random=random, documents=True, monotonic_ms=monotonic_ms)
    fields = {
        "name": name,
        "key": public_key,
        "recovery": recovery_key,
        "currency": currency,
        "zone": zone,
        "day_start": day_start,
        "label": label,
    }
    replica._founding, replica._label = fields, label
    staged = replica.write("founding", fields, document="shop")
    replica.shop = shop_id(staged.entries[0])
    for each in replica.staged:
        each.shop = replica.shop
    return replica
