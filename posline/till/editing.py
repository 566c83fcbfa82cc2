"""Editing a product: who may, what becomes of it, and that saving what stands already writes nothing.

Works over a replica and what its ledger answers, so that a head office edits like a till. Whoever calls it does so one
at a time for a shop, until the commit: an edit begins from what is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posline.core.members import Role
from posline.core.products import barcodes_of, edited, is_active
from posline.errors import BadRequest, NotAllowed
from posline.replica import Replica
from posline.storage.records import Staged
from posline.storage.reports import Reports

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["CATALOGUE", "edit_product", "may_edit", "save_product"]

CATALOGUE = "catalog"  # the shared setting that names the current catalogue by its number
EDITORS = (Role.MANAGER, Role.HEAD_OFFICE)


def may_edit(replica: Replica) -> None:
    """Raises NotAllowed unless this device may edit products: a manager, or the head office."""
    author = replica.author
    member = None if author is None else replica.store.members(replica.shop).get(author.id)
    if member is None or member.role not in EDITORS:
        raise NotAllowed("this till may not edit products: do it at a manager's, or make this one a manager there")


def edit_product(
    replica: Replica, reports: Reports, sku: str, fields: Mapping[str, Any], *, by: str = ""
) -> tuple[dict[str, Any], Staged | None]:
    """Stage an edit of one product: these fields are set, null takes one away, the others stay as they are.

    Answers the product, and what the caller has to commit; None where that is what the catalogue says already, and no
    other edit stands beside it. Raises BadRequest with every field that is wrong, NotAllowed, BadEntry.
    """
    may_edit(replica)
    now = reports.product(sku)
    product = edited(sku, now, fields)
    if is_active(product):
        fresh = set(barcodes_of(product)) - set(barcodes_of(now) if now is not None and is_active(now) else ())
        for code in sorted(fresh):
            for other in reports.catalog.owners(code):
                if other != sku:
                    raise BadRequest.of("barcode", f"{code} is {other}'s barcode already: take it away there first")
    if product == now and not reports.catalog.in_conflict(sku):
        return product, None
    return product, replica.write("products", {"products": [product]}, document=reports.catalogue, by=by)


async def save_product(till: Till, sku: str, fields: Mapping[str, Any], *, by: str = "") -> dict[str, Any]:
    """Edit one product at a till; the product, once it is on the disk. Raises as `edit_product`, and CommitFailed."""
    async with till.editing:
        product, staged = edit_product(till.replica, till.reports, sku, fields, by=by)
        if staged is not None:
            await till.engine.durable(staged)
        return product
