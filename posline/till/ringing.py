"""Ringing a sale: priced by the catalogue, recorded once per id (`posline.till.recording`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.pricing import ON_ACCOUNT, price_sale
from posline.storage.accounts import STORE_CREDIT
from posline.till.customers import whose_credit
from posline.till.fiscal.filing import filing_field
from posline.till.recording import Draft, rung_when
from posline.till.sale import Sale, sale_of

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Rung", "ring"]

LENT = (ON_ACCOUNT, STORE_CREDIT)  # tenders that a customer's limit or credit decides on
LIGHTS_AT_FIRST = {"here": True, "tills": 0, "head_office": False}  # nothing has left before the commit


@dataclass(frozen=True, slots=True)
class Rung:
    """What ringing came to: the sale, and whether the same had been recorded before."""

    sale: Sale
    repeated: bool


async def ring(till: Till, request: Mapping[str, Any]) -> Rung:
    """Record the sale that `request` (the body of POST /api/sales) asks for. See `Till.sell`."""
    approved: dict[str, str] = {}

    async def approve() -> None:
        approved.update(await _approved(till, request))

    lends = till.people.limited and _lends(request)
    if not lends:
        await approve()

    def draft(id: str) -> Draft:
        priced = price_sale(request, till.product, till.terms())
        whose_credit(priced.tenders or (), priced.extra.get("customer"))
        return Draft(priced.body() | approved | filing_field(till) | rung_when(till, request), priced.by)

    # many at once on account would each be within a limit, and the same store credit be spent by each of them
    result = await till.recording.once("sale", request, draft, first=approve if lends else None)
    if result.at_once:
        lights = LIGHTS_AT_FIRST | {"head_office": till.at_head_office}
        return Rung(sale_of(result.recorded, lambda sku, _: _name_now(till, sku), lights), False)
    return Rung(till.show(result.recorded), result.repeated)


def _lends(request: Mapping[str, Any]) -> bool:
    tenders = request.get("tenders")
    return isinstance(tenders, list) and any(isinstance(t, Mapping) and t.get("kind") in LENT for t in tenders)


async def _approved(till: Till, request: Mapping[str, Any]) -> dict[str, str]:
    """Who let a sale pass that is beyond its cashier's limits, as its entry names them. Raises NotAllowed."""
    if not till.people.limited or till.recording.knows(request):
        return {}
    name = await till.people.allow_sale(request, price_sale(request, till.product, till.terms()))
    return {"approved": name} if name else {}


def _name_now(till: Till, sku: str) -> str | None:
    product = till.product(sku)
    return None if product is None else product.name
