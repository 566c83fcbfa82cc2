"""The head office's own books: its shops, the tokens that were handed out, notes, and who did what.

They lie in SQL tables beside the ledger, in a file of their own or in the ledger's PostgreSQL. Each change is one
transaction together with its line of the audit trail, and nothing is kept in memory: what another process changed
counts at once. Of tokens only hashes are kept. People and invitations have modules of their own over the same tables.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from posline.errors import BadRequest, CommitFailed, FolderDamaged, NotFound, PoslineError
from posline.storage.files import sync_folder
from posline.storage.folder import Folder
from posline.till.invitation import TOKEN_BYTES
from posline.trust.gate import Grant, Scope, token_hash
from relay.database import Database, SqliteDatabase, Step, Transaction, transact, up_to_date
from relay.rights import RIGHTS, Actor, Role, Viewer

__all__ = [
    "CONSOLE", "NAME_MAX", "PAGE", "PASSING_TABLES", "SHOP_ACTOR", "TOKEN_CHARS_MAX", "Audited", "HandedOut", "Office",
    "RegisteredShop",
    "ShopNameTwice", "fresh_id", "iso_ms", "named", "open_office",
]  # fmt: skip

NAME_MAX = 100  # characters of a shop's other name, a person's, a token's
ID_BYTES = 9
TOKEN_CHARS_MAX = 64  # a longer one was not made here
PAGE = 50  # lines of the audit trail at a time
PAGE_MAX = 1000
USED_EVERY_MS = 3_600_000  # how exactly it is known when a token was last used
FILE, MARK = "office.db", "office"  # the file in the data folder, and the setting that says that it must be there
BEFORE = ("shops", "tokens", "invitations", "address")  # what stood in the settings file before there were tables
ADDRESS, DOORS = "address", "doors"
CONSOLE = Actor("command line")
SHOP_ACTOR = "the shop "  # before a shop's name, where a shop did something
JOINERS = "\u200c\u200d"  # between letters of Urdu names: not to be seen, and part of how they are written

STEPS: tuple[Step, ...] = (
    ("the first tables", (
        "CREATE TABLE office_shop (id TEXT PRIMARY KEY, name TEXT NOT NULL, alias TEXT NOT NULL,"
        " attached_ms INTEGER NOT NULL, removed_ms INTEGER NOT NULL)",
        "CREATE TABLE office_token (id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, shop TEXT NOT NULL,"
        " role TEXT NOT NULL, name TEXT NOT NULL, author TEXT NOT NULL, person TEXT NOT NULL, bearer INTEGER NOT NULL,"
        " sign_in_ms INTEGER NOT NULL, made_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL,"
        " revoked_ms INTEGER NOT NULL)",
        "CREATE INDEX office_token_person ON office_token (person)",
        "CREATE TABLE office_person (id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE,"
        " role TEXT NOT NULL, every_shop INTEGER NOT NULL, language TEXT NOT NULL, password TEXT NOT NULL,"
        " made_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL)",
        "CREATE TABLE office_shop_person (shop TEXT NOT NULL, person TEXT NOT NULL, PRIMARY KEY (shop, person))",
        "CREATE INDEX office_shop_person_person ON office_shop_person (person)",
        "CREATE TABLE office_session (hash TEXT PRIMARY KEY, id TEXT NOT NULL, person TEXT NOT NULL,"
        " made_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL)",
        "CREATE INDEX office_session_person ON office_session (person)",
        "CREATE TABLE office_device (hash TEXT PRIMARY KEY, person TEXT NOT NULL, seen_ms INTEGER NOT NULL)",
        "CREATE INDEX office_device_person ON office_device (person)",
        "CREATE TABLE office_attempt (kind TEXT NOT NULL, who TEXT NOT NULL, failed INTEGER NOT NULL,"
        " last_ms INTEGER NOT NULL, free_ms INTEGER NOT NULL, PRIMARY KEY (kind, who))",
        "CREATE INDEX office_attempt_last ON office_attempt (last_ms)",
        "CREATE TABLE office_invitation (id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, alias TEXT NOT NULL,"
        " made_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, wrong INTEGER NOT NULL, taken_by TEXT NOT NULL)",
        "CREATE TABLE office_audit (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL,"
        " address TEXT NOT NULL, act TEXT NOT NULL, about TEXT NOT NULL, detail TEXT NOT NULL)",
        "CREATE TABLE office_note (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    )),
)  # fmt: skip
PASSING_TABLES = ("office_session", "office_invitation")  # which no backup holds: who ended one, ended it for good
SHOP = "id, name, alias, attached_ms, removed_ms"
TOKEN = (
    "t.id, t.shop, t.role, t.name, t.author, t.person, t.bearer, t.sign_in_ms, t.made_ms, t.used_ms, t.revoked_ms"
)


class ShopNameTwice(PoslineError):
    """Several shops have the name that was asked for."""

    status = 409
    title = "Several shops have this name"


@dataclass(frozen=True, slots=True)
class RegisteredShop:
    """A shop that was attached. `name` is what it called itself then, `alias` our own name for it; `removed_ms` is 0
    for one that is served."""

    id: str
    name: str
    alias: str
    attached_ms: int
    removed_ms: int = 0

    @property
    def attached(self) -> str:
        """When, as ISO 8601."""
        return iso_ms(self.attached_ms)


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A token that was handed out: to a program for one `shop` ("" is every shop), or to a person. `bearer`: it opens
    the API; `sign_in_ms`: until then it may be used once to choose a password, 0 where it was, or never could be."""

    id: str
    shop: str
    role: str
    name: str
    author: str
    person: str
    bearer: int
    sign_in_ms: int
    made_ms: int
    used_ms: int
    revoked_ms: int


@dataclass(frozen=True, slots=True)
class Audited:
    """One line of the audit trail: who did what, about what, when and from where."""

    id: str
    at_ms: int
    who: str
    address: str
    act: str
    about: str
    detail: str


def iso_ms(ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))


def fresh_id() -> str:
    """A random id."""
    return secrets.token_hex(ID_BYTES)


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


class Office:
    """The books of one head office. Every method may be called from any thread."""

    def __init__(self, database: Database, clock: Callable[[], int] = now_ms) -> None:
        """`clock` tells milliseconds since 1970. Brings the tables up to date."""
        self.database, self.now_ms = database, clock
        self._lines = itertools.count(secrets.randbelow(1 << 16))
        self._counting = threading.Lock()
        up_to_date(database, STEPS, clock())

    # -- shops ---------------------------------------------------------------------------------------------------------

    def shops(self, *, removed: bool = False) -> list[RegisteredShop]:
        """The shops that are served, by name; with `removed` those that are not any more, too."""
        where = "" if removed else " WHERE removed_ms = 0"
        rows = self.database.execute(f"SELECT {SHOP} FROM office_shop{where} ORDER BY name, id")
        return [RegisteredShop(*row) for row in rows]

    def shop(self, id: str) -> RegisteredShop | None:
        """A shop by its id, also a removed one."""
        row = self.database.execute(f"SELECT {SHOP} FROM office_shop WHERE id = ?", (id,)).fetchone()
        return None if row is None else RegisteredShop(*row)

    def find(self, wanted: str, covers: Callable[[str], bool] = lambda shop: True) -> RegisteredShop:
        """A shop by its id, or by its name or alias where only one has it, of those that `covers` says are the
        asker's; where none of these has it, any shop's. Those that are served go before those that were removed.
        Raises NotFound, ShopNameTwice."""
        wanted = wanted.replace("\0", "")
        exact = self.shop(wanted)
        if exact is not None and wanted:  # an id goes first: what a shop calls itself is its own choice
            return exact
        asked = f"SELECT {SHOP} FROM office_shop WHERE name = ? OR alias = ? ORDER BY name, id"
        called = [RegisteredShop(*row) for row in self.database.execute(asked, (wanted, wanted))] if wanted else []
        found = [shop for shop in called if not shop.removed_ms] or called
        found = [shop for shop in found if covers(shop.id)] or found[:1]
        if len(found) > 1:
            raise ShopNameTwice(
                f"{len(found)} shops are called {wanted!r}: use an id, of {', '.join(s.id for s in found)}"
            )
        if not found:
            raise NotFound(f"no shop {wanted[:60]!r} is attached here: 'posline-relay shop list' shows those that are")
        return found[0]

    def attach(self, id: str, name: str, *, alias: str, by: Actor) -> RegisteredShop:
        """Attach a shop, or attach it again; a new alias goes before the one that it had."""
        at_ms, name = self.now_ms(), name.replace("\0", "")  # which not every database takes

        def work(tx: Transaction) -> None:
            tx.execute(
                "INSERT INTO office_shop (id, name, alias, attached_ms, removed_ms) VALUES (?, ?, ?, ?, 0)"
                " ON CONFLICT (id) DO UPDATE SET name = excluded.name, attached_ms = excluded.attached_ms,"
                " removed_ms = 0, alias = CASE WHEN excluded.alias = '' THEN office_shop.alias ELSE excluded.alias END",
                (id, name, alias, at_ms),
            )
            self.audit(tx, by, "shop_attached", name, alias)

        transact(self.database, work)
        found = self.shop(id)
        assert found is not None
        return found

    def rename_shop(self, id: str, alias: str, *, by: Actor) -> None:
        """Give a shop another name of ours; "" leaves it with its own."""
        alias = named("alias", alias, empty=True)

        def work(tx: Transaction) -> None:
            tx.execute("UPDATE office_shop SET alias = ? WHERE id = ?", (alias, id))
            self.audit(tx, by, "shop_renamed", id, alias)

        transact(self.database, work)

    def remove_shop(self, id: str, *, by: Actor) -> None:
        """Serve a shop no more, until it is invited again. What is held of it stays. Whoever took an invitation for it
        cannot take the same one once more."""
        at_ms = self.now_ms()

        def work(tx: Transaction) -> None:
            done = tx.execute("UPDATE office_shop SET removed_ms = ? WHERE id = ? AND removed_ms = 0", (at_ms, id))
            tx.execute("DELETE FROM office_invitation WHERE taken_by = ?", (id,))
            if done.rowcount:
                self.audit(tx, by, "shop_removed", id)
                self.doors_changed(tx)

        transact(self.database, work)

    # -- tokens --------------------------------------------------------------------------------------------------------

    def hand_out(self, *, shop: str, role: str, name: str = "", author: str = "", by: Actor) -> str:
        """A new token for a program, which is shown this once. `shop` "" opens every shop."""
        token, id, at_ms = secrets.token_urlsafe(TOKEN_BYTES), fresh_id(), self.now_ms()
        name = named("name", name, empty=True)

        def work(tx: Transaction) -> None:
            self.put_token(tx, id, token_hash(token), shop=shop, role=role, name=name, author=author, made_ms=at_ms)
            self.audit(tx, by, "token_added", name or id, f"{role}, {shop or 'every shop'}")

        transact(self.database, work)
        return token

    @staticmethod
    def put_token(
        tx: Transaction, id: str, hash: str, *, shop: str, role: str, name: str, author: str = "", person: str = "",
        bearer: bool = True, sign_in_ms: int = 0, made_ms: int,
    ) -> None:  # fmt: skip
        """Keep a token, within a transaction; one that is kept already stays as it is."""
        tx.execute(
            "INSERT INTO office_token (id, hash, shop, role, name, author, person, bearer, sign_in_ms, made_ms,"
            " used_ms, revoked_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT DO NOTHING",
            (id, hash, shop, role, name, author, person, int(bearer), sign_in_ms, made_ms),
        )

    def tokens(self) -> list[HandedOut]:
        """The tokens that open something, the newest first."""
        rows = self.database.execute(
            f"SELECT {TOKEN} FROM office_token t WHERE t.revoked_ms = 0 AND (t.bearer = 1 OR t.sign_in_ms > ?)"
            " ORDER BY t.made_ms DESC, t.id",
            (self.now_ms(),),
        )
        return [HandedOut(*row) for row in rows]

    def revoke(self, id: str, *, by: Actor) -> HandedOut:
        """End a token, by its id. Raises NotFound."""
        found = next((token for token in self.tokens() if token.id == id), None)
        if found is None:
            raise NotFound(f"no token has the id {id[:60]!r}: 'posline-relay token list' shows those that there are")
        at_ms = self.now_ms()

        def work(tx: Transaction) -> None:
            tx.execute("UPDATE office_token SET revoked_ms = ? WHERE id = ? AND revoked_ms = 0", (at_ms, id))
            self.audit(tx, by, "token_revoked", found.name or id)
            self.doors_changed(tx)

        transact(self.database, work)
        return found

    def access(self, token: str) -> Viewer | None:
        """Who bears `token`, and what they may read; None when it opens nothing (any more)."""
        found = self._bearer(token)
        if found is None:
            return None
        viewer, id, used_ms = found
        at_ms = self.now_ms()
        if at_ms - used_ms > USED_EVERY_MS:
            asked = "UPDATE office_token SET used_ms = ? WHERE id = ?"
            with suppress(CommitFailed):  # a full disk keeps nobody from looking
                transact(self.database, lambda tx: tx.execute(asked, (at_ms, id)))
        return viewer

    def decide(self, shop: str, token: str) -> Grant | None:
        """What a program with `token` may do with the documents of `shop`; None when nothing."""
        found = self._bearer(token)
        if found is None or not found[0].covers(shop):
            return None
        author = found[0].author
        return Grant(Scope.WRITER, author) if author else Grant(Scope.READER)

    def _bearer(self, token: str) -> tuple[Viewer, str, int] | None:
        """Who bears it, its id, and when it was last used as far as is known."""
        if not 0 < len(token) <= TOKEN_CHARS_MAX:
            return None
        row = self.database.execute(
            "SELECT t.id, t.used_ms, t.shop, t.role, t.name, t.author, t.person, p.name, p.role, p.every_shop,"
            " p.language FROM office_token t LEFT JOIN office_person p ON p.id = t.person"
            " WHERE t.hash = ? AND t.revoked_ms = 0 AND t.bearer = 1",
            (token_hash(token),),
        ).fetchone()
        if row is None:
            return None
        id, used_ms, shop, role, name, author, person, *of_person = row
        if not person:
            return Viewer.program(name, shop, author if role == "write" and author else None), id, used_ms
        if of_person[0] is None:  # was removed in the same moment
            return None
        return self.viewer(person, *of_person), id, used_ms

    def viewer(self, person: str, name: str, role: str, every_shop: int, language: str) -> Viewer:
        """A person as whoever asks."""
        shops = None if every_shop else frozenset(self.shops_of(person))
        return Viewer(name, RIGHTS[Role(role)], shops, person, Role(role), language)

    def shops_of(self, person: str) -> list[str]:
        """The ids of the shops that a person may see, where that is not every shop."""
        asked = "SELECT shop FROM office_shop_person WHERE person = ? ORDER BY shop"
        return [shop for (shop,) in self.database.execute(asked, (person,))]

    # -- notes ---------------------------------------------------------------------------------------------------------

    def note(self, name: str) -> str:
        """What was noted under a name; "" when nothing."""
        row = self.database.execute("SELECT value FROM office_note WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Note something."""
        if self.note(name) != value:
            transact(self.database, lambda tx: _note(tx, name, value))

    @property
    def address(self) -> str:
        """Where shops reach this head office, as of its last start; "" before the first."""
        return self.note(ADDRESS)

    def remember_address(self, address: str) -> None:
        """Keep where shops reach this head office, for invitations that are made while it is not running."""
        self.set_note(ADDRESS, address)

    @property
    def doors(self) -> str:
        """Another text each time when somebody was shut out, so that links which are up can be looked at again."""
        return self.note(DOORS)

    @staticmethod
    def doors_changed(tx: Transaction) -> None:
        """Somebody was shut out, within a transaction."""
        _note(tx, DOORS, secrets.token_hex(8))

    # -- the audit trail -----------------------------------------------------------------------------------------------

    def audit(self, tx: Transaction, by: Actor, act: str, about: str, detail: str = "") -> None:
        """Write one line, within the transaction of what it tells of. Lines are never changed or taken away."""
        at_ms = self.now_ms()
        with self._counting:
            line = next(self._lines) & 0xFFFFFF
        id = f"{at_ms:012x}{line:06x}{secrets.token_hex(4)}"  # in order of time, and for one process, of writing
        tx.execute(
            "INSERT INTO office_audit (id, at_ms, who, address, act, about, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, at_ms, by.name, by.where, act, about, detail),
        )

    def trail(self, *, before: str = "", limit: int = PAGE) -> list[Audited]:
        """Lines of the audit trail, the newest first, from behind the line `before`."""
        where, params = (" WHERE id < ?", (before,)) if before else ("", ())
        asked = f"SELECT id, at_ms, who, address, act, about, detail FROM office_audit{where} ORDER BY id DESC LIMIT ?"
        return [Audited(*row) for row in self.database.execute(asked, (*params, max(1, min(limit, PAGE_MAX))))]

    # -- from before there were tables ---------------------------------------------------------------------------------

    def take_over(self, held: Mapping[str, Any]) -> None:
        """Take over what an earlier version kept in the settings file; doing so twice changes nothing."""
        at_ms = self.now_ms()
        ids = {hash: fresh_id() for hash in (*held.get("tokens", {}), *held.get("invitations", {}))}

        def work(tx: Transaction) -> None:
            for id, shop in held.get("shops", {}).items():
                tx.execute(
                    "INSERT INTO office_shop (id, name, alias, attached_ms, removed_ms) VALUES (?, ?, ?, ?, 0)"
                    " ON CONFLICT (id) DO NOTHING",
                    (id, shop["name"], shop.get("alias", ""), _ms(shop.get("attached", ""), at_ms)),
                )
            for hash, token in held.get("tokens", {}).items():
                self.put_token(
                    tx, ids[hash], hash, shop=token["shop"], role=token["role"], name=token.get("name", ""),
                    author=token.get("author") or "", made_ms=at_ms,
                )  # fmt: skip
            for hash, (ends_ms, alias) in held.get("invitations", {}).items():
                tx.execute(
                    "INSERT INTO office_invitation (id, hash, alias, made_ms, ends_ms, wrong, taken_by)"
                    " VALUES (?, ?, ?, ?, ?, 0, '') ON CONFLICT DO NOTHING",
                    (ids[hash], hash, alias, at_ms, int(ends_ms)),
                )
            if held.get("address"):
                tx.execute(
                    "INSERT INTO office_note (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                    (ADDRESS, held["address"]),
                )

        transact(self.database, work)


def open_office(folder: Folder) -> Office:
    """The books in a data folder; what an earlier version kept in its settings file is taken over, and goes from there
    once it is in the tables. Raises FolderDamaged, DiskFailed, DiskFull."""
    path, held = folder.path / FILE, folder.settings
    if MARK in held and not path.exists():
        raise FolderDamaged(
            f"{path} is gone, which says who may use this head office and which shops it has: put back the copy you "
            f"kept of it. Or take the line {MARK!r} out of settings.json, and attach each shop again"
        )
    office = Office(SqliteDatabase(path))
    try:
        if any(name in held for name in BEFORE):
            office.take_over(held)
        kept = {name: value for name, value in held.items() if name not in BEFORE} | {MARK: FILE}
        if kept != held:
            sync_folder(folder.path)  # the file's name is durable before it is the only place
            folder.save_settings(kept)
    except BaseException:
        office.database.close()
        raise
    return office


def named(field: str, text: str, *, empty: bool = False) -> str:
    """A name that people gave something, without spaces around it. Raises BadRequest."""
    text = " ".join(text.split())
    shown = all(c.isprintable() or c in JOINERS for c in text)
    if len(text) > NAME_MAX or not (text or empty) or not shown:
        raise BadRequest.of(field, f"must be a text of {'at most' if empty else '1 to'} {NAME_MAX} characters")
    return text


def _note(tx: Transaction, name: str, value: str) -> None:
    tx.execute(
        "INSERT INTO office_note (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def _ms(iso: str, otherwise: int) -> int:
    try:
        return int(datetime.fromisoformat(iso).timestamp() * 1000)
    except ValueError:
        return otherwise
