"""Charts as SVG that stands in the page: columns over time, and bars by name. Each has its figures in a table below it,
which is what a screen reader reads. Time runs in the direction of the language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from markupsafe import Markup

__all__ = ["bar", "columns"]

WIDE, HIGH, FOOT, HEAD = 720, 230, 30, 24
LABELS_MAX, EDGE = 10, 34


def columns(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], *, shown: Callable[[int], str], rtl: bool
) -> Markup:
    """Groups of columns, a group a label. `series` are (class, values), drawn beside one another; `shown` says an
    amount in words, for the line at the top."""
    top = max((value for _, values in series for value in values), default=0)
    top = max(top, 1)
    step, inner = WIDE / max(1, len(labels)), HIGH - FOOT - HEAD
    thick = max(1.0, min(26.0, step * 0.8 / max(1, len(series))))
    every = -(-len(labels) // LABELS_MAX)
    parts = [
        f'<line class="grid" x1="0" x2="{WIDE}" y1="{HEAD}" y2="{HEAD}"/>',
        f'<line class="grid" x1="0" x2="{WIDE}" y1="{HEAD + inner / 2:g}" y2="{HEAD + inner / 2:g}"/>',
        f'<line class="axis" x1="0" x2="{WIDE}" y1="{HEAD + inner}" y2="{HEAD + inner}"/>',
    ]
    for n, label in enumerate(labels):
        place = len(labels) - 1 - n if rtl else n
        middle = (place + 0.5) * step
        for k, (kind, values) in enumerate(series):
            order = len(series) - 1 - k if rtl else k
            height = inner * max(0, values[n]) / top
            x = middle - thick * len(series) / 2 + order * thick
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{HEAD + inner - height:.1f}" width="{thick - 1:.1f}"'
                f' height="{height:.1f}" rx="1.5"><title>{escape(label)}: {escape(shown(values[n]))}</title></rect>'
            )
        if n % every == 0:
            between = ' class="between"' if n // every % 2 else ""  # which a phone has no room for
            x, side = _within(middle)
            parts.append(f'<text{between} x="{x:.1f}" y="{HIGH - 6}" text-anchor="{side}">{escape(label)}</text>')
    x, anchor = (WIDE, "end") if rtl else (0, "start")
    parts.append(f'<text class="top" x="{x}" y="17" text-anchor="{anchor}">{escape(shown(top))}</text>')
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDE} {HIGH}" aria-hidden="true" direction="ltr">{"".join(parts)}</svg>'
    )


def _within(middle: float) -> tuple[float, str]:
    """Where a label is set so that all of it is seen."""
    if middle < EDGE:
        return 0.0, "start"
    return (float(WIDE), "end") if middle > WIDE - EDGE else (middle, "middle")


def bar(value: int, top: int, rtl: bool) -> Markup:
    """How much of the largest a value is, as a bar of a list."""
    width = 100 * max(0, value) / max(1, top)
    x = 100 - width if rtl else 0
    return Markup(
        '<svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="{x:.2f}" y="0" width="{width:.2f}" height="6"/></svg>'
    )
