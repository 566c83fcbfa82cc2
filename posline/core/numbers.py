"""Numbers on paper, and the names of authors. No I/O."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection

__all__ = [
    "AUTHOR",
    "author_id",
    "check_letters",
    "next_label",
    "parse_receipt",
    "parse_reference",
    "receipt",
    "reference",
    "valid_label",
]

AUTHOR = re.compile(r"[a-z2-7]{26}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LABEL = re.compile(r"[A-Z0-9]{1,6}")
REFERENCE_DIGITS = 10  # of a sale's id: two sales of a shop with the same ones are rarer than fires
_REFERENCE = re.compile(rf"R-([0-9A-F]{{{REFERENCE_DIGITS}}})")
_RECEIPT = re.compile(r"([A-Z0-9]{1,6})-([1-9][0-9]{0,15})-([0-9A-HJKMNP-TV-Z]{4})")


def author_id(public_key: bytes) -> str:
    """An author's name: lower-case base32 of the first 16 bytes of SHA-256 of its first public key (26 letters)."""
    return base64.b32encode(hashlib.sha256(public_key).digest()[:16]).decode().rstrip("=").lower()


def check_letters(author: str, run: int) -> str:
    """Four letters drawn from the run, which keep apart the receipts of two lives of one disk: the first 20 bits of
    SHA-256 over the author id and the run's decimal digits, in Crockford's base32."""
    bits = int.from_bytes(hashlib.sha256(f"{author}{run}".encode()).digest()[:3], "big") >> 4
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in (15, 10, 5, 0))


def receipt(label: str, number: int, author: str, run: int) -> str:
    """A receipt's number as it is printed, such as A-1234-K7QM."""
    return f"{label}-{number}-{check_letters(author, run)}"


def parse_receipt(text: str) -> tuple[str, int, str] | None:
    """(label, number, check letters) of a receipt's number as people type it; None when it is none."""
    match = _RECEIPT.fullmatch(text.strip().upper())
    return None if match is None else (match[1], int(match[2]), match[3])


def reference(id: str) -> str:
    """What a receipt carries that was printed before its sale had a number, such as R-5F0E4D6E6E: the first ten hex
    digits of the sale's id (a UUID)."""
    return f"R-{id.replace('-', '')[:REFERENCE_DIGITS].upper()}"


def parse_reference(text: str) -> str | None:
    """How the ids begin that a reference, as people type it, may mean, such as 5f0e4d6e-6e; None when it is none. No
    receipt's number is one: that has three parts."""
    match = _REFERENCE.fullmatch(text.strip().upper())
    return None if match is None else f"{match[1][:8]}-{match[1][8:]}".lower()


def valid_label(label: str) -> bool:
    """Whether a till may be called so: 1 to 6 of A-Z and 0-9."""
    return _LABEL.fullmatch(label) is not None


def next_label(taken: Collection[str], wanted: str | None = None) -> str:
    """`wanted`, or the next free letter; where it is taken, the first free digits behind it."""
    if wanted is None:
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            if letter not in taken:
                return letter
    stem = wanted or "T"
    if wanted is not None and wanted not in taken:
        return wanted
    for digit in range(2, 10**5):
        label = f"{stem[: 6 - len(str(digit))]}{digit}"
        if label not in taken:
            return label
    raise ValueError("no label is free")
