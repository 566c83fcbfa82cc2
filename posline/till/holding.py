"""Carts that wait: a cashier puts one aside, and whoever is free takes it up, at this till or another.

A cart carries the id of the sale that it will be. Two tills that take up the same one while they are apart so ring one
sale where they ring the same, and are told of it where they do not.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posline.core.checks import uuid_text
from posline.core.counter import MAX_CART
from posline.core.entry import MAX_INTEGER
from posline.core.faults import Faults
from posline.errors import NotFound, NotPossible
from posline.storage.held import Cart, carts
from posline.till.recording import Draft

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Holding"]

_FIELDS = frozenset({"id", "name", "cart", "sale", "by"})
_NAMESPACE = uuid.UUID("5c8b0f53-6d0e-5d6c-9a8e-0d0c2b7a61f4")  # of the ids of sales that carts are to be
VERBS = {"recalled": "taken up", "dropped": "dropped", "sold": "sold"}


class Holding:
    """The carts that wait in a shop, seen from one till."""

    def __init__(self, till: Till) -> None:
        self._till = till

    def listed(self, *, recalled: bool = False) -> list[dict[str, Any]]:
        """Carts that wait, the oldest first; with `recalled` also those taken up and not sold yet."""
        return [self._shown(cart) for cart in carts(*self._place, recalled=recalled)]

    @property
    def _place(self) -> tuple[Any, int | None]:
        return self._till.store.read, self._till.store.shop_key(self._till.shop_id)

    def _shown(self, cart: Cart) -> dict[str, Any]:
        return {
            "id": cart.hold, "name": cart.name, "till": cart.till, "label": self._till.reports.label(cart.till),
            "day": cart.day, "at": cart.at, "by": cart.by, "sale": cart.sale, "cart": cart.cart, "ended": cart.ended,
        }  # fmt: skip

    async def hold(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Put a cart aside: {id, cart, name?, sale?, by?}. `cart` is the sale's request as far as it got; `sale` the id
        it will have. Answers the hold and whether this is a repeat. Raises BadRequest, Conflict, CommitFailed."""

        def draft(id: str) -> Draft:
            faults = Faults()
            fields = faults.fields("", request, _FIELDS)
            cart, sale = fields.get("cart"), fields.get("sale") or str(uuid.uuid5(_NAMESPACE, id))
            if not isinstance(cart, Mapping) or not isinstance(cart.get("lines"), list) or not cart["lines"]:
                faults.add("cart", "must be a sale under way, with at least one line")
            elif len(json.dumps(plain := _plain(cart))) > MAX_CART:
                faults.add("cart", f"has more than {MAX_CART} characters")
            if not uuid_text(str(sale).lower()):
                faults.add("sale", "must be a UUID")
            by = faults.text("by", fields.get("by", ""), 0)
            name = faults.text("name", fields.get("name") or f"{self._till.label} {self._till.now()[11:16]}")
            faults.raise_any()
            return Draft({"name": name, "cart": plain, "sale": str(sale).lower()}, by)

        result = await self._till.recording.once("hold", request, draft)
        return self.one(result.recorded.entry.id), result.repeated

    def one(self, hold: str) -> dict[str, Any]:
        """A cart that was put aside, whatever became of it (`ended`). Raises NotFound."""
        found = carts(*self._place, hold=hold.lower())
        if not found:
            raise NotFound(f"no cart was put aside as {hold[:60]!r}, or it is not here yet")
        return self._shown(found[0])

    async def end(self, hold: str, why: str, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Take a cart up (`recalled`) or give it up (`dropped`): {id, by?}; it waits at no till any more.

        Raises NotFound, and NotPossible where it waits no more as far as is known here.
        """
        self.one(hold)

        def draft(_: str) -> Draft:
            faults = Faults()
            fields = faults.fields("", request, frozenset({"id", "by"}))
            by = faults.text("by", fields.get("by", ""), 0)
            faults.raise_any()
            cart = self.one(hold)
            if cart["ended"]:
                raise NotPossible(f"{cart['name']} was {VERBS[cart['ended']]} already")
            return Draft({"hold": cart["id"], "why": why}, by)

        result = await self._till.recording.once("unhold", request, draft, about=f"{hold.lower()} {why}")
        return self.one(hold), result.repeated


def _plain(value: Any) -> Any:
    """A cart as an entry holds it: fractions, and numbers that are too large for one, as texts."""
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
