"""What a cell of a CSV file may hold, so that no spreadsheet runs what somebody once typed as a name."""

from __future__ import annotations

import re

__all__ = ["inert", "lively"]

_RUNS = re.compile(r"[\s\ufeff]*[=+@\-\uff1d\uff0b\uff20\uff0d]|[\t\r\n]")  # also as full-width letters
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def inert(text: str) -> str:
    """`text`, with a mark before it where a spreadsheet would take it for a formula. A number stays one."""
    return f"'{text}" if _runs(text.lstrip("'")) else text


def lively(cell: str) -> str:
    """The text that `inert` made a cell of."""
    return cell[1:] if cell.startswith("'") and _runs(cell.lstrip("'")) else cell


def _runs(text: str) -> bool:
    return _RUNS.match(text) is not None and _NUMBER.fullmatch(text) is None
