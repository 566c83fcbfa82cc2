"""Recording what was asked for: once per id, whoever asks however often.

The order is: an id in flight is waited for, an id that is recorded answers its first result, and only then is the entry
drafted, staged and committed. What a caller does with the connection meanwhile changes nothing: what was staged is
committed. Everything but sales is drafted one at a time, since each is decided by what the one before it left behind,
and so are sales that lend or spend what a customer has.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from posline.core.clock import parse_iso
from posline.core.entry import Entry, decode, encode
from posline.core.kinds import NUMBERED
from posline.core.pricing import request_key
from posline.core.rung import rung_field
from posline.core.status import Status
from posline.errors import BadRequest, Conflict, PoslineError
from posline.storage.ledger import Change
from posline.storage.records import Commit, Staged
from posline.storage.reports import Recorded

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Draft", "Recording", "Result", "rung_when", "uuid_of"]

# what says who asks, who let it pass and when, and not what for: no part of its normal form. A program that keeps its
# requests keeps no PIN, and so may repeat one without the approval that it had.
UNASKED = frozenset({"pin", "approve", "rung"})
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is about to be written: its own fields and by whom.

    `behind` are further entries, (kind, fields), that follow it at once. `document` is where it lies, the business
    day's journal unless given."""

    fields: Mapping[str, Any]
    by: str = ""
    behind: Sequence[tuple[str, Mapping[str, Any]]] = field(default=())
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What recording came to. `at_once` where nothing but this entry's own commit need be looked at."""

    recorded: Recorded
    repeated: bool
    at_once: bool = False


class Recording:
    """What is in flight at one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._fresh: dict[str, Change] = {}  # what the ledger made of entries in flight, until they are answered
        self._going_on: set[asyncio.Task[Any]] = set()
        self._in_turn = asyncio.Lock()

    def knows(self, request: Mapping[str, Any]) -> bool:
        """Whether something stands under the id of `request`: then it was let pass before, and is only answered."""
        id = request.get("id")
        return isinstance(id, str) and any(self._stands(held) for held in self._till.reports.by_id(id))

    def _stands(self, held: Recorded) -> bool:
        """Whether an entry occupies its id: what counts, or was asked for here. What nobody vouches for does not, under
        our own name either, or a forger could keep a till from recording its sale, or have a till answer that a sale is
        recorded which is not."""
        if held.status in (Status.COUNTED, Status.DUPLICATE):
            return True
        return held.entry.till == self._till.id and self._till.reports.request_form(held.entry.id) is not None

    async def once(
        self,
        kind: str,
        request: Mapping[str, Any],
        draft: Callable[[str], Draft],
        *,
        about: str = "",
        same: Callable[[Entry], bool] | None = None,
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> Result:
        """Record what `request` asks for as one entry of `kind`, or answer what it came to before.

        `draft(id)` says what will be written; it is asked only where nothing is recorded under the id, or to compare
        with what another till recorded. `same` compares with that instead, where a draft depends on more than what is
        asked. `about` is what the request is for beyond its body (the sale in its path). `first` is awaited before, and
        puts a sale in turn as well: for one that is decided by what others before it left behind.
        Raises BadRequest, Conflict, CommitFailed, OutcomeUnknown, and whatever `draft` raises.
        """
        id = uuid_of(request)
        form = _form(kind, about, request)
        if kind == "sale" and first is None:
            return await self._once(kind, id, form, draft, same)
        # Whoever asked may go; the turn lasts until the commit, or what is drafted next would not see this one.
        turn = asyncio.create_task(self._take_turn(kind, id, form, draft, same, first))
        self._going_on.add(turn)
        turn.add_done_callback(self._done)
        return await asyncio.shield(turn)

    async def _take_turn(
        self,
        kind: str,
        id: str,
        form: bytes,
        draft: Callable[[str], Draft],
        same: Callable[[Entry], bool] | None,
        first: Callable[[], Awaitable[None]] | None,
    ) -> Result:
        async with self._in_turn:
            if first is not None:
                await first()
            return await self._once(kind, id, form, draft, same)

    async def _once(
        self, kind: str, id: str, form: bytes, draft: Callable[[str], Draft], same: Callable[[Entry], bool] | None
    ) -> Result:
        while (first := self._in_flight.get(id)) is not None:
            await asyncio.wait([first])
        held = self._till.reports.by_id(id)
        if held:
            answer = self._held(kind, id, form, held, same or (lambda entry: _same(entry, id, draft)))
            if answer is not None:
                return Result(answer, True)
        return await self._record(kind, id, form, draft(id))

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Keep no finished task, nor let the log complain of an error that nobody waited for: it is asked again."""
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()

    def _held(
        self, kind: str, id: str, form: bytes, held: list[Recorded], same: Callable[[Entry], bool]
    ) -> Recorded | None:
        """The entry that the request repeats; None when the id is free for us. Raises Conflict."""
        own = [r for r in held if r.entry.till == self._till.id]
        asked = self._till.reports.request_form(id)
        if own and asked is not None:
            if own[0].entry.kind == kind and asked == form:
                return own[0]
            raise Conflict(id)
        # from another till, or ours from before a restored disk: compared by what it says
        standing = [r for r in held if self._stands(r)]
        if not standing:
            return None
        for recorded in standing:
            if recorded.entry.kind == kind and same(recorded.entry):
                return recorded
        raise Conflict(id)

    async def _record(self, kind: str, id: str, form: bytes, drafted: Draft) -> Result:
        replica, engine = self._till.replica, self._till.engine
        staged = replica.write(kind, drafted.fields, id=id, document=drafted.document, by=drafted.by, request=form)
        with_it = [replica.write(other, fields, by=drafted.by) for other, fields in drafted.behind]
        self._in_flight[id] = asyncio.get_running_loop().create_future()
        try:
            await engine.durable(staged, *with_it)
        except asyncio.CancelledError:
            # Whoever asked has gone; what is staged is committed all the same, and who asks again waits for that.
            following = asyncio.create_task(self._follow(id, staged))
            self._going_on.add(following)
            following.add_done_callback(self._done)
            raise
        except BaseException:
            self._land(id)
            raise
        change = self._land(id)
        if change is None or change.status is not Status.COUNTED:
            return Result(self._read_back(id, staged), False)
        entry = staged.entries[0]
        return Result(Recorded(change.n, entry, change.status, "", entry.day, False, None), False, True)

    async def _follow(self, id: str, staged: Staged) -> None:
        try:
            await self._till.engine.durable(staged)
        except PoslineError:
            pass  # told to whoever asks again
        finally:
            self._land(id)

    def _land(self, id: str) -> Change | None:
        """The entry's commit is over, one way or the other: let those go on who wait with the same id."""
        self._in_flight.pop(id).set_result(None)
        return self._fresh.pop(id, None)

    def committed(self, commit: Commit) -> None:
        """Take note of what a commit made of the entries in flight."""
        if self._in_flight:
            for found in commit.changes:
                if found.change.before is None and found.change.id in self._in_flight:
                    self._fresh[found.change.id] = found.change

    def _read_back(self, id: str, staged: Staged) -> Recorded:
        hash = staged.entries[0].hash
        return next(r for r in self._till.reports.by_id(id) if r.entry.hash == hash)


def uuid_of(request: Mapping[str, Any]) -> str:
    """The id that the caller made for what it asks, in lower case. Raises BadRequest."""
    id = request.get("id")
    if not isinstance(id, str) or _UUID.fullmatch(id) is None:
        raise BadRequest.of("id", "must be a UUID made by the caller, the same at every repeat")
    return id.lower()


def rung_when(till: Till, request: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry that is written now says of when `request` was rung, where that was earlier."""
    asked = request.get("rung")
    return {} if asked is None else rung_field(asked, parse_iso(till.now()), till.replica.zone)


def _form(kind: str, about: str, request: Mapping[str, Any]) -> bytes:
    asked = {name: value for name, value in request.items() if name not in UNASKED}
    try:
        return request_key(asked if kind == "sale" else {"kind": kind, "about": about, "asked": asked})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest.of("body", f"holds what no {kind} can hold ({error})") from error


def _same(entry: Entry, id: str, draft: Callable[[str], Draft]) -> bool:
    """Whether an entry says what would be recorded."""
    try:
        return entry.content() == _content(entry.kind, id, draft(id))
    except PoslineError:
        return False


def _content(kind: str, id: str, drafted: Draft) -> bytes:
    """The content, as entries compare it, of what would be recorded."""
    fields: dict[str, Any] = {
        "v": 1, "id": id, "kind": kind, "till": "a" * 26, "run": 1, "seq": 1, "prev": "", "at":
        "2026-01-01T00:00:00.000+00:00", "day": "2026-01-01", "by": "",
    }  # fmt: skip
    if kind in NUMBERED:
        fields |= {"number": 1, "label": "A"}
    if kind == "customer":
        fields["seen"] = {}
    return decode("journal/2026-01-01", encode(fields | dict(drafted.fields)).encode()).content()
