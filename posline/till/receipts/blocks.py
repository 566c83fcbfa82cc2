"""What a receipt consists of: typed blocks, one below the other, and the paper that they go on.

Every text in a block is clean by construction: no control character, none that turns the direction of writing. So a
product's name can carry no printer command, and cannot swap the digits of an amount beside it. Pure: knows nothing of
sales or printers.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "PAPERS",
    "Align",
    "Block",
    "Cell",
    "Code",
    "Columns",
    "Cut",
    "Kick",
    "Paper",
    "Picture",
    "Receipt",
    "Rule",
    "Space",
    "Text",
    "clean",
    "has_urdu",
    "shared_out",
]

MAX_TEXT = 400  # characters of one text: a footer of a few sentences
_ARABIC = (("\u0600", "\u06ff"), ("\u0750", "\u077f"), ("\ufb50", "\ufdff"), ("\ufe70", "\ufefc"))
_INVISIBLE = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """`text` on one line, without control characters or marks of direction, at most `limit` characters."""
    kept = "".join(
        " " if unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") else c
        for c in unicodedata.normalize("NFC", text[: 4 * limit])
        if c not in _INVISIBLE and unicodedata.category(c) not in ("Cs", "Co", "Cn")
    )
    return " ".join(kept.split())[:limit]


def has_urdu(text: str) -> bool:
    """Whether a text has letters of the Arabic script, which only a picture can show on a printer."""
    return any(_arabic(c) for c in text)


def _arabic(c: str) -> bool:
    return any(first <= c <= last for first, last in _ARABIC)


class Align(Enum):
    """Along the line: START is left in English and right in Urdu."""

    START = "start"
    CENTER = "center"
    END = "end"


@dataclass(frozen=True, slots=True)
class Paper:
    """A roll: its width in mm, and what the print head puts across it: characters of the printer's own font, and dots
    (203 to the inch)."""

    mm: int
    columns: int
    dots: int


PAPERS = {
    "58": Paper(58, 32, 384),
    "80": Paper(80, 48, 576),
    "80/42": Paper(80, 42, 512),  # older printers of 80 mm
}


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. `size` 1 is the running text, 2 twice as large."""

    text: str
    align: Align = Align.START
    size: int = 1
    bold: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text))


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a line; `share` of the width in hundredths, 0 for what the others leave."""

    text: str
    align: Align = Align.START
    share: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text))


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells side by side. Where one needs more room than it has it goes on below, within its own column."""

    cells: tuple[Cell, ...]
    size: int = 1
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across; `strong` is drawn double."""

    strong: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """Room, as high as a line of text."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, printed in black and white, at most as wide as the paper."""

    png: bytes


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code with a caption below. `inch` asks for one inch square where the code's size allows it (what fiscal
    services want); `error` is the level of correction: L, M, Q or H."""

    text: str
    inch: bool = False
    error: str = "M"
    caption: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "caption", clean(self.caption))


@dataclass(frozen=True, slots=True)
class Cut:
    """The paper is cut here."""


@dataclass(frozen=True, slots=True)
class Kick:
    """The cash drawer opens."""


Block = Text | Columns | Rule | Space | Picture | Code | Cut | Kick


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is to be printed. `language` is `en` or `ur` (written from the right); `urdu_font` is `nastaliq` or `naskh`;
    `warnings` says in English what could not be printed as wished, for the cashier and not for the customer."""

    blocks: tuple[Block, ...]
    paper: Paper
    title: str = ""
    language: str = "en"
    urdu_font: str = "nastaliq"
    warnings: tuple[str, ...] = ()


def shared_out(cells: tuple[Cell, ...], natural: list[int], total: int, gap: int) -> list[int]:
    """The width of each cell, in whatever unit `natural` (what each would like), `total` and `gap` are in. Cells with a
    share get it. Of the others those at the end of the line get what they like, up to two thirds, and the rest goes
    to the rest."""
    widths = [total * cell.share // 100 for cell in cells]
    left = total - gap * (len(cells) - 1) - sum(widths)
    open_ = [i for i, cell in enumerate(cells) if not cell.share]
    for i in reversed(open_[1:]):
        least = sum(natural[j] for j in open_ if j < i)
        widths[i] = min(natural[i], max(left - least, left * 2 // 3))
        left -= widths[i]
    if open_:
        widths[open_[0]] = left
    return [max(width, 1) for width in widths]
