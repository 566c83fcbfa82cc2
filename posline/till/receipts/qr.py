"""QR codes as rows of modules, and how large they are printed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import segno

from posline.till.receipts.blocks import Code

__all__ = ["QUIET", "Matrix", "dots_a_module", "matrix"]

QUIET = 4  # modules of white around a code
INCH = 203  # dots
SIDE_DOTS = 344  # 43 mm: what a phone reads in one go, and what fits either paper
DOTS_MIN, DOTS_MAX = 3, 8  # 3 dots are 0.375 mm, the least that worn print heads and cheap scanners manage


@dataclass(frozen=True, slots=True)
class Matrix:
    """A code: `rows` of True for black, without the quiet zone; `version` 1 to 40."""

    rows: tuple[tuple[bool, ...], ...]
    version: int

    @property
    def side(self) -> int:
        """Modules along a side."""
        return len(self.rows)


@lru_cache(maxsize=64)
def matrix(text: str, error: str) -> Matrix:
    """The code of `text` at this level of correction, or a better one where that costs no module. Raises ValueError
    where it is too long for any."""
    try:
        code = segno.make(text, error=error, micro=False, boost_error=True)
    except segno.DataOverflowError as overflow:
        raise ValueError(f"{len(text)} characters are too many for a QR code") from overflow
    return Matrix(tuple(tuple(bool(cell) for cell in row) for row in code.matrix), int(code.version))


def dots_a_module(code: Code, found: Matrix, width: int) -> int:
    """How many dots across a module is printed on a paper of `width` dots."""
    wanted = INCH // found.side if code.inch else SIDE_DOTS // (found.side + 2 * QUIET)
    wanted = min(max(wanted, DOTS_MIN), DOTS_MAX)
    return max(1, min(wanted, width // (found.side + 2)))
