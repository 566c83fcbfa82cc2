"""Tax classes as data: what the shared setting `tax` says, dated rates, rates by tender, and Pakistan's set. No I/O.

A class is named by products and lines. It says how tax stands to the price (mode) and which rate holds on which
business day. Knows nothing of lines and sums; that arithmetic is in money.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from posline.core.checks import MAX_TEXT, TENDER
from posline.core.checks import text as is_text
from posline.core.money import INCLUSIVE, MODES, is_rate
from posline.errors import FieldError

__all__ = ["PAKISTAN", "DatedRate", "TaxClass", "classes_of", "read_classes"]

CLASSES_MAX = 100
RATES_MAX = 100  # of one class: a change each year for a century
CODE_CHARACTERS_MAX = 40  # it stands in each line of that class
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# What a shop that reckons in rupees begins with, until it has a setting of its own. Sources:
# - Sales Tax Act 1990, section 3(1): the standard rate, 18 per cent by S.R.O. 179(I)/2023 of 14 February 2023; before
#   that 17 per cent.
# - The same, section 3(2)(a) and Third Schedule: tax on the retail price that is printed on the goods.
# - Sections 4 and 5 (zero rate), 13 and Sixth Schedule (exempt), Eighth Schedule (reduced rates, by goods).
# - Services are taxed by the provinces, and rates and dates differ; the one here is an example that a shop replaces.
PAKISTAN: Mapping[str, Any] = {
    "standard": {
        "name": "Standard rate",
        "rates": [{"rate": "17"}, {"from": "2023-02-14", "rate": "18"}],
    },
    "third_schedule": {
        "name": "Third Schedule: tax on the printed retail price",
        "mode": "printed",
        "rates": [{"rate": "17"}, {"from": "2023-02-14", "rate": "18"}],
    },
    "zero": {"name": "Zero-rated", "rates": [{"rate": "0"}]},
    "exempt": {"name": "Exempt", "rates": []},
    "reduced": {
        "name": "Reduced rate",
        "note": "an example: the Eighth Schedule has a rate for each sort of goods; set the product's own tax_rate",
        "rates": [{"rate": "10"}],
    },
    "services": {
        "name": "Services, by tender",
        "note": "an example: set the rates of the shop's province",
        "rates": [{"rate": "16", "by_tender": {"card": "5", "jazzcash": "5", "easypaisa": "5", "raast": "5"}}],
    },
}


@dataclass(frozen=True, slots=True)
class DatedRate:
    """A rate in per cent from a business day on ("" for always), with those of some tenders."""

    start: str
    rate: str
    by_tender: Mapping[str, str] = field(default_factory=dict)

    def paid_with(self, tenders: Collection[str]) -> str:
        """The rate of a sale paid with these kinds: a tender's own only where the whole sale has that one."""
        if not self.by_tender:
            return self.rate
        found = {self.by_tender.get(kind, self.rate) for kind in tenders}
        return found.pop() if len(found) == 1 else self.rate


@dataclass(frozen=True, slots=True)
class TaxClass:
    """A class of goods or services. `rates` by their start; none at all: exempt."""

    code: str
    name: str
    mode: str = INCLUSIVE
    rates: tuple[DatedRate, ...] = ()

    def rate(self, day: str, tenders: Collection[str] = ()) -> str | None:
        """The rate in per cent on a business day for a sale paid with these kinds; None where it has none."""
        held = [dated for dated in self.rates if dated.start <= day]
        return held[-1].paid_with(tenders) if held else None


def classes_of(setting: object, currency: str) -> dict[str, TaxClass]:
    """The classes that a shop has: by its setting, and without one Pakistan's where it reckons in rupees.

    What is wrong in the setting is left out: a till sells whatever it is sent, and an unknown class has no tax.
    """
    return read_classes(PAKISTAN if setting is None and currency == "PKR" else setting)[0]


def read_classes(setting: object) -> tuple[dict[str, TaxClass], list[FieldError]]:
    """The sound classes of a value of the setting `tax`, and what is wrong with it, by fields such as
    `tax.standard.rates.0.from`.

    The value is {class: "per cent"} or {class: {name?, note?, mode?, rates: [{from?, rate, by_tender?}]}}, or None.
    """
    faults: list[FieldError] = []
    if setting is None:
        return {}, faults
    if not isinstance(setting, Mapping) or len(setting) > CLASSES_MAX:
        return {}, [FieldError("tax", f"must be an object of at most {CLASSES_MAX} classes")]
    classes: dict[str, TaxClass] = {}
    for code, value in setting.items():
        before = len(faults)
        made = _class(faults, f"tax.{str(code)[:CODE_CHARACTERS_MAX]}", str(code), value)
        if len(faults) == before and made is not None:
            classes[made.code] = made
    return classes, faults


def _class(faults: list[FieldError], where: str, code: str, value: object) -> TaxClass | None:
    if not 0 < len(code) <= CODE_CHARACTERS_MAX:
        faults.append(FieldError(where, f"is no class: a name has 1 to {CODE_CHARACTERS_MAX} characters"))
        return None
    if is_rate(code):
        faults.append(FieldError(where, "is a rate itself, and needs no class: name it with a letter"))
        return None
    if isinstance(value, str):
        return TaxClass(code, code, INCLUSIVE, (DatedRate("", _rate(faults, where, value)),))
    if not isinstance(value, Mapping):
        faults.append(FieldError(where, 'must be a rate in per cent such as "18", or an object with rates'))
        return None
    for name in value.keys() - {"name", "note", "mode", "rates"}:
        faults.append(FieldError(f"{where}.{name}", "is not a field here"))
    for name in ("name", "note"):
        if not is_text(value.get(name, ""), 0):
            faults.append(FieldError(f"{where}.{name}", f"must be a text of at most {MAX_TEXT} characters"))
    mode = value.get("mode", INCLUSIVE)
    if mode not in MODES:
        faults.append(FieldError(f"{where}.mode", f"must be one of {', '.join(MODES)}"))
    rates = value.get("rates")
    if not isinstance(rates, list) or len(rates) > RATES_MAX:
        faults.append(FieldError(f"{where}.rates", f"must be a list of at most {RATES_MAX} rates; none for exempt"))
        return None
    dated = [_dated(faults, f"{where}.rates.{index}", rate) for index, rate in enumerate(rates)]
    starts = [rate.start for rate in dated]
    for index, start in enumerate(starts):
        if start in starts[:index]:
            faults.append(FieldError(f"{where}.rates.{index}.from", "is the day of an earlier rate of this class"))
    return TaxClass(code, str(value.get("name") or code), str(mode), tuple(sorted(dated, key=lambda rate: rate.start)))


def _dated(faults: list[FieldError], where: str, value: object) -> DatedRate:
    if not isinstance(value, Mapping):
        faults.append(FieldError(where, "must be an object with a rate"))
        return DatedRate("", "0")
    for name in value.keys() - {"from", "rate", "by_tender"}:
        faults.append(FieldError(f"{where}.{name}", "is not a field here"))
    start = value.get("from", "")
    if "from" in value and not _day(start):
        faults.append(FieldError(f"{where}.from", "must be a day such as 2023-02-14, or be left out for always"))
        start = ""
    rate = _rate(faults, f"{where}.rate", value.get("rate"))
    by_tender = value.get("by_tender", {})
    if not isinstance(by_tender, Mapping):
        faults.append(FieldError(f"{where}.by_tender", "must be an object of rates by tender"))
        by_tender = {}
    for kind in by_tender:
        if not isinstance(kind, str) or TENDER.fullmatch(kind) is None:
            faults.append(FieldError(f"{where}.by_tender", "names no tender: a lower-case word such as cash or card"))
    tenders = {str(k): _rate(faults, f"{where}.by_tender.{str(k)[:40]}", v) for k, v in by_tender.items()}
    return DatedRate(str(start), rate, tenders)


def _rate(faults: list[FieldError], where: str, value: object) -> str:
    if isinstance(value, str) and is_rate(value):
        return value
    faults.append(FieldError(where, 'must be a rate in per cent as a text, such as "18" or "7.5"'))
    return "0"


def _day(value: object) -> bool:
    if not isinstance(value, str) or _DAY.fullmatch(value) is None:
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True
