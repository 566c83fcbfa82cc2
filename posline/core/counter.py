"""What a counter does beside selling, as entries: cash, shifts, days, customers, stock, carts that wait. No I/O.

One check a kind, as `posline.core.kinds` wants it: what is wrong with the entry's own fields, or None. What a check
does not know it ignores.
"""

from __future__ import annotations

import json
import re

from posline.core.checks import (
    MAX_LINES,
    TENDER,
    Body,
    amount,
    hash_text,
    named,
    place,
    seen,
    signed_quantity,
    tenders,
    text,
    uuid_text,
)
from posline.core.money import MAX_MONEY

__all__ = [
    "MAX_RANGES",
    "check_cash",
    "check_customer",
    "check_day_closed",
    "check_hold",
    "check_payment",
    "check_shift_closed",
    "check_shift_opened",
    "check_stock",
    "check_unhold",
]

MAX_RANGES = 400  # of numbers that a Z report covers, and places that the close of a day names: some 30 kB
MAX_CART = 24_000  # characters of a cart that waits: 500 lines as a till writes them
_DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}|2100-[0-9]{2}-[0-9]{2}")


def _texts(body: Body, *names: str) -> bool:
    return all(text(body.get(name, ""), 0) for name in names)


def check_cash(_: str, body: Body) -> str | None:
    """Money put into the drawer, or taken from it, for a reason."""
    if body.get("direction") not in ("in", "out"):
        return "its direction is neither in nor out"
    if not amount(body.get("amount")) or body["amount"] == 0:
        return "its amount is none"
    return None if text(body.get("reason")) and _texts(body, "approved") else "it gives no reason"


def check_payment(_: str, body: Body) -> str | None:
    """A customer pays what was bought on account."""
    if not text(body.get("customer")) or not _texts(body, "note"):
        return "it names no customer"
    if not amount(body.get("amount")) or body["amount"] == 0:
        return "its amount is none"
    if "tenders" not in body:
        return None
    wrong, paid = tenders(body["tenders"])
    if wrong is None and paid != body["amount"]:
        wrong = "its tenders are not its amount"
    return wrong


def check_customer(_: str, body: Body) -> str | None:
    """A customer as known from now on."""
    if not uuid_text(body.get("customer")):
        return "it names no customer"
    if not text(body.get("name")) or not _texts(body, "phone", "ntn", "cnic", "address", "note"):
        return "its name or another of its texts is none"
    if "limit" in body and not amount(body["limit"]):
        return "its limit is out of range"
    if type(body.get("active", True)) is not bool:
        return "it does not say whether the customer is active"
    return seen(body)


def check_stock(_: str, body: Body) -> str | None:
    """Goods that came, went, or were counted."""
    moves = body.get("moves")
    if type(moves) is not list or not 0 < len(moves) <= MAX_LINES:
        return f"it has not 1 to {MAX_LINES} moves"
    for move in moves:
        if type(move) is not dict or not text(move.get("sku")) or not text(move.get("reason")):
            return "a move names no product or reason"
        if signed_quantity(move.get("quantity")) is None:
            return "a move's quantity is no decimal"
        if "counted" in move and signed_quantity(move["counted"]) is None:
            return "what was counted is no decimal"
        if type(move.get("opening", False)) is not bool:
            return "a move is neither opening stock nor none"
    return None if _texts(body, "note") else "its note is too long"


def check_hold(_: str, body: Body) -> str | None:
    """A cart that waits, to be taken up at any till."""
    if not text(body.get("name")):
        return "it has no name"
    if not uuid_text(body.get("sale")):
        return "it does not say under which id it will be sold"
    cart = body.get("cart")
    if type(cart) is not dict or len(json.dumps(cart)) > MAX_CART:
        return "its cart is none, or too large"
    return None


def check_unhold(_: str, body: Body) -> str | None:
    """A cart that waits no more."""
    if not uuid_text(body.get("hold")) or body.get("why") not in ("recalled", "dropped"):
        return "it does not say which cart waits no more, and why"
    return None


def check_shift_opened(_: str, body: Body) -> str | None:
    """A drawer is opened with a float."""
    return None if amount(body.get("float")) and _texts(body, "note") else "its float is out of range"


def check_shift_closed(_: str, body: Body) -> str | None:
    """A Z report: what the drawer should hold, what was counted, and which numbers it covers."""
    if "shift" not in body or (body["shift"] is not None and not uuid_text(body["shift"])):
        return "it does not say which shift it closes"
    if not amount(body.get("float")) or not _texts(body, "note"):
        return "its float is out of range"
    if not _ranges(body.get("covers")):
        return f"it does not cover up to {MAX_RANGES} ranges of numbers"
    for name in ("counted", "expected"):
        amounts = body.get(name)
        if type(amounts) is not dict or not all(
            TENDER.fullmatch(kind) and type(value) is int and abs(value) <= MAX_MONEY for kind, value in amounts.items()
        ):
            return f"what was {name} is no list of amounts"
    return None if type(body.get("figures")) is dict else "it has no figures"


def _ranges(value: object) -> bool:
    """Whether a value is a list of [run, first, last]."""
    return (
        type(value) is list
        and len(value) <= MAX_RANGES
        and all(
            type(item) is list
            and len(item) == 3
            and type(item[0]) is int
            and item[0] >= 0
            and place(item[1])
            and place(item[2])
            and item[1] <= item[2]
            for item in value
        )
    )


def check_day_closed(_: str, body: Body) -> str | None:
    """A till's close of a business day: what it held of each author when it closed."""
    day, vector = body.get("of_day"), body.get("vector")
    if type(day) is not str or _DAY.fullmatch(day) is None:
        return "it closes no day"
    if type(vector) is not list or len(vector) > MAX_RANGES:
        return f"it has not up to {MAX_RANGES} places"
    for item in vector:
        if type(item) is not list or len(item) != 3 or not named(item[0]):
            return "one of its places is none"
        if type(item[1]) is not int or item[1] < 0 or not place(item[2]):
            return "one of its places is none"
    return None if "z" not in body or hash_text(body["z"]) else "it names no Z report"
