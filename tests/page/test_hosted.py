"""A phone that is hosted, in a real browser: paired by its code, it sells with its host dead, and nothing is lost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.async_api import Playwright, async_playwright

from examples.rig.programs import Program, free_port, run
from tests.page.counter import ARGUMENTS, CHROMIUM, MILK, TEA, Counter

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


class Phone(Counter):
    """A phone before a till that hosts it. The till's own calls go to the till's own port."""

    def __init__(self, playwright: Playwright, folder: Path, host: Counter, port: int) -> None:
        super().__init__(playwright, folder)
        self.till, self.url, self.host = host.till, host.url, host
        self.home = f"https://127.0.0.1:{port}"

    async def launch(self, **options: object) -> None:
        """A browser that trusts its host's certificate, as one does that has installed the authority."""
        leaf = x509.load_pem_x509_certificate((self.till.data / "hosting.pem").read_bytes())
        key = leaf.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
        self.context = await self._playwright.chromium.launch_persistent_context(
            str(self.folder / "browser"),
            executable_path=CHROMIUM,
            args=[*ARGUMENTS, f"--ignore-certificate-errors-spki-list={pin}"],
            **(PHONE | options),  # type: ignore[arg-type]
        )
        await self.turn_to(self.context.pages[0])

    async def pair(self, link: str) -> None:
        """Open the link and press the button there."""
        await self.page.goto(link)
        await self.page.wait_for_selector("#trusted.good")
        await self.page.click("#pair")
        await self.page.wait_for_url(self.home + "/")
        await self.settled()

    async def go_home(self) -> None:
        await self.page.goto(self.home)
        await self.page.wait_for_selector("#entry")

    async def sells_with_its_host_dead(self, host: Program) -> None:
        """Two sales, the second of them after it was shut and opened again; then the host comes back and gets them."""
        await host.kill()
        await self.sell(MILK)
        await self.shows(".chip", "in this browser")
        await self.context.close()
        await self.launch()
        await self.go_home()  # with nothing running
        await self.sell(TEA, MILK)
        await self.shows(".chip", "2 in this browser")
        await host.start()
        await self.drained()


async def command(counter: Counter, *arguments: str) -> str:
    return await run("posline", *arguments, "--data", str(counter.till.data))


@asynccontextmanager
async def hosted(folder: Path, stocked: Path) -> AsyncIterator[tuple[Counter, Phone]]:
    """A till that hosts, and a phone that is not paired yet."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        host = Counter(playwright, folder / "host")
        host.till.data.parent.mkdir(parents=True, exist_ok=True)
        port = free_port()
        try:
            await host.start(stocked)
            await command(host, "host", "on", "--port", str(port), "--name", "localhost")
            phone = Phone(playwright, folder / "phone", host, port)
            phone.home = f"https://localhost:{port}"
            await phone.launch()
            yield host, phone
            assert not phone.complaints, phone.complaints
            with suppress(Exception):
                await phone.context.close()
        finally:
            await host.till.kill()


async def test_a_phone_is_paired_sells_with_its_host_dead_and_all_of_it_stands_everywhere(
    tmp_path: Path, stocked: Path
) -> None:
    async with hosted(tmp_path, stocked) as (host, phone):
        link = (await command(host, "host", "invite", "--label", "PH")).strip().splitlines()[-1]
        await phone.pair(link)
        await phone.shows(".bar .tag", "PH")
        await phone.sell(TEA)
        await phone.drained()
        await phone.sells_with_its_host_dead(host.till)
        sold = await phone.sales()
        assert [(sale["label"], sale["number"], sale["total"]) for sale in sold] == [
            ("PH", 1, 65000),
            ("PH", 2, 38000),
            ("PH", 3, 103000),
        ]
        async with asyncio.timeout(30):  # the page says how much it keeps whenever it asks for something
            while (await host.ask("/api/hosting"))["devices"][0]["waiting"]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        other = Counter(phone._playwright, tmp_path / "other", label="B", join=host)
        try:
            await other.start()
            async with asyncio.timeout(30):
                while len(await other.sales()) < len(sold):  # noqa: ASYNC110  # it happens in other programs
                    await asyncio.sleep(0.1)
            assert sorted(sale["receipt"] for sale in await other.sales()) == [sale["receipt"] for sale in sold]
        finally:
            await other.till.kill()


async def test_a_removed_phone_keeps_what_it_sold_and_hands_it_over_once_it_is_another_till(
    tmp_path: Path, stocked: Path
) -> None:
    async with hosted(tmp_path, stocked) as (host, phone):
        await phone.pair((await command(host, "host", "invite", "--label", "ONE")).strip().splitlines()[-1])
        await phone.sell(TEA)
        await phone.drained()
        await host.till.kill()
        await phone.sell(MILK)
        await host.till.start()
        await phone.drained()
        await command(host, "host", "remove", "ONE")
        await phone.sell(TEA)
        await phone.shows(".chip", "Not paired")
        assert len(await phone.kept()) == 1
        await phone.page.click(".chip")
        await phone.page.click("text=If that till is lost for good")
        async with phone.page.expect_download() as saving:
            await phone.page.click("text=Save what waits as a file")
        saved = tmp_path / (await saving.value).suggested_filename
        await (await saving.value).save_as(saved)
        assert saved.name == "posline-ONE-1.json"
        await phone.page.goto((await command(host, "host", "invite", "--label", "TWO")).strip().splitlines()[-1])
        await phone.shows("#said", "wait in this browser")
        await phone.page.click("#pair")
        await phone.page.wait_for_url(phone.home + "/")
        await phone.page.wait_for_selector(".chip.bad")
        await phone.page.click(".chip")
        await phone.page.click("text=Hand over what waits")
        await phone.page.click("text=Yes: 1 record goes to till TWO")
        await phone.drained()
        handed = [("ONE", 1), ("ONE", 2), ("TWO", 1)]
        assert [(sale["label"], sale["number"]) for sale in await phone.sales()] == handed
        await phone.page.click("text=If that till is lost for good")
        await phone.page.set_input_files(".file input", saved)  # and the same once more, from the file
        await phone.shows(".notice", "1 record taken over")
        await phone.drained()
        assert [(sale["label"], sale["number"]) for sale in await phone.sales()] == handed
        await phone.press("Escape")
        await phone.shows(".bar .tag", "TWO")
