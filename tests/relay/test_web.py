"""The head office's pages: who sees what, what people do there, and that all of it can be read."""

from __future__ import annotations

import re
import time
from html import escape
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from posline.core.base64url import from_base64url
from posline.core.numbers import author_id
from posline.errors import Unavailable
from posline.till.asking import AskFailed, ask_at
from posline.till.joining import attach
from posline.till.till import open_till
from relay.office import CONSOLE
from relay.people import Browser
from relay.prices import Change
from relay.rights import Right, Role
from relay.web.frame import MENU, Frame, Visit, WebOptions
from relay.web.words import TEXTS
from tests.page.test_reading import faults
from tests.proof import LOOKS
from tests.relay.browsers import (
    EVIL,
    NORTH,
    PAGES,
    SOUTH,
    chromium,
    form,
    linked,
    listening,
    said,
    secret_of,
    web,
)
from tests.relay.test_people import OTHER, SECRET
from tests.till.shop import TEA
from tests.till.test_joining import attaching, until

# -- who sees what -----------------------------------------------------------------------------------------------------


async def test_nobody_but_an_owner_administers(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        await office.person("Asma")
        person = office.relay.people.by_name("Asma").id
        anybody = {"/sign-in", "/first", "/language"}
        own = {"/", "/sign-out", "/account", "/account/password", "/account/session", "/account/sign-out"}
        own |= {"/reports", "/alarms", "/search"}  # of the shops that are theirs: tests/relay/test_board_pages.py
        for role, shops in ((Role.ACCOUNTANT, None), (Role.MANAGER, [NORTH]), (Role.READER, [NORTH])):
            client = await office.person(role.value, role, shops)
            tried = 0
            for route in office.app.routes:
                name = getattr(route, "name", "")
                if not name.startswith(("page /", "form /")) or route.path in anybody | own or "/page/" in route.path:
                    continue
                if route.path.startswith(("/shops/", "/alarms/", "/prices")):  # of which each has tests of its own
                    continue
                path = route.path.replace("{person}", person).replace("{shop}", NORTH)
                method = "POST" if name.startswith("form") else "GET"
                assert (await client.request(method, path)).status_code == 403, path
                assert (await office.browser().request(method, path)).headers["location"].startswith("/sign-in")
                tried += 1
            assert tried > 12
            start = (await client.get("/")).text
            assert "North" in start and ("South" in start) == (shops is None) and "/office/" not in start


async def test_a_session_reads_the_api_as_its_role_may(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        reader = await office.person("Zara", Role.READER, [NORTH])
        day = "/reports/day/2026-11-23"
        assert (await owner.get(f"/api/shops/{SOUTH}{day}")).status_code == 200
        assert (await reader.get(f"/api/shops/{NORTH}{day}")).status_code == 200
        assert (await reader.get(f"/api/shops/{SOUTH}{day}")).status_code == 403
        assert [shop["shop"] for shop in (await reader.get("/api/shops")).json()["shops"]] == [NORTH]
        assert (await reader.get(f"/api/shops/{NORTH}/reports/product?format=csv")).status_code == 403
        assert (await reader.get("/api/feed")).status_code == 403 and (await owner.get("/api/feed")).status_code == 200
        assert (await office.browser().get("/api/shops")).status_code == 401
        presented = {"authorization": "Bearer guess"}
        assert (await owner.get("/api/shops", headers=presented)).status_code == 401, "what is presented counts"


@pytest.mark.parametrize(
    "path",
    ["/office/shops/..%2f..%2fkey", "/office/shops/%00", "/page/../key", "/page/%2e%2e/office.db",
     "/page/..%2fframe.py", "/office/people/'%20OR%201=1--", "/office/shops/" + "x" * 26, "/static/frame.css",
     "/office", "/office/", "/sign-out"],
)  # fmt: skip
async def test_paths_lead_to_pages_or_nowhere(path: str, tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        answer = await (await office.person("Asma")).get(path)
        assert answer.status_code == 404 and "<h1>" in answer.text
        assert (await office.browser(accept="application/json").get("/nothing")).json()["status"] == 404


async def test_a_page_takes_up_no_shop_that_nobody_asks_about(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        assert await office.relay.let_go_of_idle(time.monotonic() + 1) == 2
        assert (await (await office.person("Asma")).get("/account")).status_code == 200
        assert await office.relay.let_go_of_idle(time.monotonic() + 1) == 0


async def test_a_page_that_is_added_is_given_who_asks_and_what_is_theirs(tmp_path: Path) -> None:
    """As docs/headoffice.md says: a function and a route."""

    async def silent(visit: Visit) -> Response:
        branch = visit.branch(visit.request.path_params["shop"])
        return visit.show("sign_in.html", next="/", anybody=True, name=f"{visit.viewer.name} at {branch.name}")

    async with web(tmp_path) as office:
        frame = Frame(office.relay, WebOptions())
        routes = [
            frame.get("/shops/{shop}/silent", silent), frame.post("/shops/{shop}/prices", silent, right=Right.PRICES),
        ]  # fmt: skip
        office.app.router.routes[:0] = routes
        reader = await office.person("Zara", Role.READER, [NORTH])
        assert "Zara at North" in (await reader.get(f"/shops/{NORTH}/silent")).text
        other, none = await reader.get(f"/shops/{SOUTH}/silent"), await reader.get(f"/shops/{'w' * 26}/silent")
        assert other.status_code == none.status_code == 404
        assert other.text.replace(SOUTH, "") == none.text.replace("w" * 26, ""), "nobody is told that it exists"
        assert (await form(reader, "/account", f"/shops/{NORTH}/prices")).status_code == 403
        manager = await office.person("Bilal", Role.MANAGER, [NORTH])
        assert (await form(manager, "/account", f"/shops/{NORTH}/prices")).status_code == 200
        assert (await form(manager, "/account", f"/shops/{SOUTH}/prices")).status_code == 404
        asked = await office.browser().get(f"/shops/{NORTH}/silent")
        assert asked.headers["location"] == f"/sign-in?next=/shops/{NORTH}/silent"


# -- what people do ----------------------------------------------------------------------------------------------------


async def test_an_owner_adds_changes_and_removes_people(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner, people = await office.person("Asma"), office.relay.people
        page = "/office/people"
        refused = await form(owner, page, page, name="Bilal", role="reader", every="0")
        assert refused.status_code == 422 and 'value="Bilal"' in refused.text, "what was typed stays"
        assert TEXTS["en"]["error_bad_shops"] in refused.text
        token = secret_of(await form(owner, page, page, name="Bilal", role="manager", every="1", shop=[NORTH]))
        assert people.by_name("Bilal").shops == frozenset({NORTH})
        bilal = office.browser()
        await bilal.post("/first", data={"token": token, "password": SECRET, "again": SECRET})
        one = f"{page}/{people.by_name('Bilal').id}"
        assert said(await form(owner, one, one, role="reader", every="1")) == "person_changed"
        assert "South" in (await bilal.get("/")).text, "it counts at once"
        fresh = secret_of(await form(owner, one, one + "/password"))
        assert (await bilal.get("/")).is_redirect
        assert (await bilal.post("/first", data={"token": fresh, "password": OTHER, "again": OTHER})).is_redirect
        bearer = secret_of(await form(owner, one, one + "/token"))
        assert office.relay.access(bearer) is not None
        taken = await form(owner, page, page, name="BILAL", role="owner")
        assert taken.status_code == 409 and TEXTS["en"]["error_name_taken"] in taken.text
        assert said(await form(owner, one, one + "/remove")) == "person_removed"
        assert (await bilal.get("/")).is_redirect and office.relay.access(bearer) is None
        mine = f"{page}/{people.by_name('Asma').id}"
        for path, fields in ((mine + "/remove", {}), (mine, {"role": "reader", "every": "1"})):
            assert TEXTS["en"]["error_only_owner"] in (await form(owner, mine, path, **fields)).text
        acts = [(line.who, line.act, line.address) for line in office.relay.office.trail()]
        for act in ("person_added", "person_changed", "password_forgotten", "token_added", "person_removed"):
            assert ("Asma", act, "192.0.2.7") in acts


async def test_my_account(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        client = await office.person("Asma", **{"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/150.0"})
        phone = office.browser(**{"user-agent": "Mozilla/5.0 (iPhone) Safari/1"})
        await phone.post("/sign-in", data={"name": "Asma", "password": SECRET})
        shown = (await client.get("/account")).text
        assert "Firefox, Linux" in shown and "Safari, iPhone" in shown
        id = re.findall(r'name="id" value="([^"]+)"', shown)
        assert len(id) == 1
        other = await office.person("Bilal")
        await form(other, "/account", "/account/session", id=id[0])
        assert not (await phone.get("/")).is_redirect, "somebody else's is not theirs to end"
        await form(client, "/account", "/account/session", id=id[0])
        assert (await phone.get("/")).is_redirect
        await phone.post("/sign-in", data={"name": "Asma", "password": SECRET})
        old = client.cookies["posline"]
        fields = {"old": SECRET, "password": OTHER, "again": OTHER}
        refused = await form(client, "/account", "/account/password", **(fields | {"old": "not this one"}))
        assert refused.status_code == 401 and TEXTS["en"]["error_wrong_old_password"] in refused.text
        assert said(await form(client, "/account", "/account/password", **fields)) == "password_changed"
        assert client.cookies["posline"] != old and office.relay.people.session(old) is None
        assert (await phone.get("/")).is_redirect and not (await client.get("/")).is_redirect
        assert said(await form(client, "/account", "/account/sign-out")) == "signed_out_everywhere"
        assert (await client.get("/")).is_redirect


async def test_a_shop_is_invited_renamed_and_removed(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner, page = await office.person("Asma"), "/office/shops"
        answer = await form(owner, page, page + "/invite", alias="Harbour", expires="1h")
        link = r"posline attach '(posline://127\.0\.0\.1:8800/attach\?store=\w+#(\S+))'"
        found = re.fullmatch(link, secret_of(answer))
        assert found is not None and "<svg" in answer.text and "?xml" not in answer.text
        assert office.relay.invitations.take(found[2], SOUTH) == "Harbour"
        one = f"{page}/{NORTH}"
        assert said(await form(owner, one, one + "/rename", alias="Mall")) == "shop_renamed"
        assert office.relay.branch("Mall").id == NORTH and "Mall" in (await owner.get("/")).text
        assert (await form(owner, one, one + "/rename", alias="x" * 101)).status_code == 422
        assert said(await form(owner, one, one + "/remove")) == "shop_removed"
        assert "Mall" not in (await owner.get("/")).text and "Mall" in (await owner.get(page)).text
        assert TEXTS["en"]["is_removed"] in (await owner.get(one)).text
        day = f"/api/shops/{NORTH}/reports/day/2026-11-23"
        assert (await owner.get(day)).status_code == 200, "its books stay"


async def test_a_program_gets_a_token_that_stops_when_it_is_revoked(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner, page = await office.person("Asma"), "/office/tokens"
        for wrong in ({"name": ""}, {"name": "x", "shop": "w" * 26}, {"name": "x", "role": "write", "shop": NORTH},
                      {"name": "x", "role": "write", "author": "a" * 26}, {"name": "x", "role": "owner"}):  # fmt: skip
            assert (await form(owner, page, page, **{"role": "read", "shop": "", **wrong})).status_code == 422
        token = secret_of(await form(owner, page, page, name="ERP", shop=NORTH, role="read", author=""))
        reading = {"authorization": f"Bearer {token}"}
        program = office.browser(accept="application/json")
        assert (await program.get(f"/api/shops/{NORTH}/sales", headers=reading)).status_code == 200
        assert (await program.get(f"/api/shops/{SOUTH}/sales", headers=reading)).status_code == 403
        (found,) = (each for each in office.relay.office.tokens() if each.name == "ERP")
        assert said(await form(owner, page, page + "/revoke", id=found.id)) == "token_revoked"
        assert (await program.get(f"/api/shops/{NORTH}/sales", headers=reading)).status_code == 401


async def test_the_trail_has_pages(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        for n in range(60):
            office.relay.office.rename_shop(NORTH, f"Name {n}", by=CONSOLE)
        first = (await owner.get("/office/audit")).text
        assert "Name 59" in first and "Name 5<" not in first
        older = re.search(r'href="(/office/audit\?before=[0-9a-f]+)"', first)
        assert older is not None and "Name 5<" in (await owner.get(older[1])).text
        assert (await owner.get("/office/audit?before='%20OR%201=1")).status_code == 200


async def test_the_trail_says_what_was_priced_in_the_language_of_whoever_looks(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        priced = [Change(sku, {"name": sku, "price": 65000}) for sku in ("TEA", "MILK")]
        office.relay.prices.draft("all", priced, by=CONSOLE, why="Winter")
        office.relay.prices.set_group("Old town", [NORTH, SOUTH], by=CONSOLE)
        await form(owner, "/account", "/language", language="ur")
        found = (await owner.get("/office/audit")).text
        assert "2 چیزیں: Winter" in found and "2 دکانیں" in found and "کمانڈ لائن" in found
        assert f"<bdi>{TEXTS['ur']['price_all']}</bdi>" in found
        assert "products" not in found and "2 shops" not in found


async def test_names_are_shown_and_never_run(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        await office.relay.attach(shop="x" * 26, name=EVIL, updates=[], alias=EVIL)
        owner = await office.person(EVIL)
        office.relay.people.add(f"B {EVIL}", Role.MANAGER, ["x" * 26], by=CONSOLE)
        office.relay.office.hand_out(shop="x" * 26, role="read", name=EVIL, by=CONSOLE)
        one, person = f"/office/shops/{'x' * 26}", office.relay.people.by_name(EVIL).id
        shown = 0
        for path in ("/", "/account", "/office/shops", one, "/office/people", f"/office/people/{person}",
                     "/office/tokens", "/office/audit", "/?said=%3Cscript%3E"):  # fmt: skip
            text = (await owner.get(path)).text
            assert "<script>" not in text and "<img src=x" not in text and text, path
            shown += text.count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&gt;&lt;img")
        assert shown > 20
        door = (await office.browser().get("/sign-in?next=/%22%3E%3Cscript%3E")).text
        assert "<script>" not in door and 'value="/&#34;&gt;&lt;script&gt;"' in door
        failed = await office.browser().post("/sign-in", data={"name": EVIL, "password": "wrong wrong wrong"})
        assert "<script>" not in failed.text and "&lt;script&gt;" in failed.text
        policy = (await owner.get("/")).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "form-action 'self'" in policy and "frame-ancestors 'none'" in policy


async def test_a_database_that_does_not_answer_is_told_on_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("the database does not answer")

    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        monkeypatch.setattr(office.relay.people, "session", away)
        for path in ("/", "/office/people", "/nothing"):
            answer = await owner.get(path)
            assert answer.status_code == 503 and "<h1>" in answer.text and "does not answer" in answer.text
        monkeypatch.undo()
        assert (await owner.get("/")).status_code == 200


async def test_every_page_says_how_it_may_be_used(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        for path in ("/", "/sign-in", "/first", "/nothing", "/account", *(item.path for item in MENU)):
            headers = (await owner.get(path)).headers
            assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff", path
            assert headers["referrer-policy"] == "same-origin" and "content-security-policy" in headers


# -- words -------------------------------------------------------------------------------------------------------------


def test_each_language_says_the_same() -> None:
    def names(text: Any) -> set[str]:
        forms = [text] if isinstance(text, str) else text.values()
        return {name for form in forms for name in re.findall(r"\{(\w+)\}", form)}

    assert TEXTS["en"].keys() == TEXTS["ur"].keys()
    for key, text in TEXTS["en"].items():
        assert names(text) == names(TEXTS["ur"][key]) and type(text) is type(TEXTS["ur"][key]), key
    files = [path for kind in ("*.html", "*.py") for path in PAGES.rglob(kind) if path.parent.name != "texts"]
    sources = "".join(path.read_text("utf-8") for path in files)
    asked = set(re.findall(r'\bt\("(\w+)"(?! ~)', sources))
    assert asked <= TEXTS["en"].keys(), asked - TEXTS["en"].keys()
    composed = re.compile(
        "menu|role|span|act|said|error|title|secret|till_role|device_state|token|price_field"
        "|alarm_|light_|state_|sort_|col_|odd_|status_|by_|entry_kind_|tender_|cash_"
    )
    unused = [key for key in TEXTS["en"] if f'"{key}"' not in sources and not composed.match(key)]
    assert unused == []


async def test_the_language_is_the_persons_then_the_browsers(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        assert '<html lang="ur" dir="rtl">' in (await office.browser(language="ur-PK,en;q=0.5").get("/sign-in")).text
        client = await office.person("Asma")
        assert '<html lang="en" dir="ltr">' in (await client.get("/")).text
        back = await form(client, "/account", "/language", language="ur", next="/account")
        assert back.headers["location"] == "/account"
        assert '<html lang="ur" dir="rtl">' in (await client.get("/")).text
        elsewhere = office.browser()
        await elsewhere.post("/sign-in", data={"name": "Asma", "password": SECRET})
        assert '<html lang="ur"' in (await elsewhere.get("/")).text, "it goes with them"
        for page in ("/search?q=tea&shop=", "/sign-in?next=/reports"):
            shown = await (elsewhere if page[1:4] == "sea" else office.browser()).get(page)
            assert f'name="next" value="{escape(page)}"' in shown.text, "the page that somebody is on is gone on with"
        for wrong in ({"language": "xx", "next": "/"}, {"next": "/"}):
            assert (await form(client, "/account", "/language", **wrong)).status_code == 422
        away = await form(client, "/account", "/language", language="en", next="//evil.test")
        assert away.headers["location"] == "/"


# -- links that are up, and a real browser -----------------------------------------------------------------------------


async def test_a_removed_shop_is_refused_until_it_is_invited_again(tmp_path: Path) -> None:
    async with web(tmp_path) as office, listening(office) as front:
        relay, link = office.relay, attaching(office.relay, front)
        async with open_till(tmp_path / "till", shop="Corner shop") as till:
            await attach(till, link)
            await until(lambda: linked(relay, till.shop_id))
            relay.office.remove_shop(till.shop_id, by=CONSOLE)
            await until(lambda: not linked(relay, till.shop_id))
            await till.sell([TEA])
            await until(lambda: any("removed from the head office" in each["why"] for each in
                                    relay.branch(till.shop_id).refusals.listed()))  # fmt: skip
            with pytest.raises(AskFailed, match="was removed from the head office"):
                await attach(till, link)
            assert relay.office.shop(till.shop_id).removed_ms  # type: ignore[union-attr]
            await attach(till, attaching(relay, front))
            await until(lambda: relay.branch(till.shop_id).reports.day(till.day)["sales"]["count"] == 1)


async def test_a_till_is_shown_with_what_it_is_known_by(tmp_path: Path) -> None:
    shop = open_till(tmp_path / "till", shop="Corner shop")
    async with web(tmp_path) as office, listening(office) as front, shop as till:
        await attach(till, attaching(office.relay, front))
        await until(lambda: linked(office.relay, till.shop_id))
        owner = await office.person("Asma")
        shown = (await owner.get(f"/office/shops/{till.shop_id}")).text
        author = till.status()["till"]
        assert author in shown
        (key,) = re.findall(r"Ed25519\): <bdi class=.mono.>([\w-]+)<", shown)
        assert author_id(from_base64url(key)) == author, "the key that it was named by"


async def test_a_shop_that_is_not_invited_is_told_no_more_than_that(tmp_path: Path) -> None:
    async with web(tmp_path) as office, listening(office) as front:
        url = front.url.replace("http", "ws") + "/attach"
        with pytest.raises(AskFailed, match="not from here"):
            await ask_at(url, "", {"token": "guess", "shop": "a" * 26, "name": "X", "updates": []})


async def test_a_person_in_a_real_browser(tmp_path: Path) -> None:
    """The whole way on a phone: a token, a password, somebody added and removed, out and in again."""
    async with web(tmp_path) as office, listening(office) as front:
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        async with chromium(viewport={"width": 360, "height": 740}, has_touch=True) as page:
            await page.goto(front.url)
            await page.click("text=Choose a password with your token")
            await page.fill("[name=token]", token)
            await page.fill("[name=password]", SECRET)
            await page.fill("[name=again]", SECRET)
            await page.click("button.go")
            await page.click(".menu >> text=People")
            await page.fill("[name=name]", "Bilal")
            await page.click(".choice:has([value=manager])")
            assert not await page.is_visible(".choice.every"), "a manager has shops of their own"
            await page.click(".tick >> text=North")
            await page.click("button.go")
            assert office.relay.access(await page.inner_text("output"))
            await page.click("text=Done")
            await page.click("[aria-label='Change Bilal']")
            await page.click("summary.danger")
            await page.click("text=Yes, remove")
            await page.wait_for_selector(".note.good")
            assert [person.name for person in office.relay.people.listed()] == ["Asma"]
            await page.click(".me summary")
            await page.click(".me-sheet >> text=Sign out")
            await page.fill("[name=name]", "Asma")
            await page.fill("[name=password]", SECRET)
            await page.press("[name=password]", "Enter")
            await page.wait_for_selector(".tiles")


@pytest.mark.parametrize(("language", "scheme"), LOOKS)
async def test_every_page_can_be_read(language: str, scheme: str, tmp_path: Path) -> None:
    """By the rules of WCAG 2.2 AA, and without scrolling sideways on a phone of 320 px."""
    async with web(tmp_path) as office, listening(office) as front:
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        session = await office.relay.people.first(token, SECRET, Browser())
        office.relay.people.add("Bilal", Role.MANAGER, [NORTH], by=CONSOLE)
        office.relay.office.remove_shop(SOUTH, by=CONSOLE)
        person = office.relay.people.by_name("Bilal").id
        locale = "ur-PK" if language == "ur" else "en-GB"
        async with chromium(viewport={"width": 320, "height": 640}, color_scheme=scheme, locale=locale) as page:

            async def check(where: str) -> None:
                found = await faults(page)
                assert not found, f"{where}: {found}"
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where

            for path in ("/sign-in", "/first", "/nothing"):
                await page.goto(front.url + path)
                assert await page.evaluate("document.documentElement.lang") == language
                await check(path)
            await page.context.add_cookies([{"name": "posline", "value": session.session, "url": front.url}])
            for path in ("/", "/account", "/office/shops", f"/office/shops/{NORTH}", f"/office/shops/{SOUTH}",
                         "/office/people", f"/office/people/{person}", "/office/tokens", "/office/audit"):  # fmt: skip
                await page.goto(front.url + path)
                await check(path)
            await page.click(".me summary")
            await check("the menu")
            await page.goto(front.url + "/office/shops")
            await page.click("form[action$=invite] button")
            await check("an invitation")
