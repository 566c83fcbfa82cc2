"""What cashiers hate elsewhere, and what they get here: the behaviours of a counter, in a real browser."""

from __future__ import annotations

import re

from tests.page.counter import COKE, MILK, RICE, TEA, Counter

UNKNOWN = "9990001112223"


async def test_a_scan_adds_its_line_in_any_state(desk: Counter) -> None:
    page = desk.page
    await desk.scan(*[TEA, MILK, COKE, MILK] * 5)
    names = [name for name, _, _ in await desk.lines()]
    assert names == ["Tapal Danedar 450 g", "Olpers Milk 1 l", "Coca-Cola 1.5 l", "Olpers Milk 1 l"] * 5
    assert await page.input_value("#entry") == ""

    # in each sheet, while paying, and in the middle of a word that somebody types
    count = 20
    for key, field in (
        ("F2", ".sheet input"),
        ("F3", ".sheet input"),
        ("F4", ".sheet input >> nth=1"),
        ("F8", ".sheet input"),
        ("F10", None),
        ("F12", "#given"),
    ):
        await desk.press(key)
        if field:
            await page.focus(field)
            before = await page.input_value(field)
        await desk.scan(TEA if count % 2 else COKE)
        count += 1
        await desk.counts(count)
        if field and await page.locator(field).count():
            assert await page.input_value(field) == before, f"{key}: the scan left something in the field"
        await desk.press("Escape", "Escape")
    await desk.type("mil")
    await desk.scan("\x1d" + MILK)
    await desk.counts(count + 1)
    assert await page.input_value("#entry") == "mil", "what a person typed stays, what the scanner typed goes"


async def test_an_exact_cash_sale_is_its_scans_and_two_keys(desk: Counter) -> None:
    await desk.scan(TEA, MILK)
    await desk.press("+", "Enter")
    await desk.sold("Rs 1,030")
    assert await desk.page.locator("[role=dialog]").count() == 0
    await desk.scan(COKE)  # the next sale starts itself
    assert await desk.lines() == [("Coca-Cola 1.5 l", "1", "210")]
    await desk.drained()
    (sale,) = await desk.sales()
    assert sale["total"] == 103000
    assert sale["tenders"] == [{"kind": "cash", "amount": 103000}]


async def test_a_quantity_before_a_scan_multiplies_and_a_day_goes_by_the_number_pad(desk: Counter) -> None:
    page = desk.page
    await desk.type("3*")
    await desk.scan(MILK)
    await desk.type("12345\n")  # typed by hand: onions, which are weighed
    await page.wait_for_selector("[role=dialog]")
    await desk.type("1.5\n")
    await desk.scan("2112345015002")  # the label of a scale
    assert await desk.lines() == [("Olpers Milk 1 l", "3", "1,140"), ("Onions", "1.5", "180"), ("Onions", "1.5", "180")]
    await desk.type("-")  # undo needs nothing
    assert len(await desk.lines()) == 2
    await desk.type("+")
    await desk.type("1500\n")
    await desk.sold("Rs 180")
    await desk.type("/")  # everything else by number: the shift is opened, looked at, and closed
    await desk.shows("[role=dialog]", "Shift and drawer")
    item = page.locator(".row-key", has_text="Shift and drawer").locator("kbd")
    await desk.type(await item.inner_text())
    await desk.type("5")
    await desk.shows(".shift-report", "1,320")


async def test_every_button_shows_its_key(desk: Counter) -> None:
    await desk.scan(TEA)
    for selector in (".actions .key", ".key.total"):
        for button in await desk.page.locator(selector).all():
            assert await button.locator("kbd").count() >= 1, await button.inner_text()
    await desk.press("F12")
    for button in await desk.page.locator(".pay button").all():
        assert await button.locator("kbd").count() == 1, await button.inner_text()


async def test_cash_keys_and_change_in_the_largest_type(desk: Counter) -> None:
    page = desk.page
    for keys, change in ((["F6"], "Rs 4,350"), (["F4"], "Rs 350"), (["F3", "F3"], "Rs 350"), (["F2"] * 7, "Rs 50")):
        await desk.scan(TEA)
        await desk.press("F12", *keys)
        await desk.sold(change)
    sizes = await page.evaluate(
        "[...document.querySelectorAll('body *')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    shown = await page.evaluate("parseFloat(getComputedStyle(document.querySelector('.change')).fontSize)")
    assert shown == max(sizes)
    assert shown >= 96, "an inch high: legible at one metre"
    await page.wait_for_selector(".done")  # until the next scan
    await desk.scan(COKE)
    await desk.gone(".done")


async def test_split_tenders_cards_are_exact_and_cash_is_rounded(desk: Counter) -> None:
    await desk.setting("rounding", 100)
    await desk.scan(RICE)
    await desk.type("0.333\n")  # Rs 119.88
    await desk.press("F12")
    await desk.shows(".due", "Rs 120")
    await desk.press("d")
    await desk.shows(".due", "Rs 119.88")
    await desk.type("100\n")
    await desk.shows(".pay .part", "100")
    await desk.shows(".due", "Rs 20")
    await desk.type("50\n")
    await desk.sold("Rs 30")
    await desk.drained()
    (sale,) = await desk.sales()
    assert sale["tenders"] == [{"kind": "card", "amount": 10000}, {"kind": "cash", "amount": 5000}]
    assert (sale["total"], sale["rounding"], sale["change"]) == (11988, 12, 3000)


async def test_a_tax_that_comes_on_top_is_asked_for(desk: Counter) -> None:
    await desk.scan("8961100999990")
    await desk.shows(".key.total", "Rs 118")
    await desk.press("F12", "d", "Enter")
    await desk.sold("Rs 118")
    await desk.drained()
    (sale,) = await desk.sales()
    assert (sale["total"], sale["tax"]) == (11800, 1800)


async def test_hold_names_itself_and_the_list_is_on_all_tills(desk: Counter) -> None:
    page = desk.page
    await desk.scan(TEA, MILK)
    await desk.press("F6")
    await desk.until("document.querySelector('[aria-keyshortcuts=F7] .count')?.innerText === '1'")
    assert [hold["name"] for hold in (await desk.ask("/api/holds"))["holds"]] == ["Tapal Danedar 450 g"]
    await desk.scan(COKE)
    await desk.press("F7")
    await page.wait_for_selector(".row-key")
    await desk.press("1")  # the open cart is put aside for it
    await desk.counts(2)
    await desk.until("document.querySelector('[aria-keyshortcuts=F7] .count')?.innerText === '1'")
    await desk.press("+", "Enter")
    await desk.sold("Rs 1,030")
    await desk.drained()
    assert [hold["name"] for hold in (await desk.ask("/api/holds?recalled=1"))["holds"]] == ["Coca-Cola 1.5 l"]


async def test_a_reload_and_a_crash_give_the_open_cart_back(desk: Counter) -> None:
    await desk.scan(TEA, COKE)
    await desk.type("2*")
    await desk.scan(MILK)
    before = await desk.lines()
    assert len(before) == 3
    await desk.page.reload()
    await desk.page.wait_for_selector(".lines tbody tr")
    assert await desk.lines() == before
    await desk.kill_browser()
    await desk.open(settled=False)
    await desk.page.wait_for_selector(".lines tbody tr")
    assert await desk.lines() == before


async def test_nothing_says_offline_cannot(desk: Counter) -> None:
    """With the till's program dead: a sale, a new customer, udhaar, a return, a price check, a payment. All of it is
    there once it runs again."""
    page = desk.page
    await desk.sell(TEA)
    await desk.drained()
    (sold,) = await desk.sales()
    await desk.until("document.querySelector('.done .receipt').innerText.startsWith('A-')")
    await desk.till.kill()
    await desk.shows(".chip", "this browser")

    await desk.type("olpers")  # a price check
    await desk.shows(".found", "380")
    await desk.press("Escape")
    await desk.scan(MILK)
    await desk.press("F3")
    await desk.type("Rasheeda Bibi\n")
    await desk.type("03001234567\n")
    await desk.shows(".customer", "Rasheeda Bibi")
    await desk.press("F12", "u", "Enter")
    await desk.sold("Rs 380")
    reference = await page.inner_text(".done .receipt bdi")
    assert re.fullmatch(r"R-[0-9A-F]{10}", reference)

    await desk.press("F8")
    await desk.type(f"{sold['receipt']}\n")
    await desk.shows("[role=dialog] th", "Comes back")
    await desk.press("F2", "Enter")
    await desk.gone("[role=dialog]")
    await desk.shows(".chip", "3 in this browser")

    await desk.till.start()
    await desk.drained()
    by_id = {sale["id"]: sale for sale in await desk.sales()}
    assert len(by_id) == 2
    found = await desk.ask(f"/api/sales/{reference}")
    assert found["tenders"] == [{"kind": "account", "amount": 38000}]
    (owing,) = (await desk.ask("/api/customers?owing=1"))["customers"]
    assert (owing["name"], owing["balance"]["account"]) == ("Rasheeda Bibi", 38000)
    (refund,) = (await desk.ask("/api/refunds"))["refunds"]
    assert (refund["sale"], refund["total"]) == (sold["id"], 65000)


async def test_an_unknown_code_is_named_priced_and_known_from_then_on(desk: Counter) -> None:
    page = desk.page
    await desk.scan(UNKNOWN)
    await desk.shows("[role=dialog]", UNKNOWN)
    await desk.type("Nimko 200 g")
    await desk.press("Tab")
    await desk.type("120\n")
    await desk.gone("[role=dialog]")
    assert await desk.lines() == [("Nimko 200 g", "1", "120")]
    async with page.expect_response(lambda answer: "/api/sales" in answer.url):
        await desk.press("+", "Enter")
    product = await desk.ask(f"/api/products/{UNKNOWN}")
    assert (product["name"], product["price"], product["barcode"]) == ("Nimko 200 g", 12000, UNKNOWN)
    await desk.scan(UNKNOWN)
    assert await desk.lines() == [("Nimko 200 g", "1", "120")]
    await desk.drained()
    assert [sale["total"] for sale in await desk.sales()] == [12000]


async def test_what_needs_a_person_asks_for_a_pin_and_undo_for_nothing(desk: Counter) -> None:
    page = desk.page
    await desk.cashier("Sana", role="supervisor", pin="5678")
    await desk.cashier("Ali", role="cashier")
    await desk.setting("permissions", {"refund": "supervisor"})
    await desk.setting("limits", {"cashier": {"discount_percent": "10"}})
    await desk.page.reload()
    await desk.settled()
    await page.click("text=Cashier?")
    await page.click(".row-key:has-text('Ali')")
    await desk.shows(".bar", "Ali")
    await desk.scan(TEA)
    await desk.press("F4")
    await desk.type("50\n")
    await desk.gone("[role=dialog]")
    await desk.press("F12", "Enter")
    await desk.shows("[role=dialog]", "discount")
    await desk.type("1111\n")
    await desk.shows("[role=alert]", "PIN")
    await desk.type("5678\n")
    await desk.sold("Rs 325")
    await desk.drained()
    (sale,) = await desk.sales()
    assert (sale["by"], sale["total"]) == ("Ali", 32500)
    assert not [row for row in await desk.kept() if "5678" in str(row)], "a PIN is never written down"

    await desk.press("F8")
    await desk.type(f"{sale['receipt']}\n")
    await desk.shows("[role=dialog] th", "Comes back")
    await desk.press("F2", "Enter")
    await desk.shows("[role=dialog]", "Supervisor")
    await desk.type("5678\n")
    await desk.shows(".notice", "Rs 325")
    (refund,) = (await desk.ask("/api/refunds"))["refunds"]
    assert (refund["by"], refund["approved"], refund["reason"]) == ("Ali", "Sana", "Damaged")


async def test_udhaar_by_two_letters_and_a_part_payment(desk: Counter) -> None:
    await desk.ask(
        "/api/customers",
        {"id": "5b1f9a52-7a0c-4e5f-8d3e-6f2b7c1a0001", "name": "Rasheed Khan", "phone": "0300-7654321"},
    )
    await desk.ask("/api/customers", {"id": "5b1f9a52-7a0c-4e5f-8d3e-6f2b7c1a0002", "name": "Bilal"})
    await desk.page.reload()
    await desk.settled()
    await desk.scan(TEA)
    await desk.press("F12", "u")
    await desk.type("ra\n")
    await desk.shows(".pay", "Rasheed Khan")
    await desk.press("Enter")
    await desk.sold("Rs 650")
    await desk.drained()
    await desk.press("F3")
    await desk.type("7654")
    await desk.press("F2")
    await desk.shows(".due", "Rs 650")
    await desk.type("250\n")
    await desk.shows(".notice", "400")
    customer = await desk.ask("/api/customers/5b1f9a52-7a0c-4e5f-8d3e-6f2b7c1a0001")
    assert customer["balance"] == {"account": 40000, "credit": 0}


async def test_the_end_of_a_day_counts_notes(desk: Counter) -> None:
    page = desk.page
    await desk.press("F10")
    await page.click("text=Shift and drawer")
    await desk.type("1")
    await desk.type("2000\n")
    await desk.shows(".notice", "2,000")
    await desk.sell(TEA, MILK)
    await desk.drained()
    await desk.press("F10")
    await page.click("text=Shift and drawer")
    await desk.type("6")
    await desk.shows("[role=dialog]", "3,030")
    await desk.type("0\n3\n\n\n\n\n\n2\n\n\n")  # three thousands, two tens, by Enter alone
    await desk.type("\n\n\n\n")
    await desk.shows(".shift-report", "Over or short, Cash")
    (shift,) = (await desk.ask("/api/shifts"))["shifts"]
    assert (shift["report"], shift["counted"], shift["over_short"]["cash"]) == ("Z", {"cash": 302000}, -1000)
