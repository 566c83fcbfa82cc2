"""Cashiers: each rings baskets at one till over HTTP, the way a flaky shop makes people do it.

A cashier makes the sale's id before the first request and keeps it until an answer has come: after an error, a time-out
or a reset connection the same request goes out again. Some sales are posted again on purpose: later, several at once,
or at another till.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from examples.rig.baskets import Basket
from examples.rig.programs import Program

ANSWER_S = 2.0  # how long a cashier waits for an answer before asking again
RETRY_S = (0.05, 0.4)  # then the pause, at random between these
AGAIN_SHARE = 0.10  # of the sales that are posted once more after the answer
AT_ONCE_SHARE = 0.05  # ... that are posted four times at the same moment
ELSEWHERE_SHARE = 0.04  # ... that are rung at another till as well, with the same id
TRIES_BEFORE_WALKING = 4  # while the till does not answer, some customers are sent to the next one
WALKING_SHARE = 0.3


class WrongAnswer(Exception):
    """A till answered what it may not."""


@dataclass
class Tally:
    """What the cashiers know: the truth that every replica is held against."""

    confirmed: dict[str, int] = field(default_factory=dict)  # sale id -> total in minor units
    by_till: dict[str, int] = field(default_factory=dict)  # till -> sales it confirmed first
    days: set[str] = field(default_factory=set)  # the business days that the answers named
    requests: int = 0
    retries: int = 0
    repeats: int = 0
    walked: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)  # till -> requests without an answer yet

    @property
    def total(self) -> int:
        return sum(self.confirmed.values())


class Cashier:
    """Rings its baskets one after the other, evenly over the time given."""

    def __init__(
        self, till: Program, others: Sequence[Program], tally: Tally, shelf: Mapping[str, int], seed: int
    ) -> None:
        self.till, self._others, self._tally, self._shelf = till, list(others), tally, shelf
        self._random = random.Random(seed)
        self._http = httpx.AsyncClient(timeout=ANSWER_S, trust_env=False)
        self.rung = 0

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def ring_all(self, baskets: Sequence[Basket], clock: Callable[[], float], until_s: float) -> None:
        """Ring `baskets` so that the last one is due at `until_s` of `clock`; late ones follow at once."""
        start_s = clock()
        for place, basket in enumerate(baskets):
            due_s = start_s + (until_s - start_s) * place / len(baskets)
            await asyncio.sleep(max(0.0, due_s - clock()))
            await self.ring(basket)

    async def ring(self, basket: Basket) -> None:
        """Ring one basket until it is confirmed, and maybe post it again."""
        fate = self._random.random()
        elsewhere = fate < ELSEWHERE_SHARE
        request = self.request(basket, resolved=elsewhere)
        if elsewhere:
            await asyncio.gather(self._post(self.till, request, basket), self._post(self._other(), request, basket))
            self._tally.repeats += 1
        elif fate < ELSEWHERE_SHARE + AT_ONCE_SHARE:
            await asyncio.gather(*(self._post(self.till, request, basket) for _ in range(4)))
            self._tally.repeats += 3
        else:
            await self._post(self.till, request, basket, may_walk=True)
            if fate > 1 - AGAIN_SHARE:
                await self._post(self.till, request, basket)
                self._tally.repeats += 1
        self.rung += 1

    def request(self, basket: Basket, *, resolved: bool) -> dict[str, Any]:
        """The body for POST /api/sales. A price that is the catalogue's is left to the till, unless `resolved`."""
        lines = [
            {key: value for key, value in line.items() if key != "price"}
            if not resolved and self._shelf.get(line["sku"]) == line["price"]
            else line
            for line in basket.lines
        ]
        return {"id": str(uuid.uuid4()), "lines": lines, "by": "demo"}

    async def _post(self, till: Program, request: Mapping[str, Any], basket: Basket, *, may_walk: bool = False) -> None:
        """Post until a till answers 200 or 201."""
        tries = 0
        while True:
            answer = await self._ask(till, request)
            if answer is not None and answer.status_code in (200, 201):
                self._note(till, request, basket, answer.json())
                return
            if answer is not None and answer.status_code < 500:
                raise WrongAnswer(
                    f"{till.name} answered {answer.status_code} to basket {basket.name}: {answer.text[:300]}"
                )
            tries += 1
            self._tally.retries += 1
            if may_walk and tries == TRIES_BEFORE_WALKING and self._random.random() < WALKING_SHARE:
                # The till may have recorded it before it went. The request is the same in every byte; only a price
                # that was left to the catalogue is now looked up by another till, in the same catalogue.
                till = self._other()
                self._tally.walked += 1
            await asyncio.sleep(self._random.uniform(*RETRY_S))

    async def _ask(self, till: Program, request: Mapping[str, Any]) -> httpx.Response | None:
        """One request; None when no whole answer came."""
        flying = self._tally.in_flight
        flying[till.name] = flying.get(till.name, 0) + 1
        self._tally.requests += 1
        try:
            return await self._http.post(till.urls["page"] + "/api/sales", json=request)
        except httpx.TransportError:
            return None
        finally:
            flying[till.name] -= 1

    def _note(self, till: Program, request: Mapping[str, Any], basket: Basket, sale: Mapping[str, Any]) -> None:
        if sale["id"] != request["id"] or sale["total"] != basket.total:
            raise WrongAnswer(
                f"{till.name} recorded {sale['id']} over {sale['total']} for {request['id']} over {basket.total}"
            )
        if request["id"] not in self._tally.confirmed:
            self._tally.confirmed[request["id"]] = basket.total
            self._tally.by_till[till.name] = self._tally.by_till.get(till.name, 0) + 1
        self._tally.days.add(sale["day"])

    def _other(self) -> Program:
        return self._random.choice(self._others)
