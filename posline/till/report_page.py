"""A report as a page: one HTML file that needs nothing else, made to be printed or kept.

Names may be in any script: each cell takes its direction from its own text. Nothing on the page runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from posline.till.reporting import NUMBERS, Column, Sheet, Value, shown

__all__ = ["CONTENT_SECURITY", "page"]

CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'"  # what a browser may load for it: nothing
WIDE = 7  # columns up to which a table fits on a sheet of paper that stands upright
_STYLE = """
:root { color-scheme: light; }
body { font: 14px/1.45 system-ui, "Segoe UI", "Noto Sans", "Noto Nastaliq Urdu", "Jameel Noori Nastaleeq",
       "Noto Naskh Arabic", sans-serif; color: #111; background: #fff; margin: 2rem auto; max-width: 72rem;
       padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
p { margin: .2rem 0; color: #444; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: start; vertical-align: baseline;
         overflow-wrap: break-word; }
th { border-bottom: 2px solid #111; vertical-align: bottom; overflow-wrap: normal; }
.number { text-align: right; white-space: nowrap; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
td.text { unicode-bidi: plaintext; text-align: left; line-height: 1.75; } /* room for Nastaliq */
.below { color: #b00020; }
tbody tr:nth-child(even) { background: #f6f6f6; }
tfoot td { font-weight: 600; border-top: 2px solid #111; border-bottom: 0; }
@media print {
  body { font-size: 9pt; margin: 0; max-width: none; padding: 0; }
  th, td { padding: .1rem .35rem; }
  thead { display: table-header-group; }
  tfoot { display: table-row-group; }
  tr { break-inside: avoid; }
  tbody tr:nth-child(even) { background: none; }
  .below { color: inherit; }
}
"""


def page(sheet: Sheet) -> str:
    """The sheet as an HTML document."""
    title = escape(f"{sheet.title}, {sheet.span}")
    paper = "@page { size: " + ("landscape" if len(sheet.columns) > WIDE else "portrait") + "; margin: 12mm; }"
    return "\n".join([
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}{paper}</style>",
        "</head>",
        "<body>",
        f"<h1>{escape(sheet.title)}</h1>",
        f"<p><bdi>{escape(sheet.shop)}</bdi></p>",
        f"<p>{escape(sheet.span)}, amounts in {escape(sheet.currency)}</p>",
        *_table(sheet),
        *(f"<p>{escape(note)}</p>" for note in sheet.notes),
        "</body>",
        "</html>",
        "",
    ])  # fmt: skip


def _table(sheet: Sheet) -> Iterator[str]:
    if not sheet.rows:
        yield "<p>Nothing was recorded on these days.</p>"
        return
    yield "<table>"
    heads = "".join(
        f'<th scope="col"{" class=" + chr(34) + "number" + chr(34) if c.kind in NUMBERS else ""}>{escape(c.title)}</th>'
        for c in sheet.columns
    )
    yield f"<thead><tr>{heads}</tr></thead>"
    yield "<tbody>"
    for row in sheet.rows:
        cells = (_cell(c, value, sheet.currency) for c, value in zip(sheet.columns, row, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody>"
    if sheet.totals:
        cells = (_cell(c, sheet.totals.get(c.name), sheet.currency) for c in sheet.columns[1:])
        yield f'<tfoot><tr><td class="text">total</td>{"".join(cells)}</tr></tfoot>'
    yield "</table>"


def _cell(column: Column, value: Value, currency: str) -> str:
    if column.kind not in NUMBERS:
        return f'<td class="text" dir="auto">{escape(shown(column, value, currency))}</td>'
    below = isinstance(value, int) and value < 0
    return f'<td class="number{" below" if below else ""}">{escape(shown(column, value, currency))}</td>'
