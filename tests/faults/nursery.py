"""Programs of the product that start in a moment: forked from one that has read all its code already.

Most of what a till costs to start is reading Python's code. A rig that kills a thousand times need not pay that each
time: `Nursery` keeps one program that has read it, has opened nothing and runs no thread, and forks a child for each
start. The child is a till like any other, with its own arguments, files and process id, and SIGKILL ends it as it ends
any other.

With POSLINE_SOURCE (a folder) the code is read from there: a product that is broken on purpose.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import queue
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["SOURCE", "Nursery", "Program"]

ROOT = Path(__file__).parents[2]
SOURCE = os.environ.get("POSLINE_SOURCE", "")
READY_S = 60.0
END_S = 30.0
ASKED_BYTES = 65536
PR_SET_PDEATHSIG = 1


class Nursery:
    """The program that forks, and whatever it has forked: all end with it."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            env={name: value for name, value in os.environ.items() if not name.startswith("POSLINE_DATA")},
        )
        theirs.close()
        self._turn = threading.Lock()

    def fork(self, module: str, arguments: list[str], out: int, log: int) -> int:
        """Run `main` of a module with these arguments and descriptors for stdout and stderr; its process id."""
        return self._ask({"module": module, "arguments": arguments}, [out, log])

    def reap(self, pid: int) -> int:
        """The exit code of a child that has ended."""
        return self._ask({"reap": pid}, [])

    def _ask(self, asked: dict[str, Any], descriptors: list[int]) -> int:
        with self._turn:
            socket.send_fds(self._line, [json.dumps(asked).encode()], descriptors)
            answer = self._line.recv(ASKED_BYTES)
        assert answer, "the nursery is gone"
        return int(answer)

    def close(self) -> None:
        """End it, and all its children."""
        self._line.close()
        self._child.wait(END_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Program:
    """A program of the product with a data folder; `arguments` are those before `--data`."""

    def __init__(self, nursery: Nursery, data: Path, module: str, arguments: list[str]) -> None:
        self.data, self.module, self.arguments = data, module, arguments
        self.urls: dict[str, str] = {}  # of its ready line
        self.starts = 0
        self._nursery = nursery
        self._pid = self._handle = 0
        self._said: queue.Queue[str] = queue.Queue()

    @property
    def log(self) -> Path:
        """Its standard error, of all its starts."""
        return self.data.with_name(self.data.name + ".log")

    def launch(self) -> Self:
        """Start it, without waiting for anything."""
        assert not self.running, f"{self.data.name} runs already"
        self.data.parent.mkdir(parents=True, exist_ok=True)
        read, write = os.pipe()
        with self.log.open("ab") as log:
            arguments = [*self.arguments, "--data", str(self.data)]
            self._pid = self._nursery.fork(self.module, arguments, write, log.fileno())
        os.close(write)
        self._handle = os.pidfd_open(self._pid)
        self._said = queue.Queue()
        threading.Thread(target=_listen, args=(read, self._said), daemon=True).start()
        self.starts += 1
        return self

    def ready(self) -> Self:
        """Wait until it says so."""
        line = self._said.get(timeout=READY_S)
        assert line.startswith("ready "), (self.data.name, line, self.said()[-3000:])
        self.urls = dict(re.findall(r"(\w+)=(\S+)", line)) or {"page": line.split()[1]}
        return self

    def start(self) -> Self:
        """`launch` and `ready`."""
        return self.launch().ready()

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been killed."""
        return bool(self._handle) and not select.select([self._handle], [], [], 0)[0]

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self.signal(signal.SIGKILL)
        self.ended()

    def signal(self, number: int) -> None:
        """A signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self, within_s: float = END_S) -> int:
        """Wait until it has ended; its exit code."""
        assert select.select([self._handle], [], [], within_s)[0], f"{self.data.name} does not end"
        os.close(self._handle)
        self._handle = 0
        return self._nursery.reap(self._pid)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def printed(self) -> str:
        """What it printed, once it has ended."""
        lines = []
        while line := self._said.get(timeout=END_S):
            lines.append(line)
        return "".join(lines)


def _listen(read: int, said: queue.Queue[str]) -> None:
    """Hand on what a child prints, line by line; an empty one is the end."""
    with os.fdopen(read) as lines:
        for line in lines:
            said.put(line)
    said.put("")


# -- the other side ----------------------------------------------------------------------------------------------------


def _serve(line: socket.socket) -> None:
    while True:
        asked, descriptors, _, _ = socket.recv_fds(line, ASKED_BYTES, 2)
        if not asked:
            return
        wanted = json.loads(asked)
        if "reap" in wanted:
            answer = os.waitstatus_to_exitcode(os.waitpid(wanted["reap"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                line.close()
                _live(wanted["module"], wanted["arguments"], descriptors)
        for each in descriptors:
            os.close(each)
        line.send(str(answer).encode())


def _live(module: str, arguments: list[str], descriptors: list[int]) -> None:
    """The child: a program of its own from here on."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        for mine, given in enumerate(descriptors, 1):
            os.dup2(given, mine)
            os.close(given)
        sys.argv = [module, *arguments]
        importlib.import_module(module).main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    if SOURCE:
        sys.path.insert(0, SOURCE)
    for name in ("posline.cli", "relay.cli", "tests.faults.backlog"):
        importlib.import_module(name)
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # shared with the children for good
    _serve(socket.socket(fileno=int(sys.argv[1])))
