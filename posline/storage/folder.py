"""A data folder: who owns it, and the small files in it beside the database.

    lock            held by the one process that owns the folder
    posline.db      the log and the ledger (SQLite)
    key             the author's signing key, mode 0600; no backup holds it
    settings.json   the shop's id and token, peers' addresses
    fiscal-token    the token of a fiscal service, mode 0600; no backup holds it
    local.json      while a till runs: its local address and the secret that its commands present

Knows nothing of what the settings mean.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from posline.errors import FolderDamaged, FolderError, FolderLocked
from posline.storage.files import make_folder, sync_folder, write_atomically

__all__ = ["Folder"]


class Folder:
    """A data folder, owned by this process from `Folder(path)` until `close()`."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be and take its lock.

        Raises FolderLocked when another process owns it, FolderError when it cannot be written.
        """
        self.path = path
        try:
            make_folder(path.absolute())
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise FolderError(
                f"the data folder {path} cannot be used ({error.strerror}): check that it is writable, or name another "
                "with --data"
            ) from error
        try:
            _lock_file(self._lock)
        except OSError as error:
            os.close(self._lock)
            raise FolderLocked(
                f"another Posline process is using {path}: stop it first, or name another folder with --data"
            ) from error

    def close(self) -> None:
        """Give the folder free."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def database(self) -> Path:
        """Where the database lies."""
        return self.path / "posline.db"

    @property
    def key(self) -> Path:
        """Where the signing key lies."""
        return self.path / "key"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they are on disk; {} when there are none yet. Raises FolderDamaged when unreadable."""
        return self.read_settings(self.path)

    @staticmethod
    def read_settings(path: Path) -> dict[str, Any]:
        """As `settings`, without owning the folder."""
        return _read_json(path / "settings.json", "put back the copy you kept of it, or restore a backup as a new till")

    def save_settings(self, settings: dict[str, Any]) -> None:
        """Replace the settings, durably."""
        write_atomically(self.path / "settings.json", json.dumps(settings, indent=1).encode())

    def announce_local(self, address: str, secret: str) -> None:
        """Tell commands on this machine where the running process answers."""
        write_atomically(self.path / "local.json", json.dumps({"address": address, "secret": secret}).encode())

    def withdraw_local(self) -> None:
        """The process is going: commands must not look for it any more."""
        (self.path / "local.json").unlink(missing_ok=True)
        sync_folder(self.path)

    @staticmethod
    def read_local(path: Path) -> tuple[str, str] | None:
        """(address, secret) of the process that runs on the folder `path`, or None; it may have died without a word."""
        found = _read_json(path / "local.json", "remove it: the till writes it anew at its next start")
        return (str(found["address"]), str(found["secret"])) if {"address", "secret"} <= found.keys() else None


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise FolderDamaged(f"the file {path} is not whole ({error}): {remedy}") from error
    if not isinstance(found, dict):
        raise FolderDamaged(f"the file {path} is not whole: {remedy}")
    return found


def _lock_file(handle: int) -> None:
    """Raises OSError when another process holds it. The kernel drops the lock when its owner dies."""
    if os.name == "nt":  # pragma: no cover - Windows only
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
