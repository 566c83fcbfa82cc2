"""A line between two programs: a TCP proxy on this machine that can be cut, go dead while it stays up, and heal."""

from __future__ import annotations

import asyncio
from enum import StrEnum

CHUNK_BYTES = 65536


class State(StrEnum):
    """What the line does with connections."""

    UP = "up"
    CUT = "cut"  # connections break, and new ones break at once: the cable is out
    DEAD = "dead"  # connections stay and can be made, and nothing comes through: the router is up, its uplink is not


class Line:
    """Whoever connects to `address` reaches `target`, while the line is up."""

    def __init__(self, name: str) -> None:
        """`name` is for people."""
        self.name = name
        self.target: tuple[str, int] | None = None
        self.port = 0
        self.bytes_there = self.bytes_back = 0  # carried towards the target, and from it
        self._state = State.UP
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> State:
        return self._state

    @property
    def address(self) -> str:
        """host:port that stands for the target."""
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, break what is open."""
        if self._server is not None:
            self._server.close()
        await self._break()

    async def cut(self) -> None:
        """The cable is out."""
        self._state = State.CUT
        self._flows.set()
        await self._break()

    def die(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._state = State.DEAD
        self._flows.clear()

    def heal(self) -> None:
        """Everything comes through, also what was held up."""
        self._state = State.UP
        self._flows.set()

    def reset_count(self) -> None:
        """Count bytes from here on."""
        self.bytes_there = self.bytes_back = 0

    async def _break(self) -> None:
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            await self._carry(reader, writer)
            writer.close()
        except (asyncio.CancelledError, OSError):
            writer.transport.abort()  # cut, or reset by the other side: nothing is said but the reset
        finally:
            self._calls.discard(call)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        if self._state is State.CUT or self.target is None:
            raise ConnectionAbortedError
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(reader, far_writer, there=True))
                ways.create_task(self._pump(far_reader, writer, there=False))
        except BaseExceptionGroup as group:
            far_writer.transport.abort()
            raise ConnectionAbortedError from group
        except asyncio.CancelledError:
            far_writer.transport.abort()
            raise
        far_writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, there: bool) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            await self._flows.wait()
            sink.write(chunk)
            await sink.drain()
            if there:
                self.bytes_there += len(chunk)
            else:
                self.bytes_back += len(chunk)
        if sink.can_write_eof():
            sink.write_eof()
