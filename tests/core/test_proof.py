"""The code on a receipt that carries the signed sale: it comes back byte for byte, or not at all."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.entry import encode
from posline.core.proof import (
    CODE_CHARS,
    MAX_CODES,
    Reference,
    Scan,
    from_base45,
    make_proof,
    open_codes,
    read_code,
    to_base45,
)
from posline.errors import BadRequest
from tests.kit import key_of

SHOP = "s" * 26
KEY = key_of("alif")
RECEIPT = "A-12-K7QM"


def element(lines: int = 2, **over: Any) -> bytes:
    """A sale's element with so many lines, each of another product, as a till writes it."""
    die = random.Random(lines)
    sold = [
        {"sku": f"{die.randrange(10**6)}", "quantity": "1", "price": die.randrange(100, 99999), "name": f"Thing {n}"}
        for n in range(lines)
    ]
    return encode({
        "v": 1, "id": "0d3c4f4e-77f5-4b44-9d41-0cc6d0e8a6b5", "kind": "sale", "till": KEY.id, "run": 123456789012345,
        "seq": 20, "prev": "ab" * 12, "at": "2026-11-23T12:00:00.000+05:00", "day": "2026-11-23", "by": "",
        "number": 12, "label": "A", "lines": sold, "total": sum(line["price"] for line in sold),
    } | over).encode()  # fmt: skip


def codes_of(raw: bytes) -> tuple[str, ...]:
    return make_proof(raw, SHOP, KEY.sign, receipt=RECEIPT)


def test_an_everyday_sale_is_one_code_and_comes_back_byte_for_byte() -> None:
    raw = element(3)
    (code,) = codes_of(raw)
    assert len(code) <= CODE_CHARS and set(code) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    proof = open_codes([code])
    assert proof.raw == raw and proof.verify(SHOP, [key_of("bay").public, KEY.public]).hash == proof.entry.hash


def test_a_code_that_was_printed_once_opens_for_ever() -> None:
    """Receipts are read years later: what is printed today must open with every later version."""
    code = (
        "PL1:11C:GS47JYOXZP%VNS9MB3VAWI145JX8JZO:+MM1GCDDDZSO8W$XVA 6PNS-5Q1-D$JSD4VGYG-2FXL51IR%09X2IMF37-3T"
        "098/KIP5Z+FNA9IUOHN14HQ6%UR%0DOI TFOE05-0XD8REM..NL*H JG$%E7$2--VPAWPMLOD4H5Q1WGNBB7/BW*GMVH4K8/92M1"
        "VO$A0RQ 1BYH6JVT$+8KL5U8PT$942W+L71BK4:AZ5B%4W1ITWCEPKU9AUW$R9Q5 P4J75.L046Q .U898/685SU J1PBM0AL%G6"
        "S78$JANRD.VT-OCG$75JFU87 9K."
    )
    assert open_codes([code]).verify(SHOP, [KEY.public]).raw == element(1)


def test_a_large_sale_takes_several_codes_in_any_order_and_twice() -> None:
    raw = element(25)
    codes = codes_of(raw)
    assert 1 < len(codes) <= MAX_CODES and all(len(code) <= CODE_CHARS for code in codes)
    scan = Scan()
    assert scan.missing == () and scan.add(codes[-1]) is None
    assert scan.add(codes[-1]) is None and scan.missing == tuple(range(1, len(codes)))
    for code in codes[1:-1]:
        assert scan.add(code) is None
    done = scan.add(codes[0])
    assert done is not None and done.raw == raw
    with pytest.raises(BadRequest, match="codes are missing: 2"):
        open_codes(codes[:1])


def test_five_hundred_lines_are_too_many_to_carry_and_are_named() -> None:
    (code,) = codes_of(element(500))
    named = read_code(code)
    assert isinstance(named, Reference) and named.receipt == RECEIPT and named.id.startswith("0d3c4f4e-")
    with pytest.raises(BadRequest, match="only names the sale A-12-K7QM"):
        open_codes([code])


def test_whatever_number_of_lines_the_codes_stay_within_their_size() -> None:
    for lines in range(1, 120, 7):
        codes = codes_of(element(lines))
        assert len(codes) <= MAX_CODES and all(len(code) <= CODE_CHARS for code in codes)
        if not codes[0].startswith("PLR1:"):
            assert open_codes(codes).raw == element(lines)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_altered_letter_is_refused(data: st.DataObject) -> None:
    (code,) = codes_of(element(2))
    at = data.draw(st.integers(0, len(code) - 1))
    letter = data.draw(st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:").filter(lambda c: c != code[at]))
    with pytest.raises(BadRequest):
        open_codes([code[:at] + letter + code[at + 1 :]])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=80), st.from_regex(r"PL1:[0-9]{2}[0-9A-Z $%*+\-./:]{0,60}\.", fullmatch=True)))
def test_whatever_is_scanned_is_read_or_refused(text: str) -> None:
    try:
        open_codes([text])
    except BadRequest:
        return
    raise AssertionError("nobody made this code")


def test_a_sale_that_was_altered_and_packed_afresh_is_not_signed() -> None:
    forged = element(2, by="somebody else")
    genuine = open_codes(codes_of(element(2)))
    (code,) = make_proof(forged, SHOP, lambda _: genuine.signature)
    with pytest.raises(BadRequest, match="is not signed by till"):
        open_codes([code]).verify(SHOP, [KEY.public])


def test_another_tills_key_and_another_shop_are_refused() -> None:
    proof = open_codes(codes_of(element(2)))
    with pytest.raises(BadRequest, match="is not signed by till"):
        proof.verify(SHOP, [key_of("bay").public])
    with pytest.raises(BadRequest, match="is not signed by till"):
        proof.verify("t" * 26, [KEY.public])


def test_codes_of_two_receipts_do_not_mix() -> None:
    first, second = codes_of(element(25)), codes_of(element(26))
    scan = Scan()
    scan.add(first[0])
    with pytest.raises(BadRequest, match="belongs to another sale"):
        scan.add(second[1])
    assert [scan.add(code) for code in first[1:]][-1] is not None, "and it goes on with what it had"


def test_only_paper_has_a_proof() -> None:
    cash = element(1, kind="cash", direction="in", amount=100, reason="change")
    with pytest.raises(BadRequest, match="is no sale but 'cash'"):
        codes_of(cash)
    with pytest.raises(BadRequest, match="update Posline"):
        read_code("PL2:11ABC.")
    with pytest.raises(BadRequest, match="none of Posline's"):
        read_code("https://example.com/")
    with pytest.raises(BadRequest, match="scan it again"):
        read_code("PL1:11ABC")


def test_a_scanner_that_types_small_letters_is_understood() -> None:
    (code,) = codes_of(element(1))
    assert open_codes([f"{code.lower()}\r\n"]).raw == element(1)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_base45_comes_back(raw: bytes) -> None:
    assert from_base45(to_base45(raw)) == raw


def test_base45_is_that_of_rfc_9285() -> None:
    assert (to_base45(b"AB"), to_base45(b"Hello!!"), to_base45(b"base-45")) == ("BB8", "%69 VD92EX0", "UJCLQE7W581")
    for wrong in ("GGW", ":::", "A", "a", "ZZ"):
        with pytest.raises(BadRequest):
            from_base45(wrong)
