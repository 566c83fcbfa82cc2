"""The pages about prices, in a real browser: from a file to the tills, and what a shop has otherwise."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from posline.core.products import barcodes_of
from relay.office import CONSOLE
from relay.people import Browser
from relay.prices import Change
from relay.publishing import held_versions
from relay.rights import Role
from tests.page.test_reading import faults
from tests.relay.browsers import NORTH, SOUTH, chromium, form, web
from tests.relay.test_people import SECRET
from tests.relay.test_publishing import publisher_of, through
from tests.relay.test_relay import office
from tests.till.test_joining import until

FILE = "sku,name,name_ur,price,department,from,shop\n" + "".join(
    f"P{n:02},{name},{urdu},{price},{where},,\n"
    for n, (name, urdu, price, where) in enumerate(
        [("Tea 190 g", "چائے", 45000, "Grocery"), ("Milk 1 l", "دودھ", 22000, "Dairy"), ("Sugar 1 kg", "چینی", 9, ""),
         ("Basmati rice 5 kg", "باسمتی چاول", 225000, "Grocery"), ("Soap", "صابن", 12000, "Household")]
    )
) + "P00,Tea 190 g,چائے,47500,Grocery,2099-12-01,\nP01,Milk 1 l,دودھ,21500,Dairy,,North\nBAD,,,-5,,,\n"  # fmt: skip
SHOTS = os.environ.get("POSLINE_SHOTS")  # a folder for pictures of each page, to look at


async def test_a_product_is_shown_by_its_sku_among_many_that_have_it_in_them(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        many = [Change(str(n), {"name": "Tea", "price": 9}) for n in range(1000, 2001)]
        office.relay.prices.draft("all", [*many, Change("9", {"name": "Nine", "price": 900})])
        assert 'value="Nine"' in (await owner.get("/prices/item?list=all&sku=9")).text


async def test_a_product_keeps_its_barcodes_when_its_price_is_changed(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        prices, owner = office.relay.prices, await office.person("Asma")
        prices.draft("all", [Change("TEA", {"name": "Tea", "price": 300, "barcodes": ["11", "22"]})])
        page = "/prices/item?list=all&sku=TEA"
        sent = {"list": "all", "sku": "TEA", "name": "Tea", "price": "310"}
        for shown, sends, codes in (("11 22", "11 22", ["11", "22"]), ("11 22", "33", ["33"]), ("33", "", [])):
            assert f'name="barcode" value="{shown}"' in (await owner.get(page)).text
            assert (await form(owner, page, "/prices/item", **sent, barcode=sends)).status_code == 303
            assert barcodes_of(prices.listed("all")[0]["draft"]) == codes  # type: ignore[index]


async def test_a_list_that_is_not_there_is_no_page(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        prices, manager = office.relay.prices, await office.person("Mina", Role.MANAGER, [NORTH])
        prices.set_group("Coast", [SOUTH])
        owner = await office.person("Asma")
        office.relay.office.remove_shop(NORTH, by=CONSOLE)
        async with asyncio.timeout(20):
            for who, of in ((manager, "group:Coast"), (manager, f"shop:{SOUTH}"), (owner, f"shop:{NORTH}")):
                for page in (f"/prices/list?list={of}", f"/prices/item?list={of}&sku=TEA"):
                    assert (await who.get(page)).status_code == 404, page


@pytest.mark.parametrize("language", ["en", "ur"])
async def test_from_a_file_to_the_tills(language: str, tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        relay, front = found.relay, str(found.http.base_url).rstrip("/")
        token = relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        session = await relay.people.first(token, SECRET, Browser())
        file = tmp_path / "prices.csv"
        file.write_text(FILE, encoding="utf-8")
        locale = "ur-PK" if language == "ur" else "en-GB"
        async with chromium(viewport={"width": 320, "height": 640}, locale=locale) as page:
            await page.context.add_cookies([{"name": "posline", "value": session.session, "url": front}])

            async def look(name: str) -> None:
                assert not await faults(page), name
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                if SHOTS:
                    await shots(page, f"{SHOTS}/{language}-{name}")

            await page.goto(front + "/prices")
            await look("empty")
            await page.goto(front + "/prices/import")
            await page.set_input_files("[name=file]", str(file))
            await page.click("button[value='1']")
            await page.wait_for_selector("#changes tr td")
            assert (await page.inner_text("#changed"), await page.inner_text("#bad")) == ("7", "1")
            assert relay.prices.counts()["all"] == (0, 0), "only looked at"
            await look("import")
            await page.click("#take")
            await page.click("#outcome a.go")
            await look("preview")
            await page.fill("[name=why]", "Winter")
            await page.click("form[action='/prices/publish'] button.go")
            await page.wait_for_selector(".note.good")
            await through(publisher_of(relay))
            (north, south) = found.tills
            await until(lambda: (north.reports.product("P01") or {}).get("price") == 21500)
            await until(lambda: (south.reports.product("P00") or {}).get("ahead"))
            for till in found.tills:
                branch = relay.branch(till.shop_id)
                await until(lambda branch=branch: held_versions(relay, branch)["tills"][0]["version"] == 1)
            await page.goto(front + "/prices")
            await look("prices")
            assert await page.locator("#progress .tag.on").count() == 2
            await page.click("main a[href='/prices/list?list=all']")
            await page.fill("[name=q]", "tea")
            await page.press("[name=q]", "Enter")
            await page.wait_for_url("**q=tea**")
            await look("list")
            await page.click(".rows a.name")
            await look("item")
            await page.fill("[name=price]", "460.50")
            await page.click("form.fields button.go")
            await page.wait_for_selector(".note.good")
            assert relay.prices.listed("all", drafts=True)[0]["draft"]["price"] == 46050  # type: ignore[index]
            await page.fill("[name=price]", "much")
            await page.click("form.fields button.go")
            await page.wait_for_selector(".note.bad")
            await edit(south)
            branch = relay.branch(south.shop_id)
            await until(lambda: (branch.reports.product("P04") or {}).get("price") == 11000)
            await page.goto(f"{front}/prices/shops/{south.shop_id}")
            assert "P04" in await page.inner_text("table.lines")
            await look("shop")
            await page.click("main form button.key")
            await page.wait_for_selector(".note.good")
            await through(publisher_of(relay))
            assert branch.reports.product("P04")["price"] == 12000  # type: ignore[index]


async def edit(till: Any) -> None:
    """A manager changes a price at a till."""
    product = till.reports.product("P04") | {"price": 11000}
    await till.write("products", {"products": [product]}, document=till.reports.catalogue)


async def shots(page: Any, name: str) -> None:
    """Pictures of a page on a phone and on a desk."""
    before = page.viewport_size
    for width, height in ((390, 844), (1280, 900)):
        await page.set_viewport_size({"width": width, "height": height})
        await page.screenshot(path=f"{name}-{width}.png", full_page=True)
    await page.set_viewport_size(before)
