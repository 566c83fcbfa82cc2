"""A sale that the screen confirmed is never lost and never doubled: kills, cuts, tabs, full disks, a week apart."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.rig.programs import free_port
from tests.machine import tmpfs
from tests.page.counter import COKE, MILK, TEA, Counter, counter

FULL = os.environ.get("POSLINE_PROOF") == "1"
KILLS = 60 if FULL else 4
BROWSER_KILLS = 30 if FULL else 2
SMALL = "64m"  # a browser's disk that can be filled
WEEK = 3_500 if FULL else 200  # sales that wait in a browser


async def test_the_page_opens_and_sells_with_nothing_running(desk: Counter) -> None:
    await desk.sell(TEA)
    await desk.drained()
    await desk.till.kill()
    await desk.context.close()
    page = await desk.open(settled=False)
    await page.wait_for_selector("#entry")
    await desk.shows(".chip", "Selling from this browser")
    await desk.shows(".lines.empty", "6 products")
    await desk.sell(MILK, COKE)
    await desk.shows(".done .change", "Rs 590")
    await desk.context.close()  # and once more: what was sold so is still here
    await desk.open(settled=False)
    await desk.shows(".chip", "1 in this browser")
    await desk.till.start()
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [65000, 59000]


async def test_the_till_is_killed_between_click_and_answer(desk: Counter) -> None:
    """SIGKILL at some moment around the last key: before the request, in its middle, before its answer."""
    die = random.Random(int(os.environ.get("POSLINE_SEED", "6")))
    for rung in range(1, KILLS + 1):
        await desk.scan(TEA)
        await desk.press("+")
        pressed = asyncio.ensure_future(desk.press("Enter"))
        await asyncio.sleep(die.choice([0, 0.001, 0.002, 0.004, 0.006, 0.009, 0.015, 0.03]))
        desk.till.kill_now()
        await pressed
        await desk.till.kill()
        await desk.sold("Rs 650")  # confirmed all the same, by this browser's disk
        if rung % 2:
            await desk.sell(MILK)  # and the next customer is served before it runs again
        await desk.till.start()
        await desk.drained()
        sales = await desk.sales()
        assert len(sales) == rung + (rung + 1) // 2
        assert len({sale["id"] for sale in sales}) == len(sales)
        assert [sale["number"] for sale in sales] == list(range(1, len(sales) + 1))


async def test_the_browser_is_killed(desk: Counter) -> None:
    """SIGKILL to the browser as soon as a sale is confirmed, with the till down: it is there when both are back."""
    die = random.Random(int(os.environ.get("POSLINE_SEED", "6")))
    for rung in range(1, BROWSER_KILLS + 1):
        await desk.till.kill()
        await desk.scan(TEA, MILK)
        await desk.press("+", "Enter")
        await desk.page.wait_for_selector(".done")
        await desk.kill_browser()
        await desk.open(settled=False)
        await desk.shows(".chip", "in this browser")
        if die.random() < 0.5:  # and in the middle of being sent
            starting = asyncio.ensure_future(desk.till.start())
            await asyncio.sleep(die.random())
            await desk.kill_browser()
            await starting
            await desk.open(settled=False)
        else:
            await desk.till.start()
        await desk.page.wait_for_selector("#entry")
        await desk.drained()
        assert [sale["total"] for sale in await desk.sales()] == [103000] * rung


async def test_an_unconfirmed_sale_is_an_open_cart_or_a_sale_and_never_both(desk: Counter) -> None:
    """SIGKILL to the browser around the last key."""
    die = random.Random(int(os.environ.get("POSLINE_SEED", "7")))
    for wanted in range(BROWSER_KILLS):
        await desk.scan(TEA)
        await desk.press("+")
        pressed = asyncio.ensure_future(desk.press("Enter"))
        await asyncio.sleep(die.choice([0, 0.002, 0.005, 0.01, 0.02]))
        await desk.kill_browser()
        await asyncio.gather(pressed, return_exceptions=True)
        await desk.open(settled=False)
        await desk.page.wait_for_selector("#entry")
        await desk.page.wait_for_selector(".lines")
        await desk.drained()
        open_cart = await desk.lines()
        rung = len(await desk.sales()) - wanted
        assert (len(open_cart), rung) in ((1, 0), (0, 1)), (
            "the cart came back although it was sold, or neither is there"
        )
        if open_cart:
            await desk.press("+", "Enter")
            await desk.sold()
            await desk.drained()
        assert len(await desk.sales()) == wanted + 1


async def test_two_tabs_sell_at_once(desk: Counter) -> None:
    first = desk.page
    await desk.scan(COKE)  # an open cart, which stays this tab's
    second = await desk.context.new_page()
    await second.goto(desk.url)
    await desk.turn_to(second)
    await desk.settled()
    assert await desk.lines() == []
    await desk.till.kill()
    for _ in range(3):
        await desk.sell(MILK)
        await desk.turn_to(first)
        await first.bring_to_front()
        await desk.sell(TEA)
        await desk.turn_to(second)
        await second.bring_to_front()
    await desk.shows(".chip", "6 in this browser")
    await first.close()
    await desk.till.start()
    await desk.drained()
    assert sorted(sale["total"] for sale in await desk.sales()) == [38000, 38000, 38000, 65000, 65000, 86000]


async def test_a_dead_program_that_still_listens_holds_nobody_up(desk: Counter) -> None:
    os.kill(pid_of(desk), signal.SIGSTOP)
    try:
        await desk.sell(TEA)
        await desk.sell(MILK)
        assert len(await desk.kept()) == 2
    finally:
        os.kill(pid_of(desk), signal.SIGCONT)
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [65000, 38000]


def pid_of(desk: Counter) -> int:
    child = desk.till._child
    assert child is not None
    return child.pid


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder whose `browser` is on a small disk of its own."""
    place = tmp_path / "browser"
    place.mkdir()
    with tmpfs(place, size=SMALL):
        yield tmp_path


@pytest.fixture
async def cramped(small_disk: Path, stocked: Path) -> AsyncIterator[Counter]:
    """A counter whose browser keeps its files there."""
    async with counter(small_disk, stocked) as made:
        yield made


def fill(folder: Path) -> Path:
    """Fill the disk that this folder is on to the last byte."""
    file = folder / "full"
    with suppress(OSError), file.open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 4096)
    return file


async def test_the_browsers_disk_is_full(cramped: Counter) -> None:
    """With the till running a sale goes straight to the till's disk; with neither, nothing is confirmed, the cart
    stands, and later it is the same sale."""
    desk = cramped
    filler = fill(desk.folder / "browser")
    await desk.sell(TEA)
    assert [sale["total"] for sale in await desk.sales()] == [65000]

    await desk.till.kill()
    await desk.scan(MILK)
    await desk.press("+", "Enter")
    await desk.shows("[role=dialog]", "Not recorded")
    assert await desk.page.locator(".done").count() == 0
    assert [total for _, _, total in await desk.lines()] == ["380"]
    filler.unlink()
    await desk.press("Escape", "+", "Enter")
    await desk.sold("Rs 380")
    assert await desk.kept()
    await desk.till.start()
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [65000, 38000]


async def test_a_weeks_queue_is_drained_in_order(desk: Counter) -> None:
    """What a browser kept for a week, as it keeps it, with the day's own sales on top."""
    await desk.till.kill()
    first = datetime.now(UTC) - timedelta(days=7)
    shop = await desk.kept("kept")
    till = next(row["value"]["till"] for row in shop if row["name"] == "shop")
    step = timedelta(days=6.9) / WEEK
    records = [record(till, n, first + step * n) for n in range(WEEK)]
    await desk.page.evaluate(
        """records => new Promise((resolve, reject) => {
             const opening = indexedDB.open("posline");
             opening.onsuccess = () => {
               const written = opening.result.transaction("outbox", "readwrite");
               for (const each of records) written.objectStore("outbox").add(each);
               written.oncomplete = () => { opening.result.close(); resolve(null); };
               written.onerror = () => reject(written.error);
             };
           })""",
        records,
    )
    await desk.sell(TEA)
    await desk.shows(".chip", f"{WEEK + 1:,} in this browser")
    await desk.till.start()
    async with asyncio.timeout(120):
        while await desk.kept():  # noqa: ASYNC110  # it is sent by the browser
            await asyncio.sleep(0.2)
    sales = await desk.sales()
    assert [sale["total"] for sale in sales] == [100 + n for n in range(WEEK)] + [65000]
    assert [sale["number"] for sale in sales] == list(range(1, WEEK + 2))
    assert all(sale["rung"] for sale in sales[:WEEK]), "each says when it was rung"
    times = [datetime.fromisoformat(sale["rung"]) for sale in sales[:WEEK]]
    assert times == sorted(times)


def record(till: str, n: int, at: datetime) -> dict[str, Any]:
    id = str(uuid.UUID(int=random.Random(n).getrandbits(128), version=4))
    line = {"sku": "OPEN", "name": "Goods", "quantity": "1", "price": 100 + n}
    body = {"id": id, "lines": [line]}
    shown = {"total": 100 + n, "lines": [line | {"quantity": 1000}]}
    return {
        "id": id,
        "kind": "sale",
        "path": "/api/sales",
        "body": body,
        "till": till,
        "at": at.isoformat(),
        "shown": shown,
    }


async def test_what_the_till_refuses_is_set_aside_and_the_rest_goes_on(desk: Counter) -> None:
    page = desk.page
    await desk.cashier("Sana", role="manager", pin="4321")
    await desk.till.kill()
    await desk.scan(TEA)
    await desk.press("F4")
    await desk.type("50\n")
    await desk.gone("[role=dialog]")
    await desk.press("+", "Enter")
    await desk.sold("Rs 325")
    await desk.sell(MILK)
    # meanwhile the shop has learnt to be careful, at another till
    async with elsewhere(desk):
        await desk.setting("limits", {"cashier": {"discount_percent": "10"}})
    await desk.till.start()
    await desk.shows(".chip", "1 needs you")
    assert [sale["total"] for sale in await desk.sales()] == [38000], "the next one was not held up"
    await page.click(".chip")
    await desk.shows(".alarm", "Sale Rs 325")
    await page.get_by_role("button", name="Approve").click()
    await page.wait_for_selector("input[type=password]")
    await desk.type("4321\n")
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [38000, 32500]


@asynccontextmanager
async def elsewhere(desk: Counter) -> AsyncIterator[None]:
    """The till runs on another port for a while, where the page does not find it."""
    url, own = desk.url, desk.till.arguments
    port = str(free_port())
    desk.till.arguments = [port if before == "--port" else each for before, each in zip(["", *own], own, strict=False)]
    desk.url = f"http://127.0.0.1:{port}"
    await desk.till.start()
    try:
        yield
    finally:
        await desk.till.stop()
        desk.till.arguments, desk.url = own, url


async def test_a_sale_goes_to_its_own_till_and_no_other(desk: Counter, tmp_path: Path) -> None:
    await desk.till.kill()
    await desk.sell(TEA)
    own, desk.till.arguments[2] = desk.till.arguments[2], str(tmp_path / "another")
    desk.till.data = tmp_path / "another"
    await desk.till.start()  # another shop's till answers at this address
    await desk.shows(".chip", "need you")
    await desk.page.click(".chip")
    await desk.shows("[role=alert]", "Karim Store")
    assert await desk.sales() == []
    await desk.till.stop()
    desk.till.arguments[2] = own
    await desk.till.start()
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [65000]


async def test_another_tills_folder_takes_over_where_nothing_waits(desk: Counter, tmp_path: Path) -> None:
    await desk.sell(TEA)
    await desk.drained()
    await desk.till.stop()
    desk.till.arguments[2] = str(tmp_path / "another")
    desk.till.data = tmp_path / "another"
    desk.till.arguments[desk.till.arguments.index("Karim Store")] = "Bilal Store"
    await desk.till.start()
    await desk.shows(".bar", "Bilal Store")
    await desk.shows(".lines.empty, .done", "")
    await desk.scan(MILK)
    await desk.shows("[role=dialog]", MILK)  # its own catalogue, which has nothing yet
    await desk.type("Milk")
    await desk.press("Tab")
    await desk.type("100\n")
    await desk.press("+", "Enter")
    await desk.sold("Rs 100")
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [10000]


async def test_two_tills_of_a_shop(tmp_path: Path, stocked: Path) -> None:
    """What one sells, holds and names the other knows; each sale shows on how many disks it is."""
    async with counter(tmp_path / "a", stocked) as first, counter(tmp_path / "b", join=first) as second:
        await first.sell(TEA)
        await first.shows(".done .places li.on", "1 other till")
        await first.scan(MILK)
        await first.press("F6")
        await second.until("document.querySelector('[aria-keyshortcuts=F7] .count')?.innerText === '1'")
        await second.press("F7")
        await second.page.wait_for_selector(".row-key")
        await second.press("1")
        await second.counts(1)
        await second.press("+", "Enter")
        await second.sold("Rs 380")
        await first.until("!document.querySelector('[aria-keyshortcuts=F7] .count')")
