"""Draw the pictures of the page that the documents show: a till's own program, and Chromium before it.

python -m docs.draw_page
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import httpx
from playwright.async_api import BrowserContext, Page, ViewportSize, async_playwright

from examples.rig.programs import Program, free_port, run

PICTURES = Path(__file__).parent / "page"
GOODS = Path(__file__).parents[1] / "examples" / "data" / "kiryana.csv"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = ViewportSize(width=1366, height=768), ViewportSize(width=412, height=915)
SHELF = {
    "TEA450": 65000,
    "MILK1": 38000,
    "ATTA10": 145000,
    "EGGS12": 32000,
    "BREAD": 18000,
    "COKE15": 21000,
    "GHEE1": 57000,
}
TEA, MILK, COKE, RICE = "8961014000017", "8961008210118", "5449000000996", "8961100200201"

Draw = Callable[[Page], Awaitable[None]]


async def a_day(url: str) -> None:
    """Sales of a morning, two customers and a cashier, so that the pictures are of a shop that is open."""
    die = random.Random("morning")
    async with httpx.AsyncClient(base_url=url, timeout=20) as till:

        async def ask(path: str, body: dict[str, object], method: str = "POST") -> None:
            answer = await till.request(method, path, json=body)
            assert answer.status_code < 300, answer.text

        await ask("/api/settings/rounding", {"value": 100}, "PUT")
        await ask("/api/cashiers/Amina", {"role": "cashier", "language": "en"}, "PUT")
        await ask(
            "/api/customers",
            {"id": str(uuid.uuid4()), "name": "Rasheed Khan", "phone": "0300-7654321", "limit": 1000000},
        )
        await ask("/api/shifts/open", {"id": str(uuid.uuid4()), "float": 500000, "by": "Amina"})
        for _ in range(60):
            lines = [
                {"sku": sku, "quantity": str(die.randint(1, 3))} for sku in die.sample(list(SHELF), die.randint(1, 5))
            ]
            await ask("/api/sales", {"id": str(uuid.uuid4()), "lines": lines, "by": "Amina"})


async def cart(page: Page) -> None:
    """Things in the cart."""
    for code in (TEA, MILK, COKE, COKE):
        await page.keyboard.type(f"{code}\n", delay=5)
    await page.keyboard.type(f"{RICE}\n", delay=5)
    await page.wait_for_selector("[role=dialog]")
    await page.keyboard.type("2.5", delay=120)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".lines tbody tr >> nth=3")


async def paying(page: Page) -> None:
    """The customer gives a note."""
    await cart(page)
    await page.keyboard.press("F12")
    await page.keyboard.type("5000", delay=120)


async def sold(page: Page) -> None:
    """The change."""
    await paying(page)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".done .places li.on >> nth=1")


async def searched(page: Page) -> None:
    """As one types."""
    await cart(page)
    await page.keyboard.type("da", delay=120)
    await page.wait_for_selector(".found li")


async def returned(page: Page) -> None:
    """A receipt comes back."""
    await page.keyboard.press("F8")
    await page.click(".choices button >> nth=0")
    await page.wait_for_selector(".step-key")


async def urdu(page: Page) -> None:
    """The same in Urdu."""
    await page.click("text=اردو")
    await cart(page)


async def urdu_paying(page: Page) -> None:
    """And paying."""
    await page.click("text=اردو")
    await paying(page)


async def nothing(page: Page) -> None:
    """As it opens."""


async def in_urdu(page: Page) -> None:
    """The owner's page in Urdu."""
    await page.click("text=اردو")


STATES: dict[str, Draw] = {
    "sell-en": searched,
    "pay-en": paying,
    "sold-en": sold,
    "return-en": returned,
    "sell-ur": urdu,
    "pay-ur": urdu_paying,
    "sell-dark": cart,
    "owner-en": nothing,
    "owner-ur": in_urdu,
    "owner-phone": nothing,
}


async def draw(context: BrowserContext, url: str, name: str, state: Draw, path: str = "/") -> Page:
    """One picture; the page stays open."""
    page = await context.new_page()
    await page.goto(url + path)
    await page.wait_for_selector("#entry" if path == "/" else "main")
    if path == "/":
        await page.wait_for_selector(".good-key")
    await state(page)
    await page.wait_for_timeout(500)  # for pictures and fonts; nothing hangs on it
    await page.screenshot(path=PICTURES / f"{name}.png")
    return page


async def main() -> None:
    """Draw them all."""
    PICTURES.mkdir(exist_ok=True)
    browser_path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "till"
        ports = ["--port", str(free_port()), "--sync-port", "0", "--no-discovery"]
        till = Program("till", "posline", ["till", "--data", str(data), "--shop", "Karim Store", *ports], data)
        await till.start()
        await run("posline", "catalog", "import", str(GOODS), "--data", str(data))
        url = till.urls["page"]
        await a_day(url)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
            for name, state in STATES.items():
                size = PHONE if name.endswith("phone") else DESK
                scheme: Literal["dark", "light"] = "dark" if name.endswith("dark") else "light"
                context = await browser.new_context(viewport=size, color_scheme=scheme)
                await draw(context, url, name, state, "/owner" if name.startswith("owner") else "/")
                await context.close()
            context = await browser.new_context(viewport=DESK)
            page = await draw(context, url, "offline-en", cart)
            await till.kill()
            await page.get_by_text("Selling from this browser").wait_for()
            await page.keyboard.press("+")
            await page.keyboard.press("Enter")
            await page.wait_for_selector(".done")
            await page.screenshot(path=PICTURES / "offline-en.png")
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
