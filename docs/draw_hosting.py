"""Draw the pictures of a phone that a till hosts: a till's own program, and Chromium of a phone's size before it.

python -m docs.draw_hosting
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.async_api import Page, ViewportSize, async_playwright

from docs.draw_page import BROWSERS, GOODS, a_day
from examples.rig.programs import Program, free_port, run

PICTURES = Path(__file__).parent / "hosting"
SMALL, PHONE = ViewportSize(width=320, height=640), ViewportSize(width=360, height=760)


def pin(leaf: Path) -> str:
    """The key of a certificate, as Chromium is told to trust it."""
    key = x509.load_pem_x509_certificate(leaf.read_bytes()).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


async def picture(page: Page, name: str) -> None:
    """What stands on the screen."""
    await page.wait_for_timeout(500)  # for pictures and fonts; nothing hangs on it
    await page.screenshot(path=PICTURES / f"{name}.png")


async def draw(page: Page, link: str, till: Program) -> None:
    """Pair, sell, and sell on with the host off."""
    await page.set_viewport_size(PHONE)
    await page.goto(link)
    await page.wait_for_selector("#trusted.good")
    await picture(page, "pair-en")
    await page.click("#language")
    await picture(page, "pair-ur")
    await page.click("#pair")
    await page.wait_for_selector(".good-key")
    await page.set_viewport_size(SMALL)
    for n in (1, 2):
        await page.tap(f".good-key:nth-child({n})")
    await picture(page, "cart-en")
    await page.tap(".key.total")
    await picture(page, "pay-en")
    await till.kill()
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".done")
    await page.tap(".bar .quiet-key[lang]")
    await page.wait_for_selector(".chip.warn")
    await picture(page, "offline-ur")


async def main() -> None:
    """Draw them all."""
    PICTURES.mkdir(exist_ok=True)
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "till", str(free_port())
        ports = ["--port", str(free_port()), "--sync-port", "0", "--no-discovery"]
        till = Program("till", "posline", ["till", "--data", str(data), "--shop", "Karim Store", *ports], data)
        await till.start()
        await run("posline", "catalog", "import", str(GOODS), "--data", str(data))
        await a_day(till.urls["page"])
        await run("posline", "host", "on", "--port", port, "--name", "localhost", "--data", str(data))
        link = (await run("posline", "host", "invite", "--data", str(data))).strip().splitlines()[-1]
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                str(Path(folder) / "browser"),
                executable_path=browser,
                args=["--no-sandbox", f"--ignore-certificate-errors-spki-list={pin(data / 'hosting.pem')}"],
                has_touch=True,
                is_mobile=True,
                device_scale_factor=2,
            )
            await draw(context.pages[0], link, till)
            await context.close()


if __name__ == "__main__":
    asyncio.run(main())
