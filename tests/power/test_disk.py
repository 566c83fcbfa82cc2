"""The disk in memory: what may be left of writes and names, by the moments at which they and their fsyncs came."""

from __future__ import annotations

import random
from pathlib import Path

from tests.power.calls import Call, Moment
from tests.power.disk import SECTOR, VARIANTS, Disk, State

PLACE = Path("/disk")
LOST, KEPT = (VARIANTS[name](random.Random(0)) for name in ("lost", "kept"))


class Works:
    """A program that calls one thing after another."""

    def __init__(self, state: State | None = None) -> None:
        self.disk, self._handles = Disk(PLACE, state or {}), 2

    def call(self, name: str, *paths: str, **more: object) -> Call:
        """Begin a call and let it return."""
        call = self.begin(name, *paths, **more)
        self.end(call)
        return call

    def begin(self, name: str, *paths: str, **more: object) -> Call:
        call = Call(name, at=str(PLACE), paths=[f"{PLACE}/{path}".rstrip("/") for path in paths], **more)  # type: ignore[arg-type]
        self.disk.take(Moment(call, False))
        return call

    def end(self, call: Call) -> None:
        self.disk.take(Moment(call, True))

    def open(self, path: str, flags: str = "O_RDWR|O_CREAT") -> int:
        self._handles += 1
        self.call("openat", path, flags=flags, result=self._handles)
        return self._handles

    def states(self, how: str, tries: int = 300) -> set[tuple[tuple[str, bytes | None], ...]]:
        return {
            tuple(sorted(self.disk.cut(VARIANTS[how](random.Random(seed))).items(), key=lambda item: item[0]))
            for seed in range(tries)
        }


def test_a_file_is_there_once_its_folder_and_its_bytes_are_fsynced() -> None:
    works = Works()
    file = works.open("a")
    works.call("pwrite64", handle=file, data=b"one", numbers=[3, 0])
    assert works.disk.cut(LOST) == {}
    assert works.disk.cut(KEPT) == {"a": b"one"}
    works.call("fsync", handle=file)
    assert works.disk.cut(LOST) == {}, "an fsync of a file says nothing of its name"
    works.call("fsync", handle=works.open("", "O_RDONLY|O_DIRECTORY"))
    assert works.disk.cut(LOST) == {"a": b"one"}


def test_an_fsync_promises_only_what_was_written_when_it_began() -> None:
    works = Works({"a": b"...."})
    file = works.open("a", "O_RDWR")
    works.call("pwrite64", handle=file, data=b"1", numbers=[1, 0])
    late = works.begin("pwrite64", handle=file, data=b"2", numbers=[1, 1])
    sync = works.begin("fsync", handle=file)
    works.call("pwrite64", handle=file, data=b"3", numbers=[1, 2])
    works.end(late)
    assert works.disk.cut(LOST) == {"a": b"...."}, "before it returns, nothing is promised"
    works.end(sync)
    assert works.disk.cut(LOST) == {"a": b"1..."}
    assert works.disk.cut(KEPT) == {"a": b"123."}


def test_a_rename_is_the_old_file_or_the_new_one() -> None:
    works = Works({"a": b"old"})
    file = works.open("new")
    works.call("write", handle=file, data=b"fresh")
    works.call("fsync", handle=file)
    works.call("rename", "new", "a")
    left = {dict(state)["a"] for state in works.states("some")}
    assert left == {b"old", b"fresh"}
    works.call("fsync", handle=works.open("", "O_RDONLY|O_DIRECTORY"))
    assert works.disk.cut(LOST) == {"a": b"fresh"}


def test_writes_are_lost_in_any_order_and_by_sectors() -> None:
    works = Works({"a": b"." * 2 * SECTOR})
    file = works.open("a", "O_RDWR")
    works.call("pwrite64", handle=file, data=b"x" * 2 * SECTOR, numbers=[0, 0])
    works.call("pwrite64", handle=file, data=b"y", numbers=[1, 2 * SECTOR + 9])
    left = {dict(state)["a"] or b"" for state in works.states("some")}
    assert {content[: 2 * SECTOR] for content in left} == {
        a + b for a in (b"." * SECTOR, b"x" * SECTOR) for b in (b"." * SECTOR, b"x" * SECTOR)
    }
    tails = {content[2 * SECTOR :] for content in left}
    assert tails == {b"", bytes(9) + b"y", bytes(10)}, "lost, there, or grown with nothing in it"


def test_a_file_that_is_gone_may_come_back() -> None:
    works = Works({"a": b"old"})
    works.call("unlink", "a")
    assert works.disk.cut(LOST) == {"a": b"old"}
    assert works.disk.cut(KEPT) == {}


def test_a_folder_takes_with_it_what_lies_in_it() -> None:
    works = Works()
    works.call("mkdir", "shop")
    file = works.open("shop/key")
    works.call("write", handle=file, data=b"key")
    works.call("fsync", handle=file)
    works.call("fsync", handle=works.open("shop", "O_RDONLY|O_DIRECTORY"))
    assert works.disk.cut(LOST) == {}, "the folder's own name is its parent's"
    works.call("fsync", handle=works.open("", "O_RDONLY|O_DIRECTORY"))
    assert works.disk.cut(LOST) == {"shop": None, "shop/key": b"key"}
