"""News of a till: the library's stream of changes, and the same as server-sent events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from posline.till import changes
from posline.till.api import build_app
from posline.till.changes import Change, News
from posline.till.listener import Listener
from posline.till.till import open_till
from tests.till.shop import TEA


async def test_changes_tell_of_sales_once_they_are_committed(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        heard: list[Change] = []

        async def listen() -> None:
            async for change in till.changes():
                heard.append(change)

        task = asyncio.create_task(listen())
        await asyncio.sleep(0)
        sale = await till.sell([TEA])
        await asyncio.sleep(0.05)
        assert [(c.kind, c.body["id"]) for c in heard if c.kind == "sale"] == [("sale", sale.id)]
        assert heard[0].body == sale.to_dict()
        await till.close()
        await asyncio.wait_for(task, 5)


async def test_a_listener_that_does_not_read_is_dropped_and_slows_nobody() -> None:
    news = News()
    slow, quick = news.listen(), news.listen()
    first = [asyncio.ensure_future(anext(each)) for each in (slow, quick)]
    await asyncio.sleep(0)
    for n in range(changes.QUEUE_MAX + 2):
        news.tell(Change("status", {"n": n}))
        if n:
            assert (await anext(quick)).body == {"n": n}
        else:
            await asyncio.gather(*first)
    rest = [change async for change in slow]
    assert len(rest) == changes.QUEUE_MAX and news.heard
    news.end()
    assert [change async for change in quick] == [] and not news.heard


async def test_who_follows_without_end_loses_its_first_streams() -> None:
    news = News()
    streams = [news.listen() for _ in range(changes.LISTENERS_MAX + 5)]
    heard = [asyncio.ensure_future(anext(each, None)) for each in streams]
    await asyncio.sleep(0)
    news.tell(Change("shop", {}))
    told = await asyncio.gather(*heard)
    assert told[:5] == [None] * 5 and all(told[5:])
    news.end()


async def test_server_sent_events(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        page = Listener(build_app(till), host="127.0.0.1", port=0)
        await page.start()
        found: list[tuple[str, Any]] = []
        ended = asyncio.Event()

        async def follow() -> None:
            async with (
                httpx.AsyncClient(trust_env=False, timeout=10) as client,
                client.stream("GET", f"{page.url}/api/events") as answer,
            ):
                assert answer.headers["content-type"].startswith("text/event-stream")
                kind = ""
                async for line in answer.aiter_lines():
                    if line.startswith("event: "):
                        kind = line[7:]
                    elif line.startswith("data: "):
                        found.append((kind, json.loads(line[6:])))
                        if kind == "status" and len(found) == 1:
                            await till.sell([TEA])
            ended.set()

        task = asyncio.create_task(follow())
        async with asyncio.timeout(10):
            while not any(kind == "sale" for kind, _ in found):  # noqa: ASYNC110  # another task's stream brings it
                await asyncio.sleep(0.02)
        assert found[0][0] == "status" and found[0][1]["till"] == till.id
        till.hush()
        await asyncio.wait_for(ended.wait(), 5)
        await task
        await page.stop()
