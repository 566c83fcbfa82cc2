"""What a manager says about time: what it is now, and to which business day entries belong that a wrong clock misfiled.

Neither stops or changes a sale: the first confirms this till's clock, the second is an entry of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from posline.core.clock import LATEST_MS, iso, parse_iso
from posline.core.entry import valid_day
from posline.errors import BadRequest, NotFound
from posline.till.membership import in_charge

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["redate", "set_time"]


async def set_time(till: Till, text: str) -> dict[str, Any]:
    """It is `text` now: ISO 8601, by the shop's own zone where it has no offset. The till and those that learn the time
    from it then move what they filed under a wrong day.

    Answers {at, day}. Raises NotAllowed, BadRequest.
    """
    in_charge(till, "say what time it is")
    clock = till.replica.clock
    assert clock is not None
    if clock.sure:
        now = iso(clock.now().at_ms, till.replica.zone)
        mend = "if that is wrong, set the clock of the machine that says so, and start its till again"
        raise BadRequest.of("time", f"is known, {now}: {mend}")
    try:
        moment = datetime.fromisoformat(text)
        at_ms = parse_iso(text if moment.tzinfo is not None else moment.replace(tzinfo=till.replica.zone).isoformat())
    except ValueError as error:
        raise BadRequest.of("time", f"{text[:60]!r} is no time such as 2026-11-24T15:30") from error
    if not clock.floor_ms <= at_ms <= LATEST_MS:
        earliest = iso(clock.floor_ms, till.replica.zone)
        raise BadRequest.of("time", f"{text[:60]!r} cannot be: it is {earliest} at least, as this till knows for sure")
    clock.set_by_person(at_ms)
    return {"at": iso(clock.now().at_ms, till.replica.zone), "day": till.day}


async def redate(till: Till, run: int, first: int, last: int, day: str) -> dict[str, Any]:
    """The entries `first` to `last` of a run belong to the business day `day` (YYYY-MM-DD).

    Answers {till, entries, day}. Raises NotAllowed, NotFound, BadRequest, CommitFailed.
    """
    in_charge(till, "move entries to another day")
    if not valid_day(day):
        raise BadRequest.of("day", f"{day[:40]!r} is no day such as 2026-11-23")
    if not 0 < first <= last:
        raise BadRequest.of("first", "must be at least 1, and not above the last")
    found = till.store.read.execute(
        "SELECT author, count(*) FROM entry WHERE shop = ? AND run = ? AND seq BETWEEN ? AND ? AND day IS NOT NULL"
        " GROUP BY author",
        (till.store.shop_key(till.shop_id), run, first, last),
    ).fetchall()
    if not found:
        raise NotFound(f"no entry {first} to {last} of a run {run} is here: a sale shows its run and number as JSON")
    for author, _ in found:
        fields = {"author": author, "of": run, "first": first, "last": last, "to": day}
        await till.write("redate", fields)
    return {"till": found[0][0], "entries": sum(count for _, count in found), "day": day}
