"""What is to be filed with a fiscal service, and where each stands: the projection of sales that name a filer, of what
takes such sales back, and of the steps of filing them.

A void names no filer: it is filed by whoever files its sale, and only where the sale was, or may have been, filed.
Where it was not, neither need be.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from posline.core.entry import Entry
from posline.core.fiscal import Standing, State, Step, standing, usin_of
from posline.core.members import Shop
from posline.storage.connection import Connection

__all__ = ["Filings", "steps_of"]

UNFILED = (State.QUEUED, State.REJECTED)  # states in which the service has nothing of a sale
_KEPT = ("till", "state", "adapter", "filer", "after", "number", "qr", "code", "errors", "at", "by", "why")


class Filings:
    """A row for each sale, refund and void that is or may be filed, and one for each step."""

    kinds = frozenset({"sale", "refund", "void", "filing"})
    tables: ClassVar[tuple[str, ...]] = ("fileable", "filing")

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._touched: set[tuple[int, str]] = set()  # shops, and ids of sales

    def apply(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` counts from now on."""
        body = entry.body
        if entry.kind == "filing":
            self._db.execute(
                "INSERT OR IGNORE INTO filing (shop, usin, hash, sale, body) VALUES (?,?,?,?,?)",
                (shop, body["usin"], entry.hash, body["sale"], json.dumps({k: body[k] for k in _KEPT if k in body})),
            )
            self._touch_step(shop, body["usin"])
            return
        named = body.get("filing")
        if named is None and entry.kind != "void":
            return
        sale, of = (entry.id, None) if entry.kind == "sale" else (body["sale"], bytes.fromhex(body["of"]))
        adapter, filer = (named["adapter"], named["filer"]) if isinstance(named, dict) else ("", "")
        self._db.execute(
            "INSERT OR IGNORE INTO fileable (shop, hash, id, usin, kind, sale, of, at, seq, named, state, adapter,"
            " filer, tries) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,0)",
            (shop, entry.hash, entry.id, usin_of(entry.id, entry.content()), entry.kind, sale, of, entry.at,
             entry.seq, json.dumps([adapter, filer]), State.NONE, adapter, filer),
        )  # fmt: skip
        self._touched.add((shop, sale))

    def undo(self, shop: int, authority: Shop, entry: Entry, document: int) -> None:
        """`entry` no longer counts."""
        body = entry.body
        if entry.kind == "filing":
            place = (shop, body["usin"], entry.hash)
            self._db.execute("DELETE FROM filing WHERE shop = ? AND usin = ? AND hash = ?", place)
            self._touch_step(shop, body["usin"])
        elif "filing" in body or entry.kind == "void":
            self._db.execute("DELETE FROM fileable WHERE shop = ? AND hash = ?", (shop, entry.hash))
            self._touched.add((shop, entry.id if entry.kind == "sale" else body["sale"]))

    def _touch_step(self, shop: int, usin: str) -> None:
        query = "SELECT DISTINCT sale FROM fileable WHERE shop = ? AND usin = ?"
        self._touched.update((shop, sale) for (sale,) in self._db.execute(query, (shop, usin)).fetchall())

    def flush(self) -> None:
        """Work out anew where each sale that was touched stands, and what takes it back."""
        for shop, sale in self._touched:
            self._settle(shop, sale)
        self._touched.clear()

    def _settle(self, shop: int, sale: str) -> None:
        rows = self._db.execute(
            "SELECT hash, usin, kind, of, named FROM fileable WHERE shop = ? AND sale = ? ORDER BY hash", (shop, sale)
        ).fetchall()
        sales: dict[bytes, Standing] = {}
        for hash, usin, kind, _, named in rows:
            if kind == "sale":
                sales[hash] = self._stands(shop, usin, named)
        voided: set[bytes] = set()
        found: list[tuple[bytes, Standing]] = []
        for hash, usin, kind, of, named in rows:
            if kind == "refund":
                found.append((hash, self._stands(shop, usin, named)))
            elif kind == "void":
                # the void of a copy of a sale that two tills recorded is one of the copy that counts
                about = of if of in sales else next(iter(sales)) if len(sales) == 1 else None
                if about is None:
                    found.append((hash, Standing(State.NONE, "", "")))
                    continue
                voided.add(about)
                of_sale = sales[about]
                own = standing(of_sale.adapter, of_sale.filer, steps_of(self._db, shop, usin))
                if not own.heads and of_sale.state in UNFILED:
                    own = _with_none(own)
                found.append((hash, own))
        for hash, stands in sales.items():
            found.append((hash, _with_none(stands) if hash in voided and stands.state in UNFILED else stands))
        self._db.executemany(
            "UPDATE fileable SET state = ?, adapter = ?, filer = ?, tries = ? WHERE shop = ? AND hash = ?",
            [(stands.state, stands.adapter, stands.filer, stands.tries, shop, hash) for hash, stands in found],
        )

    def _stands(self, shop: int, usin: str, named: str) -> Standing:
        adapter, filer = json.loads(named)
        return standing(adapter, filer, steps_of(self._db, shop, usin))


def _with_none(stands: Standing) -> Standing:
    return Standing(State.NONE, stands.adapter, stands.filer, stands.heads, tries=stands.tries)


def steps_of(db: Connection, shop: int | None, usin: str) -> list[Step]:
    """The steps of filing what has this reference, in no order."""
    rows = db.execute("SELECT hash, body FROM filing WHERE shop = ? AND usin = ?", (shop, usin)).fetchall()
    found: list[tuple[bytes, dict[str, Any]]] = [(hash, json.loads(body)) for hash, body in rows]
    return [Step.of_body(hash.hex(), body) for hash, body in found]
