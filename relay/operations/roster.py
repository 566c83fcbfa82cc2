"""Which processes of one head office run, where several share a database: each says so every few seconds, and hears
there whether it is to drain. What stands there is for people and balancers; nothing of the sync depends on it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

from posline.storage.renewal import RULES
from posline.till.machine import installed_version
from relay.database import Database, Step, Transaction, transact

__all__ = ["PROCESSES", "Roster", "Running"]

log = logging.getLogger("posline.relay")

BEAT_S = 2.0
GONE_MS = 20_000  # without a sign: it was killed, or its database is away
DRAIN = "drain"
PROCESSES: tuple[Step, ...] = (
    ("office process", (
        "CREATE TABLE office_process (id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,"
        " version TEXT NOT NULL, rules INTEGER NOT NULL, began_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL,"
        " links INTEGER NOT NULL, state TEXT NOT NULL, told TEXT NOT NULL)",
    )),
)  # fmt: skip
_ONE = "id, host, pid, version, rules, began_ms, seen_ms, links, state"


@dataclass(frozen=True, slots=True)
class Running:
    """A process as it last said. `state` is serving or draining."""

    id: str
    host: str
    pid: int
    version: str
    rules: int
    began_ms: int
    seen_ms: int
    links: int
    state: str


class Roster:
    """The processes of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.id = secrets.token_hex(4)

    def listed(self, now_ms: int) -> list[Running]:
        """Those that run, the oldest first."""
        asked = f"SELECT {_ONE} FROM office_process WHERE seen_ms > ? ORDER BY began_ms, id"
        return [Running(*row) for row in self._database.execute(asked, (now_ms - GONE_MS,))]

    def tell_to_drain(self, ids: list[str]) -> None:
        """Have these go; each hears it with its next beat."""

        def work(tx: Transaction) -> None:
            tx.executemany("UPDATE office_process SET told = ? WHERE id = ?", [(DRAIN, id) for id in ids])

        transact(self._database, work)

    async def follow(self, now_ms: Callable[[], int], links: Callable[[], int], draining: asyncio.Event) -> None:
        """Say for ever that this process runs and how many links it has, and set `draining` once it is told to go."""
        began_ms = now_ms()
        try:
            while True:
                state = "draining" if draining.is_set() else "serving"
                try:
                    if await asyncio.to_thread(self._beat, began_ms, now_ms(), links(), state) == DRAIN:
                        draining.set()
                except Exception as error:
                    log.warning("the list of processes cannot be kept: %s", error, extra={"event": "roster"})
                await asyncio.sleep(BEAT_S)
        finally:
            await asyncio.to_thread(self._leave)

    def _beat(self, began_ms: int, now_ms: int, links: int, state: str) -> str:
        version = installed_version() or ""
        row = (self.id, socket.gethostname(), os.getpid(), version, RULES, began_ms, now_ms, links, state)

        def work(tx: Transaction) -> str:
            tx.execute("DELETE FROM office_process WHERE seen_ms < ?", (now_ms - 10 * GONE_MS,))
            tx.execute(
                f"INSERT INTO office_process ({_ONE}, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '') ON CONFLICT (id)"
                " DO UPDATE SET seen_ms = excluded.seen_ms, links = excluded.links, state = excluded.state",
                row,
            )
            return str(tx.execute("SELECT told FROM office_process WHERE id = ?", (self.id,)).fetchone()[0])

        return transact(self._database, work)

    def _leave(self) -> None:
        try:
            transact(self._database, lambda tx: tx.execute("DELETE FROM office_process WHERE id = ?", (self.id,)))
        except Exception as error:  # it ages, and is not shown any more
            log.debug("the list of processes still has this one: %s", error)
