"""Devices that the head office hosts: what it asks a shop, and how a till lets them in or refuses them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from posline.cli import app
from posline.core.base64url import base64url
from posline.core.members import Role
from posline.till.admitting import admit
from posline.till.hosting.requests import REQUEST, TRUST
from posline.till.membership import remove, set_role
from posline.till.shared import put
from posline.till.till import Till, open_till
from tests.kit import key_of
from tests.till.hosting.offices import ASKED, OFFICE, ask, attached, write
from tests.till.shop import invited, running, until


async def meet(one: Till, other: Till) -> None:
    """Each has what the other has of the shop, with no link between them."""
    for of, to in ((one, other), (other, one)):
        for row in of.whole.rows("shop", 0, 1000):
            to.whole.integrate("shop", row.update, origin=of.id)
        await to.engine.durable(*to.whole.staged)


def waiting(till: Till) -> list[str]:
    return [request["label"] for request in till.requests.shown()["requests"]]


async def test_a_request_is_shown_let_in_once_and_removed_as_any_member(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await attached(till)
        device = await ask(till)
        found = (await client.get("/api/hosting")).json()
        (request,) = found["requests"]
        assert request.pop("asked").startswith(till.day[:4])
        assert request == {"id": device, "host": "HQ", "label": "WEB", "by": "Bilal", "agent": "Chrome on Android"}
        assert (found["trust_office"], found["head_office"], found["elsewhere"]) == (False, True, [])
        for body, why in (({}, 422), ({"let_in": 1}, 422), ({"let_in": True, "more": 1}, 422)):
            assert (await client.post(f"/api/hosting/requests/{device}", json=body)).status_code == why
        for _ in range(2):
            answer = await client.post(f"/api/hosting/requests/{device}", json={"let_in": True})
            assert answer.status_code == 200 and answer.json()["label"] == "WEB"
        member = till.store.members(till.shop_id)[device]
        assert (member.role, member.host, member.label) == (Role.TILL, OFFICE.id, "WEB")
        refused = await client.post(f"/api/hosting/requests/{device}", json={"let_in": False})
        assert refused.status_code == 409 and "posline host remove WEB" in refused.json()["detail"]
        found = (await client.get("/api/hosting")).json()
        assert (found["requests"], found["elsewhere"]) == ([], [{"id": device, "label": "WEB", "host": "HQ"}])
        (peer,) = [peer for peer in (await client.get("/api/status")).json()["peers"] if peer["id"] == device]
        assert (peer["kind"], peer["host"]) == ("hosted", "HQ")
        removed = await client.post(f"/api/hosting/devices/{device}/remove", json={})
        assert removed.status_code == 200 and "WEB is removed" in removed.json()["detail"]
        assert device not in till.store.members(till.shop_id)
        await ask(till)
        assert waiting(till) == [], "who was removed asks in vain"


async def test_who_was_refused_stays_so_whatever_the_head_office_asks_since(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await attached(till)
        device = await ask(till)
        for _ in range(2):
            answer = await client.post(f"/api/hosting/requests/{device}", json={"let_in": False})
            assert answer.json()["let_in"] is False
        await ask(till)
        assert waiting(till) == []
        again = await client.post(f"/api/hosting/requests/{device}", json={"let_in": True})
        assert again.status_code == 409 and "paired anew" in again.json()["detail"]
        nobody = await client.post("/api/hosting/requests/WEB", json={"let_in": True})
        assert nobody.status_code == 404 and "posline host list" in nobody.json()["detail"]


async def test_what_the_head_office_takes_back_waits_no_more_and_may_be_asked_again(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as till:
        await attached(till)
        device = await ask(till)
        await write(till, OFFICE, REQUEST + device, None)
        assert waiting(till) == []
        await ask(till)
        assert waiting(till) == ["WEB"]
        await remove(till, OFFICE.id)
        assert waiting(till) == [], "nobody hosts it any more"


async def test_only_a_head_office_asks_and_only_for_the_key_that_the_name_is_of(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await attached(till)
        hostile = key_of("hostile")
        await admit(till, hostile.public, role=Role.TILL, label="Z")
        key, name = key_of("a phone"), REQUEST + key_of("a phone").id
        sound = ASKED | {"key": base64url(key.public)}
        await write(till, hostile, name, sound)
        odd: tuple[Any, ...] = (
            None, True, 7, [], "text", {}, sound | {"key": 7}, sound | {"key": "A"}, sound | {"key": "!" * 43},
            sound | {"key": base64url(hostile.public)}, sound | {"label": "no label"}, sound | {"label": [1]},
            sound | {"agent": "x" * 5000}, {"deep": [[[[[]]]]]},
        )  # fmt: skip
        for value in odd:
            await write(till, OFFICE, name, value)
            assert (await client.get("/api/hosting")).json()["requests"] == [], value
        await write(till, OFFICE, REQUEST, sound)
        await write(till, OFFICE, REQUEST + "x" * 100, sound)
        assert waiting(till) == []
        await write(till, OFFICE, name, sound | {"by": "\x1b[31m\u202eevil[/]" + "x" * 190, "agent": 9, "label": ""})
        (request,) = till.requests.shown()["requests"]
        assert (request["by"][:9], len(request["by"]), request["agent"]) == ("[31mevil[", 120, "")


async def test_a_head_office_out_of_hand_makes_no_long_list(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as till:
        await attached(till)
        clock = till.whole.clock
        assert clock is not None
        writer = till.whole.writer(OFFICE, clock)
        for n in range(60):
            key = key_of(f"device {n}")
            body = {"name": REQUEST + key.id, "value": {"key": base64url(key.public)}}
            last = writer.write("setting", body, document="shop")
        await till.engine.durable(last)
        assert len(till.requests.open()) == 50


async def test_a_till_that_is_no_manager_decides_nothing(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await attached(till)
        device = await ask(till)
        await admit(till, key_of("other").public, role=Role.MANAGER, label="B")
        await set_role(till, till.id, "till")
        for method, path, body in (
            ("POST", f"/api/hosting/requests/{device}", {"let_in": True}),
            ("POST", f"/api/hosting/requests/{device}", {"let_in": False}),
            ("PUT", "/api/hosting/trust-office", {"on": True}),
        ):
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 403 and "at a till that may" in answer.json()["detail"]
        assert waiting(till) == ["WEB"]


async def test_who_may_let_in_is_what_the_permission_members_says(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await attached(till)
        device = await ask(till)
        await till.people.save("Sana", {"role": "manager", "pin": "5678"})
        await put(till, "permissions", {"members": "manager"})
        for method, path, body in (
            ("POST", f"/api/hosting/requests/{device}", {"let_in": True}),
            ("PUT", "/api/hosting/trust-office", {"on": True}),
        ):
            assert (await client.request(method, path, json=body)).status_code == 403
            approved = body | {"approve": {"by": "Sana", "pin": "5678"}}
            assert (await client.request(method, path, json=approved)).status_code == 200
        assert device in till.store.members(till.shop_id) and till.requests.trusted


async def test_a_head_office_that_is_trusted_waits_for_nobody(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        await attached(till)
        early = await ask(till, "early")
        await write(till, OFFICE, TRUST, True)
        assert not till.requests.trusted, "it does not say itself whether it is"
        assert (await client.put("/api/hosting/trust-office", json={"on": True})).json()["trust_office"] is True
        assert waiting(till) == ["WEB"], "a till that only a command opened lets nobody in by itself"
        refused = await ask(till, "refused")
        await till.requests.refuse(refused)
        gone = await ask(till, "gone")
        await till.requests.let_in(gone)
        await remove(till, gone)
        await ask(till, "gone")
        await till.listen()
        later = await ask(till, "later")
        await until(lambda: {early, later} <= till.store.members(till.shop_id).keys())
        assert waiting(till) == []
        assert not {refused, gone} & till.store.members(till.shop_id).keys()
        await write(till, OFFICE, TRUST, True)
        assert not till.requests.trusted, "nor when it had seen what a manager said"


async def test_two_tills_that_let_one_device_in_and_then_meet_have_one_member_with_one_label(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        await invited(a, tmp_path / "b")
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b:
        await attached(a)
        device = await ask(a)
        await a.requests.trust(True)
        await meet(a, b)
        await admit(b, key_of("in the way").public, role=Role.TILL, label="WEB")  # so that b gives another label
        await a.listen()
        await b.listen()
        await until(lambda: all(device in till.store.members(till.shop_id) for till in (a, b)))
        assert [till.store.members(till.shop_id)[device].label for till in (a, b)] == ["WEB", "WEB2"]
        await meet(a, b)
        first, second = (till.store.members(till.shop_id)[device] for till in (a, b))
        assert first == second
        assert a.store.members(a.shop_id) == b.store.members(b.shop_id)
        assert sum(act.body.get("member") == device for act in a.store.acts(a.shop_id)) == 2, "both had let it in"
        assert waiting(a) == waiting(b) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A till that does not run, and two devices that ask."""

    async def made() -> None:
        async with open_till(tmp_path / "a") as till:
            await attached(till)
            await ask(till, by="[red]Bilal")
            await ask(till, "a tablet", label="TAB")

    asyncio.run(made())
    return tmp_path / "a"


def test_commands_list_let_in_refuse_and_trust(folder: Path) -> None:
    def say(*words: str, json_too: bool = False) -> str:
        done = CliRunner().invoke(app, [*(["--json"] if json_too else []), "--data", str(folder), "host", *words])
        assert done.exit_code == 0, done.exception
        return done.stdout

    listed = say("list")
    assert "[red]Bilal" in listed and "TAB" in listed and "posline host let-in DEVICE" in listed
    assert "WEB is a till of the shop" in say("let-in", "WEB")
    assert "WEB is a till of the shop" in say("let-in", "WEB"), "once more changes nothing"
    assert "TAB is refused" in say("refuse", "TAB")
    listed = say("list")
    assert "hosted by" in listed and "no device of the head office waits" in listed
    assert json.loads(say("trust-office", "on", json_too=True))["trust_office"] is True
    assert "trust-office off" in say("list")
    assert json.loads(say("trust-office", "off", json_too=True))["trust_office"] is False
    assert "WEB is removed" in say("remove", "WEB")
