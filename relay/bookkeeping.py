"""Reads what `relay.accounting` adds up: a day's entries, its Z reports, and what those cover, of one moment.

The rows come from a snapshot of the store, so that two readings of a day can be held against each other. Of a Z report
only what a day needs is in memory, however long the span of days is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from posline.core.drawer import MONEY_KINDS, read_figures
from posline.core.ranges import ANY_RUN, Numbers
from posline.storage.ledger import COUNTED, DUPLICATE, HELD, STATUSES
from posline.storage.reports import Reports
from posline.storage.store import Store
from relay.accounting import Chart, DayBook, ShiftBook, ZReport, added_up, lines_of

__all__ = ["Bookkeeping", "Together", "books_of", "range_of"]

CLOSED = "shift closed"
KINDS = tuple(sorted(MONEY_KINDS))
_MARKS = ",".join("?" * len(KINDS))
_body = msgspec.json.Decoder(dict[str, Any]).decode
Span = tuple[int, int, int]  # run, first, last


class _Covers(msgspec.Struct):
    covers: list[list[int]]


_covers = msgspec.json.Decoder(_Covers).decode


class _Closes:
    """The Z reports of one till in the order of their numbers, by what they cover."""

    def __init__(self, found: Sequence[tuple[bytes, str, list[list[int]]]]) -> None:
        self.found = found
        self.all = Numbers(span for _, _, covers in found for span in covers)

    def before(self, place: int) -> Numbers:
        """What those before the one at `place` cover."""
        return Numbers(span for _, _, covers in self.found[:place] for span in covers)

    def touching(self, day: str, spans: Sequence[Span]) -> list[int]:
        """The places of those that were written on a day, or may cover something of these numbers."""
        return [
            place
            for place, (_, written, covers) in enumerate(self.found)
            if written == day or any(_meet(cover, span) for cover in covers for span in spans)
        ]


def _meet(cover: Sequence[int], span: Span) -> bool:
    return cover[0] in (ANY_RUN, span[0]) and cover[1] <= span[2] and span[1] <= cover[2]


class Bookkeeping:
    """The accounting of one shop's days, as of one moment. Use `books_of`."""

    def __init__(self, store: Store, shop: str, chart: Chart) -> None:
        self._store, self._shop, self._chart = store, shop, chart
        self._read, self._key = store.read, store.shop_key(shop)
        self.reports = Reports(store, shop, here="")
        founding = store.authority(shop).founding
        self.currency = str(founding.body["currency"]) if founding is not None else ""
        self._closes: dict[str, _Closes] = {}
        self._shifts: dict[bytes, ShiftBook] = {}  # those of the day before, which a shift may go on from

    def days(self, first: str | None, last: str | None) -> Iterator[dict[str, Any]]:
        """The summary of each day from `first` to `last` that has entries."""
        for day in self.reports.days():
            if (first or "0") <= day <= (last or "9"):
                yield self.day(day)

    def day(self, day: str) -> dict[str, Any]:
        """The summary of a day (`relay.accounting.DayBook.summary`)."""
        book = DayBook(self._shop, day, self.currency)
        for kind, author, run, seq, amount, raw in self._read.execute(
            "SELECT kind, author, run, seq, amount, raw FROM entry WHERE shop = ? AND day = ? AND status = ?"
            f" AND kind IN ({_MARKS})",
            (self._key, day, COUNTED, *KINDS),
        ):
            covered = (run, seq) in self._closes_of(author).all
            book.take(kind, author, _body(raw), amount=amount, covered=covered)
        return book.summary(self._shifts_of(day), self.reports.day(day), self._chart)

    # -- Z reports -------------------------------------------------------------------------------------------------

    def _shifts_of(self, day: str) -> list[ShiftBook]:
        spans: dict[str, dict[int, Span]] = {}
        # summed up here: asked to group them, SQLite would walk through all that the shop ever wrote
        for author, run, seq in self._read.execute(
            "SELECT author, run, seq FROM entry WHERE shop = ? AND day = ? AND status <= ?",
            (self._key, day, DUPLICATE),
        ):
            of_run = spans.setdefault(author, {})
            _, first, last = of_run.get(run, (run, seq, seq))
            of_run[run] = run, min(first, seq), max(last, seq)
        used: dict[bytes, ShiftBook] = {}
        for author, own in sorted(spans.items()):
            closes = self._closes_of(author)
            for place in closes.touching(day, list(own.values())):
                hash = closes.found[place][0]
                used[hash] = self._shifts.get(hash) or self._shift(author, closes, place)
        self._shifts = used
        return [shift for shift in used.values() if shift.z.day == day or day in shift.days]

    def _closes_of(self, author: str) -> _Closes:
        found = self._closes.get(author)
        if found is None:
            rows = self._read.execute(
                "SELECT s.hash, e.day, e.raw FROM shift s JOIN entry e ON e.shop = s.shop AND e.hash = s.hash"
                " WHERE s.shop = ? AND s.author = ? AND s.kind = ? AND e.status = ? ORDER BY s.seq, s.run, s.hash",
                (self._key, author, CLOSED, COUNTED),
            )
            found = self._closes[author] = _Closes([(hash, day, _covers(raw).covers) for hash, day, raw in rows])
        return found

    def _shift(self, author: str, closes: _Closes, place: int) -> ShiftBook:
        hash, day, covers = closes.found[place]
        (raw,) = self._read.execute(
            "SELECT raw FROM entry WHERE shop = ? AND hash = ? AND status = ?", (self._key, hash, COUNTED)
        ).fetchone()
        body = _body(raw)
        numbers, before = Numbers(covers), closes.before(place)
        shift = ShiftBook(ZReport(
            hash=hash.hex(), id=body["id"].lower(), till=author, label=self.reports.label(author), day=day,
            at=body["at"], by=body["by"], float=body["float"], counted=body["counted"], expected=body["expected"],
            figures=read_figures(body["figures"]),
            spans=sum(last - first + 1 for _, first, last in numbers.ranges(len(covers) + 1)),
        ))  # fmt: skip
        for run, seq, kind, status, entry_day, raw in self._covered(author, covers):
            standing = STATUSES[status].value
            shift.take(kind, _body(raw), entry_day or "", standing=standing, again=(run, seq) in before)
        return shift

    def _covered(self, author: str, covers: Sequence[Sequence[int]]) -> Iterator[tuple[Any, ...]]:
        """(run, seq, kind, status, day, raw) of what is here of a till's numbers: at each place what counts or is a
        duplicate, or else one entry that does not count. What somebody made up for a place that is taken is not it."""
        for run, first, last in Numbers(covers).ranges(len(covers) + 1):
            where = "" if run == ANY_RUN else " AND run = ?"
            taken: tuple[int, int] | None = None
            for row in self._read.execute(
                f"SELECT run, seq, kind, status, day, raw FROM entry WHERE shop = ? AND author = ?{where}"
                " AND seq BETWEEN ? AND ? AND status <= ? AND fault IS NULL ORDER BY run, seq, status, hash",
                (self._key, author, *([run] if where else []), first, last, HELD),
            ):
                place = row[0], row[1]
                if row[3] <= DUPLICATE or place != taken:
                    yield row
                taken = place


@contextmanager
def books_of(store: Store, shop: str, chart: Chart) -> Iterator[Bookkeeping]:
    """A shop's books as of now."""
    with store.snapshot() as still:
        yield Bookkeeping(still, shop, chart)


class Together:
    """What several days come to, of one shop or of several that reckon in one currency."""

    def __init__(self, chart: Chart) -> None:
        self._chart, self._currencies, self._ties = chart, set[str](), True
        self._provisional: list[dict[str, Any]] = []
        self._figures: dict[str, int] = {}
        self._posted: dict[str, int] = {}

    def add(self, day: dict[str, Any]) -> None:
        """One day more."""
        self._ties = self._ties and bool(day["ties"])
        self._currencies |= {day["currency"]} - {""}
        if day["state"] == "provisional":
            self._provisional.append({name: day[name] for name in ("shop", "day", "waiting_for")})
        for name, amount in day["figures"].items():
            self._figures[name] = self._figures.get(name, 0) + amount
        for what, amount in added_up([day["journal"]]).items():
            self._posted[what] = self._posted.get(what, 0) + amount

    def summed(self) -> dict[str, Any]:
        """{currency, ties, provisional, figures, journal}; of several currencies, whose amounts make no sum, no figures
        and no journal."""
        one = len(self._currencies) < 2
        found: dict[str, Any] = {
            "currency": next(iter(self._currencies), None) if one else None, "ties": self._ties,
            "provisional": self._provisional,
        }  # fmt: skip
        if one:
            journal = lines_of(added_up([lines_of(self._posted, self._chart)]), self._chart)
            found |= {"figures": self._figures, "journal": journal}
        return found


def range_of(days: Sequence[dict[str, Any]], chart: Chart) -> dict[str, Any]:
    """Several days, and what they come to together."""
    together = Together(chart)
    for day in days:
        together.add(day)
    return together.summed() | {"days": list(days)}
