"""The store: one SQLite file that holds the log and the ledger of one shop (a till) or of many (a head office).

`commit` writes a batch of staged updates, the elements they bring and the ledger's rows in one transaction, fsynced.
It runs where its caller likes, one at a time, on the one writing connection; everything else reads committed rows
through a second, read-only connection, or the heads, which are replaced whole once their commit stands.

Knows nothing of links, clocks or sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

from posline.core.entry import Entry
from posline.core.kinds import sort_of
from posline.core.update import decode_state, encode_state
from posline.errors import CommitFailed, DiskFull, Overtaken, Refused
from posline.storage.connection import (
    CHECKPOINT_PAGES,
    Connection,
    Error,
    Place,
    Readers,
    altered,
    connect,
    failure,
    is_full,
)
from posline.storage.dialect import SQLITE, Dialect
from posline.storage.effects import Effects
from posline.storage.ledger import Arrival, Change, Ledger
from posline.storage.notes import Notes
from posline.storage.records import Commit, Head, Row, ShopChange, Staged, join_rows
from posline.storage.renewal import Progress, renew
from posline.storage.schema import migrate

__all__ = ["Store"]

K = TypeVar("K")
V = TypeVar("V")
MODULUS = 1 << 256
REMEMBERED = 64  # commits of a document whose state and digest are kept, so that a peer's slightly older one is known
HEADS_KEPT = 4096  # documents whose heads are in memory, about 40 MB at the most
DIGESTS_KEPT = 10_000  # authors' digests in memory, about 2 MB
SQUASH_ROWS = 256  # rows looked at in one squashing transaction
UNJOINED = "catalog/"  # what lies there takes long to index: whoever gets it commits it in the pieces it was written in
COMMIT_FRAMES, UPDATE_FRAMES = 14, 3  # pages that a commit and each update in it write, about
NAMES = "SELECT name, key FROM document WHERE shop = ?"
READ_BYTES = 256 * 1024  # of the log at a time: what one link holds ready while its peer is slow


class Store(Notes):
    """The open file. Use `Store.open`."""

    remote = False  # whether a commit goes over a network, where it may wait long
    dialect: Dialect = SQLITE

    def __init__(self, path: str, writer: Connection, read: Connection, *, feed: bool) -> None:
        self.path = path
        self._file = Place(path)
        self._db = writer
        super().__init__(read)
        self._heads: dict[tuple[str, str], Head] = {}
        self._digests: dict[tuple[int, int, str], tuple[int, int]] = {}
        self._sums: dict[str, dict[str, int]] = {}
        self._shops: dict[str, int] = {}
        self._documents: dict[int, dict[str, int]] = {}  # of the shops that were asked for
        self._named: dict[int, dict[str, int]] = {}  # as commits know them, beside which readers' are let go of
        self._ledger = Ledger(writer, feed=feed, dialect=self.dialect)
        self._guard, self._age = threading.Lock(), 0  # raised when what is in memory is let go
        self._editions: dict[str, int] = {}  # never let go: a number that came back would be taken for what it was
        self._frames = 0  # of the write-ahead log, about

    @classmethod
    def open(cls, path: Path | str, *, feed: bool = False, told: Progress | None = None) -> Store:
        """Open or create the file and bring its tables up to date. ":memory:" makes one that is never on disk. `told`
        hears how far a ledger is that newer rules have to judge anew, which may take minutes.

        Raises FolderDamaged when the file is no whole database, DiskFull when there is no room to open it, DiskFailed
        when the disk gives an error.
        """
        name = str(path)
        try:
            writer = connect(name)
            migrate(writer)
            renew(writer, feed=feed, **({} if told is None else {"told": told}))
            Effects(writer).bring_up_to_date()
            writer.execute("PRAGMA wal_autocheckpoint=0")  # see `_checkpoint`
            return cls(name, writer, writer if name == ":memory:" else Readers(name), feed=feed)
        except (Error, UnicodeDecodeError) as error:  # SQLite names what is damaged by the bytes that stand there
            raise failure(error, name) from error

    def close(self) -> None:
        """Close both connections; what was committed stays."""
        if self.read is not self._db:
            self.read.close()
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[Store]:
        """This store as of one moment, only to be read, while others go on writing; nothing is known of it from memory.
        What is written meanwhile stays in the write-ahead log until the end."""
        if self.path == ":memory:":  # whoever reads it writes it, too
            yield self
            return
        connection = self._file.reader()
        try:
            connection.execute("BEGIN")
            yield Store(self.path, connection, connection, feed=False)
        finally:
            connection.close()

    @contextmanager
    def still(self) -> Iterator[None]:
        """All that this thread reads inside is as of one moment. Nobody else is told of it: that moment passes."""
        with self.read.still() if isinstance(self.read, Readers) else nullcontext():
            yield

    @property
    def stands_still(self) -> bool:
        """See Standing."""
        return isinstance(self.read, Readers) and self.read.stands_still

    def problems(self) -> Iterator[str]:
        """What the database itself finds wrong with what it keeps, in words."""
        for (line,) in self.read.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield f"the database file is damaged: {line}"

    # -- shops and documents -----------------------------------------------------------------------

    def shops(self) -> list[str]:
        """The ids of the shops that this file holds."""
        return [id for (id,) in self.read.execute("SELECT id FROM shop ORDER BY id").fetchall()]

    def shop_key(self, shop: str) -> int | None:
        """The number that stands for a shop in the tables; None when nothing of it was committed yet."""
        return self._key_by(self.read, shop)

    def _key_by(self, db: Connection, shop: str) -> int | None:
        key = self._shops.get(shop)
        if key is None:
            row = db.execute("SELECT key FROM shop WHERE id = ?", (shop,)).fetchone()
            if row is None:
                return None
            key = self._shops.setdefault(shop, int(row[0]))
        return key

    def document_key(self, shop: str, document: str) -> int | None:
        """The number that stands for a document in the tables."""
        key = self.shop_key(shop)
        return None if key is None else self._names(key).get(document)

    def _names(self, shop: int) -> dict[str, int]:
        """The keys of a shop's documents by their names."""
        known = self._documents.get(shop)
        if known is None:
            age = self._age
            read = dict(self.read.execute(NAMES, (shop,)).fetchall())
            known = self._take_up(self._documents, shop, read, age)
        return known

    def _names_for_writing(self, shop: int) -> dict[str, int]:
        """The same as this transaction sees them."""
        known = self._named.get(shop)
        if known is None:
            known = self._named[shop] = dict(self._db.execute(NAMES, (shop,)).fetchall())
        return known

    def documents(self, shop: str) -> list[str]:
        """The names of a shop's documents."""
        return sorted(self.sums(shop))

    def sums(self, shop: str) -> dict[str, int]:
        """The set hash of each of a shop's documents, as a number."""
        found = self._sums.get(shop)
        if found is None:
            age = self._age
            rows = self.read.execute("SELECT name, sum FROM document WHERE shop = ?", (self.shop_key(shop),))
            read = {name: int.from_bytes(total, "big") for name, total in rows}
            found = self._take_up(self._sums, shop, read, age)
        return found

    def head(self, shop: str, document: str) -> Head:
        """A document's head as of its last commit; an empty one when it is not here."""
        head = self._heads.get((shop, document))
        if head is None:
            age = self._age
            head = self._read_head(shop, document, self.read)
            if head.n == 0:  # peers may ask for any name
                return self._heads.get((shop, document), head)
            if len(self._heads) >= HEADS_KEPT:
                self._heads.clear()
            head = self._take_up(self._heads, (shop, document), head, age)
        return head

    def _take_up(self, kept: dict[K, V], key: K, read: V, age: int) -> V:
        """Keep what was read when memory was `age` old, unless a commit in its thread was faster and knows better, or
        all that was known before was let go meanwhile, or the thread stands still: then it may be of before that."""
        if self.stands_still:
            return read
        with self._guard:
            return kept.setdefault(key, read) if self._age == age else read

    def _read_head(self, shop: str, document: str, db: Connection) -> Head:
        rows = db.execute(  # in one question, so as of one commit
            "SELECT d.n, d.count, d.sum, c.client, c.clock FROM shop s JOIN document d ON d.shop = s.key AND d.name = ?"
            " LEFT JOIN clock c ON c.shop = d.shop AND c.document = d.key WHERE s.id = ?",
            (document, shop),
        ).fetchall()
        if not rows:
            return Head(document, {}, 0, 0, 0, ((encode_state({}), 0, 0),))
        n, count, digest, *_ = rows[0]
        state = {client: clock for *_, client, clock in rows if client is not None}
        total = int.from_bytes(digest, "big")
        return Head(document, state, count, total, n, ((encode_state(state), count, total),))

    def rows(self, shop: str, document: str, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows and about READ_BYTES behind row `after`, in commit order; neighbours from one origin are
        joined up to a message's limits. None are left when it is empty."""
        rows = self.read.execute(
            "SELECT n, before, after, data, origin FROM log WHERE shop = ? AND document = ? AND n > ?"
            " ORDER BY n LIMIT ?",
            (self.shop_key(shop), self.document_key(shop, document), after, limit),
        )
        found: list[Row] = []
        size = 0
        for n, before, state, data, origin in rows:
            try:
                found.append(Row(n, decode_state(before), decode_state(state), data, origin))
            except (Refused, TypeError) as error:
                raise altered(f"row {n} of {document} is not what was written") from error
            size += len(data)
            if size >= READ_BYTES:
                rows.close()
                break
        return found if document.startswith(UNJOINED) else join_rows(found)

    def first_uncovered(self, shop: str, document: str, state: Mapping[int, int]) -> int:
        """The number of the first row that brings something beyond `state`; one past the last when none does."""
        rows = self.read.execute(
            "SELECT n, after FROM log WHERE shop = ? AND document = ? ORDER BY n",
            (self.shop_key(shop), self.document_key(shop, document)),
        )
        for n, after in rows:
            if any(state.get(client, 0) < clock for client, clock in decode_state(after).items()):
                rows.close()
                return int(n)
        return self.head(shop, document).n + 1

    # -- commit ------------------------------------------------------------------------------------

    def commit(self, batch: Sequence[Staged]) -> Commit:
        """Write `batch` in one transaction; when this returns it is on the disk.

        Raises DiskFull or CommitFailed when nothing was written and going on is safe; any other error means that the
        file can no longer be believed, and the process should end and start afresh.
        """
        heads: dict[tuple[str, str], Head] = {}
        made: dict[str, list[Change]] = {}
        before: dict[tuple[str, str], int] = {}
        noted, age = self._noted_now(), 0

        def write() -> None:
            nonlocal age
            heads.clear()  # another try begins anew
            by_shop: dict[str, list[Staged]] = {}
            for staged in batch:
                by_shop.setdefault(staged.shop, []).append(staged)
                place = staged.shop, staged.document
                before.setdefault(place, self._last_known(*place))
            for shop, items in sorted(by_shop.items()):  # always in one order, so that no two wait for each other
                made[shop] = self._write_shop(shop, items, heads)
            self._write_noted(self._db, noted)
            age = self._age

        self._transact(write)
        self._drop_noted(noted)
        with self._guard:
            self._take_in(heads, age)
            self._reissue(made, heads)
        self._checkpoint(len(batch))
        changes = [ShopChange(shop, change) for shop, found in made.items() for change in found]
        return Commit(list(batch), changes, heads, {place: n for place, n in before.items() if place in heads})

    def _take_in(self, heads: Mapping[tuple[str, str], Head], age: int) -> None:
        """Remember the heads that a commit left, when memory was `age` old as it wrote; with the guard held."""
        stale = self._age != age
        for shop, name in heads:
            key = self._shops.get(shop, -1)
            if name not in self._documents.get(key, ()):  # new with this commit, or readers asked before it
                self._documents.pop(key, None)
                self._age += 1
        if stale:  # readers let go since, and know of commits behind this one by now: let them ask
            self._age += 1
            for shop, name in heads:
                self._heads.pop((shop, name), None)
                self._sums.pop(shop, None)
            return
        for (shop, name), head in heads.items():
            if shop in self._sums:
                self._sums[shop][name] = head.sum
            else:
                self._age += 1  # whoever is reading them now may read those of before
        self._heads.update(heads)

    def _reissue(self, made: Mapping[str, Sequence[Change]], heads: Iterable[tuple[str, str]]) -> None:
        """Raise the editions of shops of which a commit changed more than journals; with the guard held."""
        shops = {shop for shop, name in heads if not name.startswith("journal/")}
        shops |= {shop for shop, changes in made.items() if {sort_of(c.kind) for c in changes} - {"journal"}}
        for shop in shops:
            self._editions[shop] = self.edition(shop) + 1

    def edition(self, shop: str) -> int:
        """A number that rises with each commit that this process knows of after which a shop's settings, members or
        catalogues may be others. That is not only a commit in those documents: an entry of an author that was removed
        counts once the journals are here that lead up to it. To be asked before what is kept under it is read, and not
        by a thread that stands still."""
        return self._editions.get(shop, 0)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a commit is tried once: for what is right at this moment alone. Raises Unavailable where a database
        does not answer it."""
        yield

    def _let_go_of_readers(self, shop: str) -> None:
        """Keep nothing in memory of what readers asked of a shop."""
        with self._guard:
            self._age += 1
            self._editions[shop] = self.edition(shop) + 1
            for place in [place for place in self._heads if place[0] == shop]:
                del self._heads[place]
            self._sums.pop(shop, None)
            self._documents.pop(self._shops.get(shop, -1), None)
            self._authorities.pop(shop, None)

    def _checkpoint(self, updates: int) -> None:
        """Bring the write-ahead log into the database when it has grown. SQLite would do so by itself, and say nothing
        where the disk fails it."""
        self._frames += COMMIT_FRAMES + UPDATE_FRAMES * updates
        if self._frames < CHECKPOINT_PAGES or self.path == ":memory:":
            return
        self._frames = 0
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except Error as error:
            if not is_full(error):
                raise

    def _transact(self, work: Any) -> None:
        """Run `work` in one transaction. A disk that is full leaves everything as it was."""
        try:
            self._file.check()  # or it would be told as recorded, in a file that no start finds
            self._db.execute("BEGIN IMMEDIATE")
            work()
            self._db.execute("COMMIT")
        except BaseException as error:
            with suppress(Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            self._forget()
            if isinstance(error, Error) and is_full(error):
                raise DiskFull("the disk is full: free some room and sell on") from error
            if isinstance(error, Error) and "locked" in str(error):
                raise CommitFailed("the database is locked by another program") from error
            raise

    def _forget(self) -> None:
        """After a rollback: drop whatever memory may be ahead of the disk."""
        self._ledger.forget()
        self._digests.clear()
        with self._guard:
            self._age += 1
            self._shops.clear()
            self._documents.clear()
            self._named.clear()

    def let_go(self, shop: str) -> None:
        """Keep nothing of a shop in memory; all comes back when it is asked for. Must not run beside `commit`."""
        key = self._shops.get(shop)
        self._let_go_of_readers(shop)
        self._shops.pop(shop, None)
        if key is not None:
            self._named.pop(key, None)
            self._digests = {place: digest for place, digest in self._digests.items() if place[0] != key}
            self._ledger.forget_shop(key)

    def _write_shop(self, shop: str, items: list[Staged], heads: dict[tuple[str, str], Head]) -> list[Change]:
        key = self._shop(shop)
        self._fence(key, shop, items)
        arrivals: list[Arrival] = []
        for staged in items:
            document = self._document(key, staged.document)
            arrivals += [Arrival(entry, document, staged.own) for entry in staged.entries]
            head = heads.get((shop, staged.document)) or self._head_for_writing(shop, staged.document)
            n = head.n + 1
            self._db.execute(
                "INSERT INTO log (shop, document, n, before, after, origin, data) VALUES (?,?,?,?,?,?,?)",
                (key, document, n, encode_state(staged.before), encode_state(staged.after), staged.origin,
                 staged.update),
            )  # fmt: skip
            self._db.executemany(
                "INSERT INTO clock (shop, document, client, clock) VALUES (?,?,?,?)"
                " ON CONFLICT (shop, document, client) DO UPDATE SET clock = excluded.clock",
                [(key, document, client, clock) for client, clock in staged.after.items()],
            )
            heads[shop, staged.document] = Head(
                staged.document, {**head.state, **staged.after}, head.count, head.sum, n, head.past
            )
            if staged.request is not None:
                self._db.execute(
                    "INSERT OR IGNORE INTO request (shop, id, form) VALUES (?,?,?)", (key, staged.id, staged.request)
                )
        fresh, changes = self._ledger.take(key, shop, arrivals)
        self._mark(key, fresh)
        self._digest(key, shop, fresh, heads)
        for (of, name), head in heads.items():
            if of == shop:
                self._db.execute(
                    "UPDATE document SET n = ?, count = ?, sum = ? WHERE shop = ? AND key = ?",
                    (head.n, head.count, head.sum.to_bytes(32, "big"), key, self._document(key, name)),
                )
                past = (*head.past, (encode_state(head.state), head.count, head.sum))[-REMEMBERED:]
                heads[of, name] = Head(name, head.state, head.count, head.sum, head.n, past)
        return changes

    def _fence(self, key: int, shop: str, items: Iterable[Staged]) -> None:
        """What goes on from an author's last entry goes on from the one that stands here. Raises Overtaken."""
        last: dict[str, bytes] = {}
        for staged in items:
            if staged.follows is None:
                continue
            author = staged.entries[0].till
            if author not in last:
                row = self._db.execute("SELECT hash FROM mark WHERE shop = ? AND author = ?", (key, author)).fetchone()
                last[author] = b"" if row is None else bytes(row[0])
            if last[author] != staged.follows:
                raise Overtaken(shop)
            last[author] = staged.entries[-1].hash

    def _mark(self, key: int, fresh: Iterable[Arrival]) -> None:
        """Remember the last entry that this disk wrote, and what others wrote under the same name."""
        last: dict[str, Entry] = {}
        numbers: dict[str, int] = {}
        foreign: set[tuple[str, int]] = set()
        for arrival in fresh:
            entry = arrival.entry
            if arrival.own:
                last[entry.till] = entry
                numbers[entry.till] = max(numbers.get(entry.till, 0), entry.number or 0)
            elif entry.placed:
                foreign.add((entry.till, entry.run))
                if entry.kind == "run" and entry.body.get("after"):
                    foreign.add((entry.till, entry.body["after"]["run"]))  # its tail is vouched for from now on
        for author, entry in last.items():
            self._db.execute(
                "INSERT INTO mark (shop, author, run, seq, hash, number, foreign_seq, foreign_number)"
                " VALUES (?,?,?,?,?,?,0,0) ON CONFLICT (shop, author) DO UPDATE SET run = excluded.run,"
                " seq = excluded.seq, hash = excluded.hash, number = max(mark.number, excluded.number)",
                (key, author, entry.run, entry.seq, entry.hash, numbers[author]),
            )
        for author, run in foreign:
            if self._db.execute("SELECT 1 FROM mark WHERE shop = ? AND author = ?", (key, author)).fetchone():
                self._db.execute(
                    "UPDATE mark SET (foreign_seq, foreign_number) = (SELECT max(foreign_seq, coalesce(max(seq), 0)),"
                    " max(foreign_number, coalesce(max(number), 0)) FROM entry WHERE shop = ?1 AND author = ?2"
                    " AND run = ?3 AND own = 0 AND vouched = 1) WHERE shop = ?1 AND author = ?2",
                    (key, author, run),
                )

    def adopt(self, shop: str, author: str) -> None:
        """What others brought back of the chain of `author`, whose disk lost it, is this disk's own again: go on behind
        it. Must not run beside `commit`."""
        key = self.shop_key(shop)

        def write() -> None:
            self._db.execute(
                "UPDATE entry SET own = 1 WHERE shop = ? AND author = ? AND own = 0 AND status <= 1", (key, author)
            )
            self._db.execute(
                "INSERT INTO mark (shop, author, run, seq, hash, number, foreign_seq, foreign_number)"
                " SELECT shop, author, run, whole, whole_hash, (SELECT coalesce(max(number), 0) FROM entry"
                " WHERE shop = ?1 AND author = ?2 AND own = 1), 0, 0 FROM run WHERE shop = ?1 AND author = ?2 AND begun"
                " ORDER BY whole DESC LIMIT 1 ON CONFLICT (shop, author) DO UPDATE SET number = max(number,"
                " excluded.number), (run, seq, hash) = (SELECT excluded.run, excluded.seq, excluded.hash WHERE"
                " excluded.seq > seq UNION ALL SELECT run, seq, hash LIMIT 1)",
                (key, author),
            )

        self._transact(write)

    def _last_known(self, shop: str, document: str) -> int:
        """The last row of a document that anybody here was told of."""
        return self._head_for_writing(shop, document).n

    def _head_for_writing(self, shop: str, document: str) -> Head:
        # heads are only ever replaced by commits, and commits run one at a time, so the last one is what is on the disk
        return self._heads.get((shop, document)) or self.head(shop, document)

    def _digest(self, key: int, shop: str, fresh: Iterable[Arrival], heads: dict[tuple[str, str], Head]) -> None:
        """Add the new elements to the set hashes of their documents and authors."""
        added: dict[tuple[int, str], tuple[int, int]] = {}
        totals: dict[str, tuple[int, int]] = {}
        for arrival in fresh:
            entry, value = arrival.entry, int.from_bytes(arrival.entry.hash, "big")
            count, total = added.get((arrival.document, entry.till), (0, 0))
            added[arrival.document, entry.till] = count + 1, (total + value) % MODULUS
            count, total = totals.get(entry.document, (0, 0))
            totals[entry.document] = count + 1, (total + value) % MODULUS
        for name, (count, total) in totals.items():
            head = heads[shop, name]
            heads[shop, name] = Head(
                name, head.state, head.count + count, (head.sum + total) % MODULUS, head.n, head.past
            )
        if len(self._digests) > DIGESTS_KEPT:
            self._digests.clear()
        for (document, author), (count, total) in added.items():
            place = (key, document, author)
            before = self._digests.get(place)
            if before is None:
                row = self._db.execute(
                    "SELECT count, sum FROM digest WHERE shop = ? AND document = ? AND author = ?", place
                ).fetchone()
                before = (0, 0) if row is None else (row[0], int.from_bytes(row[1], "big"))
            after = self._digests[place] = before[0] + count, (before[1] + total) % MODULUS
            self._db.execute(
                "INSERT INTO digest (shop, document, author, count, sum) VALUES (?,?,?,?,?)"
                " ON CONFLICT (shop, document, author) DO UPDATE SET count = excluded.count, sum = excluded.sum",
                (*place, after[0], after[1].to_bytes(32, "big")),
            )

    def _shop(self, shop: str) -> int:
        key = self._shops.get(shop)
        if key is None:  # by the connection that writes: a commit waits for nobody who reads
            self._db.execute("INSERT INTO shop (id) VALUES (?) ON CONFLICT (id) DO NOTHING", (shop,))
            key = int(self._db.execute("SELECT key FROM shop WHERE id = ?", (shop,)).fetchone()[0])
            self._shops[shop] = key
        return key

    def _document(self, shop: int, name: str) -> int:
        names = self._names_for_writing(shop)
        key = names.get(name)
        if key is None:
            next_key = "SELECT coalesce(max(key), 0) + 1 FROM document WHERE shop = ?"
            key = self._db.execute(next_key, (shop,)).fetchone()[0]
            self._db.execute(
                "INSERT INTO document (shop, key, name, n, count, sum) VALUES (?,?,?,0,0,?)",
                (shop, key, name, bytes(32)),
            )
            names[name] = int(key)
        return int(key)

    # -- upkeep ------------------------------------------------------------------------------------

    def squash(self, shop: str, document: str, *, after: int = 0) -> int:
        """Join rows of a document behind row `after` into full segments, in one transaction; returns the number of the
        last row looked at (pass it as `after` to go on), or 0 when there was none. Must not run beside `commit`."""
        old, new = self._joined(shop, document, after)
        if len(new) < len(old):
            self._transact(lambda: self._replace(shop, document, old, new))
        return old[-1].n if old else 0

    def _joined(self, shop: str, document: str, after: int) -> tuple[list[Row], list[Row]]:
        """The next rows behind row `after`, and the same as few."""
        rows = self._db.execute(
            "SELECT n, before, after, data, origin FROM log WHERE shop = ? AND document = ? AND n > ?"
            " ORDER BY n LIMIT ?",
            (*self._place(shop, document), after, SQUASH_ROWS),
        ).fetchall()
        old = [Row(n, decode_state(b), decode_state(a), data, o) for n, b, a, data, o in rows]
        if document.startswith(UNJOINED):
            return old, old
        return old, join_rows(old, keep_origin=False)

    def _place(self, shop: str, document: str) -> tuple[int, int | None]:
        key = self._shop(shop)
        return key, self._names_for_writing(key).get(document)

    def _replace(self, shop: str, document: str, old: list[Row], new: list[Row]) -> None:
        key, name = self._place(shop, document)
        self._db.execute(
            "DELETE FROM log WHERE shop = ? AND document = ? AND n BETWEEN ? AND ?", (key, name, old[0].n, old[-1].n)
        )
        self._db.executemany(
            "INSERT INTO log (shop, document, n, before, after, origin, data) VALUES (?,?,?,?,?,?,?)",
            [(key, name, r.n, encode_state(r.before), encode_state(r.after), r.origin, r.update) for r in new],
        )

    def backup(self, target: Path) -> None:
        """Write a consistent copy of the file to `target`, which must not exist, while others go on writing."""
        with closing(self._file.reader()) as source:
            source.execute("PRAGMA query_only=OFF")  # it still opens the original for reading only
            source.execute("VACUUM INTO ?", (str(target),))
