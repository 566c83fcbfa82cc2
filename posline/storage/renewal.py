"""The ledger made again from the elements it holds: when a newer version knows more rules, and to check the tables.

A version that learns a kind of entry finds some in the ledger that an older one passed on unread. So the number of the
rules stands in the file, and where it is an older one, all that follows from the elements is thrown away and worked out
again, in one transaction, under the same numbers of entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from posline.core.entry import decode
from posline.storage.connection import Connection, connect
from posline.storage.dialect import SQLITE, Dialect
from posline.storage.ledger import Arrival, Ledger
from posline.storage.pieces import in_pieces
from posline.storage.product_index import ProductIndex
from posline.storage.projections import TABLES
from posline.storage.schema import migrate

__all__ = ["RULES", "Progress", "differing_tables", "project_shop_again", "renew"]

# raised when a version judges entries otherwise, follows more kinds of them, or words a fault or a reason otherwise:
# the ledger keeps the words, and what looks for rot compares them
RULES = 8
SLICE = 256  # elements projected at a time
LEDGER = ("entry", "run", "continuation", "conflict", "ending")
# of an entry's row: what its status leads to, and what led to it (its place and status have questions of their own)
FOLLOWS = "SELECT shop, hash, document, day, signed, fault, reason FROM entry{} ORDER BY shop, hash, document"
SAID = {  # what a table says, where that is not all that stands in it
    # what came and went again may leave a row of zeros behind
    "onhand": "SELECT shop, sku, quantity, stocked FROM onhand WHERE quantity <> 0 OR stocked <> 0",
    # how far a run is vouched for is followed while it is a plain chain, and asked of its entries otherwise
    "run": "SELECT shop, author, run, begun, plain, tip, tip_hash, whole, whole_hash,"
    " CASE WHEN plain = 1 THEN vouched ELSE 0 END, label"
    " FROM run",
}
# `NOT INDEXED`: SQLite finds them by their number, though it be those of one shop
HELD = "SELECT e.shop, s.id, e.document, d.name, e.own, e.raw FROM {} e NOT INDEXED JOIN shop s ON s.key = e.shop" \
    " JOIN document d ON d.shop = e.shop AND d.key = e.document{} ORDER BY e.n"  # fmt: skip


Progress = Callable[[int, int], None]  # (entries that are done, entries that there are)


def _untold(done: int, of: int) -> None:
    """Nobody wants to know."""


def renew(db: Connection, *, feed: bool, told: Progress = _untold) -> bool:
    """Bring the ledger of this writing connection under today's rules; True where that took work. With `feed`,
    integrators are told of each entry whose status is another now. `told` hears how far that is."""
    row = db.execute("SELECT value FROM meta WHERE name = 'rules'").fetchone()
    if row is not None and row[0] == str(RULES):
        return False
    full = db.execute("SELECT 1 FROM entry LIMIT 1").fetchone() is not None
    db.execute("BEGIN IMMEDIATE")
    try:
        if full:
            _project_again(db, feed=feed, told=told)
        db.execute(
            "INSERT INTO meta (name, value) VALUES ('rules', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(RULES),),
        )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return full


def _project_again(db: Connection, *, feed: bool, told: Progress) -> None:
    db.execute(
        "CREATE TABLE held (n INTEGER PRIMARY KEY, shop INTEGER, document INTEGER, own INTEGER, status INTEGER,"
        " raw BLOB)"
    )
    db.execute("INSERT INTO held SELECT n, shop, document, own, status, raw FROM entry")
    for table in (*LEDGER, *TABLES):
        db.execute(f"DELETE FROM {table}")
    ProductIndex(db).make()  # of nothing: it follows the edits as they come back
    _project(db, db, "held", told=told)
    if feed:
        db.execute(
            "INSERT INTO feed (shop, entry, event, status) SELECT e.shop, e.n, 'status', e.status FROM entry e"
            " JOIN held h ON h.n = e.n WHERE h.status <> e.status ORDER BY e.n"
        )
    db.execute("DROP TABLE held")


def project_shop_again(db: Connection, shop: int, *, feed: bool, dialect: Dialect) -> None:
    """Judge all entries of one shop anew, inside the caller's transaction, where each shop's are numbered by
    themselves. With `feed`, integrators are told of each whose status is another now."""
    db.execute("CREATE TEMPORARY TABLE held ON COMMIT DROP AS SELECT * FROM entry WHERE shop = ?", (shop,))
    db.execute("CREATE INDEX held_n ON held (n)")
    for table in (*LEDGER, *TABLES, "product", "barcode"):
        db.execute(f"DELETE FROM {table} WHERE shop = ?", (shop,))
    _project(db, db, "held", dialect=dialect)
    if feed:
        db.execute(
            f"INSERT INTO {dialect.feed} (shop, entry, event, status) SELECT e.shop, e.n, 'status', e.status"
            " FROM entry e JOIN held h ON h.shop = e.shop AND h.n = e.n WHERE h.status <> e.status AND e.shop = ?"
            " ORDER BY e.n",
            (shop,),
        )
    db.execute("DROP TABLE held")


def _project(
    source: Connection, target: Connection, table: str, *, dialect: Dialect = SQLITE, only: int | None = None,
    told: Progress = _untold,
) -> None:  # fmt: skip
    """Judge the elements of `table` anew into the ledger of `target`, in the order in which they came; with `only`, of
    one shop."""
    ledger, done = Ledger(target, feed=False, dialect=dialect), 0
    count = 0 if told is _untold else int(source.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    for shop, shop_id, arrivals in _slices(source, table, only):
        ledger.take(shop, shop_id, arrivals)
        done += len(arrivals)
        told(done, count)


def _of(query: str, column: str, only: int | None) -> tuple[str, tuple[int, ...]]:
    """`query`, whose {} is where a condition goes, of all shops or of one, with its values."""
    return (query.format(""), ()) if only is None else (query.format(f" WHERE {column} = ?"), (only,))


def _held(source: Connection, table: str, only: int | None) -> Iterator[tuple[Any, ...]]:
    """The elements in their order, some at a time: a client of PostgreSQL has all of an answer in memory."""
    numbers = [n for (n,) in source.execute(*_of(f"SELECT n FROM {table}{{}} ORDER BY n", "shop", only))]
    where, of = (" WHERE", ()) if only is None else (" WHERE e.shop = ? AND", (only,))
    for marks, piece in in_pieces(numbers):
        yield from source.execute(HELD.format(table, f"{where} e.n IN ({marks})"), (*of, *piece)).fetchall()


def _slices(source: Connection, table: str, only: int | None) -> Iterator[tuple[int, str, list[Arrival]]]:
    waiting: list[Arrival] = []
    of: tuple[int, str] | None = None
    for shop, shop_id, document, name, own, raw in _held(source, table, only):
        if of is not None and (of != (shop, shop_id) or len(waiting) >= SLICE):
            yield *of, waiting
            waiting = []
        of = shop, shop_id
        waiting.append(Arrival(decode(name, raw), document, bool(own)))
    if of is not None and waiting:
        yield *of, waiting


def differing_tables(source: Connection, only: int | None = None) -> list[str]:
    """The tables of the ledger and its projections that are not what the elements make them, judged from nothing in
    memory; with `only`, what they have of one shop."""
    scratch = connect(":memory:")
    try:
        migrate(scratch)
        for table, shop in (("shop", "key"), ("document", "shop")):
            rows = source.execute(*_of(_known(scratch, table) + "{}", shop, only)).fetchall()
            if rows:
                scratch.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
        _project(source, scratch, "entry", only=only)
        theirs, ours = (db.execute(*_of(FOLLOWS, "shop", only)) for db in (source, scratch))
        unlike = any(one != other for one, other in zip_longest(theirs, ours))
        said = {table: SAID.get(table) or _known(scratch, table) for table in (*LEDGER[1:], *TABLES)}
        differ = [
            table for table, query in said.items() if _rows(source, query, only) != _rows(scratch, query, only)
        ]
        return ["entry"] * unlike + differ
    finally:
        scratch.close()


def _known(db: Connection, table: str) -> str:
    """What asks for the columns that this version's table has: a newer one's file may have more."""
    names = [f'"{name}"' for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
    return f"SELECT {', '.join(names)} FROM {table}"


def _rows(db: Connection, said: str, only: int | None) -> list[tuple[object, ...]]:
    found = db.execute(*_of(f"SELECT * FROM ({said}) said{{}}", "shop", only))
    return sorted(found.fetchall(), key=repr)
