"""A data folder: what is durable of it before anything is written in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posline.storage import folder as storage
from posline.storage.folder import Folder


def test_a_folder_that_was_there_gets_a_durable_name_before_the_first_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shops" / "till"
    path.mkdir(parents=True)  # as `posline service install` does, a person, or a first start that was killed
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync_folder", synced.append)
    with Folder(path):
        assert {path.parent, tmp_path} <= set(synced)
    synced.clear()
    (path / "key").touch()
    with Folder(path):
        assert not synced, "not at each start"
