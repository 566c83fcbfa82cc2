"""The first page: the chain today. What every shop sold so far, how its tills are linked, what is wrong, in totals and
shop by shop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from relay.board import DayRow, earlier
from relay.overview import LIGHTS, STATES, ShopNow
from relay.web.charts import bar, columns
from relay.web.frame import Frame, Visit, off
from relay.web.tables import Query, csv_answer, plain_amount, wants_csv

__all__ = ["chain_routes", "hours_of", "most_common"]

SHOPS_SHOWN = 50
TOP_SHOWN = 10
MONTH = 30
SORTS: dict[str, Callable[[ShopNow], tuple[Any, ...]]] = {
    "name": lambda one: (one.name.casefold(),),
    "net": lambda one: (-one.today.net,),
    "count": lambda one: (-one.today.count,),
    "change": lambda one: (one.change is None, one.change or 0.0),
    "last": lambda one: (one.today.last_ms,),
    "light": lambda one: (LIGHTS.index(one.light), one.seen_ms),
    "alarms": lambda one: (not one.bad, -one.alarms),
    "state": lambda one: (STATES.index(one.state),),
}


@dataclass(frozen=True, slots=True)
class Total:
    """The shops of one currency together."""

    currency: str
    shops: int
    count: int
    net: int
    before: tuple[int, int]

    @property
    def change(self) -> float | None:
        """Against last week."""
        return (self.net - self.before[1]) / self.before[1] if self.before[1] > 0 else None


def chain_routes(frame: Frame) -> list[Route]:
    """For everybody who sees a shop."""
    return [frame.get("/", chain)]


async def chain(visit: Visit) -> Response:
    """The table, sorted and filtered as the query says, a page of it at a time."""
    query, wanted_csv = Query(visit), wants_csv(visit)
    mine = await off(visit.relay.overview.shops, visit.viewer.covers)
    sort, down = query.get("sort", tuple(SORTS), "name"), query.get("way") == "back"
    listed = sorted(_filtered(mine, query), key=lambda one: (*SORTS[sort](one), one.name), reverse=down)
    if wanted_csv:
        return csv_answer("shops-today", *_as_csv(visit, listed))
    first = min(query.number("after"), len(listed))
    values = await off(_around, visit, mine)
    return visit.show(
        "chain.html", query=query, shops=listed[first : first + SHOPS_SHOWN], count=len(mine), found=len(listed),
        first=first, size=SHOPS_SHOWN, sort=sort, down=down, sorts=tuple(SORTS), lights=LIGHTS, states=STATES,
        counts={light: sum(one.light == light for one in mine) for light in LIGHTS}, **values,
    )  # fmt: skip


def _filtered(shops: Iterable[ShopNow], query: Query) -> list[ShopNow]:
    wanted, light, state = query.get("q").casefold().split(), query.get("light", LIGHTS), query.get("state", STATES)
    alarmed = query.get("alarms") == "1"
    return [
        one for one in shops
        if all(word in one.name.casefold() for word in wanted)
        and (not light or one.light == light) and (not state or one.state == state) and (not alarmed or one.alarms)
    ]  # fmt: skip


def most_common(shops: Sequence[ShopNow]) -> str:
    """The currency of most shops, in which charts are drawn."""
    counts: dict[str, int] = {}
    for one in shops:
        if one.currency:
            counts[one.currency] = counts.get(one.currency, 0) + 1
    return max(counts, key=lambda each: (counts[each], each), default="")


def _around(visit: Visit, mine: Sequence[ShopNow]) -> dict[str, Any]:
    """What stands around the table: totals, charts, how many alarms there are."""
    relay, words, rtl = visit.relay, visit.words, visit.words.direction == "rtl"
    totals = []
    for currency in sorted({one.currency for one in mine if one.currency}):
        of = [one for one in mine if one.currency == currency]
        before = sum(one.last_week[0] for one in of), sum(one.last_week[1] for one in of)
        totals.append(
            Total(currency, len(of), sum(one.today.count for one in of), sum(one.today.net for one in of), before)
        )
    totals.sort(key=lambda one: -one.shops)
    currency = most_common(mine)
    drawn = [one for one in mine if one.currency == currency]

    def shown(minor: int) -> str:
        return words.money(minor, currency)

    theirs = visit.viewer.shops
    hours = relay.overview.drawn(("hours", theirs, currency), len(drawn), lambda: hours_of(
        [one.today for one in drawn], [one.week_ago for one in drawn], _start(drawn)
    ))  # fmt: skip
    today = max((one.day for one in drawn), default="") or relay.today("")
    every = relay.office.shops(removed=True)  # of which the board has the days
    ids = None if theirs is None and len(drawn) == len(every) else [one.shop.id for one in drawn]
    span = relay.overview.drawn(("days", theirs, currency), len(drawn), lambda: relay.board.span(
        ids, earlier(today, MONTH - 1), today
    ))  # fmt: skip
    days = [earlier(today, back) for back in range(MONTH - 1, -1, -1)]
    top = sorted((one for one in drawn if one.today.net > 0), key=lambda one: -one.today.net)[:TOP_SHOWN]
    noted = relay.alarms.counts()
    alarms = sum(count for shop, (count, _) in noted.items() if visit.viewer.covers(shop))
    return {
        "totals": totals, "currency": currency, "alarms": alarms,
        "hours": hours, "hours_chart": columns(
            [words.hour(hour) for hour, _, _ in hours],
            [("then", [then for _, then, _ in hours]), ("now", [now for _, _, now in hours])], shown=shown, rtl=rtl,
        ),
        "days": [(day, *span.get(day, (0, 0))) for day in days], "days_chart": columns(
            [words.short_day(day) for day in days], [("now", [span.get(day, (0, 0))[1] for day in days])],
            shown=shown, rtl=rtl,
        ),
        "top": [(one, bar(one.today.net, top[0].today.net, rtl)) for one in top],
    }  # fmt: skip


def _start(shops: Sequence[ShopNow]) -> int:
    """The hour at which most of these shops begin their day."""
    starts = [int(one.founded.day_start[:2]) for one in shops if one.founded is not None]
    return max(set(starts), key=starts.count, default=0)


def hours_of(
    today: Iterable[DayRow | None], before: Iterable[DayRow | None], start: int
) -> list[tuple[int, int, int]]:
    """(hour of the clock, net then, net now) from the first to the last hour in which either sold."""
    then, now = [0] * 24, [0] * 24
    for into, rows in ((then, before), (now, today)):
        for row in rows:
            for slot, (_, net) in row.slots.items() if row is not None else ():
                into[int(slot) // 4] += net
    order = [(start + n) % 24 for n in range(24)]
    used = [n for n, hour in enumerate(order) if then[hour] or now[hour]]
    if not used:
        return []
    return [(hour, then[hour], now[hour]) for hour in order[used[0] : used[-1] + 1]]


def _as_csv(visit: Visit, shops: Iterable[ShopNow]) -> tuple[list[str], list[list[object]]]:
    head = ["shop", "name", "day", "currency", "sales", "net", "net_last_week_by_now", "last_sale", "tills_linked",
            "tills", "entries_behind", "light", "alarms", "state"]  # fmt: skip
    return head, [
        [one.shop.id, one.name, one.day, one.currency, one.today.count, plain_amount(one.today.net, one.currency),
         plain_amount(one.last_week[1], one.currency), visit.words.iso(one.today.last_ms) if one.today.last_ms else "",
         one.linked, len(one.tills), one.behind, one.light, one.alarms, one.state]
        for one in shops
    ]  # fmt: skip
