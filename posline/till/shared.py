"""The shop's shared settings: what each may be, and setting one. All tills follow by sync.

A name that is not listed is refused, for a misspelt setting would do nothing and look as if it did. What came by sync
is not judged here: whoever reads a setting leaves out what is wrong in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from posline.core.checks import signed_quantity
from posline.core.members import Role
from posline.core.money import MAX_MONEY
from posline.core.people import read_limits, read_permissions
from posline.core.raast import read_shop_qr
from posline.core.scales import read_patterns
from posline.core.tax import read_classes
from posline.errors import BadRequest, FieldError, NotAllowed
from posline.till.receipts.settings import read_settings

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["SETTINGS", "current", "manages", "may_manage", "put"]

Check = Callable[[object], list[FieldError]]


def _flag(value: object) -> list[FieldError]:
    return [] if type(value) is bool else [FieldError("value", "must be true or false")]


def _one_of(*choices: str) -> Check:
    def check(value: object) -> list[FieldError]:
        return [] if value in choices else [FieldError("value", f"must be one of {', '.join(choices)}")]

    return check


def _decimal(value: object) -> list[FieldError]:
    return [] if signed_quantity(value) is not None else [FieldError("value", "must be a decimal in a text")]


def _amount(value: object) -> list[FieldError]:
    if type(value) is int and 0 <= value <= MAX_MONEY:
        return []
    return [FieldError("value", "must be a whole number of minor units, not below 0")]


def _read_by(read: Callable[[object], object]) -> Check:
    """A check by a reader that raises BadRequest."""

    def check(value: object) -> list[FieldError]:
        try:
            read(value)
        except BadRequest as error:
            return list(error.errors)
        return []

    return check


SETTINGS: dict[str, tuple[str, Check]] = {  # name -> (what it says, what is wrong with a value)
    "tax": ("tax classes with their dated rates", lambda value: read_classes(value)[1]),
    "tax_rounding": ("whether tax is rounded by line or by receipt", _one_of("line", "receipt")),
    "rounding": ("minor units to which cash is rounded, 0 for none", _amount),
    "scales": ("how the barcodes of scales are laid out", lambda value: read_patterns(value)[1]),
    "raast": ("the text of the shop's own Raast QR", _read_by(read_shop_qr)),
    "permissions": ("the least role for an action", lambda value: read_permissions(value)[1]),
    "limits": ("how far a role may lower prices", lambda value: read_limits(value)[1]),
    "receipt": ("what stands on receipts", _read_by(read_settings)),
    "require_customer": ("whether udhaar is only for customers, and for nobody without a name", _flag),
    "enforce_limit": ("whether a customer's limit holds, or is only shown", _flag),
    "low_stock": ("on hand of a product that is low, where the product does not say itself", _decimal),
    "blind_count": ("whether the drawer is counted before its sum is shown", _flag),
}


def current(till: Till) -> dict[str, Any]:
    """The value of each setting; null where it is not set."""
    return {name: till.reports.setting(name) for name in SETTINGS}


def manages(till: Till) -> bool:
    """Whether this till may set what holds for the whole shop."""
    member = till.store.members(till.shop_id).get(till.id)
    return member is not None and member.role is Role.MANAGER


def may_manage(till: Till) -> None:
    """Raises NotAllowed unless this till may set what holds for the whole shop."""
    if not manages(till):
        raise NotAllowed("this till may not change settings: do it at a manager's, or make this one a manager there")


async def put(till: Till, name: str, value: object, *, by: str = "", approved: str = "") -> Any:
    """Set a setting for the whole shop; its value once it is on the disk. null takes it back to its default.

    Raises NotAllowed where this till is no manager, and BadRequest with each field that is wrong.
    """
    if name not in SETTINGS:
        raise BadRequest.of("name", f"{name[:60]!r} is no setting: there are {', '.join(sorted(SETTINGS))}")
    may_manage(till)
    faults = [] if value is None else SETTINGS[name][1](value)
    if faults:
        raise BadRequest(faults)
    if value != till.reports.setting(name):
        fields: Mapping[str, Any] = {"name": name, "value": value} | ({"approved": approved} if approved else {})
        await till.engine.durable(till.replica.write("setting", fields, document="shop", by=by))
    return value
