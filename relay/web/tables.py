"""Tables of the board's pages, and the same as CSV: columns that can be sorted, and what a spreadsheet gets of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from urllib.parse import urlencode

from starlette.responses import Response

from posline.core.money import minor_digits
from posline.errors import BadRequest
from posline.till.cells import csv_line, inert
from posline.till.query import day_of
from posline.till.reporting import BOM
from relay.board import earlier
from relay.rights import Right
from relay.web.frame import HEADERS, Visit

__all__ = ["Query", "csv_answer", "plain_amount", "span_of", "wants_csv"]

DAYS_MAX = 400


class Query:
    """The query of a page, and links that change a part of it."""

    def __init__(self, visit: Visit) -> None:
        self._path = visit.request.url.path
        self._all = [(k, v) for k, v in visit.request.query_params.multi_items() if v and k not in ("said", "format")]

    def get(self, name: str, among: Sequence[str] = (), otherwise: str = "") -> str:
        """A value; one that is not `among` counts as not given."""
        value = next((v for k, v in self._all if k == name), otherwise)
        return value if not among or value in among else otherwise

    def all(self, name: str) -> list[str]:
        """All values of a name."""
        return [v for k, v in self._all if k == name]

    def number(self, name: str, most: int = 1_000_000) -> int:
        """A whole number from 0."""
        text = self.get(name)
        return min(int(text), most) if text.isascii() and text.isdecimal() and len(text) < 9 else 0

    def link(self, **changes: str | int | None) -> str:
        """This page with these values instead; None takes one away."""
        kept = [(k, v) for k, v in self._all if k not in changes]
        asked = urlencode([*kept, *((k, str(v)) for k, v in changes.items() if v is not None and v != "")])
        return self._path + (f"?{asked}" if asked else "")


def wants_csv(visit: Visit) -> bool:
    """Whether the table is asked for as a file, which is an export. Raises NotYours."""
    wants = visit.request.query_params.get("format") == "csv"
    if wants:
        visit.viewer.require(Right.EXPORT)
    return wants


def csv_answer(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A file for spreadsheets: UTF-8 with its mark, and no text that would run."""
    lines = [csv_line(head)]
    lines += [csv_line(inert(cell) if isinstance(cell, str) else _plain(cell) for cell in row) for row in rows]
    headers = HEADERS | {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response((BOM + "".join(lines)).encode(), headers=headers, media_type="text/csv; charset=utf-8")


def plain_amount(minor: int, currency: str) -> Decimal:
    """An amount as a plain decimal, which is no text that could run, also below 0."""
    return Decimal(minor).scaleb(-minor_digits(currency) if currency else 0)


def _plain(cell: object) -> str:
    return "" if cell is None else f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def span_of(visit: Visit, today: str, days: int = 1) -> tuple[str, str]:
    """The days that the query asks for, else the last `days` up to today. Raises BadRequest."""
    query = visit.request.query_params
    last = day_of(query["to"], "span") if query.get("to") else today
    first = day_of(query["from"], "span") if query.get("from") else earlier(last, days - 1)
    if first > last:
        raise BadRequest.of("span", f"{first} is behind the last day, {last}")
    if first < earlier(last, DAYS_MAX):
        raise BadRequest.of("span", f"is more than {DAYS_MAX} days before the last day")
    return first, last
