"""Tills and a relay as child processes, started and asked through their commands only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

READY_S = 30  # how long a program may take until it says that it is ready
STOP_S = 15  # ... and to stop cleanly
COMMAND_S = 120  # a command, the import of a catalogue among them

_PORTS = (10_000, 31_999)  # below what Linux (32,768 on), macOS and Windows (49,152 on) take for outgoing connections
_CHANCE = random.SystemRandom()  # a test that seeds `random` must not make two programs choose alike

_MAIN = {"posline": "posline.cli", "posline-relay": "relay.cli"}


class ProgramFailed(Exception):
    """A program did not start, or a command ended with an exit code that was not expected."""


def command_line(name: str) -> list[str]:
    """How to run `posline` or `posline-relay`: the script that belongs to this Python, if it is installed. Any other
    name is a module's."""
    if name not in _MAIN:
        return [sys.executable, "-m", name]
    script = Path(sys.executable).with_name(name)
    if script.exists() or (found := shutil.which(name)) is None:
        return [str(script)] if script.exists() else [sys.executable, "-c", f"from {_MAIN[name]} import main; main()"]
    return [found]


async def run(name: str, *arguments: str, expect: int | None = 0) -> str:
    """Run a command to its end and return what it printed. `expect` None takes any exit code."""
    child = await asyncio.create_subprocess_exec(
        *command_line(name),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, complaints = await asyncio.wait_for(child.communicate(), COMMAND_S)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        raise
    if expect is not None and child.returncode != expect:
        said = complaints.decode(errors="replace").strip() or out.decode(errors="replace").strip()
        raise ProgramFailed(f"{name} {' '.join(arguments[:2])} ended with {child.returncode}: {said}")
    return out.decode()


def last_line(printed: str) -> str:
    """The last line of what a command printed."""
    return printed.strip().splitlines()[-1]


def free_port() -> int:
    """A port of this machine that nobody listens on now, and that no system takes by itself for a connection which
    goes out, so that it stays free while a program is starting or down."""
    while True:
        port = _CHANCE.randint(*_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def endpoint(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port, url
    return parts.hostname, parts.port


@dataclass
class Program:
    """One long-running program with its data folder."""

    name: str  # for people
    command: str
    arguments: list[str]
    data: Path
    urls: dict[str, str] = field(default_factory=dict)  # what its ready line says
    _child: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def log(self) -> Path:
        """Where its standard error goes."""
        return self.data.with_suffix(".log")

    async def start(self) -> None:
        """Start it, and return when it says `ready`."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *command_line(self.command),
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we tell the programs
            )
        assert self._child.stdout is not None
        try:
            line = (await asyncio.wait_for(self._child.stdout.readline(), READY_S)).decode().strip()
        except TimeoutError:
            line = ""
        if not line.startswith("ready"):
            await self.kill()
            raise ProgramFailed(f"{self.name} did not start; its log {self.log} ends with: {self._log_end()}")
        named = dict(re.findall(r"(\w+)=(\S+)", line))
        self.urls = named or {"page": line.split()[1]}

    async def ended(self) -> None:
        """Return when it has ended, for whatever reason."""
        if self._child is not None:
            await self._child.wait()

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        await self._child.wait()

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        if not self.running or self._child is None:
            return
        self._child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._child.wait(), STOP_S)
        except TimeoutError:
            await self.kill()
            raise ProgramFailed(f"{self.name} did not stop within {STOP_S} s of SIGTERM") from None

    def cpu_s(self) -> float:
        """Seconds of CPU that it used (Linux)."""
        assert self._child is not None
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Resident memory, as the kernel says (Linux)."""
        assert self._child is not None
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def kill_now(self) -> None:
        """SIGKILL at this very moment, without waiting."""
        if self._child is not None and self._child.returncode is None:
            os.kill(self._child.pid, signal.SIGKILL)

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:]) or "(nothing)"
