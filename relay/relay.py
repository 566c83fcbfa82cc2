"""The head office: the replicas of many shops over one store, and the books of who they are and who may read.

    async with Relay(Folder(path)) as relay:
        ...

It holds no documents in memory; it keeps, judges and passes on what the shops' tills wrote, and writes nothing but the
chain's prices (`relay.publishing`) and, for the devices that it hosts, what they sold (`relay.hosting`). Knows nothing
of HTTP.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request

from posline.core.base64url import from_base64url
from posline.core.clock import business_day
from posline.errors import BadRequest, Hole, NotFound, OutcomeUnknown, Refused, Unavailable
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.storage.reports import Recorded, Reports
from posline.storage.store import Store
from posline.sync.engine import Engine
from posline.till.health import Refusals
from posline.till.opening import Clockwork
from posline.till.problems import exception_handlers
from posline.till.sale import Sale, sale_of
from posline.trust.doors import MemberDoors
from relay import alarms as alarming
from relay import board as boarding
from relay import marks, presence
from relay.accounting import Chart
from relay.alarms import Alarms
from relay.board import Board, Founded, zone_of
from relay.database import up_to_date
from relay.feeding import NUMBERING, Arrivals, Feed
from relay.home import FolderHome, Home, Telling
from relay.hosting.devices import STEPS as HOSTING
from relay.hosting.devices import OfficeDevices
from relay.hosting.tills import HostedTills
from relay.invitations import OfficeInvitations
from relay.office import CONSOLE, RegisteredShop, ShopNameTwice
from relay.operations.measuring import Meters
from relay.operations.roster import PROCESSES
from relay.overview import Overview
from relay.people import People
from relay.postings import STEPS as POSTINGS
from relay.postings import Postings
from relay.presence import Presence, Standing
from relay.prices import STEPS as PRICES
from relay.prices import Prices
from relay.rights import Actor, Viewer
from relay.sums import Sums
from relay.uploads import Uploads
from relay.watching import Watcher
from relay.webhooks import STEPS as WEBHOOKS
from relay.webhooks import Webhooks

__all__ = ["Branch", "Relay"]

log = logging.getLogger("posline.relay")

DOORS_S = 1.0  # until a revoked token's links end
REST_S, IDLE_S = 60.0, 600.0  # how often shops are looked at, and after how long they are let go of
GLANCE_S, GLANCES_KEPT = 1.0, 10_000
LOOP_WAIT_S = 5.0  # that another thread waits for the event loop
REMOVED = "this shop was removed from the head office: ask there for an invitation, and attach it again"
BEGAN = "began"  # when the process that serves began, by this machine's clock


class Branch:
    """One shop of the head office: its replica, and what its ledger answers."""

    def __init__(self, registered: RegisteredShop, replica: Replica, doors: MemberDoors, refusals: Refusals) -> None:
        self.id, self.registered, self.replica, self.doors = registered.id, registered, replica, doors
        self.refusals = refusals
        self.used_s = time.monotonic()  # when anybody last asked for it
        self.reports = Reports(replica.store, registered.id, here=replica.store_id, today=lambda: self.day)

    @property
    def name(self) -> str:
        """What the shop calls itself."""
        return str(self.replica.founding.get("name", "")) or self.registered.name

    @property
    def day(self) -> str:
        """The shop's business day now, by this machine's clock."""
        return self.replica.day(time.time_ns() // 1_000_000)

    @property
    def called(self) -> str:
        """What people here call it."""
        return self.registered.alias or self.name

    def show(self, recorded: Recorded) -> Sale:
        """The sale that an entry of the ledger is."""
        return self.shown_from(self.reports)(recorded)

    def shown_from(self, reports: Reports) -> Callable[[Recorded], Sale]:
        """As `show`, of a ledger that stands still."""

        def name_of(sku: str, at: str) -> str | None:
            product = reports.product_at(sku, at)
            return None if product is None else str(product["name"])

        def show(recorded: Recorded) -> Sale:
            lights = reports.durable(recorded.entry) | {"head_office": True}  # which is here
            return sale_of(recorded, name_of, lights)

        return show


class Relay:
    """An open head office. Use it with `async with`."""

    def __init__(self, home: Home | Folder, *, serving: bool = True, clockwork: Clockwork | None = None) -> None:
        """A folder stays the caller's to close. Without `serving` nothing links: one command looks at it and goes.
        `clockwork` hands in the time by which it hosts devices, for tests."""
        self.home = FolderHome(home) if isinstance(home, Folder) else home
        self.serving = serving
        self.key, self.office = self.home.key, self.home.office
        self.people = People(self.office)
        self.invitations = OfficeInvitations(self.office)
        self.refusals = Refusals()  # of shops that wanted to attach
        self.broken = asyncio.Event()  # the disk failed in a way after which the process must end and start afresh
        self.arrivals = Arrivals()
        self.meters = Meters()
        self.people.on_sign_in = self.meters.sign_ins.add
        self.draining = asyncio.Event()  # set once this process is to go: it takes nothing new
        self.lag_s: Callable[[str], float] = lambda webhook: 0.0  # how long ago one had heard all there was
        steps = (
            *POSTINGS, *WEBHOOKS, *PRICES, *marks.STEPS, *presence.STEPS, *boarding.STEPS, *alarming.STEPS, *PROCESSES,
            *HOSTING,
        )  # fmt: skip
        up_to_date(self.office.database, steps, self.office.now_ms())
        self.prices = Prices(self.office.database, self.office.now_ms, self.office.audit)
        self.postings = Postings(self.office.database, self.office.now_ms, self.office.audit)
        self.webhooks = Webhooks(self.office.database, self.office.now_ms, audit=self.office.audit)
        database, now_ms = self.office.database, self.office.now_ms
        self.presence = Presence(database, now_ms, alone=not self.home.shared)
        self.board = Board(database, lambda: self.store)
        self.sums = Sums(database, self.board, self.reports, now_ms)
        self.alarms = Alarms(database, now_ms, self.office.audit)
        self.overview = Overview(self)
        self.devices, self.tills = OfficeDevices(self.office), HostedTills(self, clockwork)
        self.uploads = Uploads()
        self.over = False  # it goes down: whoever waits for news goes home
        self._watcher: Watcher | None = None
        self._founded: dict[str, Founded] = {}
        self._branches: dict[str, Branch] = {}
        self._opening = threading.Lock()  # one replica a shop, whichever threads ask for it at once
        self._removed: set[str] = set()  # shops that were, as of `_looked_s` less a second
        self._looked_s = 0.0
        self._glanced_s: dict[str, float] = {}  # when what other processes did in a shop was last looked at
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._engine: Engine | None = None
        self._store: Store | None = None
        self._watching: asyncio.Task[None] | None = None
        self._resting: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._telling: Telling | None = None

    async def __aenter__(self) -> Self:
        """Open the store and its shops. Raises FolderDamaged, DiskFailed, CommitFailed, Unavailable."""
        try:
            self._store = self.home.open_store()
        except BaseException:
            self.home.close()
            raise
        if self.serving:
            await self._serve(self._store)
        return self

    async def _serve(self, store: Store) -> None:
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        # what is numbered meanwhile would change its life under its readers, and whoever lost the database is not alone
        with self.home.alone(NUMBERING), store.at_once():
            store.set_meta(BEGAN, time.time_ns() // 1_000_000)
            Feed(store).begin()
            store.commit([])  # so that the log is in use before local.json says so: see `examine`
        self._engine = Engine(store, kind="head office", on_fatal=self._give_up)
        told = self.home.telling(store, self._live, self._changed_elsewhere, self.arrivals.tell)
        self._telling = told
        self._engine.measured = self.meters.committed
        self._engine.on_commit(self.meters.came_in)
        self._engine.on_commit(lambda commit: self.arrivals.tell() if told is None else told.committed())
        await self._engine.start()
        if self._telling is not None:
            self._telling.start()
        self._watching = asyncio.create_task(self._watch_doors(), name="doors")
        self._resting = asyncio.create_task(self._rest(), name="rest")
        self._pulse = asyncio.create_task(self.meters.pulse(), name="pulse")
        self.tills.start()
        self._watcher = Watcher(self)
        await self._watcher.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close links and store; what was committed stays."""
        self.over = True
        watching = [task for task in (self._watching, self._resting, self._pulse) if task is not None]
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if self._watcher is not None:
            await self._watcher.stop()
        if self._engine is not None:
            await self.tills.stop()
            await self._engine.stop()
            self._engine = None
            self.arrivals.tell()  # whoever waits hears that it is over
        if self._telling is not None:
            await self._telling.stop()
        if self._store is not None and not self.broken.is_set():  # else nothing touches that file any more
            self.home.close_store(self._store)
            self._store = None
        self.people.passwords.close()
        self.uploads.close()
        self.home.close()

    async def _watch_doors(self) -> None:
        """A token that was revoked, or a shop that was removed, by whichever process, ends links that are up."""
        seen = self.office.doors
        while True:
            await asyncio.sleep(DOORS_S)
            try:
                found = await asyncio.to_thread(lambda: self.office.doors)
            except Exception as error:
                if not self.suspect(error):
                    log.warning("the books about people do not answer: %s", error)
                continue
            if found != seen and self._engine is not None:
                seen, self._looked_s = found, 0.0
                self._engine.doors_changed()
                await self.tills.look_at_books()

    async def _rest(self) -> None:
        """Keep nothing in memory of shops that nobody asks about: of thousands, most are closed at any time."""
        while True:
            await asyncio.sleep(REST_S)
            try:
                await self.let_go_of_idle(time.monotonic() - IDLE_S)
            except Exception as error:
                if not self.suspect(error):
                    log.exception("letting go of idle shops failed")

    async def let_go_of_idle(self, since_s: float) -> int:
        """Let go of the hosted tills and the shops that nobody asked for since then, and of these only where they have
        no links and no hosted tills; how many shops those were."""
        await self.tills.let_go_of_idle(self.tills.clockwork.monotonic_ms() - int(1000 * (time.monotonic() - since_s)))
        idle = [id for id, branch in list(self._branches.items()) if branch.used_s < since_s and not self._in_use(id)]
        return sum([await self._let_go(shop, since_s) for shop in idle])

    async def _let_go(self, shop: str, since_s: float) -> bool:
        """Let go of one, unless it is about to be committed, or was asked for meanwhile: a link may be coming up."""
        with self._opening:
            branch = self._branches[shop]
            if branch.replica.staged or branch.used_s >= since_s or self._in_use(shop):
                return False
            del self._branches[shop]
            self.engine.drop(shop)

        def work() -> None:
            with self._opening:
                if shop not in self._branches:
                    self.store.let_go(shop)

        await self.engine.between_commits(work)
        return True

    def _live(self) -> set[str]:
        """The shops that somebody is linked to, or sells in, by this process."""
        return {*self.engine.hub.linked_shops(), *self.tills.shops()}

    def _in_use(self, shop: str) -> bool:
        return bool(self.engine.hub.links(shop)) or shop in self.tills.shops()

    def delivered(self, outcome: str, seconds: float) -> None:
        """A message to a webhook was sent, and this became of it."""
        self.meters.webhooks.add(outcome)
        self.meters.webhook_s.observe(seconds)

    def _changed_elsewhere(self, shop: str) -> None:
        """Another process may have committed in a shop: what is new goes to its links here."""
        before = self.home.refresh(self.store, shop)
        if not before:
            return
        hub = self.engine.hub
        try:
            hub.elsewhere(shop, before)
            self.tills.elsewhere(shop, before)
        except Unavailable as error:  # it is known here by now, and some were not told: they compare afresh
            for link in hub.links(shop):
                link.close(f"{error}: sync again")

    def _glance(self, shops: Iterable[str]) -> None:
        """Whoever asks about shops, in any thread, hears what every process committed there until a moment ago."""
        if not self.home.shared:
            return
        now_s = time.monotonic()
        due = [shop for shop in shops if now_s - self._glanced_s.get(shop, -GLANCE_S) >= GLANCE_S]
        if len(self._glanced_s) > GLANCES_KEPT:
            self._glanced_s.clear()
        self._glanced_s |= dict.fromkeys(due, now_s)
        if self._engine is not None and not self.over:
            for shop in self.home.behind(self.store, due):
                self._on_loop(partial(self._changed_elsewhere, shop))

    def _on_loop(self, work: Callable[[], None]) -> None:
        """Run `work` on the event loop, whose alone the links are; another thread waits for it, though not for ever."""
        if self._loop is None or threading.get_ident() == self._loop_thread:
            work()
            return

        async def there() -> None:
            work()

        with suppress(TimeoutError, CancelledError):  # it is very busy, or goes down
            asyncio.run_coroutine_threadsafe(there(), self._loop).result(LOOP_WAIT_S)

    def _give_up(self, error: BaseException) -> None:
        self.home.failed(error)
        self.broken.set()

    def suspect(self, error: BaseException) -> bool:
        """Whether `error`, met in reading, means that the disk failed; then this process is to end."""
        return self._engine is not None and self._engine.suspect(error)

    def exception_handlers(self) -> dict[Any, Callable[[Request, Exception], Any]]:
        """What its web applications answer errors by: one that is met while it closes is none of theirs."""
        return exception_handlers(self.suspect, lambda: self.over)

    def _open(self, shop: RegisteredShop) -> Branch:
        linked = self._engine.hub.replica(shop.id) if self._engine is not None else None
        replica = linked or Replica(
            self.store, shop.id, author=None, clock=None, random=random.SystemRandom(), documents=False,
            store_id=self.key.id, sign=self.key.sign, monotonic_ms=self.tills.clockwork.monotonic_ms,
        )  # fmt: skip
        refusals = Refusals()

        def refused(author: str, why: str) -> None:
            member = self.store.authority(shop.id).everyone.get(author)
            who = "a device that it does not know" if member is None else f"a device that says it is {member.label}"
            refusals.note(f"{shop.name}: {who}", why, time.time_ns() // 1_000_000)
            self.meters.refused.add("proof")

        doors = MemberDoors(
            shop.id,
            key=lambda: self.key,
            authority=lambda: self.store.authority(shop.id),
            acts=lambda: self.store.acts(shop.id),
            programs=lambda token: self.office.decide(shop.id, token),
            refused=refused,
            closed=lambda: self._closed(shop.id),
        )
        branch = self._branches[shop.id] = Branch(shop, replica, doors, refusals)
        return branch

    def _closed(self, shop: str) -> str | None:
        """Why nobody of a shop may link, or None; as of a second ago at most: thousands ask at once after a start."""
        if time.monotonic() >= self._looked_s:
            self._removed = {each.id for each in self.office.shops(removed=True) if each.removed_ms}
            self._looked_s = time.monotonic() + DOORS_S
        return REMOVED if shop in self._removed else None

    # -- what it consists of -------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """Its store."""
        if self._store is None:
            raise OutcomeUnknown("the head office is going down")
        return self._store

    @property
    def engine(self) -> Engine:
        """What commits and links."""
        if self._engine is None:
            raise OutcomeUnknown("the head office is going down")
        return self._engine

    @property
    def feed(self) -> Feed:
        """Entries and later changes of their status, in the order of their commits."""
        return Feed(self.store)

    @property
    def chart(self) -> Chart:
        """The accounts that its journals post to."""
        return self.postings.chart()

    def branches(self) -> list[Branch]:
        """The shops that it serves, by name."""
        shops = self.office.shops()
        self._glance(shop.id for shop in shops)  # at all of them at once: a database may be far away
        return [self.take_up(shop) for shop in shops]

    def branch(self, wanted: str, viewer: Viewer | None = None) -> Branch:
        """A shop by id or name, as the viewer means it; also one that was removed. Raises NotFound, ShopNameTwice."""
        return self.take_up(self.office.find(wanted) if viewer is None else self.office.find(wanted, viewer.covers))

    def take_up(self, shop: RegisteredShop) -> Branch:
        """A shop that is known from the books already; what every process did there, as of a moment ago."""
        with self._opening:
            branch = self._branches.get(shop.id) or self._open(shop)
            branch.registered, branch.used_s = shop, time.monotonic()
        self._glance([shop.id])
        return branch

    def access(self, token: str) -> Viewer | None:
        """What a token opens on the API; None when nothing: it is not known, or whoever it writes for is no member."""
        viewer = self.office.access(token)
        if viewer is None or viewer.author is None:
            return viewer
        theirs = [found for shop in viewer.shops or () if (found := self.office.shop(shop)) is not None]
        return None if any(self.take_up(shop).doors.standing(viewer.author) for shop in theirs) else viewer

    def find(self, wanted: str | None) -> tuple[Replica, MemberDoors] | None:
        """Whose documents a link to /sync/{wanted} is about; None where there are none."""
        try:
            branch = self.branch(wanted or "")
        except (NotFound, ShopNameTwice):
            return None
        return branch.replica, branch.doors

    def links_here(self) -> int:
        """How many links this process has."""
        hub = self.engine.hub
        return sum(len(hub.links(shop)) for shop in hub.linked_shops())

    def standing(self, branch: Branch) -> list[Standing]:
        """Where the devices of a shop stand that are or were linked, to whichever process: as the books have it, and of
        this process as it is this moment."""
        return self.as_of_now(branch.id, self.presence.of(branch.id))

    def as_of_now(self, shop: str, kept: Iterable[Standing]) -> list[Standing]:
        """What the books have of a shop, put right by what this process knows better."""
        found = {one.device: one for one in kept}
        if self._engine is None:
            return list(found.values())
        hub, now, wall_ms, here = self._engine.hub, self._engine.now(), self.office.now_ms(), self.presence.serving
        for seen in hub.seen(shop):
            linked, before = hub.linked(shop, seen.store), found.get(seen.store)
            if not linked and before is not None and before.serving not in ("", here):
                continue  # it has gone over to another process
            heard_ms = wall_ms - int(1000 * max(0.0, now - seen.at_s))
            if before is not None and not linked:
                heard_ms = max(heard_ms, before.heard_ms)
            same = before is not None and before.linked == linked
            since_ms = before.since_ms if before is not None and same else heard_ms
            found[seen.store] = Standing(
                shop, seen.store, here if linked else "", seen.kind, since_ms, heard_ms, seen.behind,
                seen.clock_apart_ms,
            )  # fmt: skip
        return [found[device] for device in sorted(found)]

    def peers(self, branch: Branch) -> list[dict[str, Any]]:
        """The devices of a shop that are or were linked, to whichever process of this head office."""
        return self._peers(branch, self.standing(branch))

    def peers_of(self, branches: Sequence[Branch]) -> list[list[dict[str, Any]]]:
        """As `peers`, of several shops at once."""
        kept = self.presence.everywhere([branch.id for branch in branches])
        return [self._peers(branch, self.as_of_now(branch.id, kept.get(branch.id, ()))) for branch in branches]

    def _peers(self, branch: Branch, standing: Iterable[Standing]) -> list[dict[str, Any]]:
        members = self.store.members(branch.id)
        return [
            {
                "name": members[one.device].label if one.device in members else one.device[:6],
                "kind": one.kind,
                "connected": one.linked,
                "last_seen": datetime.fromtimestamp(one.heard_ms / 1000, UTC).isoformat(timespec="milliseconds"),
                "behind": one.behind,
            }
            for one in standing
        ]

    def refused_here(self) -> Iterator[tuple[str, Refusals]]:
        """Whom this process did not let in, by shop; marks.OFFICE for shops that wanted to attach."""
        yield marks.OFFICE, self.refusals
        for shop, branch in list(self._branches.items()):
            yield shop, branch.refusals

    def reports(self, shop: str) -> Reports:
        """What a shop's ledger answers, for any thread."""
        return Reports(self.store, shop, here=self.key.id)

    def label_of(self, shop: str) -> Callable[[str], str]:
        """What people call the tills of a shop."""
        return self.reports(shop).label

    def founded(self, shop: str) -> Founded | None:
        """The zone, start of day and currency of a shop; None where nothing of it is here yet."""
        if shop not in self._founded:
            self._read_founded()
        if shop not in self._founded:
            founding = self.store.authority(shop).founding
            if founding is not None:
                said = founding.body
                self._founded[shop] = Founded(str(said["zone"]), str(said["day_start"]), str(said["currency"]))
        return self._founded.get(shop)

    def _read_founded(self) -> None:
        self._founded |= {each: found for each, (found, _) in self.board.founded().items()}

    def today(self, shop: str) -> str:
        """A shop's business day now, by this machine's clock. For "", or a shop that is not known, the latest that any
        shop has; this machine's own date where there is none."""
        founded, now_ms = self.founded(shop) if shop else None, self.office.now_ms()
        if founded is not None:
            return _day_of(founded, now_ms)
        if not self._founded:
            self._read_founded()
        here = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone().date().isoformat()
        return max((_day_of(each, now_ms) for each in set(self._founded.copy().values())), default=here)

    # -- shops that come -----------------------------------------------------------------------------------------------

    async def attach(
        self, *, shop: str, name: str, updates: Sequence[str], alias: str, by: Actor = CONSOLE
    ) -> Branch:
        """Take a shop, or take it again. `updates` is what its tills hold of its document: who its members are."""
        branch = self.take_up(await asyncio.to_thread(self.office.attach, shop, name, alias=alias, by=by))
        self._looked_s = 0.0  # it may have been a removed one until now
        for update in updates:
            try:
                raw = from_base64url(update)
                staged = branch.replica.integrate("shop", raw, origin="")
            except Hole:
                break  # the rest comes by sync
            except (Refused, binascii.Error, ValueError) as error:
                raise BadRequest.of("updates", str(error)) from error
            if staged is not None:
                if self.engine.hub.replica(shop) is None:
                    self.engine.add(branch.replica)
                await self.engine.durable(staged)
        return branch


def _day_of(founded: Founded, now_ms: int) -> str:
    hours, _, minutes = founded.day_start.partition(":")
    return business_day(now_ms, zone_of(founded), 60 * int(hours) + int(minutes))
