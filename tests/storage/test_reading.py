"""Reading beside writing: nobody who reads for long makes others read the past."""

from __future__ import annotations

import threading
from pathlib import Path

from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import Writer, shop_of, take


def test_a_long_report_in_a_thread_keeps_no_commit_from_those_who_ask_whether_it_stands(tmp_path: Path) -> None:
    a = Writer("alif")
    shop = shop_of(a)
    first = [*a.entries, *(a.sale(price) for price in range(1, 200))]
    store = Store.open(tmp_path / "shop.db")
    take(store, shop, [first])
    begun, go_on = threading.Event(), threading.Event()
    read: list[int] = []

    def report() -> None:
        for (n,) in store.read.execute("SELECT n FROM entry ORDER BY n"):
            read.append(n)
            begun.set()
            assert go_on.wait(20)

    thread = threading.Thread(target=report)
    thread.start()
    assert begun.wait(20)
    sale = a.sale(777)
    take(store, shop, [[sale]])
    found = Reports(store, shop, here=a.id).by_id(sale.id)
    go_on.set()
    thread.join(20)
    assert [recorded.entry.hash for recorded in found] == [sale.hash]
    assert len(read) == len(first), "and the report is of one moment"
    store.close()
