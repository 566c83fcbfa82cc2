"""What a shop has settled for all its sales, read from its shared settings and kept until one of them changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from posline.core.checks import amount as is_amount
from posline.core.money import is_rate
from posline.core.pricing import Product, Terms
from posline.core.tax import classes_of

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = [
    "CASH_ROUNDING",
    "ENFORCE_LIMIT",
    "LIMITS",
    "REQUIRE_CUSTOMER",
    "TAX",
    "TAX_ROUNDING",
    "TermsNow",
    "product_of",
]

TAX = "tax"  # the shared setting with the tax classes
TAX_ROUNDING = "tax_rounding"  # ... that says "line" or "receipt"
CASH_ROUNDING = "rounding"  # ... with the minor units to which cash is rounded: 0 or 100, 500, 1000
LIMITS = "limits"  # ... with what roles may do to prices
REQUIRE_CUSTOMER = "require_customer"  # ... that says whether udhaar needs a customer
ENFORCE_LIMIT = "enforce_limit"  # ... and whether a customer's limit holds
PRINTED_CLASS = "third_schedule"  # the class of what is flagged as taxed on its printed price, and names none


class TermsNow:
    """A till's terms as of now."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._kept: tuple[int, bool, Terms] | None = None  # with the shop's edition as of which they were read

    @property
    def limited(self) -> bool:
        """Whether the shop limits what a role may sell at what price, or to whom it may lend."""
        return self._now()[0]

    def __call__(self) -> Terms:
        """The terms of a sale that is rung now."""
        return self._now()[1]

    def _now(self) -> tuple[bool, Terms]:
        day, edition = self._till.day, self._till.store.edition(self._till.shop_id)
        kept = self._kept
        if kept is None or kept[0] != edition:
            kept = self._kept = edition, *self._read(day)
        elif kept[2].day != day:
            kept = self._kept = edition, kept[1], replace(kept[2], day=day)
        return kept[1:]

    def _read(self, day: str) -> tuple[bool, Terms]:
        setting = self._till.reports.setting
        unit = setting(CASH_ROUNDING)
        limited = any(setting(name) for name in (LIMITS, REQUIRE_CUSTOMER, ENFORCE_LIMIT))
        return limited, Terms(
            classes_of(setting(TAX), str(self._till.replica.founding.get("currency", ""))),
            day,
            setting(TAX_ROUNDING) == "receipt",
            unit if type(unit) is int and unit > 0 else 0,
        )


def product_of(found: Mapping[str, Any]) -> Product:
    """A product of the catalogue as a sale prices it. What nobody checks where it arrives is left out if it is none:
    a text for a price multiplied by a quantity fills the memory."""
    rate, printed, mrp = found.get("tax_rate"), found.get("third_schedule") is True, found.get("mrp")
    tax = found.get("tax", "") or (PRINTED_CLASS if printed else "")
    return Product(
        found["sku"], found["name"], found["price"], tax, rate if is_rate(rate) else None,
        mrp if is_amount(mrp) else None, printed,
    )  # fmt: skip
