"""The head office as an author: what it writes into a shop, under its own key.

Several processes may share one database and one key, and a run's numbers are staged before their commit. So only the
process that leads writes; and since two may believe that they lead for a moment, each commit is fenced: it stands only
where the author's last entry is the one that the writer went on from. Whoever was overtaken begins a new run behind
what the other wrote.

All that one call writes stands or falls together. What belongs together is one run, signed at its end; then nothing
is left behind in memory, so a shop that is not written to costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from posline.core.clock import Clock
from posline.core.members import Role
from posline.errors import NotPossible, Overtaken
from posline.replica import Replica
from posline.storage.records import Mark, Staged
from posline.sync.engine import Engine
from posline.till.opening import Clockwork
from posline.trust.keys import Key
from relay.clock import office_clock
from relay.relay import Relay

__all__ = ["Authoring", "NotOurs", "authoring_of", "last_written", "may_write"]

Draft = tuple[str, Mapping[str, Any], str]  # the kind of an entry, its fields, the document that it goes into


class NotOurs(NotPossible):
    """A shop whose members do not have the head office among them (any more): its tills would not believe it."""


def may_write(replica: Replica, author: str) -> bool:
    """Whether a shop's tills take the head office's word."""
    member = replica.store.members(replica.shop).get(author)
    return member is not None and member.role is Role.HEAD_OFFICE


def authoring_of(relay: Relay) -> Authoring:
    """A head office that serves, as an author by this machine's clock."""
    return Authoring(relay.key, office_clock(Clockwork()), lambda: relay.engine)


def last_written(replica: Replica, author: str) -> bytes:
    """The hash of what the head office wrote last in a shop, as committed; b"" for nothing."""
    written = replica.store.written(replica.shop, author)
    return b"" if written is None else written.hash


class Authoring:
    """Writes as the head office, in one shop at a time."""

    def __init__(self, key: Key, clock: Clock, engine: Callable[[], Engine]) -> None:
        self._key, self._clock, self._engine = key, clock, engine
        self._one_at_a_time = asyncio.Lock()

    async def write(
        self, replica: Replica, drafts: Sequence[Draft], *, by: str = "", more: bool = False, since: bytes | None = None
    ) -> Mark:
        """Write these entries; returns how far the head office's run goes with them, once they are on the disk. Where
        `more` of the same is to come, it is signed and let go of only with the last of it (or by `leave`). `since` is
        the head office's last entry there that was known when it was decided what to write (`last_written`).

        Raises NotOurs, BadEntry, CommitFailed (Overtaken where another process wrote meanwhile): then nothing of it
        stands.
        """
        engine = self._engine()
        async with self._one_at_a_time:
            if not may_write(replica, self._key.id):
                raise NotOurs("the shop does not have this head office among its members: attach it once more")
            if engine.hub.replica(replica.shop) is None:
                engine.add(replica)
            staged = self._stage(replica, drafts, by, more, since)
            try:
                await engine.durable(*staged)
            except BaseException:
                more = False
                raise
            finally:
                if not more:
                    replica.release_writer(self._key.id)
            last = staged[-1].entries[0]
            return Mark(last.till, last.run, last.seq, last.hash)

    async def leave(self, replica: Replica) -> None:
        """Sign what is not signed yet, and let go."""
        writer = replica.writers.get(self._key.id)
        if writer is not None and not writer.at_rest:
            await self.write(replica, ())
        replica.release_writer(self._key.id)

    def _stage(
        self, replica: Replica, drafts: Sequence[Draft], by: str, more: bool, since: bytes | None
    ) -> list[Staged]:
        """Stage the entries, and a signature behind the last of them."""
        writer = replica.writer(self._key, self._clock)
        writer.fenced = True
        # behind a copy's last entry another run of ours may go on, which tills hold: this one begins from nothing
        writer.unsure = replica.store.left_behind(replica.shop, self._key.id)
        if since is not None and writer.behind != since:
            replica.release_writer(self._key.id)
            raise Overtaken(replica.shop)
        before = len(replica.staged)
        try:
            for kind, fields, document in drafts:
                writer.write(kind, fields, document=document, by=by)
            if not more:
                writer.write("seal", {})
        except BaseException:
            # nothing was awaited since the first of them, so they are the last ones, and no commit has taken them up
            replica.unstage(before)
            replica.release_writer(self._key.id)
            raise
        return replica.staged[before:]
