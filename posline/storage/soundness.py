"""Is the database what it was when a till last wrote to it? Asked once at a start, before SQLite is let at it.

SQLite itself finds most damage only where it happens to read, and of its write-ahead log it believes whatever begins
well: where that is cut short, garbled or gone, it opens an earlier state of the file and says nothing. A till that went
on there would give numbers a second time. So three witnesses are heard that a cut of power leaves as they are: the
log's own frames behind a break, the index beside it, and the note that a till was running.

Writes nothing but the log, with what is in it already: after a failed fsync the system shows bytes that the disk may
not have, and whatever is believed from now on has to be there. And a file whose first transaction of all was cut off,
before it had a write-ahead log, is brought back to what it was; where it has a log, what is left of that is removed.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from posline.errors import DiskFailed
from posline.storage.connection import Error, connect, failure, is_damage, reader
from posline.storage.files import sync_folder
from posline.storage.pages import FRAME_HEADER_BYTES, PAGE_BYTES, WAL_HEADER_BYTES, WAL_MAGIC
from posline.storage.remains import SALVAGED

__all__ = ["LAST_NUMBER", "LAST_WRITTEN", "Damage", "examine", "strayed", "write_again"]

INDEX_BYTES = 136  # of the index file: its header twice, and what of the log was brought into the database
QUICK_BYTES = 128 * 1024 * 1024  # up to here the whole file is looked through after an unclean end: half a second
PROBLEMS_MAX = 5  # in words
# of what this disk wrote as an author: its last entry in a run, and its highest receipt number
LAST_WRITTEN = (
    "SELECT seq, hash FROM entry WHERE shop = ? AND author = ? AND run = ? AND own = 1 ORDER BY seq DESC LIMIT 1"
)
# (numbers ascend in a run, so its last one is asked for; by number alone, every sale of all other tills would be read)
LAST_NUMBER = (
    "SELECT max((SELECT number FROM entry INDEXED BY entry_place WHERE shop = r.shop AND author = r.author"
    " AND run = r.run AND own = 1 AND number IS NOT NULL ORDER BY seq DESC LIMIT 1))"
    " FROM run r WHERE shop = ? AND author = ?"
)
STEP_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong, in words. `lost`: commits are gone, so what this disk wrote last is not known."""

    why: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Log:
    """The write-ahead log as its frames' heads tell it; `ends` are the frames that end a commit."""

    there: bool
    headed: bool
    salts: bytes
    ends: tuple[int, ...]


def examine(database: Path, *, held: bool, ran: bool, doubted: bool) -> Damage | None:
    """What is wrong with the file; None where nothing is seen. `held`: a shop is known to lie in it; `ran`: a program
    that had it last did not end cleanly; `doubted`: it met an error, so that all of the file is looked through.

    Raises DiskFailed where the disk gives no answer at all.
    """
    there = database.exists()
    if not there or database.stat().st_size == 0:
        wal = database.with_name(database.name + "-wal")
        if held or (wal.exists() and wal.stat().st_size):
            return Damage("the file is empty" if there else "the file is gone", lost=True)
        return None
    log, claim = _read_log(database), _claim(database)
    if (journal := database.with_name(database.name + "-journal")).exists():
        _forget(journal) if log.there else _roll_back(database)
    if log.there:
        write_again(database.with_name(database.name + "-wal"))
    found = _look(database, log, claim, ran=ran, doubted=doubted)
    if found is not None and not found.lost:  # again: SQLite may take a read that failed for a page that is wrong
        found = _look(database, log, claim, ran=ran, doubted=doubted)
    return found


def _roll_back(database: Path) -> None:
    """Let SQLite undo what a rollback journal tells of; who only reads may not, and is refused the file."""
    try:
        connect(str(database)).close()
    except Error as error:
        raise failure(error, str(database)) from error


def _forget(journal: Path) -> None:
    """Remove a rollback journal beside a log, which begins only once the file's first transaction was whole; that is
    the only one with a journal. What is left of it is a name that a cut brought back."""
    try:
        journal.unlink()
        sync_folder(journal.parent)
    except OSError as error:
        raise DiskFailed(f"{journal} cannot be removed ({error.strerror})") from error


def strayed(database: Path, shop: str, author: str) -> Damage | None:
    """What is wrong with that from which a till goes on: the name of its shop, and its note of what it wrote last. A
    letter of these that changed by itself would have it begin again, and give its numbers a second time.

    Raises DiskFailed where the disk gives no answer.
    """
    try:
        connection = reader(str(database))
    except Error as error:
        raise failure(error, str(database)) from error
    try:
        row = connection.execute("SELECT key FROM shop NOT INDEXED WHERE id = ?", (shop,)).fetchone()
        if row is None:
            return Damage("it does not name this till's shop")
        if connection.execute("SELECT 1 FROM meta WHERE name = ? AND value = 'true'", (SALVAGED,)).fetchone():
            return None  # until a till began on it, what it wrote last may be lost here
        place = row[0], author
        note = connection.execute("SELECT run, seq, hash, number FROM mark WHERE shop = ? AND author = ?", place)
        mark = note.fetchone()
        (number,) = connection.execute(LAST_NUMBER, place).fetchone()
        if mark is None:
            return None if number is None else Damage("its note of what this till wrote last is gone")
        if connection.execute(LAST_WRITTEN, (*place, mark[0])).fetchone() != mark[1:3]:
            return Damage("its note of what this till wrote last names another entry")
        if number is not None and number > mark[3]:
            return Damage(f"its note of the last receipt number says {mark[3]}, and {number} was given")
    except Error as error:
        if is_damage(error) or str(error).startswith("no such "):  # all of this every version's file has
            return Damage(str(error))
        raise failure(error, str(database)) from error
    finally:
        connection.close()
    return None


def _look(
    database: Path, log: _Log, claim: tuple[bytes, int] | None, *, ran: bool, doubted: bool
) -> Damage | None:
    try:
        connection = reader(str(database))
    except Error as error:
        raise failure(error, str(database)) from error
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        came = _claim(database) if log.there else (b"", 0)
        if came is None:
            raise DiskFailed(f"the index beside the log of {database} cannot be read")
        if (lost := _lost(log, claim, came[1], ran=ran)) is not None:
            return Damage(lost, lost=True)
        if doubted or ((ran or log.there) and database.stat().st_size <= QUICK_BYTES):
            check = "integrity_check" if doubted else "quick_check"
            rows = connection.execute(f"PRAGMA {check}({PROBLEMS_MAX})").fetchall()
            if found := [str(line).splitlines()[-1] for (line,) in rows if line != "ok"]:
                return Damage("; ".join(found))
    except Error as error:
        if is_damage(error) or doubted:  # an error that is still there at the next start is there for good
            return Damage(str(error))
        raise failure(error, str(database)) from error
    finally:
        connection.close()
    return None


def _lost(log: _Log, claim: tuple[bytes, int] | None, recovered: int, *, ran: bool) -> str | None:
    """Whether commits that were on the disk are not there any more."""
    if ran and not log.there:
        return "its write-ahead log is gone although it was in use"
    if log.there and not log.headed and ran:
        return "its write-ahead log does not begin as one"
    if sum(end > recovered for end in log.ends) > 1:  # one is what a cut of power leaves: it was never confirmed
        return f"its write-ahead log breaks off at frame {recovered + 1}, and goes on behind"
    if claim is not None and log.headed and claim[0] == log.salts and claim[1] > recovered:
        return f"its write-ahead log was cut off: {claim[1]} frames were in use, {recovered} are there"
    return None


def write_again(path: Path) -> None:
    """Write a file's bytes over themselves, durably. Raises DiskFailed."""
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise DiskFailed(f"{path} cannot be opened for writing ({error.strerror})") from error
    try:
        at = 0
        while piece := os.pread(handle, STEP_BYTES, at):
            os.pwrite(handle, piece, at)
            at += len(piece)
        os.fsync(handle)
    except OSError as error:
        raise DiskFailed(f"{path} cannot be made durable ({error.strerror})") from error
    finally:
        os.close(handle)


def _read_log(database: Path) -> _Log:
    try:
        log = database.with_name(database.name + "-wal").read_bytes()
    except FileNotFoundError:
        log = b""
    except OSError as error:
        raise DiskFailed(f"the log of {database} cannot be read ({error.strerror})") from error
    headed = len(log) >= WAL_HEADER_BYTES and struct.unpack_from(">I", log)[0] in WAL_MAGIC
    salts = log[16:24] if headed else b""
    ends = []
    for frame, at in enumerate(range(WAL_HEADER_BYTES, len(log) - PAGE_BYTES, FRAME_HEADER_BYTES + PAGE_BYTES), 1):
        if headed and log[at + 8 : at + 16] == salts and log[at + 4 : at + 8] != bytes(4):
            ends.append(frame)
    return _Log(bool(log), headed, salts, tuple(ends))


def _claim(database: Path) -> tuple[bytes, int] | None:
    """(salts, frames in use) as the index beside the log has it, None where that says nothing. SQLite raises the number
    only behind the fsync of a commit."""
    try:
        with database.with_name(database.name + "-shm").open("rb") as file:
            index = file.read(INDEX_BYTES)
    except OSError:
        return None
    if len(index) < INDEX_BYTES or index[:48] != index[48:96] or not index[12]:
        return None
    return index[32:40], struct.unpack_from("=I", index, 16)[0]

