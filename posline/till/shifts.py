"""Shifts, cash and days at one till: a drawer is opened, money goes in and out, it is counted and closed.

Nothing here stops a sale. A shift need not be opened: what was rung since the last close is a shift of its own. What a
close covers is worked out and written in one step of the loop, so each sale lies in exactly one Z report, whichever way
the two requests raced. docs/days.md tells it from the cashier's side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.checks import MAX_TENDERS, TENDER
from posline.core.clock import iso
from posline.core.drawer import over_short, read_figures
from posline.core.entry import Entry, valid_day
from posline.core.faults import Faults
from posline.core.ranges import Numbers
from posline.errors import NotFound, NotPossible
from posline.storage.reports import Recorded
from posline.storage.shifts import COVERS_MAX, Opening, Tally, TillShifts
from posline.till.people import approval
from posline.till.recording import Draft

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Done", "Shifts"]

BLIND = "blind_count"  # the shared setting: whoever counts a drawer is not told first what should be in it
GIVEN_AWAY = ("expected", "tenders", "cash", "payments")  # what an X report keeps to itself then
DAYS_MAX = 31  # earlier days that one close of a shift closes; of more, the next ones do
_ASKED = frozenset({"id", "by", "pin", "approve", "note"})


@dataclass(frozen=True, slots=True)
class Done:
    """What a request came to, and whether the same had been recorded before."""

    answer: dict[str, Any]
    repeated: bool


class Shifts:
    """The shifts of a till: `till.shifts`."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._own = TillShifts(till.store, till.shop_id, till.id)

    # -- what a cashier does ---------------------------------------------------------------------------------------

    async def open(self, request: Mapping[str, Any]) -> Done:
        """Open a shift: {id, float?, by?, note?}; `float` is the money in the drawer, in minor units (0).

        Answers the shift. Raises BadRequest, NotAllowed, Conflict, NotPossible while one is open, CommitFailed,
        OutcomeUnknown.
        """
        asked = _Asked(request, "float")
        float = asked.faults.amount("float", asked.fields.get("float", 0))
        asked.faults.raise_any()
        asked.more |= await approval(self._till, "shift", request)

        def draft(id: str) -> Draft:
            if (current := self._own.open(self._till.replica.staged)) is not None:
                who = f"{current.by}'s" if current.by else "a"
                raise NotPossible(f"{who} shift is open since {current.at}: close it before you open the next one")
            return Draft({"float": float} | asked.more, asked.by)

        def same(entry: Entry) -> bool:  # another till's shift is none: a drawer is opened where it stands
            return entry.till == self._till.id and bool(entry.body["float"] == float)

        result = await self._till.recording.once("shift opened", request, draft, same=same)
        return Done(self._opening(result.recorded), result.repeated)

    async def close(self, request: Mapping[str, Any]) -> Done:
        """Close the shift: {id, counted: {kind: amount}, note?, by?}, what was counted of each kind of tender in minor
        units. Closes this till's earlier days too, where they are not closed yet.

        Answers the Z report. Raises BadRequest, NotAllowed, Conflict, NotFound where nothing was sold since the last
        close and no shift is open, CommitFailed, OutcomeUnknown.
        """
        asked = _Asked(request, "counted")
        counted = asked.counted()
        asked.faults.raise_any()
        asked.more |= await approval(self._till, "shift", request)
        # a long shift is added up before, in a thread; the step that writes has only what came meanwhile left to add
        begun = await asyncio.to_thread(self._own.tally)

        def draft(id: str) -> Draft:
            return self._closing(counted, asked, begun)

        def same(entry: Entry) -> bool:
            return entry.till == self._till.id and bool(entry.body["counted"] == counted)

        result = await self._till.recording.once("shift closed", request, draft, same=same)
        return Done(self._z(result.recorded), result.repeated)

    def _closing(self, counted: dict[str, int], asked: _Asked, begun: Tally) -> Draft:
        staged = self._till.replica.staged
        fields = self._own.closing(staged, counted, begun=begun)
        if fields is None:
            raise _none_open()
        days = self._own.unclosed(self._till.day)[-DAYS_MAX:]
        closed = [("day closed", {"of_day": day, "vector": self._own.vector(day, staged)}) for day in days]
        return Draft(fields | asked.more, asked.by, closed)

    async def cash(self, request: Mapping[str, Any]) -> Done:
        """Put money into the drawer or take some out: {id, direction: in|out, amount, reason, by?}.

        Answers what was recorded. Raises BadRequest, NotAllowed, Conflict, CommitFailed, OutcomeUnknown.
        """
        asked = _Asked(request, "direction", "amount", "reason")
        direction = asked.fields.get("direction")
        if direction not in ("in", "out"):
            asked.faults.add("direction", "must be in or out")
        amount = asked.faults.amount("amount", asked.fields.get("amount"))
        if asked.fields.get("amount") == 0:
            asked.faults.add("amount", "must be above 0")
        reason = asked.faults.text("reason", asked.fields.get("reason"))
        asked.faults.raise_any()
        asked.more |= await approval(self._till, "cash", request)

        def draft(id: str) -> Draft:
            return Draft({"direction": direction, "amount": amount, "reason": reason} | asked.more, asked.by)

        result = await self._till.recording.once("cash", request, draft)
        body = result.recorded.entry.body
        moved = {name: body[name] for name in ("direction", "amount", "reason")}
        return Done(self._head(result.recorded) | moved, result.repeated)

    async def close_day(self, request: Mapping[str, Any], day: str, *, owner: bool = False) -> Done:
        """Close a business day (YYYY-MM-DD) for this till: {id, by?}. What comes for it later is shown as late. With
        `owner`, whoever owns the machine asks, who needs nobody's approval.

        Answers {id, till, label, day, at, by, run, last, vector}: the close, and how far it covers each run of each
        till. Raises BadRequest, NotAllowed, Conflict, CommitFailed, OutcomeUnknown.
        """
        asked = _Asked(request)
        if not valid_day(day):
            asked.faults.add("day", f"{day[:40]!r} is no day such as 2026-11-23, from 2020 to 2100")
        elif day > self._till.day and day not in self._till.reports.days():
            asked.faults.add("day", f"{day} has not begun: today is {self._till.day}")
        asked.faults.raise_any()
        if not owner:
            asked.more |= await approval(self._till, "day", request)

        def draft(id: str) -> Draft:
            vector = self._own.vector(day, self._till.replica.staged)
            return Draft({"of_day": day, "vector": vector} | asked.more, asked.by)

        def same(entry: Entry) -> bool:
            return entry.till == self._till.id and bool(entry.body["of_day"] == day)

        result = await self._till.recording.once("day closed", request, draft, about=day, same=same)
        return Done(self._day_closed(result.recorded), result.repeated)

    # -- what can be asked -----------------------------------------------------------------------------------------

    def opened(self) -> Opening | None:
        """The shift that is open at this till, where one was opened."""
        return self._own.open(self._till.replica.staged)

    def reported(self, entry: Entry) -> bool:
        """Whether a Z report of this till covers an entry of its own."""
        return (entry.run, entry.seq) in self._own.covered(self._till.replica.staged)

    def current(self) -> dict[str, Any]:
        """The X report: the shift as it stands. Raises NotFound where none is open and nothing was sold since the last
        close."""
        staged = list(self._till.replica.staged)
        tally, shift = self._own.tally(staged), self._own.open(staged)
        if shift is None and not tally.moved:
            raise _none_open()
        till, float = self._till, shift.float if shift is not None else 0
        found: dict[str, Any] = {
            "report": "X", "id": shift.id if shift is not None else None, "shift": shift.id if shift else None,
            "till": till.id, "label": till.label, "day": till.day, "at": self._now(), "by": shift.by if shift else "",
            "opened": _opened(shift), "float": float, "covers": tally.numbers.ranges(COVERS_MAX),
        }  # fmt: skip
        found |= {"number": self._own.closes() + 1} | tally.takings.figures()
        found |= {"expected": tally.takings.expected(float), "counted": None, "over_short": None}
        found |= {"duplicates": self._own.duplicates(tally.numbers), "note": ""}
        blind = bool(till.reports.setting(BLIND))
        if blind:
            found |= dict.fromkeys(GIVEN_AWAY)
        return found | {"blind": blind}

    def _now(self) -> str:
        clock = self._till.replica.clock
        assert clock is not None
        return iso(clock.now().at_ms, self._till.replica.zone)

    def last(self) -> dict[str, Any]:
        """The last Z report that this till wrote. Raises NotFound."""
        found = self._till.reports.shifts(author=self._till.id, kind="shift closed", last=1)
        if not found:
            raise NotFound("this till has closed no shift yet")
        return self._z(found[0])

    def find(self, id: str) -> dict[str, Any]:
        """The Z report with this id, or of the shift with this id, of any till; the shift while it is open. Raises
        NotFound."""
        claimed = [r for r in self._till.reports.by_id(id) if r.entry.fault is None]
        found = [r for r in claimed if r.entry.kind in ("shift opened", "shift closed")]
        if not found:
            raise NotFound(f"no shift has the id {id[:60]!r}")
        if found[0].entry.kind == "shift closed":
            return self._z(found[0])
        closes = self._till.reports.shifts(author=found[0].entry.till, shift=found[0].entry.id)
        return self._z(closes[0]) if closes else self._opening(found[0])

    def listed(self, day: str) -> list[dict[str, Any]]:
        """The shifts of all tills that were closed on a business day, as Z reports, then those opened on it that are
        not closed."""
        found = self._till.reports.shifts(day=day)
        closes = [self._z(r) for r in found if r.entry.kind == "shift closed"]
        openings = [
            self._opening(r)
            for r in found
            if r.entry.kind == "shift opened" and not self._till.reports.shifts(author=r.entry.till, shift=r.entry.id)
        ]
        return closes + openings

    def alarms(self) -> list[dict[str, Any]]:
        """What this till's drawer was told to hold and another till counts, where it was of today or came out since:
        {kind, count, amount, detail}."""
        by_day = self._own.new_duplicates(self._till.day)
        if not by_day:
            return []
        twins = [twin for found in by_day.values() for twin in found]
        amount, tills = sum(twin["amount"] for twin in twins), {twin["kept_by"] for twin in twins} - {None}
        where = " and ".join(f"till {label}" for label in sorted(map(self._till.reports.label, tills)))
        days = " and ".join("today" if day == self._till.day else day for day in by_day)
        detail = f"{len(twins)} of this till's entries, of {days}, are recorded at {where} too, and count there"
        return [{"kind": "duplicate", "count": len(twins), "amount": amount, "detail": detail}]

    # -- how they are shown ----------------------------------------------------------------------------------------

    def _head(self, recorded: Recorded) -> dict[str, Any]:
        entry = recorded.entry
        return {
            "id": entry.id, "till": entry.till, "label": self._till.reports.label(entry.till), "day": recorded.day,
            "at": entry.at, "by": entry.by,
        }  # fmt: skip

    def _opening(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.entry.body
        return {"report": None} | self._head(recorded) | {"float": body["float"], "note": body.get("note", "")}

    def _day_closed(self, recorded: Recorded) -> dict[str, Any]:
        entry = recorded.entry
        place = {"day": entry.body["of_day"], "run": entry.run, "last": entry.seq, "vector": entry.body["vector"]}
        return self._head(recorded) | place

    def _z(self, recorded: Recorded) -> dict[str, Any]:
        entry, body = recorded.entry, recorded.entry.body
        opened = None
        if body["shift"] is not None:
            for opening in self._till.reports.by_id(body["shift"]):
                of_this = opening.entry.kind == "shift opened" and opening.entry.till == entry.till
                if of_this and opening.entry.fault is None:
                    opened = _opened(Opening.of(opening.entry))
                    break
        of = self._own if entry.till == self._till.id else TillShifts(self._till.store, self._till.shop_id, entry.till)
        figures = read_figures(body["figures"])
        return {
            "report": "Z", **self._head(recorded), "shift": body["shift"], "opened": opened, "float": body["float"],
            "covers": body["covers"], **figures, "expected": body["expected"], "counted": body["counted"],
            "over_short": over_short(body["counted"], body["expected"]),
            "duplicates": of.duplicates(Numbers(body["covers"])), "note": body.get("note", ""), "blind": False,
        }  # fmt: skip


def _opened(shift: Opening | None) -> dict[str, Any] | None:
    return None if shift is None else {"id": shift.id, "at": shift.at, "by": shift.by}


def _none_open() -> NotFound:
    return NotFound(
        "no shift is open: nothing was rung at this till since the last one was closed. The next sale begins one, or "
        "open one with the money that is in the drawer"
    )


class _Asked:
    """What every request here may say, and all that is wrong with it at once."""

    def __init__(self, request: Mapping[str, Any], *known: str) -> None:
        self.faults = Faults()
        self.fields = self.faults.fields("", dict(request), _ASKED | set(known))
        self.by = self.faults.text("by", self.fields.get("by", ""), 0)
        note = self.faults.text("note", self.fields.get("note", ""), 0)
        self.more: dict[str, Any] = {"note": note} if note else {}  # what the entry says besides

    def counted(self) -> dict[str, int]:
        """{kind of tender: amount}, by kind."""
        faults, value = self.faults, self.fields.get("counted")
        if not isinstance(value, dict) or len(value) > MAX_TENDERS:
            faults.add("counted", f"must say what was counted, such as {{cash: 12500}}, of up to {MAX_TENDERS} kinds")
            return {}
        for kind in value:
            if not isinstance(kind, str) or TENDER.fullmatch(kind) is None:
                faults.add(f"counted.{str(kind)[:60]}", "must be a lower-case word such as cash or card")
        return {str(kind): faults.amount(f"counted.{kind}", value[kind]) for kind in sorted(value, key=str)}
