"""All that is fuzzed, and how many inputs of each a run has."""

from __future__ import annotations

from tests.fuzz.entries import ENTRIES
from tests.fuzz.goods import CATALOGUES, LABELS, PAYMENTS, PRODUCTS
from tests.fuzz.links import LINKS
from tests.fuzz.papers import CODES, INVITATIONS, KEYS, STATEMENTS
from tests.fuzz.said import ANSWERS, FILES, SHARED
from tests.fuzz.shops import SHOPS
from tests.fuzz.target import Target
from tests.fuzz.updates import STATES, UPDATES
from tests.fuzz.wire import BODIES, FRAMES, MESSAGES

__all__ = ["TARGETS", "counts"]

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        UPDATES, STATES, FRAMES, MESSAGES, LINKS, BODIES, ENTRIES, SHOPS, INVITATIONS, STATEMENTS, KEYS, CODES, LABELS,
        PAYMENTS, PRODUCTS, CATALOGUES, ANSWERS, SHARED, FILES,
    )
}  # fmt: skip


def counts(inputs: int) -> dict[str, int]:
    """How many inputs each target has of so many in all."""
    whole = sum(target.share for target in TARGETS.values())
    return {name: max(1, round(inputs * target.share / whole)) for name, target in TARGETS.items()}
