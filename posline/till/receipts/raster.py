"""Receipts as pictures, dot for dot as a thermal head of 203 dpi prints them: for Urdu, logos, QR codes, and for
looking at.

Draws blocks; knows nothing of sales. A block is drawn alone, so that a printer's bytes can mix pictures and its own
letters.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, UnidentifiedImageError

from posline.till.receipts.blocks import (
    Align,
    Block,
    Code,
    Columns,
    Cut,
    Kick,
    Paper,
    Picture,
    Receipt,
    Rule,
    Space,
    Text,
    shared_out,
)
from posline.till.receipts.fonts import Face, Line, advance, lines_of, stamp, width_of
from posline.till.receipts.qr import QUIET, dots_a_module, matrix

__all__ = ["draw_block", "picture", "png"]

BODY_PX = {58: 22, 80: 24}  # em of the running text, in dots: letters of 2 mm on the narrow roll
LARGE = 1.6  # size 2 against it
LEADING = 3  # dots between lines
GAP = 12  # dots between columns
LOGO_HEIGHT = 200  # dots: 25 mm
MARGIN = 20  # dots of paper around the picture for looking at
INK_FROM = 96  # of 255: from here on a dot is burnt; below a half, since thin strokes of Nastaliq must not break
HEIGHT_MAX = 40_000  # dots: 5 m of paper, twice what 500 lines need


def png(receipt: Receipt) -> bytes:
    """The whole receipt as a PNG, with the margin of its paper."""
    drawn = picture(receipt)
    sheet = Image.new("1", (drawn.width + 2 * MARGIN, drawn.height + 2 * MARGIN), 1)
    sheet.paste(drawn, (MARGIN, MARGIN))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True, dpi=(203, 203))
    return out.getvalue()


def picture(receipt: Receipt) -> Image.Image:
    """The whole receipt in black (0) and white, as wide as its print head."""
    drawn = [image for block in receipt.blocks if (image := draw_block(block, receipt)) is not None]
    return _joined(drawn or [Image.new("1", (receipt.paper.dots, 1), 1)])


def _joined(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one width, one below the other."""
    sheet = Image.new("1", (images[0].width, min(sum(image.height for image in images), HEIGHT_MAX)), 1)
    y = 0
    for image in images:
        sheet.paste(image, (0, y))
        y += image.height
    return sheet


def draw_block(block: Block, receipt: Receipt) -> Image.Image | None:
    """One block in black and white, as wide as the print head; None for what leaves nothing on paper."""
    paper, rtl = receipt.paper, receipt.language == "ur"
    if isinstance(block, Text):
        return _text(block, paper, receipt.urdu_font, rtl=rtl)
    if isinstance(block, Columns):
        return _columns(block, paper, receipt.urdu_font, rtl=rtl)
    if isinstance(block, Rule):
        return _rule(block, paper)
    if isinstance(block, Space):
        return Image.new("1", (paper.dots, BODY_PX[paper.mm]), 1)
    if isinstance(block, Code):
        drawn = _code(block, paper)
        if not block.caption:
            return drawn
        return _joined([drawn, _text(Text(block.caption, Align.CENTER), paper, receipt.urdu_font, rtl=rtl)])
    if isinstance(block, Picture):
        return _logo(block, paper)
    assert isinstance(block, Cut | Kick)
    return None


def _face(paper: Paper, urdu: str, size: int, bold: bool) -> Face:
    return Face(urdu, round(BODY_PX[paper.mm] * (LARGE if size > 1 else 1)), bold)


def _text(block: Text, paper: Paper, urdu: str, *, rtl: bool) -> Image.Image:
    face = _face(paper, urdu, block.size, block.bold)
    lines = lines_of(block.text, face, paper.dots, rtl=rtl)
    return _burnt(_stacked([(lines, 0, paper.dots, block.align)], face, paper.dots, rtl=rtl))


def _columns(block: Columns, paper: Paper, urdu: str, *, rtl: bool) -> Image.Image:
    face = _face(paper, urdu, block.size, block.bold)
    natural = [int(width_of(cell.text, face)) + 2 for cell in block.cells]
    widths = shared_out(block.cells, natural, paper.dots, GAP)
    columns, x = [], 0
    for cell, width in zip(block.cells, widths, strict=True):
        left = paper.dots - x - width if rtl else x
        columns.append((lines_of(cell.text, face, width, rtl=rtl), left, width, cell.align))
        x += width + GAP
    return _burnt(_stacked(columns, face, paper.dots, rtl=rtl))


def _stacked(
    columns: Sequence[tuple[Sequence[Line], int, int, Align]], face: Face, dots: int, *, rtl: bool
) -> Image.Image:
    """Columns of lines (each: its lines, left edge, width, alignment) as ink, their base lines level."""
    rows = max((len(lines) for lines, *_ in columns), default=0)
    extents = []
    for row in range(rows):
        beside = [lines[row] for lines, *_ in columns if row < len(lines)]
        extents.append((max(line.above for line in beside), max(line.below for line in beside)))
    height = sum(above + below + LEADING for above, below in extents)
    ink = Image.new("L", (dots, max(height, 1)))
    y = 0
    for row, (above, below) in enumerate(extents):
        for lines, left, width, align in columns:
            if row < len(lines):
                _write(ink, lines[row], face, left, width, align, y + above, rtl=rtl)
        y += above + below + LEADING
    return ink


def _write(
    ink: Image.Image, line: Line, face: Face, left: int, width: int, align: Align, base: int, *, rtl: bool
) -> None:
    room = width - line.width
    x = left + {Align.CENTER: room / 2, Align.END: 0 if rtl else room}.get(align, room if rtl else 0)
    for piece in line.pieces:
        if piece.way != "S":
            drawn = stamp(piece.text, face)
            at = (min(max(round(x) + drawn.left, 0), max(ink.width - drawn.ink.width, 0)), base + drawn.top)
            ink.paste(255, at, drawn.ink)
        x += advance(piece, face)


def _burnt(ink: Image.Image) -> Image.Image:
    return ink.point(lambda shade: 0 if shade >= INK_FROM else 255).convert("1", dither=Image.Dither.NONE)


def _rule(block: Rule, paper: Paper) -> Image.Image:
    sheet = Image.new("1", (paper.dots, 12), 1)
    draw = ImageDraw.Draw(sheet)
    if block.strong:
        draw.rectangle((0, 3, paper.dots - 1, 4), fill=0)
        draw.rectangle((0, 7, paper.dots - 1, 8), fill=0)
    else:
        for x in range(0, paper.dots, 6):
            draw.rectangle((x, 5, x + 2, 6), fill=0)
    return sheet


def _code(block: Code, paper: Paper) -> Image.Image:
    """A code in the middle; its quiet zone to the sides is the paper."""
    found = matrix(block.text, block.error)
    dots = dots_a_module(block, found, paper.dots)
    side, quiet = found.side * dots, QUIET * dots
    small = Image.new("1", (found.side, found.side), 1)
    small.putdata([0 if cell else 1 for row in found.rows for cell in row])
    sheet = Image.new("1", (paper.dots, side + 2 * quiet), 1)
    sheet.paste(small.resize((side, side), Image.Resampling.NEAREST), ((paper.dots - side) // 2, quiet))
    return sheet


def _logo(block: Picture, paper: Paper) -> Image.Image | None:
    """A logo in the middle, shrunk to fit and dithered; None where it is no picture after all: a receipt goes
    without."""
    try:
        with Image.open(io.BytesIO(block.png), formats=("PNG",)) as opened:
            rgba = opened.convert("RGBA")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    white = Image.new("RGBA", rgba.size, "white")
    grey = Image.alpha_composite(white, rgba).convert("L")
    ratio = min(1.0, paper.dots * 0.8 / grey.width, LOGO_HEIGHT / grey.height)
    size = (max(round(grey.width * ratio), 1), max(round(grey.height * ratio), 1))
    grey = grey.resize(size, Image.Resampling.LANCZOS)
    sheet = Image.new("1", (paper.dots, grey.height + 10), 1)
    sheet.paste(grey.convert("1"), ((paper.dots - grey.width) // 2, 0))
    return sheet
