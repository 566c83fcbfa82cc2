"""Money and quantities: integer minor units and exact decimals, never a float. No I/O.

A quantity is held as thousandths (an int): "1.5" is 1500. At most 6 digits before the point and 3 behind it.
"""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = [
    "MAX_MONEY",
    "format_quantity",
    "inclusive_tax",
    "line_total",
    "parse_quantity",
    "parse_rate",
    "round_half_up",
]

MAX_MONEY = 10**12  # of any one amount, in minor units: sums of 500 lines stay exact in every language that reads them
THOUSAND = 1000
_QUANTITY = re.compile(r"(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,3}))?")
_RATE = re.compile(r"(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,4}))?")
RATE_UNITS = 10_000  # a rate is held as ten-thousandths of a per cent


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


def quantity_of(value: object) -> int:
    """Thousandths of a quantity given as int, Decimal or text. Raises ValueError as parse_quantity."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("a quantity is a decimal number or a text of one")
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() > 6 or int(value.normalize().as_tuple().exponent) < -3:
            raise ValueError("a quantity has at most 6 digits before the point and 3 behind it")
        value = f"{value:f}"
        if "." in value:
            value = value.rstrip("0").rstrip(".")
    return parse_quantity(str(value))


def parse_rate(text: str) -> int:
    """Ten-thousandths of a per cent of a rate such as "18" or "7.5". Raises ValueError unless it is 0 to 999.9999."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no tax rate: per cent, at most 4 digits behind the point")
    return int(match[1]) * RATE_UNITS + int((match[2] or "").ljust(4, "0"))


def line_total(price: int, thousandths: int, discount: int = 0) -> int:
    """What a line costs: price x quantity, rounded half up, less the discount of the whole line."""
    return round_half_up(price * thousandths, THOUSAND) - discount


def inclusive_tax(total: int, rate: int) -> int:
    """The tax inside a total that includes it; `rate` as from parse_rate."""
    return round_half_up(total * rate, 100 * RATE_UNITS + rate)
