"""Copies of a head office: made while it runs, tried, put back; and what tills and readers make of a restore."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from examples.rig.programs import free_port
from posline.errors import BadRequest, FolderDamaged, Unavailable
from posline.storage.connection import connect
from posline.storage.folder import Folder
from posline.till.invitation import InvitationRefused
from relay.commands import COMMANDS
from relay.office import CONSOLE
from relay.operations.backups import put_back, read_manifest, unpack, write_copy
from relay.operations.drilling import compare, sums, try_copy
from relay.operations.dumps import load
from relay.operations.figures import BACKUP, DRILL, last_of
from relay.passwords import Passwords
from relay.people import Browser
from relay.postgres.connection import Database
from relay.postgres.home import DatabaseHome
from relay.relay import Relay
from relay.rights import Role
from tests.faults import rig
from tests.postgres import Cluster
from tests.relay.processes import Office as Processes
from tests.relay.processes import crowd_at, ring
from tests.relay.processes import until as until_so
from tests.relay.test_people import QUICK
from tests.relay.test_relay import Office, office
from tests.till.shop import TEA
from tests.till.test_joining import until


async def sold(found: Office, count: int) -> list[str]:
    """So many sales, once the head office has them."""
    (till,) = found.tills
    sales = [await till.sell([TEA]) for _ in range(count)]
    reports = found.relay.branch(till.shop_id).reports
    await until(lambda: all(reports.by_id(sale.id) for sale in sales))
    return [sale.id for sale in sales]


async def test_a_backup_of_what_runs_is_whole_secret_and_can_be_tried(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await sold(found, 3)
        relay, shop = found.relay, found.tills[0].shop_id
        file = tmp_path / "kept" / "copy"
        made = await COMMANDS["backup"](relay, {"file": str(file)})
        assert made["shops"] == 1 and made["key"] is False
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert sorted(path.name for path in file.parent.iterdir()) == ["copy"], "nothing is left beside it"
        with tarfile.open(file) as archive:
            assert set(archive.getnames()) == {"manifest.json", "posline.db", "office.db"}
        manifest = read_manifest(file)
        assert manifest.shops[shop]["entries"] == made["entries"] == sums(relay.store, shop)["entries"]
        assert manifest.shops[shop]["name"] == "North" and manifest.feed_end == relay.feed.end()
        assert last_of(relay, BACKUP)["file"] == str(file)

        await sold(found, 2)  # what runs goes on, and the copy is no worse for it
        tried = try_copy(file, None, tmp_path)
        assert tried["problems"] == [] and compare(relay.store, tried["shops"]) == []
        said = {"file": str(file), "took_s": 1}
        assert (await COMMANDS["drilled"](relay, said | {"wrong": 0}))["ok"] is True
        figures = (await found.http.get("/metrics")).text
        assert "posline_relay_last_drill_ok 1\n" in figures
        assert f"posline_relay_last_backup_timestamp_seconds {last_of(relay, BACKUP)['at_ms'] / 1000}\n" in figures
        left = [name for name in os.listdir(tmp_path) if name.startswith("posline-drill")]  # noqa: PTH208
        assert left == [], "it was thrown away"

        other = {shop: tried["shops"][shop] | {"digest": "0" * 64}}
        (difference,) = (await COMMANDS["drill_compare"](relay, {"shops": other}))["differences"]
        assert "others in the copy" in difference
        await COMMANDS["drilled"](relay, said | {"wrong": 1})
        assert last_of(relay, DRILL)["ok"] is False
        status = await COMMANDS["status"](relay, {})
        assert any("last drill" in each["what"] for each in status["problems"])
        assert status["backup"]["file"] == str(file) and status["shops"] == {"attached": 1, "linked": 1}

        (tmp_path / "note.txt").write_text("mine")
        with pytest.raises(BadRequest, match="is not overwritten"):
            await COMMANDS["backup"](relay, {"file": str(tmp_path / "note.txt")})
        again = await COMMANDS["backup"](relay, {"file": str(file.parent), "with_key": True})
        assert again["key"] is True and read_manifest(Path(again["file"])).with_key


async def test_a_spoilt_backup_is_noticed(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await sold(found, 2)
        file = tmp_path / "copy"
        await COMMANDS["backup"](found.relay, {"file": str(file)})
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FolderDamaged, match="another backup"):
        try_copy(file, None, tmp_path)
    at = whole.index(b"SQLite format 3\0") + 5000
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(FolderDamaged, match="is not what was written"):
        try_copy(file, None, tmp_path)
    file.write_text("hello")
    with pytest.raises(BadRequest, match="no backup made by"):
        try_copy(file, None, tmp_path)


async def test_ledger_and_books_are_as_of_one_moment(tmp_path: Path) -> None:
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder, serving=False) as relay:

            relay.office.set_note("before", "yes")

            def still(work: Callable[[], None]) -> None:
                work()
                relay.office.set_note("later", "yes")  # before a page of either was copied
                relay.store.set_meta("later", "yes")
                relay.store.commit([])

            file = tmp_path / "copy"
            write_copy(folder, file, still=still, with_key=False, office=relay.key.id, names={}, at_ms=1)
            assert relay.office.note("later") == relay.store.get_meta("later") == "yes"
    (tmp_path / "apart").mkdir()
    unpack(file, tmp_path / "apart")
    for name, asked in (("office.db", "SELECT name FROM office_note"), ("posline.db", "SELECT name FROM meta")):
        with closing(connect(str(tmp_path / "apart" / name))) as copy:
            names = {row[0] for row in copy.execute(asked)}
        assert names and "later" not in names, name


async def test_a_copy_brings_back_no_session_and_no_invitation(tmp_path: Path) -> None:
    file, browser = tmp_path / "copy", Browser("203.0.113.7")
    async with office(tmp_path) as found:
        relay = found.relay
        relay.people.passwords = Passwords(PasswordHasher(**QUICK))
        token = relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        session = (await relay.people.first(token, "three or four words", browser)).session
        invitation = relay.invitations.add()
        await COMMANDS["backup"](relay, {"file": str(file), "with_key": True})
        assert relay.people.session(session) is not None
    with Folder(tmp_path / "restored") as folder:
        put_back(folder, file, None)
        async with Relay(folder, serving=False) as restored:
            assert restored.people.session(session) is None
            with pytest.raises(InvitationRefused):
                restored.invitations.take(invitation, "n" * 26)
            restored.people.passwords = Passwords(PasswordHasher(**QUICK))
            assert (await restored.people.sign_in("Asma", "three or four words", browser)).name == "Asma"


async def test_a_restored_head_office_gets_the_rest_from_its_tills_and_its_readers_hear_of_it(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    async with office(tmp_path, "North") as found:
        before = await sold(found, 2)
        await COMMANDS["backup"](found.relay, {"file": str(file)})
        lost = await sold(found, 3)  # of which the copy knows nothing
        reader = await found.token(None)
        page = (await found.http.get("/api/feed", headers=reader)).json()
        key, shop = found.relay.key.id, found.tills[0].shop_id

    folder = tmp_path / "restored"
    with Folder(folder) as opened:
        put_back(opened, file, None)
        with pytest.raises(FolderDamaged, match="put the file 'key' back"):
            Relay(opened)
    shutil.copyfile(tmp_path / "office" / "key", folder / "key")
    shutil.rmtree(tmp_path / "office")
    folder.rename(tmp_path / "office")  # where its till looks for it

    till = rig.Process(tmp_path / "0", arguments=["till", "--port", "0", "--sync-port", "0"])
    port = free_port()
    relay = rig.Process(tmp_path / "office", "relay.cli", ["serve", "--port", str(port)])
    with relay, till:
        run = partial(rig.run, "--data", str(relay.data), module="relay.cli")
        assert json.loads(run("status", "--json", expect=None))["store"] == key
        link = run("invite").strip()
        rig.run("attach", link, "--data", str(till.data))  # it listens elsewhere now
        token = run("user", "add", "Omar").strip()
        bearer = {"authorization": f"Bearer {token}"}

        def held() -> bool:
            answer = httpx.get(f"{relay.page}/api/shops/{shop}/sales", headers=bearer, trust_env=False, timeout=30)
            return {sale["id"] for sale in answer.json()["sales"]} >= {*before, *lost}

        rig.wait_for("the till to bring what the copy lacked", held)
        asked = {"after": page["next"], "feed": page["feed"]}
        async with httpx.AsyncClient(base_url=relay.page, headers=bearer, trust_env=False, timeout=30) as http:
            answer = await http.get("/api/feed", params=asked)
        assert answer.status_code == 409 and "put back to an older copy" in answer.json()["detail"]


@pytest.mark.timeout(240)
async def test_the_commands_on_a_folder(tmp_path: Path) -> None:
    relay = rig.relay(tmp_path / "office")
    with relay:
        run = partial(rig.run, "--data", str(relay.data), module="relay.cli")
        run("backup", str(tmp_path / "copy"), "--with-key")
        assert "the backup is whole" in run("drill", str(tmp_path / "copy"))
        said = run("status")
        assert "serving" in said and "copy, whole" in said
        assert "drained" in run("drain")
        assert relay.wait() == 0
    rig.run("restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new"), module="relay.cli")
    assert (tmp_path / "new" / "key").read_bytes() == (tmp_path / "office" / "key").read_bytes()
    assert "not running" in rig.run("status", "--data", str(tmp_path / "new"), module="relay.cli", expect=1)
    rig.run("restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new"), module="relay.cli", expect=1)


@pytest.mark.timeout(240)
async def test_a_copy_of_a_database_is_made_tried_beside_it_and_put_back(cluster: Cluster, tmp_path: Path) -> None:
    processes = Processes(cluster, tmp_path, count=1)
    processes.url = cluster.url("copied")
    processes.processes[0].arguments[-1] = processes.url
    (process,) = processes.processes
    file = tmp_path / "copy"
    run = partial(rig.run, "--database", processes.url, module="relay.cli")
    try:
        await processes.start()
        async with crowd_at(processes, 2, 2) as crowd:
            rung = await ring(crowd, 2)
            total = sum(len(ids) for ids in rung.values())
            await until_so("all to be held", lambda: sum(len(till.replica.held) for till in crowd.tills) == total)
        assert str(file) in run("backup", str(file))
        assert "the backup is whole" in run("drill", str(file))
        status = json.loads(run("status", "--json", expect=None))
        assert status["drill"]["ok"] is True and len(status["processes"]) == 1
        async with Relay(DatabaseHome(processes.url), serving=False) as relay:
            schemas = relay.store.read.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'posline_drill%'")
            assert schemas.fetchone()[0] == 0, "thrown away"
            load(file, Database(cluster.url("put_back")))
            async with Relay(DatabaseHome(cluster.url("put_back")), serving=False) as restored:
                assert restored.key.id == relay.key.id
                for shop in relay.store.shops():
                    assert sums(restored.store, shop) == sums(relay.store, shop)
                assert restored.feed.end() == relay.feed.end()
            with pytest.raises(BadRequest, match="is there already"):
                load(file, Database(cluster.url("put_back")))
        assert "drained" in run("drain")
        assert await asyncio.to_thread(process.wait) == 0
    finally:
        processes.kill()


def test_a_copy_that_is_to_be_tried_in_a_database_that_is_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"PGDMP")
    with pytest.raises(Unavailable, match="does not answer"):
        try_copy(tmp_path / "copy", "postgresql://posline@127.0.0.1:1/nowhere", None)
