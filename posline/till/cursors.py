"""Where a list goes on: behind which of what was answered before."""

from __future__ import annotations

from posline.errors import BadRequest
from posline.storage.reports import Reports

__all__ = ["cursor", "place"]


def place(reports: Reports, after: str | int | None) -> int:
    """Where a list goes on: behind a cursor, or behind the sale with this id or receipt."""
    text = str(after or "")
    found = reports.sale(text) if "-" in text else []
    return found[0].n if found else cursor(after)


def cursor(after: str | int | None) -> int:
    """The number in a cursor of an earlier answer; 0 without one. Raises BadRequest."""
    text = "0" if after is None else str(after)
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadRequest.of("after", "is no cursor of an earlier answer")
    return int(text)
