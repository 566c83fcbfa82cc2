"""Programs of the product that start in a moment: forked from one that has read all its code already.

Most of what a till costs to start is reading Python's code. A rig that kills a thousand times need not pay that each
time: `Nursery` keeps one program that has read it, has opened nothing and runs no thread, and forks a child for each
start. The child is a till like any other, with its own arguments, files and process id, and SIGKILL ends it as it ends
any other.

With POSLINE_SOURCE (a folder) the code is read from there: a product that is broken on purpose.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
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

from tests.zygote import read_ahead

__all__ = ["SOURCE", "Nursery", "Program", "nursery"]

ROOT = Path(__file__).parents[2]
SOURCE = os.environ.get("POSLINE_SOURCE", "")
READY_S = 60.0
END_S = 30.0
ASKED_BYTES = 65536
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000


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

    def fork(self, module: str, arguments: list[str], out: int, log: int, network: Path | None = None) -> int:
        """Run `main` of a module with these arguments and descriptors for stdout and stderr, on the host that is the
        network namespace `network` or on this machine's own; its process id."""
        asked = {"module": module, "arguments": arguments}
        if network is None:
            return self._ask(asked, [out, log])
        with network.open("rb") as entered:
            return self._ask(asked, [out, log, entered.fileno()])

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


@functools.cache
def nursery() -> Nursery:
    """One for all tests of this process; it ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made


class Program:
    """A program of the product with a data folder; `arguments` are those before `--data`."""

    def __init__(
        self, nursery: Nursery, data: Path, module: str, arguments: list[str], network: Path | None = None
    ) -> None:
        self.data, self.module, self.arguments, self.network = data, module, arguments, network
        self.urls: dict[str, str] = {}  # of its ready line
        self.log = data.with_name(data.name + ".log")  # its standard error, of all its starts
        self.ready_line = ""
        self.starts = 0
        self._nursery = nursery
        self.pid = self._handle = 0
        self._said: queue.Queue[str] = queue.Queue()

    def launch(self) -> Self:
        """Start it, without waiting for anything."""
        assert not self.running, f"{self.data.name} runs already"
        self.data.parent.mkdir(parents=True, exist_ok=True)
        read, write = os.pipe()
        with self.log.open("ab") as log:
            arguments = [*self.arguments, "--data", str(self.data)]
            self.pid = self._nursery.fork(self.module, arguments, write, log.fileno(), self.network)
        os.close(write)
        self._handle = os.pidfd_open(self.pid)
        self._said = queue.Queue()
        threading.Thread(target=_listen, args=(read, self._said), daemon=True).start()
        self.starts += 1
        return self

    def ready(self) -> Self:
        """Wait until it says so."""
        self.ready_line = line = self._said.get(timeout=READY_S)
        assert line.startswith("ready "), (self.data.name, line, self.said()[-3000:])
        self.urls = dict(re.findall(r"(\w+)=(\S+)", line)) or {"page": line.split()[1]}
        return self

    def start(self) -> Self:
        """`launch` and `ready`."""
        return self.launch().ready()

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been killed."""
        try:
            return bool(self._handle) and not select.select([self._handle], [], [], 0)[0]
        except (OSError, ValueError):  # another thread has just seen its end
            return False

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
        return self._nursery.reap(self.pid)

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
        asked, descriptors, _, _ = socket.recv_fds(line, ASKED_BYTES, 3)
        if not asked:
            with contextlib.suppress(ChildProcessError):  # so that their time is counted
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
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
        for entered in descriptors[2:]:
            if ctypes.CDLL(None, use_errno=True).setns(entered, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot enter the namespace")
            os.close(entered)
        for mine, given in enumerate(descriptors[:2], 1):
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
    read_ahead()
    importlib.import_module("tests.faults.alone")
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # shared with the children for good
    _serve(socket.socket(fileno=int(sys.argv[1])))
