"""A product of the catalogue: what anybody may have written of one, and the one form in which a till writes it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.products import (
    BARCODES_MAX,
    BYTES_MAX,
    FIELDS,
    MAX_PRODUCTS,
    barcodes_of,
    check_products,
    edited,
    favourite_place,
    is_active,
    product_of,
    spellings,
)
from posline.errors import BadRequest

TEA = {"sku": "TEA", "name": "Tea", "price": 25_000}
FULL = TEA | {
    "name_ur": "چائے", "barcode": "111", "barcodes": ["111", "222"], "department": "Grocery", "unit": "box",
    "tax": "standard", "tax_rate": "18", "mrp": 26_000, "third_schedule": True, "hs_code": "0902.3000", "uom": "KG",
    "sro_schedule": "3", "sro_serial": "7", "favourite": "2/14", "stock": "-1.5", "low_stock": "5", "active": False,
    "labels": {"shelf": "A"},
}  # fmt: skip


def faults(fields: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BadRequest) as raised:
        product_of(fields)
    return {fault.field: fault.detail for fault in raised.value.errors}


# -- an entry of anybody's ---------------------------------------------------------------------------------------------


def test_an_entry_may_say_every_field_and_what_a_newer_version_knows() -> None:
    assert tuple(FULL) == FIELDS, "every field is tried here"
    assert check_products([TEA, FULL, TEA | {"colour": ["red"]}, TEA | {"name": ""}]) is None
    assert check_products([TEA] * MAX_PRODUCTS) is None


@pytest.mark.parametrize(
    ("products", "reason"),
    [
        (None, "1 to"), ({}, "1 to"), ([], "1 to"), ([TEA] * (MAX_PRODUCTS + 1), "1 to"),
        (["TEA"], "sku"), ([{"sku": "", "name": "x", "price": 1}], "sku"), ([{"sku": "x", "price": 1}], "name"),
        ([TEA | {"price": 1.0}], "price"), ([TEA | {"price": True}], "price"), ([TEA | {"price": -1}], "price"),
        ([TEA | {"price": 10**16}], "price"), ([TEA | {"mrp": "5"}], "mrp"), ([TEA | {"active": 1}], "active"),
        ([TEA | {"third_schedule": None}], "third_schedule"), ([TEA | {"unit": 5}], "unit"),
        ([TEA | {"name_ur": "x" * 201}], "name_ur"), ([TEA | {"barcodes": "111"}], "barcodes"),
        ([TEA | {"barcodes": [""]}], "barcodes"), ([TEA | {"barcodes": ["1"] * (BARCODES_MAX + 1)}], "barcodes"),
        ([TEA | {"tax_rate": 18}], "tax_rate"), ([TEA | {"tax_rate": "-1"}], "tax_rate"),
        ([TEA | {"low_stock": "1.0000"}], "low_stock"), ([TEA | {"low_stock": "٥"}], "low_stock"),
        ([TEA | {"labels": []}], "labels"), ([TEA | {"labels": {"shelf": 1}}], "labels"),
        ([TEA, TEA | {"price": None}], "price"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_read_says_why(products: object, reason: str) -> None:
    wrong = check_products(products)
    assert wrong is not None and reason in wrong


# -- one that is written here ------------------------------------------------------------------------------------------


def test_equal_content_has_one_form() -> None:
    loose = dict(reversed(FULL.items())) | {
        "name": "  Tea ", "tax_rate": Decimal("18"), "stock": Decimal("-1.500"), "low_stock": 5,
        "barcodes": [" 222", "111", ""], "labels": {" shelf ": " A ", "empty": " "},
    }  # fmt: skip
    made = product_of(loose)
    assert made == FULL and tuple(made) == FIELDS
    assert product_of(TEA | {"stock": "007.50", "low_stock": 3}) == TEA | {"stock": "7.5", "low_stock": "3"}
    bare = TEA | {"third_schedule": False, "active": True, "unit": " ", "stock": "", "tax_rate": "", "barcodes": ["9"]}
    assert product_of(bare) == TEA | {"barcode": "9"}, "what is at its default is left out, and one barcode is no list"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"), ({"sku": " "}, "sku"), ({"name": 5}, "name"), ({"name": "x" * 201}, "name"),
        ({"name": "half \ud83d"}, "name"), ({"price": 2.5}, "price"), ({"price": True}, "price"), ({"mrp": -1}, "mrp"),
        ({"stock": "much"}, "stock"), ({"stock": "0.0001"}, "stock"), ({"stock": True}, "stock"),
        ({"low_stock": "-1"}, "low_stock"), ({"tax_rate": "VAT"}, "tax_rate"), ({"tax_rate": True}, "tax_rate"),
        ({"active": "no"}, "active"), ({"favourite": "0"}, "favourite"), ({"favourite": "1/1000"}, "favourite"),
        ({"barcodes": "111"}, "barcodes"), ({"barcodes": [1]}, "barcodes.0"), ({"barcodes": ["1 2", "3"]}, "barcodes"),
        ({"barcodes": [str(n) for n in range(BARCODES_MAX + 1)]}, "barcodes"), ({"labels": ["x"]}, "labels"),
        ({"labels": {str(n): "x" for n in range(51)}}, "labels"), ({"labels": {"price": "5"}}, "labels.price"),
        ({"labels": {"shelf": 5}}, "labels.shelf"), ({"labels": {f"{n}": "چ" * 200 for n in range(50)} | {
            f"{n}": "😀" * 200 for n in range(45)}}, "labels"),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named(change: dict[str, Any], field: str) -> None:
    assert set(faults(TEA | change)) == {field}


def test_all_wrong_fields_are_named_at_once() -> None:
    assert set(faults({"mrp": -1, "unit": 5})) == {"sku", "name", "price", "mrp", "unit"}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.one_of(st.integers(-99, 99), st.decimals(-99, 99, places=3), st.sampled_from(["", "0", "-0", "07.50"]))
loose_products = st.fixed_dictionaries(
    {"sku": texts, "name": texts, "price": st.integers(0, 10**9)},
    optional=dict.fromkeys(("name_ur", "barcode", "department", "unit", "tax", "hs_code"), texts)
    | {
        "barcodes": st.lists(texts, max_size=4),
        "mrp": st.integers(0, 10**9),
        "stock": numbers,
        "low_stock": numbers,
        "tax_rate": st.sampled_from(["", "0", "18", "7.5"]),
        "third_schedule": st.booleans(),
        "active": st.booleans(),
        "favourite": st.sampled_from(["", "1", "2/3"]),
        "labels": st.dictionaries(texts, texts, max_size=3),
    },
)


@given(loose_products)
@settings(max_examples=100)
def test_what_is_made_is_readable_by_all_and_stays_as_it_is(fields: dict[str, Any]) -> None:
    try:
        made = product_of(fields)
    except BadRequest:
        return
    assert check_products([made]) is None
    assert product_of(made) == made
    assert edited(made["sku"], made, {}) == made


# -- an edit -----------------------------------------------------------------------------------------------------------


def test_an_edit_changes_what_it_names_and_null_takes_away() -> None:
    assert edited("TEA", FULL, {"price": 1}) == FULL | {"price": 1}
    assert edited("TEA", FULL, dict.fromkeys(FIELDS[3:])) == TEA
    assert edited("NEW", None, {"name": "New", "price": 5}) == {"sku": "NEW", "name": "New", "price": 5}
    with pytest.raises(BadRequest, match="name"):
        edited("TEA", TEA, {"name": None})


def test_an_edit_keeps_what_a_newer_version_said() -> None:
    assert edited("TEA", TEA | {"colour": ["red"]}, {"price": 1}) == TEA | {"price": 1, "colour": ["red"]}


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"barcode": "9"}, ["9", "222"]), ({"barcode": "222"}, ["222"]), ({"barcode": None}, ["222"]),
        ({"barcodes": ["7"]}, ["7"]), ({"barcodes": None}, []), ({"barcode": "9", "barcodes": ["8"]}, ["9", "8"]),
        ({}, ["111", "222"]),
    ],
)  # fmt: skip
def test_one_barcode_takes_the_place_of_the_first_and_a_list_that_of_all(
    change: dict[str, Any], codes: list[str]
) -> None:
    assert barcodes_of(edited("TEA", FULL, change)) == codes


def test_a_product_keeps_its_sku() -> None:
    assert edited("TEA", TEA, {"sku": "TEA"}) == TEA
    for sku, fields in (("TEA", {"sku": "MILK"}), (" TEA", {}), ("TEA\n", {"name": "x", "price": 1}), ("", {})):
        with pytest.raises(BadRequest, match="sku"):
            edited(sku, TEA, fields)


# -- reading one -------------------------------------------------------------------------------------------------------


def test_what_is_read_of_a_product_that_says_anything() -> None:
    assert barcodes_of({"barcode": 5, "barcodes": ["2", 3, "", "2"]}) == ["2"]
    assert (is_active({}), is_active({"active": False}), is_active({"active": None})) == (True, False, True)
    places = {text: favourite_place({"favourite": text}) for text in ("7", "2/14", "0", "1/0", "1/2/3", "x", "")}
    assert places == {"7": (1, 7), "2/14": (2, 14), "0": None, "1/0": None, "1/2/3": None, "x": None, "": None}
    assert favourite_place({"favourite": 7}) is None


def test_a_code_of_twelve_digits_is_one_of_thirteen_too() -> None:
    assert spellings("036000291452") == ("036000291452", "0036000291452")
    assert spellings("0036000291452") == ("0036000291452", "036000291452")
    assert spellings("8964000100019") == ("8964000100019",) and spellings("٠" * 12) == ("٠" * 12,)


def test_a_product_that_is_written_fits_an_entry_with_room_to_spare() -> None:
    labels = {f"{n:03}": "x" * 200 for n in range(50)}
    assert product_of(TEA | {"labels": labels})["labels"] == labels
    assert BYTES_MAX < 40_000, "which is what an import puts into one entry"
