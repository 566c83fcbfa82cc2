"""Processes of one head office on one PostgreSQL, and a crowd of tills that ring at them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from examples.rig.crowd import Crowd
from examples.rig.programs import free_port
from relay.postgres.home import DatabaseHome
from relay.relay import Relay
from tests.faults.rig import Process
from tests.postgres import Cluster
from tests.proof import share

__all__ = ["Office", "Serving", "crowd_at", "ring", "until"]

SETTLE_S = 90.0


class Serving(Process):
    """A process of a head office on a database."""

    def command_line(self) -> list[str]:
        return super().command_line()[:-2]  # no --data


class Office:
    """The processes."""

    def __init__(self, cluster: Cluster, folder: Path, count: int = 3) -> None:
        self.url = cluster.url("office")
        self.ports = [free_port() for _ in range(count)]
        self.processes = [
            Serving(folder / f"relay{n}", "relay.cli", ["serve", "--port", str(port), "--database", self.url])
            for n, port in enumerate(self.ports)
        ]
        self.kills = 0

    def urls_of(self, shop: str, first: int) -> Callable[[], list[str]]:
        """Where a till finds its head office, one address before the others."""
        ports = [*self.ports[first:], *self.ports[:first]]
        return lambda: [f"ws://127.0.0.1:{port}/sync/{shop}" for port in ports]

    async def start(self) -> None:
        for process in self.processes:  # the first one makes the tables
            await asyncio.to_thread(process.start)

    async def kill_one(self, rng: random.Random) -> None:
        process = rng.choice(self.processes)
        await asyncio.to_thread(process.kill)
        self.kills += 1
        await asyncio.to_thread(process.start)

    def kill(self) -> None:
        for process in self.processes:
            if process.running:
                process.kill()


async def until(what: str, happened: Callable[[], bool], seconds: float = SETTLE_S) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def crowd_at(office: Office, shops: int, tills: int) -> AsyncIterator[Crowd]:
    """A crowd whose tills link to the processes by turns."""
    crowd = Crowd(shops, tills)
    await crowd.start()
    home = DatabaseHome(office.url)
    async with Relay(home, serving=False) as relay:
        crowd.admit(relay.key.public, relay.key.id)
        addresses = [f"ws://127.0.0.1:{port}/attach" for port in office.ports]
        for shop in crowd.shops:
            await crowd.attach(shop, addresses, relay.invitations.add(expires_s=600, note=""))
        key = relay.key.id
    for n, till in enumerate(crowd.tills):
        till.start(key, office.urls_of(till.replica.shop, n % len(office.ports)))
    try:
        yield crowd
    finally:
        await crowd.stop()


async def ring(crowd: Crowd, seconds: float) -> dict[str, set[str]]:
    """Every till sells now and then; the sales by shop."""
    rung: dict[str, set[str]] = {shop.id: set() for shop in crowd.shops}
    until_s = time.monotonic() + seconds

    async def one(n: int) -> None:
        till, rng = crowd.tills[n], random.Random(n)
        while time.monotonic() < until_s:
            await asyncio.sleep(rng.random() * share(0.5, 3))
            rung[till.replica.shop].add(await till.sell(rng))

    await asyncio.gather(*(one(n) for n in range(len(crowd.tills))))
    return rung
