"""Finding a sale over all shops of whoever looks, and showing an entry whole."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from posline.core.money import minor_digits
from relay.board import earlier
from relay.entries import Hits, amount_of, entry_of, find, receipt_html
from relay.relay import Branch
from relay.web.frame import Frame, NoPage, Visit, off
from relay.web.tables import Query, span_of

__all__ = ["finding_routes"]

WANTED_MAX = 100
HASH = re.compile(r"[0-9a-f]{64}")


def finding_routes(frame: Frame) -> list[Route]:
    """For everybody who sees the shop."""
    return [frame.get("/search", search), frame.get("/shops/{shop}/entries/{hash}", entry)]


async def search(visit: Visit) -> Response:
    """?q= a receipt, an id or its beginning, a customer; or an amount, from a day to another."""
    query, today = Query(visit), visit.relay.today("")
    wanted = " ".join(query.get("q").replace("\0", "").split())[:WANTED_MAX]
    first, last = span_of(visit, today, 7)
    amount = _amount(query.get("amount"))
    hits = Hits()
    shops = [shop for shop in await off(visit.relay.office.shops) if visit.viewer.covers(shop.id)]
    one = query.get("shop", [shop.id for shop in shops])
    branches: list[Branch] = []
    if wanted or amount is not None:
        theirs = {one} if one else {shop.id for shop in shops}
        branches = [branch for branch in await off(visit.relay.branches) if branch.id in theirs]
    if branches:
        currency = next((f.currency for b in branches if (f := visit.relay.founded(b.id)) is not None), "")
        minor = None if amount is None else int(amount.scaleb(minor_digits(currency) if currency else 0))
        hits = await off(lambda: find(visit.relay, branches, wanted, amount=minor, first=first, last=last))
    names = {branch.id: branch for branch in branches}
    return visit.show(
        "search.html", q=wanted, amount=query.get("amount"), first=first, last=last, hits=hits, names=names,
        asked=bool(wanted or query.get("amount")), money_of=amount_of, shops=shops, one=one,
        currency_of=lambda shop: getattr(visit.relay.founded(shop), "currency", ""), week=earlier(today, 7),
    )  # fmt: skip


def _amount(text: str) -> Decimal | None:
    try:
        found = Decimal(text.replace(",", "").strip()) if text.strip() else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() and 0 < found < 10**12 else None


async def entry(visit: Visit) -> Response:
    """One entry: its receipt, what it is worth, where it is held, what followed, and its bytes."""
    branch, wanted = visit.branch(visit.request.path_params["shop"]), str(visit.request.path_params["hash"])
    if HASH.fullmatch(wanted) is None:
        raise NoPage("there is no such entry")

    def work() -> dict[str, Any]:
        shown = entry_of(branch, wanted)
        if shown is None:
            raise NoPage("there is no such entry")
        language = visit.words.language
        receipt = Markup(receipt_html(visit.relay, branch, shown.recorded, language))  # which escapes what it shows
        founded = visit.relay.founded(branch.id)
        return {"shown": shown, "receipt": receipt, "currency": founded.currency if founded is not None else ""}

    values = await off(work)
    return visit.show("entry.html", branch=branch, label=branch.reports.label, amount=amount_of, **values)
