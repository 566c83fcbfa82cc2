"""Whether a head office lives, and whether it may be given traffic; for balancers and whoever starts it again.

Alive is the process alone: where it is not, only a fresh start helps. Ready asks the database, at most once a second,
whoever asks.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.errors import PoslineError
from posline.till.metrics import METRICS_TYPE, exposition
from posline.till.problems import json_answer
from relay.operations.figures import figures
from relay.relay import Relay

__all__ = ["Readiness", "State", "health_routes"]

FRESH_S = 1.0  # how long an answer is good
ASK_S = 3.0  # for the database to say anything
FIT_S = 30.0  # between two looks at whether a newer version works there


@dataclass(frozen=True, slots=True)
class State:
    """`reason` is why it is not ready, and `do` what helps; both "" where it is."""

    reason: str = ""
    do: str = ""

    @property
    def ready(self) -> bool:
        """Whether traffic may come."""
        return not self.reason


class Readiness:
    """One process's."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._asked_s, self._fit_s = -FRESH_S, -FIT_S
        self._state, self._unfit = State(), ""
        self._asking = asyncio.Lock()

    async def state(self) -> State:
        """As of a second ago at most."""
        if self._relay.broken.is_set():
            return State("the database failed", "this process ends by itself: have it started again, and read its log")
        if self._relay.draining.is_set():
            return State("it is going down", "nothing: links and requests find another process, or this one once more")
        async with self._asking:  # a hundred balancers are one question
            if time.monotonic() - self._asked_s >= FRESH_S:
                self._state = await self._ask()
                self._asked_s = time.monotonic()
            return self._state

    async def _ask(self) -> State:
        try:
            async with asyncio.timeout(ASK_S):
                await asyncio.to_thread(self._look)
        except TimeoutError:
            return State(f"the database does not answer within {ASK_S:.0f} s", "look at the database's machine and log")
        except PoslineError as error:
            return State(str(error), "look at the database; links wait for it, and go on by themselves")
        except Exception as error:
            self._relay.suspect(error)
            return State(f"the database gives an error ({error})", "read the log of this process")
        if self._unfit:
            return State(self._unfit, "upgrade this process too: docs/upgrading.md")
        return State()

    def _look(self) -> None:
        relay = self._relay
        relay.store.read.execute("SELECT 1").fetchone()
        relay.office.database.execute("SELECT 1").fetchone()
        if time.monotonic() - self._fit_s >= FIT_S:
            self._unfit = relay.home.unfit(relay.store)
            self._fit_s = time.monotonic()


def health_routes(relay: Relay, *, metrics: bool = True) -> list[Route]:
    """/healthz, /readyz, and with `metrics` /metrics."""
    readiness = Readiness(relay)

    async def healthz(request: Request) -> Response:
        alive = not relay.broken.is_set()
        return json_answer({"ok": alive, "store": relay.key.id}, 200 if alive else 503)

    async def readyz(request: Request) -> Response:
        state = await readiness.state()
        if state.ready:
            return json_answer({"ready": True})
        return json_answer({"ready": False, "reason": state.reason, "do": state.do}, 503)

    async def shown(request: Request) -> Response:
        return Response(exposition(await figures(relay)), media_type=METRICS_TYPE)

    routes = [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
    return [*routes, Route("/metrics", shown, methods=["GET"])] if metrics else routes
