"""Stateless messages between replicas: JSON {t, v, ...} in a frame of the `shop` document, at most 64 KiB.

Reading never believes a peer: every field is checked, and what cannot be read is Refused. An unknown `t` is None, so
that a newer peer may say more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from posline.core.base64url import base64url, from_base64url
from posline.core.numbers import AUTHOR
from posline.core.update import StateVector, decode_state, encode_state
from posline.errors import Refused
from posline.storage.records import Mark
from posline.sync.places import ADDRESSES_MAX, AUTHORS_MAX, read_address

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "Announce",
    "Authors",
    "Have",
    "Hello",
    "Links",
    "Message",
    "Missing",
    "Prefixes",
    "RefusedUpdate",
    "Tree",
    "Where",
    "in_messages",
    "read",
    "write",
]

MAX_PAYLOAD_BYTES = 64 * 1024
MARKS_MAX = 300  # in one `have`: 300 of about 150 bytes
HASH_BYTES = 32  # SHA-256
PREFIXES_MAX = 4000  # in one message: 8 bytes each, in base64


@dataclass(frozen=True, slots=True)
class Hello:
    """Who is there: store id, whether a till or a head office, its time and how it is known, whom it is linked with,
    and the digest over all it holds. `session` is random for each process, to know oneself; see Hub."""

    store: str
    session: str
    version: str
    kind: str
    at_ms: int
    confirmed: bool
    links: tuple[str, ...]
    root: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The digests below a node of the ladder."""

    node: str
    children: dict[str, str]


@dataclass(frozen=True, slots=True)
class Announce:
    """What is held of a document, all of one commit: send what is missing."""

    document: str
    state: StateVector
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Have:
    """How far `store` holds runs durably. `counter` grows with each that it says. `signature` is the store's own over
    `signed`, so that whoever passes it on can add nothing."""

    store: str
    counter: int
    marks: tuple[Mark, ...]
    signature: bytes = b""

    def signed(self, shop: str) -> bytes:
        """The bytes that the signature is over."""
        return b"posline-have-v1\0" + _encode([shop, self.store, self.counter, _marks(self.marks)])


@dataclass(frozen=True, slots=True)
class Links:
    """Live links and the time, when either changed."""

    links: tuple[str, ...]
    at_ms: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """Why the update whose status comes next is refused. With `hole`, something before it is missing here."""

    document: str
    reason: str
    hole: bool


@dataclass(frozen=True, slots=True)
class Authors:
    """Repair: count and digest of each author's elements."""

    document: str
    authors: dict[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Repair: the first 8 bytes of the hash of each of an author's elements; `last` closes the list."""

    document: str
    author: str
    prefixes: tuple[bytes, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """Repair: what the sender lacks, by prefix."""

    document: str
    prefixes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """Where the sender listens and where it knows others to, as `host:port`, best first. Hints: none is trusted."""

    own: tuple[str, ...]
    others: dict[str, tuple[str, ...]]


Message = Hello | Tree | Announce | Have | Links | RefusedUpdate | Authors | Prefixes | Missing | Where

_T = TypeVar("_T")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise Refused("a message from the peer has something else where bytes belong")
    try:
        return from_base64url(text)
    except ValueError:
        raise Refused("a message from the peer has bytes that cannot be read") from None


def _marks(marks: Sequence[Mark]) -> list[list[object]]:
    return [[m.author, m.run, m.seq, base64url(m.hash)] for m in marks]


def _cut(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[i : i + 8] for i in range(0, len(data) - len(data) % 8, 8))


def write(message: Message) -> str:
    """The JSON text of a message."""
    match message:
        case Hello():
            fields: dict[str, Any] = {
                "t": "hello", "store": message.store, "session": message.session, "version": message.version,
                "kind": message.kind, "at": message.at_ms, "known": message.confirmed, "links": message.links,
                "root": message.root,
            }  # fmt: skip
        case Tree():
            fields = {"t": "tree", "node": message.node, "children": message.children}
        case Announce():
            fields = {
                "t": "announce", "document": message.document, "state": base64url(encode_state(message.state)),
                "count": message.count, "digest": message.digest,
            }  # fmt: skip
        case Have():
            fields = {
                "t": "have", "store": message.store, "counter": message.counter, "marks": _marks(message.marks),
                "sig": base64url(message.signature),
            }  # fmt: skip
        case Links():
            fields = {"t": "links", "links": message.links, "at": message.at_ms, "known": message.confirmed}
        case RefusedUpdate():
            fields = {"t": "refused", "document": message.document, "reason": message.reason, "hole": message.hole}
        case Authors():
            fields = {"t": "authors", "document": message.document, "authors": message.authors}
        case Prefixes():
            fields = {
                "t": "prefixes", "document": message.document, "author": message.author,
                "prefixes": base64url(b"".join(message.prefixes)), "last": message.last,
            }  # fmt: skip
        case Missing():
            fields = {
                "t": "missing", "document": message.document, "prefixes": base64url(b"".join(message.prefixes)),
            }  # fmt: skip
        case Where():
            fields = {"t": "where", "own": message.own, "others": message.others}
    return _encode({"v": 1} | fields).decode()


def read(text: str) -> Message | None:
    """The message that a text says; None for one of a kind not known here. Raises Refused."""
    if len(text) > MAX_PAYLOAD_BYTES:
        raise Refused(f"a message of {len(text)} characters is over the limit of {MAX_PAYLOAD_BYTES}")
    try:
        fields = _decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refused("a message from the peer is no JSON object") from None
    build = _READERS.get(str(fields.get("t")))
    if build is None or fields.get("v") != 1:
        return None
    try:
        return build(fields)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise Refused(f"a {fields.get('t')} from the peer lacks something or has it wrong") from None


def _text(value: object, most: int = 200) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(value)
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(value)
    return value


def _links(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 1000:
        raise ValueError(value)
    return tuple(_text(v, 64) for v in value)


def _hello(f: dict[str, Any]) -> Hello:
    if not AUTHOR.fullmatch(_text(f["store"])):
        raise ValueError(f["store"])
    return Hello(
        f["store"], _text(f["session"], 64), _text(f["version"]), _text(f["kind"]), _number(f["at"]),
        f["known"] is True, _links(f["links"]), _text(f["root"], 64),
    )  # fmt: skip


def _tree(f: dict[str, Any]) -> Tree:
    return Tree(_text(f["node"], 64), {_text(k, 64): _text(v, 64) for k, v in f["children"].items()})


def _announce(f: dict[str, Any]) -> Announce:
    state = decode_state(_bytes(f["state"]))
    return Announce(_text(f["document"], 64), state, _number(f["count"]), _text(f["digest"], 64))


def _have(f: dict[str, Any]) -> Have:
    if len(f["marks"]) > MARKS_MAX:
        raise ValueError
    marks = tuple(
        Mark(_text(author, 64), _number(run), _number(seq), _bytes(hash)) for author, run, seq, hash in f["marks"]
    )
    if any(len(mark.hash) > HASH_BYTES for mark in marks):  # they are kept
        raise ValueError
    return Have(_text(f["store"], 64), _number(f["counter"]), marks, _bytes(f.get("sig", "")))


def _links_message(f: dict[str, Any]) -> Links:
    return Links(_links(f["links"]), _number(f["at"]), f["known"] is True)


def _refused(f: dict[str, Any]) -> RefusedUpdate:
    return RefusedUpdate(_text(f["document"], 64), _text(f["reason"], 2000), f["hole"] is True)


def _authors(f: dict[str, Any]) -> Authors:
    authors = {_text(a, 64): (_number(count), _text(digest, 64)) for a, (count, digest) in f["authors"].items()}
    return Authors(_text(f["document"], 64), authors)


def _prefixes(f: dict[str, Any]) -> Prefixes:
    return Prefixes(_text(f["document"], 64), _text(f["author"], 64), _cut(_bytes(f["prefixes"])), f["last"] is True)


def _missing(f: dict[str, Any]) -> Missing:
    return Missing(_text(f["document"], 64), _cut(_bytes(f["prefixes"])))


def _places(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > ADDRESSES_MAX:
        raise ValueError(value)
    places = tuple(address for address in map(read_address, value) if address is not None)
    if len(places) != len(value):
        raise ValueError(value)
    return places


def _where(f: dict[str, Any]) -> Where:
    others = f["others"]
    if len(others) > AUTHORS_MAX or not all(AUTHOR.fullmatch(author) for author in others):
        raise ValueError(others)
    return Where(_places(f["own"]), {author: _places(value) for author, value in others.items()})


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "hello": _hello,
    "tree": _tree,
    "announce": _announce,
    "have": _have,
    "links": _links_message,
    "refused": _refused,
    "authors": _authors,
    "prefixes": _prefixes,
    "missing": _missing,
    "where": _where,
}


def in_messages(values: Sequence[_T], most: int) -> list[Sequence[_T]]:
    """`values` in pieces that fit one message each."""
    return [values[i : i + most] for i in range(0, len(values), most)]
