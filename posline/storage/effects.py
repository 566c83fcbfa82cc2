"""Edits of products, settings and customers, and entries moved to another day: the projection that decides which of
several is current.

Which edit is current is decided by what each had seen (`posline.core.edits`), never by arrival or clocks.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from posline.core.edits import Edit, current
from posline.core.entry import Entry, decode
from posline.core.members import Role, Shop
from posline.storage.connection import Connection
from posline.storage.dialect import SQLITE, Dialect
from posline.storage.pieces import in_pieces
from posline.storage.product_index import ProductIndex

__all__ = ["CUSTOMERS", "ROLE_RANK", "Effects"]

ROLE_RANK = {Role.HEAD_OFFICE: 3, Role.MANAGER: 2, Role.TILL: 1, Role.READER: 0}
CUSTOMERS = -1  # stands in table `edit` for a document: edits of customers lie in the journals of their days
REDATES = (
    "SELECT hash, writer, seq, seen, day, first, last FROM redate WHERE shop = ? AND author = ? AND run = ?"
)
class _Written(msgspec.Struct):
    """When an entry says that it was written."""

    day: str
    clock: str = ""


_written = msgspec.json.Decoder(_Written).decode
_ENVELOPE = frozenset({"v", "id", "kind", "till", "run", "seq", "prev", "at", "day", "by", "clock", "seen", "sig"})


class Effects:
    """Edits and redates over one writing connection."""

    kinds = frozenset({"products", "setting", "redate", "customer"})

    def __init__(self, db: Connection, dialect: Dialect = SQLITE) -> None:
        self._db = db
        self._index = ProductIndex(db, dialect)
        self._moved: dict[tuple[int, str, int], bool] = {}  # runs that any redate names

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` counts from now on."""
        wanted = [bytes.fromhex(hash) for hash in entry.body.get("seen", {}).values()]
        self._db.executemany(
            "INSERT OR IGNORE INTO unseen (shop, wanted, hash) SELECT ?1, ?2, ?3"
            " WHERE NOT EXISTS (SELECT 1 FROM entry WHERE shop = ?1 AND hash = ?2)",
            [(shop, hash, entry.hash) for hash in wanted],
        )
        if entry.kind == "redate":
            body = entry.body
            self._db.execute(
                "INSERT OR IGNORE INTO redate (shop, author, run, hash, first, last, day, writer, seq, seen)"
                " VALUES (?,?,?,?,?,?,?,?,?,?)",
                (shop, body["author"], body["of"], entry.hash, body["first"], body["last"], body["to"], entry.till,
                 entry.seq, json.dumps(body.get("seen", {}))),
            )  # fmt: skip
            self._move(shop, authority, entry)
            return
        document = CUSTOMERS if entry.kind == "customer" else document
        rows = [
            (shop, document, name, entry.hash, entry.till, entry.run, entry.seq, entry.at,
             json.dumps(entry.body.get("seen", {})), value, 0)
            for name, value in _edits(entry)
        ]  # fmt: skip
        self._db.executemany(
            "INSERT OR IGNORE INTO edit (shop, document, name, hash, author, run, seq, at, seen, value, current)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
        for row in rows:
            self._choose(shop, authority, document, str(row[2]))
        if entry.kind == "products":
            self._index.follow(shop, document, (str(row[2]) for row in rows))

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` no longer counts."""
        self._db.execute("DELETE FROM unseen WHERE shop = ? AND hash = ?", (shop, entry.hash))
        if entry.kind == "redate":
            body = entry.body
            self._db.execute(
                "DELETE FROM redate WHERE shop = ? AND author = ? AND run = ? AND hash = ?",
                (shop, body["author"], body["of"], entry.hash),
            )
            self._move(shop, authority, entry)
            return
        document = CUSTOMERS if entry.kind == "customer" else document
        for name, _ in _edits(entry):
            self._db.execute(
                "DELETE FROM edit WHERE shop = ? AND document = ? AND name = ? AND hash = ?",
                (shop, document, name, entry.hash),
            )
            self._choose(shop, authority, document, name)
            if entry.kind == "products":
                self._index.follow(shop, document, [name])

    def arrived(self, shop: int, authority: Shop, hashes: Sequence[bytes]) -> None:
        """These elements are new here, whatever they are worth: choose again where one is among what an edit or redate
        had seen, for only now it is known how much of its author's that covers."""
        for marks, piece in in_pieces(hashes):
            edits = self._db.execute(
                f"SELECT DISTINCT hash FROM unseen WHERE shop = ? AND wanted IN ({marks})", (shop, *piece)
            ).fetchall()
            if not edits:
                continue
            self._db.execute(f"DELETE FROM unseen WHERE shop = ? AND wanted IN ({marks})", (shop, *piece))
            for (hash,) in edits:
                for document, name, raw in self._db.execute(
                    "SELECT e.document, d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop"
                    " AND d.key = e.document WHERE e.shop = ? AND e.hash = ?",
                    (shop, hash),
                ).fetchall():
                    entry = decode(name, raw)
                    if entry.fault is None:
                        self._choose_all(shop, authority, entry, document)

    def _choose_all(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """Decide anew all that an edit or redate takes part in."""
        if entry.kind == "redate":
            self._move(shop, authority, entry)
            return
        names = [name for name, _ in _edits(entry)]
        for name in names:
            self._choose(shop, authority, CUSTOMERS if entry.kind == "customer" else document, name)
        if entry.kind == "products":
            self._index.follow(shop, document, names)

    def flush(self) -> None:
        """Nothing is gathered here."""

    def rank(self, shop: int, authority: Shop, authors: Collection[str]) -> None:
        """The roles of these authors changed: choose again among the edits and redates that stand beside theirs."""
        if authors:  # a role decides between edits that stand beside each other, and never which those are
            for document, name in self._db.execute(
                "SELECT DISTINCT document, name FROM edit_conflict WHERE shop = ?", (shop,)
            ).fetchall():
                self._choose(shop, authority, document, name)
                if self._is_catalogue(shop, document):
                    self._index.follow(shop, document, [name])
        for author in sorted(authors):
            for of, run, first, last in self._db.execute(
                "SELECT author, run, first, last FROM redate WHERE shop = ? AND writer = ?", (shop, author)
            ).fetchall():
                self._move_range(shop, authority, of, run, first, last)

    def _is_catalogue(self, shop: int, document: int) -> bool:
        row = self._db.execute("SELECT name FROM document WHERE shop = ? AND key = ?", (shop, document)).fetchone()
        return row is not None and str(row[0]).startswith("catalog/")

    def bring_up_to_date(self) -> None:
        """Make what follows from the edits again, in one transaction, where another version made it or none did."""
        if self._index.up_to_date:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for shop, document, name in self._db.execute(
                "SELECT shop, document, name FROM edit GROUP BY shop, document, name HAVING count(*) > 1"
            ).fetchall():
                self._compare(shop, document, name)
            self._index.make()
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _compare(self, shop: int, document: int, name: str) -> None:
        """Note which edits of `name` stand beside the one that is marked as current."""
        rows = self._db.execute(
            "SELECT hash, author, seq, seen, current FROM edit WHERE shop = ? AND document = ? AND name = ?",
            (shop, document, name),
        ).fetchall()
        edits = [Edit(name, author, 0, seq, hash.hex(), json.loads(seen)) for hash, author, seq, seen, _ in rows]
        found = current(edits, self._numbers(shop, edits))
        standing = {bytes.fromhex(edit.hash) for edit in (found.current, *found.conflicts)}
        self._dissent(shop, document, name, standing - {row[0] for row in rows if row[4]})

    def forget(self, shop: int) -> None:
        """Another process wrote in this shop: what is in memory may be behind."""
        self._moved = {place: moved for place, moved in self._moved.items() if place[0] != shop}

    def day_of(self, shop: int, authority: Shop, entry: Entry) -> str:
        """The effective day of a journal's entry."""
        place = (shop, entry.till, entry.run)
        moved = self._moved.get(place)
        if moved is None:
            moved = self._moved[place] = (
                self._db.execute(
                    "SELECT 1 FROM redate WHERE shop = ? AND author = ? AND run = ? LIMIT 1", place
                ).fetchone()
                is not None
            )
        if not moved:
            return entry.day
        return self._day(shop, authority, entry.till, entry.run, entry.seq, entry.day, str(entry.body.get("clock", "")))

    # ------------------------------------------------------------------------------------------------------------------

    def _choose(self, shop: int, authority: Shop, document: int, name: str) -> None:
        """Mark the current one among the edits of `name`."""
        rows = self._db.execute(
            "SELECT hash, author, seq, seen FROM edit WHERE shop = ? AND document = ? AND name = ?",
            (shop, document, name),
        ).fetchall()
        if not rows:
            self._dissent(shop, document, name, ())
            return
        chosen, beside = rows[0][0], []
        if len(rows) > 1:
            edits = [_edit(name, authority, *row) for row in rows]
            found = current(edits, self._numbers(shop, edits))
            chosen, beside = bytes.fromhex(found.current.hash), [bytes.fromhex(edit.hash) for edit in found.conflicts]
        self._dissent(shop, document, name, beside)
        self._db.execute(
            "UPDATE edit SET current = CASE WHEN hash = ? THEN 1 ELSE 0 END WHERE shop = ? AND document = ?"
            " AND name = ? AND current <> CASE WHEN hash = ? THEN 1 ELSE 0 END",
            (chosen, shop, document, name, chosen),
        )

    def _dissent(self, shop: int, document: int, name: str, beside: Collection[bytes]) -> None:
        """Note which edits of `name` stand beside the current one."""
        place = (shop, document, name)
        self._db.execute("DELETE FROM edit_conflict WHERE shop = ? AND document = ? AND name = ?", place)
        self._db.executemany(
            "INSERT INTO edit_conflict (shop, document, name, hash) VALUES (?,?,?,?)",
            [(*place, hash) for hash in beside],
        )

    def _numbers(self, shop: int, edits: list[Edit]) -> dict[str, int]:
        """The numbers of the entries that these edits had seen."""
        hashes = {
            hash for edit in edits for author, hash in edit.seen.items() if any(e.author == author for e in edits)
        }
        numbers = {}
        for hash in hashes:
            row = self._db.execute(
                "SELECT seq FROM entry WHERE shop = ? AND hash = ?", (shop, bytes.fromhex(hash))
            ).fetchone()
            if row is not None:
                numbers[hash] = row[0]
        return numbers

    def _move(self, shop: int, authority: Shop, redate: Entry) -> None:
        """A redate came or went: work the days of its range out again."""
        body = redate.body
        self._moved[shop, body["author"], body["of"]] = True
        self._move_range(shop, authority, body["author"], body["of"], body["first"], body["last"])

    def _move_range(self, shop: int, authority: Shop, author: str, run: int, first: int, last: int) -> None:
        """Between where one redate begins or ends and the next, all entries move alike: so they are decided once for
        each such stretch, however many entries a run has and however many redates somebody wrote."""
        rows = self._db.execute(
            "SELECT n, seq, raw, day FROM entry WHERE shop = ?"
            " AND author = ? AND run = ? AND seq BETWEEN ? AND ? AND day IS NOT NULL AND fault IS NULL",
            (shop, author, run, first, last),
        ).fetchall()
        redates = self._db.execute(REDATES, (shop, author, run)).fetchall()
        bounds = sorted({row[5] for row in redates} | {row[6] + 1 for row in redates})
        chosen: dict[tuple[int, bool], str | None] = {}
        for n, seq, raw, now in rows:
            written = _written(raw)
            place = bisect_right(bounds, seq), written.clock == "suspect"
            if place not in chosen:
                covering = [row for row in redates if row[5] <= seq <= row[6]]
                chosen[place] = self._chosen(shop, authority, author, covering, suspect=place[1])
            moved = chosen[place] or written.day
            if moved != now:
                self._db.execute("UPDATE entry SET day = ? WHERE shop = ? AND n = ?", (moved, shop, n))

    def _day(self, shop: int, authority: Shop, author: str, run: int, seq: int, day: str, clock: str) -> str:
        """The day that the standing redate of this number says."""
        rows = self._db.execute(
            REDATES + " AND first <= ? AND last >= ?", (shop, author, run, seq, seq)
        ).fetchall()
        return self._chosen(shop, authority, author, rows, suspect=clock == "suspect") or day

    def _chosen(
        self, shop: int, authority: Shop, author: str, redates: list[tuple[Any, ...]], *, suspect: bool
    ) -> str | None:
        """The day that the current one of these redates names, None where none holds; a till may move only its own
        suspect entries."""
        fit = []
        for row in redates:
            member = authority.everyone.get(row[1])
            if member is None:
                continue
            own = row[1] == author and suspect
            if own or member.role in (Role.MANAGER, Role.HEAD_OFFICE):
                fit.append(row)
        if not fit:
            return None
        chosen = None
        if len(fit) > 1:
            edits = [_edit("day", authority, *row[:4]) for row in fit]
            chosen = current(edits, self._numbers(shop, edits)).current.hash
        return str(next(row[4] for row in fit if chosen in (None, row[0].hex())))


def _edits(entry: Entry) -> Iterator[tuple[str, str]]:
    """(name, value as JSON) of each edit in an entry."""
    if entry.kind == "products":
        for product in entry.body["products"]:
            yield product["sku"], json.dumps(product, ensure_ascii=False)
    elif entry.kind == "customer":
        fields = {name: value for name, value in entry.body.items() if name not in _ENVELOPE}
        yield entry.body["customer"], json.dumps(fields, ensure_ascii=False)
    else:
        yield entry.body["name"], json.dumps(entry.body["value"], ensure_ascii=False)


def _edit(name: str, authority: Shop, hash: bytes, author: str, seq: int, seen: str) -> Edit:
    member = authority.everyone.get(author)
    rank = ROLE_RANK[member.role] if member is not None else 0
    return Edit(key=name, author=author, role=rank, seq=seq, hash=hash.hex(), seen=json.loads(seen))
