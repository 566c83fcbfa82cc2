"""Repair: two replicas whose state vectors agree and whose digests do not, since an element was lost to a reused clock.

The side with the lower store id begins: it asks what the other holds of the authors that differ, appends what the other
lacks, and names what it lacks itself, which the other then appends. Each side adds exactly what is missing to the
smaller set, so it ends; rounds are bounded all the same, and what is still different then is an alarm. Sets are sets of
bytes, whatever the two think of them, so replicas of different versions end too. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from posline.replica import Replica
from posline.sync.messages import PREFIXES_MAX, Authors, Message, Missing, Prefixes, in_messages

__all__ = ["ROUNDS_AN_HOUR", "Repair"]

ROUNDS_AN_HOUR = 3  # of one document with one peer
HOUR_S = 3600.0


@dataclass(slots=True)
class Repair:
    """The repairs of one link. What is appended is staged in the replica."""

    replica: Replica
    rounds: dict[str, list[float]] = field(default_factory=dict)  # kept by the hub over reconnects
    _theirs: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)

    def begin(self, document: str, now: float) -> list[Message]:
        """The other side's digest differs at the same state; returns what to say, nothing where it was tried enough."""
        recent = [at for at in self.rounds.get(document, []) if now - at < HOUR_S]
        if len(recent) >= ROUNDS_AN_HOUR:
            self.replica.alarm(
                "digests",
                f"{document} still differs from another device's after {len(recent)} repairs: run 'posline verify' on"
                " both",
            )
            return []
        self.rounds[document] = [*recent, now]
        return [Authors(document, self.replica.authors(document))]

    def on_authors(self, message: Authors) -> list[Message]:
        """The other side began: show what is held of each author that differs."""
        mine = self.replica.authors(message.document)
        answer: list[Message] = []
        for author in sorted(mine.keys() | message.authors.keys()):
            if mine.get(author) == message.authors.get(author):
                continue
            pieces = in_messages(self.replica.prefixes(message.document, author), PREFIXES_MAX) or [()]
            for index, piece in enumerate(pieces):
                answer.append(Prefixes(message.document, author, tuple(piece), index == len(pieces) - 1))
        return answer

    def on_prefixes(self, message: Prefixes) -> list[Message]:
        """What the other side holds of an author: give it what it lacks, and ask for what is lacking here."""
        place = message.document, message.author
        theirs = self._theirs.setdefault(place, [])
        theirs += message.prefixes
        if not message.last:
            return []
        del self._theirs[place]
        mine = set(self.replica.prefixes(message.document, message.author))
        self._append(message.document, sorted(mine - set(theirs)))
        lacking = sorted(set(theirs) - mine)
        return [Missing(message.document, tuple(piece)) for piece in in_messages(lacking, PREFIXES_MAX)]

    def on_missing(self, message: Missing) -> None:
        """The other side lacks these: append exactly them."""
        self._append(message.document, list(message.prefixes))

    def _append(self, document: str, prefixes: list[bytes]) -> None:
        if prefixes:
            self.replica.append_again(document, self.replica.elements(document, prefixes))
