"""The tables, as migrations that sqlite-utils applies in order at every start.

Every key starts with the shop, so that a head office can hold many and split them over machines. A migration that was
released is never edited: a change is a new one below it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from posline.storage.connection import Connection, Error, altered, connect

__all__ = ["STEPS", "migrate"]

_FIRST = (
    # what this file is, and small local settings
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE shop (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
    # -- the log: the truth -----------------------------------------------------------------------------------------
    # a document's head: number of its last row, and its set of elements as a count and a sum of hashes modulo 2^256
    """CREATE TABLE document (
        shop INTEGER NOT NULL, key INTEGER NOT NULL, name TEXT NOT NULL,
        n INTEGER NOT NULL, count INTEGER NOT NULL, sum BLOB NOT NULL,
        PRIMARY KEY (shop, key), UNIQUE (shop, name)) WITHOUT ROWID""",
    "CREATE TABLE clock (shop INTEGER, document INTEGER, client INTEGER, clock INTEGER NOT NULL,"
    " PRIMARY KEY (shop, document, client)) WITHOUT ROWID",
    "CREATE TABLE digest (shop INTEGER, document INTEGER, author TEXT, count INTEGER NOT NULL, sum BLOB NOT NULL,"
    " PRIMARY KEY (shop, document, author)) WITHOUT ROWID",
    # rows in commit order; `before` and `after` are the state vector's clocks of the clients that the row advances
    """CREATE TABLE log (
        shop INTEGER NOT NULL, document INTEGER NOT NULL, n INTEGER NOT NULL,
        before BLOB NOT NULL, after BLOB NOT NULL, origin TEXT NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (shop, document, n))""",
    # -- the ledger: a projection of the log, keyed by the element's hash --------------------------------------------
    """CREATE TABLE entry (
        n INTEGER PRIMARY KEY, shop INTEGER NOT NULL, document INTEGER NOT NULL, hash BLOB NOT NULL,
        id TEXT NOT NULL, kind TEXT NOT NULL, author TEXT NOT NULL, run INTEGER NOT NULL, seq INTEGER NOT NULL,
        prev TEXT NOT NULL, day TEXT, number INTEGER, amount INTEGER NOT NULL,
        signed INTEGER NOT NULL, own INTEGER NOT NULL, vouched INTEGER NOT NULL,
        status INTEGER NOT NULL, fault TEXT, reason TEXT, kept BLOB, raw BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX entry_hash ON entry (shop, hash, document)",
    "CREATE INDEX entry_id ON entry (shop, id)",
    "CREATE INDEX entry_place ON entry (shop, author, run, seq)",
    "CREATE INDEX entry_day ON entry (shop, day) WHERE day IS NOT NULL",
    "CREATE INDEX entry_number ON entry (shop, number) WHERE number IS NOT NULL",
    "CREATE INDEX entry_standing ON entry (shop, document, author, seq) WHERE day IS NULL",
    "CREATE INDEX entry_odd ON entry (shop, status) WHERE status <> 0",
    # what is known of a run as a whole: where it ends, how far it is without a gap, whether it is a plain chain
    """CREATE TABLE run (
        shop INTEGER, author TEXT, run INTEGER, begun INTEGER NOT NULL, plain INTEGER NOT NULL,
        tip INTEGER NOT NULL, tip_hash BLOB NOT NULL, whole INTEGER NOT NULL, whole_hash BLOB NOT NULL,
        vouched INTEGER NOT NULL, label TEXT, PRIMARY KEY (shop, author, run)) WITHOUT ROWID""",
    # a valid `run` entry's `after`: from which point of which run its author went on
    """CREATE TABLE continuation (
        shop INTEGER, author TEXT, run INTEGER, seq INTEGER, hash BLOB, next INTEGER,
        PRIMARY KEY (shop, author, run, seq, hash, next)) WITHOUT ROWID""",
    "CREATE TABLE conflict (shop INTEGER, id TEXT, PRIMARY KEY (shop, id)) WITHOUT ROWID",
    """CREATE TABLE redate (
        shop INTEGER, author TEXT, run INTEGER, hash BLOB, first INTEGER NOT NULL, last INTEGER NOT NULL,
        day TEXT NOT NULL, writer TEXT NOT NULL, seq INTEGER NOT NULL, seen TEXT NOT NULL,
        PRIMARY KEY (shop, author, run, hash)) WITHOUT ROWID""",
    # the catalogue: every edit of a product, and which of them is current
    """CREATE TABLE edit (
        shop INTEGER, document INTEGER, name TEXT, hash BLOB, author TEXT NOT NULL, run INTEGER NOT NULL,
        seq INTEGER NOT NULL, at TEXT NOT NULL, seen TEXT NOT NULL, value TEXT NOT NULL, current INTEGER NOT NULL,
        PRIMARY KEY (shop, document, name, hash)) WITHOUT ROWID""",
    "CREATE INDEX edit_current ON edit (shop, document, name) WHERE current = 1",
    # the last entry that this disk wrote as an author, its last receipt number, and how far others wrote under its name
    """CREATE TABLE mark (
        shop INTEGER, author TEXT, run INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
        number INTEGER NOT NULL, foreign_seq INTEGER NOT NULL, foreign_number INTEGER NOT NULL,
        PRIMARY KEY (shop, author)) WITHOUT ROWID""",
    # -- what others hold, and what was asked here -------------------------------------------------------------------
    """CREATE TABLE have (
        shop INTEGER, author TEXT, run INTEGER, store TEXT, seq INTEGER NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (shop, author, run, store)) WITHOUT ROWID""",
    "CREATE TABLE request (shop INTEGER, id TEXT, form BLOB NOT NULL, PRIMARY KEY (shop, id)) WITHOUT ROWID",
    # the integrator's feed: numbered by the one writer inside its commit, so no later number hides an earlier one
    """CREATE TABLE feed (
        n INTEGER PRIMARY KEY AUTOINCREMENT, shop INTEGER NOT NULL, entry INTEGER NOT NULL, event TEXT NOT NULL,
        status INTEGER NOT NULL)""",
    "CREATE INDEX feed_shop ON feed (shop, n)",
)


# of each removed author: the points of its runs behind which its entries count, as its removals name them and as they
# follow from run to run
_REMOVALS = (
    "CREATE TABLE ending (shop INTEGER, author TEXT, run INTEGER, seq INTEGER, hash BLOB,"
    " PRIMARY KEY (shop, author, run, seq, hash)) WITHOUT ROWID",
)
_COUNTER = (
    # stock on hand in thousandths; `stocked`: how many moves of `stock` entries are in it
    "CREATE TABLE onhand (shop INTEGER, sku TEXT, quantity INTEGER NOT NULL, stocked INTEGER NOT NULL,"
    " PRIMARY KEY (shop, sku)) WITHOUT ROWID",
    # movements of what customers owe (book 'account') and are owed ('credit')
    """CREATE TABLE statement (
        shop INTEGER, customer TEXT, book TEXT, hash BLOB, day TEXT NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL,
        id TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (shop, customer, book, hash)) WITHOUT ROWID""",
    # what refunds and voids took back of a sale, a row a line; and the sales of which it is more than was sold
    """CREATE TABLE returned (
        shop INTEGER, sale TEXT, hash BLOB, line INTEGER, of BLOB NOT NULL, kind TEXT NOT NULL,
        quantity INTEGER NOT NULL, total INTEGER NOT NULL, tax INTEGER NOT NULL,
        PRIMARY KEY (shop, sale, hash, line)) WITHOUT ROWID""",
    "CREATE INDEX entry_back ON entry (shop, n) WHERE kind IN ('refund', 'void')",
    "CREATE TABLE excess (shop INTEGER, sale TEXT, PRIMARY KEY (shop, sale)) WITHOUT ROWID",
    # carts that wait, and what ended their waiting
    """CREATE TABLE cart (
        shop INTEGER, hold TEXT, hash BLOB, author TEXT NOT NULL, day TEXT NOT NULL, at TEXT NOT NULL,
        by TEXT NOT NULL, name TEXT NOT NULL, sale TEXT NOT NULL, cart TEXT NOT NULL,
        PRIMARY KEY (shop, hold, hash)) WITHOUT ROWID""",
    "CREATE TABLE uncart (shop INTEGER, hold TEXT, hash BLOB, why TEXT NOT NULL, PRIMARY KEY (shop, hold, hash))"
    " WITHOUT ROWID",
    # shifts by their till and number, and the closes of each business day
    """CREATE TABLE shift (
        shop INTEGER, author TEXT, seq INTEGER, run INTEGER, hash BLOB, kind TEXT NOT NULL, id TEXT NOT NULL,
        shift TEXT, day TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (shop, author, seq, run, hash))
        WITHOUT ROWID""",
    """CREATE TABLE dayclose (
        shop INTEGER, day TEXT, hash BLOB, author TEXT NOT NULL, run INTEGER NOT NULL, seq INTEGER NOT NULL,
        at TEXT NOT NULL, vector TEXT NOT NULL, PRIMARY KEY (shop, day, hash)) WITHOUT ROWID""",
)
_FILINGS = (
    # what is to be filed with a fiscal service and where it stands; of a refund or void, `sale` is what it is about
    """CREATE TABLE fileable (
        shop INTEGER, hash BLOB, id TEXT NOT NULL, usin TEXT NOT NULL, kind TEXT NOT NULL, sale TEXT NOT NULL,
        of BLOB, at TEXT NOT NULL, seq INTEGER NOT NULL, named TEXT NOT NULL, state TEXT NOT NULL,
        adapter TEXT NOT NULL, filer TEXT NOT NULL, tries INTEGER NOT NULL,
        PRIMARY KEY (shop, hash)) WITHOUT ROWID""",
    "CREATE INDEX fileable_sale ON fileable (shop, sale)",
    "CREATE INDEX fileable_usin ON fileable (shop, usin)",
    "CREATE INDEX fileable_state ON fileable (shop, state, filer, tries, at, seq)",
    # the steps of filing it, each as its entry has them
    "CREATE TABLE filing (shop INTEGER, usin TEXT, hash BLOB, sale TEXT NOT NULL, body TEXT NOT NULL,"
    " PRIMARY KEY (shop, usin, hash)) WITHOUT ROWID",
)
# what a search over the current edits of products needs; posline.storage.product_index fills it, for old files too
_PRODUCTS = (
    # `n` says shop, document and place: see there
    """CREATE TABLE product (
        n INTEGER PRIMARY KEY, shop INTEGER NOT NULL, document INTEGER NOT NULL, sku TEXT NOT NULL,
        active INTEGER NOT NULL, name TEXT NOT NULL, name_ur TEXT NOT NULL, department TEXT NOT NULL,
        favourite TEXT NOT NULL, words TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX product_sku ON product (shop, document, sku)",
    "CREATE INDEX product_name ON product (shop, document, name, sku) WHERE active = 1",
    "CREATE INDEX product_name_ur ON product (shop, document, name_ur, sku) WHERE active = 1 AND name_ur <> ''",
    "CREATE INDEX product_department ON product (shop, document, department, sku) WHERE active = 1",
    "CREATE INDEX product_favourite ON product (shop, document, sku) WHERE active = 1 AND favourite <> ''",
    """CREATE TABLE barcode (
        shop INTEGER, document INTEGER, code TEXT, sku TEXT,
        PRIMARY KEY (shop, document, code, sku)) WITHOUT ROWID""",
    "CREATE INDEX barcode_sku ON barcode (shop, document, sku)",
    # one column of words that are split at blanks: which letters a word has is decided in posline.core.words
    """CREATE VIRTUAL TABLE product_words USING fts5(
        words, content='product', content_rowid='n', tokenize='ascii', prefix='1 2 3', detail=none)""",
    # edits that stand beside the current one, because neither had seen the other
    """CREATE TABLE edit_conflict (
        shop INTEGER, document INTEGER, name TEXT, hash BLOB,
        PRIMARY KEY (shop, document, name, hash)) WITHOUT ROWID""",
)
# what entries say was in stock when the shop began, in thousandths: of a SKU the least hash counts
_OPENING = (
    "CREATE TABLE opening (shop INTEGER, sku TEXT, hash BLOB, quantity INTEGER NOT NULL,"
    " PRIMARY KEY (shop, sku, hash)) WITHOUT ROWID",
)
# by shop, and by `n`, which each index has at its end: a list of sales goes on from any place in it
_SALES = ("CREATE INDEX entry_sale ON entry (shop) WHERE kind = 'sale'",)
# what a counted edit or redate (`hash`) had seen and is not here yet (`wanted`)
_UNSEEN = (
    "CREATE TABLE unseen (shop INTEGER, wanted BLOB, hash BLOB, PRIMARY KEY (shop, wanted, hash)) WITHOUT ROWID",
    "CREATE INDEX unseen_by ON unseen (shop, hash)",
)
# the last business day on which something of a product changes by itself; "" for one that stays as it is
_AHEAD = (
    "ALTER TABLE product ADD COLUMN ahead TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX product_ahead ON product (shop, document, sku, ahead) WHERE ahead <> ''",
)

# in the order in which they were released; another database than SQLite takes the same ones
STEPS: dict[str, tuple[str, ...]] = {
    "first": _FIRST,
    "removals": _REMOVALS,
    "the counter": _COUNTER,
    "fiscal filings": _FILINGS,
    "products": _PRODUCTS,
    "opening stock": _OPENING,
    "sales in order": _SALES,
    "edits that name what is missing": _UNSEEN,
    "products that change on a day": _AHEAD,
}

migrations = Migrations("posline")


def _step(statements: tuple[str, ...]) -> Callable[[Database], None]:
    def step(db: Database) -> None:
        for statement in statements:
            db.execute(statement)

    return step


for _name, _statements in STEPS.items():
    migrations(name=_name)(_step(_statements))


def migrate(connection: Connection) -> None:
    """Bring the file to this version's tables; each step is one transaction. Raises the database's error where what
    says how far it was brought is not what was written."""
    db = Database(connection, execute_plugins=False)
    try:
        migrations.apply(db)
    except LookupError as error:
        raise altered(f"the list of its migrations has no {error}") from error
    except Error as error:
        if "already exists" in str(error):  # a migration that is made whole or not at all
            raise altered(f"the list of its migrations is not what was written ({error})") from error
        raise
    names, structure = _current()
    if _names(db) == names:  # a newer version's tables may be others
        for missing in sorted(structure - _structure(connection), key=repr):
            named = " ".join(part.decode() for part in missing[:2] if isinstance(part, bytes))
            raise altered(f"the tables are not described as they were made: {named}")


# Not the words of each statement, which are SQLite's to write: what it makes of them, the same in 3.40, 3.43 and 3.54.
# What lies behind a virtual table is its module's, and may be another with another version.
_OURS = "t.type = 'table' AND t.name NOT GLOB 'sqlite_*' AND t.name NOT GLOB 'product_words_*'"
_COLUMNS = (
    "SELECT CAST(t.name AS BLOB), CAST(c.name AS BLOB), CAST(c.type AS BLOB), c.\"notnull\","
    f" CAST(c.dflt_value AS BLOB), c.pk FROM sqlite_schema t, pragma_table_info(t.name) c WHERE {_OURS}"
)
_INDEXES = (
    "SELECT CAST(t.name AS BLOB), CAST(i.name AS BLOB), i.\"unique\", i.partial, c.seqno, CAST(c.name AS BLOB), c.key"
    " FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) c"
    # (sqlite-utils makes its list and that one's index in two steps: a cut between them leaves none for good)
    f" WHERE {_OURS} AND t.name <> '_sqlite_migrations'"
)


@cache
def _current() -> tuple[set[str], set[tuple[object, ...]]]:
    """The names of all migrations, and the structure that they leave."""
    scratch = connect(":memory:")
    db = Database(scratch, execute_plugins=False)
    try:
        migrations.apply(db)
        return _names(db), _structure(scratch)
    finally:
        scratch.close()


def _names(db: Database) -> set[str]:
    return {each.name for each in migrations.applied(db)}


def _structure(connection: Connection) -> set[tuple[object, ...]]:
    """Every column of every table, and every column of every index. Names in bytes: rot need not leave text."""
    return {tuple(row) for query in (_COLUMNS, _INDEXES) for row in connection.execute(query)}
