"""What befalls a line, one thing after the other, from a seed: for the scenarios that ring through all of it.

A line is a cable (packets are lost, doubled, late, damaged, held up, or one way of it is dead) and behind it a wire
(connections are cut, bitten off in mid-word, garbled, answered by a portal). At each moment one or two of these are
bad.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.network.path import Cable, Wire

__all__ = ["KINDS", "Line", "Spell", "begin", "forecast"]


@dataclass
class Line:
    """A cable, and behind it a wire."""

    cable: Cable
    wire: Wire

    def calm(self) -> None:
        """All is well again."""
        self.cable.mend()
        self.wire.bite(0)
        self.wire.stutter(0)
        self.wire.portal("off")
        self.wire.set(delay_ms=0, rate_bits=0, loss=0)
        self.wire.cut_every(0)
        self.wire.heal()


@dataclass(frozen=True)
class Spell:
    """Some kinds of bad weather at once, for so long."""

    kinds: tuple[str, ...]
    seconds: float


# what each kind does to a line; the random numbers say how bad it is
KINDS: dict[str, Callable[[Line, random.Random], None]] = {
    "calm": lambda line, rng: None,
    "lossy": lambda line, rng: line.cable.set(loss=rng.uniform(0.02, 0.25)),
    "doubled": lambda line, rng: line.cable.set(twice=rng.uniform(0.1, 0.6), late_ms=rng.uniform(1, 200)),
    "out of order": lambda line, rng: line.cable.set(late=rng.uniform(0.1, 0.6), late_ms=rng.uniform(5, 200)),
    "damaged": lambda line, rng: line.cable.set(flip=rng.uniform(0.02, 0.2)),
    "far": lambda line, rng: line.cable.set(delay_ms=rng.uniform(50, 400)),
    "thin": lambda line, rng: line.cable.set(rate_bits=rng.uniform(8_000, 64_000)),
    "deaf": lambda line, rng: line.cable.block("back"),
    "mute": lambda line, rng: line.cable.block("out"),
    "dead": lambda line, rng: line.cable.block(),
    "held": lambda line, rng: line.wire.die(),
    "cut": lambda line, rng: line.wire.cut(),
    "flapping": lambda line, rng: line.wire.cut_every(rng.uniform(1, 5), rng.uniform(0, 1)),
    "bitten": lambda line, rng: line.wire.bite(rng.randrange(200, 20_000)),
    "garbled": lambda line, rng: line.wire.stutter(rng.randrange(200, 20_000)),
    "a portal": lambda line, rng: line.wire.portal("html"),
    "silence": lambda line, rng: line.wire.portal("silence"),
}
SHUTTING = ("deaf", "mute", "dead", "held", "cut")  # nothing else can be noticed beside these
NEW_ONLY = ("a portal", "silence")  # meets connections that begin: so the old ones are broken first


def forecast(seed: str, spells: int, least_s: float, most_s: float) -> Iterator[Spell]:
    """All kinds in a random order, over and over, now and then two at once."""
    rng = random.Random(seed)
    order: list[str] = []
    for _ in range(spells):
        if not order:
            order = sorted(KINDS)
            rng.shuffle(order)
        first = order.pop()
        kinds = [first]
        if first not in SHUTTING and rng.random() < 0.35:
            kinds.append(rng.choice([kind for kind in KINDS if kind not in (*SHUTTING, "calm", first)]))
        yield Spell(tuple(kinds), rng.uniform(least_s, most_s))


def begin(line: Line, spell: Spell, rng: random.Random) -> None:
    """Let it begin, where it was calm before or not."""
    line.calm()
    if any(kind in NEW_ONLY for kind in spell.kinds):
        line.wire.cut()
        line.wire.heal()
    for kind in spell.kinds:
        KINDS[kind](line, rng)
