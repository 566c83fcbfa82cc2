"""What processes of one head office tell each other: that a shop has a new commit, and that events were numbered.

A notification is a hint, and may be lost; each process also looks by itself, every other second. Events are given their
numbers here, by one process at a time and behind their commits: a number drawn inside a commit could turn up after a
reader has passed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from psycopg import sql

from posline.errors import Unavailable
from relay.feeding import NUMBERING
from relay.postgres.connection import Database
from relay.postgres.store import PostgresStore

__all__ = ["Telling"]

log = logging.getLogger("posline.relay")

LOOK_S = 2.0  # between looks at what nobody told of
AGAIN_S = 1.0  # after the line to the database was lost
NUMBERED_AT_ONCE = 2000  # events in one transaction
NUMBER = """
WITH taken AS (
    DELETE FROM feed_waiting w USING (SELECT shop, place FROM feed_waiting ORDER BY place LIMIT %s) first
    WHERE w.shop = first.shop AND w.place = first.place RETURNING w.shop, w.place, w.entry, w.event, w.status)
INSERT INTO feed (n, shop, entry, event, status)
SELECT (SELECT coalesce(max(n), 0) FROM feed) + row_number() OVER (ORDER BY place), shop, entry, event, status
FROM taken"""


class Telling:
    """One process's ear and mouth."""

    def __init__(
        self,
        database: Database,
        store: PostgresStore,
        *,
        live: Callable[[], Iterable[str]],
        changed: Callable[[str], None],
        numbered: Callable[[], None],
    ) -> None:
        """`live` are the shops that have links here, `changed(shop)` is told that another process may have committed in
        one of them, `numbered()` that the feed is longer."""
        self._database, self._store = database, store
        self._live, self._changed, self._numbered = live, changed, numbered
        self._committed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._numbering: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Begin to listen, to look and to number."""
        self._loop = asyncio.get_running_loop()
        self._committed.set()
        jobs = ((self._listen(), "listen"), (self._look(), "look"), (self._number_loop(), "number"))
        self._tasks = [asyncio.create_task(job, name=name) for job, name in jobs]

    async def stop(self) -> None:
        """The end; what was committed last is numbered first, if that goes quickly."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._numbering is not None:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self._number)
            self._close_numbering()

    def committed(self) -> None:
        """This process committed something."""
        self._committed.set()

    # -- hearing -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except psycopg.Error as error:
                log.warning("the line on which processes tell each other of commits is gone: %s", error)
            await asyncio.sleep(AGAIN_S)

    async def _hear(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._database.conninfo, autocommit=True) as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._store.channel)))
            self._look_at_all()  # what was told while nobody listened
            async for heard in connection.notifies():
                process, _, shops = heard.payload.partition(" ")
                if process == self._store.process:
                    continue
                if not shops:
                    self._numbered()
                    continue
                for shop in set(shops.split()) & set(self._live()):
                    self._look_at(shop)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._look_at_all()
            self._committed.set()  # whoever committed may have gone down before it numbered

    def _look_at_all(self) -> None:
        try:
            for shop in self._store.behind(list(self._live())):
                self._look_at(shop)
        except Unavailable as error:
            log.warning("%s", error)

    def _look_at(self, shop: str) -> None:
        try:
            self._changed(shop)
        except Unavailable as error:
            log.warning("%s", error)
        except Exception:
            log.exception("taking note of another process's commit failed")

    # -- numbering ---------------------------------------------------------------------------------------------------

    async def _number_loop(self) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            try:
                while await asyncio.to_thread(self._number):
                    pass
            except psycopg.Error as error:
                log.warning("events wait for their numbers: %s", error)
                self._close_numbering()
                await asyncio.sleep(AGAIN_S)
                self._committed.set()

    def _number(self) -> bool:
        """Number what waits, once nobody else is at it; whether there may be more."""
        if self._numbering is None:
            self._numbering = self._database.connect()
        with self._numbering.transaction():
            self._numbering.execute("SELECT pg_advisory_xact_lock(%s)", (self._database.lock(NUMBERING),))
            count = self._numbering.execute(NUMBER, (NUMBERED_AT_ONCE,)).rowcount
            if count:
                self._numbering.execute("SELECT pg_notify(%s, %s)", (self._store.channel, self._store.process))
        if count and self._loop is not None:
            self._loop.call_soon_threadsafe(self._numbered)
        return count == NUMBERED_AT_ONCE

    def _close_numbering(self) -> None:
        if self._numbering is not None:
            with contextlib.suppress(psycopg.Error):
                self._numbering.close()
            self._numbering = None
