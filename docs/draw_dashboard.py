"""Draw the pictures of the head office's board that the documents show: a chain with a month of trade, and Chromium.

python -m docs.draw_dashboard
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from playwright.async_api import ViewportSize, async_playwright

from docs.draw_page import BROWSERS, DESK
from examples.rig.chain import ZONE, Chain, Shop
from posline.storage.folder import Folder
from posline.till.listener import Listener
from relay.api import build_app
from relay.office import CONSOLE
from relay.people import Browser
from relay.presence import Heard, Presence
from relay.relay import Relay
from relay.rights import Role

PICTURES = Path(__file__).parent / "dashboard"
PHONE = ViewportSize(width=390, height=844)
DAYS = 30
ADDED_UP_S = 30.0


async def trade(chain: Chain, relay: Relay) -> None:
    """A month of it; one shop has not closed the day before yesterday."""
    now = datetime.now(ZONE)
    await chain.attach(relay)
    for n, shop in enumerate(chain.shops):
        for back in range(DAYS, -1, -1):
            sales = int((14 + 3 * n) * random.Random(7 * back + n).uniform(0.6, 1.4))
            closed = back > 0 and not (n == 2 and back == 2)
            chain.trade(shop, now - timedelta(days=back), sales, until=now if not back else None, close=closed)
        await chain.bring(relay, shop)


def stand(chain: Chain, relay: Relay) -> Presence:
    """Where their tills stand: all but one shop's are linked, one of them to a clock of its own."""
    now_ms = relay.office.now_ms()
    found = Presence(relay.office.database, relay.office.now_ms, alone=False)
    found.begin()
    found.write(
        {
            (shop.id, till.store_id): Heard("till", now_ms, 0, 240_000 if n == 5 and k else 200)
            for n, shop in enumerate(chain.shops)
            for k, till in enumerate(shop.tills)
            if n != 3 and not (n == 1 and k)
        }
    )
    return found


async def looked_at(relay: Relay) -> None:
    """Wait until the board is added up, and what is wrong was looked at."""
    while not {"clock", "unclosed"} <= {one.kind for one in relay.alarms.open(lambda shop: True)}:
        await relay.arrivals.pause(relay.arrivals.next, 0.5)


def states(shop: Shop) -> dict[str, str]:
    """The pictures, and the page of each."""
    entry = shop.sold[-2]
    return {
        "chain-en": "/",
        "chain-ur": "/",
        "chain-dark": "/",
        "chain-phone": "/",
        "shop-en": f"/shops/{shop.id}",
        "entry-en": f"/shops/{shop.id}/entries/{entry.hash.hex()}",
        "alarms-en": "/alarms",
        "alarms-ur": "/alarms",
        "reports-en": "/reports?by=product",
    }


async def main() -> None:
    """Draw them all."""
    PICTURES.mkdir(exist_ok=True)
    browser_path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as path, Folder(Path(path)) as folder:
        async with Relay(folder) as relay:
            chain = Chain()
            await trade(chain, relay)
            stand(chain, relay)
            token = relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
            session = await relay.people.first(token, "a horse, a battery and a staple", Browser())
            front = Listener(build_app(relay, []), host="127.0.0.1", port=0)
            await front.start()
            async with asyncio.timeout(ADDED_UP_S):
                await looked_at(relay)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
                for name, page_path in states(chain.shops[2]).items():
                    size = PHONE if name.endswith("phone") else DESK
                    scheme: Literal["dark", "light"] = "dark" if name.endswith("dark") else "light"
                    locale = "ur-PK" if name.endswith("ur") else "en-GB"
                    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=locale)
                    await context.add_cookies([{"name": "posline", "value": session.session, "url": front.url}])
                    page = await context.new_page()
                    await page.goto(front.url + page_path)
                    await page.wait_for_selector("[data-live-light].on")
                    await page.wait_for_timeout(300)  # for fonts; nothing hangs on it
                    await page.screenshot(path=PICTURES / f"{name}.png")
                    await context.close()
                await browser.close()
            front.refuse()
        await front.stop()


if __name__ == "__main__":
    asyncio.run(main())
