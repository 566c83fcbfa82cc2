"""Several hosts on one machine: network namespaces, joined by bridges that can be parted and made worse.

Each host is a namespace with one or more interfaces; all switches are bridges in one namespace of their own, so nothing
is left in the machine's own network. Knows nothing of what runs on the hosts. Needs root and a kernel with namespaces.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.machine import lacks

__all__ = ["NAMESPACES", "Host", "Network", "Port", "Switch", "enter", "needs_namespaces", "reason_against", "sweep"]

T = TypeVar("T")

PREFIX = "posline-net"  # every namespace of a rig is PREFIX-pid-start of pid-number-name
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
END_S = 5.0  # how long a child may take to end before it is killed
_numbers = itertools.count(1)


def needs_namespaces() -> None:
    """Skip the test, saying why, where this machine allows no namespaces. Anywhere else the tests run."""
    if reason := reason_against():
        lacks(reason)


@functools.cache
def reason_against() -> str:
    """Why hosts can't be made here; empty where they can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"network namespaces need the program {missing[0]} (Debian: iproute2, util-linux)"
    sweep()
    name = f"{_own_prefix()}-0-probe"
    try:
        _ip("netns", "add", name)
        try:
            _batch(name, ["link add sw type bridge", "link add p0 type veth peer name p1", "link set p0 master sw"])
        finally:
            _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return f"this kernel forbids network namespaces, bridges or veth: {said.strip()[:200]}"
    return ""


def sweep() -> list[str]:
    """Take away what rigs of processes that are gone have left behind; returns the namespaces' names."""
    gone = []
    for path in sorted(NAMESPACES.glob(f"{PREFIX}-*")):
        pid, start, *_ = path.name.removeprefix(f"{PREFIX}-").split("-")
        if _started(int(pid)) != start:
            _remove(path.name)
            gone.append(path.name)
    return gone


def enter(namespace: str) -> None:
    """Move the calling thread into a namespace (os.setns came with Python 3.12)."""
    descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    finally:
        os.close(descriptor)


@dataclass
class Switch:
    """A bridge. Hosts on it reach each other."""

    network: Network
    name: str
    passes_multicast: bool = True

    def multicast(self, passes: bool) -> None:
        """Whether multicast goes from one port to another. Many routers for guests don't let it; IPv6 goes with it."""
        commands = [
            f"link set dev {port.name_here} type bridge_slave mcast_flood {'on' if passes else 'off'}"
            for port in self.network.ports
            if port.switch is self
        ]
        self.passes_multicast = passes
        _batch(self.network.board, commands)


@dataclass
class Port:
    """One end of a cable: a host's interface on a switch."""

    host: Host
    name: str  # of the interface, in the host
    name_here: str  # of the other end, on the switchboard
    switch: Switch
    address: str  # with its prefix length

    @property
    def ip(self) -> str:
        """The address alone."""
        return self.address.partition("/")[0]

    def move(self, switch: Switch) -> None:
        """Put it on another switch. The host's interface stays up and hears nothing of it."""
        self.switch = switch
        flood = "on" if switch.passes_multicast else "off"
        _batch(
            self.host.network.board,
            [
                f"link set {self.name_here} master {switch.name}",
                f"link set dev {self.name_here} type bridge_slave mcast_flood {flood}",
            ],
        )

    def unplug(self) -> None:
        """Pull the cable: the host sees that its carrier is gone."""
        _batch(self.host.network.board, [f"link set {self.name_here} down"])

    def plug_in(self) -> None:
        """Put the cable back."""
        _batch(self.host.network.board, [f"link set {self.name_here} up"])

    def isolate(self, isolated: bool = True) -> None:
        """Isolated ports reach those that are not, and none of their kind, as guests on many a Wi-Fi."""
        state = "on" if isolated else "off"
        _batch(self.host.network.board, [f"link set dev {self.name_here} type bridge_slave isolated {state}"])

    def also(self, address: str) -> None:
        """A further address on the same interface."""
        _batch(self.host.namespace, [f"addr add {address} dev {self.name}"])

    def lose_address(self) -> None:
        """No address at all."""
        _batch(self.host.namespace, [f"addr flush dev {self.name}"])

    def change_address(self, address: str) -> None:
        """Another address, as from a DHCP server that forgot: connections from the old one are lost."""
        self.address = address
        _batch(self.host.namespace, [f"addr flush dev {self.name} scope global", f"addr add {address} dev {self.name}"])


@dataclass
class Host:
    """One machine."""

    network: Network
    name: str
    namespace: str
    ports: list[Port] = field(default_factory=list)
    children: list[subprocess.Popen[Any]] = field(default_factory=list)
    _thread: ThreadPoolExecutor | None = None

    @property
    def ip(self) -> str:
        """The address of its first interface."""
        return self.ports[0].ip

    def plug(self, switch: Switch, address: str) -> Port:
        """A further interface, on that switch; `address` has a prefix length, as 10.77.0.5/16."""
        name, name_here = f"eth{len(self.ports)}", f"p{next(_numbers)}"
        flood = "on" if switch.passes_multicast else "off"
        _batch(
            self.network.board,
            [
                f"link add {name_here} type veth peer name {name} netns {self.namespace}",
                f"link set {name_here} master {switch.name} up",
                f"link set dev {name_here} type bridge_slave mcast_flood {flood}",
            ],
        )
        _batch(self.namespace, [f"addr add {address} dev {name}", f"link set {name} up"])
        port = Port(self, name, name_here, switch, address)
        self.ports.append(port)
        self.network.ports.append(port)
        return port

    def route(self, gateway: str) -> None:
        """Its default route."""
        _batch(self.namespace, [f"route replace default via {gateway}"])

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, to be run on this host. nsenter gives way to it: signals reach the program itself."""
        return ["nsenter", f"--net={NAMESPACES / self.namespace}", "--", *command]

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Run a program on this host (see subprocess.Popen). It ends with the network at the latest."""
        child = subprocess.Popen(self.command(command), **options)
        self.children.append(child)
        return child

    def run(
        self, command: Sequence[str], *, timeout_s: float = 60, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on this host to its end."""
        return subprocess.run(
            self.command(command), capture_output=True, text=True, timeout=timeout_s, check=False, env=env
        )

    def inside(self, work: Callable[[], T]) -> T:
        """Do it in a thread that is on this host: sockets that it opens are this host's, also when used elsewhere."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self.name, initializer=enter, initargs=(self.namespace,))
        return self._thread.submit(work).result()

    def socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A fresh IPv4 socket on this host."""
        return self.inside(lambda: socket.socket(socket.AF_INET, kind))

    def close(self) -> None:
        """Kill its programs and take it away."""
        end(self.children, wait_s=0.0)
        if self._thread is not None:
            self._thread.shutdown()
        _remove(self.namespace)


class Network:
    """Hosts and switches. `with Network() as network:` takes everything away at the end, whatever happens."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self.switches: list[Switch] = []
        self.ports: list[Port] = []
        self._closing: list[Callable[[], None]] = []
        self._homes: dict[str, Switch] = {}  # where parted ports belong
        self.board = self._add_namespace("board")

    def switch(self, name: str = "") -> Switch:
        """A switch with nothing on it."""
        switch = Switch(self, f"sw{len(self.switches)}{name[:9]}")
        _batch(
            self.board,
            [
                f"link add {switch.name} type bridge stp_state 0 forward_delay 0 mcast_querier 0",
                f"link set {switch.name} up",
            ],
        )
        self.switches.append(switch)
        return switch

    def host(self, name: str, *plugs: tuple[Switch, str]) -> Host:
        """A host with an interface for each (switch, address)."""
        host = Host(self, name, self._add_namespace(name))
        self.hosts.append(host)
        for switch, address in plugs:
            host.plug(switch, address)
        return host

    def attach(self, device: str, switch: Switch) -> None:
        """Put a device that a program has made on the switchboard onto a switch."""
        _batch(self.board, [f"link set {device} master {switch.name} up"])

    def part(self, *groups: Iterable[Port]) -> None:
        """Part ports from all others: each group keeps a switch of its own, and nobody is told (no carrier is lost).
        Where a port was is known to `heal`."""
        for group in groups:
            ports = list(group)
            apart = self.switch("apart")
            apart.passes_multicast = all(port.switch.passes_multicast for port in ports)
            for port in ports:
                self._homes.setdefault(port.name_here, port.switch)
                port.move(apart)

    def heal(self) -> None:
        """Every port that was parted is back on its switch."""
        for port in self.ports:
            if (home := self._homes.pop(port.name_here, None)) is not None:
                port.move(home)

    def on_close(self, work: Callable[[], None]) -> None:
        """Do this before the hosts are taken away."""
        self._closing.append(work)

    def close(self) -> None:
        """Take everything away."""
        for work in reversed(self._closing):
            work()
        self._closing.clear()
        for host in self.hosts:
            host.close()
        self.hosts.clear()
        _remove(self.board)

    def _add_namespace(self, name: str) -> str:
        full = f"{_own_prefix()}-{next(_numbers)}-{name}"
        _ip("netns", "add", full)
        try:
            _batch(full, ["link set lo up"])
        except BaseException:
            _remove(full)
            raise
        return full

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def end(children: Iterable[subprocess.Popen[Any]], wait_s: float = END_S) -> None:
    """SIGTERM and some time, where there is any; SIGKILL."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.terminate() if wait_s else child.kill()
    until = time.monotonic() + wait_s
    for child in running:
        try:
            child.wait(max(0.0, until - time.monotonic()) if wait_s else None)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _own_prefix() -> str:
    return f"{PREFIX}-{os.getpid()}-{_started(os.getpid())}"


def _started(pid: int) -> str:
    """When that process began, in the kernel's ticks: a process id alone may be another's by now. Empty: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _remove(namespace: str) -> None:
    """Delete a namespace, with the programs that still run in it."""
    if not (NAMESPACES / namespace).exists():
        return
    for pid in {int(word) for word in _ip("netns", "pids", namespace).split()} - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _ip("netns", "del", namespace)


_one_at_a_time = threading.Lock()


def _ip(*arguments: str, given: str | None = None) -> str:
    with _one_at_a_time:  # some ip commands answer "busy" to each other
        done = subprocess.run(["ip", *arguments], input=given, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, ["ip", *arguments, given], done.stdout, done.stderr)
    return done.stdout


def _batch(namespace: str, commands: Iterable[str]) -> None:
    """Several ip commands in one namespace."""
    _ip("-n", namespace, "-batch", "-", given="\n".join(commands) + "\n")
