"""Somebody who speaks the protocol by hand and keeps to none of its rules: what the attack tests are made of."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from posline.sync.accept import INTRODUCE, NONCE, proof_of
from posline.sync.frames import (
    AuthGranted,
    AuthRefused,
    AuthToken,
    Frame,
    Stateless,
    SyncStatus,
    Update,
    decode,
    encode,
)
from posline.sync.link import VERSION
from posline.sync.messages import Hello, Message, write
from posline.trust.certificate import dialling_context, fingerprint_of_peer
from posline.trust.handshake import NONCE_BYTES, Statement, read_statement, state
from posline.trust.keys import Key

WITHIN_S = 10.0


@dataclass
class Intruder:
    """One connection to a listener, up to where its proof was read."""

    connection: ClientConnection
    listener: Statement
    proof: str
    tls: str
    nonce: str
    heard: list[Frame] = field(default_factory=list)

    def token(self, key: Key, **changed: Any) -> str:
        """What a dialler with this key would present here, with some claims changed."""
        honest = Statement(False, key.id, self.listener.shop, self.listener.next, self.tls, to=self.listener.author)
        return state(key, replace(honest, **changed))

    async def auth(self, token: str, version: str = VERSION) -> str | None:
        """Present a token for the shop; the reason of the refusal, or None where it was granted."""
        await self.connection.send(encode(AuthToken("shop", token, version)))
        answer = await self.hear(lambda frame: isinstance(frame, AuthGranted | AuthRefused))
        return answer.reason if isinstance(answer, AuthRefused) else None

    async def attach(self, document: str, token: str) -> str:
        """Ask for a document as a stock client does; the scope that is granted, or the reason of the refusal."""
        await self.connection.send(encode(AuthToken(document, token, "4.3.0")))
        answer = await self.hear(lambda frame: isinstance(frame, AuthGranted | AuthRefused))
        assert isinstance(answer, AuthGranted | AuthRefused)
        return answer.scope if isinstance(answer, AuthGranted) else answer.reason

    async def update(self, document: str, update: bytes) -> bool:
        """Send an update; whether it was applied."""
        await self.connection.send(encode(Update(document, update)))
        answer = await self.hear(lambda frame: isinstance(frame, SyncStatus))
        assert isinstance(answer, SyncStatus)
        return answer.applied

    async def hello(self, store: str, **changed: Any) -> None:
        """Say who we are, truly or not."""
        hello = Hello(store, secrets.token_hex(8), VERSION, "till", 0, False, (), "0" * 64)
        await self.tell(replace(hello, **changed))

    async def tell(self, message: Message) -> None:
        """Send a message between replicas."""
        await self.connection.send(encode(Stateless("shop", write(message))))

    async def hear(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The next frame that is `wanted`."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = await self.connection.recv()
                assert isinstance(message, bytes)
                frame = decode(message)
                self.heard.append(frame)
                if wanted(frame):
                    return frame

    async def ended(self) -> str:
        """Wait until the other side ends the connection; why it says it did."""
        async with asyncio.timeout(WITHIN_S):
            try:
                while True:
                    message = await self.connection.recv()
                    if isinstance(message, bytes):
                        self.heard.append(decode(message))
            except ConnectionClosed:
                return self.connection.close_reason or ""


@asynccontextmanager
async def intruding(
    url: str, *, introduce: bool = False, context: ssl.SSLContext | None = None
) -> AsyncIterator[Intruder]:
    """A connection to a till's sync port, by TLS, with its proof read."""
    nonce = secrets.token_urlsafe(NONCE_BYTES)
    headers = {NONCE: nonce} | ({INTRODUCE: "1"} if introduce else {})
    async with connect(
        url, ssl=context or dialling_context(), additional_headers=headers, proxy=None, max_size=None,
        ping_interval=None, close_timeout=1,
    ) as connection:  # fmt: skip
        assert connection.response is not None
        proof = proof_of(connection.response.headers)
        said = read_statement(proof, listener=True)
        assert said is not None
        tls = fingerprint_of_peer(connection.transport.get_extra_info("ssl_object"))
        yield Intruder(connection, said, proof, tls, nonce)


def stranger(name: str = "stranger") -> Key:
    """A key of somebody whom the shop does not know, the same at each call."""
    import random

    return Key(random.Random(name).randbytes(32))
