"""Sums over days of several shops, by product, department, cashier, tender and tax: of each shop and day once.

What a report of one shop and day says is kept with the version of the board's row that it was made at, and made anew
where that is another by now. A page adds up what is kept. It makes only so many anew, and says of how many it shows
what was kept before, or has nothing yet; whoever looks after the board makes those in quiet moments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from posline.core.money import format_quantity
from posline.errors import PoslineError
from posline.storage.reports import Reports
from relay.board import Board, earlier, of_shops
from relay.database import Database, Transaction, transact

__all__ = ["COUNTS", "DAYS_KEPT", "PLACES_MAX", "QUANTITIES", "SORTS", "Summed", "Sums", "TooMuch"]

# what each is by, and the figures of its rows
SORTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "product": (("sku",), ("sold", "returned", "sales", "discount", "refunds", "voids", "net", "tax")),
    "department": (("department",), ("sales", "discount", "refunds", "voids", "net", "tax")),
    "cashier": (("cashier",), ("count", "sales", "discount", "refund_count", "refunds", "void_count", "voids", "net",
                               "tax")),
    "tender": (("tender",), ("count", "sales", "refunds", "voids", "net", "payments")),
    "tax": (("class", "rate", "mode"), ("sales", "refunds", "voids", "net", "taxable", "tax")),
}  # fmt: skip
PLACES_MAX = 3000  # shops times days in one page
REMADE_MAX = 40  # of those that a page makes anew
DAYS_KEPT = 62
STORED = ("product", "cashier", "tender", "tax")  # departments are made of products
QUANTITIES, COUNTS = ("sold", "returned"), ("count", "refund_count", "void_count")
# of a chain's days those that are missing or old, the last days first; asked several times a second while shops sell
_STALE = (
    "SELECT b.shop, b.day, b.version FROM office_board b LEFT JOIN office_board_sums s"
    " ON s.shop = b.shop AND s.day = b.day AND s.sort = ?"
    " WHERE b.day >= ? AND (s.version IS NULL OR s.version <> b.version) ORDER BY b.day DESC LIMIT ?"
)
_decode = msgspec.json.Decoder(list[list[Any]]).decode
_encode = msgspec.json.Encoder().encode
Place = tuple[str, str]


class TooMuch(PoslineError):
    """So many shops and days that no page adds them up."""

    status = 422
    title = "Too many shops and days for one page"
    word = "too_much"


@dataclass(frozen=True, slots=True)
class Summed:
    """The rows, the one that brought most first, each {by..., figures...}, and their totals. `older` of the shops' days
    are as they were a while ago, `lacking` are not in at all yet."""

    rows: list[dict[str, Any]]
    totals: dict[str, int]
    older: int
    lacking: int


class Sums:
    """The sums that are kept."""

    def __init__(
        self, database: Database, board: Board, reports: Callable[[str], Reports], now_ms: Callable[[], int]
    ) -> None:
        """`reports(shop)` answers from its ledger."""
        self._database, self._board, self._reports, self._now_ms = database, board, reports, now_ms

    def over(self, sort: str, shops: Sequence[str] | None, first: str, last: str) -> Summed:
        """By one of SORTS, over the days of these shops. Raises TooMuch."""
        versions = self._board.versions(shops, first, last)
        if len(versions) > PLACES_MAX:
            raise TooMuch(f"{len(versions)} days of shops are too many for one page: choose fewer, or export them")
        stored = "product" if sort == "department" else sort
        kept = self._kept(stored, shops, first, last)
        old = (place for place, version in versions.items() if kept.get(place, (0, ""))[0] != version)
        stale = sorted(old, key=lambda place: (place in kept, place))  # what is not there at all goes first
        for place in stale[:REMADE_MAX]:
            kept[place] = versions[place], self._make(stored, place, versions[place])
        left = stale[REMADE_MAX:]
        added = _Added(sort)
        for place in versions:
            if place in kept:
                added.add(_decode(kept[place][1]), stored)
        older = sum(place in kept for place in left)
        return Summed(added.rows(), added.totals(), older, len(left) - older)

    def refresh(self, since: str, limit: int) -> int:
        """Make up to `limit` of those that are missing or old, of the days from `since` on; how many were made."""
        made = 0
        for sort in STORED:
            stale = self._database.execute(_STALE, (sort, since, limit - made)).fetchall()
            for shop, day, version in stale:
                self._make(sort, (shop, day), int(version))
            made += len(stale)
        return made

    def forget(self, today: str) -> None:
        """Let go of what is of days long ago: it can be made again."""
        before = earlier(today, DAYS_KEPT)
        if self._database.execute("SELECT 1 FROM office_board_sums WHERE day < ? LIMIT 1", (before,)).fetchone():
            transact(
                self._database, lambda tx: tx.execute("DELETE FROM office_board_sums WHERE day < ?", (before,))
            )

    def _kept(self, sort: str, shops: Sequence[str] | None, first: str, last: str) -> dict[Place, tuple[int, str]]:
        asked = "SELECT shop, day, version, rows FROM office_board_sums WHERE sort = ? AND day >= ? AND day <= ?"
        found: dict[Place, tuple[int, str]] = {}
        for where, piece in of_shops(shops):
            for shop, day, version, rows in self._database.execute(asked + where, (sort, first, last, *piece)):
                found[shop, day] = int(version), rows
        return found

    def _make(self, sort: str, place: Place, version: int) -> str:
        shop, day = place
        by, figures = SORTS[sort]
        names = (*by, *(("name", "department") if sort == "product" else ()), *figures)
        rows = self._reports(shop).summary(sort, day, day)["rows"]
        text = _encode([[_whole(name, row[name]) for name in names] for row in rows]).decode()

        def work(tx: Transaction) -> None:
            tx.execute(
                "INSERT INTO office_board_sums (shop, day, sort, version, made_ms, rows) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (shop, day, sort) DO UPDATE SET version = excluded.version,"
                " made_ms = excluded.made_ms, rows = excluded.rows",
                (shop, day, sort, version, self._now_ms(), text),
            )

        transact(self._database, work)
        return text


def _whole(name: str, value: Any) -> Any:
    """A quantity in thousandths, anything else as it is."""
    return int(Decimal(value) * 1000) if name in QUANTITIES else value


class _Added:
    """Rows of several days and shops, added up."""

    def __init__(self, sort: str) -> None:
        self._sort = sort
        self._by, self._figures = SORTS[sort]
        self._sums: dict[tuple[Any, ...], list[int]] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def add(self, rows: list[list[Any]], stored: str) -> None:
        by, figures = SORTS[stored]
        beside = len(by) + (2 if stored == "product" else 0)
        places = [beside + figures.index(name) for name in self._figures]
        for row in rows:
            key = (row[2],) if self._sort == "department" else tuple(row[: len(by)])
            sums = self._sums.get(key)
            if sums is None:
                sums = self._sums[key] = [0] * len(places)
                if self._sort == "product":
                    self._names[key] = row[1]
            for n, place in enumerate(places):
                sums[n] += row[place]

    def rows(self) -> list[dict[str, Any]]:
        net = self._figures.index("net")
        made = []
        for key, sums in sorted(self._sums.items(), key=lambda item: (-item[1][net], tuple(map(str, item[0])))):
            row = dict(zip(self._by, key, strict=True))
            if self._sort == "product":
                row["name"] = self._names[key]
            row |= {
                name: format_quantity(amount) if name in QUANTITIES else amount
                for name, amount in zip(self._figures, sums, strict=True)
            }
            made.append(row)
        return made

    def totals(self) -> dict[str, int]:
        return {
            name: sum(sums[n] for sums in self._sums.values())
            for n, name in enumerate(self._figures)
            if name not in (*QUANTITIES, *COUNTS)
        }
