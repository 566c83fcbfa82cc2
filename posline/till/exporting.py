"""Sales as files: a row a sale line (CSV) or an object a sale (JSON lines), each counted sale once.

The order is the same on every replica: by day, then till, then number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from posline.till.sale import Sale

__all__ = ["FORMATS", "csv_lines", "jsonl_lines"]

SALE_COLUMNS = ("day", "at", "receipt", "id", "till", "label", "run", "seq", "number", "status", "by")
LINE_COLUMNS = ("line", "sku", "name", "quantity", "price", "discount", "tax", "total")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a text begins with that a spreadsheet may run
TAIL_COLUMNS = ("sale_total", "rounding", "tenders", "change")


def csv_lines(sales: Iterable[Sale]) -> Iterator[str]:
    """A header, then a row for each line of each sale. `total` is the line's; `sale_total` stands in every row of its
    sale, so add it up once a sale."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")

    def row(cells: Iterable[object]) -> str:
        writer.writerow([_inert(cell) for cell in cells])
        text = line.getvalue()
        line.seek(0)
        line.truncate()
        return text

    yield row((*SALE_COLUMNS, *LINE_COLUMNS, *TAIL_COLUMNS))
    for sale in sales:
        tenders = " ".join(f"{tender.kind}:{tender.amount}" for tender in sale.tenders)
        head = [getattr(sale, name) for name in SALE_COLUMNS]
        tail = [sale.total, sale.rounding, tenders, sale.change]
        for item in sale.lines:
            yield row([*head, *(getattr(item, name) for name in LINE_COLUMNS), *tail])


def jsonl_lines(sales: Iterable[Sale]) -> Iterator[str]:
    """A JSON object for each sale, as the API answers it."""
    for sale in sales:
        yield json.dumps(sale.to_dict(), ensure_ascii=False, separators=(",", ":")) + "\n"


FORMATS = {"csv": csv_lines, "jsonl": jsonl_lines}


def _inert(cell: object) -> object:
    """A text that a spreadsheet would run as a formula, with a mark before it that stops that."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA else cell
