"""Raast: a QR for exactly one amount, made from the QR that the shop's bank gave it. No I/O.

A merchant's QR is EMVCo's text of fields: two digits of tag, two of length, the value (EMVCo QR Code Specification for
Payment Systems, merchant-presented mode). The shop's own, scanned once, says whom to pay; for a sale the till sets the
amount, says that the code is for one payment, and reckons the check sum anew. Nobody is asked and nothing is signed, so
it works offline; whether the money came is for the cashier to see.

Knows nothing of pictures: the text is what a QR code is drawn from.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from dataclasses import dataclass

from posline.core.money import MAX_MONEY
from posline.errors import BadRequest

__all__ = ["RAAST", "ShopQr", "payment_qr", "read_shop_qr"]

RAAST = "d9131dda6e894d78b44a756e37874ba0"  # the scheme's own id, first in its account field
PAYLOAD_MAX = 512  # characters, by EMVCo
PAISA = 100  # to a rupee: Raast writes amounts in rupees
FORMAT, INITIATION, CURRENCY, AMOUNT, COUNTRY, NAME, CITY, CHECK = "00", "01", "53", "54", "58", "59", "60", "63"
ONE_PAYMENT = "12"  # as INITIATION: this code is for one payment; "11" or none: for any number
ACCOUNTS = range(26, 52)  # tags of schemes' account fields
_TAG = re.compile(r"[0-9]{4}")
_CHECK = re.compile(r"[0-9A-Fa-f]{4}")


@dataclass(frozen=True, slots=True)
class ShopQr:
    """What a shop's own QR says: whom it pays, to show to whoever sets it up. `fields` are (tag, value), all but the
    check sum, in order."""

    fields: tuple[tuple[str, str], ...]
    name: str
    city: str
    bank: str
    iban: str


def read_shop_qr(payload: object) -> ShopQr:
    """The shop's own Raast QR (the shared setting `raast`). Raises BadRequest that names the field `raast`."""
    if not isinstance(payload, str) or not 0 < len(payload) <= PAYLOAD_MAX:
        raise _wrong(f"must be the text of the shop's own QR, of up to {PAYLOAD_MAX} characters")
    if payload.startswith("000202"):
        raise _wrong("is a person's Raast QR, not a merchant's: ask the bank for one, or show it as it is")
    fields = _split(payload)
    if fields is None or fields[0] != (FORMAT, "01"):
        raise _wrong("is no payment QR: scan the shop's own Raast QR and give its text, whole and unchanged")
    by_tag = dict(fields)
    if len(by_tag) != len(fields):
        raise _wrong("is no sound payment QR: it says something twice")
    tag, check = fields[-1]
    if tag != CHECK or _CHECK.fullmatch(check) is None or check.upper() != _check_sum(payload[:-4]):
        raise _wrong("is damaged: its check sum is not that of its text; scan the QR again")
    account = next((inner for tag, value in fields if int(tag) in ACCOUNTS and (inner := _raast_account(value))), None)
    if account is None:
        raise _wrong("is a payment QR, and not one of Raast")
    if by_tag.get(CURRENCY) != "586" or by_tag.get(COUNTRY) != "PK":
        raise _wrong("is not for rupees in Pakistan")
    return ShopQr(
        tuple(fields[:-1]), by_tag.get(NAME, ""), by_tag.get(CITY, ""), account.get("01", ""), account.get("02", "")
    )


def payment_qr(payload: object, amount: int) -> str:
    """The text of a QR for one payment of `amount` (paisa) to the shop whose own QR is `payload`.

    What the shop's QR says beside goes along as it is. Raises BadRequest: `raast` where the payload is none, `amount`
    where nothing is to be paid.
    """
    shop = read_shop_qr(payload)
    if isinstance(amount, bool) or not 0 < amount <= MAX_MONEY:
        raise BadRequest.of("amount", "must be above 0, in paisa: there is nothing to pay by QR")
    kept = [(tag, value) for tag, value in shop.fields if tag not in (FORMAT, INITIATION, AMOUNT)]
    after_currency = 1 + next(index for index, (tag, _) in enumerate(kept) if tag == CURRENCY)
    kept.insert(after_currency, (AMOUNT, _rupees(amount)))
    text = "".join(_field(tag, value) for tag, value in [(FORMAT, "01"), (INITIATION, ONE_PAYMENT), *kept])
    text += f"{CHECK}04"
    if len(text) + 4 > PAYLOAD_MAX:
        raise _wrong(f"has no room for an amount: with one it is over {PAYLOAD_MAX} characters")
    return text + _check_sum(text)


def _wrong(detail: str) -> BadRequest:
    return BadRequest.of("raast", detail)


def _split(text: str) -> list[tuple[str, str]] | None:
    """The fields of a text as (tag, value), or None where it is none."""
    fields: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        head = text[at : at + 4]
        if _TAG.fullmatch(head) is None or not head.isascii():
            return None
        value = text[at + 4 : at + 4 + int(head[2:])]
        if not value or len(value) != int(head[2:]):
            return None
        fields.append((head[:2], value))
        at += 4 + len(value)
    return fields or None


def _raast_account(value: str) -> dict[str, str] | None:
    """The inner fields of an account field, where it is Raast's."""
    inner = dict(_split(value) or ())
    return inner if inner.get("00", "").lower() == RAAST else None


def _field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02}{value}"


def _rupees(paisa: int) -> str:
    whole, rest = divmod(paisa, PAISA)
    return f"{whole}.{rest:02}" if rest else str(whole)


def _check_sum(text: str) -> str:
    """CRC-16/CCITT-FALSE of the text up to and with the tag and length of the check sum itself."""
    return f"{crc_hqx(text.encode(errors='replace'), 0xFFFF):04X}"
