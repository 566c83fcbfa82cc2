"""What PostgreSQL adds to the store: several writers, partitions, lost answers, connections that are all busy."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from examples.rig.programs import free_port
from posline.errors import CommitFailed, DiskFull, Hole, Unavailable
from posline.replica import Replica
from posline.storage import pieces, renewal
from posline.storage.removal import points_of
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from relay.postgres import connection
from relay.postgres.connection import Database, Readers, Writer
from relay.postgres.home import DatabaseHome
from relay.postgres.spelling import spelled, spelled_table
from relay.postgres.store import PostgresStore
from tests.kit import DAY, commit, founded, joined, sale, send
from tests.postgres import Cluster, all_busy, leave_no_room, lose_an_answer
from tests.proof import share


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    yield cluster.url(f"p{uuid.uuid4().hex[:12]}")


def opened(url: str) -> PostgresStore:
    return PostgresStore.connect(Database(url), readers=2)


def head_office(store: Store, shop: str) -> Replica:
    return Replica(
        store, shop, author=None, clock=None, random=random.Random(1), documents=False, store_id="h" * 26
    )


def shop_with_sales(count: int) -> Replica:
    till = founded()
    for n in range(count):
        till.write("sale", sale(100 + n))
        commit(till)
    return till


def receive(till: Replica, office: Replica, *, skip: int = 0) -> None:
    """Stage everything of the till at a head office, and commit it."""
    for document in sorted(till.documents(), reverse=True):
        for row in till.rows(document, 0, 1000)[skip:]:
            office.integrate(document, row.update, origin=till.store_id)
    commit(office)


def test_an_update_that_reached_two_processes_is_written_once(url: str) -> None:
    till = shop_with_sales(5)
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = head_office(a, till.shop), head_office(b, till.shop)
        for document in sorted(till.documents(), reverse=True):
            for row in till.rows(document, 0, 1000):
                for office in (ours, theirs):  # both have staged it before either commits
                    office.integrate(document, row.update, origin=till.store_id)
        commit(ours)
        commit(theirs)
        assert theirs.staged == []
        for store in (a, b):
            assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 5
            assert list(verify(store, till.shop)) == []
        (rows,) = a.read.execute("SELECT count(*) FROM log").fetchone()
        assert rows == sum(len(till.rows(document, 0, 1000)) for document in till.documents())


def test_what_two_processes_write_in_turn_adds_up(url: str) -> None:
    till = founded()
    with closing(opened(url)) as a, closing(opened(url)) as b:
        offices = [head_office(a, till.shop), head_office(b, till.shop)]
        for n in range(12):
            till.write("sale", sale(100))
            commit(till)
            send(till, offices[n % 2])  # each time from the beginning, half of it known to the other one alone
        for store in (a, b):
            store.refresh(till.shop)
            assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 12
            assert store.head(till.shop, f"journal/{DAY}").digest == till.head(f"journal/{DAY}").digest
            assert list(verify(store, till.shop)) == []
        assert a.refresh(till.shop) == {} and a.behind([till.shop]) == []


def test_four_that_write_in_one_shop_at_once_wait_for_each_other_and_lose_nothing(url: str) -> None:
    till = shop_with_sales(6)
    stores = [opened(url) for _ in range(4)]
    failed: list[BaseException] = []

    def work(store: PostgresStore) -> None:
        try:
            receive(till, head_office(store, till.shop))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert list(verify(stores[0], till.shop)) == []
    assert Reports(stores[0], till.shop, here="").day(DAY)["sales"]["count"] == 6
    for store in stores:
        store.close()


@pytest.mark.parametrize("stands", [True, False])
def test_a_commit_whose_answer_was_lost_is_made_again(url: str, monkeypatch: pytest.MonkeyPatch, stands: bool) -> None:
    till = shop_with_sales(3)
    with closing(opened(url)) as store:
        office = head_office(store, till.shop)
        cut = lose_an_answer(monkeypatch, stands=stands)
        receive(till, office)
        assert cut and office.staged == []
        assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 3
        assert list(verify(store, till.shop)) == []


def test_what_is_written_here_is_written_once_though_the_answer_was_lost(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(opened(url)) as store:
        writer = founded(store=store)
        store.sums(writer.shop)  # links were told so far
        cut = lose_an_answer(monkeypatch)
        cut.append(True)
        for n in range(4):
            if n % 2:
                cut.clear()
            writer.write("sale", sale(100 + n))
            commit(writer)
            assert cut
        reports = Reports(store, writer.shop, here=writer.store_id)
        assert reports.day(DAY)["sales"]["count"] == 4 and reports.gaps() == reports.forks() == []
        assert list(verify(store, writer.shop)) == [] and writer.alarms == {}
        assert store.refresh(writer.shop).keys() >= {f"journal/{DAY}"}, "and links are told of it"


def test_after_a_crash_another_transaction_with_the_same_number_does_not_answer_for_a_lost_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL hands a number out again that no record on its disk bears: "committed" is then another's answer."""
    number, till, real = "SELECT pg_current_xact_id()::text", shop_with_sales(3), Writer.execute
    with Cluster(durable=True, wal_writer_delay="10s") as own:  # it leaves nothing of the lost one on the disk
        database, lost, next = Database(own.url("again")), [], []
        with closing(PostgresStore.connect(database, readers=2)) as store:
            office = head_office(store, till.shop)

            def execute(self: Writer, query: str, values: object = ()) -> object:
                if query != "COMMIT" or lost:
                    return real(self, query, values)  # type: ignore[arg-type]
                lost.append(real(self, number).fetchone())
                own.crash()
                own.start()
                with database.connect() as other:
                    while not next or int(next[-1][0]) < int(lost[0][0]):
                        next.append(other.execute(number).fetchone())
                return real(self, "COMMIT")

            monkeypatch.setattr(Writer, "execute", execute)
            receive(till, office)
            assert next[-1] == lost[0], "the number was handed out again"
            assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 3
            assert list(verify(store, till.shop)) == []


def test_a_database_that_stays_away_fails_the_commit_and_what_comes_again_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "AGAIN_S", 0.0)  # it is asked again at once
    till = shop_with_sales(2)
    with Cluster() as own:
        store = opened(own.url("away"))
        store.patience_s = 0.3
        office = head_office(store, till.shop)
        own.stop()
        with pytest.raises(Unavailable, match="does not answer"):
            Reports(store, till.shop, here="").day(DAY)
        own.start()
        receive(till, office)
        own.stop()
        till.write("sale", sale(1))
        commit(till)
        row = till.rows(f"journal/{DAY}", 0, 1000)[-1]
        office.integrate(f"journal/{DAY}", row.update, origin="x")
        with pytest.raises(CommitFailed, match="does not answer"):
            store.commit(office.staged)
        own.start()
        office.reset()
        send(till, office)
        assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 3
        store.close()


def test_a_commit_that_finds_no_room_says_so_and_nothing_of_it_stands(url: str) -> None:
    till = shop_with_sales(1)
    with closing(opened(url)) as store:
        office = head_office(store, till.shop)
        leave_no_room(store.database, "log")
        with pytest.raises(DiskFull, match="no room: could not extend file"):
            receive(till, office)
        assert store.documents(till.shop) == []


def test_a_report_of_a_moment_that_passed_leaves_nothing_behind(url: str) -> None:
    """Else a process took a document for one that is not there yet, and its next commit was refused."""
    till, place = shop_with_sales(2), f"journal/{DAY}"
    looked, wrote = threading.Event(), threading.Event()
    with closing(opened(url)) as one, closing(opened(url)) as two:
        shop, beside = head_office(one, till.shop), head_office(two, till.shop)
        for row in till.rows("shop", 0, 100):
            shop.integrate("shop", row.update, origin=till.store_id)
        commit(shop)
        for row in till.rows(place, 0, 100):
            beside.integrate(place, row.update, origin=till.store_id)

        def report() -> None:
            with two.still():
                two.read.execute("SELECT count(*) FROM entry")
                looked.set()
                assert wrote.wait(30)
                assert two.document_key(till.shop, place) is None and two.head(till.shop, place).n == 0

        reporting = threading.Thread(target=report)
        reporting.start()
        assert looked.wait(30)
        receive(till, shop)
        commit(beside)  # all of it is there by now
        wrote.set()
        reporting.join()
        assert two.head(till.shop, place).n == one.head(till.shop, place).n > 0
        till.write("sale", sale(300))
        commit(till)
        receive(till, beside)
        assert two.head(till.shop, place).count == till.head(place).count


def test_the_server_looks_whether_whoever_holds_a_lock_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lost its power says no goodbye: by itself a server would keep its locks for two hours."""
    port = free_port()
    monkeypatch.setenv("PGPORT", str(port))  # of the server, and of whoever asks whether it is ready
    with Cluster(listen_addresses="127.0.0.1"):
        with closing(Database(f"postgresql://posline@127.0.0.1:{port}/postgres").connect()) as held:
            shown = [held.execute(f"SHOW tcp_{name}").fetchone() for name in (  # as its socket has it
                "keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout"
            )]  # fmt: skip
        assert shown == [("10",), ("5",), ("3",), ("15000",)]


def test_readers_that_are_all_busy_say_so_and_links_do_not_wait_for_them(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "POOL_WAIT_S", 0.2)
    opened(url).close()
    readers = Readers(Database(url), 2)
    said: list[str] = []

    def ask() -> None:
        try:
            readers.execute("SELECT 1")
        except Unavailable as error:
            said.append(str(error))

    asker = threading.Thread(target=ask)
    with all_busy(readers, 2):
        asker.start()
        asker.join(30)
        assert said == ["all 2 connections to the database are busy or lost: ask again in a moment"]
        assert readers.execute("SELECT 2").fetchone() == (2,), "the event loop's own"
    readers.close()


def test_the_large_tables_can_be_cut_by_shop(url: str) -> None:
    till = shop_with_sales(4)
    with closing(opened(url + "&partitions=3")) as store:
        receive(till, head_office(store, till.shop))
        parts = store.read.execute("SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent"
                                   " WHERE c.relname = 'entry' AND c.relnamespace = to_regnamespace(?)",
                                   (store.database.schema,)).fetchone()  # fmt: skip
        assert parts == (3,)
        assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 4
        assert list(verify(store, till.shop)) == []


def test_every_key_of_a_shops_table_starts_with_the_shop(url: str) -> None:
    with closing(opened(url)) as store:
        keys = store.read.execute(
            "SELECT t.relname, a.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_attribute a"
            " ON a.attrelid = t.oid AND a.attnum = i.indkey[0] WHERE i.indisprimary AND t.relnamespace ="
            " to_regnamespace(?)",
            (store.database.schema,),
        ).fetchall()
        others = {table: first for table, first in keys if first != "shop"}
        assert others == {"shop": "key", "meta": "name", "step": "name"}


def test_a_shop_is_judged_by_newer_rules_when_it_is_next_written_and_older_processes_refuse(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "IN_A_QUERY", 2)  # a shop of years is never in memory as a whole
    till = shop_with_sales(3)
    with closing(opened(url)) as store:
        office = head_office(store, till.shop)
        receive(till, office)
        store._db.execute("UPDATE shop SET rules = '1/old'")
        store._db.execute("UPDATE entry SET status = 3 WHERE kind = 'sale'")  # as older rules may have judged
        till.write("sale", sale(1))
        commit(till)
        send(till, office)
        assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 4
        assert list(verify(store, till.shop)) == []
        events = store.read.execute("SELECT event, status FROM feed_waiting ORDER BY place").fetchall()
        assert events.count(("status", 0)) == 3, "integrators hear of each that counts now"
        for newer in (f"{renewal.RULES + 1}/x", f"{renewal.RULES}/99.0"):
            store._db.execute(f"UPDATE shop SET rules = '{newer}'")
            till.write("sale", sale(1))
            commit(till)
            with pytest.raises(CommitFailed, match="a newer version"):
                send(till, office)
            office.reset()


def test_texts_with_nul_come_back_as_they_were(url: str) -> None:
    with closing(opened(url)) as store:
        for text in ("a\0b", "\ufdd0", "\0\ufdd00", "چائے"):
            assert store.read.execute("SELECT CAST(? AS TEXT)", (text,)).fetchone() == (text,)


def test_the_certificate_that_programs_must_trust_is_read_from_the_database(url: str) -> None:
    with closing(DatabaseHome(url)) as serving, closing(DatabaseHome(url)) as other:
        assert other.root_pem == ""
        made = serving.certificate(["10.0.0.5"]).root.read_text()
        assert other.root_pem == made and other.root is None


def test_sql_is_spelled_for_postgresql() -> None:
    assert spelled("INSERT OR IGNORE INTO t (a) VALUES (?)") == "INSERT INTO t (a) VALUES (%s) ON CONFLICT DO NOTHING"
    found = spelled("SELECT '?', 5 % ?1 FROM t INDEXED BY i WHERE b = ?2")
    assert found == "SELECT '?', 5 %% %(p1)s FROM t  WHERE b = %(p2)s"
    made = spelled_table("CREATE TABLE t (a INTEGER, b BLOB, c TEXT, PRIMARY KEY (a)) WITHOUT ROWID")
    assert made == 'CREATE TABLE t (a BIGINT, b BYTEA, c TEXT COLLATE "C", PRIMARY KEY (a))'


def test_a_database_that_is_not_there_is_said_in_words(tmp_path: object) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        opened("postgresql://posline@127.0.0.1:1/nowhere")
    with pytest.raises(Unavailable, match="no number"):
        Database("postgresql://posline@db/x?partitions=many")
    shown = Database("postgresql://posline:secret@db.example/posline").shown
    assert "secret" not in shown and "db.example" in shown



def some_shop(rng: random.Random) -> Replica:
    """A shop with a few tills, restarts, a day that went on, and a till that was removed; all of it at the first."""
    first = founded(store=Store.open(":memory:"))
    second = joined(first, "beh")
    send(first, second)
    for _ in range(rng.randrange(8, 25)):
        till = rng.choice((first, second))
        if rng.random() < 0.15:
            till.reset()  # as a start: another run
        till.write(*rng.choice((("sale", sale(rng.randrange(1, 500))), ("sale", sale(7)), ("seal", {}))))
        commit(till)
    send(second, first)
    if rng.random() < 0.4:
        points = points_of(first.store, first.shop, second.store_id, vouched_only=False)
        first.write("remove", {"member": second.store_id, "points": [list(point) for point in points]}, document="shop")
        commit(first)
    return first


@pytest.mark.parametrize("seed", range(share(6, 200)))
def test_any_schedule_of_three_processes_leaves_what_one_would(cluster: Cluster, seed: int) -> None:
    rng = random.Random(seed)
    till = some_shop(rng)
    database = Database(cluster.url(f"q{uuid.uuid4().hex[:12]}"))
    stores = [PostgresStore.connect(database, readers=1) for _ in range(3)]
    offices = [head_office(store, till.shop) for store in stores]
    rows = [(document, row.update) for document in sorted(till.documents()) for row in till.rows(document, 0, 1000)]
    pieces = [piece for document, update in rows for piece in [(document, update)] * rng.choice((1, 2))]
    for _ in range(rng.randrange(40, 120)):
        at = rng.randrange(3)
        act = rng.random()
        if act < 0.6:
            document, update = rng.choice(pieces)
            with suppress(Hole):  # it leans on what is not here yet
                offices[at].integrate(document, update, origin="x" * 26)
        elif act < 0.85:
            commit(offices[at])
        elif act < 0.9:
            stores[at].refresh(till.shop)
        elif act < 0.94:
            if not offices[at].staged:
                stores[at].let_go(till.shop)
        elif act < 0.97:
            stores[at].squash(till.shop, rng.choice(pieces)[0])
        else:
            offices[at].reset()  # a commit that failed: what was staged is gone
            stores[at]._db.drop()
    for office in offices:
        for document, update in rows:
            office.integrate(document, update, origin="x" * 26)
        commit(office)
    alone = head_office(Store.open(":memory:"), till.shop)
    for document, update in rows:
        alone.integrate(document, update, origin="x" * 26)
    commit(alone)
    for store in stores:
        store.refresh(till.shop)
        found, wanted = (Reports(each, till.shop, here="") for each in (store, alone.store))
        assert [found.day(day) for day in found.days()] == [wanted.day(day) for day in wanted.days()]
        assert store.sums(till.shop) == alone.store.sums(till.shop)
        assert list(verify(store, till.shop)) == list(verify(alone.store, till.shop))
    waiting = stores[0].read.execute("SELECT entry FROM feed_waiting WHERE event = 'entry' ORDER BY place").fetchall()
    assert len(waiting) == len(set(waiting)) == sum(alone.head(name).count for name in alone.documents())
    for store in stores:
        store.close()


def test_links_hear_of_every_document_that_another_process_wrote_though_this_one_wrote_since(url: str) -> None:
    till = shop_with_sales(1)
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = head_office(a, till.shop), head_office(b, till.shop)
        for office in (ours, theirs):
            send(till, office)
            office.store.refresh(till.shop)
        a.sums(till.shop), b.sums(till.shop)  # as a link does that comes up
        told = dict(a._lasts[till.shop])
        joined(till, "beh")  # an entry of the shop's document
        till.write("sale", sale(5))
        commit(till)
        send(till, theirs)
        till.write("sale", sale(6))
        commit(till)
        row = till.rows(f"journal/{DAY}", 0, 1000)[-1]
        with suppress(Hole):  # a till sends what is before it first
            ours.integrate(f"journal/{DAY}", row.update, origin="x" * 26)
        batch = list(ours.staged)
        if batch:
            ours.release(batch, a.commit(batch))
        a.sums(till.shop)  # another link comes up
        before = a.refresh(till.shop)
        assert before["shop"] == told["shop"]
        assert a.refresh(till.shop) == {}


def test_what_could_not_be_read_of_anothers_commit_is_told_the_next_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = shop_with_sales(1)
    with closing(opened(url)) as a, closing(opened(url)) as b:
        receive(till, head_office(a, till.shop))
        b.sums(till.shop)  # as a link that says what is here
        till.write("sale", sale(7))
        commit(till)
        receive(till, head_office(a, till.shop))
        asked = b._read_sums

        def away(shop: str) -> None:
            raise Unavailable("the database does not answer")

        monkeypatch.setattr(b, "_read_sums", away)
        with pytest.raises(Unavailable):
            b.refresh(till.shop)
        monkeypatch.setattr(b, "_read_sums", asked)
        assert list(b.refresh(till.shop)) == [f"journal/{DAY}"]
        assert b.refresh(till.shop) == {}


def test_a_commit_waits_for_no_report(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    till = shop_with_sales(2)
    with closing(opened(url)) as store:
        def refused(self: Readers, query: str, values: object = ()) -> object:
            raise Unavailable("all connections are busy")

        office = head_office(store, till.shop)
        rows = [(document, row.update) for document in sorted(till.documents(), reverse=True)
                for row in till.rows(document, 0, 1000)]  # fmt: skip
        for document, update in rows:
            office.integrate(document, update, origin="x" * 26)
        monkeypatch.setattr(Readers, "execute", refused)
        batch = list(office.staged)
        office.release(batch, store.commit(batch))
        monkeypatch.undo()
        assert Reports(store, till.shop, here="").day(DAY)["sales"]["count"] == 2
