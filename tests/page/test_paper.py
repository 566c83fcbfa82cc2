"""Paper by way of the browser, and what a shop is asked for once."""

from __future__ import annotations

import re
from binascii import crc_hqx

from tests.page.counter import COKE, MILK, TEA, Counter

# what would be on paper, taken where the browser would ask for its printer
PRINTER = """() => {
  window.printed = [];
  window.print = () => {
    const paper = document.querySelector(".paper");
    window.printed.push([paper.innerText || paper.textContent, paper.querySelectorAll(".code svg path").length]);
  };
}"""


async def printed(desk: Counter, count: int) -> tuple[str, int]:
    """The newest sheet, once there are so many."""
    await desk.until("n => window.printed.length === n", count)
    text, codes = (await desk.page.evaluate("window.printed"))[-1]
    return text, codes


async def test_a_receipt_printed_while_the_till_is_down_is_found_later(desk: Counter) -> None:
    page = desk.page
    await page.evaluate(PRINTER)
    await desk.till.kill()
    await desk.sell(TEA, COKE)
    await desk.press("F9")
    text, codes = await printed(desk, 1)
    found = re.search(r"R-[0-9A-F]{10}", text)
    assert found
    assert codes == 1, "a code of it, to be scanned"
    for part in ("Karim Store", "Tapal Danedar 450 g", "Coca-Cola 1.5 l", "860"):
        assert part in text
    await desk.till.start()
    await desk.drained()
    sale = await desk.ask(f"/api/sales/{found[0]}")
    assert sale["total"] == 86000
    await desk.until("document.querySelector('.done .receipt bdi').innerText.startsWith('A-')")  # its number follows
    await desk.press("F9")
    text, _ = await printed(desk, 2)
    assert sale["receipt"] in text

    await desk.scan(found[0])  # and it is taken back by that
    await desk.shows("[role=dialog] th", "Comes back")
    await desk.press("F2", "Enter")
    await desk.shows(".notice", "Rs 860 back")


async def test_each_sale_is_printed_where_that_was_asked_for(desk: Counter) -> None:
    page = desk.page
    await page.evaluate(PRINTER)
    await desk.press("F10")
    await page.click("text=Print each sale from this browser")
    await desk.sell(MILK)
    text, _ = await printed(desk, 1)
    assert "A-1-" in text
    await desk.sell(MILK)
    text, _ = await printed(desk, 2)
    assert "A-2-" in text


async def test_a_shop_in_rupees_is_asked_once_whether_cash_is_rounded(desk: Counter) -> None:
    page = desk.page
    await desk.shows(".offer", "Round cash")
    await page.click(".offer >> text=Rs 1 ")
    await desk.gone(".offer")
    assert (await desk.ask("/api/settings/rounding"))["value"] == 100
    await page.reload()
    await desk.settled()
    assert await page.locator(".offer").count() == 0


async def test_a_raast_code_for_the_very_amount(desk: Counter) -> None:
    account = "28760032d9131dda6e894d78b44a756e37874ba00108SCBLPKKX0224PK36SCBL0000001123456702"
    own = f"000201010211{account}5204541153035865802PK5913Karachi Store6007Karachi6304"
    await desk.setting("raast", f"{own}{crc_hqx(own.encode(), 0xFFFF):04X}")
    await desk.page.reload()
    await desk.settled()
    await desk.scan(TEA)
    await desk.press("F12", "r")
    await desk.page.wait_for_selector(".raast")
    assert await desk.page.evaluate("document.querySelector('.raast').decode().then(() => true)")
    await desk.press("Enter")
    await desk.sold("Rs 650")
    await desk.drained()
    assert [sale["tenders"] for sale in await desk.sales()] == [[{"kind": "raast", "amount": 65000}]]
