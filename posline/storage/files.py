"""Small files that must survive a power cut: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["UNFINISHED", "make_folder", "sync_folder", "write_atomically"]

UNFINISHED = ".unfinished"  # behind a file's name while it is written: a cut may leave half of it


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is not, until its folder is fsynced)."""
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, readable by the owner alone, each name durable before it is used."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `content`: after a cut at any point there is the old file or the new one, whole."""
    temporary = path.with_name(path.name + UNFINISHED)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(handle, mode) if hasattr(os, "fchmod") else None
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    sync_folder(path.parent)
