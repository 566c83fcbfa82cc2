"""What is fuzzed: where its inputs come from, how they are spoilt, and what must hold of each."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from posline.errors import PoslineError
from tests.fuzz.mutate import dump, spoil, tree, twist

__all__ = ["Target", "checked", "items_mutator", "json_mutator", "outcome", "refusing", "scratch"]


@dataclass(frozen=True)
class Target:
    """`check` takes any bytes at all. It answers what became of them in a few words, so that an input with a new answer
    is kept to be spoilt further, and raises where a promise is broken. `share` is its part of the inputs of a run."""

    name: str
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[bytes, Random], bytes]
    check: Callable[[bytes], str]
    share: int


def scratch(name: str) -> Path:
    """A folder for files that are read back at once: in memory where the system has that, and gone with the process."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix=f"posline-{name}-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class Refusal(Exception):
    """What was checked said no, as it may."""


def outcome(reason: object) -> str:
    """A reason without what differs from input to input."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[0-9]+|[^\x20-\x7e]+", "#", str(reason))[:70]


@contextmanager
def refusing(*kinds: type[Exception]) -> Iterator[None]:
    """What is raised within may be of these kinds alone; then the input counts as refused."""
    try:
        yield
    except kinds as error:
        if isinstance(error, PoslineError):
            assert str(error).strip(), "a refusal says why"
        raise Refusal(outcome(error)) from None


def checked(target: Target, data: bytes) -> str:
    """What became of an input."""
    try:
        return target.check(data)
    except Refusal as refusal:
        return f"no: {refusal}"


def json_mutator(data: bytes, rng: Random) -> bytes:
    """Spoil JSON as a tree mostly, and as bytes now and then."""
    try:
        found = tree(data)
    except (ValueError, RecursionError):
        return spoil(data, rng)
    if rng.random() < 0.1:
        return spoil(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = twist(found, rng)
    return dump(found, rng if rng.random() < 0.2 else None)


def items_mutator(data: bytes, rng: Random) -> bytes:
    """As `json_mutator`, for a list whose places have their meaning: one of them is spoilt, and the list stays."""
    try:
        found = tree(data)
    except (ValueError, RecursionError):
        return spoil(data, rng)
    if not isinstance(found, list) or not found or rng.random() < 0.05:
        return spoil(data, rng)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(found))
        found[at] = twist(found[at], rng)
    return dump(found)
