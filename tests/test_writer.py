"""Further authors of a shop on one device: each has its own chain and numbers, and all stand or fall in one commit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from posline.core.document import Document
from posline.errors import Refused
from posline.replica import Replica
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from posline.writer import Writer
from tests.kit import DAY, JOURNAL, NOON_MS, StillTime, commit, founded, joined, key_of, sale, send, text_key


def hosted(replica: Replica, name: str = "tablet") -> Writer:
    """A writer for another till of the shop, admitted by the replica's own author."""
    key = key_of(name)
    if key.id not in replica.store.members(replica.shop):
        fields = {"key": text_key(key.public), "label": name[:6].upper(), "role": "till"}
        replica.write("member", fields, document="shop")
        commit(replica)
    return replica.writer(key)


def reopened(path: Path, shop: str, seed: str, *, documents: bool = True, time: StillTime | None = None) -> Replica:
    """The host as a new process on the database at `path`."""
    time = time or StillTime()
    return Replica(
        Store.open(path), shop, author=key_of("alif"), clock=time.clock(), random=random.Random(seed),
        documents=documents, monotonic_ms=lambda: time.mono_ms,
    )  # fmt: skip


def report(replica: Replica) -> dict[str, Any]:
    return Reports(replica.store, replica.shop, here=replica.store_id).day(DAY)


def numbers(replica: Replica, author: str) -> list[int]:
    """The numbers of an author's receipts, in the order in which they came."""
    rows = replica.store.read.execute("SELECT number FROM entry WHERE author = ? AND number > 0 ORDER BY n", (author,))
    return [number for (number,) in rows]


def sealed(*replicas: Replica, at: float = 1000.0) -> None:
    for replica in replicas:
        replica.seal_soon()
        replica.tick(at)
        replica.seal_soon()
        replica.tick(at + 1)
        commit(replica)


def test_each_author_has_its_own_numbers_and_another_till_believes_them() -> None:
    host = founded()
    peer = joined(host, "peer")
    tablet = hosted(host)
    for amount in (1, 10, 100):
        host.write("sale", sale(amount))
        tablet.write("sale", sale(amount * 2))
        commit(host)
    sealed(host)
    send(host, peer)
    assert peer.root() == host.root()
    assert tablet.author is not None
    assert numbers(peer, tablet.author.id) == numbers(peer, host.store_id) == [1, 2, 3]
    found = report(peer)
    assert found == report(host)
    assert found["sales"]["total"] == 333
    assert [t["unvouched"]["count"] for t in found["tills"]] == [0, 0]
    assert list(verify(peer.store, peer.shop)) == list(verify(host.store, host.shop)) == []


def test_a_failed_commit_takes_all_of_the_shop_and_the_next_sales_are_whole() -> None:
    host = founded()
    peer = joined(host, "peer")
    tablet = hosted(host)
    tablet.write("sale", sale(1))
    commit(host)
    send(host, peer)
    lost = [tablet.write("sale", sale(900)), host.write("sale", sale(900))]
    for staged in list(host.staged):
        peer.integrate(staged.document, staged.update, origin="thief")  # it leaked
    host.reset()
    assert host.staged == tablet.staged == []
    kept = [tablet.write("sale", sale(10)).entries[0], host.write("sale", sale(100)).entries[0]]
    commit(host)
    assert [entry.number for entry in kept] == [2, 1]
    assert kept[0].run != lost[0].entries[0].run
    sealed(host)
    commit(peer)
    send(host, peer)
    assert report(peer)["sales"]["total"] == 111
    assert report(host)["sales"]["total"] == 111
    assert list(verify(host.store, host.shop)) == []


@pytest.mark.parametrize("documents", [True, False], ids=["till", "head office"])
def test_a_restart_goes_on_with_the_next_numbers(tmp_path: Path, documents: bool) -> None:
    path = tmp_path / "posline.db"
    founded(store=Store.open(path)).store.close()
    with_shop = Store.open(path)
    shop = with_shop.shops()[0]
    with_shop.close()
    for life in range(3):
        host = reopened(path, shop, str(life), documents=documents)
        tablet = hosted(host)
        tablet.write("sale", sale())
        host.write("sale", sale())
        commit(host)
        assert list(verify(host.store, host.shop)) == []
        assert tablet.author is not None
        assert numbers(host, tablet.author.id) == numbers(host, host.store_id) == list(range(1, life + 2))
        assert report(host)["tills"][0]["unvouched"]["count"] == 1
        host.store.close()


def test_what_others_append_behind_a_writers_entry_reaches_the_document_in_memory() -> None:
    host = founded()
    host.write("sale", sale())  # today's journal is in memory from here on
    commit(host)
    tablet = hosted(host)
    tablet.write("sale", sale())
    commit(host)
    assert tablet.author is not None
    other = Document(4711)
    other.load([row.update for row in host.rows(JOURNAL, 0, 256)])
    update = other.append(tablet.author.id, ["not an entry"])
    assert host.integrate(JOURNAL, update, origin="peer") is not None
    commit(host)
    assert host.head(JOURNAL).state[4711] == 1


def test_a_copy_of_the_memory_is_noticed_by_a_writers_client_id() -> None:
    host = founded()
    tablet = hosted(host)
    (client,) = tablet.write("sale", sale()).after
    commit(host)
    assert not host.clone_suspected(JOURNAL, {client: 2})  # its run and the sale
    assert host.clone_suspected(JOURNAL, {client: 3})
    (fresh,) = tablet.write("sale", sale()).after
    assert fresh != client
    assert {"clone"} == set(tablet.alarms) == set(host.alarms)


def test_a_copied_folder_forks_no_sale_of_a_writer_away(tmp_path: Path) -> None:
    path, copy_path = tmp_path / "posline.db", tmp_path / "copy.db"
    host = founded(store=Store.open(path))
    hosted(host).write("sale", sale(1))
    commit(host)
    host.store.backup(copy_path)
    copy = reopened(copy_path, host.shop, "copy")
    for one, amount in ((host, 10), (copy, 100)):
        hosted(one).write("sale", sale(amount))
        commit(one)
    for at in (1000.0, 2000.0):
        sealed(host, copy, at=at)
        send(host, copy)
        send(copy, host)
    sealed(host, copy, at=3000.0)
    send(host, copy)
    send(copy, host)
    assert report(host) == report(copy)
    assert report(host)["sales"]["total"] == 111
    assert "foreign" in hosted(host).alarms and "foreign" in hosted(copy).alarms


def test_a_writer_moves_what_it_filed_under_a_wrong_day() -> None:
    time = StillTime(synchronised=False)
    host = founded(time=time)
    tablet = hosted(host)
    long_ago_ms, time.wall_ms = NOON_MS - 3 * 86_400_000, 0
    host.clock = tablet.clock = time.clock(last_own_ms=long_ago_ms, floor_ms=long_ago_ms)
    written = tablet.write("sale", sale(7)).entries[0]
    commit(host)
    assert (written.body["clock"], written.day < DAY, tablet.at_rest) == ("suspect", True, False)
    time.wall_ms, time.synchronised = NOON_MS, True
    host.tick(1.0)
    commit(host)
    sealed(host)
    assert report(host)["sales"]["total"] == 7
    assert tablet.at_rest


def test_a_writer_that_is_done_can_go_and_another_goes_on(tmp_path: Path) -> None:
    host = founded(store=Store.open(tmp_path / "posline.db"))
    tablet = hosted(host)
    assert tablet.author is not None and tablet.at_rest
    tablet.write("sale", sale())
    assert not host.dismiss(tablet.author.id), "it is not on the disk yet"
    commit(host)
    assert not host.dismiss(tablet.author.id), "it is not signed yet"
    sealed(host)
    assert host.dismiss(tablet.author.id) and not host.writers
    again = hosted(host)
    assert again is not tablet
    assert again.write("sale", sale()).entries[0].number == 2
    commit(host)
    assert list(verify(host.store, host.shop)) == []


def test_what_a_killed_process_left_unsigned_is_signed_by_the_next_and_what_was_signed_is_left_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "posline.db"
    host = founded(store=Store.open(path))
    hosted(host).write("sale", sale())
    commit(host)
    host.store.close()
    for life, written in enumerate((["run"], [])):
        host = reopened(path, host.shop, str(life))
        hosted(host).vouch()
        assert [staged.entries[0].kind for staged in host.staged] == written
        commit(host)
        assert report(host)["tills"][0]["unvouched"]["count"] == 0
        host.store.close()


def test_a_head_office_without_documents_writes_under_its_own_name() -> None:
    till = founded()
    key = key_of("office")
    till.write("member", {"key": text_key(key.public), "label": "HO", "role": "head office"}, document="shop")
    commit(till)
    office = Replica(
        Store.open(":memory:"), till.shop, author=None, clock=None, random=random.Random("office"), documents=False,
        store_id=key.id,
    )  # fmt: skip
    send(till, office)
    writer = office.writer(key, StillTime().clock())
    for price in range(300):
        writer.write("product", {"sku": "1", "set": {"name": "Tea", "price": price}}, document="catalog/1")
    commit(office)
    assert not office._open
    send(office, till)
    assert till.root() == office.root()
    assert list(verify(till.store, till.shop)) == []


@pytest.mark.parametrize("seed", range(12))
def test_whatever_order_things_happen_in_no_sale_is_lost_and_no_number_is_used_twice(seed: int) -> None:
    chance = random.Random(seed)
    host = founded()
    peer = joined(host, "peer")
    send(host, peer)
    names = ("one", "two", "three")
    for name in names:
        hosted(host, name)
    sold: dict[str, int] = {}
    waiting: dict[str, int] = {}
    for turn in range(120):
        doing = chance.random()
        if doing < 0.5:
            writer: Writer = host if chance.random() < 0.25 else hosted(host, chance.choice(names))
            waiting[writer.write("sale", sale(turn + 1)).entries[0].id] = turn + 1
        elif doing < 0.7:
            commit(host)
            sold |= waiting
            waiting.clear()
        elif doing < 0.78:
            host.reset()
            waiting.clear()
        elif doing < 0.88:
            commit(host)
            sold |= waiting
            waiting.clear()
            host.tick(200.0 * turn)
            for name in names:
                host.dismiss(key_of(name).id)
        else:
            peer.write("sale", sale(turn + 1))
            commit(peer)
            send(peer, host)
            sold |= waiting
            waiting.clear()
            send(host, peer)
    commit(host)
    sealed(host, peer, at=1e6)
    sold |= waiting
    send(peer, host)
    send(host, peer)
    assert host.root() == peer.root()
    assert report(host) == report(peer)
    rows = peer.store.read.execute("SELECT id FROM entry WHERE kind = 'sale' AND status = 0 AND author <> ?",
                                   (peer.store_id,))  # fmt: skip
    assert {id for (id,) in rows} == sold.keys()
    for name in names:
        found = numbers(host, key_of(name).id)
        assert found == list(range(1, len(found) + 1))
    assert list(verify(host.store, host.shop)) == list(verify(peer.store, peer.shop)) == []


def test_a_writer_for_the_devices_own_author_is_refused() -> None:
    host = founded()
    with pytest.raises(AssertionError):
        host.writer(key_of("alif"))
    with pytest.raises(Refused):
        host.integrate("nothing", b"", origin="x")
