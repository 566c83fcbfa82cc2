"""Receipts as a page: stands alone, prints on a roll or on A4, asks nothing of the net and runs no script.

Everything that came from people is escaped. `html_body` has classes only and no style of its own, for pages with a
strict content security policy, which bring STYLE in their own style sheet, and may bring a face called "Posline Urdu"
for devices that have none of the better ones. Pure.
"""

from __future__ import annotations

import base64
from html import escape

from posline.till.receipts.blocks import Align, Block, Cell, Code, Columns, Picture, Receipt, Rule, Space, Text
from posline.till.receipts.qr import QUIET, matrix

__all__ = ["STYLE", "html", "html_body"]

STYLE = """\
.receipt { box-sizing: border-box; margin: 0 auto; padding: 3mm; width: 80mm; background: #fff; color: #000;
  font: 13px/1.35 "Noto Sans", "Segoe UI", Arial, sans-serif; overflow-wrap: anywhere; }
.receipt.mm58 { width: 58mm; font-size: 11.5px; }
.receipt[dir="rtl"] { font-family: "Noto Nastaliq Urdu", "Jameel Noori Nastaleeq", "Noto Naskh Arabic", "Posline Urdu",
  "Noto Sans", serif; line-height: 2; }
.receipt[dir="rtl"].naskh { font-family: "Noto Naskh Arabic", "Posline Urdu", "Noto Sans", serif; line-height: 1.6; }
.receipt p { margin: 0; }
.receipt .center { text-align: center; }
.receipt .end { text-align: end; }
.receipt .large { font-size: 1.6em; line-height: 1.3; }
.receipt[dir="rtl"] .large { line-height: 2; }
.receipt .bold { font-weight: 600; }
.receipt .columns { display: flex; gap: 2mm; }
.receipt .columns > * { flex: 1 1 auto; }
.receipt .columns > .end { flex: 0 1 auto; white-space: nowrap; font-variant-numeric: tabular-nums; }
.receipt hr { border: 0; border-top: 1px dashed #000; margin: 1mm 0; }
.receipt hr.strong { border-top: 3px double #000; }
.receipt .space { height: 1.3em; }
.receipt .code, .receipt .logo { display: block; margin: 2mm auto; }
.receipt .code { width: 43mm; height: 43mm; }
.receipt .code.inch { width: 33mm; height: 33mm; }
.receipt .logo { max-width: 80%; max-height: 25mm; }
"""
_PAGE = """\
body { margin: 0; background: #ddd; }
@page { margin: 0; }
@media print { body { background: none; } .receipt { padding: 0 1mm; } }
"""


def html(receipt: Receipt) -> str:
    """A page of its own, its style in its head."""
    language, title = receipt.language, escape(receipt.title or "Receipt")
    return (
        f'<!doctype html>\n<html lang="{language}" dir="{_direction(receipt)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{STYLE}{_PAGE}</style>\n</head>\n<body>\n{html_body(receipt)}</body>\n</html>\n"
    )


def html_body(receipt: Receipt) -> str:
    """The receipt as one element, to be put into another page."""
    classes = f"receipt mm{receipt.paper.mm} {receipt.urdu_font}"
    inside = "".join(f"{shown}\n" for block in receipt.blocks if (shown := _block(block)))
    return f'<article class="{classes}" lang="{receipt.language}" dir="{_direction(receipt)}">\n{inside}</article>\n'


def _direction(receipt: Receipt) -> str:
    return "rtl" if receipt.language == "ur" else "ltr"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f'<p{_classes(_align(block.align), block.size, block.bold)}><bdi>{escape(block.text)}</bdi></p>'
    if isinstance(block, Columns):
        cells = "".join(map(_cell, block.cells))
        return f"<div{_classes('columns', block.size, block.bold)}>{cells}</div>"
    if isinstance(block, Rule):
        return '<hr class="strong">' if block.strong else "<hr>"
    if isinstance(block, Space):
        return '<div class="space"></div>'
    if isinstance(block, Code):
        return _code(block)
    if isinstance(block, Picture):
        return f'<img class="logo" alt="" src="data:image/png;base64,{base64.b64encode(block.png).decode()}">'
    return ""


def _cell(cell: Cell) -> str:
    return f"<span{_classes(_align(cell.align), 1, False)}><bdi>{escape(cell.text)}</bdi></span>"


def _align(align: Align) -> str:
    return "" if align is Align.START else align.value


def _classes(first: str, size: int, bold: bool) -> str:
    names = " ".join(filter(None, (first, "large" if size > 1 else "", "bold" if bold else "")))
    return f' class="{names}"' if names else ""


def _code(block: Code) -> str:
    """A QR code as vectors: one path of runs of black modules, so that it is sharp on any printer."""
    found = matrix(block.text, block.error)
    path = []
    for y, row in enumerate(found.rows):
        x = 0
        while x < len(row):
            run = 0
            while x + run < len(row) and row[x + run]:
                run += 1
            if run:
                path.append(f"M{x + QUIET} {y + QUIET}h{run}v1h-{run}z")
            x += max(run, 1)
    side = found.side + 2 * QUIET
    name = "code inch" if block.inch else "code"
    caption = f'<p class="center"><bdi>{escape(block.caption)}</bdi></p>' if block.caption else ""
    return (
        f'<svg class="{name}" viewBox="0 0 {side} {side}" role="img" aria-label="QR" shape-rendering="crispEdges">'
        f'<path d="{"".join(path)}"/></svg>{caption}'
    )
