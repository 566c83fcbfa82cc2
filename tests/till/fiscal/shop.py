"""What tests of filing share: a till that files, a service whose answers a test hands in, and the simulator."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from posline.core.fiscal import FiscalSetting
from posline.core.fiscal_answers import Answer, Verdict
from posline.till.fiscal.outbox import Outbox
from posline.till.fiscal.sending import HttpService
from posline.till.fiscal.simulator import Simulator
from posline.till.opening import Clockwork
from posline.till.till import Till, open_till

TEA = [{"sku": "TEA", "name": "Tea", "quantity": "2", "price": 250}]
NOON_MS = 1_795_417_200_000
HOUR_MS = 3_600_000
ACCEPTED = Answer(Verdict.ACCEPTED, "N1", code="100")


class Killed(BaseException):
    """The process dies here."""


class Time:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.ms = NOON_MS

    def clockwork(self) -> Clockwork:
        return Clockwork(wall_ms=lambda: self.ms, monotonic_ms=lambda: self.ms, synchronised=lambda: True)


class Fake:
    """A service of a test's making. An answer that is an exception is raised in place of it."""

    def __init__(self, *answers: Answer | BaseException) -> None:
        self.answers = deque(answers)
        self.away = ""
        self.sent: list[dict[str, Any]] = []
        self.known: dict[str, Answer] = {}
        self.probes = 0

    def __call__(self, setting: FiscalSetting, token: str) -> Fake:
        return self

    async def reachable(self) -> str:
        self.probes += 1
        return self.away

    async def send(self, body: bytes) -> Answer:
        self.sent.append(json.loads(body))
        answer = self.answers.popleft() if self.answers else Answer(Verdict.ACCEPTED, f"N{len(self.sent)}", code="100")
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def ask(self, usin: str) -> Answer:
        return self.known.get(usin, Answer(Verdict.UNKNOWN))

    async def close(self) -> None:
        pass


async def set_up(till: Till, **more: Any) -> None:
    """Let the shop file by `till`."""
    value = {"adapter": "fbr_ims", "filer": till.id, "pos_id": 812345} | more
    await till.write("setting", {"name": "fiscal", "value": value}, document="shop")


@asynccontextmanager
async def filing(
    folder: Path, service: Fake, time: Time | None = None, **more: Any
) -> AsyncIterator[tuple[Till, Outbox]]:
    """A till that files by `service`, whose outbox moves when the test turns it."""
    async with open_till(folder, clockwork=(time or Time()).clockwork()) as till:
        await set_up(till, **more)
        till.fiscal.outbox = Outbox(till.fiscal.desk, service=service)
        yield till, till.fiscal.outbox


def states(till: Till) -> dict[str, int]:
    """How many entries stand in each state, of those in which any does."""
    return {state: n for state, n in till.fiscal.filed.counts().items() if n}


@asynccontextmanager
async def simulated(*behaviours: str, **options: Any) -> AsyncIterator[Simulator]:
    """A running simulator."""
    simulator = Simulator(behaviours, **options)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def quick(till: Till, simulator: Simulator, *, answer_s: float = 0.2, settle_s: float = 0.0) -> Outbox:
    """An outbox that files with the simulator over HTTP, and does not wait long for anything."""
    return Outbox(
        till.fiscal.desk,
        service=lambda setting, token: HttpService(setting, token, answer_s=answer_s),
        settle_s=settle_s,
        first_pause_s=0.02,
    )


async def turns(outbox: Outbox, most: int = 20) -> None:
    """Let an outbox go round until nothing more is due soon."""
    for _ in range(most):
        wait_s = await outbox.turn()
        if wait_s > 5:
            return
        await asyncio.sleep(wait_s)
