"""A bounded share of the simulator at every change: fixed seeds, among which each action really happens. Fresh ones are
run by tests/simulation/simulate.py: so many in a proof, and with `make simulate HOURS=n` as many as there is time for.

What a run is held against is in tests/simulation/book.py and oracle.py.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.proof import Note
from tests.simulation.actions import ACTIONS
from tests.simulation.schedule import Schedule, draw, run
from tests.simulation.simulate import Tally, main

FIRST, RUNS = 57, 60  # between them every action
PARTS = 5  # so that they can be spread over processes


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_all_agree_and_what_people_were_told_stands(part: int, note: Note) -> None:
    tally = Tally()
    for seed in range(FIRST + part, FIRST + RUNS, PARTS):
        outcome = run(draw(seed))
        tally.add(outcome)
        why = f"{outcome.where}: {outcome.failure}; replay: python -m tests.simulation.simulate --seed {seed}"
        assert outcome.failure is None, why
    note(**tally.figures())


def test_each_action_is_among_the_fixed_seeds() -> None:
    found = Counter(name for seed in range(FIRST, FIRST + RUNS) for name, _ in draw(seed).steps)
    assert set(found) == set(ACTIONS), f"never drawn: {sorted(set(ACTIONS) - set(found))}"


def test_what_is_drawn_really_happens() -> None:
    """An action may find nothing to act on; among some runs that are drawn for it, each comes to something."""
    done: Counter[str] = Counter()
    traits = ("disks", "members", "skew", "hostile")
    for seed in range(8, 14):
        chance = random.Random(seed)
        names = [name for name in sorted(ACTIONS) for _ in range(2)]
        chance.shuffle(names)
        steps = tuple((name, chance.getrandbits(32)) for name in ["sell", "sell", "flow", "copy_disk", *names])
        outcome = run(Schedule(seed, 3, 1, traits, steps))
        assert outcome.failure is None, f"{seed}: {outcome.where}: {outcome.failure}"
        done.update(outcome.done)
    wanted = {
        "sale", "a phone's sale", "a sale rung twice", "refund", "void", "cash", "payment", "stock", "hold",
        "shift opened", "shift closed", "day closed", "setting", "products", "redate", "loyalty", "member", "remove",
        "role", "key", "recovered", "restored", "a disk put back", "a disk copied and run twice",
        "a running machine copied", "an upgrade", "disk full", "a slow disk", "power cut", "power cut in a checkpoint",
        "a wrong clock", "hours", "a cut", "a garbled message", "a line in one direction only",
        "a squatted client id", "a squatted id", "a lie of what is held", "a lie of digests", "repairs without end",
        "a flood", "a forged remove", "a forged role", "a look", "told of a sale", "told of a shift closed",
    }  # fmt: skip
    assert wanted <= set(done), f"never happened: {sorted(wanted - set(done))}"
    assert any(what.startswith("rot, ") for what in done) and any(what.startswith("forged, ") for what in done)


def test_a_running_machine_that_was_copied_comes_to_rest() -> None:
    """Its two lives bear one session and write under one client id, and sell on: rare among the fixed seeds."""
    names = ("sell", "clone", "sell", "sell", "flow", "sell", "clone", "sell", "sell", "take_back")
    for seed in range(6):
        chance = random.Random(f"copies {seed}")
        steps = tuple((name, chance.getrandbits(32)) for name in names)
        outcome = run(Schedule(seed, 1 + seed % 3, seed % 2, ("disks",), steps))
        assert outcome.failure is None, f"{seed}: {outcome.where}: {outcome.failure}"


def test_two_lives_that_close_their_shifts_at_once_are_compared_by_those_who_heard_one_each() -> None:
    """Both entries stand at one place of a run, and each side hears that the other holds that place."""
    steps = (("sell", 2573905350), ("commit_slowly", 3597350569), ("clone", 455261616))
    outcome = run(Schedule(52620553, 2, 2, ("disks", "closes"), steps))
    assert outcome.failure is None, f"{outcome.where}: {outcome.failure}"


def test_a_copy_of_a_till_that_is_lost_for_good_goes_on_from_before_its_last_sales() -> None:
    """They were confirmed and not signed yet: disputed, and shown so."""
    steps = (
        ("clone", 1796652440), ("commit", 3833320419), ("sell", 3290606766), ("commit", 621682236),
        ("copy_disk", 2130774389), ("restore", 1968070875),
    )  # fmt: skip
    outcome = run(Schedule(7001331, 3, 2, ("disks", "members"), steps))
    assert outcome.failure is None, f"{outcome.where}: {outcome.failure}"
    assert outcome.told == outcome.done["restored"] == 1


def test_a_seed_says_it_all() -> None:
    once, again = run(draw(7)), run(draw(7))
    assert (once.digest, once.messages, once.told, once.done) == (again.digest, again.messages, again.told, again.done)


def test_so_many_runs_as_are_asked_for_are_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "3", "--workers", "2", "--first", str(FIRST)]) == 0
    assert '"runs": 3,' in capfd.readouterr().out
