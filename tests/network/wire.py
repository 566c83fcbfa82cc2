"""A line that can be bad: a TCP proxy in the path between two hosts, as a program of its own, told by lines on stdin.

    road out|back NAMESPACE IP PORT NAMESPACE IP PORT    whoever dials the first is led to the second; - is this
                         namespace, port 0 a free one
    set [out|back] [delay_ms=N] [rate_bits=N] [loss=P] [stall_ms=N]    of one way, or of both
    cut | dead | heal    break and refuse all | hold everything, open connections stay | as before
    cut_every SECONDS [FOR]    cut by itself, each time for FOR seconds; 0 stops that
    bite BYTES           end each connection behind so many bytes more, in the middle of what is under way; 0 stops that
    stutter BYTES        say what is under way twice, behind so many bytes more of each connection; 0 stops that
    portal html|silence|off    new connections are answered here, and lead nowhere
    count                what was carried

Each line is answered by one line of JSON. A proxy cannot lose packets: `loss` is the chance that a chunk, about a
packet on a slow line, holds its connection up for the `stall_ms` in which TCP would have sent it again. Rates are of
what the connections carry, TCP's own bytes aside. The buffers on both sides are small, so that a slow line hides no
megabytes.
Listening and dialling in different namespaces, it can stand in for a far host under that host's own address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.network.hosts import enter

__all__ = ["Line", "Road", "State", "Way"]

CHUNK_BYTES_MIN = 1448  # a packet's worth
CHUNK_BYTES_MAX = 65536
CHUNK_S = 0.01  # how much of a throttled line's time a chunk takes, so that connections take turns
BUFFER_BYTES_MIN = 16384  # of a socket of a throttled line
FLIGHT_BYTES_FREE = 4 << 20  # under way on a line without a rate
BURST_S = 0.02  # time that was slept too long and may be made up for, so that the rate is held on a busy machine
BACKLOG = 128
NOWHERE = "-"  # the namespace in which the program was started
PORTAL_PAGE = b"<!doctype html><title>Welcome</title><form action=/login>Room number: <input name=room></form>"
PORTAL_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(PORTAL_PAGE)
)


class Bitten(Exception):
    """A connection ends in the middle of what was said."""


class State(StrEnum):
    """What the line does."""

    UP = "up"
    CUT = "cut"
    DEAD = "dead"


@dataclass
class Way:
    """One direction. `rate_bits` 0 is as fast as it goes; all connections share the rate."""

    delay_ms: float = 0.0
    rate_bits: float = 0.0
    loss: float = 0.0
    stall_ms: float = 200.0
    carried: int = 0  # bytes that came out at the other end
    stalls: int = 0
    _free_at_s: float = 0.0

    @property
    def chunk_bytes(self) -> int:
        """How much to take at once."""
        if not self.rate_bits:
            return CHUNK_BYTES_MAX
        return min(CHUNK_BYTES_MAX, max(CHUNK_BYTES_MIN, int(self.rate_bits / 8 * CHUNK_S)))

    @property
    def flight_bytes(self) -> int:
        """How much of one connection may be under way: what fits on the line, and a buffer's worth."""
        if not self.rate_bits:
            return FLIGHT_BYTES_FREE
        return int(self.rate_bits / 8 * self.delay_ms / 1000) + BUFFER_BYTES_MIN

    @property
    def buffer_bytes(self) -> int:
        """Of a socket that feeds this way or drains it; 0 leaves it to the kernel."""
        if not self.rate_bits:
            return 0
        return max(BUFFER_BYTES_MIN, int(self.rate_bits / 8 * 2 * self.delay_ms / 1000))

    def slot(self, size_bytes: int, now_s: float) -> float:
        """When the last of these bytes is on the line, if they come now."""
        if not self.rate_bits:
            return now_s
        self._free_at_s = max(self._free_at_s, now_s - BURST_S) + size_bytes * 8 / self.rate_bits
        return self._free_at_s

    def stall_s(self) -> float:
        """How long a loss holds up the chunk at hand; mostly 0."""
        if not self.loss or random.random() >= self.loss:
            return 0.0
        self.stalls += 1
        return self.stall_ms / 1000


@dataclass
class Road:
    """Whoever connects to `here` is led to `there`; each is (namespace, address, port)."""

    here: tuple[str, str, int]
    there: tuple[str, str, int]
    out: bool  # whether bytes from whoever connects go the line's way out
    listener: socket.socket | None = None
    task: asyncio.Task[None] | None = None


@dataclass
class Said:
    """What one connection has carried, both ways."""

    bytes: int = 0
    stuttered: bool = False


@dataclass
class Line:
    """The line: its two ways, its roads, and what is open."""

    out: Way = field(default_factory=Way)
    back: Way = field(default_factory=Way)
    state: State = State.UP
    connections: int = 0
    refused: int = 0  # dials that found nobody at the far end
    cuts: int = 0
    bite_bytes: int = 0
    stutter_bytes: int = 0
    portal: str = ""
    bites: int = 0
    stutters: int = 0
    answered: int = 0  # by the portal
    roads: list[Road] = field(default_factory=list)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _calls: set[asyncio.Task[None]] = field(default_factory=set)
    _cutter: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._flows.set()

    def open(self, road: Road) -> int:
        """Add a road and listen at its beginning; returns the port."""
        self.roads.append(road)
        if self.state is not State.CUT:
            self._listen(road)
            assert road.listener is not None
            namespace, ip, _ = road.here
            road.here = (namespace, ip, road.listener.getsockname()[1])
        return road.here[2]

    async def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self.state = State.CUT
        self.cuts += 1
        for road in self.roads:
            if road.task is not None:
                road.task.cancel()
            if road.listener is not None:
                road.listener.close()
            road.listener = road.task = None
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        self._flows.set()

    def die(self) -> None:
        """Hold everything; nobody is told."""
        self.heal()
        self.state = State.DEAD
        self._flows.clear()

    def heal(self) -> None:
        """Let everything through, also what was held."""
        self.state = State.UP
        for road in self.roads:
            if road.listener is None:
                self._listen(road)
        self._flows.set()

    def cut_every(self, seconds: float, pause_s: float) -> None:
        """Cut by itself, again and again."""
        if self._cutter is not None:
            self._cutter.cancel()
            self._cutter = None
        if seconds:
            self._cutter = asyncio.create_task(self._cut_every(seconds, pause_s))

    def count(self) -> dict[str, Any]:
        """What was carried, and what is open."""
        return {
            "state": self.state,
            "out": self.out.carried,
            "back": self.back.carried,
            "stalls": self.out.stalls + self.back.stalls,
            "connections": self.connections,
            "open": len(self._calls),
            "refused": self.refused,
            "cuts": self.cuts,
            "bites": self.bites,
            "stutters": self.stutters,
            "answered": self.answered,
        }

    async def _cut_every(self, seconds: float, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += seconds
            await asyncio.sleep(due_s - loop.time())
            await self.cut()
            await asyncio.sleep(pause_s)
            self.heal()

    def _listen(self, road: Road) -> None:
        namespace, ip, port = road.here
        listener = fresh_socket(namespace, self._buffer_bytes())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, port))
        listener.listen(BACKLOG)
        road.listener = listener
        road.task = asyncio.create_task(self._accept(road, listener))

    def _buffer_bytes(self) -> int:
        """A socket belongs to both ways: the larger need counts."""
        return max(self.out.buffer_bytes, self.back.buffer_bytes)

    async def _accept(self, road: Road, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(listener)
            call = asyncio.create_task(self._call(road, near))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, road: Road, near: socket.socket) -> None:
        """One connection, from beginning to end. What ends badly at one side ends badly at the other."""
        namespace, ip, port = road.there
        if self.portal:
            await self._answer(near)
            return
        far = fresh_socket(namespace, self._buffer_bytes())
        there, back = (self.out, self.back) if road.out else (self.back, self.out)
        try:
            near.setblocking(False)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._flows.wait()
            if namespace != NOWHERE:
                with contextlib.suppress(OSError):  # where this end stands in for the dialler, it has its address
                    far.bind((near.getpeername()[0], 0))
            try:
                await asyncio.get_running_loop().sock_connect(far, (ip, port))
            except OSError:
                self.refused += 1
                raise
            self.connections += 1
            said = Said()
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(near, far, there, said))
                ways.create_task(self._carry(far, near, back, said))
        except (OSError, ExceptionGroup, asyncio.CancelledError) as error:
            bitten = isinstance(error, ExceptionGroup) and error.subgroup(Bitten)
            for each in () if bitten else (near, far):  # a reset, and not an end: nothing says that all was sent
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            near.close()
            far.close()

    async def _answer(self, near: socket.socket) -> None:
        """Whoever dials is answered by a page that nobody asked for, or by nothing."""
        loop, kind = asyncio.get_running_loop(), self.portal
        self.answered += 1
        with near, contextlib.suppress(OSError):
            near.setblocking(False)
            while await loop.sock_recv(near, CHUNK_BYTES_MAX):
                if kind == "html":
                    await loop.sock_sendall(near, PORTAL_ANSWER + PORTAL_PAGE)
                    return

    async def _say(self, sink: socket.socket, chunk: bytes, said: Said) -> None:
        """Let a chunk out, or what is left of it. Raises Bitten."""
        loop, before = asyncio.get_running_loop(), said.bytes
        said.bytes += len(chunk)
        if self.bite_bytes and said.bytes > self.bite_bytes:
            await loop.sock_sendall(sink, chunk[: max(0, self.bite_bytes - before)])
            self.bites += 1
            raise Bitten
        if self.stutter_bytes and said.bytes > self.stutter_bytes and not said.stuttered:
            said.stuttered = True
            self.stutters += 1
            chunk += chunk
        await loop.sock_sendall(sink, chunk)

    async def _carry(self, source: socket.socket, sink: socket.socket, way: Way, said: Said) -> None:
        """One connection's bytes one way: taken in at the line's rate, let out after its delay."""
        loop = asyncio.get_running_loop()
        flying: deque[tuple[float, bytes]] = deque()
        moved = asyncio.Event()

        async def take() -> None:
            under_way = True
            while under_way:
                while sum(len(chunk) for _, chunk in flying) >= way.flight_bytes:
                    moved.clear()
                    await moved.wait()
                await self._flows.wait()
                chunk = await loop.sock_recv(source, way.chunk_bytes)
                under_way = bool(chunk)
                await asyncio.sleep(way.slot(len(chunk), loop.time()) - loop.time() + way.stall_s())
                flying.append((loop.time() + way.delay_ms / 1000, chunk))
                moved.set()

        async def give() -> None:
            while True:
                while not flying:
                    moved.clear()
                    await moved.wait()
                due_s, chunk = flying[0]
                await asyncio.sleep(due_s - loop.time())
                await self._flows.wait()
                if not chunk:
                    with contextlib.suppress(OSError):
                        sink.shutdown(socket.SHUT_WR)
                    return
                await self._say(sink, chunk, said)
                way.carried += len(chunk)
                flying.popleft()
                moved.set()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())


def fresh_socket(namespace: str, buffer_bytes: int) -> socket.socket:
    """A socket in that namespace, which stays in it wherever this program goes on."""
    if namespace != NOWHERE:
        enter(namespace)
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if buffer_bytes:  # the kernel doubles it, for its own bookkeeping
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes // 2)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes // 2)
    return made


async def obey(line: Line, words: list[str]) -> dict[str, Any]:
    """Carry out one command."""
    match words:
        case ["road", "out" | "back" as way, *six] if len(six) == 6:
            here, there = (six[0], six[1], int(six[2])), (six[3], six[4], int(six[5]))
            return {"port": line.open(Road(here, there, way == "out"))}
        case ["set", "out" | "back" as way, *values]:
            change(getattr(line, way), values)
        case ["set", *values]:
            change(line.out, values)
            change(line.back, values)
        case ["cut"]:
            await line.cut()
        case ["dead"]:
            line.die()
        case ["heal"]:
            line.heal()
        case ["cut_every", seconds, *pause]:
            line.cut_every(float(seconds), float(pause[0]) if pause else 0.0)
        case ["bite", number]:
            line.bite_bytes = int(number)
        case ["stutter", number]:
            line.stutter_bytes = int(number)
        case ["portal", "html" | "silence" | "off" as kind]:
            line.portal = "" if kind == "off" else kind
        case ["count"]:
            pass
        case _:
            raise ValueError(f"no such command: {' '.join(words)}")
    return line.count()


def change(way: Way, values: list[str]) -> None:
    """name=number, as often as need be."""
    for value in values:
        name, _, number = value.partition("=")
        if name not in ("delay_ms", "rate_bits", "loss", "stall_ms"):
            raise ValueError(f"a line has no {name}")
        setattr(way, name, float(number))


async def main() -> None:
    """Obey stdin until it ends."""
    line, loop = Line(), asyncio.get_running_loop()
    said = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(said), sys.stdin)
    while text := await said.readline():
        try:
            answer = await obey(line, text.decode().split())
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
