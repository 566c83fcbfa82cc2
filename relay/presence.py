"""Where tills stand: which device of which shop is linked to which process of the head office, kept in the books.

Each process writes what it knows of its own links, in one transaction every few seconds, and of that only what changed.
A process beats beside it; one that died without a word is known by its heart, and what it held is no longer linked.
Whoever asks reads the table, whichever process has the link.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from posline.storage.pieces import in_pieces
from relay.database import Database, Step, Transaction, transact
from relay.marks import mark

__all__ = ["BEAT_MS", "STEPS", "Heard", "Presence", "Standing"]

STEPS: tuple[Step, ...] = (
    ("where tills stand", (
        "CREATE TABLE office_presence (shop TEXT NOT NULL, device TEXT NOT NULL, serving TEXT NOT NULL,"
        " kind TEXT NOT NULL, since_ms INTEGER NOT NULL, heard_ms INTEGER NOT NULL, behind INTEGER NOT NULL,"
        " apart_ms INTEGER, PRIMARY KEY (shop, device))",
        "CREATE INDEX office_presence_serving ON office_presence (serving)",
        "CREATE TABLE office_serving (id TEXT PRIMARY KEY, began_ms INTEGER NOT NULL, beat_ms INTEGER NOT NULL)",
    )),
)  # fmt: skip
BEAT_MS = 4000  # between two beats of a process
DEAD_MS = 20_000  # without a beat: it is gone, and its links with it
AGAIN_MS = 60_000  # how exactly it is kept when a linked device was last heard of
APART_MS = 2000  # how much clocks must move against each other to be written down again
FORGOTTEN_MS = 7 * 86_400_000  # processes that are long gone
COLUMNS = "p.shop, p.device, p.serving, p.kind, p.since_ms, p.heard_ms, p.behind, p.apart_ms, s.beat_ms"


@dataclass(frozen=True, slots=True)
class Heard:
    """What this process knows of a device: as `posline.sync.hub.Seen`, on the clock of the wall."""

    kind: str
    heard_ms: int
    behind: int
    apart_ms: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A device of a shop as the books have it. `serving` is the process that it is linked to, "" where to none; since
    `since_ms` it is linked, or is not; `apart_ms` is how far its clock is ahead of ours, where it said."""

    shop: str
    device: str
    serving: str
    kind: str
    since_ms: int
    heard_ms: int
    behind: int
    apart_ms: int | None

    @property
    def linked(self) -> bool:
        """Whether it is linked to any process that lives."""
        return bool(self.serving)


class Presence:
    """One process's hand in the table, and everybody's eye."""

    def __init__(self, database: Database, now_ms: Callable[[], int], *, alone: bool) -> None:
        """`now_ms()` tells the time; `alone`: no other process serves this head office, so what an earlier one left is
        over."""
        self.serving = secrets.token_hex(8)
        self._database, self._now_ms, self._alone = database, now_ms, alone
        self._kept: dict[tuple[str, str], Standing] = {}  # what this process has written of its links
        self._beat_ms = self._looked_ms = 0

    # -- writing -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """This process serves from now on."""
        now_ms = self._now_ms()

        def work(tx: Transaction) -> None:
            if self._alone:
                tx.execute("UPDATE office_presence SET serving = '' WHERE serving <> ''")
                tx.execute("DELETE FROM office_serving")
            tx.execute("DELETE FROM office_serving WHERE beat_ms < ?", (now_ms - FORGOTTEN_MS,))
            tx.execute(
                "INSERT INTO office_serving (id, began_ms, beat_ms) VALUES (?, ?, ?)", (self.serving, now_ms, now_ms)
            )

        transact(self._database, work)
        self._beat_ms = now_ms

    def end(self) -> None:
        """This process serves no more: its links are gone."""
        now_ms = self._now_ms()

        def work(tx: Transaction) -> None:
            tx.execute(
                "UPDATE office_presence SET serving = '', since_ms = ?, heard_ms = ? WHERE serving = ?",
                (now_ms, now_ms, self.serving),
            )
            tx.execute("DELETE FROM office_serving WHERE id = ?", (self.serving,))
            mark(tx, {shop for shop, _ in self._kept})

        transact(self._database, work)
        self._kept.clear()

    def write(self, links: Mapping[tuple[str, str], Heard]) -> set[str]:
        """Keep the links of this process as they are now, {(shop, device): ...}; the shops of which something that
        people look at changed."""
        now_ms = self._now_ms()
        fresh = {place: self._standing(place, heard, now_ms) for place, heard in links.items()}
        changed = {place: one for place, one in fresh.items() if _differs(self._kept.get(place), one)}
        gone = {place: one for place, one in self._kept.items() if place not in fresh}
        heard_ms, self._looked_ms = self._looked_ms, now_ms  # what is gone was there at the last look
        if not changed and not gone and now_ms - self._beat_ms < BEAT_MS:
            return set()
        moved = {shop for shop, _ in gone} | {
            place[0] for place, one in changed.items() if _moved(self._kept.get(place), one)
        }

        def work(tx: Transaction) -> None:
            tx.executemany(
                "INSERT INTO office_presence (shop, device, serving, kind, since_ms, heard_ms, behind, apart_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (shop, device) DO UPDATE SET serving = excluded.serving,"
                " kind = excluded.kind, since_ms = excluded.since_ms, heard_ms = excluded.heard_ms,"
                " behind = excluded.behind, apart_ms = excluded.apart_ms",
                [(one.shop, one.device, one.serving, one.kind, one.since_ms, one.heard_ms, one.behind, one.apart_ms)
                 for one in changed.values()],
            )  # fmt: skip
            tx.executemany(  # unless another process has it by now
                "UPDATE office_presence SET serving = '', since_ms = ?, heard_ms = ?, behind = ?"
                " WHERE shop = ? AND device = ? AND serving = ?",
                [(now_ms, max(one.heard_ms, heard_ms), one.behind, *place, self.serving)
                 for place, one in gone.items()],
            )
            tx.execute("UPDATE office_serving SET beat_ms = ? WHERE id = ?", (now_ms, self.serving))
            mark(tx, moved)

        transact(self._database, work)
        for place in gone:
            del self._kept[place]
        self._kept |= changed
        self._beat_ms = now_ms
        return moved

    def _standing(self, place: tuple[str, str], heard: Heard, now_ms: int) -> Standing:
        before = self._kept.get(place)
        since_ms = now_ms if before is None else before.since_ms
        return Standing(*place, self.serving, heard.kind, since_ms, heard.heard_ms, heard.behind, heard.apart_ms)

    def forget(self, shop: str, devices: Iterable[str]) -> None:
        """These are no devices of the shop any more, and no loss to anybody."""
        gone = [(shop, device) for device in devices]

        def work(tx: Transaction) -> None:
            tx.executemany("DELETE FROM office_presence WHERE shop = ? AND device = ? AND serving = ''", gone)
            mark(tx, [shop])

        if gone:
            transact(self._database, work)

    # -- reading -------------------------------------------------------------------------------------------------------

    def of(self, shop: str) -> list[Standing]:
        """The devices of a shop that are or were linked, by id."""
        return self._read(f"SELECT {COLUMNS} FROM office_presence p LEFT JOIN office_serving s ON s.id = p.serving"
                          " WHERE p.shop = ? ORDER BY p.device", (shop,))  # fmt: skip

    def everywhere(self, shops: Iterable[str] | None) -> dict[str, list[Standing]]:
        """The same of several shops, None for all of them."""
        found: dict[str, list[Standing]] = {}
        asked = f"SELECT {COLUMNS} FROM office_presence p LEFT JOIN office_serving s ON s.id = p.serving"
        if shops is None:
            rows = self._read(f"{asked} ORDER BY p.shop, p.device", ())
        else:
            rows = []
            for marks, piece in in_pieces(sorted(set(shops))):
                rows += self._read(f"{asked} WHERE p.shop IN ({marks}) ORDER BY p.shop, p.device", piece)
        for one in rows:
            found.setdefault(one.shop, []).append(one)
        return found

    def _read(self, asked: str, params: Sequence[object]) -> list[Standing]:
        now_ms = self._now_ms()
        found = []
        for *values, beat_ms in self._database.execute(asked, params):
            one = Standing(*values)
            if one.linked and beat_ms is not None and now_ms - beat_ms < DEAD_MS:
                one = replace(one, heard_ms=max(one.heard_ms, beat_ms))
            elif one.linked:  # to a process that is gone
                heard_ms = max(one.heard_ms, beat_ms or 0)
                one = replace(one, serving="", heard_ms=heard_ms, since_ms=heard_ms)
            found.append(one)
        return found


def _differs(before: Standing | None, now: Standing) -> bool:
    """Whether a row is worth writing."""
    return _moved(before, now) or (before is not None and now.heard_ms - before.heard_ms >= AGAIN_MS)


def _moved(before: Standing | None, now: Standing) -> bool:
    """Whether people would see a difference."""
    if before is None or before.behind != now.behind or before.kind != now.kind:
        return True
    if before.apart_ms is None or now.apart_ms is None:
        return before.apart_ms is not now.apart_ms
    return abs(before.apart_ms - now.apart_ms) >= APART_MS
