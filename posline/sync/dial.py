"""Dialling: the shell of a link that this device began, redialled with jittered back-off while it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import random as randomness
import secrets
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from posline.sync.accept import INTRODUCE, NONCE, proof_of
from posline.sync.deflating import DiallerDeflate
from posline.sync.frames import MAX_MESSAGE_BYTES
from posline.sync.link import SILENT
from posline.sync.liveness import FAR_RETRY_S, INTERNET, LAN, NEAR_RETRY_S, PENALTY_S, backoff_s
from posline.sync.places import is_loopback
from posline.sync.shell import REFUSED, run_link
from posline.trust.certificate import dialling_context, fingerprint_of_peer
from posline.trust.gate import Doorkeeper, Stranger
from posline.trust.handshake import NONCE_BYTES

if TYPE_CHECKING:
    from posline.sync.engine import Engine

__all__ = ["Dialler", "is_near"]

NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)
AWAY = (502, 503, 504)  # what a head office that drains answers, and a proxy behind which there is none
log = logging.getLogger("posline.sync")

OPEN_S = 5.0  # to connect and upgrade
CLOSE_S = 1.0
STEADY_S = 2.0  # a link that lasted so long was a good one, and is dialled again at once
TELL_S = 600.0  # until the same trouble is logged again
TOLD_KEPT = 16  # addresses
LINKED_S = 1.0  # how often to look whether a device that is linked the other way round still is


def is_near(url: str) -> bool:
    """Whether the address is one of a local network, where silence and waiting are shorter."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".home.arpa"))


def in_words(error: Exception, url: str) -> str:
    """What went wrong with a connection, as a shop's owner can use it."""
    place = urlsplit(url).netloc
    if isinstance(error, TimeoutError):
        return f"no answer from {place}: is that device on, and in this network?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {place}: is Posline running there?"
    if isinstance(error, socket.gaierror):
        return f"no address is known for {place}: is there a network, and is the name right?"
    if isinstance(error, InvalidStatus) and error.response.status_code in AWAY:
        return f"{place} takes no links just now: it starts, or goes down, or what is behind it does"
    if isinstance(error, ssl.SSLError | InvalidHandshake | EOFError):
        return f"what answers at {place} does not speak as a till does: is another program at that address?"
    if isinstance(error, OSError) and error.errno in NO_WAY:
        return f"there is no way to {place} from here: is the cable in, or the Wi-Fi on?"
    return f"the line to {place} broke ({str(error) or type(error).__name__})"


async def _turned_away(connection: ClientConnection) -> str:
    """Why a listener closes at once, before it says who it is: it has no room, or goes down. "" where it does not."""
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(CLOSE_S):
            await connection.recv()
    return connection.close_reason or ""


class Dialler:
    """Keeps one link to one device. `store` is the device that answered, "" until one did; `url` the address that was
    tried last; `why` what was wrong with it, "" while all is well."""

    def __init__(
        self,
        engine: Engine,
        shop: str,
        urls: Callable[[], Sequence[str]],
        keeper: Doorkeeper,
        *,
        expects: str = "",
        on_try: Callable[[str, bool], None] = lambda url, worked: None,
        patience_s: float = 0.0,
    ) -> None:
        """`urls` gives the addresses to try, the best first; `expects` the author that must answer, if that is known;
        `on_try` is told of each address whether it worked. For `patience_s` the other side may dial first."""
        self.shop, self.store, self.url, self.why = shop, expects, "", ""
        self._urls, self._expects, self._on_try, self._patience_s = urls, expects, on_try, patience_s
        self._engine, self._keeper = engine, keeper
        self._told: dict[str, tuple[str, float]] = {}  # what the log says of each address, and since when
        self._refused = False  # at the last try one side would not have the other
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._over = False

    @property
    def known(self) -> bool:
        """Whether it dials a certain device, and not just an address."""
        return bool(self._expects)

    def start(self) -> None:
        """Begin to dial."""
        self._task = asyncio.create_task(self._run(), name="dial")

    def stop(self) -> None:
        """Dial no more."""
        self._over = True  # a library may swallow the cancelling, in a race with what it waited for
        if self._task is not None:
            self._task.cancel()

    async def stopped(self) -> None:
        """Return once nothing runs any more."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """There is a new address, or another reason to try at once."""
        self._woken.set()

    async def _run(self) -> None:
        failures = 0
        tried: set[str] = set()
        patient = False
        while not self._over:
            if self.store and self._engine.hub.linked(self.shop, self.store):
                self.why, patient = "", False
                await self._wait(LINKED_S)
                continue
            if not patient:
                patient = True
                await asyncio.sleep(self._patience_s)
                continue
            url = next((url for url in self._urls() if url not in tried), None)
            if url is None and not tried:
                await self._wait(LINKED_S)  # nobody knows where it is
                continue
            if url is None:
                tried.clear()  # all were tried: from the first one, after a while
                most = PENALTY_S if self._refused else NEAR_RETRY_S if is_near(self.url) else FAR_RETRY_S
                if await self._wait(backoff_s(failures, randomness.random(), most=most)):
                    failures = 0
                continue
            tried.add(url)
            if await self._try(url):
                failures = 0
                tried.clear()
                await self._wait(backoff_s(0, randomness.random()))
            else:
                failures += 1

    async def _wait(self, seconds: float) -> bool:
        """Wait, or until woken; whether it was woken."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        return self._woken.is_set()

    async def _try(self, url: str) -> bool:
        """Dial an address; whether the link was a good one, so that it is worth dialling again at once. Where one side
        would not have the other, once more with who admitted whom: it may just not have heard of it yet."""
        self.url, began_s = url, self._engine.now()
        greeted, again = await self._connect(url, introduce=False)
        if again:
            greeted, _ = await self._connect(url, introduce=True)
        self._on_try(url, greeted and SILENT not in self.why)  # a network may be dead where another one is not
        self._tell(url)
        return greeted and not self._refused and self._engine.now() - began_s >= STEADY_S

    def _tell(self, url: str) -> None:
        """Log why there is no link; the same again only after a while, or a till that is switched off fills the log."""
        now = self._engine.now()
        said, at_s = self._told.get(url, ("", 0.0))
        if self.why != said or now - at_s > TELL_S:
            self._told[url] = self.why, now
            level = logging.WARNING if self._refused else logging.INFO
            log.log(level, "no link to %s (%s): trying again", url, self.why)
        while len(self._told) > TOLD_KEPT:
            self._told.pop(next(iter(self._told)))

    async def _connect(self, url: str, *, introduce: bool) -> tuple[bool, bool]:
        """One connection to its end: (whether the peer said who it is, whether an introduction may help)."""
        self._refused = False
        try:
            greeted, self.why = await self._link(url, introduce)
            return greeted, self._refused and not greeted
        except Stranger as error:
            self._refused, self.why = True, str(error)
            return False, error.introduce
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ConnectionClosed, EOFError) as error:
            self.why = in_words(error, url)
        except Exception as error:
            self.why = str(error) or type(error).__name__
            if not self._engine.suspect(error):
                log.exception("a link to %s failed", url)
        return False, False

    async def _link(self, url: str, introduce: bool) -> tuple[bool, str]:
        """One connection, to its end: (whether the peer said who it is, why it ended)."""
        near = is_near(url)
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        connection: ClientConnection
        async with connect(
            url,
            extensions=[DiallerDeflate()],
            compression=None,
            additional_headers={NONCE: nonce} | ({INTRODUCE: "1"} if introduce else {}),
            ssl=dialling_context() if url.startswith("wss:") else None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,  # liveness is the link's own
            proxy=None,
        ) as connection:
            if self._over:
                raise asyncio.CancelledError
            tls = fingerprint_of_peer(connection.transport.get_extra_info("ssl_object"))
            proof = proof_of(connection.response.headers) if connection.response is not None else ""
            try:
                gate = self._keeper.approach(proof, nonce, introduce=introduce, tls=tls, expects=self._expects)
            except Stranger:
                if not proof and (why := await _turned_away(connection)):
                    return False, why
                raise
            link = self._engine.hub.connect(
                self.shop, gate, dialling=True, now=self._engine.now(), pace=LAN if near else INTERNET,
                here=is_loopback(urlsplit(url).netloc),
            )  # fmt: skip

            async def receive() -> bytes | str | None:
                try:
                    message = await connection.recv()
                except ConnectionClosed:
                    link.ended = connection.close_reason or ""
                    return None
                if link.greeted:
                    self.store, self.why = link.peer.store, ""
                return message

            async def send(message: bytes) -> None:
                try:
                    await connection.send(message)
                except ConnectionClosed as error:
                    raise ConnectionResetError("the other side is gone") from error

            async def close(code: int, reason: str) -> None:
                await connection.close(code, reason)

            reason = await run_link(self._engine, link, receive=receive, send=send, close=close)
            self.store = link.peer.store or self.store
            self._refused = link.refused or connection.close_code == REFUSED
            return link.greeted, connection.close_reason or reason
