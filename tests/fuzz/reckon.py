"""What an entry says, reckoned a second time: strict JSON by Python's own parser, money as fractions.

Written from the rules in docs/protocol.md, not from the product's code, and as plainly as can be: it judges entries
that the product has let through, so it asks only what must hold of those.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

__all__ = ["net_of", "readable", "why_wrong"]

WHOLE_MAX = 2**53 - 1
MONEY_MAX = 10**12
DEPTH_MAX = 16
BYTES_MAX = 48 * 1024
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_RATE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def readable(raw: bytes) -> dict[str, Any] | None:
    """The object that an element is, None where it is none by section 1 of the rules."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def no(text: str) -> Any:
        raise ValueError(text)

    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=once, parse_float=no, parse_constant=no)
    except (ValueError, RecursionError):
        return None
    return found if type(found) is dict and _plain(found, 1) else None


def _plain(value: Any, depth: int) -> bool:
    if type(value) is int:
        return abs(value) <= WHOLE_MAX
    if type(value) is str:
        return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    if type(value) is list:
        return depth <= DEPTH_MAX and all(_plain(item, depth + 1) for item in value)
    if type(value) is dict:
        return depth <= DEPTH_MAX and all(_plain(k, 0) and _plain(item, depth + 1) for k, item in value.items())
    return value is None or type(value) is bool


def _is(value: object, least: int = 0) -> bool:
    """A whole amount of money: no boolean, no fraction."""
    return type(value) is int and least <= value <= MONEY_MAX


def _half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def why_wrong(entry: Mapping[str, Any]) -> str | None:
    """What is wrong with an entry's envelope or money, by a second opinion; None where nothing is."""
    day, at = entry.get("day"), entry.get("at")
    if entry.get("v") != 1 or type(entry.get("v")) is not int or not _ID.fullmatch(str(entry.get("id"))):
        return "envelope"
    if not re.fullmatch("[a-z2-7]{26}", str(entry.get("till"))):
        return "till"
    if type(entry.get("run")) is not int or entry["run"] < 0 or type(entry.get("seq")) is not int or entry["seq"] < 1:
        return "place"
    if not re.fullmatch("([0-9a-f]{24})?", str(entry.get("prev"))) or not isinstance(at, str) or len(at) != 29:
        return "prev or at"
    if not isinstance(day, str) or len(day) != 10 or not 2020 <= date.fromisoformat(day).year <= 2100:
        return "day"
    check = _CHECKS.get(str(entry.get("kind")))
    return check(entry) if check is not None else None


def net_of(entry: Mapping[str, Any]) -> int:
    """What a valid entry adds to its day's net."""
    return {"sale": 1, "refund": -1, "void": -1}.get(str(entry["kind"]), 0) * int(entry.get("total", 0))


def _quantity(text: object) -> Fraction:
    assert isinstance(text, str) and _DECIMAL.fullmatch(text), text
    return Fraction(text)


def _sale(entry: Mapping[str, Any]) -> str | None:
    lines, total = entry["lines"], 0
    if not 1 <= len(lines) <= 500:
        return "lines"
    by_receipt: dict[tuple[str, Fraction], list[tuple[Fraction, int]]] = {}
    for line in lines:
        price, discount, quantity = line["price"], line.get("discount", 0), _quantity(line["quantity"])
        if not _is(price) or not _is(discount) or not quantity or not 1 <= len(line["sku"]) <= 200:
            return "price, discount, quantity or sku"
        cost = _half_up(price * quantity) - discount
        if not _is(cost):
            return "cost"
        if "tax" in line or "rate" in line:
            rate, tax, mode = line["rate"], line["tax"], line.get("mode", "inclusive")
            if not _RATE.fullmatch(rate) or not _is(tax):
                return "tax"
            per = Fraction(rate) / 100
            exact = {
                "inclusive": cost * per / (1 + per), "exclusive": cost * per,
                "printed": line.get("mrp", 0) * quantity * per / (1 + per),
            }[mode]  # fmt: skip
            if entry.get("tax_by") == "receipt":
                by_receipt.setdefault((mode, Fraction(rate)), []).append((exact, tax))
            elif tax != _half_up(exact):
                return "tax"
            cost += tax if mode == "exclusive" else 0
        total += cost
    for shares in by_receipt.values():
        if sum(tax for _, tax in shares) != _half_up(sum((exact for exact, _ in shares), Fraction(0))):
            return "the receipt's tax"
        if any(abs(exact - tax) >= 1 for exact, tax in shares):
            return "a share of the receipt's tax"
    return "total" if type(entry["total"]) is not int or entry["total"] != total else _paid(entry)


def _paid(entry: Mapping[str, Any]) -> str | None:
    due = entry["total"] + entry.get("rounding", 0)
    change = entry.get("change", 0)
    if type(due) is not int or due < 0 or not _is(change):
        return "rounding or change"
    tenders = entry.get("tenders")
    if tenders is None:
        return "change" if change else None
    if not 1 <= len(tenders) <= 20 or not all(
        _is(t["amount"]) and re.fullmatch("[a-z][a-z0-9_]*", t["kind"]) for t in tenders
    ):
        return "tenders"
    return None if sum(t["amount"] for t in tenders) - change == due else "tenders less change"


def _returned(entry: Mapping[str, Any]) -> str | None:
    places = [line["line"] for line in entry["lines"]]
    if len(set(places)) != len(places) or not all(type(n) is int and 1 <= n <= 500 for n in places):
        return "lines"
    if not all(_quantity(line["quantity"]) for line in entry["lines"]) or not _is(entry.get("tax", 0)):
        return "quantity or tax"
    if not re.fullmatch("[0-9a-f]{64}", entry["of"]) or not re.fullmatch(r"[0-9a-f-]{36}", entry["sale"]):
        return "the sale it names"
    return "change" if "change" in entry else _paid(entry)


def _refund(entry: Mapping[str, Any]) -> str | None:
    if not all(_is(line["total"]) and _is(line.get("tax", 0)) for line in entry["lines"]):
        return "a line's total"
    if entry["total"] != sum(line["total"] for line in entry["lines"]) or type(entry["total"]) is not int:
        return "total"
    if entry.get("tax", 0) != sum(line.get("tax", 0) for line in entry["lines"]):
        return "tax"
    return _returned(entry)


def _void(entry: Mapping[str, Any]) -> str | None:
    taxes = entry.get("taxes")
    if not _is(entry["total"]):
        return "total"
    if taxes is not None and sum(group["total"] for group in taxes) != entry["total"]:
        return "taxes"
    return _returned(entry)


def _cash(entry: Mapping[str, Any]) -> str | None:
    return None if _is(entry["amount"], 1) and entry["direction"] in ("in", "out") and entry["reason"] else "cash"


def _payment(entry: Mapping[str, Any]) -> str | None:
    tenders = entry.get("tenders", [{"amount": entry["amount"]}])
    fits = all(_is(tender["amount"]) for tender in tenders) and sum(t["amount"] for t in tenders) == entry["amount"]
    return None if _is(entry["amount"], 1) and fits and entry["customer"] else "payment"


def _stock(entry: Mapping[str, Any]) -> str | None:
    fit = all(_DECIMAL.fullmatch(move["quantity"].removeprefix("-")) and move["sku"] for move in entry["moves"])
    return None if fit and 1 <= len(entry["moves"]) <= 500 else "moves"


def _shift(entry: Mapping[str, Any]) -> str | None:
    return None if _is(entry["float"]) else "float"


_CHECKS = {
    "sale": _sale, "refund": _refund, "void": _void, "cash": _cash, "payment": _payment, "stock": _stock,
    "shift opened": _shift, "shift closed": _shift,
}  # fmt: skip
