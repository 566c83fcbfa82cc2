"""How a till is: the other devices of its shop, what is wrong and what to do about it, and whom it refused and why.

Everything here is for people: no decision hangs on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from posline.core.members import Role
from posline.storage.connection import is_altered, is_damage
from posline.storage.scrub import Scrub
from posline.till.going_on import anchor_of
from posline.till.membership import alarm_of_removal
from posline.till.salvaging import PLACES, Mishap
from posline.trust.doors import REMOVED

if TYPE_CHECKING:
    from posline.sync.engine import PeerState
    from posline.till.till import Till

__all__ = ["ALARMS", "SEEN", "Advice", "Refusals", "Watch", "named"]

log = logging.getLogger("posline.till")

SEEN = "seen"  # where it is kept when each device was last linked: {author: ISO 8601}
SEEN_S = 60.0  # at most so often, since it is written with the next commit
GAP_S = 30.0  # what is only on its way is no gap
GAPS_TOLD = 10  # ranges of numbers in the words of an alarm
BEHIND_S = 5.0  # how long an answer to how far a device is behind is good for
REFUSALS_KEPT = 20
CLOCKS_APART_MS = 120_000  # a receipt two minutes off is nobody's trouble


@dataclass(frozen=True, slots=True)
class Advice:
    """What an alarm of a kind means, and what to do about it."""

    means: str
    do: str


ALARMS: Mapping[str, Advice] = {
    "disk": Advice(
        "The last commit failed, so a sale was refused or is still asked for.",
        "Free some room on this machine's disk; repeat the sale. If room is not the trouble, replace the disk: "
        "'posline backup' first.",
    ),
    "damage": Advice(
        "A file of this till was damaged. What could be read of it was saved, and the till goes on; the damaged file "
        "is kept beside the new one.",
        "Look for the alarm 'gap' once the other devices were linked: it names what is still missing. Have the disk "
        "looked at, since it may go on failing. Then 'posline damage --seen' ends this alarm.",
    ),
    "removed": Advice(
        "A manager removed this till from the shop.",
        "If it was a mistake: take the device to a manager's till, run 'posline join LINK' here with an empty data "
        "folder, and have the manager 'accept' what is held.",
    ),
    "clone": Advice(
        "Another process runs with this till's identity: a copied data folder, or a machine brought back from a "
        "snapshot.",
        "Stop one of the two. Where the copy should go on as a till, give it an empty folder and 'posline join'.",
    ),
    "fork": Advice(
        "A till went on twice from one entry: its data folder was copied, or restored by hand from an old one.",
        "Find the second device and stop it. Both tills' sales count; compare repeated receipt numbers in the day "
        "report. Use 'posline backup' and 'posline restore', never a copy of the folder.",
    ),
    "foreign": Advice(
        "Entries came under this till's name that this disk did not write.",
        "If its folder was restored or copied, see 'fork'. If not, somebody has this till's key: at another till, "
        "'posline remove' it, and join again with an empty folder.",
    ),
    "disputed": Advice(
        "Entries that do not fit their till's signed chain: forged, or left over from a failed disk. They are out of "
        "the totals.",
        "Compare them with the paper: the day report lists them. 'posline accept' lets a true one count.",
    ),
    "invalid": Advice(
        "Entries that break the rules: a wrong signature, wrong sums. They are out of the totals, and stay so.",
        "Run 'posline verify' and look who wrote them. A till that writes such is broken or forged: remove it.",
    ),
    "held": Advice(
        "Entries that wait: for entries of their till that are not here yet, or since their till was removed or is "
        "not a member yet. They are out of the totals.",
        "Let their till link once. For a removed till: compare with the paper, then 'posline accept' the true ones.",
    ),
    "conflict": Advice(
        "One sale id is used for different sales: a program makes its ids badly, or repeated a sale at a till whose "
        "prices or taxes differ. All of them count.",
        "Compare them with the paper, void what is wrong, and have the program's author give each sale a fresh id.",
    ),
    "excess": Advice(
        "Two tills refunded or voided the same line of a sale while they were apart: together they took back more than "
        "was sold. Both count, for money left both drawers.",
        "Look at the sale's returns, and ask who came twice. Where nobody did, one of the two refunds was rung by "
        "mistake: ring it again as a sale.",
    ),
    "duplicate": Advice(
        "The same sale was recorded at two tills, since whoever asked for it asked again at the other one. It counts "
        "once; this till's copy counts for nothing.",
        "Its money lies in one of the two drawers. The Z report names the sale and its amount: where this drawer is "
        "short by it, nothing is missing.",
    ),
    "gap": Advice(
        "A till wrote entries that are not here: others, or its own chain, name them.",
        "Switch that till on, and any till that it linked with: they come by themselves. If its disk is lost they are "
        "lost with it: the numbers say which receipts to look for on paper.",
    ),
    "fiscal": Advice(
        "Sales are not filed with the fiscal service as they should be: it rejected some, may or may not have taken "
        "some, the deadline is near, or filing is set up wrongly.",
        "'posline fiscal status' says what hinders, and 'posline fiscal queue' lists the sales. Settle what needs "
        "reconciliation by 'posline fiscal resolve'; mend what was rejected, then 'posline fiscal release'.",
    ),
    "clock": Advice(
        "This till's clock is wrong, or differs from another device's.",
        "Set date and time on the device that is wrong, or say 'posline set-time' there, or link it with one that "
        "knows. Sales go on, and are moved to the right day afterwards.",
    ),
    "printer": Advice(
        "The receipt printer does not take anything, or it is not known whether a receipt came out whole. Sales go on.",
        "Look at its paper, cover and cable. What waits is printed by itself; look which of the receipts named came "
        "out, and print or drop them.",
    ),
    "edit_conflict": Advice(
        "A product or a setting was changed at several devices while they were apart. One of the changes is used, the "
        "same at every till: that of the higher role.",
        "Look at both under the catalogue's conflicts, and save the one that is right once more.",
    ),
    "refused": Advice(
        "Another device does not take entries that this one has.",
        "Update Posline on the older of the two.",
    ),
    "digests": Advice(
        "Two devices hold different entries and repairing did not help.",
        "Run 'posline verify' on both, and send what it prints to whoever looks after the shop. Sales go on.",
    ),
}  # the most urgent first


def named(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """An alarm with what to do about it."""
    return {**alarm, "do": ALARMS[alarm["kind"]].do}


class Refusals:
    """Who was not let in and why, each pair once, the last ones: strangers can knock as often as they like."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()  # -> times, when last

    def note(self, who: str, why: str, at_ms: int) -> None:
        """`who` was refused, with the reason that it was given."""
        times, _ = self._known.pop((who, why), (0, 0))
        self._known[who, why] = times + 1, at_ms
        if not times:
            log.warning("%s was refused: %s", who, why)
        while len(self._known) > REFUSALS_KEPT:
            self._known.popitem(last=False)

    def listed(self) -> list[dict[str, Any]]:
        """{who, why, times, at}, the last one first."""
        found = [
            {"who": who, "why": why, "times": times, "at": _iso(at_ms)}
            for (who, why), (times, at_ms) in self._known.items()
        ]
        return found[::-1]


class Watch:
    """What one till knows of its shop's devices."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self.refusals = Refusals()
        self.mishap = Mishap.load(till.folder) if till.in_folder else Mishap(None)
        self._scrub, self._scrubbing = Scrub(), asyncio.Lock()
        self._altered: str | None = None
        self._working: set[asyncio.Task[int]] = set()
        self._seen: dict[str, str] = dict(till.store.get_meta(SEEN) or {})
        self._kept_ms = 0
        self._anchored: tuple[int, str] | None = None  # the state of what was last kept beside the database
        self._anchoring: asyncio.Future[None] | None = None
        self._behind: dict[str, tuple[int, int]] = {}  # device -> when asked, how far behind
        self._gaps: list[tuple[str, int, list[list[int]]]] = []
        self._lacking: dict[tuple[str, int], int] = {}  # author and first number of a gap -> since when

    def label(self, author: str) -> str:
        """What people call a device."""
        till = self._till
        member = till.store.authority(till.shop_id).everyone.get(author)
        if member is not None and member.role is Role.HEAD_OFFICE:
            return member.label or "head office"
        return till.reports.label(author)

    def refused(self, author: str, why: str) -> None:
        """Whoever says that it is `author` ("" says nothing) was not let in."""
        known = author in self._till.store.authority(self._till.shop_id).everyone
        who = f"a device that says it is {self.label(author)}" if known else "a device that the shop does not know"
        self.refusals.note(who, why, self._till.clockwork.wall_ms())

    # -- devices -------------------------------------------------------------------------------------------------------

    def peers(self) -> list[dict[str, Any]]:
        """The shop's other devices, then programs that are linked, then addresses that are dialled in vain. Who was
        removed is none of them any more."""
        till = self._till
        linked = {} if not till.running else {state.store: state for state in till.engine.peers(till.shop_id)}
        members = till.store.members(till.shop_id)
        gone = till.store.authority(till.shop_id).everyone.keys() - members.keys()
        found = []
        for member in sorted(members.values(), key=lambda m: (m.label, m.author)):
            if member.author == till.id or member.role is Role.READER:
                continue
            disk = member.host or member.author
            shown = self._member(member.author, member.role, linked.get(disk), disk)
            found.append(shown | {"kind": "hosted", "host": self.label(disk)} if member.host else shown)
        for member in members.values():
            linked.pop(member.author, None)
        return found + [self._stranger(state) for state in linked.values() if state.store not in gone]

    def _member(self, author: str, role: Role, state: PeerState | None, disk: str) -> dict[str, Any]:
        """How a member is linked whose entries are on the `disk`: its own, or that of the till which hosts it."""
        here = disk == self._till.whole.store_id
        connected = here or (state is not None and state.connected)
        seen = state.last_seen if state is not None else None
        return {
            "name": self.label(author),
            "kind": "head office" if role is Role.HEAD_OFFICE else "till",
            "connected": connected,
            "last_seen": max(filter(None, (seen, self._seen.get(disk))), default=None),
            "behind": 0 if here else state.behind if state is not None and connected else self._behind_of(disk),
            "url": state.url if state is not None else None,
            "why": "" if connected or state is None else state.why,
            "id": author,
        }

    def _stranger(self, state: PeerState) -> dict[str, Any]:
        return {
            "name": state.name, "kind": state.kind, "connected": state.connected, "last_seen": state.last_seen,
            "behind": state.behind, "url": state.url, "why": "" if state.connected else state.why, "id": state.store,
        }  # fmt: skip

    def _behind_of(self, author: str) -> int:
        """How many entries a device that is not linked is not known to hold."""
        now_ms = self._till.clockwork.monotonic_ms()
        asked = self._behind.get(author)
        if asked is None or now_ms - asked[0] > BEHIND_S * 1000:
            asked = self._behind[author] = now_ms, self._till.reports.behind(author)
        return asked[1]

    def anchor(self) -> None:
        """Keep beside the database who belongs to the shop and where they listen, where that changed."""
        state = self._till.replica.head("shop").n, str(self._till.store.get_meta(PLACES))
        if state != self._anchored and self._anchoring is None:  # one at a time, so that the last one stays
            self._anchored = state
            save = anchor_of(self._till).save
            self._anchoring = asyncio.get_running_loop().run_in_executor(None, save, self._till.folder.path)
            self._anchoring.add_done_callback(self._anchor_saved)

    def _anchor_saved(self, saved: asyncio.Future[None]) -> None:
        self._anchoring = None
        if not saved.cancelled() and (error := saved.exception()) is not None:
            self._anchored = None  # the next look tries again
            log.warning("who belongs to the shop could not be kept beside the database: %s", error)
        elif self._till.running:
            self.anchor()  # what changed meanwhile

    def keep(self) -> None:
        """Keep who belongs to the shop, and when each device was last linked, for the time after a restart."""
        self.anchor()
        now_ms = self._till.clockwork.monotonic_ms()
        fresh = {p.store: p.last_seen for p in self._till.engine.peers(self._till.shop_id) if p.last_seen}
        gone = any(self._seen.get(p.store, "") < (p.last_seen or "") and not p.connected
                   for p in self._till.engine.peers(self._till.shop_id))  # fmt: skip
        if fresh and (gone or now_ms - self._kept_ms > SEEN_S * 1000):
            members = self._till.store.members(self._till.shop_id)
            self._kept_ms = now_ms
            self._seen = {a: at for a, at in {**self._seen, **fresh}.items() if a in members}
            self._till.store.set_meta(SEEN, self._seen)

    # -- alarms --------------------------------------------------------------------------------------------------------

    def alarms(self) -> list[dict[str, Any]]:
        """What a person should look at, the most urgent first: {kind, detail, do, ...}."""
        till = self._till
        found = [{"kind": alarm.kind, "detail": alarm.detail} for alarm in till.replica.alarms.values()]
        for writer in [] if till.hosted else till.whole.writers.values():
            whose = f"of till {writer.label}, which is hosted here: "
            found += [{"kind": alarm.kind, "detail": whose + alarm.detail} for alarm in writer.alarms.values()]
        found += self._clocks()
        if (removed := alarm_of_removal(till) or self.shut_out()) is not None:
            found.append(removed)
        if (printer := till.printing.alarm()) is not None:
            found.append(printer)
        found += self.mishap.alarms()
        if self._altered is not None:
            detail = f"{self._altered}: start the till again, which builds its database anew from what is sound"
            found.append({"kind": "damage", "detail": detail})
        found += till.reports.alarms() + till.shifts.alarms() + self._gap_alarms() + till.fiscal.alarms()
        urgency = list(ALARMS)
        return [named(alarm) for alarm in sorted(found, key=lambda alarm: urgency.index(alarm["kind"]))]

    def look(self) -> None:
        """Look what is missing; to be called now and then while the till runs."""
        now_ms = self._till.clockwork.monotonic_ms()
        self._gaps = self._till.reports.gaps()
        lacking = {(author, first) for author, _, ranges in self._gaps for first, _ in ranges}
        self._lacking = {place: self._lacking.get(place, now_ms) for place in lacking}
        if not self._till.hosted and not self._scrubbing.locked():  # whose database it is looks through it
            work = asyncio.create_task(self.scrub())
            self._working.add(work)
            work.add_done_callback(self._working.discard)

    async def scrub(self) -> int:
        """Look at the next rows of the database for what changed by itself; how many they were."""
        async with self._scrubbing:
            try:
                return await asyncio.to_thread(self._scrub.step, self._till.store)
            except Exception as error:
                if is_damage(error):  # it sells on, and is mended at the next start
                    self._altered = self._altered or f"something on the disk changed by itself ({error})"
                    self._till.folder.doubt(str(error), sure=is_altered(error))
                elif not self._till.suspect(error):
                    log.debug("looking through the database: %s", error)
                return 0

    async def stop(self) -> None:
        """Wait for what still reads or writes in a thread: the database is about to be closed."""
        under_way: list[asyncio.Future[Any]] = [*self._working]
        if self._anchoring is not None:
            under_way.append(self._anchoring)
        await asyncio.gather(*under_way, return_exceptions=True)

    def _gap_alarms(self) -> list[dict[str, Any]]:
        """Numbers that have been missing for a while; where the till does not run nothing is on its way."""
        gaps, now_ms = self._gaps, self._till.clockwork.monotonic_ms()
        if not self._till.running:
            gaps, now_ms = self._till.reports.gaps(), 0
        found = []
        for author, _, ranges in gaps:
            old = [r for r in ranges if not self._till.running or now_ms - self._lacking[author, r[0]] > GAP_S * 1000]
            if not old:
                continue
            count = sum(last - first + 1 for first, last in old)
            words = [str(first) if first == last else f"{first} to {last}" for first, last in old[:GAPS_TOLD]]
            more = f" and {len(old) - GAPS_TOLD} more gaps" if len(old) > GAPS_TOLD else ""
            detail = f"till {self.label(author)}: {count} of its entries are not here: {', '.join(words)}{more}"
            found.append({"kind": "gap", "till": author, "count": count, "missing": old, "detail": detail})
        return found

    def shut_out(self) -> dict[str, Any] | None:
        """Others say that this till was removed, which it has not heard itself: they do not link with it to tell."""
        own = self._till.store.members(self._till.shop_id).get(self._till.id)
        if own is None or not self._till.running:
            return None
        said = f"till {own.label} {REMOVED}"
        by = [self.label(p.store) for p in self._till.engine.peers(self._till.shop_id) if said in p.why]
        if not by:
            return None
        detail = f"{' and '.join(by)} let this till in no more, since it {REMOVED}: what it sells stays on this disk"
        return {"kind": "removed", "detail": detail}

    def _clocks(self) -> list[dict[str, Any]]:
        till = self._till
        assert till.replica.clock is not None
        own = till.replica.clock.now()
        found = [] if own.warning is None else [{"kind": "clock", "detail": own.warning + self._waiting_prices()}]
        if not till.running:
            return found
        for state in till.engine.peers(till.shop_id):
            if state.connected and state.clock_apart_ms is not None and abs(state.clock_apart_ms) > CLOCKS_APART_MS:
                way = "ahead of" if state.clock_apart_ms > 0 else "behind"
                detail = f"the clock of {state.name} is {_span(abs(state.clock_apart_ms))} {way} this till's"
                found.append({"kind": "clock", "detail": detail})
        return found

    def _waiting_prices(self) -> str:
        """What a wrong date means for prices that change by themselves: each changes when this clock says that its day
        has come, as the day does that sales are filed under."""
        if not self._till.reports.catalog.scheduled(limit=1):
            return ""
        return f"; prices that change on a day go by it, too, and are those of {self._till.day}"


def _span(ms: int) -> str:
    """A time span in words, in its largest unit and the next."""
    minutes = ms // 60_000
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = ((days, "day"), (hours, "hour"), (minutes, "minute"))
    return " ".join([f"{n} {unit}{'s' if n != 1 else ''}" for n, unit in units if n][:2])


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
