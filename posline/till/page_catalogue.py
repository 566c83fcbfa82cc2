"""The catalogue as a page keeps it, to sell with nothing running: all of it once, then what changed. And news of it.

Reads committed rows only. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from posline.core.kinds import sort_of
from posline.core.products import is_active
from posline.storage.versions import Version, changed_since, version_of
from posline.till.changes import Change

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["KEPT", "kept_catalogue", "news_of"]

# what selling needs of a product, and no more: a page keeps fifty thousand of them
KEPT = (
    "sku", "name", "name_ur", "price", "barcode", "barcodes", "department", "unit", "tax", "tax_rate", "mrp",
    "third_schedule", "favourite", "low_stock", "ahead",
)  # fmt: skip


def kept_catalogue(till: Till, have: str, after: str, limit: int) -> dict[str, Any]:
    """What GET /api/catalogue answers a page that has the version `have` ("" for none), or that is reading it all and
    has come to the SKU `after`."""
    catalog = till.reports.catalog
    known = None if after else Version.parse(have)
    # the version first: what is committed meanwhile may be in the products already, and is told once more next time
    if known is None or known.catalogue != catalog.catalogue:
        now, changed = version_of(till.store, till.shop_id, catalog.catalogue), None
    else:
        now, changed = changed_since(till.store, till.shop_id, known)
    if changed is None:
        found = catalog.listed(after=after, limit=limit)
        more = found[-1]["sku"] if len(found) == limit else None
        return {"version": str(now), "whole": True, "products": list(map(_kept, found)), "gone": [], "next": more}
    sold = [product for product in catalog.several(sorted(changed)) if is_active(product)]
    gone = sorted(changed - {product["sku"] for product in sold})
    return {"version": str(now), "whole": False, "products": list(map(_kept, sold)), "gone": gone, "next": None}


def news_of(till: Till, documents: Collection[str], kinds: Collection[str]) -> Iterator[Change]:
    """What a commit of entries of these kinds in these documents may have changed of what pages keep. The catalogue's
    version is told for the shop's own document too: its members' roles decide between edits."""
    sorts = {document.partition("/")[0] for document in documents} | set(map(sort_of, kinds))
    if "shop" in sorts:
        yield Change("shop", {})
    if "hold" in kinds or "unhold" in kinds:
        yield Change("holds", {})
    if sorts & {"shop", "catalog"}:
        yield Change("catalogue", {"version": str(version_of(till.store, till.shop_id, till.reports.catalogue))})


def _kept(product: Mapping[str, Any]) -> dict[str, Any]:
    return {name: product[name] for name in KEPT if name in product}
