"""What entries come to: every sum against one made apart, in any order, and what a Z report can hold at the most."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.drawer import CASHIERS_MAX, OTHERS, TAXES_MAX, TENDERS_MAX, Takings, money_in, over_short
from posline.core.kinds import check_body
from posline.core.money import MAX_MONEY, inclusive_tax, parse_rate
from posline.core.ranges import ANY_RUN, Numbers
from posline.core.refunding import refund_body, void_body
from posline.core.update import MAX_ELEMENT_BYTES

ID, HASH = "0b9f7e2c-3a55-4c1e-9d0e-6a1f2b3c4d5e", bytes(32)
RATES = (None, "0", "5", "18", "7.5")
KINDS = ("cash", "card", "jazzcash", "account")
Made = tuple[str, dict[str, Any]]


def sale(chance: random.Random) -> dict[str, Any]:
    """A valid sale by somebody, taxed and paid in some way."""
    lines = []
    for number in range(chance.randint(1, 3)):
        pieces, price = chance.randint(1, 5), chance.randint(1, 50_000)
        off = chance.choice((0, 0, price // 10))
        line: dict[str, Any] = {"sku": f"S{number}", "quantity": str(pieces), "price": price}
        if off:
            line["discount"] = off
        if (rate := chance.choice(RATES)) is not None:
            line |= {"rate": rate, "tax": inclusive_tax(pieces * price - off, parse_rate(rate))}
        lines.append(line)
    total = sum(int(line["quantity"]) * line["price"] - line.get("discount", 0) for line in lines)
    rounding = chance.choice((0, 0, 50 - total % 50 if total % 50 else 0))
    body = {"id": ID, "number": chance.randint(1, 900), "label": "A", "lines": lines, "total": total}
    body["by"] = chance.choice(("", "Amina", "Bilal"))
    if rounding:
        body["rounding"] = rounding
    payable, how = total + rounding, chance.choice(("exact", "cash", "split"))
    if how == "cash":
        body |= {"tenders": [{"kind": "cash", "amount": payable + 77}], "change": 77}
    elif how == "split":
        part = payable // 3
        rest = {"kind": chance.choice(KINDS[1:]), "amount": payable - part}
        body["tenders"] = [{"kind": "cash", "amount": part}, rest]
    assert check_body("sale", "", body) is None
    return body


def entries(seed: int) -> list[Made]:
    """A drawer's day: sales, some of them taken back, cash moved, accounts paid."""
    chance, made = random.Random(seed), list[Made]()
    for _ in range(chance.randint(0, 12)):
        sold = sale(chance)
        made.append(("sale", sold))
        match chance.randint(0, 7):
            case 0:
                request = {"id": ID, "reason": "torn", "lines": [{"line": 1, "quantity": 1}]}
                back = refund_body(sold, HASH, {}, request) | {"by": sold["by"], "number": 901, "label": "A"}
                made.append(("refund", back))
            case 1:
                made.append(("void", void_body(sold, HASH, "mistyped") | {"by": "Bilal"}))
            case 2:
                made.append(("cash", {"direction": chance.choice(("in", "out")), "amount": chance.randint(1, 9000),
                                      "reason": "bank"}))  # fmt: skip
            case 3:
                paid = {"customer": "c", "amount": chance.randint(1, 9000)}
                if chance.random() < 0.5:
                    paid["tenders"] = [{"kind": "card", "amount": paid["amount"]}]
                made.append(("payment", paid))
            case 4:
                made.append((chance.choice(("seal", "run", "shift opened", "stock")), {}))
    return made


def apart(made: list[Made]) -> dict[str, Any]:
    """The sums that matter most, made another way: by kinds of tender and of entry, one amount at a time."""
    tenders: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    tax = rounding = 0
    for kind, body in made:
        sign = {"sale": 1, "refund": -1, "void": -1}.get(kind, 0)
        if sign:
            due = body["total"] + body.get("rounding", 0)
            for tender in body.get("tenders") or [{"kind": "cash", "amount": due}]:
                tenders[tender["kind"]] += sign * tender["amount"]
            tenders["cash"] -= body.get("change", 0)
            totals[kind] += body["total"]
            rounding += sign * body.get("rounding", 0)
            tax += sign * (sum(x.get("tax", 0) for x in body["lines"]) if kind != "void" else body.get("tax", 0))
        elif kind == "payment":
            for tender in body.get("tenders") or [{"kind": "cash", "amount": body["amount"]}]:
                paid[tender["kind"]] += tender["amount"]
        elif kind == "cash":
            totals[body["direction"]] += body["amount"]
    return {"tenders": tenders, "paid": paid, "totals": totals, "tax": tax, "rounding": rounding}


def of(made: list[Made]) -> Takings:
    takings = Takings()
    for kind, body in made:
        takings.add(kind, body)
    return takings


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 100_000))
def test_every_sum_is_that_of_one_made_apart_and_in_any_order(seed: int, float: int) -> None:
    made = entries(seed)
    takings, sums = of(made), apart(made)
    figures, totals = takings.figures(), sums["totals"]
    assert figures["net"] == totals["sale"] - totals["refund"] - totals["void"]
    assert (figures["tax"], figures["rounding"]) == (sums["tax"], sums["rounding"])
    assert figures["tenders"] == {kind: sums["tenders"][kind] for kind in figures["tenders"]}
    assert sum(figures["tenders"].values()) == figures["net"] + figures["rounding"]
    expected = takings.expected(float)
    for kind in {*expected, *KINDS}:
        own = float + totals["in"] - totals["out"] if kind == "cash" else 0
        assert expected.get(kind, 0) == sums["tenders"][kind] + sums["paid"][kind] + own
    assert sum(group["total"] for group in figures["taxes"]) == figures["net"]
    assert sum(group["tax"] for group in figures["taxes"]) == figures["tax"]
    assert sum(one["net"] for one in figures["cashiers"]) == figures["net"]
    assert sum(one["sales"] for one in figures["cashiers"]) == figures["sales"]["count"]
    moved = sum(money_in(kind, body) for kind, body in made) + figures["rounding"]
    assert sum(expected.values()) == float + moved
    again = list(made)
    random.Random(seed + 1).shuffle(again)
    assert of(again).figures() == figures and of(again).expected(float) == expected


def test_over_and_short_of_what_was_counted_alone() -> None:
    assert over_short({"cash": 900, "card": 0}, {"cash": 1000, "jazzcash": 70}) == {"card": 0, "cash": -100}
    assert over_short({}, {"cash": 5}) == {}


def test_the_largest_z_report_fits_an_entry() -> None:
    takings, long = Takings(), "\x01" * 200
    for number in range(300):
        kind = f"tender_{number:03d}".ljust(40, "x")
        cost = MAX_MONEY - number
        line = {"sku": "a", "quantity": "1", "price": cost, "class": f"{number:03d}{long}"[:200], "rate": "18"}
        line["tax"] = inclusive_tax(cost, parse_rate("18"))
        body = {"lines": [line], "total": cost, "by": f"{number:03d}{long}"[:200], "number": 10**9}
        takings.add("sale", body | {"tenders": [{"kind": kind, "amount": cost}]})
        takings.add("payment", {"amount": cost, "tenders": [{"kind": kind, "amount": cost}]})
    figures, expected = takings.figures(), takings.expected(MAX_MONEY)
    assert len(figures["cashiers"]) == CASHIERS_MAX + 1 and len(figures["taxes"]) == TAXES_MAX + 1
    assert len(expected) == TENDERS_MAX + 1 and expected["cash"] == MAX_MONEY == expected[OTHERS]
    assert sum(figures["tenders"].values()) == figures["net"], "nothing is left out"
    covers = [[2**53 - n, 2**40 + n, 2**41 + n] for n in range(200)]
    counted = dict.fromkeys(list(expected)[:20], MAX_MONEY)
    entry = {"covers": covers, "expected": expected, "counted": counted, "figures": figures, "note": long}
    assert len(msgspec.json.encode(entry)) < MAX_ELEMENT_BYTES - 3500  # the envelope, who approved it, the signature


places = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 30)), max_size=60)


@settings(max_examples=100, deadline=None)
@given(places, st.integers(1, 3), st.integers(1, 35), st.integers(1, 5))
def test_ranges_are_the_numbers_that_were_put_in(held: list[tuple[int, int]], run: int, last: int, most: int) -> None:
    numbers = Numbers()
    for place in held:
        numbers.add(*place)
    assert all((n, seq) in numbers for n, seq in held)
    assert Numbers(numbers.ranges(1000)).ranges(1000) == numbers.ranges(1000)
    spelt = {(n, seq) for n, first, end in numbers.ranges(1000) for seq in range(first, end + 1)}
    assert spelt == set(held)
    own = sorted(seq for n, seq in held if n == run)
    start = own[0] if own else 1
    lacking = {seq for seq in range(start, last + 1) if seq not in own}
    assert {seq for first, end in numbers.missing(run, last) for seq in range(first, end + 1)} == lacking
    few = numbers.ranges(most)
    assert len(few) <= most and all((n, seq) in Numbers(few) for n, seq in held)
    assert len(numbers.ranges(1000)) <= most or few[0][0] == ANY_RUN
    half = Numbers(Numbers().joined(numbers).ranges(1000)[::2])
    assert half.joined(numbers).ranges(1000) == numbers.ranges(1000)
