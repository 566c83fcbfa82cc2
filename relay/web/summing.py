"""Reports of the chain, a group of shops or one: what was sold by product, department, cashier, tender and tax."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from relay.rights import Right
from relay.sums import COUNTS, QUANTITIES, SORTS, Summed
from relay.web.charts import bar
from relay.web.frame import Frame, Visit, off
from relay.web.tables import Query, csv_answer, plain_amount, span_of, wants_csv

__all__ = ["summing_routes"]

ROWS_SHOWN = 100
FILL_S = 3.0  # for adding up days of long ago, in one page
BARS = 10


def summing_routes(frame: Frame) -> list[Route]:
    """For everybody who sees a shop."""
    return [frame.get("/reports", reports)]


async def reports(visit: Visit) -> Response:
    """?by= one of SORTS, over the days ?from= ?to= of the shops ?shop=, else of all that are the viewer's."""
    query, today = Query(visit), visit.relay.today("")
    by = query.get("by", tuple(SORTS), "product")
    first, last = span_of(visit, today, 1)
    every = await off(lambda: visit.relay.office.shops(removed=True))
    mine = [shop for shop in every if not shop.removed_ms and visit.viewer.covers(shop.id)]
    chosen = {shop for shop in query.all("shop") if visit.viewer.covers(shop)}
    wanted = [shop.id for shop in mine if not chosen or shop.id in chosen]
    currencies = await off(lambda: {shop: getattr(visit.relay.founded(shop), "currency", "") for shop in wanted})
    kinds = sorted({each for each in currencies.values() if each})
    currency = query.get("currency", kinds, kinds[0] if kinds else "")
    wanted = [shop for shop in wanted if currencies[shop] == currency]

    def work() -> Summed:
        board, known, until_s = visit.relay.board, visit.relay.board.founded(), time.monotonic() + FILL_S
        left = [shop for shop in wanted if shop not in known or known[shop][1] > first]
        while left and time.monotonic() < until_s:  # a long look back: days that nobody has asked for yet
            board.fill(left[-1], first, known.get(left.pop()))
        whole = len(mine) == len(every) and not chosen and len(kinds) < 2  # the board has those that were removed, too
        found = visit.relay.sums.over(by, None if whole else wanted, first, last)
        return replace(found, lacking=found.lacking + len(left))

    summed = await off(work)
    names, figures = SORTS[by]
    columns = (*(("name",) if by == "product" else ()), *names, *figures)
    if wants_csv(visit):
        rows = [[_cell(name, row[name], currency) for name in columns] for row in summed.rows]
        return csv_answer(f"{by}-{first}-to-{last}", columns, rows)
    start = min(query.number("after"), len(summed.rows))
    top = max((row["net"] for row in summed.rows), default=0)
    rtl = visit.words.direction == "rtl"
    return visit.show(
        "reports.html", query=query, by=by, sorts=tuple(SORTS), first=first, last=last, summed=summed, names=names,
        figures=figures, quantities=QUANTITIES, counts=COUNTS, currency=currency, currencies=kinds, shops=mine,
        chosen=chosen,
        rows=summed.rows[start : start + ROWS_SHOWN], start=start, size=ROWS_SHOWN, whole=not chosen,
        bars=[(row, bar(row["net"], top, rtl)) for row in summed.rows[:BARS] if row["net"] > 0],
        can_export=visit.viewer.may(Right.EXPORT), title_of=_title, today=today,
    )  # fmt: skip


def _title(row: dict[str, Any], by: str) -> str:
    """What a row is about."""
    if by == "product":
        return str(row["name"])
    if by == "tax":
        rate = f"{row['rate']}%" if row["rate"] is not None else ""
        return " ".join(filter(None, (str(row["class"]), rate)))
    return str(row[by])


def _cell(name: str, value: Any, currency: str) -> object:
    plain = name in (*COUNTS, *QUANTITIES) or not isinstance(value, int)
    return value if plain else plain_amount(value, currency)
