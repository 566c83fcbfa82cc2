"""Stock: goods that come, go, and are counted. Below 0 is shown and blocks nothing: the goods are there, the books lag.

A count is kept as the difference to what this till's ledger held when it was counted, so that it adds up with what
other tills sold or received meanwhile.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posline.core.checks import MAX_LINES, signed_quantity
from posline.core.entry import Entry
from posline.core.faults import Faults
from posline.core.money import plain, signed_text
from posline.storage.held import is_stocked, on_hand, stocked
from posline.till.people import approval
from posline.till.recording import Draft

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["LOW_STOCK", "Stock"]

LOW_STOCK = "low_stock"  # the shared setting: below which quantity a product is low, where it says nothing itself
_FIELDS = frozenset({"id", "moves", "note", "by", "pin", "approve"})
_MOVE = frozenset({"sku", "quantity", "reason", "counted"})
_PAGE = 1000
OPENING = "opening"  # the reason of what a catalogue file said was in stock
OPENING_MOVES = 200  # in one entry
_NAMESPACE = uuid.UUID("b0b6f2a4-5d1c-5e0f-8a3e-6c1d2f7e9a55")  # of the ids of opening stock


class Stock:
    """The shop's stock, seen from one till."""

    def __init__(self, till: Till) -> None:
        self._till = till

    @property
    def _place(self) -> tuple[Any, int | None]:
        return self._till.store.read, self._till.store.shop_key(self._till.shop_id)

    async def move(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Record movements: {id, moves: [{sku, quantity, reason} or {sku, counted, reason}], note?, by?}.

        A quantity below 0 takes away. `reason` is receipt, adjustment, count, transfer, waste, or the shop's own word.
        Answers {id, moves, on_hand, ...} and whether this is a repeat. Raises BadRequest, Conflict, NotAllowed.
        """
        approved = await approval(self._till, "stock", request)

        def draft(_: str) -> Draft:
            faults = Faults()
            fields = faults.fields("", request, _FIELDS)
            moves = self._moves(faults, fields.get("moves"))
            body: dict[str, Any] = {"moves": moves}
            if fields.get("note"):
                body["note"] = faults.text("note", fields["note"], 0)
            by = faults.text("by", fields.get("by", ""), 0)
            faults.raise_any()
            return Draft(body | approved, by)

        result = await self._till.recording.once(
            "stock", request, draft, same=lambda entry: _same_moves(entry, request)
        )
        entry = result.recorded.entry
        moves = entry.body["moves"]
        held = on_hand(*self._place, [move["sku"] for move in moves])
        return {
            "id": entry.id, "moves": moves, "note": entry.body.get("note", ""),
            "on_hand": {sku: signed_text(quantity) for sku, quantity in held.items()},
            "till": entry.till, "run": entry.run, "seq": entry.seq, "status": result.recorded.status.value,
            "day": result.recorded.day, "at": entry.at, "by": entry.by,
            "durable": self._till.reports.durable(entry),
        }, result.repeated  # fmt: skip

    def _moves(self, faults: Faults, asked: object) -> list[dict[str, Any]]:
        if not isinstance(asked, list) or not 0 < len(asked) <= MAX_LINES:
            faults.add("moves", f"must be a list of 1 to {MAX_LINES} moves")
            return []
        made: list[dict[str, Any]] = []
        moved: dict[str, int] = {}  # by the moves before, in this same request
        for index, item in enumerate(asked):
            where = f"moves.{index}"
            fields = faults.fields(where, item, _MOVE)
            sku = faults.text(f"{where}.sku", fields.get("sku"))
            reason = faults.text(f"{where}.reason", fields.get("reason"))
            move: dict[str, Any] = {"sku": sku, "reason": reason}
            if fields.get("counted") is not None:
                counted = _quantity(faults, f"{where}.counted", fields["counted"])
                if fields.get("quantity") is not None:
                    faults.add(f"{where}.quantity", "stands beside a count: give one of them")
                before = (on_hand(*self._place, [sku])[sku] if sku else 0) + moved.get(sku, 0)
                quantity = counted - before
                if signed_quantity(signed_text(quantity)) is None:
                    faults.add(f"{where}.counted", f"is too far from the {signed_text(before)} on hand for one move")
                move["counted"] = signed_text(counted)
            else:
                quantity = _quantity(faults, f"{where}.quantity", fields.get("quantity"))
            moved[sku] = moved.get(sku, 0) + quantity
            made.append(move | {"quantity": signed_text(quantity)})
        return made

    async def open_with(self, rows: Sequence[tuple[str, str]], *, dry_run: bool = False) -> int:
        """Record what was in stock when the shop began, (SKU, quantity), for products that were never received or
        counted; how many those are, or with `dry_run` would be. Two tills that are told so while apart both record it,
        and it counts once for each SKU. Raises CommitFailed."""
        read, key = self._place
        known = {sku for sku, _ in rows if is_stocked(read, key, sku)}
        moves = [
            {"sku": sku, "quantity": quantity, "reason": OPENING, "opening": True}
            for sku, quantity in sorted(rows)
            if sku not in known
        ]
        for first in range(0, 0 if dry_run else len(moves), OPENING_MOVES):
            piece = moves[first : first + OPENING_MOVES]
            id = str(uuid.uuid5(_NAMESPACE, json.dumps([self._till.shop_id, piece])))
            body = {"moves": piece}
            await self._till.recording.once("stock", {"id": id} | body, lambda _, body=body: Draft(body))  # type: ignore[misc]
        return len(moves)

    # -- what is on hand -----------------------------------------------------------------------------------------------

    def of(self, sku: str) -> dict[str, Any]:
        """What is on hand of one SKU: {sku, name, on_hand, low_at, low, negative}; 0 of what never moved."""
        return self._shown(sku, on_hand(*self._place, [sku])[sku])

    def listed(self, after: str, limit: int, *, low: bool = False) -> list[dict[str, Any]]:
        """All that ever moved, by SKU behind `after`; with `low`, what is at or under its level, or below 0."""
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            page = list(stocked(*self._place, after, _PAGE if low else limit))
            for sku, quantity, known in page:
                shown = self._shown(sku, quantity)
                if not low or shown["low"] or (shown["negative"] and known):
                    found.append(shown)
            if len(page) < (_PAGE if low else limit):
                break
            after = page[-1][0]
        return found[:limit]

    def _shown(self, sku: str, quantity: int) -> dict[str, Any]:
        product = self._till.reports.product(sku) or {}
        level = signed_quantity(product.get("low_stock"))
        if level is None:
            level = signed_quantity(self._till.reports.setting(LOW_STOCK)) if product else None
        return {
            "sku": sku, "name": product.get("name", sku), "unit": product.get("unit", ""),
            "on_hand": signed_text(quantity), "low_at": None if level is None else signed_text(level),
            "low": level is not None and quantity <= level, "negative": quantity < 0,
        }  # fmt: skip


def _same_moves(entry: Entry, request: Mapping[str, Any]) -> bool:
    """Whether moves that another till recorded are those asked for: a count came to a difference of its own there."""
    asked, held = request.get("moves"), entry.body["moves"]
    if not isinstance(asked, list) or len(asked) != len(held):
        return False
    for item, move in zip(asked, held, strict=True):
        if not isinstance(item, Mapping) or (item.get("sku"), item.get("reason")) != (move["sku"], move["reason"]):
            return False
        name = "counted" if item.get("counted") is not None else "quantity"
        faults = Faults()
        if _quantity(faults, "", item.get(name)) != signed_quantity(move.get(name)) or faults.found:
            return False
    return True


def _quantity(faults: Faults, where: str, value: object) -> int:
    """Thousandths of a number or text, which may be below 0."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = plain(value) if isinstance(value, Decimal) else str(value)
    found = signed_quantity(value)
    if found is None:
        faults.add(where, "must be a decimal with at most 6 digits before the point and 3 behind it")
    return found or 0
