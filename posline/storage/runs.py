"""What the ledger knows of each run as a whole, in memory while it is busy."""

from __future__ import annotations

from dataclasses import dataclass

from posline.storage.connection import Connection

__all__ = ["Run", "RunKey", "Runs"]

RUNS_KEPT = 4096  # runs whose tips stay in memory, about 1 MB


@dataclass(slots=True)
class Run:
    """What is known of a run as a whole. `whole` is how far it reaches from its start without a gap."""

    begun: bool = False
    plain: bool = False
    tip: int = 0
    tip_hash: bytes = b""
    whole: int = 0
    whole_hash: bytes = b""
    vouched: int = 0
    label: str | None = None


RunKey = tuple[int, str, int]  # shop, author, run


class Runs:
    """The runs over one writing connection. Who changes one holds on to it until it is saved: the memory may let go."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._kept: dict[RunKey, Run] = {}

    def forget(self) -> None:
        """The transaction was rolled back: what is in memory may be ahead of the disk."""
        self._kept.clear()

    def forget_shop(self, shop: int) -> None:
        """Another process wrote in this shop: what is in memory may be behind."""
        self._kept = {place: run for place, run in self._kept.items() if place[0] != shop}

    def get(self, place: RunKey) -> Run:
        """A run as it stands; a fresh one where nothing is known."""
        run = self._kept.get(place)
        if run is None:
            row = self._db.execute(
                "SELECT begun, plain, tip, tip_hash, whole, whole_hash, vouched, label FROM run"
                " WHERE shop = ? AND author = ? AND run = ?",
                place,
            ).fetchone()
            run = Run() if row is None else Run(bool(row[0]), bool(row[1]), *row[2:])
            if len(self._kept) >= RUNS_KEPT:
                self._kept.clear()  # all are saved; the busy ones come back at once
            self._kept[place] = run
        return run

    def save(self, place: RunKey, run: Run) -> None:
        """Write a run as it stands now."""
        self._db.execute(
            "INSERT INTO run (shop, author, run, begun, plain, tip, tip_hash, whole, whole_hash, vouched, label)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (shop, author, run) DO UPDATE SET begun = excluded.begun,"
            " plain = excluded.plain, tip = excluded.tip, tip_hash = excluded.tip_hash, whole = excluded.whole,"
            " whole_hash = excluded.whole_hash, vouched = excluded.vouched, label = excluded.label",
            (*place, run.begun, run.plain, run.tip, run.tip_hash, run.whole, run.whole_hash, run.vouched, run.label),
        )
