"""Receipts as text of fixed columns: for the terminal, a message, and printers that know nothing else. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from posline.till.receipts.blocks import (
    Align,
    Block,
    Code,
    Columns,
    Receipt,
    Rule,
    Space,
    Text,
    shared_out,
)

__all__ = ["block_lines", "columns_of", "text"]

CODE_SHOWN = 60  # characters of a code that a person may want to type


def text(receipt: Receipt, columns: int | None = None) -> str:
    """The receipt in lines of `columns` (by default what its paper takes), each ended by a newline. Logos, cuts and
    drawers leave nothing; a code is written out where it is short."""
    width = columns or receipt.paper.columns
    lines = [line for block in receipt.blocks for line in block_lines(block, width, rtl=receipt.language == "ur")]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def block_lines(block: Block, width: int, *, rtl: bool = False) -> list[str]:
    """One block in lines of at most `width` columns."""
    if isinstance(block, Text):
        return [_put(line, block.align, width, rtl=rtl) for line in _wrapped(block.text, width)]
    if isinstance(block, Columns):
        return _beside(block, width, rtl=rtl)
    if isinstance(block, Rule):
        return [("=" if block.strong else "-") * width]
    if isinstance(block, Space):
        return [""]
    if isinstance(block, Code) and len(block.text) <= CODE_SHOWN:
        return [_put(line, Align.CENTER, width, rtl=rtl) for line in _wrapped(f"[QR {block.text}]", width)]
    return []


def columns_of(line: str) -> int:
    """How many columns a text takes: marks take none, wide letters two."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in line
    )


def _beside(block: Columns, width: int, *, rtl: bool) -> list[str]:
    widths = shared_out(block.cells, [columns_of(cell.text) for cell in block.cells], width, 1)
    cells = [_wrapped(cell.text, room) for cell, room in zip(block.cells, widths, strict=True)]
    lines = []
    for row in range(max(map(len, cells))):
        parts = [
            _put(cell[row] if row < len(cell) else "", block.cells[i].align, widths[i], rtl=rtl)
            for i, cell in enumerate(cells)
        ]
        lines.append(" ".join(reversed(parts) if rtl else parts))
    return lines


def _put(line: str, align: Align, width: int, *, rtl: bool) -> str:
    room = max(width - columns_of(line), 0)
    if align is Align.CENTER:
        return " " * (room // 2) + line + " " * (room - room // 2)
    return " " * room + line if (align is Align.END) != rtl else line + " " * room


def _wrapped(words: str, width: int) -> Sequence[str]:
    lines: list[str] = [""]
    for word in words.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if columns_of(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while columns_of(word) > width:
            fits = _prefix(word, width)
            lines[-1] = word[:fits]
            lines.append("")
            word = word[fits:]
        lines[-1] = word
    return [line for line in lines if line] or [""]


def _prefix(word: str, width: int) -> int:
    """How many letters of a long word go on a line; at least one."""
    taken = 0
    for i, c in enumerate(word):
        taken += columns_of(c)
        if taken > width:
            return max(i, 1)
    return len(word)
