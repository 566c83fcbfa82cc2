"""The independent checker: what a set of elements comes to, by docs/protocol.md, worked out from nothing and without
cleverness. Statuses, members, days, tenders, numbers, settings and products. Shares no code with the product.

It is slow on purpose: every question goes over all elements.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.simulation.oracle_bytes import NUMBERED, Element, read
from tests.simulation.oracle_drawer import tenders
from tests.simulation.oracle_members import members_of

__all__ = ["MONEY", "Oracle", "differences", "shown"]

COUNTED, DUPLICATE, DISPUTED, HELD, INVALID = "counted", "duplicate", "disputed", "held", "invalid"
ACTS = {"founding", "member", "role", "remove", "accept", "key"}
MONEY = {"sale", "refund", "void", "cash", "payment"}
RANK = {"head office": 3, "manager": 2, "till": 1, "reader": 0}
Place = tuple[str, str]  # document, hash in hex


class Oracle:
    """What a set of (document, bytes) comes to in `shop`."""

    def __init__(self, elements: Iterable[tuple[str, bytes]], shop: str) -> None:
        found = [read(document, raw) for document, raw in elements]
        self.elements: dict[Place, Element] = {(e.document, e.hash): e for e in found}
        ours = [e for e in self.elements.values() if e.document == "shop" and e.fault is None]
        self.members = members_of(ours, shop)
        self.vouched: set[Place] = set()
        self.status: dict[Place, str] = {}
        self.kept: dict[Place, str | None] = {}
        self._judge()

    # -- statuses ---------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        members = self.members
        signed: dict[Place, bool] = {}
        wrong: dict[Place, bool] = {}
        runs: dict[tuple[str, int], list[Place]] = defaultdict(list)
        for place, e in self.elements.items():
            signed[place] = e.placed and members.signed(e)
            act = e.document == "shop" and e.kind in ACTS
            if act:
                wrong[place] = e.fault is not None or e.hash in members.invalid
            else:
                forged = e.till in members.keys and bool(e.signature) and not signed[place]
                wrong[place] = e.fault is not None or forged
            if e.placed and e.till in members.keys:
                runs[e.till, e.run].append(place)
        named = self._vouch(runs, signed, wrong)
        for place, e in self.elements.items():
            if wrong[place]:
                self.status[place] = INVALID
            elif e.till not in members.keys:
                self.status[place] = HELD
            else:
                self.status[place] = self._standing(place, runs[e.till, e.run], signed, wrong, named)
            if not wrong[place]:
                self.status[place] = self._overruled(e, self.status[place])
        self._same()

    def _vouch(
        self, runs: dict[tuple[str, int], list[Place]], signed: dict[Place, bool], wrong: dict[Place, bool]
    ) -> set[tuple[str, int, int, str]]:
        """Find what is vouched for; returns the points (author, run, seq, hash) that are named, by runs that went on or
        by removals."""
        named = {(who, *point) for who, points in self.members.ends.items() for point in points}
        while True:
            before = len(self.vouched), len(named)
            for (author, run), places in runs.items():
                removed = author in self.members.ends
                for place in places:
                    e = self.elements[place]
                    if (signed[place] and not wrong[place] and not removed) or (author, run, e.seq, e.hash) in named:
                        self.vouched.add(place)
                    if place in self.vouched:
                        for other in places:
                            o = self.elements[other]
                            if o.seq == e.seq - 1 and o.hash[:24] == e.prev:
                                self.vouched.add(other)
                    starts = e.kind == "run" and signed[place] and not wrong[place]
                    if starts and e.body["after"] and (place in self.vouched or not removed):
                        after = e.body["after"]
                        if after["run"] != run:
                            named.add((author, after["run"], after["seq"], after["hash"]))
            if (len(self.vouched), len(named)) == before:
                return named

    def _standing(
        self,
        place: Place,
        run: list[Place],
        signed: dict[Place, bool],
        wrong: dict[Place, bool],
        named: set[tuple[str, int, int, str]],
    ) -> str:
        """What its run's chain says of an element."""
        e = self.elements[place]
        if e.till in self.members.ends and place not in self.vouched:
            return HELD
        begun = any(self.elements[p].kind == "run" and signed[p] and not wrong[p] for p in run)
        if not begun and not signed[place]:
            return HELD
        if place in self.vouched:
            return COUNTED
        sound = [p for p in run if not wrong[p]]
        if any(p != place and self.elements[p].seq == e.seq for p in sound):
            return DISPUTED
        if any(p in self.vouched and self.elements[p].seq >= e.seq for p in sound):
            return DISPUTED
        if any((author, number) == (e.till, e.run) and seq < e.seq for author, number, seq, _ in named):
            return DISPUTED
        return self._rooted(place, run, wrong)

    def _rooted(self, place: Place, run: list[Place], wrong: dict[Place, bool]) -> str:
        """What the chain behind an element ends in."""
        found: set[str] = set()
        work = [place]
        while work:
            here = work.pop()
            if here in self.vouched:
                return COUNTED
            e = self.elements[here]
            before = [p for p in run if self.elements[p].seq == e.seq - 1]
            fits = [p for p in before if p[1][:24] == e.prev]
            if fits:
                work += fits
            else:
                found.add(DISPUTED if any(not wrong[p] for p in before) else HELD)
        return DISPUTED if DISPUTED in found else HELD

    def _overruled(self, e: Element, standing: str) -> str:
        members = self.members
        if e.document == "shop" and e.kind in ACTS:
            return COUNTED if e.hash in members.stands else HELD
        if members.roles.get(e.till) == "reader":
            standing = HELD
        return COUNTED if standing in (HELD, DISPUTED) and e.hash in members.accepted else standing

    def _same(self) -> None:
        """Of those with one id and equal content, the lowest counts."""
        by_id: dict[tuple[str, str], list[Place]] = defaultdict(list)
        for place, status in self.status.items():
            self.kept[place] = None
            if status == COUNTED:
                by_id[self.elements[place].id, self.elements[place].content()].append(place)
        for places in by_id.values():
            first, *others = sorted(places, key=self._order)
            for other in others:
                self.status[other], self.kept[other] = DUPLICATE, first[1]

    def _order(self, place: Place) -> tuple[str, int, int, str]:
        e = self.elements[place]
        return e.till, e.run, e.seq, e.hash

    def counted(self, *kinds: str) -> list[Place]:
        """Where what counts lies, of these kinds."""
        return [p for p, status in self.status.items() if status == COUNTED and self.elements[p].kind in kinds]

    # -- edits and days ---------------------------------------------------------------------------------------------

    def _current(self, edits: list[tuple[Element, Any]]) -> tuple[Any, int]:
        """(value of the edit that is current, how many others stand beside it); each edit is (element, value)."""
        seqs = {e.hash: e.seq for e in self.elements.values()}

        def covered(e: Element) -> bool:
            return any(
                other is not e and seqs.get(other.body.get("seen", {}).get(e.till, ""), 0) >= e.seq
                for other, _ in edits
            )

        def rank(edit: tuple[Element, Any]) -> tuple[int, str]:
            return RANK[self.members.roles[edit[0].till]] if edit[0].till in self.members.roles else 0, edit[0].hash

        standing = [edit for edit in edits if not covered(edit[0])]
        best = max(standing or edits, key=rank)
        return best[1], len(standing) - 1 if standing else 0

    def settings(self) -> dict[str, Any]:
        """The current value of each setting."""
        edits: dict[str, list[tuple[Element, Any]]] = defaultdict(list)
        for place in self.counted("setting"):
            e = self.elements[place]
            edits[e.body["name"]].append((e, e.body["value"]))
        return {name: self._current(found)[0] for name, found in edits.items()}

    def products(self, document: str) -> dict[str, Any]:
        """The current state of each product of a catalogue."""
        edits: dict[str, list[tuple[Element, Any]]] = defaultdict(list)
        for place in self.counted("products"):
            e = self.elements[place]
            if e.document == document:
                for product in e.body["products"]:
                    edits[product["sku"]].append((e, product))
        return {sku: self._current(found)[0] for sku, found in edits.items()}

    def day_of(self, place: Place) -> str | None:
        """The day to which an element belongs; None outside the journals."""
        e = self.elements[place]
        if not e.document.startswith("journal/"):
            return None
        if e.fault is not None:
            return e.document[8:]
        covering = []
        for other in self.counted("redate"):
            r = self.elements[other]
            b = r.body
            if (b["author"], b["of"]) != (e.till, e.run) or not b["first"] <= e.seq <= b["last"]:
                continue
            role = self.members.roles.get(r.till)
            own = r.till == e.till and role is not None and e.body.get("clock") == "suspect"
            if own or role in ("manager", "head office"):
                covering.append((r, b["to"]))
        return self._current(covering)[0] if covering else e.day

    def days(self) -> dict[str, list[Place]]:
        """The elements of each day."""
        found: dict[str, list[Place]] = defaultdict(list)
        for place in self.elements:
            day = self.day_of(place)
            if day is not None:
                found[day].append(place)
        return found

    def report(self, day: str, places: list[Place]) -> dict[str, Any]:
        """A day's figures, as far as the day report says them."""
        of = {status: [p for p in places if self.status[p] == status] for status in
              (COUNTED, DUPLICATE, DISPUTED, HELD, INVALID)}  # fmt: skip
        counted = [self.elements[p] for p in of[COUNTED]]
        sales = [e for e in counted if e.kind == "sale"]
        of_money = {kind: [e.body for e in counted if e.kind == kind] for kind in ("sale", "refund", "void")}
        total = {kind: sum(body["total"] for body in bodies) for kind, bodies in of_money.items()}
        digest = hashlib.sha256()
        for p in sorted(places, key=lambda p: (p[1], "counted duplicate disputed held invalid".index(self.status[p]))):
            digest.update(bytes.fromhex(p[1]) + self.status[p].encode() + b"\n")
        closes, late = self._late(day, counted)
        writers = {self.elements[p].till for p in of[COUNTED] + of[DUPLICATE]}
        drawerless = {who for who, role in self.members.roles.items() if role == "head office"} | {
            self.members.recovery
        }
        return {
            "sales": (len(sales), total["sale"]),
            "refunds": (len(of_money["refund"]), total["refund"]),
            "voids": (len(of_money["void"]), total["void"]),
            "net": total["sale"] - total["refund"] - total["void"],
            "tenders": {kind: amount for kind, amount in tenders(of_money).items() if amount},
            "cash": {
                way: sum(e.body["amount"] for e in counted if e.kind == "cash" and e.body["direction"] == way)
                for way in ("in", "out")
            },
            "payments": sum(e.body["amount"] for e in counted if e.kind == "payment"),
            "newer": sum(not e.known for e in counted),
            "duplicates": sorted(p[1] for p in of[DUPLICATE]),
            "disputed": sorted(p[1] for p in of[DISPUTED]),
            "held": sorted(p[1] for p in of[HELD]),
            "invalid": sorted(p[1] for p in of[INVALID]),
            "digest": digest.hexdigest(),
            "late": sorted(late),
            "waiting_for": sorted(writers & self.members.now - drawerless - closes),
            "tills": {who: self._till(who, of[COUNTED] + of[DUPLICATE]) for who in writers
                      if who not in drawerless or any(e.till == who for e in sales)},
        }  # fmt: skip

    def _late(self, day: str, counted: list[Element]) -> tuple[set[str], list[str]]:
        closes: set[str] = set()
        covered: dict[tuple[str, int], int] = {}
        for place in self.counted("day closed"):
            e = self.elements[place]
            if e.body["of_day"] == day:
                closes.add(e.till)
                for author, run, seq in e.body["vector"]:
                    covered[author, run] = max(seq, covered.get((author, run), 0))
        late = [e.hash for e in counted if e.kind in MONEY and closes and covered.get((e.till, e.run), 0) < e.seq]
        return closes, late

    def _till(self, author: str, places: list[Place]) -> dict[str, Any]:
        """One till's part of a day. Numbers are looked for in the runs of that day, and in whatever was numbered in
        between (a run may be filed under another day)."""
        mine = [self.elements[p] for p in places if self.elements[p].till == author]
        runs, first, last = {e.run for e in mine}, min(e.seq for e in mine), max(e.seq for e in mine)
        own = [
            e
            for p, e in self.elements.items()
            if e.till == author
            and self.status[p] in (COUNTED, DUPLICATE)
            and (e.run in runs or first <= e.seq <= last)
        ]
        sales = [e for p, e in ((p, self.elements[p]) for p in places)
                 if e.till == author and e.kind == "sale" and self.status[p] == COUNTED]  # fmt: skip
        unvouched = [e for e in sales if (e.document, e.hash) not in self.vouched]
        return {
            "seqs": _span([e.seq for e in mine], [e.seq for e in own]),
            "receipts": _span(
                [n for e in mine if (n := e.number) is not None], [n for e in own if (n := e.number) is not None]
            ),
            "count": len(sales),
            "total": sum(e.body["total"] for e in sales),
            "unvouched": (len(unvouched), sum(e.body["total"] for e in unvouched)),
        }

    # -- for people -------------------------------------------------------------------------------------------------

    def verdicts(self) -> dict[tuple[str, bytes], tuple[str, bool, bytes | None]]:
        """(status, vouched, duplicate of) of each element, by (document, hash)."""
        return {
            (document, bytes.fromhex(hash)): (
                self.status[document, hash],
                (document, hash) in self.vouched,
                bytes.fromhex(kept) if (kept := self.kept[document, hash]) else None,
            )
            for document, hash in self.elements
        }

    def numbers(
        self, author: str, *, of: set[str] | None = None, until: int | None = None
    ) -> tuple[list[int], list[int]]:
        """The numbers of a till's entries and of its receipts, each as often as it stands: of what counts, and of its
        acts too that came to nothing, since others had taken its right meanwhile. `of`: of these hashes, whatever they
        count; `until`: only what it wrote before this number."""
        own = [
            e
            for p, e in self.elements.items()
            if e.till == author
            and (until is None or e.seq < until)
            and (self._stands(p) if of is None else e.hash in of)
        ]
        return sorted(e.seq for e in own), sorted(e.body["number"] for e in own if e.kind in NUMBERED)

    def _stands(self, place: Place) -> bool:
        return self.status[place] in (COUNTED, DUPLICATE) or (place[0] == "shop" and place in self.vouched)


def _span(mine: list[int], own: list[int]) -> tuple[int, int, int]:
    """(first, last, how many between them are nowhere)."""
    if not mine:
        return 0, 0, 0
    first, last = min(mine), max(mine)
    return first, last, len(set(range(first, last + 1)) - set(own)) if last - first < 100_000 else -1


def shown(report: dict[str, Any]) -> dict[str, Any]:
    """What the product's day report says, in the oracle's form."""

    def hashes(name: str, key: str = "hash") -> list[str]:
        return sorted(item[key] for item in report[name])

    def span(first: int | None, last: int | None, missing: int) -> tuple[int, int, int]:
        return first or 0, last or 0, missing if (last or 0) - (first or 0) < 100_000 else -1

    return {
        "sales": (report["sales"]["count"], report["sales"]["total"]),
        "refunds": (report["refunds"]["count"], report["refunds"]["total"]),
        "voids": (report["voids"]["count"], report["voids"]["total"]),
        "net": report["net"],
        "tenders": {kind: amount for kind, amount in report["tenders"].items() if amount},
        "cash": {way: report["cash"][way]["total"] for way in ("in", "out")},
        "payments": report["payments"]["total"],
        "newer": report["newer"],
        "duplicates": hashes("duplicates", "dropped"),
        "disputed": hashes("disputed"),
        "held": hashes("held"),
        "invalid": hashes("invalid"),
        "digest": report["digest"],
        "late": hashes("late"),
        "waiting_for": report["waiting_for"],
        "tills": {
            till["till"]: {
                "seqs": span(till["first_seq"], till["last_seq"], till["missing_count"]),
                "receipts": span(till["receipts"]["first"], till["receipts"]["last"],
                                 till["receipts"]["missing_count"]),
                "count": till["count"],
                "total": till["total"],
                "unvouched": (till["unvouched"]["count"], till["unvouched"]["amount"]),
            }
            for till in report["tills"]
        },
    }  # fmt: skip


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Where two answers differ, in words."""
    return "; ".join(
        f"{key}: {ours.get(key)!r} here, {theirs.get(key)!r} there"
        for key in sorted(ours.keys() | theirs.keys())
        if json.dumps(ours.get(key), default=str, sort_keys=True)
        != json.dumps(theirs.get(key), default=str, sort_keys=True)
    )
