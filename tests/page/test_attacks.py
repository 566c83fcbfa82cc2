"""What hands, other programs and peers do to the page in the wrong moment: keys that bounce, a till that dawdles, codes
that nobody expected. What was confirmed is recorded once, and what was not confirmed is still on the screen."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.async_api import Route

from posline.core.scales import ean_check_digit
from tests.page.counter import COKE, MILK, RICE, TEA, Counter


@contextmanager
def dawdling(desk: Counter) -> Iterator[None]:
    """The till's program stands still, and goes on afterwards with what it was asked meanwhile."""
    child = desk.till._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child.pid, signal.SIGCONT)


async def test_a_key_that_bounces_records_once(desk: Counter) -> None:
    page = desk.page
    await desk.press("F10")
    await page.click("text=Shift and drawer")
    await desk.type("2")
    await desk.shows("[role=dialog]", "Cash in")
    await desk.type("500")
    await desk.press("Tab")
    await desk.type("from the bank")
    with dawdling(desk):
        await desk.press("Enter", "Enter")
        await page.dblclick(".sheet [type=submit]")
    await desk.gone("[role=dialog]")
    assert (await desk.ask("/api/shifts/current"))["cash"]["in"] == {"count": 1, "total": 50000}

    # a part is given in cash, and the key is held down: the rest is still to be paid
    await desk.scan(TEA)
    await desk.press("+")
    await desk.type("100")
    for _ in range(4):
        await page.keyboard.down("Enter")
    await page.keyboard.up("Enter")
    await desk.shows(".pay .part", "100")
    await desk.shows(".pay .due", "Rs 550")
    await desk.press("d")
    await desk.type("150")
    await desk.press("Tab")
    await desk.type("slip 7\n")
    await desk.shows(".pay .due", "Rs 400")
    await desk.press("Enter")
    await desk.sold()
    await desk.drained()
    (sale,) = await desk.sales()
    assert sale["tenders"] == [
        {"kind": "cash", "amount": 10000},
        {"kind": "card", "amount": 15000, "reference": "slip 7"},
        {"kind": "cash", "amount": 40000},
    ]


async def test_what_is_scanned_while_a_cart_is_put_aside_is_the_next_ones(desk: Counter) -> None:
    await desk.scan(TEA)
    with dawdling(desk):
        await desk.press("F6", "F6")
        await desk.scan(MILK, "9990001112223")
    await desk.shows("[role=dialog]", "9990001112223")
    await desk.press("Escape")
    assert [name for name, _, _ in await desk.lines()] == ["Olpers Milk 1 l"]
    (held,) = (await desk.ask("/api/holds"))["holds"]
    assert [line["sku"] for line in held["cart"]["lines"]] == ["TEA"]

    # a cart that cannot be put aside is not given up for the one that is taken up
    await desk.context.route("**/api/holds", lambda route: _no(route, 422))
    await desk.press("F7")
    await desk.page.wait_for_selector(".row-key")
    await desk.press("1")
    await desk.shows(".notice", "not today")
    assert [name for name, _, _ in await desk.lines()] == ["Olpers Milk 1 l"]
    assert len((await desk.ask("/api/holds"))["holds"]) == 1


async def _no(route: Route, status: int) -> None:
    """What the till itself would answer."""
    if route.request.method == "GET":
        await route.continue_()
        return
    meant = route.request.headers["posline-till"]
    await route.fulfill(
        status=status,
        headers={"posline-till": meant, "content-type": "application/problem+json"},
        body=json.dumps({"title": "No", "detail": "not today", "status": status}),
    )


async def test_two_carts_that_are_to_be_one_sale_are_both_recorded(desk: Counter) -> None:
    """A program, or another till, gave two carts the same id; or one was put aside twice."""
    sale = str(uuid.uuid4())
    for sku in ("TEA", "MILK"):
        cart = {"lines": [{"sku": sku, "quantity": "1"}]}
        await desk.ask("/api/holds", {"id": str(uuid.uuid4()), "name": sku, "cart": cart, "sale": sale})
    await desk.until("document.querySelector('[aria-keyshortcuts=F7] .count')?.innerText === '2'")
    await desk.till.kill()
    await desk.shows(".chip", "Selling from this browser")
    for _ in range(2):
        await desk.press("F7")
        await desk.page.wait_for_selector(".row-key")
        await desk.press("1")
        await desk.counts(1)
        await desk.press("+", "Enter")
        await desk.sold()
    await desk.till.start()
    async with asyncio.timeout(8):
        while any(record["kind"] == "sale" for record in await desk.kept()):  # noqa: ASYNC110  # the browser sends it
            await asyncio.sleep(0.05)
    assert sorted(sale["total"] for sale in await desk.sales()) == [38000, 65000]


async def test_a_confirmed_sale_is_one_that_the_till_takes(desk: Counter) -> None:
    # more off than what is left of a line costs
    await desk.scan(TEA, TEA)
    await desk.press("F4")
    await desk.page.get_by_role("button", name="Amount", exact=True).click()
    await desk.page.focus(".sheet input")
    await desk.type("700\n")
    await desk.gone("[role=dialog]")
    await desk.press("F2")
    await desk.type("1\n")
    await desk.gone("[role=dialog]")
    await desk.scan(MILK)
    await desk.press("+", "Enter")
    await desk.sold("Rs 380")
    # half of what a scale's label says, to the gram
    label = "211234501235"
    await desk.type(f".5*{label}{ean_check_digit(label)}\n")
    assert await desk.lines() == [("Onions", "0.618", "74.16")]
    await desk.press("+", "Enter")
    await desk.sold("Rs 74.16")
    # somebody scans a poster
    poster = "HTTPS://EXAMPLE.COM/" + "A1" * 130
    await desk.scan(poster)
    await desk.shows("[role=dialog]", "EXAMPLE")
    await desk.type("100\n")
    await desk.gone("[role=dialog]")
    await desk.press("+", "Enter")
    await desk.sold("Rs 100")
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [38000, 7416, 10000]
    # more money than there is: not confirmed, and the cart stands
    await desk.type("99999*")
    await desk.scan("9990001112223")
    await desk.shows("[role=dialog]", "9990001112223")
    await desk.type("Ship")
    await desk.press("Tab")
    await desk.type("9999999999\n")
    await desk.gone("[role=dialog]")
    await desk.press("+", "Enter")
    await desk.shows(".notice", "too much")
    assert await desk.page.locator(".done").count() == 0
    assert len(await desk.lines()) == 1 and await desk.kept() == []


async def test_a_scan_during_an_approval_is_no_part_of_what_was_approved(desk: Counter) -> None:
    await desk.cashier("Sana", role="manager", pin="5678")
    await desk.setting("limits", {"cashier": {"discount_percent": "10"}})
    await desk.page.reload()
    await desk.settled()
    posted: list[Route] = []
    slow = True

    async def later(route: Route) -> None:
        if slow and route.request.method == "POST":
            posted.append(route)
        else:
            await route.continue_()

    for n in range(2):  # and each of two that wait for a slow till goes with its own approval
        await desk.scan(TEA)
        await desk.press("F4")
        await desk.type("50\n")
        await desk.gone("[role=dialog]")
        await desk.press("+", "Enter")
        await desk.shows("[role=dialog]", "discount")
        if n == 0:
            with dawdling(desk):
                await desk.type("5678\n")
                await desk.scan(MILK)
                await desk.counts(2)
            await desk.gone("[role=dialog]")  # the scan closed it: the answer to it, still to come, closes no other
            assert await desk.page.locator(".done").count() == 0
            await desk.press("-", "+", "Enter")
            await desk.shows("[role=dialog]", "discount")
            await desk.context.route("**/api/sales", later)
        await desk.type("5678\n")
        await desk.sold("Rs 325")
    slow = False
    for route in posted:
        await route.abort()
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [32500, 32500]


async def test_a_late_answer_closes_no_other_sheet(desk: Counter) -> None:
    async def record_cash() -> None:
        await desk.press("F10")
        await desk.page.click("text=Shift and drawer")
        await desk.type("2")
        await desk.shows("[role=dialog]", "Cash in")
        await desk.type("500")
        await desk.press("Tab")
        await desk.type("from the bank")

    await record_cash()
    with dawdling(desk):
        await desk.press("Enter")
        await desk.scan(TEA)  # the queue goes on: this closes the sheet
        await desk.gone("[role=dialog]")
        await desk.press("F4")
        await desk.shows("[role=dialog]", "Discount")
        await desk.type("5")
    await desk.shows(".notice", "500")
    await desk.press("Enter")
    await desk.gone("[role=dialog]")
    assert await desk.lines() == [("Tapal Danedar 450 g", "1", "617.50")]
    # a sheet that nothing came between is closed by its own answer
    await record_cash()
    await desk.press("Enter")
    await desk.gone("[role=dialog]")
    assert (await desk.ask("/api/shifts/current"))["cash"]["in"] == {"count": 2, "total": 100000}


async def test_what_breaks_the_till_holds_nothing_else_up(desk: Counter) -> None:
    """A till that has a fault of its own with one sale, and a browser whose files are thrown away by hand."""

    async def faulty(route: Route) -> None:
        if route.request.method == "POST" and "MILK" in (route.request.post_data or ""):
            await route.fulfill(status=500, content_type="application/problem+json", body='{"title": "Broken"}')
        else:
            await route.continue_()

    await desk.context.route("**/api/sales", faulty)
    await desk.sell(MILK)
    await desk.sell(TEA)
    await desk.sell(COKE)
    async with asyncio.timeout(8):
        while len(await desk.kept()) > 1:  # noqa: ASYNC110  # it is sent by the browser
            await asyncio.sleep(0.05)
    assert [sale["total"] for sale in await desk.sales()] == [65000, 21000]
    await desk.context.unroute("**/api/sales")
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [65000, 21000, 38000]

    await desk.till.kill()
    await desk.page.evaluate(
        "new Promise((resolve, reject) => Object.assign(indexedDB.deleteDatabase('posline'), "
        "{onsuccess: () => resolve(null), onerror: reject}))"
    )
    await desk.sell(TEA)
    assert len(await desk.kept()) == 1


async def test_who_signed_out_while_the_till_was_down_is_signed_out_there_too(desk: Counter) -> None:
    page = desk.page
    await desk.cashier("Sana", role="manager", pin="5678")
    await page.reload()
    await desk.settled()
    await page.click("text=Cashier?")
    await page.click(".row-key:has-text('Sana')")
    await page.wait_for_selector("input[type=password]")
    await desk.type("5678\n")
    await desk.shows(".bar", "Sana")
    session = "fetch('/api/session').then(answer => answer.json()).then(found => found.name)"
    assert await page.evaluate(session) == "Sana"
    await page.context.route("**/api/session", lambda route: route.abort())
    await page.click(".bar >> text=Sana")
    await page.click("text=Nobody in particular")
    await desk.shows(".bar", "Cashier?")
    await page.context.unroute("**/api/session")
    await page.reload()
    await desk.until(f"{session}.then(name => name === null)")


async def test_a_browser_that_can_keep_nothing_sells_by_the_tills_disk(desk: Counter) -> None:
    await desk.context.close()
    kept = desk.folder / "browser" / "Default" / "IndexedDB"
    shutil.rmtree(kept)
    kept.write_text("no folder")
    await desk.open(settled=False)
    await desk.page.wait_for_selector("#entry")
    await desk.shows(".notice", "keeps nothing")
    await desk.sell(TEA)
    assert [sale["total"] for sale in await desk.sales()] == [65000]


async def test_another_tab_that_sends_has_the_approval_too(desk: Counter) -> None:
    first = desk.page
    await desk.cashier("Sana", role="manager", pin="5678")
    await desk.setting("limits", {"cashier": {"discount_percent": "10"}})
    await first.reload()
    await desk.settled()
    posted: list[Route] = []
    slow = True

    async def later(route: Route) -> None:
        if slow and route.request.method == "POST":
            posted.append(route)
        else:
            await route.continue_()

    await desk.context.route("**/api/sales", later)
    second = await desk.context.new_page()
    await second.goto(desk.url)
    await desk.turn_to(second)
    await desk.settled()
    await desk.sell(MILK)  # on its way, from here
    await desk.turn_to(first)
    await first.bring_to_front()
    await desk.scan(TEA)
    await desk.press("F4")
    await desk.type("50\n")
    await desk.gone("[role=dialog]")
    await desk.press("+", "Enter")
    await desk.shows("[role=dialog]", "discount")
    await desk.type("5678\n")
    await desk.sold("Rs 325")
    slow = False
    for route in posted:
        await route.continue_()
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [38000, 32500]
    assert "5678" not in str(await desk.kept("done"))


async def test_a_reload_gives_its_own_cart_back_each_time(desk: Counter) -> None:
    await desk.scan(TEA)
    for _ in range(8):
        await desk.page.reload()
        await desk.page.wait_for_selector("#entry")
        assert await desk.lines() == [("Tapal Danedar 450 g", "1", "650")]


async def test_a_full_cart_takes_no_more_and_is_sold(desk: Counter) -> None:
    """What is weighed and finds no room asks for no weight, which another line would get."""
    await desk.page.evaluate(
        """async () => {
             const { add } = await import("/page/selling.js");
             const { catalogue } = await import("/page/shop.js");
             const { lineOf } = await import("/page/core/cart.js");
             for (let n = 0; n < 500; n++) add(lineOf(catalogue.get(n % 2 ? "TEA" : "MILK"), 1000));
           }"""
    )
    await desk.counts(500)
    await desk.scan(RICE)
    await desk.shows(".notice", "500 lines")
    assert await desk.page.locator("[role=dialog]").count() == 0
    await desk.press("+", "Enter")
    await desk.sold("Rs 257,500")
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [25750000]
