"""A phone that the head office hosts, in a real browser: its shop lets it in, it sells with the head office dead, and
all of it stands at the head office and at the shop's till once that is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from playwright.async_api import Playwright, async_playwright

from examples.rig.programs import Program, free_port, run
from tests.page.counter import ARGUMENTS, CHROMIUM, TEA, Counter
from tests.page.test_hosted import PHONE, Phone

WITHIN_S = 30.0
LIGHTS = ["this browser", "head office"]


class Visitor(Phone):
    """A phone before a head office, whose certificate needs no installing."""

    async def launch(self, **options: object) -> None:
        self.context = await self._playwright.chromium.launch_persistent_context(
            str(self.folder / "browser"), executable_path=CHROMIUM, args=ARGUMENTS,
            **(PHONE | options),  # type: ignore[arg-type]
        )  # fmt: skip
        await self.turn_to(self.context.pages[0])


class Office:
    """A head office that hosts, and how its shop's till lets a device in."""

    def __init__(self, folder: Path) -> None:
        self.data, self.port = folder / "office", free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["serve", "--data", str(self.data), "--port", str(free_port())]
        hosting = ["--tills", self.url, "--tills-port", str(self.port)]
        self.program = Program("office", "posline-relay", [*arguments, *hosting], folder / "office")

    async def command(self, *arguments: str) -> str:
        return (await run("posline-relay", *arguments, "--data", str(self.data))).strip().splitlines()[-1]


async def let_in(till: Counter) -> None:
    """What the head office asks for, once that has reached the till."""
    async with asyncio.timeout(WITHIN_S):
        while not (asked := (await till.ask("/api/hosting"))["requests"]):  # noqa: ASYNC110  # in other programs
            await asyncio.sleep(0.1)
    await run("posline", "host", "let-in", asked[0]["id"], "--data", str(till.till.data))


@asynccontextmanager
async def hosted(folder: Path, stocked: Path) -> AsyncIterator[tuple[Office, Counter, Visitor]]:
    """A head office with a shop, that shop's till, and a phone that is not paired yet."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        office, till = Office(folder), _counter(playwright, folder / "shop")
        try:
            await asyncio.gather(office.program.start(), till.start(stocked))
            await run("posline", "attach", await office.command("invite"), "--data", str(till.till.data))
            phone = Visitor(playwright, folder / "phone", till, office.port)
            phone.home = office.url
            await phone.launch()
            yield office, till, phone
            assert not phone.complaints, phone.complaints
            with suppress(Exception):
                await phone.context.close()
        finally:
            await till.till.kill()
            await office.program.kill()


def _counter(playwright: Playwright, folder: Path) -> Counter:
    folder.mkdir(parents=True)
    return Counter(playwright, folder)


async def test_a_phone_is_let_in_by_its_shop_sells_with_the_head_office_dead_and_comes_back(
    tmp_path: Path, stocked: Path
) -> None:
    async with hosted(tmp_path, stocked) as (office, till, phone):
        shop = (await till.ask("/api/shop"))["shop_id"]
        await phone.page.goto(await office.command("device", "invite", "--shop", shop, "--label", "PH"))
        await phone.shows("#pairing h2", "Pair with the head office")
        assert not await phone.page.is_visible("#trusting"), "a certificate that browsers know is not installed"
        await phone.page.click("#pair")
        await phone.shows("#said", "a manager has to let this device in")
        await let_in(till)
        await phone.page.wait_for_url(office.url + "/", timeout=WITHIN_S * 1000)
        await phone.settled()
        await phone.shows(".bar .tag", "PH")
        await phone.sell(TEA)
        await phone.drained()
        await phone.shows(".places li.on", "head office")
        lights = phone.page.locator(".places").first.locator("li")
        assert [(await each.inner_text()).split("\n")[0] for each in await lights.all()][:2] == LIGHTS
        await phone.sells_with_its_host_dead(office.program)
        async with asyncio.timeout(WITHIN_S):
            while len(found := await till.sales()) < 3:  # noqa: ASYNC110  # it happens in other programs
                await asyncio.sleep(0.1)
        sold = [(sale["label"], sale["number"], sale["total"]) for sale in found]
        assert sold == [("PH", 1, 65000), ("PH", 2, 38000), ("PH", 3, 103000)]
        assert "no problems" in await office.command("verify")
