"""What a page keeps of its shop beside the catalogue, to sell with nothing running: who and where it is, the terms of
sales as they hold, cashiers, and what this till has (a printer, Urdu, a Raast QR).

No secret is in it: of a PIN, whether there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posline.core.money import minor_digits
from posline.core.scales import read_patterns
from posline.core.tax import TaxClass
from posline.till.machine import installed_version
from posline.till.receipts.fonts import can_shape
from posline.till.scanning import RAAST, SCALES
from posline.till.shared import current, manages

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["kept_shop"]

LOGO = "logo"  # of the setting `receipt`: a picture, which no page needs in here


def kept_shop(till: Till, departments: list[dict[str, Any]]) -> dict[str, Any]:
    """What GET /api/shop answers; docs/page.md says what each field is. For the event loop's thread, where what is kept
    of the settings is forgotten when they change; `departments` are counted elsewhere, for that takes a while."""
    founding, terms = till.replica.founding, till.terms()
    currency, settings = str(founding.get("currency", "")), current(till)
    if isinstance(receipt := settings.get("receipt"), dict):
        settings["receipt"] = {name: value for name, value in receipt.items() if name != LOGO}
    patterns, _ = read_patterns(settings[SCALES])
    return {
        "till": till.id,
        "label": till.label,
        "shop": till.shop,
        "shop_id": till.shop_id,
        "day": till.day,
        "day_start": str(founding.get("day_start", "")),
        "currency": currency,
        "minor_digits": minor_digits(currency),
        "zone": str(founding.get("zone", "")),
        "manager": manages(till),
        "settings": settings,
        "classes": {code: _class(found) for code, found in terms.classes.items()},
        "cash_unit": terms.cash_unit,
        "tax_by_receipt": terms.tax_by_receipt,
        "scales": [{"pattern": pattern.text, "value": pattern.value} for pattern in patterns],
        "cashiers": [cashier.public() for cashier in till.people.listed()],
        "departments": departments,
        "printer": _printer(till),
        "urdu": can_shape(),
        "raast": settings[RAAST] is not None,
        "fiscal": {"on": till.fiscal.naming() is not None},
        "version": installed_version(),
        "host": till.watch.label(till.whole.store_id) if till.hosted else None,
        "host_kind": ("head office" if till.at_head_office else "till") if till.hosted else None,
    }


def _class(found: TaxClass) -> dict[str, Any]:
    rates = [{"from": rate.start, "rate": rate.rate, "by_tender": dict(rate.by_tender)} for rate in found.rates]
    return {"name": found.name, "mode": found.mode, "rates": rates}


def _printer(till: Till) -> dict[str, Any]:
    """How printing stands, in short; what a person must decide on as numbers. `drawer`: whether one hangs on it."""
    state, printer = till.printing.state(), till.printing.printer
    return {
        "state": state["state"], "why": state["why"], "waiting": state["waiting"], "unsure": len(state["unsure"]),
        "lapsed": len(state["lapsed"]), "automatic": printer.automatic, "language": printer.language,
        "drawer": state["state"] != "off" and printer.drawer != 0,
    }  # fmt: skip
