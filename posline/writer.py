"""One author's entries in a shop: their numbers, their chain, its runs and its seals.

A replica is the writer of its own author; a till that hosts devices, and a head office, write for further authors of
the same shop, each through a `Writer` that stages beside the replica (`Replica.writer`). What is staged goes into the
same commit, and where that fails all of the shop begins anew.

A writer needs no document. For each that it writes to it has a scratch of its own, under a fresh random client id, that
begins empty and holds only what this process wrote: nothing is ever loaded, and an element leans only on those of the
same scratch.

Rules of numbers, runs and signatures: docs/protocol.md, "Authors, runs, chain".
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from posline.core.base64url import base64url
from posline.core.clock import Clock, Reading, iso
from posline.core.document import Document
from posline.core.entry import Entry, compose
from posline.core.kinds import MEMBERSHIP, NUMBERED, SIGNED_KINDS
from posline.core.members import key_proof
from posline.core.status import SHORT
from posline.core.update import StateVector, read_update
from posline.errors import Mismatch, Unavailable
from posline.storage.committed import Committed
from posline.storage.effects import CUSTOMERS
from posline.storage.records import Commit, Staged
from posline.storage.store import Store

__all__ = ["CLIENT_BITS", "KIND_AT", "Alarm", "Author", "Random", "Staging", "Successor", "Writer"]

SEAL_S = 180.0  # how long unsigned entries wait for a signature while nothing else calls for one
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
KIND_AT = "SELECT kind FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ? AND hash = ?"
SIGNATURES = frozenset({"run", "seal"})  # kinds that say nothing but what their author stands by
CLIENT_BITS = 53  # what Yjs can hold


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


@dataclass(slots=True)
class Staging:
    """What is staged of one shop, whoever wrote it, in the order in which it is to be committed."""

    staged: list[Staged] = field(default_factory=list)
    ahead: dict[str, StateVector] = field(default_factory=dict)  # states that include what is staged
    live: dict[str, Document] = field(default_factory=dict)  # whole documents in memory, by name
    told: Callable[[], None] = lambda: None  # who commits hears that there is something

    def done(self, batch: Sequence[Staged]) -> None:
        """These stand on the disk."""
        done = set(map(id, batch))
        self.staged[:] = [staged for staged in self.staged if id(staged) not in done]
        waiting = {staged.document for staged in self.staged}
        for document in [name for name in self.ahead if name not in waiting]:
            del self.ahead[document]

    def clear(self) -> None:
        """Everything staged is gone."""
        self.staged.clear()
        self.ahead.clear()


class Writer(Committed):
    """Writes one author's entries. `author` None writes nothing."""

    def __init__(
        self,
        store: Store,
        shop: str,
        *,
        author: Author | None,
        clock: Clock | None,
        random: Random,
        store_id: str,
        monotonic_ms: Callable[[], int] | None = None,
        staging: Staging | None = None,
    ) -> None:
        """`store_id` is the device that writes, `staging` that of the replica beside which this one writes."""
        super().__init__(store, shop)
        self.author, self.clock, self.store_id = author, clock, store_id
        self.alarms: dict[str, Alarm] = {}
        self.unsure = False  # what this disk wrote last is not known: whoever set it says so before the first run
        self.fenced = False  # another process may write as this author: a commit then fails where one has meanwhile
        self._random = random
        self._monotonic = monotonic_ms or (lambda: 0)
        self._staging = staging or Staging()
        self._open: dict[str, Document] = {}
        self._run: int | None = None
        self._run_day = ""
        self._last: tuple[int, int, bytes] | None = None  # run, seq, hash of the last own entry
        self._behind = b""  # the hash of what this disk wrote last, or has staged
        self._seq = self._number = 0
        self._label = ""
        self._seen: dict[str, dict[str, str]] = {}
        self._unsealed = 0
        self._seal_now = False
        self._sealed_s: float | None = None
        self._new_run = False
        self._new_run_s: float | None = None
        self._former: tuple[Author, Staged] | None = None  # who signed before a change of key that is not committed yet
        self._uncertain: list[tuple[int, int, str, int]] = []  # run, seq, day, monotonic ms
        self._astray = False  # what was written last could not be asked for
        self._recall()

    @property
    def staged(self) -> list[Staged]:
        """What is staged of the shop, by all who write here."""
        return self._staging.staged

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to do here: all is committed and signed, and no day is to be mended. Such a one can
        be dropped; another begins where it ended."""
        mine = self.author is not None and any(s.own and s.entries[0].till == self.author.id for s in self.staged)
        return not (mine or self._unsealed or self._new_run or self._uncertain or self._former)

    @property
    def behind(self) -> bytes:
        """The hash of the entry that the next one goes on from, on this disk or staged; b"" for none."""
        return self._behind

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
        if self._astray:
            self._recall()
            self._astray = False
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
        live = self._staging.live.get(name)
        if live is not None and live is not document:
            try:
                live.apply(update, read_update(update, known))
            except Mismatch:  # it comes back from the log, with what is staged
                del self._staging.live[name]
        follows = self._behind if self.fenced else None
        staged = Staged(self.shop, name, update, before, after, [entry], self.store_id, True, id, request, follows)
        self._behind = entry.hash
        self._stage(staged)
        return staged

    def _stage(self, staged: Staged) -> None:
        ahead = self._staging.ahead.get(staged.document)
        if ahead is None:
            ahead = self._staging.ahead[staged.document] = dict(self.store.head(self.shop, staged.document).state)
        ahead.update(staged.after)
        self.staged.append(staged)
        self._staging.told()

    def _known(self, document: str) -> StateVector:
        ahead = self._staging.ahead.get(document)
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

    # -- the documents that it writes to -------------------------------------------------------------

    def _document(self, name: str) -> Document:
        """The document in memory, under a fresh client id if it is not there yet."""
        document = self._open.get(name)
        if document is None:
            if name.startswith("journal/"):  # only today's journal stays in memory
                for other in [o for o in self._open if o.startswith("journal/")]:
                    del self._open[other]
            document = self._open[name] = self._begin_document(name)
        return document

    def _begin_document(self, name: str) -> Document:
        return Document(self._random.getrandbits(CLIENT_BITS) or 1)

    def _writes_as(self, document: str, state: StateVector) -> bool:
        """Whether `state` has more under the client id that this one writes under than it wrote: then another process
        runs with our memory."""
        mine = self._open.get(document)
        return mine is not None and state.get(mine.client_id, 0) > self._known(document).get(mine.client_id, 0)

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

    def released(self, mine: Sequence[Staged], commit: Commit) -> None:
        """`mine`, of this shop, stands on the disk."""
        if self._former is not None and any(staged is self._former[1] for staged in mine):
            self._former = None
        if self.author is None:
            return
        written = {staged.entries[0].hash for staged in mine if staged.own}
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
            self._new_run = True
            self._open.clear()  # another life may have our live client ids: on under fresh ones
        self.alarm(
            "foreign",
            "entries arrived under this till's name that this disk did not write: a restored or copied data folder, or"
            " a forger. Check the day report's disputed and repeated numbers.",
        )

    def forget(self) -> None:
        """The commit failed: what this one staged is gone, and it goes on under fresh client ids."""
        if self._former is not None:
            self.author, self._former = self._former[0], None
        self._open.clear()
        self._seen.clear()
        self._uncertain.clear()
        try:
            self._recall()
        except Unavailable:  # what failed the commit may last; asked again before anything is written
            self._astray = True
        self._unsealed = int(self._last is not None)  # a seal may have been among what is gone

    def _recall(self) -> None:
        """Take up the numbers where this disk left off. Raises Unavailable."""
        self._run, self._unsealed, self._last, self._seq, self._number, self._behind = None, 0, None, 0, 0, b""
        if self.author is None:
            return
        written = self.store.written(self.shop, self.author.id)
        if written is not None:
            self._last = (written.run, written.seq, written.hash)
            self._behind = written.hash
            self._seq, self._number = max(written.seq, written.foreign_seq), max(written.number, written.foreign_number)

    # -- as time goes by ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a run where there is none; it vouches for what was written last, by an earlier process too."""
        if self._run is None:
            reading = self._now()
            self._begin_run(reading, self.day(reading.at_ms))

    def vouch(self) -> None:
        """Sign what an earlier process left unsigned; where it left nothing so, nothing is written."""
        if self.author is None or self._run is not None or self._last is None:
            return
        place = (self.store.shop_key(self.shop), self.author.id, *self._last)
        last = self.store.read.execute(KIND_AT, place).fetchone()
        if last is None or last[0] not in SIGNED_KINDS - MEMBERSHIP:
            self.begin()

    def sign_off(self) -> None:
        """Sign now what is unsigned."""
        if self._unsealed:
            self.begin() if self._run is None else self.write("seal", {})

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
