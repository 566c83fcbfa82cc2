"""How PostgreSQL spells what the ledger's SQL says in SQLite's way. Text in, text out.

The SQL of `posline.storage` is written once. What few words differ are put otherwise here; functions that SQLite has
and PostgreSQL has not are made in the schema (`relay.postgres.schema`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

__all__ = ["Values", "spelled", "spelled_table", "values_of"]

Values = Sequence[object] | Mapping[str, object]

_PARTS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*"        # what is quoted stays
    | \?\d* | %                               # a value's place; a sign that has a meaning of its own to psycopg
    | \bINSERT\s+OR\s+IGNORE\b | \bBEGIN\s+IMMEDIATE\b | \bCROSS\s+JOIN\b
    | \bNOT\s+INDEXED\b | \bINDEXED\s+BY\s+\w+""",
    re.VERBOSE,
)
_WORDS = {"insert or ignore": "INSERT", "begin immediate": "BEGIN", "cross join": "JOIN"}
_TYPES = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}  # SQLite compares texts byte by byte


@lru_cache(maxsize=4096)
def spelled(query: str) -> str:
    """`query` for psycopg: %s for each ?, or %(p1)s for ?1 (see `values_of`)."""
    ignoring = False

    def other(match: re.Match[str]) -> str:
        nonlocal ignoring
        part = match[0]
        if part[0] == "?":
            return "%s" if part == "?" else f"%(p{part[1:]})s"
        if part[0] in "'\"%":
            return part.replace("%", "%%")
        word = " ".join(part.lower().split())
        ignoring = ignoring or word == "insert or ignore"
        return _WORDS.get(word, "")  # PostgreSQL chooses its indexes itself

    text = _PARTS.sub(other, query)
    return f"{text} ON CONFLICT DO NOTHING" if ignoring else text


def values_of(text: str, values: Sequence[object]) -> Values:
    """The values in the form that a spelled query wants."""
    if "%(p" not in text:
        return values
    return {f"p{place}": value for place, value in enumerate(values, 1)}


def spelled_table(statement: str) -> str:
    """A statement that makes a table or an index."""
    for ours, theirs in _TYPES.items():
        statement = re.sub(rf"\b{ours}\b", theirs, statement)
    return re.sub(r"\s*\bWITHOUT ROWID\b", "", statement)
