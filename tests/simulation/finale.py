"""How a run ends: the shop is healed, left alone until it has come to rest, and held against the book.

Now and then it goes on from there: with nothing wrong, where no line may break and every light must come on, or until
all have closed, where each entry lies in one Z report and the Z reports less duplicates are the days.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict

from posline.storage.reports import Reports
from posline.trust.keys import Key
from tests.simulation.actions import ACTIONS
from tests.simulation.oracle import MONEY, Oracle, differences
from tests.simulation.oracle_bytes import Element
from tests.simulation.oracle_drawer import covered, expected, figures
from tests.simulation.people import close_day, close_shift
from tests.simulation.world import STEP_S, Machine, World, phone_of

__all__ = ["finish", "wires"]

CALM = ("sell", "sell", "commit", "move", "flow", "squash", "take_back")


def wires(world: World, chance: random.Random) -> list[tuple[Machine, Machine]]:
    """Lines that join all, in one of the shapes a shop has: a chain, a star, everybody with everybody. Where some may
    not link with each other any more, everybody with everybody."""
    machines = sorted(world.machines, key=lambda machine: machine.name)
    chance.shuffle(machines)
    shape = chance.choice(("chain", "star", "mesh"))
    if world.reshaped or shape == "mesh":
        return list(itertools.combinations(machines, 2))
    return list(itertools.pairwise(machines)) if shape == "chain" else [(m, machines[0]) for m in machines[1:]]


def finish(world: World, traits: tuple[str, ...], chance: random.Random) -> None:
    """Heal the shop and hold it against the book."""
    joined = wires(world, chance)
    world.heal(joined)
    draw = chance.random()
    world.book.audit(joined, verified=len(world.machines) if draw < 0.04 else 1 if draw < 0.4 else 0)
    if "closes" in traits:
        _close(world, joined)
    elif chance.random() < 0.15 and not world.twins:
        _calm(world, joined, chance)


def _calm(world: World, joined: list[tuple[Machine, Machine]], chance: random.Random) -> None:
    """Nothing goes wrong any more: no line breaks, and whatever is sold is soon on a second disk."""
    lines = list(world.lines)
    for n in range(chance.choice((10, 40))):
        ACTIONS[chance.choice(CALM)].run(world, random.Random(chance.getrandbits(32)))
        world.pass_s(0.1)
        if n % 4 == 3:  # or a line would be silent for long
            world.drain()
    for _ in range(20):  # longer than any silence that is borne
        world.drain()
        world.pass_s(STEP_S)
    world.rest()
    assert world.lines == lines, "a line broke with nothing wrong"
    world.book.audit(joined, verified=1)
    if not world.rewound and not world.reshaped and len(world.machines) > 1:
        waits = world.book.waiting()
        assert not any(waits.values()), f"a light never comes on: {waits}"
    world.did("a calm time")


def _close(world: World, joined: list[tuple[Machine, Machine]]) -> None:
    """Whoever closes whenever, each entry lies in one Z report, and days and Z reports agree."""
    tills = [m for m in world.machines if m.sells and not m.hostile]
    drawers = [(machine, phone) for machine in tills for phone in (None, *_phones(world, machine))]
    for machine, phone in drawers:
        close_shift(world, machine, phone)
    world.rest(joined)
    oracle = world.book.audit(joined)
    plain = not (world.rewound or world.twins or world.reshaped or world.book.forged)
    if plain:
        _drawers(world, oracle)
    days = Reports(world.machines[0].disk, world.shop, here="").days()
    for machine, phone in drawers:
        for day in days:
            close_day(world, machine, day, phone)
    world.rest(joined)
    oracle = world.book.audit(joined)
    reports = Reports(world.machines[0].disk, world.shop, here="")
    if plain and all(m.writes is False or m in tills for m in world.machines):
        _drawers(world, oracle)
        for day in reports.days():
            if day < max(reports.days()):  # the closes themselves lie in the last one
                report = reports.day(day)
                assert (report["late"], report["provisional"], report["waiting_for"]) == ([], False, []), report["day"]
    world.did("all closed")


def _phones(world: World, machine: Machine) -> list[Key]:
    """The phone that a machine hosts, where it hosts one."""
    phone = phone_of(machine)
    return [phone] if phone.id in machine.disk.members(world.shop) else []


def _drawers(world: World, oracle: Oracle) -> None:
    """Z reports against entries, and days against Z reports."""
    elements = [(e, oracle.status[p]) for p, e in oracle.elements.items() if e.till not in world.thieves]
    elements = [(e, status) for e, status in elements if status in ("counted", "duplicate")]
    reports = [e for e, _ in elements if e.kind == "shift closed"]
    inside: dict[str, list[Element]] = defaultdict(list)
    twins: list[Element] = []
    for e, status in elements:
        if e.kind in MONEY:
            covering = [z for z in reports if covered(z, e)]
            assert len(covering) == 1, f"{e.kind} {e.id} lies in {len(covering)} Z reports"
            inside[covering[0].id].append(e)
            if status == "duplicate":
                twins.append(e)
    tenders: Counter[str] = Counter()
    for z in reports:
        said = {name: value for name, value in z.body["figures"].items() if name != "number"}
        wanted = figures(inside[z.id])
        assert said == wanted, f"Z report {z.id}: {differences(wanted, said)}"
        assert z.body["expected"] == expected(z.body["float"], wanted), z.id
        tenders.update(said["tenders"])
    if world.thieves:
        return
    days = oracle.days()
    found, twice = [oracle.report(day, places) for day, places in days.items()], figures(twins)
    assert sum(z.body["figures"]["net"] for z in reports) - twice["net"] == sum(day["net"] for day in found)
    tenders.subtract(twice["tenders"])
    for day in found:
        tenders.subtract(day["tenders"])
    assert not any(tenders.values()), f"Z reports and days differ by {tenders}"
    for till in {z.till for z in reports}:
        numbers = sorted(z.body["figures"]["number"] for z in reports if z.till == till)
        assert numbers == list(range(1, len(numbers) + 1)), f"Z reports are numbered {numbers}"
