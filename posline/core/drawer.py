"""What a list of entries comes to: the sums of a Z report, of a day, and what a drawer should hold. No I/O.

`Takings` adds up sales, refunds, voids, cash put in and taken out, and payments on account, one entry at a time. The
order of the entries changes nothing. Which entries those are, a shift's or a day's, is decided elsewhere. All amounts
are whole minor units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posline.core.money import MAX_MONEY
from posline.core.sales import CASH, TaxGroup, refund_figures, sale_figures, tax_groups, void_figures

__all__ = ["MONEY_KINDS", "Sums", "Takings", "money_in", "over_short", "read_figures"]

MONEY_KINDS = frozenset({"sale", "refund", "void", "cash", "payment"})  # what moves money in a drawer or an account
# what a Z report names at the most, the rest is summed up: whatever callers send, it must fit an entry's 48 KiB
CASHIERS_MAX, NAME_MAX = 20, 60
TENDERS_MAX = 20
TAXES_MAX = 15
OTHERS = "others"  # those above the limits, together; a tender can be called so, too
_TAXED = ("rate", "class", "mode")
# one row of each list in a Z report's figures, empty
_TAX = ({"class": "", "rate": None, "mode": "inclusive", "taxable": 0, "tax": 0, "total": 0},)
_CASHIER = ({"by": "", "sales": 0, "total": 0, "discount": 0, "refunds": 0, "voids": 0, "net": 0},)


@dataclass(slots=True)
class Sums:
    """How many entries of one kind, and what they come to: amounts sold or given back, never below 0."""

    count: int = 0
    total: int = 0
    discount: int = 0
    tax: int = 0
    rounding: int = 0

    def to_dict(self, *names: str) -> dict[str, int]:
        """The named ones."""
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class _Cashier:
    sales: int = 0
    total: int = 0
    discount: int = 0
    refunds: int = 0
    voids: int = 0
    back: int = 0  # what refunds and voids gave back

    def add(self, other: _Cashier) -> None:
        for name in ("sales", "total", "discount", "refunds", "voids", "back"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def to_dict(self, by: str) -> dict[str, Any]:
        return {
            "by": by, "sales": self.sales, "total": self.total, "discount": self.discount, "refunds": self.refunds,
            "voids": self.voids, "net": self.total - self.back,
        }  # fmt: skip


@dataclass(slots=True)
class Takings:
    """Running sums. `tenders` are of sales, net of change, less what refunds and voids gave back; `paid` of payments on
    account; `moved` is cash put in and taken out: direction -> [count, amount]."""

    sales: Sums = field(default_factory=Sums)
    refunds: Sums = field(default_factory=Sums)
    voids: Sums = field(default_factory=Sums)
    payments: Sums = field(default_factory=Sums)
    tenders: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    moved: dict[str, list[int]] = field(default_factory=lambda: {"in": [0, 0], "out": [0, 0]})
    first_receipt: int | None = None
    last_receipt: int | None = None
    _taxes: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    _cashiers: dict[str, _Cashier] = field(default_factory=dict)

    def add(self, kind: str, body: Mapping[str, Any]) -> None:
        """Add a valid entry; one of a kind that moves no money changes nothing."""
        if kind == "sale":
            self._sold(body)
        elif kind in ("refund", "void"):
            self._returned(kind, body)
        elif kind == "payment":
            self.payments.count += 1
            self.payments.total += body["amount"]
            _add(self.paid, _tenders_of(body))
        elif kind == "cash":
            moved = self.moved[body["direction"]]
            moved[0] += 1
            moved[1] += body["amount"]
        number = body.get("number")
        if kind in ("sale", "refund") and number is not None:
            self.first_receipt = min(self.first_receipt or number, number)
            self.last_receipt = max(self.last_receipt or number, number)

    def _sold(self, body: Mapping[str, Any]) -> None:
        figures, sums = sale_figures(body), self.sales
        sums.count += 1
        sums.total += figures.total
        sums.discount += figures.discount
        sums.tax += figures.tax
        sums.rounding += figures.rounding
        _add(self.tenders, figures.net_tenders)
        self._tax(1, "sale", body, figures.total)
        cashier = self._cashier(body)
        cashier.sales += 1
        cashier.total += figures.total
        cashier.discount += figures.discount

    def _returned(self, kind: str, body: Mapping[str, Any]) -> None:
        figures = refund_figures(body) if kind == "refund" else void_figures(body)
        sums = self.refunds if kind == "refund" else self.voids
        sums.count += 1
        sums.total += figures.total
        sums.discount += figures.discount
        sums.tax += figures.tax
        sums.rounding += figures.rounding
        _add(self.tenders, figures.net_tenders, -1)
        self._tax(-1, kind, body, figures.total)
        cashier = self._cashier(body)
        cashier.refunds += kind == "refund"
        cashier.voids += kind == "void"
        cashier.back += figures.total

    def _tax(self, sign: int, kind: str, body: Mapping[str, Any], total: int) -> None:
        if kind == "sale" and not any(name in line for line in body["lines"] for name in _TAXED):
            groups = [TaxGroup("", None, "inclusive", total, 0)]  # most sales of most shops: no need to look closer
        else:
            groups = tax_groups(kind, body)
        for group in groups:
            sums = self._taxes.setdefault((group.code, group.rate or "", group.mode), [0, 0])
            sums[0] += sign * group.total
            sums[1] += sign * group.tax

    def _cashier(self, body: Mapping[str, Any]) -> _Cashier:
        return self._cashiers.setdefault(str(body.get("by", ""))[:NAME_MAX], _Cashier())

    # -- answers ---------------------------------------------------------------------------------------------------

    @property
    def net(self) -> int:
        """Sales less refunds and voids."""
        return self.sales.total - self.refunds.total - self.voids.total

    @property
    def rounding(self) -> int:
        """Cash rounding of sales, less that of refunds and voids."""
        return self.sales.rounding - self.refunds.rounding - self.voids.rounding

    def taxes(self) -> list[dict[str, Any]]:
        """What was sold less what was taken back, by tax class, rate and mode; they sum to the net and its tax."""
        groups = [TaxGroup(code, rate or None, mode, *sums) for (code, rate, mode), sums in sorted(self._taxes.items())]
        rest = groups[TAXES_MAX:]
        if rest:
            total, tax = sum(group.total for group in rest), sum(group.tax for group in rest)
            groups = [*groups[:TAXES_MAX], TaxGroup(OTHERS, None, "inclusive", total, tax)]
        return [
            {"class": g.code, "rate": g.rate, "mode": g.mode, "taxable": g.total - g.tax, "tax": g.tax,
             "total": g.total}
            for g in groups
            if g.total or g.tax
        ]  # fmt: skip

    def cashiers(self) -> list[dict[str, Any]]:
        """What each cashier rang, by name; the busiest ones where there are very many, and the others together."""
        busiest = sorted(self._cashiers.items(), key=lambda item: (-item[1].sales, item[0]))
        found = [(by, one) for by, one in busiest[:CASHIERS_MAX]]
        if len(busiest) > CASHIERS_MAX:
            others = _Cashier()
            for _, one in busiest[CASHIERS_MAX:]:
                others.add(one)
            found.append((OTHERS, others))
        return [one.to_dict(by) for by, one in sorted(found, key=lambda item: item[0])]

    def expected(self, float: int) -> dict[str, int]:
        """What should be there of each kind of tender: cash with the float the drawer was opened with, with cash put in
        and less cash taken out; the others as slips or in their accounts. Cash always stands, others where they are not
        0."""
        sums = {CASH: float + self.moved["in"][1] - self.moved["out"][1]}
        _add(sums, self.tenders)
        _add(sums, self.paid)
        shown = {kind: total for kind, total in sums.items() if total or kind == CASH}
        return {kind: max(-MAX_MONEY, min(MAX_MONEY, total)) for kind, total in _at_most(shown).items()}

    def figures(self) -> dict[str, Any]:
        """All of them, as a Z report says them."""
        back = "count", "total", "tax"
        return {
            "receipts": {"first": self.first_receipt, "last": self.last_receipt},
            "sales": self.sales.to_dict("count", "total", "discount", "tax"),
            "refunds": self.refunds.to_dict(*back),
            "voids": self.voids.to_dict(*back),
            "net": self.net,
            "tax": self.sales.tax - self.refunds.tax - self.voids.tax,
            "rounding": self.rounding,
            "tenders": _at_most(self.tenders),
            "cash": {way: {"count": count, "total": total} for way, (count, total) in self.moved.items()},
            "payments": self.payments.to_dict("count", "total") | {"tenders": _at_most(self.paid)},
            "taxes": self.taxes(),
            "cashiers": self.cashiers(),
        }


def read_figures(written: object) -> dict[str, Any]:
    """The figures of a Z report as another till wrote them, for showing: only ours, and whatever is not as ours are is
    that of an empty drawer, since nobody checks them where they arrive and each reader counts on every one."""
    found: dict[str, Any] = _like({"number": 0} | Takings().figures() | {"taxes": _TAX, "cashiers": _CASHIER}, written)
    return found


def _like(ours: Any, value: object) -> Any:
    if isinstance(ours, dict):
        given = value if isinstance(value, dict) else {}
        if ours:
            return {name: _like(own, given.get(name)) for name, own in ours.items()}
        return {kind: amount for kind, amount in given.items() if type(amount) is int}  # by kind of tender
    if isinstance(ours, tuple):
        rows = value if isinstance(value, list) else []
        return [_like(ours[0], row) for row in rows if isinstance(row, dict)]
    if ours is None:
        return value if type(value) in (int, str) else None
    return value if type(value) is type(ours) else ours


def over_short(counted: Mapping[str, int], expected: Mapping[str, int]) -> dict[str, int]:
    """Of each kind that was counted, what was there beyond what should be; below 0 where it was short."""
    return {kind: amount - expected.get(kind, 0) for kind, amount in sorted(counted.items())}


def money_in(kind: str, body: Mapping[str, Any]) -> int:
    """What one entry brings into its drawer and accounts altogether, below 0 where it takes out, rounding aside."""
    if kind == "sale":
        return int(body["total"])
    if kind in ("refund", "void"):
        return -int(body["total"])
    if kind == "cash":
        return int(body["amount"]) if body["direction"] == "in" else -int(body["amount"])
    return int(body["amount"]) if kind == "payment" else 0


def _tenders_of(payment: Mapping[str, Any]) -> dict[str, int]:
    paid: dict[str, int] = {}
    for tender in payment.get("tenders") or [{"kind": CASH, "amount": payment["amount"]}]:
        paid[tender["kind"]] = paid.get(tender["kind"], 0) + tender["amount"]
    return paid


def _add(sums: dict[str, int], more: Mapping[str, int], sign: int = 1) -> None:
    for kind, amount in more.items():
        sums[kind] = sums.get(kind, 0) + sign * amount


def _at_most(sums: Mapping[str, int]) -> dict[str, int]:
    """By name; where there are more kinds than a Z report holds, cash and the largest, and the others together."""
    if len(sums) > TENDERS_MAX:
        ranked = sorted(sums.items(), key=lambda item: (item[0] != CASH, -abs(item[1]), item[0]))
        kept = dict(ranked[:TENDERS_MAX])
        for _, amount in ranked[TENDERS_MAX:]:
            kept[OTHERS] = kept.get(OTHERS, 0) + amount
        sums = kept
    return dict(sorted(sums.items()))
