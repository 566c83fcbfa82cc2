"""Tills of one shop that ring, take back, count, close and meet by chance, each with what it holds."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from posline.core.entry import Entry
from posline.core.refunding import refund_body, void_body
from posline.replica import Replica
from posline.storage.reports import Reports
from posline.storage.shifts import TillShifts
from tests.kit import DAY, commit, sale, send

__all__ = ["Trade", "books", "closing", "day_closing"]

FLOAT = 1000


def books(replica: Replica) -> Reports:
    return Reports(replica.store, replica.shop, here=replica.store_id)


def closing(replica: Replica, counted: Mapping[str, int] | None = None) -> Entry | None:
    """The till closes its shift, as `posline.till.shifts` does, in one step."""
    assert replica.author is not None
    shifts = TillShifts(replica.store, replica.shop, replica.author.id)
    fields = shifts.closing(replica.staged, dict(counted or {"cash": 0}))
    return None if fields is None else replica.write("shift closed", fields).entries[0]


def day_closing(replica: Replica, day: str) -> Entry:
    """The till closes a day."""
    assert replica.author is not None
    vector = TillShifts(replica.store, replica.shop, replica.author.id).vector(day, replica.staged)
    return replica.write("day closed", {"of_day": day, "vector": vector}).entries[0]


@dataclass
class Trade:
    """The shop. `ACTS` are the methods that are called by chance, and how often."""

    chance: random.Random
    tills: list[Replica]
    rung: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    ACTS: ClassVar[Mapping[str, int]] = {
        "ring": 8, "again": 2, "back": 3, "cash": 1, "payment": 1, "open": 1, "shut": 2, "day": 1, "visit": 3,
        "commit": 4,
    }  # fmt: skip
    REASONS: ClassVar[tuple[str, ...]] = ("x",)

    def act(self) -> None:
        """Something happens at some till."""
        till = self.chance.choice(self.tills)
        (name,) = self.chance.choices([*self.ACTS], [*self.ACTS.values()])
        getattr(self, name)(till)

    def some_sale(self) -> dict[str, Any]:
        total = self.chance.randint(1, 9999)
        return sale(total) | ({"tenders": [{"kind": "card", "amount": total}]} if self.chance.random() < 0.5 else {})

    def ring(self, till: Replica) -> None:
        id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        self.rung.append((id, self.some_sale()))
        till.write("sale", self.rung[-1][1], id=id, by=self.chance.choice(("", "Amina")))

    def again(self, till: Replica) -> None:
        """A sale that was rung elsewhere, once more, at a till that does not hold it."""
        if not self.rung:
            return
        id, fields = self.chance.choice(self.rung)
        if not books(till).by_id(id) and not any(staged.id == id for staged in till.staged):
            till.write("sale", fields, id=id)

    def back(self, till: Replica) -> None:
        held = [recorded.entry for recorded in books(till).sales()]
        if not held:
            return
        sold = self.chance.choice(held)
        if self.chance.random() < 0.4:
            till.write("void", void_body(sold.body, sold.hash, "mistyped"))
        else:
            till.write("refund", refund_body(sold.body, sold.hash, {}, {"id": sold.id, "reason": "torn"}))

    def cash(self, till: Replica) -> None:
        moved = {"direction": self.chance.choice(("in", "out")), "amount": self.chance.randint(1, 500)}
        till.write("cash", moved | {"reason": self.chance.choice(self.REASONS)})

    def payment(self, till: Replica) -> None:
        till.write("payment", {"customer": "c", "amount": self.chance.randint(1, 500)})

    def open(self, till: Replica) -> None:
        till.write("shift opened", {"float": FLOAT})

    def shut(self, till: Replica) -> None:
        closing(till)

    def day(self, till: Replica) -> None:
        day_closing(till, DAY)

    def visit(self, till: Replica) -> None:
        """Another till gets what this one has."""
        commit(till)
        other = self.chance.choice(self.tills)
        if other is not till:
            commit(other)
            send(till, other)

    def commit(self, till: Replica) -> None:
        commit(till)

    def meet(self) -> None:
        """All hold everything."""
        for till in self.tills:
            commit(till)
        for _ in range(2):
            for one in self.tills:
                for other in self.tills:
                    if one is not other:
                        send(one, other)
