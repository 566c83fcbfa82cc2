"""Barcodes that a scale or a counter prints: which item, and how much it weighs or costs. No I/O.

How such an EAN-13 is laid out is the shop's own affair, so patterns are data (the shared setting `scales`). A pattern
has 12 places; the thirteenth digit is EAN's own check digit and is always checked:

    0-9     this digit
    .       a digit of the item's number
    {NNDDD} the value: N before the point, D behind it
    C       a check digit over the value alone, by GS1's tables for values of 4 or 5 digits
    *       a digit that says nothing here

Knows nothing of the catalogue: `ScaleLabel.codes` says what to look for there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posline.core.checks import MAX_TEXT
from posline.core.checks import text as is_text
from posline.core.money import THOUSAND, line_total, round_half_up
from posline.errors import FieldError

__all__ = [
    "PATTERNS",
    "ScaleLabel",
    "ScalePattern",
    "ean_check_digit",
    "priced_line",
    "read_label",
    "read_patterns",
    "value_check_digit",
]

# What a shop begins with, as Odoo's and many makers' scales are set on delivery: 2112345015002 is item 12345, 1.500 kg
PATTERNS = (
    {"pattern": "21.....{NNDDD}", "value": "weight"},
    {"pattern": "23.....{NNNDD}", "value": "price"},
)
PATTERNS_MAX = 30
PLACES = 12  # of an EAN-13 without its check digit
QUANTITY_MAX = 999_999_999  # thousandths that a line can have
TRIED_MAX = 1000  # quantities: all there are up to 100 kg; of a thousand tons it would be seconds
VALUES = ("weight", "pieces", "price")
_PATTERN = re.compile(r"[0-9.*C]*\{N*D*\}[0-9.*C]*")
_EAN = re.compile(r"[0-9]{13}")
# GS1 General Specifications 7.9: what each digit 0 to 9 weighs, by the name of its weighting
_TWO_MINUS = (0, 2, 4, 6, 8, 9, 1, 3, 5, 7)
_THREE = (0, 3, 6, 9, 2, 5, 8, 1, 4, 7)
_FIVE_PLUS = (0, 5, 1, 6, 2, 7, 3, 8, 4, 9)
_FIVE_MINUS = (0, 5, 9, 4, 8, 3, 7, 2, 6, 1)


@dataclass(frozen=True, slots=True)
class ScalePattern:
    """One layout. `places` are 12 characters, N for each digit of the value; `decimals` are those behind its point."""

    places: str
    value: str
    decimals: int

    @property
    def text(self) -> str:
        """The pattern as it is written in a setting."""
        digits = self.places.count("N")
        written = "{" + "N" * (digits - self.decimals) + "D" * self.decimals + "}"
        return self.places.replace("N" * digits, written)


@dataclass(frozen=True, slots=True)
class ScaleLabel:
    """What a label says: `quantity` in thousandths (kg, or pieces), or `amount` in minor units. Neither: its value is
    0, so that what it weighs is to be asked."""

    item: str
    codes: tuple[str, ...]
    quantity: int | None = None
    amount: int | None = None


# -- the setting -----------------------------------------------------------------------------------


def read_patterns(setting: object) -> tuple[list[ScalePattern], list[FieldError]]:
    """The sound patterns of a value of the setting `scales`, and what is wrong with it, by fields such as
    `scales.0.pattern`.

    The value is [{pattern, value: "weight" | "pieces" | "price", note?}], and the first that fits wins; [] is none, and
    None is PATTERNS.
    """
    faults: list[FieldError] = []
    asked = PATTERNS if setting is None else setting
    if not isinstance(asked, Sequence) or isinstance(asked, str) or len(asked) > PATTERNS_MAX:
        return [], [FieldError("scales", f"must be a list of at most {PATTERNS_MAX} patterns")]
    found = [_pattern(faults, f"scales.{index}", item) for index, item in enumerate(asked)]
    return [pattern for pattern in found if pattern is not None], faults


def _pattern(faults: list[FieldError], where: str, asked: object) -> ScalePattern | None:
    if not isinstance(asked, Mapping):
        faults.append(FieldError(where, "must be an object with a pattern and a value"))
        return None
    before = len(faults)
    for name in asked.keys() - {"pattern", "value", "note"}:
        faults.append(FieldError(f"{where}.{name}", "is not a field here"))
    if not is_text(asked.get("note", ""), 0):
        faults.append(FieldError(f"{where}.note", f"must be a text of at most {MAX_TEXT} characters"))
    value, text = asked.get("value"), asked.get("pattern")
    if value not in VALUES:
        faults.append(FieldError(f"{where}.value", f"must be one of {', '.join(VALUES)}"))
    wrong = _unsound(text)
    if wrong is not None:
        faults.append(FieldError(f"{where}.pattern", wrong))
    if len(faults) > before or not isinstance(text, str):
        return None
    decimals = text.count("D")
    places = text.translate({ord("{"): None, ord("}"): None, ord("D"): "N"})
    return ScalePattern(places, str(value), decimals)


def _unsound(text: object) -> str | None:
    if not isinstance(text, str) or _PATTERN.fullmatch(text) is None:
        return "must have digits, . for the item, and one value such as {NNDDD}"
    places, digits = len(text) - 2, text.count("N") + text.count("D")
    if places != PLACES:
        return f"has {places} places: an EAN-13 has {PLACES}, and its check digit behind them"
    if not digits or "." not in text:
        return "must have places for the item (.) and for the value (N, D)"
    if text.count("D") > 3:
        return "has more than 3 digits behind the point"
    if text[0] not in "02":
        return "begins like the barcodes of makers: a shop's own begin with 2 (or 02, 04)"
    if text.count("C") > 1 or ("C" in text and digits not in (4, 5)):
        return "may have one check digit C, over a value of 4 or 5 digits"
    return None


# -- a label ---------------------------------------------------------------------------------------


def read_label(barcode: str, patterns: Sequence[ScalePattern], *, minor_digits: int = 2) -> ScaleLabel | None:
    """What a barcode says by the first pattern that it fits; None where it is no such label, or misread.

    `minor_digits` are the currency's. A barcode may be a product's own although it fits: look that up first. One of 12
    digits (UPC-A) is read with a 0 before it.
    """
    code = f"0{barcode}" if len(barcode) == PLACES else barcode
    if _EAN.fullmatch(code) is None or ean_check_digit(code[:PLACES]) != int(code[PLACES]):
        return None
    for pattern in patterns:
        label = _fitted(code, pattern, minor_digits)
        if label is not None:
            return label
    return None


def _fitted(code: str, pattern: ScalePattern, minor_digits: int) -> ScaleLabel | None:
    item = value = check = ""
    for digit, place in zip(code, pattern.places, strict=False):  # the check digit has no place in a pattern
        if place == ".":
            item += digit
        elif place == "N":
            value += digit
        elif place == "C":
            check = digit
        elif place not in ("*", digit):
            return None
    if check and value_check_digit(value) != int(check):
        return None
    codes = _codes(code, pattern, item)
    number = int(value)
    if number == 0:
        return ScaleLabel(item, codes)
    if pattern.value == "price":
        return ScaleLabel(item, codes, amount=round_half_up(number * 10**minor_digits, 10**pattern.decimals))
    return ScaleLabel(item, codes, quantity=number * THOUSAND // 10**pattern.decimals)


def _codes(code: str, pattern: ScalePattern, item: str) -> tuple[str, ...]:
    """What the catalogue may call the item, the likeliest first: its number, the number without noughts before it, and
    the label with nothing but noughts for a value, as Odoo and others keep it."""
    bare = "".join("0" if place in "NC*" else digit for digit, place in zip(code, pattern.places, strict=False))
    return tuple(dict.fromkeys((item, item.lstrip("0") or "0", f"{bare}{ean_check_digit(bare)}")))


def ean_check_digit(digits: str) -> int:
    """The check digit behind the first 12 digits of an EAN-13."""
    return -sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10


def value_check_digit(value: str) -> int:
    """The check digit of a value of 4 or 5 digits that is part of a barcode (GS1 General Specifications 7.9.3, 7.9.4).

    Raises ValueError for another length.
    """
    figures = [int(digit) for digit in value]
    if len(figures) == 4:
        weights = (_TWO_MINUS, _TWO_MINUS, _THREE, _FIVE_MINUS)
        return 3 * sum(weight[digit] for weight, digit in zip(weights, figures, strict=True)) % 10
    if len(figures) == 5:
        weights_5 = (_FIVE_PLUS, _TWO_MINUS, _FIVE_MINUS, _FIVE_PLUS, _TWO_MINUS)
        return _FIVE_MINUS.index(-sum(weight[digit] for weight, digit in zip(weights_5, figures, strict=True)) % 10)
    raise ValueError(f"{value[:40]!r} has {len(value)} digits: there is a check digit for values of 4 or 5")


def priced_line(amount: int, price: int) -> tuple[int, int, int]:
    """(quantity in thousandths, price, discount) of a line that costs exactly the `amount` on a label, for goods at
    `price` a kilogram: stock goes down by what was weighed, and the customer pays what the label says.

    The quantity is what the amount buys. Where no quantity costs exactly that, the price rises by less than a hundredth
    of itself and never falls, so that it is no price that somebody must approve; failing that, for heavy goods, a few
    minor units come off. Goods without a price, or of a quantity that no line can have: one piece at the amount.
    """
    quantity = amount * THOUSAND // price if price else 0
    if not 0 < quantity <= QUANTITY_MAX:
        return THOUSAND, amount, 0
    for near in (quantity, quantity + 1):
        if line_total(price, near) == amount:
            return near, price, 0
    for less in range(quantity, quantity - min(quantity // 100, TRIED_MAX) - 1, -1):
        dearer = round_half_up(amount * THOUSAND, less)  # not below `price`: `less` is at most what the amount buys
        if line_total(dearer, less) == amount:
            return less, dearer, 0
    dearer = -(-amount * THOUSAND // quantity)
    return quantity, dearer, line_total(dearer, quantity) - amount
