"""What calls read from a path or a query: days, how many to answer, and where a list goes on."""

from __future__ import annotations

from posline.core.entry import valid_day
from posline.errors import BadRequest
from posline.storage.reports import Reports

__all__ = ["LIST_DEFAULT", "LIST_MAX", "cursor", "day_of", "limit_of", "place"]

LIST_DEFAULT, LIST_MAX = 100, 1000  # sales in one answer


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


def place(reports: Reports, after: str | int | None) -> int:
    """Where a list goes on: behind a cursor, or behind the sale with this id or receipt. Raises BadRequest."""
    text = str(after or "")
    found = reports.sale(text) if "-" in text else []
    return found[0].n if found else cursor(after)


def cursor(after: str | int | None) -> int:
    """Where an earlier answer said that its list goes on; 0 for its beginning. Raises BadRequest."""
    text = "0" if after is None else str(after)
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadRequest.of("after", "is no cursor of an earlier answer")
    return int(text)
