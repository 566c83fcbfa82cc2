"""What the page shows: two languages and their directions, contrast, names for screen readers, keys, its policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.page.counter import COKE, MILK, TEA, Counter
from tests.proof import LOOKS
from tests.stock import npm_folder

AXE = Path(__file__).parent / "axe"
PAGE = Path(__file__).parents[2] / "posline" / "till" / "page"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
NAMES_OF_KEYS = ("Enter", "Esc", "F12", "NTN", "STRN", "kg", "piece", "dozen", "litre", "metre")  # and units, as data
SHEETS = ("F2", "F3", "F4", "F7", "F8", "F10", "F1", "F12")


async def faults(page: Page) -> Any:
    """What axe finds on a page by the rules of WCAG 2.2 AA."""
    session = await page.context.new_cdp_session(page)
    source = (npm_folder(AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text()
    await session.send("Runtime.evaluate", {"expression": source})
    return await page.evaluate(
        "rules => axe.run(document, {runOnly: rules}).then(found => found.violations.map("
        "each => [each.id, each.nodes.map(node => node.html + ' ' + node.failureSummary).slice(0, 3)]))",
        RULES,
    )


async def checked(desk: Counter, where: str) -> None:
    """No fault that axe finds by the rules of WCAG 2.2 AA."""
    found = await faults(desk.page)
    assert not found, f"{where}: {found}"


@pytest.mark.parametrize(("language", "scheme"), LOOKS)
async def test_every_sheet_can_be_read(desk: Counter, scheme: str, language: str) -> None:
    page = desk.page
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    if language == "ur":
        await page.click("text=اردو")
    await checked(desk, "empty")
    await desk.scan(TEA, MILK)
    await checked(desk, "a cart")
    for key in SHEETS:
        await desk.press(key)
        await page.wait_for_selector(".sheet, .pay")
        await checked(desk, key)
        await desk.press("Escape")
        await desk.until("!document.querySelector('.sheet, .pay')")
    await desk.press("+", "Enter")
    await desk.sold()
    await checked(desk, "sold")


async def test_urdu_at_once_and_right_to_left(desk: Counter) -> None:
    page = desk.page
    await desk.scan(TEA)
    await page.click("text=اردو")
    assert await page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["ur", "rtl"]
    assert [name for name, _, _ in await desk.lines()] == ["ٹپال دانے دار"]
    basket = await page.locator(".basket").bounding_box()
    side = await page.locator(".side").bounding_box()
    assert basket is not None
    assert side is not None
    assert basket["x"] > side["x"], "the cart is where reading begins"
    assert await page.evaluate("document.fonts.ready.then(() => document.fonts.check('18px \"Posline Urdu\"', 'ٹپال'))")
    await desk.type("کوکا")
    await desk.shows(".found", "کوکا کولا")
    await desk.press("Enter")
    await desk.press("F12")
    await desk.shows(".due", "Rs 860")
    await desk.type("۱۰۰۰\n")  # figures of an Urdu keyboard
    await desk.sold("Rs 140")
    await page.reload()  # and it stays so
    await page.wait_for_selector("#entry")
    await desk.until("document.documentElement.lang === 'ur'")
    await page.click("text=English")
    await desk.until("document.documentElement.dir === 'ltr'")


async def test_each_cashier_has_a_language(desk: Counter) -> None:
    page = desk.page
    await desk.cashier("Ali", language="ur")
    await page.click("text=Cashier?")
    await page.click(".row-key:has-text('Ali')")
    await desk.until("document.documentElement.lang === 'ur'")
    await desk.sell(TEA)
    await desk.drained()
    assert [sale["by"] for sale in await desk.sales()] == ["Ali"]


def test_both_languages_say_everything_and_code_says_nothing() -> None:
    """Every text is in both catalogues, each that code names is there, and no code shows words of its own."""
    texts = {name: texts_of(PAGE / "texts" / f"{name}.js") for name in ("en", "ur")}
    assert texts["en"].keys() == texts["ur"].keys()
    for key, text in texts["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", texts["ur"][key])), key
    for file in [*PAGE.glob("*.js"), *(PAGE / "views").rglob("*.js")]:
        source = file.read_text()
        for key in re.findall(r'\bt\("(\w+)"', source):
            assert key in texts["en"] or (PAGE / "texts" / "owner-en.js").exists(), f"{file.name}: {key}"
        for shown in re.findall(r"<(?:\w[^<>]*|/\w+)>([^<>${}`]*[A-Za-z]{3,}[^<>${}`]*)<", source):
            assert shown.strip() in NAMES_OF_KEYS, f"{file.name} shows words of its own: {shown.strip()[:60]}"


def texts_of(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^  (\w+): (.+),$", file.read_text(), re.MULTILINE))


async def test_a_day_by_keys_alone(desk: Counter) -> None:
    """No pointer at all: sell, hold, recall, return, look something up. The focus never falls out of the page."""
    page = desk.page
    await desk.scan(TEA)
    await desk.press("F6")
    await desk.until("document.querySelector('[aria-keyshortcuts=F7] .count')")
    await desk.press("F7")
    await page.wait_for_selector(".row-key")
    await desk.press("1")
    await desk.counts(1)
    await desk.press("F12", "Enter")
    await desk.sold()
    await desk.drained()
    await desk.press("F8")
    await page.wait_for_selector(".row-key")
    await desk.press("Tab", "Enter")
    await desk.shows("[role=dialog] th", "Comes back")
    await desk.press("F2", "Enter")
    await desk.shows(".notice", "back by")
    await desk.press("F10")
    await page.wait_for_selector(".row-key")
    for _ in range(30):  # round and round inside the sheet
        await desk.press("Tab")
        assert await page.evaluate("Boolean(document.activeElement.closest('[role=dialog]'))")
    await desk.press("Escape")
    await desk.until("document.activeElement.id === 'entry'")


async def test_type_and_targets_are_large_enough(desk: Counter) -> None:
    page = desk.page
    await desk.scan(COKE)
    for key in (None, "F12"):
        if key:
            await desk.press(key)
        small = await page.evaluate(
            """() => [...document.querySelectorAll('.till button, .till input')]
                 .map(e => [e.innerText || e.id, e.getBoundingClientRect()])
                 .filter(([, box]) => box.width && (box.height < 40 || box.width < 40)).map(([text]) => text)"""
        )
        assert small == []
    assert await page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 18


async def test_a_tablet_needs_no_keyboard(desk: Counter) -> None:
    """Touch alone: goods by their keys, cash by its notes."""
    await desk.context.close()
    page = await desk.open(viewport={"width": 1024, "height": 768}, has_touch=True)
    await page.tap(".good-key >> nth=0")
    await page.tap(".good-key >> nth=1")
    await page.tap(".key.total")
    await page.tap("text=5,000")
    await desk.sold("Rs 3,970")
    await page.tap(".good-key >> nth=0")
    assert await desk.lines() == [("Tapal Danedar 450 g", "1", "650")]


async def test_a_strict_policy_and_nothing_from_elsewhere(desk: Counter) -> None:
    page = desk.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = await page.reload()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    await desk.settled()
    await desk.sell(TEA)
    assert all(url.startswith(desk.url) for url in asked), asked
    for file in [*PAGE.glob("*.html")]:
        source = file.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=|https?://", source), file.name


async def test_it_can_be_installed(desk: Counter) -> None:
    manifest = await desk.page.evaluate("fetch('/manifest.webmanifest').then(answer => answer.json())")
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        assert await desk.page.evaluate("src => fetch(src).then(answer => answer.ok)", icon["src"])
    session = await desk.context.new_cdp_session(desk.page)
    faults = await session.send("Page.getInstallabilityErrors")
    assert [each["errorId"] for each in faults["installabilityErrors"]] in ([], ["in-incognito"])
