"""Money is whole minor units, quantities are exact: held against Python's own decimals."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.money import (
    MAX_MONEY,
    format_quantity,
    inclusive_tax,
    line_total,
    parse_quantity,
    parse_rate,
    quantity_of,
    round_half_up,
)


def rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


@given(st.integers(0, MAX_MONEY), st.integers(1, 999_999_999))
def test_a_line_is_price_times_quantity_rounded_half_up(price: int, thousandths: int) -> None:
    assert line_total(price, thousandths) == rounded(Decimal(price) * thousandths / 1000)


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**6))
def test_halves_go_away_from_zero(numerator: int, denominator: int) -> None:
    exact = Decimal(numerator) / Decimal(denominator)
    if (2 * numerator) % denominator == 0:
        assert round_half_up(numerator, denominator) == rounded(exact)
    assert abs(round_half_up(numerator, denominator) * denominator - numerator) * 2 <= denominator


@given(st.integers(0, MAX_MONEY), st.integers(0, 9_999_999))
def test_the_tax_inside_a_total(total: int, rate: int) -> None:
    per_cent = Decimal(rate) / 10_000
    assert inclusive_tax(total, rate) == rounded(Decimal(total) * per_cent / (100 + per_cent))


def test_the_tax_of_a_printed_price() -> None:
    assert inclusive_tax(20_000, parse_rate("18")) == 3051  # 200.00 at 18 per cent


@given(st.integers(1, 999_999_999))
def test_quantities_come_back_as_they_went(thousandths: int) -> None:
    assert parse_quantity(format_quantity(thousandths)) == thousandths
    assert quantity_of(Decimal(thousandths) / 1000) == thousandths


@pytest.mark.parametrize(
    "text", ["0", "0.000", "-1", "+1", "1e3", "1.", ".5", "01", "1.0000", "1000000", " 1", "1 ", "", "١", "NaN"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)


@pytest.mark.parametrize(
    "value", [0, -1, True, None, 1.5, Decimal("NaN"), Decimal("Infinity"), Decimal("1E+30"), Decimal("0.0001")]
)
def test_what_is_no_quantity_in_a_request(value: object) -> None:
    with pytest.raises(ValueError):
        quantity_of(value)


@pytest.mark.parametrize("value", [1, "1", "1.0", "1.000", Decimal("1"), Decimal("1.0"), Decimal("1E+0")])
def test_one_is_one_however_it_is_written(value: object) -> None:
    assert quantity_of(value) == 1000
