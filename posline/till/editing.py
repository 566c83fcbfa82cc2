"""Editing a product: who may, what becomes of it, and that saving what stands already writes nothing.

Works over a replica and what its ledger answers, so that a head office edits like a till. Whoever calls it does so one
at a time for a shop, until the commit: an edit begins from what is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posline.core.checks import MAX_TEXT, text
from posline.core.entry import Entry
from posline.core.members import Role
from posline.core.products import DATED, barcodes_of, edited, is_active, is_business_day, scheduled
from posline.errors import BadRequest, NotAllowed
from posline.storage.records import Staged
from posline.storage.reports import Reports
from posline.till.people import approval
from posline.till.recording import Draft
from posline.writer import Writer

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["CATALOGUE", "changed", "edit_product", "edited_product", "may_edit", "save_product"]

CATALOGUE = "catalog"  # the shared setting that names the current catalogue by its number
ASKING = frozenset({"id", "by", "pin", "approve"})  # of a request: who asks for it, and is no field of a product
EDITORS = (Role.MANAGER, Role.HEAD_OFFICE)


def may_edit(replica: Writer) -> None:
    """Raises NotAllowed unless this device may edit products: a manager, or the head office."""
    author = replica.author
    member = None if author is None else replica.store.members(replica.shop).get(author.id)
    if member is None or member.role not in EDITORS:
        raise NotAllowed("this till may not edit products: do it at a manager's, or make this one a manager there")


def edit_product(
    replica: Writer,
    reports: Reports,
    sku: str,
    fields: Mapping[str, Any],
    *,
    by: str = "",
    more: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], Staged | None]:
    """Stage an edit of one product: these fields are set, null takes one away, the others stay as they are. With a day
    `from` they are set from that day on. `more` is what the entry says beside the product.

    Answers the product, and what the caller has to commit; None where that is what the catalogue says already, and no
    other edit stands beside it. Raises BadRequest with every field that is wrong, NotAllowed, BadEntry.
    """
    may_edit(replica)
    product = edited_product(reports, sku, fields)
    if product == reports.product(sku) and not reports.catalog.in_conflict(sku):
        return product, None
    body = {"products": [product]} | dict(more or {})
    return product, replica.write("products", body, document=reports.catalogue, by=by)


def edited_product(reports: Reports, sku: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of a product by these fields. Raises BadRequest, where a barcode is another product's too."""
    now = reports.product(sku)
    product = changed(sku, now, fields, reports.catalog.today())
    if is_active(product):
        fresh = set(barcodes_of(product)) - set(barcodes_of(now) if now is not None and is_active(now) else ())
        for code in sorted(fresh):
            for other in reports.catalog.owners(code):
                if other != sku:
                    raise BadRequest.of("barcode", f"{code} is {other}'s barcode already: take it away there first")
    return product


def changed(sku: str, now: Mapping[str, Any] | None, fields: Mapping[str, Any], today: str) -> dict[str, Any]:
    """A product by these fields: at once, or from the day `from` on where that is yet to come. Raises BadRequest."""
    start = fields.get("from")
    if start is None:
        return edited(sku, now, {name: value for name, value in fields.items() if name != "from"})
    given = {name: value for name, value in fields.items() if name != "from"}
    if not is_business_day(start):
        raise BadRequest.of("from", f"{str(start)[:40]!r} is no business day, YYYY-MM-DD")
    if start <= today:
        return edited(sku, now, given)
    if now is None:
        raise BadRequest.of("from", f"{sku[:60]!r} is not in the catalogue yet: add it first, then say what changes")
    same = {name for name, value in given.items() if name not in DATED and now.get(name) == value}
    return scheduled(now, start, {name: value for name, value in given.items() if name not in same})


async def save_product(till: Till, sku: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Edit one product at a till: {id?, by?, pin?, approve?} and the fields; the product, once it is on the disk.

    With an `id` the edit is made once: asked again, it answers what it came to, whatever was edited since. Without one,
    saving what stands already writes nothing. Raises as `edit_product`, and Conflict, CommitFailed.
    """
    may_edit(till.replica)
    fields = {name: value for name, value in request.items() if name not in ASKING}
    by = request.get("by", "")
    if not text(by, 0):
        raise BadRequest.of("by", f"must be a text of up to {MAX_TEXT} characters")
    approved = await approval(till, "products", request)
    async with till.editing:
        if request.get("id") is None:
            product, staged = edit_product(till.replica, till.reports, sku, fields, by=by, more=approved)
            if staged is not None:
                await till.engine.durable(staged)
            return product

        def draft(_: str) -> Draft:
            product = edited_product(till.reports, sku, fields)
            return Draft({"products": [product]} | approved, by, document=till.reports.catalogue)

        result = await till.recording.once(
            "products", request, draft, about=sku, same=lambda entry: _says(entry, sku, fields)
        )
        return dict(result.recorded.entry.body["products"][0])


def _says(entry: Entry, sku: str, fields: Mapping[str, Any]) -> bool:
    """Whether another till's edit of that id is the one asked for: then these fields change nothing of it."""
    products = entry.body["products"]
    if len(products) != 1 or products[0]["sku"] != sku:
        return False
    try:
        return bool(changed(sku, products[0], fields, entry.day) == products[0])
    except BadRequest:
        return False
