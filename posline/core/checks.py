"""Small questions that the checks of all kinds of entry ask of a value. No I/O, and nothing about any one kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from posline.core.money import MAX_MONEY, THOUSAND
from posline.core.numbers import AUTHOR

__all__ = [
    "MAX_LINES",
    "MAX_TENDERS",
    "MAX_TEXT",
    "TENDER",
    "Body",
    "amount",
    "hash_text",
    "named",
    "place",
    "seen",
    "signed_quantity",
    "tenders",
    "text",
    "uuid_text",
]

MAX_TEXT = 200  # characters of any text
MAX_LINES = 500  # of a sale, and moves of stock in an entry
MAX_TENDERS = 20
TENDER = re.compile(r"[a-z][a-z0-9_]{0,39}")

Body = Mapping[str, Any]
_HASH = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SIGNED = re.compile(r"(-?)(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,3}))?")


def text(value: object, least: int = 1) -> bool:
    """A text of `least` to MAX_TEXT characters."""
    return type(value) is str and least <= len(value) <= MAX_TEXT


def amount(value: object) -> bool:
    """An amount in minor units, not below 0."""
    return type(value) is int and 0 <= value <= MAX_MONEY


def place(value: object) -> bool:
    """A number that counts from 1."""
    return type(value) is int and value >= 1


def named(value: object) -> bool:
    """An author's id."""
    return type(value) is str and AUTHOR.fullmatch(value) is not None


def hash_text(value: object) -> bool:
    """A SHA-256 in hex."""
    return type(value) is str and _HASH.fullmatch(value) is not None


def uuid_text(value: object) -> bool:
    """A UUID in lower case."""
    return type(value) is str and _UUID.fullmatch(value) is not None


def seen(body: Body) -> str | None:
    """What is wrong with the `seen` of an edit or act, or None."""
    value = body.get("seen")
    if type(value) is not dict or not all(named(author) and hash_text(hash) for author, hash in value.items()):
        return "it does not say what its author had seen"
    return None


def signed_quantity(value: object) -> int | None:
    """Thousandths of a decimal text that may be below 0, or None where it is none."""
    match = _SIGNED.fullmatch(value) if type(value) is str else None
    if match is None:
        return None
    size = int(match[2]) * THOUSAND + int((match[3] or "").ljust(3, "0"))
    return -size if match[1] else size


def tenders(value: object) -> tuple[str | None, int]:
    """(what is wrong with a list of tenders, what they come to)."""
    if type(value) is not list or not 0 < len(value) <= MAX_TENDERS:
        return "its tenders are no list", 0
    paid = 0
    for tender in value:
        if type(tender) is not dict or type(kind := tender.get("kind")) is not str or not TENDER.fullmatch(kind):
            return "a tender has no kind", 0
        if not amount(tender.get("amount")) or not text(tender.get("reference", ""), 0):
            return "a tender's amount or reference is out of range", 0
        paid += tender["amount"]
    return None, paid
