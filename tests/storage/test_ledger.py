"""The ledger is a pure function of the set held: the cases that broke an earlier sketch, and any order of arrival."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.entry import Entry, decode
from posline.core.status import PASSED, UNREACHED, Status, judge
from posline.storage.removal import points_of
from posline.storage.renewal import differing_tables
from posline.storage.reports import Reports
from posline.storage.store import Store
from tests.kit import DAY, JOURNAL, Writer, all_entries, shop_of, statuses, take
from tests.proof import share

Answer = dict[tuple[str, bytes], tuple[Status, bool, bytes | None]]


def by_rules(entries: Sequence[Entry], shop: str) -> Answer:
    """What the pure function says of a set of entries."""
    return {key: (v.status, v.vouched, v.kept) for key, v in judge(entries, shop).items()}


def rows_of(shop: str, batches: Sequence[Sequence[Entry]], *, tables: bool = False) -> Answer:
    """What the ledger says once these batches have arrived in this order. With `tables`, fails where what it keeps
    beside that is not as in another order."""
    store = Store.open(":memory:")
    take(store, shop, batches)
    answer = statuses(store, shop)
    assert not tables or differing_tables(store.read) == []
    store.close()
    return answer


def everywhere(shop: str, entries: Sequence[Entry], orders: int = 25) -> Answer:
    """The one answer that every order, cut into any batches and with repeats, gives; fails where two differ."""
    wanted = by_rules(entries, shop)
    for seed in range(orders):
        rng = random.Random(seed)
        order = list(entries) + rng.choices(entries, k=3)
        rng.shuffle(order)
        size = rng.choice((1, 2, 5, len(order)))
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        assert rows_of(shop, batches, tables=seed < 5) == wanted, f"seed {seed}"
    return wanted


def status(answer: Answer, entry: Entry) -> Status:
    return answer[entry.document, entry.hash][0]


def test_an_honest_day_counts_and_is_vouched_for() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sales = [a.sale(100), a.sale(250), b.sale(70)]
    a.seal()
    answer = everywhere(shop, all_entries(a, b))
    assert {status(answer, s) for s in sales} == {Status.COUNTED}
    assert [answer[JOURNAL, s.hash][1] for s in sales] == [True, True, False]


@pytest.mark.many
def test_every_permutation_of_delivery_gives_equal_rows() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(100)
    a.sale(200)
    forged = a.sale(900, seq=a.seq, prev=a.entries[-2].hash.hex()[:24])
    a.seal()
    entries = [*a.entries, forged]
    wanted = by_rules(entries, shop)
    for order in itertools.islice(itertools.permutations(entries), 0, None, share(5, 1)):
        assert rows_of(shop, [[entry] for entry in order]) == wanted


def test_one_id_at_two_tills_with_the_same_content_is_one_sale() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    id = "0190f0c2-7b8e-4c3a-9f5e-000000000001"
    pair = [a.sale(500, id=id), b.sale(500, id=id)]
    answer = everywhere(shop, all_entries(a, b))
    assert sorted(status(answer, s) for s in pair) == [Status.COUNTED, Status.DUPLICATE]
    kept = min(pair, key=lambda s: (s.till, s.run, s.seq))
    dropped = max(pair, key=lambda s: (s.till, s.run, s.seq))
    assert answer[JOURNAL, dropped.hash][2] == kept.hash


def test_one_id_at_two_tills_with_other_content_counts_twice_with_an_alarm() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    id = "0190f0c2-7b8e-4c3a-9f5e-000000000001"
    pair = [a.sale(500, id=id), b.sale(900, id=id)]
    answer = everywhere(shop, all_entries(a, b))
    assert {status(answer, s) for s in pair} == {Status.COUNTED}
    store = Store.open(":memory:")
    take(store, shop, [all_entries(a, b)])
    assert [alarm["kind"] for alarm in Reports(store, shop, here="").alarms()] == ["conflict"]


def test_an_id_is_in_no_conflict_any_more_once_its_forgery_does_not_count() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sale = b.sale()
    forged = b.twin().sale(900, id=sale.id)  # behind the sale, and unsigned as yet: nobody can tell
    seal = b.seal()
    before = [*(e for e in all_entries(a, b) if e not in (sale, seal)), sale, forged]
    alarms = []
    for batches in ([before, [seal]], [[*before, seal]]):
        store = Store.open(":memory:")
        take(store, shop, batches)
        alarms.append([alarm["kind"] for alarm in Reports(store, shop, here="").alarms()])
        store.close()
    assert alarms == [["disputed"], ["disputed"]]


def test_a_forged_entry_with_a_used_number_before_the_seal_disputes_and_falls_with_it() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    before = a.last
    assert before is not None
    honest = a.sale(100)
    forged = a.sale(900, seq=honest.seq, prev=before.hash.hex()[:24])
    answer = everywhere(shop, [*a.entries, forged])
    assert status(answer, honest) == status(answer, forged) == Status.DISPUTED
    a.seal()
    answer = everywhere(shop, [*a.entries, forged])
    assert status(answer, honest) == Status.COUNTED
    assert status(answer, forged) == Status.DISPUTED


def test_a_forged_entry_with_a_used_number_after_the_seal_is_disputed_at_once() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    before = a.last
    assert before is not None
    honest = a.sale(100)
    a.seal()
    forged = a.sale(900, seq=honest.seq, prev=before.hash.hex()[:24])
    answer = everywhere(shop, [*a.entries, forged])
    assert (status(answer, honest), status(answer, forged)) == (Status.COUNTED, Status.DISPUTED)


def test_a_forged_continuation_falls_when_the_till_takes_its_number() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    assert a.last is not None
    forged = a.sale(900, seq=a.seq + 1, prev=a.last.hash.hex()[:24])
    honest = a.sale(100)
    a.seal()
    answer = everywhere(shop, [*a.entries, forged])
    assert (status(answer, honest), status(answer, forged)) == (Status.COUNTED, Status.DISPUTED)


def test_a_dead_tills_sealed_sales_cannot_be_disputed() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    honest = [b.sale(100), b.sale(200)]
    b.seal()
    forged = [b.sale(9, seq=s.seq, prev=s.prev) for s in honest]
    answer = everywhere(shop, [*all_entries(a, b), *forged])
    assert {status(answer, s) for s in honest} == {Status.COUNTED}
    assert {status(answer, s) for s in forged} == {Status.DISPUTED}


def test_an_altered_entry_falls_whatever_came_first() -> None:
    """What names another entry before it than the one that is here is disputed, unsigned or not, also as the next."""
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(100)
    sold = {"number": 2, "label": "A", "lines": [{"sku": "1", "quantity": "1", "price": 9}], "total": 9}
    torn = a.write("sale", sold, prev="0" * 24)
    answer = everywhere(shop, [*all_entries(a), torn])
    assert status(answer, torn) is Status.DISPUTED


def test_a_run_that_was_made_up_is_held() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    forged = a.sale(900, run=12345, seq=7, prev="0" * 24)
    assert status(everywhere(shop, [*a.entries, forged]), forged) == Status.HELD


def test_a_forged_number_of_2_to_the_53_less_1_counts_for_nothing_and_moves_no_counter() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(100)
    top = 2**53 - 1
    far = a.sale(900, seq=top - 1, prev="1" * 24)
    forged = [far, a.sale(900, seq=top, prev=far.hash.hex()[:24])]
    answer = everywhere(shop, [*a.entries, *forged])
    assert {status(answer, f) for f in forged} == {Status.HELD}
    a.seal()
    assert {status(everywhere(shop, [*a.entries, *forged]), f) for f in forged} == {Status.HELD}
    store = Store.open(":memory:")
    take(store, shop, [[*a.entries, *forged]])
    report = Reports(store, shop, here="").day(DAY)
    assert report["sales"] == {"count": 1, "total": 100, "discount": 0, "tax": 0}
    assert report["tills"][0]["last_seq"] == a.seq
    assert report["tills"][0]["missing_count"] == 0
    assert sum(held["amount"] for held in report["held"]) == 1800


def test_a_copy_of_an_honest_id_by_a_stranger_is_held_and_suppresses_nothing() -> None:
    a, stranger = Writer("alif"), Writer("stranger")
    shop = shop_of(a)
    honest = a.sale(100)
    stranger.begin()
    copy = stranger.sale(100, id=honest.id)
    answer = everywhere(shop, [*a.entries, *stranger.entries])
    assert (status(answer, honest), status(answer, copy)) == (Status.COUNTED, Status.HELD)


def test_a_member_admitted_late_makes_held_entries_count() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a)
    b.begin()
    sale = b.sale(70)
    assert status(everywhere(shop, all_entries(a, b)), sale) == Status.HELD
    a.admit(b)
    assert status(everywhere(shop, all_entries(a, b)), sale) == Status.COUNTED


def test_a_stranger_admits_nobody_and_another_founding_founds_nothing() -> None:
    a, stranger, friend = Writer("alif"), Writer("stranger"), Writer("friend")
    shop = shop_of(a)
    stranger.begin()
    founding, member = stranger.founding(), stranger.admit(friend)
    friend.begin()
    sale = friend.sale(5)
    answer = everywhere(shop, all_entries(a, stranger, friend))
    assert status(answer, founding) == Status.INVALID
    assert status(answer, member) == Status.HELD
    assert status(answer, sale) == Status.HELD


def test_one_element_in_two_documents_counts_once() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    sale = a.sale(100)
    copy = decode("journal/2026-11-24", sale.raw)
    answer = everywhere(shop, [*a.entries, copy])
    assert status(answer, sale) == Status.COUNTED
    assert answer["journal/2026-11-24", copy.hash][0] == Status.INVALID


def test_a_wrong_signature_is_invalid() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(100)
    seal = a.seal()
    forged = decode(JOURNAL, seal.raw[:-40] + bytes([seal.raw[-40] ^ 1 or 65]) + seal.raw[-39:])
    answer = everywhere(shop, [*a.entries, forged])
    assert status(answer, forged) == Status.INVALID
    assert status(answer, seal) == Status.COUNTED


def test_a_copied_folder_beside_its_original_counts_both_and_shows_the_fork() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(100)
    copy = Writer("alif", a.run, a.seq, a.number, a.last)
    copy.random.seed("copy")
    a.begin()
    copy.begin()
    sales = [a.sale(10), copy.sale(20), a.sale(30), copy.sale(40)]
    answer = everywhere(shop, [*a.entries, *copy.entries])
    assert {status(answer, s) for s in sales} == {Status.COUNTED}
    store = Store.open(":memory:")
    take(store, shop, [[*a.entries, *copy.entries]])
    reports = Reports(store, shop, here="")
    assert "fork" in {alarm["kind"] for alarm in reports.alarms()}
    assert reports.day(DAY)["sales"]["total"] == 200


def test_an_element_that_leaked_before_a_failed_commit_falls_with_the_next_run() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    kept = a.sale(100)
    assert a.last is not None
    leaked = a.sale(900, seq=a.seq + 1, prev=a.last.hash.hex()[:24])
    a.begin()
    again = a.sale(900)
    answer = everywhere(shop, [*a.entries, leaked])
    assert status(answer, kept) == status(answer, again) == Status.COUNTED
    assert status(answer, leaked) == Status.DISPUTED


def test_what_was_written_before_a_crash_is_vouched_for_by_the_next_run() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    sale = a.sale(100)
    a.begin()
    assert everywhere(shop, a.entries)[JOURNAL, sale.hash] == (Status.COUNTED, True, None)


def test_how_far_a_run_reaches_is_told_alike_whenever_its_author_lost_its_admission() -> None:
    a, b, c = Writer("alif"), Writer("be"), Writer("jim")
    shop = shop_of(a, b)
    b.admit(c)
    c.begin()
    c.sale(100)
    before, removal = all_entries(a, b, c), a.remove(b)  # and with it what it did of which the remover knew nothing
    for batches in ([[*before, removal]], [before, [removal]], [[removal], before]):
        rows_of(shop, batches, tables=True)


def test_unreadable_elements_are_kept_and_shown_and_the_rest_goes_on() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    sale = a.sale(100)
    junk = [decode(JOURNAL, raw) for raw in (b"", b"{", b"[]", b'{"v":1}', b'{"kind":"sale"}', b'{"a":' * 5000)]
    answer = everywhere(shop, [*a.entries, *junk], orders=5)
    assert {status(answer, j) for j in junk} == {Status.INVALID}
    assert status(answer, sale) == Status.COUNTED
    store = Store.open(":memory:")
    take(store, shop, [[*a.entries, *junk]])
    assert len(Reports(store, shop, here="").day(DAY)["invalid"]) == len(junk)


def test_what_lies_behind_a_hole_is_told_from_a_forgery_and_named_by_the_removal_of_its_till() -> None:
    """A till signed later entries, and one between is only on its way, or was on the till's disk alone: neither says
    anything against the sales before it."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    b.seal()
    sold = [b.sale(1), b.sale(2)]
    lost = b.sale(3)
    c = Writer("jim")
    b.hear(a)
    b.admit(c)
    there = [e for e in all_entries(a, b) if e is not lost]
    forged = b.sale(666, seq=lost.seq, prev=sold[1].hash.hex()[:24])
    rival = b.sale(66, seq=sold[0].seq, prev=sold[0].prev)
    answer = everywhere(shop, [*there, forged])
    assert [status(answer, e) for e in (*sold, forged)] == [Status.DISPUTED] * 3
    reasons = [judge([*there, forged], shop)[JOURNAL, e.hash].reason for e in (*sold, forged)]
    assert reasons == [UNREACHED, UNREACHED, PASSED], "the entry behind the forged one goes on from another"
    assert status(everywhere(shop, [*there, rival]), sold[0]) is Status.DISPUTED
    answer = everywhere(shop, [*there, forged, rival, lost])
    assert [status(answer, e) for e in (*sold, lost)] == [Status.COUNTED] * 3
    assert status(answer, forged) is status(answer, rival) is Status.DISPUTED
    store = Store.open(":memory:")
    take(store, shop, [[*there, forged]])
    assert Reports(store, shop, here="").day(DAY)["sales"]["total"] == 0
    points = points_of(store, shop, b.id, vouched_only=False)
    assert (sold[1].run, sold[1].seq, sold[1].hash.hex()) in points
    a.hear(b)
    fields = {"member": b.id, "points": [list(point) for point in points]}
    answer = everywhere(shop, [*there, forged, a.act("remove", fields)])
    assert [status(answer, e) for e in sold] == [Status.COUNTED] * 2
    assert status(answer, forged) is Status.HELD
    names = {seq for _, seq, _ in points_of(store, shop, b.id, vouched_only=True)}
    assert sold[1].seq not in names


def test_a_number_that_is_missing_is_named() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    a.sale(1)
    lost = a.sale(2)
    a.sale(3)
    a.seal()
    store = Store.open(":memory:")
    take(store, shop, [[e for e in a.entries if e is not lost]])
    till = Reports(store, shop, here="").day(DAY)["tills"][0]
    # no signature reaches across the hole, so the sale before it is out of the totals too until the hole is filled
    assert till["missing"] == [[lost.seq - 1, lost.seq]]
    assert (till["count"], till["missing_count"]) == (1, 2)
    take(store, shop, [[lost]])
    till = Reports(store, shop, here="").day(DAY)["tills"][0]
    assert (till["missing"], till["missing_count"], till["count"]) == ([], 0, 3)


WHAT = ("sale", "sale", "sale", "seal", "begin", "forge", "rival", "copy", "leak", "alien", "far", "twin")
ACTIONS = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 2)),
    min_size=1,
    max_size=24,
)


@settings(max_examples=share(50, 120), deadline=None)
@given(ACTIONS, st.randoms(use_true_random=False))
def test_any_order_of_any_history_gives_the_answer_of_the_rules(
    actions: list[tuple[str, int]], rng: random.Random
) -> None:
    writers = [Writer("alif"), Writer("be"), Writer("jim")]
    shop = shop_of(writers[0], writers[1])  # the third is admitted at the end, if at all
    writers[2].begin()
    extra: list[Entry] = []
    for action, who in actions:
        writer = writers[who]
        assert writer.last is not None
        recent = writer.entries[-1 - rng.randrange(min(4, len(writer.entries)))]
        if action == "sale":
            writer.sale(rng.randrange(1, 5) * 100)
        elif action == "seal":
            writer.seal()
        elif action == "begin":
            writer.begin()
        elif action == "forge":
            extra.append(writer.sale(999, seq=recent.seq, prev=rng.choice((recent.prev, "0" * 24))))
        elif action == "rival":
            extra.append(writer.sale(998, seq=recent.seq + 1, prev=recent.hash.hex()[:24]))
        elif action == "copy":
            extra.append(writers[0].sale(100, id=recent.id, seq=writers[0].seq + 1))
        elif action == "leak":
            extra.append(writer.sale(997, seq=writer.seq + 1, prev=writer.last.hash.hex()[:24]))
        elif action == "alien":
            extra.append(decode("journal/2026-11-24", recent.raw))
        elif action == "far":
            extra.append(writer.sale(996, seq=2**53 - 1, prev="2" * 24))
        elif action == "twin":
            sold = [e for w in writers for e in w.entries if e.kind == "sale"]
            if sold:
                pick = rng.choice(sold)
                writer.sale(pick.amount + 100 * rng.randrange(2), id=pick.id)
    if rng.random() < 0.7:
        writers[1].admit(writers[2])
    entries = [*all_entries(*writers), *extra]
    if rng.random() < 0.3:
        entries.remove(rng.choice(entries))
    rng.shuffle(entries)
    size = rng.choice((1, 3, 8, len(entries)))
    batches = [entries[i : i + size] for i in range(0, len(entries), size)]
    assert rows_of(shop, batches, tables=True) == by_rules(entries, shop)


SHOP_ACTS = ("admit", "remove", "remove", "role", "accept", "rotate", "setting", "hear", "hear", "steal", "lie")
SELLING = ("sale", "sale", "seal", "begin", "begin", "rival", "reader")


@settings(max_examples=int(os.environ.get("POSLINE_EXAMPLES", share(60, 150))), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((*SHOP_ACTS, *SELLING)), st.integers(0, 3)), min_size=4, max_size=40),
    st.randoms(use_true_random=False),
)
def test_any_order_of_any_history_of_members_and_thieves_gives_the_answer_of_the_rules(
    actions: list[tuple[str, int]], rng: random.Random
) -> None:
    names = ("alif", "be", "jim", "dal")
    lives = [[Writer(name)] for name in names]  # of each author the true one, then its thieves
    shop = shop_of(*(own[0] for own in lives[:3]))
    lives[3][0].begin()
    extra: list[Entry] = []
    for action, who in actions:
        author, other = rng.choice(lives[who]), rng.choice(lives[rng.randrange(4)])
        theirs = [entry for life in lives for writer in life for entry in writer.entries]
        lie = {"seen": dict(rng.sample(sorted(author.seen.items()), rng.randrange(len(author.seen) + 1)))}
        said = lie if rng.random() < 0.3 else {}
        if action == "sale":
            author.sale(rng.randrange(1, 5) * 100)
        elif action == "seal":
            author.seal()
        elif action == "begin":
            author.begin()
        elif action == "rival":
            recent = author.entries[-1] if author.entries else author.last
            assert recent is not None
            extra.append(author.sale(998, seq=recent.seq + rng.randrange(2), prev=recent.hash.hex()[:24]))
        elif action == "hear":
            author.hear(other)
        elif action == "steal":
            lives[who].append(author.twin())
        elif action == "setting":
            author.act("setting", {"name": "x", "value": rng.randrange(3)} | said)
        elif action == "admit":
            author.admit(other, rng.choice(("manager", "till")))
        elif action == "reader":
            author.admit(lives[3][0], "reader")
        elif action == "remove":
            points = [e for e in theirs if e.till == other.id]
            author.remove(other, *rng.sample(points, min(len(points), rng.randrange(3))), **said)
        elif action == "role":
            author.set_role(other, rng.choice(("manager", "till")), **said)
        elif action == "accept":
            author.accept(*rng.sample(theirs, rng.randrange(1, 4)), **said)
        elif action == "rotate":
            author.rotate(f"{author.name} {len(theirs)}")
        elif action == "lie":
            recent = rng.choice(theirs)
            forged = {"member": other.id, "points": []} | lie
            extra.append(author.act("remove", forged, seq=recent.seq, prev=recent.prev))
    entries = list({e.hash: e for e in [*all_entries(*(w for life in lives for w in life)), *extra]}.values())
    if rng.random() < 0.3:
        entries.remove(rng.choice(entries))
    rng.shuffle(entries)
    size = rng.choice((1, 3, 8, len(entries)))
    batches = [entries[i : i + size] for i in range(0, len(entries), size)]
    assert rows_of(shop, batches, tables=True) == by_rules(entries, shop)


@pytest.mark.parametrize("prefix", range(0, 12, 3))
def test_a_ledger_that_was_closed_and_opened_goes_on_the_same(prefix: int, tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    for i in range(4):
        a.sale(100 + i)
        b.sale(200 + i)
    a.seal()
    entries = all_entries(b, a)
    store = Store.open(tmp_path / "posline.db")
    take(store, shop, [entries[:prefix]])
    store.close()
    store = Store.open(tmp_path / "posline.db")
    take(store, shop, [entries[prefix:]])
    assert statuses(store, shop) == by_rules(entries, shop)
    store.close()
