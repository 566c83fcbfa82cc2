"""What is wrong anywhere in the chain, in one list: since when, and who has taken note of it.

Whoever looks says what there is, and of which kinds the look was; what was open of these and is not found any more has
ended. An alarm that somebody acknowledged is out of the way until it grows, or ends and happens again. What each kind
means and what to do about it is in the pages' words (`alarm_..._means`, `alarm_..._do`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posline.errors import BadRequest, NotFound
from relay.database import Database, Step, Transaction, transact
from relay.marks import OFFICE, mark
from relay.rights import Actor

__all__ = ["CAME_KEPT", "KINDS", "NOTE_MAX", "STEPS", "Alarm", "Alarms", "Found", "severity"]

STEPS: tuple[Step, ...] = (
    ("alarms", (
        "CREATE TABLE office_alarm (shop TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, params TEXT NOT NULL,"
        " level INTEGER NOT NULL, since_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
        " noted_level INTEGER NOT NULL, noted_by TEXT NOT NULL, noted_ms INTEGER NOT NULL, note TEXT NOT NULL,"
        " PRIMARY KEY (shop, name))",
        "CREATE INDEX office_alarm_ended ON office_alarm (ended_ms)",
    )),
)  # fmt: skip
# the worst first, with how bad it is: 2 costs money or sales, 1 needs somebody today
KINDS: Mapping[str, int] = {
    "disk": 2, "fork": 2, "disputed": 2, "invalid": 2, "gap": 2, "held": 2, "conflict": 2, "excess": 2, "silent": 2,
    "clock": 1, "webhook_off": 1, "unclosed": 1, "webhook_dead": 1, "refused": 1, "edit_conflict": 1,
}  # fmt: skip
NOTE_MAX = 500
CAME_KEPT = 20  # of one kind in one shop that are told of as they come
ENDED_KEPT_MS = 90 * 86_400_000
SEEN_MS = 600_000  # how exactly it is kept when an alarm was last seen
COLUMNS = "shop, name, kind, params, level, since_ms, seen_ms, noted_level, noted_by, noted_ms, note"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found: `name` is its own among the shop's, `level` how much of it there is, `params` what its words
    are filled with."""

    name: str
    kind: str
    level: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One that is open. `noted_by` is who acknowledged it, "" nobody, or not what it has grown to."""

    shop: str
    name: str
    kind: str
    params: Mapping[str, Any]
    level: int
    since_ms: int
    seen_ms: int
    noted_by: str = ""
    noted_ms: int = 0
    note: str = ""

    @property
    def bad(self) -> bool:
        """Whether it is of the worse sort."""
        return KINDS.get(self.kind, 1) > 1


def severity(alarm: Alarm) -> tuple[Any, ...]:
    """For the order of a list: what nobody has noted first, and of that the worst."""
    kinds = list(KINDS)
    place = kinds.index(alarm.kind) if alarm.kind in KINDS else len(kinds)
    return bool(alarm.noted_by), place, -alarm.level, alarm.since_ms, alarm.shop, alarm.name


class Alarms:
    """The alarms in the books."""

    def __init__(
        self, database: Database, now_ms: Callable[[], int], audit: Callable[..., None]
    ) -> None:
        """`audit` writes a line of the audit trail within a transaction."""
        self._database, self._now_ms, self._audit = database, now_ms, audit

    # -- looking -------------------------------------------------------------------------------------------------------

    def looked(self, kinds: Iterable[str], found: Mapping[str, Sequence[Found]]) -> None:
        """What there is of these kinds in each of the shops that were looked at, {shop: ...}."""
        of, now_ms = sorted(set(kinds)), self._now_ms()
        changes: list[tuple[str, str, Found | None]] = []  # the shop, the alarm's name, what it is now
        seen: list[tuple[int, str, str]] = []
        before = self._open_of(found, of)
        for shop, listed in found.items():
            now, open_here = {one.name: one for one in listed}, before.get(shop, {})
            for name, one in now.items():
                was = open_here.get(name)
                if was is None or (was.level, was.params) != (one.level, dict(one.params)):
                    changes.append((shop, name, one))
                elif now_ms - was.seen_ms > SEEN_MS:
                    seen.append((now_ms, shop, name))
            changes += [(shop, name, None) for name in open_here if name not in now]
        if changes or seen:
            transact(self._database, lambda tx: self._write(tx, changes, seen, now_ms))

    def _open_of(self, shops: Iterable[str], kinds: Sequence[str]) -> dict[str, dict[str, Alarm]]:
        """The open ones of these shops, by shop and name."""
        wanted, found = set(shops), dict[str, dict[str, Alarm]]()
        rows = self._database.execute(
            f"SELECT {COLUMNS} FROM office_alarm WHERE ended_ms = 0 AND kind IN ({','.join('?' * len(kinds))})", kinds
        )
        for one in map(_alarm, rows):
            if one.shop in wanted:
                found.setdefault(one.shop, {})[one.name] = one
        return found

    def _write(
        self,
        tx: Transaction,
        changes: Sequence[tuple[str, str, Found | None]],
        seen: Sequence[tuple[int, str, str]],
        now_ms: int,
    ) -> None:
        for shop, name, one in changes:
            if one is None:
                tx.execute("UPDATE office_alarm SET ended_ms = ? WHERE shop = ? AND name = ?", (now_ms, shop, name))
                continue
            self.put(tx, shop, one, now_ms)
        tx.executemany("UPDATE office_alarm SET seen_ms = ? WHERE shop = ? AND name = ?", seen)
        mark(tx, {shop for shop, _, _ in changes})

    def put(self, tx: Transaction, shop: str, one: Found, now_ms: int) -> None:
        """Keep an alarm, within a transaction: anew where it had ended."""
        text = json.dumps(one.params, ensure_ascii=False, sort_keys=True)
        tx.execute(
            f"INSERT INTO office_alarm ({COLUMNS}, ended_ms) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', 0, '', 0)"
            " ON CONFLICT (shop, name) DO UPDATE SET kind = excluded.kind, params = excluded.params,"
            " level = excluded.level, seen_ms = excluded.seen_ms, ended_ms = 0,"
            " since_ms = CASE WHEN office_alarm.ended_ms > 0 THEN excluded.since_ms ELSE office_alarm.since_ms END,"
            " noted_level = CASE WHEN office_alarm.ended_ms > 0 THEN 0 ELSE office_alarm.noted_level END",
            (shop, one.name, one.kind, text, one.level, now_ms, now_ms),
        )

    def came(self, shop: str, found: Sequence[Found]) -> None:
        """As `looked`, of what ends by itself (`pass_by`): each process knows only its own. Of each kind the last ones
        are kept: strangers can knock as often as they like, each time by another name."""
        now_ms = self._now_ms()
        if not found:
            return

        def work(tx: Transaction) -> None:
            for one in found:
                self.put(tx, shop, one, now_ms)
            for kind in sorted({one.kind for one in found}):
                tx.execute(
                    "DELETE FROM office_alarm WHERE shop = ? AND kind = ? AND name NOT IN (SELECT name FROM"
                    " office_alarm WHERE shop = ? AND kind = ? ORDER BY seen_ms DESC, since_ms DESC, name LIMIT ?)",
                    (shop, kind, shop, kind, CAME_KEPT),
                )
            mark(tx, [shop])

        transact(self._database, work)

    def pass_by(self, kind: str, older_ms: int) -> None:
        """End those of a kind that nobody has seen for so long; forget what ended long ago."""
        now_ms = self._now_ms()
        rows = self._database.execute(
            "SELECT shop, name FROM office_alarm WHERE ended_ms = 0 AND kind = ? AND seen_ms < ?",
            (kind, now_ms - older_ms),
        ).fetchall()
        old = self._database.execute(
            "SELECT 1 FROM office_alarm WHERE ended_ms > 0 AND ended_ms < ? LIMIT 1", (now_ms - ENDED_KEPT_MS,)
        ).fetchone()
        if not rows and old is None:
            return

        def work(tx: Transaction) -> None:
            self._write(tx, [(shop, name, None) for shop, name in rows], [], now_ms)
            tx.execute(
                "DELETE FROM office_alarm WHERE ended_ms > 0 AND ended_ms < ?", (now_ms - ENDED_KEPT_MS,)
            )

        transact(self._database, work)

    # -- people --------------------------------------------------------------------------------------------------------

    def open(self, covers: Callable[[str], bool]) -> list[Alarm]:
        """The open ones of the shops that `covers` says are somebody's, the worst first; OFFICE is the office's own."""
        rows = self._database.execute(f"SELECT {COLUMNS} FROM office_alarm WHERE ended_ms = 0")
        return sorted((one for one in map(_alarm, rows) if covers(one.shop)), key=severity)

    def counts(self) -> dict[str, tuple[int, bool]]:
        """Of each shop, how many nobody has noted, and whether one is of the worse sort."""
        found: dict[str, tuple[int, bool]] = {}
        for shop, kind, count in self._database.execute(
            "SELECT shop, kind, count(*) FROM office_alarm WHERE ended_ms = 0 AND noted_level < level"
            " GROUP BY shop, kind"
        ):
            before = found.get(shop, (0, False))
            found[shop] = before[0] + int(count), before[1] or KINDS.get(kind, 1) > 1
        return found

    def acknowledge(self, shop: str, name: str, note: str, *, by: Actor) -> None:
        """Somebody has taken note of an alarm, and says what is done about it. Raises NotFound, BadRequest."""
        note, now_ms = " ".join(note.split()), self._now_ms()
        if len(note) > NOTE_MAX:
            raise BadRequest.of("note", f"has more than {NOTE_MAX} characters")

        def work(tx: Transaction) -> None:
            row = tx.execute(
                "SELECT kind FROM office_alarm WHERE shop = ? AND name = ? AND ended_ms = 0", (shop, name)
            ).fetchone()
            if row is None:
                raise NotFound("this alarm is over already")
            tx.execute(
                "UPDATE office_alarm SET noted_level = level, noted_by = ?, noted_ms = ?, note = ?"
                " WHERE shop = ? AND name = ?",
                (by.name, now_ms, note, shop, name),
            )
            self._audit(tx, by, "alarm_acknowledged", shop or OFFICE, ": ".join(filter(None, (row[0], note))))
            mark(tx, [shop])

        transact(self._database, work)


def _alarm(row: Sequence[Any]) -> Alarm:
    shop, name, kind, params, level, since_ms, seen_ms, noted_level, noted_by, noted_ms, note = row
    noted = (noted_by, noted_ms, note) if noted_level >= level else ("", 0, "")
    return Alarm(shop, name, kind, json.loads(params), level, since_ms, seen_ms, *noted)
