"""`posline verify`: work everything out again from the log, and name every difference.

Reads only; may run beside a till that is selling, and sees the file as of one moment. What it checks, in order: the
file, the log, the documents, the ledger's statuses, the digests, the numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

from posline.core.document import Document
from posline.core.entry import Entry, decode
from posline.core.status import Status, Verdict, judge
from posline.core.update import StateVector, decode_state, read_update
from posline.errors import PoslineError
from posline.storage.connection import Error, sqlite_warning
from posline.storage.ledger import CODE, STATUSES
from posline.storage.product_index import differences
from posline.storage.remains import SALVAGED
from posline.storage.renewal import differing_tables
from posline.storage.reports import Reports
from posline.storage.scrub import REPEATED, repeated
from posline.storage.soundness import LAST_NUMBER, LAST_WRITTEN
from posline.storage.store import Store

__all__ = ["Harm", "verify"]

PRODUCTS_TOLD = 20  # of a catalogue, where the index is wrong
ANY_CLIENT = 1  # a document that is only read needs no client id of its own


class Harm(str):
    """A problem that no till can have written: the file is not what it was."""


def verify(store: Store, shop: str) -> Iterator[str]:
    """Every problem found in one shop, in words; a `Harm` where it is of the file and not of what tills did. An empty
    answer means that all is well."""
    try:
        with store.snapshot() as still:
            yield from _problems(still, shop)
    except (Error, PoslineError, ValueError, TypeError, LookupError) as error:  # what is behind it can't be
        # worked out: a page that is none, bytes that are no text, a number where there was a text
        yield Harm(f"the database file is damaged: {error}")


def _problems(store: Store, shop: str) -> Iterator[str]:
    warning = sqlite_warning()
    if warning:
        yield warning
    yield from map(Harm, store.problems())
    elements: dict[tuple[str, bytes], Entry] = {}
    if store.shops() and store.shop_key(shop) is None:
        yield Harm(f"the database does not hold the shop {shop}")
    for document in store.documents(shop):
        yield from _document(store, shop, document, elements)
    yield from _ledger(store, shop, judge(elements.values(), shop), elements)
    for table in differing_tables(store.read, store.shop_key(shop)):
        yield Harm(f"the table {table} is not what the entries make it")
    key = store.shop_key(shop)
    for document in store.documents(shop):
        place = store.document_key(shop, document)
        if document.startswith("catalog/") and key is not None and place is not None:
            for sku in islice(differences(store.read, key, place), PRODUCTS_TOLD):
                yield Harm(f"{document}: product {sku} is not found as its current edit says")
    yield from _written(store, shop)
    yield from _reports(store, shop)


def _document(store: Store, shop: str, name: str, elements: dict[tuple[str, bytes], Entry]) -> Iterator[str]:
    """One document's log: each row leads from what was before it to what it says, and the head is their sum."""
    state: StateVector = {}
    held: dict[bytes, Entry] = {}
    document = Document(ANY_CLIENT)
    rows = store.read.execute(
        "SELECT n, before, after, data FROM log WHERE shop = ? AND document = ? ORDER BY n",
        (store.shop_key(shop), store.document_key(shop, name)),
    )
    last = 0
    for n, before, after, update in rows:
        last = n
        try:
            read = read_update(update, state)
            document.load([update])
        except PoslineError as error:
            yield Harm(f"{name}: row {n} of the log cannot be read: {error}")
            continue
        if decode_state(after) != read.after or decode_state(before) != read.before:
            yield Harm(f"{name}: row {n} of the log does not bring what is recorded for it")
        state |= read.after
        for raw in read.elements:
            entry = decode(name, raw)
            held[entry.hash] = entry
    head = store.head(shop, name)
    if head.n != last:
        yield Harm(f"{name}: its last row is said to be {head.n} and is {last}")
    if head.state != state or document.state != state:
        yield Harm(f"{name}: the state vector does not match the log")
    if (head.count, head.sum) != (len(held), sum(int.from_bytes(h, "big") for h in held) % (1 << 256)):
        yield Harm(f"{name}: the digest does not match the log's {len(held)} elements")
    authors: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for hash, entry in held.items():
        count, total = authors[entry.till]
        authors[entry.till] = count + 1, (total + int.from_bytes(hash, "big")) % (1 << 256)
    if store.authors(shop, name) != {a: (count, f"{total:064x}") for a, (count, total) in authors.items()}:
        yield Harm(f"{name}: the digests of its authors do not match the log")
    elements.update({(name, hash): entry for hash, entry in held.items()})


def _ledger(
    store: Store,
    shop: str,
    verdicts: dict[tuple[str, bytes], Verdict],
    elements: dict[tuple[str, bytes], Entry],
) -> Iterator[str]:
    """The ledger has exactly the log's elements, each with the status that the whole set gives it."""
    seen = set()
    rows = store.read.execute(
        f"SELECT d.name, e.hash, e.status, e.vouched, e.kept, e.raw, {REPEATED} FROM entry e"
        " JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE e.shop = ?",
        (store.shop_key(shop),),
    )
    for name, hash, status, vouched, kept, raw, *read in rows:
        place = name, hash
        seen.add(place)
        if place not in elements:
            yield Harm(f"{name}: the ledger has an entry {hash.hex()[:16]} that the log does not")
            continue
        entry, verdict = elements[place], verdicts[place]
        called = f"{name}: {entry.kind or 'element'} {entry.id or hash.hex()[:16]}"
        if raw != entry.raw or read != repeated(entry):
            yield Harm(f"{called} is recorded otherwise than the log has it")
        if status != CODE[verdict.status] or kept != verdict.kept:
            told = STATUSES[status] if status in range(len(STATUSES)) else status
            yield Harm(f"{called} is {told} in the ledger and {verdict.status} by the rules")
        elif vouched != int(verdict.vouched):  # nor may it be of another type
            yield Harm(f"{called} is {'' if vouched else 'not '}vouched for in the ledger, by the rules the other way")
        if verdict.status is Status.INVALID:
            yield f"{called} is invalid: {verdict.reason}"
        elif verdict.status in (Status.DISPUTED, Status.HELD):
            yield f"{called} is {verdict.status} (amount {entry.amount}): {verdict.reason}"
    for name, hash in elements.keys() - seen:
        yield Harm(f"{name}: the ledger lacks the entry {hash.hex()[:16]}")


def _written(store: Store, shop: str) -> Iterator[str]:
    """What this disk remembers of its own writing is what lies here: it goes on behind that, with the next numbers."""
    key = store.shop_key(shop)
    named = set()
    for author, run, seq, hash, number in store.read.execute(
        "SELECT author, run, seq, hash, number FROM mark WHERE shop = ?", (key,)
    ).fetchall():
        named.add(author)
        last = store.read.execute(LAST_WRITTEN, (key, author, run)).fetchone()
        if last != (seq, hash) and not store.get_meta(SALVAGED):  # until its till began, the last ones may be lost here
            yield Harm(f"what this disk wrote last as {author} is not entry {seq} of run {run}")
        (given,) = store.read.execute(LAST_NUMBER, (key, author)).fetchone()
        if given is not None and given > number:  # it would be given again; what is noted beyond may be lost here
            yield Harm(f"the last receipt number of {author} is noted as {number} and is {given}")
    for (author,) in store.read.execute("SELECT DISTINCT author FROM entry WHERE shop = ? AND own = 1", (key,)):
        if author not in named:
            yield Harm(f"this disk has no note of what it wrote last as {author}")


def _reports(store: Store, shop: str) -> Iterator[str]:
    """Each till's numbers are without a gap. That the tills of a day sum to its sales, its report sees to itself."""
    reports = Reports(store, shop, here="")
    for day in reports.days():
        report = reports.day(day)
        for till in report["tills"]:
            for what, numbers in (("entry", till), ("receipt", till["receipts"])):
                for first, last in numbers["missing"]:
                    span = str(first) if first == last else f"{first} to {last}"
                    yield f"{day}: till {till['label']} lacks {what} number {span}"
    for author, run, seq in reports.forks():
        yield f"till {author} went on twice from entry {seq} of run {run}: its data folder was copied or restored"
