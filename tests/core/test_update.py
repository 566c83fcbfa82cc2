"""The reader that stands before yrs: what passes does exactly what was read, and nothing else passes."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, write_var_uint

from posline.core.document import Document, lone_update
from posline.core.update import (
    MAX_ELEMENT_BYTES,
    MAX_UPDATE_BYTES,
    MAX_UPDATE_ELEMENTS,
    clip,
    decode_state,
    encode_state,
    merge,
    read_update,
)
from posline.errors import Hole, Refused

A, B, C = "a" * 26, "b" * 26, "c" * 26
v = write_var_uint


def emitted(change: Callable[[Doc[Array[str]]], None], client: int = 7) -> bytes:
    """The last update that a change to a Yjs document gives."""
    doc: Doc[Array[str]] = Doc(client_id=client)
    found: list[bytes] = []
    subscription = doc.observe(lambda event: found.append(bytes(event.update)))
    change(doc)
    del subscription
    return found[-1]


def raw(*structs: bytes, client: int = 7, clock: int = 0, tail: bytes = b"\0") -> bytes:
    """An update by one client, by hand."""
    return v(1) + v(len(structs)) + v(client) + v(clock) + b"".join(structs) + tail


def strings(*texts: bytes, root: bytes = A.encode(), info: int = 8) -> bytes:
    """One struct of strings at the start of a root array."""
    return bytes((info, 1)) + v(len(root)) + root + v(len(texts)) + b"".join(b"\x77" + v(len(t)) + t for t in texts)


def test_what_an_append_emits_is_read_as_it_was_written() -> None:
    document = Document(7)
    first, second = document.append(A, ["x"]), document.append(A, ["y", "ü"])
    assert read_update(first, {}).elements == (b"x",)
    read = read_update(second, {7: 1})
    assert (read.before, read.after, read.elements) == ({7: 1}, {7: 3}, (b"y", "ü".encode()))
    assert not read.overlaps


def test_what_is_known_is_passed_over_also_in_the_middle_of_a_struct() -> None:
    update = lone_update(7, A, ["a", "b", "c", "d"])
    read = read_update(update, {7: 2})
    assert (read.before, read.after, read.elements, read.overlaps) == ({7: 2}, {7: 4}, (b"c", b"d"), True)
    assert read_update(clip(update, {7: 2}), {7: 2}).elements == (b"c", b"d")
    assert read_update(update, {7: 9}).after == {}


def test_a_hole_is_told_apart_from_what_may_never_pass() -> None:
    document = Document(7)
    updates = [document.append(A, [str(i)]) for i in range(5)]
    with pytest.raises(Hole):
        read_update(updates[3], {7: 2})
    with pytest.raises(Hole):
        read_update(merge(updates[2:]), {})
    assert read_update(merge(updates), {}).strings == 5


def test_thousands_of_updates_with_a_hole_cost_nothing_and_leave_nothing() -> None:
    document = Document(7)
    updates = [document.append(A, [str(i)]) for i in range(3000)]
    for update in updates[1:]:
        with pytest.raises(Hole):
            read_update(update, {})


def test_a_delete_set_for_clocks_still_to_come_is_refused() -> None:
    future = raw(strings(b"x"), tail=v(1) + v(99) + v(1) + v(1000) + v(5))
    with pytest.raises(Refused, match="deletes"):
        read_update(future, {})
    with pytest.raises(Refused, match="deletes"):
        read_update(v(0) + v(1) + v(99) + v(1) + v(5) + v(1), {})

    def delete(doc: Doc[Array[str]]) -> None:
        array = doc.get(A, type=Array)
        array.append("x")
        del array[0]

    with pytest.raises(Refused):
        read_update(emitted(delete), {7: 1})


def test_a_map_key_under_an_authors_root_is_refused() -> None:
    def put(doc: Doc[Array[str]]) -> None:
        doc.get(A, type=Map)["k"] = "hidden"

    with pytest.raises(Refused, match="map key"):
        read_update(emitted(put), {})


def test_a_nested_type_under_an_authors_root_is_refused() -> None:
    def nest(doc: Doc[Array[str]]) -> None:
        doc.get(A, type=Array).append(Array(["inner"]))  # type: ignore[arg-type]

    with pytest.raises(Refused, match=r"nested|delet|struct"):
        read_update(emitted(nest), {})


def test_an_unknown_root_is_refused() -> None:
    for root in (b"", b"T1", b"A" * 26, b"a" * 25, b"a" * 27, b"0" * 26):
        with pytest.raises(Refused, match="no author"):
            read_update(raw(strings(b"x", root=root)), {})


def test_numbers_and_objects_are_refused() -> None:
    for value in (1, 1.5, True, None, {"a": 1}, ["x"]):

        def append(doc: Doc[Array[str]], value: object = value) -> None:
            doc.get(A, type=Array).append(value)  # type: ignore[arg-type]

        with pytest.raises(Refused):
            read_update(emitted(append), {})


def test_a_huge_run_of_skipped_clocks_is_refused() -> None:
    with pytest.raises(Refused, match="skipped"):
        read_update(raw(bytes((10,)) + v(2**50), strings(b"x")), {})
    with pytest.raises(Hole):
        read_update(raw(strings(b"x"), clock=2**52), {})
    with pytest.raises(Refused, match="2\\^53"):
        read_update(raw(strings(b"x"), clock=2**53 - 1), {7: 2**53 - 1})


def test_an_update_of_20000_small_elements_is_refused_with_little_work() -> None:
    many = raw(*[strings(b"x")] * 20_000)  # 660 kB of structs
    one = raw(strings(*[b"x"] * 20_000))  # 60 kB in one struct
    tracemalloc.start()
    for update in (many, one, many[:MAX_UPDATE_BYTES]):
        with pytest.raises(Refused):
            read_update(update, {})
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


def test_a_value_nested_15000_deep_is_refused_without_being_followed() -> None:
    nested = bytes((8, 1)) + v(26) + A.encode() + v(1) + b"\x75\x01" * 15_000 + b"\x7e"
    with pytest.raises(Refused, match="not a string"):
        read_update(raw(nested), {})


def test_limits_hold_at_below_and_above() -> None:
    assert read_update(raw(strings(*[b"x"] * MAX_UPDATE_ELEMENTS)), {}).strings == MAX_UPDATE_ELEMENTS
    with pytest.raises(Refused, match="256"):
        read_update(raw(strings(*[b"x"] * (MAX_UPDATE_ELEMENTS + 1))), {})
    assert read_update(raw(strings(b"x" * MAX_ELEMENT_BYTES)), {}).strings == 1
    with pytest.raises(Refused, match="limit"):
        read_update(raw(strings(b"x" * (MAX_ELEMENT_BYTES + 1))), {})
    with pytest.raises(Refused, match="split"):
        read_update(raw(strings(b"x" * 40_000), strings(b"x" * 40_000)), {})


def test_forms_that_yjs_would_read_otherwise_are_refused() -> None:
    sound = raw(strings(b"x"))
    assert read_update(sound, {}).elements == (b"x",)
    for bad in (
        b"",
        sound[:-1],
        sound + b"\0",
        v(2) + sound[1:-1] + sound[1:],  # one client twice
        v(1) + v(0) + v(7) + v(0) + b"\0",  # a client with nothing of it
        b"\x81\x00" + sound[1:],  # a number written longer than it is
        raw(strings(b"\xff")),
        raw(strings(b"\xed\xa0\x80")),  # a lone surrogate
        raw(strings(b"\xc3", b"\xa9")),  # half a character each
        raw(strings(info=8)),  # a struct of nothing
        raw(strings(b"x", info=0x28)),
    ):
        with pytest.raises(Refused):
            read_update(bad, {})


def test_elements_that_lean_on_each_other_in_a_circle_are_refused() -> None:
    def leaning(client: int, on: int) -> bytes:
        return v(1) + v(client) + v(0) + bytes((0x88,)) + v(on) + v(0) + v(1) + b"\x77\x01x"

    with pytest.raises(Refused, match="circle"):
        read_update(v(2) + leaning(9, 8) + leaning(8, 9) + b"\0", {})
    with pytest.raises(Refused, match="itself"):
        read_update(v(1) + leaning(9, 9) + b"\0", {})
    with pytest.raises(Hole):
        read_update(v(1) + leaning(9, 5) + b"\0", {})


@given(st.binary(max_size=200), st.dictionaries(st.integers(0, 20), st.integers(0, 5)))
def test_no_bytes_raise_anything_but_refusals(data: bytes, known: dict[int, int]) -> None:
    for read in (lambda: read_update(data, known), lambda: decode_state(data)):
        with contextlib.suppress(Refused):
            read()


@given(st.dictionaries(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1), max_size=50))
def test_state_vectors_come_back_as_they_went(state: dict[int, int]) -> None:
    assert decode_state(encode_state(state)) == state


def history(rng: random.Random) -> list[bytes]:
    """What three writers who sometimes meet hold in the end, each as one update."""
    docs = [Document(rng.getrandbits(53)) for _ in range(3)]
    for _ in range(rng.randint(1, 20)):
        at = rng.randrange(3)
        docs[at].append(rng.choice((A, B, C)), [f"{rng.randrange(99)}"] * rng.choice((1, 1, 2, 5)))
        for other in docs:
            if rng.random() < 0.3:
                other.load([bytes(docs[at]._doc.get_update(encode_state(other.state)))])
    return [bytes(doc._doc.get_update()) for doc in docs]


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_whatever_passes_does_in_yrs_exactly_what_was_read(rng: random.Random, spoil: bool) -> None:
    document, known = Document(5), dict[int, int]()
    for update in history(rng) * 2:
        mutant = bytearray(update)
        for _ in range(rng.randint(0, 3) if spoil else 0):
            at = rng.randrange(len(mutant))
            mutant[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(2))
            mutant = mutant or bytearray(b"\0")
        try:
            read = read_update(bytes(mutant), known)
        except Refused:
            assert spoil
            continue
        if not read.after:
            continue
        before = sum(len(document.elements(root)) for root in (A, B, C))
        piece = clip(bytes(mutant), known) if read.overlaps else bytes(mutant)
        document.apply(piece, read)  # raises where the clocks do not advance by exactly what was read
        known |= read.after
        assert sum(len(document.elements(root)) for root in (A, B, C)) - before <= len(read.elements)
        assert decode_state(bytes(document._doc.get_state())) == known
        document._doc.get_update()  # a mutant that passed must not make this panic
