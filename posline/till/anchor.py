"""Who belongs to the shop and where they listen, kept beside the database: enough to find back where that is lost.

All of it is in the database, and is read from here only when that cannot be read. Whatever it says of members is
signed, and judged like anything that a peer sends.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posline.storage.files import write_atomically

__all__ = ["Anchor"]

FILE = "anchor.json"
_saving = threading.Lock()  # as a till begins, two threads may want to


@dataclass(frozen=True, slots=True)
class Anchor:
    """`elements` are those of the shop's document; `places` is the JSON of posline.sync.places."""

    shop: str = ""
    elements: Sequence[str] = field(default=())
    places: str = ""

    @classmethod
    def load(cls, folder: Path) -> Anchor:
        """As the folder has it; empty where it has none, or none that can be read."""
        try:
            found = json.loads((folder / FILE).read_bytes())
            return cls(str(found["shop"]), tuple(map(str, found["elements"])), str(found["places"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self, folder: Path) -> None:
        """Keep it, durably, where it says anything new."""
        with _saving:
            if self != Anchor.load(folder):
                held = {"shop": self.shop, "places": self.places, "elements": list(self.elements)}
                write_atomically(folder / FILE, json.dumps(held, ensure_ascii=False).encode())
