"""Tills find each other with real multicast on loopback, under both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import ifaddr
import pytest
import uvloop
import zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from posline.sync import discovery
from posline.sync.discovery import SERVICE, Discovery, local_addresses
from posline.sync.places import ADDRESSES_MAX, AUTHORS_MAX, read_address, write_address
from tests.kit import key_of

RUN = f"{os.getpid()} {time.time_ns()}"  # other runs of these tests on this machine are other shops
SHOP, STRANGERS = key_of(f"shop {RUN}").id, key_of(f"another shop {RUN}").id
ANN, BOB, CID = (key_of(name).id for name in ("ann", "bob", "cid"))
LOOPBACK = ["127.0.0.1"]
SOON_S = 20.0  # on a busy machine; what is waited for takes milliseconds, or a question's interval


def multicast_on_loopback() -> bool:
    """Whether a packet to the group of mDNS comes back by the loopback interface."""
    group = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("224.0.0.251", 0))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            s.settimeout(2)
            s.sendto(b"there?", s.getsockname())
            return s.recv(64) == b"there?"
        except OSError:
            return False


on_loopback = pytest.mark.skipif(not multicast_on_loopback(), reason="the loopback interface carries no multicast here")
both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a till does every few seconds, several times a second."""
    for name, seconds in {"POLL_S": 0.1, "FIRST_ASK_S": 1.0, "ASK_S": 0.5, "RETRY_S": 0.3}.items():
        monkeypatch.setattr(discovery, name, seconds)


def run(loop: str, test: Callable[[], Awaitable[None]]) -> None:
    """Run `test` in an event loop of that kind; nothing may go wrong unseen in its callbacks."""
    wrong: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with asyncio.timeout(3 * SOON_S):
            await test()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(watched())
    assert not wrong


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Till:
    """A device that says it listens on a port, and what it found, oldest first."""

    def __init__(self, author: str, port: int, shop: str = SHOP, hosts: list[str] | None = None) -> None:
        self.found: list[tuple[str, list[str]]] = []
        self.hosts = LOOPBACK if hosts is None else hosts
        self.discovery = Discovery(
            shop,
            author,
            port,
            addresses=lambda: self.hosts,
            on_found=lambda who, where: self.found.append((who, where)),
        )

    def last(self, author: str) -> list[str]:
        return next((where for who, where in reversed(self.found) if who == author), [])


@contextlib.asynccontextmanager
async def running(*tills: Till) -> AsyncIterator[None]:
    for till in tills:
        await till.discovery.start()
    try:
        yield
    finally:
        await asyncio.gather(*(till.discovery.stop() for till in tills))


@on_loopback
@both_loops
def test_tills_of_one_shop_find_each_other_and_no_strangers(loop: str) -> None:
    async def test() -> None:
        ann, bob, other = Till(ANN, 8701), Till(BOB, 8702), Till(CID, 8703, STRANGERS)
        twin = Till(ANN, 8709, STRANGERS)  # the other shop's devices do find each other, so there was time to
        async with running(other, ann, bob, twin):
            await until(lambda: ann.found and bob.found and other.found and twin.found)
            assert ann.found == [(BOB, ["127.0.0.1:8702"])]
            assert bob.found == [(ANN, ["127.0.0.1:8701"])]
            assert other.found == [(ANN, ["127.0.0.1:8709"])]

    run(loop, test)


@on_loopback
@both_loops
def test_what_changes_is_reported_again(loop: str) -> None:
    async def test() -> None:
        ann, bob = Till(ANN, 8701), Till(BOB, 8702)
        async with running(ann, bob):
            await until(lambda: ann.found and bob.found)
            bob.discovery.announce(8712)
            await until(lambda: ann.last(BOB) == ["127.0.0.1:8712"])
            bob.hosts = ["127.0.0.1", "127.0.0.2"]  # noticed without a word
            await until(lambda: sorted(ann.last(BOB)) == ["127.0.0.1:8712", "127.0.0.2:8712"])
            bob.hosts = ["127.0.0.2"]
            await until(lambda: ann.last(BOB) == ["127.0.0.2:8712"])
            assert bob.found == [(ANN, ["127.0.0.1:8701"])], "who did not change is reported once"

    run(loop, test)


@on_loopback
@both_loops
def test_who_stopped_is_found_again_when_back(loop: str) -> None:
    async def test() -> None:
        ann, bob = Till(ANN, 8701), Till(BOB, 8702)
        async with running(ann):
            for times in (1, 2):
                async with running(bob):
                    await until(lambda times=times: len(ann.found) == len(bob.found) == times)  # type: ignore[misc]
            assert ann.found == [(BOB, ["127.0.0.1:8702"])] * 2
            bob.hosts = ["till.example"]
            async with running(bob):
                await until(lambda: len(bob.found) == 3)
                assert len(ann.found) == 2, "who listens nowhere looks for others and says nothing"
                bob.hosts = LOOPBACK
                await until(lambda: len(ann.found) == 3)
                bob.hosts = []
                await until(lambda: bob.discovery._said == (8702, []))
                bob.hosts = LOOPBACK
                await until(lambda: len(ann.found) == 4)

    run(loop, test)


@on_loopback
def test_who_was_unheard_at_the_start_is_found_by_a_later_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch came up after both had said all that they say of themselves, and after the library's own questions."""
    send, ask, silent, asking = zeroconf.Zeroconf.async_send, Discovery._ask, [True], [False]
    monkeypatch.setattr(discovery, "FIRST_ASK_S", 3.0)

    def cut(self: zeroconf.Zeroconf, out: Any, *arguments: Any, **named: Any) -> None:
        if not silent[0] and (asking[0] or not out.is_query()):
            send(self, out, *arguments, **named)

    async def asked(*arguments: Any) -> None:
        asking[0] = True
        await ask(*arguments)
        asking[0] = False

    monkeypatch.setattr(zeroconf.Zeroconf, "async_send", cut)
    monkeypatch.setattr(Discovery, "_ask", asked)

    async def test() -> None:
        ann, bob = Till(ANN, 8701), Till(BOB, 8702)
        async with running(ann, bob):
            await until(lambda: ann.discovery._said[1] and bob.discovery._said[1])
            await asyncio.sleep(1)  # by then all three announcements were lost
            silent[0] = False
            monkeypatch.setattr(AsyncServiceInfo, "load_from_cache", heard_oneself)
            await until(lambda: ann.found and bob.found)

    load = AsyncServiceInfo.load_from_cache

    def heard_oneself(self: AsyncServiceInfo, zc: zeroconf.Zeroconf) -> bool:
        return load(self, zc) or asking[0]

    run("asyncio", test)


@on_loopback
@both_loops
def test_a_flood_of_made_up_tills_is_bounded_and_hides_none(loop: str) -> None:
    def made_up(n: int, shop: str) -> AsyncServiceInfo:
        author = key_of(f"made up {n}").id
        text = {"shop": shop[:16], "till": author, "v": "1"}
        name = f"{shop[:16]}-{author}.{SERVICE}"
        return AsyncServiceInfo(
            SERVICE, name, 1 + n, properties=text, server=f"{author}.local.", parsed_addresses=LOOPBACK
        )

    def pointers(first: int, shop: str) -> zeroconf.DNSOutgoing:  # type: ignore[name-defined]
        out = zeroconf.DNSOutgoing(0x8400)  # type: ignore[attr-defined]
        for n in range(first, first + 20):
            out.add_answer_at_time(made_up(n, shop).dns_pointer(), 0)
        return out

    async def test() -> None:
        ann, bob = Till(ANN, 8701), Till(BOB, 8702)
        async with running(ann):
            liar = AsyncZeroconf(interfaces=LOOPBACK)
            await liar.zeroconf.async_wait_for_start()
            for n in range(AUTHORS_MAX + 20):
                for shop in (SHOP, STRANGERS):
                    liar.zeroconf.async_send(liar.zeroconf.generate_service_broadcast(made_up(n, shop), None))
                await asyncio.sleep(0)  # the kernel keeps only so many unread
            await until(lambda: len(ann.found) == AUTHORS_MAX + 20)
            assert len(ann.discovery._found) == AUTHORS_MAX
            liar.zeroconf.async_send(pointers(1000, STRANGERS))
            liar.zeroconf.async_send(liar.zeroconf.generate_service_broadcast(made_up(500, SHOP), None))
            await until(lambda: len(ann.found) == AUTHORS_MAX + 21)
            assert not ann.discovery._lookups, "strangers cost nothing"
            for first in range(1000, 1200, 20):  # names alone, so that the addresses would have to be asked for
                liar.zeroconf.async_send(pointers(first, SHOP))
            await until(lambda: len(ann.discovery._lookups) == discovery.LOOKUPS_MAX)
            async with running(bob):
                await until(lambda: ann.last(BOB))
                assert len(ann.discovery._lookups) <= discovery.LOOKUPS_MAX
            await liar.async_close()
        assert not ann.discovery._lookups

    run(loop, test)


@on_loopback
def test_records_that_make_no_sense_are_not_reported() -> None:
    name = f"{SHOP[:16]}-{BOB}.{SERVICE}"
    good: dict[str, Any] = {"shop": SHOP[:16], "till": BOB, "v": "1"}

    async def test() -> None:
        ann = Till(ANN, 8701)
        async with running(ann):
            liar = AsyncZeroconf(interfaces=LOOPBACK)
            await liar.zeroconf.async_wait_for_start()

            def say(text: dict[str, Any], port: int = 1, hosts: list[str] = LOOPBACK, name: str = name) -> None:
                info = AsyncServiceInfo(
                    SERVICE, name, port, properties=text, server="liar.local.", parsed_addresses=hosts
                )
                liar.zeroconf.async_send(liar.zeroconf.generate_service_broadcast(info, None))

            for text in ({}, good | {"till": CID}, good | {"shop": "x"}, good | {"v": "2"}, good | {"v": b"\xff"}):
                say(text)
            say(good, port=0)
            say(good, hosts=["0.0.0.0"])
            say(good, hosts=["fe80::1", "ff02::1"])
            for strange in ("x", f"{SHOP[:16]}-{ANN}", f"{SHOP[:16]}-{BOB}x", f"a.{SHOP[:16]}-{BOB}", "é" * 20):
                say(good, name=f"{strange}.{SERVICE}")
            await asyncio.sleep(1.2)  # records of one name that came within a second stand side by side
            say(good, port=8702, hosts=[f"127.0.0.{n}" for n in range(1, 30)])
            await until(lambda: ann.found)
            await liar.async_close()
        assert [(who, len(where)) for who, where in ann.found] == [(BOB, ADDRESSES_MAX)]

    run("asyncio", test)


def test_where_multicast_is_not_permitted_one_line_is_logged_until_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def refuse(**_: object) -> AsyncZeroconf:
        tried.append(True)
        raise OSError("Operation not permitted")

    async def test() -> None:
        ann = Till(ANN, 8701)
        async with running(ann):
            await until(lambda: len(tried) >= 3)
            if multicast_on_loopback():
                monkeypatch.setattr(discovery, "AsyncZeroconf", AsyncZeroconf)
                await until(lambda: "works again" in caplog.text)

    monkeypatch.setattr(discovery, "_interfaces", lambda **_: LOOPBACK)
    monkeypatch.setattr(discovery, "AsyncZeroconf", refuse)
    with caplog.at_level(logging.INFO, "posline"):
        run("asyncio", test)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "Operation not permitted" in warnings[0]
    assert "5353" in warnings[0]


@on_loopback
def test_a_machine_that_does_not_hear_itself_is_told_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A firewall that drops what comes in on the port raises no error anywhere."""
    send = zeroconf.Zeroconf.async_send

    async def test() -> None:
        ann = Till(ANN, 8701)
        async with running(ann):
            await until(lambda: "does not hear its own multicast" in caplog.text)
            monkeypatch.setattr(zeroconf.Zeroconf, "async_send", send)
            await until(lambda: "works again" in caplog.text)

    monkeypatch.setattr(zeroconf.Zeroconf, "async_send", lambda *_, **__: None)
    with caplog.at_level(logging.INFO, "posline"):
        run("asyncio", test)


@on_loopback
def test_nothing_that_goes_wrong_ends_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        ann, bob = Till(ANN, 8701), Till(BOB, 8702)
        ann.discovery._on_found = lambda *_: 1 / 0  # type: ignore[assignment,func-returns-value]
        ann.hosts = None  # type: ignore[assignment]
        async with running(ann, bob):
            await until(lambda: "other devices cannot be found" in caplog.text)
            ann.hosts = LOOPBACK
            await until(lambda: "was not taken" in caplog.text and bob.found)

    run("asyncio", test)


@on_loopback
@both_loops
def test_stopping_takes_no_longer_than_its_limit(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        ann = Till(ANN, 8701)
        await ann.discovery.stop()  # never started
        await ann.discovery.start()
        await until(lambda: ann.discovery._said[1])
        async with asyncio.timeout(discovery.CLOSE_S + 5):
            await ann.discovery.stop()
            await ann.discovery.stop()
        bob = Till(BOB, 8702)
        await bob.discovery.start()
        await bob.discovery.stop()  # before it began

    monkeypatch.setattr(discovery, "CLOSE_S", 0.1)
    monkeypatch.setattr(AsyncZeroconf, "async_close", hang)
    run(loop, test)


def adapter(*ips: str, index: int = 2) -> ifaddr.Adapter:
    found = []
    for text in ips:
        host, _, prefix = text.partition("/")
        found.append(ifaddr.IP((host, 0, 0) if ":" in host else host, int(prefix or 24), "eth0"))
    return ifaddr.Adapter("eth0", "eth0", found, index=index)


@pytest.mark.parametrize(
    ("ips", "hosts"),
    [
        (["10.0.0.5", "192.168.1.7"], ["192.168.1.7", "10.0.0.5"]),
        (["fd00::7", "2001:db8::7", "10.0.0.5", "fe80::7"], ["10.0.0.5", "fd00::7", "2001:db8::7"]),
        (["10.0.0.5", "169.254.9.9"], ["10.0.0.5"]),
        (["169.254.9.9", "fe80::7"], ["169.254.9.9"]),
        (["fe80::7"], ["127.0.0.1"]),
        (["::1", "127.0.0.2"], ["127.0.0.1"]),
        ([], ["127.0.0.1"]),
        ([f"10.0.0.{n}" for n in range(20)] + ["192.168.1.7"], ["192.168.1.7"] + [f"10.0.0.{n}" for n in range(7)]),
    ],
)
def test_the_addresses_of_this_machine_in_the_order_to_try(
    ips: list[str], hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter("127.0.0.1/8", "::1/128", index=1), adapter(*ips)])
    monkeypatch.setattr(discovery, "_outgoing", lambda family, _: "192.168.1.7" if family == socket.AF_INET else "")
    assert local_addresses() == hosts


def test_the_addresses_of_the_machine_that_runs_this() -> None:
    hosts = local_addresses()
    assert hosts
    assert all(read_address(write_address(host, 8701)) for host in hosts)


def test_what_to_speak_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interfaces(*adapters: ifaddr.Adapter, only: bool = False) -> list[str | int]:
        monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
        return discovery._interfaces(loopback_only=only)

    lo, eth0 = adapter("127.0.0.1/8", "127.0.0.2", "::1", index=1), adapter("10.0.0.5", "fd00::5")
    assert interfaces(lo, eth0, adapter("192.168.1.7", index=3)) == ["127.0.0.1", "10.0.0.5", "192.168.1.7"]
    assert interfaces(lo, eth0, only=True) == ["127.0.0.1"]
    assert interfaces(lo) == ["127.0.0.1"]
    assert interfaces(lo, adapter("fd00::5", "fe80::5")) == ["127.0.0.1", 2]
    assert interfaces(eth0, only=True) == ["10.0.0.5"]
    assert interfaces() == []
    assert len(interfaces(*(adapter(f"10.0.{n}.1") for n in range(40)))) == discovery.INTERFACES_MAX
