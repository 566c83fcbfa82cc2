"""Yjs updates: what the reader lets through means to pycrdt exactly what the reader said, and nothing else passes.

An input is a few updates that reach one device one after the other. The form that they are spoilt in is a reading of
the format of its own, of structs that no entry ever has too; pycrdt judges what passed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pycrdt import Array, Doc

from posline.core.document import Document
from posline.core.segment import elements, squash
from posline.core.update import (
    EMPTY,
    MAX_CLIENTS,
    MAX_ELEMENT_BYTES,
    MAX_UPDATE_BYTES,
    MAX_UPDATE_ELEMENTS,
    StateVector,
    clip,
    decode_state,
    encode_state,
    merge,
    read_update,
)
from posline.errors import Refused
from tests.fuzz.mutate import EDGES, pack, spoil, unpack, varint
from tests.fuzz.target import Target, outcome, refusing

__all__ = ["STATES", "UPDATES", "history", "mutate_update"]

ROOTS = ("a" * 26, "b" * 26, "c" * 26)
ROOT = re.compile(rb"(?=([a-z2-7]{26}))")
UPDATES_MAX = 12  # in one input: documents are exported whole, in one update of at most 256 elements
TEXTS = (b"", b"x", b"entry", "شاپ".encode(), "👍🏽".encode(), b'{"v":1}' * 20, b"y" * 127, b"z" * 128, b"w" * 5000)


# -- updates as trees ------------------------------------------------------------------------------


@dataclass
class Struct:
    """One struct. `count` and `info` are as written, right or wrong; None is what they should be."""

    left: tuple[int, int] | None
    right: tuple[int, int] | None
    root: bytes | None
    items: list[bytes]  # as written: a type byte, and what belongs to it
    info: int | None = None
    count: int | None = None
    is_root: int = 1
    key: bytes = b""


@dataclass
class Client:
    """What an update has of one client."""

    client: int
    clock: int
    structs: list[Struct]
    count: int | None = None


@dataclass
class Tree:
    """An update. `deletes` are [client, [(clock, length)...]]."""

    clients: list[Client]
    deletes: list[tuple[int, list[tuple[int, int]]]] = field(default_factory=list)
    count: int | None = None
    tail: bytes = b""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 70:
                raise ValueError

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError
        self.at += size
        return self.data[self.at - size : self.at]


def parse(update: bytes) -> Tree:
    """An update of strings as a tree; raises ValueError or IndexError for another."""
    read = _Cursor(update)
    clients = []
    for _ in range(read.number()):
        count, client, clock = read.number(), read.number(), read.number()
        structs = []
        for _ in range(count):
            info = read.take(1)[0]
            left = (read.number(), read.number()) if info & 0x80 else None
            right = (read.number(), read.number()) if info & 0x40 else None
            root = None
            if not info & 0xC0:
                read.number()
                root = read.take(read.number())
            if info & 31 != 8:
                raise ValueError
            items = []
            for _ in range(read.number()):
                if read.take(1) != b"w":
                    raise ValueError
                items.append(b"w" + (lambda text: varint(len(text)) + text)(read.take(read.number())))
            structs.append(Struct(left, right, root, items))
        clients.append(Client(client, clock, structs))
    if read.take(1) != b"\0":
        raise ValueError
    return Tree(clients)


def write(tree: Tree, rng: Random) -> bytes:
    """The tree as bytes; now and then a number is written longer than it is."""
    long_ = rng.random() < 0.04

    def v(number: int) -> bytes:
        return varint(number, 1 if long_ and rng.random() < 0.1 else 0)

    out = [v(len(tree.clients) if tree.count is None else tree.count)]
    for client in tree.clients:
        out += [v(len(client.structs) if client.count is None else client.count), v(client.client), v(client.clock)]
        for struct in client.structs:
            kind = 8 | (0x80 if struct.left else 0) | (0x40 if struct.right else 0) | (0x20 if struct.key else 0)
            info = kind if struct.info is None else struct.info
            out.append(bytes((info,)))
            for origin in (struct.left, struct.right):
                if origin is not None:
                    out += [v(origin[0]), v(origin[1])]
            if struct.root is not None:
                out += [v(struct.is_root), v(len(struct.root)), struct.root]
                if info & 0x20:
                    out += [v(len(struct.key)), struct.key]
            out += [v(len(struct.items) if struct.count is None else struct.count), *struct.items]
    out.append(v(len(tree.deletes)))
    for client_id, ranges in tree.deletes:
        out += [v(client_id), v(len(ranges))]
        for clock, length in ranges:
            out += [v(clock), v(length)]
    return b"".join(out) + tree.tail


def _item(rng: Random) -> bytes:
    """Something that an array of Yjs may hold: mostly a string, well or badly written."""
    how = rng.randrange(12)
    text = rng.choice(TEXTS)
    if how < 6:
        return b"w" + varint(len(text)) + text
    if how == 6:
        return b"w" + varint(max(0, len(text) + rng.choice((-1, 1, 2)))) + text
    if how == 7:
        return b"w" + varint(len(text), 1) + text
    if how == 8:
        half = rng.choice(
            (b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xa9", b"\xf0\x9f", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
        )
        return b"w" + varint(len(half)) + half
    if how == 9:
        # undefined, null, an integer, two floats, a big integer, booleans, an object, a list, bytes; deep ones too
        return rng.choice(
            (
                b"\x7f",
                b"\x7e",
                b"\x7d\x05",
                b"\x7c\0\0\0\0",
                b"\x7b" + bytes(8),
                b"\x7a" + bytes(8),
                b"\x79",
                b"\x78",
                b"\x76\x01\x01aw\x01x",
                b"\x75\x01w\x01x",
                b"\x74\x02ab",
                b"\x75\x01" * 500 + b"\x7e",
            )
        )
    if how == 10:
        return b"w" + varint(rng.choice(EDGES)) + text
    size = rng.choice((MAX_ELEMENT_BYTES, MAX_ELEMENT_BYTES + 1))
    return b"w" + varint(size) + b"m" * size if rng.random() < 0.1 else b"w\0"


def _place(tree: Tree, rng: Random) -> tuple[int, int]:
    """What an element might lean on: something in this update, or anything."""
    client = rng.choice(tree.clients) if tree.clients else Client(7, 0, [])
    size = sum(len(s.items) for s in client.structs)
    clock = rng.choice(
        (max(0, client.clock - 1), client.clock, client.clock + size, client.clock + max(0, size - 1), 0, 1)
    )
    return (client.client if rng.random() < 0.85 else rng.choice((1, 2, 3, *EDGES))), (
        clock if rng.random() < 0.9 else rng.choice(EDGES)
    )


def _mutate_tree(tree: Tree, rng: Random) -> None:
    how = rng.randrange(24)
    client = rng.choice(tree.clients) if tree.clients else None
    struct = rng.choice(client.structs) if client is not None and client.structs else None
    if how == 0:
        tree.deletes = [
            (
                client.client if client and rng.random() < 0.7 else rng.choice(EDGES),
                [(rng.choice((0, 0, 1, 2**53)), rng.choice((1, 5, 0, 2**40)))],
            )
        ]
    elif how == 1:
        tree.tail = rng.choice((b"\0", b"\0\0", b"x", rng.randbytes(3)))
    elif how == 2:
        tree.count = max(0, len(tree.clients) + rng.choice((-1, 1, 255, 2**30)))
    elif client is None:
        tree.clients.append(Client(rng.randrange(5), 0, []))
    elif how == 3:
        client.client = rng.choice((0, 1, 2, 3, rng.choice(EDGES), 2**53 - 1, 2**53, 2**64 - 1))
    elif how == 4:
        client.clock = rng.choice(
            (max(0, client.clock - 1), client.clock + 1, 0, rng.choice(EDGES), 2**53 - len(client.structs))
        )
    elif how == 5:
        client.count = max(0, len(client.structs) + rng.choice((-1, 1, 1000)))
    elif how == 6:
        tree.clients.append(
            Client(
                client.client if rng.random() < 0.4 else rng.randrange(9),
                rng.choice((0, client.clock)),
                list(client.structs),
            )
        )
    elif how == 7:
        rng.shuffle(tree.clients)
    elif struct is None:
        client.structs.append(Struct(None, None, rng.choice(ROOTS).encode(), [b"w\x01x"]))
    elif how == 8:
        struct.info = rng.choice(
            (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 0x28, 0x88, 0x48, 0xC8, 0x08, 0xA8, rng.randrange(256))
        )
    elif how == 9:
        struct.count = max(0, rng.choice((len(struct.items) - 1, len(struct.items) + 1, 0, 257, 2**31)))
    elif how == 10:
        struct.left, struct.root = _place(tree, rng), None
    elif how == 11:
        struct.right, struct.root = _place(tree, rng), None
    elif how == 12:
        struct.left = struct.right = None
        struct.root = rng.choice(
            (
                *(r.encode() for r in ROOTS),
                b"",
                b"T1",
                b"a" * 25,
                b"a" * 27,
                b"0" * 26,
                b"A" * 26,
                b"a" * 25 + b"\0",
                b"a" * 26 + b"\n",
            )
        )
    elif how == 13:
        struct.key, struct.root = rng.choice((b"k", b"", b"x" * 200)), struct.root or ROOTS[0].encode()
        struct.info = None if struct.key else 0x28
    elif how == 22:  # a map key that reads like a string, if one does not know what a key is
        struct.left = struct.right = struct.info = struct.count = None
        struct.root, struct.key, struct.items = ROOTS[0].encode(), b"w", [b"\x7e"]
    elif how == 23:  # two halves of a character, sound only together
        struct.items += [b"w\x01\xc3", b"w\x01\xa9"]
    elif how == 14:
        struct.is_root = rng.choice((0, 2, 127, 2**40))
    elif how == 15:
        client.structs.remove(struct)
    elif how == 16:
        client.structs.insert(rng.randrange(len(client.structs) + 1), struct)
    elif how == 17:
        rng.shuffle(client.structs)
    elif how == 18 and struct.items:
        struct.items = (
            [*struct.items[:1]] * rng.choice((0, 2, 100, 255, 256, 257))
            if rng.random() < 0.2
            else struct.items[1:] + struct.items[:1]
        )
    else:
        struct.items.insert(rng.randrange(len(struct.items) + 1), _item(rng))


def mutate_update(update: bytes, rng: Random) -> bytes:
    """One update spoilt as a tree, or as bytes."""
    if rng.random() < 0.12:
        return spoil(update, rng)
    try:
        tree = parse(update)
    except (ValueError, IndexError):
        return spoil(update, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _mutate_tree(tree, rng)
    return write(tree, rng)


def _mutate(data: bytes, rng: Random) -> bytes:
    updates = unpack(data)
    how = rng.randrange(16)
    if not updates or how == 0:
        updates = history(rng)
    elif how == 1:
        rng.shuffle(updates)
    elif how == 2:
        updates.insert(rng.randrange(len(updates) + 1), rng.choice(updates))
    elif how == 3:
        updates.remove(rng.choice(updates))
    elif how == 4:
        updates += rng.sample(mine := history(rng), min(3, len(mine)))
    elif how == 5:
        try:
            updates[:2] = [merge(updates[:2])]
        except BaseException:  # what Yjs itself cannot read; pycrdt's panics are no Exceptions
            return spoil(data, rng)
    else:
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(updates))
            updates[at] = mutate_update(updates[at], rng)
    return pack(updates[:UPDATES_MAX])


def history(rng: Random) -> list[bytes]:
    """What two writers who meet now and then emit, as pycrdt writes it: live, merged, and exported whole."""
    docs = [Document(rng.choice((1, 2, 3, 300, 2**31, 2**32 + 5, 2**53 - 1))) for _ in range(2)]
    if docs[0].client_id == docs[1].client_id:
        docs.pop()
    found: list[bytes] = []
    for _ in range(rng.randint(1, 6)):
        doc = rng.choice(docs)
        texts = [rng.choice(TEXTS[:8]).decode() for _ in range(rng.choice((1, 1, 2, 5)))]
        found.append(doc.append(rng.choice(ROOTS), texts))
        if rng.random() < 0.5:
            for other in docs:
                for update in found:
                    try:
                        if read_update(update, other.state).after:
                            other.load([update])
                    except Refused:
                        continue
    if rng.random() < 0.3:
        found = [merge(found)]
    return found


def _other_makers() -> list[bytes]:
    """Updates of other sorts than ours, as pycrdt and Yjs write them: maps, deletions, nested types, gaps."""
    made: list[bytes] = []

    def emitted(change: str) -> None:
        doc: Doc[Array[str]] = Doc(client_id=9)
        found: list[bytes] = []
        kept = doc.observe(lambda event: found.append(bytes(event.update)))
        array = doc.get(ROOTS[0], type=Array)
        array.append("x")
        if change == "delete":
            del array[0]
        elif change == "nest":
            array.append(Array(["inner"]))  # type: ignore[arg-type]
        elif change == "insert":
            array.insert(0, "before")
            array.insert(1, "between")
        elif change == "numbers":
            array.extend([1, 1.5, None, True, {"a": 1}, ["x"]])  # type: ignore[list-item]
        made.append(pack([*found, bytes(doc.get_update())]))
        del kept

    for change in ("delete", "nest", "insert", "numbers"):
        emitted(change)
    return made


def _seeds() -> list[bytes]:
    rng = Random("updates")
    rows = [Document(7), Document(8)]
    long_ = [rows[n % 2].append(ROOTS[n % 2], [f"entry {n}"]) for n in range(UPDATES_MAX)]
    full = Document(5).append(ROOTS[1], ["full"] * MAX_UPDATE_ELEMENTS)
    both = merge([Document(n).append(ROOTS[n % 2], ["half"] * 128) for n in (3, 4)])
    largest = Document(6).append(ROOTS[2], ["l" * (MAX_ELEMENT_BYTES - 1)])
    return [
        *(pack(history(rng)) for _ in range(12)),
        pack(long_),
        pack([full]),
        pack([both]),
        pack([largest]),
        *_other_makers(),
    ]


# -- what must hold --------------------------------------------------------------------------------


def _held(document: Document, roots: Sequence[str]) -> Counter[bytes]:
    """Everything that pycrdt shows in these arrays."""
    found: Counter[bytes] = Counter()
    for root in roots:
        for text in document.elements(root):
            assert type(text) is str, f"pycrdt holds {text!r}, which is no string"
            found[text.encode()] += 1
    return found


def _arrays(document: Document, roots: Sequence[str]) -> list[list[str]]:
    """What each array holds. Not in which order: an element that names as its right neighbour what is on its left is
    put here or there by Yjs, as it happens to come, and nothing of ours asks for the order."""
    return [sorted(document.elements(root)) for root in roots]


def _check(data: bytes) -> str:
    known: StateVector = {}
    document = Document(2**52 + 1)
    took: list[bytes] = []
    told: Counter[bytes] = Counter()
    said: list[str] = []
    roots = sorted({match[1].decode() for match in ROOT.finditer(data)})[:200]
    for update in unpack(data)[:UPDATES_MAX]:
        try:
            read = read_update(update, known)
        except Refused as error:
            said.append(f"{type(error).__name__} {outcome(error)}")
            continue
        assert len(update) <= MAX_UPDATE_BYTES and read.strings <= MAX_UPDATE_ELEMENTS, "over a limit"
        assert all(len(element) <= MAX_ELEMENT_BYTES for element in read.elements), "an element over the limit"
        advance = sum(end - read.before[client] for client, end in read.after.items())
        assert advance == len(read.elements), "clocks and strings differ"
        assert all(known.get(client, 0) == begin for client, begin in read.before.items())
        everything = elements(update)
        assert len(everything) == read.strings and not Counter(read.elements) - Counter(everything)
        if not read.after:
            said.append("known")
            continue
        piece = clip(update, known) if read.overlaps else update
        again = read_update(piece, known)
        assert (again.before, again.after) == (read.before, read.after), "clipping changes what it brings"
        assert sorted(again.elements) == sorted(read.elements)
        document.apply(piece, read)  # raises where the clocks do not advance by exactly what was read
        known |= read.after
        told.update(read.elements)
        took.append(piece)
        said.append(f"took {min(len(read.elements), 2)}{'+' if read.overlaps else ''}")
        assert document.state == known
        assert not read_update(update, known).after, "what was just taken is new again"
        assert decode_state(encode_state(known)) == known
    if took:
        assert _held(document, roots) == told, "pycrdt holds other strings than the reader said"
        arrays = _arrays(document, roots)
        document.load(took)
        assert document.state == known and _arrays(document, roots) == arrays, "a repeat changes something"
        _comes_back(document, known, told, roots, arrays)
        _means_the_same([update for update, _ in squash(took)], known, roots, arrays, "squashed")
        assert sum(count for _, count in squash(took)) == len(took)
        assert Counter(e for u, _ in squash(took) for e in elements(u)) == told, "squashing changes strings"
    return ";".join(sorted(set(said))[:3])


def _comes_back(
    document: Document, known: StateVector, told: Counter[bytes], roots: Sequence[str], arrays: list[list[str]]
) -> None:
    """What the document exports is read again, where it fits in one update, and is the same document."""
    export = bytes(document._doc.get_update())
    fresh: Doc[Array[str]] = Doc(client_id=2**52 + 2)
    fresh.apply_update(export)
    assert decode_state(bytes(fresh.get_state())) == known, "the export leaves something out"
    assert [sorted(fresh.get(root, type=Array)) for root in roots] == arrays, "the export shows something else"
    if sum(told.values()) <= MAX_UPDATE_ELEMENTS and len(export) <= MAX_UPDATE_BYTES:
        read = read_update(export, {})
        assert Counter(read.elements) == told and read.after == known, "the export is read otherwise"
    half = dict(list(known.items())[: len(known) // 2])
    missing = bytes(document._doc.get_update(encode_state(half)))
    if missing != EMPTY and sum(told.values()) <= MAX_UPDATE_ELEMENTS and len(missing) <= MAX_UPDATE_BYTES:
        assert read_update(missing, half).after == {c: n for c, n in known.items() if c not in half}


def _means_the_same(
    updates: Sequence[bytes], known: StateVector, roots: Sequence[str], arrays: list[list[str]], how: str
) -> None:
    other = Document(2**52 + 3)
    state: StateVector = {}
    for update in updates:
        read = read_update(update, state)
        other.apply(update, read)
        state |= read.after
    assert state == known and _arrays(other, roots) == arrays, f"{how}, it is another document"


def _state_check(data: bytes) -> str:
    with refusing(Refused):
        state = decode_state(data)
    assert len(state) <= MAX_CLIENTS and all(0 <= n < 2**53 for pair in state.items() for n in pair)
    assert decode_state(encode_state(state)) == state
    document = Document(7)
    update = document.append(ROOTS[0], ["x"])
    clip(update, state)  # pycrdt can read whatever passes here
    return f"a state of {min(len(state), 3)}"


def _state_seeds() -> list[bytes]:
    rng = Random("states")
    some = [{rng.getrandbits(53): rng.choice((0, 1, 2**53 - 1)) for _ in range(n)} for n in (0, 1, 2, 5, 60)]
    return [encode_state(state) for state in some]


UPDATES = Target("updates", _seeds, _mutate, _check, 120_000)
STATES = Target("states", _state_seeds, spoil, _state_check, 30_000)
