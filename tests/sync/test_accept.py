"""Accepting: what a hostile or broken peer can do to the port, and what it cannot."""

from __future__ import annotations

import asyncio
import socket
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from posline.sync import accept, link
from posline.sync.accept import UNKNOWN_SHOP
from posline.sync.frames import (
    MAX_MESSAGE_BYTES,
    AuthGranted,
    AuthRefused,
    AuthToken,
    Ping,
    Pong,
    SyncStep1,
    SyncStep2,
    encode,
)
from posline.sync.shell import REFUSED
from tests.kit import commit, founded, sale
from tests.sync.wire import READ, Served, dialled, hear, say, serving, until

MIB = 1024 * 1024


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(founded()) as served:
        yield served


class Raw:
    """A websocket connection of bytes, with deflate and no context takeover."""

    def __init__(self, served: Served) -> None:
        self._at = "127.0.0.1", served.listener.port

    async def __aenter__(self) -> Raw:
        self.reader, self.writer = await asyncio.open_connection(*self._at)
        self.writer.write(
            b"GET /sync HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
        self.answer = await self.reader.readuntil(b"\r\n\r\n")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send(self, payload: bytes, *, first: int = 0x82, length: int | None = None) -> None:
        """A frame, masked with zeros; `length` lies about its size."""
        size = len(payload) if length is None else length
        head = bytes((first, 0x80 | 127)) + struct.pack("!Q", size) if size > 65535 else None
        head = head or bytes((first, 0x80 | (126 if size > 125 else size)))
        if 125 < size <= 65535:
            head += struct.pack("!H", size)
        self.writer.write(head + b"\0\0\0\0" + payload)

    async def closed(self) -> int | None:
        """Wait for the end; the code of the close frame, None where there was none."""
        code = None
        async with asyncio.timeout(10):
            while True:
                try:
                    head = await self.reader.readexactly(2)
                    body = await self.reader.readexactly(head[1])
                except (asyncio.IncompleteReadError, ConnectionError):
                    return code
                if head[0] & 15 == 8:
                    code = struct.unpack("!H", body[:2])[0]


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def test_deflate_starts_afresh_at_each_message(served: Served) -> None:
    async with Raw(served) as raw:
        assert b"server_no_context_takeover; client_no_context_takeover" in raw.answer


async def test_a_bomb_is_dropped_before_it_is_unpacked(served: Served) -> None:
    bomb = deflated(bytes(200 * MIB))
    tracemalloc.start()
    try:
        async with Raw(served) as raw:
            raw.send(bomb, first=0xC2)
            assert await raw.closed() == 1009
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


async def test_a_frame_of_100_mb_is_dropped_at_its_head(served: Served) -> None:
    async with Raw(served) as raw:
        raw.send(b"", length=100 * MIB)
        assert await raw.closed() == 1009


async def test_a_message_in_pieces_is_measured_as_a_whole(served: Served) -> None:
    async with Raw(served) as raw:
        raw.send(bytes(700 * 1024), first=0x02)
        raw.send(bytes(700 * 1024), first=0x80)
        assert await raw.closed() == 1009


async def test_a_message_of_endless_empty_pieces_ends_the_connection(served: Served) -> None:
    async with Raw(served) as raw:
        raw.send(b"x", first=0x02)
        for _ in range(5000):
            raw.send(b"", first=0x00)
        assert await raw.closed() is None


async def test_many_small_bombs_wait_in_the_socket_and_not_in_memory(served: Served) -> None:
    """1,000 messages that unpack to 1 MiB each, in one write: no more than a bite of them is ever unpacked at once."""
    bomb = deflated(bytes(MAX_MESSAGE_BYTES - 1))
    async with Raw(served) as raw:
        tracemalloc.start()
        try:
            for _ in range(1000):
                raw.send(bomb, first=0xC2)
            await raw.closed()
            assert tracemalloc.get_traced_memory()[1] < 24 * MIB
        finally:
            tracemalloc.stop()


async def test_websocket_pings_that_nobody_reads_the_answers_of_end_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "WRITE_BYTES_MAX", 64 * 1024)
    async with Raw(served) as raw:
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]
        connection = next(iter(served.listener._server.server_state.connections))  # type: ignore[union-attr]
        with pytest.raises((ConnectionError, asyncio.CancelledError, TimeoutError)):
            async with asyncio.timeout(20):
                while not connection.transport.is_closing():  # type: ignore[union-attr]
                    for _ in range(1000):
                        raw.send(b"p" * 100, first=0x89)
                    await raw.writer.drain()
                raise ConnectionResetError


async def test_who_says_nothing_is_shown_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HANDSHAKE_S", 0.3)
    async with dialled(served.url) as connection:
        with pytest.raises(ConnectionClosed) as ended:
            async with asyncio.timeout(5):
                while True:
                    await connection.recv()
        assert ended.value.rcvd is not None and "in time" in ended.value.rcvd.reason


async def test_garbage_is_refused_and_more_of_it_closes_with_a_reason(served: Served) -> None:
    async with dialled(served.url) as connection:
        await say(connection, AuthToken("shop", READ))
        await hear(connection, AuthGranted)
        for garbage in (b"\xff\xff", b"", b"\x04shop\x63"):
            await connection.send(garbage)
        await say(connection, Ping())
        await hear(connection, Pong)  # three a minute are borne
        await connection.send("a text message")
        with pytest.raises(ConnectionClosed) as ended:
            while True:
                await connection.recv()
        assert ended.value.rcvd is not None and ended.value.rcvd.code == REFUSED


async def test_unknown_shops_are_told_so(served: Served) -> None:
    async with dialled(f"{served.url}/nobodys") as connection:
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
        assert ended.value.rcvd is not None and ended.value.rcvd.code == UNKNOWN_SHOP


async def test_a_wrong_token_is_refused_in_words(served: Served) -> None:
    async with dialled(served.url) as connection:
        await say(connection, AuthToken("shop", "guessed", "posline/1"))
        refused = await hear(connection, AuthRefused)
        assert isinstance(refused, AuthRefused) and "token" in refused.reason


async def test_a_reader_that_takes_nothing_is_dropped_and_costs_little(tmp_path: Path) -> None:
    """A client asks for 20 MB over and over and reads none of it: what waits for it is bounded, then it is dropped."""
    replica = founded()
    for _ in range(300):
        replica.write("sale", sale() | {"note": "x" * 200})
    commit(replica)
    document = next(name for name in replica.documents() if name.startswith("journal/"))
    async with serving(replica) as served:
        raw = socket.create_connection(("127.0.0.1", served.listener.port))
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_sendall(
            raw,
            b"GET /sync HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )

        def frame(payload: bytes) -> bytes:
            return bytes((0x82, 0x80 | len(payload))) + b"\0\0\0\0" + payload

        await loop.sock_sendall(raw, frame(encode(AuthToken(document, READ))))
        ask = frame(encode(SyncStep1(document, b"\0")))
        await until(lambda: served.engine.hub.links(replica.shop))
        held = served.engine.hub.links(replica.shop)[0]
        most = 0
        for _ in range(3000):
            try:
                async with asyncio.timeout(1):
                    await loop.sock_sendall(raw, ask)
            except (ConnectionError, TimeoutError):
                break
            most = max(most, held._out_bytes)
        assert most < link.OUTBOX_BYTES_MAX + MIB
        raw.close()
        await until(lambda: not served.engine.hub.links(replica.shop))


async def test_a_peer_that_hangs_does_not_keep_its_link_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side neither reads nor writes: the link is over after the silence, whatever the socket holds."""
    monkeypatch.setattr(accept, "LINGER_S", 0.2)
    async with Raw(served) as raw:
        raw.send(encode(AuthToken("shop", "the shop's own token", "posline/1")))
        await until(lambda: any(each.mood is link.Mood.OPEN for each in served.engine.hub.links(served.replica.shop)))
        await until(lambda: not served.engine.hub.links(served.replica.shop), 15)


async def test_readers_get_what_is_there_and_a_step_2_behind_it(served: Served) -> None:
    async with dialled(served.url) as connection:
        await say(connection, AuthToken("shop", READ), SyncStep1("shop", b"\0"))
        assert (await hear(connection, AuthGranted)) == AuthGranted("shop", "readonly")
        await hear(connection, SyncStep2)


async def test_a_link_that_comes_while_everything_stops_is_sent_away(served: Served) -> None:
    await served.engine.stop()
    async with dialled(served.url) as late:
        with pytest.raises(ConnectionClosed, match="stopping"):
            await asyncio.wait_for(late.recv(), 10)


async def test_who_does_not_say_who_they_are_leaves_room_for_others(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "STRANGERS_MAX", 3)
    async with Raw(served), Raw(served), Raw(served):
        await until(lambda: len(served.engine.hub.links(served.replica.shop)) == 3)
        async with Raw(served) as one_more:
            assert await one_more.closed() == accept.TOO_MANY
    await until(lambda: not served.engine.hub.links(served.replica.shop))
    async with Raw(served) as one_more:
        await until(lambda: len(served.engine.hub.links(served.replica.shop)) == 1)
        assert one_more.answer.startswith(b"HTTP/1.1 101")


async def test_one_network_counts_as_one_address_however_many_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "STRANGERS_MAX", 3)
    hosts = iter([*(f"2a02:1:2:3::{n:x}" for n in range(1, 4)), "2a02:1:2:4::1", "2a02:1:2:3::4"])
    async with serving(founded(), address=lambda socket: next(hosts)) as served, AsyncExitStack() as stack:
        links = served.engine.hub.links
        for count in range(1, 5):  # the fourth is of another network
            await stack.enter_async_context(Raw(served))
            await until(lambda count=count: len(links(served.replica.shop)) == count)  # type: ignore[misc]
        assert await (await stack.enter_async_context(Raw(served))).closed() == accept.TOO_MANY


async def test_one_shop_does_not_take_all_connections(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "SHOP_LINKS_MAX", 1)
    async with dialled(served.url) as known:
        await say(known, AuthToken("shop", READ))
        await hear(known, AuthGranted)
        async with Raw(served) as one_more:
            assert await one_more.closed() == accept.TOO_MANY
