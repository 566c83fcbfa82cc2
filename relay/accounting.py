"""A business day as an accountant posts it: figures, a balanced journal, and the equations that show that it ties.

A day is added up twice, by two roads that must meet. `DayBook` takes the day's entries one by one; a `ShiftBook` for
each Z report takes what that Z report covers. Then the sum of the Z reports, less what they cover of other days, less
duplicates and what does not count, and with what no Z report covers, is the day, for each figure by itself. The order
in which entries come changes nothing. All amounts are whole minor units; in journals a debit is above 0. No I/O.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posline.core.drawer import MONEY_KINDS, Takings, read_figures
from posline.core.sales import CASH, tax_groups

__all__ = [
    "CHART",
    "ROOTS",
    "Chart",
    "DayBook",
    "Posting",
    "ShiftBook",
    "ZReport",
    "added_up",
    "balanced",
    "lines_of",
    "next_posting",
]

# what is posted where, unless the chain says otherwise. `tender:card` goes before `tender`, `sales:standard:18` before
# `sales:standard` before `sales`
CHART: Mapping[str, tuple[str, str]] = {
    "tender:cash": ("1000", "Cash in tills"),
    "tender:card": ("1020", "Card receipts on their way"),
    "tender:raast": ("1030", "Wallets and instant payments"),
    "tender:jazzcash": ("1030", "Wallets and instant payments"),
    "tender:easypaisa": ("1030", "Wallets and instant payments"),
    "tender:account": ("1100", "Customers' accounts"),
    "tender:store_credit": ("2200", "Store credit owed to customers"),
    "tender": ("1090", "Other means of payment"),
    "payments": ("1100", "Customers' accounts"),
    "cash_in": ("1010", "Cash outside the tills"),
    "cash_out": ("1010", "Cash outside the tills"),
    "tax": ("2100", "Sales tax payable"),
    "sales": ("4000", "Sales"),
    "refunds": ("4010", "Refunds"),
    "voids": ("4020", "Voided sales"),
    "rounding": ("6800", "Cash rounding"),
    "over_short": ("6810", "Cash over and short"),
}
ROOTS = ("tender", "sales", "tax", "refunds", "voids", "rounding", "payments", "cash_in", "cash_out", "over_short")
NONE = "none"  # in the name of what is posted: no tax class, no rate, no reason
REASON_MAX = 60  # characters of a reason that make a line of its own
OF_KIND = {"sale": "sales", "refund": "refunds", "void": "voids"}
# the lines of the tie, each with its sign
PARTS = (
    ("z_reports", 1), ("other_days", -1), ("duplicates", -1), ("not_counted", -1), ("covered_twice", -1),
    ("no_z_report", 1),
)  # fmt: skip
Figures = dict[str, int]


class Chart:
    """The chain's accounts: CHART with its own changes."""

    def __init__(self, changes: Mapping[str, tuple[str, str]] | None = None) -> None:
        self._accounts = dict(CHART) | dict(changes or {})

    def account(self, what: str) -> tuple[str, str]:
        """(code, name) of what is posted, by the longest beginning of its name that has an account."""
        while what not in self._accounts:
            what = what.rpartition(":")[0]
        return self._accounts[what]

    def listed(self) -> list[dict[str, str]]:
        """All of them, as they are answered."""
        return [
            {"what": what, "account": code, "name": name}
            for what, (code, name) in sorted(self._accounts.items(), key=lambda item: _order(item[0]))
        ]


@dataclass(frozen=True, slots=True)
class ZReport:
    """A Z report as its till wrote it: `figures` are its own words, which nobody checked. `spans` is how many numbers
    it says that it covers."""

    hash: str
    id: str
    till: str
    label: str
    day: str
    at: str
    by: str
    float: int
    counted: Mapping[str, int]
    expected: Mapping[str, int]
    figures: Mapping[str, Any]
    spans: int

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.label}-Z{self.figures['number']}"


class ShiftBook:
    """What one Z report says, and what is held here of the numbers that it covers."""

    def __init__(self, z: ZReport) -> None:
        self.z = z
        self.here = Takings()  # all that it covers, as its till added it up
        self.own = Takings()  # ... of that, what counts and no earlier Z report covers
        self.days: dict[str, Takings] = defaultdict(Takings)  # ... that, by business day
        self.apart = {part: Takings() for part in ("duplicates", "not_counted", "covered_twice")}
        self.held = 0  # how many of its numbers are here

    def take(self, kind: str, body: Mapping[str, Any], day: str, *, standing: str, again: bool) -> None:
        """One of its numbers. `standing` is counted, duplicate, or anything else for what does not count; `again` that
        an earlier Z report of the till covers it, too."""
        self.held += 1
        if kind not in MONEY_KINDS:
            return
        self.here.add(kind, body)
        if standing != "counted":
            self.apart["duplicates" if standing == "duplicate" else "not_counted"].add(kind, body)
        elif again:
            self.apart["covered_twice"].add(kind, body)
        else:
            self.own.add(kind, body)
            self.days[day].add(kind, body)

    @property
    def declared(self) -> Figures:
        """What it says. Where it had more kinds of tender than it can name, and is right otherwise, each of them."""
        said = _flat(self.z.figures)
        return _figures(self.here) if said == _flat(_as_written(self.here)) else said

    @property
    def over_short(self) -> Figures:
        """Of each kind that was counted, what was there beyond what the entries that count put in. A duplicate's money
        lies in one of two drawers: both Z reports expect it, and over both together nothing is over or short."""
        expected = self.own.expected(self.z.float)
        return {kind: amount - expected.get(kind, 0) for kind, amount in sorted(self.z.counted.items())}

    def faults(self) -> list[dict[str, Any]]:
        """The equations of this Z report by itself that do not hold."""
        said, here = _flat(self.z.figures), _flat(_as_written(self.here))
        found = [
            _check(f"{self.z.name}:{name}", f"{self.z.name} says as much as its numbers that are here", left, right)
            for name, left, right in _pairs(said, here)
            if left != right
        ]
        if not found:  # else it is no wonder
            found += [
                _check(
                    f"{self.z.name}:expected:{kind}", f"{self.z.name} expects what its own figures make", left, right
                )
                for kind, left, right in _pairs(self.z.expected, self.here.expected(self.z.float))
                if left != right
            ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """As it is answered with a day."""
        z, twins = self.z, self.apart["duplicates"]
        return {
            "z": z.id, "name": z.name, "till": z.till, "label": z.label, "day": z.day, "at": z.at, "by": z.by,
            "net": self.declared["net"], "duplicates": twins.net, "lacking": max(0, z.spans - self.held),
            "float": z.float, "expected": dict(z.expected), "counted": dict(z.counted),
            "over_short": {kind: n - z.expected.get(kind, 0) for kind, n in sorted(z.counted.items())},
            "posted": self.over_short,
        }  # fmt: skip


@dataclass
class DayBook:
    """A shop's business day in the making: hand each entry that counts to `take`, then ask for the `summary`."""

    shop: str
    day: str
    currency: str
    takings: Takings = field(default_factory=Takings)
    uncovered: Takings = field(default_factory=Takings)
    amounts: int = 0  # as the ledger keeps them beside the entries
    tills: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    taxes: dict[tuple[str, str], dict[str, list[int]]] = field(default_factory=dict)
    moved: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def take(self, kind: str, till: str, body: Mapping[str, Any], *, amount: int, covered: bool) -> None:
        """An entry of this day that counts and moves money. `amount` is the ledger's; `covered` whether any Z report of
        its till covers it."""
        self.takings.add(kind, body)
        self.amounts += amount
        self.tills[till][0] += 1
        self.tills[till][1] += amount
        if not covered:
            self.uncovered.add(kind, body)
        if kind == "cash":
            moved = self.moved[body["direction"], str(body["reason"]).strip().lower()[:REASON_MAX]]
            moved[0] += 1
            moved[1] += body["amount"]
        elif kind in OF_KIND:
            for group in tax_groups(kind, body):
                row = self.taxes.setdefault((group.code, group.rate or ""), {})
                sums = row.setdefault(OF_KIND[kind], [0, 0])
                sums[0] += group.total
                sums[1] += group.tax

    # -- the journal -----------------------------------------------------------------------------------------------

    def posted(self, shifts: Iterable[ShiftBook]) -> Figures:
        """What is to be posted, by its name: a debit above 0. `shifts` that were closed on another day are left out."""
        made: dict[str, int] = defaultdict(int)
        for (code, rate), row in self.taxes.items():
            group = f"{_named(code)}:{_named(rate)}"
            for root, (total, tax) in row.items():
                sign = -1 if root == "sales" else 1
                made[f"{root}:{group}"] += sign * (total - tax)
                made[f"tax:{group}"] += sign * tax
        for kind, amount in (*self.takings.tenders.items(), *self.takings.paid.items()):
            made[f"tender:{kind}"] += amount
        made["payments"] -= self.takings.payments.total
        made["rounding"] -= self.takings.rounding
        for (direction, reason), (_, amount) in self.moved.items():
            sign = 1 if direction == "in" else -1
            made[f"tender:{CASH}"] += sign * amount
            made[f"cash_{direction}:{_named(reason)}"] -= sign * amount
        for shift in shifts:
            if shift.z.day == self.day:
                for kind, amount in shift.over_short.items():
                    made[f"tender:{kind}"] += amount
                    made[f"over_short:{_named(kind)}"] -= amount
        return {what: amount for what, amount in sorted(made.items(), key=lambda item: _order(item[0])) if amount}

    # -- what ties -------------------------------------------------------------------------------------------------

    def tie(self, shifts: Sequence[ShiftBook]) -> list[dict[str, Any]]:
        """For each figure, the lines that lead from the Z reports to the day."""
        columns: dict[str, Figures] = {"no_z_report": _figures(self.uncovered), "day": _figures(self.takings)}
        columns["z_reports"] = _sum(shift.declared for shift in shifts)
        of_others = ((_figures(taken) for day, taken in shift.days.items() if day != self.day) for shift in shifts)
        columns["other_days"] = _sum(figures for each in of_others for figures in each)
        for part in ("duplicates", "not_counted", "covered_twice"):
            columns[part] = _sum(_figures(shift.apart[part]) for shift in shifts)
        names = sorted({name for column in columns.values() for name in column}, key=_figure_order)
        return [
            {"figure": name} | {part: columns[part].get(name, 0) for part in (*(part for part, _ in PARTS), "day")}
            for name in names
        ]

    def checks(self, shifts: Sequence[ShiftBook], report: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The equations of the day, each with both sides."""
        takings, groups = self.takings, self.taxes.values()
        signed = {"sales": 1, "refunds": -1, "voids": -1}
        total, tax = (sum(signed[k] * sums[at] for row in groups for k, sums in row.items()) for at in (0, 1))
        net_tax = takings.sales.tax - takings.refunds.tax - takings.voids.tax
        posted = self.posted(shifts).values()
        paid = sum(takings.tenders.values())
        found = [
            _check("debits", "the journal's debits are its credits",
                   sum(n for n in posted if n > 0), -sum(n for n in posted if n < 0)),
            _check("tenders", "what was paid, less change and what went back, is the net and cash rounding",
                   paid, takings.net + takings.rounding),
            _check("payments", "what was paid on account, by tender, is all that was paid on account",
                   sum(takings.paid.values()), takings.payments.total),
            _check("tax_classes", "the totals of all tax classes are the net", total, takings.net),
            _check("tax", "the tax of all tax classes is the net's tax", tax, net_tax),
            _check("ledger", "the ledger's own amounts of these entries are the net", self.amounts, takings.net),
            _check("day_report", "the day report's net is the net", report["net"], takings.net),
        ]  # fmt: skip
        for row in self.tie(shifts):
            left = sum(sign * row[part] for part, sign in PARTS)
            found.append(_check(f"z_reports:{row['figure']}", TIE, left, row["day"]))
        return found + [fault for shift in shifts for fault in shift.faults()]

    def summary(self, shifts: Sequence[ShiftBook], report: Mapping[str, Any], chart: Chart) -> dict[str, Any]:
        """All of it. `shifts` are those that cover something of the day or were closed on it; `report` is the day
        report (posline.storage.day)."""
        shifts = sorted(shifts, key=lambda shift: (shift.z.label, shift.z.till, shift.z.at, shift.z.hash))
        checks, posted = self.checks(shifts, report), self.posted(shifts)
        labels = {till["till"]: till["label"] for till in report["tills"]}
        return {
            "shop": self.shop, "day": self.day, "currency": self.currency,
            "state": _state(report), "waiting_for": [labels.get(who, who) for who in report["waiting_for"]],
            "late": dict(report["addendum"]), "digest": report["digest"],
            "ties": all(check["ties"] for check in checks),
            "figures": _figures(self.takings),
            "taxes": self._taxes(),
            "cash": [{"direction": way, "reason": why, "count": count, "total": total}
                     for (way, why), (count, total) in sorted(self.moved.items())],
            "tills": [{"till": till, "label": labels.get(till, till), "count": count, "net": net}
                      for till, (count, net) in sorted(self.tills.items())],
            "shifts": [shift.to_dict() for shift in shifts],
            "tie": self.tie(shifts), "journal": lines_of(posted, chart), "checks": checks,
        }  # fmt: skip

    def _taxes(self) -> list[dict[str, Any]]:
        return [
            {"class": code, "rate": rate or None}
            | {
                f"{root}{name}": value
                for root in ("sales", "refunds", "voids")
                for name, value in zip(("", "_tax"), row.get(root, (0, 0)), strict=True)
            }
            for (code, rate), row in sorted(self.taxes.items())
        ]


TIE = (
    "Z reports, less what they cover of other days, less duplicates, less what does not count, less what two of them"
    " cover, with what no Z report covers, are the day"
)


def _state(report: Mapping[str, Any]) -> str:
    if report["provisional"]:
        return "provisional"
    return "closed" if report["tills"] else "empty"


def _check(name: str, says: str, left: int, right: int) -> dict[str, Any]:
    return {"check": name, "says": says, "left": left, "right": right, "ties": left == right}


def _pairs(one: Mapping[str, int], other: Mapping[str, int]) -> Iterable[tuple[str, int, int]]:
    return ((name, one.get(name, 0), other.get(name, 0)) for name in sorted({*one, *other}, key=_figure_order))


# -- figures by name ---------------------------------------------------------------------------------------------------


def _as_written(takings: Takings) -> dict[str, Any]:
    return read_figures(takings.figures())


def _figures(takings: Takings) -> Figures:
    every = takings.figures() | {"tenders": takings.tenders}
    every["payments"] = every["payments"] | {"tenders": takings.paid}
    return _flat(every)


def _flat(figures: Mapping[str, Any]) -> Figures:
    """The figures of a Z report, each by one name."""
    made = {
        "sales_count": figures["sales"]["count"], "sales": figures["sales"]["total"],
        "discount": figures["sales"]["discount"],
        "refunds_count": figures["refunds"]["count"], "refunds": figures["refunds"]["total"],
        "voids_count": figures["voids"]["count"], "voids": figures["voids"]["total"],
        "net": figures["net"], "tax": figures["tax"], "rounding": figures["rounding"],
        "cash_in": figures["cash"]["in"]["total"], "cash_out": figures["cash"]["out"]["total"],
        "payments": figures["payments"]["total"],
    }  # fmt: skip
    made |= {f"tender:{kind}": amount for kind, amount in sorted(figures["tenders"].items()) if amount}
    return made | {f"paid:{kind}": amount for kind, amount in sorted(figures["payments"]["tenders"].items()) if amount}


def _sum(many: Iterable[Figures]) -> Figures:
    total: Figures = defaultdict(int)
    for figures in many:
        for name, amount in figures.items():
            total[name] += amount
    return total


_ORDER = {name: at for at, name in enumerate(_flat(_as_written(Takings())))}


def _figure_order(name: str) -> tuple[int, str]:
    return _ORDER.get(name, len(_ORDER)), name


def _named(part: str) -> str:
    return part.replace(":", "_") or NONE


def _order(what: str) -> tuple[int, str]:
    return ROOTS.index(what.partition(":")[0]), what


# -- journals and what was posted of them ------------------------------------------------------------------------------


def lines_of(posted: Mapping[str, int], chart: Chart) -> list[dict[str, Any]]:
    """A journal: each line with its account, and its amount as a debit or a credit."""
    made = []
    for what, amount in posted.items():
        code, name = chart.account(what)
        made.append({"account": code, "name": name, "what": what, "debit": max(amount, 0), "credit": max(-amount, 0)})
    return made


def balanced(lines: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a journal's debits are its credits."""
    return bool(sum(line["debit"] - line["credit"] for line in lines) == 0)


def added_up(journals: Iterable[Iterable[Mapping[str, Any]]]) -> Figures:
    """What several journals come to, by what is posted."""
    total = _sum({line["what"]: line["debit"] - line["credit"]} for journal in journals for line in journal)
    return {what: amount for what, amount in sorted(total.items(), key=lambda item: _order(item[0])) if amount}


@dataclass(frozen=True, slots=True)
class Posting:
    """What an accountant posts of a day, once: number 0 is the day as it was when it was first taken, each later one an
    addendum, the difference to all before it. `id` is made of all that it says and of the posting before it."""

    id: str
    shop: str
    day: str
    number: int
    currency: str
    digest: str
    lines: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """As it is answered."""
        kind = "addendum" if self.number else "day"
        return {
            "id": self.id, "posting": kind, "shop": self.shop, "day": self.day, "number": self.number,
            "currency": self.currency, "digest": self.digest, "journal": list(self.lines),
        }  # fmt: skip


def next_posting(summary: Mapping[str, Any], before: Sequence[Posting], chart: Chart) -> Posting | None:
    """What is still to be posted of a day, given all postings of it so far in their order; None where that is
    nothing."""
    now, then = added_up([summary["journal"]]), added_up(posting.lines for posting in before)
    left = {what: now.get(what, 0) - then.get(what, 0) for what in sorted({*now, *then}, key=_order)}
    lines = lines_of({what: amount for what, amount in left.items() if amount}, chart)
    if not lines:
        return None
    last, number = before[-1].id if before else "", len(before)
    said = [summary["shop"], summary["day"], number, last, summary["currency"], lines]
    made = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
    id = str(uuid.UUID(bytes=made[:16], version=5))
    return Posting(id, summary["shop"], summary["day"], number, summary["currency"], summary["digest"], tuple(lines))
