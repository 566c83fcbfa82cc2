"""The books: a double-entry ledger in SQLite that takes the events of a head office, each exactly once.

Everything that an event does is one transaction: its id, what it posts, and how far the feed was read. After a crash
there is all of it or nothing, and an event that comes again is known by its id. What an entry is worth may change later
(a sale turns out to be recorded at two tills): then what was posted of it is reversed, and posted anew. An event that a
receiver had not taken may come after newer ones of its entry, and changes nothing then.

Nothing here is imported from Posline: the arithmetic is written again from docs/money.md, as a program in another
language would have to, so that the two can be held against each other.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

__all__ = ["Books", "lines_of"]

TABLES = """
CREATE TABLE IF NOT EXISTS place (source TEXT PRIMARY KEY, after TEXT NOT NULL, feed TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS life (n INTEGER PRIMARY KEY, feed TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS newest (
    shop TEXT, hash TEXT, life INTEGER NOT NULL, cursor INTEGER NOT NULL, PRIMARY KEY (shop, hash));
CREATE TABLE IF NOT EXISTS entry (
    shop TEXT, hash TEXT, kind TEXT NOT NULL, status TEXT NOT NULL, till TEXT NOT NULL, run INTEGER NOT NULL,
    seq INTEGER NOT NULL, day TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (shop, hash));
CREATE INDEX IF NOT EXISTS entry_place ON entry (shop, till, seq);
CREATE TABLE IF NOT EXISTS journal (
    n INTEGER PRIMARY KEY, event TEXT NOT NULL, shop TEXT NOT NULL, entry TEXT NOT NULL, day TEXT NOT NULL,
    what TEXT NOT NULL, amount INTEGER NOT NULL, reverses INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS journal_entry ON journal (shop, entry);
"""
MONEY = ("sale", "refund", "void", "cash", "payment")
Z_REPORT, COUNTED = "shift closed", "counted"
WORTH_NOTHING = ("duplicate", "disputed", "held")  # and yet a till expects its money in the drawer
ANY_RUN = 0
Lines = dict[str, int]  # what is posted -> minor units, a debit above 0


class Books:
    """The ledger in one file. Each method that changes something is one transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # a posting that was acknowledged stays through a power cut
        self._db.executescript(TABLES)

    def place(self, source: str) -> tuple[str, str]:
        """Up to where a feed was read: its cursor, and which feed gave it."""
        row = self._db.execute("SELECT after, feed FROM place WHERE source = ?", (source,)).fetchone()
        return ("0", "") if row is None else (row[0], row[1])

    def take(self, events: Sequence[Mapping[str, Any]], *, source: str = "", after: str = "", feed: str = "") -> int:
        """Post these events, and remember the place behind them where a `source` is named; says how many were new."""
        new = 0
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for event in events:
                new += self._take(event)
            if source:
                self._db.execute(
                    "INSERT INTO place (source, after, feed) VALUES (?, ?, ?)"
                    " ON CONFLICT (source) DO UPDATE SET after = excluded.after, feed = excluded.feed",
                    (source, after, feed),
                )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return new

    def balances(self, shop: str = "", day: str = "") -> Lines:
        """What each account comes to, of one shop or all, of one day or all."""
        rows = self._db.execute(
            "SELECT what, sum(amount) FROM journal WHERE (? = '' OR shop = ?) AND (? = '' OR day = ?)"
            " GROUP BY what HAVING sum(amount) <> 0 ORDER BY what",
            (shop, shop, day, day),
        )
        return dict(rows.fetchall())

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- one event -------------------------------------------------------------------------------------------------

    def _take(self, event: Mapping[str, Any]) -> bool:
        said = self._db.execute("INSERT INTO event (id) VALUES (?) ON CONFLICT DO NOTHING", (event["event_id"],))
        if not said.rowcount:
            return False  # this very event was taken before
        self._db.execute("INSERT INTO life (feed) VALUES (?) ON CONFLICT DO NOTHING", (event["feed"],))
        body = event["entry"]
        posts = body is not None and event["kind"] in (*MONEY, Z_REPORT) and "till" in body
        if not posts or not self._is_newest(event):
            return True
        self._db.execute(
            "INSERT INTO entry (shop, hash, kind, status, till, run, seq, day, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (shop, hash) DO UPDATE SET status = excluded.status",
            (event["shop"], event["hash"], event["kind"], event["status"], body["till"], body["run"], body["seq"],
             body["day"], json.dumps(body)),
        )  # fmt: skip
        self._post(event["event_id"], event["shop"], event["hash"])
        if event["kind"] != Z_REPORT:
            for z in self._covering(event["shop"], body):
                self._post(event["event_id"], event["shop"], z)
        return True

    def _is_newest(self, event: Mapping[str, Any]) -> bool:
        """Whether no newer event of its entry was taken; from now on this is the newest. Cursors grow within a life of
        the head office. A database that was put back counts anew, in a life that is heard of for the first time."""
        (life,) = self._db.execute("SELECT n FROM life WHERE feed = ?", (event["feed"],)).fetchone()
        kept = self._db.execute(
            "INSERT INTO newest (shop, hash, life, cursor) VALUES (?, ?, ?, ?) ON CONFLICT (shop, hash) DO UPDATE SET"
            " life = excluded.life, cursor = excluded.cursor"
            " WHERE (excluded.life, excluded.cursor) > (newest.life, newest.cursor)",
            (event["shop"], event["hash"], life, int(event["cursor"])),
        )
        return bool(kept.rowcount)

    def _post(self, event: str, shop: str, hash: str) -> None:
        """Bring what is posted of an entry to what it is worth now."""
        kind, status, day, text = self._db.execute(
            "SELECT kind, status, day, body FROM entry WHERE shop = ? AND hash = ?", (shop, hash)
        ).fetchone()
        body, wanted = json.loads(text), Lines()
        if status == COUNTED:
            wanted = self._over_short(shop, body) if kind == Z_REPORT else lines_of(kind, body)
        standing = dict(
            self._db.execute(
                "SELECT what, sum(amount) FROM journal WHERE shop = ? AND entry = ? GROUP BY what"
                " HAVING sum(amount) <> 0",
                (shop, hash),
            ).fetchall()
        )
        wanted = {what: amount for what, amount in wanted.items() if amount}
        if wanted == standing:
            return
        for reverses, lines in ((1, {what: -amount for what, amount in standing.items()}), (0, wanted)):
            self._db.executemany(
                "INSERT INTO journal (event, shop, entry, day, what, amount, reverses) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(event, shop, hash, day, what, amount, reverses) for what, amount in sorted(lines.items())],
            )

    # -- what was counted ------------------------------------------------------------------------------------------

    def _covering(self, shop: str, body: Mapping[str, Any]) -> list[str]:
        """The Z reports that expect the money of this entry: behind it in its till's numbers, and covering its own."""
        rows = self._db.execute(
            "SELECT hash, body FROM entry WHERE shop = ? AND till = ? AND seq > ? AND kind = ?",
            (shop, body["till"], body["seq"], Z_REPORT),
        ).fetchall()
        return [
            hash
            for hash, text in rows
            if any(run in (ANY_RUN, body["run"]) and first <= body["seq"] <= last
                   for run, first, last in json.loads(text)["covers"])
        ]  # fmt: skip

    def _over_short(self, shop: str, z: Mapping[str, Any]) -> Lines:
        """What was counted beyond what should be there. The till expected also what does not count, such as the money
        of a sale that another till recorded too."""
        expected = defaultdict(int, z["expected"])
        for kind, body in self._worth_nothing(shop, z):
            for what, amount in lines_of(kind, body).items():
                if what.startswith("tender:"):
                    expected[what.partition(":")[2]] -= amount
        lines: Lines = {}
        for kind, counted in z["counted"].items():
            lines[f"tender:{kind}"] = counted - expected[kind]
            lines[f"over_short:{kind}"] = expected[kind] - counted
        return lines

    def _worth_nothing(self, shop: str, z: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        places: dict[tuple[int, int], list[tuple[str, str, str]]] = defaultdict(list)
        for run, first, last in z["covers"]:
            for row in self._db.execute(
                "SELECT run, seq, kind, status, body FROM entry WHERE shop = ? AND till = ? AND seq BETWEEN ? AND ?"
                " AND (? = 0 OR run = ?) ORDER BY status, hash",
                (shop, z["till"], first, last, run, run),
            ):
                places[row[0], row[1]].append(row[2:])
        for held in places.values():  # what somebody made up for a number that is taken was in nobody's drawer
            if not any(status == COUNTED for _, status, _ in held):
                kind, status, text = next((h for h in held if h[1] == "duplicate"), held[0])
                if kind in MONEY and status in WORTH_NOTHING:
                    yield kind, json.loads(text)


# -- what an entry is worth --------------------------------------------------------------------------------------------


def lines_of(kind: str, body: Mapping[str, Any]) -> Lines:
    """What an entry posts, under the names of the head office's accounting: tender:cash, sales:standard:18."""
    lines: Lines = defaultdict(int)
    if kind == "cash":
        sign = 1 if body["direction"] == "in" else -1
        lines["tender:cash"] += sign * body["amount"]
        lines[f"cash_{body['direction']}:{_named(body['reason'].strip().lower()[:60])}"] -= sign * body["amount"]
        return dict(lines)
    payment = kind == "payment"
    payable = body["amount"] if payment else body["total"] + body.get("rounding", 0)
    back = -1 if kind in ("refund", "void") else 1
    for tender in body.get("tenders") or [{"kind": "cash", "amount": payable}]:
        lines[f"tender:{tender['kind']}"] += back * tender["amount"]
    if payment:
        lines["payments"] -= payable
        return dict(lines)
    lines["tender:cash"] -= body.get("change", 0)
    lines["rounding"] -= back * body.get("rounding", 0)
    name = {"sale": "sales", "refund": "refunds", "void": "voids"}[kind]
    for part in _parts(kind, body):
        group = f"{_named(part.get('class', ''))}:{_named(part.get('rate') or '')}"
        total, tax = part["total"], part.get("tax", 0)
        lines[f"{name}:{group}"] -= back * (total - tax)
        lines[f"tax:{group}"] -= back * tax
    return {what: amount for what, amount in lines.items() if amount}


def _parts(kind: str, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What it is made of by tax class: the lines of a sale or a refund, the sums of a void."""
    if kind == "void":
        return body.get("taxes") or [{"total": body["total"], "tax": body.get("tax", 0)}]
    if kind == "refund":
        return list(body["lines"])
    return [dict(line, total=_cost(line)) for line in body["lines"]]


def _cost(line: Mapping[str, Any]) -> int:
    gross = (line["price"] * Decimal(line["quantity"])).quantize(Decimal(1), ROUND_HALF_UP)
    on_top = line.get("tax", 0) if line.get("mode") == "exclusive" else 0
    return int(gross) - int(line.get("discount", 0)) + int(on_top)


def _named(part: str) -> str:
    return part.replace(":", "_") or "none"
