"""A disk in memory: what of a folder is durable, what only the running kernel knows, and what a power cut may leave.

The rules are POSIX's at their weakest, as ALICE (OSDI 2014) takes them, and not those of one file system:

- what was written to a file is durable once an fsync or fdatasync that began after it has returned; until then each
  write may be there or not, whatever its order, wholly or in any of its sectors, and a file may have grown to where a
  lost write ended, with zeros in it;
- a name (made, renamed, removed) is durable once its folder's fsync has returned, and until then may be there or not,
  whatever its order; the fsync of a file says nothing of its name. A rename is one step: there is the old name or the
  new one.

SQLite's shared memory (`-shm`) is no part of it: it is made anew by whoever opens the database first. Nor are modes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tests.power.calls import Call, Moment

__all__ = ["VARIANTS", "Disk", "Fate", "State", "lay_out"]

_UNMOVED = frozenset({"close", "sync_file_range", "read", "recvfrom", "sendto", "sendmsg"})
SECTOR = 512  # bytes: what a disk writes wholly or not at all

State = Mapping[str, bytes | None]  # path from the folder -> content, or None for a folder


@dataclass(slots=True)
class _Write:
    """Bytes for a place in a file; with `data` None the file's new size."""

    offset: int
    data: bytes | None
    returned: bool = False


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Write] = field(default_factory=list)


@dataclass(slots=True)
class _Naming:
    """Names of folders that now mean something else: (folder, name, file or folder or None)."""

    changes: list[tuple[_Folder, str, _Node | None]]
    returned: bool = False


@dataclass(slots=True, eq=False)
class _Folder:
    durable: dict[str, _Node] = field(default_factory=dict)
    pending: list[_Naming] = field(default_factory=list)

    def now(self) -> dict[str, _Node]:
        """What the running kernel says that it holds."""
        return self.seen(self.pending)

    def seen(self, kept: Iterable[_Naming]) -> dict[str, _Node]:
        names = dict(self.durable)
        for naming in kept:
            for folder, name, node in naming.changes:
                if folder is self:
                    if node is None:
                        names.pop(name, None)
                    else:
                        names[name] = node
        return names


_Node = _File | _Folder


class Disk:
    """A folder from a known state on, through the calls of the programs that work in it."""

    def __init__(self, place: Path, state: State) -> None:
        """`place` is where the folder lies, `state` what is durable in it."""
        self._place = str(place)
        self._root = _Folder()
        self._open: dict[int, tuple[_Node, int]] = {}  # descriptor -> what it is of, and where the next write goes
        self._under_way: dict[int, list[_Write | _Naming]] = {}  # a call that has not returned -> what it is about
        for path, content in state.items():
            folder, name = self._folder(f"{self._place}/{path}")
            folder.durable[name] = _Folder() if content is None else _File(bytearray(content))

    # -- what programs do ----------------------------------------------------------------------------------------------

    def take(self, moment: Moment) -> bool:
        """Go on by one moment; whether the disk may look otherwise than before."""
        call = moment.call
        if call.name in _UNMOVED or not (call.at.startswith("/") or call.paths):
            return False
        act = self._ACTS.get(call.name)
        if act is None:
            raise ValueError(f"what {call.name} does to a disk is not known here")
        return act(self, call, moment.returned)

    def restarted(self) -> None:
        """Another program works in the folder from now on: nothing is open any more."""
        self._open.clear()

    def _opened(self, call: Call, returned: bool) -> bool:
        (path,) = call.paths
        if not returned:
            return False  # a name made by it may be on the disk only after this; the moments lie close together
        folder, name = self._folder(path) if path != self._place else (None, "")
        node: _Node | None = self._root if folder is None else folder.now().get(name)
        changed = False
        if node is None:
            assert folder is not None
            if "O_CREAT" not in call.flags:
                raise ValueError(f"{path} was opened and is not there")
            node = _File()
            folder.pending.append(_Naming([(folder, name, node)], True))
            changed = True
        elif "O_TRUNC" in call.flags and isinstance(node, _File):
            node.pending.append(_Write(0, None, True))
            changed = True
        self._open[call.result] = node, 0
        return changed

    def _wrote(self, call: Call, returned: bool) -> bool:
        if returned:
            return self._returned(call)
        node, place = self._open[call.handle]
        assert isinstance(node, _File)
        if call.name.startswith("pwrite"):
            place = call.numbers[-1]
        else:
            self._open[call.handle] = node, place + len(call.data)
        write = _Write(place, call.data)
        node.pending.append(write)
        self._under_way[id(call)] = [write]
        return True

    def _copied(self, call: Call, returned: bool) -> bool:
        """sendfile, with which `shutil` copies a file; what it copied is looked up where it still lies."""
        if not returned:
            return False
        node, place = self._open[call.handle]
        assert isinstance(node, _File)
        start = call.numbers[0]
        node.pending.append(_Write(place, Path(call.source).read_bytes()[start : start + call.result], True))
        self._open[call.handle] = node, place + call.result
        return True

    def _resized(self, call: Call, returned: bool) -> bool:
        if not returned:
            return False
        node, _ = self._open[call.handle]
        assert isinstance(node, _File)
        node.pending.append(_Write(call.numbers[-1], None, True))
        return True

    def _synced(self, call: Call, returned: bool) -> bool:
        node, _ = self._open[call.handle]
        if not returned:
            self._under_way[id(call)] = [each for each in node.pending if each.returned]
            return False
        promised = self._under_way.pop(id(call))
        done = {id(each) for each in promised}
        for each in promised:
            if isinstance(each, _Write):
                assert isinstance(node, _File)
                if any(each is other for other in node.pending):  # and no other fsync was faster
                    _apply(node.durable, each)
                continue
            for folder in {id(f): f for f, _, _ in each.changes}.values():
                if any(each is other for other in folder.pending):
                    folder.durable = folder.seen([each])
                    folder.pending = [other for other in folder.pending if other is not each]
        if isinstance(node, _File):
            node.pending = [each for each in node.pending if id(each) not in done]
        return bool(promised)

    def _renamed(self, call: Call, returned: bool) -> bool:
        if returned:
            return self._returned(call)
        (old, name), (new, called) = (self._folder(path) for path in call.paths)
        return self._name(call, [(old, name, None), (new, called, old.now()[name])])

    def _removed(self, call: Call, returned: bool) -> bool:
        return self._returned(call) if returned else self._name(call, [(*self._folder(call.paths[0]), None)])

    def _made(self, call: Call, returned: bool) -> bool:
        return self._returned(call) if returned else self._name(call, [(*self._folder(call.paths[0]), _Folder())])

    def _name(self, call: Call, changes: list[tuple[_Folder, str, _Node | None]]) -> bool:
        naming = _Naming(changes)
        self._under_way[id(call)] = [naming]
        for folder in {id(f): f for f, _, _ in changes}.values():
            folder.pending.append(naming)
        return True

    def _returned(self, call: Call) -> bool:
        for each in self._under_way.pop(id(call)):
            each.returned = True
        return False

    _ACTS: ClassVar[dict[str, Callable[[Disk, Call, bool], bool]]] = {
        "open": _opened, "openat": _opened, "creat": _opened, "write": _wrote, "writev": _wrote, "pwrite64": _wrote,
        "pwritev": _wrote, "pwritev2": _wrote, "sendfile": _copied, "ftruncate": _resized, "fsync": _synced,
        "fdatasync": _synced, "rename": _renamed, "renameat": _renamed, "renameat2": _renamed, "unlink": _removed,
        "unlinkat": _removed, "rmdir": _removed, "mkdir": _made, "mkdirat": _made,
    }  # fmt: skip

    def _folder(self, path: str) -> tuple[_Folder, str]:
        """The folder that a path lies in, and its name there."""
        above, name = os.path.split(path)
        folder = self._root
        for part in Path(os.path.relpath(above, self._place)).parts:
            found = folder.now()[part]
            assert isinstance(found, _Folder)
            folder = found
        return folder, name

    # -- what a cut may leave ------------------------------------------------------------------------------------------

    def now(self) -> State:
        """What the running kernel shows."""
        return self.cut(KEPT)

    def cut(self, fate: Fate) -> State:
        """What is there after a power cut, as `fate` decides of each thing that was not durable."""
        left: dict[str, bytes | None] = {}
        namings: dict[int, bool] = {}
        files: dict[int, bytes] = {}

        def walk(folder: _Folder, prefix: str) -> None:
            kept = []
            for naming in folder.pending:
                if id(naming) not in namings:
                    namings[id(naming)] = fate.name()
                if namings[id(naming)]:
                    kept.append(naming)
            for name, node in folder.seen(kept).items():
                path = prefix + name
                if isinstance(node, _Folder):
                    left[path] = None
                    walk(node, path + "/")
                elif not name.endswith("-shm"):
                    if id(node) not in files:
                        files[id(node)] = _cut_file(node, fate)
                    left[path] = files[id(node)]

        walk(self._root, "")
        return left


def _apply(content: bytearray, write: _Write) -> None:
    if write.data is None:
        if len(content) > write.offset:
            del content[write.offset :]
        else:
            content.extend(bytes(write.offset - len(content)))
        return
    if len(content) < write.offset:
        content.extend(bytes(write.offset - len(content)))
    content[write.offset : write.offset + len(write.data)] = write.data


def _cut_file(file: _File, fate: Fate) -> bytes:
    content = bytearray(file.durable)
    for index, write in enumerate(file.pending):
        last = index == len(file.pending) - 1
        for part in fate.parts(write.offset, write.data, last):
            _apply(content, _Write(*part))
    return bytes(content)


# -- fates -------------------------------------------------------------------------------------------------------------


class Fate:
    """All is kept that the kernel knew: a kill, and no cut."""

    def name(self) -> bool:
        """Whether a name's change is kept."""
        return True

    def parts(self, offset: int, data: bytes | None, last: bool) -> Iterator[tuple[int, bytes | None]]:
        """What is kept of a write: (offset, bytes), or (size, None)."""
        yield offset, data


KEPT = Fate()


class _Lost(Fate):
    """Nothing is kept that was not durable."""

    def __init__(self, names: bool = False) -> None:
        self._names = names

    def name(self) -> bool:
        return self._names

    def parts(self, offset: int, data: bytes | None, last: bool) -> Iterator[tuple[int, bytes | None]]:
        yield from ()


class _Nameless(Fate):
    """The bytes came through, the names did not."""

    def name(self) -> bool:
        return False


class _Grown(Fate):
    """The names and the sizes came through, the bytes did not."""

    def parts(self, offset: int, data: bytes | None, last: bool) -> Iterator[tuple[int, bytes | None]]:
        yield from ((offset, None),) if data is None else _grown(offset, data)


class _Torn(Fate):
    """All came through but for the last write of each file, of which there is a beginning or an end."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def parts(self, offset: int, data: bytes | None, last: bool) -> Iterator[tuple[int, bytes | None]]:
        if not last or data is None:
            yield offset, data
            return
        yield from _grown(offset, data) if self._rng.random() < 0.5 else ()
        sectors = list(_sectors(offset, data))
        at = self._rng.randrange(len(sectors) + 1)
        yield from sectors[:at] if self._rng.random() < 0.5 else sectors[at:]


class _Some(Fate):
    """Each thing is kept or not, as a coin falls; of a write maybe some sectors, maybe its length alone."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._names, self._bytes = rng.choice((0.1, 0.5, 0.9)), rng.choice((0.1, 0.5, 0.9))

    def name(self) -> bool:
        return self._rng.random() < self._names

    def parts(self, offset: int, data: bytes | None, last: bool) -> Iterator[tuple[int, bytes | None]]:
        rng = self._rng
        if rng.random() < self._bytes:
            yield offset, data
        elif data is not None:
            if rng.random() < 0.5:
                yield from _grown(offset, data)
            if rng.random() < 0.5:
                yield from (part for part in _sectors(offset, data) if rng.random() < 0.5)


def _grown(offset: int, data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """The file reaches as far as the write did, and what it wrote beyond the end are zeros."""
    yield offset + len(data), b""


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    start = offset
    while start < offset + len(data):
        end = min(offset + len(data), (start // SECTOR + 1) * SECTOR)
        yield start, data[start - offset : end - offset]
        start = end


VARIANTS: dict[str, Callable[[random.Random], Fate]] = {
    "lost": lambda rng: _Lost(),
    "kept": lambda rng: KEPT,
    "names alone": lambda rng: _Lost(names=True),
    "nameless": lambda rng: _Nameless(),
    "grown": lambda rng: _Grown(),
    "torn": _Torn,
    "some": _Some,
}


def lay_out(state: State, folder: Path) -> None:
    """Put a state on a real disk, in a new folder."""
    folder.mkdir()
    for path, content in state.items():
        if content is None:
            (folder / path).mkdir(parents=True, exist_ok=True)
        else:
            (folder / path).write_bytes(content)
            (folder / path).chmod(0o600)
