"""The people of a head office: who they are, how they sign in, and the sessions that they have then.

A person is made with a token. Once, and for some days, it lets them choose a password; besides, it is a bearer token of
theirs until it is revoked. A session is a random token in a cookie, of which only the hash is kept; it ends when nobody
uses it, after some weeks in any case, and with a changed password; another role counts in it from the next request on.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from posline.errors import BadRequest, CommitFailed, NotFound, NotPossible, PoslineError
from posline.till.invitation import TOKEN_BYTES
from posline.trust.gate import token_hash
from relay.attempts import Attempts, Counted, by_address, by_device, by_name
from relay.database import Transaction, transact
from relay.office import CONSOLE, NAME_MAX, SHOP_ACTOR, TOKEN_CHARS_MAX, Office, fresh_id, named
from relay.passwords import Passwords, checked_password
from relay.rights import Actor, Role, Viewer, scope

__all__ = [
    "DEVICE_MS", "LANGUAGES", "SESSION_MS", "Browser", "NameTaken", "NotSignedIn", "OnlyOwner", "People", "Person",
    "Seat", "SignedIn",
]  # fmt: skip

LANGUAGES = ("en", "ur")
DAY_MS = 86_400_000
FIRST_SIGN_IN_MS = 14 * DAY_MS  # how long a token may be used to choose a password
IDLE_MS, SESSION_MS = 7 * DAY_MS, 30 * DAY_MS  # a session ends when unused for so long, and after so long anyway
SEEN_EVERY_MS = 60_000  # how exactly it is known when a session was last used
DEVICE_MS = 180 * DAY_MS  # how long a browser is remembered as one of somebody's
SECRET_BYTES = 32
AGENT_MAX = 200  # characters of what a browser says it is
PERSON = "id, name, role, every_shop, language, made_ms, seen_ms, CASE WHEN password = '' THEN 0 ELSE 1 END"
SPENT = "this token was used for a password before, has expired, or is not from here"
WRONG = "this name and password do not go together"


class NotSignedIn(PoslineError):
    """Who tried to sign in did not show who they are. `word` is what pages call the reason; `wait_s` 0, or how long
    they have to wait first."""

    status = 401
    title = "Not signed in"

    def __init__(self, reason: str, word: str, wait_s: int = 0) -> None:
        self.wait_s, self.word = wait_s, word
        super().__init__(reason)


class NameTaken(NotPossible):
    """Somebody has this name."""

    word = "name_taken"


class OnlyOwner(NotPossible):
    """Nobody would be left to administer."""

    word = "only_owner"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may use the head office. `shops` None is every shop; `chosen`: they have chosen a password."""

    id: str
    name: str
    role: Role
    shops: frozenset[str] | None
    language: str
    made_ms: int
    seen_ms: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Seat:
    """A session, as it is shown to whose it is."""

    id: str
    made_ms: int
    seen_ms: int
    address: str
    agent: str
    here: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a browser is given: the secret of its session, and one by which it is known again."""

    session: str
    device: str
    name: str
    language: str


@dataclass(frozen=True, slots=True)
class Browser:
    """What asks to sign in: where it is, what it says it is, and the secrets that it has from before."""

    address: str = ""
    agent: str = ""
    session: str = ""
    device: str = ""


class People:
    """The people in an office's books."""

    def __init__(self, office: Office, passwords: Passwords | None = None) -> None:
        self.office, self.passwords = office, passwords or Passwords()
        self.attempts = Attempts(office)
        self._database = office.database
        self.on_sign_in: Callable[[str], None] = lambda outcome: None  # "signed in", "failed", "made to wait"

    # -- who they are --------------------------------------------------------------------------------------------------

    def listed(self) -> list[Person]:
        """Everybody, by name."""
        shops: dict[str, set[str]] = {}
        for shop, person in self._database.execute("SELECT shop, person FROM office_shop_person"):
            shops.setdefault(person, set()).add(shop)
        rows = self._database.execute(f"SELECT {PERSON} FROM office_person ORDER BY folded")
        return [_person(row, shops.get(row[0], ())) for row in rows]

    def anybody(self) -> bool:
        """Whether there is somebody yet."""
        return self._database.execute("SELECT id FROM office_person LIMIT 1").fetchone() is not None

    def person(self, id: str) -> Person:
        """Somebody by id. Raises NotFound."""
        return self._one("id", id, id)

    def by_name(self, name: str) -> Person:
        """Somebody by name. Raises NotFound."""
        return self._one("folded", folded(name), name)

    def _one(self, column: str, wanted: str, said: str) -> Person:
        row = self._database.execute(f"SELECT {PERSON} FROM office_person WHERE {column} = ?", (wanted,)).fetchone()
        if row is None:
            raise NotFound(f"nobody is called {said[:60]!r} here: 'posline-relay user list' shows who there is")
        return _person(row, self.office.shops_of(row[0]))

    def add(self, name: str, role: Role, shops: Iterable[str] | None, *, by: Actor) -> str:
        """Somebody new: their token. `shops` None is every shop. Raises BadRequest, NotPossible for a name that is
        taken."""
        name, id = named("name", name), fresh_id()
        if folded(name).startswith((CONSOLE.name, SHOP_ACTOR)):
            raise BadRequest.of("name", "is what the audit trail calls somebody else: choose another")
        theirs = self._scope(role, shops)
        token, at_ms = secrets.token_urlsafe(TOKEN_BYTES), self.office.now_ms()
        token_id = fresh_id()

        def work(tx: Transaction) -> None:
            made = tx.execute(
                "INSERT INTO office_person (id, name, folded, role, every_shop, language, password, made_ms, seen_ms)"
                " VALUES (?, ?, ?, ?, ?, '', '', ?, 0) ON CONFLICT DO NOTHING",
                (id, name, folded(name), role.value, int(theirs is None), at_ms),
            )
            if not made.rowcount and tx.execute("SELECT id FROM office_person WHERE id = ?", (id,)).fetchone() is None:
                raise NameTaken(f"somebody is called {name} already: choose another name, or remove them first")
            self._put_shops(tx, id, theirs)
            self.office.put_token(
                tx, token_id, token_hash(token), shop="", role="read", name=name, person=id,
                sign_in_ms=at_ms + FIRST_SIGN_IN_MS, made_ms=at_ms,
            )  # fmt: skip
            self.office.audit(tx, by, "person_added", name, _described(role, theirs))

        transact(self._database, work)
        return token

    def hand_out(self, person: Person, *, by: Actor) -> str:
        """One more bearer token of theirs, which is shown this once; who has no password yet may choose one with it."""
        token, id, at_ms = secrets.token_urlsafe(TOKEN_BYTES), fresh_id(), self.office.now_ms()

        def work(tx: Transaction) -> None:
            self.office.put_token(
                tx, id, token_hash(token), shop="", role="read", name=person.name, person=person.id,
                sign_in_ms=0 if person.chosen else at_ms + FIRST_SIGN_IN_MS, made_ms=at_ms,
            )  # fmt: skip
            self.office.audit(tx, by, "token_added", person.name, _described(person.role, person.shops))

        transact(self._database, work)
        return token

    def change(self, person: Person, role: Role, shops: Iterable[str] | None, *, by: Actor) -> None:
        """Another role, or other shops, from their next request on. Raises BadRequest, NotPossible where nobody would
        be an owner."""
        theirs = self._scope(role, shops)

        def work(tx: Transaction) -> None:
            if role is not Role.OWNER:
                self._keep_an_owner(tx, person)
            asked = "UPDATE office_person SET role = ?, every_shop = ? WHERE id = ?"
            done = tx.execute(asked, (role.value, int(theirs is None), person.id))
            if not done.rowcount:
                raise NotFound(f"{person.name} was removed in the same moment")
            tx.execute("DELETE FROM office_shop_person WHERE person = ?", (person.id,))
            self._put_shops(tx, person.id, theirs)
            self.office.doors_changed(tx)
            self.office.audit(tx, by, "person_changed", person.name, _described(role, theirs))

        transact(self._database, work)

    def remove(self, person: Person, *, by: Actor) -> None:
        """Their sessions and tokens end with them. Raises NotPossible for the only owner."""
        at_ms = self.office.now_ms()

        def work(tx: Transaction) -> None:
            self._keep_an_owner(tx, person)
            self._end_sessions(tx, person.id)
            for table in ("office_shop_person", "office_device"):
                tx.execute(f"DELETE FROM {table} WHERE person = ?", (person.id,))
            tx.execute("UPDATE office_token SET revoked_ms = ? WHERE person = ? AND revoked_ms = 0", (at_ms, person.id))
            tx.execute("DELETE FROM office_person WHERE id = ?", (person.id,))
            self.office.doors_changed(tx)
            self.office.audit(tx, by, "person_removed", person.name)

        transact(self._database, work)

    def forget_password(self, person: Person, *, by: Actor) -> str:
        """A token with which they choose a new password; the old one, and all sessions, end now."""
        token, id, at_ms = secrets.token_urlsafe(TOKEN_BYTES), fresh_id(), self.office.now_ms()

        def work(tx: Transaction) -> None:
            tx.execute("UPDATE office_person SET password = '' WHERE id = ?", (person.id,))
            self._spend_sign_ins(tx, person.id)
            self._end_sessions(tx, person.id)
            self.office.put_token(
                tx, id, token_hash(token), shop="", role="read", name=person.name, person=person.id, bearer=False,
                sign_in_ms=at_ms + FIRST_SIGN_IN_MS, made_ms=at_ms,
            )  # fmt: skip
            self.office.audit(tx, by, "password_forgotten", person.name)

        transact(self._database, work)
        return token

    def set_language(self, person: str, language: str) -> None:
        """The language of somebody's pages. Raises BadRequest."""
        if language not in LANGUAGES:
            raise BadRequest.of("language", f"is one of {', '.join(LANGUAGES)}")
        asked = "UPDATE office_person SET language = ? WHERE id = ?"
        transact(self._database, lambda tx: tx.execute(asked, (language, person)))

    def _scope(self, role: Role, shops: Iterable[str] | None) -> frozenset[str] | None:
        theirs = scope(role, None if shops is None else frozenset(shops))
        unknown = (theirs or frozenset()) - {shop.id for shop in self.office.shops(removed=True)}
        if unknown:
            raise NotFound(f"no shop {min(unknown)[:60]!r} is attached here")
        return theirs

    @staticmethod
    def _put_shops(tx: Transaction, person: str, shops: frozenset[str] | None) -> None:
        for shop in sorted(shops or ()):
            asked = "INSERT INTO office_shop_person (shop, person) VALUES (?, ?) ON CONFLICT DO NOTHING"
            tx.execute(asked, (shop, person))

    @staticmethod
    def _keep_an_owner(tx: Transaction, person: Person) -> None:
        owners = [id for (id,) in tx.execute("SELECT id FROM office_person WHERE role = ?", (Role.OWNER.value,))]
        if owners == [person.id]:
            raise OnlyOwner(f"{person.name} is the only owner: make somebody else one first")

    @staticmethod
    def _end_sessions(tx: Transaction, person: str) -> int:
        return tx.execute("DELETE FROM office_session WHERE person = ?", (person,)).rowcount

    @staticmethod
    def _spend_sign_ins(tx: Transaction, person: str) -> None:
        tx.execute("UPDATE office_token SET sign_in_ms = 0 WHERE person = ? AND sign_in_ms > 0", (person,))

    # -- signing in ----------------------------------------------------------------------------------------------------

    async def sign_in(self, name: str, password: str, browser: Browser) -> SignedIn:
        """Somebody shows who they are by name and password. Raises NotSignedIn, Busy; whether the name is one, neither
        the answer nor its time says."""
        wanted = folded(name[:NAME_MAX])
        row, counted = await asyncio.to_thread(self._about_to, wanted, browser)
        wait_ms = await asyncio.to_thread(self.attempts.begin, *counted)
        if wait_ms:
            self.on_sign_in("made to wait")
            raise _wait(wait_ms)
        id, kept = ("", "") if row is None else row
        if not await self.passwords.matches(password, kept):
            await asyncio.to_thread(self._failed, id, browser)
            raise NotSignedIn(WRONG, "wrong_password")
        fresher = await self.passwords.hash(password) if self.passwords.outdated(kept) else kept
        found = await asyncio.to_thread(self._seat, id, kept, fresher, browser, "signed_in")
        await asyncio.to_thread(self.attempts.succeeded, *counted)
        return found

    async def first(self, token: str, password: str, browser: Browser) -> SignedIn:
        """Somebody chooses a password, with a token that was handed out for it, and is signed in. Raises NotSignedIn,
        BadRequest, Busy."""
        counted = by_address(browser.address)
        wait_ms = await asyncio.to_thread(self.attempts.begin, counted)
        if wait_ms:
            self.on_sign_in("made to wait")
            raise _wait(wait_ms)
        row = await asyncio.to_thread(self._first_of, token)
        if row is None:
            await asyncio.to_thread(self._failed, "", browser)
            raise NotSignedIn(SPENT, "spent_token")
        await asyncio.to_thread(self.attempts.succeeded, counted)
        id, name, kept = row
        fresh = await self.passwords.hash(checked_password(password, name))
        return await asyncio.to_thread(self._seat, id, kept, fresh, browser, "password_chosen", token)

    async def change_password(self, person: str, old: str, new: str, browser: Browser) -> SignedIn:
        """All of somebody's sessions end, and they go on in a new one. Raises NotSignedIn, BadRequest, Busy."""
        asked = "SELECT folded, name, password FROM office_person WHERE id = ?"
        row = await asyncio.to_thread(lambda: self._database.execute(asked, (person,)).fetchone())
        if row is None:
            raise NotSignedIn(WRONG, "wrong_password")
        device = by_device(person)  # who is signed in is not kept from it by others who try the name
        wait_ms = await asyncio.to_thread(self.attempts.begin, device)
        if wait_ms:
            self.on_sign_in("made to wait")
            raise _wait(wait_ms)
        if not await self.passwords.matches(old, row[2]):
            await asyncio.to_thread(self._failed, person, browser)
            raise NotSignedIn("this is not your password of now", "wrong_old_password")
        await asyncio.to_thread(self.attempts.succeeded, device)
        fresh = await self.passwords.hash(checked_password(new, row[1]))
        return await asyncio.to_thread(self._seat, person, row[2], fresh, browser, "password_changed")

    def _about_to(self, wanted: str, browser: Browser) -> tuple[tuple[str, str] | None, list[Counted]]:
        """(id and password of who has that name, what a try is counted by)."""
        row = self._database.execute("SELECT id, password FROM office_person WHERE folded = ?", (wanted,)).fetchone()
        asked = "SELECT hash FROM office_device WHERE hash = ? AND person = ? AND seen_ms > ?"
        known = (token_hash(browser.device), "" if row is None else row[0], self.office.now_ms() - DEVICE_MS)
        device = self._database.execute(asked, known).fetchone()
        if device is not None:
            return row, [by_device(device[0])]
        return row, [by_name(wanted), by_address(browser.address)]

    def _first_of(self, token: str) -> tuple[str, str, str] | None:
        """(id, name, password) of whose first sign-in this token is for."""
        if not 0 < len(token) <= TOKEN_CHARS_MAX:
            return None
        row: tuple[str, str, str] | None = self._database.execute(
            "SELECT p.id, p.name, p.password FROM office_token t JOIN office_person p ON p.id = t.person"
            " WHERE t.hash = ? AND t.revoked_ms = 0 AND t.sign_in_ms > ?",
            (token_hash(token), self.office.now_ms()),
        ).fetchone()
        return row

    def _failed(self, person: str, browser: Browser) -> None:
        """Only names that exist are written down: people type passwords into that field, too."""
        self.on_sign_in("failed")
        row = self._database.execute("SELECT name FROM office_person WHERE id = ?", (person,)).fetchone()
        by = Actor("" if row is None else row[0], browser.address)
        transact(self._database, lambda tx: self.office.audit(tx, by, "sign_in_failed", by.name))

    def _seat(self, person: str, kept: str, fresh: str, browser: Browser, act: str, spends: str = "") -> SignedIn:
        """A new session, for whose password was `kept` when it was looked at, and is `fresh` from now on; another act
        than `signed_in` is a new password, which ends all sessions that there are. The one that the browser had ends
        in any case: nobody goes on in a session that somebody else may have put there."""
        session, device = secrets.token_urlsafe(SECRET_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        id, at_ms, agent = fresh_id(), self.office.now_ms(), browser.agent[:AGENT_MAX]

        def work(tx: Transaction) -> tuple[str, str]:
            same = tx.execute(
                "UPDATE office_person SET password = ?, seen_ms = ? WHERE id = ? AND (password = ? OR password = ?)",
                (fresh, at_ms, person, kept, fresh),
            )
            if not same.rowcount:
                raise NotSignedIn("the password was changed in the same moment: sign in again", "wrong_password")
            name, language = tx.execute("SELECT name, language FROM office_person WHERE id = ?", (person,)).fetchone()
            if spends:
                spent = tx.execute(
                    "UPDATE office_token SET sign_in_ms = 0 WHERE hash = ? AND sign_in_ms > 0", (token_hash(spends),)
                )
                if not spent.rowcount:
                    raise NotSignedIn(SPENT, "spent_token")
            if act != "signed_in":
                self._spend_sign_ins(tx, person)
                self._end_sessions(tx, person)
                tx.execute("DELETE FROM office_device WHERE person = ?", (person,))
            tx.execute("DELETE FROM office_session WHERE hash = ?", (token_hash(browser.session),))
            tx.execute(
                "INSERT INTO office_session (hash, id, person, made_ms, seen_ms, address, agent)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING",
                (token_hash(session), id, person, at_ms, at_ms, browser.address, agent),
            )
            tx.execute("DELETE FROM office_device WHERE hash = ?", (token_hash(browser.device),))
            tx.execute(
                "INSERT INTO office_device (hash, person, seen_ms) VALUES (?, ?, ?) ON CONFLICT (hash) DO NOTHING",
                (token_hash(device), person, at_ms),
            )
            ended = "DELETE FROM office_session WHERE made_ms < ? OR seen_ms < ?"
            tx.execute(ended, (at_ms - SESSION_MS, at_ms - IDLE_MS))
            tx.execute("DELETE FROM office_device WHERE seen_ms < ?", (at_ms - DEVICE_MS,))
            self.office.audit(tx, Actor(name, browser.address), act, name)
            return name, language

        name, language = transact(self._database, work)
        self.on_sign_in("signed in")
        return SignedIn(session, device, name, language)

    # -- sessions ------------------------------------------------------------------------------------------------------

    def session(self, token: str) -> Viewer | None:
        """Whose session this is; None when it ended."""
        if not 0 < len(token) <= TOKEN_CHARS_MAX:
            return None
        at_ms = self.office.now_ms()
        row = self._database.execute(
            "SELECT s.seen_ms, p.id, p.name, p.role, p.every_shop, p.language FROM office_session s"
            " JOIN office_person p ON p.id = s.person WHERE s.hash = ? AND s.seen_ms > ? AND s.made_ms > ?",
            (token_hash(token), at_ms - IDLE_MS, at_ms - SESSION_MS),
        ).fetchone()
        if row is None:
            return None
        if at_ms - row[0] > SEEN_EVERY_MS:
            asked = "UPDATE office_session SET seen_ms = ? WHERE hash = ?"
            with suppress(CommitFailed):  # a full disk keeps nobody from looking
                transact(self._database, lambda tx: tx.execute(asked, (at_ms, token_hash(token))))
        return self.office.viewer(*row[1:])

    def seats(self, person: str, token: str) -> list[Seat]:
        """Somebody's sessions, the last used first; `token` is the one that asks."""
        at_ms = self.office.now_ms()
        rows = self._database.execute(
            "SELECT id, made_ms, seen_ms, address, agent, hash FROM office_session"
            " WHERE person = ? AND seen_ms > ? AND made_ms > ? ORDER BY seen_ms DESC, id",
            (person, at_ms - IDLE_MS, at_ms - SESSION_MS),
        )
        return [
            Seat(id, made_ms, seen_ms, address, agent, hash == token_hash(token))
            for id, made_ms, seen_ms, address, agent, hash in rows
        ]

    def sign_out(self, token: str, by: Actor) -> None:
        """End a session."""

        def work(tx: Transaction) -> None:
            if tx.execute("DELETE FROM office_session WHERE hash = ?", (token_hash(token),)).rowcount:
                self.office.audit(tx, by, "signed_out", by.name)

        transact(self._database, work)

    def end_session(self, person: str, id: str, by: Actor) -> None:
        """End one of somebody's sessions; "" all of them."""

        def work(tx: Transaction) -> None:
            where, params = (" AND id = ?", (person, id)) if id else ("", (person,))
            if tx.execute(f"DELETE FROM office_session WHERE person = ?{where}", params).rowcount:
                self.office.audit(tx, by, "signed_out" if id else "signed_out_everywhere", by.name)

        transact(self._database, work)


def folded(name: str) -> str:
    """What names are compared by."""
    return " ".join(unicodedata.normalize("NFKC", name.replace("\0", "")).casefold().split())


def _person(row: tuple[str, str, str, int, str, int, int, int], shops: Iterable[str]) -> Person:
    id, name, role, every_shop, language, made_ms, seen_ms, chosen = row
    theirs = None if every_shop else frozenset(shops)
    return Person(id, name, Role(role), theirs, language, made_ms, seen_ms, bool(chosen))


def _described(role: Role, shops: frozenset[str] | None) -> str:
    return f"{role.value}, {'every shop' if shops is None else ', '.join(sorted(shops)) or 'no shop'}"


def _wait(wait_ms: int) -> NotSignedIn:
    wait_s = -(-wait_ms // 1000)
    return NotSignedIn(f"too many tries: wait {wait_s} seconds, then try again", "wait", wait_s)
