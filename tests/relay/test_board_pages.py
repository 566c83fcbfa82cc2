"""The board's pages: what they say, to whom, with how much work; and an open page that follows what is sold."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from argon2 import PasswordHasher

from examples.rig.chain import ZONE, Chain, Shop
from posline.storage.folder import Folder
from posline.till.joining import attach
from posline.till.receipts.html import STYLE
from posline.till.till import open_till
from relay.alarms import Found
from relay.api import build_app
from relay.marks import OFFICE
from relay.office import CONSOLE
from relay.passwords import Passwords
from relay.people import Browser
from relay.relay import Relay
from relay.rights import Role
from relay.web import live
from tests.page.test_reading import faults
from tests.relay.browsers import EVIL, PAGES, Web, chromium, form, linked, listening, said
from tests.relay.test_people import QUICK, SECRET
from tests.till.shop import TEA
from tests.till.test_joining import attaching, until


@dataclass
class Trading(Web):
    """A head office with shops that trade."""

    chain: Chain

    @property
    def shops(self) -> list[Shop]:
        """The chain's."""
        return self.chain.shops

    async def sell(self, shop: Shop, **how: Any) -> Any:
        """A sale that reaches the head office."""
        shop.moment.ms = self.relay.office.now_ms()
        entry = self.chain.sell(shop, **how)
        await self.chain.bring(self.relay, shop)
        return entry

    def today(self, shop: Shop) -> Any:
        """The board's row of today."""
        return self.relay.board.rows([shop.id], [self.relay.today(shop.id)]).get((shop.id, self.relay.today(shop.id)))

    async def added_up(self) -> None:
        """Wait until the board says what the ledgers do."""

        def equal() -> bool:
            for shop in self.shops:
                report = self.relay.branch(shop.id).reports.day(self.relay.today(shop.id))
                row = self.today(shop)
                if (row.net if row is not None else 0) != report["net"] or shop.id not in self.relay.board.founded():
                    return False
            return True

        await until(equal)


@asynccontextmanager
async def trading(
    tmp_path: Path, *names: str, days: int = 2, at: datetime | None = None
) -> AsyncIterator[Trading]:
    """`at`: the time it is, and stays."""
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder) as relay:
            relay.people.passwords = Passwords(PasswordHasher(**QUICK))
            if at is not None:
                relay.office.now_ms = lambda: int(1000 * at.timestamp())
            here_ms = relay.office.now_ms()
            now = datetime.fromtimestamp(here_ms / 1000, ZONE) - timedelta(hours=4)  # its date is the business day
            chain = Chain(names, began=now - timedelta(days=40))
            await chain.attach(relay)
            for shop in chain.shops:
                for back in range(days, 0, -1):
                    chain.trade(shop, now - timedelta(days=back), 4, close=back > 1)
                await chain.bring(relay, shop)
            office = Trading(relay, build_app(relay, []), chain)
            for shop in chain.shops:
                await office.sell(shop)
            await office.added_up()
            yield office


@contextmanager
def counted(found: Any) -> Iterator[list[str]]:
    """The statements that are asked of a connection meanwhile."""
    asked: list[str] = []
    execute = type(found).execute

    def counting(self: Any, sql: str, *given: Any) -> Any:
        asked.append(sql)
        return execute(self, sql, *given)

    type(found).execute = counting
    try:
        yield asked
    finally:
        type(found).execute = execute


def paths_of(office: Trading, shop: Shop) -> list[tuple[str, str]]:
    """(method, path) of every page and call that names a shop, with this one in it."""
    entry = shop.sold[-1]
    found = []
    for route in office.app.routes:
        if "{shop}" not in getattr(route, "path", "") or not getattr(route, "methods", None):
            continue
        path = route.path.replace("{shop}", shop.id).replace("{till}", entry.till).replace("{day}", entry.day)
        path = path.replace("{hash}", entry.hash.hex()).replace("{wanted}", entry.id).replace("{kind}", "product")
        path = path.replace("{what}", "sales")
        found += [(method, path) for method in route.methods - {"HEAD"}]
    return found


async def test_the_first_page_says_what_the_day_reports_do(tmp_path: Path) -> None:
    async with trading(tmp_path, "North", "گلبرگ") as office:
        owner = await office.person("Asma")
        text = unescape((await owner.get("/")).text)
        for shop in office.shops:
            report = office.relay.branch(shop.id).reports.day(office.relay.today(shop.id))
            row = re.search(rf'<tr id="shop-{shop.id}">.*?</tr>', text, re.DOTALL)
            assert row is not None and f"Rs {report['net'] // 100:,}" in row[0] and shop.name in row[0]
        total = sum(office.today(shop).net for shop in office.shops)
        assert f"Rs {total // 100:,}" in re.search(r'id="totals".*?</section>', text, re.DOTALL)[0]  # type: ignore[index]
        asked = await owner.get("/?format=csv")
        rows = list(csv.DictReader(io.StringIO(asked.text.removeprefix("\ufeff"))))
        assert {row["name"] for row in rows} == {"North", "گلبرگ"}
        assert sum(round(100 * float(row["net"])) for row in rows) == total
        for query, names in (("q=nor", ["North"]), ("light=green", []), ("light=none", ["North", "گلبرگ"]),
                             ("state=open&sort=net", ["North", "گلبرگ"]),
                             ("sort=%27;--&way=x&after=-1", ["North"])):  # fmt: skip
            shown = (await owner.get(f"/?{query}")).text
            listed = re.findall(r'<th scope="row"><a class="name"[^>]*><bdi>([^<]+)', shown)
            assert set(names) <= set(listed) and (names or not listed), query


async def test_every_page_follows_down_to_the_bytes(tmp_path: Path) -> None:
    async with trading(tmp_path, "North") as office:
        owner, (shop,) = await office.person("Asma"), office.shops
        entry, branch = shop.sold[-1], office.relay.branch(shop.id)
        way = ["/", f"/shops/{shop.id}", f"/shops/{shop.id}/days/{entry.day}",
               f"/shops/{shop.id}/days/{entry.day}/tills/{entry.till}",
               f"/shops/{shop.id}/entries/{entry.hash.hex()}"]  # fmt: skip
        for here, there in pairwise(way):
            answer = await owner.get(here)
            assert answer.status_code == 200 and f'href="{there}"' in answer.text, (here, there)
        shown = unescape((await owner.get(way[-1])).text)
        assert branch.reports.sale(entry.id)[0].receipt in shown and "PAYABLE" in shown
        assert f'"id": "{entry.id}"' in shown
        yesterday = office.relay.board.days_of(shop.id, "2020-01-01", "9")[1]
        day = unescape((await owner.get(f"/shops/{shop.id}/days/{yesterday.day}")).text)
        assert f"Rs {yesterday.net // 100:,}" in day and "Provisional" in day
        assert "<dt>JazzCash</dt>" in day or "<dt>Cash</dt>" in day, "tenders by their names"
        for by in ("product", "department", "cashier", "tender", "tax"):
            answer = await owner.get(f"/reports?by={by}&format=csv&from={yesterday.day}")
            rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
            assert sum(round(100 * float(row["net"])) for row in rows) == yesterday.net + office.today(shop).net, by
        for wanted in (entry.id, entry.id[:8], branch.reports.sale(entry.id)[0].receipt):
            assert entry.hash.hex() in (await owner.get("/search", params={"q": wanted})).text, wanted
        amount = entry.body["total"] / 100
        assert entry.hash.hex() in (await owner.get("/search", params={"amount": amount})).text
        for wrong in (f"/shops/{shop.id}/days/2026-13-01", f"/shops/{shop.id}/days/{entry.day}/tills/x",
                      f"/shops/{shop.id}/entries/{'0' * 64}", f"/shops/{shop.id}/entries/x", "/shops/x"):  # fmt: skip
            assert (await owner.get(wrong)).status_code == 404, wrong
        assert (await owner.get("/reports?from=2026-11-27&to=2026-11-20")).status_code == 422


@pytest.mark.parametrize("clock", ["23:30", "18:30"])
async def test_the_day_of_reports_is_the_shops_whatever_this_machines_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """At 04:30 in Karachi a machine on UTC has yesterday's date; at 23:30 one farther east has tomorrow's."""
    at = datetime.fromisoformat(f"2026-11-27T{clock}+00:00")
    monkeypatch.setenv("TZ", "UTC" if clock == "23:30" else "Asia/Tokyo")
    time.tzset()
    try:
        async with trading(tmp_path, "North", days=1, at=at) as office:
            owner, (shop,) = await office.person("Asma"), office.shops
            row = office.today(shop)
            assert row.day == office.relay.today("") == ("2026-11-28" if clock == "23:30" else "2026-11-27")
            answer = await owner.get("/reports?by=product&format=csv")
            rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
            assert row.count == 1 and sum(round(100 * float(each["net"])) for each in rows) == row.net
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_shop_that_was_removed_is_in_no_total_of_the_chain(tmp_path: Path) -> None:
    async with trading(tmp_path, "North", "South") as office:
        owner, (north, south) = await office.person("Asma"), office.shops
        reader = {"authorization": f"Bearer {office.relay.office.hand_out(shop='', role='read', by=CONSOLE)}"}
        day, sold = office.relay.today(north.id), office.today(north).net
        await until(lambda: office.relay.board.versions(None, "2020-01-01", "9").keys() >= {(south.id, day)})
        office.relay.office.remove_shop(south.id, by=CONSOLE)
        answer = await owner.get(f"/reports?by=tender&format=csv&from={day}&to={day}")
        rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
        assert sum(round(100 * float(row["net"])) for row in rows) == sold
        rows = list(csv.DictReader(io.StringIO((await owner.get("/?format=csv")).text.removeprefix("\ufeff"))))
        assert [(row["name"], round(100 * float(row["net"]))) for row in rows] == [("North", sold)]
        page = unescape((await owner.get("/")).text)
        both = sold + office.today(south).net
        assert f"Rs {sold // 100:,}" in page and f"Rs {both // 100:,}" not in page
        told = (await owner.get(f"/api/accounting?from={day}&to={day}", headers=reader)).json()
        assert [each["shop"] for each in told["days"]] == [north.id]


# -- who sees what -----------------------------------------------------------------------------------------------------


async def test_nobody_sees_another_shop_by_any_address(tmp_path: Path) -> None:
    async with trading(tmp_path, "North", "South") as office:
        north, south = office.shops
        office.relay.alarms.came(north.id, [Found("x", "refused", 3, {"who": "SECRET", "why": "w"})])
        office.relay.alarms.came(OFFICE, [Found("off", "refused", 1, {"who": "u", "why": "w"})])
        await office.person("Asma")
        for role in (Role.MANAGER, Role.READER):
            client = await office.person(role.value, role, [south.id])
            tried = paths_of(office, north)
            assert len(tried) > 15
            for method, path in tried:
                answer = await client.request(method, path)
                assert answer.status_code in (401, 403, 404) or (answer.is_redirect and method == "POST"), path
                told = answer.text.replace(path, "")
                assert "North" not in told and north.sold[-1].hash.hex() not in told, path
            theirs = office.today(south)
            for path in ("/", "/reports?by=tender", f"/reports?by=tender&shop={north.id}", "/alarms", "/?q=North",
                         f"/alarms?shop={north.id}", f"/search?q={north.sold[-1].id}"):  # fmt: skip
                text = unescape((await client.get(path)).text)
                text = text.replace('value="North"', "").replace("q=North", "")
                assert "North" not in text and "SECRET" not in text, path
                assert f"/shops/{north.id}" not in text and north.sold[-1].hash.hex() not in text, path
            home = unescape((await client.get("/")).text)
            assert home.count(f"Rs {theirs.net // 100:,}") >= 2, "the total is that of the shops that are theirs"
            note = await form(client, "/", "/alarms/note", shop=north.id, name="x", note="seen")
            assert note.status_code == 404
            assert (await form(client, "/", "/alarms/note", shop="", name="off")).status_code == 404
            assert (await client.get("/?format=csv")).status_code == 403
        assert {(one.shop, one.name) for one in office.relay.alarms.open(lambda shop: True) if not one.noted_by} >= {
            (north.id, "x"), (OFFICE, "off"),
        }  # fmt: skip


async def test_names_are_shown_and_never_run(tmp_path: Path) -> None:
    async with trading(tmp_path, EVIL, days=1) as office:
        (shop,) = office.shops
        line = {"sku": EVIL, "name": EVIL, "quantity": "1", "price": 700}
        entry = await office.sell(shop, lines=[line], by=EVIL)
        customer = {"customer": str(uuid.uuid4()), "name": f"Zeb {EVIL}", "phone": EVIL, "seen": {}}
        shop.tills[0].write("customer", customer)
        await office.chain.bring(office.relay, shop)
        await office.added_up()
        office.relay.alarms.came(shop.id, [Found("gap", "refused", 1, {"who": EVIL, "why": EVIL})])
        owner, tried = await office.person("Asma"), 0
        assert said(await form(owner, "/alarms", "/alarms/note", shop=shop.id, name="gap", note=EVIL)) == "alarm_noted"
        for path in ("/", f"/shops/{shop.id}", f"/shops/{shop.id}/days/{entry.day}", "/alarms", "/reports?by=product",
                     f"/shops/{shop.id}/days/{entry.day}/tills/{entry.till}", "/reports?by=cashier", "/search?q=Zeb",
                     f"/shops/{shop.id}/entries/{entry.hash.hex()}",
                     f"/search?q={quote(EVIL)}&amount=%22%3E"):  # fmt: skip
            text = (await owner.get(path)).text
            assert "<script>alert" not in text and "<img src=x" not in text, path
            tried += "&lt;script&gt;alert(1)" in text
        assert tried == 10


async def test_the_styles_of_receipts_are_the_tills(tmp_path: Path) -> None:
    assert STYLE in (PAGES / "static" / "receipt.css").read_text()


# -- work --------------------------------------------------------------------------------------------------------------


async def test_a_page_asks_as_much_of_many_shops_as_of_few(tmp_path: Path) -> None:
    async with trading(tmp_path, *(f"Shop {n}" for n in range(12)), days=1) as office:
        owner = await office.person("Asma")
        few = await office.person("Bilal", Role.MANAGER, [office.shops[0].id])
        for path in ("/", "/search", "/search?q=nothing"):
            asked = []
            for client in (few, owner):
                await client.get(path)
                with counted(office.relay.store.read) as ledger, counted(office.relay.office.database) as books:
                    assert (await client.get(path)).status_code == 200
                assert "q=" in path or not any(" entry " in sql for sql in ledger), "no entries are read for it"
                asked.append(len(books))
            assert asked[1] <= asked[0] + 2, (path, asked)


async def test_when_a_till_was_last_seen_survives_a_restart(tmp_path: Path) -> None:
    async with open_till(tmp_path / "till", shop="Corner shop") as till:
        async with trading(tmp_path, "North", days=0) as office, listening(office) as front:
            await attach(till, attaching(office.relay, front))
            await until(lambda: linked(office.relay, till.shop_id))
            await until(lambda: bool(office.relay.presence.of(till.shop_id)))
        with Folder(tmp_path / "office") as folder:
            async with Relay(folder) as relay:
                (peer,) = relay.peers(relay.branch(till.shop_id))
                assert (peer["name"], peer["kind"], peer["connected"]) == ("A", "till", False) and peer["last_seen"]
                relay.presence.forget(till.shop_id, [till.id])
                assert relay.peers(relay.branch(till.shop_id)) == []


# -- alarms ------------------------------------------------------------------------------------------------------------


async def test_somebody_takes_note_of_an_alarm(tmp_path: Path) -> None:
    async with trading(tmp_path, "North", days=0) as office:
        (shop,) = office.shops
        owner = await office.person("Asma")
        office.relay.alarms.came(shop.id, [Found("x", "refused", 2, {"who": "a device", "why": "it was removed"})])
        text = unescape((await owner.get("/alarms")).text)
        assert "a device: it was removed" in text and "it stays out" in text
        assert "1 alarm" in (await owner.get("/")).text
        named = {"shop": shop.id, "name": "x"}
        done = await form(owner, "/alarms", "/alarms/note", **named, note="It is at the mender's")
        assert said(done) == "alarm_noted"
        assert "Asma took note" in unescape((await owner.get("/alarms")).text)
        assert "1 alarm" not in (await owner.get("/")).text
        line = office.relay.office.trail(limit=1)[0]
        assert (line.who, line.act, line.detail) == ("Asma", "alarm_acknowledged", "refused: It is at the mender's")
        again = await form(owner, "/alarms", "/alarms/note", shop=shop.id, name="nothing")
        assert again.status_code == 404


# -- live --------------------------------------------------------------------------------------------------------------


async def events(client: Any, url: str, into: list[str]) -> int:
    """Follow a stream; its status at the end."""
    async with client.stream("GET", f"{url}/live", timeout=30) as answer:
        async for line in answer.aiter_lines():
            into.append(line)
        return int(answer.status_code)


async def test_a_stream_is_for_who_is_signed_in_and_says_only_what_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RIGHTS_S", 0.3)
    monkeypatch.setattr(live, "LEAST_S", 0.05)
    monkeypatch.setattr(live, "STREAMS_OF_ONE_MAX", 2)
    async with trading(tmp_path, "North", "South", days=1) as office, listening(office) as front:
        north, south = office.shops
        assert (await office.browser().get("/live")).status_code == 401
        await office.person("Asma")
        session = (await office.person("Bilal", Role.READER, [south.id])).cookies["posline"]
        heard: list[str] = []
        async with httpx.AsyncClient(cookies={"posline": session}, trust_env=False) as client:
            following = asyncio.create_task(events(client, front.url, heard))
            await until(lambda: "event: open" in heard)
            await asyncio.sleep(0)
            await office.sell(north)
            await office.added_up()
            await office.sell(south)
            await until(lambda: "event: changed" in heard)
            await office.added_up()
            told = [line for line in heard if line.startswith("data:")]
            assert told[:2] == ["data: 0", "data: 1"], "what was sold at North was not told, nor counted"
            others = [asyncio.create_task(events(client, front.url, [])) for _ in range(3)]
            await until(lambda: sum(task.done() for task in others) == 2)
            assert [task.result() for task in others if task.done()] == [429, 429]
            office.relay.people.remove(office.relay.people.by_name("Bilal"), by=CONSOLE)
            assert await following == 200, "it ends for whoever was removed"
            await asyncio.gather(*others)
            assert (await client.get(f"{front.url}/live")).status_code == 401


async def test_what_changed_between_a_page_and_its_stream_is_told(tmp_path: Path) -> None:
    async with trading(tmp_path, "North", "South", days=1) as office, listening(office) as front:
        north, south = office.shops
        browser = await office.person("Bilal", Role.READER, [south.id])
        page = (await browser.get("/")).text
        mark = page.partition('<body data-mark="')[2].partition('"')[0]
        assert mark.isdecimal()
        async with httpx.AsyncClient(cookies={"posline": browser.cookies["posline"]}, trust_env=False) as client:
            for shop, told in ((north, False), (south, True)):
                await office.sell(shop)
                await office.added_up()
                async with client.stream("GET", f"{front.url}/live?from={mark}", timeout=30) as answer:
                    lines = answer.aiter_lines()
                    heard = [await anext(lines) for _ in range(3)]
                    if told:
                        assert await anext(lines) == "" and await anext(lines) == "event: changed"
                    assert "event: open" in heard
                office.relay.arrivals.tell()


async def test_an_open_page_shows_a_sale_without_being_asked(tmp_path: Path) -> None:
    """A till of its own sells; the page of somebody who watches on a phone shows it, and the till's light."""
    async with trading(tmp_path, "North", days=1) as office, listening(office) as front:
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        session = await office.relay.people.first(token, SECRET, Browser())
        async with open_till(tmp_path / "till", shop="Corner shop") as till:
            await attach(till, attaching(office.relay, front))
            await until(lambda: linked(office.relay, till.shop_id))
            async with chromium(viewport={"width": 360, "height": 740}, has_touch=True) as page:
                await page.context.add_cookies([{"name": "posline", "value": session.session, "url": front.url}])
                await page.goto(front.url)
                await page.wait_for_selector("[data-live-light].on")
                await page.wait_for_selector(f"#shop-{till.shop_id} .light.green")
                await page.evaluate("window.stays = true")
                await page.fill("[name=q]", "half typed")
                one = await till.sell([TEA | {"price": 123400}])
                shown = f"#shop-{till.shop_id} >> text=Rs {one.total // 100:,}"
                await page.wait_for_selector(shown, timeout=5000)
                assert await page.evaluate("window.stays"), "the page was not loaded anew"
                assert await page.input_value("[name=q]") == "half typed"
                await page.click(f"#shop-{till.shop_id} a.name")
                await page.wait_for_selector("[data-live-light].on")
                two = await till.sell([TEA | {"price": 100000}])
                shown = f"#totals >> text=Rs {(one.total + two.total) // 100:,}"
                await page.wait_for_selector(shown, timeout=5000)


async def test_without_a_script_every_page_is_whole(tmp_path: Path) -> None:
    async with trading(tmp_path, "North", days=1) as office, listening(office) as front:
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        session = await office.relay.people.first(token, SECRET, Browser())
        async with chromium(java_script_enabled=False) as page:
            await page.context.add_cookies([{"name": "posline", "value": session.session, "url": front.url}])
            await page.goto(front.url)
            assert not await page.is_visible("[data-live-light]")
            await page.fill("[name=q]", "Nor")
            await page.click(".filter button")
            await page.click("text=North")
            assert await page.is_visible("#tills")


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("ur", "dark")])
async def test_every_page_can_be_read(language: str, scheme: str, tmp_path: Path) -> None:
    """By the rules of WCAG 2.2 AA, and without scrolling sideways on a phone of 320 px."""
    async with trading(tmp_path, "North", "گلبرگ") as office, listening(office) as front:
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        session = await office.relay.people.first(token, SECRET, Browser())
        shop = office.shops[0]
        entry = shop.sold[-1]
        office.relay.alarms.looked(["gap", "clock"], {shop.id: [
            Found("gap a", "gap", 2, {"till": "A", "n": 2, "numbers": "4-5"}),
            Found("clock a", "clock", 1, {"till": "A", "minutes": 4, "way": "ahead"}),
        ]})  # fmt: skip
        locale = "ur-PK" if language == "ur" else "en-GB"
        async with chromium(viewport={"width": 320, "height": 640}, color_scheme=scheme, locale=locale) as page:
            await page.context.add_cookies([{"name": "posline", "value": session.session, "url": front.url}])
            for path in ("/", f"/shops/{shop.id}", f"/shops/{shop.id}/days/{entry.day}", "/alarms", "/reports",
                         f"/shops/{shop.id}/days/{entry.day}/tills/{entry.till}", f"/search?q={entry.id}",
                         f"/shops/{shop.id}/entries/{entry.hash.hex()}"):  # fmt: skip
                await page.goto(front.url + path)
                await page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
                found = await faults(page)
                assert not found, f"{path}: {found}"
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_nobody_waits_for_the_tills_of_a_shop_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.watching.SWEEP_S", 0.1)
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder) as relay:
            chain = Chain(["North"])
            await chain.attach(relay)
            (shop,) = chain.shops
            shop.moment.ms = relay.office.now_ms() - 3 * 86_400_000
            chain.sell(shop)
            await chain.bring(relay, shop)

            def waits() -> bool:
                return any(one.kind == "unclosed" for one in relay.alarms.open(lambda shop: True))

            await until(waits)
            relay.office.remove_shop(shop.id, by=CONSOLE)
            await until(lambda: not waits())
