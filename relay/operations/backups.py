"""Copies of a head office that lies in a folder: made while it runs, checked at once, and put back into a new folder.

A copy is one file, a tar archive: the ledger and the books about people as of one moment, and a manifest that says what
is in it and what each shop came to. The key is in it only where that was asked for: whoever has it can be this head
office. The devices that it hosts are in none: a head office that is made of a copy hosts nobody.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posline.errors import BadRequest, DiskFull, FolderDamaged, FolderError, PoslineError
from posline.storage.connection import Connection, Error, connect, is_full, reader
from posline.storage.feed import feed_end
from posline.storage.files import make_folder, sync_folder
from posline.storage.folder import Folder
from posline.storage.renewal import RULES
from posline.storage.store import Store
from posline.till.machine import installed_version
from posline.trust.certificate import CHAIN_FILE, KEY_FILE, ROOT_FILE
from posline.trust.keys import Key
from relay.hosting.devices import HOSTED_TABLES
from relay.office import FILE as BOOKS
from relay.office import PASSING_TABLES, iso_ms

__all__ = [
    "LEAVE_BEHIND", "NOT_COPIED", "Manifest", "is_copy", "place_of", "put_back", "read_manifest", "unpack",
    "write_copy",
]  # fmt: skip

# devices that are hosted, whose keys are there: whoever went on from an old copy would fork each of them; and who is
# signed in or invited at that moment, which a copy would bring back after it ended
NOT_COPIED = (*HOSTED_TABLES, *PASSING_TABLES)
# what a copy is told as it is put back: whoever wrote there may have gone on since (`Store.left_behind`)
LEAVE_BEHIND = "UPDATE mark SET foreign_seq = seq WHERE foreign_seq < seq"
FORMAT, MANIFEST, LEDGER, KEY = 1, "manifest.json", "posline.db", "key"
SECRET = (KEY, KEY_FILE, ROOT_FILE, CHAIN_FILE)  # what is in a copy with the key
PAGES = 2048  # copied at a time: 8 MiB
STEP_BYTES = 1 << 20
MANIFEST_BYTES_MAX = 64 << 20  # ten thousands of shops
NO_COPY = "is no backup made by 'posline-relay backup'"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a copy says of itself. `shops` has {id: {name, entries, digest}}, `files` {name: {bytes, sha256}}."""

    made_ms: int
    version: str
    rules: int
    office: str
    feed_end: int
    shops: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def with_key(self) -> bool:
        """Whether the head office's key is in it."""
        return KEY in self.files


def place_of(target: Path, at_ms: int, is_copy: Callable[[Path], bool]) -> Path:
    """The file that a copy goes to: `target`, or in a folder, one that is named by the time. Raises BadRequest where
    another file is in the way."""
    if target.is_dir():
        return target / f"posline-relay-{iso_ms(at_ms).replace(':', '')}.backup"
    if target.exists() and not is_copy(target):
        raise BadRequest.of("file", f"{target} is no backup, and is not overwritten")
    return target


def is_copy(path: Path) -> bool:
    """Whether a file is a copy of a folder."""
    try:
        read_manifest(path)
    except BadRequest:
        return False
    return True


def write_copy(
    folder: Folder, target: Path, *, still: Callable[[Callable[[], None]], None], with_key: bool, office: str,
    names: Mapping[str, str], at_ms: int,
) -> Manifest:  # fmt: skip
    """Write a copy of a head office's folder. `still(work)` runs `work` while nothing is committed; `names` are what
    shops are called. Raises BadRequest, DiskFull."""
    work = target.with_name(f".{target.name}.new")
    try:
        make_folder(target.parent.absolute())
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        _copy_databases(folder, work, still)
        if with_key:
            for name in SECRET:
                if (folder.path / name).exists():
                    shutil.copyfile(folder.path / name, work / name)
        manifest = _described(work, office, names, at_ms)
        _pack(work, target, manifest)
        return manifest
    except (OSError, Error) as error:
        said = getattr(error, "strerror", None) or error
        if is_full(error) or getattr(error, "errno", 0) == 28:
            raise DiskFull(f"there is no room for the backup {target}: free some, or name another disk") from error
        raise BadRequest.of("file", f"{target} cannot be written ({said}): name another place") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):
            _unfinished(target).unlink(missing_ok=True)


def _copy_databases(folder: Folder, work: Path, still: Callable[[Callable[[], None]], None]) -> None:
    """Both as of one moment: their readers begin while nothing is committed, and keep seeing that."""
    with ExitStack() as stack:
        sources: dict[str, Connection] = {}

        def begin() -> None:
            for name in (BOOKS, LEDGER):  # the books first: how far webhooks are must not be ahead of the feed
                source = sources[name] = stack.enter_context(closing(reader(str(folder.path / name))))
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()

        still(begin)
        for name, source in sources.items():
            (work / name).touch(mode=0o600)
            with closing(connect(str(work / name))) as copy:
                source.backup(copy, pages=PAGES, sleep=0)
                if name == BOOKS:
                    _leave_out(copy)


def _leave_out(books: Connection) -> None:
    for table in NOT_COPIED:
        books.execute(f"DELETE FROM {table}")
    books.execute("VACUUM")  # what was deleted lies in free pages until then


def _described(work: Path, office: str, names: Mapping[str, str], at_ms: int) -> Manifest:
    """Look at what was copied, as the quick part of `verify` does, and say what it is. Raises FolderDamaged."""
    for name in (LEDGER, BOOKS):
        with closing(connect(str(work / name))) as copy:
            found = [row[0] for row in copy.execute("PRAGMA quick_check(5)")]
        if found != ["ok"]:
            raise FolderDamaged(f"the copy of {name} is not whole ({found[0]}): run 'posline-relay verify', and again")
    with closing(Store.open(work / LEDGER, feed=True)) as store:
        shops = {shop: _shop(store, shop) | {"name": names.get(shop, "")} for shop in store.shops()}
        end = feed_end(store)
    for left in work.glob("*.db-*"):
        left.unlink()
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(work.iterdir())}
    return Manifest(at_ms, installed_version() or "", RULES, office, end, shops, files)


def _shop(store: Store, shop: str) -> dict[str, Any]:
    """What a shop comes to, by its documents' own sums; that each ends where its log does is looked at."""
    total, count = hashlib.sha256(), 0
    for document in store.documents(shop):
        head = store.head(shop, document)
        place = store.shop_key(shop), store.document_key(shop, document)
        last = store.read.execute("SELECT coalesce(max(n), 0) FROM log WHERE shop = ? AND document = ?", place)
        if last.fetchone()[0] != head.n:
            raise FolderDamaged(f"{document} of shop {shop} does not end where its log does: run verify")
        total.update(f"{document}\0{head.count}\0{head.sum:064x}\n".encode())
        count += head.count
    return {"entries": count, "digest": total.hexdigest()}


def _pack(work: Path, target: Path, manifest: Manifest) -> None:
    fresh = _unfinished(target)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            fields = {name: getattr(manifest, name) for name in Manifest.__slots__}
            text = json.dumps({"format": FORMAT} | fields).encode()
            archive.addfile(_member(MANIFEST, len(text), manifest.made_ms), io.BytesIO(text))
            for name in manifest.files:
                with (work / name).open("rb") as source:
                    archive.addfile(_member(name, (work / name).stat().st_size, manifest.made_ms), source)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
    sync_folder(target.parent.absolute())


def _member(name: str, size: int, at_ms: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, at_ms // 1000
    return member


def _unfinished(target: Path) -> Path:
    return target.with_name(f".{target.name}.unfinished")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- reading one -------------------------------------------------------------------------------------------------------


def read_manifest(source: Path) -> Manifest:
    """What a copy says of itself. Raises BadRequest where it is none."""
    try:
        with tarfile.open(source, "r:") as archive:
            first = archive.next()
            file = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
            if first is None or file is None or first.size > MANIFEST_BYTES_MAX:
                raise BadRequest.of("file", f"{source} {NO_COPY}")
            found = json.loads(file.read())
        if found.pop("format") != FORMAT:
            raise BadRequest.of("file", f"{source} was made by a newer version: restore it with that one")
        return Manifest(**{name: found[name] for name in Manifest.__slots__})
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{source} cannot be read ({error.strerror})" if isinstance(error, FileNotFoundError) else ""
        raise BadRequest.of("file", said or f"{source} {NO_COPY}") from error


def unpack(source: Path, folder: Path) -> Manifest:
    """Take a copy apart into `folder`, each file compared with what was written. Raises BadRequest, FolderDamaged."""
    manifest = read_manifest(source)
    try:
        with tarfile.open(source, "r:") as archive:
            for name, about in manifest.files.items():
                if name not in (LEDGER, BOOKS, *SECRET):
                    raise FolderDamaged(f"{source} has a file {name[:40]!r} in it that no backup has: take another one")
                file = archive.extractfile(name)
                if file is None or _write(file, folder / name) != about["sha256"]:
                    raise FolderDamaged(f"{name} in {source} is not what was written: take another backup")
    except (KeyError, tarfile.TarError) as error:
        raise FolderDamaged(f"{source} is cut short or spoilt ({error}): take another backup") from error
    return manifest


def _write(source: Any, path: Path) -> str:
    total = hashlib.sha256()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        while piece := source.read(STEP_BYTES):
            total.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return total.hexdigest()


def _leave_behind(work: Path) -> None:
    with closing(connect(str(work / LEDGER))) as ledger:
        ledger.execute(LEAVE_BEHIND)
    for left in work.glob("*.db-*"):
        left.unlink()


def put_back(folder: Folder, source: Path, key: Path | None) -> Manifest:
    """Make a head office of a copy in an empty folder. `key` is its key file, where the copy has none; without one the
    folder waits for it. Raises FolderError, BadRequest, FolderDamaged."""
    work = folder.path / "restoring"
    if folder.key.exists() or (folder.database.exists() and not work.exists()):
        raise FolderError(f"{folder.path} holds a head office or a till already: name an empty folder with --data")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        manifest = unpack(source, work)
        _leave_behind(work)
        if key is not None:
            shutil.copyfile(key, work / KEY)
            (work / KEY).chmod(0o600)
        if (work / KEY).exists() and Key.load(work / KEY).id != manifest.office:
            raise BadRequest.of("key", f"is not the key of this head office, whose id is {manifest.office}")
    except PoslineError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        raise BadRequest.of("file", f"the backup cannot be restored here ({error.strerror or error})") from error
    for name in (BOOKS, LEDGER, *reversed(SECRET)):  # the key last: without it nothing starts on half a folder
        if (work / name).exists():
            (work / name).replace(folder.path / name)
            sync_folder(folder.path)
    shutil.rmtree(work)
    return manifest
