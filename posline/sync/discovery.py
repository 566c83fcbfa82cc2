"""Finding the other tills of a shop on the local network, with nothing configured: multicast DNS (zeroconf).

Lives here: what this device says of itself on every interface, hearing what others say, and starting anew when the
interfaces change. It knows nothing of links and trusts nothing: what it finds is a hint for the address book
(posline.sync.places), and whoever dials it asks who answers. A network that carries no multicast costs one line in the
log; the till goes on with the addresses that it knows otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

import ifaddr
import zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from posline.sync.places import ADDRESSES_MAX, AUTHORS_MAX, is_loopback, read_address, write_address

__all__ = ["SERVICE", "Discovery", "local_addresses"]

log = logging.getLogger("posline.sync")

SERVICE = "_posline._tcp.local."
SHOP_LETTERS = 16  # of the shop's id: enough to tell shops apart, and its whole id is not told to the street
POLL_S = 3.0  # how often to look at the interfaces: a cable or Wi-Fi that is back is noticed within it
FIRST_ASK_S = 2.0  # after starting: what was said at start has been heard by then, by oneself too
UNHEARD_MAX = 2  # times that oneself may go unheard: a packet is lost where much is said
ASK_S = 20.0  # between questions: who was cut off is found again within it; a few small packets
RETRY_S = 30.0  # after multicast did not work
CLOSE_S = 2.0  # for the goodbye, which takes a quarter of a second
LOOKUP_MS = 3000  # for one that was announced without its address
LOOKUPS_MAX = 4  # at once: announcements carry addresses, so any is the exception
INTERFACES_MAX = 16  # with IPv4: Linux takes 20 memberships a socket

_LABEL = re.compile(rf"([a-z2-7]{{{SHOP_LETTERS}}})-([a-z2-7]{{26}})", re.ASCII)
_PTR, _IN, _QUERY = 12, 1, 0  # RFC 1035: type, class, flags

_Card = IPv4Interface | IPv6Interface


class Discovery:
    """Says on the local network that `author` of `shop` listens on `port`, and calls `on_found(author, addresses)` with
    `host:port` texts for every other device of the shop that says so, again when it says something else or is back.

    `addresses` gives the IP addresses to advertise, looked at every few seconds; none, or port 0, and only others are
    looked for. A name among them is passed over: who finds a till by multicast may have no one to ask for it. Addresses
    on the loopback interface are advertised and looked for on that interface only.
    """

    def __init__(
        self,
        shop: str,
        author: str,
        port: int,
        *,
        addresses: Callable[[], list[str]] | None = None,
        on_found: Callable[[str, list[str]], None],
    ) -> None:
        self._shop, self._author, self._port = shop[:SHOP_LETTERS], author, port
        self._addresses, self._on_found = addresses or local_addresses, on_found
        self._name = f"{self._shop}-{author}.{SERVICE}"
        self._zeroconf: AsyncZeroconf | None = None
        self._interfaces: list[str | int] = []
        self._cards: list[_Card] = []
        self._said: tuple[int, list[str]] = (0, [])
        self._found: dict[str, frozenset[str]] = {}  # what was reported last, of the last AUTHORS_MAX
        self._lookups: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._next_s = 0.0  # when to ask, or to try again
        self._unheard = 0  # questions in a row before which oneself was not heard
        self._complaint = ""

    async def start(self) -> None:
        """Begin. Returns at once and raises nothing: a network that does not permit it is logged and tried again."""
        library = logging.getLogger("zeroconf")
        if library.level == logging.NOTSET:  # it writes several lines for each thing that is said here in one
            library.setLevel(logging.CRITICAL)
        self._task = asyncio.create_task(self._run(), name="discovery")

    async def stop(self) -> None:
        """Say goodbye, and be silent. Takes at most some seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._close()

    def announce(self, port: int | None = None) -> None:
        """Say at once what changed: the addresses, or the port."""
        self._port = self._port if port is None else port
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._tend()
            except Exception as error:  # whatever it is, the till sells on
                self._complain(str(error) or type(error).__name__, None if isinstance(error, OSError) else error)
                await self._fail()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def _tend(self) -> None:
        """Do what is due: start on the interfaces that are there now, say what changed, ask who is there."""
        now_s = asyncio.get_running_loop().time()
        self._cards = list(_own())
        hosts = [host for host in self._addresses() if _is_ip(host)][:ADDRESSES_MAX] if self._port else []
        interfaces = _interfaces(loopback_only=bool(hosts) and all(is_loopback(write_address(h, 1)) for h in hosts))
        if interfaces != self._interfaces or (self._zeroconf is None and now_s >= self._next_s):
            await self._close()
            self._interfaces = interfaces
            await self._open(hosts)
        elif self._zeroconf is not None and (self._port, hosts) != self._said:
            await self._say(self._zeroconf, hosts)
        elif self._zeroconf is not None and now_s >= self._next_s:
            await self._ask(self._zeroconf.zeroconf, now_s)

    async def _open(self, hosts: list[str]) -> None:
        if not self._interfaces:
            raise OSError("this machine has no network interface that is up")
        self._zeroconf = AsyncZeroconf(interfaces=self._interfaces)
        self._said = (0, [])
        self._unheard = 0
        self._next_s = asyncio.get_running_loop().time() + FIRST_ASK_S
        AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE, handlers=[self._changed])
        if hosts:
            await self._say(self._zeroconf, hosts)

    async def _say(self, zc: AsyncZeroconf, hosts: list[str]) -> None:
        """Advertise. A name that another has taken is no reason not to: the records of both are hints alike."""
        before, self._said = self._said, (self._port, hosts)
        info = AsyncServiceInfo(
            SERVICE,
            self._name,
            port=self._port,
            properties={"shop": self._shop, "till": self._author, "v": "1"},
            server=self._name.replace(SERVICE, "local."),  # its own: who says goodbye takes its addresses along
            parsed_addresses=hosts,
        )
        if not hosts:
            await (await zc.async_unregister_service(info))
        elif before[1]:
            await (await zc.async_update_service(info))
        else:
            await (await zc.async_register_service(info, cooperating_responders=True))

    async def _ask(self, zc: zeroconf.Zeroconf, now_s: float) -> None:
        """Ask who is there, naming none that is known, so that addresses that changed are said too; and look at what is
        known, since an address that is said no more is no event. What oneself said must have been heard by then:
        multicast comes back to its sender."""
        heard = not self._said[1] or AsyncServiceInfo(SERVICE, self._name).load_from_cache(zc)
        self._unheard = 0 if heard else self._unheard + 1
        if self._unheard > UNHEARD_MAX:
            self._complain("this machine does not hear its own multicast")
            await self._fail()
            return
        if heard and self._complaint:
            log.info("finding other devices on the local network works again")
            self._complaint = ""
        question = zeroconf.DNSOutgoing(_QUERY)  # type: ignore[attr-defined]
        question.add_question(zeroconf.DNSQuestion(SERVICE, _PTR, _IN))  # type: ignore[attr-defined]
        zc.async_send(question)
        for author in list(self._found):
            info = AsyncServiceInfo(SERVICE, f"{self._shop}-{author}.{SERVICE}")
            if info.load_from_cache(zc):
                self._report(author, info)
        self._next_s = now_s + (ASK_S if heard else FIRST_ASK_S)

    async def _fail(self) -> None:
        await self._close()
        self._next_s = asyncio.get_running_loop().time() + RETRY_S

    async def _close(self) -> None:
        """Say goodbye and give up the sockets, however long the network takes."""
        lookups = list(self._lookups.values())
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        self._found.clear()
        zc, self._zeroconf = self._zeroconf, None
        if zc is None:
            return
        closed = False
        try:
            async with asyncio.timeout(CLOSE_S):
                await zc.async_close()
                closed = True
        except (OSError, zeroconf.Error) as error:  # a timeout is an OSError
            log.debug("no goodbye on the local network: %s", error)
        finally:
            if not closed:
                with contextlib.suppress(Exception):
                    zc.zeroconf.close()

    def _changed(self, **event: Any) -> None:
        """A name appeared, changed or went. Strangers are known by it, and cost nothing more."""
        name: str = event["name"]
        match = _LABEL.fullmatch(name.removesuffix(f".{SERVICE}"))
        if match is None or match[1] != self._shop or match[2] == self._author:
            return
        author, zc = match[2], event["zeroconf"]
        if event["state_change"] is zeroconf.ServiceStateChange.Removed:
            self._found.pop(author, None)
            return
        info = AsyncServiceInfo(SERVICE, name)
        if info.load_from_cache(zc):
            self._report(author, info)
        elif author not in self._lookups and len(self._lookups) < LOOKUPS_MAX:
            task = asyncio.create_task(self._look_up(zc, author, info))
            self._lookups[author] = task
            task.add_done_callback(lambda _: self._lookups.pop(author, None))

    async def _look_up(self, zc: zeroconf.Zeroconf, author: str, info: AsyncServiceInfo) -> None:
        with contextlib.suppress(OSError, zeroconf.Error):
            if await info.async_request(zc, LOOKUP_MS):
                self._report(author, info)

    def _report(self, author: str, info: AsyncServiceInfo) -> None:
        """Pass on what a device says, unless it was the same the last time."""
        said = {key: info.properties.get(key.encode()) for key in ("shop", "till", "v")}
        if said != {"shop": self._shop.encode(), "till": author.encode(), "v": b"1"} or not info.port:
            return
        hosts = sorted(info.parsed_addresses(), key=lambda host: _distance(host, self._cards))
        addresses = [a for host in hosts if (a := read_address(write_address(host, info.port)))][:ADDRESSES_MAX]
        if not addresses:
            return
        before = self._found.pop(author, None)
        self._found[author] = frozenset(addresses)
        if len(self._found) > AUTHORS_MAX:
            del self._found[next(iter(self._found))]
        if before == self._found[author]:
            return
        try:
            self._on_found(author, addresses)
        except Exception:
            log.exception("what was found on the local network was not taken")

    def _complain(self, reason: str, error: Exception | None = None) -> None:
        """One line each time that the reason is another."""
        if reason != self._complaint:
            self._complaint = reason
            log.warning(
                "other devices cannot be found on the local network (%s): going on with the addresses that are known, "
                "and trying again. It needs multicast on UDP port 5353",
                reason,
                exc_info=error,
            )


def local_addresses() -> list[str]:
    """Where this machine can be reached, IPv4 before IPv6, the one on the way to the default route first. Addresses
    that a machine gives itself when no router answers stand in when there are no others, and loopback at the very
    last. At most ADDRESSES_MAX."""
    found = [interface.ip for interface in _own() if not (interface.ip.is_loopback or interface.ip.is_unspecified)]
    routed = [ip for ip in found if not ip.is_link_local]
    ips = routed or [ip for ip in found if ip.version == 4]
    first = {_outgoing(socket.AF_INET, "192.0.2.1"), _outgoing(socket.AF_INET6, "2001:db8::1")}
    hosts = [str(ip) for ip in sorted(ips, key=lambda ip: (ip.version, str(ip) not in first))]
    return list(dict.fromkeys(hosts))[:ADDRESSES_MAX] or ["127.0.0.1"]


def _outgoing(family: socket.AddressFamily, host: str) -> str:
    """The address that packets to the internet would carry; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # for documentation only, RFC 5737 and 3849: no machine has it
        return str(probe.getsockname()[0])
    return ""


def _own() -> Iterator[_Card]:
    """The addresses of this machine with their networks."""
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            with contextlib.suppress(ValueError):
                yield ipaddress.ip_interface(f"{host.partition('%')[0]}/{ip.network_prefix}")


def _interfaces(*, loopback_only: bool) -> list[str | int]:
    """What to speak and listen on: loopback, for other tills of this machine, and the IPv4 address of every card; where
    there is none of those, the number of every card with IPv6."""
    v4: set[str] = set()
    v6: set[int] = set()
    loopback: list[str | int] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, tuple):
                if adapter.index is not None and ip.ip[0] != "::1":
                    v6.add(adapter.index)
            elif ip.ip == "127.0.0.1":
                loopback = [ip.ip]
            elif not ip.ip.startswith("127."):
                v4.add(ip.ip)
    if loopback_only and loopback:
        return loopback
    cards: list[str | int] = [*sorted(v4)] if v4 else [*sorted(v6)]
    return loopback + cards[:INTERFACES_MAX]


def _is_ip(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _distance(host: str, own: list[_Card]) -> tuple[int, int]:
    """IPv4 first, and in it what is in a network that this machine is in."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    return ip.version, 0 if any(ip in interface.network for interface in own) else 1
