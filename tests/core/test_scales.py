"""Labels of scales: read as the shop's patterns say, and never a wrong weight from a misread one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.money import MAX_MONEY, line_total
from posline.core.scales import (
    ScaleLabel,
    ean_check_digit,
    priced_line,
    read_label,
    read_patterns,
    value_check_digit,
)

USUAL = read_patterns(None)[0]


def label(digits: str, *patterns: tuple[str, str]) -> ScaleLabel | None:
    """The label that 12 digits and their check digit make."""
    read, faults = read_patterns([{"pattern": pattern, "value": value} for pattern, value in patterns])
    assert not faults
    return read_label(f"{digits}{ean_check_digit(digits)}", read or USUAL)


def test_the_two_layouts_that_scales_come_with() -> None:
    assert read_label("2112345015002", USUAL) == ScaleLabel("12345", ("12345", "2112345000008"), quantity=1500)
    assert label("230004212550") == ScaleLabel("00042", ("00042", "42", "2300042000005"), amount=12_550)


def test_a_makers_barcode_and_a_misread_one_are_no_label() -> None:
    assert read_label("4006381333931", USUAL) is None
    assert read_label("2212345015001", USUAL) is None  # no pattern begins with 22
    for place in range(13):
        digits = list("2112345015002")
        digits[place] = str((int(digits[place]) + 1) % 10)
        assert read_label("".join(digits), USUAL) is None
    for text in ("", "21", "2112345015002 ", "21123450150021", "٢١١٢٣٤٥٠١٥٠٠٢", "2112345O15002"):
        assert read_label(text, USUAL) is None


def test_a_label_without_a_value_names_its_item() -> None:
    assert label("211234500000") == ScaleLabel("12345", ("12345", "2112345000008"))


def test_a_scanner_may_leave_out_the_first_nought() -> None:
    patterns = read_patterns([{"pattern": "02.....{NNNDD}", "value": "price"}])[0]
    digits = "0212345" + "01999"
    found = read_label(f"{digits[1:]}{ean_check_digit(digits)}", patterns)
    assert found is not None and (found.item, found.amount) == ("12345", 1999)


@pytest.mark.parametrize(
    ("minor_digits", "pattern", "amount"),
    [
        (2, "23.....{NNNDD}", 12_345),
        (2, "23.....{NNNNN}", 1_234_500),
        (0, "23.....{NNNNN}", 12_345),
        (0, "23.....{NNNDD}", 123),
    ],
)
def test_a_price_is_in_the_currencys_minor_units(minor_digits: int, pattern: str, amount: int) -> None:
    patterns = read_patterns([{"pattern": pattern, "value": "price"}])[0]
    digits = "230004212345"
    found = read_label(f"{digits}{ean_check_digit(digits)}", patterns, minor_digits=minor_digits)
    assert found is not None and found.amount == amount


def test_pieces_and_digits_that_say_nothing() -> None:
    found = label("257771240012", ("25....**{NNNN}", "pieces"))
    assert found is not None and (found.item, found.quantity) == ("7771", 12_000)


@pytest.mark.parametrize(("value", "digit"), [("2875", 9), ("14685", 6), ("0000", 0), ("00000", 0)])
def test_the_check_digit_of_a_price_as_in_gs1s_own_examples(value: str, digit: int) -> None:
    assert value_check_digit(value) == digit


@given(st.integers(0, 99_999), st.sampled_from([4, 5]))
def test_the_check_digit_of_a_value_by_gs1s_rules_in_words(number: int, length: int) -> None:
    """2-: twice the digit, its tens taken from its units; 3: three times; 5+, 5-: five times, tens added or taken."""

    def weighed(rule: str, digit: str) -> int:
        tens, units = divmod(int(rule[0]) * int(digit), 10)
        return (units + {"+": tens, "-": -tens}.get(rule[1:], 0)) % 10

    value = f"{number:05}"[-length:]
    if length == 4:
        expected = 3 * sum(weighed(*pair) for pair in zip(("2-", "2-", "3", "5-"), value, strict=True)) % 10
        assert value_check_digit(value) == expected
    else:
        sum_ = sum(weighed(*pair) for pair in zip(("5+", "2-", "5-", "5+", "2-"), value, strict=True))
        assert weighed("5-", str(value_check_digit(value))) == -sum_ % 10


def test_there_is_no_check_digit_for_another_length() -> None:
    with pytest.raises(ValueError, match="3 digits"):
        value_check_digit("123")


def test_a_price_that_its_own_check_digit_gives_the_lie_is_no_label() -> None:
    pattern = ("20....C{NNNDD}", "price")
    right = label("201234" + "6" + "14685", pattern)
    assert right is not None and (right.item, right.amount) == ("1234", 14_685)
    assert right.codes == ("1234", f"201234000000{ean_check_digit('201234000000')}")
    for digit in "012345789":
        assert label(f"201234{digit}14685", pattern) is None


@given(st.integers(0, 99_999), st.integers(1, 99_999))
def test_what_a_scale_prints_is_read_back(item: int, grams: int) -> None:
    found = label(f"21{item:05}{grams:05}")
    assert found is not None and (found.item, found.quantity, found.amount) == (f"{item:05}", grams, None)


def test_the_first_pattern_that_fits_wins() -> None:
    patterns = (("2112...{NNNDD}", "price"), ("21.....{NNDDD}", "weight"))
    first, second = label("211234501500", patterns[0], patterns[1]), label("211334501500", patterns[0], patterns[1])
    assert first is not None and (first.item, first.amount) == ("345", 1500)
    assert second is not None and second.quantity == 1500


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ({}, "scales"),
        ("21.....{NNDDD}", "scales"),
        ([{"pattern": "21.....{NNDDD}", "value": "weight"}] * 31, "scales"),
        (["21.....{NNDDD}"], "scales.0"),
        ([{"pattern": "21.....{NNDDD}", "value": "length"}], "scales.0.value"),
        ([{"pattern": "21.....{NNDDD}"}], "scales.0.value"),
        ([{"pattern": "21.....{NNDDD}", "value": "weight", "unit": "g"}], "scales.0.unit"),
        ([{"pattern": "21.....{NNDDD}", "value": "weight", "note": 5}], "scales.0.note"),
        *(
            ([{"pattern": pattern, "value": "price"}], "scales.0.pattern")
            for pattern in (
                None, "", "21.....NNDDD", "21....{NNDDD}", "21......{NNDDD}", "21.....{DDDNN}", "21{NNNNNNNNNN}",
                "21.........{}.", "51.....{NNDDD}", ".......{NNDDD}", "20...C.C{NNDD}", "20....C{NNNN}x",
                "20....C{NNN}*C", "21....{NDDDDD}", "21.{NN}..{NNDDD}", "20...C{NNNNNN}",
            )
        ),
    ],
)  # fmt: skip
def test_a_wrong_pattern_is_named(setting: Any, field: str) -> None:
    patterns, faults = read_patterns(setting)
    assert {fault.field for fault in faults} == {field} and not patterns


def test_one_wrong_pattern_does_not_take_the_others_with_it() -> None:
    sound = {"pattern": "21.....{NNDDD}", "value": "weight"}
    patterns, faults = read_patterns([{"pattern": "x", "value": "price"}, sound])
    assert len(patterns) == len(faults) == 1
    assert read_patterns([]) == ([], [])


# -- the line of a label with a price --------------------------------------------------------------


def test_a_price_label_becomes_what_was_weighed() -> None:
    assert priced_line(12_550, 25_000) == (502, 25_000, 0)  # 0.502 kg at 250.00
    assert priced_line(12_549, 25_000) == (501, 25_048, 0)  # nearly 0.502 kg: it may not cost more
    assert priced_line(100, 1_700) == (59, 1_700, 0)  # 0.059 kg costs 100.3, and that is 100


@settings(max_examples=300)
@given(st.integers(1, 9_999_999), st.integers(0, 500_000))
def test_the_customer_pays_what_the_label_says(amount: int, price: int) -> None:
    quantity, asked, discount = priced_line(amount, price)
    assert line_total(asked, quantity, discount) == amount
    assert 0 < quantity <= 999_999_999 and 0 <= asked <= MAX_MONEY
    if price and 1000 < amount * 1000 // price < 10**9:
        assert asked >= price
        assert abs(quantity * price / 1000 - amount) <= amount / 100 + price / 1000
        assert discount <= quantity // 1000 + 1
    if amount * 1000 < price * 1000:  # under a kilogram nothing need come off
        assert discount == 0


def test_what_a_label_over_tons_of_goods_comes_to_is_found_at_once() -> None:
    amount, price = 678_034_677_955, 916_783  # no quantity within a hundredth costs exactly that
    began = time.thread_time()
    quantity, dearer, discount = priced_line(amount, price)
    assert time.thread_time() - began < 0.3
    assert line_total(dearer, quantity, discount) == amount and dearer >= price
