"""What the book says of a till's numbers after its members, or its key, were changed while it was apart: right where
nothing was skipped, and not blind where something was."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from posline.core.document import lone_update
from posline.core.entry import decode, encode, sign
from posline.storage.removal import points_of
from posline.trust.keys import Key
from tests.kit import DAY, JOURNAL, text_key
from tests.simulation import people, schedule
from tests.simulation.actions import ACTIONS, Action, fresh_id, seller
from tests.simulation.people import goods, ring
from tests.simulation.schedule import Schedule
from tests.simulation.world import Machine, World, key_of

Step = Callable[[World], None]
SEEDS = random.Random(1)


def played(monkeypatch: pytest.MonkeyPatch, *steps: Step, tills: int = 2) -> str | None:
    """What a shop's run comes to in which just that happens, one after the other, without any line up to its end."""
    for n, step in enumerate(steps):
        monkeypatch.setitem(ACTIONS, f"step {n}", Action("", 0, "never", lambda world, _, step=step: step(world)))
    names = tuple((f"step {n}", n) for n in range(len(steps)))
    return schedule.run(Schedule(1, tills, 0, ("cold",), names)).failure


def of(world: World, name: str) -> Machine:
    return next(machine for machine in world.machines if machine.name == name)


def sell(world: World) -> None:
    till = of(world, "till1")
    ring(world, till, fresh_id(SEEDS), goods(SEEDS))
    world.commit_all(till)


def act(world: World, kind: str, fields: dict[str, object]) -> None:
    """An act of till0's."""
    world.reshaped = True
    of(world, "till0").running.write(kind, fields, document="shop")
    world.commit_all(of(world, "till0"))


def remove(world: World) -> None:
    who = key_of("till1").id
    points = points_of(of(world, "till0").disk, world.shop, who, vouched_only=False)
    act(world, "remove", {"member": who, "points": [list(point) for point in points]})


def hear(world: World) -> None:
    """till1 gets what the shop's document at till0 says."""
    till = of(world, "till1")
    for row in of(world, "till0").disk.rows(world.shop, "shop", 0, 1000):
        till.running.integrate("shop", row.update, origin="f" * 26)
    world.commit_all(till)
    assert till.key.id in till.disk.authority(world.shop).removals


def admit_again(world: World) -> None:
    act(world, "member", {"key": text_key(key_of("till1").public), "label": "B", "role": "manager"})


def change_key(world: World) -> None:
    till = of(world, "till1")
    till.waiting_key = Key(random.Random("another").randbytes(32), till.key.id)
    till.running.rotate(till.waiting_key)
    world.commit_all(till)


def recover(world: World) -> None:
    """till1 is made manager with the recovery code."""
    till = of(world, "till1")
    n = next(n for n in range(99) if seller(world, random.Random(n)) is till)
    people.recover(world, random.Random(n))
    world.commit_all(till)
    assert world.done["recovered with a new key"] == 1


def start_again(world: World) -> None:
    world.kill(of(world, "till1"))
    world.boot(of(world, "till1"))
    assert of(world, "till1").sells


def forge(world: World) -> None:
    """Somebody brings a sale in till1's name with a number that it gave already."""
    till = of(world, "till1")
    strange(world, till, forged=True)


def strange(world: World, there: Machine, *, forged: bool = False) -> None:
    """An entry in till1's name that it never wrote lies on a disk."""
    fields = {
        "v": 1, "id": fresh_id(SEEDS), "kind": "sale" if forged else "seal", "till": key_of("till1").id, "run": 7,
        "seq": 2, "prev": "0" * 24, "at": "2026-11-23T12:00:00.000+05:00", "day": DAY, "by": "",
    }  # fmt: skip
    if forged:
        line = {"sku": "1", "quantity": "1", "price": 5}
        raw = encode(fields | {"number": 1, "label": "B", "lines": [line], "total": 5}).encode()
    else:
        raw = sign(fields, key_of("till1").sign).encode()
    entry = decode(JOURNAL, raw)
    assert entry.fault is None, entry.fault
    if forged:
        world.book.forged.add(entry.hash)
    there.running.integrate(JOURNAL, lone_update(77, entry.till, [raw.decode()]), origin="f" * 26)
    world.commit_all(there)


def renumber(by: int) -> Step:
    def step(world: World) -> None:
        of(world, "till1").running._number += by

    return step


LIVES = {
    "removed before the others heard of it": (sell, remove, sell),
    "removed and aware of it": (sell, remove, sell, hear, sell),
    "with a key that nobody need believe": (sell, remove, change_key, sell, admit_again, sell),
    "of which one was forged meanwhile": (sell, remove, change_key, sell, forge, admit_again, sell),
    "recovered with its new key": (sell, remove, change_key, sell, hear, start_again, recover, sell),
    "started again with such a key": (sell, remove, change_key, sell, start_again, sell, admit_again),
}


@pytest.mark.parametrize("life", LIVES)
def test_a_till_numbers_without_a_gap(life: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert played(monkeypatch, *LIVES[life]) is None


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("life", LIVES)
def test_a_number_skipped_or_given_twice_is_seen(life: str, by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    *before, last = LIVES[life]
    failure = played(monkeypatch, *before, renumber(by), sell, last)
    assert failure is not None and "till1 wrote [" in failure


def test_what_others_have_of_a_till_and_it_does_not_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = played(monkeypatch, sell, remove, lambda world: strange(world, of(world, "till0")))
    assert failure is not None and "till1 never wrote what others have of it" in failure


def test_what_lies_behind_an_act_that_fell_is_signed_all_the_same() -> None:
    """Who admitted guest2 was removed, so guest2's own act comes to nothing, and vouches for none of its sales."""
    steps = (
        ("join", 1184770045), ("remove", 977452984), ("join", 3777909711), ("join", 2736839809), ("sell", 940497981),
        ("join", 53106980), ("sell", 2451096168), ("change_role", 3487437845), ("recover", 1700774225),
    )  # fmt: skip
    outcome = schedule.run(Schedule(31005111, 2, 1, ("members", "hostile", "cold"), steps))
    assert outcome.failure is None, f"{outcome.where}: {outcome.failure}"
    assert outcome.done["recovered"] == 1
