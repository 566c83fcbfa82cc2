"""The address book of a shop: the order to try, what makes room for what, and that nothing said to it can break it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.sync.messages import Where, read, write
from posline.sync.places import (
    ADDRESSES_MAX,
    AUTHORS_MAX,
    HINTS_KEPT,
    Places,
    Source,
    is_loopback,
    neighbourhood,
    read_address,
)
from tests.kit import key_of

OWN, ANN, BOB, CID = (key_of(name).id for name in ("own", "ann", "bob", "cid"))
MANY = [key_of(f"till {n}").id for n in range(AUTHORS_MAX + 1)]


def at(n: int, port: int = 8701) -> str:
    return f"192.168.1.{n}:{port}"


def places(*said: tuple[str, Source, list[str]]) -> Places:
    book = Places(OWN)
    for author, source, addresses in said:
        book.heard(author, addresses, source=source)
    return book


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.7:8701", "192.168.1.7:8701"),
        ("[FD00:0:0::7]:8701", "[fd00::7]:8701"),
        ("Till-2.Lan:1", "till-2.lan:1"),
        ("localhost:65535", "localhost:65535"),
        ("169.254.3.4:8701", "169.254.3.4:8701"),  # two tills on a switch whose router is dead
        ("192.168.1.7", None),
        ("192.168.1.7:0", None),
        ("192.168.1.7:08701", None),
        ("192.168.1.7:65536", None),
        ("192.168.1.7:٣", None),
        (":8701", None),
        ("fd00::7:8701", None),
        ("[192.168.1.7]:8701", None),
        ("[fe80::1]:8701", None),
        ("[fe80::1%eth0]:8701", None),
        ("[fd00::7%eth0]:8701", None),
        ("[::ffff:127.0.0.1]:8701", None),
        ("0.0.0.0:8701", None),
        ("[::]:8701", None),
        ("224.0.0.251:5353", None),
        ("[ff02::fb]:5353", None),
        ("255.255.255.255:8701", None),
        # what a resolver would read as an IPv4 address though it is written otherwise
        ("127.1:8701", None),
        ("2130706433:8701", None),
        ("0x7f.1:8701", None),
        ("0x7f000001:8701", None),
        ("till.:8701", None),
        ("till..lan:8701", None),
        ("-till:8701", None),
        ("user@till:8701", None),
        ("till/path:8701", None),
        ("till\n:8701", None),
        ("till:8701\n", None),
        ("tıll:8701", None),
        ("a" * 64 + ":8701", None),
        (("a" * 50 + ".") * 2 + "lan:8701", None),
        ("", None),
        (None, None),
        (8701, None),
    ],
)
def test_an_address_is_a_host_and_a_port(text: object, address: str | None) -> None:
    assert read_address(text) == address


def test_what_worked_is_tried_first_then_as_well_as_it_is_known() -> None:
    book = places(
        (ANN, Source.SELF, [at(1), at(2)]),
        (ANN, Source.HEARSAY, [at(5)]),
        (ANN, Source.DISCOVERED, [at(3)]),
        (ANN, Source.DISCOVERED, [at(4)]),
    )
    assert book.of(ANN) == [at(1), at(2), at(4), at(3), at(5)]
    book.worked(ANN, at(5))
    book.worked(ANN, at(3))
    assert book.of(ANN) == [at(3), at(5), at(1), at(2), at(4)]
    book.failed(ANN, at(3))
    assert book.of(ANN) == [at(5), at(1), at(2), at(4), at(3)]
    assert book.of(BOB) == []
    assert book.authors() == [ANN]


def test_when_nothing_answers_each_is_tried_in_turn() -> None:
    book = places((ANN, Source.SELF, [at(1), at(2)]), (ANN, Source.HEARSAY, [at(3)]))
    tried = []
    for _ in range(9):
        tried.append(book.of(ANN)[0])
        book.failed(ANN, tried[-1])
    assert tried == [at(1), at(2), at(3)] * 3


def test_what_a_member_says_itself_replaces_all_but_what_works() -> None:
    book = places((ANN, Source.DISCOVERED, [at(1), at(2)]), (ANN, Source.SELF, [at(3), at(4)]))
    assert book.of(ANN) == [at(3), at(4)]
    book.worked(ANN, "tunnel.example:443")  # which the member itself knows nothing of
    book.failed(ANN, at(4))
    book.heard(ANN, [at(4), at(5)], source=Source.SELF)
    assert book.of(ANN) == ["tunnel.example:443", at(4), at(5)], "said afresh, an address that failed is tried again"
    book.failed(ANN, "tunnel.example:443")
    book.heard(ANN, [], source=Source.SELF)
    assert book.of(ANN) == []
    assert book.authors() == []


def test_a_hint_adds_and_takes_nothing_away() -> None:
    book = places((ANN, Source.SELF, [at(1)]), (ANN, Source.HEARSAY, [at(2), at(1)]), (ANN, Source.DISCOVERED, []))
    assert book.of(ANN) == [at(1), at(2)]
    assert book.hearsay(BOB) == {ANN: [at(1)]}


def test_an_address_belongs_to_who_answered_there() -> None:
    book = places((ANN, Source.SELF, [at(1), at(2)]), (BOB, Source.DISCOVERED, [at(3)]))
    book.worked(BOB, at(1))  # the router gave it away
    assert book.of(ANN) == [at(2), at(1)]
    assert book.of(BOB) == [at(1), at(3)]


def test_nothing_is_kept_of_oneself_or_of_no_one() -> None:
    book = places((OWN, Source.SELF, [at(1)]), ("ann", Source.SELF, [at(1)]), (ANN, Source.SELF, ["nonsense"]))
    for author in (OWN, "ann"):
        book.worked(author, at(1))
    book.worked(ANN, "nonsense")
    book.failed(ANN, "nonsense")
    book.failed(BOB, at(1))
    assert book.authors() == []
    book.heard(ANN, [at(1)], source=Source.SELF)
    book.forget(ANN)
    book.forget(ANN)
    assert book.authors() == []


def test_a_loopback_address_is_believed_only_from_the_same_machine() -> None:
    loopback = ["127.0.0.1:8701", "[::1]:8701", "127.8.8.8:8701", "localhost:8701", "till.localhost:8701"]
    assert all(is_loopback(address) for address in loopback)
    assert not any(is_loopback(address) for address in (at(1), "[fd00::1]:8701", "localhost.lan:8701"))
    for source in Source:
        book = Places(OWN)
        book.heard(ANN, [*loopback, at(1)], source=source)
        assert book.of(ANN) == [at(1)]
        book.heard(BOB, loopback, source=source, here=True)
        assert book.of(BOB) == loopback
    book = Places(OWN)
    book.heard(ANN, [loopback[0], at(1)], source=Source.SELF, here=True)
    assert book.hearsay(BOB) == {ANN: [at(1)]}
    assert book.hearsay(BOB, here=True) == {ANN: [loopback[0], at(1)]}


def test_a_peer_is_told_what_is_known_of_others_and_no_rumour() -> None:
    book = places(
        (ANN, Source.SELF, [at(1)]), (BOB, Source.SELF, [at(2)]), (BOB, Source.DISCOVERED, [at(3)]),
        (CID, Source.HEARSAY, [at(4), at(5)]),
    )  # fmt: skip
    book.failed(BOB, at(2))
    assert book.hearsay(ANN) == {BOB: [at(2)]}, "what fails from here may answer from there"
    assert book.hearsay(BOB) == {ANN: [at(1)]}
    book.worked(CID, at(5))
    assert book.hearsay(ANN) == {BOB: [at(2)], CID: [at(5)]}


def test_a_flood_of_hints_takes_no_room_from_what_is_known() -> None:
    book = places((ANN, Source.SELF, [at(n) for n in range(1, 7)]))
    book.worked(ANN, at(6))
    for n in range(100, 200):
        book.heard(ANN, [at(n)], source=Source.DISCOVERED)
        book.heard(ANN, [at(n, 9)], source=Source.HEARSAY)
    assert book.of(ANN) == [at(n) for n in (6, 1, 2, 3, 4, 5, 199, 198)]


def test_one_who_moved_is_found_though_the_book_is_full_of_old_addresses() -> None:
    book = places((ANN, Source.SELF, [at(n) for n in range(1, ADDRESSES_MAX + 1)]))
    for n in range(1, ADDRESSES_MAX + 1):
        book.failed(ANN, at(n))
    book.heard(ANN, [at(99)], source=Source.DISCOVERED)
    assert book.of(ANN)[0] == at(99)
    for n in range(100, 110):
        book.heard(ANN, [at(n)], source=Source.HEARSAY)
    assert len(book.of(ANN)) == ADDRESSES_MAX
    assert [a for a in book.of(ANN) if a in book.hearsay(BOB)[ANN]] == [at(n) for n in range(1, 7)]
    assert HINTS_KEPT == 2


def test_members_that_are_only_rumour_go_first_when_the_shop_is_too_large() -> None:
    book = places((MANY[0], Source.HEARSAY, [at(1)]), (MANY[1], Source.DISCOVERED, [at(2)]))
    for author in MANY[2:]:
        book.heard(author, [at(3)], source=Source.SELF)
    assert book.authors() == sorted(MANY[1:])
    book.heard(CID, [at(4)], source=Source.HEARSAY)
    assert book.authors() == sorted(MANY[1:]), "a rumour takes no room from what multicast said"
    book.heard(BOB, [at(5)], source=Source.DISCOVERED)
    assert book.authors() == sorted([*MANY[2:], BOB])
    book.heard(ANN, [at(6)], source=Source.SELF)
    book.heard(CID, [at(7)], source=Source.DISCOVERED)
    assert book.authors() == sorted([*MANY[2:], ANN])
    book.heard(MANY[2], [at(8)], source=Source.SELF)
    book.heard(OWN[::-1], [at(9)], source=Source.SELF)
    assert book.authors() == sorted([*MANY[2:3], *MANY[4:], ANN, OWN[::-1]]), "not heard of for longest"


ADDRESS = st.one_of(
    st.builds(at, st.integers(1, 20), st.integers(1, 3)),
    st.sampled_from(["127.0.0.1:8701", "[::1]:8701", "[fd00::1]:8701", "till.lan:8701", "", "nonsense", "x" * 200]),
)
AUTHOR = st.sampled_from([OWN, "", *MANY])
STEP = st.one_of(
    st.tuples(st.just("heard"), AUTHOR, st.lists(ADDRESS, max_size=12), st.sampled_from(Source), st.booleans()),
    st.tuples(st.sampled_from(["worked", "failed"]), AUTHOR, ADDRESS),
    st.tuples(st.just("forget"), AUTHOR),
)


def play(steps: list[tuple]) -> Places:  # type: ignore[type-arg]
    book = Places(OWN)
    for step in steps:
        match step:
            case ("heard", author, addresses, source, here):
                book.heard(author, addresses, source=source, here=here)
            case (name, *arguments):
                getattr(book, name)(*arguments)
    return book


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=120))
def test_whatever_is_said_the_book_stays_within_its_limits_and_survives_a_restart(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    book = play(steps)
    assert len(book.authors()) <= AUTHORS_MAX
    assert OWN not in book.authors()
    for author in book.authors():
        addresses = book.of(author)
        assert 0 < len(addresses) == len(set(addresses)) <= ADDRESSES_MAX
        assert all(read_address(address) == address for address in addresses)
    where = Where(tuple(book.of(ANN)), {a: tuple(p) for a, p in book.hearsay(BOB, here=True).items()})
    assert read(write(where)) == where, "what the book tells is a message that a peer takes"
    again = Places.from_json(OWN, book.to_json())
    assert again.authors() == book.authors()
    assert again.hearsay(BOB) == book.hearsay(BOB)
    for author in book.authors():
        assert again.of(author) == book.of(author)
    assert again.to_json() == book.to_json()
    for author in MANY[:2]:  # what comes next is judged as it was before the restart
        for twin in (book, again):
            twin.heard(author, [at(99)], source=Source.DISCOVERED)
        assert again.of(author) == book.of(author)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["SELF", at(1), ANN]),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from([ANN, BOB, "x", OWN]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_book_that_cannot_be_read_is_empty_and_never_in_the_way(value: object) -> None:
    for text in (
        json.dumps(value),
        json.dumps({"v": 1, "members": value}),
        json.dumps({"v": 1, "members": {ANN: value}}),
    ):
        book = Places.from_json(OWN, text)
        assert set(book.authors()) <= {ANN, BOB}


@pytest.mark.parametrize("text", ["", "null", "[", "[" * 100_000, '{"v":2,"members":{}}', b"\xff\xfe", "x" * 2**20])
def test_garbage_is_an_empty_book(text: str | bytes) -> None:
    assert Places.from_json(OWN, text).authors() == []


def test_what_is_sound_in_a_damaged_book_is_kept() -> None:
    rows = [
        [at(1), "SELF", True, False],
        [at(2), "SELF", True],
        [at(3), "FRIEND", True, False],
        ["x", "SELF", True, True],
    ]
    text = json.dumps({"v": 1, "members": {ANN: rows, "x": rows, OWN: rows, BOB: None}})
    book = Places.from_json(OWN, text)
    assert (book.authors(), book.of(ANN)) == ([ANN], [at(1)])


@pytest.mark.parametrize(
    ("host", "counted"),
    [("203.0.113.7", "203.0.113.7"), ("2a02:1:2:3:4:5:6:7", "2a02:1:2:3::/64"), ("::ffff:203.0.113.7", "203.0.113.7"),
     ("fe80::1%eth0", "fe80::1"), ("fd00::1", "fd00::1"), ("::1", "::1"), ("testclient", "testclient"), ("", "")],
)  # fmt: skip
def test_what_connections_are_counted_by(host: str, counted: str) -> None:
    """Of a shop's own network each machine; of the internet's longer addresses the network, of which one has many."""
    assert neighbourhood(host) == counted
