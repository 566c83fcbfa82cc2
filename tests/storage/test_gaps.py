"""What is known to be missing, and how far others are behind: from the ledger alone."""

from __future__ import annotations

from collections.abc import Sequence

from posline.core.entry import Entry
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import Writer, shop_of, take


def shop_with(*batches: Sequence[Entry], founder: Writer, shop: str) -> Store:
    store = Store.open(":memory:")
    take(store, shop, [founder.entries, *batches])
    return store


def gaps(store: Store, shop: str) -> list[tuple[str, int, list[list[int]]]]:
    return Reports(store, shop, here="").gaps()


def two() -> tuple[str, Writer, Writer]:
    a, b = Writer("alif"), Writer("be")
    return shop_of(a, b), a, b


def test_a_whole_chain_has_no_gap() -> None:
    shop, a, b = two()
    for _ in range(5):
        b.sale()
    b.seal()
    b.begin()
    b.sale()
    assert gaps(shop_with(b.entries, founder=a, shop=shop), shop) == []


def test_what_lies_before_something_signed_is_missed_by_its_numbers() -> None:
    shop, a, b = two()
    sales = [b.sale() for _ in range(6)]
    seal = b.seal()
    lost = {sales[1].seq, sales[2].seq, sales[4].seq}
    store = shop_with([e for e in b.entries if e.seq not in lost], founder=a, shop=shop)
    ranges = [[sales[1].seq, sales[2].seq], [sales[4].seq, sales[4].seq]]
    assert gaps(store, shop) == [(b.id, 3, ranges)]
    take(store, shop, [[sales[2], sales[1]], [sales[4]]])
    assert gaps(store, shop) == []
    unsigned = shop_with([*b.entries[: sales[0].seq], b.sale(seq=10**9)], founder=a, shop=shop)
    assert gaps(unsigned, shop) == [], "anybody can write a number; only what is signed says what was before"
    assert seal.seq > 0


def test_a_run_that_went_on_names_what_the_one_before_it_had() -> None:
    shop, a, b = two()
    sales = [b.sale() for _ in range(3)]
    tail = [b.sale(), b.sale(), b.seal()]
    b.begin()
    later = [b.entries[-1], b.sale()]
    early = [e for e in b.entries if e.seq <= sales[-1].seq]
    store = shop_with(early, later, founder=a, shop=shop)
    assert gaps(store, shop) == [(b.id, 3, [[tail[0].seq, tail[-1].seq]])]
    whole_run = [e for e in b.entries if e.seq >= later[0].seq]
    alone = shop_with(whole_run, founder=a, shop=shop)
    assert gaps(alone, shop) == [(b.id, tail[-1].seq, [[1, tail[-1].seq]])], "nothing of the first run is here"
    take(alone, shop, [b.entries])
    assert gaps(alone, shop) == []


def test_what_a_till_said_it_holds_and_never_sent() -> None:
    shop, a, b = two()
    sale = b.sale()
    store = shop_with(b.entries, founder=a, shop=shop)
    store.have(shop, b.id, [Mark(b.id, sale.run, sale.seq + 4, bytes(32))])
    store.commit([])
    assert gaps(store, shop) == [(b.id, 4, [[sale.seq + 1, sale.seq + 4]])]


def test_how_far_another_device_is_behind() -> None:
    shop, a, b = two()
    for _ in range(4):
        b.sale()
    b.seal()
    store = shop_with(b.entries, founder=a, shop=shop)
    reports = Reports(store, shop, here=a.id)
    of_a, of_b = len(a.entries), len(b.entries)
    assert reports.behind("c" * 26) == of_a + of_b and reports.behind(b.id) == of_a
    last = b.entries[-3]
    store.have(shop, "c" * 26, [Mark(b.id, last.run, last.seq, last.hash)])
    store.commit([])
    assert reports.behind("c" * 26) == of_a + 2
    last = a.entries[-1]
    store.have(shop, b.id, [Mark(a.id, last.run, last.seq, last.hash)])
    store.commit([])
    assert reports.behind(b.id) == 0
