"""Squashing: neighbouring log rows written as one update of fewer structs, without a document.

Yjs itself keeps consecutive items of one client as one struct when each names the one before it as its left origin. A
row that holds sixty single sales can therefore be written as one struct of sixty strings: the same items, ids and
origins, in a fraction of the bytes, and loaded several times faster. That is what `get_update()` of a document that
had applied them would emit; rewriting the rows needs neither that document nor anything before them, so a closed day
can be squashed at the relay, which holds no documents at all. tests/core/test_segment.py holds the result against
pycrdt and Yjs.

Only for updates that the reader has let through. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pycrdt import write_var_uint

from posline.core.update import MAX_UPDATE_BYTES, MAX_UPDATE_ELEMENTS

__all__ = ["elements", "squash"]

_STRING = 119
_CONTENT_ANY = 8
_LEFT, _RIGHT = 0x80, 0x40
HEAD_BYTES = 64  # what a struct and its client cost at most besides its strings


@dataclass(slots=True)
class _Struct:
    client: int
    clock: int
    left: tuple[int, int] | None
    right: tuple[int, int] | None
    root: bytes | None
    strings: list[bytes]  # each with its type byte and length, as written
    size: int

    def continues(self, other: _Struct) -> bool:
        """Whether `other` is what comes right behind this one, so that both are one struct."""
        return (
            other.client == self.client
            and other.clock == self.clock + len(self.strings)
            and other.left == (self.client, other.clock - 1)
            and other.right == self.right
        )


def squash(updates: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Write consecutive updates as few, each within the limits of a message.

    Returns (update, number of updates it stands for), in order. An update that fits with no neighbour stays as it is.
    """
    answer: list[tuple[bytes, int]] = []
    open_: list[_Struct] = []
    strings = size = standing = 0
    alone = b""
    for update in updates:
        structs = _parse(update)
        more, weight = sum(len(s.strings) for s in structs), sum(s.size for s in structs)
        if standing and (strings + more > MAX_UPDATE_ELEMENTS or size + weight > MAX_UPDATE_BYTES):
            answer.append((alone if standing == 1 else _write(open_), standing))
            open_, strings, size, standing = [], 0, 0, 0
        for struct in structs:
            last = next((s for s in reversed(open_) if s.client == struct.client), None)
            if last is not None and last.continues(struct):
                last.strings += struct.strings
                last.size += struct.size
            else:
                open_.append(struct)
        strings, size, standing, alone = strings + more, size + weight, standing + 1, update
    if standing:
        answer.append((alone if standing == 1 else _write(open_), standing))
    return answer


def elements(update: bytes) -> list[bytes]:
    """Every element in an update that was let through before, whatever is known."""
    found: list[bytes] = []
    for struct in _parse(update):
        for string in struct.strings:
            at = 1
            while string[at] & 128:
                at += 1
            found.append(string[at + 1 :])
    return found


def _parse(update: bytes) -> list[_Struct]:
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = update[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    structs: list[_Struct] = []
    for _ in range(number()):
        count, client, clock = number(), number(), number()
        for _ in range(count):
            info = update[at]
            at += 1
            left = (number(), number()) if info & _LEFT else None
            right = (number(), number()) if info & _RIGHT else None
            root = None
            if not info & (_LEFT | _RIGHT):
                number()  # 1: the parent is a root
                length = number()
                root = update[at : at + length]
                at += length
            strings: list[bytes] = []
            begin = at
            for _ in range(number()):
                start = at
                at += 1
                length = number()
                at += length
                strings.append(update[start:at])
            structs.append(_Struct(client, clock, left, right, root, strings, at - begin + HEAD_BYTES))
            clock += len(strings)
    return structs


def _write(structs: Sequence[_Struct]) -> bytes:
    clients: dict[int, list[_Struct]] = {}
    for struct in structs:
        clients.setdefault(struct.client, []).append(struct)
    out = [write_var_uint(len(clients))]
    for client in sorted(clients, reverse=True):  # Yjs writes the highest client first
        mine = clients[client]
        out += [write_var_uint(len(mine)), write_var_uint(client), write_var_uint(mine[0].clock)]
        for struct in mine:
            info = _CONTENT_ANY | (_LEFT if struct.left else 0) | (_RIGHT if struct.right else 0)
            out.append(bytes((info,)))
            for origin in (struct.left, struct.right):
                if origin is not None:
                    out += [write_var_uint(origin[0]), write_var_uint(origin[1])]
            if struct.root is not None:
                out += [b"\x01", write_var_uint(len(struct.root)), struct.root]
            out += [write_var_uint(len(struct.strings)), *struct.strings]
    out.append(b"\0")
    return b"".join(out)
