"""Catalogue files: what is taken, what is named as bad, and that a file survives the way out and back."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from posline.errors import BadRequest
from posline.till.catalogue import LINE_CHARACTERS_MAX, LINES_MAX, BadRow, Row, read_catalogue, write_catalogue

HEADER = "sku,name,price,barcode,department,tax,unit,stock,brand\n"


def read(folder: Path, content: str | bytes, name: str = "products.csv") -> tuple[list[dict], list[BadRow]]:  # type: ignore[type-arg]
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    found = [row.product if isinstance(row, Row) else row for row in read_catalogue(file)]
    return [p for p in found if isinstance(p, dict)], [b for b in found if isinstance(b, BadRow)]


def test_columns_are_taken_and_others_kept_as_labels(tmp_path: Path) -> None:
    products, bad = read(tmp_path, HEADER + 'T1,"Tea, green",250,590123,Drinks,18,kg,12.5,Best\nT2,Salt,5,,,,,,\n')
    assert bad == []
    assert products == [
        {
            "sku": "T1",
            "name": "Tea, green",
            "price": 250,
            "barcode": "590123",
            "department": "Drinks",
            "tax": "18",
            "unit": "kg",
            "stock": "12.5",
            "labels": {"brand": "Best"},
        },
        {"sku": "T2", "name": "Salt", "price": 5},
    ]


def test_bad_rows_are_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    rows = [
        b"T1,Tea,250",
        b"T2,Salt,2.50",  # 3
        b",No sku,5",  # 4
        b"T3,,5",  # 5
        b"T4,Short",  # 6
        b"T5,Long,5,6",  # 7
        b"T6,Negative,-5",  # 8
        b"T1,Tea again,260",  # 9
        b"T7,\xff\xfe,5",  # 10
        b"T8," + b"x" * 201 + b",5",  # 11
        b"T9,Huge,99999999999999999",  # 12
        b"",
        b"T10,Last,7",
    ]
    products, bad = read(tmp_path, b"sku,name,price\n" + b"\n".join(rows))
    assert [p["sku"] for p in products] == ["T1", "T10"]
    assert [b.line for b in bad] == list(range(3, 13))
    assert "T2" not in str(products) and "2.50" in bad[0].detail and "line 2" in bad[6].detail


def test_a_quote_that_is_never_closed_is_one_bad_row(tmp_path: Path) -> None:
    products, bad = read(tmp_path, 'sku,name,price\nT1,Tea,1\nT2,"Salt,2\nT3,Rice,3\n')
    assert [p["sku"] for p in products] == ["T1"] and len(bad) == 1 and bad[0].line == 3


def test_gz_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    packed = gzip.compress("\ufeffsku,name,price\nT1,چائے,250\n".encode())
    products, bad = read(tmp_path, packed, "products.csv.gz")
    assert (products, bad) == ([{"sku": "T1", "name": "چائے", "price": 250}], [])


CUT_OFF = gzip.compress(b"sku", mtime=0)[:12]
DAMAGED = CUT_OFF[:10] + b"\xff" * 20
WIDE = b"sku,name,price," + b",".join(b"c%d" % n for n in range(1000)) + b"\nT1,Tea,5" + b"," * 1000 + b"\n"


@pytest.mark.parametrize("content", [b"", b"name,price\nTea,5\n", b"sku,name,price,sku\n", WIDE, CUT_OFF, DAMAGED])
def test_a_file_that_is_no_catalogue_is_refused_as_a_whole(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadRequest):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("row", "reason"), [(b"a" * 3 * LINE_CHARACTERS_MAX, "line 2: is far too long"), (b"\n" * LINES_MAX, "split it")]
)
def test_a_small_file_that_unpacks_to_far_too_much_is_left_off_there(tmp_path: Path, row: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        read(tmp_path, gzip.compress(b"sku,name,price\n" + row + b"\nTEA,Tea,250\n"), "products.csv.gz")


def test_what_is_exported_reads_back_the_same(tmp_path: Path) -> None:
    text = HEADER + 'T1,"Tea ""green""\nleaf",250,590123,Drinks,18,kg,12.5,Best\nT2,Salt,5,,,,,,\n'
    products, _ = read(tmp_path, text)
    again, bad = read(tmp_path, "".join(write_catalogue(products)))
    assert (again, bad) == (products, [])
