"""Repair: two replicas whose state vectors agree and whose digests do not, since an element was lost to a reused clock.

The side with the lower store id begins: it asks what the other holds of the authors that differ, appends what the other
lacks, and names what it lacks itself, which the other then appends. Each side adds exactly what is missing to the
smaller set, so it ends; rounds are bounded all the same, on the side that asks and on the side that answers, and what
is still different then is an alarm. Sets are sets of bytes, whatever the two think of them, so replicas of different
versions end too. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from posline.errors import Refused
from posline.replica import Replica
from posline.sync.messages import PREFIXES_MAX, Authors, Message, Missing, Prefixes, in_messages

__all__ = ["ROUNDS_AN_HOUR", "Repair"]

ROUNDS_AN_HOUR = 3  # of one document with one peer
HOUR_S = 3600.0
PREFIXES_KEPT = 250_000  # of one author and day that a peer may list: ten times the busiest till's day, 12 MB


@dataclass(slots=True)
class Repair:
    """The repairs of one link. What is appended is staged in the replica."""

    replica: Replica
    later: Callable[[float], None] = lambda at: None  # told when a round that was too many may be made after all
    rounds: dict[str, list[float]] = field(default_factory=dict)  # kept by the hub over reconnects
    _asked: set[str] = field(default_factory=set)  # documents of which the other side may list what it holds
    _theirs: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    _offered: dict[str, set[bytes]] = field(default_factory=dict)  # listed to the other side: it may ask for each once

    def begin(self, document: str, now: float) -> list[Message]:
        """The other side's digest differs at the same state; returns what to say, nothing where it was tried enough."""
        if not self._round(document, now):
            return []
        self._asked.add(document)
        return [Authors(document, self.replica.authors(document))]

    def _round(self, document: str, now: float) -> bool:
        recent = [at for at in self.rounds.get(document, []) if now - at < HOUR_S]
        if len(recent) >= ROUNDS_AN_HOUR:
            self.replica.alarm(
                "digests",
                f"{document} still differs from another device's after {len(recent)} repairs: run 'posline verify' on"
                " both",
            )
            # without anything being sold until then: a peer may have used the rounds up by lies
            self.later(recent[0] + HOUR_S + 1.0)
            return False
        self.rounds[document] = [*recent, now]
        self.replica.reload(document)  # the reused clock may be our own live one: a copy of this process has it, too
        return True

    def on_authors(self, message: Authors, now: float) -> list[Message]:
        """The other side began: show what is held of each author that differs."""
        mine = self.replica.authors(message.document)
        differing = [a for a in sorted(mine.keys() | message.authors.keys()) if mine.get(a) != message.authors.get(a)]
        if not differing or not self._round(message.document, now):
            return []
        answer: list[Message] = []
        offered = self._offered[message.document] = set()
        for author in differing:
            held = self.replica.prefixes(message.document, author)
            offered.update(held)
            pieces = in_messages(held, PREFIXES_MAX) or [()]
            for index, piece in enumerate(pieces):
                answer.append(Prefixes(message.document, author, tuple(piece), index == len(pieces) - 1))
        return answer

    def on_prefixes(self, message: Prefixes) -> list[Message]:
        """What the other side holds of an author: give it what it lacks, and ask for what is lacking here."""
        if message.document not in self._asked:
            raise Refused("hashes were listed that nobody asked for")
        place = message.document, message.author
        theirs = self._theirs.setdefault(place, [])
        theirs += message.prefixes
        if len(theirs) > PREFIXES_KEPT or len(self._theirs) > PREFIXES_MAX:
            self._asked.discard(message.document)
            self._theirs.clear()
            raise Refused("more hashes were listed than a document can hold")
        if not message.last:
            return []
        del self._theirs[place]
        mine = set(self.replica.prefixes(message.document, message.author))
        self._append(message.document, sorted(mine - set(theirs)))
        lacking = sorted(set(theirs) - mine)
        return [Missing(message.document, tuple(piece)) for piece in in_messages(lacking, PREFIXES_MAX)]

    def on_missing(self, message: Missing) -> None:
        """The other side lacks these: append exactly them, each once."""
        offered = self._offered.get(message.document, set())
        wanted = sorted(offered.intersection(message.prefixes))
        offered.difference_update(wanted)
        self._append(message.document, wanted)

    def _append(self, document: str, prefixes: list[bytes]) -> None:
        if prefixes:
            self.replica.append_again(document, self.replica.elements(document, prefixes))
