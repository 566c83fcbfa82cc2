"""A sale brought back from the code on its receipt, after the till that rang it was lost.

What comes back is the element itself, byte for byte, so it is the same entry however often it is scanned, at however
many tills, and whether or not its till's disk turns up after all: it counts once. Its author's signature in the code
says that it was rung. Where the chain that should vouch for it is lost too, it is held, and a manager's `accept` lets
it count: a till that is a manager does both in one, any other says that a manager has to.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.members import Role
from posline.core.proof import Proof, Scan
from posline.core.status import Status
from posline.errors import BadRequest, Conflict, OutcomeUnknown
from posline.till.membership import accept
from posline.till.recording import uuid_of

if TYPE_CHECKING:
    from posline.storage.reports import Recorded
    from posline.till.till import Till

__all__ = ["Restored", "Restoring"]

SCANS_MAX = 100  # ids whose codes are remembered
CODES_MAX = 32  # in one request: a receipt has up to six


@dataclass(frozen=True, slots=True)
class Restored:
    """What scanning came to. `recorded` is the entry once all its codes are there, else None, and `missing` numbers the
    codes that are still to be scanned. `new` is whether it was not here before, `accepted` whether this till let it
    count."""

    recorded: Recorded | None
    missing: tuple[int, ...] = ()
    new: bool = False
    accepted: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is in the totals (as itself, or as a duplicate of what is)."""
        return self.recorded is not None and self.recorded.status in (Status.COUNTED, Status.DUPLICATE)

    def to_dict(self) -> dict[str, Any]:
        """As the API answers it."""
        if self.recorded is None:
            left = " and ".join(map(str, self.missing))
            return {"state": "incomplete", "missing": list(self.missing), "detail": f"scan code {left} of the receipt"}
        entry = self.recorded.entry
        if not self.counts:
            state = self.recorded.status.value
            why = self.recorded.reason or "its till's chain is lost"
            detail = f"it is kept and does not count yet ({why}): a manager's till lets it count with 'posline accept'"
        elif self.new or self.accepted:
            state, detail = "restored", "it is back, and counts once"
        else:
            state, detail = "known", "it was here already, and counts once"
        return {
            "state": state, "missing": [], "detail": detail, "kind": entry.kind, "id": entry.id, "day":
            self.recorded.day, "receipt": self.recorded.receipt if entry.number else "", "till": entry.till,
            "total": entry.body["total"], "hash": entry.hash.hex(),
        }  # fmt: skip


class Restoring:
    """The scans at one till. Codes that come one by one under one id are put together."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._scans: OrderedDict[str, tuple[Scan, list[bytes]]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def scan(self, request: Mapping[str, Any]) -> Restored:
        """Take {id, code}: the text of a code, or of several, in a list or on lines of their own. Raises BadRequest,
        Conflict, CommitFailed, OutcomeUnknown."""
        id, codes = uuid_of(request), _codes(request.get("code"))
        scan, done = self._scans.setdefault(id, (Scan(), []))
        self._scans.move_to_end(id)
        while len(self._scans) > SCANS_MAX:
            self._scans.popitem(last=False)
        proof = None
        for code in codes:
            try:
                proof = scan.add(code) or proof
            except BadRequest as error:
                if done:
                    raise Conflict(id) from error
                raise
        if proof is None:
            return Restored(None, scan.missing)
        done[:] = [proof.raw]
        return await self.restore(proof)

    async def restore(self, proof: Proof) -> Restored:
        """Bring back the entry that a proof carries, exactly once. Raises BadRequest, CommitFailed, OutcomeUnknown."""
        till = self._till
        shop = till.store.authority(till.shop_id)
        author = proof.entry.till
        if author not in shop.keys:
            raise BadRequest.of("code", f"no till of {till.shop} rang this: the receipt is another shop's")
        proof.verify(till.shop_id, [key for _, key in shop.keys[author]])
        async with self._turn:
            found, new = self._held(proof), False
            if found is None:
                entry = proof.entry
                await till.engine.durable(*till.whole.append_again(entry.document, [entry.raw.decode()]))
                found, new = self._held(proof), True
                if found is None:
                    raise OutcomeUnknown("the sale was written and cannot be read back; run 'posline verify'")
            accepted = False
            if found.status in (Status.HELD, Status.DISPUTED) and self._in_charge():
                await accept(till, [found.entry.hash.hex()])
                accepted, found = True, self._held(proof) or found
            return Restored(found, (), new, accepted)

    def _held(self, proof: Proof) -> Recorded | None:
        hash = proof.entry.hash
        return next((r for r in self._till.reports.by_id(proof.entry.id) if r.entry.hash == hash), None)

    def _in_charge(self) -> bool:
        own = self._till.store.members(self._till.shop_id).get(self._till.id)
        return own is not None and own.role is Role.MANAGER


def _codes(value: object) -> Sequence[str]:
    """The codes in a request. A blank may be part of a code, so only ends of lines part them."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise BadRequest.of("code", "is the text of a scanned code, or a list of them")
    codes = [line for text in given for line in text.splitlines() if line.strip()]
    if not 0 < len(codes) <= CODES_MAX:
        raise BadRequest.of("code", f"is the text of 1 to {CODES_MAX} scanned codes")
    return codes
