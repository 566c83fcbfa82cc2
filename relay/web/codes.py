"""QR codes as they stand in a page."""

from __future__ import annotations

from posline.till.codes import svg_of

__all__ = ["drawing"]

SCALE = 4


def drawing(text: str) -> str:
    """A QR code as an SVG without a prolog."""
    svg = svg_of(text, SCALE)
    return svg[svg.index("<svg") :]
