"""Connections to PostgreSQL that are used like SQLite's: one that writes, and a few that read.

A connection that is lost is made again. What is read may be asked once more; what is written is the store's to repeat,
since it alone knows what a lost answer means. Who waits for a database waits for a bounded time.
"""

from __future__ import annotations

import enum
import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from psycopg_pool import ConnectionPool, PoolTimeout

from posline.errors import Unavailable
from relay.postgres.spelling import spelled, values_of

__all__ = ["FULL", "PASSING", "Counts", "Database", "Readers", "Rows", "Writer", "first_line", "is_cut"]

CONNECT_S = 5  # to a host that does not answer; one that refuses says so at once
SILENT_MS = 15_000  # without a sign of life of what was sent: the line is dead
POOL_MOST = 8  # connections that read, beside the event loop's own: as many threads ask at once
POOL_WAIT_S = 5.0  # for one of them
AGAIN_S = 1.0  # after a failed try, before the event loop's own connection is tried anew
KEPT_ALIVE = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
# so does the server at its end: a machine that lost its power would lead, and hold its locks, for two hours more
SERVER_LOOKS = (
    *(f"SET tcp_{name} = {value}" for name, value in KEPT_ALIVE.items()), f"SET tcp_user_timeout = {SILENT_MS}",
)  # fmt: skip
# there is no room; these are operational errors too, and so to be caught before PASSING
FULL = (errors.DiskFull, errors.OutOfMemory)
# what another try may not meet: it was in another transaction's way, or the server is going down or coming up
PASSING = (
    psycopg.OperationalError,  # serialization, deadlocks, locks that are not got, shutdowns, too many connections
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,  # a standby that is about to be the primary
)
PARTITIONS_MAX = 256  # each is a table with its indexes, which every query is planned over
ESCAPE = "\ufdd0"  # a code point that means nothing to anybody, and so may stand before what it stands for
_NUL, _SELF = ESCAPE + "0", ESCAPE + "1"


class _Flag(Dumper):
    """True and False are 1 and 0, as SQLite has them."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _Text(StrDumper):
    """Texts may hold NUL, which PostgreSQL's may not: people's names come from anywhere, and no sale waits for one."""

    def dump(self, obj: str) -> Buffer | None:
        if "\0" in obj or ESCAPE in obj:
            obj = obj.replace(ESCAPE, _SELF).replace("\0", _NUL)
        return super().dump(obj)


class _TextBack(Loader):
    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        return text.replace(_NUL, "\0").replace(_SELF, ESCAPE) if ESCAPE in text else text


class _Whole(Loader):
    """A sum of integers, which PostgreSQL calls numeric."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


def _adapt(connection: psycopg.Connection[Any]) -> None:
    found = connection.adapters
    found.register_dumper(int, Int8Dumper)  # one type, whatever the size: one plan, and no function that is not found
    found.register_dumper(bool, _Flag)
    found.register_dumper(str, _Text)
    found.register_dumper(enum.StrEnum, _Text)
    for text in ("text", "varchar"):
        found.register_loader(text, _TextBack)
    found.register_loader("numeric", _Whole)


@dataclass(slots=True)
class Counts:
    """Of one process, since it began: connections that were made, that could not be, and that were lost."""

    made: int = 0
    failed: int = 0
    lost: int = 0


class Database:
    """Where a database is. `schema` is made where it is missing; all tables are in it. `partitions` is into how many
    parts, by shop, the large tables are cut when they are made; 0 leaves them whole."""

    def __init__(self, url: str) -> None:
        """`url` as libpq has it, postgresql://user@host/name, and after a ? what is ours: schema=NAME for another one
        than posline, partitions=N. Raises Unavailable."""
        address, _, query = url.partition("?")
        asked = [part.partition("=") for part in query.split("&") if part]
        ours = {name: value for name, _, value in asked if name in ("schema", "partitions")}
        self.schema = ours.get("schema", "posline")
        if not ours.get("partitions", "0").isdecimal():
            raise Unavailable(f"partitions={ours['partitions']} is no number of partitions")
        self.partitions = min(int(ours.get("partitions", "0")), PARTITIONS_MAX)
        kept = "&".join("".join(part) for part in asked if part[0] not in ours)
        try:
            given = conninfo_to_dict(f"{address}?{kept}" if kept else address)
        except psycopg.ProgrammingError as error:
            raise Unavailable(f"{_shown(address)} is no address of a database: {error}") from error
        held = {"connect_timeout": str(CONNECT_S), "tcp_user_timeout": str(SILENT_MS), "application_name": "posline"}
        self.conninfo = make_conninfo(**(KEPT_ALIVE | held | {k: str(v) for k, v in given.items()}))
        self.shown = _shown(address)
        self.password = str(given.get("password") or "")  # so that the log can strike it out
        self.counts = Counts()

    def connect(self) -> psycopg.Connection[Any]:
        """One more connection; transactions are begun and ended by hand. Raises psycopg.OperationalError."""
        try:
            connection = psycopg.connect(self.conninfo, autocommit=True)
        except psycopg.OperationalError:
            self.counts.failed += 1
            raise
        self.counts.made += 1
        self.prepare(connection)
        return connection

    def prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Set up a connection: every setting in one place, with its reason."""
        _adapt(connection)
        settings = (
            "SET synchronous_commit = on",  # a receipt is acknowledged only behind the disk, whatever the server says
            "SET default_transaction_isolation = 'read committed'",
            "SET lock_timeout = '15s'",  # behind a process that hangs with a shop's lock: an error, and tried again
            "SET idle_in_transaction_session_timeout = '60s'",  # such a process lets go of it at last
            *SERVER_LOOKS,
            "SET timezone = 'UTC'",
            sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema)).as_string(),
        )
        connection.execute("; ".join(settings).encode())  # in one go: they are many connections, and some far away

    def unavailable(self, error: Exception) -> Unavailable:
        """What to raise where it could not be reached."""
        return Unavailable(f"the database at {self.shown} does not answer: {error}")

    def lock(self, name: str) -> int:
        """The number of an advisory lock of this schema."""
        return int.from_bytes(hashlib.sha256(f"{self.schema}\0{name}".encode()).digest()[:8], "big", signed=True)


class Rows:
    """The answer to a query, fetched whole, used like a cursor."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self.rowcount, self.description = cursor.rowcount, cursor.description
        self._rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description is not None else []
        self._next = 0

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        row = self._rows[self._next] if self._next < len(self._rows) else None
        self._next += row is not None
        return row

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All that are left."""
        rows, self._next = self._rows[self._next :] if self._next else self._rows, len(self._rows)
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())

    def close(self) -> None:
        """There is nothing to let go of."""


def _ask(connection: psycopg.Connection[Any], query: str, values: Sequence[object]) -> Rows:
    text = spelled(query)
    with connection.execute(text, values_of(text, values)) as cursor:
        return Rows(cursor)


class Writer:
    """The connection that one process writes through, from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] | None = database.connect()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        found = self._connection
        return found is not None and found.info.transaction_status in (
            psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR,
        )  # fmt: skip

    def execute(self, query: str, values: Sequence[object] = ()) -> Rows:
        """As a connection's of SQLite."""
        return _ask(self._live(), query, values)

    def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> Rows | None:
        """As a connection's of SQLite; sent without waiting for each answer."""
        text, listed = spelled(query), list(rows)
        if not listed:
            return None
        with self._live().cursor() as cursor:
            cursor.executemany(text, [values_of(text, row) for row in listed])
            return Rows(cursor)

    def _live(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = self._database.connect()
        return self._connection

    def undo(self, error: BaseException) -> None:
        """Roll back what `error` ended, and let go of a connection that it may have cut."""
        with suppress(psycopg.Error):
            if self.in_transaction:
                self.execute("ROLLBACK")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            self.drop()

    def drop(self) -> None:
        """Let go of the connection; the next use makes another."""
        if self._connection is not None:
            self._database.counts.lost += 1
        self.close()

    def close(self) -> None:
        """The end."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


class Readers:
    """Connections that only read, used like one. The thread that makes this, the event loop's, has one of its own, so
    that links never wait for reports; all others share a pool."""

    def __init__(self, database: Database, most: int = POOL_MOST) -> None:
        self._database = database
        self._home = threading.get_ident()
        self._own: psycopg.Connection[Any] | None = database.connect()
        self._failed_s = 0.0
        self._mine = threading.local()
        self._most = most
        self._pool: ConnectionPool[Any] | None = None
        self._making = threading.Lock()

    def _pooled(self) -> ConnectionPool[Any]:
        with self._making:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._database.conninfo, min_size=0, max_size=self._most, timeout=POOL_WAIT_S,
                    configure=self._database.prepare, kwargs={"autocommit": True}, open=True, name="readers",
                    max_idle=60, num_workers=2,
                )  # fmt: skip
            return self._pool

    def execute(self, query: str, values: Sequence[object] = ()) -> Rows:
        """As a connection's of SQLite. Raises Unavailable where the database does not answer."""
        held = getattr(self._mine, "still", None)
        if held is not None:
            try:
                return _ask(held, query, values)
            except psycopg.OperationalError as error:
                raise self._unavailable(error) from error
        for last in (False, True):  # a connection may have been lost since it was used
            try:
                with self._one() as connection:
                    return _ask(connection, query, values)
            except psycopg.OperationalError as error:
                if last:
                    raise self._unavailable(error) from error
        raise AssertionError

    @contextmanager
    def _one(self) -> Iterator[psycopg.Connection[Any]]:
        if threading.get_ident() != self._home:
            try:
                with self._pooled().connection() as connection:
                    yield connection
            except PoolTimeout as error:
                raise Unavailable(
                    f"all {self._most} connections to the database are busy or lost: ask again in a moment"
                ) from error
            return
        if self._own is None:
            if time.monotonic() - self._failed_s < AGAIN_S:
                raise Unavailable(f"the database at {self._database.shown} does not answer: it is tried again")
            try:
                self._own = self._database.connect()
            except psycopg.OperationalError:
                self._failed_s = time.monotonic()
                raise
        try:
            yield self._own
        finally:
            if self._own is not None and self._own.closed:
                self._database.counts.lost += 1
                self._own = None

    def stats(self) -> dict[str, int]:
        """What the pool says of itself, as psycopg_pool has it; nothing before its first use."""
        return {} if self._pool is None else dict(self._pool.get_stats())

    @property
    def stands_still(self) -> bool:
        """Whether this thread is inside of `still`."""
        return getattr(self._mine, "still", None) is not None

    @contextmanager
    def still(self) -> Iterator[None]:
        """All that this thread reads inside is as of one moment."""
        if self.stands_still:
            yield
            return
        with ExitStack() as held:
            try:
                connection = self._begun(held)
                self._mine.still = connection
                yield
            except psycopg.OperationalError as error:
                raise self._unavailable(error) from error
            finally:
                self._mine.still = None

    def _begun(self, held: ExitStack) -> psycopg.Connection[Any]:
        """A connection in a transaction that stands still; `held` gives it back. One may have been lost since it was
        used, so a second is tried."""
        for last in (False, True):
            with ExitStack() as trying:
                connection = trying.enter_context(self._one())
                try:
                    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                except psycopg.OperationalError:
                    if last:
                        raise
                    continue
                held.push(trying.pop_all())
                held.callback(_roll_back, connection)
                return connection
        raise AssertionError

    def _unavailable(self, error: Exception) -> Unavailable:
        shown = self._database.shown
        return Unavailable(f"the database at {shown} does not answer ({first_line(error)}): it is tried again")

    def close(self) -> None:
        """Let go of all of them."""
        if self._pool is not None:
            self._pool.close()
        if self._own is not None:
            self._own.close()


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK")


def is_cut(error: BaseException) -> bool:
    """Whether an error may be of the line or of a server that goes down, so that what was asked for may be done."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return not isinstance(error, psycopg.Error)
    return error.sqlstate is None or error.sqlstate[:2] in ("08", "57")  # connections, and an operator's doing


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or else what it is."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _shown(address: str) -> str:
    """An address as people may see it: without a password."""
    scheme, _, rest = address.rpartition("://")
    who, at, where = rest.rpartition("@")
    return f"{scheme}://{who.split(':')[0]}{at}{where}" if scheme else "the database"
