"""The hub: the links of each shop of one store, and what passes between them. The engine and the simulator drive it.

A link stages what it receives in its replica; after the commit the hub lets the answers go, tells every link of the
shop what is new, and passes on how far other stores hold runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field

from posline.core.entry import verify_bytes
from posline.replica import Replica
from posline.storage.records import Commit, Mark, Staged
from posline.sync.link import LINKED, MYSELF, Link
from posline.sync.liveness import STALL_S, Pace
from posline.sync.messages import Have, Where
from posline.sync.moods import Mood, Tally
from posline.sync.places import Places, Source
from posline.trust.gate import Gate
from posline.writer import Random

__all__ = ["Hub", "Seen"]

TOLD_KEPT = 256  # sessions of peers of a shop
WHERE_S = 1.0  # between two messages of where members listen
LOOK_S = 5.0  # at most between two looks at a link, whatever it says is due


@dataclass(slots=True)
class Seen:
    """A device that this one has or had a link with."""

    store: str
    kind: str
    at_s: float  # when it was last heard of, on the hub's clock
    connected: bool
    behind: int
    clock_apart_ms: int | None = None  # how far its clock is ahead of ours, None where it never said


@dataclass(slots=True)
class _Shop:
    replica: Replica
    links: list[Link] = field(default_factory=list)
    live: tuple[str, ...] = ()
    confirmed: bool = False
    seen: dict[str, Seen] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)  # store -> the last `have` of its that was passed on
    repairs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    places: Places = field(default_factory=lambda: Places(""))
    told: dict[str, Where] = field(default_factory=dict)  # a peer's session -> what it was told of where others listen
    told_s: float | None = None  # when links were last told where others listen
    tell: bool = False  # that changed since
    due: float = 0.0  # when its links have something to do by the clock, if nothing happens until then


class Hub:
    """All links of one process."""

    def __init__(self, *, random: Random, kind: str) -> None:
        """`kind` is what this device says it is: "till" or "head office"."""
        self._random, self._kind = random, kind
        self._name_session()
        self._shops: dict[str, _Shop] = {}
        self._staged: dict[str, None] = {}  # shops that staged something since it was last looked
        self._ticked: float | None = None  # when time last went by here
        self.tally = Tally()
        self.on_staged: Callable[[], None] = lambda: None
        self.addresses: tuple[str, ...] = ()  # where this device listens, as "host:port", best first
        self.on_places: Callable[[str], None] = lambda shop: None  # it became known where a member of the shop listens

    def _name_session(self) -> None:
        """What this process goes by, on links that come up from now on."""
        self.session = f"{self._random.getrandbits(64):016x}"

    def add(self, replica: Replica, places: Places | None = None) -> None:
        """Take up a shop. `places` is where its members were last known to listen."""
        self._shops[replica.shop] = _Shop(replica, places=places or Places(replica.store_id))
        replica.tell_staged(functools.partial(self._staged.setdefault, replica.shop))

    def drop(self, shop: str) -> None:
        """Let go of a shop; its links end."""
        found = self._shops.pop(shop, None)
        for link in found.links if found is not None else ():
            link.close("the shop is not served here any more")

    @property
    def replicas(self) -> list[Replica]:
        """The replicas of all shops, as of this moment also for another thread."""
        return [shop.replica for shop in list(self._shops.values())]

    @property
    def staged(self) -> list[Replica]:
        """The replicas that have something to commit, as it came; to look costs nothing of the other thousands."""
        found = [shop.replica for name in self._staged if (shop := self._shops.get(name)) and shop.replica.staged]
        self._staged.clear()
        self._staged.update((replica.shop, None) for replica in found)
        return found

    def replica(self, shop: str) -> Replica | None:
        """A shop's replica."""
        found = self._shops.get(shop)
        return found.replica if found is not None else None

    def connect(
        self, shop: str, gate: Gate, *, dialling: bool, now: float, pace: Pace | None = None, here: bool = False
    ) -> Link:
        """A connection came up; `here`: from this machine itself."""
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
            here=here,
            tally=self.tally,
        )
        found.links.append(link)
        found.due = 0.0
        if self._ticked is None:
            self._ticked = now  # no time went by before that
        return link

    def disconnect(self, link: Link, now: float) -> None:
        """A connection is gone."""
        shop = self._shops.get(link.replica.shop)
        if shop is None or link not in shop.links:
            return
        shop.links.remove(link)
        if self._copied(shop, link):
            self._name_session()
        if link.greeted and link.peer.store not in self._live(shop):
            shop.seen[link.peer.store] = Seen(
                link.peer.store, link.peer.kind, now, False, link.behind, link.clock_apart_ms
            )
        link.mood = Mood.CLOSED
        self._links_changed(shop)

    @staticmethod
    def _copied(shop: _Shop, link: Link) -> bool:
        """Whether a copy of this process, memory and all, seems to run and to bear our session, by how a link ended:
        it was taken for us; or a peer keeps a newer link to us, and we have none. To such a peer both are one, and it
        would keep either link by turns, for ever. Where it was really us, or its close was just early, another name
        does no harm."""
        if link.closing == MYSELF:
            return True
        return link.ended == LINKED and all(
            other.peer.session != link.peer.session or other.mood is not Mood.OPEN for other in shop.links
        )

    def received(self, link: Link, message: bytes | str, now: float) -> None:
        """A message arrived on a link."""
        greeted = link.greeted
        link.receive(message, now)
        shop = self._shops.get(link.replica.shop)
        if shop is None:
            return
        shop.due = 0.0
        if link.greeted and not greeted and link.mood is Mood.OPEN:
            self._greeted(shop, link, now)
        for have in link.heard:
            self._have(shop, link, have)
        link.heard.clear()
        if link.where is not None:
            where, link.where = link.where, None
            self._heard_where(shop, link, where)
        if shop.replica.staged:
            self.on_staged()

    def _greeted(self, shop: _Shop, link: Link, now: float) -> None:
        """A peer said who it is: one link between two devices is enough, and the newest of one direction is the live
        one; of two directions the one that the lower store id dialled stays."""
        for other in [o for o in shop.links if o is not link and o.greeted and o.mood is Mood.OPEN]:
            if other.peer.session != link.peer.session:
                continue
            mine_stays = (link.mine < link.theirs) == link.dialling
            loser = other if other.dialling == link.dialling or mine_stays else link
            loser.close(LINKED)
        shop.seen[link.peer.store] = Seen(link.peer.store, link.peer.kind, now, True, 0, link.clock_apart_ms)
        shop.replica.seal_soon()
        if link.mood is Mood.OPEN:
            self._tell_where(shop, link)
        self._links_changed(shop)

    def linked_shops(self) -> list[str]:
        """The shops that have links."""
        return [shop for shop, found in self._shops.items() if found.links]

    def linked(self, shop: str, store: str) -> bool:
        """Whether a device is linked now."""
        found = self._shops.get(shop)
        return found is not None and store in self._live(found)

    # -- where others listen -----------------------------------------------------------------------------

    def places(self, shop: str) -> Places:
        """Where a shop's members listen, as far as is known."""
        return self._shops[shop].places

    def moved(self) -> None:
        """This device's own addresses changed: tell everybody."""
        for shop in self._shops.values():
            shop.tell = True

    def hinted(self, shop: str, author: str, addresses: Sequence[str], *, here: bool) -> None:
        """Multicast says that a member listens there."""
        found = self._shops.get(shop)
        if found is None:
            return
        before = set(found.places.of(author))
        found.places.heard(author, addresses, source=Source.DISCOVERED, here=here)
        if set(found.places.of(author)) - before:
            self.on_places(shop)

    def _heard_where(self, shop: _Shop, link: Link, where: Where) -> None:
        """A peer says where it listens, and others."""
        members = shop.replica.store.members(shop.replica.shop)
        before = {author: set(shop.places.of(author)) for author in shop.places.authors()}
        shop.places.heard(link.peer.store, where.own, source=Source.SELF, here=link.here)
        for author, addresses in where.others.items():
            if author in members:
                shop.places.heard(author, addresses, source=Source.HEARSAY, here=link.here)
        if any(set(shop.places.of(a)) - before.get(a, set()) for a in shop.places.authors()):
            shop.tell = True
            self.on_places(shop.replica.shop)

    def _tell_where(self, shop: _Shop, link: Link) -> None:
        others = shop.places.hearsay(link.peer.store, here=link.here)
        where = Where(self.addresses, {author: tuple(found) for author, found in others.items()})
        told = shop.told.get(link.peer.session, Where((), {}))
        if where != told:  # a link that comes back says nothing twice
            shop.told[link.peer.session] = where
            link.tell_where(where)
            while len(shop.told) > TOLD_KEPT:
                shop.told.pop(next(iter(shop.told)))

    def tick(self, now: float) -> None:
        """Time went by. Thousands of links are mostly at rest: only those are looked at in whose shop something
        happened, or is due."""
        still_s, self._ticked = 0.0 if self._ticked is None else now - self._ticked, now
        for shop in self._shops.values():
            if still_s > STALL_S:
                for link in shop.links:
                    link.stood_still(still_s, now)
            clock = shop.replica.clock
            if clock is not None and clock.confirmed != shop.confirmed:
                shop.confirmed = clock.confirmed
                for link in shop.links:
                    link.links_changed()
            if now >= shop.due or shop.tell:
                self._tick(shop, now)

    def _tick(self, shop: _Shop, now: float) -> None:
        if shop.tell and (shop.told_s is None or now - shop.told_s >= WHERE_S):
            shop.tell, shop.told_s = False, now
            for link in shop.links:
                if link.greeted:
                    self._tell_where(shop, link)
        due = now + LOOK_S
        for link in list(shop.links):
            link.tick(now)
            due = min(due, link.due)
        shop.due = due
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
            before = {document: n for (of, document), n in commit.before.items() if of == name}
            self._news(shop, before, done, {staged.origin for staged in items})

    def elsewhere(self, shop: str, before: dict[str, int]) -> None:
        """Another process of ours committed rows in a shop, behind these of each document: they go to every link."""
        found = self._shops.get(shop)
        if found is None:
            return
        for document, n in before.items():
            found.replica.touched(document, n)
        self._news(found, before)

    def _news(
        self, shop: _Shop, before: dict[str, int], done: Set[int] = frozenset(), brought: Set[str] = frozenset()
    ) -> None:
        """Rows stand behind these of each document: `done` are the staged updates of ours among them, `brought` the
        stores that sent those."""
        shop.due = 0.0
        marks = shop.replica.durable()
        for link in list(shop.links):
            if "shop" in before:
                link.members_changed()
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
            if shop is None:
                continue
            shop.due = 0.0
            for link in list(shop.links):
                if link.waits():
                    link.close("the disk did not take it: sync again")

    def seen(self, shop: str) -> list[Seen]:
        """The devices that a shop here has or had links with."""
        found = self._shops.get(shop)
        if found is None:
            return []
        for link in found.links:
            seen = found.seen.get(link.peer.store)
            if seen is not None and link.greeted and link.mood is Mood.OPEN:
                seen.at_s, seen.connected, seen.behind = max(seen.at_s, self._ticked or 0.0), True, link.behind
                seen.clock_apart_ms = link.clock_apart_ms
        return sorted(found.seen.values(), key=lambda s: s.store)

    def links(self, shop: str) -> list[Link]:
        """A shop's links."""
        found = self._shops.get(shop)
        return list(found.links) if found is not None else []

    def _have(self, shop: _Shop, link: Link, have: Have) -> None:
        """Another store holds runs that far: keep it, and pass it on once."""
        if have.store == shop.replica.store_id:
            return
        passed_on = have.store != link.peer.store
        if passed_on and (have.counter <= shop.counters.get(have.store, -1) or not self._signed(shop, have)):
            return  # believed only with its store's own signature, and once
        shop.counters[have.store] = max(have.counter, shop.counters.get(have.store, -1))
        shop.replica.heard_have(have.store, have.marks)
        for other in shop.links:
            if other is not link:
                other.pass_on(have)

    @staticmethod
    def _signed(shop: _Shop, have: Have) -> bool:
        replica = shop.replica
        authority = replica.store.authority(replica.shop)
        key = authority.key_of(have.store) if have.store in authority.members else None
        return key is not None and verify_bytes(key, have.signature, have.signed(replica.shop))

    @staticmethod
    def _live(shop: _Shop) -> tuple[str, ...]:
        return tuple(sorted({link.peer.store for link in shop.links if link.greeted and link.mood is Mood.OPEN}))

    def _links_changed(self, shop: _Shop) -> None:
        live = self._live(shop)
        if live != shop.live:
            shop.live = live
            for link in shop.links:
                link.links_changed()
