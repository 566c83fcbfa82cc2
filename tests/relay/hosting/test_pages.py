"""A head office's devices on its pages and by its commands."""

from __future__ import annotations

from pathlib import Path

from argon2 import PasswordHasher

from relay.api import build_app
from relay.commands import COMMANDS
from relay.passwords import Passwords
from relay.rights import Role
from relay.web.texts.en import TEXTS
from tests.relay.browsers import Web, form, said, secret_of
from tests.relay.hosting.offices import URL, process, shop_at
from tests.relay.test_people import QUICK
from tests.till.shop import sale


async def test_an_administrator_pairs_looks_and_removes_on_the_shops_page(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        at.relay.people.passwords = Passwords(PasswordHasher(**QUICK))
        office, page = Web(at.relay, build_app(at.relay, [], None)), f"/office/shops/{shop.id}"
        owner = await office.person("Asma")
        assert TEXTS["devices_hint"].partition("{")[0] in (await owner.get(page)).text
        answer = await form(owner, page, page + "/devices", label="web")
        link = secret_of(answer)
        assert link.startswith(URL + "/pair#") and "<svg" in answer.text
        phone = at.phone()
        assert (await phone.pair(link.partition("#")[2])).status_code == 201
        assert TEXTS["device_state_waiting"] in (await owner.get(page)).text
        await shop.let_in(at, phone)
        await phone.ask("GET", "/api/shop", posline_waiting="3")
        shown = (await owner.get(page)).text
        assert TEXTS["device_state_in"] in shown and "3 sales wait in it" in shown and "<bdi>WEB</bdi>" in shown
        assert f">{TEXTS['till_linked']}<" in shown, "it stands among the shop's tills, too"
        board = (await owner.get(f"/shops/{shop.id}")).text
        assert "WEB" in board and board.count(f">{TEXTS['never']}<") == 1, "the shop's own till has no line here"
        assert (await form(owner, page, page + "/devices", label="no label")).status_code == 422
        assert said(await form(owner, page, f"{page}/devices/{phone.till}/remove")) == "device_removed"
        assert (await phone.sell(sale())).status_code == 401
        assert f"/devices/{phone.till}/" not in (await owner.get(page)).text
        assert (await form(owner, page, f"{page}/devices/{phone.till}/remove")).status_code == 404
        for act in ("device_invited", "device_paired", "device_removed"):
            assert TEXTS[f"act_{act}"] in (await owner.get("/office/audit")).text
        manager = await office.person("Bilal", Role.MANAGER, [shop.id])
        assert (await manager.get(page)).status_code == 403, "it takes the right to administer"
        assert (await form(manager, "/account", page + "/devices", label="")).status_code == 403


async def test_commands_invite_list_and_remove(tmp_path: Path) -> None:
    async with process(tmp_path / "office") as at, shop_at(tmp_path / "till", at) as shop:
        asked = {"shop": "Corner shop", "operator": "bilal"}
        link = (await COMMANDS["device_invite"](at.relay, asked | {"label": "", "expires_s": 60}))["link"]
        phone = at.phone()
        await phone.pair(link.partition("#")[2])
        await shop.let_in(at, phone, "P1")
        await phone.sell(sale())
        found = await COMMANDS["device_list"](at.relay, asked)
        (device,) = found["devices"]
        assert found["url"] == URL
        assert (device["id"], device["label"], device["state"], device["waiting"]) == (phone.till, "P1", "in", 0)
        assert device["by"] == "command line (bilal)" and device["last_seen"]
        gone = await COMMANDS["device_remove"](at.relay, asked | {"device": "P1"})
        assert gone["label"] == "P1" and (await phone.sell(sale())).status_code == 401
        assert (await COMMANDS["device_list"](at.relay, asked))["devices"] == []
