"""The day report: a business day's figures, tills, oddities, closes, and what came too late for them.

Every figure is a function of the entries held, whatever the order in which they came, so two replicas that hold the
same answer the same bytes. Reads committed rows only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from posline.core.drawer import MONEY_KINDS, Takings
from posline.core.kinds import KINDS
from posline.core.members import Role
from posline.storage.connection import altered
from posline.storage.ledger import COUNTED, DISPUTED, DUPLICATE, HELD, INVALID, STATUSES
from posline.storage.pieces import in_pieces
from posline.storage.store import Store

__all__ = ["DAYS", "day_report"]

# the business days from ?2 to ?3 that have entries, each found from the one before it: the work grows with the days
DAYS = """WITH RECURSIVE found (day) AS (
    SELECT min(day) FROM entry INDEXED BY entry_day WHERE shop = ?1 AND day >= ?2
    UNION ALL SELECT (SELECT min(day) FROM entry INDEXED BY entry_day WHERE shop = ?1 AND day > found.day)
    FROM found WHERE found.day IS NOT NULL)
SELECT day FROM found WHERE day <= ?3"""
MISSING_MAX = 1000  # ranges of missing numbers that a report lists; the count is always whole
_body = msgspec.json.Decoder(dict[str, Any]).decode


def day_report(store: Store, shop: str, day: str, label: Callable[[str], str]) -> dict[str, Any]:
    """The day report of contract.md. `label` is what people call a till.

    It is provisional while a till that wrote in the day has not closed it. `late` is what no close covers, once there
    is one: an addendum to what the closes saw.
    """
    return _Day(store, shop, day, label).report()


class _Day:
    """One report in the making."""

    def __init__(self, store: Store, shop: str, day: str, label: Callable[[str], str]) -> None:
        self._store, self._shop, self._day, self._label = store, shop, day, label
        self._read, self._key = store.read, store.shop_key(shop)

    def report(self) -> dict[str, Any]:
        rows = self._read.execute(
            "SELECT hash, id, kind, author, run, seq, number, amount, vouched, status, reason, kept, raw FROM entry"
            " INDEXED BY entry_day WHERE shop = ? AND day = ? ORDER BY author, run, seq, hash",
            (self._key, self._day),
        ).fetchall()
        authority = self._store.authority(self._shop)
        currency = str(authority.founding.body["currency"]) if authority.founding is not None else ""
        closes, covered = self._closes()
        takings, addendum = Takings(), Takings()
        tills: dict[str, _Till] = {}
        listed: dict[int, list[dict[str, Any]]] = {DUPLICATE: [], DISPUTED: [], HELD: [], INVALID: []}
        late: list[dict[str, Any]] = []
        digest, newer = hashlib.sha256(), 0
        for hash, status in sorted((row[0], row[9]) for row in rows):
            digest.update(hash + STATUSES[status].value.encode() + b"\n")
        for hash, id, kind, author, run, seq, number, amount, vouched, status, reason, kept, raw in rows:
            if status in (COUNTED, DUPLICATE):
                tills.setdefault(author, _Till()).take(run, seq, number)
            if status == COUNTED:
                newer += kind not in KINDS
                if kind not in MONEY_KINDS:
                    continue
                if hashlib.sha256(raw).digest() != hash:
                    raise altered(f"the {kind} {id} is not what was written")
                body = _body(raw)
                takings.add(kind, body)
                if kind == "sale":
                    tills[author].sold(amount, bool(vouched))
                if closes and covered.get((author, run), 0) < seq:
                    addendum.add(kind, body)
                    late.append({
                        "hash": hash.hex(), "id": id, "kind": kind, "till": author, "run": run, "seq": seq,
                        "amount": amount,
                    })  # fmt: skip
            elif status == DUPLICATE:
                listed[status].append({"id": id, "kept": kept.hex(), "dropped": hash.hex(), "amount": amount})
            elif status == INVALID:
                listed[status].append({"hash": hash.hex(), "reason": reason})
            else:
                listed[status].append({
                    "hash": hash.hex(), "id": id, "kind": kind, "till": author, "run": run, "seq": seq,
                    "amount": amount, "reason": reason,
                })  # fmt: skip
        # the recovery code and a head office write, too, but keep no drawer that a day could wait for
        drawerless = {who for who, member in authority.everyone.items() if member.role is Role.HEAD_OFFICE}
        if authority.recovery is not None:
            drawerless.add(authority.recovery.author)
        tills = {who: till for who, till in tills.items() if till.count or who not in drawerless}
        for items in listed.values():
            items.sort(key=lambda item: str(item.get("hash") or item.get("dropped")))
        # who was removed closes nothing any more; when that was no clock can say, so its day is not asked for either
        waiting = (tills.keys() & authority.members.keys()) - drawerless - {close["till"] for close in closes}
        figures = takings.figures()
        if sum(till.total for till in tills.values()) != figures["sales"]["total"]:
            raise altered(f"the amounts of {self._day} are not those of its sales")
        return {
            "day": self._day,
            "currency": currency,
            "sales": figures["sales"],
            "refunds": figures["refunds"],
            "voids": figures["voids"],
            "net": figures["net"],
            "rounding": figures["rounding"],
            "tenders": dict(sorted(takings.tenders.items())),
            "tills": [self._till(author, till) for author, till in sorted(tills.items())],
            "duplicates": listed[DUPLICATE],
            "held": listed[HELD],
            "disputed": listed[DISPUTED],
            "invalid": listed[INVALID],
            "newer": newer,
            "closes": closes,
            "provisional": bool(waiting),
            "waiting_for": sorted(waiting),
            "late": late,
            "digest": digest.hexdigest(),
            "tax": figures["tax"],
            "cash": figures["cash"],
            "payments": takings.payments.to_dict("count", "total") | {"tenders": dict(sorted(takings.paid.items()))},
            "addendum": {"count": len(late), "net": addendum.net, "tenders": dict(sorted(addendum.tenders.items()))},
        }

    def _closes(self) -> tuple[list[dict[str, Any]], Mapping[tuple[str, int], int]]:
        """The closes of the day, every one of them, and how far any of them covers each run."""
        closes: list[dict[str, Any]] = []
        covered: dict[tuple[str, int], int] = {}
        for author, run, seq, vector in self._read.execute(
            "SELECT author, run, seq, vector FROM dayclose WHERE shop = ? AND day = ? ORDER BY author, seq, run, hash",
            (self._key, self._day),
        ):
            closes.append({"till": author, "run": run, "last": seq})
            for who, of, last in json.loads(vector):
                covered[who, of] = max(covered.get((who, of), 0), last)
        return closes, covered

    def _till(self, author: str, till: _Till) -> dict[str, Any]:
        seqs: set[int] = set()
        numbers: set[int] = set()
        for marks, piece in in_pieces(sorted(till.runs)):
            for seq, number in self._read.execute(
                f"SELECT seq, number FROM entry WHERE shop = ? AND author = ? AND run IN ({marks}) AND status <= ?",
                (self._key, author, *piece, DUPLICATE),
            ):
                seqs.add(seq)
                if number is not None:
                    numbers.add(number)
        missing, missing_count = _missing(till.first, till.last, seqs)
        lacking, lacking_count = _missing(till.first_receipt, till.last_receipt, numbers)
        if missing_count or lacking_count:  # a run that was filed under another day by a wrong clock is not missing
            for seq, number in self._read.execute(
                "SELECT seq, number FROM entry WHERE shop = ? AND author = ? AND seq BETWEEN ? AND ? AND status <= ?",
                (self._key, author, till.first, till.last, DUPLICATE),
            ):
                seqs.add(seq)
                if number is not None:
                    numbers.add(number)
            missing, missing_count = _missing(till.first, till.last, seqs)
            lacking, lacking_count = _missing(till.first_receipt, till.last_receipt, numbers)
        return {
            "till": author,
            "label": self._label(author),
            "first_seq": till.first,
            "last_seq": till.last,
            "missing": missing,
            "missing_count": missing_count,
            "receipts": {
                "first": till.first_receipt or None,
                "last": till.last_receipt or None,
                "missing": lacking,
                "missing_count": lacking_count,
            },
            "count": till.count,
            "total": till.total,
            "unvouched": {"count": till.unvouched_count, "amount": till.unvouched_amount},
        }


class _Till:
    """One till's part of a day, as the rows go by."""

    def __init__(self) -> None:
        self.runs: set[int] = set()
        self.first = self.last = self.first_receipt = self.last_receipt = 0
        self.count = self.total = self.unvouched_count = self.unvouched_amount = 0

    def take(self, run: int, seq: int, number: int | None) -> None:
        self.runs.add(run)
        self.first = min(self.first or seq, seq)
        self.last = max(self.last, seq)
        if number is not None:
            self.first_receipt = min(self.first_receipt or number, number)
            self.last_receipt = max(self.last_receipt, number)

    def sold(self, amount: int, vouched: bool) -> None:
        self.count += 1
        self.total += amount
        if not vouched:
            self.unvouched_count += 1
            self.unvouched_amount += amount


def _missing(first: int, last: int, held: set[int]) -> tuple[list[list[int]], int]:
    """The gaps between `first` and `last`, as at most MISSING_MAX ranges, and how many numbers they hold in all."""
    ranges: list[list[int]] = []
    count, expected = 0, first
    for seq in sorted(s for s in held if first <= s <= last):
        if seq > expected:
            count += seq - expected
            if len(ranges) < MISSING_MAX:
                ranges.append([expected, seq - 1])
        expected = seq + 1
    return ranges, count
