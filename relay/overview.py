"""The chain as it stands now, held in memory and brought up to date by marks: a page of it asks for what changed.

Of each shop: today's row, yesterday's and that of a week ago, where its tills stand, and how many alarms are open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from relay.board import SLOT_MINUTES, DayRow, Founded, earlier, zone_of
from relay.marks import marked_since
from relay.office import RegisteredShop
from relay.presence import Standing

if TYPE_CHECKING:
    from relay.relay import Relay

T = TypeVar("T")

__all__ = ["LIGHTS", "STATES", "Overview", "ShopNow", "light_of"]

LIGHTS = ("red", "amber", "green", "none")  # how its tills are linked, what needs a look first
STATES = ("closing", "open", "closed", "idle")  # of its business day
WEEK = 7
FRESH_S = 10.0  # how long it is believed that the processes which have links still live
JUST_AWAY_MS = 15 * 60_000
KEPT_S_EACH, KEPT_S_MAX, DRAWN_MAX = 0.005, 10.0, 200  # of what is drawn of a chain: a second for 200 shops
FORGOTTEN_MS = 45 * 86_400_000  # a till that was not heard of for so long is in nobody's way


@dataclass(frozen=True, slots=True)
class ShopNow:
    """One shop. `last_week` is what it had sold by this time of the day a week ago: sales and net."""

    shop: RegisteredShop
    founded: Founded | None
    day: str
    today: DayRow
    yesterday: DayRow | None
    week_ago: DayRow | None
    tills: tuple[Standing, ...] = ()
    alarms: int = 0
    bad: bool = False
    now_ms: int = 0
    last_week: tuple[int, int] = field(default=(0, 0))

    @property
    def name(self) -> str:
        """What we call it."""
        return self.shop.alias or self.shop.name

    @property
    def currency(self) -> str:
        """Its currency; "" where it is not known yet."""
        return self.founded.currency if self.founded is not None else ""

    @property
    def linked(self) -> int:
        """How many of its tills are linked."""
        return sum(till.linked for till in self.tills)

    @property
    def behind(self) -> int:
        """How many entries its linked tills are not known to hold."""
        return sum(till.behind for till in self.tills if till.linked)

    @property
    def seen_ms(self) -> int:
        """When one of its tills was last heard of; 0 for never."""
        return max((till.heard_ms for till in self.tills), default=0)

    @property
    def light(self) -> str:
        """One of LIGHTS."""
        return light_of(self.tills, self.now_ms)

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.today.closed:
            return "closing" if self.today.waiting else "closed"
        return "open" if self.today.count or self.today.tills else "idle"

    @property
    def change(self) -> float | None:
        """By how much of last week's net it is ahead; None where there is nothing to compare with."""
        before = self.last_week[1]
        return (self.today.net - before) / before if before > 0 else None


def light_of(tills: Iterable[Standing], now_ms: int) -> str:
    """How tills are linked: all, some or none of them."""
    found = list(tills)
    if not found:
        return "none"
    linked = sum(till.linked for till in found)
    if linked == len(found):
        return "green"
    just_away = now_ms - max(till.heard_ms for till in found) < JUST_AWAY_MS
    return "amber" if linked or just_away else "red"


class Overview:
    """Every shop as it is now. May be asked from any thread."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._lock = threading.Lock()
        self._marked = 0
        self._known: dict[str, ShopNow] = {}
        self._standing_s = 0.0
        self._drawn: dict[object, tuple[float, Any]] = {}

    def shops(self, covers: Callable[[str], bool]) -> list[ShopNow]:
        """Those that are served and that `covers` says are the asker's, by name."""
        relay = self._relay
        with self._lock:
            marked, reached = marked_since(relay.office.database, self._marked)
            listed = relay.office.shops()
            days = {shop.id: relay.today(shop.id) for shop in listed}
            stale = [
                shop for shop in listed
                if shop.id in marked or shop.id not in self._known or self._known[shop.id].day != days[shop.id]
            ]  # fmt: skip
            self._reload(stale, days)
            if time.monotonic() - self._standing_s > FRESH_S:
                self._standing_s = time.monotonic()
                self._stand([shop.id for shop in listed], relay.presence.everywhere(None))
            self._marked = reached
            now_ms = relay.office.now_ms()
            found = [self._now(shop, now_ms) for shop in listed if covers(shop.id)]
        return sorted(found, key=lambda one: (one.name.casefold(), one.shop.id))

    def drawn(self, key: object, shops: int, make: Callable[[], T]) -> T:
        """What `make` made of so many shops, made anew after a while: the longer, the more of them there are, so that
        many who look at a large chain at once are little more work than one."""
        keep_s, now_s = min(KEPT_S_MAX, shops * KEPT_S_EACH), time.monotonic()
        with self._lock:
            found = self._drawn.get(key)
            if found is not None and now_s - found[0] < keep_s:
                return cast(T, found[1])
        made = make()
        with self._lock:
            if len(self._drawn) >= DRAWN_MAX:
                self._drawn.clear()
            self._drawn[key] = now_s, made
        return made

    def _reload(self, shops: Iterable[RegisteredShop], days: Mapping[str, str]) -> None:
        wanted = {shop.id: shop for shop in shops}
        if not wanted:
            return
        relay, few = self._relay, list(wanted) if len(wanted) < 500 else None
        all_days = {each for id in wanted for each in (days[id], earlier(days[id], 1), earlier(days[id], WEEK))}
        rows, alarms = relay.board.rows(few, all_days), relay.alarms.counts()
        for id, shop in wanted.items():
            day = days[id]
            count, bad = alarms.get(id, (0, False))
            self._known[id] = ShopNow(
                shop, relay.founded(id), day, rows.get((id, day)) or DayRow(id, day), rows.get((id, earlier(day, 1))),
                rows.get((id, earlier(day, WEEK))), alarms=count, bad=bad,
            )  # fmt: skip
        self._stand(wanted, relay.presence.everywhere(few))

    def _stand(self, shops: Iterable[str], standing: Mapping[str, Iterable[Standing]]) -> None:
        oldest_ms = self._relay.office.now_ms() - FORGOTTEN_MS
        for shop in shops:
            kept = (one for one in standing.get(shop, ()) if one.kind == "till" and one.heard_ms > oldest_ms)
            self._known[shop] = replace(self._known[shop], tills=tuple(kept))

    def _now(self, shop: RegisteredShop, now_ms: int) -> ShopNow:
        known = self._known[shop.id]
        return replace(known, shop=shop, now_ms=now_ms, last_week=_by_now(known, now_ms))


def _by_now(known: ShopNow, now_ms: int) -> tuple[int, int]:
    """What a shop had sold a week ago by this time, to the quarter of an hour that is over."""
    if known.week_ago is None or known.founded is None:
        return 0, 0
    zone, start = zone_of(known.founded), int(known.founded.day_start[:2]) * 60 // SLOT_MINUTES
    clock = datetime.fromtimestamp(now_ms / 1000, zone)
    until = ((clock.hour * 60 + clock.minute) // SLOT_MINUTES - start) % 96
    before = [each for slot, each in known.week_ago.slots.items() if (int(slot) - start) % 96 < until]
    return sum(count for count, _ in before), sum(net for _, net in before)
