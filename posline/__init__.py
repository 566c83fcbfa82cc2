"""A till that keeps selling through cuts, and records every sale exactly once.

    async with posline.open_till("shop-data") as till:
        sale = await till.sell([{"sku": "tea", "quantity": 2, "price": 150}])

This module is the whole public surface; docs/architecture.md says what lies behind it.
"""

from posline.errors import (
    Ambiguous,
    BadEntry,
    BadRequest,
    CommitFailed,
    CommitUnknown,
    Conflict,
    DiskFailed,
    DiskFull,
    FieldError,
    FolderDamaged,
    FolderError,
    FolderLocked,
    Hole,
    Mismatch,
    NotAllowed,
    NotFound,
    NotPossible,
    OutcomeUnknown,
    Overtaken,
    PoslineError,
    Refused,
    Unavailable,
    Unloadable,
)
from posline.till.changes import Change
from posline.till.opening import Clockwork
from posline.till.refund import Refund, Returned
from posline.till.sale import Durable, Line, Sale, Tender
from posline.till.till import Till, open_till

__all__ = [
    "Ambiguous",
    "BadEntry",
    "BadRequest",
    "Change",
    "Clockwork",
    "CommitFailed",
    "CommitUnknown",
    "Conflict",
    "DiskFailed",
    "DiskFull",
    "Durable",
    "FieldError",
    "FolderDamaged",
    "FolderError",
    "FolderLocked",
    "Hole",
    "Line",
    "Mismatch",
    "NotAllowed",
    "NotFound",
    "NotPossible",
    "OutcomeUnknown",
    "Overtaken",
    "PoslineError",
    "Refund",
    "Refused",
    "Returned",
    "Sale",
    "Tender",
    "Till",
    "Unavailable",
    "Unloadable",
    "open_till",
]
