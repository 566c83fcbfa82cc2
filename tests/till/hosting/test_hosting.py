"""Hosted tills, at the host's HTTPS listener: who gets in, what they may ask, and that each sale is recorded once."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from examples.rig.programs import free_port
from posline.errors import DiskFull
from posline.storage.verify import verify
from posline.till.api import build_app
from posline.till.calls import api_routes
from posline.till.hosting.door import ALLOWED, OWNERS, REFUSED
from posline.till.membership import remove
from posline.till.till import open_till
from tests.till.hosting.hosts import hosting, paired, phone
from tests.till.shop import invited, running, sale, until


async def test_a_paired_device_sells_under_its_own_name_and_number(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        device = await paired(host, "TAB")
        first, again = sale(), sale()
        sold = (await device.sell(first)).json()
        assert (sold["label"], sold["till"], sold["number"]) == ("TAB", device.till, 1)
        assert sold["receipt"].startswith("TAB-1-")
        assert (await device.sell(first)).status_code == 200, "the same id is the same sale"
        assert (await device.sell(again)).json()["number"] == 2
        own = await till.sell([{"sku": "TEA", "quantity": 1, "price": 100}])
        assert (own.label, own.number) == ("A", 1)
        report = till.day_report()
        assert report["sales"]["count"] == 3
        shop = (await device.ask("GET", "/api/shop")).json()
        assert (shop["till"], shop["label"], shop["host"], shop["manager"]) == (device.till, "TAB", "A", False)
        await host.stop()
        till.whole.seal_soon()
        await until(lambda: not any(each["unvouched"]["count"] for each in till.day_report()["tills"]))
        assert till.sale(first["id"]).durable.tills == 0, "its name is no disk of its own, also once it has signed"
        assert list(verify(till.store, till.shop_id)) == []


async def test_strangers_get_the_page_and_pairing_and_nothing_else(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        stranger = phone(host).client
        for method, path in sorted(ALLOWED | REFUSED):
            if path.startswith("/api/"):
                asked = path.replace("{", "").replace("}", "").replace(":path", "")
                answer = await stranger.request(method, asked, json={} if method in ("POST", "PUT") else None)
                assert answer.status_code == 401, f"{method} {asked}"
                assert till.id not in answer.text
        for path in ("/healthz", "/metrics", "/owner", "/page/owner.js", "/page/kept.js", "/sync", "/api/local/status"):
            assert (await stranger.get(path)).status_code in (401, 404), path
        for path in ("/", "/sw.js", "/page/app.js", "/pair", "/pair.js", "/pair.css", "/manifest.webmanifest"):
            answer = await stranger.get(path)
            assert answer.status_code == 200, path
            assert till.id not in answer.text and till.shop_id not in answer.text
        files = (await stranger.get("/sw.js")).text.partition("FILES = ")[2].partition("\n")[0]
        assert "/page/app.js" in files and "/owner" not in files.replace("/texts/owner", "")


async def test_whatever_the_cashiers_page_asks_for_is_served(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (_, host):
        stranger = phone(host).client
        seen: set[str] = set()
        left = {"/page/app.js"}
        while left:
            path = left.pop()
            seen.add(path)
            answer = await stranger.get(path)
            assert answer.status_code == 200, path
            found = re.findall(r'(?:from|import) "(\.[^"]+)"', answer.text)
            left |= {urljoin(path, name) for name in found} - seen
        assert len(seen) > 40


async def test_each_call_of_a_till_is_allowed_or_refused_on_purpose(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        calls = {(m, route.path) for route in api_routes(till) for m in route.methods or () if m != "HEAD"}
        assert calls == ALLOWED | REFUSED
        assert not ALLOWED & REFUSED
        served = {getattr(route, "path", "") for route in build_app(till).routes}
        assert all(OWNERS.match(path.removeprefix("/page/")) for path in served if path.startswith("/page/views/owner"))


async def test_what_is_the_hosts_or_the_owners_is_no_devices(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (_, host):
        device = await paired(host)
        for method, path in [*sorted(REFUSED), ("POST", "/api/local/status"), ("GET", "/api/hosting")]:
            asked = path.replace("{name}", "x").replace("{wanted}", "x")
            answer = await device.ask(method, asked, {"id": str(uuid.uuid4())} if method != "GET" else None)
            assert answer.status_code in (404, 405), f"{method} {asked} {answer.status_code}"


async def test_a_device_has_its_own_drawer_and_z_report(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        device = await paired(host)
        opened = await device.ask("POST", "/api/shifts/open", {"id": str(uuid.uuid4()), "float": 1000})
        assert opened.status_code in (200, 201)
        await device.sell(sale())
        await till.sell([{"sku": "TEA", "quantity": 1, "price": 77}])
        closed = await device.ask("POST", "/api/shifts/close", {"id": str(uuid.uuid4()), "counted": {"cash": 1500}})
        z = closed.json()
        assert (z["label"], z["float"], z["over_short"]) == (device.label, 1000, {"cash": 0})
        assert till.shifts.current()["sales"]["total"] == 77


async def test_a_request_for_another_till_is_refused_and_one_devices_cookie_writes_for_no_other(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        one, other = await paired(host), await paired(host)
        asked = sale()
        answer = await one.ask("POST", "/api/sales", asked, posline_till=other.till)
        assert answer.status_code == 421
        answer = await one.ask("POST", "/api/sales", asked, posline_till=till.id)
        assert answer.status_code == 421
        assert till.reports.by_id(asked["id"]) == []
        mixed = {"cookie": f"{next(iter(one.client.cookies.jar)).name}x=1"}
        assert (await httpx_ask(one.client, "GET", "/api/shop", mixed)).status_code == 401


async def httpx_ask(client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    held = client.cookies
    client.cookies = httpx.Cookies()
    try:
        return await client.request(method, path, headers=headers)
    finally:
        client.cookies = held


async def test_the_cookie_is_for_this_host_by_https_and_for_no_script(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (_, host):
        made = phone(host)
        said = (await made.pair(host.invite())).headers["set-cookie"]
        assert said.startswith("__Host-posline-")
        for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert word in said
        assert "Domain" not in said
        again = await made.ask("GET", "/api/shop")
        assert again.headers["set-cookie"].startswith("__Host-posline-"), "a device in use is not forgotten"
        secret = next(iter(made.client.cookies.jar)).value
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())  # noqa: ASYNC240
        assert secret is not None and secret.encode() not in kept, "only its hash is kept"


async def test_names_that_were_rebound_and_other_sites_pages_get_nothing(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        device = await paired(host)
        assert (await device.ask("GET", "/api/shop", host="evil.example")).status_code == 403
        assert (await device.ask("GET", "/api/shop", host=f"shop.evil.example:{host.port}")).status_code == 403
        asked = sale()
        for headers in ({"origin": "https://evil.example"}, {"origin": f"http://127.0.0.1:{host.port}"},
                        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"}):  # fmt: skip
            answer = await device.ask("POST", "/api/sales", asked, **headers)
            assert answer.status_code == 403, headers
        assert till.reports.by_id(asked["id"]) == []
        mine = {"origin": f"https://127.0.0.1:{host.port}", "sec_fetch_site": "same-origin"}
        assert (await device.ask("POST", "/api/sales", asked, **mine)).status_code == 201


async def test_without_tls_nobody_is_answered(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (_, host), httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(f"http://127.0.0.1:{host.port}/pair")


async def test_ten_wrong_tokens_end_the_invitation_and_one_token_pairs_one_device(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        link = host.invite()
        assert len(link.partition("#")[2]) * 6 >= 80
        first, other = phone(host), phone(host)
        assert (await first.pair(link, "a" * 32)).status_code == 201
        again = phone(host)
        assert (await again.pair(link, "a" * 32)).status_code == 201, "its answer was lost"
        assert again.till == first.till
        assert (await first.ask("GET", "/api/shop")).status_code == 401, "the last secret is the one that counts"
        assert (await again.ask("GET", "/api/shop")).status_code == 200
        assert (await other.pair(link, "b" * 32)).status_code == 403
        open_one = host.invite()
        for n in range(10):
            assert (await other.pair("https://x/pair#wrong", f"{n:032x}")).status_code == 403
        assert (await other.pair(open_one)).status_code == 403
        assert len([m for m in till.store.members(till.shop_id).values() if m.host]) == 1


async def test_a_removed_device_is_cut_off_at_once(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        device = await paired(host, "GONE")
        kept = await paired(host, "STAYS")
        await device.sell(sale())
        async with device.client.stream("GET", "/api/events", timeout=20) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: status"
            said = await host.remove("GONE")
            assert said["label"] == "GONE"
            async with asyncio.timeout(10):
                async for _ in lines:  # the stream ends
                    pass
        asked = sale()
        assert (await device.sell(asked)).status_code == 401
        assert till.reports.by_id(asked["id"]) == []
        assert (await kept.sell(sale())).status_code == 201
        assert device.till not in till.store.members(till.shop_id)
        till.whole.seal_soon()
        await until(lambda: not till.whole._unsealed and not till.whole.staged)
        report = till.day_report()
        assert (report["sales"]["count"], report["held"]) == (2, []), "what it sold counts on"
        gone = next(found for found in report["tills"] if found["till"] == device.till)
        assert gone["unvouched"]["count"] == 0, "and is signed"
        assert not (tmp_path / "hosted" / device.till).exists()


async def test_a_removed_device_does_not_come_back_by_the_invitation_that_it_came_by(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (_, host):
        link, device = host.invite("GONE"), phone(host)
        assert (await device.pair(link, "c" * 32)).status_code == 201
        await host.remove("GONE")
        assert (await device.pair(link, "c" * 32)).status_code == 403
        assert (await device.pair(link, "d" * 32)).status_code == 403
        assert (await device.pair(host.invite(), "e" * 32)).status_code == 201, "with a new one it does"


async def test_a_device_that_another_manager_removes_is_cut_off(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (till, host):
        device = await paired(host, "GONE")
        assert (await device.sell(sale())).status_code == 201
        await remove(till, "GONE")
        await until(lambda: device.till not in till.whole.writers)
        till.whole.seal_soon()
        await until(lambda: not till.whole._unsealed and not till.whole.staged)
        assert till.day_report()["held"] == [], "nothing is signed in its name any more"
        assert (await device.sell(sale())).status_code == 401


async def test_hosting_is_off_until_it_is_switched_on_and_stays_on_over_restarts(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path) as (till, client):
        await till.listen()
        assert (await client.get("/api/hosting")).json()["on"] is False
        assert not (tmp_path / "hosting-ca-key").exists()
        body = {"id": str(uuid.uuid4())}
        assert (await client.post("/api/hosting/invite", json=body)).status_code == 409
        switched = await client.put("/api/hosting", json={"on": True, "port": port})
        assert switched.json()["listening"] and switched.json()["urls"][0].endswith(f":{port}")
        link = (await client.post("/api/hosting/invite", json=body)).json()
        assert (await client.post("/api/hosting/invite", json=body)).json()["link"] == link["link"]
        device = phone(till.hosting)  # type: ignore[arg-type]
        await device.pair(link["link"])
        await device.ask("GET", "/api/status", posline_waiting="7")
        (listed,) = (await client.get("/api/hosting")).json()["devices"]
        assert (listed["label"], listed["waiting"]) == (device.label, 7)
        asked = sale()
        await device.sell(asked)
        fingerprint = switched.json()["fingerprint"]
        cookie = next(iter(device.client.cookies.jar))
    for name in ("hosting-ca-key", "hosting-key", "hosting.json", f"hosted/{device.till}"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    async with hosting(tmp_path, port=port) as (till, host):
        assert host.shown()["fingerprint"] == fingerprint
        again = phone(host)
        again.till = device.till
        again.client.cookies.set(cookie.name, cookie.value or "", domain=cookie.domain)
        assert (await again.sell(asked)).status_code == 200, "it stands, from before the restart"
        assert (await again.sell(sale())).json()["number"] == 2
        await host.switch(False)
        assert not host.listening and not host.shown()["on"]


async def test_fifty_sales_that_waited_for_a_week_come_in_order_and_once(tmp_path: Path) -> None:
    asked = [sale(rung=f"2026-11-{day:02d}T10:00:{n:02d}+05:00") for day in range(10, 15) for n in range(10)]
    async with hosting(tmp_path) as (till, host):
        device = await paired(host)
        cookies, named = device.client.cookies, device.till
        port = host.port
    answers = []
    for life in range(5):  # the host dies in between, each time between recording and answering
        async with hosting(tmp_path, port=port) as (till, host):
            again = phone(host)
            again.till, again.client.cookies = named, cookies
            for body in asked[max(0, life * 10 - 1) : life * 10 + 10]:
                answers.append((await again.sell(body)).json())
    numbers = {answer["id"]: answer["number"] for answer in answers}
    assert [numbers[body["id"]] for body in asked] == list(range(1, 51))
    async with open_till(tmp_path) as till:
        assert till.day_report()["sales"]["count"] == 50
        assert list(verify(till.store, till.shop_id)) == []


async def test_a_failed_commit_records_nothing_and_the_same_id_is_recorded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tmp_path) as (till, host):
        device = await paired(host)
        await device.sell(sale())
        commit = till.store.commit

        def full(batch: object) -> None:
            raise DiskFull("the disk is full")

        monkeypatch.setattr(till.store, "commit", full)
        asked = sale()
        assert (await device.sell(asked)).status_code == 507
        monkeypatch.setattr(till.store, "commit", commit)
        answer = await device.sell(asked)
        assert (answer.status_code, answer.json()["number"]) == (201, 2)
        assert list(verify(till.store, till.shop_id)) == []


async def test_what_a_device_sold_stands_at_another_till_and_the_lights_say_so(tmp_path: Path) -> None:
    async with hosting(tmp_path / "a") as (till, host):
        device = await paired(host, "TAB")
        await invited(till, tmp_path / "b")
        async with open_till(tmp_path / "b") as other:
            await other.connect((await till.listen()).removesuffix("/sync"))
            sold = (await device.sell(sale())).json()
            await until(lambda: other.reports.by_id(sold["id"]))
            await until(lambda: till.reports.durable(till.reports.by_id(sold["id"])[0].entry)["tills"] == 1)
            shown = (await device.ask("GET", f"/api/sales/{sold['id']}")).json()
            assert shown["durable"] == {"here": True, "tills": 1, "head_office": False}
            peers = {peer["name"]: peer for peer in (await device.ask("GET", "/api/status")).json()["peers"]}
            assert peers["A"]["connected"] and peers["A"]["behind"] == 0, "its host is its disk"
            seen = {peer["name"]: peer for peer in other.status()["peers"]}
            assert (seen["TAB"]["kind"], seen["TAB"]["host"], seen["TAB"]["connected"]) == ("hosted", "A", True)


async def test_after_its_host_died_a_device_hands_its_sales_over_under_a_new_name_each_once(tmp_path: Path) -> None:
    """The first host recorded some of them, and told nobody of the last; then its disk came back after all."""
    known, untold, waiting = sale(), sale(), sale()
    async with hosting(tmp_path / "a") as (till, host):
        device = await paired(host)
        await device.sell(known)
        await invited(till, tmp_path / "b")
        async with open_till(tmp_path / "b") as other:
            await other.connect((await till.listen()).removesuffix("/sync"))
            await until(lambda: other.reports.by_id(known["id"]))
        await device.sell(untold)
    async with hosting(tmp_path / "b") as (other, second):
        again = await paired(second)
        assert again.till != device.till
        assert (await again.ask("POST", "/api/sales", waiting, posline_till=device.till)).status_code == 421
        answers = [await again.sell(body) for body in (known, untold, waiting)]
        assert [answer.status_code for answer in answers] == [200, 201, 201], "the first one is here already"
        assert answers[0].json()["till"] == device.till
        assert other.day_report()["sales"]["count"] == 3
        where = await other.listen()
        async with open_till(tmp_path / "a") as back:
            await back.connect(where.removesuffix("/sync"))
            await until(lambda: len(other.reports.by_id(untold["id"])) == 2)
            await until(lambda: len(back.reports.by_id(waiting["id"])) == 1)
            for till in (other, back):
                assert till.day_report()["sales"]["count"] == 3, "one id and one content is one sale"
