"""What the ledger says of one till's shifts: which is open, what no Z report covers yet, which days are not closed.

What is staged and not committed yet is handed in, since a close must cover what was rung a moment before it. All else
is read from committed rows. Knows nothing of requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from posline.core.drawer import MONEY_KINDS, Takings, money_in
from posline.core.entry import Entry
from posline.core.ranges import Numbers
from posline.storage.connection import altered
from posline.storage.ledger import DUPLICATE
from posline.storage.records import Staged
from posline.storage.store import Store

__all__ = ["COVERS_MAX", "Opening", "Tally", "TillShifts"]

OPENED, CLOSED = "shift opened", "shift closed"
COVERS_MAX = 200  # ranges of numbers in a Z report: at one a restart of the till
PLACES_MAX = 400  # in the close of a day (posline.core.counter): what is beyond them is shown as late
_body = msgspec.json.Decoder(dict[str, Any]).decode


class _Covers(msgspec.Struct):
    covers: list[list[int]]


_decode_covers = msgspec.json.Decoder(_Covers).decode


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of a shift: its id and number in its till's chain, when and by whom, the float in minor units."""

    id: str
    seq: int
    at: str
    by: str
    float: int

    @classmethod
    def of(cls, entry: Entry) -> Opening:
        """The opening that an entry is."""
        return cls(entry.id, entry.seq, entry.at, entry.by, entry.body["float"])


@dataclass(frozen=True, slots=True)
class _Twin:
    """A duplicate: its number in its till's chain, its day, when both copies were here, and how it is shown."""

    run: int
    seq: int
    day: str
    came: int
    shown: dict[str, Any]


class Tally:
    """A till's entries that no Z report covers: their numbers and what they come to."""

    def __init__(self, after: frozenset[bytes] = frozenset()) -> None:
        self.after = after  # the till's earlier Z reports, by hash
        self.numbers = Numbers()
        self.takings = Takings()
        self.moved = 0  # how many entries moved money

    def take(self, run: int, seq: int, kind: str, body: dict[str, Any]) -> None:
        """One entry more."""
        self.numbers.add(run, seq)
        if kind in MONEY_KINDS:
            self.moved += 1
            self.takings.add(kind, body)


class TillShifts:
    """The shifts of the till `author`, as held on this device."""

    def __init__(self, store: Store, shop: str, author: str) -> None:
        self._store, self._shop, self._author = store, shop, author
        self._read = store.read
        self._known: dict[bytes, list[list[int]]] = {}  # what each Z report covers, by its hash

    @property
    def _key(self) -> int | None:
        return self._store.shop_key(self._shop)

    def _entries(self, staged: Sequence[Staged]) -> list[Entry]:
        """Those that this till wrote itself."""
        return [entry for one in staged if one.own for entry in one.entries if entry.till == self._author]

    # -- which shift is open ---------------------------------------------------------------------------------------

    def open(self, staged: Sequence[Staged] = ()) -> Opening | None:
        """The till's last shift, unless it is closed."""
        last: Opening | None = None
        row = self._read.execute(
            "SELECT e.raw FROM shift s JOIN entry e ON e.shop = s.shop AND e.hash = s.hash"
            " WHERE s.shop = ? AND s.author = ? AND s.kind = ? ORDER BY s.seq DESC, s.run DESC LIMIT 1",
            (self._key, self._author, OPENED),
        ).fetchone()
        if row is not None:
            body = _body(row[0])
            last = Opening(body["id"].lower(), body["seq"], body["at"], body["by"], body["float"])
        for entry in self._entries(staged):
            if entry.kind == OPENED and (last is None or entry.seq > last.seq):
                last = Opening.of(entry)
        return None if last is None or self._is_closed(last.id, staged) else last

    def _is_closed(self, shift: str, staged: Sequence[Staged]) -> bool:
        if any(entry.kind == CLOSED and entry.body["shift"] == shift for entry in self._entries(staged)):
            return True
        row = self._read.execute(
            "SELECT 1 FROM shift WHERE shop = ? AND author = ? AND kind = ? AND shift = ? LIMIT 1",
            (self._key, self._author, CLOSED, shift),
        ).fetchone()
        return row is not None

    def closes(self, staged: Sequence[Staged] = ()) -> int:
        """How many Z reports the till has written."""
        held = {
            hash
            for (hash,) in self._read.execute(
                "SELECT hash FROM shift WHERE shop = ? AND author = ? AND kind = ?", (self._key, self._author, CLOSED)
            )
        }
        return len(held | {entry.hash for entry in self._entries(staged) if entry.kind == CLOSED})

    def closing(
        self, staged: Sequence[Staged], counted: Mapping[str, int], *, begun: Tally | None = None
    ) -> dict[str, Any] | None:
        """The fields of the Z report that closes the shift as it stands; None where no shift is open and nothing moved
        money since the last close. Whoever writes it must do so before anything else is staged."""
        tally, shift = self.tally(staged, begun=begun), self.open(staged)
        if shift is None and not tally.moved:
            return None
        float = shift.float if shift is not None else 0
        return {
            "shift": shift.id if shift is not None else None,
            "float": float,
            "covers": tally.numbers.ranges(COVERS_MAX),
            "counted": dict(counted),
            "expected": tally.takings.expected(float),
            "figures": {"number": self.closes(staged) + 1} | tally.takings.figures(),
        }

    # -- what no Z report covers -----------------------------------------------------------------------------------

    def tally(self, staged: Sequence[Staged] = (), *, begun: Tally | None = None) -> Tally:
        """The till's entries that no Z report of it covers, counted and duplicate alike; `staged` are those of its own
        that wait for their commit. `begun` is an earlier tally of the same shift to go on from: what it took stays."""
        covers = self._covers(staged)
        tally = Tally(frozenset(covers))
        if begun is not None and begun.after == tally.after:
            tally = begun
        taken = Numbers(span for spans in covers.values() for span in spans).joined(tally.numbers)
        seen: set[bytes] = set()
        for hash, run, seq, kind, body in self._uncovered(taken):
            seen.add(hash)
            tally.take(run, seq, kind, body)
        for entry in sorted(self._entries(staged), key=lambda entry: entry.seq):
            if entry.hash not in seen and (entry.run, entry.seq) not in taken:
                tally.take(entry.run, entry.seq, entry.kind, entry.body)
        return tally

    def covered(self, staged: Sequence[Staged] = ()) -> Numbers:
        """The till's numbers that its Z reports cover."""
        return Numbers(span for spans in self._covers(staged).values() for span in spans)

    def _covers(self, staged: Sequence[Staged]) -> dict[bytes, list[list[int]]]:
        """What each of the till's Z reports covers, by its hash."""
        known: dict[bytes, list[list[int]]] = {}
        for (hash,) in self._read.execute(
            "SELECT hash FROM shift WHERE shop = ? AND author = ? AND kind = ?", (self._key, self._author, CLOSED)
        ).fetchall():
            found = self._known.get(hash)
            if found is None:
                (raw,) = self._read.execute(
                    "SELECT raw FROM entry WHERE shop = ? AND hash = ? LIMIT 1", (self._key, hash)
                ).fetchone()
                found = _decode_covers(raw).covers
            known[hash] = found
        self._known = known
        return known | {entry.hash: entry.body["covers"] for entry in self._entries(staged) if entry.kind == CLOSED}

    def _uncovered(self, taken: Numbers) -> Iterator[tuple[bytes, int, int, str, dict[str, Any]]]:
        """(hash, run, seq, kind, body) of committed entries outside `taken`, in the order of their runs' numbers."""
        runs = self._read.execute(
            "SELECT run, tip FROM run WHERE shop = ? AND author = ? ORDER BY tip", (self._key, self._author)
        ).fetchall()
        for run, tip in runs:
            for first, last in taken.missing(run, tip):
                for hash, seq, kind, raw in self._read.execute(
                    "SELECT hash, seq, kind, raw FROM entry WHERE shop = ? AND author = ? AND run = ?"
                    " AND seq BETWEEN ? AND ? AND status <= ? ORDER BY seq, hash",
                    (self._key, self._author, run, first, last, DUPLICATE),
                ):
                    if hashlib.sha256(raw).digest() != hash:
                        raise altered(f"a {kind} is not what was written")
                    yield hash, run, seq, kind, _body(raw)

    def duplicates(self, numbers: Numbers) -> list[dict[str, Any]]:
        """Of the till's entries with these numbers, the ones that another till recorded too and that count there: the
        money lies in one of the two drawers. {id, kind, amount, kept_by}; `amount` in minor units, below 0 for what
        went out."""
        return [twin.shown for twin in self._twins() if (twin.run, twin.seq) in numbers]

    def new_duplicates(self, day: str) -> dict[str, list[dict[str, Any]]]:
        """By business day, the duplicates of `day`, and of earlier days those that came out only after the till's last
        entry before `day`: two tills may be apart overnight, and whose drawer was short has to hear of it."""
        twins = list(self._twins())
        older = any(twin.day < day for twin in twins)
        since = self._last_before(day) if older else 0
        found: dict[str, list[dict[str, Any]]] = {}
        for twin in sorted(twins, key=lambda twin: twin.day):
            if twin.day == day or (twin.day < day and twin.came > since):
                found.setdefault(twin.day, []).append(twin.shown)
        return found

    def _twins(self) -> Iterator[_Twin]:
        for n, id, kind, run, seq, day, raw, kept in self._read.execute(
            "SELECT n, id, kind, run, seq, day, raw, kept FROM entry INDEXED BY entry_odd WHERE shop = ? AND status = ?"
            " AND status <> 0 AND author = ? ORDER BY run, seq, hash",
            (self._key, DUPLICATE, self._author),
        ).fetchall():
            if kind not in MONEY_KINDS:
                continue
            other = self._read.execute(
                "SELECT n, author FROM entry WHERE shop = ? AND hash = ? LIMIT 1", (self._key, kept)
            ).fetchone()
            came, by = (n, None) if other is None else (max(n, other[0]), other[1])
            shown = {"id": id, "kind": kind, "amount": money_in(kind, _body(raw)), "kept_by": by}
            yield _Twin(run, seq, day, came, shown)

    def _last_before(self, day: str) -> int:
        """The place, in the order in which entries came here, of the till's last entry of a day before `day`."""
        for (run,) in self._read.execute(
            "SELECT run FROM run WHERE shop = ? AND author = ? ORDER BY tip DESC", (self._key, self._author)
        ).fetchall():
            row = self._read.execute(
                "SELECT n FROM entry WHERE shop = ? AND author = ? AND run = ? AND day < ? ORDER BY seq DESC LIMIT 1",
                (self._key, self._author, run, day),
            ).fetchone()
            if row is not None:
                return int(row[0])
        return 0

    # -- days ------------------------------------------------------------------------------------------------------

    def unclosed(self, before: str) -> list[str]:
        """The business days before `before` in which the till wrote something and which it has not closed."""
        days = {
            name[8:]
            for (name,) in self._read.execute(
                "SELECT d.name FROM digest g JOIN document d ON d.shop = g.shop AND d.key = g.document"
                " WHERE g.shop = ? AND g.author = ? AND d.name >= 'journal/' AND d.name < 'journal0'",
                (self._key, self._author),
            )
        }
        days |= {
            day
            for (day,) in self._read.execute(
                "SELECT DISTINCT day FROM redate WHERE shop = ? AND author = ?", (self._key, self._author)
            )
        }
        closed = {
            day
            for (day,) in self._read.execute(
                "SELECT DISTINCT day FROM dayclose WHERE shop = ? AND author = ?", (self._key, self._author)
            )
        }
        return [day for day in sorted(days - closed) if day < before and self._wrote_in(day)]

    def _wrote_in(self, day: str) -> bool:
        row = self._read.execute(
            "SELECT 1 FROM entry INDEXED BY entry_day WHERE shop = ? AND day = ? AND author = ? AND status <= ?"
            " LIMIT 1",
            (self._key, day, self._author, DUPLICATE),
        ).fetchone()
        return row is not None

    def vector(self, day: str, staged: Sequence[Staged] = ()) -> list[list[Any]]:
        """How far each run that wrote in `day` is held here without a gap, [author, run, seq]: what the close of that
        day covers. Its own entries that wait for their commit stand before it in its chain, so they are covered."""
        held = {
            (author, run): whole
            for author, run, whole in self._read.execute(
                "SELECT r.author, r.run, r.whole FROM (SELECT DISTINCT author, run FROM entry INDEXED BY entry_day"
                " WHERE shop = ?1 AND day = ?2 AND status <= ?3) wrote"
                " JOIN run r ON r.shop = ?1 AND r.author = wrote.author AND r.run = wrote.run WHERE r.whole > 0",
                (self._key, day, DUPLICATE),
            )
        }
        for entry in self._entries(staged):
            place = entry.till, entry.run
            if place in held or entry.day == day:
                held[place] = max(held.get(place, 0), entry.seq)
        # the till's own first, then the latest: of very many runs those that matter most
        ranked = sorted(held.items(), key=lambda item: (item[0][0] != self._author, -item[1], item[0]))
        return sorted([author, run, seq] for (author, run), seq in ranked[:PLACES_MAX])

