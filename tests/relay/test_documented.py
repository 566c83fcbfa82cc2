"""What docs/numbers.md says of the feed's events is what the feed gives."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from posline.core.kinds import KINDS
from posline.storage.store import Store
from relay.feeding import Feed, shown
from tests.kit import Writer, shop_of, take
from tests.relay.test_relay import Office, office
from tests.till.test_joining import until

PAGE = Path(__file__).parents[2] / "docs" / "numbers.md"
SHOWN = ("sale", "refund", "void", "cash", "payment", "stock", "shift closed", "day closed")


def id_() -> str:
    return str(uuid.uuid4())


async def events(found: Office) -> dict[str, dict[str, Any]]:
    """An event of each kind that the page shows."""
    (till,) = found.tills
    tax = {"standard": {"name": "S", "rates": [{"rate": "18"}]}}
    await till.write("setting", {"name": "tax", "value": tax}, document="shop")
    tea = {"sku": "TEA", "name": "Tea", "quantity": 2, "price": 45000, "discount": 1000, "class": "standard"}
    kept = await till.sell([tea], tenders=[{"kind": "cash", "amount": 100000}], by="Amina")
    gone = await till.sell([tea], by="Amina")
    await till.refund(kept.id, lines=[{"line": 1, "quantity": 1}], reason="torn", by="Amina")
    await till.void(gone.id, "mistyped", by="Amina")
    await till.shifts.cash({"id": id_(), "direction": "out", "amount": 20000, "reason": "milk", "by": "Amina"})
    await till.write("payment", {"customer": "03001234567", "amount": 5000})
    await till.write("stock", {"moves": [{"sku": "TEA", "quantity": "24", "reason": "delivery"}]})
    await till.shifts.close({"id": id_(), "counted": {"cash": 28500}, "by": "Amina"})
    await till.shifts.close_day({"id": id_()}, till.day)
    reports = found.relay.branch(till.shop_id).reports
    await until(lambda: list(reports.counted(("day closed",), None, None)))
    feed = found.relay.feed
    page = feed.page(shops=None, kinds=list(SHOWN), after=0, limit=1000)
    made: dict[str, dict[str, Any]] = {}
    for item in page.items:
        made.setdefault(item.entry.kind, shown(item, feed.life_of(item.n)))
    for event in made.values():
        event["entry"].pop("clock", None)  # only where nothing confirms this machine's time
    return made | {"status": status_event()}


def status_event() -> dict[str, Any]:
    """A sale that another till had recorded, too."""
    one, two = sorted((Writer("alif"), Writer("be")), key=lambda writer: writer.id)
    shop = shop_of(one, two)
    begun = len(one.entries)
    for writer in (two, one):
        writer.sale(id=id_() if writer is two else two.entries[-2].id)
        writer.seal()
    store = Store.open(":memory:", feed=True)
    Feed(store).begin()
    take(store, shop, [[entry] for entry in [*one.entries[:begun], *two.entries, *one.entries[begun:]]])
    feed = Feed(store)
    told = [item for item in feed.page(shops=None, kinds=["sale"], after=0, limit=99).items if item.event == "status"]
    return shown(told[0], feed.life_of(told[0].n))


def shape(value: Any) -> Any:
    """What a value is made of, without what it says."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def documented() -> dict[str, dict[str, Any]]:
    blocks = re.findall(r"^```json\n(\{\"cursor\".*?)^```", PAGE.read_text(), re.M | re.S)
    found = [json.loads(block) for block in blocks]
    return {each["kind"] if each["event"] == "entry" else "status": each for each in found}


async def test_the_events_of_the_page_are_those_of_the_feed(tmp_path: Path) -> None:
    said = documented()
    assert said.keys() == {*SHOWN, "status"}
    async with office(tmp_path, "North") as found:
        given = await events(found)
    for kind, event in said.items():
        if kind != "status":  # a made-up till's sale, which has fewer fields
            assert shape(event) == shape(given[kind]), kind
        else:
            assert event.keys() == given[kind].keys() and given[kind]["event"] == "status"


def test_every_kind_of_entry_is_explained() -> None:
    rows = set(re.findall(r"^\| `([a-z ]+)` \|", PAGE.read_text(), re.M))
    assert KINDS.keys() <= rows, KINDS.keys() - rows
