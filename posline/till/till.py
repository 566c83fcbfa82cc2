"""A till: what the HTTP API, the commands and a program that embeds it all call.

    async with posline.open_till("shop-data") as till:
        sale = await till.sell([{"sku": "tea", "quantity": 2, "price": 150}])

A sale is shown to nobody before it is on the disk, and one id is one sale: asking again with the same id answers the
first result. Reading never waits for writing.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from posline.core.clock import Reading, iso
from posline.core.numbers import valid_label
from posline.core.pricing import Product
from posline.errors import Ambiguous, BadRequest, FolderError, NotFound, OutcomeUnknown
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.storage.records import Commit
from posline.storage.reports import Recorded, Reports
from posline.storage.store import Store
from posline.sync.engine import Engine
from posline.sync.places import Places
from posline.till.changes import Change, News
from posline.till.customers import Books
from posline.till.fiscal.filing import Fiscal
from posline.till.going_on import begin, give_up, mended_for
from posline.till.health import Watch
from posline.till.holding import Holding
from posline.till.hosting.requests import Requests
from posline.till.invitation import Invitations
from posline.till.linking import Links
from posline.till.opening import Clockwork, Founding, Opened, close_store, note_times, open_folder
from posline.till.people import People
from posline.till.printing import Printing
from posline.till.query import LIST_DEFAULT, LIST_MAX, cursor, place
from posline.till.recording import Recording
from posline.till.refund import Refund
from posline.till.refunding import asked, refund, show_refund, void
from posline.till.restoring import Restoring
from posline.till.ringing import Rung, ring
from posline.till.sale import Sale, sale_of
from posline.till.salvaging import PLACES
from posline.till.settings import Settings
from posline.till.shifts import Shifts
from posline.till.stock import Stock
from posline.till.telling import news_of_commit, tell_news
from posline.till.terms import TermsNow, product_of
from posline.trust.keys import Key
from posline.writer import Writer

if TYPE_CHECKING:
    from posline.till.hosting.hosting import Hosting

__all__ = ["Till", "open_till"]

log = logging.getLogger("posline.till")

LOOK_TURNS = 10  # ... what is missing is looked for
MOVED_TURNS = 5  # after how many such looks the addresses of this machine are looked at
PRODUCTS_KEPT = 20_000  # in memory, about 5 MB: those that sell today


def open_till(
    folder: Path | str | Folder,
    label: str | None = None,
    shop: str | None = None,
    *,
    currency: str | None = None,
    zone: str | None = None,
    day_start: str | None = None,
    clockwork: Clockwork | None = None,
    read_only: bool = False,
    found: bool = True,
) -> Till:
    """Open a till on a data folder, for use in `async with`.

    An empty folder founds a shop called `shop`, whose first till is `label` ("A"), in `currency` ("PKR") and time
    `zone` ("Asia/Karachi"), whose business day starts at `day_start` ("04:00"); with `found` False it is refused. A
    `label` given later renames the till. With `read_only`, nothing is written, not even a seal. `clockwork` hands in
    time and randomness, for tests. Entering raises FolderLocked, FolderError, FolderDamaged, CommitFailed, BadRequest.
    """
    if label is not None and not valid_label(label):
        raise BadRequest.of("label", f"{label[:40]!r} is none: up to six of A-Z and 0-9")
    given = {"currency": currency, "zone": zone, "day_start": day_start}
    founding = Founding(shop=shop, label=label, **{k: v for k, v in given.items() if v is not None})
    return Till(folder, founding if found and not read_only else None, label, clockwork or Clockwork(), read_only)


class Till:
    """An open till. Made by `open_till`."""

    hosted = False  # whether its disk is another till's, and its page on a phone or tablet
    at_head_office = False  # whether that disk is the head office's
    in_folder = True  # whether what it keeps lies in a data folder
    hosting: Hosting | None = None  # of other devices, once somebody asked for it (posline.till.hosting)

    def __init__(
        self,
        folder: Path | str | Folder | None,
        founding: Founding | None,
        label: str | None,
        clockwork: Clockwork,
        read_only: bool,
    ) -> None:
        self._given, self._founding, self._wanted_label = folder, founding, label
        self.clockwork, self.read_only = clockwork, read_only
        self.invitations = Invitations(lambda: clockwork.monotonic_ms() / 1000)
        self.broken = asyncio.Event()  # the disk failed in a way after which the process must end and start afresh
        self.importing = asyncio.Lock()  # one catalogue file at a time: two that replace it would be mixed
        self.admitting = asyncio.Lock()  # one member at a time: each gets a label that is free
        self.editing = asyncio.Lock()  # one edit of the catalogue at a time: each begins from what is committed
        self._news = News()
        self._telling: asyncio.Task[None] | None = None
        self._opened: Opened | None = None
        self._engine: Engine | None = None
        self._noted_ms: dict[str, int] = {}
        # the business day whose prices those are, the shop's edition as of which they were read, and products
        self._products: tuple[str, int, dict[str, Product | None]] = ("", -1, {})

    # -- opening and closing -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the folder; see `open_till`."""
        given = self._given
        assert given is not None
        folder = given if isinstance(given, Folder) else Folder(Path(given))
        try:
            await self._start(folder)
        except BaseException:
            await self._end()
            if not isinstance(given, Folder):
                folder.close()
            raise
        return self

    async def _start(self, folder: Folder) -> None:
        self._compose(open_folder(folder, self.clockwork, self._founding, mend=not self.read_only))
        if not self.read_only:
            await self._begin()

    def _compose(self, opened: Opened) -> None:
        """Put together what a till consists of, over what is open."""
        self._opened = opened
        self._reports = Reports(self.store, self.shop_id, here=opened.replica.store_id, today=lambda: self.day)
        self.watch = Watch(self)
        self.links, self.requests = Links(self), Requests(self)
        self.recording = Recording(self)
        self.printing, self.restoring = Printing(self), Restoring(self)
        self.shifts, self.people = Shifts(self), People(self)
        self.terms, self.fiscal = TermsNow(self), Fiscal(self)
        self.books, self.holding, self.stock = Books(self), Holding(self), Stock(self)
        self._products = "", -1, {}

    async def reopen(self) -> None:
        """Close the folder's shop and open whichever is its shop now; listeners come back where they were."""
        folder, bound, looking = self.folder, self.links.bound(), self.links.looking
        filing, hosting = self.fiscal.outbox.running, self.hosting is not None and self.hosting.listening
        self._wanted_label = None  # asked for in the shop that is left; the one that is joined gave another
        await self._end()
        self._news = News()
        await self._start(folder)
        for host, port in bound:
            await self.listen(host, port)
        if looking:
            await self.discover()
        if filing:
            self.fiscal.start()
        if hosting and self.hosting is not None:
            await self.hosting.start()

    async def _begin(self) -> None:
        self._engine = Engine(
            self.store,
            random=self.clockwork.random,
            wall=lambda: self.clockwork.wall_ms() / 1000,
            on_fatal=lambda error: give_up(self, error),
        )
        self._engine.add(self.whole, Places.from_json(self.id, str(self.store.get_meta(PLACES) or "")))
        self._engine.hub.on_places = self.links.places_changed
        self._engine.on_commit(self._committed)
        await self._engine.start()
        await begin(self)
        if self._wanted_label is not None and self._wanted_label != self.label:
            await self.rename(self._wanted_label)
        self._telling = asyncio.create_task(tell_news(self, self._news), name="news")
        self.links.dial_known()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Stop cleanly: what is unsigned is signed, links are closed, the folder is free."""
        await self.close()

    async def close(self) -> None:
        """As leaving `async with`; once is enough."""
        if self._opened is None:
            return
        folder = self._opened.folder
        await self._end()
        if folder is not None and not isinstance(self._given, Folder):
            folder.close()

    async def _end(self) -> None:
        self._news.end()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        if self._opened is None:
            return
        self.links.refuse()
        if self.hosting is not None:
            await self.hosting.stop()
        await self.fiscal.stop()
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.stop()
        await self.links.stop()
        await asyncio.gather(self.watch.stop(), self.requests.stop(), asyncio.to_thread(self.printing.close))
        if not self.broken.is_set():  # else nothing touches that file any more
            close_store(self._opened.store)
        self._opened = None

    # -- what it consists of -------------------------------------------------------------------------------------------

    @property
    def _open(self) -> Opened:
        if self._opened is None:
            raise OutcomeUnknown("the till is closed")
        return self._opened

    @property
    def engine(self) -> Engine:
        """What commits and links. Raises FolderError where the till was opened for reading only."""
        if self._engine is None:
            if self._opened is None or not self.read_only:  # its links and its disk may be open a while longer
                raise OutcomeUnknown("the till is going down")
            raise FolderError("this till was opened for reading only")
        return self._engine

    def suspect(self, error: BaseException) -> bool:
        """Whether `error` means that the disk failed; then this process is to end."""
        return self._engine is not None and not mended_for(self, error) and self._engine.suspect(error)

    @property
    def running(self) -> bool:
        """Whether it commits and links, and is not just open for reading."""
        return self._engine is not None

    @property
    def folder(self) -> Folder:
        """Its data folder, where it is `in_folder`."""
        folder = self._open.folder
        assert folder is not None, "a till that its host keeps in a database has none"
        return folder

    @property
    def settings(self) -> Settings:
        """Its own settings; whoever changes them saves them."""
        return self._open.settings

    @property
    def store(self) -> Store:
        """Its store."""
        return self._open.store

    @property
    def reports(self) -> Reports:
        """What its ledger answers."""
        self._open  # noqa: B018  # raises once the till is closed
        return self._reports

    @property
    def replica(self) -> Writer:
        """Whoever writes its entries: its replica, where it has one of its own."""
        return self._open.replica

    @property
    def whole(self) -> Replica:
        """The replica of its shop on this device."""
        return self._open.replica

    @property
    def key(self) -> Key:
        """Its signing key."""
        return self._open.key

    def use_key(self, key: Key) -> None:
        """Sign and prove itself with `key` from now on, its own that took the place of the old one."""
        assert key.id == self.id
        self._open.key = key

    @property
    def recovery(self) -> str | None:
        """The recovery code, where this opening founded the shop."""
        return self._open.recovery

    @property
    def id(self) -> str:
        """The till's author id, 26 characters."""
        return self._open.key.id

    @property
    def shop_id(self) -> str:
        """The shop's id, 26 characters."""
        return self._open.settings.shop

    @property
    def shop(self) -> str:
        """The shop's name."""
        return str(self.replica.founding.get("name", ""))

    @property
    def label(self) -> str:
        """What stands before the number on its receipts."""
        return self.replica.label

    @property
    def day(self) -> str:
        """The business day it is."""
        return self.replica.day(self._time().at_ms)

    def now(self) -> str:
        """The time as entries write it, in the shop's zone."""
        return iso(self._time().at_ms, self.replica.zone)

    def _time(self) -> Reading:
        assert self.replica.clock is not None
        return self.replica.clock.now()

    # -- selling -------------------------------------------------------------------------------------------------------

    async def sell(
        self,
        lines: Sequence[Mapping[str, Any]],
        *,
        id: str | uuid.UUID | None = None,
        tenders: Sequence[Mapping[str, Any]] | None = None,
        by: str | None = None,
    ) -> Sale:
        """Record a sale; returned once it is on the disk.

        A line is {sku, quantity, price?, discount?, name?}: amounts in whole minor units, quantities as int, Decimal or
        text. Without `tenders`, cash was paid exactly. What else a sale may say (its customer, a discount of the whole,
        who approves) goes by `ring`. Make `id` (a UUID) before the first try, and repeat it after
        any error: one id is one sale. Raises BadRequest, Conflict, CommitFailed (DiskFull: no room), after all of
        which nothing was recorded, and OutcomeUnknown.
        """
        request: dict[str, Any] = {"id": str(id or uuid.uuid4()), "lines": [dict(line) for line in lines]}
        if tenders is not None:
            request["tenders"] = [dict(tender) for tender in tenders]
        if by is not None:
            request["by"] = by
        return (await self.ring(request)).sale

    async def ring(self, request: Mapping[str, Any]) -> Rung:
        """As `sell`, with the body of POST /api/sales, saying also whether the same had been recorded before."""
        return await ring(self, request)

    async def refund(
        self,
        sale: str,
        lines: Sequence[Mapping[str, Any]] | None = None,
        *,
        reason: str,
        id: str | uuid.UUID | None = None,
        tenders: Sequence[Mapping[str, Any]] | None = None,
        restock: bool = True,
        by: str | None = None,
        approve: Mapping[str, str] | None = None,
    ) -> Refund:
        """Take goods back of the sale with this id or receipt, of any till; returned once it is on the disk.

        A line is {line, quantity?}: its number in the sale, and how much of it. Without `lines`, all that is left;
        without `tenders`, by what was paid with. With `restock` False the goods are not put back. `id` as for `sell`;
        `approve` is {by, pin} of who may, where the shop's permissions ask for it. Raises what `sell` does, NotFound,
        Ambiguous, NotPossible and NotAllowed.
        """
        request = asked(id, reason, by, approve)
        for name, value in (("lines", lines), ("tenders", tenders)):
            if value is not None:
                request[name] = [dict(item) for item in value]
        if not restock:
            request["restock"] = False
        return (await refund(self, sale, request)).refund

    async def void(
        self,
        sale: str,
        reason: str,
        *,
        id: str | uuid.UUID | None = None,
        by: str | None = None,
        approve: Mapping[str, str] | None = None,
    ) -> Refund:
        """Undo a whole sale of this till while its shift is open. Raises as `refund`."""
        return (await void(self, sale, asked(id, reason, by, approve))).refund

    # -- asking --------------------------------------------------------------------------------------------------------

    def sale(self, wanted: str) -> Sale:
        """The sale with this id or receipt, of any till. Raises NotFound, Ambiguous."""
        return self.show(self.one(wanted))

    def one(self, wanted: str) -> Recorded:
        """As `sale`, as the ledger has it."""
        found = self.reports.sale(wanted)
        if not found and self.reports.refund(wanted):
            raise NotFound(f"{wanted[:60]!r} is a refund or void: ask /api/refunds/{wanted[:60]}")
        if not found:
            raise NotFound(f"no sale here has the id or receipt {wanted[:60]!r}")
        if len(found) > 1:
            raise Ambiguous(wanted, [recorded.entry.hash.hex() for recorded in found])
        return found[0]

    def refunded(self, wanted: str) -> Refund:
        """The refund or void with this id, or refund with this receipt, of any till. Raises NotFound, Ambiguous."""
        found = self.reports.refund(wanted)
        if not found:
            raise NotFound(f"no refund or void has the id or receipt {wanted[:60]!r}")
        if len(found) > 1:
            raise Ambiguous(wanted, [recorded.entry.hash.hex() for recorded in found])
        return show_refund(self, found[0])

    def refunds(
        self, *, day: str | None = None, after: str | int | None = None, limit: int = LIST_DEFAULT
    ) -> list[tuple[int, Refund]]:
        """Refunds and voids of all tills in the order in which they came here, each with its cursor; `after` is the
        cursor of the last one seen."""
        found = self.reports.refunds(day=day, after=cursor(after), limit=max(1, min(limit, LIST_MAX)))
        return [(recorded.n, show_refund(self, recorded)) for recorded in found]

    def sales(
        self,
        *,
        day: str | None = None,
        till: str | None = None,
        after: str | int | None = None,
        limit: int = LIST_DEFAULT,
    ) -> list[Sale]:
        """Sales of all tills in the order in which they came here; `after` is the `cursor` of the last one seen."""
        return [self.show(recorded) for recorded in self.listed(day=day, till=till, after=after, limit=limit)]

    def listed(
        self,
        *,
        day: str | None,
        till: str | None,
        after: str | int | None,
        limit: int,
        newest: bool = False,
    ) -> list[Recorded]:
        """As `sales`, as the ledger has them."""
        limit = max(1, min(limit, LIST_MAX))
        n = place(self.reports, after)
        return self.reports.sales(day=day, till=self._till_id(till), after=n, limit=limit, newest=newest)

    def _till_id(self, till: str | None) -> str | None:
        """A till's id, from its id or its label."""
        everyone = self.store.authority(self.shop_id).everyone
        return next((m.author for m in everyone.values() if till is not None and m.label == till), till)

    def show(self, recorded: Recorded) -> Sale:
        """The sale that an entry of the ledger is."""
        return sale_of(recorded, self.name_of, self.reports.durable(recorded.entry))

    def name_of(self, sku: str, at: str) -> str | None:
        """What the catalogue called a product at a time (ISO 8601)."""
        product = self.reports.product_at(sku, at)
        return None if product is None else str(product["name"])

    def product(self, sku: str) -> Product | None:
        """A product of the catalogue, as a sale prices it."""
        # what was scheduled for this day counts from its first sale on
        now = self.day, self.store.edition(self.shop_id)
        day, edition, known = self._products
        if (day, edition) != now or len(known) >= PRODUCTS_KEPT:
            known = {}
            self._products = *now, known
        if sku not in known:
            known[sku] = self._look_up(sku)
        return known[sku]

    def _look_up(self, sku: str) -> Product | None:
        found = self.reports.product(sku)
        if found is None:
            return None
        return product_of(found)

    def day_report(self, day: str | None = None) -> dict[str, Any]:
        """What the shop sold on a business day, by default today: figures, tills, and whatever is odd."""
        return self.reports.day(day or self.day)

    def status(self) -> dict[str, Any]:
        """Who this till is, whom it is linked with, what no other device holds yet, what a person should look at."""
        return {
            "shop": self.shop,
            "shop_id": self.shop_id,
            "till": self.id,
            "label": self.label,
            "day": self.day,
            "clock": self._time().trust,
            "peers": self.watch.peers(),
            "waiting": self.reports.waiting(self.id),
            "alarms": self.alarms(),
            "refused": self.watch.refusals.listed(),
        }

    def alarms(self) -> list[dict[str, Any]]:
        """What a person should look at, the most urgent first: a `kind`, a `detail` in words, and what to `do`."""
        return self.watch.alarms()

    async def changes(self) -> AsyncIterator[Change]:
        """What happens from now on: sales once they are committed, here or by sync, changes of status, alarms. Ends
        with the till, or when its reader falls too far behind."""
        async for change in self._news.listen():
            yield change

    # -- links ---------------------------------------------------------------------------------------------------------

    async def connect(self, url: str) -> None:
        """Keep a link to the till or relay at `url` from now on, redialled whenever it breaks. Does not wait for it."""
        self.links.dial(url)

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Let other devices link to this till, by TLS; returns the URL that they dial. The host "" is every address of
        this machine. Raises AddressRefused."""
        return await self.links.listen(host, port)

    async def discover(self) -> None:
        """Find the shop's other tills on the local network, and be found, where this till listens."""
        await self.links.discover()

    def hush(self) -> None:
        """End the streams of `changes`, before whoever serves them is stopped."""
        self._news.end()

    # -- its name ------------------------------------------------------------------------------------------------------

    async def rename(self, label: str) -> None:
        """Print another label on receipts from now on. Raises BadRequest where another till has it."""
        everyone = self.store.authority(self.shop_id).everyone
        taken = {m.label for m in everyone.values() if m.author != self.id}
        taken |= {renamed for author in everyone if author != self.id and (renamed := self.reports.renamed(author))}
        if label in taken:
            raise BadRequest.of("label", f"another till is called {label} already")
        await self.write("setting", {"name": f"label:{self.id}", "value": label}, document="shop")
        self.replica.relabel(label)

    async def write(self, kind: str, fields: Mapping[str, Any], *, document: str | None = None) -> None:
        """Write one entry of this till's own and wait for its commit."""
        await self.engine.durable(self.replica.write(kind, fields, document=document))

    # -- news ----------------------------------------------------------------------------------------------------------

    def _committed(self, commit: Commit) -> None:
        clock = self.replica.clock
        assert clock is not None
        note_times(self.store, clock, self._noted_ms)
        self.fiscal.committed(commit)
        self.printing.committed(commit)
        # the head office is a setting, which may count only now (docs/decisions.md, 55)
        settings = any(found.change.kind == "setting" for found in commit.changes)
        if settings or (self.shop_id, "shop") in commit.documents:
            self.links.dial_known()
            self.requests.look()
        self._heard(commit)

    def _heard(self, commit: Commit) -> None:
        """Something was committed here, whoever wrote it: take note of it, and tell those who listen."""
        self.recording.committed(commit)
        if self._news.heard:
            self._news.tell(*news_of_commit(self, commit))

    def look_after(self, turn: int) -> None:
        """What is to be looked at now and then; `turn` counts seconds."""
        if turn % MOVED_TURNS == 0:
            self.links.moved()
        if turn % LOOK_TURNS == 0:
            self.watch.look()
            self.watch.keep()
            self.requests.look()
