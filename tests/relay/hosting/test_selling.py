"""A phone that is hosted by the head office: it pairs, waits for its shop, and sells under its own name; who else does
not."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import BadEntry, BadRequest, NotPossible
from posline.replica import Replica
from posline.till.hosting.door import ALLOWED, REFUSED
from posline.till.membership import remove
from relay.authoring import authoring_of
from relay.hosting import desk
from relay.hosting.door import build_tills, origin_of
from relay.hosting.steward import Steward
from relay.office import CONSOLE
from relay.web.caller import network
from relay.web.frame import WebOptions
from tests.relay.hosting.offices import URL, process, shop_at
from tests.till.shop import sale


async def test_a_phone_pairs_waits_for_its_shop_and_sells(place: Path | str, tmp_path: Path) -> None:
    async with process(place) as at, shop_at(tmp_path / "till", at) as shop:
        phone = at.phone()
        assert await phone.state() == ""
        answer = await phone.pair(at.invite(shop.id))
        assert (answer.status_code, answer.json()["state"]) == (201, "waiting")
        early = await phone.sell(sale())
        assert (early.status_code, early.json()["waiting"]) == (401, True)
        assert "a manager lets it in" in early.json()["detail"]
        await shop.let_in(at, phone)
        assert await phone.state() == "in"
        body = sale()
        sold = await phone.sell(body)
        assert sold.status_code == 201, sold.text
        found = sold.json()
        assert (found["label"], found["till"], found["number"]) == ("WEB", phone.till, 1)
        assert found["durable"] == {"here": True, "tills": 0, "head_office": True}
        assert (await phone.sell(body)).status_code == 200, "the same id is the same sale"
        shown = (await phone.ask("GET", "/api/shop")).json()
        assert (shown["host"], shown["host_kind"], shown["label"]) == ("HQ", "head office", "WEB")
        assert (await phone.ask("GET", f"/api/sales/{body['id']}")).json()["durable"]["head_office"]
        closed = await phone.ask("POST", "/api/shifts/close", {"id": str(uuid.uuid4()), "counted": {"cash": 500}})
        assert closed.json()["over_short"] == {"cash": 0}
        signed = (await phone.ask("GET", f"/api/sales/{body['id']}")).json()["durable"]
        assert signed == found["durable"], "its name is no disk of its own, also once it has signed"
        await shop.take(at)
        (taken,) = shop.till.sales(till=phone.till)
        assert (taken.id, taken.durable.tills) == (body["id"], 0), "nor at the shop's till"
        assert shop.sold(at, phone) == [(body["id"], 1)]


async def test_pairing_repeats_where_its_answer_was_lost_and_no_code_is_good_for_two(
    place: Path | str, tmp_path: Path
) -> None:
    async with process(place) as at, shop_at(tmp_path / "till", at) as shop:
        token, request = at.invite(shop.id), secrets.token_hex(16)
        first, again, other = at.phone(), at.phone(), at.phone()
        await first.pair(token, request)
        await again.pair(token, request)
        assert again.till == first.till, "one device, whichever answer arrived"
        assert (await other.pair(token)).status_code == 403
        assert (await first.state(), await again.state()) == ("", "waiting"), "the last secret opens, the first no more"
        assert [device.author for device in at.relay.devices.of(shop.id)] == [first.till]
        assert (await other.pair(at.invite(shop.id), request)).status_code == 403, "another code opens no known device"
        assert await again.state() == "waiting"
        wrong = at.invite(shop.id)
        for _ in range(10):
            assert (await other.pair(wrong[:-1] + "~")).status_code == 403
        assert (await other.pair(wrong)).status_code == 403, "ten wrong tries end it"
        acts = [line.act for line in at.relay.office.trail()]
        assert acts.count("device_invited") == 3 and acts.count("device_paired") == 1


async def test_what_the_shop_is_told_of_a_device_and_who_may_invite(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        phone = at.phone()
        await phone.pair(at.invite(shop.id, "PH"))
        await at.steward.round()
        await at.steward.round()
        await shop.take(at)
        said = shop.asks(phone.till)
        assert (said["label"], said["by"], said["agent"]) == ("PH", "command line", phone.client.headers["user-agent"])
        written = "SELECT count(*) FROM entry WHERE kind = 'setting' AND author = ?"
        assert at.relay.store.read.execute(written, (at.relay.key.id,)).fetchone()[0] == 1, "said once"
        with pytest.raises(BadRequest):
            at.invite(shop.id, "too long a label")
        await at.relay.attach(shop="b" * 26, name="Another", updates=[], alias="")
        with pytest.raises(NotPossible, match="attach it once more"):
            at.invite("b" * 26)
        at.relay.devices.remember("")
        with pytest.raises(NotPossible, match="serve --tills"):
            at.invite(shop.id)


async def test_a_device_that_its_shop_cannot_be_told_of_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        stuck, other = at.phone(), at.phone()
        for phone, label in ((stuck, "ONE"), (other, "TWO")):
            await phone.pair(at.invite(shop.id, label))
        authoring = authoring_of(at.relay)
        write = authoring.write

        async def refusing(replica: Replica, drafts: Sequence[Any], **how: Any) -> Any:
            if any(stuck.till in draft[1]["name"] for draft in drafts):
                raise BadEntry("not by our rules")
            return await write(replica, drafts, **how)

        monkeypatch.setattr(authoring, "write", refusing)
        await Steward(at.relay, authoring).round()
        await shop.take(at)
        assert shop.asks(other.till)["label"] == "TWO"
        assert [device.author for device in at.relay.devices.untold()] == [stuck.till]


async def test_strangers_wrong_names_and_other_sites_pages_get_nothing(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        phone, stranger = await shop.paired(at), at.phone()
        for method, path in sorted(ALLOWED | REFUSED):
            if path.startswith("/api/"):
                asked = path.replace("{", "").replace("}", "").replace(":path", "")
                assert (await stranger.client.request(method, asked)).status_code == 401, f"{method} {asked}"
        for path in ("/", "/sw.js", "/page/app.js", "/pair", "/pair.js", "/healthz", "/readyz"):
            assert (await stranger.client.get(path)).status_code == 200, path
        for path in ("/owner", "/metrics", "/api/shops", "/office/shops", "/host.crt", "/sync"):
            assert (await stranger.client.get(path)).status_code in (401, 404), path
        shop_of = "/api/shop"
        for headers in (
            {"host": "evil.example"}, {"host": "tills.example.pk:8802"}, {"origin": "https://evil.example"},
            {"origin": "http://tills.example.pk"}, {"sec-fetch-site": "cross-site"},
        ):  # fmt: skip
            assert (await phone.client.get(shop_of, headers=headers)).status_code == 403, headers
        good = {"origin": URL, "host": "TILLS.example.pk:443", "sec-fetch-site": "same-origin"}
        answer = await phone.client.get(shop_of, headers=good)
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-posline-") and "HttpOnly" in cookie and "Secure" in cookie
        assert "SameSite=strict" in cookie and answer.headers["strict-transport-security"].startswith("max-age=")
        for method, path in sorted(REFUSED):
            if "{" not in path and path.startswith("/api/"):
                assert (await phone.ask(method, path)).status_code in (404, 405), path
        other = await shop.paired(at, "TWO")
        assert (await phone.ask("GET", shop_of, posline_till=other.till)).status_code == 421, "another device's till"


async def test_behind_a_proxy_it_goes_by_what_that_says_and_by_nobody_elses_word(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at:
        said = {"x-forwarded-proto": "https", "x-forwarded-host": "tills.example.pk", "x-forwarded-for": "203.0.113.9"}
        for trusted, status in ((["127.0.0.1"], 401), ([], 403)):
            app = build_tills(at.relay, origin_of(URL), WebOptions([network(each) for each in trusted]))
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8802") as client:
                assert (await client.get("/api/shop", headers=said)).status_code == status
                assert (await client.get("/api/shop", headers=said | {"x-forwarded-proto": "http"})).status_code == 403
    for wrong in ("https://", "tills.example.pk", "http://tills.example.pk", "https://a.pk/x", "ftp://a.pk"):
        with pytest.raises(BadRequest):
            origin_of(wrong)
    assert str(origin_of("http://127.0.0.1:8802/")) == "http://127.0.0.1:8802"


async def test_a_removed_device_is_out_at_once_and_what_it_sold_is_signed(place: Path | str, tmp_path: Path) -> None:
    async with process(place) as at, shop_at(tmp_path / "till", at) as shop:
        phone, kept = await shop.paired(at), await shop.paired(at, "TWO")
        body = sale()
        await phone.sell(body)
        await kept.sell(sale())
        done = desk.remove(at.relay, at.relay.branch(shop.id), "WEB", by=CONSOLE)
        assert "what it sold counts" in done["detail"]
        refused = await phone.sell(sale())
        assert refused.status_code == 401 and "waiting" not in refused.json()
        await at.steward.round()
        await shop.take(at)
        assert shop.asks(phone.till) is None and shop.asks(kept.till) is not None
        row = at.relay.office.database.execute("SELECT secret, signing FROM office_hosted WHERE author = ?",
                                               (phone.till,)).fetchone()
        assert tuple(row) == ("", ""), "its key is gone"
        till = next(each for each in shop.till.day_report()["tills"] if each["till"] == phone.till)
        assert till["unvouched"] == {"count": 0, "amount": 0}
        assert shop.sold(at, phone) == [(body["id"], 1)]
        assert (await kept.sell(sale())).status_code == 201
        assert at.relay.office.trail()[0].act == "device_removed"


async def test_a_device_that_the_shop_removed_is_out_at_once(place: Path | str, tmp_path: Path) -> None:
    async with process(place) as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        body = sale()
        await phone.sell(body)
        await shop.take(at)
        await remove(shop.till, "WEB")
        await shop.give(at)
        refused = await phone.sell(sale())
        assert refused.status_code == 401 and "removed from Corner shop" in refused.json()["detail"]
        assert await phone.state() == "removed" and len(at.relay.tills) == 0
        assert [each.state for each in desk.listed(at.relay, at.relay.branch(shop.id))] == ["removed"]
        assert shop.sold(at, phone) == [(body["id"], 1)]


async def test_a_device_that_the_shop_refuses_hears_it_and_one_that_it_lets_in_by_itself_sells(
    tmp_path: Path,
) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        phones = [at.phone() for _ in range(2)]
        for phone in phones:
            await phone.pair(at.invite(shop.id, ""))
        await at.steward.round()
        await shop.take(at)
        await shop.till.requests.refuse(phones[0].till)
        let_in = await shop.till.requests.let_in(phones[1].till)
        await shop.give(at)
        assert [await phone.state() for phone in phones] == ["refused", "in"]
        refused = await phones[0].sell(sale())
        assert refused.status_code == 401 and "refused this device" in refused.json()["detail"]
        assert (await phones[1].sell(sale())).json()["label"] == let_in["label"]
        await at.steward.round()
        await shop.take(at)
        assert shop.asks(phones[0].till) is None, "it is not asked for again"


async def test_a_shop_that_the_head_office_serves_no_more_hosts_nobody(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        assert (await phone.sell(sale())).status_code == 201
        at.relay.office.remove_shop(shop.id, by=CONSOLE)
        assert (await phone.sell(sale())).status_code == 401
        await at.relay.tills.look_at_books()
        assert len(at.relay.tills) == 0
        (device,) = at.relay.devices.of(shop.id)
        at.relay.devices.remove(device, by=CONSOLE)
        await at.steward.round()
        key = "SELECT signing FROM office_hosted WHERE author = ?"
        assert at.relay.office.database.execute(key, (phone.till,)).fetchone()[0] == ""


async def test_pins_that_a_phone_guessed_are_counted_also_when_its_till_was_let_go_of(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        await shop.till.people.save("Amina", {"role": "manager", "pin": "2468"})
        await shop.give(at)
        said = []
        for guess in range(7):
            answer = await phone.ask("POST", "/api/cashiers/Amina/check", {"pin": f"100{guess}"})
            said.append(answer.json()["detail"])
            await at.relay.tills.let_go_of_idle(at.relay.tills.clockwork.monotonic_ms() + 1)
            assert not len(at.relay.tills)
        assert "not Amina's PIN" in said[0] and "too many wrong PINs" in said[-1]
