"""The day report and Z reports as functions of what is held: tills that ring, take back, close and meet by chance."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.drawer import MONEY_KINDS, Takings
from posline.core.entry import Entry, decode
from posline.core.ranges import Numbers
from posline.replica import Replica
from posline.storage.reports import Reports
from posline.storage.shifts import TillShifts
from posline.storage.store import Store
from tests.kit import DAY, StillTime, Writer, commit, founded, joined, sale, send, shop_of, take
from tests.proof import share
from tests.trade import Trade, books, closing, day_closing


def all_written(shop: Trade) -> list[Entry]:
    """Everything that was written, as the first till holds it."""
    rows = shop.tills[0].store.read.execute(
        "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
    )
    return [decode(name, raw) for name, raw in rows]


def trade(seed: int, acts: int) -> Trade:
    chance = random.Random(seed)
    first = founded(f"alif {seed}")
    tills = [first, *(joined(first, f"{name}{seed % 1000}") for name in ("be", "pe", "te")[: chance.randint(1, 3)])]
    shop = Trade(chance, tills)
    shop.meet()
    for _ in range(acts):
        shop.act()
    return shop


def z_reports(shop: Trade) -> list[Entry]:
    return [entry for entry in all_written(shop) if entry.kind == "shift closed"]


@settings(max_examples=share(16, 50), deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 60))
def test_z_reports_less_duplicates_are_the_day_on_every_till(seed: int, acts: int) -> None:
    shop = trade(seed, acts)
    for till in shop.tills:
        closing(till)
    shop.meet()
    days = [books(till).day(DAY) for till in shop.tills]
    assert all(json.dumps(day) == json.dumps(days[0]) for day in days)
    day, shifts = days[0], z_reports(shop)
    figures = [z.body["figures"] for z in shifts]
    twins = day["duplicates"]
    assert sum(f["net"] for f in figures) - sum(twin["amount"] for twin in twins) == day["net"]
    assert day["net"] == day["sales"]["total"] - day["refunds"]["total"] - day["voids"]["total"]
    tenders: Counter[str] = Counter()
    for found in figures:
        tenders.update(found["tenders"])
    entries = {entry.hash.hex(): entry for entry in all_written(shop)}
    for twin in twins:
        dropped = Takings()
        dropped.add("sale", entries[twin["dropped"]].body)
        tenders.subtract(dropped.tenders)
    assert {kind: total for kind, total in tenders.items() if total} == {
        kind: total for kind, total in day["tenders"].items() if total
    }
    notes = [
        note
        for till in {z.till for z in shifts}
        for z in shifts
        if z.till == till
        for note in TillShifts(shop.tills[0].store, shop.tills[0].shop, till).duplicates(
            numbers=Numbers(z.body["covers"])
        )
    ]
    assert sorted((note["id"], note["amount"]) for note in notes) == sorted((t["id"], t["amount"]) for t in twins)
    for entry in entries.values():
        if entry.kind in MONEY_KINDS:
            within = [z for z in shifts if z.till == entry.till and (entry.run, entry.seq) in Numbers(z.body["covers"])]
            assert len(within) == 1, "each entry lies in exactly one Z report"
    for z in shifts:
        covered = Numbers(z.body["covers"])
        own = Takings()
        for entry in entries.values():
            if entry.till == z.till and (entry.run, entry.seq) in covered:
                own.add(entry.kind, entry.body)
        assert own.figures() == {name: value for name, value in z.body["figures"].items() if name != "number"}
        assert own.expected(z.body["float"]) == z.body["expected"]


@settings(max_examples=share(10, 25), deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 50))
def test_the_day_is_the_same_in_every_order_of_delivery(seed: int, acts: int) -> None:
    shop = trade(seed, acts)
    shop.meet()
    entries, first = all_written(shop), shop.tills[0]
    wanted = json.dumps(books(first).day(DAY))
    for order in range(3):
        chance = random.Random(order)
        chance.shuffle(entries)
        size = chance.choice((1, 3, 1000))
        store = Store.open(":memory:")
        take(store, first.shop, [entries[i : i + size] for i in range(0, len(entries), size)])
        assert json.dumps(Reports(store, first.shop, here="").day(DAY)) == wanted
        store.close()


@settings(max_examples=share(10, 25), deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 50))
def test_what_is_late_is_what_no_close_had_seen(seed: int, acts: int) -> None:
    shop = trade(seed, acts)
    shop.meet()
    report, entries = books(shop.tills[0]).day(DAY), all_written(shop)
    closes = [entry for entry in entries if entry.kind == "day closed"]
    assert [(c["till"], c["last"]) for c in report["closes"]] == sorted((c.till, c.seq) for c in closes)
    dropped = {twin["dropped"] for twin in report["duplicates"]}
    money = [e for e in entries if e.kind in MONEY_KINDS and e.hash.hex() not in dropped]
    seen = {(who, run, n) for close in closes for who, run, last in close.body["vector"] for n in range(last + 1)}
    late = {e.hash.hex() for e in money if (e.till, e.run, e.seq) not in seen} if closes else set()
    assert {entry["hash"] for entry in report["late"]} == late
    assert report["addendum"]["count"] == len(late)
    wrote = {entry.till for entry in entries if entry.document.startswith("journal/")}
    assert set(report["waiting_for"]) == wrote - {close.till for close in closes}
    assert report["provisional"] == bool(report["waiting_for"])
    for till in shop.tills:  # who closes with everything at hand leaves nothing late
        day_closing(till, DAY)
    shop.meet()
    report = books(shop.tills[-1]).day(DAY)
    assert (report["late"], report["provisional"], report["waiting_for"]) == ([], False, [])


def test_a_close_never_claims_what_was_not_there() -> None:
    """B closes while an entry in the middle of A's run is missing: what lies behind the gap is not covered."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sales = [a.sale(100), a.sale(20), a.sale(3)]
    a.seal()
    store = Store.open(":memory:")
    take(store, shop, [[entry for entry in (*a.entries, *b.entries) if entry is not sales[1]]])
    shifts = TillShifts(store, shop, b.id)
    b.write("day closed", {"of_day": DAY, "vector": shifts.vector(DAY)})
    take(store, shop, [[sales[1]], [b.entries[-1]]])
    report = Reports(store, shop, here="").day(DAY)
    assert {entry["amount"] for entry in report["late"]} == {20, 3}
    assert report["waiting_for"] == [a.id] and report["sales"]["total"] == 123
    store.close()


def test_who_was_removed_is_not_waited_for_and_what_it_rang_counts() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sold = b.sale(70)
    store = Store.open(":memory:")
    take(store, shop, [[*a.entries, *b.entries]])
    assert Reports(store, shop, here="").day(DAY)["waiting_for"] == sorted([a.id, b.id])
    a.remove(b, sold)
    take(store, shop, [[a.entries[-1]]])
    report = Reports(store, shop, here="").day(DAY)
    assert (report["waiting_for"], report["net"]) == ([a.id], 70)
    store.close()


def test_a_disk_that_went_back_covers_what_its_lost_z_reports_did_not(tmp_path: Path) -> None:
    """What a till had rung and closed comes home from its peer; its next Z report has just the rest."""
    till = founded("alif", store=Store.open(tmp_path / "till.db"))
    peer = joined(till, "be")
    till.write("sale", sale(1))
    commit(till)
    till.store.backup(tmp_path / "old.db")
    lost = [till.write("sale", sale(20)).entries[0], closing(till), till.write("sale", sale(300)).entries[0]]
    till.write("seal", {})
    commit(till)
    send(till, peer)
    again = Replica(
        Store.open(tmp_path / "old.db"), till.shop, author=till.author, clock=StillTime().clock(),
        random=random.Random("again"), documents=True,
    )  # fmt: skip
    again.write("sale", sale(4000))
    commit(again)
    send(peer, again)
    rest = closing(again)
    assert rest is not None and rest.body["figures"]["net"] == 4300, "not the sale that the lost Z report has"
    commit(again)
    send(again, peer)
    assert all(lost) and books(peer).day(DAY)["net"] == 4321 == 21 + rest.body["figures"]["net"]
    assert [z.body["figures"]["net"] for z in (r.entry for r in books(peer).shifts(kind="shift closed"))] == [21, 4300]


def test_a_day_that_nobody_closed_has_nothing_late_and_an_empty_one_waits_for_nobody() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(5)
    store = Store.open(":memory:")
    take(store, shop, [a.entries])
    report = Reports(store, shop, here="").day(DAY)
    assert (report["late"], report["closes"], report["provisional"]) == ([], [], True)
    empty = Reports(store, shop, here="").day("2026-11-22")
    assert (empty["provisional"], empty["waiting_for"], empty["net"]) == (False, [], 0)
    store.close()


def test_what_cannot_be_read_stays_in_the_day_where_it_lies_whenever_a_redate_comes() -> None:
    """What breaks the rules says nothing about its place, so nobody moves it."""
    alif, beh = Writer("alif"), Writer("beh")
    shop = shop_of(alif, beh)
    sold = alif.sale(100)
    broken = decode(sold.document, sold.raw.replace(b'"total":100', b'"total":101'))
    assert broken.fault is not None and (broken.run, broken.seq) == (sold.run, sold.seq)
    fields = {"author": alif.id, "of": sold.run, "first": 1, "last": 9, "to": "2026-11-22", "seen": {}}
    moved = alif.write("redate", fields)
    digests = set()
    for order in ([alif.entries[:-1], [broken], [moved]], [alif.entries[:-1], [moved], [broken]], [[moved, broken]]):
        store = Store.open(":memory:")
        take(store, shop, [*order, alif.entries])
        reports = Reports(store, shop, here="")
        assert reports.day("2026-11-22")["sales"]["total"] == 100
        assert [item["hash"] for item in reports.day(DAY)["invalid"]] == [broken.hash.hex()]
        digests.add((reports.day(DAY)["digest"], reports.day("2026-11-22")["digest"]))
    assert len(digests) == 1
