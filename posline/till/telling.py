"""What a till tells those who listen: what each commit brought, and changes that come with no commit of their own."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from posline.core.status import Status
from posline.storage.records import Commit
from posline.till.changes import Change, News
from posline.till.page_catalogue import news_of
from posline.till.refunding import show_refund

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["NEWS_S", "news_of_commit", "tell_news"]

log = logging.getLogger("posline.till")

NEWS_S = 1.0  # how often lights and peers are looked at


def news_of_commit(till: Till, commit: Commit) -> Iterator[Change]:
    """What a commit is to those who follow this till: sales and what came back, and what pages keep."""
    documents = {document for shop, document in commit.documents if shop == till.shop_id}
    yield from news_of(till, documents, {found.change.kind for found in commit.changes})
    for found in commit.changes:
        if found.shop != till.shop_id or found.change.kind not in ("sale", "refund", "void"):
            continue
        recorded = till.reports.entry_at(found.change.n)
        if recorded is not None and found.change.kind == "sale":
            yield Change("sale", till.show(recorded).to_dict())
        elif recorded is not None and recorded.status in (Status.COUNTED, Status.DUPLICATE):
            yield Change("refund", show_refund(till, recorded).to_dict())


async def tell_news(till: Till, news: News, every_s: float = NEWS_S) -> None:
    """Tell listeners when lights, peers or alarms change: those come with no commit of their own."""
    told: dict[str, Any] = {}
    for turn in itertools.count():
        await asyncio.sleep(every_s)
        try:
            till.look_after(turn)
            status = till.status() if news.heard else told
        except Exception as error:
            if not till.suspect(error):
                log.exception("looking after the till failed; the next look goes on")
            continue
        if status is told:
            continue
        if status != told:
            news.tell(Change("status", status))
        for alarm in status["alarms"]:
            if alarm not in told.get("alarms", ()):
                news.tell(Change("alarm", alarm))
        told = status
