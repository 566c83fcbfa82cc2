"""The store over PostgreSQL, which several processes write at once.

A commit first locks the rows of the shops that it writes in, in one order. Where another process wrote there since,
what this one has in memory of the shop is let go, and what was staged is clipped to what is new by now: the log's truth
is the rows, and a process only ever remembers them. So an update that reached two processes is written once, and
nothing depends on what one process knows of another.

A connection that is lost in the middle of a commit leaves a question, and nothing that PostgreSQL says later is an
answer to it: after a crash it gives the number of a transaction that was lost to another one. So a commit stands once
its COMMIT was answered, and until then it is made again: whatever stands of it by now is clipped away.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from posline.core.update import StateVector, clip, read_update
from posline.errors import CommitFailed, CommitUnknown, DiskFull, PoslineError, Unavailable
from posline.storage.connection import Connection
from posline.storage.dialect import Dialect, WordIndex
from posline.storage.ledger import Change
from posline.storage.product_index import INDEX_VERSION
from posline.storage.records import Commit, Head, Staged
from posline.storage.renewal import RULES, project_shop_again
from posline.storage.store import HEADS_KEPT, Store
from relay.postgres.connection import FULL, PASSING, Database, Readers, Writer, first_line, is_cut
from relay.postgres.schema import WORDS, bring_up_to_date

__all__ = ["PostgresStore", "is_newer"]

log = logging.getLogger("posline.relay")

PATIENCE_S = 30.0  # that a commit is tried for: a database starts again in less, and links wait meanwhile
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0  # between tries
TOLD_AT_ONCE = 200  # shops in one notification, which holds 8,000 bytes
RULED = f"{RULES}/{INDEX_VERSION}"  # what a shop's ledger was judged by


class _Words(WordIndex):
    """PostgreSQL's: an index over the column itself."""

    def change(self, db: Connection, n: int, before: str, after: str) -> None:
        """There is nothing beside `product`."""

    def clear(self, db: Connection) -> None:
        """There is nothing beside `product`."""

    def found(
        self, read: Connection, shop: int, numbers: tuple[int, int], words: Sequence[str], whole: str, limit: int
    ) -> list[str]:
        """As SQLite's."""
        asked = " & ".join([*(_lexeme(word) + ":*" for word in words), *([_lexeme(whole)] if whole else [])])
        rows = read.execute(
            "SELECT sku FROM (SELECT name, sku FROM product WHERE shop = ? AND n BETWEEN ? AND ?"
            f" AND {WORDS} @@ CAST(? AS tsquery) ORDER BY n LIMIT ?) p ORDER BY name < ? OR name > ?, name, sku",
            (shop, *numbers, asked, limit, words[0], words[0] + "\U0010ffff"),
        )
        return [sku for (sku,) in rows]


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


class PostgresStore(Store):
    """One process's store. Use `PostgresStore.connect`."""

    remote = True
    dialect = Dialect(_Words(), feed="feed_waiting", numbers_by_shop=True)

    def __init__(self, database: Database, writer: Any, read: Any, *, feed: bool) -> None:
        super().__init__(database.shown, writer, read, feed=feed)
        self.database = database
        self.patience_s = PATIENCE_S
        self.channel = f"{database.schema}_posline"  # on which processes tell each other of commits
        self.process = secrets.token_hex(8)  # what this one goes by there
        self._versions: dict[str, int] = {}  # of shops: the commit as of which stands what commits remember
        self._seen: dict[str, int] = {}  # and at least as of which what readers remember
        self._held: dict[str, int] = {}  # of the shops that this transaction holds, before it
        self._lasts: dict[str, dict[str, int]] = {}  # of each document of a shop, the last row that is known here
        self._ahead: dict[tuple[str, str], StateVector] = {}  # of each document, with what this transaction writes
        self._wrote: set[str] = set()  # shops in which this transaction writes
        self._ruled: set[str] = set()  # and those whose entries it judges anew
        self._unanswered = False  # whether the COMMIT of this commit, or of a try before, may stand
        self._sure: dict[tuple[str, str], Head] = {}  # heads that commits left: no reader's thread had a part in them
        self._closed = self._of_one_moment = False

    @classmethod
    def connect(cls, database: Database, *, feed: bool = True, readers: int | None = None) -> PostgresStore:
        """Open the database and bring its tables up to date. Raises Unavailable."""
        bring_up_to_date(database)
        try:
            reads = Readers(database) if readers is None else Readers(database, readers)
            return cls(database, Writer(database), reads, feed=feed)
        except psycopg.Error as error:
            raise database.unavailable(error) from error

    def close(self) -> None:
        """Close all connections; what was committed stays."""
        self._closed = True
        self.read.close()
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[PostgresStore]:
        """As of one moment, for the thread that asks."""
        with self.read.still():
            still = PostgresStore(self.database, None, self.read, feed=False)
            still._of_one_moment = True
            yield still

    @contextmanager
    def still(self) -> Iterator[None]:
        """All that this thread reads inside is as of one moment."""
        with self.read.still():
            yield

    @property
    def stands_still(self) -> bool:
        """See Standing. What one of a single moment remembers is of that moment, too."""
        return not self._of_one_moment and bool(self.read.stands_still)

    def problems(self) -> Iterator[str]:
        """PostgreSQL looks after its own pages (`data_checksums`, `pg_amcheck`)."""
        yield from ()

    # -- what other processes did ------------------------------------------------------------------------------------

    def behind(self, shops: list[str]) -> list[str]:
        """Those of these shops in which others committed something that is not known here."""
        if not shops:
            return []
        rows = self.read.execute("SELECT id, version FROM shop WHERE id = ANY(?)", (shops,))
        return [id for id, version in rows if version != self._seen.get(id)]

    def refresh(self, shop: str) -> dict[str, int]:
        """Take note of what other processes committed in a shop: the last row that was known here of each document that
        they wrote to."""
        row = self.read.execute("SELECT version FROM shop WHERE id = ?", (shop,)).fetchone()
        if row is None or row[0] == self._seen.get(shop):
            return {}
        lasts = self._lasts.get(shop)
        self._let_go_of_readers(shop)
        if lasts is None:  # no link was told anything yet
            self._seen[shop] = row[0]
            return {}
        _, _, now = self._read_sums(shop)
        self._seen[shop], self._lasts[shop] = row[0], now  # not before that: what was not read is still to be told
        return {name: lasts.get(name, 0) for name, n in now.items() if n > lasts.get(name, 0)}

    def sums(self, shop: str) -> dict[str, int]:
        """The set hash of each of a shop's documents, as a number."""
        found = self._sums.get(shop)
        if found is None:
            version, found, lasts = self._read_sums(shop)
            if version is not None and shop not in self._seen and not self.stands_still:
                if self._versions.get(shop) != version:  # others wrote, and readers may remember what was before
                    self._let_go_of_readers(shop)
                self._seen[shop] = version
            self._lasts.setdefault(shop, lasts)  # what links were told is put forward by telling them alone
        return found

    def _read_sums(self, shop: str) -> tuple[int | None, dict[str, int], dict[str, int]]:
        """Which of a shop's commits it is as of, None where there is no shop, and then the set hash and the last row of
        each of its documents."""
        age = self._age
        rows = self.read.execute(
            "SELECT s.version, d.name, d.sum, d.n FROM shop s LEFT JOIN document d ON d.shop = s.key WHERE s.id = ?",
            (shop,),
        ).fetchall()
        held = [(name, total, n) for _, name, total, n in rows if name is not None]
        sums = {name: int.from_bytes(total, "big") for name, total, _ in held}
        version = rows[0][0] if rows else None
        return version, self._take_up(self._sums, shop, sums, age), {name: n for name, _, n in held}

    def settled(self, shop: str) -> bool:
        """See Standing: whether nobody committed what is not known here."""
        return not self.behind([shop])

    def let_go(self, shop: str) -> None:
        """Keep nothing of a shop in memory; all comes back when it is asked for. Must not run beside `commit`."""
        self._let_go_of_what_stands(shop)
        self._seen.pop(shop, None)
        self._lasts.pop(shop, None)

    def _let_go_of_what_stands(self, shop: str) -> None:
        super().let_go(shop)
        self._versions.pop(shop, None)
        self._sure = {place: head for place, head in self._sure.items() if place[0] != shop}

    def _let_go_to_write(self, shop: str, key: int) -> None:
        """What commits remember of a shop, and what readers do, is behind. Not what links were told of, nor as of when:
        `refresh` goes by that, and may run at this moment."""
        self._let_go_of_what_stands(shop)
        self._shops[shop] = key

    def _last_known(self, shop: str, document: str) -> int:
        """See Store: what other processes wrote since is told with what this one writes."""
        lasts = self._lasts.get(shop)
        if lasts is not None:
            return lasts.get(document, 0)
        return (self._heads.get((shop, document)) or self._head_for_writing(shop, document)).n

    def _forget(self) -> None:
        super()._forget()
        self._sure.clear()

    # -- commit ------------------------------------------------------------------------------------------------------

    def _hold(self, shop: str) -> int:
        """Lock a shop until the transaction ends; let go of what is known of it where another process wrote there."""
        key = self._shop(shop)
        if shop in self._held:
            return key
        version, rules = self._db.execute(
            "SELECT version, rules FROM shop WHERE key = ? FOR UPDATE", (key,)
        ).fetchone()
        if version != self._versions.get(shop):
            self._let_go_to_write(shop, key)
        if rules != RULED:
            self._rule(shop, key, rules)
        self._held[shop] = version
        return key

    def _rule(self, shop: str, key: int, rules: str) -> None:
        """Judge a shop's entries by this version's rules, if others judged them."""
        if is_newer(rules):
            raise self._failed(CommitFailed, "a newer version of this program writes here: upgrade this one, too")
        if self._db.execute("SELECT 1 FROM entry WHERE shop = ? LIMIT 1", (key,)).fetchone() is not None:
            log.warning("judging the entries of shop %s by newer rules", shop)
            project_shop_again(self._db, key, feed=True, dialect=self.dialect)
            self._let_go_to_write(shop, key)
            self._ruled.add(shop)
            self._count(shop, key)
        self._db.execute("UPDATE shop SET rules = ? WHERE key = ?", (RULED, key))

    def _write_shop(self, shop: str, items: list[Staged], heads: dict[tuple[str, str], Head]) -> list[Change]:
        key = self._hold(shop)
        fresh = [new for staged in items if (new := self._clipped(staged)) is not None]
        if not fresh:
            return []
        self._count(shop, key)
        return super()._write_shop(shop, fresh, heads)

    def _count(self, shop: str, key: int) -> None:
        """This transaction is one of the shop's commits: other processes let go of what they remember."""
        if shop not in self._wrote:
            self._wrote.add(shop)
            self._db.execute("UPDATE shop SET version = version + 1 WHERE key = ?", (key,))

    def _clipped(self, staged: Staged) -> Staged | None:
        """What is new of a staged update, now that nobody else can write; None when that is nothing. Whatever of it is
        not there yet follows on what is, since nothing ever goes away."""
        place = staged.shop, staged.document
        state = self._ahead.get(place)
        if state is None:
            state = self._ahead[place] = dict(self._head_for_writing(*place).state)
        if all(state.get(client, 0) >= clock for client, clock in staged.after.items()):
            return None
        new = staged
        if any(state.get(client, 0) != clock for client, clock in staged.before.items()):
            read = read_update(staged.update, state)
            kept = set(read.elements)
            entries = [entry for entry in staged.entries if entry.raw in kept]
            update = clip(staged.update, state)
            new = replace(staged, update=update, before=read.before, after=read.after, entries=entries)
        state.update(new.after)
        return new

    def _head_for_writing(self, shop: str, document: str) -> Head:
        """A head that was read by this thread, behind the shop's lock."""
        head = self._sure.get((shop, document))
        if head is None:
            if len(self._sure) >= HEADS_KEPT:
                self._sure.clear()
            head = self._sure[shop, document] = self._read_head(shop, document, self._db)
        return head

    def commit(self, batch: Sequence[Staged]) -> Commit:
        """As SQLite's; raises CommitFailed alone, since the database is sound whatever a connection met."""
        commit = super().commit(batch)
        self._sure.update(commit.documents)
        for (shop, name), head in commit.documents.items():
            if shop in self._lasts:
                self._lasts[shop][name] = head.n
        return commit

    def squash(self, shop: str, document: str, *, after: int = 0) -> int:
        """As SQLite's; behind the shop's lock, since others may join the same rows."""
        last = 0

        def work() -> None:
            nonlocal last
            self._hold(shop)
            old, new = self._joined(shop, document, after)
            if len(new) < len(old):
                self._replace(shop, document, old, new)
            last = old[-1].n if old else 0

        self._transact(work)
        return last

    def adopt(self, shop: str, author: str) -> None:
        raise NotImplementedError("a head office has no disk of its own that could have been lost")

    def _checkpoint(self, updates: int) -> None:
        """PostgreSQL's business."""

    def _transact(self, work: Any) -> None:
        """Run `work` in one transaction, again while another try may do. Raises CommitFailed, after which nothing of it
        stands; CommitUnknown where it may, since an answer was lost."""
        self._unanswered = False
        until_s, pause_s = time.monotonic() + self.patience_s, FIRST_PAUSE_S
        while True:
            try:
                self._try(work)
                return
            except FULL as full:
                raise self._failed(DiskFull, f"the database has no room: {first_line(full)}") from full
            except PASSING as again:
                error: Exception = again
            except CommitFailed:
                raise
            except Unavailable as again:
                error = again
            except PoslineError as other:  # what was staged does not fit what is there: a copy was put back
                raise self._failed(CommitFailed, f"the database is not what it was: {other}") from other
            except psycopg.Error as other:
                log.exception("the database refused a commit")
                raise self._failed(CommitFailed, f"the database refused it: {first_line(other)}") from other
            if self._closed or time.monotonic() >= until_s:
                raise self._failed(CommitFailed, f"the database does not answer: {first_line(error)}") from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _failed(self, kind: type[CommitFailed], reason: str) -> CommitFailed:
        return CommitUnknown(reason) if self._unanswered else kind(reason)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """See Store."""
        patience_s, self.patience_s = self.patience_s, 0.0
        try:
            yield
        except DiskFull:
            raise
        except CommitFailed as error:
            raise Unavailable(error.reason) from error
        finally:
            self.patience_s = patience_s

    def _try(self, work: Any) -> None:
        self._held, self._ahead = {}, {}
        self._wrote, self._ruled = set(), set()
        asked = False
        try:
            self._db.execute("BEGIN")
            work()
            asked = True
            self._db.execute("COMMIT")
        except BaseException as error:
            self._unanswered |= asked and is_cut(error)
            self._undo(error)
            raise
        written = {shop: self._held[shop] + 1 for shop in self._wrote}
        self._versions |= self._held | written
        for shop, before in self._held.items():
            # where something of before is still to be told, of other documents, `refresh` has to find that it is
            if self._seen.get(shop) == before:
                self._seen[shop] = written.get(shop, before)
        for shop in self._ruled:  # only now can they read how it was judged
            self._let_go_of_readers(shop)
        if written:
            self._tell(written)

    def _tell(self, written: Iterable[str]) -> None:
        """Let other processes know: a hint, which may be lost."""
        shops = sorted(written)
        try:
            for start in range(0, len(shops), TOLD_AT_ONCE):
                told = " ".join([self.process, *shops[start : start + TOLD_AT_ONCE]])
                self._db.execute("SELECT pg_notify(?, ?)", (self.channel, told))
        except psycopg.Error:
            self._db.drop()

    def _undo(self, error: BaseException) -> None:
        self._db.undo(error)
        self._forget()

    def backup(self, target: Any) -> None:
        raise Unavailable("a PostgreSQL database is copied with pg_dump or pg_basebackup (docs/postgresql.md)")


def is_newer(rules: str) -> bool:
    """Whether a version behind ours wrote them. Were it the index alone that tells two versions apart, they would judge
    a shop anew by turns for as long as both ran, a whole shop at each commit."""
    return _numbers(rules) > _numbers(RULED)


def _numbers(rules: str) -> list[int]:
    return [int(number) for number in re.findall("[0-9]+", rules)]
