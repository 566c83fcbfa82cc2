"""Under which name a customer's book stands, whichever way a sale writes it. No I/O.

A sale names its customer by id, or in a shop that keeps no list by a phone number or a name. Two spellings of one
number are one book: else a payment would leave the debt standing beside it.
"""

from __future__ import annotations

import re

from posline.core.checks import uuid_text

__all__ = ["book_of", "phone_digits"]

_COUNTRY = ("0092", "92")  # before a Pakistani number in international form
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]*")
_PHONE_DIGITS_MIN = 10  # a shorter number is a house's, or the shop's own for somebody


def book_of(customer: str) -> str:
    """The name of the book of the `customer` of an entry: an id in small letters, a phone number in its digits, and any
    other text without spaces around it."""
    text = customer.strip()
    if uuid_text(text.lower()):
        return text.lower()
    if _PHONE.fullmatch(text) and len(digits := phone_digits(text)) >= _PHONE_DIGITS_MIN:
        return digits
    return text


def phone_digits(text: str) -> str:
    """The digits of a phone number in the form of the country: +92 300 1234567 and 0300-1234567 are one number."""
    digits = "".join(c for c in text if c in "0123456789")
    for prefix in _COUNTRY:
        if digits.startswith(prefix) and len(digits) == len(prefix) + 10:
            return "0" + digits[len(prefix) :]
    return digits
