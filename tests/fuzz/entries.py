"""Entries: reading never fails, what is read as sound is sound by a second opinion, and its figures add up."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

from posline.core.drawer import money_in
from posline.core.entry import UNREADABLE, Entry, decode, verify
from posline.core.fiscal import Step, standing
from posline.core.kinds import KINDS, SIGNED_KINDS
from posline.core.products import barcodes_of, favourite_place, is_active
from posline.core.sales import refund_figures, sale_figures, tax_groups, void_figures
from tests.fuzz.mutate import Pairs, dump, spoil, tree, twist
from tests.fuzz.reckon import BYTES_MAX, readable, why_wrong
from tests.fuzz.target import Target, outcome
from tests.kit import DAY, Writer, key_of, shop_of, text_key

__all__ = ["ENTRIES", "bodies", "resign"]

SALE = "0190aaaa-0000-7000-8000-000000000000"
HASH = "e" * 64
ENVELOPE = frozenset({"v", "id", "kind", "till", "run", "seq", "prev", "at", "day", "by", "sig"})


def bodies() -> list[tuple[str, dict[str, Any]]]:
    """(kind, its own fields) of one or more sound entries of each kind that a counter writes."""
    rupee = {"sku": "TEA", "quantity": "2", "price": 250}
    taxed = {"sku": "OIL", "quantity": "1.5", "price": 1180, "rate": "18", "tax": 270, "class": "standard"}
    on_top = {
        "sku": "SUV",
        "quantity": "1",
        "price": 1000,
        "rate": "7.5",
        "tax": 75,
        "mode": "exclusive",
        "name": "Suit",
    }
    printed = {
        "sku": "COLA",
        "quantity": "3",
        "price": 100,
        "discount": 20,
        "rate": "18",
        "tax": 55,
        "mode": "printed",
        "mrp": 120,
    }
    shared = [dict(rupee, rate="18", tax=77), dict(rupee, sku="B", rate="18", tax=76)]
    back = {"sale": SALE, "of": HASH, "reason": "broken"}
    customer = {"customer": SALE, "name": "Bilal", "phone": "0300", "limit": 5000, "active": True}
    number = {"number": 7, "label": "A"}
    return [
        ("sale", number | {"lines": [rupee], "total": 500}),
        (
            "sale",
            number
            | {
                "lines": [rupee, taxed, on_top, printed],
                "total": 500 + 1770 + 1075 + 280,
                "rounding": -5,
                "tenders": [{"kind": "cash", "amount": 3000}, {"kind": "card", "amount": 700, "reference": "x"}],
                "change": 80,
            },
        ),
        (
            "sale",
            number
            | {
                "lines": shared,
                "total": 1000,
                "tax_by": "receipt",
                "customer": SALE,
                "note": "n",
                "filing": {"adapter": "fbr_ims", "filer": "a" * 26},
                "tenders": [{"kind": "account", "amount": 1000}],
            },
        ),
        (
            "refund",
            number
            | back
            | {
                "lines": [{"line": 1, "sku": "TEA", "quantity": "1", "total": 250, "tax": 38, "rate": "18"}],
                "total": 250,
                "tax": 38,
                "restock": False,
                "tenders": [{"kind": "cash", "amount": 250}],
            },
        ),
        (
            "void",
            back
            | {
                "lines": [{"line": 1, "sku": "TEA", "quantity": "2"}],
                "total": 500,
                "tax": 76,
                "discount": 10,
                "taxes": [{"total": 500, "tax": 76, "rate": "18", "class": "standard"}],
            },
        ),
        ("cash", {"direction": "out", "amount": 500, "reason": "tea", "approved": "Asma"}),
        ("payment", {"customer": SALE, "amount": 500, "tenders": [{"kind": "cash", "amount": 500}], "note": ""}),
        ("customer", customer | {"seen": {"a" * 26: HASH}}),
        (
            "stock",
            {
                "moves": [
                    {"sku": "TEA", "quantity": "-1.5", "reason": "spoilt", "counted": "3"},
                    {"sku": "OIL", "quantity": "10", "reason": "came", "opening": True},
                ]
            },
        ),
        ("hold", {"name": "Table 4", "sale": SALE, "cart": {"lines": [rupee], "customer": ""}}),
        ("unhold", {"hold": SALE, "why": "recalled"}),
        ("shift opened", {"float": 5000}),
        (
            "shift closed",
            {
                "shift": SALE,
                "float": 5000,
                "covers": [[5, 1, 9]],
                "counted": {"cash": 100},
                "expected": {"cash": 90},
                "figures": {"net": 5},
            },
        ),
        ("day closed", {"of_day": DAY, "vector": [["a" * 26, 5, 9]], "z": HASH}),
        (
            "filing",
            {
                "sale": SALE,
                "of": HASH,
                "usin": f"{SALE.replace('-', '')}-{HASH[:8]}",
                "adapter": "fbr_ims",
                "filer": "a" * 26,
                "state": "accepted",
                "number": "123",
                "qr": "123",
                "code": "100",
                "errors": ["e"],
                "after": [HASH],
            },
        ),
        ("redate", {"author": "a" * 26, "of": 5, "first": 1, "last": 9, "to": DAY, "seen": {}}),
        (
            "products",
            {
                "products": [
                    {
                        "sku": "TEA",
                        "name": "Tea",
                        "price": 250,
                        "barcodes": ["1", "2"],
                        "tax_rate": "18",
                        "mrp": 300,
                        "low_stock": "2.5",
                        "labels": {"x": "y"},
                        "favourite": "2/14",
                        "active": False,
                        "name_ur": "چائے",
                    }
                ],
                "seen": {},
            },
        ),
        ("setting", {"name": "rounding", "value": 100, "seen": {}}),
        ("of tomorrow", {"what": ["ever"]}),
    ]


@cache
def _writer() -> Writer:
    writer = Writer("alif")
    shop_of(writer, Writer("be"))
    return writer


def envelope(kind: str, fields: dict[str, Any], rng: Random, writer: Writer | None = None) -> dict[str, Any]:
    """A whole body, as the writer's next entry would have it."""
    author = writer or _writer()
    prev = author.last.hash.hex()[:24] if author.last is not None else ""
    return {
        "v": 1,
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "kind": kind,
        "till": author.id,
        "run": author.run,
        "seq": author.seq + 1,
        "prev": prev,
        "at": f"{DAY}T12:00:00.000+05:00",
        "day": DAY,
        "by": "Asma",
    } | fields


def resign(raw: bytes, writer: Writer | None = None) -> bytes:
    """An entry with a signature of its author over what it says now; what is no object stays as it is."""
    open_ = raw.rstrip()
    at = open_.rfind(b',"sig":"')
    open_ = open_[:at] if at > 0 else open_[:-1]
    return open_ + b',"sig":"' + text_key((writer or _writer()).key.sign(b"posline-v1\0" + open_)).encode() + b'"}'


def _seeds() -> list[bytes]:
    rng = Random("entries")
    made = []
    for kind, fields in bodies():
        raw = json.dumps(envelope(kind, fields, rng), ensure_ascii=False, separators=(",", ":")).encode()
        made.append(resign(raw) if kind in SIGNED_KINDS else raw)
    others = [Writer("alif"), Writer("be")]
    shop_of(*others)
    others[0].set_role(others[1], "till")
    others[0].remove(others[1], others[1].entries[0])
    others[0].accept(others[1].entries[0])
    others[0].rotate()
    return made + [entry.raw for writer in others for entry in writer.entries]


def _mutate(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.12:
        return spoil(data, rng)
    try:
        found = tree(data)
    except (ValueError, RecursionError):
        return spoil(data, rng)
    signed = isinstance(found, Pairs) and bool(found) and found[-1][0] == "sig"
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = _twist_fields(found, rng)
    raw = dump(found, rng if rng.random() < 0.15 else None)
    return resign(raw) if signed and rng.random() < 0.7 and raw[:1] == b"{" and len(raw) > 2 else raw


def _twist_fields(found: Any, rng: Random) -> Any:
    """The entry with something in it changed: mostly in what it says, and not in its envelope."""
    own = [at for at, (name, _) in enumerate(found) if name not in ENVELOPE] if isinstance(found, Pairs) else []
    if not own or rng.random() < 0.3:
        return twist(found, rng)
    made, at = Pairs(found), rng.choice(own)
    if rng.random() < 0.25:  # a number that is nearly right, all else as it was
        places = list(_numbers(found[at][1]))
        if places:
            made[at] = (made[at][0], _beside(made[at][1], rng.choice(places), rng.choice((-1, 1))))
            return made
    made[at] = (made[at][0], twist(made[at][1], rng))
    return made


def _numbers(value: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Where whole numbers stand in a tree."""
    if type(value) is int:
        yield place
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _numbers(item[1] if isinstance(value, Pairs) else item, (*place, n))


def _beside(value: Any, place: tuple[int, ...], by: int) -> Any:
    """The tree with the number at this place changed by so much."""
    if not place:
        return value + by
    made = type(value)(value)
    name, item = made[place[0]] if isinstance(made, Pairs) else ("", made[place[0]])
    changed = _beside(item, place[1:], by)
    made[place[0]] = (name, changed) if isinstance(made, Pairs) else changed
    return made


def _document(entry: Entry) -> str:
    """Where an entry belongs by its kind."""
    where = KINDS.get(entry.kind, "journal")
    return {"journal": f"journal/{entry.day}", "catalog": "catalog/1"}.get(where, where)


def _check(data: bytes) -> str:
    entry = decode("journal/", data)
    if entry.day:
        entry = decode(_document(entry), data)
    assert entry.hash == hashlib.sha256(data).digest()
    found = readable(data)
    if len(data) > BYTES_MAX:
        assert entry.fault is not None and entry.body == {}
        return "too large"
    assert (entry.fault == UNREADABLE) == (found is None), f"{entry.fault}: the other reading says {found is not None}"
    if entry.fault is not None:
        assert entry.amount == 0 and entry.content() == entry.hash
        return outcome(entry.fault)
    assert entry.placed and found is not None and entry.body == found
    wrong = why_wrong(found)
    assert wrong is None, f"an entry with a wrong {wrong} was let through"
    if entry.kind in SIGNED_KINDS:
        assert entry.signature is not None and len(entry.signature) == 64
        if data == resign(data):
            assert verify(key_of("alif").public, entry)
    return f"{entry.kind if not entry.newer else 'newer'}: {_figures(entry)}"


def _figures(entry: Entry) -> str:
    """What a sound entry comes to: everything that asks for its figures gets some, and they add up."""
    body = entry.body
    assert entry.content() == decode(entry.document, entry.raw).content()
    if entry.kind == "sale":
        sale = sale_figures(body)
        assert sum(sale.lines) == sale.total == entry.amount and sale.payable == sum(sale.net_tenders.values())
        taxes = tax_groups("sale", body)
        assert sum(group.total for group in taxes) == sale.total and sum(group.tax for group in taxes) == sale.tax
    elif entry.kind in ("refund", "void"):
        back = (refund_figures if entry.kind == "refund" else void_figures)(body)
        assert back.total == -entry.amount and back.payable == sum(back.net_tenders.values())
        taxes = tax_groups(entry.kind, body)
        assert sum(group.total for group in taxes) == back.total and sum(group.tax for group in taxes) == back.tax
    elif entry.kind == "filing":
        standing("x", "y", [Step.of_body(entry.hash.hex(), body)])
    elif entry.kind == "products":
        for product in body["products"]:
            assert all(barcodes_of(product)) and is_active(product) in (True, False)
            favourite_place(product)
    if entry.kind in ("sale", "refund", "void", "cash", "payment"):
        assert type(money_in(entry.kind, body)) is int
    return f"{len(body)} fields"


ENTRIES = Target("entries", _seeds, _mutate, _check, 260_000)
