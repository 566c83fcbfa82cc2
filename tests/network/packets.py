"""A cable that can be bad, packet by packet: two ends, each on a switch, with this program between them.

    python -m tests.network.packets NAMESPACE SEED END END      makes both ends (tap devices) in that namespace

    set [out|back] [loss=P] [twice=P] [late=P] [late_ms=N] [flip=P] [delay_ms=N] [rate_bits=N]    of one way, or of both
    block [out|back]     let nothing through, one way or either; nobody is told and no carrier is lost
    mend                 as at first
    count                what went over it

Each line is answered by one line of JSON. A frame that is `late` is overtaken by those behind it; `flip` changes one
bit, which the receiver's checksum finds. What waits beyond a moment's worth of the rate is dropped, as a router does.
The kernel's own traffic control has all this too (netem), where it was built with it; many are not, and this needs only
/dev/net/tun.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import struct
import sys
from dataclasses import dataclass, field, fields
from typing import Any

from tests.network.hosts import enter

__all__ = ["Direction"]

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x2, 0x1000
FRAME_BYTES = 65536
QUEUE_S = 1.0  # of the rate: what a router keeps
QUEUE_BYTES = 16384  # and at least so much
ETHERNET_BYTES, IPV4, TCP = 14, b"\x08\x00", 6
SYN, ACK = 0x02, 0x10


@dataclass
class Direction:
    """One way: how bad it is, and what it did."""

    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    late_ms: float = 30.0
    flip: float = 0.0
    delay_ms: float = 0.0
    rate_bits: float = 0.0
    blocked: bool = False
    frames: int = field(default=0, metadata={"counted": True})
    bytes: int = field(default=0, metadata={"counted": True})
    lost: int = field(default=0, metadata={"counted": True})
    doubled: int = field(default=0, metadata={"counted": True})
    delayed: int = field(default=0, metadata={"counted": True})
    flipped: int = field(default=0, metadata={"counted": True})
    dropped: int = field(default=0, metadata={"counted": True})  # since there was no room
    dials: int = field(default=0, metadata={"counted": True})  # packets that begin a connection
    free_at_s: float = field(default=0.0, metadata={"counted": True})

    def mend(self) -> None:
        """Be good again; the counts stay."""
        for each in fields(self):
            if not each.metadata:
                setattr(self, each.name, each.default)

    def carry(self, frame: bytes, rng: random.Random, now_s: float) -> list[tuple[float, bytes]]:
        """When this frame comes out at the other end, and what of it: not at all, once or twice."""
        self.frames += 1
        self.bytes += len(frame)
        self.dials += _dials(frame)
        if self.blocked or rng.random() < self.loss:
            self.lost += 1
            return []
        due_s = now_s
        if self.rate_bits:
            waiting = (self.free_at_s - now_s) * self.rate_bits / 8
            if waiting > max(QUEUE_BYTES, self.rate_bits / 8 * QUEUE_S):
                self.dropped += 1
                return []
            due_s = self.free_at_s = max(self.free_at_s, now_s) + len(frame) * 8 / self.rate_bits
        due_s += self.delay_ms / 1000
        if rng.random() < self.flip:
            self.flipped += 1
            at = rng.randrange(ETHERNET_BYTES, len(frame))
            frame = frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1 :]
        if rng.random() < self.late:
            self.delayed += 1
            due_s += rng.uniform(0, self.late_ms) / 1000
        if rng.random() < self.twice:
            self.doubled += 1
            return [(due_s, frame), (due_s + rng.uniform(0, self.late_ms) / 1000, frame)]
        return [(due_s, frame)]


def _dials(frame: bytes) -> bool:
    """Whether it begins a TCP connection."""
    if frame[12:14] != IPV4 or frame[23] != TCP:
        return False
    flags = ETHERNET_BYTES + (frame[14] & 0x0F) * 4 + 13
    return len(frame) > flags and frame[flags] & (SYN | ACK) == SYN


def tap(name: str) -> int:
    """A device of that name in this namespace, whose frames are read from and written to what is returned."""
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return made


class Cable:
    """Both directions, and the loop that moves frames."""

    def __init__(self, ends: tuple[int, int], seed: str) -> None:
        self.out, self.back = Direction(), Direction()
        self._rng = random.Random(seed)
        loop = asyncio.get_running_loop()
        for way, source, sink in ((self.out, *ends), (self.back, *reversed(ends))):
            loop.add_reader(source, self._move, way, source, sink)

    def _move(self, way: Direction, source: int, sink: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                frame = os.read(source, FRAME_BYTES)
            except BlockingIOError:
                return
            for due_s, arriving in way.carry(frame, self._rng, loop.time()):
                loop.call_at(due_s, _write, sink, arriving)

    def obey(self, words: list[str]) -> dict[str, Any]:
        """Carry out one command."""
        ways = [self.out, self.back]
        if len(words) > 1 and words[1] in ("out", "back"):
            ways = [getattr(self, words.pop(1))]
        match words:
            case ["set", *values]:
                for value in values:
                    name, _, number = value.partition("=")
                    if not hasattr(ways[0], name):
                        raise ValueError(f"a cable has no {name}")
                    for way in ways:
                        setattr(way, name, float(number))
            case ["block"]:
                for way in ways:
                    way.blocked = True
            case ["mend"]:
                self.out.mend()
                self.back.mend()
            case ["count"]:
                pass
            case _:
                raise ValueError(f"no such command: {' '.join(words)}")
        counted = [each.name for each in fields(Direction) if each.metadata][:-1]
        return {name: getattr(self.out, name) + getattr(self.back, name) for name in counted}


def _write(sink: int, frame: bytes) -> None:
    try:
        os.write(sink, frame)
    except OSError:
        return  # the other end is down: the frame is lost


async def main(namespace: str, seed: str, first: str, second: str) -> None:
    """Obey stdin until it ends."""
    enter(namespace)
    cable, loop = Cable((tap(first), tap(second)), seed), asyncio.get_running_loop()
    said = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(said), sys.stdin)
    while text := await said.readline():
        try:
            answer = cable.obey(text.decode().split())
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
