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
from posline.errors import BadRequest, Conflict
from posline.storage.reports import Recorded
from posline.storage.store import Staged
from posline.till.sale import Sale

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Ringing", "Rung"]

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
        commit = asyncio.ensure_future(engine.durable(staged))
        self._in_flight[id] = commit
        commit.add_done_callback(lambda done: self._landed(id, done))
        await asyncio.shield(commit)
        return self._till.show(self._committed(id, staged))

    def _landed(self, id: str, done: asyncio.Future[None]) -> None:
        self._in_flight.pop(id, None)
        if not done.cancelled():
            done.exception()  # looked at here too, for a caller that has gone away asks no more

    def _committed(self, id: str, staged: Staged) -> Recorded:
        hash = staged.entries[0].hash
        return next(r for r in self._till.reports.by_id(id) if r.entry.hash == hash)


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
