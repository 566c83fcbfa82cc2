"""Frames: what one binary websocket message says, in Hocuspocus' framing (checked against @hocuspocus/provider 4.8.0).

    message := varString(document) varUint(type) payload      | one byte 9 (ping) or 10 (pong)

    0 Sync          varUint(0 step 1, 1 step 2, 2 update) varUint8Array
    1 Awareness     varUint8Array
    2 Auth          varUint(0) varString(token) varString(version)   to the listener
                    varUint(1) varString(reason)                     refused
                    varUint(2) varString("read-write"|"readonly")    granted
    3 QueryAwareness
    5 Stateless     varString
    7 Close         varString(reason)
    8 SyncStatus    varUint(0 refused, 1 durable)

`decode` reads exactly: anything more or less is Refused. No I/O, no state.
"""

from __future__ import annotations

from dataclasses import dataclass

from pycrdt import write_var_uint

from posline.errors import Refused

__all__ = [
    "MAX_MESSAGE_BYTES",
    "AuthGranted",
    "AuthRefused",
    "AuthToken",
    "Awareness",
    "CloseDocument",
    "Frame",
    "Ping",
    "Pong",
    "QueryAwareness",
    "Stateless",
    "SyncStatus",
    "SyncStep1",
    "SyncStep2",
    "Update",
    "decode",
    "encode",
]

MAX_MESSAGE_BYTES = 1024 * 1024  # after decompression; ours keep to 64 KiB, this is so that a refusal can be said
MAX_NAME_BYTES = 64  # document names are at most 18 bytes
MAX_TOKEN_BYTES = 128 * 1024  # a signed token; one that introduces its author brings up to 32 entries

_SYNC, _AWARENESS, _AUTH, _QUERY, _STATELESS, _CLOSE, _STATUS, _PING, _PONG = 0, 1, 2, 3, 5, 7, 8, 9, 10


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """What the sender holds: send what is missing. `state` is an encoded state vector."""

    document: str
    state: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """The answer to SyncStep1; a stock client counts itself synced at the first."""

    document: str
    update: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """Something new."""

    document: str
    update: bytes


@dataclass(frozen=True, slots=True)
class Awareness:
    """Cursors and the like of stock clients; of no use here."""

    document: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AuthToken:
    """Who asks. Stock clients send one a document, replicas one for `shop`."""

    document: str
    token: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class AuthGranted:
    """`scope` is "read-write" or "readonly"."""

    document: str
    scope: str


@dataclass(frozen=True, slots=True)
class AuthRefused:
    """`reason` in words an owner can act on."""

    document: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """Asks for cursors; of no use here."""

    document: str


@dataclass(frozen=True, slots=True)
class Stateless:
    """Anything that Yjs has no message for, as JSON text."""

    document: str
    payload: str


@dataclass(frozen=True, slots=True)
class CloseDocument:
    """The sender is done with a document."""

    document: str
    reason: str


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """The answer to one update: durable here, or refused."""

    document: str
    applied: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Pong:
    """I am."""


Frame = (
    SyncStep1
    | SyncStep2
    | Update
    | Awareness
    | AuthToken
    | AuthGranted
    | AuthRefused
    | QueryAwareness
    | Stateless
    | CloseDocument
    | SyncStatus
    | Ping
    | Pong
)


def encode(frame: Frame) -> bytes:
    """The message that says `frame`."""
    match frame:
        case Ping():
            return bytes((_PING,))
        case Pong():
            return bytes((_PONG,))
        case SyncStep1(document, payload):
            return _head(document, _SYNC) + b"\0" + _sized(payload)
        case SyncStep2(document, payload):
            return _head(document, _SYNC) + b"\1" + _sized(payload)
        case Update(document, payload):
            return _head(document, _SYNC) + b"\2" + _sized(payload)
        case Awareness(document, payload):
            return _head(document, _AWARENESS) + _sized(payload)
        case AuthToken(document, token, version):
            return _head(document, _AUTH) + b"\0" + _text(token) + _text(version)
        case AuthRefused(document, reason):
            return _head(document, _AUTH) + b"\1" + _text(reason)
        case AuthGranted(document, scope):
            return _head(document, _AUTH) + b"\2" + _text(scope)
        case QueryAwareness(document):
            return _head(document, _QUERY)
        case Stateless(document, text):
            return _head(document, _STATELESS) + _text(text)
        case CloseDocument(document, reason):
            return _head(document, _CLOSE) + _text(reason)
        case SyncStatus(document, applied):
            return _head(document, _STATUS) + (b"\1" if applied else b"\0")


def decode(message: bytes) -> Frame:
    """What a message says. Raises Refused when it is no whole frame of a known type."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise Refused(f"a message of {len(message)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    if len(message) == 1:
        if message[0] == _PING:
            return Ping()
        if message[0] == _PONG:
            return Pong()
    read = _Reader(message)
    document = read.text(MAX_NAME_BYTES)
    kind = read.integer()
    frame = _payload(document, kind, read)
    read.end()
    return frame


def _payload(document: str, kind: int, read: _Reader) -> Frame:
    if kind == _SYNC:
        step = read.integer()
        if step > 2:
            raise Refused(f"there is no sync message of type {step}")
        return (SyncStep1, SyncStep2, Update)[step](document, read.bytes())
    if kind == _AWARENESS:
        return Awareness(document, read.bytes())
    if kind == _AUTH:
        return _auth(document, read)
    if kind == _QUERY:
        return QueryAwareness(document)
    if kind == _STATELESS:
        return Stateless(document, read.text(MAX_MESSAGE_BYTES))
    if kind == _CLOSE:
        return CloseDocument(document, read.text(MAX_MESSAGE_BYTES))
    if kind == _STATUS:
        return SyncStatus(document, read.integer() == 1)
    raise Refused(f"there is no message of type {kind}")


def _auth(document: str, read: _Reader) -> Frame:
    step = read.integer()
    if step == 0:
        token = read.text(MAX_TOKEN_BYTES)
        return AuthToken(document, token, read.text(MAX_NAME_BYTES) if read.more else "")
    if step == 1:
        return AuthRefused(document, read.text(MAX_MESSAGE_BYTES))
    if step == 2:
        return AuthGranted(document, read.text(MAX_NAME_BYTES))
    raise Refused(f"there is no auth message of type {step}")


class _Reader:
    """Reads a message from its start; raises Refused when it runs out."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def integer(self) -> int:
        value = shift = 0
        while self._at < len(self._data):
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 49:
                raise Refused("the message holds a number over 2^53 - 1")
        raise Refused("the message is cut off")

    def bytes(self) -> bytes:
        length = self.integer()
        end = self._at + length
        if end > len(self._data):
            raise Refused("the message is cut off")
        found = self._data[self._at : end]
        self._at = end
        return found

    def text(self, limit: int) -> str:
        found = self.bytes()
        if len(found) > limit:
            raise Refused(f"a text of {len(found)} bytes is over the limit of {limit}")
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise Refused("the message holds text that is not UTF-8") from None

    def end(self) -> None:
        if self.more:
            raise Refused("the message has something behind its end")


def _head(document: str, kind: int) -> bytes:
    return _text(document) + bytes((kind,))


def _text(text: str) -> bytes:
    return _sized(text.encode())


def _sized(data: bytes) -> bytes:
    return bytes(write_var_uint(len(data))) + data
