"""The real baskets of examples/data (its README.md names their source), as requests that a till understands."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
CATALOGUE = DATA / "products.csv.gz"
BUSIEST = "2017-01-22"  # the date with the most baskets


@dataclass(frozen=True, slots=True)
class Basket:
    """What one customer bought. `lines` are those of POST /api/sales, with every price; money in cents."""

    name: str
    date: str
    lines: tuple[dict[str, Any], ...]
    stated_total: int  # as the file says

    @property
    def total(self) -> int:
        """Added up from the lines."""
        return sum(line["price"] * line["quantity"] - line.get("discount", 0) for line in self.lines)


def read_baskets(date: str | None = None, path: Path = DATA / "baskets.jsonl.gz") -> list[Basket]:
    """The baskets in order of time: all, or those of one date (YYYY-MM-DD)."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    return [
        Basket(basket["basket"], basket["at"][:10], tuple(basket["lines"]), basket["total"])
        for basket in found
        if date is None or basket["at"].startswith(date)
    ]


def busiest_date(baskets: list[Basket]) -> str:
    """The date with the most baskets."""
    return Counter(basket.date for basket in baskets).most_common(1)[0][0]


def shelf_prices(path: Path = CATALOGUE) -> dict[str, int]:
    """The catalogue's price of each SKU, in cents."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return {row["sku"]: int(row["price"]) for row in csv.DictReader(file)}


def catalogue_of(baskets: Iterable[Basket], path: Path) -> Path:
    """Write the part of the catalogue that was sold in these baskets to `path`, and return it."""
    sold = {line["sku"] for basket in baskets for line in basket.lines}
    with (
        gzip.open(CATALOGUE, "rt", encoding="utf-8", newline="") as every,
        gzip.open(path, "wt", encoding="utf-8", newline="") as part,
    ):
        rows = csv.DictReader(every)
        kept = csv.DictWriter(part, rows.fieldnames or ())
        kept.writeheader()
        kept.writerows(row for row in rows if row["sku"] in sold)
    return path
