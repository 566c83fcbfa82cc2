"""A replica: stage, commit, release.

`write` and `integrate` only stage, in memory. A store's `commit` writes what is staged, and only then `release` lets it
out. Everything that leaves (answers to peers, state vectors, digests, acknowledgements) is read from committed rows,
never from the documents in memory: a staged element that leaked and then failed to commit would make a peer drop the
next confirmed sale.

Time, randomness, the key and the store are handed in; nothing here knows a socket or a thread.

The numbers of an author's entries, and when it begins a new run, are its writer's (`posline.writer`); a replica writes
for its own author, and others may write beside it. What entries are worth is the ledger's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from posline.core.clock import Clock, parse_iso
from posline.core.document import Document, lone_update
from posline.core.entry import decode
from posline.core.members import shop_id
from posline.core.segment import elements
from posline.core.update import MAX_UPDATE_BYTES, MAX_UPDATE_ELEMENTS, StateVector, clip, read_update
from posline.errors import Mismatch, Refused
from posline.storage.records import Commit, Mark, Staged
from posline.storage.store import Store
from posline.writer import CLIENT_BITS, Author, Random, Writer

__all__ = ["Replica", "found", "is_document"]

UNHEARD_RUNS_MAX = 2000  # that one store may say it holds: far more than a till begins in a month
_DOCUMENT = re.compile(r"shop|catalog/[1-9][0-9]{0,5}|journal/20[2-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


def is_document(name: str) -> bool:
    """Whether a shop can have a document of this name."""
    return _DOCUMENT.fullmatch(name) is not None


class Replica(Writer):
    """One shop's documents and ledger on this device, and the writer of its own author."""

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
        self._keep = documents
        own = author.id if author is not None else store_id or ""
        super().__init__(
            store, shop, author=author, clock=clock, random=random, store_id=own, monotonic_ms=monotonic_ms
        )
        if documents:
            self._open = self._staging.live
        self._sign = sign
        self.writers: dict[str, Writer] = {}  # who else writes here, by author
        self.writers_unsure = False  # as `unsure`, of those who begin to write here
        self.in_step: set[str] = set()  # stores that held just what is here, once
        self._touched: dict[tuple[str, int], None] = {}
        self._unheard: dict[str, set[tuple[str, int]]] = {}  # what each store says it holds of runs that are not here

    def tell_staged(self, told: Callable[[], None]) -> None:
        """Have `told` called whenever something is staged here, by whom ever; at once where something is already."""
        self._staging.told = told
        if self.staged:
            told()

    # -- who else writes here ----------------------------------------------------------------------

    def writer(self, author: Author, clock: Clock | None = None) -> Writer:
        """Whoever writes for `author` here, made when it is first asked for. It has no links of its own: what it stages
        is committed, released and sealed with the shop."""
        writer = self.writers.get(author.id)
        if writer is None:
            assert self.author is None or author.id != self.author.id, "it writes by itself"
            writer = self.writers[author.id] = Writer(
                self.store,
                self.shop,
                author=author,
                clock=clock or self.clock,
                random=self._random,
                store_id=self.store_id,
                monotonic_ms=self._monotonic,
                staging=self._staging,
            )
            writer.unsure = self.unsure or self.writers_unsure
        return writer

    def dismiss(self, author: str, *, removed: bool = False) -> bool:
        """Let go of a writer that has nothing left to do; whether that is so. Another one goes on where it ended. What
        one that was removed from the shop would still sign counts for nothing."""
        writer = self.writers.get(author)
        if writer is not None and not writer.at_rest and not removed:
            return False
        self.writers.pop(author, None)
        return True

    def release_writer(self, author: str) -> None:
        """Let go of a writer, whatever it has left to sign: another one, here or in another process, goes on. What it
        has staged is committed all the same."""
        self.writers.pop(author, None)

    def unstage(self, count: int) -> None:
        """Take back what was staged behind the first `count`, before any commit can have taken it up."""
        del self.staged[count:]
        self._staging.done(())

    # -- the documents in memory -------------------------------------------------------------------

    def _begin_document(self, name: str) -> Document:
        """With documents in memory, the document as its log has it."""
        document = super()._begin_document(name)
        if not self._keep:
            return document
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
        self._staging.live.pop(name, None)

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
        self.clone_suspected(document, read.after)
        live = self._staging.live.get(document)
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
                live = self._staging.live.get(document)
                if live is not None:
                    live.apply(update, read)
                staged = Staged(self.shop, document, update, read.before, read.after, entries, self.store_id)
                self._stage(staged)
                made.append(staged)
        return made

    def clone_suspected(self, document: str, state: StateVector) -> bool:
        """Whether a peer's state is ahead of a live client id of ours: then another process runs with our memory."""
        if not any(writer._writes_as(document, state) for writer in (self, *self.writers.values())):
            return False
        for writer in (self, *self.writers.values()):
            writer._cloned()
        return True

    # -- release -----------------------------------------------------------------------------------

    def release(self, batch: Sequence[Staged], commit: Commit) -> None:
        """`batch` stands on the disk: it may leave now."""
        mine = [staged for staged in batch if staged.shop == self.shop]
        self._staging.done(mine)
        for staged in mine:
            for entry in staged.entries:
                if entry.placed:
                    self._touched[entry.till, entry.run] = None
        self.released(mine, commit)
        for writer in self.writers.values():
            writer.released(mine, commit)

    def reset(self) -> None:
        """The commit failed: everything staged is gone, and the documents come back under fresh client ids."""
        self._staging.clear()
        self.forget()
        for writer in self.writers.values():
            writer.forget()

    # -- as time goes by ---------------------------------------------------------------------------

    def seal_soon(self) -> None:
        """As a writer; whoever writes beside it signs, too."""
        super().seal_soon()
        for writer in self.writers.values():
            writer.seal_soon()

    def tick(self, now_s: float) -> None:
        """As a writer; for whoever writes beside it, too."""
        super().tick(now_s)
        for writer in self.writers.values():
            writer.tick(now_s)

    # -- what others hold --------------------------------------------------------------------------

    def touched(self, document: str, after: int) -> None:
        """Rows of a document behind this one were committed by another process of ours."""
        while rows := self.rows(document, after, 256):
            for row in rows:
                self._touched.update(dict.fromkeys((mark.author, mark.run) for mark in self.marks_of(row.update)))
            after = rows[-1].n

    def durable(self) -> list[Mark]:
        """How far the runs that commits touched since the last call are held here."""
        marks = self.store.marks(self.shop, self._touched)
        self._touched = {}  # only now: what could not be asked is said the next time
        return marks

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
        """A peer's committed digest over everything equals ours: it holds what we hold. Not what is being committed:
        its rows may stand already, and the digest that was compared be of before them."""
        self.in_step.add(store_id)
        moving = {(entry.till, entry.run) for staged in self.staged for entry in staged.entries}
        marks = self.store.all_marks(self.shop, unless=store_id)
        if not self.store.settled(self.shop):  # asked behind the marks: they may say more than what was compared
            return
        self.store.have(self.shop, store_id, [mark for mark in marks if (mark.author, mark.run) not in moving])


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
