"""The address book of one shop: where each member was last known to listen, and in which order to try.

Pure: no I/O, no clock, no chance. Nothing here is trusted: whoever dials an address asks who answers, so the worst
that a made-up address costs is a dial that fails. What comes first is decided by turns and not by time of day, since
a till's clock may jump after a power cut.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import msgspec

from posline.core.numbers import AUTHOR

__all__ = [
    "ADDRESSES_MAX",
    "ADDRESS_CHARS_MAX",
    "AUTHORS_MAX",
    "Places",
    "Source",
    "is_loopback",
    "neighbourhood",
    "read_address",
    "write_address",
]

ADDRESSES_MAX = 8  # of one member: two interfaces with IPv4 and IPv6, and as many from before they changed
AUTHORS_MAX = 64  # members of one shop that are remembered: some four times the tills of a large one
ADDRESS_CHARS_MAX = 100  # [IPv6]:port takes 47; all of both limits above still fits one message of 64 KiB
HINTS_KEPT = 2  # of one member's addresses: so that one who moved is found though eight old addresses are known
NETWORK_BITS = 64  # of the longer kind, the least that a line to the internet is given
JSON_CHARS_MAX = 128 * 1024  # twice what a full book takes

_NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class Source(IntEnum):
    """Who said where a member listens; the smaller, the better it is known."""

    SELF = 0  # the member itself, over a link on which it proved who it is
    DISCOVERED = 1  # multicast on the local network: anyone there can say anything
    HEARSAY = 2  # another member


@dataclass(slots=True)
class _Place:
    """One address of one member. `worked` and `failed` are turns, 0 for never; at most one of them is set."""

    source: Source
    heard: int
    worked: int = 0
    failed: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        """The smaller, the earlier to try: the one that worked last; then by source, newest first; then what failed,
        longest ago first, so that a member whose every address failed is tried at each in turn."""
        if self.worked:
            return 0, 0, -self.worked
        if self.failed:
            return 2, self.failed, 0
        return 1, self.source, -self.heard

    @property
    def proven(self) -> bool:
        """Whether the member said it itself, or answered there the last time."""
        return self.source is Source.SELF or self.worked > 0


class Places:
    """Where the members of one shop listen. `own` is this device, of whom nothing is kept.

    An address on the loopback interface is believed only when it was said on this machine (`here`): anywhere else it
    would lead a till to itself.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._turn = 0
        self._members: dict[str, dict[str, _Place]] = {}  # the one that was heard of last stands last

    def heard(self, author: str, addresses: Iterable[str], *, source: Source, here: bool = False) -> None:
        """Someone says that `author` listens at `addresses`, best first. What the member says itself replaces all that
        was known, an address that works aside; a hint only adds. `here`: said by a link or multicast on loopback."""
        if author == self._own or not AUTHOR.fullmatch(author):
            return
        said = self._readable(addresses, here)
        known = self._members.pop(author, {})
        turn = self._next()
        if source is Source.SELF:
            kept = {a: p for a, p in known.items() if p.worked and a not in said}
            known = {a: _Place(source, turn, known[a].worked if a in known else 0) for a in said} | kept
        else:
            for address in said:
                place = known.setdefault(address, _Place(source, turn))
                place.source, place.heard = min(place.source, source), turn
        self._keep(author, known)

    def worked(self, author: str, address: str) -> None:
        """`author` answered at `address` and proved who it is: try it first. Whoever else was said to be there is tried
        there last."""
        read = read_address(address)
        if author == self._own or not AUTHOR.fullmatch(author) or read is None:
            return
        for other in self._members.keys() - {author}:
            self.failed(other, read)
        known = self._members.pop(author, {})
        turn = self._next()
        place = known.setdefault(read, _Place(Source.HEARSAY, turn))
        place.worked, place.failed = turn, 0
        self._keep(author, known)

    def failed(self, author: str, address: str) -> None:
        """`author` did not answer at `address`: try it last."""
        place = self._members.get(author, {}).get(read_address(address) or "")
        if place is not None:
            place.worked, place.failed = 0, self._next()

    def of(self, author: str) -> list[str]:
        """Where to try `author`, in order."""
        known = self._members.get(author, {})
        return sorted(known, key=lambda address: known[address].order)

    def authors(self) -> list[str]:
        """The members of whom an address is known, by id."""
        return sorted(self._members)

    def hearsay(self, except_author: str, *, here: bool = False) -> dict[str, list[str]]:
        """What to tell the peer `except_author` about others: what they said themselves and where they answered, no
        rumour. `here`: the peer is on this machine, so loopback addresses are of use to it."""
        told = {
            author: [a for a in self.of(author) if known[a].proven and (here or not is_loopback(a))]
            for author, known in sorted(self._members.items())
            if author != except_author
        }
        return {author: addresses for author, addresses in told.items() if addresses}

    def forget(self, author: str) -> None:
        """Nothing is known of `author` any more."""
        self._members.pop(author, None)

    def to_json(self) -> str:
        """The whole book, to be read by `from_json`."""
        members = {
            author: [[a, known[a].source.name, known[a].worked > 0, known[a].failed > 0] for a in self.of(author)]
            for author, known in self._members.items()
        }
        return msgspec.json.encode({"v": 1, "members": members}).decode()

    @classmethod
    def from_json(cls, own: str, text: str | bytes) -> Places:
        """The book that `to_json` wrote; without what cannot be read of it, which may be all. Never raises."""
        places = cls(own)
        if len(text) > JSON_CHARS_MAX:
            return places
        try:
            fields = msgspec.json.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return places
        members = fields.get("members") if isinstance(fields, dict) and fields.get("v") == 1 else None
        for author, rows in members.items() if isinstance(members, dict) else ():
            if author != own and AUTHOR.fullmatch(author) and isinstance(rows, list):
                places._keep(author, places._restored(rows))
        return places

    def _restored(self, rows: list[Any]) -> dict[str, _Place]:
        """Places in the order written, best first: the turns are dealt again, later ones for those that worked or were
        heard last."""
        known: dict[str, _Place] = {}
        rows = rows[:ADDRESSES_MAX]
        first = self._turn + 1
        self._turn += 2 * len(rows)
        for i, row in enumerate(rows):
            match row:
                case [str(text), str(name), bool(worked), bool(failed)] if name in Source.__members__:
                    address = read_address(text)
                    if address is not None:
                        newest = first + 2 * len(rows) - 1 - i
                        known[address] = _Place(
                            Source[name], newest, newest if worked else 0, first + i if failed and not worked else 0
                        )
        return known

    def _readable(self, addresses: Iterable[str], here: bool) -> list[str]:
        """The first few that can be read and may be believed, each once."""
        found: dict[str, None] = {}
        for text in addresses:
            address = read_address(text)
            if address is not None and (here or not is_loopback(address)):
                found[address] = None
            if len(found) == ADDRESSES_MAX:
                break
        return list(found)

    def _keep(self, author: str, known: dict[str, _Place]) -> None:
        """Write down what is known of `author`, within the limits: hints go first, and what failed before the rest."""
        while len(known) > ADDRESSES_MAX:
            ranked = sorted(known, key=lambda address: known[address].order)
            hints = [address for address in ranked if not known[address].proven]
            crowd = hints if len(hints) > HINTS_KEPT else [a for a in ranked if known[a].proven]
            del known[crowd[-1]]
        if known:
            self._members[author] = known
        if len(self._members) > AUTHORS_MAX:
            del self._members[max(self._members, key=self._worth)]  # the first of equals: not heard of for longest

    def _worth(self, author: str) -> int:
        places = self._members[author].values()
        return min(Source.SELF if place.proven else place.source for place in places)

    def _next(self) -> int:
        self._turn += 1
        return self._turn


def read_address(text: object) -> str | None:
    """`host:port` in the one way it is written here; None if it is no address that one could dial: a host is an IPv4
    address, an IPv6 address in brackets or a name."""
    if not isinstance(text, str) or len(text) > ADDRESS_CHARS_MAX:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        return None
    if not (host.startswith("[") and host.endswith("]")):
        host = host.lower()
        return f"{host}:{port}" if _NAME.fullmatch(host) or _dialable(host, ipaddress.IPv4Address) else None
    found = _dialable(host[1:-1], ipaddress.IPv6Address)
    return f"[{found}]:{port}" if found else None


def write_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: str) -> bool:
    """Whether an address as `read_address` gives it leads to the machine itself."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@lru_cache(maxsize=20_000)  # asked of all that are connected whenever somebody connects
def neighbourhood(host: str) -> str:
    """What connections from an address are counted by: the address itself, or of the longer kind out on the internet
    its network, whose addresses one machine has many of."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv4Address) or not found.is_global:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))


def _dialable(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> str:
    """The address as text; "" if it is none, or none of one machine. An IPv6 address that only holds on one cable needs
    the cable's name, which no other machine knows; IPv4 in IPv6's clothes would pass for something else."""
    try:
        found = kind(host)
    except ValueError:
        return ""
    if found.is_unspecified or found.is_multicast or found == ipaddress.IPv4Address("255.255.255.255"):
        return ""
    if isinstance(found, ipaddress.IPv6Address) and (found.is_link_local or found.scope_id or found.ipv4_mapped):
        return ""
    return str(found)
