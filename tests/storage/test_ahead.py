"""Prices that change on a day, in the ledger: in whatever order edits come, each day has one price everywhere."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.products import on_day, scheduled
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from tests.kit import commit, founded, joined, send
from tests.proof import share

TODAY, DAYS = "2026-11-23", ["2026-12-01", "2026-12-15"]
TEA = {"sku": "TEA", "name": "Tea", "price": 300}
EDIT = st.tuples(st.sampled_from("ab"), st.integers(1, 9), st.sampled_from(["", *DAYS]), st.booleans())


def prices(store: Store, shop: str) -> list[Any]:
    """What the tea costs on each day."""
    found = []
    for day in (TODAY, *DAYS):
        product = Reports(store, shop, here="", today=lambda day=day: day).product("TEA")  # type: ignore[misc]
        found.append(None if product is None else product["price"])
    return found


@settings(max_examples=share(6, 12), deadline=None)
@given(st.lists(EDIT, min_size=1, max_size=6), st.integers())
def test_any_order_of_arrival_gives_each_day_one_price(edits: list[tuple[str, int, str, bool]], seed: int) -> None:
    a = founded()
    b = joined(a, "be")
    send(a, b)
    a.write("products", {"products": [TEA]}, document="catalog/1")
    commit(a)
    send(a, b)
    for who, price, start, meet in edits:
        till = a if who == "a" else b
        now = Reports(till.store, till.shop, here="", today=lambda: TODAY).product("TEA") or TEA
        product = scheduled(now, start, {"price": price}) if start else now | {"price": price}
        till.write("products", {"products": [product]}, document="catalog/1")
        commit(till)
        if meet:
            send(a, b)
            send(b, a)
    send(a, b)
    send(b, a)
    third = joined(a, "third", store=Store.open(":memory:"))
    rows = [(d, row.update) for d in a.documents() for row in a.rows(d, 0, 256)]
    shuffled = [row for row in rows if row[0] == "shop"] + [row for row in rows if row[0] != "shop"]
    rest = shuffled[sum(d == "shop" for d, _ in rows) :]
    random.Random(seed).shuffle(rest)
    waiting = [row for row in shuffled if row[0] == "shop"] + rest
    while waiting:  # what leans on another is asked for again later
        later = []
        for document, update in waiting:
            try:
                third.integrate(document, update, origin="x")
                commit(third)
            except Exception:
                later.append((document, update))
        assert len(later) < len(waiting)
        waiting = later
    assert prices(a.store, a.shop) == prices(b.store, a.shop) == prices(third.store, a.shop)


def test_what_is_to_come_is_listed_until_it_is_there() -> None:
    till = founded()
    day = [TODAY]
    reports = Reports(till.store, till.shop, here="", today=lambda: day[0])
    goods = [scheduled(TEA, DAYS[0], {"price": 330}), {"sku": "MILK", "name": "Milk", "price": 5}]
    till.write("products", {"products": goods}, document="catalog/1")
    commit(till)
    assert [p["sku"] for p in reports.catalog.scheduled()] == ["TEA"]
    assert reports.product_at("TEA", "2026-12-01T03:00:00.000+05:00")["price"] == 300  # type: ignore[index]
    assert reports.product_at("TEA", "2026-12-01T05:00:00.000+05:00")["price"] == 330  # type: ignore[index]
    assert reports.catalog.search("tea")[0]["price"] == 300
    day[0] = DAYS[0]
    assert reports.catalog.scheduled() == [] and reports.catalog.search("tea") == [TEA | {"price": 330}]
    assert reports.catalog.said(["TEA"])["TEA"] == goods[0] and on_day(goods[0], DAYS[0])["price"] == 330
    assert [problem for problem in verify(till.store, till.shop) if "sqlite" not in problem.lower()] == []
