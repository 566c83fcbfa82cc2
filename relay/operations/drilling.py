"""A restore, tried: a copy is put back into a place of its own, worked out again, and held against what runs.

What runs has gone on since. So its entries are compared up to the last one that the copy has: entries are numbered as
they come, and neither their numbers nor what they are ever changes.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from posline.errors import NotPossible
from posline.storage.store import Store
from posline.storage.verify import Harm, verify
from relay.operations.backups import LEDGER, Manifest, unpack

__all__ = ["compare", "sums", "try_copy"]

MODULUS = 1 << 256
ROWS = 2000  # at a time


def try_copy(source: Path, database: str | None, within: Path | None) -> dict[str, Any]:
    """Put a copy back, of a folder or, with `database`, of that database; work all of it out again, and throw it away.
    {shops: {id: {last, entries, digest}}, problems, told}: what is wrong with the copy, and what its tills did."""
    with _opened(source, database, within) as (store, manifest):
        shops = {shop: sums(store, shop) for shop in store.shops()}
        found = [(shop, problem) for shop in shops for problem in verify(store, shop)]
        problems = [f"shop {shop}: {problem}" for shop, problem in found if isinstance(problem, Harm)]
        told = [f"shop {shop}: {problem}" for shop, problem in found if not isinstance(problem, Harm)]
        if manifest is not None:
            problems += _unlike(shops, manifest)
        return {"shops": shops, "problems": problems, "told": told}


@contextmanager
def _opened(source: Path, database: str | None, within: Path | None) -> Iterator[tuple[Store, Manifest | None]]:
    if database is not None:
        with _in_schema(source, database) as store:
            yield store, None
        return
    with tempfile.TemporaryDirectory(prefix="posline-drill-", dir=within) as made:
        manifest = unpack(source, Path(made))
        with closing(Store.open(Path(made) / LEDGER, feed=True)) as store:  # by this version's rules, as a start would
            yield store, manifest


@contextmanager
def _in_schema(source: Path, url: str) -> Iterator[Store]:
    try:
        from relay.operations.dumps import drop_schema, load
        from relay.postgres.connection import Database
        from relay.postgres.store import PostgresStore
    except ImportError as error:
        raise NotPossible(f"PostgreSQL needs the package psycopg ({error}): pip install 'posline[postgres]'") from error
    database = Database(url)
    database.schema = f"posline_drill_{secrets.token_hex(4)}"
    try:
        load(source, database)
        with closing(PostgresStore.connect(database)) as store:
            yield store
    finally:
        drop_schema(database)


def _unlike(shops: Mapping[str, Mapping[str, Any]], manifest: Manifest) -> list[str]:
    """What the copy was said to hold when it was made, and does not."""
    problems = [f"shop {shop} of the manifest is not in the copy" for shop in manifest.shops if shop not in shops]
    for shop, about in shops.items():
        said = manifest.shops.get(shop, {}).get("entries")
        if said != about["entries"]:
            problems.append(f"shop {shop} has {about['entries']} entries in the copy, and {said} by its manifest")
    return problems


def sums(store: Store, shop: str, last: int | None = None) -> dict[str, Any]:
    """{last, entries, digest} of a shop's entries up to number `last`: how many, and the sum of their hashes."""
    key, count, total, n = store.shop_key(shop), 0, 0, 0
    while True:
        rows = store.read.execute(
            "SELECT n, hash FROM entry WHERE shop = ? AND n > ? AND n <= ? ORDER BY n LIMIT ?",
            (key, n, last if last is not None else (1 << 62), ROWS),
        ).fetchall()
        if not rows:
            return {"last": n, "entries": count, "digest": f"{total:064x}"}
        count, n = count + len(rows), rows[-1][0]
        total = (total + sum(int.from_bytes(hash, "big") for _, hash in rows)) % MODULUS


def compare(store: Store, shops: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How what runs differs from what a copy of it held, in words."""
    differences = []
    for shop, held in shops.items():
        if store.shop_key(shop) is None:
            differences.append(f"shop {shop} is in the copy, and not in the head office that runs")
            continue
        here = sums(store, shop, int(held["last"]))
        if here["entries"] != held["entries"]:
            differences.append(
                f"shop {shop}: the copy has {held['entries']} entries where the head office has {here['entries']}"
            )
        elif here["digest"] != held["digest"]:
            differences.append(f"shop {shop}: of {held['entries']} entries some are others in the copy")
    return differences
