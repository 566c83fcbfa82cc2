"""The head office as an author: what it writes into a shop, under its own key.

Several processes may share one database and one key, and a run's numbers are staged before their commit. So only the
process that leads writes; and since two may believe that they lead for a moment, each commit is fenced: it stands only
where the author's last entry is the one that the writer went on from. Whoever was overtaken begins a new run behind
what the other wrote.

All that one call writes stands or falls together, signed at its end. Nothing is left behind in memory, so a shop that
is not written to costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from posline.core.clock import Clock
from posline.core.members import Role
from posline.errors import NotPossible
from posline.replica import Replica
from posline.storage.records import Mark, Staged
from posline.sync.engine import Engine
from posline.trust.keys import Key

__all__ = ["Authoring", "NotOurs", "may_write"]

Draft = tuple[str, Mapping[str, Any], str]  # the kind of an entry, its fields, the document that it goes into


class NotOurs(NotPossible):
    """A shop whose members do not have the head office among them (any more): its tills would not believe it."""


def may_write(replica: Replica, author: str) -> bool:
    """Whether a shop's tills take the head office's word."""
    member = replica.store.members(replica.shop).get(author)
    return member is not None and member.role is Role.HEAD_OFFICE


class Authoring:
    """Writes as the head office, in one shop at a time."""

    def __init__(self, key: Key, clock: Clock, engine: Callable[[], Engine]) -> None:
        self._key, self._clock, self._engine = key, clock, engine
        self._one_at_a_time = asyncio.Lock()

    async def write(self, replica: Replica, drafts: Sequence[Draft], *, by: str = "") -> Mark:
        """Write these entries; returns how far the head office's run goes with them, once they are on the disk.

        Raises NotOurs, BadEntry, CommitFailed (Overtaken where another process wrote meanwhile): then nothing of it
        stands.
        """
        engine = self._engine()
        async with self._one_at_a_time:
            if not may_write(replica, self._key.id):
                raise NotOurs("the shop does not have this head office among its members: attach it once more")
            if engine.hub.replica(replica.shop) is None:
                engine.add(replica)
            staged = self._stage(replica, drafts, by)
            try:
                await engine.durable(*staged)
            finally:
                replica.release_writer(self._key.id)
            last = staged[-1].entries[0]
            return Mark(last.till, last.run, last.seq, last.hash)

    def _stage(self, replica: Replica, drafts: Sequence[Draft], by: str) -> list[Staged]:
        """Stage the entries, and a signature behind them."""
        writer = replica.writer(self._key, self._clock)
        writer.fenced = True
        before = len(replica.staged)
        try:
            for kind, fields, document in drafts:
                writer.write(kind, fields, document=document, by=by)
            writer.write("seal", {})
        except BaseException:
            # nothing was awaited since the first of them, so they are the last ones, and no commit has taken them up
            replica.unstage(before)
            replica.release_writer(self._key.id)
            raise
        return replica.staged[before:]
