"""What a product says of days that are yet to come: its price on each day follows from what was said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.products import AHEAD_MAX, DATED, ahead_of, check_products, edited, on_day, scheduled
from posline.errors import BadRequest

TEA = {"sku": "TEA", "name": "Tea", "price": 300, "tax": "standard"}
TODAY, DAYS = "2026-11-23", ["2026-12-01", "2026-12-15", "2027-01-01"]
FIELDS = st.fixed_dictionaries(
    {},
    optional={"price": st.integers(0, 5), "mrp": st.none() | st.integers(1, 3), "tax": st.sampled_from([None, "5"])},
)


@given(st.lists(st.tuples(st.sampled_from(DAYS), FIELDS), max_size=8))
def test_each_day_is_as_was_said_of_it_last(said: list[tuple[str, dict[str, Any]]]) -> None:
    product, days = dict(TEA), {day: dict(TEA) for day in (TODAY, *DAYS)}
    for start, fields in said:
        before = product
        product = scheduled(product, start, fields)
        for name, value in fields.items():  # until the next day on which it is said to change
            for day in DAYS[DAYS.index(start) :]:
                stages = {stage["from"]: stage for stage in ahead_of(before)}
                if day > start and name in stages.get(day, {}):
                    break
                days[day].pop(name, None)
                if value is not None:
                    days[day][name] = value
    for day, wanted in days.items():
        found = on_day(product, day)
        assert {name: value for name, value in found.items() if name != "ahead"} == wanted, day
        assert all(stage["from"] > day for stage in ahead_of(found))
    assert on_day(on_day(product, DAYS[0]), DAYS[2]) == on_day(product, DAYS[2]), "day by day, or all at once"
    assert check_products([product]) is None


def test_an_edit_leaves_what_is_to_come_and_may_take_it_back() -> None:
    product = scheduled(TEA, DAYS[0], {"price": 330})
    assert edited("TEA", product, {"price": 310}) == product | {"price": 310}
    assert edited("TEA", product, {"ahead": None}) == TEA
    moved = edited("TEA", product, {"ahead": [{"from": DAYS[1], "price": 350, "mrp": None}]})
    assert moved == TEA | {"ahead": [{"from": DAYS[1], "price": 350}]}
    assert scheduled(product, DAYS[0], {"price": 300}) == TEA, "as it is today: nothing changes then"


@pytest.mark.parametrize(
    ("day", "fields"),
    [("soon", {"price": 1}), ("2026-13-01", {"price": 1}), (DAYS[0], {"name": "x"}), (DAYS[0], {"price": -1}),
     (DAYS[0], {"price": None}), (DAYS[0], {"tax_rate": "x"})],
)  # fmt: skip
def test_what_cannot_be_scheduled_is_named(day: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        scheduled(TEA, day, fields)


def test_days_are_bounded() -> None:
    product: dict[str, Any] = dict(TEA)
    for n in range(AHEAD_MAX):
        product = scheduled(product, f"2027-01-{n + 1:02}", {"price": n})
    with pytest.raises(BadRequest):
        scheduled(product, "2027-02-01", {"price": 99})


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda each: st.lists(each) | st.dictionaries(
    st.sampled_from(["from", "price", "mrp", "tax", "third_schedule"]), each)))  # fmt: skip
def test_whatever_stands_there_makes_no_entry_invalid(ahead: Any) -> None:
    """An older till does not look at it, and both judge the same."""
    product = TEA | {"ahead": ahead}
    assert check_products([product]) is None
    found = on_day(product, "2030-01-01")
    assert check_products([found]) is None and set(found) <= {*TEA, *DATED, "ahead"}
