"""What a head office does for its devices besides answering them: it tells each one's shop that it asks to be let in,
or no more, and signs for those that may never come back.

Both are worked out from the books and from what stands in the shop, so whoever leads may begin at any point, and a kill
between the two costs one comparison.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from posline.errors import BadEntry, CommitFailed, PoslineError
from posline.replica import Replica
from posline.storage.reports import Reports
from relay.authoring import Authoring, NotOurs, may_write
from relay.delivering import Leads, leads_always
from relay.hosting.devices import Device
from relay.relay import Relay

__all__ = ["VOUCH_MS", "Steward"]

log = logging.getLogger("posline.relay")

LOOK_S = 2.0  # between two looks for something to do
Work = Callable[[Device, Replica], Awaitable[None]]
VOUCH_MS = 600_000  # a process that had a device's till open has signed by then, or is gone


class Steward:
    """At work from `start` to `stop`, while this process leads."""

    def __init__(self, relay: Relay, authoring: Authoring, *, leads: Leads = leads_always) -> None:
        self._relay, self._authoring, self._leads = relay, authoring, leads
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._relay.tills.on_changed = self._wanted.set
        self._task = asyncio.create_task(self._run(), name="steward")

    async def stop(self) -> None:
        """The end. What is left to do is done by the next one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                if await self._leads():
                    await self.round()
            except PoslineError as error:
                log.warning("looking after hosted devices waits: %s", error)
            except Exception as error:
                if not self._relay.suspect(error):
                    log.exception("looking after hosted devices failed; the next look goes on")
            self._wanted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()

    async def round(self) -> None:
        """Do what is to be done now. Where a shop does not take it, the next round tries again."""
        devices = self._relay.devices
        for device in await asyncio.to_thread(devices.untold):
            await self._each(device, self._tell)
        before_ms = self._relay.office.now_ms() - VOUCH_MS
        for device in await asyncio.to_thread(devices.unvouched, before_ms):
            await self._each(device, self._vouch_for)

    async def _each(self, device: Device, work: Work) -> None:
        try:
            replica = await self._relay.tills.place_of(device)
            if replica is not None:
                await work(device, replica)
            elif device.removed_ms:  # nobody is left to be told, and its key goes all the same
                await asyncio.to_thread(self._relay.devices.told, device)
        except CommitFailed as error:  # another process was faster, or there is no room
            log.info("for the hosted device %s: %s", device.author, error)
        except (NotOurs, BadEntry) as error:  # which is no reason for the others to wait
            log.warning("the hosted device %s waits: %s", device.author, error)

    async def _tell(self, device: Device, replica: Replica) -> None:
        """Have the shop know that a device asks, or that it does no more."""
        if not may_write(replica, self._relay.key.id):
            return  # it does once the shop is attached again
        if device.removed_ms and device.signing:
            await self._sign(device, replica)
        wanted = device.asks
        if Reports(replica.store, replica.shop, here=replica.store_id).setting(device.setting) != wanted:
            draft = ("setting", {"name": device.setting, "value": wanted}, "shop")
            await self._authoring.write(replica, [draft], by=device.invited_by)
        await asyncio.to_thread(self._relay.devices.told, device)

    async def _vouch_for(self, device: Device, replica: Replica) -> None:
        await self._sign(device, replica)
        await asyncio.to_thread(self._relay.devices.vouched, device)

    async def _sign(self, device: Device, replica: Replica) -> None:
        """Sign what a device left unsigned, while its signature counts for something."""
        if device.author not in replica.store.members(replica.shop):
            return
        engine = self._relay.tills.join(replica)
        writer = replica.writer(device.key, self._relay.tills.clock)
        writer.fenced = True
        try:
            writer.sign_off()
            writer.vouch()
            await engine.durable(*replica.staged)
        finally:
            if not self._relay.tills.is_open(device.author):
                replica.release_writer(device.author)
