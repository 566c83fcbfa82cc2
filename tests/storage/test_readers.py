"""Reading from several threads: a long report hides no commit from whoever decides by what is recorded."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from posline.errors import FolderDamaged
from posline.storage.connection import Error, is_damage, is_failure
from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import commit, founded, joined, sale


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


def test_a_report_that_began_before_a_removal_does_not_bring_the_removed_back(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "posline.db")
    replica = founded(store=store)
    other = joined(replica, "be").author
    began, removed = threading.Event(), threading.Event()

    def report() -> None:
        with store.still():
            store.read.execute("SELECT count(*) FROM entry").fetchone()
            began.set()
            assert removed.wait(20)
            Reports(store, replica.shop, here=replica.store_id).label(other.id)

    with ThreadPoolExecutor() as threads:
        reporting = threads.submit(report)
        assert began.wait(20) and other.id in store.members(replica.shop)
        replica.write("remove", {"member": other.id, "points": []}, document="shop")
        commit(replica)
        removed.set()
        reporting.result(20)
    assert other.id not in store.members(replica.shop)
    store.close()


@pytest.mark.parametrize("other", [False, True], ids=["nothing", "another shop's file"])
def test_a_file_that_is_not_at_its_place_any_more_is_not_gone_on_with(other: bool, tmp_path: Path) -> None:
    """Neither is a sale recorded where the next start finds nothing, nor is read what lies there by then."""
    (tmp_path / "a").mkdir()
    store = Store.open(tmp_path / "a" / "posline.db")
    replica = founded(store=store)
    (tmp_path / "a").rename(tmp_path / "b")
    if other:
        (tmp_path / "a").mkdir()
        Store.open(tmp_path / "a" / "posline.db").close()
    with ThreadPoolExecutor() as threads, pytest.raises(Error) as read:  # by a connection of its own
        threads.submit(store.read.execute, "SELECT 1 FROM entry").result()
    with pytest.raises(Error) as backed_up:
        store.backup(tmp_path / "copy")
    replica.write("sale", sale())
    with pytest.raises(Error) as committed:
        commit(replica)
    assert all(is_failure(each.value) and not is_damage(each.value) for each in (read, backed_up, committed))
    store.close()
    again = Store.open(tmp_path / "b" / "posline.db")
    assert again.read.execute("SELECT count(*) FROM entry WHERE kind = 'sale'").fetchone() == (0,)
    again.close()


def test_a_file_whose_table_names_rotted_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "posline.db"
    Store.open(path).close()
    path.write_bytes(path.read_bytes().replace(b"tablemetameta", b"table\xccetameta"))
    with pytest.raises(FolderDamaged):
        Store.open(path)


def test_a_file_may_be_closed_under_a_question(tmp_path: Path) -> None:
    """Were its connection closed meanwhile, the process would end without a word: SQLite's memory would be gone."""
    store = Store.open(tmp_path / "posline.db")
    asking = threading.Event()
    answers: list[int] = []
    slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i FROM n"

    def ask() -> None:
        with suppress(Error):  # closed before it is asked
            rows = store.read.execute(slow)
            asking.set()
            answers.append(sum(1 for _ in rows))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert asking.wait(20)
    store.close()
    with pytest.raises(Error):
        store.read.execute("SELECT 1")
    for thread in threads:
        thread.join(60)
    assert 1000000 in answers and set(answers) == {1000000}


def test_nobody_keeps_a_closed_file_open(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "posline.db")
    go, asked = threading.Event(), threading.Event()

    def ask_and_stay() -> None:
        store.read.execute("SELECT 1").fetchall()
        asked.set()
        go.wait(20)

    thread = threading.Thread(target=ask_and_stay)
    thread.start()
    assert asked.wait(20)
    store.close()
    still = [link for link in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(link)]
    go.set()
    thread.join(20)
    assert not still
