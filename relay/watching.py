"""What a process of the head office does for the board besides serving pages: tell where its tills stand, follow the
feed, and look what is wrong.

Where tills stand each process tells of its own links. The rest one process does for all of them, the one that leads; it
is bounded work at a time, in a thread, and whatever is not done in one turn is done in the next.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from posline.core.members import Role
from posline.errors import PoslineError
from posline.storage.reports import Reports
from posline.till.health import CLOCKS_APART_MS
from relay.alarms import Found
from relay.board import DAYS_FILLED, DayRow, Founded, earlier, zone_of
from relay.marks import OFFICE, marked_since
from relay.presence import Heard, Standing

if TYPE_CHECKING:
    from relay.relay import Relay

__all__ = ["LEDGER", "Watcher", "hours_away", "usual_hours"]

log = logging.getLogger("posline.relay.board")

PRESENCE_S = 2.0  # between two looks at this process's own links
PRESENCE_SHARE = 0.02  # of the time, at most, that goes into them: of thousands they are as of some seconds ago
FOLLOW_S = 1.0  # and at the feed, where nothing tells of an event
TURN_S = 0.2  # between two turns, however much comes in
WHOLE_S = 30.0  # between looks for such days, once all are; a shop that comes is looked at at once
FILL_S = 0.4  # of days that are not added up yet, in one turn
SWEEP_S = 20.0  # between looks at what time alone makes wrong
LOOKED_S, LOOK_S = 15.0, 1.0  # between two looks into one shop's ledger, and into any
LOOKS_AT_ONCE = 10  # into shops' ledgers, in one turn
SUMS_AT_ONCE, SUMS_S = 8, 30.0
GAP_S = 60.0  # until numbers that are missing are more than on their way
SETTLE_S = 600.0  # after a start, until tills that found nobody have come back
SILENT_HOURS = 2  # in which a shop is usually selling, and a till is not heard of
CLOSE_BY_HOUR = 12  # of the next day: until then a day may be open
REFUSED_MS = 86_400_000
LEDGER = ("disputed", "held", "invalid", "conflict", "excess", "edit_conflict", "fork", "gap")
_OF_TILL = frozenset({"disputed", "held", "invalid", "fork"})
USUAL_DAYS = 14  # looked back at, for when a shop sells


def usual_hours(rows: Iterable[DayRow]) -> frozenset[int]:
    """The hours of the clock in which a shop sells on at least half of its days, of three or more."""
    days, sold = 0, [0] * 24
    for row in rows:
        if row.count:
            days += 1
            for hour in {int(slot) * 15 // 60 for slot, (count, _) in row.slots.items() if count}:
                sold[hour] += 1
    return frozenset(hour for hour in range(24) if days >= 3 and 2 * sold[hour] >= days)


def hours_away(heard_ms: int, now_ms: int, usual: frozenset[int], hour_of: Callable[[int], int]) -> int:
    """How many of the hours since a till was heard of are ones in which its shop usually sells; a week's at the most.
    """
    hours = min((now_ms - heard_ms) // 3_600_000, 7 * 24)
    return sum(hour_of(now_ms - back * 3_600_000) in usual for back in range(hours))


@dataclass(slots=True)
class _Looks:
    """Which shops' ledgers are to be looked at."""

    due: deque[str]
    waiting: set[str]
    looked_s: dict[str, float]
    lacking: dict[tuple[str, str, int], float]  # shop, author, first number -> since when

    def want(self, shops: Iterable[str]) -> None:
        for shop in shops:
            if shop not in self.waiting:
                self.waiting.add(shop)
                self.due.append(shop)


class Watcher:
    """Runs beside a relay that serves."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._tasks: list[asyncio.Task[None]] = []
        self._looks = _Looks(deque(), set(), {}, {})
        self._marks = 0
        self._swept_s = self._summed_s = self._looked_s = self._whole_s = -SWEEP_S  # when each was last done
        self._began_s = time.monotonic()
        self._filled: dict[str, str] = {}  # shop -> the day from which on its rows were made

    async def start(self) -> None:
        """Begin."""
        await asyncio.to_thread(self._relay.presence.begin)
        self._tasks = [
            asyncio.create_task(self._stand(), name="where tills stand"),
            asyncio.create_task(self._lead(), name="board"),
        ]

    async def stop(self) -> None:
        """The end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.to_thread(self._relay.presence.end)
        except Exception as error:  # others see by its heart that it is gone
            log.warning("where tills stand could not be told at the end: %s", error)

    async def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except PoslineError as error:
            log.warning("the board waits: %s", error)
        except Exception as error:
            if not self._relay.suspect(error):
                log.exception("the board waits")
        return None

    # -- where tills stand ---------------------------------------------------------------------------------------------

    async def _stand(self) -> None:
        refused: dict[str, str] = {}
        while True:
            began_s = time.monotonic()
            links, refusals = self._links(), self._refusals(refused)
            took_s = time.monotonic() - began_s
            await self._guarded(lambda links=links: self._relay.presence.write(links))  # type: ignore[misc]
            for shop, found in refusals.items():
                await self._guarded(lambda shop=shop, found=found: self._relay.alarms.came(shop, found))  # type: ignore[misc]
            await asyncio.sleep(max(PRESENCE_S, took_s / PRESENCE_SHARE))

    def _links(self) -> dict[tuple[str, str], Heard]:
        engine = self._relay.engine
        hub, now, wall_ms = engine.hub, engine.now(), self._relay.office.now_ms()
        return {
            (shop, seen.store): Heard(
                seen.kind, wall_ms - int(1000 * max(0.0, now - seen.at_s)), seen.behind, seen.clock_apart_ms
            )
            for shop in hub.linked_shops()
            for seen in hub.seen(shop)
            if seen.connected
        }

    def _refusals(self, told: dict[str, str]) -> dict[str, list[Found]]:
        """What this process refused since it was last told."""
        made, now = dict[str, list[Found]](), dict[str, str]()
        for shop, refusals in self._relay.refused_here():
            for each in refusals.listed():
                name = "refused " + hashlib.sha256(f"{each['who']}\n{each['why']}".encode()).hexdigest()[:16]
                now[f"{shop} {name}"] = each["at"]
                if told.get(f"{shop} {name}") != each["at"]:
                    params = {"who": each["who"], "why": each["why"]}
                    made.setdefault(shop, []).append(Found(name, "refused", 1, params))
        told.clear()
        told |= now
        return made

    # -- what one process does for all ---------------------------------------------------------------------------------

    async def _lead(self) -> None:
        leads, arrivals = self._relay.home.leads("board"), self._relay.arrivals
        while True:
            arrival = arrivals.next
            if await leads():
                more = True
                while more:
                    more = bool(await self._guarded(self._relay.board.follow))
                more = bool(await self._guarded(self._turn))
                await asyncio.sleep(TURN_S)
                if more:
                    continue
            await arrivals.pause(arrival, FOLLOW_S)

    def _turn(self) -> bool:
        """Bounded work; whether there is more of it right now."""
        now_s = time.monotonic()
        more = now_s >= self._whole_s and self._fill()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        if now_s - self._swept_s >= SWEEP_S:
            self._swept_s = now_s
            self._sweep()
        if now_s - self._summed_s >= SUMS_S:
            today = self._relay.today("")
            if self._relay.sums.refresh(earlier(today, DAYS_FILLED), SUMS_AT_ONCE) < SUMS_AT_ONCE:
                self._summed_s = now_s
                self._relay.sums.forget(today)
        return more

    def _fill(self) -> bool:
        """Make rows of days that nobody followed: of today and a week ago first, then of a month."""
        until_s = time.monotonic() + FILL_S
        known = self._relay.board.founded()
        shops = [shop.id for shop in self._relay.office.shops(removed=True)]
        for days in (7, DAYS_FILLED):
            for shop in shops:
                first = earlier(self._relay.today(shop), days)
                if self._filled.get(shop, "9") <= first:
                    continue
                if self._relay.board.fill(shop, first, known.get(shop)):
                    self._looks.want([shop])
                elif shop not in known:
                    continue  # nothing of it is here yet
                self._filled[shop] = first
                if time.monotonic() > until_s:
                    return True
        self._whole_s = time.monotonic() + WHOLE_S  # looking over many shops is work, too
        return False

    # -- what is wrong -------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look into the ledgers of shops in which something happened."""
        marked, self._marks = marked_since(self._relay.office.database, self._marks)
        looks, now_s = self._looks, time.monotonic()
        looks.want(marked - {OFFICE})
        if not marked <= self._filled.keys() | {OFFICE}:  # a shop that came, or of which something is here at last
            self._whole_s = now_s
        looks.want({shop for shop, _, _ in looks.lacking})
        found: dict[str, list[Found]] = {}
        for _ in range(len(looks.due)):
            shop = looks.due.popleft()
            if now_s - looks.looked_s.get(shop, -LOOKED_S) < LOOKED_S:
                looks.due.append(shop)
                continue
            looks.waiting.discard(shop)
            looks.looked_s[shop] = now_s
            found[shop] = self._wrong(shop, now_s)
            if len(found) >= LOOKS_AT_ONCE:
                break
        if found:
            self._relay.alarms.looked(LEDGER, found)

    def _wrong(self, shop: str, now_s: float) -> list[Found]:
        """What a shop's ledger says."""
        store = self._relay.store
        with store.snapshot() as still:
            reports = Reports(still, shop, here=self._relay.key.id)
            found = []
            for alarm in reports.alarms():
                kind, till = alarm["kind"], alarm.get("till")
                label = "" if till is None else reports.label(till)
                params = {"till": label, "n": alarm.get("count", 1)}
                if kind == "excess":
                    params["sales"] = alarm["sales"]
                name = f"{kind} {till}" if kind in _OF_TILL else kind
                found.append(Found(name, kind, int(alarm.get("count", 1)), params))
            members = still.members(shop)
            if members:  # who was removed is not missed
                standing = self._relay.presence.of(shop)
                gone = [one.device for one in standing if one.device not in members and not one.linked]
                self._relay.presence.forget(shop, gone)
            return found + self._gaps(reports, shop, now_s)

    def _gaps(self, reports: Reports, shop: str, now_s: float) -> list[Found]:
        """Numbers that have been missing for a while."""
        known, found = self._looks.lacking, []
        gaps = reports.gaps()
        fresh = {(shop, author, first): known.get((shop, author, first), now_s)
                 for author, _, ranges in gaps for first, _ in ranges}  # fmt: skip
        for place in [place for place in known if place[0] == shop and place not in fresh]:
            del known[place]
        known |= fresh
        for author, _, ranges in gaps:
            old = [r for r in ranges if now_s - known[shop, author, r[0]] >= GAP_S]
            if old:
                count = sum(last - first + 1 for first, last in old)
                numbers = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in old[:5])
                params = {"till": reports.label(author), "n": count, "numbers": numbers}
                found.append(Found(f"gap {author}", "gap", count, params))
        return found

    def _sweep(self) -> None:
        """Look at what time alone makes wrong: tills that are silent, clocks, days that are open, webhooks."""
        relay = self._relay
        every = relay.office.shops(removed=True)
        shops = [shop.id for shop in every if not shop.removed_ms]
        gone: dict[str, list[Found]] = {shop.id: [] for shop in every if shop.removed_ms}  # nobody waits for them
        standing, known, now_ms = relay.presence.everywhere(None), relay.board.founded(), relay.office.now_ms()
        silent = gone | {shop: self._silent(shop, standing.get(shop, ()), known.get(shop), now_ms) for shop in shops}
        settled = time.monotonic() - self._began_s >= SETTLE_S  # who had nowhere to link to was not silent
        relay.alarms.looked(("silent", "clock") if settled else ("clock",), {
            shop: [one for one in found if settled or one.kind != "silent"] for shop, found in silent.items()
        })  # fmt: skip
        relay.alarms.looked(("unclosed",), gone | self._unclosed(shops, known))
        relay.alarms.looked(("webhook_off", "webhook_dead"), {OFFICE: self._webhooks()})
        relay.alarms.looked(("disk",), {replica.shop: _disk(replica.alarms) for replica in relay.engine.hub.replicas})
        relay.alarms.pass_by("refused", REFUSED_MS)

    def _silent(
        self, shop: str, standing: Iterable[Standing], known: tuple[Founded, str] | None, now_ms: int
    ) -> list[Found]:
        found: list[Found] = []
        away = [one for one in standing if not one.linked and now_ms - one.heard_ms >= SILENT_HOURS * 3_600_000]
        apart = [one for one in standing if one.linked and abs(one.apart_ms or 0) > CLOCKS_APART_MS]
        if not away and not apart:
            return found
        members, label = self._relay.store.members(shop), self._relay.label_of(shop)
        if away and known is not None:
            zone = zone_of(known[0])
            today = self._relay.today(shop)
            usual = usual_hours(self._relay.board.days_of(shop, earlier(today, USUAL_DAYS), earlier(today, 1)))

            def hour_of(ms: int) -> int:
                return datetime.fromtimestamp(ms / 1000, zone).hour

            for one in away:
                member = members.get(one.device)
                if member is None or member.role in (Role.HEAD_OFFICE, Role.READER):
                    continue
                if hours_away(one.heard_ms, now_ms, usual, hour_of) >= SILENT_HOURS:
                    params = {"till": label(one.device), "at_ms": one.heard_ms}
                    found.append(Found(f"silent {one.device}", "silent", 1, params))
        for one in apart:
            minutes = round(abs(one.apart_ms or 0) / 60_000)
            way = "ahead" if (one.apart_ms or 0) > 0 else "behind"
            params = {"till": label(one.device), "minutes": minutes, "way": way}
            found.append(Found(f"clock {one.device}", "clock", 1, params))
        return found

    def _unclosed(self, shops: Iterable[str], known: Mapping[str, tuple[Founded, str]]) -> dict[str, list[Found]]:
        relay = self._relay
        found: dict[str, list[Found]] = {shop: [] for shop in shops}
        latest = max((relay.today(shop) for shop in found), default=relay.today(""))
        for shop, day, waiting in relay.board.unclosed(latest):
            if shop not in found or shop not in known:
                continue
            ends = datetime.fromisoformat(day).replace(tzinfo=zone_of(known[shop][0]))
            if relay.office.now_ms() / 1000 < (ends + timedelta(days=1, hours=CLOSE_BY_HOUR)).timestamp():
                continue
            label = relay.label_of(shop)
            params = {"day": day, "tills": ", ".join(sorted(map(label, waiting)))}
            found[shop].append(Found(f"unclosed {day}", "unclosed", len(waiting), params))
        return found

    def _webhooks(self) -> list[Found]:
        found = []
        dead = self._relay.webhooks.dead_counts()
        for one in self._relay.webhooks.listed():
            if not one.active and one.off_why:
                found.append(Found(f"off {one.id}", "webhook_off", 1, {"url": one.url, "why": one.off_why}))
            if count := dead.get(one.id):
                found.append(Found(f"dead {one.id}", "webhook_dead", count, {"url": one.url, "n": count}))
        return found


def _disk(alarms: Any) -> list[Found]:
    alarm = alarms.get("disk")
    return [] if alarm is None else [Found("disk", "disk", 1, {"why": alarm.detail})]
