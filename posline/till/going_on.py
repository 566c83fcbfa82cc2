"""How a till goes on after its disk failed it: when it ends, and with what it begins where something may be lost.

Where a database was built anew (posline.till.salvaging) or its last commits are gone, this disk does not know what it
wrote last. The others may: what a till confirmed is with them a moment later. So it listens to them first, for a few
seconds, and takes its own chain up again where all of them were heard. Where one was not, it may be the one that has
the last of it; then the till sells all the same, in a run that goes on from nothing: what it lost still counts where it
turns up, and is not taken for a forger's.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import TYPE_CHECKING

from posline.core.kinds import MAX_POINTS
from posline.core.members import Role
from posline.errors import DiskFailed, OutcomeUnknown
from posline.storage.connection import is_altered, is_damage
from posline.storage.ledger import DISPUTED, HELD
from posline.storage.remains import SALVAGED
from posline.till.anchor import Anchor
from posline.till.salvaging import PLACES, UNSURE

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["PATIENCE_S", "anchor_of", "begin", "give_up", "hear_others", "mended_for"]

log = logging.getLogger("posline.till")

AIRY = (DISPUTED, HELD)
PATIENCE_S = 15.0  # for another device to answer, once after a damage: to find it, to link, to take what is missing


def give_up(till: Till, error: BaseException) -> None:
    """The disk failed in a way after which nothing that was opened on it can be believed: the process is to end, and
    the next one looks through the database before it goes on."""
    till.folder.doubt(str(error), sure=is_altered(error))
    till.broken.set()


def mended_for(till: Till, error: BaseException) -> bool:
    """Whether the database was built anew for just this error already: then it is not the disk's, and the till sells
    on without what it asked for."""
    return is_altered(error) and till.watch.mishap.again(str(error))


async def begin(till: Till) -> None:
    """Begin this process's first run; where the last one's end is not known, only when the others were heard."""
    if not till.replica.founding:
        return
    await asyncio.to_thread(anchor_of(till).save, till.folder.path)
    till.engine.on_commit(lambda commit: till.watch.anchor() if (till.shop_id, "shop") in commit.documents else None)
    till.replica.unsure = bool(till.store.get_meta(UNSURE)) and bool(_others(till))
    if not till.replica.unsure:
        await _begin(till)


async def hear_others(till: Till, patience_s: float = PATIENCE_S) -> None:
    """Where this till does not know what it wrote last, wait for somebody who may, and go on behind that."""
    replica = till.whole
    if not replica.unsure:
        return
    log.warning("what this till recorded last may be lost here: asking the others for it, for %d s", patience_s)
    deadline, others = time.monotonic() + patience_s, _others(till)
    while not others <= replica.in_step and time.monotonic() < deadline and not till.broken.is_set():
        await till.engine.wait_for_room()
    if replica.in_step and not replica.staged:
        everyone = till.store.authority(till.shop_id).everyone.values()
        for author in (till.id, *(member.author for member in everyone if member.host == till.id)):
            await till.engine.between_commits(functools.partial(till.store.adopt, till.shop_id, author))
        replica.reset()
        replica.unsure = not others <= replica.in_step
    if replica.unsure:
        log.warning("not all of them answered: selling without")
        replica.writers_unsure = True
    await _begin(till)


async def _begin(till: Till) -> None:
    if till.store.get_meta(UNSURE):
        till.store.set_meta(UNSURE, None)
    try:
        till.replica.begin()
    except Exception as error:  # today's journal is loaded here
        if is_damage(error):
            give_up(till, error)
            raise DiskFailed(f"the database is damaged ({error}), and is built anew at the next start") from error
        raise
    try:
        await till.engine.durable(*till.replica.staged)
    except OutcomeUnknown as error:
        raise DiskFailed(error.reason) if till.broken.is_set() else error from error
    if till.store.get_meta(SALVAGED):
        await _stand_by_own(till)
        till.store.set_meta(SALVAGED, None)


async def _stand_by_own(till: Till) -> None:
    """Where an entry is lost, those before it hang in the air, and would be out of the totals until it comes back. This
    disk wrote them, so a till that may accept entries accepts them."""
    own = till.store.members(till.shop_id).get(till.id)
    query = f"SELECT lower(hex(hash)) FROM entry WHERE shop = ? AND author = ? AND own = 1 AND status IN {AIRY}"
    found = till.store.read.execute(query, (till.store.shop_key(till.shop_id), till.id)).fetchall()
    if own is not None and own.role is Role.MANAGER:
        for start in range(0, len(found), MAX_POINTS):
            hashes = [hash for (hash,) in found[start : start + MAX_POINTS]]
            await till.write("accept", {"entries": hashes}, document="shop")


def anchor_of(till: Till) -> Anchor:
    """What is to be kept beside the database."""
    elements = sorted(entry.raw.decode() for entry in till.store.acts(till.shop_id))
    return Anchor(till.shop_id, tuple(elements), str(till.store.get_meta(PLACES) or ""))


def _others(till: Till) -> set[str]:
    """The store ids of the shop's devices that may hold what this one wrote."""
    members = till.store.members(till.shop_id).values()
    return {m.author for m in members if m.author != till.id and m.role is not Role.READER and not m.host}
