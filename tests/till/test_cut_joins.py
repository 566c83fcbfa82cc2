"""A join whose power was cut: what the disk then holds is in nobody's way, and nothing of the old shop comes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from posline.storage.folder import Folder
from posline.till import joining, opening
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.opening import RECOVERY_FILE
from posline.till.till import open_till
from tests.till.shop import invitation


class Cut(BaseException):
    """The power goes."""


async def ask(path: Path, link: Invitation) -> str:
    with Folder(path) as folder:
        return await request_membership(folder, link, label="")


async def test_a_join_that_was_answered_and_cut_off_may_be_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b"
    async with open_till(tmp_path / "a") as a:
        link = await invitation(a)
        assert await ask(path, link) == "B"

        async def nobody(*_: Any) -> Any:
            raise AssertionError("it was answered before")

        monkeypatch.setattr(joining, "ask_first", nobody)
        (path / "key.new").replace(path / "key")
        (path / "posline.db").touch()  # the power went as the database was made
        assert await ask(path, link) == "B"
        async with open_till(path, found=False) as b:
            assert (b.shop_id, b.label) == (a.shop_id, "B")


async def test_a_first_start_that_was_cut_off_is_in_no_joins_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b"
    whole = os.write
    with monkeypatch.context() as broken:

        def half(handle: int, content: Any) -> int:
            whole(handle, bytes(content[: len(content) // 2]))
            raise Cut

        broken.setattr(os, "write", half)
        with pytest.raises(Cut):
            async with open_till(path):
                pass
    assert not (path / "key").exists()
    assert list(path.glob("key*")), "its half is there"
    async with open_till(tmp_path / "a") as a:
        assert await ask(path, await invitation(a)) == "B"
        async with open_till(path) as b:
            assert b.shop_id == a.shop_id


async def test_the_old_shop_is_gone_for_good_before_the_new_key_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b"
    async with open_till(path, shop="Not for long"):
        pass
    durable: list[set[str]] = []  # the names in the folder at each of its fsyncs

    def sync(folder: Path) -> None:
        durable.append({each.name for each in folder.iterdir()})

    async with open_till(tmp_path / "a") as a:
        await ask(path, await invitation(a))
        monkeypatch.setattr(opening, "sync_folder", sync)
        async with open_till(path):
            pass
    before = next(names for names in durable if "key.new" in names)
    assert not before & {"posline.db", "posline.db-wal", RECOVERY_FILE}
