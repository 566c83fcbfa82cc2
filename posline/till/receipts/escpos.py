"""Receipts as the bytes of a thermal printer (ESC/POS): its own letters where they do, pictures where they don't.

Only printable ASCII is ever sent as text, so nothing that people typed can be a command; whatever else stands on a
receipt goes as a picture, and so does a whole receipt in Urdu. Pure: bytes in, bytes out; sending them is
posline.till.printers'.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image, ImageChops

from posline.till.receipts.blocks import (
    Block,
    Cell,
    Code,
    Columns,
    Cut,
    Kick,
    Picture,
    Receipt,
    Text,
    has_urdu,
)
from posline.till.receipts.raster import draw_block
from posline.till.receipts.text import block_lines

__all__ = ["escpos", "kick", "raster"]

ESC, GS = b"\x1b", b"\x1d"
# as new, letters of the USA, so that # $ @ [ ] are themselves, code page 437
START = ESC + b"@" + ESC + b"R\x00" + ESC + b"t\x00"
FEED_LINES = 4  # from the print head to the knife or the edge where it is torn off
CUT = ESC + b"d" + bytes([FEED_LINES]) + GS + b"V\x01"  # a partial cut; printers without a knife pass over it
BAND_ROWS = 128  # dots: 9 kB on the widest paper, what small printers can hold
KICK_ON_MS, KICK_OFF_MS = 50, 200  # how long the drawer's coil is under current; in steps of 2 ms
_PLAIN = str.maketrans(
    {
        "×": "x", "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "•": "*",
        "₨": "Rs", "€": "EUR", "·": "-", "\u200b": None, "\u00ad": None,
    }
)  # fmt: skip


def escpos(receipt: Receipt, *, pictures: bool = False) -> bytes:
    """The bytes that print a receipt. With `pictures` all of it goes as pictures, for printers whose letters are
    odd."""
    whole = pictures or receipt.language == "ur"
    return START + b"".join(part for block in receipt.blocks for part in _block(block, receipt, whole)) + ESC + b"@"


def kick(pin: int = 2) -> bytes:
    """The bytes that open the drawer on this pin (2 or 5) of the printer's socket."""
    return ESC + b"p" + bytes([0 if pin == 2 else 1, KICK_ON_MS // 2, KICK_OFF_MS // 2])


def raster(image: Image.Image) -> bytes:
    """A picture (mode 1, black is 0) in bands of bounded height. White is sent like the rest: how far a feed goes
    differs from printer to printer."""
    black = ImageChops.invert(image.convert("1"))
    across = (black.width + 7) // 8
    out = []
    for y in range(0, black.height, BAND_ROWS):
        band = black.crop((0, y, black.width, min(y + BAND_ROWS, black.height)))
        out.append(GS + b"v0\x00" + across.to_bytes(2, "little") + band.height.to_bytes(2, "little") + band.tobytes())
    return b"".join(out)


def _block(block: Block, receipt: Receipt, whole: bool) -> Iterator[bytes]:
    if isinstance(block, Kick):
        yield kick()
    elif isinstance(block, Cut):
        yield CUT
    elif isinstance(block, Code | Picture) or whole:
        yield from _drawn(block, receipt)
    else:
        plain = _ascii(block)
        if plain is None:
            yield from _drawn(block, receipt)
        else:
            yield from _letters(plain, receipt)


def _drawn(block: Block, receipt: Receipt) -> Iterator[bytes]:
    image = draw_block(block, receipt)
    if image is not None:
        yield ESC + b"a\x00" + raster(image)


def _letters(block: Block, receipt: Receipt) -> Iterator[bytes]:
    """A block in the printer's own letters. Lines are filled with blanks here, so that alignment is ours alone."""
    size, bold = 1, False
    if isinstance(block, Text | Columns):
        size, bold = block.size, block.bold
    width = receipt.paper.columns
    lines = block_lines(block, width // size)
    if size > 1 and len(lines) > 1 and isinstance(block, Columns):  # an amount is not broken: high, but not wide
        lines, size = block_lines(block, width), 0
    yield ESC + b"a\x00" + ESC + b"E" + bytes([bold]) + GS + b"!" + bytes([{1: 0x00, 2: 0x11, 0: 0x01}[size]])
    for line in lines:
        yield _printable(line.rstrip()) + b"\n"
    yield ESC + b"E\x00" + GS + b"!\x00"


def _ascii(block: Block) -> Block | None:
    """The block in ASCII, where that says the same; None where it needs a picture."""
    if isinstance(block, Text):
        plain = _plain(block.text)
        return None if plain is None else Text(plain, block.align, block.size, block.bold)
    if isinstance(block, Columns):
        cells = []
        for cell in block.cells:
            plain = _plain(cell.text)
            if plain is None:
                return None
            cells.append(Cell(plain, cell.align, cell.share))
        return Columns(tuple(cells), block.size, block.bold)
    return block


def _plain(text: str) -> str | None:
    if has_urdu(text):
        return None
    plain = text.translate(_PLAIN)
    return plain if plain.isascii() else None


def _printable(line: str) -> bytes:
    """The line's bytes, and none of them a command: the last line of defence, behind `clean`."""
    return bytes(c if 0x20 <= c < 0x7F else 0x3F for c in line.encode("ascii", "replace"))
