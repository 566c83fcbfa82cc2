"""Rough days of a whole shop, each from one seed: whatever members forge, disks lose and lines garble, all agree in the
end, and each confirmed sale stands once, or is one of those that the rules leave unsigned.

`POSLINE_SIM_RUNS=1000 pytest tests/simulation` runs more of them; `POSLINE_SIM_SEED=123` replays one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.rough import Rough, chance_of
from tests.simulation.test_shop import Schedule, wires

RUNS = int(os.environ.get("POSLINE_SIM_RUNS") or (300 if os.environ.get("POSLINE_PROOF") else 20))
SEEDS = [int(os.environ["POSLINE_SIM_SEED"])] if "POSLINE_SIM_SEED" in os.environ else list(range(1, RUNS + 1))


class RoughSchedule(Schedule):
    """What happens besides, by chance."""

    def __init__(self, world: Rough, chance: Any, *, disks: bool, forgeries: bool) -> None:
        super().__init__(world, chance, rough=disks)
        more: list[tuple[float, Any]] = [
            (1.0, world.stall), (2.0, world.garble), (1.5, world.stalled.clear), (0.7, world.lights),
            (1.5, world.edit),
        ]  # fmt: skip
        if forgeries:
            more.append((1.5, world.forge))
        self.weights += [weight for weight, _ in more]
        self.actions += [action for _, action in more]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_to_it_the_book_is_borne_out(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed)
    shop = Rough(tmp_path, seed, tills=chance.randint(2, 6), relay=chance.random() < 0.7)
    try:
        schedule = RoughSchedule(shop, chance, disks=seed % 3 == 0, forgeries=seed % 2 == 0)
        schedule.run(chance.choice((60, 200, 400)))
        shop.stalled.clear()
        shop.heal(wires(shop, chance))
        shop.audit()
    except AssertionError as error:
        raise AssertionError(f"replay it with POSLINE_SIM_SEED={seed}: {error}") from error
    finally:
        shop.close()
