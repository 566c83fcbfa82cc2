"""A morning of real baskets rung with tax on: the shop's figures against a sum made here from the baskets alone."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import pytest

from posline.storage.folder import Folder
from posline.till.till import Till, open_till

DATA = Path(__file__).parents[2] / "examples" / "data" / "baskets.jsonl.gz"
BASKETS = 150
TAX = {
    "standard": {"rates": [{"rate": "17", "from": "2017-01-01"}, {"rate": "18", "from": "2023-02-14"}]},
    "on_top": {"mode": "exclusive", "rates": [{"rate": "5"}]},
    "printed": {"mode": "printed", "rates": [{"rate": "18"}]},
    "exempt": {"rates": []},
}
RATES = {"standard": Fraction(18), "on_top": Fraction(5), "printed": Fraction(18)}


def baskets() -> list[dict[str, Any]]:
    with gzip.open(DATA, "rt") as file:
        return [json.loads(line) for _, line in zip(range(BASKETS), file, strict=False)]


def class_of(sku: str) -> str:
    return sorted(TAX)[int(sku) % 4]


def mrp_of(sku: str) -> int:
    return 50 + int(sku) % 1000


async def stock_shelves(till: Till, skus: set[str]) -> None:
    products = [
        {"sku": sku, "name": f"Product {sku}", "price": 1, "tax": class_of(sku), "mrp": mrp_of(sku)}
        for sku in sorted(skus)
    ]
    for first in range(0, len(products), 200):
        await till.write("products", {"products": products[first : first + 200]}, document="catalog/1")


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def expected(by_receipt: bool) -> tuple[int, int]:
    """(total, tax) of all baskets, from their prices, quantities and discounts and the rates above."""
    total = tax = 0
    for basket in baskets():
        parts: dict[str, list[Fraction]] = defaultdict(list)
        for line in basket["lines"]:
            quantity = Fraction(str(line["quantity"]))
            cost = half_up(line["price"] * quantity) - line.get("discount", 0)
            total += cost
            name = class_of(line["sku"])
            if name == "on_top":
                parts[name].append(cost * RATES[name] / 100)
            elif name == "printed":
                parts[name].append(mrp_of(line["sku"]) * quantity * RATES[name] / (100 + RATES[name]))
            elif name == "standard":
                parts[name].append(cost * RATES[name] / (100 + RATES[name]))
        for name, exact in parts.items():
            sum_ = half_up(sum(exact, Fraction(0))) if by_receipt else sum(map(half_up, exact))
            tax += sum_
            total += sum_ if name == "on_top" else 0
    return total, tax


@pytest.mark.parametrize("by", ["line", "receipt"])
async def test_real_baskets_with_tax_add_up_to_the_minor_unit(by: str, tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        async with open_till(folder) as till:
            await till.write("setting", {"name": "tax", "value": TAX}, document="shop")
            await till.write("setting", {"name": "tax_rounding", "value": by}, document="shop")
            await stock_shelves(till, {line["sku"] for basket in baskets() for line in basket["lines"]})
            lines = 0
            for basket in baskets():
                sale = await till.sell([
                    {name: line[name] for name in ("sku", "quantity", "price", "discount") if name in line}
                    for line in basket["lines"]
                ])  # fmt: skip
                assert sale.tax == sum(line.tax for line in sale.lines)
                assert sale.total == sum(line.total for line in sale.lines) == sale.subtotal - sale.discount + sum(
                    line.tax for line in sale.lines if class_of(line.sku) == "on_top"
                )
                lines += len(sale.lines)
            sums = till.day_report()["sales"]
            total, tax = expected(by == "receipt")
            assert (sums["count"], sums["total"], sums["tax"]) == (BASKETS, total, tax)
            assert lines > 1000
