"""A data folder: who owns it, and the small files in it beside the database.

    lock            held by the one process that owns the folder
    posline.db      the log and the ledger (SQLite)
    key             the author's signing key, mode 0600; no backup holds it
    settings.json   the shop's id and token, peers' addresses
    fiscal-token    the token of a fiscal service, mode 0600; no backup holds it
    hosting.json    the phones and tablets that sell here; hosting*, hosted/: docs/hosting.md; no backup holds them
    local.json      while a till runs: its local address and the secret that its commands present
    doubted         a process met an error in the database, so that the next one looks through all of it first

Knows nothing of what the settings mean.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from posline.errors import FolderDamaged, FolderError, FolderLocked
from posline.storage.files import make_folder, sync_folder, write_atomically

__all__ = ["Folder"]

SURE = "damaged: "


class Folder:
    """A data folder, owned by this process from `Folder(path)` until `close()`."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be and take its lock.

        Raises FolderLocked when another process owns it, FolderError when it cannot be written.
        """
        self.path = path
        self._announced = False
        try:
            make_folder(path.absolute())
            if not self.key.exists():
                _make_names_durable(path.absolute())
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
        self._announced = True
        write_atomically(self.path / "local.json", json.dumps({"address": address, "secret": secret}).encode())

    def withdraw_local(self) -> None:
        """The process is going: commands must not look for it any more."""
        (self.path / "local.json").unlink(missing_ok=True)
        self._announced = False
        sync_folder(self.path)

    def left_running(self) -> bool:
        """Whether another process that had the folder last did not end cleanly. This one may have closed the shop in it
        and open another: its commands go on to find it."""
        return not self._announced and (self.path / "local.json").exists()

    def forget_local(self) -> None:
        """No process runs on the folder but this one, which has looked after what another one left."""
        if self.left_running():
            self.withdraw_local()

    def doubt(self, why: str, *, sure: bool = False) -> None:
        """Have the next process look through the database first, or, where it is `sure`, build it anew. Where the disk
        does not even take this, that one finds out by itself."""
        with suppress(OSError):
            write_atomically(self.path / "doubted", (SURE * sure + why).encode())

    def doubted(self) -> tuple[str, bool] | None:
        """Why the database is to be looked through, and whether it is damaged for sure; None where it is sound as far
        as is known."""
        try:
            why = (self.path / "doubted").read_text(errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            return str(error.strerror), False
        return why.removeprefix(SURE), why.startswith(SURE)

    def trust(self) -> None:
        """The database was looked through."""
        (self.path / "doubted").unlink(missing_ok=True)
        sync_folder(self.path)

    @staticmethod
    def read_local(path: Path) -> tuple[str, str] | None:
        """(address, secret) of the process that runs on the folder `path`, or None; it may have died without a word."""
        found = _read_json(path / "local.json", "remove it: the till writes it anew at its next start")
        return (str(found["address"]), str(found["secret"])) if {"address", "secret"} <= found.keys() else None


def _make_names_durable(folder: Path) -> None:
    """Whoever made the folder, a person or a first start that was killed, may not have fsynced its name; what is
    written in there would go with it when the power does."""
    for above in folder.parents:
        with suppress(OSError):  # not ours to open: then it was there before us
            sync_folder(above)


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError, RecursionError) as error:
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
