"""Ranges of a till's numbers by run: what a Z report covers, and what no Z report covers yet. No I/O.

A range is (run, first, last). Run 0, which no run has, stands for whichever: a Z report that would name too many ranges
puts the oldest of them together so, and since a till counts on from run to run its numbers still say what is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["ANY_RUN", "Numbers"]

ANY_RUN = 0


class Numbers:
    """A set of numbers of one till's runs, kept as ranges."""

    def __init__(self, ranges: Iterable[Sequence[int]] = ()) -> None:
        self._runs: dict[int, list[tuple[int, int]]] = {}
        for run, first, last in ranges:
            self._runs.setdefault(run, []).append((first, last))
        for run, held in self._runs.items():
            self._runs[run] = _joined(held)

    def __contains__(self, place: tuple[int, int]) -> bool:
        run, seq = place
        return any(first <= seq <= last for of in (run, ANY_RUN) for first, last in self._runs.get(of, ()))

    def joined(self, other: Numbers) -> Numbers:
        """A set of the numbers of both."""
        both = Numbers()
        for run in self._runs.keys() | other._runs.keys():
            both._runs[run] = _joined([*self._runs.get(run, ()), *other._runs.get(run, ())])
        return both

    def add(self, run: int, seq: int) -> None:
        """Put one number in. Cheap where the numbers of a run come in order."""
        held = self._runs.setdefault(run, [])
        if not held or seq > held[-1][1] + 1:
            held.append((seq, seq))
        elif seq > held[-1][1]:
            held[-1] = held[-1][0], seq
        elif (run, seq) not in self:
            self._runs[run] = _joined([*held, (seq, seq)])

    def missing(self, run: int, last: int) -> list[tuple[int, int]]:
        """The ranges of a run up to `last` that are not in the set. Where some of the run is, what lies before that is
        no part of the run: numbers count on from run to run."""
        own = self._runs.get(run, [])
        gaps = []
        at = own[0][0] if own else 1
        for first, end in _joined([*own, *self._runs.get(ANY_RUN, ())]):
            if first > last:
                break
            if first > at:
                gaps.append((at, first - 1))
            at = max(at, end + 1)
        if at <= last:
            gaps.append((at, last))
        return gaps

    def ranges(self, most: int) -> list[list[int]]:
        """As [run, first, last] in the order of their numbers, at most `most`: of more, the lowest are put together
        without their runs."""
        found = sorted(([run, *span] for run, held in self._runs.items() for span in held), key=_by_number)
        if len(found) > most:
            low = found[: len(found) - most + 1]
            found = [[ANY_RUN, low[0][1], max(last for _, _, last in low)], *found[len(low) :]]
        return found


def _by_number(found: list[int]) -> tuple[int, int, int]:
    run, first, last = found
    return first, last, run


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined
