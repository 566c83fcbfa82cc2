"""Real processes to break: a till on a data folder, rung over HTTP, killed and started again."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

SOURCE = os.environ.get("POSLINE_SOURCE", "")  # the folder of the product under test, where it is not this one
READY_S = 60.0
STOP_S = 20.0
HAPPENS_S = 60.0  # until what is waited for has to be


def command(module: str = "posline.cli") -> list[str]:
    """How to run a command of this project with this Python."""
    alone = ["-P"] if SOURCE else []  # not what lies in the folder that the tests run in
    return [sys.executable, *alone, "-c", f"from {module} import main; main()"]


def run(*arguments: str, module: str = "posline.cli", expect: int | None = 0) -> str:
    """Run a command to its end, with this exit code unless that is None; what it printed on stdout."""
    done = subprocess.run(
        [*command(module), *arguments], capture_output=True, text=True, timeout=READY_S, check=False, env=_quiet()
    )
    assert expect is None or done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def _quiet() -> dict[str, str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("POSLINE_DATA")}
    return quiet | ({"PYTHONPATH": SOURCE} if SOURCE else {})


def sale(id: str | None = None, price: int = 100, quantity: object = 1) -> dict[str, Any]:
    """The body of POST /api/sales for one open item."""
    return {"id": id or str(uuid.uuid4()), "lines": [{"sku": "loose", "quantity": quantity, "price": price}]}


@dataclass
class Process:
    """A program with a data folder that prints one `ready` line."""

    data: Path
    module: str = "posline.cli"
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    _child: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start it and wait for its ready line."""
        with self.log.open("a") as log:
            self._child = subprocess.Popen(
                self.command_line(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_quiet() | self.environment,
            )
        assert self._child.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=lambda out=self._child.stdout: lines.put(out.readline()), daemon=True).start()
        ready = lines.get(timeout=READY_S)
        assert ready.startswith("ready "), (ready, self.log.read_text()[-2000:])
        self.urls = dict(re.findall(r"(\w+)=(\S+)", ready)) or {"url": ready.split()[1]}
        return self

    def command_line(self) -> list[str]:
        """How to start it."""
        return [*command(self.module), *self.arguments, "--data", str(self.data)]

    @property
    def log(self) -> Path:
        """Its stderr."""
        return self.data.with_name(self.data.name + ".log")

    @property
    def page(self) -> str:
        """Where its API answers."""
        return self.urls.get("page") or self.urls["url"]

    def kill(self) -> None:
        """SIGKILL, as a power cut to the process."""
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        self._child.wait(STOP_S)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._child is not None
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(STOP_S)

    def wait(self) -> int:
        """Wait for it to end by itself."""
        assert self._child is not None
        return self._child.wait(STOP_S)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.running:
            self.kill()

    def get(self, path: str) -> Any:
        """GET, as JSON."""
        return httpx.get(self.page + path, timeout=30, trust_env=False).raise_for_status().json()

    def post(self, path: str, body: object) -> httpx.Response:
        """POST JSON."""
        return httpx.post(self.page + path, json=body, timeout=30, trust_env=False)

    def sales(self) -> list[dict[str, Any]]:
        """Every sale that it lists."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get(f"/api/sales?limit=500&after={after}")
            found += page["sales"]
            after = page.get("next") or ""
            if not after:
                return found


def till(data: Path, *more: str) -> Process:
    """A till, not yet started."""
    return Process(data, "posline.cli", ["till", "--port", "0", "--sync-port", "0", "--no-discovery", *more])


def relay(data: Path, *more: str) -> Process:
    """A head office, not yet started."""
    return Process(data, "relay.cli", ["serve", "--port", "0", *more])


class LoggingElsewhere(Process):
    """A program whose stderr is not on the disk that its data is on."""

    @property
    def log(self) -> Path:
        return self.data.parent.with_suffix(".log")


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    """Return once `happened` answers True."""
    deadline = time.monotonic() + HAPPENS_S
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen within {HAPPENS_S:.0f} s"
        time.sleep(0.02)
