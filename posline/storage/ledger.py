"""The ledger: what the log's elements are worth, kept up to date as they arrive.

Each arrival touches few keys: its run, its id, and for an entry of the shop's document the runs of those whose standing
it changes. The ordinary case, the next entry of a plain chain, is decided from the run's tip alone; everything else
reloads the run or the id it touches and asks the same pure functions (`posline.core.status`) that judge the whole set
from nothing. So the ledger is the same in whichever order the elements came.

A run is *plain* while its entries are one unbroken chain from its `run` entry to its tip, with no rival, no fault and
no other run that went on from it. A removed author's runs never are: what arrives late walks its own run once more, and
other runs only where a `run` entry comes to lie behind an end (table `ending`).

Works inside the transaction of whoever calls it; `forget()` must follow a rollback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from posline.core.entry import Entry, decode
from posline.core.kinds import MEMBERSHIP
from posline.core.members import Role, Shop, read_shop
from posline.core.status import (
    NO_MEMBER,
    SHORT,
    Chained,
    Judgement,
    Status,
    is_act,
    judge_id,
    judge_run,
    overruled,
)
from posline.storage.connection import Connection
from posline.storage.dialect import SQLITE, Dialect
from posline.storage.pieces import in_pieces
from posline.storage.projections import Projections
from posline.storage.runs import Run, RunKey, Runs

__all__ = ["CODE", "STATUSES", "Arrival", "Change", "Ledger"]

STATUSES = (Status.COUNTED, Status.DUPLICATE, Status.DISPUTED, Status.HELD, Status.INVALID)
CODE = {status: code for code, status in enumerate(STATUSES)}
COUNTED, DUPLICATE, DISPUTED, HELD, INVALID = range(5)
UNSIGNED, SIGNED, UNVERIFIED, FORGED = range(4)  # `entry.signed`; unverified: its author's key is not known here

STRANGER = Judgement(False, Status.HELD, NO_MEMBER)
DUPLICATED = "the same is recorded once already"


@dataclass(slots=True)
class Arrival:
    """An element that a commit brings. `document` is its document's key; `own` when this disk wrote it."""

    entry: Entry
    document: int
    own: bool


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that is new (`before` None) or whose status changed. `n` is its number in the ledger's order."""

    n: int
    kind: str
    id: str
    author: str
    before: Status | None
    status: Status


@dataclass(slots=True)
class _Row:
    """One new row of the ledger, before it is written. `run` is None where `_rejudge_run` will decide."""

    n: int
    arrival: Arrival
    signed: int
    status: int
    reason: str | None
    day: str | None
    run: Run | None = None

    def values(self, shop: int) -> tuple[object, ...]:
        e = self.arrival.entry
        vouched = self.run is not None and e.seq <= self.run.vouched
        return (self.n, shop, self.arrival.document, e.hash, _id(e), e.kind, e.till, e.run, e.seq, e.prev, self.day,
                e.number, e.amount, self.signed, self.arrival.own, vouched, self.status, e.fault, self.reason,
                e.raw)  # fmt: skip


def _id(entry: Entry) -> str:
    """What an entry is known by; one that cannot be read has no id but its hash."""
    return entry.id if entry.placed else entry.hash.hex()


@dataclass(slots=True)
class _Take:
    """One call's work in progress."""

    shop: int
    authority: Shop
    rows: list[_Row] = field(default_factory=list)
    touched: dict[RunKey, Run] = field(default_factory=dict)
    vouch: dict[RunKey, int] = field(default_factory=dict)  # stored rows beyond this number become vouched for
    dirty: dict[RunKey, None] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    before: dict[int, int | None] = field(default_factory=dict)  # n -> status before this call
    again: set[int] = field(default_factory=set)  # rows whose status was set anew
    ranked: set[str] = field(default_factory=set)  # authors whose role changed


class Ledger:
    """The projection over one writing connection, for all its shops."""

    def __init__(self, db: Connection, *, feed: bool, dialect: Dialect = SQLITE) -> None:
        """With `feed`, new entries and later changes of status are written down for integrators."""
        self._db, self._dialect = db, dialect
        self._feed = feed
        self._runs = Runs(db)
        self._shops: dict[int, Shop] = {}
        self._of_shops: dict[int, dict[bytes, Entry]] = {}  # what lies in each shop's document
        self._projections = Projections(db, dialect)
        self._next: int | None = None

    def forget(self) -> None:
        """The transaction was rolled back: what is in memory may be ahead of the disk."""
        self._runs.forget()
        self._shops.clear()
        self._of_shops.clear()
        self._projections = Projections(self._db, self._dialect)
        self._next = None

    def forget_shop(self, shop: int) -> None:
        """Another process wrote in this shop, or nobody does any more: what is in memory may be behind, or is idle."""
        self._runs.forget_shop(shop)
        self._projections.effects.forget(shop)
        self._shops.pop(shop, None)
        self._of_shops.pop(shop, None)

    def _number(self, shop: int) -> int:
        """What the shop's next entry is numbered. A later one has a greater number."""
        if self._dialect.numbers_by_shop:
            row = self._db.execute("SELECT coalesce(max(n), 0) + 1 FROM entry WHERE shop = ?", (shop,)).fetchone()
        elif self._next is not None:
            return self._next
        else:
            row = self._db.execute("SELECT coalesce(max(n), 0) + 1 FROM entry").fetchone()
        return int(row[0])

    def authority(self, shop: int, shop_id: str) -> Shop:
        """Who is a member, as the committed and staged rows of this connection say."""
        if shop not in self._shops:
            held = self._of_shops.get(shop)
            if held is None:
                rows = self._db.execute(
                    "SELECT e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
                    " WHERE e.shop = ? AND e.day IS NULL AND d.name = 'shop'",
                    (shop,),
                )
                entries = (decode("shop", raw) for (raw,) in rows)
                held = self._of_shops[shop] = {entry.hash: entry for entry in entries}
            self._shops[shop] = read_shop(held.values(), shop_id)
        return self._shops[shop]

    def take(self, shop: int, shop_id: str, arrivals: Iterable[Arrival]) -> tuple[list[Arrival], list[Change]]:
        """Project `arrivals`; those whose element is held already are passed over.

        Returns the new ones, and every change of status with the new ones first.
        """
        fresh, claimed = self._new_only(shop, arrivals)
        if not fresh:
            return [], []
        take = _Take(shop, self.authority(shop, shop_id), ids=claimed)
        joins = [a.entry for a in fresh if a.entry.document == "shop"]
        patient = any(is_act(entry.document, entry.kind) for entry in joins)
        first = self._number(shop)
        for n, arrival in enumerate(fresh, first):
            self._place(take, n, arrival, patient=patient)
        self._next = first + len(fresh)
        self._db.executemany(
            "INSERT INTO entry (n, shop, document, hash, id, kind, author, run, seq, prev, day, number, amount, signed,"
            " own, vouched, status, fault, reason, raw) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [row.values(shop) for row in take.rows],
        )
        for place, seq in take.vouch.items():
            self._db.execute(
                "UPDATE entry SET vouched = 1 WHERE shop = ? AND author = ? AND run = ? AND seq > ? AND seq <= ?"
                " AND n < ?",
                (*place, seq, take.touched[place].vouched, first),
            )
        if joins:
            for place, run in take.touched.items():  # so that what follows finds the new runs too
                self._runs.save(place, run)
            self._readmit(take, shop_id, joins)
        for place, run in take.touched.items():
            if place not in take.dirty:
                self._runs.save(place, run)
        while take.dirty:
            key = next(iter(take.dirty))
            del take.dirty[key]
            self._rejudge_run(take, key)
        for id in take.ids:
            self._rejudge_id(take, id)
        return fresh, self._settle(take, fresh, first)

    # -- arrival -----------------------------------------------------------------------------------

    def _new_only(self, shop: int, arrivals: Iterable[Arrival]) -> tuple[list[Arrival], set[str]]:
        """Those not held yet, and the ids among them that another entry claims too."""
        asked = list(arrivals)
        held: set[tuple[bytes, int]] = set()
        taken: set[str] = set()
        for marks, piece in in_pieces([_id(a.entry) for a in asked]):
            for id, hash, document in self._db.execute(
                f"SELECT id, hash, document FROM entry WHERE shop = ? AND id IN ({marks})", (shop, *piece)
            ):
                held.add((hash, document))
                taken.add(id)
        fresh: list[Arrival] = []
        claimed: set[str] = set()
        for arrival in asked:
            place = arrival.entry.hash, arrival.document
            if place in held:
                continue
            held.add(place)
            id = _id(arrival.entry)
            if id in taken and arrival.entry.placed:
                claimed.add(id)
            taken.add(id)
            fresh.append(arrival)
        return fresh, claimed

    def _place(self, take: _Take, n: int, arrival: Arrival, *, patient: bool) -> None:
        """Decide one arrival from its run's tip, or leave its run to `_rejudge_run`. With `patient`, always the latter,
        since this call may change who is a member."""
        entry = arrival.entry
        take.before[n] = None
        day = entry.document[8:] if entry.document.startswith("journal/") else None
        if not entry.placed:
            take.rows.append(_Row(n, arrival, UNSIGNED, INVALID, entry.fault, day))
            return
        if day is not None and entry.fault is None:
            day = self._projections.effects.day_of(take.shop, take.authority, entry)
        known = entry.till in take.authority.keys
        barred = entry.till in take.authority.removals or entry.till in take.authority.readers
        signed = UNSIGNED
        if entry.signature is not None:
            signed = _signature(take.authority, entry)
        place = (take.shop, entry.till, entry.run)
        run = take.touched.get(place)
        if run is None:
            run = take.touched[place] = self._runs.get(place)
        plain = known and not barred and not patient and entry.fault is None and signed in (UNSIGNED, SIGNED)
        if plain and entry.kind == "run" and signed == SIGNED and run.tip == 0 and place not in take.dirty:
            self._begin(take, place, run, entry)
        elif (
            plain
            and run.plain
            and entry.kind != "run"
            and entry.seq == run.tip + 1
            and entry.prev == run.tip_hash.hex()[:SHORT]
        ):
            run.tip, run.tip_hash = entry.seq, entry.hash
            run.whole, run.whole_hash = entry.seq, entry.hash
            if signed == SIGNED:
                take.vouch.setdefault(place, run.vouched)
                run.vouched = entry.seq
        else:
            run.plain = False
            run.tip = max(run.tip, entry.seq)
            take.dirty[place] = None
            take.rows.append(_Row(n, arrival, signed, INVALID if entry.fault else HELD, entry.fault or NO_MEMBER, day))
            return
        take.rows.append(_Row(n, arrival, signed, COUNTED, None, day, run))

    def _begin(self, take: _Take, place: RunKey, run: Run, entry: Entry) -> None:
        """A `run` entry that starts its run; its signature vouches for the run it goes on from."""
        _, author, number = place
        named = self._db.execute(
            "SELECT 1 FROM continuation WHERE shop = ? AND author = ? AND run = ?", (take.shop, author, number)
        ).fetchone()
        run.begun, run.plain = True, named is None
        run.tip = run.whole = run.vouched = entry.seq
        run.tip_hash = run.whole_hash = entry.hash
        run.label = str(entry.body.get("label") or "")
        self._continue(take, place, entry)

    def _continue(self, take: _Take, place: RunKey, entry: Entry, *, stored: bool = False) -> None:
        """Record from where a valid `run` entry went on; the run named there is judged by it."""
        after = entry.body.get("after")
        if after is None or after["run"] == entry.run:
            return
        shop, author, number = place
        hash = bytes.fromhex(after["hash"])
        added = self._db.execute(
            "INSERT OR IGNORE INTO continuation (shop, author, run, seq, hash, next) VALUES (?,?,?,?,?,?)",
            (shop, author, after["run"], after["seq"], hash, number),
        ).rowcount
        named = (shop, author, after["run"])
        earlier = take.touched.get(named) or self._runs.get(named)
        if not added or earlier.tip == 0:  # known before, or nothing of that run is here
            return
        take.touched[named] = earlier
        at_tip = (earlier.tip, earlier.tip_hash) == (after["seq"], hash)
        if earlier.plain and at_tip and named not in take.dirty and not stored:
            take.vouch.setdefault(named, earlier.vouched)
            earlier.vouched = earlier.tip
        else:
            take.dirty[named] = None
        earlier.plain = False

    # -- membership --------------------------------------------------------------------------------

    def _readmit(self, take: _Take, shop_id: str, joins: list[Entry]) -> None:
        """Entries of the shop's document arrived: judge the runs of everybody whose standing they changed. One of any
        kind may, since what an act had seen is followed through all of them."""
        self._shops.pop(take.shop, None)
        self._of_shops[take.shop] |= {entry.hash: entry for entry in joins}
        before, take.authority = take.authority, self.authority(take.shop, shop_id)
        after, shop = take.authority, take.shop
        authors: set[str] = set()
        for author in before.keys.keys() | after.keys.keys():
            if before.keys.get(author) != after.keys.get(author):
                authors.add(author)
                self._rekey(shop, author, before.keys.get(author, ()), after.keys.get(author, ()))
            was, now = before.removals.get(author), after.removals.get(author)
            if (was and was.points) != (now and now.points) or (was is None) != (now is None):
                authors.add(author)
            if (author in before.readers) != (author in after.readers):
                authors.add(author)
            if _role(before, author) != _role(after, author):
                take.ranked.add(author)
            if author in authors:
                self._end(shop, author, after)
        hashes = before.acts ^ after.acts | before.accepted ^ after.accepted
        hashes |= {hash for hash, _ in before.unfit.items() ^ after.unfit.items()}
        hashes |= {hash for hash, _ in before.late.items() ^ after.late.items()}
        for query, values in (
            ("SELECT author, run FROM run WHERE shop = ? AND author IN ({}) ORDER BY tip DESC", sorted(authors)),
            ("SELECT author, run FROM entry WHERE shop = ? AND hash IN ({})", sorted(hashes)),
        ):
            for marks, piece in in_pieces(values):
                for author, run in self._db.execute(query.format(marks), (shop, *piece)):
                    take.dirty[shop, author, run] = None
        for place in take.touched:
            if place[1] in authors:
                take.dirty[place] = None

    def _rekey(
        self, shop: int, author: str, before: Sequence[tuple[int, bytes]], after: Sequence[tuple[int, bytes]]
    ) -> None:
        """Other keys count for an author: its signatures are to be verified again from where that begins."""
        if not before or not after:
            first = 0
        else:
            same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
            same = min(len(before), len(after)) if same is None else same
            first = min(keys[same][0] for keys in (before, after) if same < len(keys))
        self._db.execute(
            "UPDATE entry SET signed = ? WHERE shop = ? AND author = ? AND seq > ? AND signed IN (?, ?)"
            " AND run IN (SELECT run FROM run WHERE shop = ? AND author = ? AND tip > ?)",
            (UNVERIFIED, shop, author, first, SIGNED, FORGED, shop, author, first),
        )

    def _end(self, shop: int, author: str, authority: Shop) -> None:
        """Write down the points that an author's removal names, in place of all that were known. From where its runs
        went on is taken down anew, too: of a removed author that is said only by what lies behind these points."""
        self._db.execute("DELETE FROM continuation WHERE shop = ? AND author = ?", (shop, author))
        self._db.execute("DELETE FROM ending WHERE shop = ? AND author = ?", (shop, author))
        removal = authority.removals.get(author)
        if removal is not None:
            self._db.executemany(
                "INSERT INTO ending (shop, author, run, seq, hash) VALUES (?,?,?,?,?)",
                [(shop, author, *point) for point in removal.points],
            )

    # -- judging again -----------------------------------------------------------------------------

    def _rejudge_run(self, take: _Take, place: RunKey) -> None:
        """Judge one run from its stored rows, and note what its whole looks like now."""
        author, shop = place[1], take.authority
        known, removed = author in shop.keys, author in shop.removals
        rows = self._db.execute(
            "SELECT n, hash, seq, prev, kind, signed, fault, status, vouched, reason, id, kept FROM entry"
            " WHERE shop = ? AND author = ? AND run = ? ORDER BY seq, n",
            place,
        ).fetchall()
        chain: list[Chained] = []
        for n, hash, seq, prev, kind, signed, fault, *_ in rows:
            stands = signed if signed != UNVERIFIED or not known else self._verify(take, n)
            wrong = hash in shop.unfit if kind in MEMBERSHIP else stands == FORGED and known
            chain.append(Chained(n, hash, seq, prev, kind, stands == SIGNED, fault is not None or wrong))
        named = self._db.execute(
            "SELECT seq, hash FROM ending WHERE shop = ? AND author = ? AND run = ?"
            if removed
            else "SELECT seq, hash FROM continuation WHERE shop = ? AND author = ? AND run = ? AND next <> run",
            place,
        ).fetchall()
        verdicts = judge_run(chain, named, removed=removed) if known else {}
        for link, (n, hash, _, _, kind, _, fault, status, vouched, reason, id, kept) in zip(chain, rows, strict=True):
            verdict = verdicts.get(n, STRANGER)
            if link.faulty:
                why = fault or shop.unfit.get(hash) or "its signature is wrong"
                verdict = Judgement(verdict.vouched, Status.INVALID, why)
            else:
                verdict = overruled(shop, kind in MEMBERSHIP, author, hash, verdict)
            standing, why = CODE[verdict.standing], verdict.reason
            if standing == COUNTED and status in (COUNTED, DUPLICATE):
                standing, why = status, reason
            if (standing, verdict.vouched, why or None) != (status, bool(vouched), reason):
                stays = kept if standing == DUPLICATE else None
                self._set(take, n, status, standing, why or None, vouched=verdict.vouched, kept=stays)
            if (standing in (COUNTED, DUPLICATE)) != (status in (COUNTED, DUPLICATE)):
                take.ids.add(id)
        vouched = {n for n, verdict in verdicts.items() if verdict.vouched}
        self._whole(take, place, chain, bool(named), vouched, known=known)

    def _verify(self, take: _Take, n: int) -> int:
        """Whether a stored entry's signature stands, now that its author's key has become known."""
        stands = _signature(take.authority, self._entry(take.shop, n))
        self._db.execute("UPDATE entry SET signed = ? WHERE shop = ? AND n = ?", (stands, take.shop, n))
        return stands

    def _whole(
        self, take: _Take, place: RunKey, chain: list[Chained], named: bool, vouched: set[object], *, known: bool
    ) -> None:
        """Note what a run looks like as a whole. How far it reaches is followed along what is vouched for wherever two
        entries claim one number: a forged one must not keep the lights of the true ones off."""
        run = take.touched.get(place) or self._runs.get(place)
        take.touched[place] = run
        starts = [c for c in chain if c.kind == "run" and c.signed and not c.faulty]
        removed = place[1] in take.authority.removals
        first = min(starts, key=lambda c: (c.seq, c.hash), default=None)
        run.whole, run.whole_hash, run.label = 0, b"", None
        for start in starts:
            entry = self._entry(take.shop, start.key)
            if start is first:
                run.label = str(entry.body.get("label") or "")
            if known and (not removed or start.key in vouched):
                self._continue(take, place, entry, stored=True)
                self._end_earlier(take, place, entry) if removed else None
        run.begun = bool(starts)
        at: dict[int, list[Chained]] = {}
        for link in chain:
            at.setdefault(link.seq, []).append(link)
        walk = first
        while walk is not None:
            run.whole, run.whole_hash = walk.seq, walk.hash
            short = walk.hash.hex()[:SHORT]
            following = [c for c in at.get(walk.seq + 1, ()) if c.prev == short]
            walk = min(following, key=lambda c: (c.key not in vouched, c.faulty, c.hash), default=None)
        last = max(chain, key=lambda c: c.seq)
        run.tip, run.tip_hash = last.seq, last.hash
        signatures = [c.seq for c in chain if c.signed and not c.faulty]
        run.vouched = max(signatures, default=0)
        run.plain = (
            known
            and not named
            and not removed
            and len(starts) == 1
            and starts[0].seq == chain[0].seq
            and run.whole == run.tip
            and len(chain) == run.tip - chain[0].seq + 1
            and not any(c.faulty for c in chain)
        )
        self._runs.save(place, run)

    def _end_earlier(self, take: _Take, place: RunKey, entry: Entry) -> None:
        """A removed author's `run` entry lies behind an end: so does what it went on from."""
        after = entry.body.get("after")
        if after is None or after["run"] == entry.run:
            return
        shop, author, _ = place
        added = self._db.execute(
            "INSERT OR IGNORE INTO ending (shop, author, run, seq, hash) VALUES (?,?,?,?,?)",
            (shop, author, after["run"], after["seq"], bytes.fromhex(after["hash"])),
        ).rowcount
        earlier = (shop, author, after["run"])
        if added and (take.touched.get(earlier) or self._runs.get(earlier)).tip:
            take.dirty[earlier] = None

    def _rejudge_id(self, take: _Take, id: str) -> None:
        """Judge which of the entries that claim `id` counts."""
        rows = self._db.execute(
            "SELECT n, author, run, seq, hash, status, reason, kept FROM entry"
            " WHERE shop = ? AND id = ? AND status <= ?",
            (take.shop, id, DUPLICATE),
        ).fetchall()
        answer, differ = judge_id(
            (n, (author, run, seq, hash), lambda n=n: self._entry(take.shop, n).content())  # type: ignore[misc]
            for n, author, run, seq, hash, *_ in rows
        )
        hashes = {row[0]: row[4] for row in rows}
        for n, _, _, _, _, status, reason, kept in rows:
            of = answer[n]
            wanted = (COUNTED, None, None) if of is None else (DUPLICATE, DUPLICATED, hashes[of])
            if (status, reason, kept) != wanted:
                self._set(take, n, status, wanted[0], wanted[1], kept=wanted[2])
        if differ:
            self._db.execute("INSERT OR IGNORE INTO conflict (shop, id) VALUES (?, ?)", (take.shop, id))
        else:
            self._db.execute("DELETE FROM conflict WHERE shop = ? AND id = ?", (take.shop, id))

    def _set(
        self,
        take: _Take,
        n: int,
        before: int,
        status: int,
        reason: str | None,
        *,
        vouched: bool | None = None,
        kept: bytes | None = None,
    ) -> None:
        take.before.setdefault(n, before)
        take.again.add(n)
        self._db.execute(
            "UPDATE entry SET status = ?, reason = ?, kept = ?, vouched = coalesce(?, vouched)"
            " WHERE shop = ? AND n = ?",
            (status, reason, kept, vouched, take.shop, n),
        )

    def _entry(self, shop: int, n: object) -> Entry:
        document, raw = self._db.execute(
            "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
            " WHERE e.shop = ? AND e.n = ?",
            (shop, n),
        ).fetchone()
        return decode(document, raw)

    # -- what follows ------------------------------------------------------------------------------

    def _settle(self, take: _Take, fresh: list[Arrival], first: int) -> list[Change]:
        """Work out what changed, let it take effect, and number it for the feed."""
        news = {first + i: a for i, a in enumerate(fresh)}
        odd = sorted(take.again)  # the others are as they were written
        now: dict[int, int] = {}
        for marks, piece in in_pieces(odd):
            query = f"SELECT n, status FROM entry NOT INDEXED WHERE shop = ? AND n IN ({marks})"
            now.update(self._db.execute(query, (take.shop, *piece)).fetchall())
        changes: list[Change] = []
        for row in take.rows:
            e = row.arrival.entry
            changes.append(Change(row.n, e.kind, _id(e), e.till, None, STATUSES[now.get(row.n, row.status)]))
        for n in odd:
            before = take.before[n]
            if before is None or before == now[n]:
                continue
            kind, id, author = self._db.execute(
                "SELECT kind, id, author FROM entry WHERE shop = ? AND n = ?", (take.shop, n)
            ).fetchone()
            changes.append(Change(n, kind, id, author, STATUSES[before], STATUSES[now[n]]))
        for change in changes:
            counts = change.status is Status.COUNTED
            if self._projections.concerned(change.kind) and (counts or change.before is Status.COUNTED):
                if (fresh_one := news.get(change.n)) is not None:
                    entry, document = fresh_one.entry, fresh_one.document
                else:
                    entry = self._entry(take.shop, change.n)
                    (document,) = self._db.execute(
                        "SELECT document FROM entry WHERE shop = ? AND n = ?", (take.shop, change.n)
                    ).fetchone()
                follow = self._projections.apply if counts else self._projections.undo
                follow(take.shop, take.authority, entry, document)
            elif change.kind == "sale":
                self._projections.returns.touch(take.shop, change.id)
        self._projections.effects.arrived(take.shop, take.authority, [a.entry.hash for a in fresh])
        self._projections.effects.rank(take.shop, take.authority, take.ranked)
        self._projections.flush()
        if self._feed:
            self._db.executemany(
                f"INSERT INTO {self._dialect.feed} (shop, entry, event, status) VALUES (?, ?, ?, ?)",
                [(take.shop, c.n, "entry" if c.before is None else "status", CODE[c.status]) for c in changes],
            )
        return changes


def _signature(shop: Shop, entry: Entry) -> int:
    stands = shop.signed(entry)
    return UNVERIFIED if stands is None else SIGNED if stands else FORGED


def _role(shop: Shop, author: str) -> Role | None:
    member = shop.everyone.get(author)
    return None if member is None else member.role
