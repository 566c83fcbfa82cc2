"""A shop of real programs, each on a host of its own, and what its cashiers and its owner do.

Only the commands and the HTTP API that the contract names are used. What was acknowledged is written down in an
`Account`, and at the end every replica is held against it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import signal
import ssl
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from examples.rig.audit import Books, Holding, disagreements, read_books, read_day_reports
from examples.rig.baskets import Basket, read_baskets
from examples.rig.programs import command_line, last_line
from tests.faults.nursery import SOURCE, Program, nursery
from tests.network.desk import Desk, HostTransport
from tests.network.hosts import NAMESPACES, Host
from tests.proof import PROOF

__all__ = [
    "RELAY_PORT",
    "SYNC_PORT",
    "Account",
    "HeadOffice",
    "Shop",
    "Till",
    "baskets_for_ever",
    "percentile",
    "until",
]

READY_S = 60.0
COMMAND_S = 60.0
STOP_S = 20.0
SYNC_PORT, RELAY_PORT = 8701, 8800  # the contract's
POLL_S = 0.05
RETRY_S = 0.1


async def until(what: str, condition: Callable[[], Awaitable[Any]], within_s: float) -> float:
    """Wait until the condition holds; returns the seconds that it took. Fails with `what`, and what it saw last."""
    began = time.monotonic()
    while True:
        found = await condition()
        if found is True or (found is not False and found):
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, f"after {within_s:.0f} s still not: {what} ({found!r})"
        await asyncio.sleep(POLL_S)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


class Device:
    """A program with its data folder on a host."""

    program = "posline"

    def __init__(self, host: Host, data: Path) -> None:
        self.host, self.data = host, data
        self.ready = ""
        self._child: subprocess.Popen[Any] | Program | None = None
        self._desk: Desk | None = None

    def _forked(self, *arguments: str) -> Program:
        """The program as it starts in a moment (see there); in a proof it starts as on any machine."""
        module = {"posline": "posline.cli", "posline-relay": "relay.cli"}[self.program]
        program = Program(nursery(), self.data, module, list(arguments), NAMESPACES / self.host.namespace)
        program.log = self.log
        return program.launch()

    @property
    def log(self) -> Path:
        """Its standard error."""
        return self.data.with_suffix(".log")

    @property
    def running(self) -> bool:
        if isinstance(self._child, Program):
            return self._child.running
        return self._child is not None and self._child.poll() is None

    @property
    def desk(self) -> Desk:
        """For asking its HTTP API."""
        assert self._desk is not None, "not started"
        return self._desk

    async def command(self, *arguments: str, expect: int = 0) -> str:
        """Run a command on this host against this folder; what it printed."""
        if not PROOF:
            child = await asyncio.to_thread(self._forked, *arguments)
            code = await asyncio.to_thread(child.ended, COMMAND_S)
            assert code == expect, (arguments, code, self.said()[-2000:])
            return child.printed()
        line = [*command_line(self.program), *arguments, "--data", str(self.data)]
        done = await asyncio.to_thread(self.host.run, line, timeout_s=COMMAND_S, env=_environment())
        assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    async def launch(self, *arguments: str) -> str:
        """Start it; the rest of its ready line."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        if not PROOF:
            self._child = await asyncio.to_thread(self._forked, *arguments)
            await asyncio.to_thread(self._child.ready)
            self.ready = self._child.ready_line.removeprefix("ready ").strip()
            return self.ready
        with self.log.open("ab") as log:
            self._child = self.host.start(
                [*command_line(self.program), *arguments, "--data", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                text=True,
            )
        assert self._child.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self._child.stdout.readline), READY_S)
        assert line.startswith("ready "), (line, self.said()[-2000:])
        self.ready = line.removeprefix("ready ").strip()
        return self.ready

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    def send(self, number: int) -> None:
        """A signal."""
        assert self._child is not None
        self._child.signal(number) if isinstance(self._child, Program) else self._child.send_signal(number)

    async def _end(self, number: int) -> None:
        if self._desk is not None:
            await self._desk.close()
            self._desk = None
        self.send(number)
        if isinstance(self._child, Program):
            await asyncio.to_thread(self._child.ended, STOP_S)
            return
        assert self._child is not None and self._child.stdout is not None
        await asyncio.to_thread(self._child.wait, STOP_S)
        self._child.stdout.close()

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def memory_bytes(self, *, most: bool = False) -> int:
        """Resident memory; with `most`, the most that it ever was."""
        assert self._child is not None
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(status.split("VmHWM:" if most else "VmRSS:")[1].split()[0]) * 1024


class Till(Device):
    """A till."""

    def __init__(self, host: Host, data: Path, *arguments: str) -> None:
        """`arguments` are more for `posline till`."""
        super().__init__(host, data)
        self.name = host.name
        self.arguments = list(arguments)
        self.id = ""  # of its author, once it ran

    async def start(self) -> None:
        """Run it, on the ports that a till has by itself."""
        ready = await self.launch("till", *self.arguments)
        page = dict(part.split("=", 1) for part in ready.split())["page"]
        self._desk = Desk(self.host, page)
        self.id = (await self.status())["till"]

    async def status(self) -> dict[str, Any]:
        """GET /api/status."""
        found: dict[str, Any] = await self.desk.get("/api/status")
        return found

    async def invite(self) -> str:
        """A link for another till."""
        return last_line(await self.command("invite"))

    async def join(self, link: str) -> None:
        """`posline join LINK`."""
        await self.command("join", link)

    async def linked(self, *names: str) -> bool:
        """Whether those peers, by label, are all connected."""
        return set(names) <= {peer["name"] for peer in (await self.status())["peers"] if peer["connected"]}

    async def peer(self, name: str) -> dict[str, Any]:
        """What it says of that peer; empty where it knows none of the name."""
        peers: list[dict[str, Any]] = (await self.status())["peers"]
        return next((peer for peer in peers if peer["name"] == name), {})

    async def has(self, sale: str) -> bool:
        """Whether it holds that sale."""
        return (await self.desk.ask("GET", f"/api/sales/{sale}")).status == 200


class HeadOffice(Device):
    """A relay."""

    program = "posline-relay"
    name = "head office"

    async def start(self) -> None:
        """Run it where the network can reach it."""
        url = await self.launch("serve", "--host", self.host.ip)
        certificate = self.data / "certificate.pem"
        self._desk = Desk(self.host, url, ssl.create_default_context(cafile=str(certificate)))

    async def invite(self) -> str:
        """A link for `posline attach`."""
        return last_line(await self.command("invite"))

    async def reader(self, shop: str) -> str:
        """A token that may read that shop."""
        return last_line(await self.command("token", "add", "--shop", shop, "--role", "read"))


@dataclass
class Account:
    """What the cashiers know: the truth that every replica is held against."""

    confirmed: dict[str, int] = field(default_factory=dict)  # sale id -> total
    days: set[str] = field(default_factory=set)
    took_s: dict[str, list[float]] = field(default_factory=dict)  # till -> how long each answer took
    rung_at: dict[str, Till] = field(default_factory=dict)  # sale id -> where
    repeats: int = 0

    async def ring(self, till: Till, basket: Basket) -> str:
        """Ring a basket, with the same id until an answer has come; its id."""
        id = str(uuid.uuid4())
        body = json.dumps({"id": id, "lines": list(basket.lines), "by": till.name}).encode()
        while True:
            began = time.monotonic()
            try:
                answer = await till.desk.ask("POST", "/api/sales", body)
            except (OSError, EOFError):
                answer = None
            if answer is not None and answer.status in (200, 201):
                break
            assert answer is None or answer.status >= 500, (answer.status, answer.content[:300])
            self.repeats += 1
            await asyncio.sleep(RETRY_S)
        self.took_s.setdefault(till.name, []).append(time.monotonic() - began)
        self.rung_at[id] = till
        sale = answer.json()
        assert (sale["id"], sale["total"]) == (id, basket.total)
        self.confirm(sale["id"], sale["total"], sale["day"])
        return id

    def confirm(self, id: str, total: int, day: str) -> None:
        """A sale was acknowledged."""
        self.confirmed[id] = total
        self.days.add(day)

    async def ring_for(self, till: Till, baskets: Iterable[Basket], every_s: float, stop: asyncio.Event) -> int:
        """Ring one basket after the other, at most one each `every_s`, until told to stop; how many."""
        due, count = time.monotonic(), 0
        for basket in baskets:
            if stop.is_set():
                break
            await self.ring(till, basket)
            count += 1
            due = max(due + every_s, time.monotonic() - every_s)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return count

    def milliseconds(self, share: float) -> dict[str, float]:
        """For each till what that share of its answers did not exceed."""
        return {name: round(1000 * percentile(took, share), 1) for name, took in self.took_s.items()}


class Shop:
    """Tills and maybe a head office, and what they hold."""

    def __init__(self, tills: Sequence[Till] = (), office: HeadOffice | None = None) -> None:
        self.tills, self.office = list(tills), office
        self._token = ""

    async def found(self, *joining: Till, by: Till | None = None) -> None:
        """The first till founds the shop, the others join by its links, two at a time, and start."""
        first = by or self.tills[0]
        if not first.running:
            await first.start()
        if first not in self.tills:
            self.tills.append(first)
        gate = asyncio.Semaphore(2)  # commands of this project at a time, on a machine with two cores

        async def take(till: Till) -> None:
            async with gate:
                await till.join(await first.invite())
                await till.start()

        await asyncio.gather(*(take(till) for till in joining))
        self.tills += [till for till in joining if till not in self.tills]

    async def attach(self, by: Till) -> None:
        """The shop joins the head office."""
        assert self.office is not None
        await by.command("attach", await self.office.invite())
        self._token = await self.office.reader((await by.status())["shop_id"])

    async def books(self, days: Iterable[str], *, whole: bool) -> list[Holding]:
        """What each replica holds: every sale, or the day reports alone."""
        desks = {f"till{place}": till.desk for place, till in enumerate(self.tills)}
        books = [Books(till.name, f"http://till{place}/api") for place, till in enumerate(self.tills)]
        if self.office is not None and self._token:
            shop = (await self.tills[0].status())["shop_id"]
            desks["office"] = self.office.desk
            books.append(Books(self.office.name, f"http://office/api/shops/{shop}", self._token))
        read = read_books if whole else read_day_reports
        days = sorted(days)
        async with httpx.AsyncClient(transport=HostTransport(desks)) as http:
            return list(await asyncio.gather(*(read(http, each, days) for each in books)))

    async def agreed(self, account: Account, within_s: float) -> float:
        """Wait until all replicas say the same and have every confirmed sale, hold each against the account, sale by
        sale; returns the seconds until they agreed."""

        async def agree() -> str | bool:
            holdings = await self.books(account.days, whole=False)
            if {holding.count for holding in holdings} == {len(account.confirmed)} and not disagreements(holdings):
                return True
            self.seen = {holding.name: (holding.count, *(d[:8] for d in holding.digests)) for holding in holdings}
            return False

        self.seen: dict[str, Any] = {}
        began = time.monotonic()
        while not await agree():
            assert time.monotonic() - began < within_s, (
                f"after {within_s:.0f} s not all hold the {len(account.confirmed)} sales: {self.seen}"
            )
            await asyncio.sleep(2 * POLL_S)
        took_s = time.monotonic() - began
        for holding in await self.books(account.days, whole=True):
            assert not holding.faults(account.confirmed), (holding.name, holding.faults(account.confirmed))
        return took_s

    async def close(self) -> None:
        """Hang up; the programs end with the network."""
        for device in [*self.tills, *([self.office] if self.office else [])]:
            if device._desk is not None:
                await device._desk.close()


def baskets_for_ever(start: int = 0) -> Iterable[Basket]:
    """Real baskets, over and over, from some place on."""
    every = real_baskets()
    return itertools.cycle([*every[start % len(every) :], *every[: start % len(every)]])


_read: list[Basket] = []


def real_baskets() -> list[Basket]:
    """All real baskets, read once."""
    if not _read:
        _read.extend(read_baskets())
    return _read


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSLINE_")}
    return kept | ({"PYTHONPATH": SOURCE} if SOURCE else {})
