"""One request to a fiscal service, and what certainly did not, or may have, come of it. Knows HTTP, and no sales.

The token goes into one header and into no message: errors name the address alone.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import httpx

from posline.core.fiscal import FiscalSetting
from posline.core.fiscal_answers import Answer, Verdict, probe_of, read_answer, read_inquiry
from posline.core.fiscal_invoice import address_of

__all__ = ["HttpService", "Service"]

CONNECT_S = 5.0
ANSWER_S = 30.0  # a service that takes longer may still file it: the answer is then unknown
PROBE_S = 5.0
AT_REST = frozenset({502, 503, 504})  # what a gateway says whose service is not at work
ANSWER_BYTES_MAX = 256 * 1024


class Service(Protocol):
    """A fiscal service, as the outbox asks it."""

    async def reachable(self) -> str:
        """Why nothing need be sent now, "" where the service answers. Sends no invoice."""

    async def send(self, body: bytes) -> Answer:
        """Send one invoice, once. Never raises."""

    async def ask(self, usin: str) -> Answer:
        """What the service has under a reference; UNKNOWN where it cannot be asked. Never raises."""

    async def close(self) -> None:
        """Let go of connections."""


class HttpService:
    """A service over HTTP, by its setting and token."""

    def __init__(self, setting: FiscalSetting, token: str, *, answer_s: float = ANSWER_S) -> None:
        self._setting, self._address = setting, address_of(setting)
        headers = {"content-type": "application/json", "accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._client = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(answer_s, connect=CONNECT_S), trust_env=False,
            # a kept connection may be dead, and what was sent over it in doubt: each invoice gets its own
            limits=httpx.Limits(max_keepalive_connections=0),
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def reachable(self) -> str:
        """As Service says: the service's own "I respond" where it has one, else whether anything listens there."""
        probe = probe_of(self._setting, self._address)
        try:
            if probe:
                answer = await self._client.get(probe, timeout=PROBE_S)
                return "" if answer.status_code == 200 else f"{probe} answers {answer.status_code}"
            answer = await self._client.head(self._address, timeout=PROBE_S)
            if answer.status_code in AT_REST:  # any other answer is one: few services know HEAD
                return f"{self._address} answers {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return f"{self._address} cannot be reached ({type(error).__name__})"
        return ""

    async def send(self, body: bytes) -> Answer:
        """As Service says."""
        try:
            async with self._client.stream("POST", self._address, content=body) as answer:
                found = bytearray()
                async for piece in answer.aiter_bytes():
                    found += piece
                    if len(found) > ANSWER_BYTES_MAX:
                        return Answer(Verdict.UNKNOWN, code="too-long", errors=("its answer has no end",))
                return read_answer(self._setting, answer.status_code, bytes(found))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            return Answer(Verdict.NOT_TAKEN, code="unreached", errors=(f"no connection ({type(error).__name__})",))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(Verdict.UNKNOWN, code="no-answer", errors=(f"no answer ({type(error).__name__})",))

    async def ask(self, usin: str) -> Answer:
        """As Service says."""
        if not self._setting.inquiry:
            return Answer(Verdict.UNKNOWN)
        try:
            async with httpx.AsyncClient(timeout=PROBE_S, trust_env=False) as plain:  # the token is the service's alone
                answer = await plain.get(self._setting.inquiry, params={"usin": usin})
            return read_inquiry(answer.status_code, answer.content[:ANSWER_BYTES_MAX])
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(Verdict.UNKNOWN, code="no-answer", errors=(f"no answer ({type(error).__name__})",))
