"""A hosted till: everything that a till does for a cashier, under a device's own name, over its host's disk.

It has its own numbers, drawer, shifts and reports. Store, engine, links and clock are its host's, so it opens nothing
and links with nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from posline.core.clock import Clock
from posline.core.members import Role
from posline.core.pricing import Terms
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.storage.records import Commit
from posline.storage.reports import Reports
from posline.sync.engine import Engine
from posline.till.opening import Clockwork, Opened
from posline.till.page_catalogue import news_of
from posline.till.settings import Settings
from posline.till.telling import NEWS_S, tell_news
from posline.till.till import LOOK_TURNS, Till
from posline.trust.keys import Key
from posline.writer import Writer

__all__ = ["Disk", "Host", "HostedTill"]


class Disk(Protocol):
    """Where hosted tills of one shop keep what they write: a till's disk, or a head office's."""

    @property
    def folder(self) -> Folder | None:
        """Where its small files are; None for a host that keeps everything in a database."""

    @property
    def clockwork(self) -> Clockwork:
        """Its time and randomness."""

    @property
    def engine(self) -> Engine:
        """What commits."""

    @property
    def whole(self) -> Replica:
        """The shop's replica there."""

    @property
    def clock(self) -> Clock:
        """Its sense of time, which its devices' entries are written by."""


class Host(Disk, Protocol):
    """A till, as a host of devices."""

    @property
    def label(self) -> str:
        """What people call it."""

    @property
    def running(self) -> bool:
        """Whether it serves, and is not only asked or changed by a command."""

    def addresses(self) -> list[str]:
        """The addresses and names of its machine, best first."""

    def check_may_admit(self) -> None:
        """Raises NotAdmitted where it may let no till into the shop."""

    async def admit(self, key: bytes, label: str) -> str:
        """Make the owner of a key a till of the shop that is hosted here; its label. Raises NotAdmitted, BadRequest."""

    async def dismiss(self, author: str) -> None:
        """Remove a hosted till from the shop. Raises NotAllowed, CommitFailed."""


class HostedTill(Till):
    """An open hosted till, from when it is made until `close`."""

    hosted = True

    def __init__(self, host: Disk, key: Key, *, fenced: bool = False, every_s: float = NEWS_S) -> None:
        """`fenced`: other processes may write as this till too. `every_s` is how often its lights and alarms are looked
        at while its page follows them."""
        super().__init__(host.folder, None, None, host.clockwork, False)
        self.in_folder = host.folder is not None
        whole = host.whole
        self._writer = whole.writer(key, host.clock)
        self._writer.fenced = fenced
        own = whole.store.members(whole.shop).get(whole.store_id)
        self.at_head_office = own is not None and own.role is Role.HEAD_OFFICE
        label = Reports(whole.store, whole.shop, here=whole.store_id).renamed(key.id)
        if label is not None:
            self._writer.relabel(label)
        self._engine = host.engine
        settings = Settings(shop=whole.shop, author=key.id)  # no printer and no tokens: those are the host's own
        self._compose(Opened(host.folder, settings, key, whole.store, whole))
        self._told_of: tuple[Terms, str] | None = None  # what sales were priced by when its page was last told
        self._telling = asyncio.create_task(tell_news(self, self._news, every_s), name=f"news of {self.label}")

    @property
    def replica(self) -> Writer:
        """What writes its entries beside its host's replica."""
        return self._writer

    @property
    def followed(self) -> bool:
        """Whether a page follows what happens here."""
        return self._news.heard

    def heard(self, commit: Commit) -> None:
        """Something was committed at its host."""
        self._heard(commit)

    def heard_elsewhere(self, documents: Collection[str]) -> None:
        """Another process of its host committed something in these documents of the shop."""
        if not self._news.heard:
            return
        now = self.terms(), self.reports.catalogue
        late = () if now == self._told_of else ("setting", "products")  # of which journals may have decided there
        self._told_of = now
        self._news.tell(*news_of(self, documents, ("hold", *late)))

    def look_after(self, turn: int) -> None:
        """As a till; links and places are its host's."""
        if turn % LOOK_TURNS == 0:
            self.watch.look()

    async def _end(self) -> None:
        """Streams end, and nothing more is taken; the disk stays its host's."""
        self._news.end()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        if self._opened is not None:
            await asyncio.gather(self.watch.stop(), return_exceptions=True)
        self._opened = self._engine = None

    async def close(self) -> None:
        """Let go of it; what it staged is committed all the same."""
        await self._end()
