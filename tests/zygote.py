"""Starting the programs from a process that has imported them already, as Android's zygote starts apps.

A test run starts some hundreds of tills and commands, and each would spend half a second of a core on importing the
same modules. Here one process imports them once; a program that is started with `subprocess` or `asyncio` is then
forked from it, and is in every other way what it would be: a process of its own, a child of the test's, with its own
arguments, environment, folder and files. What the zygote cannot make alike (another interpreter or PYTHONPATH, file
descriptors that are handed on) is started as ever; so is everything in a proof, whose figures are of real starts.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer.main

from tests.proof import PROOF

__all__ = ["read_ahead", "settle"]

PROGRAMS = {"posline": "posline.cli", "posline-relay": "relay.cli"}
# what libraries import once a command or a server runs: half of what a command costs
LATER = ("typer._adapters", "uvloop", "uvicorn.lifespan.off", "anyio._backends._asyncio", "httpcore", "certifi")
REQUEST_BYTES_MAX = 1 << 18
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNET = 0x40000000
CANNOT = ("preexec_fn", "pass_fds", "shell", "executable", "creationflags", "user", "group", "umask", "process_group")
_real = subprocess.Popen
_lock = threading.Lock()
_wire: socket.socket | None = None


def read_ahead() -> None:
    """Import all that a program of this project may come to need, and make out of its commands what Typer makes of them
    at each start."""
    for module in LATER:
        with contextlib.suppress(ImportError):  # a library's own matter, and of its version
            importlib.import_module(module)
    typer.main.get_command = functools.cache(typer.main.get_command)
    for module in PROGRAMS.values():
        typer.main.get_command(importlib.import_module(module).app)


def settle() -> None:
    """From now on programs of this project that this process starts come from a zygote."""
    if not PROOF and sys.platform == "linux" and subprocess.Popen is _real:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)  # so that what the zygote's short-lived child leaves behind becomes our child
        subprocess.Popen = _Forked  # type: ignore[misc]


class _Forked(_real):  # type: ignore[type-arg]
    """A Popen whose process is forked from the zygote, where that makes no difference."""

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:
        program = None if more or any(options.get(name) for name in CANNOT) else _program(args, options.get("env"))
        self._program = program
        super().__init__(args, *more, **options)

    def _execute_child(self, *given: Any) -> None:
        if self._program is None:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        cwd, env, p2cread, c2pwrite, errwrite, session = (given[n] for n in (5, 6, 10, 13, 15, 21))
        name, module, arguments, namespace = self._program
        request = {
            "name": name,
            "module": module,
            "arguments": arguments,
            "namespace": namespace,
            "cwd": os.fspath(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "session": bool(session),
            "files": [file != -1 for file in (p2cread, c2pwrite, errwrite)],
        }
        self.pid = _ask(request, [file for file in (p2cread, c2pwrite, errwrite) if file != -1])
        self._child_created = True
        self._close_pipe_fds(*given[10:16])  # type: ignore[attr-defined]


def _program(args: Any, env: Mapping[str, str] | None) -> tuple[str, str, list[str], str] | None:
    """(name, module, arguments, network namespace) of a command that the zygote knows; None of any other."""
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        return None
    line = [os.fspath(part) for part in args]
    namespace = ""
    if len(line) > 3 and line[0] == "nsenter" and line[1].startswith("--net=") and line[2] == "--":
        namespace, line = line[1].removeprefix("--net="), line[3:]
    if env is not None and _python(env) != _python(os.environ):
        return None
    bin = Path(sys.executable).parent
    for name, module in PROGRAMS.items():
        if line[0] == str(bin / name):
            return line[0], module, line[1:], namespace
        if line[:3] == [sys.executable, "-c", f"from {module} import main; main()"]:
            return "-c", module, line[3:], namespace
    return None


def _python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LD_"))}


def _prctl(what: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0)


def _ask(request: dict[str, Any], files: list[int]) -> int:
    """The pid of a fresh process."""
    global _wire
    with _lock:
        if _wire is None:
            _wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            _real([sys.executable, "-m", "tests.zygote", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                  cwd=Path(__file__).parents[1])  # fmt: skip
            theirs.close()
            _wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES_MAX)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        _wire.sendmsg([json.dumps(request).encode()], rights)
        answer = _wire.recv(64)
        if not answer:
            raise RuntimeError("the zygote is gone")
        return int(answer)


# -- the zygote itself -------------------------------------------------------------------------------------------------


def _serve(wire: socket.socket) -> Callable[[], None] | None:
    """Fork whatever is asked for until nobody asks any more. In each fresh process, returns what it is to run."""
    while True:
        files = array.array("i")
        message, rights, _, _ = wire.recvmsg(REQUEST_BYTES_MAX, socket.CMSG_SPACE(3 * files.itemsize))
        if not message:
            return None
        for _, _, data in rights:
            files.frombytes(data)
        request = json.loads(message)
        said, saying = os.pipe()
        between = os.fork()
        if between == 0:  # what it forks is orphaned at once, and so becomes a child of the test's process
            fresh = os.fork()
            if fresh:
                os.write(saying, str(fresh).encode())
                os._exit(0)
            os.close(said)
            os.close(saying)
            wire.close()
            return lambda: _become(request, list(files))
        os.close(saying)
        pid = os.read(said, 64)
        os.close(said)
        os.waitpid(between, 0)
        for file in files:
            os.close(file)
        wire.send(pid)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Be the program."""
    given = iter(files)
    for target, handed in enumerate(request["files"]):
        if handed:
            os.dup2(next(given), target)
    for file in files:
        os.close(file)
    if request["session"]:
        os.setsid()
    if request["namespace"]:
        descriptor = os.open(request["namespace"], os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {request['namespace']}")
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["name"], *request["arguments"]]
    sys.modules[request["module"]].main()


def _main(wire: socket.socket) -> None:
    read_ahead()
    gc.freeze()  # what was imported is shared, and stays so
    program = _serve(wire)
    if program is not None:
        program()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _main(socket.socket(fileno=int(sys.argv[1])))
