"""Which edit is current, decided by what each had seen and never by a clock. No I/O.

An edit supersedes what its `seen` covers: for each author, the entry named there and that author's earlier ones. Where
several still stand, they are in conflict: the higher role, then the greater hash, is current, and the others are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Current", "Edit", "current"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of `key` by `author`; `role` is a rank, `hash` its entry's (hex), `seen` {author: hash}."""

    key: str
    author: str
    role: int
    seq: int
    hash: str
    seen: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Current:
    """The edit that is current, and those that stand beside it."""

    current: Edit
    conflicts: tuple[Edit, ...]


def current(edits: Iterable[Edit], seqs: Mapping[str, int] | None = None) -> Current:
    """The current one of the edits of one key (at least one).

    `seqs` gives the numbers of other entries that a `seen` may name, by hash; without it only edits of this key count.
    """
    by_hash = {edit.hash: edit for edit in edits}
    numbers = {hash: edit.seq for hash, edit in by_hash.items()} | dict(seqs or {})
    # how far each author's edits are covered, by which edit, and how far without that one: an edit covers not itself
    covered: dict[str, tuple[int, str, int]] = {}
    for edit in by_hash.values():
        for author, hash in edit.seen.items():
            number = numbers.get(hash, 0)
            most, by, next_most = covered.get(author, (0, "", 0))
            if number > most:
                covered[author] = number, edit.hash, most
            elif number > next_most:
                covered[author] = most, by, number
    standing = []
    for edit in by_hash.values():
        most, by, next_most = covered.get(edit.author, (0, "", 0))
        if (next_most if by == edit.hash else most) < edit.seq:
            standing.append(edit)
    ranked = sorted(standing or by_hash.values(), key=lambda edit: (edit.role, edit.hash), reverse=True)
    return Current(ranked[0], tuple(ranked[1:]) if standing else ())
