"""What one element is by its bytes alone: whose, where in its chain, and what is wrong with it. By docs/protocol.md,
"The entry" and "Money", read once more from the JSON; shares no code with the product.

Kinds that the simulator's people and forgers never write (`filing`) are taken as they are.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.simulation.oracle_members import author_of, unbase64

__all__ = ["NUMBERED", "Element", "half_up", "read"]

HOME = {
    "shop": {"founding", "member", "role", "remove", "accept", "key", "setting"},
    "catalog": {"products"},
    "journal": {"run", "seal", "sale", "redate", "refund", "void", "cash", "payment", "customer", "stock", "hold",
                "unhold", "shift opened", "shift closed", "day closed", "filing"},
}  # fmt: skip
SIGNED = HOME["shop"] | {"run", "seal", "shift closed", "day closed"}
NUMBERED = {"sale", "refund"}
MOST = 10**12  # minor units
WHOLE = 2**53 - 1

AUTHOR = re.compile(r"[a-z2-7]{26}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HASH = re.compile(r"[0-9a-f]{64}")
DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}|2100-[0-9]{2}-[0-9]{2}")
AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}[+-][0-9]{2}:[0-9]{2}")
LABEL = re.compile(r"[A-Z0-9]{1,6}")
QUANTITY = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?")
TENDER = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Wrong(Exception):
    """What is wrong with an element."""


def need(stands: object, why: str) -> None:
    """Raise Wrong unless it stands."""
    if not stands:
        raise Wrong(why)


@dataclass(eq=False)
class Element:
    """One element of a document. Only document, raw, hash and fault mean anything where `placed` is False."""

    document: str
    raw: bytes
    hash: str
    body: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    kind: str = ""
    till: str = ""
    run: int = 0
    seq: int = 0
    prev: str = ""
    day: str = ""
    signature: bytes = b""
    message: bytes = b""
    placed: bool = False
    fault: str | None = None

    @property
    def known(self) -> bool:
        """Whether its kind is known."""
        return any(self.kind in kinds for kinds in HOME.values())

    @property
    def amount(self) -> int:
        """What it adds to a day's net."""
        if self.fault is not None:
            return 0
        return {"sale": 1, "refund": -1, "void": -1}.get(self.kind, 0) * int(self.body.get("total", 0) or 0)

    @property
    def number(self) -> int | None:
        """Its place among its till's receipts."""
        return self.body["number"] if self.kind in NUMBERED and self.fault is None else None

    def content(self) -> str:
        """Equal for two elements that say the same."""
        if self.fault is not None:
            return self.hash
        b = self.body
        if self.kind not in ("sale", "refund", "void"):
            place = {"v", "id", "till", "run", "seq", "prev", "at", "day", "by", "sig", "seen", "clock"}
            return json.dumps({k: v for k, v in b.items() if k not in place}, sort_keys=True)
        tenders = b.get("tenders") or [{"kind": "cash", "amount": b["total"] + b.get("rounding", 0)}]
        paid = sorted([t["kind"], t["amount"], t.get("reference", "")] for t in tenders)
        said: list[Any] = [self.kind, paid, b.get("customer", ""), b.get("rounding", 0), b["total"]]
        if self.kind == "sale":
            lines = [
                [x["sku"], str(Fraction(x["quantity"])), x["price"], x.get("discount", 0), x.get("tax", 0)]
                for x in b["lines"]
            ]
            return json.dumps([*said, lines, b.get("change", 0)])
        lines = sorted(
            [x["line"], x["sku"], str(Fraction(x["quantity"])), x.get("total", 0), x.get("tax", 0)] for x in b["lines"]
        )
        more = b.get("restock", True) if self.kind == "refund" else b.get("discount", 0)
        return json.dumps([*said, lines, b["sale"], b["of"], b.get("tax", 0), more])


def read(document: str, raw: bytes) -> Element:
    """An element as its bytes say."""
    element = Element(document, raw, hashlib.sha256(raw).hexdigest())
    try:
        need(len(raw) <= 48 * 1024, "too large")
        body = _json(raw)
        _envelope(element, body)
        element.placed = True
        _signature(element)
        _home(element)
        need(body.get("clock", "suspect") in ("unconfirmed", "suspect"), "clock")
        check = CHECKS.get(element.kind)
        if check is not None:
            check(element, body)
    except Wrong as wrong:
        element.fault = str(wrong)
    return element


def _json(raw: bytes) -> dict[str, Any]:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(found)) == len(found), "a key twice")
        return dict(found)

    def no(text: str) -> Any:
        raise Wrong(f"number {text}")

    try:
        body = json.loads(raw.decode(), object_pairs_hook=pairs, parse_float=no, parse_constant=no)
    except (ValueError, RecursionError):
        raise Wrong("no JSON") from None
    need(type(body) is dict, "no object")
    _plain(body, 1)
    return body


def _plain(value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        need(depth <= 16, "too deep")
        for one in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            _plain(one, depth + 1)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Wrong("half a character") from None
    elif type(value) is int:
        need(abs(value) <= WHOLE, "number out of range")


def _envelope(element: Element, body: dict[str, Any]) -> None:
    get = body.get
    need(type(get("v")) is int and get("v") == 1, "version")
    need(type(get("id")) is str and UUID.fullmatch(get("id").lower()), "id")
    need(type(get("kind")) is str and 0 < len(get("kind")) <= 200, "kind")
    need(type(get("till")) is str and AUTHOR.fullmatch(get("till")), "till")
    need(type(get("run")) is int and get("run") >= 0 and type(get("seq")) is int and get("seq") >= 1, "place")
    need(type(get("prev")) is str and re.fullmatch(r"[0-9a-f]{24}|", get("prev")), "prev")
    need(type(get("at")) is str and AT.fullmatch(get("at")) and _is_time(get("at")), "at")
    need(_is_day(get("day")), "day")
    need(type(get("by")) is str and len(get("by")) <= 200, "by")
    element.body = body
    element.id, element.kind, element.till = body["id"].lower(), body["kind"], body["till"]
    element.run, element.seq, element.prev, element.day = body["run"], body["seq"], body["prev"], body["day"]


def _is_time(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_day(text: Any) -> bool:
    if type(text) is not str or not DAY.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _signature(element: Element) -> None:
    if "sig" not in element.body:
        need(element.kind not in SIGNED and element.document != "shop", "unsigned")
        return
    sig = element.body["sig"]
    need(type(sig) is str and len(sig) == 86, "signature")
    tail = b',"sig":"' + sig.encode() + b'"}'
    need(element.raw.endswith(tail), "signature")
    try:
        signature = unbase64(sig)
    except ValueError:
        raise Wrong("signature") from None
    need(base64.urlsafe_b64encode(signature).decode().rstrip("=") == sig, "signature")
    element.signature = signature
    element.message = b"posline-v1\0" + element.raw[: -len(tail)]


def _home(element: Element) -> None:
    sort = element.document.split("/")[0]
    if sort == "journal":
        need(element.document == f"journal/{element.day}", "another day's journal")
    if element.known:
        need(element.kind in HOME.get(sort, ()), "another document")


# -- the fields of each kind ---------------------------------------------------------------------------------------


def _text(value: Any, least: int = 1) -> bool:
    return type(value) is str and least <= len(value) <= 200


def _amount(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _place(value: Any) -> bool:
    return type(value) is int and value >= 1


def _named(value: Any) -> bool:
    return type(value) is str and AUTHOR.fullmatch(value) is not None


def _hash(value: Any) -> bool:
    return type(value) is str and HASH.fullmatch(value) is not None


def _uuid(value: Any) -> bool:
    return type(value) is str and UUID.fullmatch(value) is not None


def _key(value: Any) -> bool:
    return type(value) is str and re.fullmatch(r"[A-Za-z0-9_-]{43}", value) is not None and len(unbase64(value)) == 32


def _seen(body: dict[str, Any]) -> None:
    seen = body.get("seen")
    need(type(seen) is dict and all(_named(a) and _hash(h) for a, h in seen.items()), "seen")


def _quantity(value: Any) -> Fraction:
    need(type(value) is str and QUANTITY.fullmatch(value) and Fraction(value) > 0, "quantity")
    return Fraction(value)


def half_up(exact: Fraction) -> int:
    """The nearest whole number; a half goes up."""
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def _tenders(value: Any) -> int:
    need(type(value) is list and 0 < len(value) <= 20, "tenders")
    for tender in value:
        need(type(tender) is dict and type(tender.get("kind")) is str and TENDER.fullmatch(tender["kind"]), "tender")
        need(_amount(tender.get("amount")) and _text(tender.get("reference", ""), 0), "tender")
    return int(sum(tender["amount"] for tender in value))


def _paid(body: dict[str, Any], total: int) -> None:
    rounding, change = body.get("rounding", 0), body.get("change", 0)
    need(type(rounding) is int and abs(rounding) <= MOST and _amount(change) and total + rounding >= 0, "rounding")
    if body.get("tenders") is None:
        need(change == 0, "change")
    else:
        need(_tenders(body["tenders"]) - change == total + rounding, "paid")


def _sale(element: Element, body: dict[str, Any]) -> None:
    need(_place(body.get("number")) and type(body.get("label")) is str and LABEL.fullmatch(body["label"]), "number")
    lines = body.get("lines")
    need(type(lines) is list and 0 < len(lines) <= 500, "lines")
    for name in ("note", "customer", "hold", "discount_reason"):
        need(_text(body.get(name, ""), 0), name)
    need("tax_by" not in body and "filing" not in body, "not known to this oracle")
    costs = 0
    for line in lines:
        need(type(line) is dict and _text(line.get("sku")) and _text(line.get("name", ""), 0), "line")
        need(_text(line.get("class", ""), 0) and _text(line.get("reason", ""), 0), "line")
        need(_amount(line.get("price")) and _amount(line.get("discount", 0)), "price")
        cost = half_up(_quantity(line.get("quantity")) * line["price"]) - line.get("discount", 0)
        need(0 <= cost <= MOST, "cost")
        need("mode" not in line and "mrp" not in line, "not known to this oracle")
        if "rate" in line or "tax" in line:
            need(type(line.get("rate")) is str and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4})?", line["rate"]), "rate")
            rate = Fraction(line["rate"])
            need(_amount(line.get("tax")) and line["tax"] == half_up(cost * rate / (100 + rate)), "tax")
        costs += cost
    need(type(body.get("total")) is int and body["total"] == costs, "total")
    _paid(body, costs)


def _returned(body: dict[str, Any]) -> None:
    need(_uuid(body.get("sale")) and _hash(body.get("of")), "of")
    need(_text(body.get("reason")) and _text(body.get("customer", ""), 0), "reason")
    lines = body.get("lines")
    need(type(lines) is list and 0 < len(lines) <= 500, "lines")
    for line in lines:
        need(type(line) is dict and _place(line.get("line")) and line["line"] <= 500, "line")
        need(_text(line.get("sku")), "line")
        _quantity(line.get("quantity"))
    need(len({line["line"] for line in lines}) == len(lines), "a line twice")


def _refund(element: Element, body: dict[str, Any]) -> None:
    need(_place(body.get("number")) and type(body.get("label")) is str and LABEL.fullmatch(body["label"]), "number")
    _returned(body)
    for line in body["lines"]:
        need(_amount(line.get("total")) and _amount(line.get("tax", 0)), "line")
        need("rate" in line or "tax" not in line, "tax of no rate")
    need(type(body.get("total")) is int and body["total"] == sum(x["total"] for x in body["lines"]), "total")
    need(body.get("tax", 0) == sum(x.get("tax", 0) for x in body["lines"]), "tax")
    need(type(body.get("restock", True)) is bool and "change" not in body, "restock")
    need(all(t.get("amount") != 0 for t in body.get("tenders") or [] if type(t) is dict), "nothing back")
    _paid(body, body["total"])


def _void(element: Element, body: dict[str, Any]) -> None:
    _returned(body)
    need(_amount(body.get("total")) and _amount(body.get("tax", 0)) and _amount(body.get("discount", 0)), "total")
    taxes = body.get("taxes")
    if taxes is None:
        need(not body.get("tax", 0), "tax")
    else:
        need(sum(g["total"] for g in taxes) == body["total"], "taxes")
        need(sum(g.get("tax", 0) for g in taxes) == body.get("tax", 0), "taxes")
    need("change" not in body, "change")
    need(all(t.get("amount") != 0 for t in body.get("tenders") or [] if type(t) is dict), "nothing back")
    _paid(body, body["total"])


def _run(element: Element, body: dict[str, Any]) -> None:
    after = body.get("after")
    if after is None:
        need(element.prev == "", "after")
    else:
        need(type(after) is dict and type(after.get("run")) is int and _place(after.get("seq")), "after")
        need(_hash(after.get("hash")) and after["hash"][:24] == element.prev, "after")
    need(_text(body.get("label", ""), 0), "label")


def _founding(element: Element, body: dict[str, Any]) -> None:
    need(_key(body.get("key")) and _key(body.get("recovery")) and author_of(body["key"]) == element.till, "key")
    _seen(body)


def _member(element: Element, body: dict[str, Any]) -> None:
    need(_key(body.get("key")) and type(body.get("label")) is str and LABEL.fullmatch(body["label"]), "key")
    need(body.get("role") in ("manager", "till", "head office", "reader"), "role")
    _seen(body)


def _role(element: Element, body: dict[str, Any]) -> None:
    need(_named(body.get("member")) and body.get("role") in ("manager", "till"), "role")
    _seen(body)


def _remove(element: Element, body: dict[str, Any]) -> None:
    points = body.get("points")
    need(_named(body.get("member")) and type(points) is list and len(points) <= 300, "points")
    for point in points:
        need(type(point) is list and len(point) == 3 and type(point[0]) is int and point[0] >= 0, "point")
        need(_place(point[1]) and _hash(point[2]), "point")
    _seen(body)


def _accept(element: Element, body: dict[str, Any]) -> None:
    entries = body.get("entries")
    need(type(entries) is list and 0 < len(entries) <= 300 and all(map(_hash, entries)), "entries")
    _seen(body)


def _change(element: Element, body: dict[str, Any]) -> None:
    need(_key(body.get("key")) and type(body.get("proof")) is str, "key")
    need(re.fullmatch(r"[A-Za-z0-9_-]{86}", body["proof"]), "proof")
    _seen(body)


def _setting(element: Element, body: dict[str, Any]) -> None:
    need(_text(body.get("name")) and "value" in body, "setting")
    _seen(body)


def _redate(element: Element, body: dict[str, Any]) -> None:
    need(_named(body.get("author")) and type(body.get("of")) is int, "whose")
    need(_place(body.get("first")) and _place(body.get("last")) and body["first"] <= body["last"], "numbers")
    need(type(body.get("to")) is str and DAY.fullmatch(body["to"]), "to")
    _seen(body)


def _cash(element: Element, body: dict[str, Any]) -> None:
    need(body.get("direction") in ("in", "out") and _amount(body.get("amount")) and body["amount"], "cash")
    need(_text(body.get("reason")), "reason")


def _payment(element: Element, body: dict[str, Any]) -> None:
    need(_text(body.get("customer")) and _amount(body.get("amount")) and body["amount"], "payment")
    need("tenders" not in body or _tenders(body["tenders"]) == body["amount"], "tenders")


def _opened(element: Element, body: dict[str, Any]) -> None:
    need(_amount(body.get("float")), "float")


def _closed(element: Element, body: dict[str, Any]) -> None:
    need("shift" in body and (body["shift"] is None or _uuid(body["shift"])) and _amount(body.get("float")), "shift")
    covers = body.get("covers")
    need(type(covers) is list and len(covers) <= 400, "covers")
    for one in covers:
        need(type(one) is list and len(one) == 3 and all(type(x) is int for x in one), "covers")
        need(one[0] >= 0 and 1 <= one[1] <= one[2], "covers")
    need(type(body.get("figures")) is dict, "figures")


def _day_closed(element: Element, body: dict[str, Any]) -> None:
    need(type(body.get("of_day")) is str and DAY.fullmatch(body["of_day"]), "day")
    vector = body.get("vector")
    need(type(vector) is list and len(vector) <= 400, "vector")
    for one in vector:
        need(type(one) is list and len(one) == 3 and _named(one[0]) and type(one[1]) is int, "vector")
        need(one[1] >= 0 and _place(one[2]), "vector")


CHECKS = {
    "sale": _sale, "refund": _refund, "void": _void, "run": _run, "founding": _founding, "member": _member,
    "role": _role, "remove": _remove, "accept": _accept, "key": _change, "setting": _setting, "redate": _redate,
    "cash": _cash, "payment": _payment, "shift opened": _opened, "shift closed": _closed, "day closed": _day_closed,
}  # fmt: skip
