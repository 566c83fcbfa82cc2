"""The product under test as programs: run as people run it, and under strace. POSLINE_SOURCE says which product."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.faults.rig import Process, wait_for
from tests.power.calls import STRACE

__all__ = ["Running", "ended", "environment", "program", "till", "traced", "why_not"]

WAITED_S = 60.0


def why_not() -> str:
    """Why nothing can be recorded here; "" where it can."""
    if shutil.which("strace") is None:
        return "there is no strace: install it"
    tried = subprocess.run(
        ["strace", "-D", "-f", "--seccomp-bpf", "-y", "-o", os.devnull, "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if tried.returncode == 0 else f"strace cannot trace here: {tried.stderr.strip()[:200]}"


def environment() -> dict[str, str]:
    """The environment in which the product under test is found first."""
    source = os.environ.get("POSLINE_SOURCE")
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path} if path else {}


def program(*arguments: str) -> list[str]:
    """`posline`, of the product under test and from no other folder."""
    return [sys.executable, "-P", "-c", "from posline.cli import main; main()", *arguments]


@dataclass
class Running(Process):
    """A program of the product under test that logs to `log_file`, which lies on another disk than its data; its system
    calls are written to `trace`, if that is given."""

    log_file: Path = Path(os.devnull)
    trace: Path | None = None

    def command_line(self) -> list[str]:
        tracing = [] if self.trace is None else [*STRACE, "-o", str(self.trace)]
        return [*tracing, *program(*self.arguments, "--data", str(self.data))]

    @property
    def log(self) -> Path:
        return self.log_file


def till(data: Path, log: Path, *more: str, trace: Path | None = None) -> Running:
    """A till, not yet started."""
    arguments = ["till", "--port", "0", "--sync-port", "0", "--no-discovery", *more]
    return Running(data, arguments=arguments, environment=environment(), log_file=log, trace=trace)


def traced(trace: Path, *arguments: str) -> str:
    """Run one command under strace to its end; its stdout."""
    done = subprocess.run(
        [*STRACE, "-o", str(trace), *program(*arguments)], env=os.environ | environment(), capture_output=True,
        text=True, timeout=WAITED_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ended(trace)
    return done.stdout


def ended(trace: Path) -> None:
    """strace writes on after the program has ended: wait until it has gone."""
    wait_for(f"the end of {trace}", lambda: not _tracer_of(trace))


def _tracer_of(trace: Path) -> bool:
    wanted = os.fsencode(trace)
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            given = words.read_bytes().split(b"\0")
        except OSError:  # gone meanwhile
            continue
        if given[0].endswith(b"strace") and wanted in given:
            return True
    return False
