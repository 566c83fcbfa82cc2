"""Backup and restore: a restored till is a new author that succeeds the old one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posline.errors import BadRequest, FolderDamaged, FolderError
from posline.storage.folder import Folder
from posline.storage.store import Store
from posline.storage.verify import verify
from posline.till.commands import COMMANDS
from posline.till.invitation import Invitation
from posline.till.keeping import backup, restore
from posline.till.offline import restore_folder
from posline.till.till import open_till
from posline.trust.keys import Key
from tests.till.shop import TEA


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def with_backup(tmp_path: Path) -> tuple[str, list[str]]:
    """A till that sold two things, was copied, and sold one more: its recovery code, and the ids before the copy."""
    async with open_till(tmp_path / "a", "K", shop="Corner shop") as till:
        ids = [(await till.sell([TEA])).id for _ in range(2)]
        found = backup(till, tmp_path / "copy.db")
        assert found["bytes"] == (tmp_path / "copy.db").stat().st_size
        await till.sell([TEA])
        assert till.recovery is not None
        return till.recovery, ids


async def test_with_the_recovery_code_it_is_admitted_at_once(tmp_path: Path) -> None:
    code, ids = await with_backup(tmp_path)
    with Folder(tmp_path / "b") as folder:
        found = restore(folder, tmp_path / "copy.db", recovery=Key.from_code(code), label="")
    assert (found["name"], found["label"], found["admitted"]) == ("Corner shop", "K2", True)
    async with open_till(tmp_path / "b") as till:
        assert till.label == "K2" and till.id != found["succeeds"]
        sale = await till.sell([TEA])
        assert sale.status == "counted" and sale.receipt.startswith("K2-1-")
        assert {s.id for s in till.sales()} == {*ids, sale.id}
        report = till.day_report()
        assert report["sales"]["count"] == 3 and till.status()["alarms"] == []
        # the code signed an entry in this day, but is no till to count, or to wait for
        assert {t["till"] for t in report["tills"]} == set(report["waiting_for"]) == {till.id, found["succeeds"]}
        assert list(verify(till.store, till.shop_id)) == []


async def test_without_it_sales_are_held_until_a_till_of_the_shop_admits_it(tmp_path: Path) -> None:
    await with_backup(tmp_path)
    with Folder(tmp_path / "b") as folder:
        assert restore(folder, tmp_path / "copy.db", recovery=None, label="")["admitted"] is False
    async with open_till(tmp_path / "b") as till:
        sale = await till.sell([TEA])
        held = till.day_report()["held"]
        assert sale.status == "held" and sum(h["amount"] for h in held) == sale.total
    async with open_till(tmp_path / "a") as old:
        await old.listen()
        found = await COMMANDS["invite"](old, {"expires_s": 60})
        link = Invitation.parse(found["link"], "join")
        async with open_till(tmp_path / "b") as till:
            await COMMANDS["join"](till, {"link": str(link), "label": ""})
            assert till.sale(sale.id).status == "counted" and till.day_report()["held"] == []


async def test_a_till_of_the_shop_admits_it_while_it_is_restored(tmp_path: Path) -> None:
    await with_backup(tmp_path)
    async with open_till(tmp_path / "a") as old:
        await old.listen()
        found = await COMMANDS["invite"](old, {"expires_s": 60})
        link = Invitation.parse(found["link"], "join")
        found = await asyncio.to_thread(
            restore_folder, tmp_path / "b", tmp_path / "copy.db", recovery=None, invitation=link, label="NEW"
        )
        assert (found["label"], found["admitted"]) == ("NEW", True)
        async with open_till(tmp_path / "b") as till:
            assert (await till.sell([TEA])).status == "counted"


async def test_a_backup_holds_no_key_and_is_its_owners_alone(tmp_path: Path) -> None:
    code, _ = await with_backup(tmp_path)
    content = (tmp_path / "copy.db").read_bytes()
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0
    seed = bytes.fromhex((tmp_path / "a" / "key").read_text().split()[1])
    assert seed not in content and seed.hex().encode() not in content and code.encode() not in content


async def test_a_backup_is_replaced_whole_and_nothing_else_is_overwritten(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as till:
        backup(till, tmp_path / "copy.db")
        await till.sell([TEA])
        backup(till, tmp_path / "copy.db")
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(BadRequest, match="not overwritten"):
            backup(till, tmp_path / "letter.txt")
        with pytest.raises(BadRequest, match="cannot be written"):
            backup(till, tmp_path / "nowhere" / "copy.db")
    assert names(tmp_path) == ["a", "copy.db", "letter.txt"]


async def test_a_copy_that_cannot_be_read_back_is_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails is of the copy, and no damage of the till's own folder."""

    def unread(path: Path) -> Store:
        raise FolderDamaged(f"the database {path} is damaged")

    async with open_till(tmp_path / "a") as till:
        monkeypatch.setattr(Store, "open", unread)
        with pytest.raises(BadRequest, match="cannot be written"):
            backup(till, tmp_path / "copy.db")
    assert names(tmp_path) == ["a"]


async def test_what_cannot_be_restored_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    code, _ = await with_backup(tmp_path)
    with Folder(tmp_path / "b") as folder:
        (tmp_path / "letter.txt").write_text("dear")
        for source in ("letter.txt", "nowhere"):
            with pytest.raises(BadRequest, match="is no backup"):
                restore(folder, tmp_path / source, recovery=None, label="")
        with pytest.raises(BadRequest, match="is no backup"):
            restore(folder, tmp_path / "a" / "posline.db", recovery=None, label="")
        with pytest.raises(BadRequest, match="another shop"):
            restore(folder, tmp_path / "copy.db", recovery=Key(bytes(32)), label="")
        with pytest.raises(BadRequest, match="K already"):
            restore(folder, tmp_path / "copy.db", recovery=None, label="K")
    assert names(tmp_path / "b") == ["lock"]
    with Folder(tmp_path / "a") as folder, pytest.raises(FolderError, match="holds a shop already"):
        restore(folder, tmp_path / "copy.db", recovery=Key.from_code(code), label="")


async def test_a_restore_that_was_cut_off_may_be_tried_again(tmp_path: Path) -> None:
    await with_backup(tmp_path)
    with Folder(tmp_path / "b") as folder:
        (folder.path / "restoring").mkdir()
        folder.database.write_bytes(b"half of it")
        assert restore(folder, tmp_path / "copy.db", recovery=None, label="")["label"] == "K2"
    async with open_till(tmp_path / "b") as till:
        assert till.day_report()["sales"]["count"] == 2
