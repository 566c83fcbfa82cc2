"""When a sale was rung that was recorded later: a page may have sold while nothing behind it answered. No I/O.

It stands in the entry as `rung`, beside the `at` under which the entry is filed, and decides nothing: no check of an
entry reads it, and it is no part of what two entries that say the same have in common. A page's clock may be wrong, so
a time that cannot be is left out, and never refused: the sale is what matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from posline.core.clock import iso, parse_iso
from posline.core.faults import Faults

__all__ = ["LATER_MS", "asked_rung", "rung_field", "rung_of"]

LATER_MS = 60_000  # a sale that was posted within this was rung when it was recorded, as far as anybody cares
EARLIEST_MS = 1_577_836_800_000  # 2020-01-01, before which no journal is
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}[+-][0-9]{2}:[0-9]{2}")
_CHARACTERS_MAX = 40


def asked_rung(faults: Faults, asked: object) -> int | None:
    """The field `rung` of a request in milliseconds since 1970; None where there is none, or it is wrong."""
    if asked is None:
        return None
    try:
        if not isinstance(asked, str) or len(asked) > _CHARACTERS_MAX:
            raise ValueError
        return parse_iso(asked)
    except (ValueError, OverflowError):
        faults.add("rung", "must be a time with its offset, such as 2026-11-20T10:15:00+05:00")
        return None


def rung_field(asked: object, at_ms: int, zone: ZoneInfo) -> dict[str, Any]:
    """What an entry that is written at `at_ms` says of when it was rung, in the shop's `zone`: {rung: time}, or {}
    where that was just now, or cannot be."""
    rung_ms = asked_rung(Faults(), asked)
    if rung_ms is None or not EARLIEST_MS <= rung_ms < at_ms - LATER_MS:
        return {}
    return {"rung": iso(rung_ms, zone)}


def rung_of(body: Mapping[str, Any]) -> str | None:
    """When an entry says that it was rung, as its `at` is written; None where it says nothing that can be read."""
    rung = body.get("rung")
    if not isinstance(rung, str) or _WRITTEN.fullmatch(rung) is None:
        return None
    try:
        parse_iso(rung)
    except ValueError:
        return None
    return rung
