"""Ringing a sale: once per id, whoever asks however often.

The order is: an id in flight is waited for, an id that is recorded answers its first result, and only then is the
request priced, staged and committed. What a caller does with the connection meanwhile changes nothing: a sale that was
staged is committed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.entry import decode, encode
from posline.core.pricing import PricedSale, price_sale, request_key
from posline.core.status import Status
from posline.errors import BadRequest, Conflict, PoslineError
from posline.storage.ledger import Change
from posline.storage.records import Commit, Staged
from posline.storage.reports import Recorded
from posline.till.sale import Sale, sale_of

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Ringing", "Rung"]

LIGHTS_AT_FIRST = {"here": True, "tills": 0, "head_office": False}  # nothing has left before the commit
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Rung:
    """What ringing came to: the sale, and whether the same had been recorded before."""

    sale: Sale
    repeated: bool


class Ringing:
    """The sales in flight of one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._fresh: dict[str, Change] = {}  # what the ledger made of sales in flight, until they are answered
        self._following: set[asyncio.Task[None]] = set()

    async def ring(self, request: Mapping[str, Any]) -> Rung:
        """Record the sale that `request` (the body of POST /api/sales) asks for. See `Till.sell`."""
        id = _id(request)
        form = _form(request)
        while (first := self._in_flight.get(id)) is not None:
            await asyncio.wait([first])
        held = self._till.reports.by_id(id)
        if held:
            answer = self._held(id, request, form, held)
            if answer is not None:
                return Rung(self._till.show(answer), True)
        return Rung(await self._record(id, form, price_sale(request, self._till.product)), False)

    def _held(self, id: str, request: Mapping[str, Any], form: bytes, held: list[Recorded]) -> Recorded | None:
        """The recorded sale that `request` repeats; None when the id is free for us. Raises Conflict."""
        own = [r for r in held if r.entry.till == self._till.id]
        asked = self._till.reports.request_form(id)
        if own and asked is not None:
            if own[0].entry.kind == "sale" and asked == form:
                return own[0]
            raise Conflict(id)
        # From another till, or ours from before a restored disk: compared by what was sold. Entries that nobody
        # vouches for do not occupy an id, or a forger could keep a till from recording its sale.
        standing = own or [r for r in held if r.status in (Status.COUNTED, Status.DUPLICATE)]
        if not standing:
            return None
        try:
            content = _content(id, price_sale(request, self._till.product))
        except BadRequest as error:
            raise Conflict(id) from error
        for recorded in standing:
            if recorded.entry.kind == "sale" and recorded.entry.content() == content:
                return recorded
        raise Conflict(id)

    async def _record(self, id: str, form: bytes, priced: PricedSale) -> Sale:
        engine = self._till.engine
        staged = self._till.replica.write("sale", priced.body(), id=id, by=priced.by, request=form)
        self._in_flight[id] = asyncio.get_running_loop().create_future()
        try:
            await engine.durable(staged)
        except asyncio.CancelledError:
            # Whoever asked has gone; what is staged is committed all the same, and who asks again waits for that.
            following = asyncio.create_task(self._follow(id, staged))
            self._following.add(following)
            following.add_done_callback(self._following.discard)
            raise
        except BaseException:
            self._land(id)
            raise
        change = self._land(id)
        if change is None or change.status is not Status.COUNTED:
            return self._till.show(self._read_back(id, staged))
        entry = staged.entries[0]
        recorded = Recorded(change.n, entry, change.status, "", entry.day, False, None)
        return sale_of(recorded, self._name_of, LIGHTS_AT_FIRST)

    async def _follow(self, id: str, staged: Staged) -> None:
        try:
            await self._till.engine.durable(staged)
        except PoslineError:
            pass  # told to whoever asks again
        finally:
            self._land(id)

    def _land(self, id: str) -> Change | None:
        """The sale's commit is over, one way or the other: let those go on who wait with the same id."""
        self._in_flight.pop(id).set_result(None)
        return self._fresh.pop(id, None)

    def committed(self, commit: Commit) -> None:
        """Take note of what a commit made of the sales in flight."""
        if self._in_flight:
            for found in commit.changes:
                if found.change.before is None and found.change.id in self._in_flight:
                    self._fresh[found.change.id] = found.change

    def _read_back(self, id: str, staged: Staged) -> Recorded:
        hash = staged.entries[0].hash
        return next(r for r in self._till.reports.by_id(id) if r.entry.hash == hash)

    def _name_of(self, sku: str, at: str) -> str | None:
        product = self._till.product(sku)
        return None if product is None else product.name


def _id(request: Mapping[str, Any]) -> str:
    id = request.get("id")
    if not isinstance(id, str) or _UUID.fullmatch(id) is None:
        raise BadRequest.of("id", "must be a UUID made by the caller, the same at every repeat")
    return id.lower()


def _form(request: Mapping[str, Any]) -> bytes:
    try:
        return request_key(request)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest.of("body", f"holds what no sale can hold ({error})") from error


def _content(id: str, priced: PricedSale) -> bytes:
    """The content, as entries compare it, of the sale that would be recorded."""
    fields = {
        "v": 1, "id": id, "kind": "sale", "till": "a" * 26, "run": 1, "seq": 1, "prev": "", "at":
        "2026-01-01T00:00:00.000+00:00", "day": "2026-01-01", "by": "", "number": 1, "label": "A", **priced.body(),
    }  # fmt: skip
    return decode("journal/2026-01-01", encode(fields).encode()).content()
