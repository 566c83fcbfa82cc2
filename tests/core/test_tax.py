"""Tax classes as a shop sets them: what is wrong is named by its place, and what is sound holds all the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.tax import PAKISTAN, classes_of, read_classes

SOUND = {"name": "Standard", "rates": [{"rate": "17"}, {"from": "2023-02-14", "rate": "18"}]}


def test_a_rate_alone_is_a_class() -> None:
    classes, faults = read_classes({"vat": "7.5"})
    assert not faults
    assert (classes["vat"].mode, classes["vat"].rate("2020-01-01")) == ("inclusive", "7.5")


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_rate_of_a_day_does_not_depend_on_the_order_of_the_rates(order: list[int]) -> None:
    starts = [("2020-07-01", "16"), ("2022-07-01", "17"), ("2023-02-14", "18")]
    rates = [{"from": start, "rate": rate} for start, rate in starts]
    found = read_classes({"standard": {"rates": [rates[index] for index in order]}})[0]["standard"]
    days = ("2020-06-30", "2020-07-01", "2022-06-30", "2022-07-01", "2023-02-13", "2023-02-14", "2100-12-31")
    assert [found.rate(day) for day in days] == [None, "16", "16", "17", "17", "18", "18"]


@given(st.dates(), st.sets(st.sampled_from(["cash", "card", "raast", "account"])))
def test_an_exempt_class_has_no_rate_and_a_zero_one_has_nought(day: Any, tenders: set[str]) -> None:
    classes, _ = read_classes(PAKISTAN)
    assert classes["exempt"].rate(day.isoformat(), tenders) is None
    assert classes["zero"].rate(day.isoformat(), tenders) == "0"


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ([], "tax"),
        ("18", "tax"),
        ({f"c{number}": "1" for number in range(101)}, "tax"),
        ({"": "18"}, "tax."),
        ({"x" * 41: "18"}, "tax." + "x" * 40),
        ({"18": "18"}, "tax.18"),
        ({"a": 18}, "tax.a"),
        ({"a": "eighteen"}, "tax.a"),
        ({"a": "-1"}, "tax.a"),
        ({"a": {"rate": "18", "rates": []}}, "tax.a.rate"),
        ({"a": {"rates": [], "name": 5}}, "tax.a.name"),
        ({"a": {"rates": [], "mode": "on top"}}, "tax.a.mode"),
        ({"a": {}}, "tax.a.rates"),
        ({"a": {"rates": [{"rate": "1"}] * 101}}, "tax.a.rates"),
        ({"a": {"rates": ["18"]}}, "tax.a.rates.0"),
        ({"a": {"rates": [{"rate": 18}]}}, "tax.a.rates.0.rate"),
        ({"a": {"rates": [{}]}}, "tax.a.rates.0.rate"),
        ({"a": {"rates": [{"rate": "18", "until": "2030-01-01"}]}}, "tax.a.rates.0.until"),
        ({"a": {"rates": [{"rate": "18", "from": "14/02/2023"}]}}, "tax.a.rates.0.from"),
        ({"a": {"rates": [{"rate": "18", "from": "2023-02-30"}]}}, "tax.a.rates.0.from"),
        ({"a": {"rates": [{"rate": "18"}, {"rate": "17"}]}}, "tax.a.rates.1.from"),
        ({"a": {"rates": [{"rate": "16", "by_tender": []}]}}, "tax.a.rates.0.by_tender"),
        ({"a": {"rates": [{"rate": "16", "by_tender": {"Card": "5"}}]}}, "tax.a.rates.0.by_tender"),
        ({"a": {"rates": [{"rate": "16", "by_tender": {"card": 5}}]}}, "tax.a.rates.0.by_tender.card"),
    ],
)
def test_what_is_wrong_is_named_and_does_not_take_the_rest_with_it(setting: Any, field: str) -> None:
    classes, faults = read_classes(setting)
    assert [fault.field for fault in faults] == [field] and not classes
    if isinstance(setting, dict) and len(setting) == 1:
        classes, faults = read_classes(setting | {"standard": SOUND})
        assert set(classes) == {"standard"} and [fault.field for fault in faults] == [field]
        assert set(classes_of(setting | {"standard": SOUND}, "PKR")) == {"standard"}


def test_a_shop_in_rupees_that_has_settled_on_no_class_has_none() -> None:
    assert classes_of({}, "PKR") == {} and set(classes_of(None, "PKR")) == set(PAKISTAN)


NAMES = st.sampled_from(["rates", "rate", "from", "by_tender", "mode", "name", "standard"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["18", "printed", "2023-02-14", "x"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=12,
    )
)
def test_whatever_the_setting_holds_is_read_or_refused(setting: Any) -> None:
    classes, faults = read_classes(setting)
    assert faults or setting is None or isinstance(setting, dict)
    assert all(found.rate("2026-11-26") is None or found.rates for found in classes.values())
