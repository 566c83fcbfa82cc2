"""People of a head office: passwords, roles, sessions, and how often somebody may guess."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher

from posline.errors import BadRequest, DiskFull, NotFound, NotPossible
from posline.trust.gate import Grant, Scope
from relay.attempts import Attempts, by_address, by_name
from relay.database import SqliteDatabase
from relay.office import CONSOLE, Office
from relay.passwords import Passwords
from relay.people import IDLE_MS, SESSION_MS, Browser, NotSignedIn, People
from relay.rights import RIGHTS, NotYours, Right, Role
from tests.relay.test_office import NORTH, SOUTH, Clock, Opening, books

SECRET, OTHER = "three green bicycles", "four yellow umbrellas"
HERE = Browser(address="192.0.2.1", agent="Firefox")
QUICK = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}


def made(opening: Opening, clock: Clock) -> People:
    return People(Office(opening(), clock), Passwords(PasswordHasher(**QUICK)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    with books(request, tmp_path) as found:
        yield found


@pytest.fixture
def people(opening: Opening, clock: Clock) -> People:
    found = made(opening, clock)
    for id, name in ((NORTH, "North"), (SOUTH, "South")):
        found.office.attach(id, name, alias="", by=CONSOLE)
    return found


async def owner(people: People, name: str = "Asma") -> str:
    """An owner who has chosen a password; their session."""
    return (await people.first(people.add(name, Role.OWNER, None, by=CONSOLE), SECRET, HERE)).session


def acts(people: People) -> list[tuple[str, str]]:
    return [(line.act, line.who) for line in people.office.trail()]


async def test_the_first_token_chooses_a_password_once_and_stays_a_bearer_token(people: People) -> None:
    token = people.add("Asma Khan", Role.OWNER, None, by=CONSOLE)
    with pytest.raises(NotSignedIn):
        await people.sign_in("Asma Khan", "", HERE)
    for poor in ("short", "password123", "aaaaaaaaaaaa", "asmakhan", "asma khan", "x" * 201):
        with pytest.raises(BadRequest):
            await people.first(token, poor, HERE)
    found = await people.first(token, SECRET, HERE)
    viewer = people.session(found.session)
    assert viewer is not None and viewer.name == "Asma Khan" and viewer.may(Right.ADMINISTER, NORTH)
    for spent in (token, "guess", "", "x" * 9000):
        with pytest.raises(NotSignedIn, match="used for a password before"):
            await people.first(spent, OTHER, HERE)
    bearer = people.office.access(token)
    assert bearer is not None and bearer.shops is None and bearer.person
    assert people.office.decide(NORTH, token) == Grant(Scope.READER)
    assert (await people.sign_in("  asma  KHAN", SECRET, HERE)).name == "Asma Khan"
    assert ("password_chosen", "Asma Khan") in acts(people)


async def test_what_a_role_may_do(people: People) -> None:
    expected = {
        Role.OWNER: set(Right),
        Role.ACCOUNTANT: {Right.SEE, Right.EXPORT},
        Role.MANAGER: {Right.SEE, Right.PRICES},
        Role.READER: {Right.SEE},
    }
    assert {role: set(rights) for role, rights in RIGHTS.items()} == expected
    for role in (Role.ACCOUNTANT, Role.MANAGER, Role.READER):
        viewer = people.office.access(people.add(role.value, role, [NORTH], by=CONSOLE))
        assert viewer is not None and viewer.shops == frozenset({NORTH})
        for right in Right:
            assert viewer.may(right, NORTH) == (right in expected[role]) and not viewer.may(right, SOUTH)
        with pytest.raises(NotYours):
            viewer.require(Right.ADMINISTER)
    everywhere = people.office.access(people.add("Bilal", Role.ACCOUNTANT, None, by=CONSOLE))
    assert everywhere is not None and everywhere.shops is None


@pytest.mark.parametrize(
    ("role", "shops"), [(Role.OWNER, [NORTH]), (Role.MANAGER, None), (Role.READER, []), (Role.MANAGER, [])]
)
def test_shops_that_do_not_go_with_a_role(role: Role, shops: list[str] | None, people: People) -> None:
    """Least of all may none that is named come to mean every one."""
    with pytest.raises(BadRequest):
        people.add("Bilal", role, shops, by=CONSOLE)
    assert people.listed() == []


def test_nobody_is_added_twice_or_for_shops_that_are_not(people: People) -> None:
    people.add("Bilal", Role.READER, [NORTH], by=CONSOLE)
    with pytest.raises(NotPossible, match="is called"):
        people.add(" BILAL ", Role.READER, [NORTH], by=CONSOLE)
    with pytest.raises(NotFound):
        people.add("Zara", Role.READER, ["w" * 26], by=CONSOLE)
    for name in ("", "  ", "x" * 101, "a\x1bb", "Command line (root)", "The shop North"):
        with pytest.raises(BadRequest):
            people.add(name, Role.READER, [NORTH], by=CONSOLE)


async def test_a_changed_role_counts_from_the_next_request(people: People) -> None:
    await owner(people)
    token = people.add("Bilal", Role.OWNER, None, by=CONSOLE)
    session = (await people.first(token, SECRET, HERE)).session
    people.change(people.by_name("bilal"), Role.MANAGER, [SOUTH], by=CONSOLE)
    for viewer in (people.session(session), people.office.access(token)):
        assert viewer is not None and viewer.shops == frozenset({SOUTH}) and not viewer.may(Right.ADMINISTER)
    assert people.office.decide(NORTH, token) is None


async def test_there_is_always_an_owner(people: People) -> None:
    await owner(people)
    only = people.by_name("Asma")
    with pytest.raises(NotPossible, match="only owner"):
        people.remove(only, by=CONSOLE)
    with pytest.raises(NotPossible, match="only owner"):
        people.change(only, Role.READER, None, by=CONSOLE)
    people.add("Bilal", Role.OWNER, None, by=CONSOLE)
    people.remove(only, by=CONSOLE)
    assert [person.name for person in people.listed()] == ["Bilal"]


async def test_a_removed_person_is_out_at_once_in_every_process(
    people: People, opening: Opening, clock: Clock
) -> None:
    people.add("Zara", Role.OWNER, None, by=CONSOLE)
    token = people.add("Bilal", Role.OWNER, None, by=CONSOLE)
    session = (await people.first(token, SECRET, HERE)).session
    beside = made(opening, clock)
    assert beside.session(session) is not None and beside.office.access(token) is not None
    people.remove(people.by_name("Bilal"), by=CONSOLE)
    assert beside.session(session) is None and beside.office.access(token) is None
    with pytest.raises(NotSignedIn):
        await beside.sign_in("Bilal", SECRET, HERE)
    again = people.add("Bilal", Role.READER, [NORTH], by=CONSOLE)
    assert beside.office.access(token) is None and beside.office.access(again) is not None


async def test_a_new_password_ends_every_session_but_the_one_that_it_begins(people: People) -> None:
    first = await owner(people)
    second = (await people.sign_in("Asma", SECRET, replace(HERE, agent="Chrome"))).session
    id = people.by_name("Asma").id
    with pytest.raises(NotSignedIn, match="not your password"):
        await people.change_password(id, OTHER, OTHER, HERE)
    third = (await people.change_password(id, SECRET, OTHER, replace(HERE, session=second))).session
    assert [people.session(token) is not None for token in (first, second, third)] == [False, False, True]
    token = people.forget_password(people.by_name("Asma"), by=CONSOLE)
    assert people.session(third) is None and people.office.access(token) is None, "it is no bearer token"
    with pytest.raises(NotSignedIn):
        await people.sign_in("Asma", OTHER, HERE)
    assert people.session((await people.first(token, SECRET, HERE)).session) is not None


async def test_a_session_ends_by_itself_and_by_signing_out(people: People, clock: Clock) -> None:
    used = await owner(people)
    unused = (await people.sign_in("Asma", SECRET, HERE)).session
    for _ in range(SESSION_MS // (IDLE_MS // 2)):
        clock.ms += IDLE_MS // 2
        assert people.session(used) is not None
    assert people.session(unused) is None
    clock.ms += IDLE_MS // 2
    assert people.session(used) is None, "it ends however much it is used"
    one, two, three = [(await people.sign_in("Asma", SECRET, HERE)).session for _ in range(3)]
    viewer = people.session(one)
    assert viewer is not None
    seats = people.seats(viewer.person, one)
    assert [seat.here for seat in seats].count(True) == 1 and len(seats) == 3
    people.sign_out(one, CONSOLE)
    assert people.session(one) is None and people.session(two) is not None
    people.end_session("somebody else", seats[0].id, CONSOLE)
    assert len(people.seats(viewer.person, two)) == 2
    people.end_session(viewer.person, "", CONSOLE)
    assert people.session(two) is None and people.session(three) is None


async def test_nobody_goes_on_in_a_session_from_before_they_signed_in(people: People) -> None:
    planted = await owner(people, "Mallory")
    found = await owner(people)
    found = (await people.sign_in("Asma", SECRET, replace(HERE, session=planted))).session
    assert found != planted and people.session(planted) is None


async def test_guesses_at_a_name_wait_longer_and_longer_wherever_they_come_from(people: People, clock: Clock) -> None:
    await owner(people)
    waits = []
    for n in range(12):
        with pytest.raises(NotSignedIn) as refused:
            await people.sign_in("Asma", "wrong wrong wrong", Browser(address=f"198.51.100.{n}"))
        if refused.value.wait_s:
            waits.append(refused.value.wait_s)
            clock.ms += refused.value.wait_s * 1000
    assert waits == sorted(waits) and waits[-1] > waits[0] >= 1
    with pytest.raises(NotSignedIn):  # the last of them set one more wait
        for _ in range(2):
            await people.sign_in("Asma", "wrong wrong wrong", Browser(address="203.0.113.5"))
    with pytest.raises(NotSignedIn, match="wait"):
        await people.sign_in("Asma", SECRET, Browser(address="203.0.113.5"))
    clock.ms += 60_000
    assert await people.sign_in("Asma", SECRET, Browser(address="203.0.113.5")), "a minute at most"


async def test_an_owner_gets_in_where_they_signed_in_before_whatever_others_try(people: People) -> None:
    await owner(people)
    known = await people.sign_in("Asma", SECRET, HERE)
    for n in range(40):
        with pytest.raises(NotSignedIn):
            await people.sign_in("Asma", "wrong wrong wrong", replace(HERE, address=f"198.51.100.{n % 3}"))
    with pytest.raises(NotSignedIn, match="wait"):
        await people.sign_in("Asma", SECRET, HERE)
    known = await people.sign_in("Asma", SECRET, replace(HERE, device=known.device))
    people.add("Bilal", Role.READER, None, by=CONSOLE)
    for n in range(6):  # a known browser of somebody else's is nothing special
        with pytest.raises(NotSignedIn, match="wait" if n == 5 else "do not go together"):
            await people.sign_in("Bilal", "wrong wrong wrong", Browser(address="x", device=known.device))


async def test_one_address_waits_whatever_the_name(people: People, clock: Clock) -> None:
    for n in range(20):
        with pytest.raises(NotSignedIn, match="do not go together"):
            await people.sign_in(f"name {n}", "wrong wrong wrong", Browser(address="2001:db8::1"))
    with pytest.raises(NotSignedIn, match="wait"):  # the 20th was the last that is free, from its whole network
        await people.sign_in("name 99", "wrong wrong wrong", Browser(address="2001:db8::ffff"))
    with pytest.raises(NotSignedIn, match="do not go together"):
        await people.sign_in("name 99", "wrong wrong wrong", Browser(address="2001:db8:0:1::1"))


def test_tries_at_once_are_counted_before_they_are_looked_at(people: People) -> None:
    attempts = Attempts(people.office)
    assert [attempts.begin(by_name("asma"), by_address("x")) > 0 for _ in range(7)] == [False] * 5 + [True] * 2


async def test_a_name_that_is_not_known_is_told_in_nothing(people: People) -> None:
    """Neither in words, nor in the work that is done: the same hash is made, with the same costs."""
    compared: list[str] = []

    class Noting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            compared.append(str(hash).rpartition("$")[0].rpartition("$")[0])  # kind, version and costs
            return super().verify(hash, password)

    people.passwords = Passwords(Noting(**QUICK))
    await owner(people)
    people.add("Bilal", Role.READER, None, by=CONSOLE)
    said, work = set(), set()
    for n in range(4):
        for name in ("Asma", "Bilal", "nobody"):
            compared.clear()
            with pytest.raises(NotSignedIn) as refused:
                await people.sign_in(name, "wrong wrong wrong", Browser(address=f"198.51.{n}.1"))
            said.add(str(refused.value))
            work.add(tuple(compared))
    assert len(said) == len(work) == 1 and len(work.pop()) == 1
    failed = [who for act, who in acts(people) if act == "sign_in_failed"]
    assert set(failed) == {"Asma", "Bilal", ""}, "what is typed into the wrong field is not written down"


async def test_a_password_is_hashed_anew_when_the_costs_rise(people: People) -> None:
    await owner(people)
    kept = "SELECT password FROM office_person"
    (before,) = people.office.database.execute(kept).fetchone()
    await people.sign_in("Asma", SECRET, HERE)
    assert people.office.database.execute(kept).fetchone() == (before,)
    people.passwords = Passwords(PasswordHasher(**(QUICK | {"time_cost": 2})))
    await people.sign_in("Asma", SECRET, HERE)
    (after,) = people.office.database.execute(kept).fetchone()
    assert ",t=2," in after and before != after
    assert await people.sign_in("Asma", SECRET, HERE)


async def test_a_full_disk_keeps_nobody_from_looking(tmp_path: Path, clock: Clock) -> None:
    people = made(lambda: SqliteDatabase(tmp_path / "office.db"), clock)
    token = people.add("Asma", Role.OWNER, None, by=CONSOLE)
    session = (await people.first(token, SECRET, HERE)).session
    writer = people.office.database._writer  # type: ignore[attr-defined]
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages}")
    clock.ms += IDLE_MS // 2
    with pytest.raises(DiskFull):
        for n in range(1000):
            people.office.attach(f"{n:026}", "x" * 100, alias="", by=CONSOLE)
    assert people.session(session) is not None and people.office.access(token) is not None
    people.office.database.close()
