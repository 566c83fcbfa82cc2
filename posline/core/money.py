"""Money and quantities: integer minor units and exact decimals, never a float. No I/O.

A quantity is held as thousandths (an int): "1.5" is 1500. At most 6 digits before the point and 3 behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

__all__ = [
    "EXCLUSIVE",
    "INCLUSIVE",
    "MAX_MONEY",
    "MODES",
    "PRINTED",
    "RATE_UNITS",
    "apportion",
    "format_quantity",
    "inclusive_tax",
    "is_rate",
    "line_total",
    "minor_digits",
    "parse_percent",
    "parse_quantity",
    "parse_rate",
    "part_of",
    "plain",
    "quantity_of",
    "receipt_taxes",
    "round_cash",
    "round_half_up",
    "signed_text",
    "tax_fraction",
]

MAX_MONEY = 10**12  # of any one amount, in minor units: sums of 500 lines stay exact in every language that reads them
THOUSAND = 1000
_QUANTITY = re.compile(r"(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,3}))?")
_RATE = re.compile(r"(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,4}))?")
RATE_UNITS = 10_000  # a rate is held as ten-thousandths of a per cent
INCLUSIVE, EXCLUSIVE, PRINTED = MODES = ("inclusive", "exclusive", "printed")  # how a line's tax stands to its price

_MINOR_DIGITS = {
    "JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
}  # ISO 4217; else 2  # fmt: skip


def minor_digits(currency: str) -> int:
    """How many digits a currency has behind the point: 123456 minor units are 1,234.56 in most."""
    return _MINOR_DIGITS.get(currency, 2)


def round_half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest whole, halves away from zero. `denominator` is positive."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def parse_quantity(text: str) -> int:
    """Thousandths of a decimal such as "1", "0.750". Raises ValueError unless it is above 0 and within the limits."""
    if text.isascii() and text.isdigit() and len(text) <= 6 and text[0] != "0":
        return int(text) * THOUSAND
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no quantity: digits, at most 6 before the point and 3 behind it")
    value = int(match[1]) * THOUSAND + int((match[2] or "").ljust(3, "0"))
    if value == 0:
        raise ValueError("a quantity is above 0")
    return value


def format_quantity(thousandths: int) -> str:
    """The shortest decimal: 1500 is "1.5"."""
    whole, rest = divmod(thousandths, THOUSAND)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def signed_text(thousandths: int) -> str:
    """As format_quantity, below 0 too: what is on hand, or a move of goods."""
    return f"-{format_quantity(-thousandths)}" if thousandths < 0 else format_quantity(thousandths)


def plain(value: Decimal) -> str:
    """A decimal as digits and a point, without zeros behind that say nothing. Its exponent must be known to be small:
    this writes it out."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity_of(value: object) -> int:
    """Thousandths of a quantity given as int, Decimal or text. Raises ValueError as parse_quantity."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("a quantity is a decimal number or a text of one")
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() > 6 or int(value.normalize().as_tuple().exponent) < -3:
            raise ValueError("a quantity has at most 6 digits before the point and 3 behind it")
        value = plain(value)
    return parse_quantity(str(value))


def parse_rate(text: str) -> int:
    """Ten-thousandths of a per cent of a rate such as "18" or "7.5". Raises ValueError unless it is 0 to 999.9999."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no tax rate: per cent, at most 4 digits behind the point")
    return int(match[1]) * RATE_UNITS + int((match[2] or "").ljust(4, "0"))


def is_rate(text: object) -> bool:
    """Whether it is a rate in per cent, as parse_rate reads it."""
    return type(text) is str and _RATE.fullmatch(text) is not None


def parse_percent(value: object) -> int:
    """Ten-thousandths of a per cent given as int, Decimal or text. Raises ValueError unless it is 0 to 100."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("a percentage is a decimal number or a text of one")
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() > 3 or int(value.normalize().as_tuple().exponent) < -4:
            raise ValueError("a percentage is 0 to 100, with at most 4 digits behind the point")
        value = plain(value)
    match = _RATE.fullmatch(str(value)[:40])
    units = 101 * RATE_UNITS if match is None else int(match[1]) * RATE_UNITS + int((match[2] or "").ljust(4, "0"))
    if units > 100 * RATE_UNITS:
        raise ValueError("a percentage is 0 to 100, with at most 4 digits behind the point")
    return units


def part_of(amount: int, units: int) -> int:
    """So many ten-thousandths of a per cent of an amount, rounded half up."""
    return round_half_up(amount * units, 100 * RATE_UNITS)


def round_cash(due: int, unit: int) -> int:
    """What is paid in coins for an amount due: the nearest multiple of `unit` minor units, halves up; 0 is exact."""
    return round_half_up(due, unit) * unit if unit else due


def line_total(price: int, thousandths: int, discount: int = 0) -> int:
    """What a line costs: price x quantity, rounded half up, less the discount of the whole line."""
    return round_half_up(price * thousandths, THOUSAND) - discount


def inclusive_tax(total: int, rate: int) -> int:
    """The tax inside a total that includes it; `rate` as from parse_rate."""
    return round_half_up(total * rate, 100 * RATE_UNITS + rate)


def tax_fraction(mode: str, rate: int, cost: int, mrp: int, thousandths: int) -> tuple[int, int]:
    """The exact tax of a line as (numerator, denominator); `rate` as from parse_rate, `cost` less discounts.

    Inclusive: the part of `cost` that is tax. Exclusive: what comes on top of `cost`. Printed: the part of the printed
    retail price `mrp` x quantity that is tax, whatever the line costs. All lines of one mode and rate have the same
    denominator, so their numerators can be added.
    """
    if mode == EXCLUSIVE:
        return cost * rate, 100 * RATE_UNITS
    if mode == PRINTED:
        return mrp * thousandths * rate, THOUSAND * (100 * RATE_UNITS + rate)
    return cost * rate, 100 * RATE_UNITS + rate


def apportion(numerators: Sequence[int], denominator: int, total: int) -> list[int]:
    """Shares that sum to `total` and differ from their exact numerator / denominator by less than 1: the largest
    remainders are rounded up, of equal ones the earlier. `total` is the exact sum, rounded either way."""
    shares = [numerator // denominator for numerator in numerators]
    left = total - sum(shares)
    if left:
        order = sorted(range(len(shares)), key=lambda index: -(numerators[index] % denominator))
        for index in order[:left]:
            shares[index] += 1
    return shares


def receipt_taxes(numerators: Sequence[int], denominator: int) -> list[int]:
    """The taxes of the lines of one mode and rate where tax is rounded once for all of them, half up."""
    return apportion(numerators, denominator, round_half_up(sum(numerators), denominator))
