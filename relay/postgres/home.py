"""A head office whose whole belongings lie in one PostgreSQL database: any machine that reaches it is that head office.

Its key lies there too, since all processes speak for one head office: whoever may read the database has what it guards
anyway. Files that TLS wants are written into a folder of the process's own, which goes with it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from posline.core.base64url import base64url, from_base64url
from posline.storage.store import Store
from posline.till.metrics import Metric
from posline.till.opening import KEY_SEED_BYTES
from posline.trust.certificate import KEY_FILE, ROOT_FILE, Certificate, own_certificate
from posline.trust.keys import Key
from relay.database import Transaction, transact
from relay.delivering import Leads
from relay.home import Home
from relay.office import Office
from relay.operations.dumps import dump, is_dump
from relay.postgres.connection import Database
from relay.postgres.office import OfficeDatabase
from relay.postgres.schema import bring_up_to_date, unknown_steps
from relay.postgres.store import PostgresStore, is_newer
from relay.postgres.telling import Telling

__all__ = ["DatabaseHome"]

KEY, TLS_KEY, ROOT = "key", "tls key", "certificate"  # notes of the office
WAITING_MAX = 100_000  # events that are counted
SURE_S = 1.0  # how long a process may take it for granted that it still leads


class DatabaseHome(Home):
    """See `relay.home.Home`."""

    shared = True

    def __init__(self, url: str) -> None:
        """Raises Unavailable."""
        self.database = Database(url)
        bring_up_to_date(self.database)
        self._books = OfficeDatabase(self.database)
        try:
            self.office = Office(self._books)
            self.key = Key(from_base64url(self._kept(KEY, base64url(secrets.token_bytes(KEY_SEED_BYTES)))))
        except BaseException:
            self._books.close()
            raise
        self._folder: Path | None = None
        self._leaders: list[_Leader] = []

    def _kept(self, name: str, fresh: str) -> str:
        """A note of this head office's, or `fresh` where nobody made one yet: of several that begin, one is heard."""

        def work(tx: Transaction) -> str:
            tx.execute(
                "INSERT INTO office_note (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, fresh)
            )
            return str(tx.execute("SELECT value FROM office_note WHERE name = ?", (name,)).fetchone()[0])

        return transact(self._books, work)

    def open_store(self) -> Store:
        """See Home."""
        return PostgresStore.connect(self.database)

    def telling(
        self, store: Store, live: Callable[[], Iterable[str]], changed: Callable[[str], None], fed: Callable[[], None]
    ) -> Telling:
        """See Home."""
        assert isinstance(store, PostgresStore)
        return Telling(self.database, store, live=live, changed=changed, numbered=fed)

    def behind(self, store: Store, shops: list[str]) -> list[str]:
        """See Home."""
        assert isinstance(store, PostgresStore)
        return store.behind(shops)

    def refresh(self, store: Store, shop: str) -> dict[str, int]:
        """See Home."""
        assert isinstance(store, PostgresStore)
        return store.refresh(shop)

    def close_store(self, store: Store) -> None:
        """See Home."""
        with suppress(Exception):  # notes may be lost
            if store.noted:
                store.commit([])
        store.close()

    def figures(self, store: Store) -> list[Metric]:
        """See Home. `pool`: who asks for pages and reports (ledger), and for what people's books say (office)."""
        assert isinstance(store, PostgresStore)
        pools = {"ledger": store.read.stats(), "office": self._books.stats()}
        told: tuple[tuple[str, str, str, Callable[[dict[str, int]], int]], ...] = (
            ("connections", "gauge", "Connections of the pool", lambda s: s.get("pool_size", 0)),
            (
                "connections_in_use", "gauge", "Those that somebody has",
                lambda s: s.get("pool_size", 0) - s.get("pool_available", 0),
            ),
            ("waiting", "gauge", "Who waits for one", lambda s: s.get("requests_waiting", 0)),
            ("errors_total", "counter", "Who waited in vain", lambda s: s.get("requests_errors", 0)),
        )  # fmt: skip
        found: list[Metric] = [
            (f"posline_relay_database_pool_{name}", kind, help, [({"pool": pool}, of(s)) for pool, s in pools.items()])
            for name, kind, help, of in told
        ]
        counts = self.database.counts
        return [
            *found,
            (
                "posline_relay_database_connects_total", "counter",
                "Connections outside the pools that were made, or could not be, or were lost, by outcome",
                [({"outcome": name}, getattr(counts, name)) for name in ("made", "failed", "lost")],
            ),
        ]  # fmt: skip

    def unfit(self, store: Store) -> str:
        """See Home."""
        newer = unknown_steps([name for (name,) in store.read.execute("SELECT name FROM step")])
        if newer:
            return f"a newer version has changed the tables ({newer[0]})"
        rules = [found for (found,) in store.read.execute("SELECT DISTINCT rules FROM shop") if is_newer(found)]
        return f"a newer version judges entries by other rules ({rules[0].partition('/')[0]})" if rules else ""

    def waiting(self, store: Store) -> int:
        """See Home."""
        asked = "SELECT count(*) FROM (SELECT 1 FROM feed_waiting LIMIT ?) w"
        return int(store.read.execute(asked, (WAITING_MAX,)).fetchone()[0])

    def is_copy(self, path: Path) -> bool:
        """See Home."""
        return is_dump(path)

    def dump(self, target: Path) -> dict[str, Any]:
        """See Home."""
        dump(self.database, target)
        return {}

    def secrets(self) -> tuple[str, ...]:
        """See Home."""
        return (self.database.password,)

    def failed(self, error: BaseException) -> None:
        """The next process asks the database itself."""

    def certificate(self, hosts: Iterable[str]) -> Certificate:
        """See Home. The key is all processes' own, so what invitations and tills know of it holds for each of them."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="posline-relay-"))
            self._folder.chmod(0o700)
        made = own_certificate(self._folder, self.key.id, ())
        key = self._kept(TLS_KEY, made.tls.key.read_text())
        if key != made.tls.key.read_text():
            (self._folder / KEY_FILE).write_text(key)
        root = self._kept(ROOT, own_certificate(self._folder, self.key.id, ()).root.read_text())
        (self._folder / ROOT_FILE).write_text(root)
        return own_certificate(self._folder, self.key.id, sorted(hosts))

    @property
    def root(self) -> Path | None:
        """See Home. It lies in the database, and a serving process's file of it goes with that process."""
        return None

    @property
    def root_pem(self) -> str:
        """See Home."""
        return self.office.note(ROOT)

    def leads(self, what: str = "leads") -> Leads:
        """See Home: whoever has the lock of it, for as long as its connection lives."""
        leader = _Leader(self.database, what)
        self._leaders.append(leader)
        return leader.leads

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """See Home."""
        try:
            with self.database.connect() as connection, connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (self.database.lock(what),))
                yield
        except psycopg.OperationalError as error:
            raise self.database.unavailable(error) from error

    def close(self) -> None:
        """See Home."""
        for leader in self._leaders:
            leader.close()
        super().close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class _Leader:
    """The connection that holds, or tries to get, the lock of whoever leads."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._lock = database, database.lock(name)
        self._connection: psycopg.Connection[Any] | None = None
        self._held, self._asked_s = False, -SURE_S
        self._guard = threading.Lock()

    async def leads(self) -> bool:
        """Whether this process does."""
        if self._held and time.monotonic() - self._asked_s < SURE_S:
            return True
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> bool:
        with self._guard:
            try:
                if self._connection is None:
                    self._connection, self._held = self._database.connect(), False
                if self._held:
                    self._connection.execute("SELECT 1")  # the lock is gone with the connection
                else:
                    row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self._lock,)).fetchone()
                    self._held = bool(row and row[0])
            except psycopg.Error:
                self.close()
            self._asked_s = time.monotonic()
            return self._held

    def close(self) -> None:
        """Let another lead."""
        self._held = False
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
