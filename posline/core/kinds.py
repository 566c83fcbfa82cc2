"""What each kind of entry says: one check a kind, in one table. No I/O.

A check gets an entry's JSON object, whose envelope is sound, and returns what is wrong with the rest of it, or None.
Fields that a check does not know are ignored, so that a newer till may say more. A kind that is not in the table is
kept, forwarded and counted as from a newer version.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from posline.core.checks import Body
from posline.core.checks import hash_text as _hash
from posline.core.checks import named as _named
from posline.core.checks import place as _place
from posline.core.checks import seen as _seen
from posline.core.checks import text as _text
from posline.core.counter import (
    check_cash,
    check_customer,
    check_day_closed,
    check_hold,
    check_payment,
    check_shift_closed,
    check_shift_opened,
    check_stock,
    check_unhold,
)
from posline.core.fiscal import check_filing
from posline.core.numbers import AUTHOR, author_id, valid_label
from posline.core.products import check_products
from posline.core.sales import check_refund, check_sale, check_void, refund_content, sale_content, void_content

__all__ = [
    "KINDS",
    "MAX_POINTS",
    "MEMBERSHIP",
    "NUMBERED",
    "ROLES",
    "SIGNED_KINDS",
    "check_body",
    "content_of",
    "sort_of",
]

MAX_POINTS = 300  # that a removal names, and entries that an `accept` names: some 27 kB
ROLES = ("manager", "till", "head office", "reader")

KINDS = {  # kind -> the sort of document that it belongs in
    "run": "journal",
    "seal": "journal",
    "sale": "journal",
    "redate": "journal",
    "refund": "journal",
    "void": "journal",
    "cash": "journal",
    "payment": "journal",
    "customer": "journal",
    "stock": "journal",
    "hold": "journal",
    "unhold": "journal",
    "shift opened": "journal",
    "shift closed": "journal",
    "day closed": "journal",
    "filing": "journal",
    "founding": "shop",
    "member": "shop",
    "role": "shop",
    "remove": "shop",
    "accept": "shop",
    "key": "shop",
    "setting": "shop",
    "products": "catalog",
}
MEMBERSHIP = frozenset({"founding", "member", "role", "remove", "accept", "key"})  # the shop's document alone decides
SIGNED_KINDS = MEMBERSHIP | {"run", "seal", "setting", "shift closed", "day closed"}
NUMBERED = frozenset({"sale", "refund"})  # kinds that take a number of the till's receipts

_PROOF = re.compile(r"[A-Za-z0-9_-]{86}")
_DAY_START = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}|2100-[0-9]{2}-[0-9]{2}")


def sort_of(kind: str) -> str:
    """The sort of document that entries of this kind belong in; a journal for one that is not known here."""
    return KINDS.get(kind, "journal")


def check_body(kind: str, till: str, body: Body) -> str | None:
    """What is wrong with an entry of this kind by this author; None when nothing, or when the kind is not known."""
    clock = body.get("clock")
    if clock is not None and clock not in ("unconfirmed", "suspect"):
        return "it does not say how far its clock is to be believed"
    check = _CHECKS.get(kind)
    return None if check is None else check(till, body)


def _run(_: str, body: Body) -> str | None:
    after = body.get("after")
    if after is not None:
        if type(after) is not dict or type(after.get("run")) is not int or not _place(after.get("seq")):
            return "it does not say from where it goes on"
        hash = after.get("hash")
        if not isinstance(hash, str) or not _hash(hash) or hash[:24] != body["prev"]:
            return "it does not say from where it goes on"
    elif body["prev"] != "":
        return "it goes on from nothing and yet names an entry before it"
    return None if _text(body.get("label", ""), 0) else "its label is too long"


def _seal(_: str, body: Body) -> str | None:
    return None


def _key(value: object) -> bytes | None:
    if type(value) is not str or len(value) != 43:
        return None
    try:
        key = base64.urlsafe_b64decode(value + "=")
    except ValueError:
        return None
    return key if len(key) == 32 and base64.urlsafe_b64encode(key).decode()[:43] == value else None


def _founding(till: str, body: Body) -> str | None:
    key, recovery = _key(body.get("key")), _key(body.get("recovery"))
    if key is None or recovery is None or author_id(key) != till:
        return "its key is not its author's"
    if not _text(body.get("name")) or not _CURRENCY.fullmatch(str(body.get("currency"))):
        return "it names no shop or currency"
    if not _DAY_START.fullmatch(str(body.get("day_start"))) or not valid_label(str(body.get("label"))):
        return "its day start or label is none"
    if not _text(body.get("zone")) or not _zone(body["zone"]):
        return "its time zone is none"
    return _seen(body)


def _zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _member(_: str, body: Body) -> str | None:
    if _key(body.get("key")) is None:
        return "it admits no key"
    if not valid_label(str(body.get("label"))) or body.get("role") not in ROLES:
        return "it gives no label or role"
    return _seen(body)


def _role(_: str, body: Body) -> str | None:
    if not _named(body.get("member")) or body.get("role") not in ("manager", "till"):
        return "it does not say who is to be manager or till"
    return _seen(body)


def _remove(_: str, body: Body) -> str | None:
    points = body.get("points")
    if not _named(body.get("member")):
        return "it does not say whom it removes"
    if type(points) is not list or len(points) > MAX_POINTS:
        return f"it has not up to {MAX_POINTS} points"
    for point in points:
        if type(point) is not list or len(point) != 3:
            return "one of its points is none"
        if type(point[0]) is not int or point[0] < 0 or not _place(point[1]) or not _hash(point[2]):
            return "one of its points is none"
    return _seen(body)


def _accept(_: str, body: Body) -> str | None:
    entries = body.get("entries")
    if type(entries) is not list or not 0 < len(entries) <= MAX_POINTS or not all(map(_hash, entries)):
        return f"it does not name 1 to {MAX_POINTS} entries"
    return _seen(body)


def _key_change(_: str, body: Body) -> str | None:
    if _key(body.get("key")) is None:
        return "it names no key"
    proof = body.get("proof")
    if type(proof) is not str or _PROOF.fullmatch(proof) is None:
        return "it has no proof by the new key"
    return _seen(body)


def _setting(_: str, body: Body) -> str | None:
    if not _text(body.get("name")) or "value" not in body:
        return "it sets nothing"
    return _seen(body)


def _products(_: str, body: Body) -> str | None:
    wrong = check_products(body.get("products"))
    return wrong if wrong is not None else _seen(body)


def _redate(_: str, body: Body) -> str | None:
    author, to = body.get("author"), body.get("to")
    if type(author) is not str or not AUTHOR.fullmatch(author) or type(body.get("of")) is not int:
        return "it does not say whose entries it moves"
    if not _place(body.get("first")) or not _place(body.get("last")) or body["first"] > body["last"]:
        return "it moves no numbers"
    if type(to) is not str or not _DAY.fullmatch(to):
        return "it moves to no day"
    return _seen(body)


_CHECKS: dict[str, Callable[[str, Body], str | None]] = {
    "run": _run,
    "seal": _seal,
    "sale": check_sale,
    "refund": check_refund,
    "void": check_void,
    "redate": _redate,
    "cash": check_cash,
    "payment": check_payment,
    "customer": check_customer,
    "stock": check_stock,
    "hold": check_hold,
    "unhold": check_unhold,
    "shift opened": check_shift_opened,
    "shift closed": check_shift_closed,
    "day closed": check_day_closed,
    "filing": check_filing,
    "founding": _founding,
    "member": _member,
    "role": _role,
    "remove": _remove,
    "accept": _accept,
    "key": _key_change,
    "setting": _setting,
    "products": _products,
}

# -- content ---------------------------------------------------------------------------------------

_PLACE = frozenset({"v", "id", "till", "run", "seq", "prev", "at", "day", "by", "sig", "seen", "clock"})
_CONTENTS: dict[str, Callable[[Body], bytes]] = {"sale": sale_content, "refund": refund_content, "void": void_content}
_encode = msgspec.json.Encoder(order="sorted").encode


def content_of(kind: str, body: Body) -> bytes:
    """What a valid entry says, in one form: equal bytes for equal content."""
    content = _CONTENTS.get(kind)
    if content is not None:
        return content(body)
    return _encode({name: value for name, value in body.items() if name not in _PLACE})
