"""Several hosts on one machine, in network namespaces that this module makes and takes away again.

    with Network() as net:
        a, b = net.host("a"), net.host("b")       # each with one port on the switch "lan"
        a.till(tmp_path / "a")                     # a program that runs in there

A switch is a bridge in a namespace of its own, so nothing leaves this machine. Needs root and a kernel that permits
namespaces; where that is not so, `needs_namespaces` says why. What an earlier run that was killed left behind is
removed first.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.faults.rig import Process, command

PREFIX = "posl"  # of the namespaces' names; behind it the process that made them
CLONE_NEWNET = 0x40000000
COMMAND_S = 60.0

_T = TypeVar("_T")
_numbers = itertools.count(1)


def ip(*arguments: str) -> str:
    """Run `ip`; what it printed."""
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=20).stdout


@functools.cache
def needs_namespaces() -> str:
    """Why there can be no namespaces here; "" when there can."""
    name = f"{PREFIX}{os.getpid()}probe"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "p", "type", "veth", "peer", "name", "q")
        ip("-n", name, "link", "add", "name", "probe", "type", "bridge")
    except FileNotFoundError:
        return "the program ip (iproute2) is not installed"
    except subprocess.CalledProcessError as error:
        return f"this kernel or user may not make network namespaces: {error.stderr.strip()}"
    finally:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            ip("netns", "del", name)
    return ""


def _clear() -> None:
    """Remove what a run that was killed left behind."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0] if line.split() else ""
        pid = name.removeprefix(PREFIX).split("-")[0]
        if name.startswith(PREFIX) and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


@dataclass(eq=False)
class Host:
    """One machine. `ports` are its interfaces: name -> address."""

    net: Network
    name: str
    namespace: str
    ports: dict[str, str] = field(default_factory=dict)
    programs: list[Process] = field(default_factory=list)

    def ip(self, *arguments: str) -> str:
        """Run `ip` in here."""
        return ip("-n", self.namespace, *arguments)

    def plug(self, switch: str, address: str, port: str = "") -> str:
        """A port on a switch with an IPv4 address (as 10.0.0.1/24); returns its name."""
        name = port or f"eth{len(self.ports)}"
        far = f"v{next(_numbers)}"
        self.ip("link", "add", name, "type", "veth", "peer", "name", far)
        self.ip("link", "set", far, "netns", self.net.namespace)
        ip("-n", self.net.namespace, "link", "set", far, "master", self.net.switch(switch), "up")
        self.ip("address", "add", address, "dev", name)
        self.ip("link", "set", name, "up")
        self.ports[name] = address.split("/")[0]
        self.net.far[self.name, name] = far
        return name

    def move(self, switch: str, port: str = "eth0") -> None:
        """The port's cable goes into another switch."""
        ip("-n", self.net.namespace, "link", "set", self.net.far[self.name, port], "master", self.net.switch(switch))

    def readdress(self, address: str, port: str = "eth0") -> None:
        """The port gets another address, as from DHCP after a power cut."""
        self.ip("address", "flush", "dev", port)
        self.ip("address", "add", address, "dev", port)
        self.ports[port] = address.split("/")[0]

    def call(self, work: Callable[[], _T]) -> _T:
        """Do `work` in a thread that lives in here: its sockets are this host's."""
        answers: list[Any] = []

        def inside() -> None:
            try:
                with Path(f"/var/run/netns/{self.namespace}").open() as file:
                    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                answers.append((True, work()))
            except BaseException as error:
                answers.append((False, error))

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        good, answer = answers[0]
        if not good:
            raise answer
        return answer  # type: ignore[no-any-return]

    # -- programs ------------------------------------------------------------------------------------------------------

    def run(self, *arguments: str, module: str = "posline.cli", expect: int = 0) -> str:
        """Run a command of Posline in here to its end; what it printed."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command(module), *arguments],
            capture_output=True, text=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def till(self, data: Path, *more: str) -> HostedProcess:
        """A till that runs in here, started."""
        return self._start(HostedProcess(data, "posline.cli", ["till", *more]))

    def relay(self, data: Path, *more: str) -> HostedProcess:
        """A head office that runs in here, started."""
        return self._start(HostedProcess(data, "relay.cli", ["serve", "--host", "0.0.0.0", *more]))

    def _start(self, program: HostedProcess) -> HostedProcess:
        program.host = self
        program.start()
        self.programs.append(program)
        return program


@dataclass
class HostedProcess(Process):
    """A program in a host of its own. `get` and `post` ask it from inside, where its API listens."""

    host: Host | None = None

    def command_line(self) -> list[str]:
        """See Process."""
        assert self.host is not None
        return ["ip", "netns", "exec", self.host.namespace, *super().command_line()]

    def get(self, path: str) -> Any:
        """GET, as JSON."""
        assert self.host is not None
        return self.host.call(lambda: super(HostedProcess, self).get(path))

    def post(self, path: str, body: object) -> httpx.Response:
        """POST JSON."""
        assert self.host is not None
        return self.host.call(lambda: super(HostedProcess, self).post(path, body))

    def peer(self, name: str) -> dict[str, Any] | None:
        """What its status says of a peer."""
        return next((peer for peer in self.get("/api/status")["peers"] if peer["name"] == name), None)


class Network:
    """Hosts and the switches between them, from `with` to its end."""

    def __init__(self) -> None:
        self.namespace = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        self.hosts: dict[str, Host] = {}
        self.far: dict[tuple[str, str], str] = {}  # (host, port) -> the end of its cable at the switch
        self._switches: dict[str, str] = {}

    def __enter__(self) -> Self:
        _clear()
        ip("netns", "add", self.namespace)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for host in self.hosts.values():
            for program in host.programs:
                if program.running:
                    program.kill()
        for name in [*(host.namespace for host in self.hosts.values()), self.namespace]:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)

    def switch(self, name: str) -> str:
        """The bridge that is the switch of this name, made when it is first asked for."""
        if name not in self._switches:
            bridge = self._switches[name] = f"br{len(self._switches)}"
            ip("-n", self.namespace, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
            ip("-n", self.namespace, "link", "set", bridge, "up")
        return self._switches[name]

    def deaf(self, *hosts: Host) -> None:
        """The switch passes these hosts no multicast."""
        for host in hosts:
            for port in host.ports:
                far = self.far[host.name, port]
                ip("-n", self.namespace, "link", "set", far, "type", "bridge_slave", "mcast_flood", "off")

    def host(self, name: str, address: str = "", switch: str = "lan") -> Host:
        """A new host, with a port on a switch; addresses are 10.0.0.1/24 and so on unless one is given."""
        host = Host(self, name, f"{self.namespace}-{name}")
        ip("netns", "add", host.namespace)
        self.hosts[name] = host
        host.ip("link", "set", "lo", "up")
        host.plug(switch, address or f"10.0.0.{len(self.hosts)}/24")
        return host


def free_port(host: Host) -> int:
    """A port that nobody listens on in a host."""

    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as found:
            return int(found.getsockname()[1])

    return host.call(find)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """As Network, where there can be one; the test is skipped with the reason where there cannot."""
    import pytest

    reason = needs_namespaces()
    if reason:
        pytest.skip(reason)
    with Network() as found:
        yield found
