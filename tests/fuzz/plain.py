"""The plain driver: seeded, the same inputs each time, and no library but the product's own.

What guides it is what became of an input: one with a new outcome is kept, to be spoilt further.

    python -m tests.fuzz.plain --targets updates,frames --inputs 20000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.child import DEADLINE_S, Slate, cap_memory, rss_bytes
from tests.fuzz.target import Target, checked
from tests.fuzz.targets import TARGETS, counts

POOL_MAX = 800  # inputs that are kept, of one target
KEPT_BYTES_MAX = 6000  # of one that is
GROWTH_BYTES_MAX = 48 << 20  # from a quarter of the inputs to the end: caches fill up, and then no more


def run(target: Target, inputs: int, seed: str, slate: Slate | None) -> dict[str, Any]:
    """Try so many inputs; the figures. Raises whatever a promise that is broken raises."""
    rng = Random(f"{seed} {target.name}")
    pool = target.seeds()
    outcomes: dict[str, int] = {}
    began, slowest, before = time.monotonic(), 0.0, 0
    for n in range(inputs):
        data = pool[n] if n < len(pool) and n * 4 < inputs else target.mutate(rng.choice(pool), rng)
        if slate is not None:
            slate.put(data)
        at = time.thread_time()
        said = checked(target, data)
        took = time.thread_time() - at
        slowest = max(slowest, took)
        assert took < DEADLINE_S, f"an input took {took:.1f} s"
        if said not in outcomes and len(pool) < POOL_MAX and len(data) <= KEPT_BYTES_MAX:
            pool.append(data)
        outcomes[said] = outcomes.get(said, 0) + 1
        if n == inputs // 4:
            before = rss_bytes()
    growth = rss_bytes() - before
    assert growth < GROWTH_BYTES_MAX, f"memory grew by {growth >> 20} MiB"
    refused = sum(count for said, count in outcomes.items() if said.startswith("no: "))
    return {
        "target": target.name,
        "inputs": inputs,
        "outcomes": len(outcomes),
        "refused": refused,
        "seconds": round(time.monotonic() - began, 1),
        "slowest_ms": round(slowest * 1000, 1),
        "growth_mib": round(growth / 2**20, 1),
    }


def main() -> int:
    """The child's work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--slate", type=Path)
    parser.add_argument("--input", help="try this one input, in hex, of the first target")
    asked = parser.parse_args()
    names = asked.targets.split(",")
    if asked.input:
        print(checked(TARGETS[names[0]], bytes.fromhex(asked.input)))
        return 0
    slate = Slate(asked.slate) if asked.slate else None
    cap_memory()
    for name in names:
        print(f"target {name}", file=sys.stderr, flush=True)
        print(json.dumps(run(TARGETS[name], counts(asked.inputs)[name], asked.seed, slate)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
