"""Brings what was published to the shops: a few products at a time, behind the sales, and never twice.

A task is one publication in one shop. Each step compares some products of the lists with what the shop's ledger has as
current, and writes those that differ; how far it is lies in the books. A crash between the two costs one comparison:
what was written already does not differ any more. So a publication may be carried out by whichever process leads, and
begun again at any point.

Paced: writing takes at most a part of the time, a few shops are under way at once, and nothing is read ahead.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from posline.core.members import Role
from posline.core.products import on_day
from posline.errors import Overtaken, PoslineError
from posline.storage.pieces import in_pieces
from posline.storage.records import Commit, Mark
from posline.till.importing import pieces_of
from relay.authoring import Authoring, last_written
from relay.delivering import Leads, leads_always
from relay.price_lists import Difference, composed, merged
from relay.prices import DONE, Prices, Task
from relay.relay import Branch, Relay

__all__ = ["Publisher", "compare", "held_versions"]

log = logging.getLogger("posline.relay.prices")

LOOK = 200  # products compared at a time
PIECE = 25  # products in one entry and one transaction: a sale's commit waits for no more
ACTIVE = 4  # shops under way at once
SHARE = 0.2  # of the time that may go into writing and comparing while shops are open
SHARE_AT_NIGHT, OPEN_S = 0.8, 5.0  # and once nothing has come from any of them for so long
BYTES_A_SECOND = 512 * 1024  # written, over all shops
LOOK_S = 1.0  # between two looks for something to do
QUIET_S = 0.5  # at most that it waits for the sales that are waiting for their commit
PAUSE_S = 0.005
AGAIN_S = 5.0  # before another try at a shop that did not take it
TASKS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Compared:
    """Some products of a shop beside the lists: what is to be written of each, and what differs."""

    products: list[dict[str, Any]]
    differences: list[tuple[str, Difference]]


def compare(prices: Prices, branch: Branch, lists: Sequence[str], skus: Sequence[str], author: str) -> Compared:
    """What these products are to be in a shop. `author` is the head office."""
    items, now = prices.items(lists, skus), branch.reports.catalog.said(skus)
    keeps, today = prices.keeps(), branch.day
    sent = _sent(branch, author, skus) if now else {}
    products, differences = [], []
    for sku in skus:
        if sku not in items:
            continue  # no list says anything of it any more: it is the shop's own
        found = merged(composed(sku, items[sku]), now.get(sku), sent.get(sku), keeps, today)
        differences += [(sku, each) for each in found.differences]
        if found.product is not None and (sku not in now or found.product != on_day(now[sku], today)):
            products.append(found.product)
    return Compared(products, differences)


def _sent(branch: Branch, author: str, skus: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the head office wrote last of each of these products in a shop."""
    store, found = branch.replica.store, dict[str, tuple[int, str]]()
    place = store.shop_key(branch.id), store.document_key(branch.id, branch.reports.catalogue)
    for marks, piece in in_pieces(skus):
        rows = store.read.execute(
            f"SELECT name, seq, value FROM edit WHERE shop = ? AND document = ? AND name IN ({marks}) AND author = ?",
            (*place, *piece, author),
        )
        for sku, seq, value in rows:
            if seq > found.get(sku, (0, ""))[0]:
                found[sku] = seq, value
    return {sku: json.loads(value) for sku, (_, value) in found.items()}


class Publisher:
    """Carries publications out, from `start` to `stop`, while this process leads."""

    def __init__(
        self,
        relay: Relay,
        authoring: Authoring,
        *,
        leads: Leads = leads_always,
        share: float = SHARE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._relay, self._prices, self._authoring = relay, relay.prices, authoring
        self._leads, self._share, self._now = leads, share, now
        self._task: asyncio.Task[None] | None = None
        self._under_way: dict[str, Task] = {}  # by shop
        self._later: dict[str, float] = {}  # shops that did not take it, until when
        self._wanted = asyncio.Event()
        self._looked_s = -LOOK_S
        self._open_s = -OPEN_S  # when a sale, or anything else of a shop's, was committed here last

    def start(self) -> None:
        """Begin."""
        self._relay.engine.on_commit(self._heard)
        self._task = asyncio.create_task(self._run(), name="prices")

    async def stop(self) -> None:
        """The end. What is under way goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for shop in list(self._under_way):
            await self._let_go(shop)

    def poke(self) -> None:
        """There may be something to do."""
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            try:
                busy = await self._leads() and await self.round()
            except (PoslineError, asyncio.InvalidStateError) as error:
                log.warning("publishing prices waits: %s", error)
                busy = False
            except Exception as error:
                if not self._relay.suspect(error):
                    log.exception("publishing prices waits")
                busy = False
            if not busy:
                if self._under_way and not await self._leads():
                    for shop in list(self._under_way):
                        await self._let_go(shop)
                self._wanted.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._wanted.wait()
                except TimeoutError:
                    pass

    async def round(self) -> bool:
        """One step in each of the shops that are under way; whether there was anything to do."""
        await asyncio.to_thread(self._take_up)
        tasks = list(self._under_way.values())
        for task in tasks:
            try:
                await self._step(task)
            except Overtaken:  # another process was there: what it wrote is compared in the next round
                continue
            except Exception as error:  # whatever it is, it is no reason for the other shops to wait
                if self._relay.suspect(error):
                    raise
                await self._put_off(task, error)
        return bool(tasks)

    def _heard(self, commit: Commit) -> None:
        """Whether shops are open: somebody else's entries stand."""
        if any(not staged.own for staged in commit.released):
            self._open_s = self._now()

    async def _rest(self, began: float, size: int = 0) -> None:
        """Let others have their share of the time, after what was begun at `began` and wrote `size` bytes."""
        took = self._now() - began
        share = self._share if self._now() - self._open_s < OPEN_S else max(self._share, SHARE_AT_NIGHT)
        await asyncio.sleep(max(took * (1 / share - 1), size / BYTES_A_SECOND - took, 0.0))

    def _take_up(self) -> None:
        now = self._now()
        self._later = {shop: at for shop, at in self._later.items() if at > now}
        shops = {shop.id for shop in self._relay.office.shops()}
        if now - self._looked_s >= LOOK_S:
            self._looked_s = now
            if fresh := self._prices.newcomers(sorted(shops)):
                self._prices.publish_again(fresh, why="the shop is new here")
        room = ACTIVE - len(self._under_way)
        if room > 0:
            for task in self._prices.waiting(shops=shops, but={*self._under_way, *self._later}, limit=room):
                self._under_way[task.shop] = task

    async def _put_off(self, task: Task, error: Exception) -> None:
        """A shop does not take it for now; the others go on."""
        ours = not isinstance(error, PoslineError)
        why = f"an error of ours, written to the log: {error!r}" if ours else str(error)
        self._under_way.pop(task.shop, None)
        self._later[task.shop] = self._now() + AGAIN_S
        self._relay.branch(task.shop).replica.release_writer(self._relay.key.id)
        if task.why != why:
            log.warning("prices for %s wait: %s", task.shop, why, exc_info=error if ours else None)
            await asyncio.to_thread(self._prices.keep, replace(task, why=why))

    async def _let_go(self, shop: str) -> None:
        self._under_way.pop(shop, None)
        try:
            await self._authoring.leave(self._relay.branch(shop).replica)
        except PoslineError as error:  # it is signed by the next run
            log.warning("prices for %s: %s", shop, error)

    async def _step(self, task: Task) -> None:
        """Compare the next products of a task and write what differs."""
        began = self._now()
        branch = self._relay.branch(task.shop)
        lists = await asyncio.to_thread(self._prices.lists_of, task.shop)
        skus = await asyncio.to_thread(self._prices.next_skus, task, LOOK)
        if not skus:
            await self._finish(task, branch)
            return
        # first how far we wrote: what is written between that and our own writing makes us compare once more
        since = await asyncio.to_thread(last_written, branch.replica, self._relay.key.id)
        found = await asyncio.to_thread(compare, self._prices, branch, lists, skus, self._relay.key.id)
        await self._rest(began)
        changed = {product["sku"]: (_size(product), product) for product in found.products}
        for piece in _cut(changed):
            mark = await self._write(branch, piece, since)
            since = mark.hash
            task = replace(task, written=task.written + len(piece), run=mark.run, seq=mark.seq)
        kept = sum(each.kept for _, each in found.differences)
        task = replace(task, after=skus[-1], looked=task.looked + len(skus), kept=task.kept + kept, why="")
        await asyncio.to_thread(self._prices.keep, task)
        self._under_way[task.shop] = task

    async def _write(self, branch: Branch, piece: Sequence[Mapping[str, Any]], since: bytes) -> Mark:
        began = self._now()
        engine = self._relay.engine
        while self._now() - began < QUIET_S:  # sales go first
            if not engine.hub.staged:
                break
            await asyncio.sleep(PAUSE_S)
        draft = ("products", {"products": list(piece)}, branch.reports.catalogue)
        began = self._now()
        mark = await self._authoring.write(branch.replica, [draft], more=True, since=since)
        await self._rest(began, sum(map(_size, piece)))
        return mark

    async def _finish(self, task: Task, branch: Branch) -> None:
        await self._authoring.leave(branch.replica)
        await asyncio.to_thread(self._prices.keep, replace(task, state=DONE, why=""))
        self._under_way.pop(task.shop, None)


def _size(product: Mapping[str, Any]) -> int:
    return len(json.dumps(product, ensure_ascii=False).encode()) + 1


def _cut(changed: dict[str, tuple[int, dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """The products of each entry: few, and well under an element's limits."""
    found = []
    for piece in pieces_of(changed, last=True):
        found += [piece[at : at + PIECE] for at in range(0, len(piece), PIECE)]
    return found


def held_versions(relay: Relay, branch: Branch) -> dict[str, Any]:
    """Which version a shop has here, and which each of its tills: {version, of, tills: [{label, version, behind}]}.

    A till has a version where it said that it holds the last entry that the shop was sent for it, with its hash; one
    for which nothing had to be written is there with the one before it.
    """
    tasks = sorted(relay.prices.tasks(shop=branch.id, limit=TASKS_SHOWN), key=lambda task: task.publication)
    done = 0
    for task in tasks:
        if task.state != DONE:
            break
        done = task.publication
    store, tills = branch.replica.store, []
    haves: dict[int, Mapping[str, Mark]] = {}
    for author, member in sorted(store.authority(branch.id).members.items(), key=lambda each: each[1].label):
        if member.role in (Role.HEAD_OFFICE, Role.READER):
            continue
        version = 0
        for task in tasks:
            if task.state != DONE:
                break
            if task.seq:
                if task.run not in haves:
                    haves[task.run] = store.haves(branch.id, relay.key.id, task.run)
                mark = haves[task.run].get(author)
                if mark is None or mark.seq < task.seq:
                    break
            version = task.publication
        tills.append({"label": member.label, "till": author, "version": version, "behind": version < done})
    last = tasks[-1] if tasks else None
    return {
        "version": done, "wanted": last.publication if last else 0, "tills": tills,
        "sent_ms": next((task.changed_ms for task in reversed(tasks) if task.publication == done), None),
        "tasks": [
            {"version": task.publication, "state": task.state, "looked": task.looked, "products": task.products,
             "written": task.written, "kept": task.kept, "changed_ms": task.changed_ms, "why": task.why}
            for task in reversed(tasks)
        ],
    }  # fmt: skip
