"""Reading from several threads: a long report hides no commit from whoever decides by what is recorded."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from posline.errors import FolderDamaged
from posline.storage.connection import Error
from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import commit, founded, sale


def test_a_read_under_way_in_another_thread_hides_no_commit(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "posline.db")
    replica = founded(store=store)
    reading, done = threading.Event(), threading.Event()

    def report() -> None:
        cursor = store.read.execute("SELECT n FROM entry")
        cursor.fetchone()
        reading.set()
        done.wait(20)
        cursor.fetchall()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        assert reading.wait(20)
        id = "0d3c4f4e-77f5-4b44-9d41-0cc6d0e8a6b5"
        replica.write("sale", sale(), id=id)
        commit(replica)
        assert len(Reports(store, replica.shop, here=replica.store_id).by_id(id)) == 1
    finally:
        done.set()
        thread.join(20)
    store.close()
    with pytest.raises(Error):
        store.read.execute("SELECT 1")


def test_a_file_whose_table_names_rotted_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "posline.db"
    Store.open(path).close()
    path.write_bytes(path.read_bytes().replace(b"tablemetameta", b"table\xccetameta"))
    with pytest.raises(FolderDamaged):
        Store.open(path)
