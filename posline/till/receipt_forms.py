"""The forms in which a receipt is given: text, page, printer's bytes, picture; all from one layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posline.till.receipts.blocks import Receipt
from posline.till.receipts.escpos import escpos
from posline.till.receipts.html import html
from posline.till.receipts.raster import png
from posline.till.receipts.text import text

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["FORMS", "Form", "drawn"]


@dataclass(frozen=True, slots=True)
class Form:
    """How a receipt becomes bytes, and what those are called."""

    media_type: str
    make: Callable[[Receipt], bytes]


FORMS: Mapping[str, Form] = {
    "text": Form("text/plain; charset=utf-8", lambda receipt: text(receipt).encode()),
    "html": Form("text/html; charset=utf-8", lambda receipt: html(receipt).encode()),
    "escpos": Form("application/octet-stream", escpos),
    "png": Form("image/png", png),
}


def drawn(till: Till, wanted: str, form: str, *, copy: bool = False, language: str = "") -> bytes:
    """The receipt with this id, number or hash in one of the forms, for the paper of this till's printer, or the shop's
    where it has none. Takes up to a second for a long receipt in Urdu. Raises NotFound, Ambiguous."""
    papers, printer = till.printing.papers, till.printing.printer
    paper = printer.paper if printer.target.kind != "none" else None
    recorded = papers.find(wanted)
    return FORMS[form].make(
        papers.lay_out(recorded, copy=copy, language=language or printer.language, paper=paper)
    )
