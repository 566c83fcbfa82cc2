"""How much of a rig runs: a bounded share at every change, all of it with POSLINE_PROOF=1 (`make proof`)."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Protocol

__all__ = ["LOOKS", "PROOF", "Note", "keep", "share"]

PROOF = bool(os.environ.get("POSLINE_PROOF"))
OUT = os.environ.get("POSLINE_PROOF_OUT")  # a JSON file that collects the figures of a proof


class Note(Protocol):
    """Takes a rig's figures by name."""

    def __call__(self, **figures: Any) -> None: ...


# (language, scheme) in which pages are looked at: between them both of either, and in a proof all four
LOOKS = [("en", "light"), ("ur", "dark"), *([("en", "dark"), ("ur", "light")] if PROOF else [])]


def share(bounded: int, whole: int) -> int:
    """How often, or how many: `bounded` at every change, `whole` in a proof."""
    return whole if PROOF else bounded


def keep(name: str, figures: dict[str, Any]) -> None:
    """Print the figures of the rig `name`, and keep them where POSLINE_PROOF_OUT says."""
    print(f"{name}: {json.dumps(figures)}")
    if OUT:
        path = Path(OUT)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two workers may end a test at once
            file.seek(0)
            found = json.loads(file.read() or "{}")
            found[name] = {**found.get(name, {}), **figures}
            file.truncate(0)
            file.write(json.dumps(found, indent=2) + "\n")
