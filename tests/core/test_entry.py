"""An entry is read exactly or shown with its fault, and never raises."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.entry import compose, decode, encode, sign, verify
from posline.errors import BadEntry
from tests.kit import DAY, JOURNAL, Writer, key_of

FIELDS: dict[str, Any] = {
    "v": 1,
    "id": "0190f0c2-7b8e-4c3a-9f5e-000000000001",
    "kind": "sale",
    "till": key_of("alif").id,
    "run": 5,
    "seq": 7,
    "prev": "a" * 24,
    "at": "2026-11-23T12:00:00.000+05:00",
    "day": DAY,
    "by": "",
    "number": 3,
    "label": "A",
    "lines": [
        {"sku": "1", "quantity": "2", "price": 50, "discount": 10},
        {"sku": "2", "quantity": "0.5", "price": 101, "name": "rice", "rate": "18", "tax": 8},
    ],
    "tenders": [{"kind": "card", "amount": 100}, {"kind": "cash", "amount": 50}],
    "change": 9,
    "total": 141,
}


def text(**over: Any) -> bytes:
    return json.dumps(FIELDS | over, separators=(",", ":")).encode()


def fault(**over: Any) -> str | None:
    return decode(JOURNAL, text(**over)).fault


def test_a_sound_sale_is_read_as_it_was_written() -> None:
    entry = decode(JOURNAL, text())
    assert (entry.fault, entry.placed, entry.amount, entry.number) == (None, True, 141, 3)
    assert encode(FIELDS).encode() == text()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        text()[:-1] + b',"id":"0190f0c2-7b8e-4c3a-9f5e-000000000002"}',
        text()[:-1] + b',"x":{"a":1,"a":2}}',
        text(x=1.5),
        text()[:-1] + b',"x":1e3}',
        text()[:-1] + b',"x":1.0}',
        text()[:-1] + b',"x":NaN}',
        text()[:-1] + b',"x":Infinity}',
        text(x=2**53),
        text(x=-(2**53)),
        text()[:-1] + b',"x":' + b"9" * 40_000 + b"}",
        text()[:-1] + b',"x":"\\ud800"}',
        text()[:-1] + b',"x":"\xed\xa0\x80"}',
        text()[:-1] + b',"x":' + b"[" * 15_000 + b"]" * 15_000 + b"}",
        b"[" * 15_000,
        text()[:-1] + b',"x":' + b"[" * 16 + b"]" * 16 + b"}",
        text(x="y" * 48 * 1024),
    ],
)
def test_what_is_not_such_json_is_unreadable(raw: bytes) -> None:
    entry = decode(JOURNAL, raw)
    assert entry.fault and not entry.placed and entry.amount == 0


def test_what_is_just_within_the_limits_is_read() -> None:
    assert fault(x=2**53 - 1, y=[[[[[[[[[[[[[[[]]]]]]]]]]]]]]], z="\u0000 \U0001f600") is None
    room = 48 * 1024 - len(text(x=""))
    assert fault(x="y" * room) is None
    assert fault(x="y" * (room + 1)) is not None


@pytest.mark.parametrize(
    "over",
    [
        {"v": 2},
        {"v": True},
        {"id": "x"},
        {"id": 1},
        {"kind": ""},
        {"till": "A" * 26},
        {"till": "a" * 25},
        {"run": -1},
        {"run": True},
        {"seq": 0},
        {"seq": "1"},
        {"prev": "a" * 23},
        {"prev": "A" * 24},
        {"at": "2026-11-23"},
        {"at": "2026-11-23T12:00:00.000Z"},
        {"at": "2026-13-23T12:00:00.000+05:00"},
        {"day": "2019-12-31"},
        {"day": "2026-02-30"},
        {"day": "2101-01-01"},
        {"by": "x" * 201},
        {"by": None},
    ],
)
def test_an_envelope_that_is_out_of_range_has_no_place(over: dict[str, Any]) -> None:
    entry = decode(JOURNAL, text(**over))
    assert entry.fault and not entry.placed


@pytest.mark.parametrize(
    "over",
    [
        {"number": 0},
        {"number": None},
        {"label": "a"},
        {"label": "TOOLONG"},
        {"lines": []},
        {"lines": {}},
        {"total": 140},
        {"total": 142},
        {"total": "141"},
        {"change": 8},
        {"change": -9},
        {"rounding": 1},
        {"tenders": []},
        {"tenders": None, "change": 9},
        {"tenders": [{"kind": "cash", "amount": 149}]},
        {"tenders": [{"kind": "Cash", "amount": 150}]},
        {"tenders": [{"kind": "cash", "amount": -150}]},
        {"lines": [{"sku": "1", "quantity": "1", "price": 141}] * 501},
        {"clock": "fine"},
        {"note": "x" * 201},
    ],
)
def test_a_sale_whose_arithmetic_or_limits_are_broken_is_invalid(over: dict[str, Any]) -> None:
    entry = decode(JOURNAL, text(**over))
    assert entry.fault and entry.placed and entry.amount == 0


@pytest.mark.parametrize(
    "line",
    [
        {"sku": "", "quantity": "1", "price": 141},
        {"sku": "x" * 201, "quantity": "1", "price": 141},
        {"sku": "1", "quantity": 1, "price": 141},
        {"sku": "1", "quantity": "0", "price": 141},
        {"sku": "1", "quantity": "1", "price": 141.0},
        {"sku": "1", "quantity": "1", "price": True},
        {"sku": "1", "quantity": "1", "price": -141},
        {"sku": "1", "quantity": "1", "price": 0, "discount": -141},
        {"sku": "1", "quantity": "1", "price": 141, "tax": 1},
        {"sku": "1", "quantity": "1", "price": 141, "rate": "18"},
        {"sku": "1", "quantity": "1", "price": 141, "rate": "18", "tax": 21},
        {"sku": "1", "price": 141},
        [],
        "x",
        None,
    ],
)
def test_a_line_that_is_wrong_makes_the_sale_invalid(line: object) -> None:
    sound = {"lines": [{"sku": "1", "quantity": "1", "price": 141}]}
    assert fault(**sound) is None
    assert fault(lines=[line]) is not None


def test_an_element_lies_where_it_belongs_or_is_invalid() -> None:
    for document in ("journal/2026-11-24", "shop", "catalog/1"):
        assert decode(document, text()).fault
    alif = Writer("alif")
    alif.begin()
    assert decode(JOURNAL, alif.founding().raw).fault


def test_a_kind_from_a_newer_version_is_kept_and_counts_nothing() -> None:
    entry = decode(JOURNAL, text(kind="teleport", lines="?"))
    assert (entry.fault, entry.newer, entry.placed, entry.amount) == (None, True, True, 0)
    assert fault(unheard_of={"a": [1]}) is None


def test_a_signature_is_the_last_key_and_covers_everything_before_it() -> None:
    key = key_of("alif")
    fields = {
        k: v for k, v in FIELDS.items() if k in ["v", "id", "kind", "till", "run", "seq", "prev", "at", "day", "by"]
    } | {"kind": "seal"}
    raw = sign(fields, key.sign).encode()
    entry = decode(JOURNAL, raw)
    assert entry.fault is None and verify(key.public, entry)
    assert not verify(key_of("be").public, entry)
    for at in range(0, len(raw) - 96, 7):
        altered = bytearray(raw)
        altered[at] ^= 1
        assert not verify(key.public, decode(JOURNAL, bytes(altered)))
    assert decode(JOURNAL, raw[:-1] + b',"more":1}').fault
    assert decode(JOURNAL, encode(fields | {"kind": "later"}).replace('"later"', '"seal"').encode()).fault
    spoilt = raw[:-3] + (b"A" if raw[-3:-2] != b"A" else b"B") + raw[-2:]
    assert not verify(key.public, decode(JOURNAL, spoilt))
    assert len(base64.urlsafe_b64decode(json.loads(raw)["sig"] + "==")) == 64


def test_what_would_be_invalid_is_not_written() -> None:
    for over in ({"total": 1}, {"x": 1.5}, {"x": 2**60}, {"x": object()}, {"x": "\ud800"}):
        with pytest.raises(BadEntry):
            compose(JOURNAL, FIELDS | over, None)


def test_equal_content_whatever_numbers_times_and_defaults() -> None:
    same = [
        {},
        {"run": 9, "seq": 1, "number": 8, "label": "B", "prev": "", "at": "2026-11-23T13:00:00.000+05:00", "by": "x"},
        {"lines": [dict(FIELDS["lines"][0], quantity="2.0"), dict(FIELDS["lines"][1], quantity="0.500", name="other")]},
        {"rounding": 0, "tenders": FIELDS["tenders"][::-1]},
    ]
    assert len({decode(JOURNAL, text(**over)).content() for over in same}) == 1
    plain = {"lines": [{"sku": "1", "quantity": "1", "price": 141}], "change": 0}
    cash = [{"kind": "cash", "amount": 141}]
    exact = {k: v for k, v in (FIELDS | plain).items() if k != "tenders"}
    assert decode(JOURNAL, text(**plain, tenders=cash)).content() == decode(JOURNAL, encode(exact).encode()).content()


def test_other_content_is_told_apart() -> None:
    line = {"sku": "1", "quantity": "2", "price": 50}
    base = {"lines": [line], "total": 100, "tenders": None, "change": 0}
    others: list[dict[str, Any]] = [
        base,
        base | {"lines": [line | {"sku": "2"}]},
        base | {"lines": [{"sku": "1", "quantity": "1", "price": 100}]},
        base | {"lines": [line | {"price": 55, "discount": 10}]},
        base | {"tenders": [{"kind": "card", "amount": 100}]},
        base | {"tenders": [{"kind": "cash", "amount": 150}], "change": 50},
        base | {"rounding": 5},
        base | {"customer": "x"},
    ]
    entries = [decode(JOURNAL, text(**other)) for other in others]
    assert [e.fault for e in entries] == [None] * len(entries)
    assert len({e.content() for e in entries}) == len(entries)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300))
def test_no_bytes_raise(raw: bytes) -> None:
    assert decode(JOURNAL, raw).fault


@given(
    st.sampled_from(sorted(FIELDS)),
    JSON,
    st.sampled_from(["sale", "run", "seal", "member", "founding", "setting", "products", "redate"]),
)
def test_no_value_of_any_field_of_any_kind_raises(name: str, value: object, kind: str) -> None:
    raw = json.dumps(FIELDS | {"kind": kind} | {name: value}).encode()
    for document in (JOURNAL, "shop", "catalog/1"):
        entry = decode(document, raw)
        entry.content()
        assert entry.amount == 0 or (entry.fault is None and entry.kind == "sale")
