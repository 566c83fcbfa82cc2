"""What comes over a socket before any update: frames, messages between replicas, statements and the bodies of requests.

The frames are read a second time here, by the few lines that Hocuspocus' framing takes, so that what a length says is
judged by somebody else.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from random import Random
from typing import Any

from posline.core.base64url import base64url, from_base64url
from posline.errors import BadRequest, Refused
from posline.storage.records import Mark
from posline.sync.frames import (
    AuthGranted,
    AuthRefused,
    AuthToken,
    Awareness,
    CloseDocument,
    Frame,
    Ping,
    Pong,
    QueryAwareness,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)
from posline.sync.messages import (
    MARKS_MAX,
    MAX_PAYLOAD_BYTES,
    Announce,
    Authors,
    Have,
    Hello,
    Links,
    Message,
    Missing,
    Prefixes,
    RefusedUpdate,
    Tree,
    Where,
    read,
    write,
)
from posline.sync.places import read_address
from posline.till.body import DEPTH_MAX, parse_object
from posline.till.problems import TooLarge
from tests.fuzz.mutate import EDGES, dump, spoil, tree, varint
from tests.fuzz.target import Target, json_mutator, refusing

__all__ = ["BODIES", "FRAMES", "MESSAGES", "frames", "messages", "mutate_frame", "mutate_message"]

AUTHOR = "a" * 26
DOCUMENT = "journal/2026-11-23"


def messages() -> list[Message]:
    """One of each, as replicas say them."""
    marks = tuple(Mark(AUTHOR, run, run + 1, bytes([run]) * 32) for run in range(3))
    return [
        Hello(AUTHOR, "session", "posline/1", "till", 1_795_417_200_000, True, ("b" * 26,), "f" * 64),
        Tree("2026/11", {"23": "f" * 64, "24": "0" * 64}),
        Announce(DOCUMENT, {7: 5, 2**53 - 1: 2**53 - 1}, 5, "e" * 64),
        Have(AUTHOR, 9, marks, b"s" * 64),
        Links((AUTHOR, "b" * 26), 1_795_417_200_000, False),
        RefusedUpdate(DOCUMENT, "a gap", True),
        Authors(DOCUMENT, {AUTHOR: (4, "d" * 64)}),
        Prefixes(DOCUMENT, AUTHOR, (b"12345678", b"abcdefgh"), True),
        Missing(DOCUMENT, (b"12345678",)),
        Where(("10.0.0.1:8701", "[fd00::1]:8701"), {AUTHOR: ("till.local:8701",)}),
    ]


def frames() -> list[Frame]:
    """One of each, and one for each message."""
    return [
        SyncStep1(DOCUMENT, b"\0"),
        SyncStep2(DOCUMENT, b"\0\0"),
        Update(DOCUMENT, b"\0\0"),
        Awareness(DOCUMENT, b"\1\2"),
        AuthToken("shop", "token", "posline/1"),
        AuthToken(DOCUMENT, "token"),
        AuthGranted("shop", "read-write"),
        AuthRefused("shop", "no"),
        QueryAwareness(DOCUMENT),
        CloseDocument(DOCUMENT, "done"),
        SyncStatus(DOCUMENT, True),
        SyncStatus("catalog/1", False),
        Ping(),
        Pong(),
        *(Stateless("shop", write(message)) for message in messages()),
    ]


# -- frames ----------------------------------------------------------------------------------------


class _Bad(Exception):
    pass


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        if at >= len(data):
            raise _Bad
        value |= (data[at] & 127) << 7 * index
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise _Bad


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(data, at)
    if at + size > len(data):
        raise _Bad
    return data[at : at + size], at + size


def _fields(data: bytes) -> list[bytes | int]:
    """A frame as its document, its numbers and its texts; raises _Bad or UnicodeDecodeError."""
    if data in (b"\x09", b"\x0a"):
        return [data[0]]
    name, at = _sized(data, 0)
    name.decode()
    kind, at = _number(data, at)
    found: list[bytes | int] = [name, kind]
    shapes: dict[int, str] = {0: "nb", 1: "b", 2: "n", 3: "", 5: "t", 7: "t", 8: "n"}
    if kind not in shapes:
        raise _Bad
    for part in shapes[kind]:
        if part == "n":
            number, at = _number(data, at)
            found.append(number)
        else:
            piece, at = _sized(data, at)
            found.append(piece)
            if part == "t":
                piece.decode()
    if kind == 0 and found[2] not in (0, 1, 2):
        raise _Bad
    if kind == 2:
        if found[2] not in (0, 1, 2):
            raise _Bad
        texts = 1 + (found[2] == 0)
        while texts and (at < len(data) or texts == 1 + (found[2] == 0)):
            piece, at = _sized(data, at)
            piece.decode()
            found.append(piece)
            texts -= 1
        if found[2] == 0 and len(found) == 4:
            found.append(b"")
    if kind == 8:
        found[2] = int(found[2] == 1)
    if at != len(data):
        raise _Bad
    return found


def _said(frame: Frame) -> list[bytes | int]:
    """The same of a frame that was read."""
    kinds = {
        Ping: 9,
        Pong: 10,
        SyncStep1: 0,
        SyncStep2: 0,
        Update: 0,
        Awareness: 1,
        AuthToken: 2,
        AuthRefused: 2,
        AuthGranted: 2,
        QueryAwareness: 3,
        Stateless: 5,
        CloseDocument: 7,
        SyncStatus: 8,
    }
    steps = {SyncStep1: [0], SyncStep2: [1], Update: [2], AuthToken: [0], AuthRefused: [1], AuthGranted: [2]}
    if isinstance(frame, Ping | Pong):
        return [kinds[type(frame)]]
    document, *rest = (getattr(frame, name) for name in frame.__slots__)
    texts = [int(part) if isinstance(part, bool) else part.encode() if isinstance(part, str) else part for part in rest]
    return [document.encode(), kinds[type(frame)], *steps.get(type(frame), []), *texts]


def _check_frame(data: bytes) -> str:
    try:
        wanted: list[bytes | int] | None = _fields(data)
    except (_Bad, UnicodeDecodeError):
        wanted = None
    with refusing(Refused):
        frame = decode(data)
    assert wanted is not None, f"read as {frame} what is no frame"
    assert _said(frame) == wanted, f"{frame} is not {wanted}"
    assert decode(encode(frame)) == frame and len(encode(frame)) <= len(data) + 1
    return type(frame).__name__


def mutate_frame(data: bytes, rng: Random) -> bytes:
    """A frame spoilt: its lengths, its numbers, its bytes, or the message in it."""
    how = rng.randrange(8)
    if how == 0:
        return encode(rng.choice(frames()))
    try:
        frame = decode(data)
    except Refused:
        return spoil(data, rng)
    if how < 4 and isinstance(frame, Stateless):
        return encode(Stateless(frame.document, mutate_message(frame.payload.encode(), rng).decode("utf-8", "replace")))
    if how < 5 and not isinstance(frame, Ping | Pong):
        head = len(frame.document.encode())
        size = rng.choice((head, head + 1, max(0, head - 1), 65, *EDGES))
        kind = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 127))
        rest = encode(frame)[head + 2 :]
        return varint(size, rng.randrange(2)) + frame.document.encode() + bytes((kind,)) + spoil(rest, rng)
    return spoil(data, rng)


# -- messages --------------------------------------------------------------------------------------


def mutate_message(data: bytes, rng: Random) -> bytes:
    """A message spoilt, also within what is base64 in it."""
    if rng.random() < 0.25:
        try:
            found = tree(data)
            at = rng.randrange(len(found))
            name, item = found[at]
            raw = from_base64url(item) if isinstance(item, str) else b""
            found[at] = (name, base64url(spoil(raw * (rng.choice((1, 1, 1, 100)) if len(raw) < 100 else 1), rng)))
            return dump(found)
        except (ValueError, TypeError, RecursionError):
            return spoil(data, rng)
    return json_mutator(data, rng)


def _check_message(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    with refusing(Refused):
        message = read(text)
    if message is None:
        return "newer"
    assert len(text) <= MAX_PAYLOAD_BYTES
    for value in asdict(message).values() if not isinstance(message, Announce) else [message.document, message.digest]:
        if isinstance(value, str):
            assert len(value) <= 2000
        assert type(value) is not int or 0 <= value < 2**53
    if isinstance(message, Have):
        assert len(message.marks) <= MARKS_MAX and message.signed("shop")
    if isinstance(message, Where):
        for place in (*message.own, *(place for places in message.others.values() for place in places)):
            assert read_address(place) == place
    try:
        again = write(message)
    except UnicodeEncodeError:
        raise AssertionError("a message was read that can't be said") from None
    assert read(again) == message or isinstance(message, Prefixes | Missing)
    return type(message).__name__


# -- bodies of requests ----------------------------------------------------------------------------


def _strict(data: bytes) -> dict[str, Any] | None:
    """A body as the contract wants it, by Python's own parser; None where it is not so. Depth and size of numbers are
    left to the caller."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def none(text: str) -> Any:
        raise ValueError(text)

    try:
        found = json.loads(data.decode(), object_pairs_hook=once, parse_constant=none)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _depth(value: object) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)


def _check_body(data: bytes) -> str:
    wanted = _strict(data)
    with refusing(BadRequest, TooLarge):
        found = parse_object(data)
    assert wanted is not None and _depth(wanted) <= DEPTH_MAX, "a body was read that is none"
    assert found.keys() == wanted.keys() and _depth(found) == _depth(wanted)
    return f"an object of {min(len(found), 3)}"


def _body_seeds() -> list[bytes]:
    sale = {
        "id": "0190aaaa-0000-7000-8000-000000000000",
        "by": "Asma",
        "lines": [{"sku": "a", "quantity": 1.5, "price": 100}],
    }
    nested: Any = 1
    for _ in range(15):
        nested = [nested]
    return [json.dumps(value).encode() for value in (sale, {"a": nested}, {"a": ['\\"[{', "é\ud83d\ude00"], "": None})]


FRAMES = Target("frames", lambda: [encode(frame) for frame in frames()], mutate_frame, _check_frame, 150_000)
MESSAGES = Target("messages", lambda: [write(m).encode() for m in messages()], mutate_message, _check_message, 120_000)
BODIES = Target("bodies", _body_seeds, json_mutator, _check_body, 50_000)
