"""Stage, commit, release: what leaves is committed, numbers have no gap, and nothing that fails is half done."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from posline.core.entry import decode
from posline.core.numbers import valid_label
from posline.core.status import Status
from posline.core.update import read_update
from posline.errors import DiskFull, Refused
from posline.replica import UNHEARD_RUNS_MAX, Replica
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from tests.kit import DAY, JOURNAL, StillTime, commit, founded, joined, key_of, sale, send, text_key


def reopened(replica: Replica, path: Path, seed: str = "again", time: StillTime | None = None) -> Replica:
    """The same till as a new process on the database at `path`."""
    assert replica.author is not None
    time = time or StillTime()
    return Replica(
        Store.open(path),
        replica.shop,
        author=replica.author,
        clock=time.clock(),
        random=random.Random(seed),
        documents=True,
        monotonic_ms=lambda: time.mono_ms,
    )


def seqs(replica: Replica) -> list[int]:
    """The numbers of this till's own entries, in order."""
    assert replica.author is not None
    rows = replica.store.read.execute("SELECT seq FROM entry WHERE author = ? ORDER BY n", (replica.author.id,))
    return [seq for (seq,) in rows]


def reports(replica: Replica) -> Reports:
    return Reports(replica.store, replica.shop, here=replica.store_id)


def test_nothing_that_leaves_reads_what_is_only_staged() -> None:
    till = founded()
    before = till.head(JOURNAL), till.root(), till.rows(JOURNAL, 0, 256)
    till.write("sale", sale())
    assert (till.head(JOURNAL), till.root(), till.rows(JOURNAL, 0, 256)) == before
    commit(till)
    assert till.head(JOURNAL).count == before[0].count + 1


def test_a_failed_commit_leaves_nothing_and_the_next_sale_is_whole() -> None:
    till = founded()
    till.write("sale", sale(100))
    commit(till)
    lost = till.write("sale", sale(900)).entries[0]
    till.reset()
    kept = till.write("sale", sale(200)).entries[0]
    commit(till)
    report = reports(till).day(DAY)
    assert (report["sales"]["count"], report["sales"]["total"]) == (2, 300)
    assert report["tills"][0]["missing_count"] == report["tills"][0]["receipts"]["missing_count"] == 0
    assert kept.run != lost.run
    assert list(verify(till.store, till.shop)) == []


def test_an_element_that_leaked_before_a_failed_commit_hides_no_later_sale() -> None:
    till = founded()
    peer = joined(till, "peer")
    send(till, peer)
    leaked = till.write("sale", sale(900))
    peer.integrate(leaked.document, leaked.update, origin="thief")
    commit(peer)
    till.reset()
    till.write("sale", sale(200))
    commit(till)
    send(till, peer)
    send(peer, till)
    assert peer.root() == till.root()
    assert reports(peer).day(DAY) == reports(till).day(DAY)
    assert reports(peer).day(DAY)["sales"]["total"] == 200


def test_a_restart_goes_on_with_the_next_numbers_under_a_fresh_client_id(tmp_path: Path) -> None:
    path = tmp_path / "posline.db"
    till = founded(store=Store.open(path))
    till.write("sale", sale())
    commit(till)
    till.store.close()
    again = reopened(till, path)
    again.begin()
    receipt = again.write("sale", sale()).entries[0]
    commit(again)
    assert seqs(again) == list(range(1, 6))
    assert receipt.number == 2
    assert len(again.head(JOURNAL).state) == 2
    assert reports(again).day(DAY)["tills"][0]["unvouched"]["count"] == 1  # the new run vouches for the sale before it
    assert list(verify(again.store, again.shop)) == []


@pytest.mark.many
def test_state_vectors_stay_small_after_200_restarts_in_a_day(tmp_path: Path) -> None:
    path = tmp_path / "posline.db"
    till = founded(store=Store.open(path))
    for seed in range(200):
        till.store.close()
        till = reopened(till, path, str(seed))
        till.begin()
        commit(till)
    head = till.head(JOURNAL)
    assert len(head.state) == 201
    size = till.store.read.execute("SELECT max(length(before) + length(after)) FROM log").fetchone()[0]
    assert size < 40  # a row records the clients that it advances, not all that there are
    assert seqs(till) == list(range(1, 203))


def test_a_copied_folder_beside_its_original_loses_nothing(tmp_path: Path) -> None:
    path, copy_path = tmp_path / "posline.db", tmp_path / "copy.db"
    till = founded(store=Store.open(path))
    till.write("sale", sale(1))
    commit(till)
    till.store.backup(copy_path)
    copy = reopened(till, copy_path)
    copy.begin()
    for amount in (10, 100):
        till.write("sale", sale(amount))
        copy.write("sale", sale(amount * 2))
        commit(till)
        commit(copy)
    for _ in range(3):
        for one in (till, copy):
            one.tick(1000.0)
            commit(one)
        send(till, copy)
        send(copy, till)
    for one in (till, copy):
        one.tick(2000.0)
        commit(one)
    send(till, copy)
    send(copy, till)
    assert till.root() == copy.root()
    report = reports(till).day(DAY)
    assert report == reports(copy).day(DAY)
    assert report["sales"]["total"] == 331
    assert "fork" in {a["kind"] for a in reports(till).alarms()}
    assert {"foreign"} <= set(till.alarms) and {"foreign"} <= set(copy.alarms)
    assert list(verify(till.store, till.shop))  # it names the fork


def test_a_till_restored_from_an_older_copy_counts_on_from_what_is_vouched_for(tmp_path: Path) -> None:
    path, old_path = tmp_path / "posline.db", tmp_path / "old.db"
    till = founded(store=Store.open(path))
    peer = joined(till, "peer")
    till.write("sale", sale(1))
    commit(till)
    till.store.backup(old_path)
    for amount in (10, 100):
        till.write("sale", sale(amount))
    till.write("seal", {})
    commit(till)
    send(till, peer)
    old = reopened(till, old_path)
    old.begin()
    old.write("sale", sale(1000))
    commit(old)
    send(peer, old)
    old.tick(1000.0)
    later = old.write("sale", sale(10_000)).entries[0]
    commit(old)
    send(old, peer)
    send(peer, old)
    report = reports(peer).day(DAY)
    assert report == reports(old).day(DAY)
    assert report["sales"]["total"] == 11_111
    assert later.seq > max(seqs(till)) and later.number == 4


@pytest.mark.sqlite
def test_a_failing_disk_is_told_apart_from_a_full_one(tmp_path: Path) -> None:
    till = founded(store=Store.open(tmp_path / "posline.db"))
    till.store.read.execute("PRAGMA query_only=OFF")
    till.store._db.execute(f"PRAGMA max_page_count={till.store._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(DiskFull):
        for _ in range(200):
            till.write("sale", sale())
            commit(till)
    recorded = reports(till).day(DAY)["sales"]["count"]
    till.reset()
    till.store._db.execute("PRAGMA max_page_count=100000")
    till.write("sale", sale())
    commit(till)
    report = reports(till).day(DAY)
    assert report["sales"]["count"] == recorded + 1
    assert report["tills"][0]["missing_count"] == 0
    assert list(verify(till.store, till.shop)) == []


def test_another_process_with_our_memory_is_noticed_and_nothing_is_lost() -> None:
    till = founded()
    till.write("sale", sale(1))
    commit(till)
    state = dict(till.head(JOURNAL).state)
    client = next(iter(state))
    state[client] += 5
    shop_client = till.write("setting", {"name": "low_stock", "value": 1}, document="shop").after.keys()
    assert till.clone_suspected(JOURNAL, state)
    again = till.write("setting", {"name": "low_stock", "value": 2}, document="shop").after.keys()
    assert again.isdisjoint(shop_client), "the copy has the live client ids of all documents"
    till.write("sale", sale(2))
    commit(till)
    assert set(till.head(JOURNAL).state) > {client}
    assert "clone" in till.alarms
    assert list(verify(till.store, till.shop)) == []


def test_another_tills_live_client_id_hides_no_sale() -> None:
    """A peer that writes under our client id: we go on under another, and both elements stay."""
    till = founded()
    peer = joined(till, "peer")
    send(till, peer)
    from posline.core.document import Document

    squat = Document(next(iter(till.head(JOURNAL).state)))
    squat.load([row.update for row in till.rows(JOURNAL, 0, 256)])
    evil = squat.append(till.store_id, ["evil"])
    till.integrate(JOURNAL, evil, origin="evil")
    mine = till.write("sale", sale(5)).entries[0]
    commit(till)
    assert "clone" in till.alarms
    send(till, peer)
    assert {r.entry.hash for r in reports(peer).sales()} == {mine.hash}
    assert [i["reason"] != "" for i in reports(peer).day(DAY)["invalid"]] == [True]
    assert peer.root() == till.root()


def test_what_may_not_pass_is_refused_and_nothing_is_staged() -> None:
    till = founded()
    peer = joined(till, "peer")
    send(till, peer)
    sold = till.write("sale", sale(5))
    commit(till)
    with pytest.raises(Refused, match="no document"):
        peer.integrate("journal/1999-01-01", sold.update, origin="x")
    with pytest.raises(Refused, match="only read"):
        peer.integrate(sold.document, sold.update, origin="x", read_only=True)
    with pytest.raises(Refused, match="own author"):
        peer.integrate(sold.document, sold.update, origin="x", only_author=peer.store_id)
    assert peer.staged == []
    assert peer.integrate(sold.document, sold.update, origin="x", only_author=till.store_id) is not None
    commit(peer)
    assert peer.integrate(sold.document, sold.update, origin="x", read_only=True) is None


def test_seals_are_written_when_due_and_not_otherwise() -> None:
    till = founded()
    till.tick(0.0)
    assert till.staged == []
    till.write("sale", sale())
    commit(till)
    till.tick(10.0)
    assert till.staged == []
    till.tick(200.0)
    assert [s.entries[0].kind for s in till.staged] == ["seal"]
    commit(till)
    till.tick(1000.0)
    assert till.staged == []
    till.write("sale", sale())
    till.seal_soon()
    till.tick(1001.0)
    assert [s.entries[0].kind for s in till.staged] == ["sale", "seal"]


@pytest.mark.parametrize("lost", ["what others wrote", "the seal"])
def test_what_was_unsigned_when_a_commit_failed_is_signed_in_time_all_the_same(lost: str) -> None:
    till = founded()
    till.tick(0.0)
    sold = till.write("sale", sale()).entries[0]
    commit(till)
    if lost == "the seal":
        till.tick(200.0)
        assert [s.entries[0].kind for s in till.staged] == ["seal"]
    till.reset()
    till.tick(300.0)
    till.tick(500.0)
    (run,) = [s.entries[0] for s in till.staged]
    assert run.kind == "run" and run.body["after"]["hash"] == sold.hash.hex()
    commit(till)
    till.tick(1000.0)
    assert till.staged == []


def test_an_act_stands_for_no_seal_since_it_may_fall() -> None:
    till = founded()
    till.tick(0.0)
    till.write("sale", sale())
    till.write("member", {"key": text_key(key_of("be").public), "label": "B", "role": "till"}, document="shop")
    commit(till)
    till.tick(200.0)
    assert [s.entries[0].kind for s in till.staged] == ["seal"]
    commit(till)
    till.write("role", {"member": key_of("be").id, "role": "manager"}, document="shop")
    commit(till)
    till.tick(1000.0)
    assert till.staged == [], "nothing unsigned lies behind it"


def test_a_new_business_day_is_a_new_run_in_a_new_journal() -> None:
    time = StillTime()
    till = founded(time=time)
    till.write("sale", sale())
    time.pass_ms(86_400_000)
    staged = till.write("sale", sale())
    commit(till)
    assert staged.document == "journal/2026-11-24"
    assert till.children("2026-11").keys() == {"journal/2026-11-23", "journal/2026-11-24"}
    assert seqs(till) == list(range(1, 6))
    assert list(verify(till.store, till.shop)) == []


def test_squashed_rows_hold_the_same_and_catch_up_from_anywhere(tmp_path: Path) -> None:
    till = founded(store=Store.open(tmp_path / "posline.db"))
    for amount in range(1, 400):
        till.write("sale", sale(amount))
        if amount % 7 == 0:
            commit(till)
    commit(till)
    rows = till.store.read.execute("SELECT count(*) FROM log").fetchone()[0]
    peer = joined(till, "peer")
    for row in till.rows(JOURNAL, 0, 100):
        peer.integrate(JOURNAL, row.update, origin=till.store_id)
    commit(peer)
    after = 0
    while after := till.store.squash(till.shop, JOURNAL, after=after):
        pass
    assert till.store.read.execute("SELECT count(*) FROM log").fetchone()[0] < rows / 20
    assert list(verify(till.store, till.shop)) == []
    send(till, peer)
    assert peer.root() == till.root()
    again = reopened(till, tmp_path / "posline.db")
    again.write("sale", sale())
    commit(again)
    assert list(verify(again.store, again.shop)) == []


def test_a_verify_that_finds_nothing_would_find_something(tmp_path: Path) -> None:
    till = founded(store=Store.open(tmp_path / "posline.db"))
    till.write("sale", sale(100))
    commit(till)
    assert list(verify(till.store, till.shop)) == []
    for spoil in (
        "UPDATE entry SET status = 2 WHERE kind = 'sale'",
        "UPDATE entry SET amount = amount + 1 WHERE kind = 'sale'",
        "DELETE FROM entry WHERE kind = 'sale'",
        "UPDATE document SET count = count + 1",
        "UPDATE clock SET clock = clock + 1",
        "UPDATE log SET data = substr(data, 1, 4) WHERE n = 1",
        "DELETE FROM digest",
    ):
        till.store._db.execute("BEGIN")
        till.store._db.execute(spoil)
        till.store._db.execute("COMMIT")
        copy = tmp_path / "spoilt.db"
        copy.unlink(missing_ok=True)
        till.store.backup(copy)
        assert list(verify(Store.open(copy), till.shop)), spoil


def test_an_old_element_sent_again_is_the_same_element() -> None:
    till = founded()
    staged = till.write("sale", sale(100))
    commit(till)
    before = till.head(JOURNAL)
    till.append_again(JOURNAL, [staged.entries[0].raw.decode()])
    commit(till)
    after = till.head(JOURNAL)
    assert (after.count, after.digest) == (before.count, before.digest)
    assert after.state != before.state
    assert reports(till).day(DAY)["sales"]["count"] == 1
    assert "foreign" not in till.alarms
    assert list(verify(till.store, till.shop)) == []


def test_lights_turn_on_only_for_our_own_hash() -> None:
    till = founded()
    peer = joined(till, "peer")
    sold = till.write("sale", sale(100)).entries[0]
    commit(till)
    assert reports(till).waiting(till.store_id) > 0
    from posline.storage.records import Mark

    till.heard_have(peer.store_id, [Mark(till.store_id, sold.run, sold.seq, bytes(32))])
    assert reports(till).durable(sold) == {"here": True, "tills": 0, "head_office": False}
    till.heard_have(peer.store_id, [Mark(till.store_id, sold.run, sold.seq, sold.hash)])
    assert reports(till).durable(sold) == {"here": True, "tills": 1, "head_office": False}
    assert reports(till).waiting(till.store_id) == 0
    till.store.commit([])
    assert reports(till).waiting(till.store_id) == 0
    assert decode(JOURNAL, sold.raw).fault is None
    assert read_update(till.rows(JOURNAL, 0, 1)[0].update, {}).strings >= 1
    assert Status.COUNTED is reports(till).by_id(sold.id)[0].status


def test_a_wrong_day_is_moved_once_time_is_known() -> None:
    time = StillTime(synchronised=False)
    till = founded(time=time)
    clock = till.clock
    assert clock is not None
    time.wall_ms -= 40 * 86_400_000  # the battery of the clock is gone: below the floor, so suspect
    first = till.write("sale", sale(100)).entries[0]
    commit(till)
    assert first.body.get("clock") == "suspect"
    time.pass_ms(3_600_000)
    time.wall_ms = 1_795_417_200_000 + 3 * 86_400_000
    time.synchronised = True
    till.tick(1.0)
    commit(till)
    assert reports(till).day(DAY)["sales"]["count"] == 0
    assert reports(till).day("2026-11-26")["sales"]["total"] == 100
    assert list(verify(till.store, till.shop)) == []
    assert key_of("alif").id == till.store_id


def test_two_lives_of_one_till_do_not_answer_each_others_signatures_for_ever(tmp_path: Path) -> None:
    till = founded(store=Store.open(tmp_path / "posline.db"))
    till.store.backup(tmp_path / "copy.db")
    copy = reopened(till, tmp_path / "copy.db")
    copy.begin()
    till.write("sale", sale(1))
    for minute in range(1, 20):
        for one, other in ((till, copy), (copy, till)):
            one.tick(minute * 100.0)
            commit(one)
            send(one, other)
    assert till.root() == copy.root()
    assert till.head(JOURNAL).count < 12
    assert reports(till).day(DAY)["sales"]["total"] == 1


def test_what_is_being_committed_is_not_taken_for_held_by_whom_we_were_equal_with() -> None:
    """A commit's rows stand on its thread a moment before the event loop hears of it."""
    till = founded()
    peer = joined(till, "peer")
    before = till.root()
    sold = till.write("sale", sale(100)).entries[0]
    commit_ = till.store.commit(batch := list(till.staged))
    till.equal_with(peer.store_id)  # its digest was ours of before
    assert before != till.root()
    till.release(batch, commit_)
    assert reports(till).durable(sold) == {"here": True, "tills": 0, "head_office": False}
    till.equal_with(peer.store_id)
    assert reports(till).durable(sold) == {"here": True, "tills": 1, "head_office": False}


def test_a_store_that_makes_up_what_it_holds_fills_no_disk() -> None:
    till = founded("alif")
    till.write("sale", sale())
    commit(till)
    (own,) = till.durable()
    liar = key_of("liar").id
    for start in range(0, 10_000, 250):
        till.heard_have(liar, [Mark(liar, run, 1, bytes(32)) for run in range(start + 1, start + 251)])
    till.heard_have(liar, [own])
    till.store.commit([])
    (kept,) = till.store.read.execute("SELECT count(*) FROM have WHERE store = ?", (liar,)).fetchone()
    assert kept == UNHEARD_RUNS_MAX + 1, "and what it says of runs that are here is still heard"


def test_a_till_whose_admission_came_to_nothing_sells_on() -> None:
    first = founded()
    second = joined(first, "be")
    send(first, second)
    second.write("member", {"key": text_key(key_of("jim").public), "label": "J", "role": "manager"}, document="shop")
    commit(second)
    third = Replica(
        Store.open(":memory:"), first.shop, author=key_of("jim"), clock=StillTime().clock(), random=random.Random(3),
        documents=True,
    )  # fmt: skip
    send(second, third)
    first.write("remove", {"member": second.store_id, "points": []}, document="shop")  # it has not heard of the third
    commit(first)
    send(first, third)
    assert third.store_id not in third.store.authority(first.shop).everyone
    rung = third.write("sale", sale()).entries[0]
    commit(third)
    assert rung.fault is None and valid_label(str(rung.body["label"]))


def test_a_till_with_an_empty_disk_counts_on_behind_what_the_others_have_of_it() -> None:
    first = founded()
    second = joined(first, "be")
    send(first, second)
    for _ in range(3):
        second.write("sale", sale())
    second.write("seal", {})
    commit(second)
    send(second, first)
    again = Replica(
        Store.open(":memory:"), first.shop, author=key_of("be"), clock=StillTime().clock(), random=random.Random(4),
        documents=True,
    )  # fmt: skip
    send(first, again)
    rung = again.write("sale", sale()).entries[0]
    commit(again)
    assert (rung.seq, rung.number) == (7, 4), "a run, three sales and a seal, a run"
    assert Reports(again.store, first.shop, here="").forks() == []
