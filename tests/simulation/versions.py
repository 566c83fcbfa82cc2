"""Machines of an older version: while their program runs, the tables of kinds are what that version knew.

The product keeps what it knows of kinds in a few tables, and everything asks those. An older version's store says so by
the number of its rules, so that the newer program, when it comes, works everything out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from posline.core import entry, kinds
from posline.storage import renewal
from posline.storage.projections import Projections

__all__ = ["OLD_RULES", "UNKNOWN", "as_version"]

OLD_RULES = renewal.RULES - 1
UNKNOWN = ("cash", "payment", "stock", "void")  # kinds that the older version has not heard of
_TABLES: tuple[dict[str, Any], ...] = (kinds.KINDS, kinds._CHECKS, kinds._CONTENTS, entry._AMOUNTS)
_TODAY = [dict(table) for table in _TABLES]
_RULES, _CONCERNED = renewal.RULES, Projections.concerned


@contextmanager
def as_version(rules: int) -> Iterator[None]:
    """What happens inside happens on a machine of an older version."""
    for table in _TABLES:
        for kind in UNKNOWN:
            table.pop(kind, None)
    renewal.RULES = rules
    Projections.concerned = _concerned  # type: ignore[method-assign]
    try:
        yield
    finally:
        for table, today in zip(_TABLES, _TODAY, strict=True):
            table.update(today)
        renewal.RULES = _RULES
        Projections.concerned = _CONCERNED  # type: ignore[method-assign]


def _concerned(self: Projections, kind: str) -> bool:
    return kind not in UNKNOWN and _CONCERNED(self, kind)
