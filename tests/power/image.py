"""A real file system on a device of its own, whose power can be cut: ext4 in a file, over a loop device.

What the till wrote and did not fsync lies in the kernel's cache of the mounted file system. A copy of the file holds
only what that file system had handed to its device, as a disk would after a cut; mounting the copy replays its journal,
as a machine does that starts again. What the device was handed it has kept: that a disk loses or reorders what lies in
its own cache is not tried here (`tests.power.disk` does).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Image", "why_no_image"]

SIZE_MIB = 48
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where mkfs lies, also for those who have no such path
PIECE_BYTES = 65536  # left out where it is empty


def why_no_image() -> str:
    """Why no file system can be mounted here; "" where it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "mounting a file system takes root"
    for needed in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(needed, path=PATH) is None:
            return f"there is no {needed}: install e2fsprogs and mount"
    return "" if Path("/dev/loop-control").exists() else "there are no loop devices here"


class Image:
    """A file with a file system in it."""

    def __init__(self, folder: Path, options: str = "") -> None:
        """Make the file system in `folder`; `options` as for mount(8)."""
        self._folder, self._options, self._copies = folder, options, 0
        self.file, self.mounted = folder / "image", folder / "mounted"
        with self.file.open("wb") as file:
            file.truncate(SIZE_MIB << 20)
        _run("mkfs.ext4", "-q", "-F", str(self.file))

    @contextmanager
    def mount(self) -> Iterator[Path]:
        """Mount it; what is written in there until the end may be cut."""
        with _mounted(self.file, self.mounted, self._options) as place:
            yield place

    def cut(self) -> Path:
        """A copy of what the device holds now: the disk as it is after a cut. Nobody may write meanwhile; what the
        kernel still writes back by itself is waited for, so that the copy is of one moment."""
        content = self.file.read_bytes()
        while (again := self.file.read_bytes()) != content:
            content = again
        self._copies += 1
        copy = self._folder / f"cut-{self._copies}"
        with copy.open("wb") as file:
            for start in range(0, len(content), PIECE_BYTES):
                piece = content[start : start + PIECE_BYTES]
                if piece.strip(b"\0"):
                    file.seek(start)
                    file.write(piece)
            file.truncate(len(content))
        return copy

    @contextmanager
    def started_again(self, copy: Path) -> Iterator[Path]:
        """Mount a copy, and remove it in the end."""
        try:
            with _mounted(copy, self._folder / "again", self._options) as place:
                yield place
        finally:
            copy.unlink()


@contextmanager
def _mounted(file: Path, place: Path, options: str) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    _run("mount", "-t", "ext4", "-o", ",".join(filter(None, ("loop", options))), str(file), str(place))
    try:
        yield place
    finally:
        _run("umount", "-l", str(place))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"PATH": PATH})
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
