"""The head office's pages, and what somebody may try with them."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from playwright.async_api import Page, async_playwright
from starlette.responses import Response

from posline.errors import Unavailable
from posline.storage.folder import Folder
from posline.sync.accept import WebSocketProtocol
from posline.till.asking import AskFailed, ask_at
from posline.till.joining import attach
from posline.till.listener import Listener
from posline.till.till import open_till
from relay.api import build_app
from relay.office import CONSOLE
from relay.passwords import Passwords
from relay.people import Browser
from relay.prices import Change
from relay.relay import Relay
from relay.rights import Right, Role
from relay.web import frame as frame_module
from relay.web.caller import local_path, network
from relay.web.frame import MENU, Frame, Visit, WebOptions
from relay.web.words import TEXTS
from tests.page.counter import ARGUMENTS, CHROMIUM
from tests.page.test_reading import faults
from tests.relay.test_people import OTHER, QUICK, SECRET
from tests.till.shop import TEA
from tests.till.test_joining import attaching, until

PAGES = Path(frame_module.__file__).parent
NORTH, SOUTH = "n" * 26, "s" * 26
EVIL = '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>'
OURS = {"sec-fetch-site": "same-origin"}


@dataclass
class Web:
    """A head office with two shops, and browsers before it."""

    relay: Relay
    app: Any

    def browser(
        self, *, secure: bool = False, address: str = "192.0.2.7", language: str = "en", **headers: str
    ) -> httpx.AsyncClient:
        """One that says where its forms come from, as all do."""
        base = f"http{'s' if secure else ''}://office.test"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(address, 4711)), base_url=base,
            headers={"accept": "text/html", "accept-language": language, **OURS, **headers},
        )  # fmt: skip

    async def person(self, name: str, role: Role = Role.OWNER, shops: list[str] | None = None, **how: Any) -> Any:
        """A browser in which somebody is signed in who chose SECRET."""
        token = self.relay.people.add(name, role, shops, by=CONSOLE)
        client = self.browser(**how)
        answer = await client.post("/first", data={"token": token, "password": SECRET, "again": SECRET})
        assert answer.status_code == 303, answer.text
        return client


@asynccontextmanager
async def web(tmp_path: Path, options: WebOptions | None = None) -> AsyncIterator[Web]:
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder) as relay:
            relay.people.passwords = Passwords(PasswordHasher(**QUICK))
            for id, name in ((NORTH, "North"), (SOUTH, "South")):
                await relay.attach(shop=id, name=name, updates=[], alias="")
            yield Web(relay, build_app(relay, [], options))


async def form(client: httpx.AsyncClient, page: str, to: str, **fields: Any) -> httpx.Response:
    """Open a page, and send a form of it."""
    shown = await client.get(page)
    assert shown.status_code == 200, shown.text
    found = re.search(r'name="csrf" value="([^"]+)"', shown.text)
    assert found is not None
    return await client.post(to, data={"csrf": found[1], **fields})


def secret_of(answer: httpx.Response) -> str:
    found = re.search(r"<output[^>]*>([^<]+)</output>", answer.text)
    assert answer.status_code == 200 and found is not None, answer.text
    return unescape(found[1])


def said(answer: httpx.Response) -> str:
    return answer.headers["location"].partition("?said=")[2]


# -- signing in --------------------------------------------------------------------------------------------------------


async def test_somebody_signs_in_looks_and_signs_out(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        client = office.browser()
        assert "posline-relay user add NAME" in (await client.get("/sign-in")).text
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        assert "posline-relay user add NAME" not in (await client.get("/sign-in")).text
        sent = await client.get("/office/people?x=1")
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/office/people%3Fx%3D1")
        assert (await client.get("/")).headers["location"] == "/sign-in"
        differ = await client.post("/first", data={"token": token, "password": SECRET, "again": OTHER})
        assert differ.status_code == 422 and TEXTS["en"]["error_bad_again"] in differ.text
        assert (await client.post("/first", data={"token": token, "password": SECRET, "again": SECRET})).is_redirect
        start = await client.get("/")
        assert "North" in start.text and "South" in start.text and 'href="/office/audit"' in start.text
        assert said(await form(client, "/", "/sign-out")) == "signed_out"
        assert (await client.get("/account")).is_redirect
        wrong = await client.post("/sign-in", data={"name": "Asma", "password": "wrong wrong wrong"})
        nobody = await client.post("/sign-in", data={"name": "Nobody", "password": "wrong wrong wrong"})
        assert wrong.status_code == nobody.status_code == 401
        assert wrong.text.replace("Asma", "Nobody") == nobody.text
        back = await client.post("/sign-in", data={"name": "asma", "password": SECRET, "next": "/office/people?x=1"})
        assert (back.status_code, back.headers["location"]) == (303, "/office/people?x=1")
        assert (await client.get("/sign-in")).headers["location"] == "/"
        spent = await office.browser().post("/first", data={"token": token, "password": OTHER, "again": OTHER})
        assert spent.status_code == 401 and TEXTS["en"]["error_spent_token"] in unescape(spent.text)


@pytest.mark.parametrize("secure", [False, True])
async def test_cookies_are_for_this_host_and_no_script(secure: bool, tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        token = office.relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        client = office.browser(secure=secure)
        answer = await client.post("/first", data={"token": token, "password": SECRET, "again": SECRET})
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2
        for cookie in cookies:
            name, _, rest = cookie.partition("=")
            parts = {part.strip().lower() for part in rest.split(";")}
            assert name.startswith("__Host-") == secure and ("secure" in parts) == secure
            assert {"httponly", "samesite=lax", "path=/"} <= parts and "domain" not in cookie.lower()
        assert ("strict-transport-security" in answer.headers) == secure
        if secure:  # a cookie that an unencrypted page of another port may have set is not looked at
            session = client.cookies["__Host-posline"]
            planted = office.browser(secure=True, cookie=f"posline={session}")
            assert (await planted.get("/account")).is_redirect


async def test_a_session_that_somebody_planted_is_not_gone_on_in(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        await office.person("Asma")
        mallory = await office.person("Mallory", Role.READER)
        planted = mallory.cookies["posline"]
        victim = office.browser()
        victim.cookies.set("posline", planted, domain="office.test")
        shown = await victim.get("/sign-in")
        assert shown.is_redirect, "they see that they are signed in, as somebody else"
        victim.cookies.clear()
        victim.cookies.set("posline", "chosen-by-somebody-else", domain="office.test")
        assert (await victim.post("/sign-in", data={"name": "Asma", "password": SECRET})).is_redirect
        assert office.relay.people.session("chosen-by-somebody-else") is None
        assert "chosen-by-somebody-else" not in dict(victim.cookies.items()).values()


@pytest.mark.parametrize(
    "next",
    ["//evil.test", "https://evil.test", "/\\evil.test", "\\/evil.test", "/\t/evil.test", "javascript:alert(1)",
     "/x\r\nset-cookie: a=b", "", "evil.test", "/%0d%0a/../\\evil", "///evil.test"],
)  # fmt: skip
async def test_signing_in_leads_nowhere_else(next: str, tmp_path: Path) -> None:
    assert local_path(next) == "/"
    async with web(tmp_path) as office:
        await office.person("Asma")
        answer = await office.browser().post("/sign-in", data={"name": "Asma", "password": SECRET, "next": next})
        assert answer.headers["location"] == "/"


async def test_guessing_waits_and_says_for_how_long(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        for n in range(6):
            guess = await office.browser(address=f"198.51.100.{n}").post(
                "/sign-in", data={"name": "Asma", "password": "wrong wrong wrong"}
            )
        assert guess.status_code == 401 and re.search(r"Wait \d+ second", guess.text)
        await form(owner, "/", "/sign-out")
        assert (await owner.post("/sign-in", data={"name": "Asma", "password": SECRET})).status_code == 303


async def test_only_a_trusted_proxys_word_counts(tmp_path: Path) -> None:
    trusted = WebOptions((network("10.0.0.0/8"),))
    async with web(tmp_path, trusted) as office:
        said_so = {"x-forwarded-for": "1.1.1.1, 203.0.113.5, 10.0.0.2", "x-forwarded-proto": "https"}
        proxied = await office.person("Asma", address="10.0.0.1", **said_so)
        assert "__Host-posline" in proxied.cookies
        await office.person("Bilal", address="203.0.113.80", **said_so)
        where = {line.who: line.address for line in office.relay.office.trail() if line.act == "password_chosen"}
        assert where == {"Asma": "203.0.113.5", "Bilal": "203.0.113.80"}


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "", "origin": "null"},
        {"sec-fetch-site": "", "origin": "http://evil.test"},
        {"sec-fetch-site": "", "origin": "http://office.test:81"},
        {"sec-fetch-site": "", "origin": "https://office.test"},
        {"sec-fetch-site": "", "origin": "http://[office.test"},
        {"content-type": "text/plain"},
        {"content-type": "application/json"},
    ],
)
async def test_a_form_of_another_site_does_nothing(headers: dict[str, str], tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        shown = await owner.get("/office/people")
        csrf = re.findall(r'name="csrf" value="([^"]+)"', shown.text)[0]
        fields = {"csrf": csrf, "name": "Mallory", "role": "owner"}
        answer = await owner.post("/office/people", data=fields, headers=headers)
        assert answer.status_code == 403 and len(office.relay.people.listed()) == 1
        answer = await office.browser().post(
            "/sign-in", data={"name": "Asma", "password": SECRET}, headers=headers
        )
        assert answer.status_code == 403 and not answer.headers.get("set-cookie"), "nor is anybody signed in by it"


async def test_every_form_needs_its_sessions_own_mark(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner, other = await office.person("Asma"), await office.person("Bilal")
        person = office.relay.people.by_name("Bilal").id
        theirs = re.findall(r'name="csrf" value="([^"]+)"', (await other.get("/account")).text)[0]
        paths = [route.path for route in office.app.routes if getattr(route, "name", "").startswith("form /")]
        assert len(paths) > 15
        before = office.relay.office.trail(limit=1)[0].id
        changing = {"POST", "PUT", "PATCH", "DELETE"}
        for route in office.app.routes:  # what programs change takes a token, whoever's session comes along
            for method in changing & set(getattr(route, "methods", None) or ()):
                if route.path.startswith("/api/"):
                    path = re.sub(r"{\w+}", NORTH, route.path)
                    assert (await owner.request(method, path, json={})).status_code == 401, path
        for path in paths:
            path = path.replace("{person}", person).replace("{shop}", NORTH)
            for fields in ({}, {"csrf": ""}, {"csrf": theirs}):
                refused = 401 if path.startswith("/api/") else 403  # there a session opens nothing that changes things
                assert (await owner.post(path, data=fields)).status_code == refused, path
        assert office.relay.office.trail(limit=1)[0].id == before
        plain = httpx.AsyncClient(transport=httpx.ASGITransport(office.app), base_url="http://office.test")
        sent = {"name": "Asma", "password": SECRET}
        assert (await plain.post("/sign-in", data=sent)).status_code == 403
        assert (await plain.post("/sign-in", data=sent, headers={"origin": "http://office.test"})).is_redirect


async def test_a_form_is_no_larger_than_one_of_ours(tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        owner = await office.person("Asma")
        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert (await owner.post("/office/people", content=b"a=" + b"x" * 300_000, headers=kind)).status_code == 413
        assert (await owner.post("/office/people", content=b"&a=1" * 6000, headers=kind)).status_code == 422
        for spoilt in (b"a=\xff", b"a=%ff", b"a=%00"):
            assert (await owner.post("/office/people", content=spoilt, headers=kind)).status_code == 422


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
     "/office", "/office/"],
)  # fmt: skip
async def test_paths_lead_to_pages_or_nowhere(path: str, tmp_path: Path) -> None:
    async with web(tmp_path) as office:
        answer = await (await office.person("Asma")).get(path)
        assert answer.status_code == 404 and "<h1>" in answer.text
        assert (await office.browser(accept="application/json").get("/nothing")).json()["status"] == 404


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
        for wrong in ({"language": "xx", "next": "/"}, {"next": "/"}):
            assert (await form(client, "/account", "/language", **wrong)).status_code == 422
        away = await form(client, "/account", "/language", language="en", next="//evil.test")
        assert away.headers["location"] == "/"


# -- links that are up, and a real browser -----------------------------------------------------------------------------


@asynccontextmanager
async def listening(office: Web) -> AsyncIterator[Listener]:
    app = build_app(office.relay, office.relay.engine.routes(office.relay.find))
    front = Listener(app, host="127.0.0.1", port=0, websocket=WebSocketProtocol)
    await front.start()
    office.relay.office.remember_address(front.address)
    try:
        yield front
    finally:
        front.refuse()
        await front.stop()


def linked(relay: Relay, shop: str) -> bool:
    return any(peer["connected"] for peer in relay.peers(relay.branch(shop)))


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


async def test_a_shop_that_is_not_invited_is_told_no_more_than_that(tmp_path: Path) -> None:
    async with web(tmp_path) as office, listening(office) as front:
        url = front.url.replace("http", "ws") + "/attach"
        with pytest.raises(AskFailed, match="not from here"):
            await ask_at(url, "", {"token": "guess", "shop": "a" * 26, "name": "X", "updates": []})


@asynccontextmanager
async def chromium(**options: Any) -> AsyncIterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=ARGUMENTS)
        context = await browser.new_context(**options)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if "Content Security" in told.text else None)
        try:
            yield page
            assert not complaints, complaints
        finally:
            await browser.close()


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


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("en", "dark"), ("ur", "light"), ("ur", "dark")])
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
