"""Signing in at the head office, and what a form must show before anything is done."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import httpx
import pytest

from relay.office import CONSOLE
from relay.rights import Role
from relay.web.caller import local_path, network
from relay.web.frame import WebOptions
from relay.web.words import TEXTS
from tests.relay.browsers import (
    NORTH,
    form,
    said,
    web,
)
from tests.relay.test_people import OTHER, SECRET


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
        for spoilt in (b"a=\xff", b"a=%ff", b"a=%00", b"a=\0"):
            assert (await owner.post("/office/people", content=spoilt, headers=kind)).status_code == 422
