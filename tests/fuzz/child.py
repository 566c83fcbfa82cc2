"""The process that inputs are tried in: under a cap of memory, and with the input at hand where it can be read when the
process is gone. Both ends are here: what the child writes down, and how the one who started it reads what became of it.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DEADLINE_S", "HANG_S", "Ended", "Failed", "Slate", "cap_memory", "rss_bytes", "start"]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 2.0  # of processor time that one input may take
HANG_S = 45.0  # without a new input on a busy machine: it hangs
CAP_BYTES = 768 << 20  # of address space, beyond what the process has once everything is loaded
SLATE_BYTES = 2 << 20
HEAD = 16


class Failed(AssertionError):
    """A promise is broken. The input is in the text, in hex."""


class Slate:
    """The input that is being tried, in a file that two processes map: a counter, a length, the bytes."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SLATE_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SLATE_BYTES)

    def put(self, data: bytes) -> None:
        """Before it is tried."""
        data = data[: SLATE_BYTES - HEAD]
        self._map[HEAD : HEAD + len(data)] = data
        self._map[:HEAD] = (self.count + 1).to_bytes(8, "big") + len(data).to_bytes(8, "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self._map[:8], "big")

    @property
    def data(self) -> bytes:
        return bytes(self._map[HEAD : HEAD + int.from_bytes(self._map[8:HEAD], "big")])


def cap_memory() -> None:
    """From now on this process may have CAP_BYTES more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    cap = pages * resource.getpagesize() + CAP_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rss_bytes() -> int:
    """What this process has in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass(frozen=True)
class Ended:
    """A child that found nothing: the JSON objects that it printed, and what it said beside."""

    figures: list[dict[str, Any]]
    told: str


def start(module: str, arguments: list[str], folder: Path) -> Ended:
    """Run a module of this folder as a child, until it ends.

    The product under test is that of POSLINE_SOURCE, or this one. Raises Failed with the input that broke a promise,
    crashed the process, or hangs.
    """
    source = os.environ.get("POSLINE_SOURCE", "")
    path = os.pathsep.join(filter(None, (source, str(ROOT))))
    slate = Slate(folder / "slate")
    said = folder / "said"
    with said.open("w+") as out, (folder / "errors").open("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "--slate", str(folder / "slate")],
            cwd=folder, env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"}, stdout=out, stderr=errors,
        )  # fmt: skip
        try:
            hung = _watch(child, slate)
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        told = errors.read()
        out.seek(0)
        lines = out.read().splitlines()
    if child.returncode or hung:
        how = f"hangs for {HANG_S} s" if hung else f"ended with {child.returncode}"
        raise Failed(
            f"{module} {how} at input {slate.count}\n{told[-6000:]}\nthe input, in hex: {slate.data.hex()[:20_000]}"
        )
    return Ended([json.loads(line) for line in lines if line.startswith("{")], told)


def _watch(child: subprocess.Popen[bytes], slate: Slate) -> bool:
    """Wait for the child; True where it stands still instead."""
    last, since = slate.count, time.monotonic()
    while True:
        try:
            child.wait(0.2)
            return False
        except subprocess.TimeoutExpired:
            if slate.count != last:
                last, since = slate.count, time.monotonic()
            elif time.monotonic() - since > HANG_S:
                return True
