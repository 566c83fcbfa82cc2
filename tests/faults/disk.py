"""What a data folder holds, found without the product: by SQLite, json and stock Yjs alone.

A program that was killed is looked at in a copy of its files, before it is started again: what it then still gets from
others must not hide what it had lost.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pycrdt

__all__ = ["Disk", "Elements", "elements_of", "faults_of_numbers"]

DATABASE = "posline.db"
NUMBERED = ("sale", "refund")
ASKED_AT_ONCE = 500

Elements = dict[str, dict[str, list[str]]]  # document -> root array -> its strings


@dataclass
class Disk:
    """One folder, looked at again and again."""

    folder: Path
    ids: Counter[str] = field(default_factory=Counter)  # of all entries: how often each was seen
    rules: str = ""  # the number of the rules that its ledger was made by
    log_rows: int = 0
    last: int = 0  # the number of the last entry that was looked at

    def look(self, scratch: Path | None = None) -> None:
        """Read what is new; in a copy under `scratch` where the program does not run. Raises AssertionError where it
        holds less than before."""
        path = self.folder / DATABASE
        if scratch is not None:
            scratch.mkdir(exist_ok=True)
            for suffix in ("", "-wal"):
                copy = scratch / (DATABASE + suffix)
                copy.unlink(missing_ok=True)
                if (source := path.with_name(DATABASE + suffix)).exists():
                    shutil.copyfile(source, copy)
            (scratch / (DATABASE + "-shm")).unlink(missing_ok=True)
            path = scratch / DATABASE
        with closing(sqlite3.connect(f"file:{path}?mode={'rw' if scratch else 'ro'}", uri=True)) as db:
            db.execute("BEGIN")
            counted, last = db.execute("SELECT count(*), coalesce(max(n), 0) FROM entry").fetchone()
            for n, raw in db.execute("SELECT n, raw FROM entry WHERE n > ? ORDER BY n", (self.last,)):
                self.last = n
                self.ids[json.loads(raw)["id"]] += 1
            assert (counted, last) == (self.ids.total(), self.last), (
                f"{self.folder.name} held {self.ids.total()} entries up to {self.last}, and now {counted} up to {last}"
            )
            found = db.execute("SELECT value FROM meta WHERE name = 'rules'").fetchone()
            self.rules = found[0] if found else ""
            self.log_rows = db.execute("SELECT count(*) FROM log").fetchone()[0]

    def lacks(self, ids: Iterable[str]) -> list[str]:
        """Those of these ids that it does not hold exactly once, in words."""
        return [f"{id} is there {self.ids[id]} times" for id in ids if self.ids[id] != 1]


def elements_of(database: Path, shop_id: str) -> Elements:
    """Every document of a shop in a file that no program has open, put together from its log by stock Yjs."""
    found: Elements = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        named = "SELECT shop, d.key, name FROM document d JOIN shop s ON s.key = d.shop WHERE s.id = ? ORDER BY name"
        for shop, key, name in db.execute(named, (shop_id,)).fetchall():
            document = pycrdt.Doc[Any]()
            rows = db.execute("SELECT data FROM log WHERE shop = ? AND document = ? ORDER BY n", (shop, key))
            for (update,) in rows.fetchall():
                document.apply_update(update)
            roots = {root: document.get(root, type=pycrdt.Array) for root in list(document.keys())}
            found[name] = {root: [str(element) for element in array] for root, array in roots.items()}
            hashes = {hashlib.sha256(e.encode()).digest() for root in found[name].values() for e in root}
            ledger = db.execute("SELECT hash FROM entry WHERE shop = ? AND document = ?", (shop, key)).fetchall()
            assert sorted(hashes) == sorted(hash for (hash,) in ledger), f"{name}: the ledger is not the log"
    return found


def faults_of_numbers(documents: Elements) -> list[str]:
    """Where a till's numbers are not 1, 2, 3 and so on, of its entries and of its receipts, in words."""
    entries: dict[str, set[tuple[int, str]]] = defaultdict(set)
    receipts: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for roots in documents.values():
        for text in (text for root in roots.values() for text in root):
            entry = json.loads(text)
            entries[entry["till"]].add((entry["seq"], text))
            if entry["kind"] in NUMBERED:
                receipts[entry["till"]].add((entry["number"], text))
    found = []
    for what, numbers in (("entries", entries), ("receipts", receipts)):
        for author, taken in numbers.items():
            if (got := sorted(number for number, _ in taken)) != list(range(1, len(got) + 1)):
                found.append(f"{what} of {author[:6]} are numbered {_odd(got)}")
    return found


def _odd(numbers: list[int]) -> str:
    """What is wrong with numbers that are not 1, 2, 3 and so on."""
    doubled = [number for number, times in Counter(numbers).items() if times > 1]
    missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
    return f"with {doubled[:10]} twice and {missing[:10]} missing"
