"""What the book says of a shop that fell apart: a till removed the others, and nobody told them, so that they may have
one of its documents without another. Right where what is missing lies at that till, and not blind where it does not."""

from __future__ import annotations

import random

import pytest

from posline.core.document import lone_update
from posline.core.entry import decode, encode
from tests.kit import DAY, JOURNAL
from tests.simulation import book, schedule
from tests.simulation.actions import fresh_id
from tests.simulation.people import goods, ring
from tests.simulation.schedule import Schedule
from tests.simulation.test_numbers import Step, act, of, played
from tests.simulation.world import World, key_of

SEEDS = random.Random(1)


def sell(world: World) -> None:
    ring(world, of(world, "till0"), fresh_id(SEEDS), goods(SEEDS))
    world.commit_all(of(world, "till0"))


def price(world: World) -> None:
    product = {"sku": "1", "name": "tea", "price": 5}
    of(world, "till0").running.write("products", {"products": [product]}, document="catalog/1")
    world.commit_all(of(world, "till0"))


def promote(world: World) -> None:
    act(world, "role", {"member": key_of("till2").id, "role": "manager"})


def hear(document: str) -> Step:
    """till1 gets one document of till0's as it is now."""

    def step(world: World) -> None:
        for row in of(world, "till0").disk.rows(world.shop, document, 0, 1000):
            of(world, "till1").running.integrate(document, row.update, origin="f" * 26)
        world.commit_all(of(world, "till1"))

    return step


def remove_all(world: World) -> None:
    for name in ("till1", "till2"):
        act(world, "remove", {"member": key_of(name).id, "points": []})


def made_up(name: str) -> Step:
    """A sale of till0's lies at some till alone, out of a run that never began, and people are told of it."""

    def step(world: World) -> None:
        who, there = key_of("till0").id, of(world, name)
        fields = {
            "v": 1, "id": fresh_id(SEEDS), "kind": "sale", "till": who, "run": 7, "seq": 9, "prev": "0" * 24,
            "at": "2026-11-23T12:00:00.000+05:00", "day": DAY, "by": "", "number": 9, "label": "A",
            "lines": [{"sku": "1", "quantity": "1", "price": 5}], "total": 5,
        }  # fmt: skip
        entry = decode(JOURNAL, encode(fields).encode())
        assert entry.fault is None, entry.fault
        there.running.integrate(JOURNAL, lone_update(77, who, [entry.raw.decode()]), origin="f" * 26)
        world.commit_all(there)
        world.book.confirm(there, entry.hash, entry.kind, entry.id, entry.amount, who)

    return step


APART = {
    "the start of a run": (price, hear("catalog/1"), remove_all),
    "a sale before what is signed": (sell, hear(JOURNAL), sell, promote, hear("shop"), remove_all),
}


@pytest.mark.parametrize("lacking", APART)
def test_what_waits_for_what_only_its_till_has_is_no_broken_promise(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def look(world: World) -> None:
        at = of(world, "till1").disk.read
        waits.extend(at.execute("SELECT count(*) FROM entry WHERE status IN (2, 3)").fetchone())

    assert played(monkeypatch, *APART[lacking], look, tills=3) is None
    assert waits == [1], "the case is another one"


def test_nor_is_it_in_schedules_that_were_drawn() -> None:
    alone = (
        ("connect", 2842671039), ("edit", 4198981799), ("commit", 2771860786), ("move", 3786004608),
        ("remove", 3905050260), ("remove", 3306073074), ("move", 479429207), ("flow", 4145655671),
    )  # fmt: skip
    outcome = schedule.run(Schedule(20016212, 2, 1, ("members", "cold"), alone))
    assert outcome.failure is None, f"{outcome.where}: {outcome.failure}"
    assert outcome.done["a till's entry without another that it waits for"] >= 1


@pytest.mark.parametrize(("name", "said"), [("till0", "is held: "), ("till1", "is held, whatever comes: ")])
def test_what_no_part_of_the_shop_would_count_is_seen(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = played(monkeypatch, *APART["the start of a run"], made_up(name), tills=3)
    assert failure is not None and f"what was confirmed {said}Told(kind='sale'" in failure


def test_a_sale_that_no_removal_would_name_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "points_of", lambda *_, **__: [])
    failure = played(monkeypatch, *APART["a sale before what is signed"], tills=3)
    assert failure is not None and "no removal would name sale" in failure
