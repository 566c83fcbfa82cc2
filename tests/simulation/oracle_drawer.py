"""What a Z report has to say of the entries that it covers, worked out from their bodies alone: receipts, sums, taxes,
tenders, cashiers, and what should be in the drawer. Shares no code with the product.

The simulator's shops have few cashiers, tenders and taxes: what a Z report does with very many is not known here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from tests.simulation.oracle_bytes import NUMBERED, Element, half_up

__all__ = ["covered", "expected", "figures", "tenders"]

Body = dict[str, Any]


def covered(z: Element, e: Element) -> bool:
    """Whether the Z report names an entry's number: in its till's run, or in whichever (run 0)."""
    return z.till == e.till and any(
        run in (e.run, 0) and first <= e.seq <= last for run, first, last in z.body["covers"]
    )


def figures(entries: Iterable[Element]) -> dict[str, Any]:
    """The figures of these entries, all but the Z report's own number."""
    of: dict[str, list[Body]] = defaultdict(list)
    for e in entries:
        of[e.kind].append(e.body)
    sales, refunds, voids, payments = of["sale"], of["refund"], of["void"], of["payment"]
    numbers = [body["number"] for kind in NUMBERED for body in of[kind]]
    return {
        "receipts": {"first": min(numbers, default=None), "last": max(numbers, default=None)},
        "sales": {
            "count": len(sales), "total": _sum(sales, "total"), "discount": sum(map(_discount, sales)),
            "tax": sum(map(_sold_tax, sales)),
        },
        "refunds": {"count": len(refunds), "total": _sum(refunds, "total"), "tax": _sum(refunds, "tax")},
        "voids": {"count": len(voids), "total": _sum(voids, "total"), "tax": _sum(voids, "tax")},
        "net": _sum(sales, "total") - _sum(refunds + voids, "total"),
        "tax": sum(map(_sold_tax, sales)) - _sum(refunds + voids, "tax"),
        "rounding": _sum(sales, "rounding") - _sum(refunds + voids, "rounding"),
        "tenders": tenders(of),
        "cash": {way: _moved(of["cash"], way) for way in ("in", "out")},
        "payments": {"count": len(payments), "total": _sum(payments, "amount"), "tenders": _paid(payments)},
        "taxes": _taxes(of),
        "cashiers": _cashiers(of),
    }  # fmt: skip


def expected(float: int, said: dict[str, Any]) -> dict[str, int]:
    """What should be there of each tender where these are the figures: cash always stands, others where not 0."""
    there = {"cash": float + said["cash"]["in"]["total"] - said["cash"]["out"]["total"]}
    for way in (said["tenders"], said["payments"]["tenders"]):
        for kind, amount in way.items():
            there[kind] = there.get(kind, 0) + amount
    return {kind: amount for kind, amount in there.items() if amount or kind == "cash"}


def _sum(bodies: list[Body], name: str) -> int:
    return sum(body.get(name, 0) for body in bodies)


def _discount(sale: Body) -> int:
    return _sum(sale["lines"], "discount")


def _sold_tax(sale: Body) -> int:
    return _sum(sale["lines"], "tax")


def _moved(cash: list[Body], way: str) -> dict[str, int]:
    there = [body for body in cash if body["direction"] == way]
    return {"count": len(there), "total": _sum(there, "amount")}


def tenders(of: dict[str, list[Body]]) -> dict[str, int]:
    """What stayed in the drawer or went out of it, by kind, of bodies of sales, refunds and voids."""
    sums: Counter[str] = Counter()
    for kind, sign in (("sale", 1), ("refund", -1), ("void", -1)):
        for body in of[kind]:
            exact = {"kind": "cash", "amount": body["total"] + body.get("rounding", 0)}
            for tender in body.get("tenders") or [exact]:
                sums[tender["kind"]] += sign * tender["amount"]
            if body.get("change", 0):
                sums["cash"] -= sign * body["change"]
    return dict(sums)


def _paid(payments: list[Body]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for body in payments:
        for tender in body.get("tenders") or [{"kind": "cash", "amount": body["amount"]}]:
            sums[tender["kind"]] += tender["amount"]
    return dict(sums)


def _taxes(of: dict[str, list[Body]]) -> list[dict[str, Any]]:
    """What was sold less what came back, by class and rate; what comes to nothing is left out."""
    totals: Counter[tuple[str, str]] = Counter()
    taxes: Counter[tuple[str, str]] = Counter()
    for kind, sign in (("sale", 1), ("refund", -1), ("void", -1)):
        for body in of[kind]:
            for part, total in _parts(kind, body):
                sort = part.get("class", ""), part.get("rate", "")
                totals[sort] += sign * total
                taxes[sort] += sign * part.get("tax", 0)
    return [
        {"class": sort[0], "rate": sort[1] or None, "mode": "inclusive", "taxable": totals[sort] - taxes[sort],
         "tax": taxes[sort], "total": totals[sort]}
        for sort in sorted(totals)
        if totals[sort] or taxes[sort]
    ]  # fmt: skip


def _parts(kind: str, body: Body) -> Iterator[tuple[Body, int]]:
    """An entry's parts that are taxed alike, each with what it comes to."""
    for part in body.get("taxes", [body]) if kind == "void" else body["lines"]:
        if kind == "sale":
            yield part, half_up(Fraction(part["quantity"]) * part["price"]) - part.get("discount", 0)
        else:
            yield part, part["total"]


def _cashiers(of: dict[str, list[Body]]) -> list[dict[str, Any]]:
    names = {body["by"][:60] for kind in ("sale", "refund", "void") for body in of[kind]}
    found = []
    for name in sorted(names):
        sales, refunds, voids = (
            [body for body in of[kind] if body["by"][:60] == name] for kind in ("sale", "refund", "void")
        )
        found.append({
            "by": name, "sales": len(sales), "total": _sum(sales, "total"), "discount": sum(map(_discount, sales)),
            "refunds": len(refunds), "voids": len(voids), "net": _sum(sales, "total") - _sum(refunds + voids, "total"),
        })  # fmt: skip
    return found
