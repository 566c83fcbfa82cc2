"""The small files beside the database, whatever somebody or a bad disk made of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from posline.errors import FolderDamaged, FolderLocked
from posline.storage.folder import Folder
from posline.till import local
from posline.till.local import ask
from posline.till.settings import HandedOut, Settings


def load(folder: Path, content: bytes) -> Settings:
    (folder / "settings.json").write_bytes(content)
    with Folder(folder) as held:
        return Settings.load(held)


def test_settings_come_back_as_they_were_saved(tmp_path: Path) -> None:
    token = HandedOut("write", "an ERP", "b" * 26)
    settings = Settings("a" * 26, "A", tokens={"f" * 64: token}, invitations={"e" * 64: 5}, joining={"shop": "x"})
    with Folder(tmp_path) as folder:
        settings.save(folder)
        assert Settings.load(folder) == settings


@pytest.mark.parametrize(
    "held",
    [
        {"sync_port": "x"}, {"shop": 5}, {"label": None}, {"sync_port": "\ud800"}, {"printer": []}, {"joining": 5},
        {"invitations": {"a": "b"}}, {"tokens": []}, {"newer": 1},
        {"tokens": {"a": {"role": 5}}}, {"tokens": {"a": {"role": "write", "author": []}}},
    ],
    ids=repr,
)  # fmt: skip
def test_a_setting_of_another_kind_is_said_at_once(tmp_path: Path, held: dict[str, Any]) -> None:
    with pytest.raises(FolderDamaged, match="not those of a till"):
        load(tmp_path, json.dumps(held).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"shop":', b"[" * 200_000, b'{"a":' * 100_000])
def test_settings_that_are_no_json_are_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FolderDamaged, match="not whole"):
        load(tmp_path, content)


@pytest.mark.parametrize("address", ["", "nowhere", "http://[::1", "http://127.0.0.1:99999", "ftp://127.0.0.1", "http://"])
def test_a_command_that_finds_no_address_in_local_json_says_that_the_folder_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    async def command(serves: Any, arguments: Any) -> Any:
        raise AssertionError("the folder is another's")

    @asynccontextmanager
    async def open_here(folder: Folder) -> AsyncIterator[Any]:
        yield None

    monkeypatch.setattr(local, "STARTING_S", 0.0)
    with Folder(tmp_path) as folder:
        folder.announce_local(address, "secret")
        with pytest.raises(FolderLocked):
            ask(tmp_path, "status", {}, command=command, open_here=open_here)
