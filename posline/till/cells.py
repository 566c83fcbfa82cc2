"""Lines of CSV files, and what a cell may hold so that no spreadsheet runs what somebody once typed as a name."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

__all__ = ["csv_line", "inert", "lively"]

_RUNS = re.compile(r"[\s\ufeff]*[=+@\-\uff1d\uff0b\uff20\uff0d]|[\t\r\n]")  # also as full-width letters
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def csv_line(cells: Iterable[object]) -> str:
    """One line of a CSV file, with its end. The cells are as they shall be read: `inert` is for the caller to say."""
    line = io.StringIO()
    # a writer quotes what its own line end is made of, and readers take a lone carriage return for an end too
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()[:-2] + "\n"


def inert(text: str) -> str:
    """`text`, with a mark before it where a spreadsheet would take it for a formula. A number stays one."""
    return f"'{text}" if _runs(text.lstrip("'")) else text


def lively(cell: str) -> str:
    """The text that `inert` made a cell of."""
    return cell[1:] if cell.startswith("'") and _runs(cell.lstrip("'")) else cell


def _runs(text: str) -> bool:
    return _RUNS.match(text) is not None and _NUMBER.fullmatch(text) is None
