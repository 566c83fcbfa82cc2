"""What a product may say, in an entry of anybody's and in one that is written here; and words as a search has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.products import BARCODES_MAX, MAX_PRODUCTS, check_products, edited, favourite_place, product_of
from posline.core.words import fold
from posline.errors import BadRequest

TEA = {"sku": "TEA", "name": "Tea", "price": 25_000}
FULL = TEA | {
    "name_ur": "چائے", "barcode": "111", "barcodes": ["111", "222"], "department": "Grocery", "unit": "kg",
    "tax": "standard", "tax_rate": "18", "mrp": 30_000, "third_schedule": True, "hs_code": "0902.3000", "uom": "KG",
    "sro_schedule": "SRO 1125", "sro_serial": "4", "favourite": "2/14", "stock": "-1.5", "low_stock": "5",
    "active": False, "labels": {"shelf": "A1"},
}  # fmt: skip


def faults(fields: dict[str, Any]) -> set[str]:
    with pytest.raises(BadRequest) as raised:
        product_of(fields)
    return {error.field for error in raised.value.errors}


def test_a_product_with_all_its_fields_is_kept_as_it_is_and_may_stand_in_an_entry() -> None:
    made = product_of(FULL)
    assert made == FULL
    assert product_of(made) == made
    assert check_products([made, TEA]) is None


def test_equal_content_has_one_form() -> None:
    padded = {"price": 25_000, "name": " Tea ", "sku": "TEA", "active": True, "labels": {}, "unit": "", "barcodes": []}
    assert product_of(padded) == TEA
    assert list(product_of(padded)) == ["sku", "name", "price"]
    assert product_of(TEA | {"stock": "007.50", "low_stock": 3}) == TEA | {"stock": "7.5", "low_stock": "3"}
    assert product_of(TEA | {"barcodes": ["111", "111"]}) == TEA | {"barcode": "111"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"sku", "name", "price"}),
        (TEA | {"price": 1.5}, {"price"}),
        (TEA | {"price": True}, {"price"}),
        (TEA | {"mrp": -1, "colour": "red"}, {"mrp", "colour"}),
        (TEA | {"active": "yes", "third_schedule": 1}, {"active", "third_schedule"}),
        (TEA | {"low_stock": "-1", "stock": "1.2345"}, {"low_stock", "stock"}),
        (TEA | {"tax_rate": "lots"}, {"tax_rate"}),
        (TEA | {"favourite": "0"}, {"favourite"}),
        (TEA | {"barcodes": "111"}, {"barcodes"}),
        (TEA | {"barcodes": ["1 1", "2"]}, {"barcodes"}),
        (TEA | {"barcodes": [str(n) for n in range(BARCODES_MAX + 1)]}, {"barcodes"}),
        (TEA | {"labels": {"price": "1"}}, {"labels.price"}),
        (TEA | {"name": "half \ud800"}, {"name"}),
        (TEA | {"name_ur": "x" * 201}, {"name_ur"}),
    ],
)
def test_each_field_that_is_wrong_is_named(fields: dict[str, Any], named: set[str]) -> None:
    assert faults(fields) == named


def test_an_edit_sets_what_it_names_and_keeps_what_a_newer_version_said() -> None:
    now = FULL | {"colour": "red"}
    after = edited("TEA", now, {"price": 26_000, "favourite": None})
    assert after == {name: value for name, value in now.items() if name != "favourite"} | {"price": 26_000}
    assert edited("TEA", now, {"barcode": "333"})["barcodes"] == ["333", "222"]
    assert "barcodes" not in edited("TEA", now, {"barcodes": ["444"]})
    assert edited("TEA", now, {"barcodes": ["444"]})["barcode"] == "444"
    assert edited("SALT", None, {"name": "Salt", "price": 1}) == {"sku": "SALT", "name": "Salt", "price": 1}
    with pytest.raises(BadRequest, match="keeps its sku"):
        edited("TEA", now, {"sku": "COFFEE"})


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], [TEA] * (MAX_PRODUCTS + 1), ["TEA"], [{"sku": "", "name": "x", "price": 1}],
        [TEA | {"price": 1.0}], [TEA | {"price": -1}], [TEA | {"name_ur": 1}], [TEA | {"mrp": "1"}],
        [TEA | {"active": 1}], [TEA | {"barcodes": [1]}], [TEA | {"barcodes": ["1"] * (BARCODES_MAX + 1)}],
        [TEA | {"tax_rate": "x"}], [TEA | {"low_stock": 5}], [TEA | {"labels": {"a": 1}}],
    ],
)  # fmt: skip
def test_an_entry_with_what_cannot_be_read_is_refused(wrong: object) -> None:
    assert check_products(wrong)


def test_an_entry_may_say_more_than_this_version_knows() -> None:
    newer = TEA | {"colour": {"of": ["a", "newer", "version"]}}
    assert check_products([newer, {"sku": "X", "name": "", "price": 0}]) is None


def test_a_key_without_a_page_is_on_the_first() -> None:
    keys = ("7", "2/14", "0", "1/0", "a", "1/2/3", "")
    assert [favourite_place({"favourite": key}) for key in keys] == [(1, 7), (2, 14), None, None, None, None, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Kellogg's 1.5 kg", "kelloggs 1 5 kg"),
        ("7-Up", "7 up"),
        ("CAFÉ", "cafe"),
        ("كيك", fold("کیک")),  # an Arabic keyboard's letters
        ("۱۲", "12"),
        ("چَائے", fold("چائے")),  # a vowel sign
        ("  ", ""),
    ],
)
def test_words_are_compared_without_what_keyboards_do_differently(text: str, words: str) -> None:
    assert fold(text) == words


@given(st.text(max_size=30))
@settings(max_examples=100)
def test_words_that_were_folded_stay_as_they_are(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert "  " not in fold(text)
