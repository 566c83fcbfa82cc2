"""What calls read from a path or a query: days, and how many to answer."""

from __future__ import annotations

from posline.core.entry import valid_day
from posline.errors import BadRequest
from posline.till.till import LIST_DEFAULT, LIST_MAX

__all__ = ["day_of", "limit_of"]


def day_of(text: str, field: str = "day") -> str:
    """`text` if it is a day that a journal can have. Raises BadRequest, which names the field."""
    if not valid_day(text):
        raise BadRequest.of(field, f"{text[:40]!r} is no day such as 2026-11-23, from 2020 to 2100")
    return text


def limit_of(text: str | None) -> int:
    """How many to answer. Raises BadRequest."""
    if not text:
        return LIST_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= LIST_MAX):
        raise BadRequest.of("limit", f"is a number from 1 to {LIST_MAX}")
    return int(text)
