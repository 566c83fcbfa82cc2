"""Letters as ink: the fonts that come with Posline, which of them has which letter, and how a line of mixed writing
is ordered.

The Urdu fonts hold Arabic letters only, so a text is cut into pieces of one font and one direction, and the pieces are
put in order here (the Unicode bidirectional algorithm, without embeddings: marks of direction never get this far).
Shaping inside a piece is raqm's. Each piece is drawn once and kept. Reads the font files; knows nothing of receipts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from posline.till.receipts.blocks import has_urdu

__all__ = ["Face", "Line", "Piece", "Stamp", "advance", "can_shape", "lines_of", "stamp", "width_of"]

HERE = Path(__file__).parent / "fonts"
FILES = {
    "nastaliq": "noto-nastaliq-urdu-arabic-400-normal.woff",
    "naskh": "noto-naskh-arabic-arabic-400-normal.woff",
    "sans": "noto-sans-latin-400-normal.woff",
    "sans bold": "noto-sans-latin-600-normal.woff",
}
SCALE = {"nastaliq": 1.05, "naskh": 1.12}  # of the Latin letters beside them, so that both read alike
SPACES = {" ": 0.26, "  ": 0.48}  # of the em: between Latin words, and beside Urdu, whose words lean over
STAMPS_MAX = 4096  # pieces kept: a receipt has some hundred, and a shop's words come again
_LATIN = frozenset(
    [
        *map(chr, range(0x20, 0x7F)),
        *map(chr, range(0xA1, 0x100)),
        *"ıŒœʻʼˆ˚˜\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e•…′″‹›⁄€™−",
    ]
)
_MIRROR = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")
_SPELT = {"₨": "Rs", "₹": "Rs", "№": "No", "\u200b": "", "\u00ad": "", "‐": "-", "‑": "-", "‒": "-", "➔": ">"}
_ARABIC = "\u0600-\u06ff\u0750-\u077f\u200c\u200d\ufb50-\ufdff\ufe70-\ufefc"
_ATOMS = re.compile(
    rf"(?P<space>\s+)|(?P<arabic>[{_ARABIC}]+)|(?P<number>(?:(?<!\w)[-+])?[0-9](?:[0-9.,:/-]*[0-9])?%?)"
    rf"|(?P<latin>[^\W\d_{_ARABIC}]+)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Face:
    """How a text is set: the font for Urdu, the height of the Latin letters' em in dots, weight."""

    urdu: str = "nastaliq"
    px: int = 24
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Stamp:
    """A drawn piece: its ink, where that lies from the pen's place on the base line, and how far the pen goes on."""

    ink: Image.Image
    left: int
    top: int
    advance: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text in one font. `way` is L, R, N (a number), S (a space) or O; `level` its depth of
    embedding."""

    text: str
    way: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is set: its pieces from left to right, its width, and how far its ink goes above and below the base
    line."""

    pieces: tuple[Piece, ...]
    width: float
    above: int
    below: int


@cache
def can_shape() -> bool:
    """Whether Urdu can be drawn on this machine. Pillow brings raqm; fribidi must be there."""
    return bool(features.check("raqm") and features.check("fribidi"))


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    engine = ImageFont.Layout.RAQM if can_shape() else ImageFont.Layout.BASIC
    return ImageFont.truetype(str(HERE / FILES[name]), px, layout_engine=engine)


@lru_cache(maxsize=STAMPS_MAX)
def stamp(text: str, face: Face) -> Stamp:
    """A piece of one writing, drawn."""
    urdu = has_urdu(text)
    if urdu:
        font = _font(face.urdu, round(face.px * SCALE[face.urdu]))
    else:
        font = _font("sans bold" if face.bold else "sans", face.px)
    direction, language = ("rtl", "ur") if urdu else (None, None)
    length = font.getlength(text, direction=direction, language=language)
    left, top, right, bottom = map(int, font.getbbox(text, anchor="ls", direction=direction, language=language))
    heavy = int(face.bold and urdu)  # there is no second weight of the Urdu fonts here: they are struck twice
    ink = Image.new("L", (max(right - left, 1) + 2 + heavy, max(bottom - top, 1) + 2))
    draw = ImageDraw.Draw(ink)
    for step in range(heavy + 1):
        at = (1 - left + step, 1 - top)
        draw.text(at, text, fill=255, font=font, anchor="ls", direction=direction, language=language)
    return Stamp(ink, left - 1, top - 1, length + heavy)


def width_of(text: str, face: Face) -> float:
    """How wide a text is on one line, in dots."""
    return sum(advance(piece, face) for piece in _pieces(text))


def lines_of(text: str, face: Face, width: int, *, rtl: bool) -> list[Line]:
    """A text set in lines of at most `width` dots, for a paragraph that runs from the right or from the left."""
    lines: list[list[Piece]] = [[]]
    reached = 0.0
    pending: list[Piece] = []
    for word in _words(_pieces(text)):
        if word[0].way == "S":
            pending = word
            continue
        needs = sum(advance(piece, face) for piece in word)
        room = sum(advance(piece, face) for piece in pending)
        if reached and reached + room + needs > width:
            lines.append([])
            reached, room, pending = 0.0, 0.0, []
        if needs > width:
            for part in _broken(word, face, width):
                if lines[-1]:
                    lines.append([])
                lines[-1] = part
                reached = sum(advance(piece, face) for piece in part)
        else:
            lines[-1] += pending + word
            reached += room + needs
        pending = []
    return [_set(line, face, rtl=rtl) for line in lines if line]


def advance(piece: Piece, face: Face) -> float:
    """How far the pen goes on over a piece, in dots."""
    return face.px * SPACES[piece.text] if piece.way == "S" else stamp(piece.text, face).advance


def _pieces(text: str) -> list[Piece]:
    found = []
    for match in _ATOMS.finditer(text):
        kind, atom = match.lastgroup, match[0]
        if kind == "space":
            found.append(Piece(" ", "S"))
        elif kind == "arabic":
            found.append(Piece(atom if can_shape() else "?", "R"))
        else:
            shown = "".join(map(_drawable, atom))
            if shown:
                found.append(Piece(shown, {"number": "N", "latin": "L"}.get(kind or "", "O")))
    for i, piece in enumerate(found):
        if piece.way == "S" and any(beside.way == "R" for beside in found[max(i - 1, 0) : i + 2]):
            found[i] = Piece("  ", "S")
    return found


@lru_cache(maxsize=4096)
def _drawable(c: str) -> str:
    """The letter, or what stands for one that the fonts lack: its plain form, and at last a question mark."""
    if c in _LATIN:
        return c
    if c in _SPELT:
        return _SPELT[c]
    plain = "".join(x for x in unicodedata.normalize("NFKD", c) if x in _LATIN)
    return plain or ("" if unicodedata.combining(c) else "?")


def _words(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces gathered into what may not be broken, spaces between them."""
    words: list[list[Piece]] = []
    for piece in pieces:
        if piece.way == "S" or not words or words[-1][0].way == "S":
            words.append([piece])
        else:
            words[-1].append(piece)
    return words


def _broken(word: Sequence[Piece], face: Face, width: int) -> list[list[Piece]]:
    """A word that is wider than the line, in parts that are not."""
    parts: list[list[Piece]] = [[]]
    reached = 0.0
    for piece in word:
        for c in piece.text:
            grown = [*parts[-1]]
            if grown and grown[-1].way == piece.way:
                grown[-1] = replace(grown[-1], text=grown[-1].text + c)
            else:
                grown.append(replace(piece, text=c))
            reached = sum(advance(part, face) for part in grown)
            if reached > width and parts[-1]:
                parts.append([replace(piece, text=c)])
            else:
                parts[-1] = grown
    return parts


def _set(line: Sequence[Piece], face: Face, *, rtl: bool) -> Line:
    ordered = _ordered(line, rtl=rtl)
    above, below = round(face.px * 0.8), round(face.px * 0.24)
    width = 0.0
    for piece in ordered:
        width += advance(piece, face)
        if piece.way != "S":
            drawn = stamp(piece.text, face)
            above, below = max(above, -drawn.top), max(below, drawn.top + drawn.ink.height)
    return Line(tuple(ordered), width, above, below)


def _ordered(line: Sequence[Piece], *, rtl: bool) -> list[Piece]:
    """The pieces of a line as they stand from left to right."""
    base = int(rtl)
    ways: list[str] = []
    strong = "R" if rtl else "L"
    for piece in line:
        if piece.way in "LR":
            strong = piece.way
        ways.append("L" if piece.way == "N" and strong == "L" else piece.way)  # a number goes on where Latin was before
    for i in range(len(ways) - 2):  # beyond the algorithm: "800 ml" stays as it is within Urdu
        if ways[i : i + 3] == ["N", "S", "L"]:
            ways[i] = "L"
    levels: list[int] = []
    for i, way in enumerate(ways):
        if way in "SO":  # what has no direction takes that of both its neighbours, where they agree
            before = next((w for w in reversed(ways[:i]) if w not in "SO"), "R" if rtl else "L")
            after = next((w for w in ways[i + 1 :] if w not in "SO"), "R" if rtl else "L")
            sides = {"R" if side == "N" else side for side in (before, after)}
            way = sides.pop() if len(sides) == 1 else ("R" if rtl else "L")
        levels.append({"R": 1, "N": 2}.get(way, 2 * base))
    placed = [
        replace(p, level=level, text=p.text.translate(_MIRROR) if level % 2 and p.way == "O" else p.text)
        for p, level in zip(line, levels, strict=True)
    ]
    for level in range(max(levels, default=0), 0, -1):
        start = 0
        while start < len(placed):
            if placed[start].level < level:
                start += 1
                continue
            end = start
            while end < len(placed) and placed[end].level >= level:
                end += 1
            placed[start:end] = placed[start:end][::-1]
            start = end
    return placed
