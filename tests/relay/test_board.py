"""The board: its figures are the reports' whatever came in whichever order, its pages' work is bounded, and nobody sees
what is another's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posline.core.entry import Entry
from posline.core.refunding import refund_body, void_body
from posline.storage.reports import Reports
from posline.storage.store import Store
from relay.alarms import CAME_KEPT, Alarms, Found
from relay.alarms import STEPS as ALARMS
from relay.board import STEPS as BOARD
from relay.board import Board, DayRow, earlier
from relay.feeding import Feed
from relay.marks import STEPS as MARKS
from relay.marks import marked_since
from relay.office import STEPS as OFFICE
from relay.postgres.connection import Database
from relay.postgres.office import OfficeDatabase
from relay.postgres.store import PostgresStore
from relay.postgres.telling import NUMBER
from relay.presence import DEAD_MS, Heard, Presence
from relay.presence import STEPS as PRESENCE
from relay.rights import Actor
from relay.sums import SORTS, Sums, TooMuch
from relay.watching import hours_away, usual_hours
from tests.attacks.hostile import Hostile
from tests.kit import DAY, Writer, all_entries, shop_of, take
from tests.postgres import Cluster, programs
from tests.relay.books import Tables
from tests.storage.test_summaries import some_sale

SECOND = "2026-11-24"
STEPS = (*OFFICE, *MARKS, *PRESENCE, *BOARD, *ALARMS)


def follow(board: Board) -> None:
    while board.follow():
        pass


def chain(chance: random.Random) -> tuple[str, list[Writer], list[list[Entry]]]:
    """A shop of three tills over two days: sales, returns, doubles, closes, a removal, a redate; in some order, with
    some of it lost."""
    writers = [Writer(name) for name in ("alif", "bay", "jeem")]
    shop = shop_of(*writers)
    sold: list[Entry] = []
    for _ in range(chance.randint(5, 25)):
        writer, day = chance.choice(writers), chance.choice((DAY, DAY, SECOND))
        where: dict[str, Any] = {"document": f"journal/{day}", "day": day}
        where["at"] = f"{day}T{chance.randint(8, 22):02d}:{chance.randint(0, 59):02d}:00.000+05:00"
        where["by"] = chance.choice(("", "Asma", "Bilal"))
        match chance.randrange(9):
            case 0 | 1 | 2 | 3 | 4:
                body = some_sale(chance) | {"number": writer.number + 1, "label": writer.name[:6].upper()}
                writer.number += 1
                sold.append(writer.write("sale", body, **where))
            case 5 if sold:
                again = chance.choice(sold)
                said = ("lines", "tenders", "change", "total", "rounding")
                fields = {name: value for name, value in again.body.items() if name in said}
                fields |= {"number": writer.number + 1, "label": writer.name[:6].upper(), "id": again.id}
                writer.number += 1
                writer.write("sale", fields, **where)
            case 6 if sold:
                back = chance.choice(sold)
                if chance.random() < 0.5:
                    body = refund_body(back.body, back.hash, {}, {"reason": "torn"}) | {"label": "X"}
                    writer.number += 1
                    writer.write("refund", body | {"number": writer.number}, **where)
                else:
                    writer.write("void", void_body(back.body, back.hash, "wrong"), **where)
            case 7:
                writer.write("day closed", {"of_day": DAY, "vector": [[writer.id, writer.run, writer.seq]]}, **where)
            case _:
                writer.seal(**where)
    if chance.random() < 0.5:
        moved = chance.choice(writers)
        writers[0].write(
            "redate", {"author": moved.id, "of": moved.run, "first": 1, "last": moved.seq, "to": SECOND, "seen": {}}
        )
    if chance.random() < 0.5:
        writers[0].remove(writers[2], *writers[2].entries[-1:])
    entries = all_entries(*writers)
    if chance.random() < 0.7:
        chance.shuffle(entries)
    kept = [entry for entry in entries if chance.random() < 0.95]
    cuts = sorted(chance.sample(range(len(kept) + 1), min(6, len(kept))))
    return shop, writers, [kept[a:b] for a, b in zip([0, *cuts], [*cuts, len(kept)], strict=True)]


def equal(row: DayRow | None, report: dict[str, Any]) -> None:
    """Whether a row says what a day report does."""
    if not report["currency"]:  # its founding is not here: nothing of it counts
        return
    row = row or DayRow("", report["day"])
    sales, refunds, voids = report["sales"], report["refunds"], report["voids"]
    assert (row.count, row.sales, row.discount) == (sales["count"], sales["total"], sales["discount"])
    assert (row.refund_count, row.refunds) == (refunds["count"], refunds["total"])
    assert (row.void_count, row.voids) == (voids["count"], voids["total"])
    assert (row.net, row.tax) == (report["net"], report["tax"])
    assert row.odd == sum(len(report[name]) for name in ("duplicates", "held", "disputed", "invalid"))
    assert row.waiting == report["waiting_for"]
    if row.upto:  # else everything of the day was moved to another one, and it is none of the shop's days
        assert sorted(row.closed) == sorted({close["till"] for close in report["closes"]})
    tills = {till["till"]: till["count"] for till in report["tills"]}
    assert {who: count for who, (count, _, _) in row.tills.items() if count} == {w: c for w, c in tills.items() if c}
    assert sum(net for _, net in row.slots.values()) == sum(net for _, net, _ in row.tills.values()) == row.net


@settings(max_examples=40, deadline=None)
@example(151)
@example(1234)  # entries that were held under another name than the row's, and moved
@given(st.integers(0, 2**32))
def test_a_row_is_its_day_report_after_each_commit(seed: int) -> None:
    chance = random.Random(seed)
    shop, _, batches = chain(chance)
    store, tables = Store.open(":memory:", feed=True), Tables(STEPS)
    board, reports = Board(tables, lambda: store), Reports(store, shop, here="")
    begun = chance.randrange(len(batches))
    for n, batch in enumerate(batches):
        take(store, shop, [batch])
        if n < begun:
            continue
        if n == begun:  # what is there already is made from the ledger, before or behind what is followed
            follow(board)
        if n >= begun and chance.random() < 0.7:
            board.fill(shop, "2020-01-01", board.founded().get(shop))
            follow(board)
            for day in (DAY, SECOND):
                equal(board.rows([shop], [day]).get((shop, day)), reports.day(day))
    board.fill(shop, "2020-01-01", board.founded().get(shop))
    follow(board)
    for day in (DAY, SECOND):
        equal(board.rows(None, [day]).get((shop, day)), reports.day(day))


def living() -> Store:
    """A head office's store, whose feed has begun a life."""
    store = Store.open(":memory:", feed=True)
    Feed(store).begin()
    store.commit([])
    return store


def shop_with(writers: Sequence[Writer], store: Store) -> str:
    shop = shop_of(*writers)
    take(store, shop, [all_entries(*writers)])
    return shop


def test_a_ledger_that_was_put_back_is_added_up_anew() -> None:
    alif = Writer("alif")
    store, tables = living(), Tables(STEPS)
    shop = shop_with([alif], store)
    board = Board(tables, lambda: store)
    follow(board)
    board.fill(shop, "2020-01-01", None)
    take(store, shop, [[alif.sale(500)]])
    follow(board)
    assert board.rows([shop], [DAY])[shop, DAY].net == 500
    older = living()
    take(older, shop, [alif.entries[:2], [alif.entries[-1]]])
    back = Board(tables, lambda: older)
    follow(back)
    assert back.rows(None, [DAY]) == {}, "its cursor is of another feed"
    back.fill(shop, "2020-01-01", back.founded().get(shop))
    assert back.rows([shop], [DAY])[shop, DAY].net == 500
    assert back.span([shop], DAY, DAY) == {DAY: (1, 500)}


def test_two_that_follow_at_once_add_nothing_twice() -> None:
    alif = Writer("alif")
    store, tables = Store.open(":memory:", feed=True), Tables(STEPS)
    shop = shop_with([alif], store)
    board, other = Board(tables, lambda: store), Board(tables, lambda: store)
    follow(board)
    board.fill(shop, "2020-01-01", None)
    for amount in (100, 250):
        take(store, shop, [[alif.sale(amount)]])
        slow: list[Any] = []
        keep = other._keep
        other._keep = lambda *given, into=slow: into.append(given)  # type: ignore[method-assign]  # not written yet
        other.follow()
        other._keep = keep  # type: ignore[method-assign]
        follow(board)
        keep(*slow[0])
    assert board.rows([shop], [DAY])[shop, DAY].net == 350


NO_DAYS = ("2026-11-2x", "2026-11-22\0", "".join(map(chr, range(0x4E00, 0x7000))), {"a": 1}, None)


def test_what_names_no_day_has_no_row() -> None:
    """An invalid entry may name anything: a row under it is one that no page can show."""
    store = living()
    board = Board(Tables(STEPS), lambda: store)
    follow(board)
    shop = poisoned(store)
    follow(board)
    assert [row.day for row in board.days_of(shop, "2020-01-01", "2099-12-31")] == [DAY]


@pytest.mark.skipif(programs() is None, reason="no PostgreSQL here")
def test_one_tills_entries_stop_the_board_of_no_other_shop(cluster: Cluster) -> None:
    """PostgreSQL indexes no text of 36 kB."""
    database = Database(cluster.url("named_days"))
    with closing(PostgresStore.connect(database)) as store, closing(OfficeDatabase(database)) as tables:
        Feed(store).begin()
        store.commit([])
        with tables.transaction() as tx:
            for _, statements in STEPS:
                for statement in statements:
                    tx.execute(statement)
        board = Board(tables, lambda: store)
        follow(board)
        poisoned(store)
        shop = shop_with([good := Writer("good")], store)
        take(store, shop, [[good.sale(500)]])
        with closing(database.connect()) as connection:
            connection.execute(NUMBER, (1000,))
        follow(board)
        assert board.rows([shop], [DAY])[shop, DAY].net == 500


def poisoned(store: Store) -> str:
    """A shop of which a member closes, and moves entries to, what are no days."""
    hostile = Hostile("zeta")
    hostile.day = DAY
    shop = shop_with([hostile], store)
    for bad in NO_DAYS:
        closed = hostile.put("day closed", {"of_day": bad, "vector": []})
        moved = hostile.put("redate", {"author": hostile.id, "of": hostile.run, "first": 1, "last": 2, "to": bad})
        assert closed.fault and moved.fault
        take(store, shop, [[closed], [moved]])
    return shop


@pytest.mark.parametrize("sort", SORTS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_sums_of_a_chain_are_the_shops_reports_together(sort: str, seed: int) -> None:
    chance = random.Random(seed)
    store, tables = Store.open(":memory:", feed=True), Tables(STEPS)
    board = Board(tables, lambda: store)
    shops = []
    for name in ("one", "two"):
        writer = Writer(name)
        shops.append(shop_of(writer))
        for _ in range(8):
            day = chance.choice((DAY, SECOND))
            body = some_sale(chance) | {"number": writer.number + 1, "label": "A"}
            writer.number += 1
            writer.write("sale", body, document=f"journal/{day}", day=day, by=chance.choice(("", "Asma")))
        take(store, shops[-1], [all_entries(writer)])
    follow(board)
    for shop in shops:
        board.fill(shop, "2020-01-01", None)
    reports = {shop: Reports(store, shop, here="") for shop in shops}
    sums = Sums(tables, board, reports.__getitem__, lambda: 0)
    found = sums.over(sort, shops, DAY, SECOND)
    by, figures = SORTS[sort]
    expected: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in reports.values():
        for row in each.summary(sort, DAY, SECOND)["rows"]:
            into = expected.setdefault(tuple(row[name] for name in by), dict.fromkeys(figures, 0))
            for name in figures:
                into[name] += float(row[name]) if name in ("sold", "returned") else row[name]
    got = {tuple(row[name] for name in by): row for row in found.rows}
    assert got.keys() == expected.keys()
    for key, row in got.items():
        for name in figures:
            assert float(row[name]) == pytest.approx(expected[key][name])
    assert found.totals["net"] == sum(row["net"] for row in found.rows)
    assert (found.older, found.lacking) == (0, 0)


def test_a_page_makes_only_so_many_sums_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    store, tables = Store.open(":memory:", feed=True), Tables(STEPS)
    board = Board(tables, lambda: store)
    writers = [Writer(f"T{n}") for n in range(4)]
    shops = [shop_of(writer) for writer in writers]
    follow(board)
    for writer, shop in zip(writers, shops, strict=True):
        writer.sale(100)
        take(store, shop, [all_entries(writer)])
        board.fill(shop, "2020-01-01", None)
    sums = Sums(tables, board, lambda shop: Reports(store, shop, here=""), lambda: 0)
    monkeypatch.setattr("relay.sums.REMADE_MAX", 2)
    follow(board)
    assert (sums.over("tender", None, DAY, DAY).lacking, sums.over("tender", None, DAY, DAY).lacking) == (2, 0)
    take(store, shops[0], [[writers[0].sale(50)]])
    follow(board)
    assert sums.over("tender", None, DAY, DAY).totals["net"] == 450
    for writer, shop in zip(writers, shops, strict=True):
        take(store, shop, [[writer.sale(50)]])
    follow(board)
    late = sums.over("tender", None, DAY, DAY)
    assert late.older == 2 and late.totals["net"] == 450 + 100
    assert sums.refresh(DAY, 100) == 3 * 4 + 2, "the other sorts, and the two that were left"
    assert sums.over("tender", None, DAY, DAY).totals["net"] == 450 + 200
    monkeypatch.setattr("relay.sums.PLACES_MAX", 3)
    with pytest.raises(TooMuch):
        sums.over("tender", None, DAY, DAY)
    sums.forget(earlier(DAY, -100))
    assert tables.execute("SELECT count(*) FROM office_board_sums").fetchone()[0] == 0


def test_three_hundred_shops_are_a_few_questions() -> None:
    store, tables = living(), Tables(STEPS)
    board = Board(tables, lambda: store)
    writers = [Writer(f"t{n}") for n in range(300)]
    shops = [shop_of(writer) for writer in writers]
    for writer, shop in zip(writers, shops, strict=True):
        writer.sale(100 + len(shop))
        take(store, shop, [all_entries(writer)])
    follow(board)
    for shop in shops:
        board.fill(shop, "2020-01-01", None)
    for n, (writer, shop) in enumerate(zip(writers, shops, strict=True)):
        if n % 3 == 0:
            take(store, shop, [[writer.sale(n + 1)]])
    follow(board)
    asked = list[str]()
    execute = tables.execute
    tables.execute = lambda sql, params=(): (asked.append(sql), execute(sql, params))[1]  # type: ignore[method-assign]
    rows = board.rows(None, [DAY, SECOND])
    totals = board.totals(None, DAY, SECOND)
    assert len(asked) == 2 and len(rows) == 300
    for shop in shops[::29]:
        report = Reports(store, shop, here="").day(DAY)
        equal(rows[shop, DAY], report)
        assert totals[shop]["net"] == report["net"]
    assert board.rows(shops, [DAY]) == rows, "in as many questions as a database takes values"


# -- where tills stand -------------------------------------------------------------------------------------------------


def test_where_tills_stand_survives_and_a_dead_process_is_noticed() -> None:
    now = [1_000_000]
    tables = Tables(STEPS)
    one, two = (Presence(tables, lambda: now[0], alone=False) for _ in range(2))
    one.begin()
    two.begin()
    link = Heard("till", now[0], 3, 500)
    assert one.write({("s", "a"): link}) == {"s"}
    assert one.write({("s", "a"): link}) == set(), "only what changed"
    (standing,) = two.of("s")
    assert (standing.serving, standing.behind, standing.apart_ms) == (one.serving, 3, 500)
    assert marked_since(tables, 0)[0] == {"s"}
    now[0] += 5000
    two.write({("s", "a"): link})  # it went over to the other process
    one.write({})
    assert two.of("s")[0].serving == two.serving, "whoever had it before does not end it"
    now[0] += DEAD_MS - 1
    assert one.of("s")[0].linked
    now[0] += 2
    (gone,) = one.of("s")
    assert not gone.linked and gone.heard_ms == 1_005_000, "its process died, and was last heard of by its beat"
    fresh = Presence(tables, lambda: now[0], alone=True)
    fresh.begin()
    assert [one.heard_ms for one in fresh.of("s")] == [1_000_000], "what was seen before a restart is still known"
    fresh.write({("s", "a"): link, ("t", "b"): link})
    assert fresh.everywhere(["t"]).keys() == {"t"} and fresh.everywhere(None).keys() == {"s", "t"}
    fresh.end()
    assert not any(one.linked for listed in fresh.everywhere(None).values() for one in listed)


def test_hours_away_are_those_in_which_a_shop_sells() -> None:
    hour = 3_600_000
    slots = {"36": (1, 5), "70": (2, 9), "90": (0, -5)}
    rows = [DayRow("s", f"2026-11-{day}", count=1, slots=slots) for day in (1, 2, 3)]
    usual = usual_hours(rows)
    assert usual == {9, 17} and usual_hours(rows[:2]) == frozenset()
    assert hours_away(0, 24 * hour, usual, lambda ms: ms // hour % 24) == 2
    assert hours_away(18 * hour, 32 * hour, usual, lambda ms: ms // hour % 24) == 0, "it was night"


# -- alarms ------------------------------------------------------------------------------------------------------------


def test_strangers_who_knock_by_ever_new_names_fill_no_list() -> None:
    now = [1000]
    alarms = Alarms(Tables(STEPS), lambda: now[0], lambda tx, *line: None)
    alarms.looked(["gap"], {"": [Found("gap a", "gap")]})
    for knock in range(3 * CAME_KEPT):
        now[0] += 1
        alarms.came("", [Found(f"refused {knock}", "refused")])
        alarms.came("s", [Found("refused", "refused")])
    kept = {one.name for one in alarms.open(lambda shop: shop == "")}
    assert kept == {"gap a", *(f"refused {knock}" for knock in range(2 * CAME_KEPT, 3 * CAME_KEPT))}
    assert len(alarms.open(lambda shop: shop == "s")) == 1
    assert alarms.counts() == {"": (CAME_KEPT + 1, True), "s": (1, False)}


def test_an_alarm_is_noted_and_comes_back_where_it_happens_again() -> None:
    now, trail = [1000], list[tuple[Any, ...]]()
    alarms = Alarms(Tables(STEPS), lambda: now[0], lambda tx, *line: trail.append(line))

    def looked(*found: Found) -> None:
        alarms.looked(["gap", "fork"], {"s": found})

    looked(Found("gap a", "gap", 2), Found("fork a", "fork"))
    assert [one.kind for one in alarms.open(lambda shop: True)] == ["fork", "gap"], "the worst first"
    assert alarms.open(lambda shop: shop == "t") == [] and alarms.counts() == {"s": (2, True)}
    alarms.acknowledge("s", "gap a", " till A is\nbeing mended ", by=Actor("Asma"))
    assert [line[1:] for line in trail] == [("alarm_acknowledged", "s", "gap: till A is being mended")]
    looked(Found("gap a", "gap", 2), Found("fork a", "fork"))
    assert alarms.counts() == {"s": (1, True)} and alarms.open(lambda shop: True)[-1].noted_by == "Asma"
    looked(Found("gap a", "gap", 1), Found("fork a", "fork"))
    assert alarms.counts() == {"s": (1, True)}, "it became less"
    looked(Found("gap a", "gap", 3))
    assert alarms.counts() == {"s": (1, True)} and alarms.open(lambda shop: True)[0].noted_by == "", "it grew"
    alarms.acknowledge("s", "gap a", "", by=Actor("Asma"))
    looked()
    assert alarms.open(lambda shop: True) == []
    now[0] = 9000
    looked(Found("gap a", "gap", 1))
    assert [(one.noted_by, one.since_ms) for one in alarms.open(lambda shop: True)] == [("", 9000)]
    alarms.looked(["fork"], {"s": []})
    assert len(alarms.open(lambda shop: True)) == 1, "a look of other kinds ends nothing"
