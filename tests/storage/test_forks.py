"""A fork is named where a till really went on twice, and nowhere else."""

from __future__ import annotations

from posline.core.status import Status
from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import DAY, Writer, shop_of, take


def test_a_forged_continuation_is_disputed_and_no_fork() -> None:
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    sold = alif.sale(100)
    forged = alif.sale(666, seq=sold.seq + 1, prev=sold.hash.hex()[:24])
    honest = list(alif.entries)
    alif.begin()
    for order in ([honest, [forged], alif.entries[-1:]], [[forged], alif.entries], [alif.entries, [forged]]):
        store = Store.open(":memory:")
        take(store, shop, order)
        books = Reports(store, shop, here="")
        assert books.forks() == []
        assert books.by_id(forged.id)[0].status is Status.DISPUTED
        assert books.day(DAY)["sales"]["total"] == 100


def test_a_till_that_goes_on_and_signs_behind_where_another_life_of_it_began_is_a_fork() -> None:
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    alif.sale(100)
    kept = alif.run, alif.seq, alif.last, alif.number
    alif.begin()
    alif.sale(10)
    alif.seal()
    alif.run, alif.seq, alif.last, alif.number = kept
    alif.sale(1)
    alif.seal()
    for order in (alif.entries, alif.entries[::-1]):
        store = Store.open(":memory:")
        take(store, shop, [[entry] for entry in order])
        books = Reports(store, shop, here="")
        assert [(author, run) for author, run, _ in books.forks()] == [(alif.id, kept[0])]
        assert books.day(DAY)["sales"]["total"] == 111


def test_what_a_removed_till_wrote_beyond_its_end_makes_no_fork_whenever_it_comes() -> None:
    """Two lives of a till go on from one entry; the removal names that entry, so neither's run counts any more."""
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    sold = beh.sale(100)
    twin = beh.twin()
    runs = [beh.begin(), twin.begin()]
    before, removal = [*alif.entries, *beh.entries[:2]], alif.remove(beh, sold)
    for order in ([before, runs, [removal]], [before, [removal], runs], [before, runs[:1], [removal], runs[1:]]):
        store = Store.open(":memory:")
        take(store, shop, order)
        assert Reports(store, shop, here="").forks() == []
    whole = alif.remove(beh, beh.entries[-1], twin.entries[-1])
    for order in ([before, runs, [removal, whole]], [before, [whole], runs], [before, [removal], runs, [whole]]):
        store = Store.open(":memory:")
        take(store, shop, order)
        assert Reports(store, shop, here="").forks() == [(beh.id, sold.run, sold.seq)]


def test_a_forged_rival_keeps_no_lights_off() -> None:
    """Two entries claim one number and one place in the chain: how far the run is held follows the signed one."""
    for total in range(1, 9):  # whichever of the two has the lower hash
        alif, beh = Writer("alif"), Writer("beh")
        shop = shop_of(alif, beh)
        begun = alif.entries[-1]
        forged = alif.sale(total, seq=begun.seq + 1, prev=begun.hash.hex()[:24])
        for amount in (10, 20):
            alif.sale(amount)
        seal = alif.seal()
        store = Store.open(":memory:")
        take(store, shop, [[*alif.entries[:-1], forged], [seal]])
        (mark,) = store.marks(shop, [(alif.id, seal.run)])
        assert (mark.seq, mark.hash) == (seal.seq, seal.hash)
