"""A PostgreSQL of the tests' own, thrown away behind them, and stores in it.

    with Cluster(tmp_path) as cluster:
        store = PostgresStore.connect(Database(cluster.url("a_schema")))

It listens on a socket in its own folder and at no address.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import pytest

from relay.postgres.connection import Database, Readers, Writer
from relay.postgres.schema import bring_up_to_date
from relay.postgres.store import PostgresStore

__all__ = ["Cluster", "Schemas", "all_busy", "leave_no_room", "lose_an_answer", "programs"]

START_S = 60
STORES_MAX = 40  # open at once
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}  # where no test pulls a plug


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest version's; None where there is none."""
    found = shutil.which("initdb"), shutil.which("postgres")
    if all(found):
        return Path(str(found[0])).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _account() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Cluster:
    """One server with its folder."""

    def __init__(self, *, durable: bool = False, connections: int = 300, **settings: str) -> None:
        """`durable` keeps what a server promises; without it a test is quicker."""
        self.folder = Path(tempfile.mkdtemp(prefix="posline-pg-"))
        self.data = self.folder / "data"
        self.settings = {
            "listen_addresses": "", "unix_socket_directories": str(self.folder), "max_connections": str(connections),
            "shared_buffers": "64MB", "autovacuum_naptime": "10s", "log_min_messages": "warning",
        } | ({} if durable else QUICK) | settings  # fmt: skip
        self._account = _account()
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        found = programs()
        if found is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = found
        if self._account:
            shutil.chown(self.folder, self._account)
        self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "posline", "--no-sync", "-E", "UTF8")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments], check=True, capture_output=True, user=self._account,
            cwd=self.folder, env=os.environ | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [piece for name, value in self.settings.items() for piece in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), *options], stdout=log, stderr=log,
                user=self._account, cwd=self.folder, env=os.environ | {"LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        ready = [str(self._programs / "pg_isready"), "-h", str(self.folder), "-q"]
        for _ in range(START_S * 20):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(0.05)
                raise RuntimeError((self.folder / "log").read_text())
        raise RuntimeError("PostgreSQL did not start")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT at once and cleanly, SIGQUIT as a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(60)
            self._server = None

    def crash(self) -> None:
        """As a power cut of its process: killed, without any last word; what it leaves behind is swept away."""
        self.stop(signal.SIGQUIT)

    def url(self, schema: str) -> str:
        """Where a schema of it is."""
        return f"postgresql://posline@/postgres?host={self.folder}&schema={schema}"


def leave_no_room(database: Database, *tables: str) -> None:
    """What is written into these tables finds the disk full."""
    with database.connect() as connection:
        connection.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        for table in tables:
            when = f"BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION no_room()"
            connection.execute(f"CREATE TRIGGER no_room {when}".encode())


def lose_an_answer(monkeypatch: pytest.MonkeyPatch, *, stands: bool = True) -> list[bool]:
    """The line is cut at the next COMMIT, which stands or never arrived; what is returned is empty until then."""
    real, cut = Writer.execute, list[bool]()

    def execute(self: Writer, query: str, values: Sequence[object] = ()) -> object:
        if query != "COMMIT" or cut:
            return real(self, query, values)
        cut.append(stands)
        if stands:
            real(self, query)
        raise psycopg.OperationalError("the line is cut")

    monkeypatch.setattr(Writer, "execute", execute)
    return cut


@contextlib.contextmanager
def all_busy(readers: Readers, count: int) -> Iterator[None]:
    """Inside, so many threads read as of one moment, and let go of no connection."""
    taken, go = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        with readers.still():
            readers.execute("SELECT 1")
            taken.release()
            go.wait(60)

    holders = [threading.Thread(target=hold) for _ in range(count)]
    for holder in holders:
        holder.start()
        assert taken.acquire(timeout=30)
    try:
        yield
    finally:
        go.set()
        for holder in holders:
            holder.join(60)


class _Kept(PostgresStore):
    """A store whose connections outlive it."""

    schemas: Schemas

    def close(self) -> None:
        self._closed = True

    def backup(self, target: Path) -> None:
        """As of SQLite's file: whatever opens `target` finds what stands here now."""
        self.schemas.copy(self.database, str(target))


@dataclass
class _Schema:
    database: Database
    writer: Writer
    readers: Readers


class Schemas:
    """Stores in schemas of one cluster, by the paths that files would have. Schemas and their connections are used
    again: to make them takes longer than most tests."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._of: dict[str, _Schema] = {}
        self._spare: list[_Schema] = []
        self._passing: deque[_Schema] = deque()  # of stores in memory: a test's examples leave theirs behind

    def open(self, path: Path | str, *, feed: bool = False, told: object = None) -> PostgresStore:
        """As `Store.open`; ":memory:" is a new one each time."""
        name = str(path)
        schema = self._of.get(name)
        if schema is None:
            schema = self._take()
            if name == ":memory:":
                self._passing.append(schema)
            else:
                self._of[name] = schema
        store = _Kept(schema.database, schema.writer, schema.readers, feed=feed)
        store.schemas = self
        return store

    def copy(self, database: Database, name: str) -> None:
        """Let `name` be a copy of a schema."""
        schema = self._of[name] = self._take()
        tables = schema.writer.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            if table != "step":
                rows = f"OVERRIDING SYSTEM VALUE SELECT * FROM {database.schema}.{table}"
                schema.writer.execute(f"INSERT INTO {table} {rows}")

    def _take(self) -> _Schema:
        if len(self._passing) > STORES_MAX:
            self._spare.append(self._passing.popleft())
        if self._spare:
            schema = self._spare.pop()
        else:
            database = Database(self._cluster.url(f"s{uuid.uuid4().hex[:12]}"))
            bring_up_to_date(database)
            schema = _Schema(database, Writer(database), Readers(database, 2))
            schema.writer.execute(_EMPTY)
        schema.writer.execute("SELECT empty()")
        return schema

    def sweep(self) -> None:
        """A test is over."""
        self._spare += [*self._of.values(), *self._passing]
        self._of.clear()
        self._passing.clear()

    def close(self) -> None:
        """The end."""
        self.sweep()
        for schema in self._spare:
            schema.writer.close()
            schema.readers.close()


# of what was filled alone: to truncate or to delete from all takes longer
_EMPTY = """
CREATE FUNCTION empty() RETURNS void LANGUAGE plpgsql AS $$
DECLARE t text; filled boolean;
BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'step' LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', t) INTO filled;
        IF filled THEN EXECUTE format('DELETE FROM %I', t); END IF;
    END LOOP;
END $$"""


@contextlib.contextmanager
def standing_in(cluster: Cluster) -> Iterator[Schemas]:
    """While this is open, `Store.open` opens a PostgreSQL store."""
    from posline.storage.store import Store

    schemas, before = Schemas(cluster), Store.__dict__["open"]
    Store.open = staticmethod(schemas.open)  # type: ignore[method-assign, assignment]
    try:
        yield schemas
    finally:
        Store.open = before  # type: ignore[method-assign]
        schemas.close()
