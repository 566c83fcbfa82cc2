"""Stateless messages: what is written is read back the same, and nothing that a peer says is believed unread."""

from __future__ import annotations

import json
import random

import pytest

from posline.errors import Refused
from posline.storage.records import Mark
from posline.sync.messages import (
    MARKS_MAX,
    MAX_PAYLOAD_BYTES,
    PREFIXES_MAX,
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
    in_messages,
    read,
    write,
)
from posline.sync.places import ADDRESS_CHARS_MAX, ADDRESSES_MAX, AUTHORS_MAX
from tests.kit import JOURNAL, key_of

STORE = key_of("store").id
MESSAGES: list[Message] = [
    Hello(STORE, "session", "posline/1", "till", 1_795_417_200_000, True, (STORE,), "ab" * 32),
    Tree("2026", {"2026-11": "ab" * 32}),
    Announce(JOURNAL, {2**53 - 1: 7, 1: 2}, 9, "ab" * 32),
    Have(STORE, 12, (Mark(STORE, 2**53 - 1, 3, bytes(range(32))),)),
    Links((STORE,), 0, False),
    RefusedUpdate(JOURNAL, "it has a hole", True),
    Authors(JOURNAL, {STORE: (3, "cd" * 32), "": (1, "ef" * 32)}),
    Prefixes(JOURNAL, STORE, (bytes(8), bytes(range(8))), True),
    Missing(JOURNAL, (bytes(range(8)),)),
    Where(("192.168.1.7:8701", "[fd00::7]:8701"), {key_of("other").id: ("till-2.lan:8701",), STORE: ()}),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_what_is_written_is_read_back(message: Message) -> None:
    assert read(write(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_field_that_lacks_or_is_something_else_is_refused(message: Message) -> None:
    fields = json.loads(write(message))
    for name in fields.keys() - {"t", "v", "known", "hole", "last"}:
        for wrong in (None, [[]], -1, 2**53, 1.5, {"a": {"b": 1}}, "\ud800" * 300):
            with pytest.raises(Refused):
                read(json.dumps(fields | {name: wrong}))
        if name == "sig":  # an older peer says none
            continue
        without = {k: v for k, v in fields.items() if k != name}
        with pytest.raises(Refused):
            read(json.dumps(without))


def test_a_newer_peer_may_say_more() -> None:
    assert read('{"v":1,"t":"weather","warm":true}') is None
    assert read('{"v":2,"t":"hello"}') is None
    fields = json.loads(write(MESSAGES[0]))
    assert read(json.dumps(fields | {"mood": "fine"})) == MESSAGES[0]


@pytest.mark.parametrize("text", ["", "[]", "1", '{"v":1', "[" * 60_000, '{"v":1,"t":["hello"]}', "{}", "\x00"])
def test_what_is_no_message_is_refused_or_ignored(text: str) -> None:
    try:
        assert read(text) is None
    except Refused as error:
        assert str(error)


def test_addresses_are_bounded_and_read() -> None:
    fields = json.loads(write(Where(("10.0.0.9:8701",), {})))
    assert read(json.dumps(fields | {"own": ["TILL.Lan:8701"]})) == Where(("till.lan:8701",), {})
    for own in (["10.0.0.9"], ["10.0.0.9:0"], ["0.0.0.0:8701"], ["x" * 96 + ":8701"], ["10.0.0.9:8701"] * 9, "10", [7]):
        with pytest.raises(Refused):
            read(json.dumps(fields | {"own": own}))
        with pytest.raises(Refused):
            read(json.dumps(fields | {"others": {STORE: own}}))
    for others in ({"till": []}, [], {key_of(f"till {n}").id: [] for n in range(AUTHORS_MAX + 1)}):
        with pytest.raises(Refused):
            read(json.dumps(fields | {"others": others}))


def test_mutations_raise_nothing_but_a_refusal() -> None:
    chance = random.Random(1)
    for _ in range(5000):
        text = list(write(chance.choice(MESSAGES)))
        for _ in range(chance.randint(1, 4)):
            text[chance.randrange(len(text))] = chr(chance.choice((0, 34, 44, 48, 58, 91, 123, 125, 233, 0x1F600)))
        try:
            read("".join(text))
        except Refused:
            continue


def test_the_largest_of_each_fits_a_message() -> None:
    mark = Mark(STORE, 2**53 - 1, 2**53 - 1, bytes(32))
    places = tuple(f"{n}{'a' * 59}.{'b' * 33}:65535" for n in range(ADDRESSES_MAX))
    assert {len(place) for place in places} == {ADDRESS_CHARS_MAX}
    for message in (
        Have(STORE, 2**53 - 1, (mark,) * MARKS_MAX),
        Prefixes(JOURNAL, STORE, (bytes(8),) * PREFIXES_MAX, True),
        Announce(JOURNAL, {2**53 - 1 - n: 1000 for n in range(4000)}, 1, "ab" * 32),
        Tree("2026-11", {f"journal/2026-11-{n:02}": "ab" * 32 for n in range(1, 32)}),
        Where(places, {key_of(f"till {n}").id: places for n in range(AUTHORS_MAX)}),
    ):
        text = write(message)
        assert len(text) <= MAX_PAYLOAD_BYTES
        assert read(text) == message
    with pytest.raises(Refused, match="over the limit"):
        read(" " * (MAX_PAYLOAD_BYTES + 1))
    assert [len(piece) for piece in in_messages(range(10), 4)] == [4, 4, 2]
