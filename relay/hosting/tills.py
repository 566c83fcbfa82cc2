"""The hosted tills of a head office that are open in this process, of whichever shops.

A till is opened by its device's request and let go of once that is idle; any process may be asked next. What decides is
the database: a device's entries go on from its last one there or not at all (`fenced`), so one id is one sale whichever
process is asked. Whoever was overtaken, or whose commit failed, lets go of what it had open and remembers nothing; the
device asks again. What was left unsigned is signed by whoever leads (`relay.hosting.steward`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp

from posline.core.clock import Clock
from posline.errors import PoslineError
from posline.replica import Replica
from posline.storage.records import Commit
from posline.storage.reports import Reports
from posline.sync.engine import Engine
from posline.till.hosting.door import device_app, unpaired
from posline.till.hosting.hosted import HostedTill
from posline.till.opening import Clockwork
from relay.clock import office_clock
from relay.hosting.devices import ASKED, Device
from relay.office import RegisteredShop
from relay.operations.watching import route_names

if TYPE_CHECKING:
    from relay.relay import Relay

__all__ = ["IN", "WAITING", "HostedTills", "state_of"]

log = logging.getLogger("posline.relay")

WAITING, IN, REFUSED, REMOVED = "waiting", "in", "refused", "removed"  # what a device is to its shop
IDLE_S = 600.0  # after which a till is let go of; its next request takes it up again
LOOK_S = 20.0  # between two looks at who is idle
NEWS_S = 5.0  # how often the lights of a till are looked at while its page follows them: there may be hundreds
OUTSIDE = {
    WAITING: "this device waits for {shop}: a manager lets it in at a till of the shop, under 'Phones and tablets'",
    REFUSED: "{shop} refused this device. What it sold stays in its browser: ask at the head office for a new code",
    REMOVED: "this device was removed from {shop} at a till of the shop. What it sold stays in its browser",
}
NAMED = "tills "  # before the routes of hosted tills, in figures


class _Disk:
    """One shop's place at this head office, as `posline.till.hosting.hosted.Disk` asks."""

    folder = None

    def __init__(self, whole: Replica, engine: Engine, clockwork: Clockwork, clock: Clock) -> None:
        self.whole, self.engine, self.clockwork, self.clock = whole, engine, clockwork, clock


@dataclass(slots=True)
class _Open:
    till: HostedTill
    app: Starlette
    shop: str
    used_ms: int


def state_of(replica: Replica, device: Device) -> str:
    """What a device is to its shop, by the shop's own document: WAITING, IN, REFUSED or REMOVED. A shop refuses by
    taking back what asks for the device."""
    authority = replica.store.authority(replica.shop)
    if device.author in authority.members:
        return IN
    if device.author in authority.everyone:
        return REMOVED
    reports = Reports(replica.store, replica.shop, here=replica.store_id)
    return REFUSED if device.told == ASKED and reports.setting(device.setting) is None else WAITING


class HostedTills:
    """See above. From `start` to `stop`; all but `standing` is for the event loop's thread."""

    def __init__(self, relay: Relay, clockwork: Clockwork | None = None) -> None:
        self._relay, self.clockwork = relay, clockwork or Clockwork()
        self.clock = office_clock(self.clockwork)
        self.names: dict[object, str] = {}  # what figures call the endpoints of open tills
        self.on_changed: Callable[[], None] = lambda: None  # hears of a device that its shop is to be told of
        self._open: dict[str, _Open] = {}
        self._wrong: dict[str, dict[str, tuple[int, int]]] = {}  # PINs that devices guessed, also with tills shut
        self._going: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Hear what is committed, and look after who is idle."""
        engine = self._relay.engine
        engine.on_commit(self._committed)
        engine.on_failed = self._failed
        self._looking = asyncio.create_task(self._look(), name="hosted tills")

    async def stop(self) -> None:
        """Let go of all of them; what is unsigned is signed as the engine stops."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for author in list(self._open):
            self._close(author)
        await asyncio.gather(*self._going, return_exceptions=True)

    # -- who asks ------------------------------------------------------------------------------------------------------

    async def enter(self, secret: str, waiting: int | None) -> tuple[str, ASGIApp] | Response:
        """The device with this secret and what answers it, or what whoever else asks is told. `waiting` is how much its
        page says that it keeps. Raises Unavailable."""
        device, registered = await asyncio.to_thread(self._look_up, secret)
        if device is None:
            return unpaired(
                "this device is not paired with this head office, or was removed from it. What it sold stays in its "
                "browser: ask there for a code on the shop's page, and open it here"
            )
        if registered is None:
            return unpaired("the head office serves the shop of this device no more. What it sold stays in its browser")
        replica = self._relay.take_up(registered).replica
        state = state_of(replica, device)
        if state != IN:
            return unpaired(OUTSIDE[state].format(shop=replica.founding.get("name", "")), waiting=state == WAITING)
        await asyncio.to_thread(self._relay.devices.note_seen, device, waiting)
        found = self._open.get(device.author) or self._take_up(device, replica)
        found.used_ms = self.clockwork.monotonic_ms()
        return device.author, found.app

    async def state_of(self, secret: str) -> str:
        """What the device with this secret is to its shop; "" for a stranger, and for one that was removed here."""
        device, registered = await asyncio.to_thread(self._look_up, secret)
        if device is None or registered is None:
            return ""
        return state_of(self._relay.take_up(registered).replica, device)

    def _look_up(self, secret: str) -> tuple[Device | None, RegisteredShop | None]:
        device = self._relay.devices.presenting(secret)
        return device, None if device is None else self._served(device.shop)

    def _served(self, shop: str) -> RegisteredShop | None:
        registered = self._relay.office.shop(shop)
        return None if registered is None or registered.removed_ms else registered

    async def place_of(self, device: Device) -> Replica | None:
        """The replica of a device's shop, as of a moment ago; None where that is not served any more."""
        registered = await asyncio.to_thread(self._served, device.shop)
        return None if registered is None else self._relay.take_up(registered).replica

    def join(self, replica: Replica) -> Engine:
        """What commits for a shop, which has it from now on."""
        engine = self._relay.engine
        if engine.hub.replica(replica.shop) is None:
            engine.add(replica)
        return engine

    def _take_up(self, device: Device, replica: Replica) -> _Open:
        """Open a device's till, which goes on from what stands. Nothing is awaited here: two requests are one till."""
        engine = self.join(replica)
        replica.release_writer(device.author)  # what one remembers that was left behind may be old
        replica.store.sums(replica.shop)  # from here on it is known in which documents others wrote
        disk = _Disk(replica, engine, self.clockwork, self.clock)
        till = HostedTill(disk, device.key, fenced=True, every_s=NEWS_S)
        till.people.wrong = self._wrong.setdefault(device.author, {})
        app = device_app(till)
        self.names |= {endpoint: NAMED + path for endpoint, path in route_names(app.routes).items()}
        found = self._open[device.author] = _Open(till, app, replica.shop, self.clockwork.monotonic_ms())
        return found

    # -- letting go ----------------------------------------------------------------------------------------------------

    def is_open(self, author: str) -> bool:
        """Whether a device's till is open in this process."""
        return author in self._open

    def shops(self) -> set[str]:
        """The shops with open tills."""
        return {found.shop for found in self._open.values()}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[HostedTill]:
        return iter([found.till for found in self._open.values()])

    def _let_go(self, author: str) -> None:
        """Remember nothing of a till; another one, here or in another process, goes on from what stands."""
        found = self._open.get(author)
        if found is not None:
            self._close(author)
            found.till.whole.release_writer(author)

    def _close(self, author: str) -> None:
        found = self._open.pop(author)
        for endpoint in route_names(found.app.routes):
            self.names.pop(endpoint, None)
        closing = asyncio.get_running_loop().create_task(found.till.close(), name=f"close {author}")
        self._going.add(closing)
        closing.add_done_callback(self._going.discard)

    async def let_go_of_idle(self, since_ms: int) -> None:
        """Sign and let go of the tills that nobody asked or follows since then; of none while nobody knows what day it
        is, for they know how long ago they sold."""
        if self.clock.now().trust == "suspect":
            return
        for author, found in list(self._open.items()):
            if found.used_ms >= since_ms or found.till.followed:
                continue
            try:
                found.till.replica.sign_off()
                await found.till.engine.durable(*found.till.whole.staged)
            except PoslineError as error:  # whoever leads vouches for it later
                log.info("a hosted till is let go of unsigned: %s", error)
            if found.used_ms < since_ms and self._open.get(author) is found:
                self._let_go(author)

    async def look_at_books(self) -> None:
        """Let go of the tills whose devices were removed, or whose shops were."""
        if not self._open:
            return
        standing = await asyncio.to_thread(self._standing, list(self._open), self.shops())
        for author in [author for author in self._open if author not in standing]:
            self._let_go(author)

    def _standing(self, authors: Iterable[str], shops: Iterable[str]) -> set[str]:
        served = {shop.id for shop in self._relay.office.shops()}
        gone = set(shops) - served
        standing = self._relay.devices.standing(authors)
        return {author for author in standing if (found := self._open.get(author)) and found.shop not in gone}

    def hush(self) -> None:
        """This process goes: pages that follow find another one."""
        for found in list(self._open.values()):
            found.till.hush()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.let_go_of_idle(self.clockwork.monotonic_ms() - int(IDLE_S * 1000))
                await self.look_at_books()
            except Exception as error:
                if not self._relay.suspect(error):
                    log.exception("looking after hosted tills failed; the next look goes on")

    # -- what happens in their shops -----------------------------------------------------------------------------------

    def _of(self, shops: Collection[str]) -> list[tuple[str, _Open]]:
        return [(author, found) for author, found in self._open.items() if found.shop in shops]

    def _committed(self, commit: Commit) -> None:
        shops = {shop for shop, _ in commit.documents}
        for author, found in self._of(shops):
            found.till.heard(commit)
            if (found.shop, "shop") in commit.documents:
                self._look_at_member(author, found)

    def _failed(self, shops: set[str]) -> None:
        """A commit came to nothing, or another process was faster."""
        for author, _ in self._of(shops):
            self._let_go(author)

    def elsewhere(self, shop: str, documents: Collection[str]) -> None:
        """Another process of this head office committed something in these documents of a shop."""
        for author, found in self._of({shop}):
            written = found.till.store.written(shop, author)
            if not found.till.whole.staged and written is not None and written.hash != found.till.replica.behind:
                self._let_go(author)  # the device went on there
                continue
            found.till.heard_elsewhere(documents)
            if "shop" in documents:
                self._look_at_member(author, found)

    def _look_at_member(self, author: str, found: _Open) -> None:
        if author not in found.till.store.members(found.shop):  # a till of the shop removed it
            self._let_go(author)
