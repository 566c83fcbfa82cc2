"""What one process of a head office remembers, while another commits at the worst moment or an answer of the database
is lost: links hear of everything, and nobody is noted as holding what it lacks."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from posline.core.update import read_update
from posline.errors import CommitUnknown, Unavailable
from posline.replica import Replica
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from relay.feeding import NUMBERING, Feed
from relay.postgres import connection
from relay.postgres.connection import Database, Writer
from relay.postgres.home import DatabaseHome
from relay.postgres.store import PostgresStore
from relay.postgres.telling import NUMBER
from tests.kit import DAY, JOURNAL, commit, founded, joined, sale, send
from tests.postgres import Cluster, all_busy, lose_an_answer

CATALOGUE = "catalog/1"


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    yield cluster.url(f"p{uuid.uuid4().hex[:12]}")


def opened(url: str) -> PostgresStore:
    return PostgresStore.connect(Database(url), readers=2)


def replica(store: Store, shop: str, name: str = "h") -> Replica:
    return Replica(
        store, shop, author=None, clock=None, random=random.Random(1), documents=False, store_id=name * 26
    )


def shop_with_sales(count: int) -> Replica:
    till = founded()
    for n in range(count):
        sell(till, 100 + n)
    return till


def sell(till: Replica, total: int) -> bytes:
    """One sale more; the update that it is."""
    till.write("sale", sale(total))
    commit(till)
    return rows(till)[-1]


def priced(till: Replica, price: int) -> bytes:
    """A product of the catalogue; the update that it is."""
    till.write("products", {"products": [{"sku": "1", "name": "Chai", "price": price}]}, document=CATALOGUE)
    commit(till)
    return rows(till, CATALOGUE)[-1]


def rows(till: Replica, document: str = JOURNAL) -> list[bytes]:
    """A document's log, row by row as it was committed."""
    place = till.store.shop_key(till.shop), till.store.document_key(till.shop, document)
    found = till.store.read.execute("SELECT data FROM log WHERE shop = ? AND document = ? ORDER BY n", place)
    return [data for (data,) in found.fetchall()]


def ready(till: Replica, *stores: PostgresStore) -> list[Replica]:
    """The till's shop at processes that know all of it, and have links that were told so."""
    offices = [replica(store, till.shop) for store in stores]
    send(till, offices[0])
    for store in stores:
        store.refresh(till.shop)
        store.sums(till.shop)
    return offices


def take(office: Replica, update: bytes, document: str = JOURNAL) -> dict[str, int]:
    """Commit an update; what links are told: behind which row, by document."""
    office.integrate(document, update, origin="x" * 26)
    batch = list(office.staged)
    done = office.store.commit(batch)
    office.release(batch, done)
    return {document: n for (_, document), n in done.before.items()}


def test_what_is_clipped_leaves_no_till_behind_where_another_process_had_brought_it(url: str) -> None:
    """An update of two tills, one of which is further by now: what is written of it next must not lie behind."""
    first = founded()
    second = joined(first, "beh")
    send(first, second)
    for n in range(3):
        sell(first, 100 + n)
        sell(second, 200 + n)
    third = replica(Store.open(":memory:"), first.shop)  # has both from one place, and so joins them
    for till in (first, second):
        for document in ("shop", JOURNAL):
            for update in rows(till, document):
                third.integrate(document, update, origin="one")
    commit(third)
    both = [row.update for row in third.rows(JOURNAL, 0, 1000)]
    assert any(len(read_update(update, {}).after) == 2 for update in both)
    lone = [sell(second, 300 + n) for n in range(4)][:2]
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = replica(a, first.shop), replica(b, first.shop)
        for update in rows(first, "shop"):
            ours.integrate("shop", update, origin="x" * 26)
        commit(ours)
        for update in [*both, *lone]:
            ours.integrate(JOURNAL, update, origin="c" * 26)
        for update in rows(second):
            theirs.integrate(JOURNAL, update, origin="b" * 26)
        commit(theirs)
        commit(ours)
        assert list(verify(a, first.shop)) == []
        a.squash(first.shop, JOURNAL)
        till = replica(Store.open(":memory:"), first.shop, "t")
        for document in ("shop", JOURNAL):
            for row in ours.rows(document, 0, 1000):
                till.integrate(document, row.update, origin="h" * 26)
        commit(till)
        assert till.integrate(JOURNAL, sell(second, 999), origin="b" * 26), "the next sale is news there"
        commit(till)
        assert Reports(till.store, first.shop, here="").day(DAY)["sales"]["count"] == 3 + 7 + 1


def test_links_hear_of_another_document_that_another_process_wrote_two_commits_ago(url: str) -> None:
    till = shop_with_sales(2)
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = ready(till, a, b)
        told = dict(a._lasts[till.shop])
        joined(till, "beh")
        take(theirs, rows(till, "shop")[-1], "shop")
        for n in (1, 2):
            assert list(take(ours, sell(till, n))) == [JOURNAL]
        assert a.behind([till.shop]) == [till.shop]
        assert a.refresh(till.shop)["shop"] == told["shop"]
        assert a.behind([till.shop]) == [] and a.refresh(till.shop) == {}


def test_links_hear_of_a_commit_whose_answer_was_lost_though_others_followed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = shop_with_sales(2)
    with closing(opened(url)) as a:
        (ours,) = ready(till, a)
        told = dict(a._lasts[till.shop])
        joined(till, "beh")
        lose_an_answer(monkeypatch)
        take(ours, rows(till, "shop")[-1], "shop")
        take(ours, sell(till, 1))
        assert a.refresh(till.shop)["shop"] == told["shop"]
        assert a.behind([till.shop]) == []


def test_nobody_is_noted_as_holding_what_another_process_has_just_committed(url: str) -> None:
    """A till without that sale has the same digest as a process that has not heard of it yet."""
    till = shop_with_sales(2)
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = ready(till, a, b)
        lacking = till.root()
        take(ours, sell(till, 1))
        assert theirs.root() == lacking
        theirs.equal_with("p" * 26)
        assert not b.noted
        b.refresh(till.shop)
        theirs.equal_with("p" * 26)
        assert b.noted, "one that holds all of it is"


def test_a_commit_that_was_never_answered_says_so_and_nobody_is_noted_as_holding_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = shop_with_sales(2)
    with closing(opened(url)) as a:
        (ours,) = ready(till, a)
        a.patience_s = 0
        lose_an_answer(monkeypatch)
        with pytest.raises(CommitUnknown, match="it is not known whether this was recorded"):
            take(ours, sell(till, 1))
        ours.reset()
        ours.equal_with("p" * 26)
        assert not a.noted
        assert list(a.refresh(till.shop)) == [JOURNAL]
        assert Reports(a, till.shop, here="").day(DAY)["sales"]["count"] == 3


def test_an_older_head_is_not_put_over_one_that_was_read_meanwhile(url: str) -> None:
    """Between a commit and its end in memory lies its notice to the others, and one of them may be faster than that."""
    till = shop_with_sales(2)
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = ready(till, a, b)
        for store in (a, b):
            store.head(till.shop, JOURNAL)
        one, two = sell(till, 1), sell(till, 2)
        tell = a._tell

        def told(written: object) -> None:
            tell(written)  # type: ignore[arg-type]
            b.refresh(till.shop)
            take(theirs, two)
            assert a.refresh(till.shop)
            a.head(till.shop, JOURNAL)
            a.sums(till.shop)

        a._tell = told  # type: ignore[method-assign, assignment]
        take(ours, one)
        there = a._read_head(till.shop, JOURNAL, a.read)
        here = a.head(till.shop, JOURNAL)
        assert (here.n, here.count, here.state) == (there.n, there.count, there.state)
        assert a.sums(till.shop)[JOURNAL] == there.sum
        assert ours.root() == till.root()


def test_a_commit_whose_answer_was_lost_waits_for_no_reader(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    till, other = shop_with_sales(1), founded("zay")
    with closing(opened(url)) as a:
        (ours,) = ready(till, a)
        send(other, replica(a, other.shop))
        a.have(other.shop, "p" * 26, [Mark(other.store_id, 1, 1, b"x" * 32)])
        update = sell(till, 1)
        monkeypatch.setattr(connection, "POOL_WAIT_S", 0.2)
        a.patience_s = 0.5
        lose_an_answer(monkeypatch)
        ours.integrate(JOURNAL, update, origin="x" * 26)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                a.commit(list(ours.staged))
            except BaseException as error:
                failed.append(error)

        writer = threading.Thread(target=work)  # as a process has one for its commits
        with all_busy(a.read, 2):
            writer.start()
            writer.join(60)
        assert failed == [] and not a.noted
        assert a.haves(other.shop, other.store_id, 1) == {}  # a hash that is not ours: kept, and no light
        (kept,) = a.read.execute("SELECT count(*) FROM have").fetchone()
        assert kept == 1


def test_a_life_of_the_feed_is_not_begun_a_second_time_behind_anothers(
    cluster: Cluster, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process lost the database, and with it the lock under which it was alone."""
    till = shop_with_sales(2)
    homes = [DatabaseHome(url), DatabaseHome(url)]
    a, b = (home.open_store() for home in homes)
    send(till, replica(b, till.shop))

    def number() -> None:
        with b.database.connect() as database:
            database.execute(NUMBER, (2000,))

    def begin(home: DatabaseHome, store: Store) -> None:
        with home.alone(NUMBERING), store.at_once():
            Feed(store).begin()
            store.commit([])

    number()
    given: list[tuple[int, str]] = []
    real = Writer.execute

    def execute(self: Writer, query: str, values: object = ()) -> object:
        if query == "COMMIT" and self is a._db and not given:
            with b.database.connect() as database:  # as a database that went down and is back
                database.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND datname = current_database() AND state = 'idle in transaction'"
                )
            begin(homes[1], b)
            sell(till, 5)
            send(till, replica(b, till.shop))
            number()
            feed = Feed(b)
            given.append((feed.end(), feed.life_of(feed.end())))
        return real(self, query, values)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "execute", execute)
    with pytest.raises(Unavailable):
        begin(homes[0], a)
    ((n, life),) = given
    Feed(b).check(n, life)
    for store, home in zip((a, b), homes, strict=True):
        store.close()
        home.close()


@pytest.mark.parametrize("when", ["amid the commit", "at its end"])
def test_a_document_that_begins_while_links_are_told_of_another_one_is_found(
    url: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Readers' names of documents are let go of and read again beside a commit that makes one."""
    till = founded()
    with closing(opened(url)) as a, closing(opened(url)) as b:
        ours, theirs = ready(till, a, b)
        first = priced(till, 100)
        joined(till, "beh")
        take(theirs, rows(till, "shop")[-1], "shop")
        place = (a._ledger, "take") if when == "amid the commit" else (a, "_write_noted")
        real, seen = getattr(*place), []

        def beside(*asked: object) -> object:
            answer = real(*asked)
            seen.append(a.refresh(till.shop))
            a.rows(till.shop, "shop", 0, 1000)  # as whoever tells links does
            return answer

        monkeypatch.setattr(*place, beside)
        take(ours, first, CATALOGUE)
        monkeypatch.undo()
        assert "shop" in seen[0]
        assert [row.n for row in a.rows(till.shop, CATALOGUE, 0, 1000)] == [1]
        take(ours, priced(till, 120), CATALOGUE)
        (product,) = Reports(a, till.shop, here="").catalog.several(["1"])
        assert product["price"] == 120
