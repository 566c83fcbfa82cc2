"""A machine's disk: the two files of its database, and what a crash, a power cut, rot or an old copy makes of them.

SQLite writes to a real file system (in memory where there is one). Whatever happens to the disk happens to the bytes,
between two openings. A commit that was acknowledged has been fsynced, so a power cut may touch only what was written
since: of each 512-byte block of that, either what was there before or what was to be there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from posline.storage.store import Store

__all__ = ["BLOCK", "Disk", "Files", "copy_of", "torn"]

BLOCK = 512  # bytes that a disk writes whole
FULL = 2  # PRAGMA synchronous: each commit is fsynced


@dataclass(frozen=True)
class Files:
    """The bytes of a database: its main file and its write-ahead log."""

    main: bytes = b""
    wal: bytes = b""


class Disk:
    """Where a machine's database lies. Each life of a process has a file name of its own, so that nothing of one
    process's locks and shared memory is left for the next."""

    def __init__(self, folder: Path, name: str, files: Files) -> None:
        self._folder, self._name, self._life = folder, name, 0
        self.put(files)

    @property
    def path(self) -> Path:
        """The database of this life."""
        return self._folder / f"{self._name}.{self._life}.db"

    def look(self) -> Files:
        """What is on the disk now, also while a process runs."""
        wal = self.path.with_name(self.path.name + "-wal")
        return Files(self.path.read_bytes(), wal.read_bytes() if wal.exists() else b"")

    def put(self, files: Files) -> None:
        """The disk holds these from now on. No process may run on it."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._life += 1
        self.path.write_bytes(files.main)
        if files.wal:
            self.path.with_name(self.path.name + "-wal").write_bytes(files.wal)

    def crash(self, store: Store, files: Files | None = None) -> None:
        """The process on it is gone; what it had written stays, or `files` is what stays."""
        files = files or self.look()  # before the file is closed, which would tidy it up
        store.close()
        self.put(files)


def copy_of(store: Store, disk: Disk) -> Files:
    """A consistent copy of a disk on which a process runs."""
    target = disk.path.with_suffix(".copy")
    target.unlink(missing_ok=True)
    store.backup(target)
    copy = Files(target.read_bytes())
    target.unlink()
    return copy


def synchronous(store: Store) -> bool:
    """Whether the store's commits are fsynced one by one: what is not was never on the disk for sure."""
    return int(store._db.execute("PRAGMA synchronous").fetchone()[0]) >= FULL


def torn(before: Files, after: Files, chance: random.Random, *, durable: bool = True) -> Files:
    """What a power cut leaves of a disk that was to become `after`, `before` being all that was acknowledged."""
    if not durable:
        before = Files(before.main)  # nobody ever asked the disk to keep what is in its log
    how = chance.choice(("none", "all", "cut", "blocks", "blocks", "zeros", "order"))
    return Files(_torn(before.main, after.main, chance, "blocks"), _torn(before.wal, after.wal, chance, how))


def _torn(before: bytes, after: bytes, chance: random.Random, how: str) -> bytes:
    if before == after or how == "all":
        return after
    if how == "none":
        return before
    if how == "cut":  # written up to somewhere, in order
        same = _common(before, after)
        at = chance.randint(same, len(after))
        return after[:at] + before[at:]
    size = chance.choice((min(len(before), len(after)), len(after), len(after)))
    blocks = []
    for start in range(0, size, BLOCK):
        old, new = before[start : start + BLOCK], after[start : start + BLOCK]
        if old == new:
            blocks.append(old)
        elif how == "zeros" and not old:  # the file grew, and the block never came
            blocks.append(chance.choice((new, bytes(len(new)))))
        elif chance.random() < 0.5:
            blocks.append(new)
        else:
            blocks.append(old.ljust(len(new), b"\0"))
    if how == "order" and len(before) < len(after):  # of what was appended, two blocks lie where the other belongs
        first = -(-len(before) // BLOCK)
        if len(blocks) - first > 1:
            one, other = chance.sample(range(first, len(blocks)), 2)
            blocks[one], blocks[other] = blocks[other], blocks[one]
    return b"".join(blocks)[:size]


def _common(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are the same."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    at = 0
    while one[at : at + BLOCK] == other[at : at + BLOCK]:
        at += BLOCK
    return at


def rotten(main: bytes, chance: random.Random) -> bytes:
    """A main file in which some bytes are not what they were."""
    rot = bytearray(main)
    for _ in range(chance.choice((1, 1, 2, 5))):
        rot[chance.randrange(len(rot))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.3:  # a whole block of something else
        at = chance.randrange(len(rot) // BLOCK) * BLOCK
        rot[at : at + BLOCK] = chance.choice((bytes(BLOCK), chance.randbytes(BLOCK)))
    return bytes(rot)
