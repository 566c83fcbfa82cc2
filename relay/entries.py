"""Finding entries over the shops of a chain, and showing one whole: its receipt, what it is worth, what followed.

Every question is bounded: by an index of each shop, by days, and where neither is enough by time, which is said.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from posline.core.members import Role
from posline.core.numbers import parse_receipt, parse_reference
from posline.core.sales import sale_figures
from posline.storage.customers import Customers
from posline.storage.reports import Recorded, Reports
from posline.storage.returned import returns_of
from posline.storage.store import Store
from posline.till.papers import PAPER_KINDS, Papers
from posline.till.receipts.html import html_body
from posline.trust.keys import Key
from relay.relay import Branch, Relay

__all__ = ["Hit", "Hits", "Shown", "amount_of", "customers_like", "entry_of", "find", "receipt_html", "till_entries"]

HITS_MAX = 50
BUDGET_S = 2.0
BEGIN_MIN = 6  # letters of an id that are worth looking for
MONEY = ("sale", "refund", "void", "payment")


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found."""

    shop: str
    recorded: Recorded


@dataclass(slots=True)
class Hits:
    """What was found; `whole` is False where there was more, or no time to look at all shops."""

    found: list[Hit] = field(default_factory=list)
    customers: list[tuple[str, dict[str, Any], int, list[dict[str, Any]]]] = field(default_factory=list)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry with what there is to say of it. `held` are the names of devices that have it, `after` and `before` its
    neighbours in its chain, `followed` what took back of it, `of` what it takes back of, `kept` what it is a duplicate
    of."""

    recorded: Recorded
    raw: str
    held: list[str]
    signed: bool
    before: Recorded | None
    after: Recorded | None
    followed: list[Recorded]
    of: Recorded | None
    kept: Recorded | None


class _Shelf:
    """A shop's papers at the head office, which can sign nothing for its tills."""

    def __init__(self, branch: Branch, key: Key, reports: Reports) -> None:
        self.id, self.key, self.reports = key.id, key, reports
        self.store: Store = branch.replica.store
        self.replica, self.shop_id, self.shop = branch.replica, branch.id, branch.name

    def name_of(self, sku: str, at: str) -> str | None:
        """The catalogue's name of a product at a time."""
        product = self.reports.product_at(sku, at)
        return None if product is None else str(product["name"])


def receipt_html(relay: Relay, branch: Branch, recorded: Recorded, language: str) -> str:
    """The receipt as on paper, "" for what has none."""
    if recorded.entry.kind not in PAPER_KINDS or recorded.entry.fault is not None:
        return ""
    papers = Papers(_Shelf(branch, relay.key, branch.reports))
    return html_body(papers.lay_out(recorded, copy=True, language=language))


def entry_of(branch: Branch, hash: str) -> Shown | None:
    """An entry by its hash (hex)."""
    reports, store = branch.reports, branch.replica.store
    key = store.shop_key(branch.id)
    recorded = _by_hash(reports, store, key, hash)
    if recorded is None:
        return None
    entry = recorded.entry
    neighbours = {
        seq: n
        for n, seq in store.read.execute(
            "SELECT n, seq FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq IN (?, ?) ORDER BY status DESC",
            (key, entry.till, entry.run, entry.seq - 1, entry.seq + 1),
        ).fetchall()
    }  # fmt: skip
    before, after = (
        reports.entry_at(neighbours[seq]) if seq in neighbours else None for seq in (entry.seq - 1, entry.seq + 1)
    )
    places = returns_of(store.read, key, entry.id) if entry.kind == "sale" else []
    of = str(entry.body.get("of", "")) if entry.kind in ("refund", "void") else ""
    members = store.members(branch.id)
    held = sorted(
        reports.label(each) if members[each].role is not Role.HEAD_OFFICE else members[each].label or each[:6]
        for each in reports.holders(entry)
    )
    return Shown(
        recorded, _pretty(entry.raw), held, entry.signature is not None, before, after,
        [found for n in places if (found := reports.entry_at(n)) is not None],
        _by_hash(reports, store, key, of) if of else None,
        _by_hash(reports, store, key, recorded.kept) if recorded.kept else None,
    )  # fmt: skip


def _by_hash(reports: Reports, store: Store, key: int | None, hash: str) -> Recorded | None:
    try:
        wanted = bytes.fromhex(hash)
    except ValueError:
        return None
    row = store.read.execute("SELECT n FROM entry WHERE shop = ? AND hash = ?", (key, wanted)).fetchone()
    return None if row is None else reports.entry_at(row[0])


def _pretty(raw: bytes) -> str:
    try:
        return json.dumps(json.loads(raw), ensure_ascii=False, indent=2)
    except ValueError:
        return raw.decode(errors="replace")


def till_entries(branch: Branch, day: str, till: str, after: int, limit: int) -> list[Recorded]:
    """What a till wrote that is filed under a day, from place `after` on, the last first."""
    store, reports = branch.replica.store, branch.reports
    rows = store.read.execute(
        "SELECT n FROM entry INDEXED BY entry_day WHERE shop = ? AND day = ? AND author = ?"
        " ORDER BY run DESC, seq DESC LIMIT ? OFFSET ?",
        (store.shop_key(branch.id), day, till, limit, after),
    ).fetchall()
    return [found for (n,) in rows if (found := reports.entry_at(n)) is not None]


def find(
    relay: Relay, branches: Sequence[Branch], wanted: str, *, amount: int | None, first: str, last: str
) -> Hits:
    """Sales, returns and payments of these shops by receipt, id or the beginning of one; with `amount`, those of so
    much in minor units from day `first` to `last`; and customers by name or phone."""
    hits, until_s = Hits(), time.monotonic() + BUDGET_S
    for branch in branches:
        if time.monotonic() > until_s or len(hits.found) >= HITS_MAX:
            hits.whole = False
            break
        for recorded in _in_shop(branch, wanted, amount, first, last):
            hits.found.append(Hit(branch.id, recorded))
    if len(wanted) >= 2 and amount is None and parse_receipt(wanted) is None:
        customers_like(branches, wanted, hits, until_s)
    del hits.found[HITS_MAX:]
    return hits


def _in_shop(branch: Branch, wanted: str, amount: int | None, first: str, last: str) -> list[Recorded]:
    store, reports = branch.replica.store, branch.reports
    key, parsed, begun = store.shop_key(branch.id), parse_receipt(wanted), parse_reference(wanted)
    if key is None:
        return []
    low = wanted.lower()
    kinds = ",".join(f"'{kind}'" for kind in MONEY)
    where: tuple[str, *tuple[object, ...]]
    if amount is not None:
        where = "INDEXED BY entry_day WHERE shop = ? AND day >= ? AND day <= ? AND amount IN (?, ?)", first, last
        where = (*where, amount, -amount)
    elif parsed is not None:
        where = "WHERE shop = ? AND number = ?", parsed[1]
    elif begun is not None:
        where = "WHERE shop = ? AND id >= ? AND id < ?", begun, f"{begun}g"
    elif len(low) >= BEGIN_MIN and all(c in "0123456789abcdef-" for c in low):
        where = "WHERE shop = ? AND id >= ? AND id < ?", low, f"{low}g"
    else:
        return []
    rows = store.read.execute(
        f"SELECT n FROM entry {where[0]} AND kind IN ({kinds}) AND fault IS NULL ORDER BY n DESC LIMIT {HITS_MAX}",
        (key, *where[1:]),
    ).fetchall()
    found = [one for (n,) in rows if (one := reports.entry_at(n)) is not None]
    return found if parsed is None else [one for one in found if one.receipt == wanted.upper()]


def customers_like(branches: Sequence[Branch], wanted: str, hits: Hits, until_s: float) -> None:
    """Customers by a part of their names or by their phones, with what they owe and what they did last."""
    for branch in branches:
        if time.monotonic() > until_s or len(hits.customers) >= 20:
            hits.whole = False
            return
        books = Customers(branch.replica.store, branch.id)
        for customer in books.found(wanted, "", 5):
            id = str(customer["customer"])
            moves = books.statement(id, 0, 1000)[-5:]
            hits.customers.append((branch.id, customer, books.balance(id).account, moves[::-1]))


def amount_of(recorded: Recorded) -> int:
    """What an entry is about, in minor units, as its receipt says it."""
    entry = recorded.entry
    if entry.kind == "sale":
        return sale_figures(entry.body).payable
    if entry.kind in ("payment", "cash"):
        return int(entry.body.get("amount", 0))
    return entry.amount
