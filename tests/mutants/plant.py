"""A copy of the product with one promise broken on purpose, to show that a rig can fail."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Mutant", "copy", "plant", "spoilt"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("posline", "relay")


@dataclass(frozen=True)
class Mutant:
    """One line of the product, and what is to stand there instead."""

    name: str
    breaks: str  # the promise, in words
    file: str  # from the root of the repository
    old: str  # stands there exactly once
    new: str
    killed_by: str  # the test that finds it, as pytest names it


def spoilt(mutant: Mutant) -> str:
    """The text of the file with its line replaced.

    Raises ValueError when the line is not there exactly once: the code has moved on, and the mutant must follow.
    """
    source = (ROOT / mutant.file).read_text()
    if source.count(mutant.old) != 1:
        raise ValueError(f"mutant {mutant.name}: its line stands {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def copy(folder: Path) -> Path:
    """Copy the packages into `folder`; a program finds them with PYTHONPATH=folder."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def plant(mutant: Mutant, folder: Path) -> Path:
    """`copy`, with the mutant's line replaced. Raises ValueError as `spoilt` does."""
    changed = spoilt(mutant)
    (copy(folder) / mutant.file).write_text(changed)
    return folder
