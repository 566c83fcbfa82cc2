"""Schedules: drawn from a seed, run, written down, and made as short as can be when one fails."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.simulation import hostile, mishaps, people
from tests.simulation.actions import ACTIONS
from tests.simulation.finale import finish
from tests.simulation.world import MEMORY, World

__all__ = ["Outcome", "Schedule", "draw", "run", "shrink"]

_MODULES = (hostile, mishaps, people)  # what they define is in the table once they are imported
LENGTHS = (8, 12, 15, 20, 20, 25, 30, 40, 40, 60, 80, 150, 300)
# what a run may have in it, and how often: lost and copied disks, changes of members, an older version, a member that
# lies, a close of everything in the end, a beginning without any line
TRAITS = (("disks", 0.4), ("members", 0.3), ("skew", 0.2), ("hostile", 0.3), ("closes", 0.15), ("cold", 0.3))


@dataclass(frozen=True)
class Schedule:
    """A run, written down: the machines, what may happen (traits), and what does, step by step."""

    seed: int
    tills: int
    relays: int
    traits: tuple[str, ...]
    steps: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """From that text."""
        found = json.loads(text)
        steps = tuple((name, seed) for name, seed in found["steps"])
        return cls(found["seed"], found["tills"], found["relays"], tuple(found["traits"]), steps)


@dataclass
class Outcome:
    """What a run came to. `failure` is None where everything stood."""

    steps: int = 0
    shop_s: float = 0.0  # simulated
    told: int = 0
    entries: int = 0
    messages: int = 0
    done: dict[str, int] = field(default_factory=dict)
    failure: str | None = None
    where: str = ""
    digest: str = ""


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    chance = random.Random(f"schedule {seed}")
    traits = tuple(trait for trait, often in TRAITS if chance.random() < often)
    weights = {name: a.weight for name, a in ACTIONS.items() if a.trait in ("", *traits)}
    names, total = sorted(weights), [weights[name] for name in sorted(weights)]
    steps = chance.choices(names, total, k=chance.choice(LENGTHS))
    return Schedule(
        seed,
        chance.choice((1, 2, 2, 2, 3, 3, 4)),
        chance.choice((0, 1, 1, 1, 2)),
        traits,
        tuple((name, chance.getrandbits(32)) for name in steps),
    )


def run(schedule: Schedule) -> Outcome:
    """Run it. Whatever breaks is the outcome's failure; a program's own error is one, too."""
    folder = Path(tempfile.mkdtemp(prefix="shop", dir=MEMORY))
    outcome = Outcome(steps=len(schedule.steps))
    world: World | None = None
    where = "the founding"
    try:
        world = World(
            folder, schedule.seed, tills=schedule.tills, relays=schedule.relays,
            hostile="hostile" in schedule.traits, old=1 if "skew" in schedule.traits else 0,
        )  # fmt: skip
        where = "the first lines"
        if "cold" not in schedule.traits:
            for machine in world.machines[1:]:
                world.connect(machine, world.machines[0])
            world.drain()
        for number, (name, seed) in enumerate(schedule.steps, 1):
            where = f"step {number}, {name}"
            ACTIONS[name].run(world, random.Random(seed))
            world.sweep()
        where = "the end"
        finish(world, schedule.traits, random.Random(f"end {schedule.seed}"))
    except Exception as error:
        outcome.failure, outcome.where = f"{type(error).__name__}: {error}", f"{where} ({_at(error)})"
    finally:
        if world is not None:
            outcome.shop_s, outcome.done = world.now, world.done
            outcome.told, outcome.messages = len(world.book.told), world.watch.messages
            machine = next((m for m in world.machines if m.up), None)
            if machine is not None and outcome.failure is None:
                outcome.entries = machine.disk.read.execute("SELECT count(*) FROM entry").fetchone()[0]
                outcome.digest = machine.running.root()
            world.close()
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _at(error: Exception) -> str:
    """Where an error was raised."""
    trace, at = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        at, trace = f"{Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}", trace.tb_next
    return at


# -- making it short -----------------------------------------------------------------------------------------------


def shrink(schedule: Schedule, failure: str, *, seconds: float = 60.0) -> Schedule:
    """The shortest schedule found in that time that fails alike: ever smaller pieces of the steps are left out."""
    until = time.monotonic() + seconds
    kind = _kind(failure)

    def fails(steps: tuple[tuple[str, int], ...]) -> bool:
        found = run(replace(schedule, steps=steps)).failure
        return found is not None and _kind(found) == kind

    steps, size = schedule.steps, max(1, len(schedule.steps) // 2)
    while time.monotonic() < until:
        for without in _without(steps, size):
            if time.monotonic() >= until:
                break
            if fails(without):
                steps = without
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
            continue
        size = min(size, max(1, len(steps) // 2))
    return replace(schedule, steps=steps)


def _without(steps: tuple[tuple[str, int], ...], size: int) -> Iterator[tuple[tuple[str, int], ...]]:
    """The steps without one piece of `size`, the last pieces first: what came late is likelier in vain."""
    for start in reversed(range(0, len(steps), size)):
        yield steps[:start] + steps[start + size :]


def _kind(failure: str) -> str:
    """What kind of failure it is: its words without names and numbers."""
    return "".join(c for c in failure[:60] if c.isalpha() or c == " ")

