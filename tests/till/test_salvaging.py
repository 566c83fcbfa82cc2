"""A damaged folder is mended at the start: what is whole is kept, and nobody is told less than what happened."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from posline.core.drawer import Takings
from posline.errors import FolderDamaged
from posline.storage.soundness import Damage
from posline.storage.store import Store
from posline.storage.verify import Harm, verify
from posline.till import opening, salvaging
from posline.till.anchor import Anchor
from posline.till.commands import COMMANDS
from posline.till.going_on import hear_others
from posline.till.till import Till, open_till
from posline.trust.keys import Key
from tests.faults.damage import DAMAGES
from tests.till.shop import invited, until

LINES = [{"sku": "TEA", "name": "Tea", "quantity": 1, "price": 250}]
SALES = 40


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A till's folder as a kill left it: some sales in the database, some in its log."""
    async with open_till(tmp_path / "before") as till:
        for n in range(SALES):
            await till.sell(LINES * (1 if n % 7 else 40))
    async with open_till(tmp_path / "before") as till:
        for _ in range(3):
            await till.sell(LINES)
        shutil.copytree(tmp_path / "before", tmp_path / "till")
    yield tmp_path / "till"


def told(till: Till) -> list[str]:
    return [alarm["detail"] for alarm in till.alarms() if alarm["kind"] == "damage"]


def counted(till: Till) -> list[int]:
    return [sale.number for sale in till.sales(limit=1000) if sale.status == "counted"]


def kept(folder: Path) -> list[Path]:
    """The damaged files that were set aside."""
    return list(folder.glob("posline.db.damaged-*"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def alter(database: Path, change: str) -> None:
    """Change the closed file as a disk might that gives back other bytes than it was given."""
    with sqlite3.connect(database) as db:
        db.execute(change)


@pytest.mark.parametrize("kind", ["page garbled", "root page garbled", "range garbled", "database cut short"])
async def test_what_can_be_read_counts_and_what_cannot_is_named(kind: str, folder: Path, tmp_path: Path) -> None:
    for seed in range(3):
        here = tmp_path / str(seed)
        shutil.copytree(folder, here)
        DAMAGES[kind](here, random.Random(f"{kind} {seed}"))
        async with open_till(here) as till:
            sold = await till.sell(LINES)
            assert sold.number == SALES + 4, "no number is given twice, whatever is lost"
            held, report = counted(till), till.day_report()
            assert not report["disputed"] + report["held"] + report["invalid"] + report["duplicates"]
            (of_till,) = report["tills"]
            missing = [n for first, last in of_till["receipts"]["missing"] for n in range(first, last + 1)]
            assert sorted(held + missing) == list(range(min(held), SALES + 5))
            assert [p for p in verify(till.store, till.shop_id) if "lacks" not in p] == []
            if len(held) < SALES + 4:
                assert told(till) and kept(here)


async def test_lost_commits_are_noticed_and_people_are_told_until_they_have_seen_it(folder: Path) -> None:
    (folder / "local.json").write_text("{}")  # as a program leaves it that was killed
    (folder / "posline.db-wal").unlink()
    async with open_till(folder) as till:
        assert "write-ahead log is gone" in told(till)[0] and len(counted(till)) == SALES
        await till.sell(LINES)
    async with open_till(folder) as till:
        assert len(told(till)) == 1, "it stays until somebody has seen it"
        assert len((await COMMANDS["damage"](till, {"seen": True}))["damage"]) == 1
        assert told(till) == []
    async with open_till(folder) as till:
        assert told(till) == []


async def test_an_ordinary_kill_is_no_damage(folder: Path) -> None:
    (folder / "local.json").write_text("{}")
    async with open_till(folder) as till:
        assert told(till) == [] and len(counted(till)) == SALES + 3
    assert not (folder / "local.json").exists()


@pytest.mark.parametrize("step", range(4))
async def test_a_cut_while_the_new_file_takes_its_place_changes_nothing(
    step: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DAMAGES["first page garbled"](folder, random.Random(1))
    DAMAGES["log garbled"](folder, random.Random(2))
    done = 0

    def cut(*_: object) -> None:
        nonlocal done
        if done == step:
            raise KeyboardInterrupt
        done += 1

    def rename(old: Path, new: Path) -> None:
        cut()
        old.replace(new)

    with monkeypatch.context() as broken:
        broken.setattr(salvaging, "_rename", rename)
        try:
            async with open_till(folder):
                pass
        except KeyboardInterrupt:
            pass
    async with open_till(folder) as till:
        assert len(counted(till)) >= SALES and len(told(till)) == 1
        assert (await till.sell(LINES)).number > SALES
        assert len(kept(folder)) == 2


@pytest.mark.parametrize("change", [
    "UPDATE entry SET raw = CAST(replace(CAST(raw AS TEXT), '250', '150') AS BLOB) WHERE number = 5",
    "UPDATE entry SET amount = amount + 64 WHERE number = 5",
])  # fmt: skip
async def test_a_total_that_changed_by_itself_is_not_reported_and_is_mended(change: str, tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        for _ in range(6):
            await till.sell(LINES)
    alter(tmp_path / "posline.db", change)
    async with open_till(tmp_path) as till:
        with pytest.raises(sqlite3.DatabaseError) as caught:
            till.day_report()
        assert till.suspect(caught.value) and till.broken.is_set(), "the process is to end"
    async with open_till(tmp_path) as till:
        assert told(till) and till.day_report()["sales"]["total"] == 6 * 250


async def test_what_building_anew_does_not_mend_is_not_built_anew_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Takings.figures

    def wrong(takings: Takings) -> dict[str, Any]:
        found = figures(takings)
        return found | {"sales": found["sales"] | {"total": -1}}

    monkeypatch.setattr(Takings, "figures", wrong)
    for start in range(4):
        async with open_till(tmp_path) as till:
            await till.sell(LINES)
            with pytest.raises(sqlite3.DatabaseError) as caught:
                till.day_report()
            assert till.suspect(caught.value) == till.broken.is_set() == (start == 0), "mended once, then it sells on"
            assert len([text for text in told(till) if "makers" in text]) == (start > 0)
    assert len([path for path in kept(tmp_path) if not path.name.endswith("-wal")]) == 1
    async with open_till(tmp_path) as till:
        assert counted(till) == [1, 2, 3, 4] and len(told(till)) == 2


async def test_what_changed_by_itself_is_found_in_passing(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        for _ in range(6):
            await till.sell(LINES)
        assert await till.watch.scrub() and told(till) == []
    alter(tmp_path / "posline.db", "UPDATE log SET data = CAST(data || x'00' AS BLOB) WHERE n = 3")
    async with open_till(tmp_path) as till:
        while not told(till) and await till.watch.scrub():
            pass
        assert "start the till again" in told(till)[0]
        await till.sell(LINES)
    async with open_till(tmp_path) as till:
        assert "set aside" in told(till)[0] or "kept as" in told(till)[0]
        assert len(counted(till)) == 7 and list(verify(till.store, till.shop_id)) == []


async def test_verify_has_the_next_start_mend_what_it_finds(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        for _ in range(3):
            await till.sell(LINES)
    alter(tmp_path / "posline.db", "UPDATE entry SET status = 2 WHERE number = 2")
    async with open_till(tmp_path) as till:
        problems = (await COMMANDS["verify"](till, {}))["problems"]
        assert any("disputed in the ledger" in p for p in problems) and "start the till again" in problems[-1]
    async with open_till(tmp_path) as till:
        assert counted(till) == [1, 2, 3] and told(till)
        assert (await COMMANDS["verify"](till, {}))["problems"] == []


GONE_ON_FROM = {
    "the hash": "UPDATE mark SET hash = zeroblob(32) WHERE number = 3",
    "the entry": "UPDATE mark SET seq = seq + 9 WHERE number = 3",
    "an earlier entry": "UPDATE mark SET seq = seq - 1 WHERE number = 3",
    "the run": "UPDATE mark SET run = run + 1 WHERE number = 3",
    "the number": "UPDATE mark SET number = 1 WHERE number = 3",
    "the author": "UPDATE mark SET author = iif(author LIKE 'b%', 'c', 'b') || substr(author, 2) WHERE number = 3",
    "the shop": "UPDATE shop SET id = iif(id LIKE 'b%', 'c', 'b') || substr(id, 2)",
}


@pytest.mark.parametrize("what", GONE_ON_FROM)
async def test_what_a_till_goes_on_from_is_not_believed_once_it_rotted(tmp_path: Path, what: str) -> None:
    """Or it would give its numbers a second time, before anybody asked whether its file is sound."""
    async with open_till(tmp_path) as till:
        for _ in range(3):
            await till.sell(LINES)
        shop = till.shop_id
    alter(tmp_path / "posline.db", GONE_ON_FROM[what])
    with closing(Store.open(tmp_path / "posline.db")) as store:
        assert any(isinstance(problem, Harm) for problem in verify(store, shop))
    async with open_till(tmp_path) as till:
        assert told(till) and (await till.sell(LINES)).number == 4 and counted(till) == [1, 2, 3, 4]
        assert list(verify(till.store, till.shop_id)) == []


MADE = {
    "the list of migrations": "ALTER TABLE _sqlite_migrations RENAME COLUMN applied_at TO applied_bt",
    "a name in it": "UPDATE _sqlite_migrations SET name = 'firsu' WHERE name = 'first'",
    "a column": "ALTER TABLE product RENAME COLUMN words TO wordt",
    "the name of a table": "ALTER TABLE entry RENAME TO entrz",
    "an index": "DROP INDEX entry_number",
    "the words of products": "ALTER TABLE product_words RENAME TO product_wordt",
}


@pytest.mark.parametrize("what", MADE)
async def test_a_till_starts_where_what_says_how_its_tables_were_made_rotted(tmp_path: Path, what: str) -> None:
    async with open_till(tmp_path) as till:
        await till.sell(LINES)
    alter(tmp_path / "posline.db", MADE[what])
    async with open_till(tmp_path) as till:
        assert told(till) and (await till.sell(LINES)).number == 2 and counted(till) == [1, 2]


def half_made(at: Path, *copies: tuple[str, Path]) -> None:
    """Copy the files named by their suffixes as they are in the middle of a database's first transaction."""
    with closing(sqlite3.connect(at, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=1")  # so that pages are in the file before they are committed
        db.execute("BEGIN")
        db.execute("CREATE TABLE half (made)")
        db.executemany("INSERT INTO half VALUES (zeroblob(?))", [(3000,)] * 100)
        for suffix, copy in copies:
            assert at.with_name(at.name + suffix).stat().st_size
            shutil.copyfile(at.with_name(at.name + suffix), copy)


async def test_a_first_start_that_was_cut_off_in_its_first_transaction_is_none_that_damages(tmp_path: Path) -> None:
    """There is no write-ahead log yet, and the journal may only be played back by who writes."""
    folder = tmp_path / "till"
    folder.mkdir()
    half_made(tmp_path / "half", ("", folder / "posline.db"), ("-journal", folder / "posline.db-journal"))
    Key(bytes(32)).save(folder / "key")
    async with open_till(folder) as till:
        assert not told(till) and (await till.sell(LINES)).number == 1


async def test_what_is_left_of_a_first_transaction_undoes_nothing_of_the_log(tmp_path: Path) -> None:
    """A cut may bring the name of a removed journal back; played back, it would empty the file and take the log too."""
    async with open_till(tmp_path / "till") as till:
        await till.sell(LINES)
        shutil.copytree(tmp_path / "till", tmp_path / "cut")
    half_made(tmp_path / "half", ("-journal", tmp_path / "cut" / "posline.db-journal"))
    async with open_till(tmp_path / "cut") as till:
        assert not told(till) and (await till.sell(LINES)).number == 2 and counted(till) == [1, 2]


async def test_a_first_start_that_was_cut_off_within_the_list_of_migrations_is_no_damage(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        await till.sell(LINES)
    alter(tmp_path / "posline.db", "DROP INDEX idx__sqlite_migrations_migration_set_name")
    async with open_till(tmp_path) as till:
        assert not told(till) and (await till.sell(LINES)).number == 2


def malformed(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """As it opens the file, a till meets so often what SQLite says of a page that is wrong or was not read."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorname = "SQLITE_CORRUPT"
    met = [error] * times

    def meet() -> None:
        if met:
            raise met.pop()

    monkeypatch.setattr(opening, "sqlite_warning", meet)


async def test_a_read_that_fails_once_at_a_first_start_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    malformed(monkeypatch, 1)
    async with open_till(tmp_path) as till:
        assert not told(till) and (await till.sell(LINES)).number == 1
    assert not kept(tmp_path)


async def test_a_read_that_fails_once_in_looking_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Damage("database disk image is malformed")]
    asked = salvaging.strayed
    monkeypatch.setattr(salvaging, "strayed", lambda *place: found.pop() if found else asked(*place))
    async with open_till(folder) as till:
        assert not told(till) and not kept(folder) and len(counted(till)) == SALES + 3


async def test_what_is_met_again_in_opening_a_file_is_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    malformed(monkeypatch, 1)
    async with open_till(folder) as till:
        assert not told(till) and len(counted(till)) == SALES + 3
    malformed(monkeypatch, 2)
    async with open_till(folder) as till:
        assert told(till) and kept(folder) and len(counted(till)) == SALES + 3


async def test_a_key_that_lost_a_letter_is_not_taken_for_another_till(folder: Path) -> None:
    key = (folder / "key").read_text()
    seed = key.split()[1]
    (folder / "key").write_text(key.replace(seed, ("0" if seed[0] != "0" else "1") + seed[1:]))
    with pytest.raises(FolderDamaged, match="not the one that this till signed with"):
        async with open_till(folder):
            pass
    (folder / "key").write_text(key)
    async with open_till(folder) as till:
        assert len(counted(till)) == SALES + 3


async def test_of_another_shops_database_nothing_is_taken(tmp_path: Path) -> None:
    """It was put in the place of ours: its sales are none of this shop, nor is what was asked there."""
    async with open_till(tmp_path / "south", shop="South") as south:
        theirs = [await south.sell(LINES) for _ in range(3)]
    async with open_till(tmp_path / "north", shop="North") as north:
        await north.sell(LINES)
    shutil.copy(tmp_path / "south" / "posline.db", tmp_path / "north" / "posline.db")
    async with open_till(tmp_path / "north") as north:
        assert "does not name this till's shop" in told(north)[0] and kept(tmp_path / "north")
        report = north.day_report()
        assert not (report["held"] or report["invalid"] or report["disputed"] or north.sales())
        assert [alarm["kind"] for alarm in north.alarms()] == ["damage"]
        assert north.reports.request_form(theirs[0].id) is None
        assert (await north.sell(LINES)).status == "counted"


async def test_settings_that_are_not_whole_keep_nobody_from_selling(folder: Path) -> None:
    (folder / "settings.json").write_text('{"shop": "abc')
    async with open_till(folder) as till:
        assert len(counted(till)) == SALES + 3 and "settings.json" in told(till)[0]
        assert (await till.sell(LINES)).number == SALES + 4
    assert json.loads((folder / "settings.json").read_bytes())["shop"]


async def test_whoever_only_reads_mends_nothing(folder: Path) -> None:
    DAMAGES["another file"](folder, random.Random(1))
    (folder / "posline.db-wal").unlink()
    (folder / "posline.db-shm").unlink(missing_ok=True)
    before = names(folder) - {"posline.db-wal", "posline.db-shm"}
    with pytest.raises(FolderDamaged, match="start the till"):
        async with open_till(folder, read_only=True):
            pass
    assert names(folder) - {"posline.db-wal", "posline.db-shm"} == before


async def test_a_till_that_lost_its_last_sales_takes_up_its_chain_from_another(tmp_path: Path) -> None:
    """Whatever the other till has is counted at both, and the numbers go on behind it."""
    async with open_till(tmp_path / "a") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            url = await b.listen()
            await a.sell(LINES)
            await until(lambda: counted(b) == [1])
            await until(lambda: len(Anchor.load(tmp_path / "a").elements) == len(a.store.acts(a.shop_id)))
            shutil.copytree(tmp_path / "a", tmp_path / "old")
            for _ in range(4):
                await a.sell(LINES)
            await until(lambda: sorted(counted(b)) == [1, 2, 3, 4, 5])
            await a.close()
            (tmp_path / "old" / "posline.db-wal").unlink()
            (tmp_path / "old" / "local.json").write_text("{}")
            async with open_till(tmp_path / "old") as old:
                assert old.replica.unsure
                await old.connect(url)
                await hear_others(old)
                assert (await old.sell(LINES)).number == 6
                assert sorted(counted(old)) == [1, 2, 3, 4, 5, 6] and not old.reports.forks()
                await until(lambda: old.day_report() == b.day_report())


async def test_where_nobody_answers_it_sells_and_what_it_lost_counts_where_it_turns_up(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            url = await b.listen()
            await a.sell(LINES)
            await until(lambda: counted(b) == [1])
            await until(lambda: len(Anchor.load(tmp_path / "a").elements) == len(a.store.acts(a.shop_id)))
            shutil.copytree(tmp_path / "a", tmp_path / "old")
            for _ in range(4):
                await a.sell(LINES)
            await until(lambda: sorted(counted(b)) == [1, 2, 3, 4, 5])
            await a.close()
            (tmp_path / "old" / "posline.db-wal").unlink()
            (tmp_path / "old" / "local.json").write_text("{}")
            async with open_till(tmp_path / "old") as old:
                await hear_others(old, patience_s=0)
                fresh = await old.sell(LINES)
                await old.connect(url)
                await until(lambda: old.day_report() == b.day_report())
                assert len(counted(old)) == len(counted(b)) == 6 and old.day_report()["sales"]["total"] == 6 * 250
                assert not old.day_report()["disputed"] and not old.reports.forks()
                receipts = [sale.receipt for sale in old.sales()]
                assert fresh.receipt in receipts and len(set(receipts)) == 6, "told apart by their letters"


async def test_one_that_answers_may_lack_what_another_holds(tmp_path: Path) -> None:
    """B was off when the till sold last, and C is off when it asks: what C holds of it counts all the same."""
    async with open_till(tmp_path / "a") as a:
        for name in ("b", "c"):
            await invited(a, tmp_path / name)
        async with open_till(tmp_path / "b") as b, open_till(tmp_path / "c") as c:
            for other in (b, c):
                await other.listen()
            await a.sell(LINES)
            await until(lambda: counted(b) == counted(c) == [1])
            await until(lambda: len(Anchor.load(tmp_path / "a").elements) == len(a.store.acts(a.shop_id)))
            shutil.copytree(tmp_path / "a", tmp_path / "old")
            await b.close()
            for _ in range(4):
                await a.sell(LINES)
            await until(lambda: sorted(counted(c)) == [1, 2, 3, 4, 5])
            await c.close()  # before A signs what it sold last
    (tmp_path / "old" / "posline.db-wal").unlink()
    (tmp_path / "old" / "local.json").write_text("{}")
    async with open_till(tmp_path / "b") as b, open_till(tmp_path / "old") as old:
        await old.connect(await b.listen())
        await until(lambda: bool(old.whole.in_step))
        await hear_others(old, patience_s=0)
        assert (await old.sell(LINES)).number == 2
        async with open_till(tmp_path / "c") as c:
            await old.connect(await c.listen())
            await until(lambda: old.day_report() == c.day_report() == b.day_report())
            report = old.day_report()
            assert (report["sales"]["count"], report["disputed"], old.reports.forks()) == (6, [], [])
            receipts = [sale.receipt for sale in old.sales()]
            assert len(set(receipts)) == 6, "told apart by their letters"
