"""Answers from the ledger: sales, day reports, what waits, what is wrong, products. Committed rows only.

Every figure is a function of the set of entries held, so two replicas that hold the same answer the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from posline.core.entry import Entry, decode
from posline.core.members import Role
from posline.core.numbers import parse_receipt, parse_reference, receipt, valid_label
from posline.core.status import Status
from posline.storage.connection import altered
from posline.storage.day import DAYS, day_report
from posline.storage.ledger import DISPUTED, HELD, INVALID, STATUSES
from posline.storage.lights import holders, waiting
from posline.storage.pieces import in_pieces
from posline.storage.products import Products, no_day
from posline.storage.returned import excess
from posline.storage.store import Store
from posline.storage.summaries import summary

__all__ = ["Recorded", "Reports"]

ALARMS_MAX = 20  # of a kind, the worst tills first
RANGES_MAX = 200  # of missing numbers that are looked at for the alarms
PAGE_MAX = 1000  # sales in one answer
READ_AT_ONCE = 500  # entries of an export that are in memory
SHIFTS_MAX = 1_000_000  # all of them
CLOSED = "shift closed"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as the ledger has it. `n` is its place in this replica's order of arrival, a cursor for lists."""

    n: int
    entry: Entry
    status: Status
    reason: str
    day: str
    vouched: bool
    kept: str | None  # hex hash of the entry that it is a duplicate of

    @property
    def receipt(self) -> str:
        """The number on paper."""
        e = self.entry
        return receipt(str(e.body.get("label", "")), e.number or 0, e.till, e.run)


# an author's numbers run on from run to run. Only what is signed says that there was something before it.
GAPS = """
WITH inside AS (
    SELECT e.author, e.seq, lag(e.seq) OVER (PARTITION BY e.author, e.run ORDER BY e.seq) AS before,
        max(CASE WHEN e.vouched = 1 THEN e.seq ELSE 0 END) OVER (PARTITION BY e.author, e.run) AS top
    FROM run r CROSS JOIN entry e ON e.shop = r.shop AND e.author = r.author AND e.run = r.run
    WHERE r.shop = ?1 AND r.whole < r.tip)
SELECT author, before + 1, seq - 1 FROM inside WHERE seq > before + 1 AND seq <= top
UNION SELECT c.author,
    max(coalesce(r.whole, 0), coalesce((SELECT max(o.tip) FROM run o
        WHERE o.shop = c.shop AND o.author = c.author AND o.tip < c.seq), 0)) + 1,
    c.seq
FROM continuation c LEFT JOIN run r ON r.shop = c.shop AND r.author = c.author AND r.run = c.run
WHERE c.shop = ?1 AND coalesce(r.whole, 0) < c.seq AND coalesce(r.tip, 0) < c.seq
UNION SELECT r.author, r.whole + 1, h.seq
FROM run r JOIN have h ON h.shop = r.shop AND h.author = r.author AND h.run = r.run AND h.store = r.author
WHERE r.shop = ?1 AND h.seq > r.whole AND h.seq > r.tip
ORDER BY 1, 2 LIMIT ?2"""
BEHIND = """
SELECT coalesce(sum(r.whole - max(coalesce(h.seq, 0), (
    SELECT min(e.seq) FROM entry e WHERE e.shop = r.shop AND e.author = r.author AND e.run = r.run) - 1)), 0)
FROM run r LEFT JOIN have h ON h.shop = r.shop AND h.author = r.author AND h.run = r.run AND h.store = ?2
WHERE r.shop = ?1 AND r.author <> ?2 AND r.whole > 0 AND (h.seq IS NULL OR h.seq < r.whole)"""

_COLUMNS = "e.n, d.name, e.raw, e.status, e.reason, e.day, e.vouched, e.kept, e.hash"
_FROM = " FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document WHERE e.shop = ?"


class Reports:
    """What one shop's ledger answers. `here` is this device's store id, for lights and waiting counts, `today` the
    business day whose prices products have; without it, none that are scheduled have begun."""

    def __init__(self, store: Store, shop: str, *, here: str, today: Callable[[], str] = no_day) -> None:
        self._store, self._shop, self._here = store, shop, here
        self._read = store.read
        self.catalog = Products(store, shop, today)

    @property
    def _key(self) -> int | None:
        return self._store.shop_key(self._shop)

    # -- entries -----------------------------------------------------------------------------------

    def by_id(self, id: str) -> list[Recorded]:
        """Every entry that claims this id, duplicates too, the counted ones first."""
        return self._recorded(_COLUMNS + _FROM + " AND e.id = ? ORDER BY e.status, e.hash", id.lower())

    def sale(self, wanted: str) -> list[Recorded]:
        """The sales that an id, a receipt or a reference names, without the duplicates of one that is among them."""
        return self._named(wanted, "sale")

    def refund(self, wanted: str) -> list[Recorded]:
        """As `sale`: the refunds and voids that an id or a reference names, or the refunds that a receipt does."""
        return self._named(wanted, "refund", "void")

    def _named(self, wanted: str, *kinds: str) -> list[Recorded]:
        parsed, begun = parse_receipt(wanted), parse_reference(wanted)
        if parsed is None:
            claimed = self.by_id(wanted) if begun is None else self._begun(begun)
            found = [r for r in claimed if r.entry.kind in kinds and r.entry.fault is None]
        else:
            found = [
                r
                for r in self._recorded(
                    _COLUMNS + _FROM + " AND e.number = ? AND e.kind = ? ORDER BY e.status, e.hash", parsed[1], kinds[0]
                )
                if r.receipt == wanted.upper()
            ]
        hashes = {r.entry.hash.hex() for r in found if r.status is not Status.DUPLICATE}
        return [r for r in found if r.kept not in hashes]

    def _begun(self, begun: str) -> list[Recorded]:
        """As `by_id`, of the ids that begin so, which is by the index: a hex digit or a hyphen follows."""
        return self._recorded(
            _COLUMNS + _FROM + " AND e.id >= ? AND e.id < ? ORDER BY e.status, e.hash", begun, f"{begun}g"
        )

    def refunds(self, *, day: str | None, after: int, limit: int) -> list[Recorded]:
        """Refunds and voids in the order in which they came here, behind `after`."""
        query, values = _COLUMNS + _FROM + " AND e.kind IN ('refund', 'void') AND e.fault IS NULL AND e.n > ?", [after]
        if day is not None:
            query, values = query + " AND e.day = ?", [*values, day]  # type: ignore[list-item]
        return self._recorded(query + " ORDER BY e.n LIMIT ?", *values, min(limit, PAGE_MAX))

    # -- shifts ------------------------------------------------------------------------------------

    def shifts(
        self, *, day: str = "", author: str = "", kind: str = "", shift: str = "", last: int = SHIFTS_MAX
    ) -> list[Recorded]:
        """Openings and closes of shifts that count, the last ones in the order of their tills and numbers: of a
        business day, a till, a kind, or the closes of one shift."""
        wanted, values = "", list[object]()
        for column, value in (("author", author), ("kind", kind or (shift and CLOSED)), ("shift", shift)):
            if value:
                wanted, values = f"{wanted} AND {column} = ?", [*values, value]
        hashes = f"SELECT hash FROM shift WHERE shop = ?{wanted} ORDER BY seq DESC LIMIT ?"
        of_hashes = _FROM.replace("entry e", "entry e INDEXED BY entry_hash")
        query = f"{_COLUMNS}{of_hashes} AND e.hash IN ({hashes}) AND e.status = 0"
        values = [self._key, *values, last]
        if day:
            query, values = query + " AND e.day = ?", [*values, day]
        return self._recorded(query + " ORDER BY e.author, e.seq, e.run, e.hash", *values)

    def sales(
        self,
        *,
        day: str | None = None,
        till: str | None = None,
        after: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Recorded]:
        """Sales in the order in which they came here, behind `after` (the `n` of the last one seen); with `newest`, the
        last ones first."""
        by = "entry_sale" if day is None else "entry_day"  # by itself SQLite would sort all that the shop ever sold
        of_sales = _FROM.replace("entry e", f"entry e INDEXED BY {by}")
        query, values = _COLUMNS + of_sales + " AND e.kind = 'sale' AND e.fault IS NULL AND e.n > ?", [after]
        if day is not None:
            query, values = query + " AND e.day = ?", [*values, day]  # type: ignore[list-item]
        if till is not None:
            query, values = query + " AND e.author = ?", [*values, till]  # type: ignore[list-item]
        query += " ORDER BY e.n DESC LIMIT ?" if newest else " ORDER BY e.n LIMIT ?"
        return self._recorded(query, *values, min(limit, PAGE_MAX))

    def counted(self, kinds: Sequence[str], first: str | None, last: str | None) -> Iterator[Recorded]:
        """Every counted entry of these kinds of the days from `first` to `last`, once, in an order that all replicas
        share."""
        days, of_n = self._days(first, last), _FROM.replace("entry e", "entry e NOT INDEXED")
        kinds_marks = ",".join("?" * len(kinds))
        for day in days:
            numbers = self._read.execute(
                f"SELECT n FROM entry INDEXED BY entry_day WHERE shop = ? AND day = ? AND kind IN ({kinds_marks})"
                " AND status = 0 ORDER BY author, run, seq, hash",
                (self._key, day, *kinds),
            ).fetchall()
            for start in range(0, len(numbers), READ_AT_ONCE):  # a busy day is not held in memory as a whole
                piece = [n for (n,) in numbers[start : start + READ_AT_ONCE]]
                marks = ",".join("?" * len(piece))
                found = {one.n: one for one in self._recorded(f"{_COLUMNS}{of_n} AND e.n IN ({marks})", *piece)}
                yield from (found[n] for n in piece)

    def entry_at(self, n: int) -> Recorded | None:
        """The entry with this number in the ledger's order."""
        found = self._recorded(_COLUMNS + _FROM + " AND e.n = ?", n)
        return found[0] if found else None

    def days(self) -> list[str]:
        """The business days that have entries."""
        return self._days(None, None)

    def _days(self, first: str | None, last: str | None) -> list[str]:
        return [day for (day,) in self._read.execute(DAYS, (self._key, first or "0", last or "9")).fetchall()]

    def _recorded(self, query: str, *values: object) -> list[Recorded]:
        return [
            Recorded(n, _entry(name, raw, hash), STATUSES[status], reason or "", day or "", bool(vouched),
                     kept.hex() if kept is not None else None)
            for n, name, raw, status, reason, day, vouched, kept, hash in self._read.execute(
                "SELECT " + query, (self._key, *values)
            )
        ]  # fmt: skip

    def request_form(self, id: str) -> bytes | None:
        """The normal form of the request that was recorded under this id on this device."""
        row = self._read.execute(
            "SELECT form FROM request WHERE shop = ? AND id = ?", (self._key, id.lower())
        ).fetchone()
        return None if row is None else bytes(row[0])

    # -- lights ------------------------------------------------------------------------------------

    def holders(self, entry: Entry) -> set[str]:
        """The store ids of the members, besides this device, that are known to have an entry on their disks."""
        members = self._store.members(self._shop)
        found = {members[store].host or store for store in holders(self._store, self._shop, entry) if store in members}
        return {store for store in found if store != self._here and store in members}  # a hosted till has no disk

    def durable(self, entry: Entry) -> dict[str, Any]:
        """Where an entry is known to be on a disk: {here, tills, head_office}."""
        members, found = self._store.members(self._shop), self.holders(entry)
        offices = {store for store, member in members.items() if member.role is Role.HEAD_OFFICE}
        head_office = self._here in offices or not offices.isdisjoint(found)
        return {"here": True, "tills": len(found - offices), "head_office": head_office}

    def waiting(self, author: str) -> int:
        """How many of the entries that this disk wrote as `author` no other device is known to hold."""
        return waiting(self._store, self._shop, author, here=self._here)

    # -- what is wrong -----------------------------------------------------------------------------

    def alarms(self) -> list[dict[str, Any]]:
        """What the ledger shows that a person should look at."""
        found: list[dict[str, Any]] = []
        for status, text in (
            (DISPUTED, "entries do not fit their till's signed chain and are out of the totals"),
            (HELD, "entries wait for something that is not here yet and are out of the totals"),
            (INVALID, "entries break the rules and are out of the totals"),
        ):
            for author, count, amount in self._read.execute(
                "SELECT author, count(*), coalesce(sum(amount), 0) FROM entry INDEXED BY entry_odd WHERE shop = ?"
                " AND status = ? AND status <> 0 GROUP BY author ORDER BY count(*) DESC, author LIMIT ?",
                (self._key, status, ALARMS_MAX),
            ).fetchall():
                found.append({
                    "kind": STATUSES[status].value,
                    "till": author,
                    "count": count,
                    "amount": amount,
                    "detail": f"till {self.label(author)}: {count} {text}",
                })  # fmt: skip
        conflicts = self._read.execute("SELECT count(*) FROM conflict WHERE shop = ?", (self._key,)).fetchone()[0]
        if conflicts:
            found.append({
                "kind": "conflict",
                "count": conflicts,
                "detail": f"{conflicts} ids are used for sales with different content: each of them counts",
            })  # fmt: skip
        exceeded = excess(self._read, self._key, ALARMS_MAX)
        if exceeded:
            receipts = [r.receipt for sale in exceeded for r in self.sale(sale)[:1]]
            found.append({
                "kind": "excess",
                "count": len(exceeded),
                "sales": exceeded,
                "detail": "more was taken back than was sold of " + ", ".join(receipts)
                + ": tills refunded it while they were apart. Both refunds count",
            })  # fmt: skip
        edits = self.catalog.conflict_count()
        if edits:
            found.append({
                "kind": "edit_conflict",
                "count": edits,
                "detail": f"{edits} products or settings were changed by several while they were apart",
            })  # fmt: skip
        for author, run, seq in self.forks():
            found.append({
                "kind": "fork",
                "till": author,
                "detail": f"till {self.label(author)} went on twice from entry {seq} of run {run}: its data folder "
                "was copied or restored. Stop one of the two; both tills' sales count.",
            })  # fmt: skip
        return found

    def gaps(self) -> list[tuple[str, int, list[list[int]]]]:
        """For each author whose entries are not all here: how many are known to be missing, and their numbers as
        [first, last]. What is known comes from the chain, from runs that went on, and from what other devices say they
        hold; of what a till wrote last and told nobody, nobody knows."""
        lacking: dict[str, list[list[int]]] = {}
        for author, first, last in self._read.execute(GAPS, (self._key, RANGES_MAX)).fetchall():
            lacking.setdefault(author, []).append([first, last])
        found = []
        for author, ranges in sorted(lacking.items()):
            whole = _joined(ranges)
            found.append((author, sum(last - first + 1 for first, last in whole), whole))
        return found

    def behind(self, device: str) -> int:
        """How many entries of other authors than itself `device` is not known to hold."""
        (count,) = self._read.execute(BEHIND, (self._key, device)).fetchone()
        return int(count)

    def forks(self) -> list[tuple[str, int, int]]:
        """(author, run, seq) from which two runs went on, or one although the run itself went on and that is vouched
        for: what anybody may have put behind its end is no second life of the till."""
        rows: list[tuple[str, int, int]] = self._read.execute(
            "SELECT author, run, seq FROM continuation WHERE shop = ?1 GROUP BY author, run, seq, hash"
            " HAVING count(*) > 1 UNION SELECT author, run, seq FROM continuation c WHERE shop = ?1 AND EXISTS ("
            "SELECT 1 FROM entry e WHERE e.shop = c.shop AND e.author = c.author AND e.run = c.run AND e.seq > c.seq"
            " AND e.vouched = 1) ORDER BY 1, 3, 2",
            (self._key,),
        ).fetchall()
        return rows

    def label(self, author: str) -> str:
        """What people call a till."""
        member = self._store.authority(self._shop).everyone.get(author)
        return self.renamed(author) or (member.label if member is not None else author[:6])

    def renamed(self, author: str) -> str | None:
        """The label that a shared setting gives a till; what is no label gives none, or the till could not sell."""
        label = self.setting(f"label:{author}")
        return label if isinstance(label, str) and valid_label(label) else None

    # -- settings and products ---------------------------------------------------------------------

    def setting(self, name: str) -> Any:
        """The current value of a shared setting, or None."""
        row = self._read.execute(
            "SELECT value FROM edit WHERE shop = ? AND document = ? AND name = ? AND current = 1",
            (self._key, self._store.document_key(self._shop, "shop"), name),
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def settings(self, prefix: str) -> list[tuple[str, Any]]:
        """The shared settings whose names begin so, by name, with their current values."""
        rows = self._read.execute(
            "SELECT name, value FROM edit WHERE shop = ? AND document = ? AND name >= ? AND name < ? AND current = 1"
            " ORDER BY name",
            (self._key, self._store.document_key(self._shop, "shop"), prefix, prefix + "\U0010ffff"),
        )
        return [(name, json.loads(value)) for name, value in rows]

    def settings_by(
        self, authors: Sequence[str], prefix: str, *, limit: int, characters_max: int
    ) -> list[tuple[str, Any, str, str]]:
        """(name, value, author, time) of the shared settings whose names begin so and whose current values one of
        `authors` wrote, the newest first. What was taken back (null) is left out, and what is longer than that."""
        marks = ",".join("?" * len(authors))
        rows = self._read.execute(
            "SELECT name, value, author, at FROM edit WHERE shop = ? AND document = ? AND name >= ? AND name < ?"
            f" AND current = 1 AND author IN ({marks}) AND value <> 'null' AND length(value) <= ?"
            " ORDER BY at DESC, name LIMIT ?",
            (self._key, self._store.document_key(self._shop, "shop"), prefix, prefix + "\U0010ffff", *authors,
             characters_max, limit),
        ) if authors else ()  # fmt: skip
        return [(name, json.loads(value), author, at) for name, value, author, at in rows]

    def taken_back(self, authors: Collection[str], names: Sequence[str]) -> set[str]:
        """Those of the shared settings `names` that one of `authors` ever took back (null), current or not."""
        found = set()
        for marks, piece in in_pieces(names):
            rows = self._read.execute(
                f"SELECT name, author FROM edit WHERE shop = ? AND document = ? AND name IN ({marks})"
                " AND value = 'null'",
                (self._key, self._store.document_key(self._shop, "shop"), *piece),
            )
            found |= {name for name, author in rows if author in authors}
        return found

    @property
    def catalogue(self) -> str:
        """The name of the current catalogue's document."""
        return self.catalog.catalogue

    def product(self, sku: str) -> dict[str, Any] | None:
        """A product of the current catalogue, retired or not, or None."""
        return self.catalog.get(sku)

    def product_at(self, sku: str, at: str) -> dict[str, Any] | None:
        """A product as it stood at a time (ISO 8601), for names on old receipts; no total depends on it."""
        return self.catalog.at(sku, at)

    def products(
        self, *, wanted: str = "", barcode: str = "", after: str = "", limit: int = 100
    ) -> list[dict[str, Any]]:
        """Products of the current catalogue behind the one with the SKU `after`: all by SKU, or what is found."""
        if barcode:
            return [product for product in self.catalog.with_barcode(barcode) if product["sku"] > after][:limit]
        if wanted:
            return self.catalog.search(wanted, after=after, limit=limit)
        return self.catalog.listed(after=after, limit=limit)

    def conflicts(self) -> list[dict[str, Any]]:
        """Products and settings that several edited while apart; see `Products.conflicts`."""
        return self.catalog.conflicts()

    # -- a day -------------------------------------------------------------------------------------

    def day(self, day: str) -> dict[str, Any]:
        """The day report of contract.md (`posline.storage.day`)."""
        with self._store.still():
            return day_report(self._store, self._shop, day, self.label)

    def summary(self, by: str, first: str | None, last: str | None) -> dict[str, Any]:
        """Sums over days, by product, cashier and so on (`posline.storage.summaries`)."""
        with self._store.still():
            return summary(self._store, self._shop, by, first, last, label=self.label, product=self.product)


def _joined(ranges: Iterable[list[int]]) -> list[list[int]]:
    """The same numbers in as few ranges as can be."""
    joined: list[list[int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def _entry(document: str, raw: bytes, hash: bytes) -> Entry:
    """The entry of a row. Raises the database's error where its bytes are not those that were written."""
    entry = decode(document, raw)
    if entry.hash != hash:
        raise altered(f"an entry of {document} is not what was written")
    return entry
