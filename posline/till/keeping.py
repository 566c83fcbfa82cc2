"""Backup and restore. A backup is a consistent copy of the database, and holds no key and no secret.

So a restored till is a new author that succeeds the old one, under a new label: it can never be taken for a fork of it.
It has to be admitted like any new till, by the recovery code or by another till; until then it sells, and its sales
are held.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posline.core.base64url import base64url
from posline.core.members import Role
from posline.core.numbers import author_id, next_label, valid_label
from posline.errors import BadRequest, DiskFailed, DiskFull, FolderDamaged, FolderError, PoslineError
from posline.storage.connection import Error, is_damage
from posline.storage.files import make_folder, sync_folder
from posline.storage.folder import Folder
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.places import Places, Source
from posline.till.opening import KEY_SEED_BYTES, Clockwork, open_replica
from posline.till.salvaging import PLACES
from posline.till.settings import Settings
from posline.trust.keys import Key

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["backup", "restore"]

_NOTE = "backup"
_SQLITE = b"SQLite format 3\0"


def backup(till: Till, target: Path) -> dict[str, Any]:
    """Write a copy of the till's folder to `target`, while the till goes on. An earlier backup there is replaced once
    the new one is whole. Raises BadRequest where another file is in the way."""
    if target.exists() and not (target.is_file() and _is_database(target)):
        raise BadRequest.of("file", f"{target} is no backup, and is not overwritten")
    fresh = target.with_name(target.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        till.store.backup(fresh)
        copy = Store.open(fresh)
        copy.set_meta(
            _NOTE,
            {
                "shop": till.shop_id,
                "name": till.shop,
                "where": _addresses(till),
                "till": till.id,
                "label": till.label,
            },
        )
        copy.commit([])
        copy.close()
        with fresh.open("rb+") as written:
            os.fsync(written.fileno())
        size = fresh.stat().st_size
        fresh.replace(target)
        sync_folder(target.parent.absolute())
    except OSError as error:
        raise BadRequest.of("file", f"{target} cannot be written ({error.strerror})") from error
    except (Error, DiskFailed, DiskFull, FolderDamaged) as error:  # the last is of the copy
        if is_damage(error):  # what is read, and not what is written: the till's own file
            raise
        raise BadRequest.of("file", f"{target} cannot be written ({error})") from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    return {"file": str(target), "bytes": size, "shop": till.shop, "till": till.label}


def restore(
    folder: Folder, source: Path, *, recovery: Key | None, label: str, clockwork: Clockwork | None = None
) -> dict[str, Any]:
    """Make a new till in the empty `folder` out of a backup. With the shop's `recovery` key it is admitted at once.

    Returns {shop, name, label, succeeds, admitted}. Raises FolderError, BadRequest, FolderDamaged.
    """
    work = folder.path / "restoring"
    if folder.key.exists() or (folder.database.exists() and not work.exists()):
        raise FolderError(f"{folder.path} holds a shop already: name an empty folder with --data")
    if not (source.is_file() and _is_database(source)):
        raise BadRequest.of("file", f"{source} is no backup made by 'posline backup'")
    try:
        answer, key, settings = _prepare(work, source, recovery, label, clockwork or Clockwork())
    except PoslineError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    # From here on a cut leaves either a folder without a key and with `restoring` in it, which may be tried again, or a
    # whole till: the key comes last.
    (work / folder.database.name).replace(folder.database)
    settings.save(folder)
    key.save(folder.key)
    shutil.rmtree(work)
    return answer


def _prepare(
    work: Path, source: Path, recovery: Key | None, label: str, clockwork: Clockwork
) -> tuple[dict[str, Any], Key, Settings]:
    """The new till's database in the folder `work`, its key and its settings."""
    make_folder(work)
    database = work / "posline.db"
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(source, database)
    database.chmod(0o600)
    store = Store.open(database)
    try:
        note = store.get_meta(_NOTE)
        if not isinstance(note, dict):
            raise BadRequest.of("file", f"{source} is no backup made by 'posline backup'")
        key = Key(secrets.token_bytes(KEY_SEED_BYTES))
        given = _successor_label(store, note, label)
        if recovery is not None:
            _admit(store, note, key, recovery, given, clockwork)
        admitted = key.id in store.members(note["shop"])
        places = Places.from_json(key.id, str(store.get_meta(PLACES) or ""))
        places.heard(note["till"], note["where"], source=Source.HEARSAY, here=True)
        store.set_meta(PLACES, places.to_json())
        store.commit([])
    finally:
        store.close()
    for left in (database.with_name(database.name + suffix) for suffix in ("-wal", "-shm")):
        left.unlink(missing_ok=True)
    with database.open("rb+") as written:
        os.fsync(written.fileno())
    answer = {
        "shop": note["shop"], "name": note["name"], "label": given, "succeeds": note["till"], "admitted": admitted,
    }  # fmt: skip
    return answer, key, Settings(shop=note["shop"], label=given)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _successor_label(store: Store, note: dict[str, Any], wanted: str) -> str:
    """`wanted`, or the old label with a new digit behind it."""
    members = store.authority(note["shop"]).everyone
    reports = Reports(store, note["shop"], here="")
    taken = {m.label for m in members.values()} | {str(reports.renamed(a)) for a in members}
    if wanted:
        if not valid_label(wanted):
            raise BadRequest.of("label", f"{wanted[:40]!r} is none: up to six of A-Z and 0-9")
        if wanted in taken:
            raise BadRequest.of("label", f"a till is called {wanted} already")
        return wanted
    return next_label(taken | {note["label"]}, note["label"])


def _admit(store: Store, note: dict[str, Any], key: Key, recovery: Key, label: str, clockwork: Clockwork) -> None:
    """Write the new till's membership with the shop's recovery key."""
    authority = store.authority(note["shop"])
    if authority.recovery is None:
        raise FolderDamaged("the backup lacks the shop's founding: take an older or a newer one")
    if authority.recovery.author != author_id(recovery.public):
        raise BadRequest.of("recovery", "is the code of another shop")
    replica = open_replica(store, note["shop"], recovery, clockwork)
    replica.relabel(label)
    replica.write(
        "member",
        {
            "key": base64url(key.public), "member": key.id, "label": label, "role": Role.MANAGER.value,
            "succeeds": note["till"],
        },
        document="shop",
    )  # fmt: skip
    store.commit(replica.staged)


def _addresses(till: Till) -> list[str]:
    """Where the backed-up till listens, for the one that is made of the backup: it may still be there."""
    return till.links.addresses() if till.links.listening else []
