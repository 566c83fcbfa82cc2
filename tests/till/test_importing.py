"""Catalogue files and the shop: what a file says nothing about stays, and no file mixes with another."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.products import FIELDS, product_of
from posline.errors import BadRequest
from posline.till.catalogue import Row, read_catalogue, write_catalogue
from posline.till.commands import COMMANDS
from posline.till.editing import save_product
from posline.till.till import Till, open_till

ROWS = 5_000
ROOM = 12 << 20  # bytes; twenty thousand rows may take no more than five thousand do, but for their keys
TEA = {
    "name": "Tea", "price": 25_000, "name_ur": "چائے", "department": "Hot", "favourite": "1",
    "barcodes": ["111", "222"], "labels": {"shelf": "A", "brand": "T"},
}  # fmt: skip


async def imported(till: Till, folder: Path, content: str, **more: Any) -> dict[str, Any]:
    file = folder / "in.csv"
    file.write_text(content)
    return dict(await COMMANDS["catalogue_import"](till, {"file": str(file), **more}))


async def exported(till: Till) -> str:
    lines = await COMMANDS["catalogue_export"](till, {})
    return "".join([line async for line in lines.lines])


async def test_what_a_file_has_no_column_for_stays_and_an_empty_cell_takes_away(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as till:
        tea = await save_product(till, "TEA", TEA)
        newer = tea | {"colour": "red"}  # of a version that knows more
        await till.write("products", {"products": [newer]}, document="catalog/1")

        async def becomes(content: str) -> dict[str, Any]:
            assert (await imported(till, tmp_path, content))["bad_count"] == 0
            assert (await imported(till, tmp_path, content))["written"] == 0, "twice is once"
            return dict(till.reports.product("TEA") or {})

        assert await becomes("sku,name,price\nTEA,Tea,26000\n") == newer | {"price": 26_000}
        assert await becomes("sku,name,price,unit\nTEA,Tea,25000,box\n") == newer | {"unit": "box"}
        gone = {name: value for name, value in newer.items() if name != "department"}
        assert await becomes("sku,name,price,unit,department\nTEA,Tea,25000,,\n") == gone
        shelved = await becomes("sku,name,price,shelf\nTEA,Tea,25000,B\n")
        assert shelved["labels"] == {"shelf": "B", "brand": "T"}
        assert (await becomes("sku,name,price,shelf,brand\nTEA,Tea,25000,,X\n"))["labels"] == {"brand": "X"}
        for column, cell, codes in (
            ("barcode", "999", ["999", "222"]), ("barcode", "", ["999", "222"]), ("barcodes", "5 6", ["5", "6"]),
            ("barcode,barcodes", "7,8", ["7", "8"]), ("barcodes", "9", "9"), ("barcode", "", None),
        ):  # fmt: skip
            now = await becomes(f"sku,name,price,{column}\nTEA,Tea,25000,{cell}\n")
            assert now.get("barcodes", now.get("barcode")) == codes, (column, cell)


async def test_a_row_too_large_for_any_entry_is_a_bad_row_and_stops_nothing(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as till:
        names = [f"label {n}" for n in range(50)]
        head = ",".join(["sku", "name", "price", *names])
        large = ",".join(["1", "Large", "1", *["😀" * 200] * 50])
        most = ",".join(["2", "Most", "1", *["x" * 200] * 50])
        small = ",".join(["3", "Small", "1", *[""] * 50])
        answer = await imported(till, tmp_path, f"{head}\n{large}\n{most}\n{small}\n")
        assert (answer["products"], [row["line"] for row in answer["bad"]]) == (2, [2])
        assert "bytes" in answer["bad"][0]["detail"]
        assert (till.reports.product("1"), till.product("3").name) == (None, "Small")  # type: ignore[union-attr]
        # and one that becomes so by what stands there already
        other = ",".join(["sku", "name", "price", "more"])
        labels = dict.fromkeys(names, "چ" * 200)
        with pytest.raises(BadRequest, match="labels"):
            await save_product(till, "3", {"labels": labels | {"more": "x"}})
        await save_product(till, "3", {"labels": labels})
        answer = await imported(till, tmp_path, f"{other}\n3,Small,1,x\n4,Next,1,y\n")
        assert [row["line"] for row in answer["bad"]] == [2] and till.reports.product("4") is not None


async def test_one_barcode_in_two_spellings_is_named(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as till:
        rows = "1,Tea,1,036000291452\n2,Salt,1,0036000291452\n3,Rice,1,036000291453\n"
        answer = await imported(till, tmp_path, f"sku,name,price,barcode\n{rows}")
        assert [(row["line"], "1's barcode" in row["detail"]) for row in answer["warnings"]] == [(3, True)]


async def test_two_files_that_replace_the_catalogue_at_once_are_not_mixed(tmp_path: Path) -> None:
    files = {}
    for name in "xy":
        files[name] = tmp_path / f"{name}.csv.gz"
        rows = "".join(f"{name}{n},Thing,1\n" for n in range(900))
        files[name].write_bytes(gzip.compress(f"sku,name,price\n{rows}".encode()))
    async with open_till(tmp_path / "a") as till:
        await asyncio.gather(
            *(COMMANDS["catalogue_import"](till, {"file": str(file), "replace": True}) for file in files.values())
        )
        skus = [product["sku"] for product in till.reports.catalog.listed(limit=5000)]
        assert len(skus) == 900 and {sku[0] for sku in skus} in ({"x"}, {"y"})


# -- out and back ------------------------------------------------------------------------------------------------------

cells = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("=+-@'\"\t\r\n,|；＝ 1aA\ufeff", max_size=6),
)
TEXTS = ("name_ur", "department", "unit", "tax", "hs_code", "uom", "sro_schedule", "sro_serial", "barcode")
fields = st.fixed_dictionaries(
    {"sku": cells, "name": cells, "price": st.integers(0, 10**12)},
    optional=dict.fromkeys(TEXTS, cells)
    | {
        "barcodes": st.lists(cells, max_size=3), "mrp": st.integers(0, 10**12), "active": st.booleans(),
        "third_schedule": st.booleans(), "tax_rate": st.sampled_from(["0", "18", "7.5"]),
        "favourite": st.sampled_from(["7", "2/14"]), "stock": st.integers(-99, 99), "low_stock": st.integers(0, 99),
        "labels": st.dictionaries(cells, cells, max_size=3),
    },
)  # fmt: skip


@given(st.lists(fields, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_whatever_a_product_says_comes_back_and_no_spreadsheet_runs_it(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[dict[str, Any]]
) -> None:
    products: dict[str, dict[str, Any]] = {}
    for one in drawn:
        try:
            made = product_of(one)
        except BadRequest:
            continue
        products[made["sku"]] = made
    text = "".join(write_catalogue(products.values()))
    for row in csv.reader(io.StringIO(text, newline=""), strict=True):
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "＝")), cell
            assert not cell.startswith("-") or cell[1:].replace(".", "", 1).isdecimal(), cell
    file = tmp_path_factory.mktemp("csv") / "out.csv"
    file.write_text(text, encoding="utf-8", newline="")
    read = list(read_catalogue(file))
    assert [row.product if isinstance(row, Row) else row for row in read] == list(products.values())


async def test_every_field_comes_back_through_a_shop(tmp_path: Path) -> None:
    full = TEA | {
        "unit": "box", "tax": "standard", "tax_rate": "5", "mrp": 26_000, "third_schedule": True, "hs_code": "0902",
        "uom": "KG", "sro_schedule": "3", "sro_serial": "7", "stock": "4", "low_stock": "2", "active": False,
        "labels": {"=1+1": "=2", "-x": "'", "\ufefff": "a\nb"}, "barcode": "111",
    }  # fmt: skip
    assert set(full) | {"sku"} == set(FIELDS)
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b:
        await save_product(a, "-1+1", full)
        await save_product(a, "-7", {"name": "@home", "price": 1})
        text = await exported(a)
        assert (await imported(b, tmp_path, text))["products"] == 2
        for sku in ("-1+1", "-7"):
            assert b.reports.product(sku) == a.reports.product(sku) is not None
        assert await exported(b) == text


async def test_a_large_file_takes_no_more_memory_than_its_keys(tmp_path: Path) -> None:
    rows = "".join(f"{n:05},Thing number {n} {'x' * 100},{n},{n:013},Department {n % 9}\n" for n in range(ROWS))
    async with open_till(tmp_path / "a") as till:
        await imported(till, tmp_path, "sku,name,price\n0,First,1\n")  # what is loaded once, is
        tracemalloc.start()
        try:
            answer = await imported(till, tmp_path, f"sku,name,price,barcode,department\n{rows}")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (answer["written"], answer["bad_count"], answer["warning_count"]) == (ROWS, 0, 0)
        assert peak < ROOM, f"{peak / ROWS:.0f} bytes a row"


async def test_a_carriage_return_ends_no_line_of_any_export(tmp_path: Path) -> None:
    """Readers of CSV end a line at one, so what follows it would be a cell of its own, and run."""
    async with open_till(tmp_path / "a") as till:
        await save_product(till, "TEA", {"name": "Tea\r=1+1", "price": 100})
        await till.sell([{"sku": "TEA", "quantity": 1}])
        sales = await COMMANDS["export_sales"](till, {"format": "csv"})
        for text in (await exported(till), "".join([line async for line in sales.lines])):
            first, second = csv.reader(io.StringIO(text, newline=""), strict=True)
            assert len(first) == len(second) and "Tea\r=1+1" in second
