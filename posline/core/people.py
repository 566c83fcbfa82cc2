"""Cashiers, roles, permissions and limits as data. No I/O, and no PIN is read here: whoever asks says who proved who.

A shop that has set nothing lets everybody do everything: a queue never waits for a right. What a shop restricts, it
restricts by role; a person of a higher role may approve what another asks for.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from posline.core.base64url import base64url, from_base64url
from posline.core.checks import text as is_text
from posline.core.money import RATE_UNITS, parse_percent
from posline.core.pricing import PricedSale
from posline.errors import FieldError

__all__ = [
    "ACTIONS",
    "CASHIER",
    "MANAGER",
    "MEMBERS",
    "REPORTS",
    "ROLES",
    "SETTINGS",
    "Cashier",
    "cashier_of",
    "exceeded",
    "pin_hash",
    "pin_matches",
    "rank",
    "read_limits",
    "read_permissions",
]

CASHIER = "cashier"
MANAGER = "manager"
ROLES = (CASHIER, "supervisor", MANAGER)  # each may do what the one before it may
REPORTS = "reports"  # to read what was sold, owed, and edited by several
MEMBERS = "members"  # to let tills into the shop
SETTINGS = "settings"  # to settle what holds for the whole shop, and who rings in it
ACTIONS = (
    "refund", "void", "cash", "stock", "products", "customers", SETTINGS, "shift", "day", "reprint", "drawer", "sale",
    REPORTS, MEMBERS,
)  # fmt: skip
PIN_DIGITS = range(4, 13)
LANGUAGES = ("en", "ur")
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # 16 MiB and some 50 ms: what a till can spare, and a guesser feels


@dataclass(frozen=True, slots=True)
class Cashier:
    """Somebody who rings. `pin` is a hash, or "" where no PIN is set."""

    name: str
    role: str = CASHIER
    pin: str = ""
    active: bool = True
    language: str = "en"

    def public(self) -> dict[str, Any]:
        """As answers show it: whether there is a PIN, never the PIN."""
        return {
            "name": self.name, "role": self.role, "active": self.active, "language": self.language,
            "pin": bool(self.pin),
        }  # fmt: skip


def cashier_of(value: object) -> Cashier | None:
    """The cashier that a shared setting describes; None where it is none."""
    if not isinstance(value, Mapping) or not is_text(value.get("name")):
        return None
    role, pin = value.get("role", CASHIER), value.get("pin", "")
    active, language = value.get("active", True), value.get("language", "en")
    if role not in ROLES or not is_text(pin, 0) or type(active) is not bool or language not in LANGUAGES:
        return None
    return Cashier(value["name"], role, pin, active, language)


def rank(role: str) -> int:
    """A role's place: a higher one may do more."""
    return ROLES.index(role)


# -- PINs --------------------------------------------------------------------------------------------------------------


def pin_hash(pin: str, salt: bytes) -> str:
    """What is kept of a PIN: `scrypt$salt$hash`. Takes some 50 ms and 16 MiB: not for the event loop.

    Raises ValueError unless the PIN is 4 to 12 digits. Every till of the shop has the hash, and 4 digits are soon tried
    out by whoever copies a till's disk: a PIN keeps honest people apart, and is no password.
    """
    if not (pin.isascii() and pin.isdecimal() and len(pin) in PIN_DIGITS):
        raise ValueError(f"a PIN is {PIN_DIGITS.start} to {PIN_DIGITS.stop - 1} digits")
    return f"scrypt${base64url(salt)}${base64url(_scrypt(pin, salt))}"


def pin_matches(pin: str, kept: str) -> bool:
    """Whether a PIN is the one that was kept. As slow as pin_hash."""
    name, _, rest = kept.partition("$")
    salt, _, hash = rest.partition("$")
    if name != "scrypt":
        return False
    try:
        return hmac.compare_digest(_scrypt(pin, from_base64url(salt)), from_base64url(hash))
    except ValueError:
        return False


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_SCRYPT["n"], r=_SCRYPT["r"], p=_SCRYPT["p"], dklen=32)


# -- permissions and limits --------------------------------------------------------------------------------------------


def read_permissions(value: object) -> tuple[dict[str, str], list[FieldError]]:
    """The sound part of the setting `permissions`, {action: least role}, and what is wrong with it."""
    faults: list[FieldError] = []
    found: dict[str, str] = {}
    if not isinstance(value, Mapping):
        return found, [FieldError("permissions", "must be an object of actions, each with the least role")]
    for action, role in value.items():
        if action not in ACTIONS:
            faults.append(FieldError(f"permissions.{str(action)[:40]}", f"is none of {', '.join(ACTIONS)}"))
        elif role not in ROLES:
            faults.append(FieldError(f"permissions.{action}", f"must be one of {', '.join(ROLES)}"))
        else:
            found[str(action)] = str(role)
    return found, faults


def read_limits(value: object) -> tuple[dict[str, dict[str, Any]], list[FieldError]]:
    """The sound part of the setting `limits`, {role: {discount_percent?, lower_price?, open_items?}}, and its faults.

    `discount_percent` is the most that a line or a whole sale may be lowered by; `lower_price` (true or false) whether
    a price may be below the catalogue's, `open_items` whether something may be sold that is not in it.
    """
    faults: list[FieldError] = []
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(value, Mapping):
        return found, [FieldError("limits", "must be an object of roles, each with its limits")]
    for role, limits in value.items():
        if role not in ROLES or not isinstance(limits, Mapping):
            faults.append(FieldError(f"limits.{str(role)[:40]}", f"must be one of {', '.join(ROLES)}, with an object"))
            continue
        found[role] = {}
        for name, limit in limits.items():
            wrong = _wrong_limit(name, limit)
            if wrong is None:
                found[role][name] = limit
            else:
                faults.append(FieldError(f"limits.{role}.{str(name)[:40]}", wrong))
    return found, faults


def _wrong_limit(name: object, limit: object) -> str | None:
    if name == "discount_percent":
        try:
            parse_percent(limit)
        except ValueError as error:
            return str(error)
        return None
    if name not in ("lower_price", "open_items"):
        return "is none of discount_percent, lower_price, open_items"
    return None if type(limit) is bool else "must be true or false"


def exceeded(priced: PricedSale, limits: Mapping[str, Any]) -> str | None:
    """What in a sale is beyond the limits of a role, in words; None where nothing is."""
    most = limits.get("discount_percent")
    if most is not None:
        whole, units = 100 * RATE_UNITS, parse_percent(most)
        for off, gross in priced.lowered:
            # a discount by per cent is rounded, and shared over lines, to less than one minor unit more than exact
            if off * whole >= gross * units + whole:
                percent = (Decimal(100 * off) / gross).quantize(Decimal("0.01")) if gross else Decimal(0)
                return f"a discount of {percent} per cent is over the {most} allowed"
    if priced.repriced and limits.get("lower_price") is False:
        return "a price below the catalogue's, or another tax class than its, is not allowed"
    if priced.opened and limits.get("open_items") is False:
        return "an item that is not in the catalogue is not allowed"
    return None
