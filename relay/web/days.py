"""A shop, one of its days, and what a till rang on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from posline.core.drawer import over_short, read_figures
from posline.core.entry import valid_day
from posline.storage.reports import Recorded
from relay.board import DayRow, earlier
from relay.entries import amount_of, till_entries
from relay.hosting.desk import standings
from relay.overview import light_of
from relay.presence import Standing
from relay.relay import Branch
from relay.rights import Right
from relay.web.chain import MONTH, hours_of
from relay.web.charts import columns
from relay.web.frame import Frame, NoPage, Visit, off
from relay.web.tables import Query, csv_answer, plain_amount, span_of, wants_csv

__all__ = ["days_routes"]

ENTRIES_SHOWN = 100
ODD_SHOWN = 200
ODD = ("duplicates", "held", "disputed", "invalid", "late")


@dataclass(frozen=True, slots=True)
class TillNow:
    """A till of a shop: where it stands, and what it rang today."""

    author: str
    label: str
    role: str
    standing: Standing | None
    light: str
    count: int
    net: int
    last_ms: int


def days_routes(frame: Frame) -> list[Route]:
    """For everybody who sees the shop."""
    return [
        frame.get("/shops/{shop}", shop),
        frame.get("/shops/{shop}/days/{day}", day),
        frame.get("/shops/{shop}/days/{day}/tills/{till}", till),
    ]


def day_in_path(visit: Visit) -> str:
    """The day that the path names. Raises NoPage."""
    found = str(visit.request.path_params["day"])
    if not valid_day(found):
        raise NoPage("there is no such day")
    return found


async def shop(visit: Visit) -> Response:
    """A shop: today, its tills, its last days."""
    branch = visit.branch(visit.request.path_params["shop"])
    today = visit.relay.today(branch.id)
    first, last = span_of(visit, today, MONTH)
    standing = {one.device: one for one in visit.relay.standing(branch)}
    if wants_csv(visit):
        rows = await off(_days, visit, branch, first, last)
        return csv_answer(f"days-{first}-to-{last}", *_as_csv(rows, _currency(visit, branch)))
    return visit.show("board_shop.html", **await off(_shop, visit, branch, standing, first, last, today))


def _currency(visit: Visit, branch: Branch) -> str:
    found = visit.relay.founded(branch.id)
    return found.currency if found is not None else ""


def _days(visit: Visit, branch: Branch, first: str, last: str) -> list[DayRow]:
    board = visit.relay.board
    board.fill(branch.id, first, board.founded().get(branch.id))
    return board.days_of(branch.id, first, last)


def _shop(
    visit: Visit, branch: Branch, standing: Mapping[str, Standing], first: str, last: str, today: str
) -> dict[str, Any]:
    relay, words, rtl = visit.relay, visit.words, visit.words.direction == "rtl"
    rows = _days(visit, branch, first, last)
    kept = relay.board.rows([branch.id], [today, earlier(today, 7)])
    now, then = kept.get((branch.id, today)), kept.get((branch.id, earlier(today, 7)))
    currency = _currency(visit, branch)
    founded = relay.founded(branch.id)
    hours = hours_of([now], [then], int(founded.day_start[:2]) if founded is not None else 0)
    span = [earlier(last, back) for back in range(min(MONTH, _length(first, last)) - 1, -1, -1)]
    nets = {row.day: row.net for row in rows}

    def shown(minor: int) -> str:
        return words.money(minor, currency)

    return {
        "branch": branch, "day": today, "today": now or DayRow(branch.id, today), "then": then, "rows": rows,
        "currency": currency, "first": first, "last": last, "query": Query(visit),
        "tills": _tills(visit, branch, standing, now), "label": relay.label_of(branch.id), "hours": hours,
        "hours_chart": columns(
            [words.hour(hour) for hour, _, _ in hours],
            [("then", [before for _, before, _ in hours]), ("now", [after for _, _, after in hours])],
            shown=shown, rtl=rtl,
        ),
        "days": [(each, nets.get(each, 0)) for each in span],
        "days_chart": columns(
            [words.short_day(each) for each in span], [("now", [nets.get(each, 0) for each in span])],
            shown=shown, rtl=rtl,
        ),
        "alarms": [one for one in relay.alarms.open(lambda of: of == branch.id) if not one.noted_by],
    }  # fmt: skip


def _length(first: str, last: str) -> int:
    days = 1
    while days < MONTH and earlier(last, days) >= first:
        days += 1
    return days


def _tills(visit: Visit, branch: Branch, standing: Mapping[str, Standing], today: DayRow | None) -> list[TillNow]:
    relay, now_ms = visit.relay, visit.relay.office.now_ms()
    members = branch.replica.store.members(branch.id)
    label = relay.label_of(branch.id)
    rang = today.tills if today is not None else {}
    standing = {**standing, **standings(relay, branch.id)}
    found = []
    for author, member in members.items():
        if member.role.value in ("head office", "reader"):
            continue
        one = standing.get(author) or standing.get(member.host)
        count, net, last_ms = rang.get(author, (0, 0, 0))
        light = light_of([one] if one is not None else [], now_ms)
        found.append(TillNow(author, label(author), member.role.value, one, light, count, net, last_ms))
    gone = set(rang) - {one.author for one in found}
    found += [TillNow(author, label(author), "gone", None, "none", *rang[author]) for author in gone if rang[author][0]]
    return sorted(found, key=lambda one: (one.role == "gone", one.label, one.author))


def _as_csv(rows: list[DayRow], currency: str) -> tuple[list[str], list[list[object]]]:
    head = ["day", "sales", "sold_for", "discount", "refunds", "refunded", "voids", "voided", "net", "tax"]
    money = ("sales", "discount", "refunds", "voids", "net", "tax")
    made = []
    for row in rows:
        amounts = {name: plain_amount(getattr(row, name), currency) for name in money}
        made.append([row.day, row.count, amounts["sales"], amounts["discount"], row.refund_count, amounts["refunds"],
                     row.void_count, amounts["voids"], amounts["net"], amounts["tax"]])  # fmt: skip
    return head, made


# -- a day -------------------------------------------------------------------------------------------------------------


async def day(visit: Visit) -> Response:
    """The day report, with what is odd about it."""
    branch, wanted = visit.branch(visit.request.path_params["shop"]), day_in_path(visit)
    if wants_csv(visit):
        report = await off(branch.reports.day, wanted)
        return csv_answer(f"day-{wanted}", ["till", "label", "sales", "amount"], [
            [each["till"], each["label"], each["count"], plain_amount(each["total"], report["currency"])]
            for each in report["tills"]
        ])  # fmt: skip
    return visit.show("day.html", **await off(_day, visit, branch, wanted))


def _day(visit: Visit, branch: Branch, wanted: str) -> dict[str, Any]:
    reports, relay = branch.reports, visit.relay
    report = reports.day(wanted)
    shifts = [(each, _z(each)) for each in reports.shifts(day=wanted, kind="shift closed")]
    row = relay.board.rows([branch.id], [wanted]).get((branch.id, wanted))
    hours = hours_of([row], [None], 0)
    missing = sum(each["missing_count"] for each in report["tills"])
    return {
        "branch": branch, "day": wanted, "report": report, "shifts": shifts, "label": reports.label,
        "odd": [(name, report[name][:ODD_SHOWN], len(report[name])) for name in ODD if report[name]],
        "missing": missing, "before": earlier(wanted, 1), "after": earlier(wanted, -1),
        "today": relay.today(branch.id), "hours": hours, "can_export": visit.viewer.may(Right.EXPORT, branch.id),
    }  # fmt: skip


def _z(recorded: Recorded) -> dict[str, Any]:
    """What a Z report says."""
    body = recorded.entry.body
    expected = {kind: amount for kind, amount in body["expected"].items() if type(amount) is int}
    counted = {kind: amount for kind, amount in body["counted"].items() if type(amount) is int}
    over = over_short(counted, expected)
    return read_figures(body["figures"]) | {
        "float": body["float"], "expected": expected, "counted": counted, "over": over, "over_all": sum(over.values()),
    }  # fmt: skip


# -- a till's day ------------------------------------------------------------------------------------------------------


async def till(visit: Visit) -> Response:
    """What one till wrote that is filed under a day."""
    branch, wanted = visit.branch(visit.request.path_params["shop"]), day_in_path(visit)
    author = str(visit.request.path_params["till"])
    if author not in branch.replica.store.authority(branch.id).everyone:
        raise NoPage("there is no such till")
    query = Query(visit)
    first = query.number("after")
    entries = await off(till_entries, branch, wanted, author, first, ENTRIES_SHOWN + 1)
    label = await off(branch.reports.label, author)
    return visit.show(
        "till_day.html", branch=branch, day=wanted, label=label, author=author, query=query, first=first,
        size=ENTRIES_SHOWN, entries=entries[:ENTRIES_SHOWN], more=len(entries) > ENTRIES_SHOWN, amount=amount_of,
        currency=_currency(visit, branch),
    )  # fmt: skip
