"""Opening a data folder: its shop is founded if it has none, a join that was cut off is finished, its clock is set up.

After a cut at any point the next start goes on from there. The order is: key, recovery code, founding entry, settings;
each step finds what the one before it left.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posline.core.base64url import base64url, from_base64url
from posline.core.build import BUILD_MS
from posline.core.clock import Clock, parse_iso
from posline.errors import FolderDamaged, FolderError
from posline.replica import Replica, found
from posline.storage.connection import failure, is_altered, is_damage, is_failure, sqlite_warning
from posline.storage.files import sync_folder, write_atomically
from posline.storage.folder import Folder
from posline.storage.renewal import Progress
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.places import Places, Source
from posline.till.machine import kernel_synchronised, monotonic_ms, wall_ms
from posline.till.salvaging import PLACES, Mishap, check_database, set_aside
from posline.till.settings import Settings
from posline.trust.keys import Key
from posline.writer import Random

__all__ = [
    "Clockwork",
    "Founding",
    "Opened",
    "close_store",
    "finish_joining",
    "next_key",
    "note_times",
    "open_folder",
    "open_replica",
    "open_store",
    "use_new_key",
    "written_since_founding",
]

log = logging.getLogger("posline.till")

KEY_SEED_BYTES = 32
FLOOR, SAID = "clock floor", "clock said"
FLOOR_STEP_MS = 3_600_000
TOLD_S = 3.0  # between two lines about work at a start that takes long
LOOKED_THROUGH = 20_000  # entries, at a start, for one with a clock that was believed: some 0.1 s
CURRENCY, ZONE, DAY_START = "PKR", "Asia/Karachi", "04:00"
SHOP, LABEL = "Shop", "A"
RECOVERY_FILE = "recovery-code"
_FOUNDING_KINDS = ("run", "founding", "seal", "setting")
_OTHER_KEY = (
    "the key file {path} is not the one that this till signed with: put back the copy you kept of it, or make a backup "
    "with 'posline backup' and restore it as a new till"
)
_RECOVERY_TEXT = (
    "{code}\n\n"
    "This is the shop's recovery code. With it anybody can admit a till to the shop: write it down, keep it away from\n"
    "the till, then delete this file. It is needed when every till is lost: posline restore FILE --recovery CODE\n"
)


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Where time and randomness come from: the machine, or a test."""

    wall_ms: Callable[[], int] = wall_ms
    monotonic_ms: Callable[[], int] = monotonic_ms
    synchronised: Callable[[], bool] = field(default_factory=kernel_synchronised)
    random: Random = field(default_factory=random.SystemRandom)


@dataclass(frozen=True, slots=True)
class Founding:
    """What a new shop is founded with."""

    shop: str | None = None
    label: str | None = None
    currency: str = CURRENCY
    zone: str = ZONE
    day_start: str = DAY_START


@dataclass(slots=True)
class Opened:
    """An open folder of a shop; of a till whose host keeps it in a database there is none. `recovery` is the code of a
    shop founded just now."""

    folder: Folder | None
    settings: Settings
    key: Key
    store: Store
    replica: Replica
    recovery: str | None = None


def open_folder(
    folder: Folder, clockwork: Clockwork, founding: Founding | None, *, mend: bool = False
) -> Opened:
    """Open the folder's shop, or found one there. With `founding` None an empty folder is refused. With `mend`, what is
    damaged is set aside, and a new one made of what can be read.

    Raises FolderError, FolderDamaged, CommitFailed, DiskFailed.
    """
    met = ""
    for again in (False, True):
        try:
            return _open(folder, clockwork, founding, mend=mend, met=met)
        except Exception as error:
            found = error.__cause__ or error
            if not mend or met or not is_damage(found):
                raise
            # SQLite may take a read that failed for a page that is wrong: such a one is there for sure when it is met
            # once more in opening the file, after all of that was looked through
            met = str(found) if again or is_altered(found) else ""
            folder.doubt(str(found), sure=is_altered(found))
    return _open(folder, clockwork, founding, mend=mend, met=met)


def _open(folder: Folder, clockwork: Clockwork, founding: Founding | None, *, mend: bool, met: str) -> Opened:
    settings = _settings(folder, mend=mend)
    if settings.joining is not None:
        finish_joining(folder, settings)
    store: Store | None = None
    replica: Replica | None = None
    recovery: str | None = None
    try:
        if not folder.key.exists():
            if settings.shop or folder.database.exists():
                raise FolderDamaged(
                    f"{folder.path} holds a shop but not this till's key: put the file 'key' back where it was, or run "
                    "'posline restore' on a backup in an empty folder, which makes a new till that succeeds this one"
                )
            if founding is None:
                raise FolderError(
                    f"there is no shop in {folder.path} yet: 'posline till' founds one, 'posline join' joins one"
                )
            Key(secrets.token_bytes(KEY_SEED_BYTES)).save(folder.key)
        key = Key.load(folder.key)
        _check_author(folder, settings, key)
        check_database(folder, settings.shop, key.id, mend=mend, met=met)
        store = open_store(folder)
        if (warning := sqlite_warning()) is not None:
            log.warning("%s", warning)
        named = settings.shop
        if not named:
            if store.shops():
                settings.shop = store.shops()[0]  # the founding was committed, and then came the cut
            elif founding is None:
                raise FolderError(
                    f"there is no shop in {folder.path} yet: 'posline till' founds one, 'posline join' joins one"
                )
            else:
                replica, recovery = _found(folder, store, key, clockwork, founding)
                settings.shop = replica.shop
        key = _finish_rotation(folder, store, settings.shop, key)
        _check_key(folder, store, settings.shop, key)
        if not named or (mend and not settings.author):
            settings.author = key.id
            settings.save(folder)
        replica = replica or open_replica(store, settings.shop, key, clockwork)
        if not replica.label:  # not admitted yet, and sells all the same
            replica.relabel(settings.label or LABEL)
        return Opened(folder, settings, key, store, replica, recovery)
    except BaseException as error:
        if is_failure(error) and not is_damage(error):  # closing it would write to it once more
            raise failure(error, str(folder.database)) from error
        if store is not None:
            store.close()
        if is_damage(error):
            raise failure(error, str(folder.database)) from error
        raise


def _settings(folder: Folder, *, mend: bool) -> Settings:
    """The folder's settings. Where they are not whole but its database is there, which knows the shop, they begin anew
    rather than keep a till from selling."""
    try:
        folder.settings  # noqa: B018  # raises where it cannot be read
    except FolderDamaged as error:
        if isinstance(error.__cause__, OSError) or not mend or not folder.database.exists():
            raise
        kept = set_aside(folder.path / "settings.json")
        Mishap.load(folder).add(
            f"the file settings.json was not whole, and is kept as {kept.name}: set up the printer anew, and hand out "
            "new tokens to programs"
        )
    return Settings.load(folder)


def _check_author(folder: Folder, settings: Settings, key: Key) -> None:
    """A key that lost a letter is another key, and its till would be a stranger in its own shop."""
    if settings.author and settings.author != key.id:
        raise FolderDamaged(_OTHER_KEY.format(path=folder.key))


def _check_key(folder: Folder, store: Store, shop: str, key: Key) -> None:
    known = [public for _, public in store.authority(shop).keys.get(key.id, ())]
    # a change that had not heard of the till's removal nobody need believe: it is its key, and it sells all the same
    if known and key.public not in known and base64url(key.public) not in _named(store, shop, key):
        raise FolderDamaged(_OTHER_KEY.format(path=folder.key))


def _named(store: Store, shop: str, key: Key) -> set[str]:
    """The keys to which this author changed, by what this disk has, whether anybody believes them or not."""
    return {e.body["key"] for e in store.acts(shop) if e.kind == "key" and e.fault is None and e.till == key.id}


def next_key(folder: Folder) -> Path:
    """Where a new key waits until the entry that names it is committed."""
    return folder.path / "key.next"


def use_new_key(folder: Folder) -> None:
    """Put the key that waits in the place of the old one, durably."""
    next_key(folder).replace(folder.key)
    sync_folder(folder.path)


def _finish_rotation(folder: Folder, store: Store, shop: str, key: Key) -> Key:
    """The key to go on with. One that waits takes the old one's place if this disk has the entry that names it, since
    whatever was written after that entry is signed with it; else its change never came about."""
    waiting = next_key(folder)
    if not waiting.exists():
        return key
    fresh = Key.load(waiting)
    if fresh.id == key.id and base64url(fresh.public) in _named(store, shop, key):
        use_new_key(folder)
        return fresh
    waiting.unlink()
    return key


def open_store(folder: Folder, *, feed: bool = False) -> Store:
    """The folder's database. It is its owner's alone to read, in whatever folder it lies (SQLite gives the files beside
    it the same mode). Raises FolderDamaged, DiskFull."""
    if not folder.database.exists():
        folder.database.touch(mode=0o600)
    return Store.open(folder.database, feed=feed, told=_telling())


def _telling() -> Progress:
    """Say in the log how far a ledger is that newer rules judge anew: some 3,000 entries a second on a small machine,
    and nobody may think that it hangs."""
    began_s = said_s = time.monotonic()

    def told(done: int, of: int) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= TOLD_S:
            said_s = now_s
            left_s = (now_s - began_s) * (of - done) / done
            log.warning(
                "an update judges the ledger by newer rules, which happens once: %d of %d entries, about %.0f s to go."
                " Let it end; a cut begins it anew, and loses nothing", done, of, left_s,
            )  # fmt: skip

    return told


def close_store(store: Store) -> None:
    """Close the file; what was noted on the side is written first if there is room."""
    try:
        if store.noted:
            store.commit([])
    except Exception as error:
        if is_failure(error):  # closing it would write to it once more
            raise failure(error, store.path) from error
    store.close()


def open_replica(store: Store, shop: str, key: Key, clockwork: Clockwork) -> Replica:
    """The replica of `shop`, with a clock that knows what this disk wrote last."""
    clock = Clock(
        wall_ms=clockwork.wall_ms,
        monotonic_ms=clockwork.monotonic_ms,
        synchronised=clockwork.synchronised,
        floor_ms=max(BUILD_MS, int(store.get_meta(FLOOR) or 0)),
        last_own_ms=_last_own_ms(store, shop, key.id),
        said_ms=int(store.get_meta(SAID) or 0),
    )
    replica = Replica(
        store, shop, author=key, clock=clock, random=clockwork.random, documents=True,
        monotonic_ms=clockwork.monotonic_ms,
    )  # fmt: skip
    label = Reports(store, shop, here=key.id).renamed(key.id)
    if label is not None:
        replica.relabel(label)
    return replica


def note_times(store: Store, clock: Clock, noted: dict[str, int]) -> None:
    """Write down, with the next commit, what the clock knows or was told, where that is far from what is `noted`."""
    for name, at_ms in ((FLOOR, clock.floor_ms), (SAID, clock.said_ms)):
        if abs(at_ms - noted.get(name, -FLOOR_STEP_MS)) >= FLOOR_STEP_MS:
            noted[name] = at_ms
            store.set_meta(name, at_ms)


def _last_own_ms(store: Store, shop: str, author: str) -> int | None:
    """The time of the last entry that this disk wrote with a clock it believed; of the last at all, where none was for
    long, since all of a long history is not looked through at a start."""
    written = store.written(shop, author)
    if written is None:
        return None
    place = (store.shop_key(shop), author)
    in_run = "shop = ? AND author = ? AND run = ?"
    recent = f"n > (SELECT max(n) FROM entry) - {LOOKED_THROUGH} AND +shop = ? AND +author = ?"  # + keeps to n's order
    believed = "own = 1 AND json_extract(raw, '$.clock') IS NOT 'suspect'"
    for where, values in (
        (f"{in_run} AND {believed} ORDER BY seq DESC", (*place, written.run)),
        (f"{recent} AND {believed} ORDER BY n DESC", place),
        (f"{in_run} AND own = 1 ORDER BY seq DESC", (*place, written.run)),
    ):
        at = f"SELECT json_extract(raw, '$.at') FROM entry WHERE {where} LIMIT 1"
        row = store.read.execute(at, values).fetchone()
        if row is not None:
            return parse_iso(row[0])
    return None


def _found(folder: Folder, store: Store, key: Key, clockwork: Clockwork, founding: Founding) -> tuple[Replica, str]:
    """Commit a founding; returns the new shop's replica and its recovery code."""
    recovery = _recovery_key(folder)
    clock = Clock(
        wall_ms=clockwork.wall_ms,
        monotonic_ms=clockwork.monotonic_ms,
        synchronised=clockwork.synchronised,
        floor_ms=BUILD_MS,
        last_own_ms=None,
    )
    replica = found(
        store,
        author=key,
        public_key=base64url(key.public),
        recovery_key=base64url(recovery.public),
        clock=clock,
        random=clockwork.random,
        name=founding.shop or SHOP,
        currency=founding.currency,
        zone=founding.zone,
        day_start=founding.day_start,
        label=founding.label or LABEL,
        monotonic_ms=clockwork.monotonic_ms,
    )
    batch = list(replica.staged)
    replica.release(batch, store.commit(batch))
    return replica, recovery.code()


def _recovery_key(folder: Folder) -> Key:
    """The recovery key of the shop to be founded; written down before the founding names it."""
    path = folder.path / RECOVERY_FILE
    if path.exists():
        return Key.from_code(path.read_text().split()[0])
    key = Key(secrets.token_bytes(KEY_SEED_BYTES))
    write_atomically(path, _RECOVERY_TEXT.format(code=key.code()).encode(), mode=0o600)
    return key


# -- joining: the shop that the folder founded gives way ---------------------------------------------------------------


def take_updates(store: Store, shop: str, updates: Sequence[str], *, origin: str) -> None:
    """Commit updates (base64url) of a shop's document that another device sent. Raises Refused, ValueError."""
    replica = Replica(
        store, shop, author=None, clock=None, random=random.SystemRandom(), documents=False, store_id="a" * 26
    )
    for update in updates:
        replica.integrate("shop", from_base64url(update), origin=origin)
    if replica.staged:
        store.commit(replica.staged)


def written_since_founding(store: Store, shop: str, own: str) -> int:
    """How many entries of a shop go beyond its founding by `own`: what giving up the shop would take away."""
    marks = ",".join("?" * len(_FOUNDING_KINDS))
    row = store.read.execute(
        f"SELECT count(*) FROM entry WHERE shop = ? AND (author <> ? OR kind NOT IN ({marks}))",
        (store.shop_key(shop), own, *_FOUNDING_KINDS),
    ).fetchone()
    return int(row[0])


def _stay(folder: Folder, settings: Settings, written: int) -> None:
    """Give up joining another shop: sales were rung here since it was asked."""
    assert settings.joining is not None
    log.error(
        "did not join the shop %s: %d entries were written here meanwhile, and joining would take them away. This till "
        "goes on in its own shop; remove the device that was admitted over there",
        json.dumps(settings.joining["name"]),
        written,
    )
    settings.joining = None
    settings.save(folder)
    (folder.path / "key.new").unlink(missing_ok=True)


def finish_joining(folder: Folder, settings: Settings) -> None:
    """Put the folder under the shop that admitted it, unless something was sold here since. Every step may have been
    done already."""
    joining = settings.joining
    assert joining is not None
    fresh = folder.path / "key.new"
    if fresh.exists():
        if folder.database.exists() and folder.key.exists():
            # asked once more, now that the folder is closed: the till sold on while it waited for the answer
            store = open_store(folder)
            try:
                written = written_since_founding(store, settings.shop, Key.load(folder.key).id)
            finally:
                store.close()
            if written:
                _stay(folder, settings, written)
                return
        for suffix in ("", "-wal", "-shm"):
            (folder.path / (folder.database.name + suffix)).unlink(missing_ok=True)
        (folder.path / RECOVERY_FILE).unlink(missing_ok=True)
        sync_folder(folder.path)  # the key says that the old shop is gone: after a cut it must not be there again
        fresh.replace(folder.key)
        sync_folder(folder.path)
    store = open_store(folder)
    try:
        key = Key.load(folder.key)
        take_updates(store, joining["shop"], joining["updates"], origin=joining["from"])
        places = Places(key.id)
        for author, addresses in joining["where"].items():
            places.heard(author, addresses, source=Source.HEARSAY, here=True)
        store.set_meta(PLACES, places.to_json())
        store.commit([])
    finally:
        store.close()
    settings.shop, settings.author = joining["shop"], key.id
    settings.joining = None
    settings.save(folder)
    log.info("joined the shop %s", json.dumps(joining["name"]))
