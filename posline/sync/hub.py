"""The hub: the links of each shop of one store, and what passes between them. The engine and the simulator drive it.

A link stages what it receives in its replica; after the commit the hub lets the answers go, tells every link of the
shop what is new, and passes on how far other stores hold runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from posline.replica import Random, Replica
from posline.storage.store import Commit, Mark, Staged
from posline.sync.link import Link
from posline.sync.liveness import Pace
from posline.sync.messages import Have
from posline.sync.moods import Mood
from posline.trust.gate import Gate

__all__ = ["Hub", "Seen"]


@dataclass(slots=True)
class Seen:
    """A device that this one has or had a link with."""

    store: str
    kind: str
    at_s: float  # when it was last heard of, on the hub's clock
    connected: bool
    behind: int


@dataclass(slots=True)
class _Shop:
    replica: Replica
    links: list[Link] = field(default_factory=list)
    live: tuple[str, ...] = ()
    confirmed: bool = False
    seen: dict[str, Seen] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)  # store -> the last `have` of its that was passed on
    repairs: dict[str, dict[str, list[float]]] = field(default_factory=dict)


class Hub:
    """All links of one process."""

    def __init__(self, *, random: Random, kind: str) -> None:
        """`kind` is what this device says it is: "till" or "head office"."""
        self._random, self._kind = random, kind
        self.session = f"{random.getrandbits(64):016x}"
        self._shops: dict[str, _Shop] = {}
        self.on_staged: Callable[[], None] = lambda: None

    def add(self, replica: Replica) -> None:
        """Take up a shop."""
        self._shops[replica.shop] = _Shop(replica)

    def drop(self, shop: str) -> None:
        """Let go of a shop; its links end."""
        found = self._shops.pop(shop, None)
        for link in found.links if found is not None else ():
            link.close("the shop is not served here any more")

    @property
    def replicas(self) -> list[Replica]:
        """The replicas of all shops."""
        return [shop.replica for shop in self._shops.values()]

    def replica(self, shop: str) -> Replica | None:
        """A shop's replica."""
        found = self._shops.get(shop)
        return found.replica if found is not None else None

    def connect(self, shop: str, gate: Gate, *, dialling: bool, now: float, pace: Pace | None = None) -> Link:
        """A connection came up."""
        found = self._shops[shop]
        link = Link(
            found.replica,
            gate,
            dialling=dialling,
            now=now,
            random=self._random,
            session=self.session,
            kind=self._kind,
            links=lambda: self._live(found),
            pace=pace,
            repairs=found.repairs,
        )
        found.links.append(link)
        return link

    def disconnect(self, link: Link, now: float) -> None:
        """A connection is gone."""
        shop = self._shops.get(link.replica.shop)
        if shop is None or link not in shop.links:
            return
        shop.links.remove(link)
        if link.greeted and link.peer.store not in self._live(shop):
            shop.seen[link.peer.store] = Seen(link.peer.store, link.peer.kind, now, False, link.behind)
        link.mood = Mood.CLOSED
        self._links_changed(shop)

    def received(self, link: Link, message: bytes | str, now: float) -> None:
        """A message arrived on a link."""
        greeted = link.greeted
        link.receive(message, now)
        shop = self._shops.get(link.replica.shop)
        if shop is None:
            return
        if link.greeted and not greeted and link.mood is Mood.OPEN:
            self._greeted(shop, link, now)
        for have in link.heard:
            self._have(shop, link, have)
        link.heard.clear()
        if shop.replica.staged:
            self.on_staged()

    def _greeted(self, shop: _Shop, link: Link, now: float) -> None:
        """A peer said who it is: one link between two devices is enough, and the newest of one direction is the live
        one; of two directions the one that the lower store id dialled stays."""
        for other in [o for o in shop.links if o is not link and o.greeted and o.mood is Mood.OPEN]:
            if other.peer.session != link.peer.session:
                continue
            mine, theirs = (shop.replica.store_id, self.session), (link.peer.store.split("/")[0], link.peer.session)
            mine_stays = (mine < theirs) == link.dialling  # two lives of one till differ in their sessions
            loser = other if other.dialling == link.dialling or mine_stays else link
            loser.close("linked already")
        shop.seen[link.peer.store] = Seen(link.peer.store, link.peer.kind, now, True, 0)
        shop.replica.seal_soon()
        self._links_changed(shop)

    def linked(self, shop: str, store: str) -> bool:
        """Whether a device is linked now."""
        found = self._shops.get(shop)
        return found is not None and store in self._live(found)

    def tick(self, now: float) -> None:
        """Time went by."""
        for shop in self._shops.values():
            for link in list(shop.links):
                link.tick(now)
                if link.greeted and link.mood is Mood.OPEN:
                    seen = shop.seen.get(link.peer.store)
                    if seen is not None:
                        seen.at_s, seen.connected, seen.behind = now, True, link.behind
            clock = shop.replica.clock
            if clock is not None and clock.confirmed != shop.confirmed:
                shop.confirmed = clock.confirmed
                for link in shop.links:
                    link.links_changed()
            if shop.replica.staged:
                self.on_staged()

    def released(self, batch: Sequence[Staged], commit: Commit) -> None:
        """A commit stands: `Replica.release` was called. Answers go out, and what is new goes to every link."""
        by_shop: dict[str, list[Staged]] = {}
        for staged in batch:
            by_shop.setdefault(staged.shop, []).append(staged)
        done = set(map(id, batch))
        for name, items in by_shop.items():
            shop = self._shops.get(name)
            if shop is None:
                continue
            rows: dict[str, int] = {}
            for staged in items:
                rows[staged.document] = rows.get(staged.document, 0) + 1
            before = {document: commit.documents[name, document].n - count for document, count in rows.items()}
            marks = shop.replica.durable()
            brought = {staged.origin for staged in items}
            for link in list(shop.links):
                link.released(done)
                link.committed(before)
                link.have(self._others(shop, link, marks), brought=link.peer.store in brought)

    @staticmethod
    def _others(shop: _Shop, link: Link, marks: Iterable[Mark]) -> list[Mark]:
        """What is worth saying: not to an author that we hold what it wrote under another's eyes, but all it wrote."""
        return [mark for mark in marks if mark.author != shop.replica.store_id or link.peer.store != mark.author]

    def failed(self, shops: Iterable[str]) -> None:
        """The commit of these shops' staged updates failed: links that wait for it end, and sync afresh."""
        for name in shops:
            shop = self._shops.get(name)
            for link in list(shop.links) if shop is not None else ():
                if link.waits():
                    link.close("the disk did not take it: sync again")

    def seen(self, shop: str) -> list[Seen]:
        """The devices that a shop here has or had links with."""
        found = self._shops.get(shop)
        return sorted(found.seen.values(), key=lambda s: s.store) if found is not None else []

    def links(self, shop: str) -> list[Link]:
        """A shop's links."""
        found = self._shops.get(shop)
        return list(found.links) if found is not None else []

    def _have(self, shop: _Shop, link: Link, have: Have) -> None:
        """Another store holds runs that far: keep it, and pass it on once."""
        known = have.store in shop.replica.store.members(shop.replica.shop) or have.store == link.peer.store
        if not known or have.store == shop.replica.store_id:
            return
        if have.store != link.peer.store and have.counter <= shop.counters.get(have.store, -1):
            return
        shop.counters[have.store] = max(have.counter, shop.counters.get(have.store, -1))
        shop.replica.heard_have(have.store, have.marks)
        for other in shop.links:
            if other is not link:
                other.pass_on(have)

    @staticmethod
    def _live(shop: _Shop) -> tuple[str, ...]:
        return tuple(sorted({link.peer.store for link in shop.links if link.greeted and link.mood is Mood.OPEN}))

    def _links_changed(self, shop: _Shop) -> None:
        live = self._live(shop)
        if live != shop.live:
            shop.live = live
            for link in shop.links:
                link.links_changed()
