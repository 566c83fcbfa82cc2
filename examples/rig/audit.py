"""What each replica holds, held against what the cashiers know: asked over HTTP, and added up here once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

PAGE = 500  # sales asked for at a time
COUNTED = "counted"


@dataclass(frozen=True, slots=True)
class Books:
    """Where a replica's books are read: the address under which `/sales` and `/reports/day/...` lie."""

    name: str
    address: str
    token: str = ""


@dataclass
class Holding:
    """What one replica says it holds of some business days."""

    name: str
    sales: Counter[str] = field(default_factory=Counter)  # id -> how often it counts
    totals: dict[str, int] = field(default_factory=dict)  # id -> total, of those that count
    recomputed: int = 0  # the total of those, from their lines
    reports: dict[str, bytes] = field(default_factory=dict)  # day -> the report, byte for byte
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)  # day -> the report, read

    @property
    def count(self) -> int:
        """As the day reports say."""
        return sum(int(figures["sales"]["count"]) for figures in self.figures.values())

    @property
    def total(self) -> int:
        """As the day reports say."""
        return sum(int(figures["sales"]["total"]) for figures in self.figures.values())

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(self.figures[day]["digest"] for day in sorted(self.figures))

    def lost(self, confirmed: Mapping[str, int]) -> int:
        """Sales that a cashier saw confirmed and that do not count here."""
        return sum(1 for id in confirmed if id not in self.sales)

    def doubled(self) -> int:
        """Times that a sale counts beyond once."""
        return sum(times - 1 for times in self.sales.values())

    def faults(self, confirmed: Mapping[str, int]) -> list[str]:
        """Where this replica disagrees with the cashiers, in words."""
        found = []
        rung = sum(confirmed.values())
        if lost := self.lost(confirmed):
            found.append(f"{lost} confirmed sales are lost")
        if doubled := self.doubled():
            found.append(f"{doubled} sales count twice")
        if strangers := sum(1 for id in self.sales if id not in confirmed):
            found.append(f"{strangers} sales that nobody rang")
        if wrong := sum(1 for id, total in self.totals.items() if confirmed.get(id, total) != total):
            found.append(f"{wrong} sales have another total than the basket")
        if self.count != len(confirmed):
            found.append(f"the reports count {self.count} sales, not {len(confirmed)}")
        if self.total != rung or self.recomputed != rung:
            found.append(f"the reports say {self.total}, the lines {self.recomputed}, the baskets {rung}")
        for figures in self.figures.values():
            for name in ("held", "disputed", "invalid"):
                if figures[name]:
                    found.append(f"{len(figures[name])} entries are {name}")
            for till in figures["tills"]:
                if till["missing_count"] or till["receipts"]["missing_count"]:
                    found.append(f"numbers of till {till['label']} are missing")
        return found


async def read_day_reports(http: httpx.AsyncClient, books: Books, days: Iterable[str]) -> Holding:
    """The day reports alone: enough to see whether two replicas agree."""
    holding = Holding(books.name)
    for day in days:
        answer = await _get(http, books, f"/reports/day/{day}", {})
        holding.reports[day] = answer.content
        holding.figures[day] = answer.json()
    return holding


async def read_books(http: httpx.AsyncClient, books: Books, days: Iterable[str]) -> Holding:
    """The day reports and every single sale."""
    days = list(days)
    holding = await read_day_reports(http, books, days)
    for day in days:
        after = ""
        while True:
            page = (await _get(http, books, "/sales", {"day": day, "after": after, "limit": PAGE})).json()
            for sale in page["sales"]:
                if sale["status"] == COUNTED:
                    holding.sales[sale["id"]] += 1
                    holding.totals[sale["id"]] = sale["total"]
                    holding.recomputed += _from_lines(sale)
            after = page.get("next") or ""
            if not after:
                break
    return holding


def disagreements(holdings: Iterable[Holding]) -> list[str]:
    """Where replicas differ from the first: digests and reports, byte for byte."""
    first, *others = holdings
    found = []
    for other in others:
        if other.digests != first.digests:
            found.append(f"{other.name} and {first.name} have different digests")
        elif other.reports != first.reports:
            found.append(f"{other.name} and {first.name} have one digest and different reports")
    return found


def _from_lines(sale: Mapping[str, Any]) -> int:
    """Pieces are whole in these baskets, so no rounding stands between the lines and the total."""
    return sum(int(line["quantity"]) * line["price"] - line["discount"] for line in sale["lines"])


async def _get(http: httpx.AsyncClient, books: Books, path: str, query: Mapping[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {books.token}"} if books.token else {}
    asked = {name: value for name, value in query.items() if value != ""}
    answer = await http.get(books.address + path, params=asked, headers=headers)
    answer.raise_for_status()
    return answer
