"""The head office: its API behind tokens, the feed, and its commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import FolderDamaged, FolderError, NotFound
from posline.replica import Replica
from posline.storage.connection import altered, connect
from posline.storage.folder import Folder
from posline.storage.summaries import BY
from posline.till.asking import AskFailed, ask_at
from posline.till.joining import attach
from posline.till.membership import remove
from posline.till.report_commands import sheet_of
from posline.till.till import Till, open_till
from posline.trust.certificate import Tls
from relay.commands import COMMANDS
from relay.office import CONSOLE, ShopNameTwice
from relay.relay import Branch, Relay
from tests.faults import rig
from tests.kit import key_of, text_key
from tests.till.shop import TEA
from tests.till.test_joining import attaching, head_office, until


@dataclass
class Office:
    relay: Relay
    tills: list[Till]
    http: httpx.AsyncClient

    async def token(self, shop: str | None) -> dict[str, str]:
        """The header that opens one shop, or every shop."""
        if shop is None:
            made = await COMMANDS["user_add"](self.relay, {"name": "Owner"})
        else:
            made = await COMMANDS["token_add"](self.relay, {"shop": shop, "role": "read"})
        return {"authorization": f"Bearer {made['token']}"}


@asynccontextmanager
async def office(tmp_path: Path, *names: str) -> AsyncIterator[Office]:
    """A head office and one till for each shop."""
    async with head_office(tmp_path / "office") as (relay, front):
        tills = []
        for n, name in enumerate(names):
            till = await open_till(tmp_path / str(n), shop=name).__aenter__()
            await attach(till, attaching(relay, front))
            tills.append(till)
        async with httpx.AsyncClient(base_url=front.url, trust_env=False) as http:
            try:
                yield Office(relay, tills, http)
            finally:
                for till in tills:
                    await till.close()


async def test_the_answers_have_the_tills_own_shapes(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        till, reader = found.tills[0], await found.token("North")
        sale = await till.sell([TEA])
        branch = found.relay.branch("North")
        await until(lambda: branch.reports.by_id(sale.id))
        sold = branch.reports.by_id(sale.id)[0].entry
        await until(lambda: branch.reports.durable(sold)["tills"])  # once its till has said so, or signed it
        base = f"/api/shops/{till.shop_id}"
        day = await found.http.get(f"{base}/reports/day/{sale.day}", headers=reader)
        assert day.json() == till.day_report(sale.day)
        lights = {"durable": {"here": True, "tills": 1, "head_office": True}}
        for path in (f"{base}/sales/{sale.id}", f"{base}/sales/{sale.receipt}", f"/api/shops/North/sales/{sale.id}"):
            assert (await found.http.get(path, headers=reader)).json() == sale.to_dict() | lights
        listed = (await found.http.get(f"{base}/sales?day={sale.day}", headers=reader)).json()
        assert [s["id"] for s in listed["sales"]] == [sale.id]
        (shop,) = (await found.http.get("/api/shops", headers=reader)).json()["shops"]
        assert (shop["shop"], shop["name"]) == (till.shop_id, "North")
        assert (await found.http.get(f"{base}/sales/{uuid.uuid4()}", headers=reader)).status_code == 404
        assert "posline_relay_shops 1\n" in (await found.http.get("/metrics")).text
        assert (await found.http.get("/healthz")).json()["ok"] is True


async def test_a_token_opens_its_shop_and_no_other(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        north, everything = await found.token("North"), await found.token(None)
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer guess"}, 401),
            ({"authorization": "Basic abc"}, 401),
            (north, 403),
            (everything, 200),
        ):
            for path in ("sales", "reports/day/2026-11-23", "sales/A-1-0000"):
                answer = await found.http.get(f"/api/shops/South/{path}", headers=headers)
                assert answer.status_code == (404 if status == 200 and path.startswith("sales/") else status)
                assert status == 200 or answer.headers["content-type"] == "application/problem+json"
        assert (await found.http.get("/api/shops/West/sales", headers=everything)).status_code == 404
        names = [[s["name"] for s in (await found.http.get("/api/shops", headers=h)).json()["shops"]]
                 for h in (north, everything)]  # fmt: skip
        assert names == [["North"], ["North", "South"]]
        assert north["authorization"][7:] not in (tmp_path / "office" / "settings.json").read_text()


async def test_the_feed_gives_every_entry_once_in_an_order_that_stays(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        north, everything = await found.token("North"), await found.token(None)
        sales = [await till.sell([TEA]) for _ in range(5) for till in found.tills]
        for till, sale in zip(found.tills, sales[-2:], strict=True):
            await until(lambda till=till, sale=sale: found.relay.branch(till.shop_id).reports.by_id(sale.id))

        async def read(headers: dict[str, str], limit: int) -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = []
            after = ""
            while True:
                page = (
                    await found.http.get("/api/feed", headers=headers, params={"after": after, "limit": limit})
                ).json()
                if not page["entries"]:
                    assert page["next"] == after
                    return items
                items += page["entries"]
                after = page["next"]

        whole = await read(everything, 3)
        assert whole == await read(everything, 1000), "the order never changes behind a cursor"
        assert [int(item["cursor"]) for item in whole] == sorted({int(item["cursor"]) for item in whole})
        entries = [(item["shop"], item["document"], item["hash"]) for item in whole if item["event"] == "entry"]
        held = found.relay.store.read.execute("SELECT count(*) FROM entry").fetchone()[0]
        assert len(entries) == len(set(entries)) == held
        rung = [item["id"] for item in whole if item["kind"] == "sale"]
        assert sorted(rung) == sorted(s.id for s in sales)
        ours = await read(north, 1000)
        assert ours == [item for item in whole if item["shop"] == found.tills[0].shop_id]
        assert (await found.http.get("/api/feed")).status_code == 401
        assert (await found.http.get("/api/feed?after=x", headers=north)).status_code == 422


async def test_two_shops_of_one_name_are_told_apart_by_id(tmp_path: Path) -> None:
    async with office(tmp_path, "Shop", "Shop") as found:
        with pytest.raises(ShopNameTwice):
            found.relay.branch("Shop")
        with pytest.raises(NotFound):
            found.relay.branch("")
        assert found.relay.find("Shop") is None and found.relay.find(None) is None
        for till in found.tills:
            assert found.relay.branch(till.shop_id).id == till.shop_id


async def test_a_shop_that_is_called_as_another_shops_id_keeps_nobody_out(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        (north,) = found.tills
        url = str(found.http.base_url.copy_with(scheme="ws", path="/attach"))
        asked = {"shop": "a" * 26, "name": north.shop_id, "updates": []}
        await ask_at(url, "", asked | {"token": found.relay.invitations.add(note=north.shop_id)})
        served = found.relay.find(north.shop_id)
        assert served is not None and served[0].shop == north.shop_id
        assert found.relay.branch(north.shop_id).id == north.shop_id


async def test_whoever_opens_one_shop_is_not_told_of_others_of_its_name(tmp_path: Path) -> None:
    async with office(tmp_path, "Shop", "Shop", "Shop", "South") as found:
        mine, south = found.tills[0], await found.token("South")
        reader = await found.token(mine.shop_id)
        sale = await mine.sell([TEA])
        await until(lambda: found.relay.branch(mine.shop_id).reports.by_id(sale.id))
        answer = await found.http.get("/api/shops/Shop/sales", headers=reader)
        assert [each["id"] for each in answer.json()["sales"]] == [sale.id]
        refused = await found.http.get("/api/shops/Shop/sales", headers=south)
        assert refused.status_code == 403 and not any(till.shop_id in refused.text for till in found.tills)
        asked = await found.http.get("/api/shops/Shop/sales", headers=await found.token(None))
        assert asked.status_code == 409, "who may read them all has to say which"


async def test_a_token_that_writes_for_a_removed_member_reads_nothing_more(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        (till,) = found.tills
        branch, key = found.relay.branch("North"), key_of("program")
        for author, why in ((key.id, "no member"), ("", "no author")):
            asked = {"shop": "North", "role": "write", "author": author}
            assert why in (await COMMANDS["token_add"](found.relay, asked))["note"]
        await till.write("member", {"key": text_key(key.public), "label": "P", "role": "till"}, document="shop")
        await until(lambda: key.id in branch.replica.store.members(till.shop_id))
        asked = {"shop": "North", "role": "write", "author": key.id}
        made = await COMMANDS["token_add"](found.relay, asked)
        assert made["note"] == ""
        writer = {"authorization": f"Bearer {made['token']}"}
        paths = ("/api/shops", "/api/feed", "/api/shops/North/sales", f"/api/shops/North/reports/day/{till.day}")
        assert [(await found.http.get(path, headers=writer)).status_code for path in paths] == [200] * 4
        await remove(till, "P")
        await until(lambda: key.id not in branch.replica.store.members(till.shop_id))
        assert [(await found.http.get(path, headers=writer)).status_code for path in paths] == [401] * 4
        await till.close()
        await until(lambda: not found.relay.engine.hub.links(branch.id) and not branch.replica.staged)
        for path in paths:  # nor where nothing of the shop is in memory
            assert await found.relay.let_go_of_idle(time.monotonic() + 1) == 1
            assert (await found.http.get(path, headers=writer)).status_code == 401, path


async def test_an_attach_that_is_not_right_is_refused(tmp_path: Path) -> None:
    async with office(tmp_path) as found:
        token = found.relay.invitations.add()
        sound = {"token": token, "shop": "a" * 26, "name": "X", "updates": []}
        url = str(found.http.base_url.copy_with(scheme="ws", path="/attach"))
        for changed, reason in (
            ({"token": "guess"}, "not from here"),
            ({"shop": "../x"}, "no shop's id"),
            ({"updates": "AAA"}, "list of updates"),
            ({"updates": ["////"]}, "updates"),
        ):
            with pytest.raises(AskFailed, match=reason):
                await ask_at(url, "", sound | changed)
        assert (await ask_at(url, "", sound))["shop"] == "a" * 26


async def test_a_till_and_a_head_office_do_not_take_each_others_folders(tmp_path: Path) -> None:
    async with office(tmp_path, "North"):
        pass
    with Folder(tmp_path / "0") as folder, pytest.raises(FolderError, match="a till's folder"):
        Relay(folder)
    with pytest.raises(FolderError, match="not those of a till"):
        await open_till(tmp_path / "office").__aenter__()


async def test_a_head_office_makes_the_reports_that_its_shops_make(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        north, _ = found.tills
        sale = await north.sell([TEA], by="Amina")
        branch = found.relay.branch("North")
        await until(lambda: branch.reports.by_id(sale.id))
        reader, path = await found.token("North"), f"/api/shops/{branch.id}/reports"
        asked = {"from": sale.day, "to": sale.day}
        for by in BY:
            answer = await found.http.get(f"{path}/{by}", params=asked, headers=reader)
            assert answer.json()["rows"] == sheet_of(
                north.reports, by, shop="", today=sale.day, first=sale.day
            ).to_dict()["rows"]  # fmt: skip
            assert answer.json()["totals"]["net"] == sale.total
            assert (await COMMANDS["report_sheet"](found.relay, {"shop": "North", "by": by, **asked})) == answer.json()
        page = await found.http.get(f"{path}/day/{sale.day}", params={"format": "html"}, headers=reader)
        assert page.status_code == 200 and page.text.startswith("<!doctype html>")
        assert (await found.http.get(f"{path}/colour", headers=reader)).status_code == 404
        other = f"/api/shops/{found.relay.branch('South').id}/reports/product"
        assert (await found.http.get(other, headers=reader)).status_code == 403
        assert (await found.http.get(f"{path}/product")).status_code == 401


async def test_shops_and_tokens_are_there_after_a_restart(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        reader = await found.token("North")
        sale = await found.tills[0].sell([TEA])
        await until(lambda: found.relay.branch("North").reports.by_id(sale.id))
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder, serving=False) as relay:
            assert relay.access(reader["authorization"][7:]) is not None
            report = await COMMANDS["report_day"](relay, {"shop": "North", "day": sale.day})
            assert report["sales"]["count"] == 1
            assert (await COMMANDS["verify"](relay, {}))["problems"] == []


def page_garbled(database: Path, wal: Path) -> None:
    """Found by whoever met an error in reading, and told the next."""
    with contextlib.closing(connect(str(database))):
        pass  # brings the log into the file
    (database.parent / "local.json").unlink()
    (database.parent / "doubted").write_text("an error")
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "page garbled": page_garbled,
    "log gone": lambda database, wal: wal.unlink(),
    "log cut short": lambda database, wal: os.truncate(wal, 4096),
    "database gone": lambda database, wal: database.unlink(),
    "database emptied": lambda database, wal: os.truncate(database, 0),
}


@pytest.mark.parametrize("damage", [None, *DAMAGES])
async def test_a_damaged_database_is_not_gone_on_with(damage: str | None, tmp_path: Path) -> None:
    """Numbers of the feed would be given twice, and integrators leave out what has them the second time."""
    async with office(tmp_path, "North") as found:
        sale = await found.tills[0].sell([TEA])
        await until(lambda: found.relay.branch("North").reports.by_id(sale.id))
        copy = tmp_path / "killed"
        shutil.copytree(tmp_path / "office", copy)  # as a process leaves it that is killed now
    (copy / "local.json").write_text("{}")
    database = copy / "posline.db"
    if damage is not None:
        DAMAGES[damage](database, database.with_name("posline.db-wal"))
    with Folder(copy) as folder:
        if damage is None:
            for serving in (False, True):  # a command beside no server, then the next server
                async with Relay(folder, serving=serving) as relay:
                    assert relay.branch("North").reports.by_id(sale.id)
            return
        with pytest.raises(FolderDamaged, match="attach each shop again"):
            async with Relay(folder):
                pass


def test_an_office_that_was_killed_is_sound_whatever_ran_on_its_folder_meanwhile(tmp_path: Path) -> None:
    """Whether it had written anything since its start; whether a command, or a start in vain, closed the file since."""
    data = tmp_path / "office"
    with rig.relay(data) as killed:
        killed.stop()
        killed.start().kill()
        killed.start().kill()
        rig.run("shop", "list", "--data", str(data), module="relay.cli")
        port = killed.start().page.rpartition(":")[2]
        killed.kill()
        with socket.create_server(("127.0.0.1", int(port))):
            rig.run("serve", "--port", port, "--data", str(data), module="relay.cli", expect=1)
        assert killed.start().stop() == 0


def test_damage_that_is_met_in_opening_the_file_is_told_as_the_head_offices(tmp_path: Path) -> None:
    with rig.relay(tmp_path / "office") as relay:
        relay.stop()
    with (tmp_path / "office" / "posline.db").open("r+b") as file:
        file.write(bytes(100))
    with Folder(tmp_path / "office") as folder, pytest.raises(FolderDamaged, match="attach each shop again"):
        asyncio.run(Relay(folder, serving=False).__aenter__())


def unreadable(*_: object) -> None:
    raise altered("a row is not what was written")


async def test_damage_that_is_met_in_reading_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one looks through the whole file first."""
    async with office(tmp_path, "North") as found:
        reader = await found.token("North")
        monkeypatch.setattr(Branch, "show", unreadable)
        sale = await found.tills[0].sell([TEA])
        await until(lambda: found.relay.branch("North").reports.by_id(sale.id))
        answer = await found.http.get(f"/api/shops/North/sales/{sale.id}", headers=reader)
        assert answer.status_code == 503 and found.relay.broken.is_set()
    wal = tmp_path / "office" / "posline.db-wal"
    assert wal.exists() and wal.stat().st_size, "closing brings it into a file that cannot be believed"
    with Folder(tmp_path / "office") as folder:
        assert folder.doubted() is not None
        async with Relay(folder):
            assert folder.doubted() is None, "it was looked through, and is whole"


def reading(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def serving_pin(tmp_path: Path) -> str:
    return Tls(tmp_path / "office" / "tls-chain.pem", tmp_path / "office" / "tls-key").fingerprint


def people_and_tokens(office: Callable[..., str], shop: str) -> None:
    """The commands about people, beside a running head office or without one."""
    token = office("user", "add", "Bilal", "--role", "manager", "--shop", "Corner shop").splitlines()[-1]
    assert office("user", "add", "bilal").splitlines()[-1] != token, "one more of theirs"
    users = {each["user"]: each for each in json.loads(office("user", "list", "--json"))["users"]}
    assert users["Bilal"] == {
        "user": "Bilal", "role": "manager", "shops": [shop], "password": False, "signed_in": None,
    }  # fmt: skip
    assert users["Asma"]["role"] == "owner" and users["Asma"]["shops"] is None
    assert "Bilal" in office("user", "list") and "every shop" in office("user", "list")
    assert len(office("user", "password", "Bilal").split()) == 1
    tokens = json.loads(office("token", "list", "--json"))["tokens"]
    (program,) = (each for each in tokens if each["of"] == "program")
    listed = office("token", "list")
    assert sum(each["name"] == "Bilal" for each in tokens) == 3 and program["id"] in listed
    assert "every shop" not in listed, "what a person's token opens is theirs, and that of the program is for one"
    assert office("shop", "rename", shop, "Mall") and "Corner shop" in office("shop", "list")
    assert json.loads(office("shop", "list", "--json"))["shops"][0]["alias"] == "Mall"
    assert "Bilal is removed" in office("user", "remove", "Bilal")
    lines = json.loads(office("audit", "--json", "--limit", "3"))["lines"]
    assert [line["act"] for line in lines] == ["person_removed", "shop_renamed", "password_forgotten"]
    assert lines[0]["about"] == "Bilal" and lines[0]["who"].startswith("command line")
    assert "person_removed" in office("audit")


async def test_the_commands(tmp_path: Path) -> None:
    """As an owner runs them: the office before and after it serves, a shop that attaches, what it sold."""

    def office(*arguments: str) -> str:
        return rig.run(*arguments, "--data", str(tmp_path / "office"), module="relay.cli").strip()

    early = office("invite", "--shop", "North")
    with rig.relay(tmp_path / "office") as serving, rig.till(tmp_path / "a", "--shop", "Corner shop") as till:
        port = serving.page.rpartition(":")[2]
        link = early.replace(":8800/", f":{port}/")
        rig.run("attach", link, "--data", str(tmp_path / "a"))
        sale = till.post("/api/sales", rig.sale(price=500)).json()
        shop = till.get("/api/status")["shop_id"]
        assert office("shop", "list") == f"{shop}  Corner shop"
        token = office("token", "add", "--shop", "North", "--role", "read")
        assert len(office("user", "add", "Asma").split()) == 1

        def held() -> bool:
            answer = httpx.get(
                f"{serving.page}/api/shops/{shop}/sales/{sale['id']}", headers={"authorization": f"Bearer {token}"}
            )
            return answer.status_code == 200

        await until(held)
        assert f":{port}/attach?" in office("invite")
        assert '"count": 1' in office("report", "day", sale["day"], "--shop", "Corner shop", "--json")
        till.stop()
        assert serving.stop() == 0
    assert office("verify").endswith("no problems")
    assert sale["receipt"] in office("export", "sales", "--shop", shop)
    people_and_tokens(office, shop)
    with rig.relay(tmp_path / "office", "--host", "0.0.0.0") as serving:
        people_and_tokens(office, shop)
        assert serving.page.startswith("https://"), "off this machine only by TLS, with a certificate of its own"
        trusted = ssl.create_default_context(cafile=str(tmp_path / "office" / "certificate.pem"))
        async with httpx.AsyncClient(verify=trusted, trust_env=False) as https:
            assert (await https.get(f"{serving.page}/healthz")).json()["ok"] is True
        assert f"&pin={serving_pin(tmp_path)}#" in office("invite")
        (program,) = (
            each for each in json.loads(office("token", "list", "--json"))["tokens"] if each["of"] == "program"
        )
        office("token", "revoke", program["id"])
        async with httpx.AsyncClient(verify=trusted, trust_env=False, headers=reading(token)) as https:
            assert (await https.get(f"{serving.page}/api/shops")).status_code == 401
        assert "its books stay" in office("shop", "remove", "Mall") and office("shop", "list") == ""
        rig.run("shop", "remove", "Mall", "--data", str(tmp_path / "office"), module="relay.cli", expect=1)


async def test_a_shop_is_taken_up_once_whoever_asks_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas of a shop would be one that is linked, and one of which nothing is ever committed."""
    meeting = threading.Barrier(2)

    class Slow(Replica):
        def __init__(self, *args: Any, **options: Any) -> None:
            with suppress(threading.BrokenBarrierError):
                meeting.wait(0.5)  # for another thread that makes one, too
            super().__init__(*args, **options)

    async with head_office(tmp_path / "office") as (relay, _):
        registered = relay.office.attach("n" * 26, "North", alias="", by=CONSOLE)
        monkeypatch.setattr("relay.relay.Replica", Slow)
        one, two = await asyncio.gather(*(asyncio.to_thread(relay.take_up, registered) for _ in range(2)))
        assert one.replica is two.replica is relay.branch("North").replica


async def test_a_shop_that_is_asked_for_while_others_are_let_go_of_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with head_office(tmp_path / "office") as (relay, _):
        shops = [relay.office.attach(letter * 26, letter, alias="", by=CONSOLE) for letter in "nsw"]
        first, second, third = [relay.take_up(shop).replica for shop in shops]
        between = relay.engine.between_commits
        found: list[Any] = []

        async def asked(work: Callable[[], None]) -> None:
            found.append(relay.find("s"))  # a link to the second comes while the first one is let go of
            await between(work)

        monkeypatch.setattr(relay.engine, "between_commits", asked)
        assert await relay.let_go_of_idle(time.monotonic()) == 2
        assert found[0][0] is second is relay.branch("s").replica
        assert first is not relay.branch("n").replica and third is not relay.branch("w").replica


async def test_a_shop_that_nobody_asks_about_is_let_go_of_and_comes_back(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        north, relay, token = found.tills[0], found.relay, await found.token("North")
        sale = await north.sell([TEA])
        await until(lambda: relay.branch("North").reports.by_id(sale.id))
        assert await relay.let_go_of_idle(time.monotonic() + 1) == 0, "both are linked"
        before = relay.branch("North")
        await north.close()
        await until(lambda: not relay.engine.hub.links(before.id) and not before.replica.staged)
        day = before.reports.day(sale.day)
        assert await relay.let_go_of_idle(time.monotonic() + 1) == 1
        assert relay.engine.hub.replica(before.id) is None
        assert relay.branch("North") is not before and relay.branch("North").reports.day(sale.day) == day
        path = f"/api/shops/North/sales/{sale.id}"
        assert (await found.http.get(path, headers=token)).json()["receipt"] == sale.receipt
        async with open_till(tmp_path / "0") as again:
            late = await again.sell([TEA])
            await until(lambda: relay.branch("North").reports.by_id(late.id))
