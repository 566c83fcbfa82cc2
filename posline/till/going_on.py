"""How a till goes on after its disk failed it: when it ends, and with what it begins where something may be lost.

Where a database was built anew (posline.till.salvaging) or its last commits are gone, this disk does not know what it
wrote last. The others may: what a till confirmed is with them a moment later. So it listens to them first, for a few
seconds, and takes its own chain up again where they have it. Where nobody answers it sells all the same, in a run that
goes on from nothing: what it lost then still counts where it turns up, and is not taken for a forger's.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from posline.core.members import Role
from posline.till.salvaging import UNSURE

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["PATIENCE_S", "begin", "give_up", "hear_others"]

log = logging.getLogger("posline.till")

PATIENCE_S = 15.0  # for another device to answer, once after a damage: to find it, to link, to take what is missing


def give_up(till: Till, error: BaseException) -> None:
    """The disk failed in a way after which nothing that was opened on it can be believed: the process is to end, and
    the next one looks through the database before it goes on."""
    till.folder.doubt(str(error))
    till.broken.set()


async def begin(till: Till) -> None:
    """Begin this process's first run; where the last one's end is not known, only when the others were heard."""
    if not till.replica.founding:
        return
    till.replica.unsure = bool(till.store.get_meta(UNSURE)) and bool(_others(till))
    if not till.replica.unsure:
        await _begin(till)


async def hear_others(till: Till, patience_s: float = PATIENCE_S) -> None:
    """Where this till does not know what it wrote last, wait for somebody who may, and go on behind that."""
    replica = till.replica
    if not replica.unsure:
        return
    log.warning("what this till recorded last may be lost here: asking the others for it, for %d s", patience_s)
    deadline = time.monotonic() + patience_s
    while not replica.in_step and time.monotonic() < deadline and not till.broken.is_set():
        await till.engine.wait_for_room()
    if replica.in_step and not replica.staged:
        await till.engine.between_commits(lambda: till.store.adopt(till.shop_id, till.id))
        replica.unsure = False
        replica.reset()
    else:
        log.warning("nobody answered: selling without")
    await _begin(till)


async def _begin(till: Till) -> None:
    if till.store.get_meta(UNSURE):
        till.store.set_meta(UNSURE, None)
    till.replica.begin()
    await till.engine.durable(*till.replica.staged)


def _others(till: Till) -> list[str]:
    """Devices of the shop that may hold what this one wrote."""
    members = till.store.members(till.shop_id).values()
    return [m.author for m in members if m.author != till.id and m.role is not Role.READER]
