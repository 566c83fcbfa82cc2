"""Lights: who is known to hold an entry, where a member of the shop lies."""

from __future__ import annotations

from posline.core.entry import Entry, decode, encode
from posline.replica import Replica
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import DAY, JOURNAL, Writer, commit, founded, joined, key_of, sale, shop_of, staged, take


def books(store: Store, shop: str, here: str = "") -> Reports:
    return Reports(store, shop, here=here)


def mark(entry: Entry) -> Mark:
    return Mark(entry.till, entry.run, entry.seq, entry.hash)


def after(entry: Entry, writer: Writer, total: int = 666) -> Entry:
    """A sale that is forged into the chain behind an entry."""
    return writer.sale(total, seq=entry.seq + 1, prev=entry.hash.hex()[:24])


def test_who_holds_a_forged_entry_is_not_said_to_hold_the_true_one_of_its_number() -> None:
    alif, beh, jeem = Writer("alif"), Writer("beh"), Writer("jeem")
    shop = shop_of(alif, beh, jeem)
    first = alif.sale(10)
    forged = after(first, alif)
    further = after(forged, alif)
    true = alif.sale(20)
    last = alif.sale(30)
    store = Store.open(":memory:")
    take(store, shop, [[*alif.entries, forged, further]])
    store.have(shop, beh.id, [mark(further)])
    store.have(shop, jeem.id, [mark(last)])
    found = books(store, shop)
    assert found.holders(first) == {beh.id, jeem.id}
    assert found.holders(true) == found.holders(last) == {jeem.id}
    assert found.holders(forged) == found.holders(further) == {beh.id}
    assert found.durable(true) == {"here": True, "tills": 1, "head_office": False}


def test_an_entry_off_the_chain_is_nowhere_though_its_number_is() -> None:
    """What does not fit the chain has no rival here where the true entry of its number is missing."""
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    first, true = alif.sale(10), alif.sale(20)
    last = alif.sale(30)
    forged = after(first, alif)
    store = Store.open(":memory:")
    take(store, shop, [[entry for entry in alif.entries if entry is not true] + [forged]])
    store.have(shop, beh.id, [mark(last)])
    assert books(store, shop).holders(forged) == set()
    assert books(store, shop).holders(last) == {beh.id}


def test_its_author_holds_what_it_signed_or_says_it_holds_and_not_what_bears_its_name() -> None:
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    sold = beh.sale(10)
    forged = after(sold, beh)
    store = Store.open(":memory:")
    take(store, shop, [[*alif.entries, *beh.entries, forged]])
    assert books(store, shop).holders(sold) == books(store, shop).holders(forged) == set()
    store.have(shop, beh.id, [mark(sold)])
    assert books(store, shop).holders(sold) == {beh.id}
    assert books(store, shop).holders(forged) == set()
    take(store, shop, [[beh.seal()]])
    store.commit([])
    assert books(store, shop).holders(sold) == {beh.id}


def test_who_was_removed_is_no_place_where_a_sale_is_safe() -> None:
    alif, beh, jeem = Writer("alif"), Writer("beh"), Writer("jeem")
    shop = shop_of(alif, beh, jeem)
    sold, seal = beh.sale(10), beh.seal()
    store = Store.open(":memory:")
    take(store, shop, [[*alif.entries, *beh.entries]])
    store.have(shop, jeem.id, [mark(seal)])
    assert books(store, shop).holders(sold) == {beh.id, jeem.id}
    take(store, shop, [[alif.remove(beh, seal), alif.remove(jeem)]])
    assert books(store, shop).holders(sold) == set()


def test_a_run_that_another_went_on_from_keeps_its_lights() -> None:
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    first, last = alif.sale(10), alif.sale(20)
    alif.begin()
    store = Store.open(":memory:")
    take(store, shop, [[entry] for entry in alif.entries])
    store.have(shop, beh.id, [mark(last)])
    assert books(store, shop).holders(first) == books(store, shop).holders(last) == {alif.id, beh.id}


def forge(replica: Replica, behind: Entry) -> Entry:
    """A sale that another member puts into this till's own chain, committed here."""
    fields = {
        "v": 1, "id": "7f1bfc5d-6a4c-4fb2-9ad4-5a7d00a7f1c2", "kind": "sale", "till": behind.till, "run": behind.run,
        "seq": behind.seq + 1, "prev": behind.hash.hex()[:24], "at": "2026-11-23T12:00:00.000+05:00", "day": DAY,
        "by": "", "number": 9, "label": "A", "lines": [{"sku": "1", "quantity": "1", "price": 6}], "total": 6,
    }  # fmt: skip
    entry = decode(JOURNAL, encode(fields).encode())
    assert entry.fault is None
    replica.store.commit(staged(replica.store, replica.shop, [entry], client=77))
    return entry


def test_what_waits_is_counted_by_the_chain_and_not_by_a_forged_number() -> None:
    """Whichever of the two has the lower hash: that another device holds the forged one says nothing."""
    for total in range(1, 9):
        till = founded()
        joined(till, "beh")
        beh = key_of("beh").id
        till.begin()
        first = till.write("sale", sale(1)).entries[0]
        commit(till)
        till.store.have(till.shop, beh, till.store.all_marks(till.shop, unless=beh))
        found = books(till.store, till.shop, here=till.store_id)
        assert found.waiting(till.store_id) == 0
        true = till.write("sale", sale(total)).entries[0]
        commit(till)
        forged = forge(till, first)
        till.store.have(till.shop, beh, [mark(forged)])
        till.store.commit([])
        assert found.waiting(till.store_id) == 1
        assert found.holders(true) == set() and found.holders(first) == {beh}
        till.store.have(till.shop, beh, [mark(true)])
        assert found.waiting(till.store_id) == 0
        till.store.commit([])
        assert found.waiting(till.store_id) == 0
