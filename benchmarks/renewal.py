"""How long does a head office take to judge a shop's entries anew, once a version has other rules?

    python -m benchmarks.renewal --sales 20000 [--database postgresql://...]

A shop's sales lie in a head office's ledger as an earlier version judged them. On SQLite that is worked out again at
the start, on PostgreSQL at the first write in that shop, inside that write's transaction. In one process, so that the
peak of its memory is all that it takes.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.entries import Writer
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.storage.store import Store
from posline.till.opening import Clockwork, Founding, Opened, close_store, open_folder
from relay.postgres.connection import Database
from relay.postgres.store import PostgresStore

OLD = "UPDATE {} SET {} = '1/old'"
ROWS = 256  # rows of a till's log that a commit takes in


def receive(till: Replica, store: Store, known: dict[str, int]) -> None:
    """Bring a head office's ledger what the till has behind the rows that are `known`, document by document."""
    office = Replica(
        store, till.shop, author=None, clock=None, random=random.Random(1), documents=False, store_id="h" * 26
    )
    for document in sorted(till.documents(), reverse=True):  # members and rules of the shop before its sales
        while rows := till.rows(document, known.get(document, 0), ROWS):
            for row in rows:
                office.integrate(document, row.update, origin=till.store_id)
            batch = list(office.staged)
            office.release(batch, store.commit(batch))
            known[document] = rows[-1].n


def renew_sqlite(till: Replica, folder: Path) -> float:
    """Seconds of a start that judges all anew."""
    path = folder / "office.db"
    with closing(Store.open(path, feed=True)) as store:
        receive(till, store, {})
        store._db.execute(OLD.format("meta", "value") + " WHERE name = 'rules'")
    start = time.perf_counter()
    Store.open(path, feed=True).close()
    return time.perf_counter() - start


def renew_postgres(opened: Opened, url: str) -> float:
    """Seconds of a commit of one sale that judges all anew before."""
    known: dict[str, int] = {}
    with closing(PostgresStore.connect(Database(url))) as store:
        receive(opened.replica, store, known)
        store._db.execute(OLD.format("shop", "rules"))
        Writer(opened).sales(1)
        start = time.perf_counter()
        receive(opened.replica, store, known)
        return time.perf_counter() - start


def measure(sales: int, url: str) -> dict[str, Any]:
    """The figures: entries, seconds, entries a second, and the most memory."""
    with tempfile.TemporaryDirectory(prefix="posline-renewal-") as name, closing(Folder(Path(name) / "till")) as folder:
        opened = open_folder(folder, Clockwork(), Founding(shop="Bench", label="A", zone="UTC"))
        try:
            Writer(opened).sales(sales)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            seconds = renew_postgres(opened, url) if url else renew_sqlite(opened.replica, Path(name))
            (entries,) = opened.store.read.execute("SELECT count(*) FROM entry").fetchone()
        finally:
            close_store(opened.store)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "database": "PostgreSQL" if url else "SQLite", "entries": entries, "seconds": round(seconds, 1),
        "entries_a_second": round(entries / seconds), "memory_mib": round(after / 1024),
        "memory_before_mib": round(before / 1024),
    }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure and print, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sales", type=int, default=20_000)
    parser.add_argument("--database", default="", help="postgresql://...; without it SQLite in a folder")
    options = parser.parse_args(arguments)
    print(json.dumps(measure(options.sales, options.database), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
