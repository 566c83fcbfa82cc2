"""The guided driver: atheris (libFuzzer), which sees which lines of our own readers an input reaches.

    python -m tests.fuzz.guided updates --runs 100000 --corpus FOLDER

It takes the same targets and spoils inputs with their own mutators, now and then with libFuzzer's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(
    include=["posline.core", "posline.sync", "posline.trust", "posline.till", "posline.storage"]
):
    from tests.fuzz.child import DEADLINE_S, Slate, cap_memory
    from tests.fuzz.target import checked
    from tests.fuzz.targets import TARGETS

BYTES_MAX = 200_000
OWN = 0.8  # of the mutations are the target's


def main() -> None:
    """The child's work; libFuzzer says its figures on stderr, and ends the process itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--slate", type=Path)
    asked = parser.parse_args()
    target = TARGETS[asked.target]
    asked.corpus.mkdir(parents=True, exist_ok=True)
    for n, seed in enumerate(target.seeds()):
        (asked.corpus / f"seed{n}").write_bytes(seed)
    slate = Slate(asked.slate) if asked.slate else None

    def one_input(data: bytes) -> None:
        if slate is not None:
            slate.put(data)
        checked(target, data)

    def mutate(data: bytes, bytes_max: int, seed: int) -> bytes:
        rng = Random(seed)
        made = target.mutate(data, rng) if rng.random() < OWN else atheris.Mutate(data, len(data) + 64)
        return made[:bytes_max]

    atheris.Setup(
        [
            sys.argv[0], f"-runs={asked.runs}", f"-seed={asked.seed}", f"-max_len={BYTES_MAX}", "-len_control=0",
            f"-timeout={max(1, round(DEADLINE_S * 5))}", "-rss_limit_mb=1200", "-print_final_stats=1",
            f"-artifact_prefix={asked.corpus.parent}/broke-", str(asked.corpus),
        ],
        one_input,
        custom_mutator=mutate,
    )  # fmt: skip
    cap_memory()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
