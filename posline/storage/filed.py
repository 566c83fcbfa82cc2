"""What stands in the projection of filings: what waits for a filer, what needs a person, and what a service is told of
an entry beside the entry. Committed rows only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from posline.core.fiscal import Standing, State, standing, usin_of
from posline.core.fiscal_invoice import Buyer, Invoice
from posline.storage.effects import CUSTOMERS
from posline.storage.filings import steps_of
from posline.storage.reports import Recorded, Reports
from posline.storage.store import Store

__all__ = ["Filed", "FiledReports"]

# a return waits for its sale: the service must know what is taken back
_FREE = """
NOT EXISTS (SELECT 1 FROM fileable s WHERE s.shop = f.shop AND s.sale = f.sale AND s.kind = 'sale' AND f.kind <> 'sale'
    AND s.state IN ('queued', 'sending', 'rejected', 'unknown'))"""
_COLUMNS = "f.hash, f.id, f.usin, f.kind, f.sale, f.of, f.at, f.state, f.adapter, f.filer, f.tries, f.named"


@dataclass(frozen=True, slots=True)
class Filed:
    """An entry that is or may be filed: its hash, reference, kind, the sale that it is or is about, where it stands and
    who files it now. `named` is (service, filer) as the sale names them, `of` the hash of the sale that goes back."""

    hash: bytes
    id: str
    usin: str
    kind: str
    sale: str
    of: bytes | None
    at: str
    state: State
    adapter: str
    filer: str
    tries: int
    named: tuple[str, str]


class FiledReports:
    """What one shop's ledger knows of filing."""

    def __init__(self, store: Store, shop: str) -> None:
        self._store, self._shop = store, shop
        self.reports = Reports(store, shop, here="")

    @property
    def _key(self) -> int | None:
        return self._store.shop_key(self._shop)

    def _filed(self, where: str, *values: object) -> list[Filed]:
        rows = self._store.read.execute(
            f"SELECT {_COLUMNS} FROM fileable f WHERE f.shop = ? AND {where}", (self._key, *values)
        )
        return [
            Filed(hash, id, usin, kind, sale, of, at, State(state), adapter, filer, tries, _pair(named))
            for hash, id, usin, kind, sale, of, at, state, adapter, filer, tries, named in rows
        ]

    # -- lists -------------------------------------------------------------------------------------

    def waiting(self, filer: str, limit: int) -> list[Filed]:
        """What `filer` can file now: what was tried least first, so that one bad invoice never blocks the next; then
        the oldest."""
        where = f"f.state = 'queued' AND f.filer = ? AND {_FREE} ORDER BY f.tries, f.at, f.seq, f.hash LIMIT ?"
        return self._filed(where, filer, limit)

    def standing_so(self, state: State, limit: int, *, filer: str | None = None) -> list[Filed]:
        """What stands in one state, the oldest first; with `filer`, only what it files."""
        if filer is None:
            return self._filed("f.state = ? ORDER BY f.at, f.seq, f.hash LIMIT ?", state, limit)
        return self._filed("f.state = ? AND f.filer = ? ORDER BY f.at, f.seq, f.hash LIMIT ?", state, filer, limit)

    def named(self, wanted: str) -> list[Filed]:
        """What an id, a receipt, a reference, or the first 8 or more digits of a hash name."""
        key, wanted = self._key, wanted.strip()
        by_receipt = {r.entry.hash for r in (*self.reports.sale(wanted), *self.reports.refund(wanted))}
        found = self._filed("(f.id = ?2 OR f.usin = ?2) ORDER BY f.hash", wanted.lower())
        for hash in sorted(by_receipt - {filed.hash for filed in found}):
            found += self._filed("f.hash = ?", hash)
        if not found and len(wanted) >= 8 and all(c in "0123456789abcdef" for c in wanted.lower()):
            rows = self._store.read.execute(
                "SELECT hash FROM fileable WHERE shop = ? AND lower(hex(hash)) LIKE ?", (key, f"{wanted.lower()}%")
            ).fetchall()
            for (hash,) in rows:
                found += self._filed("f.hash = ?", hash)
        return found

    def by_hash(self, hash: bytes) -> Filed | None:
        """The filing of the entry with this hash, or None where it need not be filed."""
        found = self._filed("f.hash = ?", hash)
        return found[0] if found else None

    def count(self, state: State) -> int:
        """How many entries stand in a state."""
        query = "SELECT count(*) FROM fileable WHERE shop = ? AND state = ?"
        return int(self._store.read.execute(query, (self._key, state)).fetchone()[0])

    def counts(self) -> dict[str, int]:
        """How many entries stand in each state, but for those that need not be filed."""
        return {state.value: self.count(state) for state in State if state is not State.NONE}

    def oldest(self, filer: str | None = None) -> str | None:
        """When the oldest entry that is not filed was written (ISO 8601)."""
        row = self._store.read.execute(
            "SELECT min(at) FROM fileable WHERE shop = ?1 AND state IN ('queued', 'sending', 'unknown', 'rejected')"
            " AND (?2 IS NULL OR filer = ?2)",
            (self._key, filer),
        ).fetchone()
        return row[0] if row is not None else None

    def filers(self) -> dict[str, int]:
        """Who has to file what is queued or being sent, and how much."""
        rows = self._store.read.execute(
            "SELECT filer, count(*) FROM fileable WHERE shop = ? AND state IN ('queued', 'sending') GROUP BY filer",
            (self._key,),
        )
        return dict(rows.fetchall())

    # -- one ---------------------------------------------------------------------------------------

    def stands(self, filed: Filed) -> Standing:
        """Where it stands as of the last commit, with the steps that the next one follows."""
        adapter, filer = filed.named
        if filed.kind == "void":  # filed by whoever files its sale
            sale = self._sale(filed)
            if sale is not None:
                of = self.stands(sale)
                adapter, filer = of.adapter, of.filer
        return standing(adapter, filer, steps_of(self._store.read, self._key, filed.usin))

    def recorded(self, filed: Filed) -> Recorded:
        """The entry itself."""
        return next(r for r in self.reports.by_id(filed.id) if r.entry.hash == filed.hash)

    def invoice(self, filed: Filed) -> Invoice:
        """What a service is told of it."""
        entry = self.recorded(filed).entry
        buyer = self._buyer(str(entry.body.get("customer", "")))
        if filed.kind == "sale":
            return Invoice("sale", entry.body, filed.usin, buyer)
        claimed = [r.entry for r in self.reports.by_id(filed.sale) if r.entry.kind == "sale" and r.entry.fault is None]
        sale = next((e for e in claimed if e.hash == filed.of), None)
        of = self._sale(filed)
        number = self.stands(of).number if of is not None else ""
        usin = usin_of(sale.id, sale.content()) if sale is not None else ""
        body = sale.body if sale is not None else None
        return Invoice(filed.kind, entry.body, filed.usin, buyer, body, usin, number)

    def _sale(self, filed: Filed) -> Filed | None:
        """The filing of the sale that is taken back: of the copy that counts."""
        found = self._filed("f.sale = ? AND f.kind = 'sale' ORDER BY f.hash", filed.sale)
        return next((f for f in found if f.hash == filed.of), found[0] if len(found) == 1 else None)

    def _buyer(self, customer: str) -> Buyer:
        if not customer:
            return Buyer()
        row = self._store.read.execute(
            "SELECT value FROM edit WHERE shop = ? AND document = ? AND name = ? AND current = 1",
            (self._key, CUSTOMERS, customer),
        ).fetchone()
        known = json.loads(row[0]) if row is not None else {}
        if not isinstance(known, dict):
            return Buyer()
        names = ("name", "ntn", "cnic", "phone", "address")
        return Buyer(**{name: str(known.get(name) or "") for name in names})


def _pair(text: str) -> tuple[str, str]:
    names: Sequence[str] = json.loads(text)
    return names[0], names[1]
