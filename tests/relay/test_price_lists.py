"""What lists come to in a shop: of each field the most specific list decides, from the day on from which it speaks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.products import on_day, product_of
from posline.errors import BadRequest
from relay.price_lists import ALL, composed, group_list, item_by, kind_of, merged, shop_list

TODAY, LATER, LAST = "2026-11-23", "2026-12-01", "2027-01-01"
TEA = {"sku": "TEA", "name": "Tea", "price": 300, "department": "Hot"}
LISTS = (ALL, group_list("Lahore"), shop_list("s"))


def said(*items: dict[str, Any]) -> Any:
    return composed("TEA", list(zip(LISTS, items, strict=False)))


def test_the_most_specific_list_decides_field_by_field() -> None:
    found = merged(said(TEA, {"sku": "TEA", "price": 310}, {"sku": "TEA", "tax": "reduced"}), None, None, {}, TODAY)
    assert found.product == TEA | {"price": 310, "tax": "reduced"}
    assert merged(composed("X", [(LISTS[2], {"sku": "X", "price": 1})]), None, None, {}, TODAY).product is None


def test_a_list_that_speaks_from_a_day_on_leaves_what_is_before_to_the_others() -> None:
    everywhere = TEA | {"ahead": [{"from": LATER, "price": 330}, {"from": LAST, "price": 350}]}
    here = {"sku": "TEA", "ahead": [{"from": "2026-12-15", "price": 290}]}
    product = merged(said(everywhere, {}, here), None, None, {}, TODAY).product
    assert product is not None
    prices = [on_day(product, day)["price"] for day in (TODAY, LATER, "2026-12-15", LAST)]
    assert prices == [300, 330, 290, 290], "once the shop's own list speaks, it decides"
    fixed = merged(said(everywhere, {"sku": "TEA", "price": 280}), None, None, {}, TODAY).product
    assert fixed == TEA | {"price": 280}


def test_what_no_list_says_anything_of_is_the_shops_own() -> None:
    shop = product_of({"sku": "TEA", "name": "Chai", "price": 250, "favourite": "3", "barcodes": ["1", "2"]})
    found = merged(said({"sku": "TEA", "name": "Tea", "price": 300, "barcode": "9"}), shop, None, {}, TODAY)
    assert found.product == {"sku": "TEA", "name": "Tea", "price": 300, "barcode": "9", "barcodes": ["9", "2"],
                             "favourite": "3"}  # fmt: skip
    again = merged(said({"sku": "TEA", "name": "Tea", "price": 300, "barcode": "9"}), found.product, None, {}, TODAY)
    assert again.product == found.product and not again.differences
    without = merged(said(TEA | {"favourite": None}), found.product, None, {}, TODAY)
    assert without.product is not None and "favourite" not in without.product


def test_what_a_manager_changed_since_stays_only_where_the_list_lets_it() -> None:
    shop = TEA | {"price": 270}
    for keeps, price, kept in ({ALL: True}, 270, True), ({ALL: False}, 320, False):
        found = merged(said(TEA | {"price": 320}), shop, TEA, keeps, TODAY)
        assert found.product is not None and found.product["price"] == price
        assert [(d.field, d.office, d.shop, d.kept) for d in found.differences] == [("price", 320, 270, kept)]
    first = merged(said(TEA | {"price": 320}), shop, None, {ALL: True}, TODAY)
    assert first.product is not None and first.product["price"] == 320, "nothing was sent yet that could differ"
    assert merged(said(TEA | {"price": 320}), TEA, TEA, {ALL: True}, TODAY).product == TEA | {"price": 320}


def test_items_are_edited_at_once_and_from_a_day_on() -> None:
    item = item_by("TEA", None, {"name": " Tea ", "price": 300, "third_schedule": False}, "", least=True)
    assert item == {"sku": "TEA", "name": "Tea", "price": 300, "third_schedule": False}
    item = item_by("TEA", item, {"mrp": 330}, "", least=True)
    assert item_by("TEA", item, {"mrp": None, "price": None}, "", least=True)["mrp"] is None
    own = item_by("TEA", {"sku": "TEA", "price": 5, "tax": "5"}, {"price": None}, "", least=False)
    assert own == {"sku": "TEA", "tax": "5"}
    later = item_by("TEA", item, {"price": 310}, LATER, least=True)
    assert later == item | {"ahead": [{"from": LATER, "price": 310}]}
    assert item_by("TEA", later, {"price": 300}, LATER, least=True) == item, "withdrawn"
    assert item_by("TEA", None, {"price": 0}, LATER, least=False)["ahead"] == [{"from": LATER, "price": 0}]
    for fields, start in (({"price": -1}, ""), ({"name": "x"}, LATER), ({"price": 1}, "soon"), ({"stock": "1"}, "")):
        with pytest.raises(BadRequest):
            item_by("TEA", TEA, fields, start, least=True)
    assert [kind_of(name) for name in LISTS] == [("all", ""), ("group", "Lahore"), ("shop", "s")]
    with pytest.raises(BadRequest):
        kind_of("group:")


def test_barcodes_of_a_list_are_cleared_and_the_first_of_several_is_set_alone() -> None:
    one, several = TEA | {"barcode": "11"}, TEA | {"barcode": "11", "barcodes": ["11", "22"]}

    def codes(held: dict[str, Any], least: bool, **fields: Any) -> tuple[Any, Any]:
        item = item_by("TEA", held, fields, "", least=least)
        return item.get("barcode"), item.get("barcodes")

    for least in (True, False):
        assert codes(one, least, barcode=None) == codes(one, least, barcodes=None) == (None, None)
        assert codes(several, least, barcode=None, barcodes=None) == (None, None)
        assert codes(several, least, barcode=None) == ("11", ["11", "22"]), "a file without the column barcodes"
        assert codes(several, least, barcode="33") == ("33", ["33", "22"])
        assert codes(several, least, barcode="22", barcodes=["22"])[0] == "22"
    gone = said(item_by("TEA", several, {"barcode": None, "barcodes": None}, "", least=True))
    assert merged(gone, several, several, {}, TODAY).product == TEA


DAYS = st.sampled_from([TODAY, LATER, "2026-12-15", LAST])
STAGE = st.fixed_dictionaries({"from": DAYS}, optional={"price": st.integers(0, 9), "mrp": st.none() | st.just(7)})
ITEM = st.fixed_dictionaries(
    {"sku": st.just("TEA"), "ahead": st.lists(STAGE, max_size=3, unique_by=lambda stage: stage["from"])},
    optional={"name": st.just("Tea"), "price": st.integers(0, 9), "mrp": st.just(8), "tax": st.sampled_from("59")},
)


@given(st.lists(ITEM, min_size=1, max_size=3), ITEM)
def test_publishing_twice_writes_nothing_and_each_day_is_as_the_lists_say(
    items: list[dict[str, Any]], shop: dict[str, Any]
) -> None:
    now = product_of({"name": "Own", "price": 4} | {n: v for n, v in shop.items() if n != "ahead"})
    office = said(*items)
    product = merged(office, now, None, {}, TODAY).product
    assert product is not None
    assert merged(office, product, product, {}, TODAY).product == product
    for day in (TODAY, LATER, "2026-12-15", LAST):
        for name, times in office.said.items():
            begun = [value for at, value in times if at <= day]
            if begun:
                assert on_day(product, day).get(name) == begun[-1], (name, day)
        assert merged(office, product, product, {}, day).product == on_day(product, day), "and nothing at a day's turn"
