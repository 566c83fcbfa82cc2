"""A till inside another program, with no server: `python -m examples.embed FOLDER`."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path

import posline


async def main(folder: Path) -> None:
    """Ring one sale. The folder is made, and a shop founded in it, if need be."""
    async with posline.open_till(folder, label="A") as till:
        id = str(uuid.uuid4())  # keep it, and repeat it if the answer does not come: the sale is recorded once
        sale = await till.sell([{"sku": "TEA", "name": "Tea", "quantity": "2", "price": 250}], id=id)
        print(f"{sale.receipt}: {sale.total} of {till.day_report(sale.day)['sales']['total']} today")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
