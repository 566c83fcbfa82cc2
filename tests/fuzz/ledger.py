"""What a till answered, kept and added up the plain way, to be held against what its reports say in the end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

__all__ = ["Answered"]


def _cost(line: Mapping[str, Any]) -> int:
    """Price times quantity less discount, tax left out: what comes on top is seen in the line's total alone."""
    return math.floor(Fraction(line["quantity"]) * line["price"] + Fraction(1, 2)) - line["discount"]


@dataclass
class Answered:
    """Every sale, refund, void and cash move that a till said it recorded, by id."""

    sales: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    voids: dict[str, dict[str, Any]] = field(default_factory=dict)
    stock: Counter[str] = field(default_factory=Counter)  # thousandths moved by hand
    moves: set[str] = field(default_factory=set)

    def sale(self, answer: dict[str, Any]) -> None:
        """A sale was recorded, and is right in itself."""
        assert answer["id"] not in self.sales, "recorded twice"
        for line in answer["lines"]:
            extra = line["total"] - _cost(line)
            assert extra in (0, line["tax"]), f"a line of {line} costs something else"
            assert (
                line["tax"] >= 0
                and line["discount"] >= 0
                and all(type(line[n]) is int for n in ("price", "tax", "total"))
            )
        assert answer["total"] == sum(line["total"] for line in answer["lines"]), "the lines are not the total"
        paid = sum(tender["amount"] for tender in answer["tenders"]) - answer["change"]
        assert paid == answer["total"] + answer["rounding"], "what was paid is not what was due"
        self.sales[answer["id"]] = answer

    def returned(self, answer: dict[str, Any]) -> None:
        """A refund or void was recorded."""
        held = self.refunds if answer["kind"] == "refund" else self.voids
        assert answer["id"] not in held, "recorded twice"
        given = sum(tender["amount"] for tender in answer["tenders"])
        assert given == answer["total"] + answer["rounding"] and answer["sale"] in self.sales
        held[answer["id"]] = answer

    def moved(self, answer: dict[str, Any]) -> None:
        """Goods came or went."""
        assert answer["id"] not in self.moves, "recorded twice"
        self.moves.add(answer["id"])
        for move in answer["moves"]:
            self.stock[move["sku"]] += int(Fraction(move["quantity"]) * 1000)

    def judge(self, days: list[dict[str, Any]]) -> None:
        """Whether the reports of all days say just this."""
        for kind, held in (("sales", self.sales), ("refunds", self.refunds), ("voids", self.voids)):
            count, total = sum(day[kind]["count"] for day in days), sum(day[kind]["total"] for day in days)
            assert (count, total) == (len(held), sum(one["total"] for one in held.values())), (
                f"{kind}: {count}, {total}"
            )
        net = sum(one["total"] for one in self.sales.values())
        net -= sum(one["total"] for held in (self.refunds, self.voids) for one in held.values())
        assert sum(day["net"] for day in days) == net, "the net is another"
        assert sum(day["sales"]["tax"] for day in days) == sum(
            line["tax"] for one in self.sales.values() for line in one["lines"]
        )
        tenders: Counter[str] = Counter()
        for one in self.sales.values():
            for tender in one["tenders"]:
                tenders[tender["kind"]] += tender["amount"]
            tenders["cash"] -= one["change"]
        for held in (self.refunds, self.voids):
            for one in held.values():
                for tender in one["tenders"]:
                    tenders[tender["kind"]] -= tender["amount"]
        reported: Counter[str] = Counter()
        for day in days:
            for kind, amount in day["tenders"].items():
                reported[kind] += amount
        assert {k: n for k, n in reported.items() if n} == {k: n for k, n in tenders.items() if n}, "other tenders"
        self._not_too_much()

    def _not_too_much(self) -> None:
        """Whether no line came back more often than it was sold, and nothing came back after a void."""
        back: Counter[tuple[str, int]] = Counter()
        money: Counter[str] = Counter()
        for held in (self.refunds, self.voids):
            for one in held.values():
                money[one["sale"]] += one["total"]
                for line in one["lines"]:
                    back[one["sale"], line["line"]] += int(Fraction(line["quantity"]) * 1000)
        for (sale, line), thousandths in back.items():
            sold = Fraction(self.sales[sale]["lines"][line - 1]["quantity"]) * 1000
            assert thousandths <= sold, f"line {line} of {sale} came back more often than it was sold"
        assert all(total <= self.sales[sale]["total"] for sale, total in money.items()), "more was given back than paid"

    def on_hand(self) -> Counter[str]:
        """Thousandths of each SKU that should be there."""
        found = Counter(self.stock)
        for one in self.sales.values():
            for line in one["lines"]:
                found[line["sku"]] -= int(Fraction(line["quantity"]) * 1000)
        for held in (self.refunds, self.voids):
            for one in held.values():
                for line in one["lines"] if one["restock"] else ():
                    found[line["sku"]] += int(Fraction(line["quantity"]) * 1000)
        return found
