"""Lists of prices, and what they come to in a shop. No I/O.

A list is for all shops, for a group of them, or for one; what it says of a product are fields, at once or from a
business day on, as a product in a shop has them (`ahead`). Of each field the most specific list that says anything of
it decides, from the day on from which it says it; what no list says anything of is the shop's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posline.core.products import DATED, FIELDS, ahead_of, barcodes_of, edited, on_day, scheduled
from posline.errors import BadRequest

__all__ = [
    "ALL", "LISTED", "Composed", "Difference", "Item", "Keeps", "Merged", "composed", "group_list", "item_by",
    "kind_of", "merged", "shop_list",
]  # fmt: skip

ALL = "all"  # the list for every shop
_GROUP, _SHOP = "group:", "shop:"
KINDS = ("all", "group", "shop")  # the least specific first
APART = frozenset({"sku", "ahead"})
LISTED = tuple(name for name in FIELDS if name not in ("sku", "stock"))  # what is in stock is the shop's to say
Item = dict[str, Any]  # what a list says of a product
OPEN = {"name": "-", "price": 0}  # stands in for what a list need not say of a product
CODES = frozenset({"barcode", "barcodes"})


def group_list(group: str) -> str:
    """The name of a group's list."""
    return _GROUP + group


def shop_list(shop: str) -> str:
    """The name of a shop's own list."""
    return _SHOP + shop


def kind_of(name: str) -> tuple[str, str]:
    """("all", ""), ("group", its name) or ("shop", its id). Raises BadRequest."""
    if name == ALL:
        return "all", ""
    for kind, begins in (("group", _GROUP), ("shop", _SHOP)):
        if name.startswith(begins) and len(name) > len(begins):
            return kind, name[len(begins) :]
    raise BadRequest.of("list", f"{name[:60]!r} is none: 'all', 'group:NAME' or 'shop:ID'")


# -- one list ----------------------------------------------------------------------------------------------------------


def item_by(sku: str, now: Mapping[str, Any] | None, fields: Mapping[str, Any], start: str, *, least: bool) -> Item:
    """What a list says of a product, `now` as it says it, with these fields set: at once, or from the day `start` on.

    What is None is not said any more, so that a less specific list decides; of the `least` specific list, for which
    there is none, it says that the product has none. A `barcode` without `barcodes` is the first one; that there is
    none says nothing of several. Raises BadRequest.
    """
    held = {"sku": sku} | dict(now or {})
    said = {name: value for name, value in fields.items() if name != "sku"}
    if "barcodes" not in said and said.get("barcode") is None and len(barcodes_of(held)) > 1:
        said.pop("barcode", None)  # else the second came first, and was the next to go
    wrong = [name for name in said if name not in LISTED]
    if wrong:
        raise BadRequest.of(wrong[0], "is no field of a product that a list can have")
    open_ = OPEN | {name: value for name, value in held.items() if value is not None}
    if start:
        return _from_day(open_, held, start, said)
    made = edited(sku, open_, {name: value for name, value in said.items() if value is not None or name in CODES})
    item: dict[str, Any] = {"sku": sku}
    for name in LISTED:
        if said.get(name) is not None or (name not in said and held.get(name) is not None):
            item[name] = made.get(name, said.get(name))
        elif name in held and (name not in said or (least and name not in OPEN)):
            item[name] = None
    if CODES & said.keys() and (CODES & made.keys()):
        item.update({name: made[name] for name in CODES if name in made})
    item = {name: value for name, value in item.items() if value is not None or least}
    return item | ({"ahead": held["ahead"]} if "ahead" in held else {})


def _from_day(open_: Item, held: Item, start: str, said: Mapping[str, Any]) -> Item:
    """With fields that are set from a day on. What the list says of now, or of a day before, is not said again."""
    made = scheduled(open_, start, {name: value for name, value in said.items() if name in DATED or value is not None})
    stages = {stage["from"]: dict(stage) for stage in ahead_of(made)}
    spoken = held.keys() | {name for stage in ahead_of(held) if stage["from"] < start for name in stage}
    unsaid = {name: value for name, value in said.items() if name not in spoken and name in DATED}
    if unsaid:
        one = edited(held["sku"], None, OPEN | {name: value for name, value in unsaid.items() if value is not None})
        stages.setdefault(start, {"from": start}).update({name: one.get(name, unsaid[name]) for name in unsaid})
    ahead = [stages[day] for day in sorted(stages) if len(stages[day]) > 1]
    item = {name: value for name, value in held.items() if name != "ahead"}
    return item | ({"ahead": ahead} if ahead else {})


# -- several lists -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Composed:
    """What the lists say of one product in one shop: {field: [(day, value)...]}, "" for at once, and which list each
    field's last word is from."""

    sku: str
    said: Mapping[str, Sequence[tuple[str, Any]]]
    source: Mapping[str, str] = field(default_factory=dict)


def composed(sku: str, items: Iterable[tuple[str, Mapping[str, Any]]]) -> Composed:
    """What these (list, item), the least specific first, say together."""
    said: dict[str, list[tuple[str, Any]]] = {}
    source: dict[str, str] = {}
    for name, item in items:
        for of, times in _times(item).items():
            begins = times[0][0]
            said[of] = [*(time for time in said.get(of, ()) if time[0] < begins), *times]
            source[of] = name
    return Composed(sku, said, source)


def _times(item: Mapping[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    found: dict[str, list[tuple[str, Any]]] = {
        name: [("", value)] for name, value in item.items() if name not in APART and name in FIELDS
    }
    for stage in ahead_of(item):
        for name, value in stage.items():
            if name in DATED:
                found.setdefault(name, []).append((stage["from"], value))
    return found


# -- a shop ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that a shop has otherwise than the lists say, what they say, what the shop has, and whether it keeps
    that."""

    field: str
    office: Any
    shop: Any
    kept: bool


Keeps = Mapping[str, bool]  # list -> whether shops may differ from it


@dataclass(frozen=True, slots=True)
class Merged:
    """What a product is to be in a shop, None where the lists do not make one, and what differs there."""

    product: dict[str, Any] | None
    differences: tuple[Difference, ...] = ()


def merged(
    office: Composed, now: Mapping[str, Any] | None, sent: Mapping[str, Any] | None, keeps: Keeps, today: str
) -> Merged:
    """What a shop's product, `now` as its current edit says it, is to be. `sent` is what the head office wrote of it
    there last: what differs from that was changed in the shop since, and stays where the list lets it."""
    current = on_day(now, today) if now is not None else None
    before = on_day(sent, today) if sent is not None else None
    base: dict[str, Any] = dict(current or {"sku": office.sku})
    stages = {stage["from"]: dict(stage) for stage in ahead_of(base)}
    base.pop("ahead", None)
    found = []
    for name, times in office.said.items():
        begun = [value for day, value in times if day <= today]
        has, later = (current or {}).get(name), [(day, value) for day, value in times if day > today]
        own = before is not None and current is not None and has != before.get(name)
        wanted = begun[-1] if begun else None
        differs = bool(begun) and has != wanted and not _same_code(name, current, wanted)
        keep = own and differs and keeps.get(office.source[name], False)
        if differs and current is not None:
            found.append(Difference(name, wanted, has, keep))
        if keep:
            continue
        if begun:
            if name == "barcode" and differs and wanted and "barcodes" in base:
                base["barcodes"] = [wanted, *barcodes_of(base)[1:]]
            base.pop(name, None)
            if wanted is not None:
                base[name] = wanted
        for stage in stages.values():
            stage.pop(name, None)
        for day, value in later:
            stages.setdefault(day, {"from": day})[name] = value
    if "name" not in base or "price" not in base:
        return Merged(None, tuple(found))
    ahead = [stages[day] for day in sorted(stages) if len(stages[day]) > 1]
    try:
        product = edited(office.sku, None, {n: v for n, v in base.items() if n in FIELDS and v is not None})
    except BadRequest:
        return Merged(None, tuple(found))
    newer = {name: value for name, value in base.items() if name not in FIELDS}
    return Merged(product | newer | ({"ahead": ahead} if ahead else {}), tuple(found))


def _same_code(name: str, current: Mapping[str, Any] | None, wanted: Any) -> bool:
    """Whether a default that is said and one that is left out are the same thing."""
    if current is None:
        return False
    if name == "barcodes" and wanted:
        return list(wanted) == barcodes_of(current)
    return name not in current and (name, wanted) in (("active", True), ("third_schedule", False))
