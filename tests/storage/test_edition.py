"""A shop's settings may change with no entry in its own document: one that a till wrote which was removed since counts
once the journals are here that lead up to it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from posline.replica import Replica
from posline.storage.records import Commit
from posline.storage.removal import points_of
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.till.fiscal.desk import Desk
from posline.till.page_catalogue import news_of
from posline.till.terms import TermsNow
from tests.kit import DAY, JOURNAL, commit, founded, joined, sale, send

SETTINGS = {
    "fiscal": {"adapter": "fbr_ims", "filer": "n" * 26, "pos_id": 1},
    "catalog": 2,
    "rounding": 100,
}


def shop_whose_settings_a_removed_till_made() -> Replica:
    first = founded()
    second = joined(first, "beh")
    send(first, second)
    second.write("sale", sale(5))
    commit(second)
    for name, value in SETTINGS.items():
        second.write("setting", {"name": name, "value": value}, document="shop")
        commit(second)
    second.write("seal", {})
    commit(second)
    send(second, first)
    points = points_of(first.store, first.shop, second.store_id, vouched_only=False)
    first.write("remove", {"member": second.store_id, "points": [list(p) for p in points]}, document="shop")
    commit(first)
    return first


def newcomer(shop: str) -> Replica:
    return Replica(
        Store.open(":memory:"), shop, author=None, clock=None, random=random.Random(1), documents=False,
        store_id="h" * 26,
    )  # fmt: skip


def bring(source: Replica, target: Replica, document: str) -> Commit:
    for row in source.rows(document, 0, 1000):
        target.integrate(document, row.update, origin="x" * 26)
    batch = list(target.staged)
    done = target.store.commit(batch)
    target.release(batch, done)
    return done


def test_what_is_kept_of_settings_follows_when_journals_make_them_count() -> None:
    shop = shop_whose_settings_a_removed_till_made()
    new = newcomer(shop.shop)
    reports = Reports(new.store, new.shop, here="")

    async def write(fields: Mapping[str, Any]) -> None: ...

    desk = Desk(new.store, new.shop, "n" * 26, write, lambda: ("", ""), lambda: 0, lambda: 0, random.Random(1))
    till = SimpleNamespace(
        store=new.store, shop_id=new.shop, day=DAY, reports=reports, replica=SimpleNamespace(founding=new.founding)
    )
    terms = TermsNow(till)  # type: ignore[arg-type]

    bring(shop, new, "shop")
    before = new.store.edition(new.shop)
    assert (desk.setting(), reports.catalogue, terms().cash_unit) == (None, "catalog/1", 0), "held: not yet"

    done = bring(shop, new, JOURNAL)
    assert new.store.edition(new.shop) > before
    setting = desk.setting()
    assert setting is not None and setting.adapter == "fbr_ims"
    assert (reports.catalogue, terms().cash_unit) == ("catalog/2", 100)
    told = [change.kind for change in news_of(_page(new), {JOURNAL}, {c.change.kind for c in done.changes})]
    assert "shop" in told and "catalogue" in told, "pages ask again"


def test_sales_alone_leave_the_edition_as_it_is() -> None:
    till = founded()
    before = till.store.edition(till.shop)
    till.write("sale", sale(5))
    commit(till)
    assert till.store.edition(till.shop) == before
    till.write("setting", {"name": "footer", "value": "Shukriya"}, document="shop")
    commit(till)
    assert till.store.edition(till.shop) > before


def _page(new: Replica) -> Any:
    return SimpleNamespace(store=new.store, shop_id=new.shop, reports=Reports(new.store, new.shop, here=""))
