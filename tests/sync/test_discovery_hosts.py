"""Tills find each other between hosts in network namespaces, where cables are moved, addresses change and a switch
drops multicast."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import lacks
from tests.sync.test_discovery import ANN, BOB, CID, SHOP, SOON_S, until

ROOT = Path(__file__).parents[2]
_names = itertools.count()

CHILD = """
import asyncio, sys
from posline.sync import discovery
discovery.POLL_S, discovery.FIRST_ASK_S, discovery.ASK_S, discovery.RETRY_S = 0.2, 1.0, 1.0, 0.5
import uvloop

ask = discovery.Discovery._ask
async def asked(*arguments):
    await ask(*arguments)
    print("asked", flush=True)
discovery.Discovery._ask = asked

async def main():
    shop, author, port = sys.argv[1:]
    found = lambda who, where: print("found", who, *where, flush=True)
    d = discovery.Discovery(shop, author, int(port), on_found=found)
    await d.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await d.stop()
    print("stopped", flush=True)

uvloop.run(main())
"""


class Lan:
    """Hosts in network namespaces on one switch. Small on purpose: cables, addresses and the switch's ports."""

    def __init__(self) -> None:
        self.tag = f"pd{os.getpid()}x{next(_names)}"
        self.spaces: list[str] = []
        self.children: list[Host] = []
        self.ip("netns", "add", self._space("sw"))
        self.switch("link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self.switch("link", "set", "br0", "up")

    def _space(self, name: str) -> str:
        self.spaces.append(f"{self.tag}{name}")
        return self.spaces[-1]

    def ip(self, *arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    def switch(self, *arguments: str) -> None:
        self.ip("-n", f"{self.tag}sw", *arguments)

    def host(self, name: str, *addresses: str) -> Host:
        self.ip("netns", "add", self._space(name))
        host = Host(self, name)
        host.ip("link", "set", "lo", "up")
        host.cable("eth0", *addresses)
        return host

    def close(self) -> None:
        for host in self.children:
            host.kill()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, timeout=20, check=False)


class Host:
    """One machine, with a till or none."""

    def __init__(self, lan: Lan, name: str) -> None:
        self.lan, self.name, self.space = lan, name, f"{lan.tag}{name}"
        self.child: asyncio.subprocess.Process | None = None
        self.lines: list[str] = []
        self.errors = ""

    def ip(self, *arguments: str) -> None:
        self.lan.ip("-n", self.space, *arguments)

    def cable(self, card: str, *addresses: str) -> None:
        port = f"{self.name}{card}"
        self.lan.switch("link", "add", port, "type", "veth", "peer", "name", card, "netns", self.space)
        self.lan.switch("link", "set", port, "master", "br0", "up")
        self.ip("link", "set", card, "up")
        for address in addresses:
            self.ip("addr", "add", address, "dev", card, *(["nodad"] if ":" in address else []))

    async def start(self, author: str, port: int) -> None:
        command = ["ip", "netns", "exec", self.space, sys.executable, "-c", CHILD, SHOP, author, str(port)]
        pipe = subprocess.PIPE
        self.child = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        self.lan.children.append(self)
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]

    async def _read(self) -> None:
        assert self.child is not None and self.child.stdout is not None
        async for line in self.child.stdout:
            self.lines.append(line.decode().strip())

    async def _read_errors(self) -> None:
        assert self.child is not None and self.child.stderr is not None
        async for line in self.child.stderr:
            self.errors += line.decode()

    def found(self, author: str) -> set[str]:
        """Where `author` was last said to be."""
        lines = [line.split() for line in self.lines]
        return next((set(words[2:]) for words in reversed(lines) if words[:2] == ["found", author]), set())

    async def stop(self) -> None:
        assert self.child is not None and self.child.stdin is not None
        self.child.stdin.close()
        async with asyncio.timeout(SOON_S):
            await self.child.wait()
            await asyncio.gather(*self._readers)
        assert (self.child.returncode, self.lines[-1]) == (0, "stopped"), self.errors

    def kill(self) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.kill()


def no_namespaces() -> str:
    """Why hosts cannot be made here; "" if they can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "network namespaces need Linux and iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    lan = None
    try:
        lan = Lan()
        lan.host("a", "10.9.8.1/24")
    except OSError as error:
        return f"the kernel makes no network namespaces here: {error}"
    finally:
        if lan is not None:
            lan.close()
    return ""


@pytest.fixture
def lan() -> Iterator[Lan]:
    if reason := no_namespaces():
        lacks(reason)
    lan = Lan()
    try:
        yield lan
    finally:
        lan.close()


async def test_two_hosts_on_a_switch_find_each_other_and_follow_new_addresses(lan: Lan) -> None:
    a, b = lan.host("a", "10.9.8.1/24", "fd09::1/64"), lan.host("b", "10.9.8.2/24")
    await a.start(ANN, 8701)
    await b.start(BOB, 8702)
    await until(lambda: a.found(BOB) and b.found(ANN))
    assert a.found(BOB) == {"10.9.8.2:8702"}
    assert b.found(ANN) == {"10.9.8.1:8701", "[fd09::1]:8701"}
    b.ip("addr", "del", "10.9.8.2/24", "dev", "eth0")  # the router gave it another
    b.ip("addr", "add", "10.9.8.22/24", "dev", "eth0")
    await until(lambda: a.found(BOB) == {"10.9.8.22:8702"})
    b.ip("link", "del", "eth0")  # the cable is pulled, and put into another card
    b.cable("eth7", "10.9.8.33/24")
    await until(lambda: a.found(BOB) == {"10.9.8.33:8702"})
    await a.stop()
    await b.stop()


async def test_a_host_that_had_no_network_at_start_is_found_when_it_has(lan: Lan) -> None:
    a, b = lan.host("a", "10.9.8.1/24"), lan.host("b")
    await b.start(BOB, 8702)
    await a.start(ANN, 8701)
    b.ip("addr", "add", "10.9.8.2/24", "dev", "eth0")
    await until(lambda: a.found(BOB) == {"10.9.8.2:8702"} and b.found(ANN) == {"10.9.8.1:8701"})
    await a.stop()
    await b.stop()


async def test_hosts_whose_switch_comes_up_after_them_find_each_other(lan: Lan) -> None:
    a, b = lan.host("a", "10.9.8.1/24"), lan.host("b", "10.9.8.2/24")
    lan.switch("link", "set", "aeth0", "down")
    b.ip("link", "set", "eth0", "down")
    await a.start(ANN, 8701)
    await b.start(BOB, 8702)
    c = lan.host("c", "10.9.8.3/24")
    await c.start(CID, 8703)
    lan.switch("link", "set", "aeth0", "up")
    await until(lambda: a.found(CID) and c.found(ANN))
    b.ip("link", "set", "eth0", "up")
    await until(lambda: a.found(BOB) and b.found(ANN) and b.found(CID))
    for host in (a, b, c):
        await host.stop()


async def test_a_host_with_two_cards_is_found_from_both_networks(lan: Lan) -> None:
    other = Lan()
    try:
        a, b, c = lan.host("a", "10.9.8.1/24"), lan.host("b", "10.9.8.2/24"), other.host("c", "10.9.7.3/24")
        port = f"{b.name}eth1"
        other.switch("link", "add", port, "type", "veth", "peer", "name", "eth1", "netns", b.space)
        other.switch("link", "set", port, "master", "br0", "up")
        b.ip("link", "set", "eth1", "up")
        b.ip("addr", "add", "10.9.7.2/24", "dev", "eth1")
        for host, author, number in ((a, ANN, 8701), (b, BOB, 8702), (c, CID, 8703)):
            await host.start(author, number)
        both = {"10.9.8.2:8702", "10.9.7.2:8702"}
        await until(lambda: a.found(BOB) == both and c.found(BOB) == both and b.found(ANN) and b.found(CID))
        near = [next(line for line in host.lines if BOB in line).split()[2] for host in (a, c)]
        assert near == ["10.9.8.2:8702", "10.9.7.2:8702"], "the one in the same network comes first"
        assert not a.found(CID)
        for host in (a, b, c):
            await host.stop()
    finally:
        other.close()


async def test_a_switch_that_drops_multicast_costs_nothing_but_the_finding(lan: Lan) -> None:
    a, b = lan.host("a", "10.9.8.1/24"), lan.host("b", "10.9.8.2/24")
    for port in ("aeth0", "beth0"):
        lan.switch("link", "set", port, "type", "bridge_slave", "mcast_flood", "off")
    await a.start(ANN, 8701)
    await b.start(BOB, 8702)
    await until(lambda: a.lines.count("asked") >= 3 and b.lines.count("asked") >= 3)
    assert {*a.lines, *b.lines} == {"asked"}
    for port in ("aeth0", "beth0"):
        lan.switch("link", "set", port, "type", "bridge_slave", "mcast_flood", "on")
    await until(lambda: a.found(BOB) and b.found(ANN))
    for host in (a, b):
        await host.stop()
    assert not a.errors + b.errors


async def test_a_card_without_multicast_raises_nothing_and_others_go_on(lan: Lan) -> None:
    a, b = lan.host("a", "10.9.8.1/24"), lan.host("b", "10.9.8.2/24")
    b.ip("link", "set", "eth0", "multicast", "off")
    await a.start(ANN, 8701)
    await b.start(BOB, 8702)
    b.ip("link", "set", "eth0", "multicast", "on")
    b.ip("addr", "add", "10.9.8.22/24", "dev", "eth0")
    await until(lambda: a.found(BOB) == {"10.9.8.2:8702", "10.9.8.22:8702"} and b.found(ANN))
    await a.stop()
    await b.stop()


async def test_where_there_is_no_ipv4_it_is_found_by_ipv6(lan: Lan) -> None:
    a, b = lan.host("a", "fd09::1/64"), lan.host("b", "fd09::2/64")
    await a.start(ANN, 8701)
    await b.start(BOB, 8702)
    await until(lambda: a.found(BOB) == {"[fd09::2]:8702"} and b.found(ANN) == {"[fd09::1]:8701"})
    await a.stop()
    await b.stop()


async def test_a_port_that_another_program_holds_is_taken_when_it_is_free(lan: Lan) -> None:
    a, b = lan.host("a", "10.9.8.1/24"), lan.host("b", "10.9.8.2/24")
    hold = "import socket,sys; s=socket.socket(2,2); s.bind(('',5353)); print('held',flush=True); sys.stdin.read()"
    command = ["ip", "netns", "exec", b.space, sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # noqa: ASYNC220
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        await a.start(ANN, 8701)
        await b.start(BOB, 8702)
        await until(lambda: "5353" in b.errors)
        assert not b.found(ANN)
        holder.communicate()
    await until(lambda: a.found(BOB) and b.found(ANN))
    await a.stop()
    await b.stop()
    assert b.errors.count("\n") == 1, "one line"
