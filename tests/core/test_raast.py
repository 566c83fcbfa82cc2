"""A QR for one amount: the shop's own with the amount in it, to the letter, and nothing made of what is none."""

from __future__ import annotations

from binascii import crc_hqx

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.money import MAX_MONEY
from posline.core.raast import payment_qr, read_shop_qr
from posline.errors import BadRequest

ACCOUNT = "28" + "76" + "0032d9131dda6e894d78b44a756e37874ba0" + "0108SCBLPKKX" + "0224PK36SCBL0000001123456702"
MERCHANT = "52045411" + "5303586" + "5802PK" + "5913Karachi Store" + "6007Karachi"


def crc_again(text: str) -> str:
    """CRC-16/CCITT-FALSE bit by bit: polynomial 0x1021, from 0xFFFF, nothing reflected."""
    crc = 0xFFFF
    for byte in text.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return f"{crc:04X}"


def closed(text: str) -> str:
    return f"{text}6304{crc_again(text + '6304')}"


STATIC = closed("000201" + "010211" + ACCOUNT + MERCHANT)


def test_the_qr_of_a_sale_is_the_shops_own_with_the_amount() -> None:
    """Golden: field by field as EMVCo's specification writes them."""
    assert payment_qr(STATIC, 125_050) == closed(
        "000201" + "010212" + ACCOUNT + "52045411" + "5303586" + "54071250.50" + "5802PK" + "5913Karachi Store"
        + "6007Karachi"
    )  # fmt: skip
    assert payment_qr(STATIC, 125_050) == (
        "00020101021228760032d9131dda6e894d78b44a756e37874ba00108SCBLPKKX0224PK36SCBL0000001123456702520454115303586"
        "54071250.505802PK5913Karachi Store6007Karachi63048F98"
    )


@pytest.mark.parametrize(
    ("amount", "field"),
    [(1, "54040.01"), (100, "54011"), (110, "54041.10"), (99_900, "5403999"), (MAX_MONEY, "541110000000000")],
)
def test_an_amount_is_written_in_rupees(amount: int, field: str) -> None:
    assert f"5303586{field}5802PK" in payment_qr(STATIC, amount)


@given(st.integers(1, MAX_MONEY))
def test_what_is_made_is_sound_and_can_be_made_anew(amount: int) -> None:
    made = payment_qr(STATIC, amount)
    assert made[-4:] == crc_again(made[:-4])
    assert payment_qr(made, 5_000) == payment_qr(STATIC, 5_000), "an amount that stood there before is replaced"
    whole, _, paisa = dict(read_shop_qr(made).fields)["54"].partition(".")
    assert int(whole) * 100 + int(paisa or 0) == amount


def test_what_else_the_shops_qr_says_goes_along_in_its_order() -> None:
    more = "62150711Counter 123" + "64200002ZH0104最佳运输0202北京"
    static = closed("000201" + ACCOUNT.replace("28", "30", 1) + MERCHANT + more)
    assert payment_qr(static, 100) == closed(
        "000201" + "010212" + ACCOUNT.replace("28", "30", 1) + MERCHANT.replace("5802PK", "540115802PK") + more
    )
    assert payment_qr(STATIC[:-4] + STATIC[-4:].lower(), 100) == payment_qr(STATIC, 100)


def test_whom_it_pays_can_be_shown() -> None:
    shop = read_shop_qr(STATIC)
    assert (shop.name, shop.city, shop.bank, shop.iban) == (
        "Karachi Store", "Karachi", "SCBLPKKX", "PK36SCBL0000001123456702",
    )  # fmt: skip


# published examples of other schemes: read to their last field, and refused only because they are not Raast's
OTHERS = [
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT6007"
    "BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME91320016A01122334499"
    "88770708123456786304A13A",
    "00020101021252044131153137210116372101160123456789ABCDE6010Phnom Penh5913Merchant Shop5802KH540510.005303840622501"
    "081234567802090124444446304A0BA",
]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (None, "must be the text"),
        ("", "must be the text"),
        ("9" * 513, "must be the text"),
        ("https://example.com/pay", "no payment QR"),
        (STATIC[4:], "no payment QR"),
        (STATIC[:-1], "no payment QR"),
        (STATIC + "0", "no payment QR"),
        ("0002010" + STATIC[6:], "no payment QR"),
        ("000201" + "٠١٠٢11" + STATIC[12:], "no payment QR"),
        (closed("000202" + "0424PK36SCBL0000001123456702"), "a person's Raast QR"),
        (closed("000201" + "000201" + ACCOUNT + MERCHANT), "twice"),
        ("000201" + ACCOUNT + MERCHANT, "damaged"),
        (STATIC.replace("Karachi Store", "Lahore! Store"), "damaged"),
        (STATIC[:-4] + "ZZZZ", "damaged"),
        (closed("000201" + MERCHANT), "not one of Raast"),
        (closed("000201" + ACCOUNT.replace("d9131", "d9132") + MERCHANT), "not one of Raast"),
        *((other, "not one of Raast") for other in OTHERS),
        (closed("000201" + ACCOUNT + MERCHANT.replace("5303586", "5303840")), "rupees"),
        (closed("000201" + ACCOUNT + MERCHANT.replace("5802PK", "5802IN")), "rupees"),
    ],
)  # fmt: skip
def test_of_what_is_no_shops_raast_qr_nothing_is_made(payload: object, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as caught:
        payment_qr(payload, 100)
    assert [error.field for error in caught.value.errors] == ["raast"]


@settings(max_examples=100)
@given(st.text(max_size=40), st.integers(0, len(STATIC)))
def test_whatever_is_scanned_is_read_or_refused(noise: str, at: int) -> None:
    for payload in (noise, f"000201{noise}", STATIC[:at] + noise + STATIC[at:]):
        try:
            made = payment_qr(payload, 100)
        except BadRequest as error:
            assert [fault.field for fault in error.errors] == ["raast"]
        else:
            assert made == payment_qr(STATIC, 100)


@pytest.mark.parametrize("amount", [0, -1, MAX_MONEY + 1, True])
def test_nothing_is_not_paid_by_qr(amount: int) -> None:
    with pytest.raises(BadRequest) as caught:
        payment_qr(STATIC, amount)
    assert [error.field for error in caught.value.errors] == ["amount"]


def test_a_text_without_room_for_the_amount_is_refused() -> None:
    start = "000201" + ACCOUNT + MERCHANT
    filler = "".join(f"{tag}85" + "x" * 85 for tag in (80, 81, 82))
    rest = 512 - len(start + filler + "83nn" + "6304CRCX")
    static = closed(start + filler + f"83{rest:02}" + "x" * rest)
    assert len(static) == 512
    with pytest.raises(BadRequest, match="no room"):
        payment_qr(static, 100)


def test_it_can_be_drawn() -> None:
    assert segno.make(payment_qr(STATIC, 125_050), error="m").version <= 10
    assert crc_hqx(b"123456789", 0xFFFF) == 0x29B1  # the check value that CRC-16/CCITT-FALSE is known by
