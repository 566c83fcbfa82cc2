"""The owner's page before a real till: a day as it happens, what only some may see, goods, a day's close, silence."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from posline.till.health import ALARMS
from posline.till.till import open_till
from tests.page.counter import CHROMIUM, Counter, counter
from tests.page.test_reading import checked
from tests.till.hosting.offices import ask, attached

HERE = Path(__file__).parent
NET = ".o-net"


def page(*cases: tuple[str, list[Any]]) -> list[Any]:
    """What the owner's page makes of each (call, arguments)."""
    asked = json.dumps([{"call": call, "args": args} for call, args in cases])
    found = subprocess.run(["node", str(HERE / "owner.mjs")], input=asked, capture_output=True, text=True, check=True)
    answers: list[Any] = json.loads(found.stdout)
    return answers


def words(text: Any) -> str:
    return " ".join(text.values()) if isinstance(text, dict) else text


async def ring(desk: Counter, sku: str = "TEA", **more: Any) -> dict[str, Any]:
    body = {"id": str(uuid.uuid4()), "lines": [{"sku": sku, "quantity": 1}], **more}
    sale: dict[str, Any] = await desk.ask("/api/sales", body)
    return sale


async def owner(desk: Counter, part: str = "today") -> None:
    await desk.page.goto(f"{desk.url}/owner#{part}")
    await desk.page.wait_for_selector(".o-card")


async def figures_kept(desk: Counter) -> Any:
    """What the page keeps on this browser's disk, once it has thought about it."""
    async with asyncio.timeout(20):
        while True:
            for row in await desk.kept("kept"):
                if row["name"] == "owner":
                    return row["value"]
            await asyncio.sleep(0.1)


# -- what it works out -------------------------------------------------------------------------------------------------


def test_both_languages_say_the_same_things_and_every_alarm_has_its_words() -> None:
    (texts,) = page(("texts", []))
    for english, urdu in ((texts["en"], texts["ur"]), (texts["owner_en"], texts["owner_ur"])):
        assert english.keys() == urdu.keys()
        for key, text in english.items():
            holes = [set(re.findall(r"\{\w+\}", words(t))) for t in (text, urdu[key])]
            assert holes[0] == holes[1], key
    assert not texts["en"].keys() & texts["owner_en"].keys(), "no text takes another one's place"
    for kind in ALARMS:
        assert f"alarm_{kind}" in texts["owner_en"] and f"alarm_{kind}_do" in texts["owner_en"]


def test_hours_run_from_the_start_of_the_day_over_midnight() -> None:
    rows = [{"hour": "23", "count": 1, "net": 500}, {"hour": "01", "count": 2, "net": 700}]
    hours, none, before, days = page(
        ("hours", [[rows, []], 4, {"least": 3}]), ("hours", [[[], []], 4, {"through": 12}]),
        ("net_before", [rows, 0, 4]), ("days_up_to", ["2026-03-01", 3]),
    )  # fmt: skip
    assert [hour["hour"] for hour in hours] == [23, 0, 1]
    assert [[value["net"] for value in hour["values"]] for hour in hours] == [[500, 0], [0, 0], [700, 0]]
    assert none == []
    assert before == 500, "what was sold after midnight is behind, not before it"
    assert days == ["2026-02-27", "2026-02-28", "2026-03-01"]


def test_a_report_shows_what_stands_in_it_and_the_net_before_its_parts() -> None:
    kinds = {"sku": "text", "name": "text", "sold": "quantity", "sales": "money", "voids": "money", "net": "money"}
    report = {
        "columns": [{"name": name, "title": name, "kind": kind} for name, kind in kinds.items()],
        "rows": [{"sku": "T", "name": "Tea", "sold": "2", "sales": 10, "voids": 0, "net": 10}],
    }
    everything, two = page(("columns", [report]), ("columns", [report, ["name", "voids"]]))
    assert everything == ["name", "sold", "net", "sales", "sku"]
    assert two == ["name", "voids"]


def test_tills_are_those_of_the_shop_and_those_that_wrote() -> None:
    def wrote(label: str, total: int, missing: list[list[int]], count: int) -> dict[str, Any]:
        receipts = {"missing": missing, "missing_count": count}
        return {"till": label.lower(), "label": label, "count": 1, "total": total, "missing_count": count,
                "receipts": receipts, "unvouched": {}}  # fmt: skip

    report = {
        "tills": [wrote("A", 30, [], 0), wrote("Z", 5, [[4, 6], [9, 9]], 4)],
        "closes": [{"till": "z"}], "waiting_for": ["a"], "provisional": True,
        "late": [1], "duplicates": [1], "held": [], "disputed": [], "invalid": [],
    }  # fmt: skip
    peers = [{"id": "b", "name": "B", "kind": "till", "connected": False},
             {"id": "w", "name": "WEB", "kind": "hosted", "connected": True, "host": "HQ"}]  # fmt: skip
    status = {"peers": [*peers, {"id": "h", "name": "HQ", "kind": "head office"}]}
    tills, odd, closed, ranges = page(
        ("tills", [report, status, {"till": "a", "label": "A"}]), ("oddities", [report]),
        ("oddities", [report | {"provisional": False}]), ("ranges", [[[4, 6], [9, 9], [11, 12]], 2]),
    )  # fmt: skip
    assert [(t["label"], t["here"], t["member"], t["total"], t["closed"]) for t in tills] == [
        ("A", True, True, 30, False), ("B", False, True, 0, False),
        ("WEB", False, True, 0, False), ("Z", False, False, 5, True),
    ]  # fmt: skip
    assert odd == [["duplicates", 1]], "while a till still sells, what it sells is not late"
    assert closed == [["duplicates", 1], ["late", 1]]
    assert ranges == "4–6, 9, …"


# -- in a browser ------------------------------------------------------------------------------------------------------


async def test_a_day_of_all_tills_goes_up_as_they_sell(desk: Counter, tmp_path: Path) -> None:
    async with counter(tmp_path / "b", join=desk) as second:
        await ring(desk)
        await owner(desk)
        await desk.shows(NET, "Rs 650")
        asked: list[str] = []
        desk.page.on("request", lambda request: asked.append(request.url))
        began_s = time.monotonic()
        for _ in range(10):
            await ring(second, "MILK")
        await desk.shows(NET, "Rs 4,450")
        most = 2 + time.monotonic() - began_s
        assert sum("/api/reports/day/" in url for url in asked) <= most, "it asks once a second, not once a sale"
        await desk.shows(".o-tills li", "Till B")
        assert await desk.page.locator(".o-chart canvas").count() == 1
        await desk.until("""() => [...document.querySelectorAll('.o-details tbody td:nth-child(2)')]
            .reduce((sum, cell) => sum + Number(cell.textContent), 0) === 11""")  # the chart's own table
        # the same in Urdu, from right to left, at once
        await desk.page.click("button[lang=ur]")
        await desk.shows("#card-net", "خالص")
        assert await desk.page.evaluate("getComputedStyle(document.body).direction") == "rtl"
        assert await desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_figures_that_only_a_manager_may_see_are_behind_a_pin(desk: Counter) -> None:
    await desk.cashier("Sana", role="manager", pin="5678")
    await desk.cashier("Ali", role="cashier", pin="1234")
    await ring(desk)
    await desk.setting("permissions", {"reports": "manager"})
    await desk.page.goto(f"{desk.url}/owner")
    await desk.page.wait_for_selector(".o-door .row-key")
    assert await desk.page.locator(".o-door .row-key").all_inner_texts() == ["1\nSana\nManager"]
    await desk.page.click(".o-door .row-key")
    await desk.page.fill("input[type=password]", "1111")
    await desk.press("Enter")
    await desk.shows(".notice", "PIN")
    assert await desk.page.locator(NET).count() == 0
    await desk.page.fill("input[type=password]", "5678")
    await desk.press("Enter")
    await desk.shows(NET, "Rs 650")
    await desk.page.reload()
    await desk.shows(NET, "Rs 650")
    assert await figures_kept(desk) is None, "what is behind a PIN does not lie on this browser's disk"
    await desk.page.click(".o-line button.quiet-key >> nth=0")
    await desk.page.wait_for_selector(".o-door")
    assert await desk.page.locator(NET).count() == 0


async def test_goods_are_made_received_and_counted(desk: Counter) -> None:
    tab = desk.page
    await owner(desk, "stock")
    await tab.click("#card-goods ~ .o-more button")
    await tab.get_by_label("Name", exact=True).fill("Lux soap")
    await tab.get_by_label("Price", exact=True).fill("99.50")
    await tab.get_by_label("Barcode", exact=True).fill("8964000000017")
    await desk.press("Enter")
    await desk.gone(".sheet")
    product = await desk.ask("/api/products/8964000000017")
    assert (product["name"], product["price"]) == ("Lux soap", 9950)
    # two products of one delivery: one scanned, one searched
    await tab.click("text=Goods arrived")
    await tab.fill(".o-finder input", "8964000000017")
    await desk.press("Enter")
    await tab.wait_for_selector(".o-moves li")
    await tab.fill(".o-finder input", "tapal")
    await tab.click(".o-finder .row-key")
    await tab.fill(".o-moves li:nth-child(1) input", "12")
    await tab.fill(".o-moves li:nth-child(2) input", "5.5")
    # somebody has to approve; who thinks better of it finds what was typed
    await desk.cashier("Sana", role="manager", pin="5678")
    await desk.setting("permissions", {"stock": "manager"})
    await tab.click(".o-moves ~ .key.go")
    await tab.wait_for_selector("input[type=password]")
    await desk.press("Escape")
    await desk.gone("input[type=password]")
    assert await tab.input_value(".o-moves li:nth-child(1) input") == "12"
    await tab.click(".o-moves ~ .key.go")
    await tab.fill("input[type=password]", "5678")
    await desk.press("Enter")
    await desk.gone(".sheet")
    assert (await desk.ask("/api/stock?sku=8964000000017"))["on_hand"] == "12"
    assert (await desk.ask("/api/stock?sku=TEA"))["on_hand"] == "5.5"


async def test_a_day_is_closed_and_what_comes_later_is_told(desk: Counter) -> None:
    await ring(desk)
    await owner(desk, "drawers")
    await desk.page.click("text=Close the day at till A")
    await desk.page.click(".sheet .key.go")
    await desk.gone(".sheet")
    await desk.shows("[aria-labelledby=card-dayclose] .quiet", "has closed this day")
    await ring(desk, "MILK")
    await desk.shows(".o-card .warn", "1 entry came after the close: Rs 380")


async def test_a_silent_till_leaves_its_figures_and_the_page_goes_on_by_itself(desk: Counter) -> None:
    await ring(desk)
    await owner(desk)
    await desk.shows(NET, "Rs 650")
    assert (await figures_kept(desk))["answers"]
    await desk.till.kill()
    await desk.shows(".o-banner", "does not answer")
    await desk.page.reload()  # from this browser's disk, the page as well as the figures
    await desk.shows(NET, "Rs 650")
    await desk.shows(".o-banner", "These are the figures of")
    await desk.till.start()
    await desk.gone(".o-banner")
    await ring(desk)
    await desk.shows(NET, "Rs 1,300")


async def test_a_device_of_the_head_office_is_let_in_and_another_one_refused(tmp_path: Path, stocked: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    folder = Path(shutil.copytree(stocked, tmp_path / "asked"))
    async with open_till(folder) as till:
        await attached(till)
        phone, _ = await ask(till, by="Bilal <b>"), await ask(till, "a tablet", label="TAB")
    async with counter(tmp_path, folder) as desk:
        tab = desk.page
        await owner(desk)
        await desk.shows(".o-nav button:last-child .o-badge", "2")
        await tab.click(".o-nav button:last-child")
        await desk.shows("section:has(> header > #card-hosting)", "Bilal <b> at Head office")
        await checked(desk, "who asks")
        await tab.set_viewport_size({"width": 360, "height": 800})
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await tab.get_by_label("Refuse TAB").click()
        await desk.gone("[aria-label='Refuse TAB']")
        await tab.get_by_label("Let in WEB").click()
        await desk.shows("section:has(> header > #card-hosting)", "hosted by Head office")
        await desk.gone(".o-nav .o-badge")
        await desk.shows(".o-tills", "hosted by Head office")
        assert [peer["id"] for peer in (await desk.ask("/api/status"))["peers"] if peer["kind"] == "hosted"] == [phone]
        await tab.click("text=Let in whatever the head office asks for")
        await desk.shows("section:has(> header > #card-hosting)", "with nobody asked")
        assert (await desk.ask("/api/hosting"))["trust_office"] is True
        await tab.click("section:has(> header > #card-hosting) li button")
        await tab.click(".sheet .key.danger")
        await desk.gone(".sheet")
        assert (await desk.ask("/api/hosting"))["elsewhere"] == []


@pytest.mark.parametrize(("language", "scheme", "width"), [("en", "light", 1366), ("ur", "dark", 380)])
async def test_every_part_can_be_read(desk: Counter, language: str, scheme: str, width: int) -> None:
    tab = desk.page
    await tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await tab.set_viewport_size({"width": width, "height": 800})
    customer = {"id": str(uuid.uuid4()), "name": "Rasheeda Bibi", "phone": "0300-1234567"}
    await desk.ask("/api/customers", customer)
    sale = await ring(desk, tenders=[{"kind": "account", "amount": 0}], customer=customer["id"])
    await desk.ask(f"/api/sales/{sale['id']}/refund", {"id": str(uuid.uuid4()), "reason": "torn"})
    await ring(desk, tenders=[{"kind": "account", "amount": 0}], customer=customer["id"])
    await desk.ask("/api/shifts/open", {"id": str(uuid.uuid4()), "float": 5000})
    await desk.ask("/api/stock", {"id": str(uuid.uuid4()), "moves": [{"sku": "TEA", "counted": -3, "reason": "count"}]})
    await owner(desk)
    if language == "ur":
        await tab.click("button[lang=ur]")
    opened = {"today": ".row-key", "reports": "", "drawers": ".row-key", "stock": ".row-key", "credit": ".row-key",
              "devices": ".key.go"}  # fmt: skip
    for part, button in opened.items():
        await tab.evaluate("part => (location.hash = part)", part)
        await tab.wait_for_selector(f".o-card {button}")
        await checked(desk, part)
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{part} is too wide"
        small = await tab.evaluate(
            """() => [...document.querySelectorAll('.owner button, .owner a, .owner input, .owner summary')]
                .filter(e => e.checkVisibility()).map(e => [e.innerText, e.getBoundingClientRect()])
                .filter(([, box]) => box.height < 47.5 || box.width < 47.5)
                .map(([text, box]) => [text, box.width, box.height])"""
        )
        assert small == [], part
        tiny = await tab.evaluate(
            """() => [...document.querySelectorAll('.owner *')].filter(e => e.checkVisibility() && [...e.childNodes]
                .some(c => c.nodeType === 3 && c.data.trim()) && parseFloat(getComputedStyle(e).fontSize) < 16)
                .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert tiny == [], part
        if button:
            await tab.click(f".o-main {button} >> nth=0")
            await tab.wait_for_selector(".sheet h2")
            await checked(desk, f"{part}: the sheet")
            await desk.press("Escape")
            await desk.gone(".sheet")
