"""SIGKILL at random over every kind of work, in a shop of three tills and a head office.

After each death, before the dead one starts again, its disk is read without the product: all that it had acknowledged
is there, once, and every light that was on is true. Nothing needs a person to start. At the end, with all up and
linked: the reports of all devices are the same bytes and say what the cashiers say, Z reports less duplicates are the
days, numbers have no gap, `posline verify` finds nothing, and stock Yjs reads the same elements out of every log.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.faults.works import WORKS
from tests.faults.yard import Yard
from tests.proof import PROOF, Note, share

SHARES = share(2, 10)  # a shop each, so that two workers can take turns
ROUNDS = share(len(WORKS), 1000)
AGREE_EACH = 25  # rounds
LONG = {"catch-up", "squash", "join", "first start"}


def rounds_of(number: int) -> list[str]:
    """The works of one share, in a random order: all alike often, but that those which kill many times a round, or wait
    long, come less often in a proof."""
    often = sorted(WORKS) + sorted(WORKS.keys() - LONG) * share(0, 2)
    works = often * (ROUNDS // len(often) + 1)
    works = works[:ROUNDS]
    random.Random("order").shuffle(works)
    return works[number::SHARES]


@pytest.mark.timeout(3600 if PROOF else 300)
@pytest.mark.parametrize("number", range(SHARES))
def test_kills_lose_double_and_skip_nothing(number: int, tmp_path: Path, note: Note) -> None:
    rounds = rounds_of(number)
    with Nursery() as nursery:
        yard = Yard(tmp_path, random.Random(f"kill {number}"), nursery)
        yard.open()
        for done, work in enumerate(rounds, 1):
            yard.work = work
            WORKS[work](yard)
            if done % AGREE_EACH == 0:
                yard.agree()
        yard.close()
    account = yard.account
    note(
        rounds=len(rounds), kills=sum(yard.kills.values()), by_work=dict(sorted(yard.kills.items())),
        acts=len(account.acts), sales=sum(a.kind == "sale" for a in account.acts.values()) + len(account.backlog),
        repeats=account.repeats, lights=yard.lights, starts=sum(d.program.starts for d in yard.devices),
        squashed=yard.memory.get("squashed", {}), migrated=yard.memory.get("migrated", {}),
    )  # fmt: skip
