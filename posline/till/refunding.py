"""Refunds and voids: money that goes back, each an entry of its own beside the sale, which stays as it was.

A refund may be of any till's sale, also days later. Two tills may each refund the same line while they are apart: each
checks against what it holds, and where they come together the ledger finds that more was taken back than was sold,
keeps both, since money left both drawers, and raises an alarm (`posline.storage.returns`). A void is for the till that
rang the sale, until its shift is closed: what a Z report has reported is refunded instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from posline.core.entry import Entry
from posline.core.faults import Faults
from posline.core.money import parse_quantity, signed_text
from posline.core.refunding import NOTHING, refund_body, same_refund, void_body
from posline.core.status import Status
from posline.errors import NotPossible
from posline.storage.reports import Recorded, Reports
from posline.storage.returned import returns_of, taken_of
from posline.till.customers import whose_credit
from posline.till.fiscal.filing import filing_field
from posline.till.people import approval
from posline.till.recording import Draft, Result, rung_when
from posline.till.refund import Refund, refund_of

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Bookcase", "Refunded", "asked", "refund", "refunds_of", "show_refund", "sold", "void"]


@dataclass(frozen=True, slots=True)
class Refunded:
    """What refunding came to: the refund or void, and whether the same had been recorded before."""

    refund: Refund
    repeated: bool


def asked(
    id: str | uuid.UUID | None, reason: str, by: str | None, approve: Mapping[str, str] | None
) -> dict[str, Any]:
    """What requests to refund and to void have in common, from what the library's calls are given."""
    request: dict[str, Any] = {"id": str(id or uuid.uuid4()), "reason": reason}
    if by is not None:
        request["by"] = by
    if approve is not None:
        request["approve"] = dict(approve)
    return request


async def refund(till: Till, wanted: str, request: Mapping[str, Any]) -> Refunded:
    """Record the refund that `request` (the body of POST /api/sales/{id}/refund) asks for. See `Till.refund`."""
    sale = till.one(wanted)
    approved = await approval(till, "refund", request)

    def draft(id: str) -> Draft:
        _counts(sale)
        taken, voided = taken_of(till.store.read, till.store.shop_key(till.shop_id), sale.entry, but=id)
        if voided:
            raise NotPossible(f"{sale.receipt} was voided: nothing is left of it to refund")
        body = refund_body(sale.entry.body, sale.entry.hash, taken, request, cash_unit=till.terms().cash_unit)
        whose_credit(body.get("tenders") or (), body.get("customer"))
        return Draft(body | approved | filing_field(till) | rung_when(till, request), _by(request))

    def same(entry: Entry) -> bool:
        return same_refund(entry.body, sale.entry.id, request)

    return _answer(till, await till.recording.once("refund", request, draft, about=sale.entry.id, same=same))


async def void(till: Till, wanted: str, request: Mapping[str, Any]) -> Refunded:
    """Record the void that `request` (the body of POST /api/sales/{id}/void) asks for. See `Till.void`."""
    sale = till.one(wanted)
    approved = await approval(till, "void", request)

    def draft(id: str) -> Draft:
        faults = Faults()
        fields = faults.fields("", request, frozenset({"id", "reason", "by", "pin", "approve"}))
        reason = faults.text("reason", fields.get("reason"))
        faults.raise_any()
        _counts(sale)
        _voidable(till, sale, id)
        return Draft(void_body(sale.entry.body, sale.entry.hash, reason) | approved, _by(request))

    def same(entry: Entry) -> bool:
        return bool(entry.body["sale"] == sale.entry.id and entry.body["reason"] == request.get("reason"))

    return _answer(till, await till.recording.once("void", request, draft, about=sale.entry.id, same=same))


def _counts(sale: Recorded) -> None:
    if sale.status not in (Status.COUNTED, Status.DUPLICATE):
        raise NotPossible(
            f"{sale.receipt} is {sale.status.value} ({sale.reason or 'see the alarms'}) and counts nowhere yet: have a "
            "manager accept it first"
        )


def _voidable(till: Till, sale: Recorded, but: str) -> None:
    """Raise NotPossible unless the sale is this till's, of its open shift, and nothing was taken back of it yet."""
    receipt, entry = sale.receipt, sale.entry
    if entry.till != till.id:
        raise NotPossible(
            f"{receipt} was rung at till {till.reports.label(entry.till)}, which alone can void it: refund it here"
        )
    taken, voided = taken_of(till.store.read, till.store.shop_key(till.shop_id), entry, but=but)
    if voided:
        raise NotPossible(f"{receipt} is voided already")
    if any(part != NOTHING for part in taken.values()):
        raise NotPossible(f"some of {receipt} was refunded already: refund the rest")
    if till.shifts.reported(entry):
        raise NotPossible(f"{receipt} is in the Z report of a shift that is closed: refund it instead")
    if sale.day != till.day and not _opened_before(till, entry):
        raise NotPossible(f"{receipt} is of {sale.day}, which is over: refund it instead")


def _opened_before(till: Till, entry: Entry) -> bool:
    """Whether the shift that is open was opened before an entry of this till."""
    opened = till.shifts.opened()
    return opened is not None and opened.seq < entry.seq


def _by(request: Mapping[str, Any]) -> str:
    faults = Faults()
    by = faults.text("by", request.get("by", ""), 0)
    faults.raise_any()
    return by


def _answer(till: Till, result: Result) -> Refunded:
    return Refunded(show_refund(till, result.recorded), result.repeated)


class Bookcase(Protocol):
    """What answers for the entries of a shop: a till, or a head office."""

    @property
    def reports(self) -> Reports:
        """What its ledger answers."""
        ...

    def name_of(self, sku: str, at: str) -> str | None:
        """The catalogue's name of a product at a time."""
        ...


def show_refund(till: Bookcase, recorded: Recorded) -> Refund:
    """The refund or void that an entry of the ledger is."""
    sale = sold(till, recorded.entry)
    label, durable = till.reports.label(recorded.entry.till), till.reports.durable(recorded.entry)
    return refund_of(recorded, sale, label, till.name_of, durable)


def sold(till: Bookcase, entry: Entry) -> Recorded | None:
    """The sale that a refund or void names, where it is here, and is a sale."""
    claimed = [r for r in till.reports.by_id(entry.body["sale"]) if r.entry.kind == "sale" and r.entry.fault is None]
    return next((r for r in claimed if r.entry.hash.hex() == entry.body["of"]), None)


def refunds_of(till: Till, sale: Recorded) -> tuple[list[Refund], dict[int, str]]:
    """(the refunds and voids of a sale, what is left of each of its lines as a decimal in text, by number)."""
    read, key = till.store.read, till.store.shop_key(till.shop_id)
    places = returns_of(read, key, sale.entry.id)
    found = [r for r in map(till.reports.entry_at, places) if r is not None]
    taken, _ = taken_of(read, key, sale.entry)
    left = {
        number: signed_text(parse_quantity(line["quantity"]) - taken.get(number, NOTHING).quantity)
        for number, line in enumerate(sale.entry.body["lines"], 1)
    }
    return [show_refund(till, r) for r in found], left
