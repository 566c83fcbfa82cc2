"""QR codes as pictures for pages: SVG that asks for nothing and holds no script."""

from __future__ import annotations

import io

import segno
from starlette.responses import Response

from posline.errors import BadRequest

__all__ = ["SCALE_MAX", "svg_answer", "svg_of"]

SCALE_MAX = 40  # pixels a module
TEXT_MAX = 1000  # characters
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",  # where it is opened by itself
    "x-content-type-options": "nosniff",
}


def svg_of(text: str, scale: int) -> str:
    """The code of `text` as an SVG, black on white, `scale` pixels a module. Raises BadRequest where it is none or too
    long."""
    if not 0 < len(text) <= TEXT_MAX:
        raise BadRequest.of("text", f"must be a text of 1 to {TEXT_MAX} characters")
    try:
        code = segno.make(text, error="m", micro=False)
    except (segno.DataOverflowError, UnicodeEncodeError) as error:
        raise BadRequest.of("text", "is too long for a QR code, or no text") from error
    out = io.BytesIO()
    code.save(out, kind="svg", scale=scale, dark="#000", light="#fff")
    return out.getvalue().decode()


def svg_answer(svg: str) -> Response:
    """An SVG as an answer of its own, for an `img` of a page."""
    return Response(svg.encode(), headers=_HEADERS, media_type="image/svg+xml")
