"""The allow-list reader of Yjs updates (format v1) that stands before every document and every log.

A received update passes only if all it does is append strings to root arrays named for authors, with nothing missing
before it. Everything else is refused with a reason and not applied: delete sets, map keys, nested types, other
structs, holes. Why not apply and look afterwards is in docs/architecture.md.

The head office holds no documents, so what is read here *is* what happens: the reader works out which elements are new
and proves that a Yjs document would integrate every struct. tests/core/test_update.py holds it against pycrdt.

The format is Yjs's own (its `encodeStateAsUpdate`): a list of clients, each with a first clock and structs; then a
delete set. Integers are LEB128 up to 2^53 - 1. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycrdt import get_update, merge_updates, write_var_uint

from posline.errors import Hole, Refused

__all__ = [
    "EMPTY",
    "MAX_CLIENTS",
    "MAX_ELEMENT_BYTES",
    "MAX_UPDATE_BYTES",
    "MAX_UPDATE_ELEMENTS",
    "ROOT",
    "Read",
    "StateVector",
    "Struct",
    "clip",
    "decode_state",
    "encode_state",
    "merge",
    "read_update",
    "strings_of",
    "structs_of",
]

StateVector = dict[int, int]

EMPTY = b"\0\0"
MAX_UPDATE_BYTES = 64 * 1024  # so that one message never keeps a slow line busy for long
MAX_UPDATE_ELEMENTS = 256  # yrs joins neighbours at commit in quadratic space: 20,000 at once took 42 s and 9 GB
MAX_ELEMENT_BYTES = 48 * 1024  # leaves room for the framing of an update
MAX_CLIENTS = 8192  # in a state vector: years of restarts of one day's document, and still under 100 KiB
MAX_INTEGER = 2**53 - 1  # what JavaScript, and so Yjs, counts exactly
ROOT = re.compile(rb"[a-z2-7]{26}")

_CONTENT_ANY = 8
_STRING = 119
_LEFT, _RIGHT, _KEY = 0x80, 0x40, 0x20


@dataclass(frozen=True, slots=True)
class Read:
    """What an update brings beyond a known state.

    `before` and `after` hold only the clients that advance; `elements` are the new strings' UTF-8 bytes, in an order in
    which they can be integrated; `strings` counts all, known ones too; `overlaps` says that part of it was known.
    """

    before: StateVector
    after: StateVector
    elements: tuple[bytes, ...]
    strings: int
    overlaps: bool


def encode_state(state: Mapping[int, int]) -> bytes:
    """A state vector as Yjs writes it, clients in ascending order so that equal states are equal bytes."""
    if len(state) == 1:  # most rows advance one client
        ((client, clock),) = state.items()
        return b"\x01" + write_var_uint(client) + write_var_uint(clock)
    parts = [write_var_uint(len(state))]
    for client in sorted(state):
        parts += (write_var_uint(client), write_var_uint(state[client]))
    return b"".join(parts)


def decode_state(data: bytes) -> StateVector:
    """Read a state vector. Raises Refused when it is anything but one, or names too many clients."""
    try:
        count, at = _integer(data, 0)
        if count > MAX_CLIENTS:
            raise Refused(f"a state vector of {count} clients is over the limit of {MAX_CLIENTS}")
        state: StateVector = {}
        for _ in range(count):
            client, at = _integer(data, at)
            state[client], at = _integer(data, at)
    except IndexError:
        raise Refused("the state vector is cut off") from None
    if at != len(data) or len(state) != count:
        raise Refused("the state vector has something behind its end, or a client twice")
    return state


def clip(update: bytes, state: Mapping[int, int]) -> bytes:
    """What of an update is beyond `state`."""
    return bytes(get_update(update, encode_state(state)))


def merge(updates: Sequence[bytes]) -> bytes:
    """Several updates as one; their structs stay as they are."""
    return bytes(merge_updates(*updates))


@dataclass(slots=True)
class Struct:
    """Strings in a row, and the (client, clock) of the elements that they were written behind and before."""

    left: tuple[int, int] | None
    right: tuple[int, int] | None
    strings: list[bytes]


def structs_of(update: bytes) -> dict[int, tuple[int, list[Struct]]]:
    """{client: (first clock, structs)}, whatever is known. Raises Refused where it is not written as an update that may
    pass."""
    try:
        return _clients(update)
    except IndexError:
        raise Refused("the update is cut off") from None


def strings_of(update: bytes) -> list[bytes]:
    """Every string in an update, whatever is known. Raises Refused where it is not written as one that may pass."""
    return [string for _, structs in structs_of(update).values() for struct in structs for string in struct.strings]


def read_update(update: bytes, known: Mapping[int, int]) -> Read:
    """Read an update against the state that is known here.

    Raises Hole when it leans on something that is not here, Refused for anything else that may not pass.
    """
    if len(update) > MAX_UPDATE_BYTES:
        raise Refused(f"an update of {len(update)} bytes is over the limit of {MAX_UPDATE_BYTES}: split it")
    clients = structs_of(update)
    before: StateVector = {}
    after: StateVector = {}
    strings = 0
    overlaps = False
    for client, (clock, structs) in clients.items():
        here = known.get(client, 0)
        if clock > here:
            raise Hole(f"elements {here} to {clock - 1} of client {client} are missing here")
        end = clock + sum(len(struct.strings) for struct in structs)
        strings += end - clock
        overlaps |= clock < here
        if end > here:
            before[client], after[client] = here, end
    if len(clients) == 1:
        ((client, (clock, structs)),) = clients.items()
        return Read(before, after, _own_order(client, clock, structs, known), strings, overlaps)
    return Read(before, after, _any_order(clients, known), strings, overlaps)


def _clients(update: bytes) -> dict[int, tuple[int, list[Struct]]]:
    """{client: (first clock, structs)}; raises Refused, or IndexError when the bytes run out."""
    clients: dict[int, tuple[int, list[Struct]]] = {}
    count, at = _integer(update, 0)
    if count > MAX_UPDATE_ELEMENTS:
        raise Refused(f"an update of {count} clients is over the limit of {MAX_UPDATE_ELEMENTS}: split it")
    room = MAX_UPDATE_ELEMENTS
    for _ in range(count):
        number, at = _integer(update, at)
        client, at = _integer(update, at)
        clock, at = _integer(update, at)
        if client in clients:
            raise Refused("the update lists a client twice")
        if number == 0:
            raise Refused("the update lists a client with nothing of it")
        structs: list[Struct] = []
        end = clock
        for _ in range(number):
            struct, at = _struct(update, at)
            structs.append(struct)
            room -= len(struct.strings)
            end += len(struct.strings)
            if room < 0:
                raise Refused(f"an update of more than {MAX_UPDATE_ELEMENTS} elements is over the limit: split it")
        if end > MAX_INTEGER:
            raise Refused("the update's clocks run past 2^53 - 1")
        clients[client] = clock, structs
    if update[at] != 0:
        raise Refused("the update deletes something: entries are only ever added")
    if at + 1 != len(update):
        raise Refused("the update has something behind its end")
    return clients


def _struct(update: bytes, at: int) -> tuple[Struct, int]:
    info = update[at]
    at += 1
    if info & 31 != _CONTENT_ANY or info & _KEY:
        raise Refused(_why_not(info))
    left = right = None
    if info & _LEFT:
        client, at = _integer(update, at)
        clock, at = _integer(update, at)
        left = client, clock
    if info & _RIGHT:
        client, at = _integer(update, at)
        clock, at = _integer(update, at)
        right = client, clock
    if left is None and right is None:
        is_root, at = _integer(update, at)
        if is_root != 1:
            raise Refused("the update writes into something nested: only root arrays may be written")
        length, at = _integer(update, at)
        if len(update) < at + length or ROOT.fullmatch(update, at, at + length) is None:
            raise Refused("the update writes under a name that is no author's")
        at += length
    count, at = _integer(update, at)
    if not 0 < count <= MAX_UPDATE_ELEMENTS:
        raise Refused(f"a struct of {count} elements is outside 1 to {MAX_UPDATE_ELEMENTS}")
    strings: list[bytes] = []
    for _ in range(count):
        if update[at] != _STRING:
            raise Refused("the update holds something that is not a string")
        length = update[at + 1]
        at += 2
        if length > 127:
            length, at = _integer(update, at - 1)
            if length > MAX_ELEMENT_BYTES:
                raise Refused(f"an element of {length} bytes is over the limit of {MAX_ELEMENT_BYTES}")
        end = at + length
        string = update[at:end]
        if len(string) != length:
            raise IndexError
        strings.append(string)
        at = end
    try:
        b"".join(strings).decode()
        if not all(map(_starts_whole, strings)):
            raise Refused("the update holds a string that is not UTF-8")
    except UnicodeDecodeError:
        raise Refused("the update holds a string that is not UTF-8") from None
    return Struct(left, right, strings), at


def _starts_whole(string: bytes) -> bool:
    """Whether a string of a joined, sound sequence begins at a character: then each of them is sound by itself."""
    return not string or string[0] & 0xC0 != 0x80


def _why_not(info: int) -> str:
    if info & _KEY:
        return "the update writes a map key: only arrays of strings may be written"
    kinds = {0: "a gap that was collected", 1: "a deleted element", 7: "a nested type", 10: "skipped clocks"}
    return f"the update holds {kinds.get(info & 31, f'a struct of kind {info & 31}')}: only strings in arrays may pass"


def _own_order(client: int, clock: int, structs: Sequence[Struct], known: Mapping[int, int]) -> tuple[bytes, ...]:
    """New elements of an update by one client, each struct's origins checked against what comes before it."""
    here = known.get(client, 0)
    fresh: list[bytes] = []
    for struct in structs:
        for origin in (struct.left, struct.right):
            if origin is None:
                continue
            of, at = origin
            if of == client:
                if at >= clock:
                    raise Refused("an element of the update leans on itself")
            elif at >= known.get(of, 0):
                raise Hole(f"element {at} of client {of} is missing here")
        size = len(struct.strings)
        if clock >= here:
            fresh += struct.strings
        elif clock + size > here:
            fresh += struct.strings[here - clock :]
        clock += size
    return tuple(fresh)


def _any_order(clients: Mapping[int, tuple[int, list[Struct]]], known: Mapping[int, int]) -> tuple[bytes, ...]:
    """The same over several clients that may lean on each other: each goes on as far as it can, round and round."""
    state = dict(known)  # grows as structs are integrated
    work = {client: [clock, 0] for client, (clock, _) in clients.items()}  # clock and index of the next struct
    fresh: list[bytes] = []
    progress = True
    while work and progress:
        progress = False
        for client in list(work):
            structs = clients[client][1]
            clock, index = work[client]
            while index < len(structs) and _ready(structs[index], client, clock, state):
                struct, here = structs[index], known.get(client, 0)
                end = clock + len(struct.strings)
                if end > here:
                    fresh += struct.strings[max(0, here - clock) :]
                clock, index, progress = end, index + 1, True
                state[client] = max(state.get(client, 0), clock)
            work[client] = [clock, index]
            if index == len(structs):
                del work[client]
    if work:
        ends = {c: clock + sum(len(s.strings) for s in structs) for c, (clock, structs) in clients.items()}
        for client, (_, index) in work.items():
            struct = clients[client][1][index]
            for origin in (struct.left, struct.right):
                if origin is not None and origin[1] >= max(known.get(origin[0], 0), ends.get(origin[0], 0)):
                    raise Hole(f"element {origin[1]} of client {origin[0]} is missing here")
        raise Refused("elements of the update lean on each other in a circle")
    return tuple(fresh)


def _ready(struct: Struct, client: int, clock: int, state: Mapping[int, int]) -> bool:
    for origin in (struct.left, struct.right):
        if origin is not None:
            if origin[0] == client and origin[1] >= clock:
                raise Refused("an element of the update leans on itself")
            if origin[1] >= state.get(origin[0], 0):
                return False
    return True


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends) of a LEB128 integer up to 2^53 - 1, written as short as it can be."""
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    value, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 49:
            raise Refused("the update holds a number over 2^53 - 1")
    if byte == 0 or value > MAX_INTEGER:
        raise Refused("the update holds a number over 2^53 - 1, or one written longer than it is")
    return value, at
