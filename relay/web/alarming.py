"""What is wrong anywhere in the chain, the worst first; and taking note of it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from posline.errors import PoslineError
from relay.alarms import KINDS, NOTE_MAX, Alarm
from relay.web.frame import Frame, NoPage, Visit, off
from relay.web.tables import Query, csv_answer, wants_csv
from relay.web.words import Words

__all__ = ["alarming_routes", "said_of"]

PATH = "/alarms"
SHOWN = 100


def alarming_routes(frame: Frame) -> list[Route]:
    """For everybody who sees a shop."""
    return [frame.get(PATH, alarms), frame.post(f"{PATH}/note", note)]


async def alarms(visit: Visit, error: PoslineError | None = None) -> Response:
    """The list."""
    query = Query(visit)
    kind, shop = query.get("kind", tuple(KINDS)), query.get("shop")
    found = [
        one for one in await off(visit.relay.alarms.open, visit.viewer.covers)
        if (not kind or one.kind == kind) and (not shop or one.shop == shop)
    ]  # fmt: skip
    shops = await off(lambda: visit.relay.office.shops(removed=True))
    names = {each.id: each.alias or each.name for each in shops if visit.viewer.covers(each.id)}
    if wants_csv(visit):
        head = ["kind", "shop", "name", "since", "what", "acknowledged_by", "note"]
        return csv_answer("alarms", head, [
            [one.kind, one.shop, names.get(one.shop, ""), visit.words.iso(one.since_ms), said_of(visit.words, one),
             one.noted_by, one.note]
            for one in found
        ])  # fmt: skip
    first = min(query.number("after"), len(found))
    return visit.show(
        "alarms.html", error=error, query=query, found=found[first : first + SHOWN], count=len(found), first=first,
        size=SHOWN, names=names, says=said_of, kinds=sorted({one.kind for one in found}, key=list(KINDS).index),
        kind=kind, open=sum(not one.noted_by for one in found), note_max=NOTE_MAX,
    )  # fmt: skip


async def note(visit: Visit) -> Response:
    """{shop, name, note}: somebody takes note of one."""
    shop, name = visit.form.get("shop", ""), visit.form.get("name", "")
    if not visit.viewer.covers(shop):
        raise NoPage("there is no such alarm here")
    try:
        said = visit.form.get("note", "")
        await off(lambda: visit.relay.alarms.acknowledge(shop, name, said, by=visit.actor))
    except PoslineError as error:
        return await alarms(visit, error)
    return visit.go(PATH, "alarm_noted")


def said_of(words: Words, alarm: Alarm) -> str:
    """What it is, in a sentence."""
    params: dict[str, Any] = dict(alarm.params)
    if "at_ms" in params:
        params["at"] = words.moment(int(params.pop("at_ms")))
    if alarm.kind == "clock":
        return words.t(f"alarm_clock_{params.pop('way', 'ahead')}", n=params["minutes"], till=params["till"])
    if alarm.kind == "unclosed":
        params["day"] = words.day(str(params["day"]))
    params.pop("sales", None)
    params.setdefault("n", alarm.level)
    return words.t(f"alarm_{alarm.kind}_is", **params)
