"""A damaged database is set aside, and a new one built of what can be read from it.

What is read is judged like anything that a peer sends: rows of the log go through the reader, elements into the ledger,
which checks chains and signatures. So nothing wrong can come in this way, and what is missing comes from the others by
ordinary sync. The damaged file is kept, and nothing is deleted.

The new file is whole and on the disk before the old one is renamed, and a note says that this is being done: after a
cut at any point the next start either begins again or finishes it. The note stays, as an alarm, until a person has seen
it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posline.errors import DiskFailed, FolderDamaged, Hole, Refused
from posline.replica import Replica, is_document
from posline.storage.connection import Error, connect, failure
from posline.storage.files import sync_folder, write_atomically
from posline.storage.folder import Folder
from posline.storage.remains import SALVAGED, LogRow, OwnMark, Remains
from posline.storage.soundness import Damage, examine, strayed, write_again
from posline.storage.store import Store
from posline.till.anchor import Anchor

__all__ = ["PLACES", "UNSURE", "Mishap", "check_database", "set_aside"]

log = logging.getLogger("posline.till")

UNSURE = "unsure"  # ... and that what this disk wrote last is not known
PLACES = "places"  # ... where the shop's members were last known to listen
BATCH = 256  # updates in one commit
ROUNDS_MAX = 4  # over the rows of a document that lean on others
SIDES = ("", "-wal")


@dataclass(slots=True)
class Mishap:
    """What was found damaged and what became of it, kept in the folder until a person has seen it."""

    path: Path | None
    swap: dict[str, str] = field(default_factory=dict)  # {why, stamp, saved} of a salvage that is not finished
    told: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Folder) -> Mishap:
        """As the folder has it; what cannot be read was no note of ours any more."""
        path = folder.path / "mishap.json"
        try:
            found = json.loads(path.read_bytes())
            return cls(path, dict(found["swap"]), [str(text) for text in found["told"]])
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)

    def save(self) -> None:
        """Keep it, durably, where there is a folder."""
        if self.path is None:
            return
        write_atomically(self.path, json.dumps({"swap": self.swap, "told": self.told}, ensure_ascii=False).encode())

    def add(self, text: str) -> None:
        """Something more happened."""
        log.error("%s", text)
        self.told.append(text)
        self.save()

    def again(self, why: str) -> bool:
        """Whether the database was built anew for just this already, and nobody has looked since. Then it is no damage
        of the disk's: building it once more would end the same way, and each time leave one more file behind."""
        if not any(f"({why})" in text for text in self.told):
            return False
        text = (
            f"the database was built anew, and all the same {why}: the entries are whole, what is worked out of them is"
            " not. Update Posline, or send its makers what stands here"
        )
        if text not in self.told:
            self.add(text)
        return True

    def seen(self) -> None:
        """A person has seen it."""
        self.told.clear()
        if self.path is None:
            return
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def alarms(self) -> list[dict[str, Any]]:
        """For the alarms of a till."""
        return [{"kind": "damage", "detail": text} for text in self.told]


def check_database(folder: Folder, shop: str, author: str, *, mend: bool, met: str) -> None:
    """Look whether the folder's database is sound; where it is not, and `mend` says so, put a new one in its place.
    `met`: what is known to be wrong with it, "" for nothing.

    Raises FolderDamaged where it is damaged and is not mended, DiskFull, DiskFailed.
    """
    note = Mishap.load(folder)
    if mend and note.swap:
        _swap(folder, note)
    doubted = folder.doubted()
    damage = _damage(folder, shop, author, doubted=doubted is not None)
    if doubted is not None and doubted[1]:
        met = doubted[0]
    if damage is None and met and not (mend and note.again(met)):
        damage = Damage(met)
    if damage is not None:
        if not mend:
            raise FolderDamaged(
                f"the database {folder.database} is damaged ({damage.why}): start the till, which saves what can be "
                "read and goes on"
            )
        log.error("the database is damaged (%s): saving what can be read", damage.why)
        _salvage(folder, shop, author, damage, note)
    if doubted is not None and mend:
        folder.trust()
    folder.forget_local()


def _damage(folder: Folder, shop: str, author: str, *, doubted: bool) -> Damage | None:
    try:
        damage = examine(folder.database, held=bool(shop), ran=folder.left_running(), doubted=doubted)
        if damage is None and shop and strayed(folder.database, shop, author):
            damage = strayed(folder.database, shop, author)  # again, as `examine` looks again
        return damage
    except FolderDamaged as error:
        return Damage(str(error.__cause__ or error))


def set_aside(path: Path) -> Path:
    """Rename a file that is not whole; where it is kept."""
    kept = path.with_name(f"{path.name}.damaged-{_stamp()}")
    path.rename(kept)
    sync_folder(path.parent)
    return kept


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


# -- building ----------------------------------------------------------------------------------------------------------


def _salvage(folder: Folder, shop: str, author: str, damage: Damage, note: Mishap) -> None:
    fresh = _fresh(folder)
    for suffix in ("", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    anchor = Anchor.load(folder.path)
    try:
        with Remains(folder.database, shop, author) as remains:
            remains.sort()
            shop = shop or remains.shop or anchor.shop
            count = _build(fresh, shop, author, remains, anchor)
            if not count:
                raise FolderDamaged(
                    f"the database {folder.database} is damaged ({damage.why}), and not one entry can be read from it: "
                    "join this till to its shop anew with an empty folder, or restore a backup as a new till"
                )
            own = remains.own()
            certain = own is not None and own.certain and not damage.lost
            _keep_local(fresh, author, remains, own, certain=certain)
            saved = f"{count} entries were saved"
            if remains.unconfirmed:
                saved += f", {remains.unconfirmed} could not be read soundly"
    except Error as error:
        raise failure(error, str(fresh)) from error
    except OSError as error:
        raise DiskFailed(f"what can be read of {folder.database} cannot be saved ({error.strerror})") from error
    write_again(fresh)
    note.swap = {"why": damage.why, "stamp": _stamp(), "saved": saved, "unsure": "" if certain else "yes"}
    note.save()
    _swap(folder, note)


def _build(fresh: Path, shop: str, author: str, remains: Remains, anchor: Anchor) -> int:
    """Put all that is confirmed into a new file; how many entries that is, 0 where the shop's founding is not among
    them."""
    store = Store.open(fresh)
    try:
        replica = Replica(
            store, shop, author=None, clock=None, random=random.SystemRandom(), documents=False, store_id=author
        )
        for key, name in remains.documents():
            if is_document(name):
                _take_rows(replica, name, remains.rows(key))
                _commit(replica, least=1)
                _take_elements(replica, name, remains.elements(key))
        if anchor.shop == shop:
            pairs = ((hashlib.sha256(text.encode()).digest(), text) for text in anchor.elements)
            _take_elements(replica, "shop", pairs)
            if anchor.places:
                store.set_meta(PLACES, anchor.places)
                store.commit([])
        if store.authority(shop).founding is None:
            return 0
        row = store.read.execute("SELECT count(*) FROM entry").fetchone()
        return int(row[0])
    finally:
        store.close()


def _take_rows(replica: Replica, name: str, rows: Any) -> None:
    """Rows that lean on one which comes later, or not at all, are tried again behind the others."""
    waiting: list[LogRow] = []

    def take(row: LogRow) -> bool:
        if not row.sound:
            return True  # its elements are taken one by one
        try:
            replica.integrate(name, row.data, origin=row.origin)
        except Hole:
            return False
        except Refused:
            return True
        _commit(replica, least=BATCH)
        return True

    for row in rows:
        if not take(row):
            waiting.append(row)
    for _ in range(ROUNDS_MAX):
        left = [row for row in waiting if not take(row)]
        if not left or len(left) == len(waiting):
            break
        waiting = left


def _take_elements(replica: Replica, name: str, elements: Iterable[tuple[bytes, str]]) -> None:
    """Elements of which no row could be taken are appended once more, as to a peer that lost them."""
    store, shop = replica.store, replica.shop
    texts: list[str] = []

    def append() -> None:
        if texts:
            replica.append_again(name, texts)
            texts.clear()
            _commit(replica, least=BATCH // 8)

    for hash, text in elements:
        if not store.entries_by_hash(shop, name, [hash]):
            texts.append(text)
            if len(texts) >= BATCH:
                append()
    append()
    _commit(replica, least=1)


def _commit(replica: Replica, *, least: int) -> None:
    if len(replica.staged) >= least:
        batch = list(replica.staged)
        replica.release(batch, replica.store.commit(batch))
        replica.durable()


def _keep_local(fresh: Path, author: str, remains: Remains, own: OwnMark | None, *, certain: bool) -> None:
    """What is no entry: what this disk wrote and how far, what was asked here, what others hold, small settings."""
    db = connect(str(fresh))
    try:
        db.execute("BEGIN IMMEDIATE")
        (shop,) = db.execute("SELECT key FROM shop").fetchone()
        db.executemany(
            "UPDATE entry SET own = 1 WHERE shop = ? AND author = ? AND hash = ?",
            ((shop, author, hash) for hash in remains.own_hashes()),
        )
        if own is not None:
            foreign = db.execute(
                "SELECT coalesce(max(seq), 0), coalesce(max(number), 0) FROM entry"
                " WHERE shop = ? AND author = ? AND own = 0 AND vouched = 1",
                (shop, author),
            ).fetchone()
            db.execute(
                "INSERT INTO mark (shop, author, run, seq, hash, number, foreign_seq, foreign_number)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (shop, author, own.run, own.seq, own.hash, own.number, *foreign),
            )
        db.executemany(
            "INSERT OR IGNORE INTO request (shop, id, form) VALUES (?,?,?)",
            ((shop, id, form) for id, form in remains.requests()),
        )
        db.executemany(
            "INSERT OR IGNORE INTO have (shop, author, run, store, seq, hash) VALUES (?,?,?,?,?,?)",
            ((shop, m.author, m.run, store, m.seq, m.hash) for store, m in remains.haves() if store != author),
        )
        settings = [(name, value) for name, value in remains.settings() if _is_json(value)]
        settings += [(SALVAGED, "true")] + ([] if certain else [(UNSURE, "true")])
        db.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?,?)", settings)
        db.execute("COMMIT")
    finally:
        db.close()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# -- putting it in its place -------------------------------------------------------------------------------------------


def _fresh(folder: Folder) -> Path:
    return folder.database.with_name(folder.database.name + ".new")


def _rename(old: Path, new: Path) -> None:
    old.replace(new)


def _swap(folder: Folder, note: Mishap) -> None:
    """Set the damaged files aside and put the new one in their place; every step may have been done already."""
    database, fresh, stamp = folder.database, _fresh(folder), note.swap["stamp"]
    kept = [database.with_name(f"{database.name}.damaged-{stamp}{suffix}") for suffix in SIDES]
    if fresh.exists():
        for suffix, aside in zip(SIDES, kept, strict=True):
            old = database.with_name(database.name + suffix)
            if old.exists():
                _rename(old, aside)
        sync_folder(folder.path)  # the old log must be gone from beside the new file before that is there
        database.with_name(database.name + "-shm").unlink(missing_ok=True)
        _rename(fresh, database)
        sync_folder(folder.path)
    why, saved = note.swap["why"], note.swap["saved"]
    text = f"the database was damaged ({why}); {saved}, and the damaged file is kept as {kept[0].name}"
    if note.swap.get("unsure"):
        text += ". What this till recorded last may be lost here: it comes back from the shop's other devices"
    note.swap = {}
    note.add(text)
