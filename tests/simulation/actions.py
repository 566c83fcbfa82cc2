"""What may happen to a shop: a table of actions, each with its weight and the trait of a run that it needs.

A step is the name of an action and a seed of its own. So a schedule is a list, and where steps are left out the others
still do much the same: whom an action strikes is drawn by name, not by place.
"""

from __future__ import annotations

import random
import uuid
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.simulation.network import Line
from tests.simulation.world import Machine, World

__all__ = ["ACTIONS", "Action", "action", "fresh_id", "line_of", "pick", "seller", "up"]


@dataclass(frozen=True)
class Action:
    """Something that may happen. `trait` is what a run needs for it, "" nothing."""

    name: str
    weight: float
    trait: str
    run: Callable[[World, random.Random], None]


ACTIONS: dict[str, Action] = {}


def action(weight: float, trait: str = "") -> Callable[[Callable[[World, random.Random], None]], Callable[..., None]]:
    """Put a function into the table, under its own name."""

    def put(run: Callable[[World, random.Random], None]) -> Callable[[World, random.Random], None]:
        name = run.__name__
        ACTIONS[name] = Action(name, weight, trait, run)
        return run

    return put


def pick(chance: random.Random, machines: Iterable[Machine]) -> Machine | None:
    """One of these machines: the same one, as far as can be, whoever else is there."""
    salt = chance.getrandbits(32)
    return min(machines, key=lambda machine: zlib.crc32(f"{salt}{machine.name}".encode()), default=None)


def up(world: World, chance: random.Random) -> Machine | None:
    """A machine whose process runs."""
    return pick(chance, (machine for machine in world.machines if machine.up))


def seller(world: World, chance: random.Random) -> Machine | None:
    """A till at which people can work."""
    return pick(chance, (machine for machine in world.machines if machine.sells and not machine.hostile))


def line_of(world: World, chance: random.Random, machine: Machine | None = None) -> tuple[Line, int] | None:
    """A line and one of its directions; with `machine`, one that leaves it."""
    lines = [line for line in world.lines if machine is None or machine in line.machines]
    if not lines:
        return None
    salt = chance.getrandbits(32)
    line = min(lines, key=lambda line: zlib.crc32(f"{salt}{[m.name for m in line.machines]}".encode()))
    return line, line.machines.index(machine) if machine is not None else chance.getrandbits(1)


def fresh_id(chance: random.Random) -> str:
    """A UUID."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
