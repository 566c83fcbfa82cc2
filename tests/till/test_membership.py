"""Removing, accepting, roles and new keys, as an owner does it; and what a till says that was removed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posline.errors import BadRequest, CommitFailed, NotAllowed, NotFound, NotPossible
from posline.storage.folder import Folder
from posline.storage.verify import verify
from posline.till import membership
from posline.till.commands import COMMANDS
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.membership import accept, recover, remove, rotate, set_role
from posline.till.opening import next_key
from posline.till.till import Till, open_till
from posline.trust.keys import Key
from tests.till.shop import TEA, until


@contextlib.asynccontextmanager
async def two(path: Path) -> AsyncIterator[tuple[Till, Till]]:
    """Two tills of one shop that are linked."""
    async with open_till(path / "a", shop="Corner shop") as a:
        await a.listen()
        link = Invitation.parse((await COMMANDS["invite"](a, {"expires_s": 60}))["link"], "join")
        with Folder(path / "b") as folder:
            await request_membership(folder, link, label="")
        async with open_till(path / "b") as b:
            await until(lambda: b.store.members(b.shop_id) == a.store.members(a.shop_id))
            yield a, b


async def tell(source: Till, target: Till) -> None:
    """Bring over what one has and the other lacks, as a third till would that still talks to both."""
    for document in source.replica.documents():
        for row in source.replica.rows(document, 0, 10_000):
            staged = target.whole.integrate(document, row.update, origin=source.id)
            if staged is not None:
                await target.engine.durable(staged)
    await until(lambda: entries(source) <= entries(target))


def entries(till: Till) -> set[bytes]:
    return {hash for (hash,) in till.store.read.execute("SELECT hash FROM entry")}


def kinds(till: Till) -> set[str]:
    return {alarm["kind"] for alarm in till.alarms()}


async def test_a_removed_till_sells_on_and_what_it_sells_is_held_until_it_is_accepted(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        sales = [await b.sell([TEA]) for _ in range(3)]
        await until(lambda: len(a.sales()) == 3)
        gone = await remove(a, "b")
        assert (gone["label"], gone["last_receipt"]) == ("B", sales[-1].receipt)
        assert gone["last_seq"] >= 4 and sales[-1].receipt in gone["detail"] and "not here" in gone["detail"]
        assert a.day_report()["sales"]["count"] == 3
        assert {till["label"] for till in a.day_report()["tills"]} == {"A", "B"}, "its name stays in the reports"
    async with open_till(tmp_path / "a") as a:
        with pytest.raises(BadRequest, match="called B already"):
            await a.rename("B")
        assert not list(verify(a.store, a.shop_id))


async def test_a_till_that_learns_of_its_removal_says_so(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        assert "removed" not in kinds(b)
        await remove(a, b.id)
        await tell(a, b)
        assert "removed" in kinds(b)
        (alarm,) = [alarm for alarm in b.alarms() if alarm["kind"] == "removed"]
        assert "by till A" in alarm["detail"]
        late = await b.sell([TEA])
        assert b.sale(late.id).status == "held"
        with pytest.raises(NotAllowed, match="A"):
            await accept(b, [late.id])
        await tell(b, a)
        assert a.sale(late.id).status == "held" and a.day_report()["sales"]["count"] == 0
        await accept(a, [late.id])
        assert a.sale(late.id).status == "counted" and a.day_report()["sales"]["count"] == 1
        assert not [problem for problem in verify(a.store, a.shop_id) if "held" not in problem]


async def test_a_till_that_is_shut_out_says_so_though_nobody_tells_it_more(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        await remove(a, "B")
        await until(lambda: "removed" in kinds(b))
        (alarm,) = [alarm for alarm in b.alarms() if alarm["kind"] == "removed"]
        assert alarm["detail"].startswith("A let this till in no more, since it was removed from the shop")
        (row,) = b.status()["peers"]
        assert (row["name"], row["connected"]) == ("A", False) and "B was removed" in row["why"]
        await until(lambda: a.status()["refused"])
        assert a.status()["peers"] == [], "who was removed is none of the shop's devices"
        assert a.status()["refused"][0]["why"] == "till B was removed from the shop"
        await b.sell([TEA])
        assert b.status()["waiting"] > 0


async def test_the_recovery_code_says_that_it_helps_nothing_where_the_removal_was_never_heard(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as founder:
        code = founder.recovery
        assert code is not None
    async with two(tmp_path) as (a, b):
        await remove(a, "B")
        await until(lambda: "removed" in kinds(b))
        held = entries(b)
        with pytest.raises(NotPossible, match="posline restore"):
            await recover(b, code)
        assert entries(b) == held, "nothing was written"
        await tell(a, b)
        await recover(b, code)  # now it knows of the removal, and takes it back
        assert (await recover(b, code))["role"] == "manager", "asking again changes nothing"
        await until(lambda: b.id in a.store.members(a.shop_id))


async def test_held_sales_are_accepted_by_id_hash_or_prefix(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        sales = [await b.sell([TEA]) for _ in range(3)]
        await until(lambda: len(a.sales()) == 3)
        hashes = [a.reports.by_id(sale.id)[0].entry.hash.hex() for sale in sales]
        await remove(a, "B", vouched_only=True)
        assert {sale.status for sale in a.sales()} == {"held"}
        answer = await accept(a, [sales[0].id, hashes[1], hashes[2][:8]])
        assert [each["hash"] for each in answer["accepted"]] == hashes
        assert {sale.status for sale in a.sales()} == {"counted"}
        with pytest.raises(NotFound, match="it is counted"):
            await accept(a, [sales[0].id])
        with pytest.raises(NotFound, match="nothing here"):
            await accept(a, ["0" * 12])
        for wrong in ("abc", "hello", ""):
            with pytest.raises(BadRequest):
                await accept(a, [wrong])
        with pytest.raises(BadRequest):
            await accept(a, [])


async def test_only_a_manager_may_and_the_last_one_stays(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        with pytest.raises(NotFound, match="it has A, B"):
            await remove(a, "Z")
        assert await set_role(a, "B", "till") == {"till": b.id, "label": "B", "role": "till"}
        await until(lambda: b.store.members(b.shop_id)[b.id].role == "till")
        for refused in (remove(b, "A"), set_role(b, "B", "manager"), accept(b, ["0" * 8])):
            with pytest.raises(NotAllowed, match="a till that may: A"):
                await refused
        for refused in (remove(a, "A"), set_role(a, "A", "till")):
            with pytest.raises(BadRequest, match="last manager"):
                await refused
        with pytest.raises(BadRequest, match="manager or till"):
            await set_role(a, "B", "reader")
        await set_role(a, "B", "manager")
        await remove(a, "A")
        assert a.id not in a.store.members(a.shop_id)
        await tell(a, b)
        assert a.id not in b.store.members(b.shop_id)
        with pytest.raises(NotAllowed, match="may: B"):
            await remove(a, "B")
        with pytest.raises(BadRequest, match="was removed"):
            await set_role(b, "A", "manager")
        await remove(b, "B", force=True)
        with pytest.raises(NotAllowed, match="recovery code"):
            await remove(b, "B")


async def test_the_recovery_code_makes_a_manager_where_none_is_left(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as founder:
        code = founder.recovery
        assert code is not None
    async with two(tmp_path) as (a, b):
        await set_role(a, "B", "till")
        await until(lambda: b.store.members(b.shop_id)[b.id].role == "till")
        for wrong, why in (("guess", "no recovery code"), (Key(bytes(32)).code(), "another shop")):
            with pytest.raises(BadRequest, match=why):
                await recover(b, wrong)
        assert (await recover(b, code)) == {"till": b.id, "label": "B", "role": "manager"}
        await until(lambda: a.store.members(a.shop_id)[b.id].role == "manager")
        await remove(a, "B")
        await tell(a, b)
        late = await b.sell([TEA])
        assert b.sale(late.id).status == "held"
        await COMMANDS["recover"](b, {"code": code})
        assert b.id in b.store.members(b.shop_id) and b.sale(late.id).status == "counted"
        await until(lambda: b.id in a.store.members(a.shop_id))  # it introduces itself with what came after
        await until(lambda: a.day_report() == b.day_report() and not a.alarms() and not b.alarms())
    for name in "ab":
        async with open_till(tmp_path / name) as till:
            assert not list(verify(till.store, till.shop_id))


async def test_a_new_key_is_the_same_till(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        author, old = b.id, b.key.public
        await b.sell([TEA])
        await rotate(b)
        assert b.id == author and b.key.public != old and not next_key(b.folder).exists()
        await b.sell([TEA])
        b.replica.seal_soon()
        await until(lambda: len(a.sales()) == 2)
        assert a.store.authority(a.shop_id).key_of(author) == b.key.public
    for name in ("b", "a"):
        async with open_till(tmp_path / name) as till:
            assert {sale.status for sale in till.sales()} == {"counted"}
            assert list(verify(till.store, till.shop_id)) == []
    assert Key.load(tmp_path / "b" / "key").id == author


@pytest.mark.parametrize("dials", ["itself", "the other"])
async def test_a_till_that_changed_its_key_before_it_heard_of_its_removal_sells_on_and_can_come_back(
    tmp_path: Path, dials: str
) -> None:
    async with open_till(tmp_path / "a") as founder:
        code = founder.recovery
        assert code is not None
    async with two(tmp_path) as (a, b):
        await remove(a, "B")
        await rotate(b)  # it has not heard: nobody need believe the new key
        await b.sell([TEA])
        await tell(a, b)
        b.replica.seal_soon()
        late = await b.sell([TEA])
        assert b.sale(late.id).status == "held"
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b:
        after = await b.sell([TEA])
        await COMMANDS["recover"](b, {"code": code})
        assert b.id in b.store.members(b.shop_id)
        assert {sale.status for sale in b.sales()} == {"counted"} and len(b.sales()) == 3
        listener, dialler = (a, b) if dials == "itself" else (b, a)
        await dialler.connect(await listener.listen())
        await until(lambda: b.id in a.store.members(a.shop_id))  # it introduces itself, with its new key
        await until(lambda: a.day_report() == b.day_report() and not a.alarms() and not b.alarms())
        assert a.sale(after.id).status == "counted"
        assert a.store.authority(a.shop_id).key_of(b.id) == b.key.public
    for name in "ab":
        async with open_till(tmp_path / name) as till:
            assert not list(verify(till.store, till.shop_id))


async def test_a_cut_while_the_key_is_changed_leaves_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    async with open_till(path) as a:
        author, old = a.id, a.key.public
        Key(bytes(32), author).save(next_key(a.folder))  # cut before the entry was committed
    async with open_till(path) as a:
        assert a.key.public == old and not next_key(a.folder).exists()

        def cut(folder: Folder) -> None:
            raise OSError("the power went")

        with monkeypatch.context() as broken:
            broken.setattr(membership, "use_new_key", cut)
            with pytest.raises(OSError, match="the power went"):
                await rotate(a)
        assert Key.load(path / "key").public == old
    async with open_till(path) as a:
        assert a.key.public != old and a.id == author and not next_key(a.folder).exists()
        sale = await a.sell([TEA])
        assert a.sale(sale.id).status == "counted"
        assert list(verify(a.store, a.shop_id)) == []


async def test_a_new_key_that_does_not_reach_the_disk_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_till(tmp_path / "a") as a:
        old = a.key.public

        def full(batch: object) -> None:
            raise CommitFailed("there is no room")

        with monkeypatch.context() as broken:
            broken.setattr(a.store, "commit", full)
            with pytest.raises(CommitFailed):
                await rotate(a)
        assert a.key.public == old and not next_key(a.folder).exists()
        await a.sell([TEA])
    async with open_till(tmp_path / "a") as a:
        assert {sale.status for sale in a.sales()} == {"counted"} and list(verify(a.store, a.shop_id)) == []


@pytest.mark.parametrize("dials", ["itself", "the other"])
async def test_new_keys_of_a_till_that_is_alone_are_known_again_and_are_bounded(tmp_path: Path, dials: str) -> None:
    async with two(tmp_path) as (a, b):
        await b.sell([TEA])
        await until(lambda: len(a.sales()) == 1)
    async with open_till(tmp_path / "b") as b:
        for _ in range(membership.KEYS_UNHEARD_MAX):
            await rotate(b)
            await b.sell([TEA])
        with pytest.raises(NotAllowed, match="Let it link with another till"):
            await rotate(b)
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b:
        listener, dialler = (a, b) if dials == "itself" else (b, a)
        await dialler.connect(await listener.listen())
        await until(lambda: len(a.sales()) == 1 + membership.KEYS_UNHEARD_MAX)
        assert a.store.authority(a.shop_id).key_of(b.id) == b.key.public
        await until(lambda: not b.status()["waiting"])
        await rotate(b)


async def test_a_till_that_has_nobody_changes_its_key_as_often_as_it_likes(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        for _ in range(membership.KEYS_UNHEARD_MAX + 2):
            await rotate(a)


async def test_the_commands_answer_what_the_functions_do(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b):
        sale = await b.sell([TEA])
        await until(lambda: len(a.sales()) == 1)
        assert (await COMMANDS["role"](a, {"till": "B", "role": "till"}))["role"] == "till"
        assert (await COMMANDS["key_rotate"](a, {}))["till"] == a.id
        assert (await COMMANDS["remove"](a, {"till": "B", "vouched_only": True}))["till"] == b.id
        accepted = await COMMANDS["accept"](a, {"entries": [sale.id]})
        assert [each["id"] for each in accepted["accepted"]] == [sale.id]
