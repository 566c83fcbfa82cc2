"""Many values in few queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["in_pieces"]

IN_A_QUERY = 250  # values in one `IN (...)`, well under SQLite's limit of variables


def in_pieces(values: Sequence[object]) -> Iterator[tuple[str, Sequence[object]]]:
    """`values` in pieces small enough for one query, each with its question marks."""
    for start in range(0, len(values), IN_A_QUERY):
        piece = values[start : start + IN_A_QUERY]
        yield ",".join("?" * len(piece)), piece
