"""The engine: one store's group commit, links and clocks, on asyncio.

Whatever is staged while a commit runs goes into the next one. A commit runs in its own thread, or inline when nothing
else waits and the disk is fast, which saves the hop. Decisions are the hub's and the replica's; here are only the
thread, the tasks and the sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random as randomness
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.routing import BaseRoute

from posline.errors import CommitFailed, OutcomeUnknown, Overtaken
from posline.replica import Replica
from posline.storage.connection import is_failure
from posline.storage.records import Commit, Staged
from posline.storage.store import Store
from posline.sync.accept import accept_routes
from posline.sync.dial import Dialler
from posline.sync.hub import Hub
from posline.sync.link import Link
from posline.sync.places import Places
from posline.trust.gate import Doorkeeper
from posline.writer import Random

__all__ = ["Engine", "PeerState"]

log = logging.getLogger("posline.sync")

CATALOGUE_BYTES = 2048  # of others' products in one transaction: a sale waits for the indexing of some 25
BATCH_UPDATES = 512  # in one transaction: a few MB at the most, and the cashier's sale waits for one at the most
INLINE_UPDATES = 4  # a ring or two; more would keep the loop busy
INLINE_S = 0.0015  # a disk whose last commits were faster than this is fast
TICK_S = 0.1
REPLICA_TICK_S = 1.0
NOTES_S = 1.0  # how long small notes (lights, settings) wait for a commit to go with
LOST_KEPT = 1000  # updates whose commit failed, for whoever asks about them only now
SQUASH_ROWS = 64  # new rows of a document that make squashing worth while, once nothing else is to be done
SQUASH_NOW_ROWS = 512  # or at once, so that a busy day's log stays short
IDLE_S = 2.0
PATIENCE_S = 1.0  # for a till with a lower id to dial us, before we dial it
STOP_S = 1.5  # for links to say their last words, the last seal among them
ANSWERED_S = 3.0  # for a link that is to end to have its answers, which come with the next commits
LEAVING = "this process is going: link again, elsewhere"


def _next(staged: Sequence[Staged], most: int) -> list[Staged]:
    """What of a shop goes into the next commit: products that came from elsewhere only a few at a time, and what is
    behind them does not wait for the rest. What is written here keeps its order."""
    taken: list[Staged] = []
    room, waits = CATALOGUE_BYTES, set[str]()
    for each in staged:
        if len(taken) >= most:
            break
        if each.own or not each.document.startswith("catalog/"):
            if each.document in waits:  # an edit of ours: it may lean on what waits
                break
            taken.append(each)
        elif room > 0 and each.document not in waits:
            room -= len(each.update)
            taken.append(each)
        else:
            waits.add(each.document)
    return taken


@dataclass(frozen=True, slots=True)
class PeerState:
    """What is known of a device or of an address that is dialled. `store` is "" where nobody answered yet, `last_seen`
    ISO 8601, None when never; `why` says what was wrong with the last try, `clock_apart_ms` how far its clock is ahead
    of ours, None where it never said."""

    store: str
    name: str
    kind: str
    connected: bool
    last_seen: str | None
    behind: int
    url: str | None
    why: str = ""
    clock_apart_ms: int | None = None


class Engine:
    """Runs a store's replicas: a till's one, a head office's many."""

    def __init__(
        self,
        store: Store,
        *,
        kind: str = "till",
        random: Random | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_fatal` is told of a disk error after which the file can no longer be believed: the process should end."""
        self.store, self.now = store, now
        self.hub = Hub(random=random or randomness.SystemRandom(), kind=kind)
        self.hub.on_staged = self.poke
        self._wall, self._on_fatal = wall, on_fatal
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._wanted = asyncio.Event()
        self._waiters: dict[int, asyncio.Future[None]] = {}
        self._lost: deque[tuple[Staged, CommitFailed]] = deque(maxlen=LOST_KEPT)
        self._listeners: list[Callable[[Commit], None]] = []
        self.on_failed: Callable[[set[str]], None] = lambda shops: None  # what was staged in these shops is gone
        self._diallers: dict[tuple[str, str], Dialler] = {}  # (shop, an address or the author that is looked for)
        self._tasks: list[asyncio.Task[None]] = []
        self._committing = asyncio.Lock()
        self._fast_s = 0.0
        self._broken: BaseException | None = None
        self._noted_s = now()
        self._rows: dict[tuple[str, str], int] = {}  # rows since a document was last squashed
        self._squashed: dict[tuple[str, str], int] = {}
        self._busy_s = now()
        self.stopping = False  # no link may begin any more: nobody would be there to end it
        self.leaving = False  # nor while this process goes, for which those that are up are asked to go elsewhere
        self.measured: Callable[[float, int, bool], None] = lambda seconds, updates, stands: None  # of each commit
        self.left = asyncio.Event()  # set when a link is gone
        self.room = asyncio.Event()  # set after each commit: readers that stopped may go on

    # -- life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to commit and tick."""
        self._tasks = [
            asyncio.create_task(self._commit_loop(), name="commit"),
            asyncio.create_task(self._tick_loop(), name="tick"),
            asyncio.create_task(self._squash_loop(), name="squash"),
        ]

    async def stop(self) -> None:
        """Seal and commit what is there, end the links, stop."""
        self.stopping = True
        for replica in self.hub.replicas:
            if replica.author is not None or replica.writers:
                replica.tick(self.now())  # a till that opened a moment ago has not ticked yet
                replica.seal_soon()
                replica.tick(self.now())
        await self._flush(notes=True)
        self._close_links("stopping")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while any(self.hub.links(replica.shop) for replica in self.hub.replicas):
                    self.left.clear()
                    await self.left.wait()
        for dialler in self._diallers.values():
            dialler.stop()
        for dialler in self._diallers.values():
            await dialler.stopped()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all(OutcomeUnknown("the till is stopping"))
        self._thread.shutdown()

    def add(self, replica: Replica, places: Places | None = None) -> None:
        """Take up a shop. `places` is where its members were last known to listen."""
        self.hub.add(replica, places)

    def drop(self, shop: str) -> None:
        """Let go of a shop."""
        for name, url in [place for place in self._diallers if place[0] == shop]:
            self.undial(url, shop=name)
        self.hub.drop(shop)

    # -- commits -----------------------------------------------------------------------------------------

    async def durable(self, *staged: Staged) -> None:
        """Return once these are on the disk.

        Raises CommitFailed when nothing was recorded; CommitUnknown and OutcomeUnknown when that is not known.
        """
        if self._broken is not None:
            raise OutcomeUnknown(str(self._broken))
        waiting = []
        for one in staged:
            for other, error in self._lost:
                if other is one:
                    raise error
            if any(one is other for other in self._all_staged(one.shop)):
                waiting.append(self._waiters.setdefault(id(one), asyncio.get_running_loop().create_future()))
        self.poke()
        for future in waiting:
            await asyncio.shield(future)

    def _all_staged(self, shop: str) -> list[Staged]:
        replica = self.hub.replica(shop)
        return replica.staged if replica is not None else []

    def poke(self) -> None:
        """Something is staged."""
        self._wanted.set()

    def on_commit(self, listener: Callable[[Commit], None]) -> None:
        """Call `listener` after each commit."""
        self._listeners.append(listener)

    async def _commit_loop(self) -> None:
        while self._broken is None:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._flush()
            except Exception as error:  # neither a full disk nor a broken one: nobody can say what is in memory now
                log.exception("committing failed")
                self._fatal(error)

    async def _flush(self, *, notes: bool = False) -> None:
        """Commit until nothing is staged; with `notes`, small notes too that would wait for a commit to go with."""
        async with self._committing:
            while self._broken is None:
                batch = self._take()
                if not batch and not (self.store.noted and (notes or self.now() - self._noted_s >= NOTES_S)):
                    return
                if not await self._commit(batch) and not batch:
                    return

    def _take(self) -> list[Staged]:
        batch: list[Staged] = []
        for replica in self.hub.staged:
            batch += _next(replica.staged, max(1, BATCH_UPDATES - len(batch)))
        return batch

    async def _commit(self, batch: list[Staged]) -> bool:
        """Whether it stands."""
        began = self.now()
        inline = (len(batch) <= INLINE_UPDATES and self._fast_s < INLINE_S) or self.store.path == ":memory:"
        try:
            if inline:
                commit = self.store.commit(batch)
            else:
                loop = asyncio.get_running_loop()
                commit = await loop.run_in_executor(self._thread, self.store.commit, batch)
        except Overtaken as error:  # nothing was written; what other shops had in it goes with the next one
            log.warning("%s: %s", error.shop, error)
            self._failed([staged for staged in batch if staged.shop == error.shop], error)
            return True
        except CommitFailed as error:
            log.error("%s", error)
            self.measured(self.now() - began, len(batch), False)
            self._noted_s = self.now()  # notes that find no room wait: tried again at once, they would keep all busy
            self._failed(batch, error)
            return False
        except Exception as error:
            self._fatal(error)
            return False
        took = self.now() - began
        self.measured(took, len(batch), True)
        if len(batch) <= INLINE_UPDATES:
            self._fast_s = took if not inline else 0.8 * self._fast_s + 0.2 * took
        self._noted_s = self._busy_s = self.now()
        self._release(batch, commit)
        return True

    def _release(self, batch: list[Staged], commit: Commit) -> None:
        by_shop: dict[str, list[Staged]] = {}
        for staged in batch:
            by_shop.setdefault(staged.shop, []).append(staged)
            place = staged.shop, staged.document
            self._rows[place] = self._rows.get(place, 0) + 1
        for shop, items in by_shop.items():
            replica = self.hub.replica(shop)
            if replica is not None:
                replica.release(items, commit)
                replica.alarms.pop("disk", None)
        for staged in batch:
            future = self._waiters.pop(id(staged), None)
            if future is not None and not future.done():
                future.set_result(None)
        try:
            self.hub.released(batch, commit)
        except Exception as error:  # what was committed stands; a link that is lost over it comes back and compares
            if not self.suspect(error):
                log.exception("telling the links of a commit failed")
                self._close_links("something went wrong: sync again")
        self.room.set()
        for listener in self._listeners:
            try:
                listener(commit)
            except Exception as error:
                if not self.suspect(error):
                    log.exception("a listener to commits failed")

    def _failed(self, batch: list[Staged], error: CommitFailed) -> None:
        """Nothing of the batch was written; what was staged behind it leans on it and goes too."""
        shops = {staged.shop for staged in batch}
        for shop in shops:
            replica = self.hub.replica(shop)
            if replica is None:
                continue
            for staged in replica.staged:
                self._lost.append((staged, error))
                future = self._waiters.pop(id(staged), None)
                if future is not None and not future.done():
                    future.set_exception(error)
                    future.exception()  # a waiter that is gone needs no telling
            replica.reset()
            replica.alarm("disk", str(error))
        self.hub.failed(shops)
        self.on_failed(shops)
        self.room.set()

    async def between_commits(self, work: Callable[[], None]) -> None:
        """Run `work`, which writes to the store, on the commits' thread while none runs."""
        async with self._committing:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, work)
            except Exception as error:
                self.suspect(error)
                raise

    def suspect(self, error: BaseException) -> bool:
        """Whether an error that was met in reading means that the file can no longer be believed; then this ends."""
        if not is_failure(error):
            return False
        self._fatal(error)
        return True

    def _fatal(self, error: BaseException) -> None:
        if self._broken is not None:
            return
        log.critical(
            "the database failed (%s: %s): this process must end and start afresh", type(error).__name__, error
        )
        self._broken = error
        self._fail_all(OutcomeUnknown(f"the disk failed: {error}"))
        self._close_links("the disk failed")
        if self._on_fatal is not None:
            self._on_fatal(error)

    def _fail_all(self, error: Exception) -> None:
        for future in self._waiters.values():
            if not future.done():
                future.set_exception(error)
                future.exception()
        self._waiters.clear()

    def _close_links(self, reason: str) -> None:
        for replica in self.hub.replicas:
            for link in self.hub.links(replica.shop):
                link.close(reason)

    async def leave(self, spread_s: float) -> None:
        """Take no more links, and end those that are up, one by one over `spread_s`, each once it is answered: who had
        them finds another process. Returns when all are gone."""
        self.leaving = True
        links = [link for replica in self.hub.replicas for link in self.hub.links(replica.shop)]
        randomness.shuffle(links)
        step_s = spread_s / max(1, len(links))
        await asyncio.gather(*(self._end(link, n * step_s) for n, link in enumerate(links)))
        while any(self.hub.links(replica.shop) for replica in self.hub.replicas):
            self.left.clear()
            await self.left.wait()

    async def _end(self, link: Link, after_s: float) -> None:
        await asyncio.sleep(after_s)
        until_s = self.now() + ANSWERED_S
        while link.owes and link.closing is None and self.now() < until_s:
            await self.wait_for_room()
        link.close(LEAVING)  # what came after its last answer is sent again, elsewhere, and counts once

    def doors_changed(self) -> None:
        """Who may link is others now, by what no shop's document says: links that may not go on end."""
        for replica in self.hub.replicas:
            for link in list(self.hub.links(replica.shop)):
                link.members_changed()

    # -- time ----------------------------------------------------------------------------------------------

    async def _tick_loop(self) -> None:
        replicas_s = self.now()
        while self._broken is None:
            await asyncio.sleep(TICK_S)
            now = self.now()
            self._tick(functools.partial(self.hub.tick, now))
            if now - replicas_s >= REPLICA_TICK_S:
                replicas_s = now
                for replica in self.hub.replicas:
                    self._tick(functools.partial(replica.tick, now))
                if self.store.noted:
                    self.poke()
            if self.hub.staged:
                self.poke()

    def _tick(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:
            if not self.suspect(error):
                log.exception("a tick failed; the next one goes on")

    async def _squash_loop(self) -> None:
        """Join the log's rows when nothing else is to be done, or when there are very many: one short transaction at a
        time, between commits."""
        while self._broken is None:
            await asyncio.sleep(IDLE_S / 4)
            least = SQUASH_ROWS if self.now() - self._busy_s >= IDLE_S else SQUASH_NOW_ROWS
            for place in [place for place, rows in self._rows.items() if rows >= least]:
                self._rows.pop(place)
                await self._squash(place)

    async def _squash(self, place: tuple[str, str]) -> None:
        after = self._squashed.get(place, 0)
        while self._broken is None:
            try:
                async with self._committing:
                    if self.store.path == ":memory:":
                        last = self.store.squash(*place, after=after)
                    else:
                        step = functools.partial(self.store.squash, *place, after=after)
                        last = await asyncio.get_running_loop().run_in_executor(self._thread, step)
            except CommitFailed:
                return  # a full disk: later
            except Exception as error:
                self._fatal(error)
                return
            if not last:
                return
            self._squashed[place] = after  # a last segment that is not full is joined with what follows, next time
            after = last

    # -- links -----------------------------------------------------------------------------------------------

    def dial(self, shop: str, url: str, keeper: Doorkeeper, *, expects: str = "") -> None:
        """Keep a link to `url`, where `expects` answers if that is given, until `undial`."""
        self._dial(shop, url, Dialler(self, shop, lambda: [url], keeper, expects=expects))

    def dial_member(
        self,
        shop: str,
        author: str,
        urls: Callable[[], Sequence[str]],
        keeper: Doorkeeper,
        on_try: Callable[[str, bool], None],
    ) -> None:
        """Keep a link to the member `author`, wherever `urls` says that it may be, until `undial`. Where it is dialled
        already, try again at once if it is not linked. Of two that dial each other, the lower id goes first."""
        known = self._diallers.get((shop, author))
        if known is not None:
            known.wake()
            return
        replica = self.hub.replica(shop)
        patience_s = PATIENCE_S if replica is not None and replica.store_id > author else 0.0
        dialler = Dialler(self, shop, urls, keeper, expects=author, on_try=on_try, patience_s=patience_s)
        self._dial(shop, author, dialler)

    def _dial(self, shop: str, place: str, dialler: Dialler) -> None:
        if (shop, place) not in self._diallers:
            self._diallers[shop, place] = dialler
            dialler.start()

    def undial(self, place: str, *, shop: str | None = None) -> None:
        """Dial this address or author no more, and end its link."""
        for key in [p for p in self._diallers if p[1] == place and shop in (None, p[0])]:
            self._diallers.pop(key).stop()

    def dialled(self, shop: str) -> list[Dialler]:
        """Whom, and where, a shop here dials."""
        return [dialler for (of, _), dialler in self._diallers.items() if of == shop]

    def routes(
        self, find: Callable[[str | None], tuple[Replica, Doorkeeper] | None], **options: Any
    ) -> list[BaseRoute]:
        """/sync and /sync/{shop} for Starlette; `find` gives the replica and doorkeeper of the shop that is asked for.
        `options` are those of `posline.sync.accept.accept_routes`."""
        return accept_routes(self, find, **options)

    def peers(self, shop: str) -> list[PeerState]:
        """The devices a shop here has or had links with, then the addresses that are dialled in vain."""
        replica = self.hub.replica(shop)
        members = replica.store.members(shop) if replica is not None else {}
        diallers = {dialler.store: dialler for dialler in self.dialled(shop) if dialler.store}

        def name(store: str) -> str:
            member = members.get(store)
            return member.label if member is not None and member.label else store[:6]

        states: list[PeerState] = []
        for seen in self.hub.seen(shop):
            dialler = diallers.pop(seen.store, None)
            url, why = (None, "") if dialler is None else (dialler.url or None, dialler.why)
            connected = self.hub.linked(shop, seen.store)
            at = self._iso(seen.at_s)
            states.append(
                PeerState(
                    seen.store, name(seen.store), seen.kind, connected, at, seen.behind, url, why, seen.clock_apart_ms
                )
            )
        for dialler in [*diallers.values(), *(d for d in self.dialled(shop) if not d.store)]:
            if dialler.url:
                called = name(dialler.store) if dialler.store else dialler.url
                states.append(PeerState(dialler.store, called, "unknown", False, None, 0, dialler.url, dialler.why))
        return states

    def _iso(self, at_s: float) -> str:
        moment = datetime.fromtimestamp(self._wall() - (self.now() - at_s), UTC)
        return moment.isoformat(timespec="milliseconds")

    async def wait_for_room(self) -> None:
        """Wait for the next commit, at most a second."""
        self.room.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.room.wait(), 1.0)
