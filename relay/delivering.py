"""Sends webhooks: one task a subscription over httpx, no more requests at once than there is room for.

Only the process that leads sends. A receiver's address is looked up and looked at before each request, and the request
goes to that very address: a name cannot lead to the operator's own network, also not a moment later. Redirects are not
followed, and of an answer only its beginning is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import httpx

from posline.errors import NotFound
from posline.storage.feed import FeedItem, FeedPage, read_feed, scan_feed
from posline.storage.store import Store
from posline.till.machine import installed_version
from relay.feeding import Arrivals, Feed, NotThisFeed
from relay.webhooks import (
    LEFT_BEHIND,
    Dead,
    Message,
    Outcome,
    Progress,
    Subscription,
    Webhooks,
    decide,
    settle,
    signatures,
)

__all__ = ["Deliverer", "HttpSender", "Leads", "Sender", "is_private", "leads_always"]

log = logging.getLogger("posline.relay.webhooks")

CONNECT_S, ANSWER_S = 10.0, 30.0
ANSWER_BYTES_MAX = 4096  # of an answer: enough to say what is wrong
AT_ONCE = 16  # requests
LOOK_S = 1.0  # until subscriptions that another process changed are seen
Leads = Callable[[], Awaitable[bool]]


async def leads_always() -> bool:
    """Of a head office that is one process."""
    return True


class Sender(Protocol):
    """What carries a message."""

    async def send(self, one: Subscription, message: Message) -> Outcome:
        """Send it once. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


# -- HTTP --------------------------------------------------------------------------------------------------------------


def is_private(address: str) -> bool:
    """Whether an IP address is anything but one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return not ip.is_global or ip.is_multicast or ip.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class HttpSender:
    """Over HTTP, for real."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        addresses: Callable[[str, int], Awaitable[Sequence[str]]] = _addresses,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`clock` tells seconds since 1970, `addresses` the IP addresses of a host."""
        self._clock, self._addresses = clock, addresses
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # no connection is used twice: one to the address of two names would have been checked for one of them
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0),
            trust_env=False, follow_redirects=False, transport=transport,
        )  # fmt: skip

    async def send(self, one: Subscription, message: Message) -> Outcome:
        """See Sender."""
        try:
            async with asyncio.timeout(CONNECT_S + ANSWER_S):
                return await self._send(one, message)
        except (TimeoutError, httpx.ReadTimeout):
            return Outcome(None, f"it did not answer within {ANSWER_S:.0f} seconds")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, OSError) as error:
            return Outcome(None, f"it cannot be reached ({error or type(error).__name__})", reached=False)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return Outcome(None, f"it did not answer as HTTP does ({error or type(error).__name__})")

    async def _send(self, one: Subscription, message: Message) -> Outcome:
        url = httpx.URL(one.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._addresses(url.host, port)
        if not one.private:
            addresses = [address for address in addresses if not is_private(address)]
        if not addresses:
            return Outcome(
                None, f"{url.host} is an address within a network of its own: the operator of the head office has to"
                " allow that, with --private", reached=False,
            )  # fmt: skip
        at_s = int(self._clock())
        headers = {
            "host": url.netloc.decode("ascii"), "content-type": "application/json",
            "user-agent": f"posline-relay/{installed_version() or 0}",
            "webhook-id": message.id, "webhook-timestamp": str(at_s),
            "webhook-signature": signatures(one.secrets(at_s * 1000), message.id, at_s, message.body),
            "posline-event-id": ",".join(message.ids),
        }  # fmt: skip
        request = self._client.build_request(
            "POST", url.copy_with(host=addresses[0]), content=message.body, headers=headers,
            extensions={"sni_hostname": url.host},
        )  # fmt: skip
        answer = await self._client.send(request, stream=True)
        try:
            if answer.is_success:
                return Outcome(answer.status_code)
            said = b""
            async for piece in answer.aiter_raw():
                said = (said + piece)[:ANSWER_BYTES_MAX]
                if len(said) == ANSWER_BYTES_MAX:
                    break
            return Outcome(answer.status_code, said.decode(errors="replace").strip(), after_s=_after(answer))
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """See Sender."""
        await self._client.aclose()


def _after(answer: httpx.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdecimal() and len(said) < 8 else None


# -- who is sent to ----------------------------------------------------------------------------------------------------


class Deliverer:
    """Delivers to every subscription that is active, from `start` to `stop`."""

    def __init__(
        self,
        store: Store,
        webhooks: Webhooks,
        sender: Sender,
        arrivals: Arrivals,
        *,
        leads: Leads = leads_always,
        chance: Callable[[], float] = random.random,
        measured: Callable[[str, float], None] = lambda outcome, seconds: None,
    ) -> None:
        """`measured` is told what became of each message (delivered, failed, dead, off) and how long that took."""
        self._store, self._webhooks, self._sender, self._arrivals = store, webhooks, sender, arrivals
        self._leads, self._chance, self._measured = leads, chance, measured
        self._current_s: dict[str, float] = {}  # when each had last heard all there was
        self._ending = False
        self._feed = Feed(store)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._looking = asyncio.create_task(self._look(), name="webhooks")

    async def stop(self) -> None:
        """Send nothing more; what was under way may be sent again at the next start."""
        tasks = [*self._tasks.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        await self._sender.close()

    async def drain(self) -> None:
        """Begin nothing more; returns once what is under way is answered and written down."""
        self._ending = True
        self._arrivals.tell()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def lag_s(self, id: str) -> float:
        """How long ago a webhook had heard all there was; 0 where this process does not know."""
        since_s = self._current_s.get(id)
        return 0.0 if since_s is None else max(0.0, time.monotonic() - since_s - LOOK_S)

    async def _look(self) -> None:
        """See which there are."""
        while not self._ending:
            arrival = self._arrivals.next
            try:
                leads = await self._leads()
                found = await asyncio.to_thread(self._webhooks.listed) if leads else []
            except Exception as error:
                log.warning("webhooks cannot be read: %s", error)
                found = []
            for one in found:
                task = self._tasks.get(one.id)
                if one.active and (task is None or task.done()):
                    self._tasks[one.id] = asyncio.create_task(self._serve(one.id), name=f"webhook {one.id}")
            await self._arrivals.wait(arrival, LOOK_S)

    async def _serve(self, id: str) -> None:
        """One of them, until it is switched off, removed, or this process leads no more."""
        self._current_s[id] = time.monotonic()
        while not self._ending:
            arrival = self._arrivals.next
            try:
                if not await self._leads():
                    self._current_s.pop(id, None)
                    return
                wait_s = await self.step(id)
            except NotFound:  # it was removed
                return
            except Exception as error:  # the disk, or the other database: `_look` begins it again
                log.warning("webhook %s waits: %s", id, error)
                return
            if wait_s is None:
                return
            if wait_s:
                await self._arrivals.wait(arrival, min(wait_s, LOOK_S))

    async def step(self, id: str) -> float | None:
        """Send one message, if there is one; returns how long to wait then, None for ever."""
        found = await asyncio.to_thread(self._prepare, id)
        if found is None:
            return None
        one, before, message, more = found
        if message is None:
            if more:
                return 0.0
            if not before.tries:
                self._current_s[id] = time.monotonic()
            return max(0.0, (before.next_ms - self._webhooks.clock()) / 1000) or LOOK_S
        async with self._room:
            if self._ending:
                return None
            began_s = time.monotonic()
            outcome = await self._sender.send(one, message)
            took_s = time.monotonic() - began_s
        await asyncio.to_thread(self._settle, one, before, message, outcome, took_s)
        return 0.0

    def _prepare(self, id: str) -> tuple[Subscription, Progress, Message | None, bool] | None:
        """What to send next; without a message, whether there is more to look at right now: what was looked at was
        nothing for it."""
        one, progress = self._webhooks.get(id), self._webhooks.progress(id)
        if not one.active:
            return None
        try:
            self._feed.check(progress.at, progress.life)
        except NotThisFeed:
            why = f"{LEFT_BEHIND}: the database was put back. Say from where on it is to hear, with 'webhook replay'"
            self._webhooks.switch_off(id, why)
            log.error("webhook %s is switched off: %s", id, why)
            return None
        message, kept = decide(
            one, progress, self._queued(id), self._reader(one), self._feed.lives_of, self._webhooks.clock()
        )
        if kept != progress and not self._webhooks.keep(id, progress, kept):
            return one, progress, None, False
        return one, kept, message, kept.at != progress.at

    def _queued(self, id: str) -> tuple[Dead, FeedItem] | None:
        """What was given up and is to be sent once more: the first of it."""
        for dead in self._webhooks.dead(id, queued=True):
            items = read_feed(self._store, shops=None, after=dead.n - 1, limit=1, up_to=dead.n)
            if items and self._feed.life_of(dead.n) == dead.life:
                return dead, items[0]
            self._webhooks.discard(id, [dead.n])  # of a feed that is no more
        return None

    def _reader(self, one: Subscription) -> Callable[[int, int], FeedPage]:
        def read(after: int, limit: int) -> FeedPage:
            return scan_feed(self._store, shops=one.shops or None, kinds=one.kinds or None, after=after, limit=limit)

        return read

    def _settle(
        self, one: Subscription, before: Progress, message: Message, outcome: Outcome, took_s: float = 0.0
    ) -> None:
        after = settle(one, before, message, outcome, self._webhooks.clock(), self._chance())
        if not self._webhooks.settled(before, after, message):
            return
        self._measured(
            "delivered" if after.heard else "off" if not after.one.active else "dead" if after.dead else "failed",
            took_s,
        )
        if not after.one.active:
            log.error("webhook %s is switched off: %s", one.id, after.one.off_why)
        elif after.dead is not None:
            log.error("webhook %s does not take event %d: %s", one.id, after.dead.n, after.dead.why)
        elif after.progress.tries == 1:  # not its address: some have a secret in it
            log.warning("webhook %s: %s", one.id, after.progress.failed)
