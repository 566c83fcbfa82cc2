"""The books: shops, tokens, invitations, the audit trail; what an earlier version kept; other processes."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from posline.errors import DiskFull, FolderDamaged, NotFound, Unavailable
from posline.storage.folder import Folder
from posline.till.invitation import InvitationRefused
from posline.trust.gate import Grant, Scope, token_hash
from relay import database as database_module
from relay import office as office_module
from relay.database import Database, SqliteDatabase, transact
from relay.invitations import OfficeInvitations
from relay.office import CONSOLE, STEPS, Office, ShopNameTwice, open_office
from relay.postgres.connection import Database as Pg
from relay.postgres.office import OfficeDatabase
from relay.rights import Actor
from tests.postgres import leave_no_room

NORTH, SOUTH = "n" * 26, "s" * 26


class Clock:
    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


Opening = Callable[[], Database]


@contextmanager
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """What opens the books of one head office once more, as another process does, in SQLite or PostgreSQL."""
    opened: list[Database] = []
    where: Pg | None = None
    if request.param == "postgresql":
        where = Pg(request.getfixturevalue("cluster").url(f"o{uuid.uuid4().hex[:12]}"))
        with where.connect() as connection:
            connection.execute(f"CREATE SCHEMA {where.schema}".encode())

    def opening() -> Database:
        made = SqliteDatabase(tmp_path / "office.db") if where is None else OfficeDatabase(where)
        opened.append(made)
        return made

    yield opening
    for each in opened:
        each.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    with books(request, tmp_path) as found:
        yield found


@pytest.fixture
def office(opening: Opening, clock: Clock) -> Office:
    return Office(opening(), clock)


def attach(office: Office, id: str = NORTH, name: str = "North", alias: str = "") -> None:
    office.attach(id, name, alias=alias, by=CONSOLE)


def acts(office: Office) -> list[str]:
    return [line.act for line in office.trail()]


def test_a_shop_is_found_by_what_it_is_called(office: Office) -> None:
    attach(office, alias="Mall")
    attach(office, SOUTH, "South", alias="Mall")
    assert [office.find(wanted).id for wanted in (NORTH, "North", "South")] == [NORTH, NORTH, SOUTH]
    with pytest.raises(ShopNameTwice, match=f"{NORTH}, {SOUTH}"):
        office.find("Mall")
    assert office.find("Mall", lambda shop: shop == SOUTH).id == SOUTH
    office.rename_shop(SOUTH, "  Harbour   road ", by=CONSOLE)
    assert office.find("Harbour road").id == SOUTH and office.find("Mall").id == NORTH
    for nothing in ("", "West"):
        with pytest.raises(NotFound):
            office.find(nothing)


def test_a_removed_shop_stays_in_the_books_until_it_is_attached_again(office: Office, clock: Clock) -> None:
    attach(office, alias="Mall")
    office.remove_shop(NORTH, by=Actor("Asma", "10.0.0.9"))
    assert office.shops() == [] and [shop.removed_ms for shop in office.shops(removed=True)] == [clock.ms]
    assert office.find("North").id == NORTH
    attach(office, SOUTH, "North")
    assert office.find("North").id == SOUTH, "one that is served goes before one that was removed"
    attach(office)
    assert office.shop(NORTH).alias == "Mall" and len(office.shops()) == 2  # type: ignore[union-attr]
    assert acts(office) == ["shop_attached", "shop_attached", "shop_removed", "shop_attached"]
    assert (office.trail()[2].who, office.trail()[2].address) == ("Asma", "10.0.0.9")


def test_a_token_opens_its_shop_until_it_is_revoked_by_whichever_process(office: Office, opening: Opening) -> None:
    attach(office)
    reader = office.hand_out(shop=NORTH, role="read", name="ERP", by=CONSOLE)
    writer = office.hand_out(shop=NORTH, role="write", author="a" * 26, by=CONSOLE)
    everything = office.hand_out(shop="", role="read", by=CONSOLE)
    assert office.decide(NORTH, reader) == Grant(Scope.READER)
    assert office.decide(NORTH, writer) == Grant(Scope.WRITER, "a" * 26)
    assert office.decide(SOUTH, reader) is None and office.decide(SOUTH, everything) == Grant(Scope.READER)
    viewer = office.access(reader)
    assert viewer is not None and viewer.covers(NORTH) and not viewer.covers(SOUTH)
    for guess in ("", "guess", reader + "x", "x" * 5000, "\ud800"):
        assert office.access(guess) is None and office.decide(NORTH, guess) is None
    doors, beside = office.doors, Office(opening(), office.now_ms)
    (found,) = (token for token in beside.tokens() if token.name == "ERP")
    beside.revoke(found.id, by=CONSOLE)
    assert office.access(reader) is None and office.decide(NORTH, reader) is None and office.doors != doors
    assert office.access(everything) is not None
    with pytest.raises(NotFound):
        office.revoke(found.id, by=CONSOLE)
    held = str(office.database.execute("SELECT * FROM office_token").fetchall())
    assert token_hash(reader) in held and not any(token in held for token in (reader, writer, everything))


def test_an_invitation_is_made_by_one_process_and_taken_once_at_another(
    office: Office, clock: Clock, opening: Opening
) -> None:
    here, there = OfficeInvitations(office), OfficeInvitations(Office(opening(), office.now_ms))
    token = here.add(note="Mall", expires_s=60)
    assert there.take(token, NORTH) == "Mall"
    assert here.take(token, NORTH) == "Mall", "the answer may have been lost"
    with pytest.raises(InvitationRefused, match="used already"):
        here.take(token, SOUTH)
    late = here.add(expires_s=60)
    clock.ms += 60_000
    with pytest.raises(InvitationRefused, match="expired"):
        there.take(late, NORTH)


def test_ten_wrong_tries_end_one_invitation_and_no_other(office: Office) -> None:
    invitations = OfficeInvitations(office)
    one, another = invitations.add(), invitations.add()
    for n in range(10):
        with pytest.raises(InvitationRefused):
            invitations.take(f"{one[:8]}{n:022}", NORTH)
        with pytest.raises(InvitationRefused):
            invitations.take(f"{n:030}", NORTH)
    with pytest.raises(InvitationRefused):
        invitations.take(one, NORTH)
    assert invitations.take(another, NORTH) == ""


def test_a_removed_shop_does_not_come_back_with_the_invitation_that_it_took(office: Office) -> None:
    invitations = OfficeInvitations(office)
    token = invitations.add()
    invitations.take(token, NORTH)
    attach(office)
    office.remove_shop(NORTH, by=CONSOLE)
    with pytest.raises(InvitationRefused, match="was removed from the head office"):
        invitations.take(token, NORTH)
    assert invitations.take(invitations.add(), NORTH) == ""


def test_of_two_that_take_an_invitation_at_once_one_has_it(office: Office, opening: Opening) -> None:
    there, token = OfficeInvitations(Office(opening(), office.now_ms)), OfficeInvitations(office).add()
    ready, had = threading.Barrier(2), []

    def take(invitations: OfficeInvitations, shop: str) -> None:
        ready.wait()
        with contextlib.suppress(InvitationRefused):
            invitations.take(token, shop)
            had.append(shop)

    both = [threading.Thread(target=take, args=pair) for pair in ((OfficeInvitations(office), NORTH), (there, SOUTH))]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(had) == 1


def test_the_trail_is_read_page_by_page_the_newest_first(office: Office, clock: Clock) -> None:
    for n in range(7):
        attach(office, f"{n}" * 26, f"Shop {n}")
        clock.ms += n % 2
    seen: list[str] = []
    before = ""
    while page := office.trail(before=before, limit=3):
        seen += [line.about for line in page]
        before = page[-1].id
    assert seen == [f"Shop {n}" for n in reversed(range(7))]


def test_nothing_in_the_product_changes_a_line_of_the_trail() -> None:
    for path in Path(office_module.__file__).parent.rglob("*.py"):
        assert not re.search(r"(UPDATE|DELETE FROM) office_audit\b", path.read_text()), path


def test_what_an_act_changed_and_its_line_stand_or_fall_together(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> None:
        raise RuntimeError("the power went")

    attach(office)
    monkeypatch.setattr(office, "audit", fails)
    with pytest.raises(RuntimeError):
        office.remove_shop(NORTH, by=CONSOLE)
    monkeypatch.undo()
    assert [shop.id for shop in office.shops()] == [NORTH] and acts(office) == ["shop_attached"]


OLD = {
    "shops": {NORTH: {"name": "North", "attached": "2026-11-20T08:00:00Z", "alias": "Mall"}},
    "tokens": {
        token_hash("one"): {"shop": NORTH, "role": "read", "name": "ERP", "author": None},
        token_hash("all"): {"shop": "", "role": "read", "name": "Asma", "author": None},
    },
    "invitations": {token_hash("open"): [4_000_000_000_000, "Harbour"]},
    "address": "10.0.0.1:8800 pin",
    "kept": 1,
}


@pytest.mark.parametrize("cut", [False, True])
def test_what_an_earlier_version_kept_is_taken_over_once(
    cut: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the power goes between the tables and the settings file."""
    (tmp_path / "settings.json").write_text(json.dumps(OLD))
    with Folder(tmp_path) as folder:
        if cut:
            monkeypatch.setattr(Folder, "save_settings", lambda *_: (_ for _ in ()).throw(OSError("cut")))
            with pytest.raises(OSError):
                open_office(folder)
            monkeypatch.undo()
            assert json.loads((tmp_path / "settings.json").read_text()) == OLD
        for _ in range(2):
            office = open_office(folder)
            (shop,) = office.shops()
            assert (shop.id, shop.name, shop.alias, shop.attached) == (NORTH, "North", "Mall", "2026-11-20T08:00:00Z")
            one, everything = office.access("one"), office.access("all")
            assert one is not None and one.shops == frozenset({NORTH}) and one.person == ""
            assert everything is not None and everything.shops is None and len(office.tokens()) == 2
            assert office.address == "10.0.0.1:8800 pin"
            assert OfficeInvitations(office).take("open", SOUTH) == "Harbour"
            assert folder.settings == {"kept": 1, "office": "office.db"}
            office.database.close()


def test_books_that_are_gone_or_damaged_are_not_gone_on_without(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        office = open_office(folder)
        attach(office)
        office.database.close()
        path = tmp_path / "office.db"
        whole = path.read_bytes()
        path.write_bytes(whole[:100] + bytes(4000) + whole[4100:])
        with pytest.raises(FolderDamaged, match="put back the copy"):
            open_office(folder)
        for file in tmp_path.glob("office.db*"):
            file.unlink()
        with pytest.raises(FolderDamaged, match="is gone"):
            open_office(folder)


def test_a_transaction_that_another_one_was_in_the_way_of_is_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fails(error: Exception) -> None:
        raise error

    class Contended:
        def __getattr__(self, name: str) -> Any:
            return getattr(office.database, name)

        def passing(self, error: Exception) -> bool:
            return isinstance(error, TimeoutError)

    def work(tx: Any) -> str:
        office.audit(tx, CONSOLE, "tried", "")
        tries.append(1)
        if len(tries) < 3:
            raise TimeoutError
        return "done"

    assert transact(Contended(), work) == "done"
    assert acts(office) == ["tried"], "what was rolled back left nothing"
    monkeypatch.setattr(database_module, "WAIT_S", 0)
    with pytest.raises(Unavailable):
        transact(Contended(), lambda tx: fails(TimeoutError()))
    with pytest.raises(ZeroDivisionError):
        transact(Contended(), lambda tx: fails(ZeroDivisionError()))


@pytest.mark.parametrize("opening", ["postgresql"], indirect=True)
def test_a_database_without_room_says_so_and_keeps_nobody_from_looking(opening: Opening, clock: Clock) -> None:
    """SQLite's: test_people.py."""
    database = opening()
    assert isinstance(database, OfficeDatabase)
    office = Office(database, clock)
    token = office.hand_out(shop="", role="read", by=CONSOLE)
    leave_no_room(database._database, "office_token", "office_shop")
    with pytest.raises(DiskFull, match="no room: could not extend file"):
        attach(office)
    clock.ms += 2 * office_module.USED_EVERY_MS
    assert office.access(token) is not None


def test_the_tables_keep_to_what_both_databases_speak() -> None:
    """Types, keys and statements; each table's rows are found by a key of their own."""
    for _, statements in STEPS:
        for statement in statements:
            assert not re.search(r"AUTOINCREMENT|PRAGMA|WITHOUT ROWID|\bREAL\b|\bBOOLEAN\b|\buser\b", statement)
            types = re.findall(r"[(,] ?\w+ ([A-Z]+)", statement) if statement.startswith("CREATE TABLE") else []
            assert set(types) <= {"TEXT", "INTEGER", "BLOB", "KEY"}, statement
    sources = [path.read_text() for path in Path(office_module.__file__).parent.rglob("*.py")]
    barred = re.compile(r"INSERT OR|\browid\b|json_(each|extract|object|group)|\bIIF\(|\bIFNULL\(")
    assert not any(barred.search(source) for source in sources)
