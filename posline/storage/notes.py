"""Small things that a store keeps beside its documents: they wait in memory for the next commit, and may be lost until
then."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from posline.storage.connection import Connection
from posline.storage.records import Mark
from posline.storage.standing import Standing

__all__ = ["Noted", "Notes"]


@dataclass(frozen=True, slots=True)
class Noted:
    """What one commit writes of them: settings by name, and marks by (shop, author, run, store)."""

    settings: dict[str, Any]
    haves: dict[tuple[str, str, int, str], Mark]


class Notes(Standing):
    """The part of a store that keeps them."""

    def __init__(self, read: Connection) -> None:
        super().__init__(read)
        self._notes: dict[str, Any] = {}

    @abstractmethod
    def _key_by(self, db: Connection, shop: str) -> int | None:
        """As `shop_key`, asked of this connection where it is not known."""

    def get_meta(self, name: str) -> Any:
        """A small local setting, or None. Never shared with anybody."""
        if name in self._notes:
            return self._notes[name]
        row = self.read.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a small local setting. It is written with the next commit; losing it must be harmless."""
        self._notes[name] = value

    def have(self, shop: str, store: str, marks: Iterable[Mark]) -> None:
        """Keep that `store` holds these runs that far. Written with the next commit; losing it is harmless, since equal
        digests at the next connection say it again."""
        for mark in marks:
            self._haves[shop, mark.author, mark.run, store] = mark

    @property
    def noted(self) -> bool:
        """Whether anything waits to be written with the next commit; `commit([])` writes it."""
        return bool(self._notes or self._haves)

    def _noted_now(self) -> Noted:
        return Noted(dict(self._notes), dict(self._haves))

    def _write_noted(self, db: Connection, noted: Noted) -> None:
        """Write them in one order, so that no two that write at once wait for each other; by the connection that writes
        alone, since a commit waits for nobody who reads."""
        db.executemany(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [(name, json.dumps(value)) for name, value in sorted(noted.settings.items(), key=itemgetter(0))],
        )
        db.executemany(
            "INSERT INTO have (shop, author, run, store, seq, hash) VALUES (?,?,?,?,?,?)"
            " ON CONFLICT (shop, author, run, store) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            [
                (key, author, run, store, mark.seq, mark.hash)
                for (shop, author, run, store), mark in sorted(noted.haves.items(), key=itemgetter(0))
                if (key := self._key_by(db, shop)) is not None
            ],
        )

    def _drop_noted(self, noted: Noted) -> None:
        """They stand: only what was noted since still waits."""
        for name, value in noted.settings.items():
            if self._notes.get(name) == value:
                del self._notes[name]
        for place, mark in noted.haves.items():
            if self._haves.get(place) is mark:
                del self._haves[place]
