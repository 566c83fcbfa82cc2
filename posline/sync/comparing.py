"""Comparing what two replicas hold: the ladder of digests, from the shop down to the documents, and the announcements
that it leads to. Only what differs is talked about. Pure: it says what to tell the peer, and knows no socket.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from posline.errors import Refused
from posline.replica import Replica, is_document
from posline.sync.messages import Announce, Message, Tree

__all__ = ["Comparing", "first_things_first"]

NODE_MAX = 7  # characters in the name of a node: a month
HOLE_S = 0.5  # between two announcements that a hole asks for
QUIET_S = 1.0  # without an update in either direction, before digests are compared again
COMPARE_S = 60.0  # between two such comparisons


def first_things_first(document: str) -> tuple[int, str]:
    """Members before products before sales, and days in order: what comes later leans on what comes first."""
    return (0 if document == "shop" else 1 if document.startswith("catalog/") else 2), document


class Comparing:
    """One link's comparison. `tell` sends a message to the peer."""

    def __init__(self, replica: Replica, tell: Callable[[Message], None], now: float) -> None:
        self._replica, self._tell = replica, tell
        self._nodes: set[str] = set()  # whose digests were said in this comparison
        self._announced: dict[str, int] = {}  # document -> the row as of which it was announced
        self._holes: set[str] = set()  # documents of which something is missing here: to be announced
        self._hole_s: dict[str, float] = {}
        self._stirred_s: float | None = None  # when the last update went by, if any did since digests were compared
        self._compared_s = now - COMPARE_S
        self._later_s = math.inf  # when to compare even if nothing goes by until then

    def stirred(self, now: float) -> None:
        """An update went by."""
        self._stirred_s = now

    def later(self, at: float) -> None:
        """Compare again then, whether updates go by or not."""
        self._later_s = min(self._later_s, at)

    def hole(self, document: str) -> None:
        """Something before an update is missing here."""
        self._holes.add(document)

    def show(self, node: str) -> None:
        """Say our digests below a node, once a comparison."""
        if node not in self._nodes:
            self._nodes.add(node)
            self._tell(Tree(node, self._replica.children(node)))

    def on_tree(self, tree: Tree) -> bool:
        """The peer's digests below a node: go down where they differ. True where the whole shop is equal."""
        if len(tree.node) > NODE_MAX:
            raise Refused("there is no such node")
        mine = self._replica.children(tree.node)
        if not tree.node:  # the comparison starts from the root: what was said in an earlier one may be said again
            self._nodes = {""} if "" in self._nodes else set()
            self._announced.clear()
        if tree.node and mine != tree.children:
            self.show(tree.node)
        for child in sorted(mine.keys() | tree.children.keys(), key=first_things_first):
            if mine.get(child) == tree.children.get(child):
                continue
            if is_document(child):
                self.announce(child)
            elif child.replace("-", "").isdigit() and len(child) <= NODE_MAX:
                self.show(child)
        return not tree.node and mine == tree.children

    def announce(self, document: str) -> None:
        """Say what is held of a document, unless this very state was said already."""
        head = self._replica.head(document)
        if self._announced.get(document) != head.n:
            self._announced[document] = head.n
            self._tell(Announce(document, head.state, head.count, head.digest))

    def announce_holes(self, now: float) -> None:
        """Say what is held of the documents in which something is missing: at once, but not with every update of a
        long row that hangs in the air."""
        for document in sorted(self._holes):
            if now - self._hole_s.get(document, now - HOLE_S) >= HOLE_S:
                self._holes.discard(document)
                self._hole_s[document] = now
                self._announced.pop(document, None)
                self.announce(document)

    def due(self, now: float) -> bool:
        """Whether updates went by, the line has come to rest, and digests were not compared for a while; or a time that
        was named has come."""
        return now >= min(self._rested_s, self._later_s)

    @property
    def _rested_s(self) -> float:
        return math.inf if self._stirred_s is None else max(self._stirred_s + QUIET_S, self._compared_s + COMPARE_S)

    @property
    def due_at(self) -> float:
        """When there may be something to say, if nothing happens until then."""
        holes = [self._hole_s.get(document, -math.inf) + HOLE_S for document in self._holes]
        return min([self._rested_s, self._later_s, *holes])

    def again(self, now: float) -> None:
        """Compare once more: so either side's lights come right after a crash, and what a reused clock lost is found on
        a link that never breaks."""
        self._stirred_s, self._compared_s, self._later_s = None, now, math.inf
        self._announced.clear()
        self._nodes.clear()
        self.show("")
