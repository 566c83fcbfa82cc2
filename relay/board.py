"""The board's figures: what each shop sold on each business day, kept beside the ledger.

A page of two thousand shops reads a row a shop here, and no entries. The rows follow the feed: a new entry that counts
is added to its day's row, and whatever is less simple (an entry whose worth changed, a duplicate, a close, a day that
was moved) has the row made anew from the ledger. `upto` is the last entry that is in a row, in the order in which the
shop's entries came; an event of one that is in it already changes nothing. So a row equals the day report as of some
moment, and nothing is lost or added twice, whoever follows and however often it is tried.

How far the feed was followed stands in the same transaction as the rows. Where the ledger was put back to an older copy
the rows are thrown away and made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from posline.core.entry import valid_day
from posline.core.kinds import MEMBERSHIP
from posline.core.members import Role
from posline.core.sales import refund_figures, sale_figures, void_figures
from posline.storage.day import DAYS
from posline.storage.feed import feed_end
from posline.storage.ledger import COUNTED, DUPLICATE
from posline.storage.pieces import in_pieces
from posline.storage.store import Store
from relay.database import Database, Step, Transaction, transact
from relay.feeding import Feed
from relay.marks import mark

__all__ = ["SLOT_MINUTES", "STEPS", "Board", "DayRow", "earlier", "of_shops", "slot_of"]

STEPS: tuple[Step, ...] = (
    ("the board", (
        # texts hold JSON: `slots` {quarter of an hour: [sales, net]}, `tills` {author: [sales, net, last sale]},
        # `closed` and `waiting` lists of authors
        "CREATE TABLE office_board (shop TEXT NOT NULL, day TEXT NOT NULL, version INTEGER NOT NULL,"
        " upto INTEGER NOT NULL, count INTEGER NOT NULL, sales INTEGER NOT NULL, discount INTEGER NOT NULL,"
        " refund_count INTEGER NOT NULL, refunds INTEGER NOT NULL, void_count INTEGER NOT NULL,"
        " voids INTEGER NOT NULL, net INTEGER NOT NULL, tax INTEGER NOT NULL, last_ms INTEGER NOT NULL,"
        " odd INTEGER NOT NULL, slots TEXT NOT NULL, tills TEXT NOT NULL, closed TEXT NOT NULL,"
        " waiting TEXT NOT NULL, PRIMARY KEY (shop, day))",
        "CREATE INDEX office_board_day ON office_board (day)",
        # all days of a shop from `since` on that have entries have their rows
        "CREATE TABLE office_board_shop (shop TEXT PRIMARY KEY, zone TEXT NOT NULL, day_start TEXT NOT NULL,"
        " currency TEXT NOT NULL, since TEXT NOT NULL)",
        "CREATE TABLE office_board_sums (shop TEXT NOT NULL, day TEXT NOT NULL, sort TEXT NOT NULL,"
        " version INTEGER NOT NULL, made_ms INTEGER NOT NULL, rows TEXT NOT NULL, PRIMARY KEY (shop, day, sort))",
        "CREATE INDEX office_board_sums_day ON office_board_sums (day)",
    )),
)  # fmt: skip
SLOT_MINUTES = 15
EVENTS_AT_ONCE = 500
PLACE = "board"  # the note that says how far the feed was followed
NEVER = "9"  # behind every day
DAYS_FILLED = 36  # business days that every shop has rows of, without anybody asking
_EVENTS = (
    "SELECT f.n, f.event, f.status, s.id, e.n, e.kind, e.author, e.day, e.status, e.raw FROM feed f"
    " JOIN shop s ON s.key = f.shop JOIN entry e ON e.shop = f.shop AND e.n = f.entry"
    " WHERE f.n > ? ORDER BY f.n LIMIT ?"
)
_body = msgspec.json.Decoder(dict[str, Any]).decode
_text = msgspec.json.Encoder().encode
_slots = msgspec.json.Decoder(dict[str, tuple[int, int]]).decode
_tills = msgspec.json.Decoder(dict[str, tuple[int, int, int]]).decode
_authors = msgspec.json.Decoder(list[str]).decode
Place = tuple[str, str]  # a shop and a business day


@dataclass(slots=True)
class DayRow:
    """What a shop sold on a business day, refunds and voids above 0. `odd` is how many entries are out of the totals
    or doubled; `closed` are the tills that closed the day, `waiting` those that it waits for."""

    shop: str
    day: str
    version: int = 0
    upto: int = 0
    count: int = 0
    sales: int = 0
    discount: int = 0
    refund_count: int = 0
    refunds: int = 0
    void_count: int = 0
    voids: int = 0
    net: int = 0
    tax: int = 0
    last_ms: int = 0
    odd: int = 0
    slots: dict[str, tuple[int, int]] = field(default_factory=dict)
    tills: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, row: Sequence[Any]) -> DayRow:
        """As the table has it."""
        *plain, slots, tills, closed, waiting = row
        texts = _slots(slots), _tills(tills), _authors(closed), _authors(waiting)
        return cls(**dict(zip((*_PLAIN, *_TEXTS), (*plain, *texts), strict=True)))

    def values(self) -> tuple[Any, ...]:
        """For the table."""
        plain = [getattr(self, name) for name in _PLAIN]
        return (*plain, *(_text(getattr(self, name)).decode() for name in _TEXTS))

    def add(self, kind: str, author: str, body: Mapping[str, Any], zone: ZoneInfo) -> None:
        """Add an entry that counts."""
        sold, gained, last_ms = self.tills.get(author, (0, 0, 0))
        if kind in ("sale", "refund", "void"):
            amount, at = self._take(kind, body), body["at"]
            slot = str(slot_of(at, zone))
            before = self.slots.get(slot, (0, 0))
            self.slots[slot] = before[0] + (kind == "sale"), before[1] + amount
            sold, gained = sold + (kind == "sale"), gained + amount
            if kind == "sale":
                last_ms = max(last_ms, ms_of(at))
                self.last_ms = max(self.last_ms, last_ms)
        self.tills[author] = sold, gained, last_ms

    def _take(self, kind: str, body: Mapping[str, Any]) -> int:
        """Add its amounts; what it adds to the net."""
        if kind == "sale":
            figures = sale_figures(body)
            self.count, self.sales = self.count + 1, self.sales + figures.total
            self.discount, self.tax = self.discount + figures.discount, self.tax + figures.tax
            self.net += figures.total
            return figures.total
        back = refund_figures(body) if kind == "refund" else void_figures(body)
        if kind == "refund":
            self.refund_count, self.refunds = self.refund_count + 1, self.refunds + back.total
        else:
            self.void_count, self.voids = self.void_count + 1, self.voids + back.total
        self.tax -= back.tax
        self.net -= back.total
        return -back.total


_TEXTS = ("slots", "tills", "closed", "waiting")
_PLAIN = tuple(each.name for each in fields(DayRow) if each.name not in _TEXTS)
_COLUMNS = ", ".join((*_PLAIN, *_TEXTS))
_PUT = f"INSERT INTO office_board ({_COLUMNS}) VALUES ({', '.join('?' * (len(_PLAIN) + len(_TEXTS)))})"
_RENEW = f"{_PUT} ON CONFLICT (shop, day) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in (*_PLAIN, *_TEXTS) if name not in ("shop", "day")
)


def slot_of(at: str, zone: ZoneInfo) -> int:
    """The quarter of an hour of the clock in a zone, from 0 to 95; as it was written where a wild clock wrote a time
    that no calendar has there."""
    try:
        found = datetime.fromisoformat(at).astimezone(zone)
    except (OverflowError, ValueError):
        return int(at[11:13]) * 60 // SLOT_MINUTES
    return (found.hour * 60 + found.minute) // SLOT_MINUTES


def ms_of(at: str) -> int:
    """Milliseconds since 1970; 0 for what no calendar has."""
    try:
        return max(0, int(datetime.fromisoformat(at).timestamp() * 1000))
    except (OverflowError, ValueError):
        return 0


def earlier(day: str, days: int) -> str:
    """The day so many days before."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


@dataclass(frozen=True, slots=True)
class Founded:
    """What stays with a shop: its zone, the hour at which its day starts, its currency."""

    zone: str
    day_start: str
    currency: str


class _Maker:
    """Makes rows from the ledger as of one moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Founded, set[str], set[str]]] = {}

    def founded(self, shop: str) -> Founded:
        """Of a shop."""
        return self._of(shop)[0]

    def _of(self, shop: str) -> tuple[Founded, set[str], set[str]]:
        """With its members, and those that keep no drawer."""
        found = self._known.get(shop)
        if found is None:
            authority = self._store.authority(shop)
            said = authority.founding.body if authority.founding is not None else {}
            founded = Founded(
                str(said.get("zone", "UTC")), str(said.get("day_start", "00:00")), str(said.get("currency", ""))
            )
            drawerless = {who for who, member in authority.everyone.items() if member.role is Role.HEAD_OFFICE}
            if authority.recovery is not None:
                drawerless.add(authority.recovery.author)
            found = self._known[shop] = founded, set(authority.members), drawerless
        return found

    def days(self, shop: str, first: str, last: str) -> list[str]:
        """The business days of a shop that have entries."""
        key = self._store.shop_key(shop)
        return [day for (day,) in self._store.read.execute(DAYS, (key, first, last)).fetchall()]

    def row(self, shop: str, day: str, version: int) -> DayRow:
        """The row of a day."""
        made, zone, key = DayRow(shop, day, version), zone_of(self.founded(shop)), self._store.shop_key(shop)
        for n, kind, author, status, raw in self._store.read.execute(
            "SELECT n, kind, author, status, raw FROM entry INDEXED BY entry_day WHERE shop = ? AND day = ?", (key, day)
        ):
            made.upto = max(made.upto, n)
            if status == COUNTED:
                made.add(kind, author, _body(raw), zone)
            elif status == DUPLICATE:
                made.tills.setdefault(author, (0, 0, 0))
            made.odd += status != COUNTED
        closes = self._store.read.execute(
            "SELECT DISTINCT author FROM dayclose WHERE shop = ? AND day = ? ORDER BY author", (key, day)
        )
        made.closed = [author for (author,) in closes]
        self.wait(made)
        return made

    def wait(self, row: DayRow) -> None:
        """Say for whom a day waits: as `posline.storage.day` says it."""
        _, members, drawerless = self._of(row.shop)
        row.waiting = sorted((row.tills.keys() & members) - drawerless - set(row.closed))

    def moved(self, shop: str, author: str, run: int) -> list[str]:
        """The days in which a run's entries lie, or would, by their journals and by what moves them."""
        of_run = "FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE e.shop = ?"
        key = self._store.shop_key(shop)
        rows = self._store.read.execute(
            f"SELECT DISTINCT e.day {of_run} AND e.author = ? AND e.run = ? AND e.day IS NOT NULL"
            f" UNION SELECT DISTINCT substr(d.name, 9, 10) {of_run} AND e.author = ? AND e.run = ?"
            " AND e.day IS NOT NULL"
            " UNION SELECT day FROM redate WHERE shop = ? AND author = ? AND run = ?",
            (key, author, run) * 3,
        )
        return [day for (day,) in rows]


class Board:
    """The rows, for pages; and whoever brings them up to date. Every method may be called from any thread."""

    def __init__(self, database: Database, store: Callable[[], Store]) -> None:
        """`store()` is the ledger's."""
        self._database, self._store = database, store

    # -- following the feed --------------------------------------------------------------------------------------------

    def follow(self) -> bool:
        """Take up the next events of the feed; whether there may be more."""
        with self._store().snapshot() as store:
            feed, end = Feed(store), feed_end(store)
            place = self._place()
            if place is None or place[0] > end or (place[0] and feed.life_of(place[0]) != place[1]):
                self._begin(end, feed.life_of(end))
                return True
            events = store.read.execute(_EVENTS, (place[0], EVENTS_AT_ONCE)).fetchall()
            if not events:
                return False
            taken = _Taken(_Maker(store), self._rows_of, self._with_author, self._all_of)
            for _, *event in events:
                taken.take(*event)
            rows, at = taken.rows(), events[-1][0]
            self._keep(place, at, feed.life_of(at), rows, taken.members)
        return len(events) == EVENTS_AT_ONCE

    def _place(self) -> tuple[int, str] | None:
        row = self._database.execute("SELECT value FROM office_note WHERE name = ?", (PLACE,)).fetchone()
        if row is None:
            return None
        at, _, life = str(row[0]).partition(" ")
        return int(at), life

    def _begin(self, end: int, life: str) -> None:
        """Throw all rows away, and follow from here."""

        def work(tx: Transaction) -> None:
            for table in ("office_board", "office_board_shop", "office_board_sums"):
                tx.execute(f"DELETE FROM {table}")
            tx.execute(
                "INSERT INTO office_note (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value", (PLACE, f"{end} {life}"),
            )  # fmt: skip

        transact(self._database, work)

    def _keep(
        self, place: tuple[int, str], at: int, life: str, rows: Iterable[DayRow], changed: Iterable[str]
    ) -> None:
        kept = list(rows)

        def work(tx: Transaction) -> None:
            followed = tx.execute(
                "UPDATE office_note SET value = ? WHERE name = ? AND value = ?",
                (f"{at} {life}", PLACE, f"{place[0]} {place[1]}"),
            )
            if followed.rowcount == 1:  # else another process was faster
                tx.executemany(_RENEW, [row.values() for row in kept])
                mark(tx, {row.shop for row in kept} | set(changed))

        transact(self._database, work)

    def _rows_of(self, shop: str, day: str) -> DayRow | None:
        return self.rows([shop], [day]).get((shop, day))

    def _with_author(self, shop: str, author: str) -> list[str]:
        """The days of a shop whose rows name an author."""
        return [day for (_, day), row in self._all_of(shop).items() if author in row.tills]

    def _all_of(self, shop: str) -> dict[Place, DayRow]:
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM office_board WHERE shop = ?", (shop,))
        return {(row.shop, row.day): row for row in map(DayRow.read, rows)}

    # -- days that nobody followed -------------------------------------------------------------------------------------

    def founded(self) -> dict[str, tuple[Founded, str]]:
        """What is known of each shop, and the day from which on its rows are whole."""
        rows = self._database.execute("SELECT shop, zone, day_start, currency, since FROM office_board_shop")
        return {shop: (Founded(zone, start, currency), since) for shop, zone, start, currency, since in rows}

    def fill(self, shop: str, first: str, known: tuple[Founded, str] | None) -> bool:
        """Make the rows of a shop's days from `first` on that are not there; whether any was missing."""
        if known is not None and known[1] <= first:
            return False
        if self._place() is None:  # nobody follows yet: rows would be thrown away
            return False
        with self._store().snapshot() as store:
            maker = _Maker(store)
            founded = maker.founded(shop)
            last = NEVER if known is None else earlier(known[1], 1)
            rows = [maker.row(shop, day, 1) for day in maker.days(shop, first, last)]
        if not founded.currency:  # nothing of the shop is here yet
            return False

        def work(tx: Transaction) -> None:  # what whoever follows made meanwhile is newer
            tx.executemany(f"{_PUT} ON CONFLICT (shop, day) DO NOTHING", [row.values() for row in rows])
            tx.execute(
                "INSERT INTO office_board_shop (shop, zone, day_start, currency, since) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (shop) DO UPDATE SET since = CASE WHEN excluded.since < office_board_shop.since"
                " THEN excluded.since ELSE office_board_shop.since END",
                (shop, founded.zone, founded.day_start, founded.currency, first),
            )
            mark(tx, {shop})

        transact(self._database, work)
        return True

    # -- reading -------------------------------------------------------------------------------------------------------

    def rows(self, shops: Iterable[str] | None, days: Iterable[str]) -> dict[Place, DayRow]:
        """The rows of these shops (None: all) on these days."""
        wanted_days = sorted(set(days))
        asked = f"SELECT {_COLUMNS} FROM office_board WHERE day IN ({_marks(wanted_days)})"
        found = {}
        for where, params in of_shops(shops):
            for row in self._database.execute(asked + where, (*wanted_days, *params)):
                made = DayRow.read(row)
                found[made.shop, made.day] = made
        return found

    def span(self, shops: Iterable[str] | None, first: str, last: str) -> dict[str, tuple[int, int]]:
        """{day: (sales, net)} of these shops together, from `first` to `last`."""
        found: dict[str, tuple[int, int]] = {}
        for where, params in of_shops(shops):
            for day, count, net in self._database.execute(
                f"SELECT day, sum(count), sum(net) FROM office_board WHERE day >= ? AND day <= ?{where} GROUP BY day",
                (first, last, *params),
            ):
                before = found.get(day, (0, 0))
                found[day] = before[0] + int(count), before[1] + int(net)
        return found

    def totals(self, shops: Iterable[str] | None, first: str, last: str) -> dict[str, dict[str, int]]:
        """{shop: {figure: amount}} over these days."""
        names = ("count", "sales", "discount", "refund_count", "refunds", "void_count", "voids", "net", "tax")
        found = {}
        for where, params in of_shops(shops):
            for shop, *sums in self._database.execute(
                f"SELECT shop, {', '.join(f'sum({name})' for name in names)} FROM office_board"
                f" WHERE day >= ? AND day <= ?{where} GROUP BY shop",
                (first, last, *params),
            ):
                found[shop] = dict(zip(names, map(int, sums), strict=True))
        return found

    def days_of(self, shop: str, first: str, last: str) -> list[DayRow]:
        """A shop's days, the last one first."""
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM office_board WHERE shop = ? AND day >= ? AND day <= ? ORDER BY day DESC",
            (shop, first, last),
        )
        return [DayRow.read(row) for row in rows]

    def versions(self, shops: Iterable[str] | None, first: str, last: str) -> dict[Place, int]:
        """The versions of the rows of these days."""
        found = {}
        for where, params in of_shops(shops):
            for shop, day, version in self._database.execute(
                f"SELECT shop, day, version FROM office_board WHERE day >= ? AND day <= ?{where}",
                (first, last, *params),
            ):
                found[shop, day] = int(version)
        return found

    def unclosed(self, before: str) -> list[tuple[str, str, list[str]]]:
        """(shop, day, tills) of the days before one that are waited for."""
        rows = self._database.execute(
            "SELECT shop, day, waiting FROM office_board WHERE waiting <> '[]' AND day < ? AND day >= ?"
            " ORDER BY day, shop", (before, earlier(before, DAYS_FILLED)),
        )  # fmt: skip
        return [(shop, day, _authors(waiting)) for shop, day, waiting in rows]


class _Taken:
    """What a batch of events comes to."""

    def __init__(
        self,
        maker: _Maker,
        row_of: Callable[[str, str], DayRow | None],
        with_author: Callable[[str, str], list[str]],
        all_of: Callable[[str], dict[Place, DayRow]],
    ) -> None:
        self._maker, self._row_of, self._with_author, self._all_of = maker, row_of, with_author, all_of
        self._rows: dict[Place, DayRow] = {}
        self._versions: dict[Place, int] = {}
        self._again: set[Place] = set()
        self._changed: set[Place] = set()
        self.members: set[str] = set()  # the shops whose members changed

    def take(
        self, event: str, was: int, shop: str, n: int, kind: str, author: str, day: str | None, status: int, raw: bytes
    ) -> None:
        """One event: the entry with number `n` was worth `was`, and is worth `status` now."""
        if kind in MEMBERSHIP:
            self.members.add(shop)
        if kind == "redate":
            body = _body(raw)
            whose, run = str(body.get("author")), body.get("of")
            days = {*self._with_author(shop, whose), *(self._maker.moved(shop, whose, run) if type(run) is int else ())}
            self._again |= {(shop, each) for each in days} | _place_of(shop, body.get("to"))
        if kind == "day closed":
            self._again |= _place_of(shop, _body(raw).get("of_day"))
        if day is None:
            return
        place = shop, day
        if place in self._again:
            return
        row = self._row(place)
        if row is None or event != "entry" or was != COUNTED or status != COUNTED:
            self._again.add(place)
        elif n > row.upto:
            fresh = author not in row.tills
            row.add(kind, author, _body(raw), zone_of(self._maker.founded(shop)))
            row.upto = n
            if fresh:
                self._maker.wait(row)
            self._changed.add(place)

    def _row(self, place: Place) -> DayRow | None:
        if place not in self._rows:
            found = self._row_of(*place)
            if found is None:
                return None
            self._rows[place], self._versions[place] = found, found.version
        return self._rows[place]

    def rows(self) -> list[DayRow]:
        """The rows that are others now."""
        made: dict[Place, DayRow] = {}
        for shop in self.members:
            for place, row in self._all_of(shop).items():
                before = list(row.waiting)
                kept = self._rows.get(place, row)
                self._maker.wait(kept)
                if kept.waiting != before:
                    self._rows[place] = kept
                    self._versions.setdefault(place, row.version)
                    self._changed.add(place)
        for place in self._again:
            before_row = self._row(place)
            made[place] = self._maker.row(*place, (before_row.version if before_row is not None else 0) + 1)
        for place in self._changed - self._again:
            row = self._rows[place]
            row.version = self._versions[place] + 1
            made[place] = row
        return list(made.values())


def _place_of(shop: str, day: object) -> set[Place]:
    """The row that an entry names; an invalid one may name anything, and there is no row of what is no day."""
    return {(shop, day)} if isinstance(day, str) and valid_day(day) else set()


def zone_of(founded: Founded) -> ZoneInfo:
    """A shop's time zone."""
    try:
        return ZoneInfo(founded.zone)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def of_shops(shops: Iterable[str] | None) -> Iterator[tuple[str, Sequence[object]]]:
    """What to add to a question for these shops, in pieces that databases take."""
    if shops is None:
        yield "", ()
        return
    for marks, piece in in_pieces(sorted(set(shops))):
        yield f" AND shop IN ({marks})", piece


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
