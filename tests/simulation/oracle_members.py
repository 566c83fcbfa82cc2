"""Who belongs to a shop, worked out once more: by docs/protocol.md, "Members", with sets and loops instead of anything
clever. Shares no code with the product.

An act hangs on others (who made its author a manager, who removed it), so what stands is found by two bounds that close
in on each other: what stands even if everything doubtful speaks against it, and what stands if nothing doubtful does.
Where a circle of acts is left that hangs on nothing outside itself, its removals and demotions take effect.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["Members", "author_of", "members_of", "unbase64", "verified"]

ACTS = ("member", "role", "remove", "accept")


def unbase64(text: str) -> bytes:
    """The bytes behind base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def author_of(key: str) -> str:
    """The name of the author whose first key this is, in base64url."""
    return base64.b32encode(hashlib.sha256(unbase64(key)).digest()[:16]).decode().rstrip("=").lower()


@lru_cache(maxsize=20_000)
def verified(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this Ed25519 signature stands."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Members:
    """The answer. `keys`: author -> [(number behind which it counts, key)]; `ends`: removed author -> points (run, seq,
    hash in hex); `stands`, `invalid` and `held` are hashes of membership entries."""

    def __init__(self) -> None:
        self.founding: dict[str, Any] | None = None
        self.recovery = ""
        self.keys: dict[str, list[tuple[int, bytes]]] = {}
        self.roles: dict[str, str] = {}
        self.ends: dict[str, set[tuple[int, int, str]]] = {}
        self.stands: set[str] = set()
        self.invalid: set[str] = set()
        self.held: set[str] = set()
        self.accepted: set[str] = set()

    @property
    def now(self) -> set[str]:
        """The members of now."""
        return set(self.roles) - set(self.ends)

    def signed(self, element: Any) -> bool:
        """Whether one of its author's keys signed an element."""
        return any(
            element.seq > after and verified(key, element.signature, element.message)
            for after, key in self.keys.get(element.till, ())
            if element.signature
        )


def members_of(elements: list[Any], shop: str) -> Members:
    """Who belongs to `shop`, from the elements of its document that have no fault of their own."""
    found = Members()
    held: dict[str, Any] = {}
    for element in elements:
        if element.kind != "founding":
            held[element.hash] = element
            continue
        name = base64.b32encode(bytes.fromhex(element.hash)[:16]).decode().rstrip("=").lower()
        own = element.signature and verified(unbase64(element.body["key"]), element.signature, element.message)
        if name == shop and own:
            found.founding, held[element.hash] = element.body, element
            founding = element
        else:
            found.invalid.add(element.hash)
    if found.founding is None:
        return found
    _Court(founding, held, found).sit()
    return found


class _Court:
    """Everything about one shop's acts."""

    def __init__(self, founding: Any, held: dict[str, Any], found: Members) -> None:
        self.founding, self.held, self.found = founding, held, found
        self.founder = founding.till
        self.recovery = author_of(founding.body["recovery"])
        self.first = {self.founder: founding.body["key"], self.recovery: founding.body["recovery"]}
        for element in held.values():
            if element.kind == "member":
                self.first.setdefault(author_of(element.body["key"]), element.body["key"])
        self.past: dict[str, set[str]] = {}
        self.gap: set[str] = set()  # in whose past something is not here
        for hash in held:
            self._past(hash)
        self.acts = [element for element in held.values() if element.kind in ACTS]
        self.changes = [element for element in held.values() if element.kind == "key"]
        self.signed = {act.hash for act in self.acts if self._signed(act)}
        self.last_resort: set[str] = set()  # removals that take effect since they lie in a circle
        self.dropped: set[str] = set()  # acts without a removal that fall since they lie in one

    def _past(self, hash: str) -> None:
        past = {self.founding.hash} - {hash}
        work = [hash]
        while work:
            for named in self._seen(self.held[work.pop()]):
                if named not in self.held:
                    self.gap.add(hash)
                elif named not in past and named != hash:
                    past.add(named)
                    work.append(named)
        self.past[hash] = past

    @staticmethod
    def _seen(element: Any) -> list[str]:
        seen = element.body.get("seen")
        values = list(seen.values()) if isinstance(seen, dict) else []
        return [h for h in values if isinstance(h, str) and len(h) == 64 and set(h) <= set("0123456789abcdef")]

    # -- keys -------------------------------------------------------------------------------------------------------

    def _rotated(self, author: str, changes: list[Any]) -> tuple[list[tuple[int, bytes]], set[str]]:
        keys, good = [(0, unbase64(self.first[author]))], set()
        for change in sorted(changes, key=lambda c: (c.seq, c.hash)):
            by_old = any(
                change.seq > after and verified(key, change.signature, change.message) for after, key in keys
            )
            message = b"posline-key-v1\0" + f"{author}\0{change.seq}\0{change.prev}".encode()
            fresh = unbase64(change.body["key"])
            if by_old and verified(fresh, unbase64(change.body["proof"]), message):
                keys.append((change.seq, fresh))
                good.add(change.hash)
        return keys, good

    def _signed(self, act: Any) -> bool:
        if act.till not in self.first:
            return False
        changes = [
            c for c in self.changes if c.till == act.till and c.seq < act.seq and c.hash in self.past[act.hash]
        ]
        keys, _ = self._rotated(act.till, changes)
        return any(verified(key, act.signature, act.message) for _, key in keys)

    # -- what an act needs ------------------------------------------------------------------------------------------

    @staticmethod
    def _subject(act: Any) -> str:
        if act.kind == "member":
            return author_of(act.body["key"])
        return "" if act.kind == "accept" else str(act.body["member"])

    @staticmethod
    def _gives(act: Any) -> str | None:
        return act.body["role"] if act.kind in ("member", "role") else None

    @staticmethod
    def _revokes(act: Any) -> bool:
        return act.kind == "remove" or (act.kind == "role" and act.body["role"] == "till")

    def _has(self, who: str, roles: tuple[str, ...], past: set[str], sure: set[str], taken: set[str]) -> bool:
        """Whether `who` has one of the roles by the acts in `past`."""
        about = [a for a in self.acts if a.hash in past and a.kind != "accept" and self._subject(a) == who]
        giving = [a for a in about if self._gives(a) in roles and a.hash in sure]
        against = [a for a in about if self._gives(a) not in roles and a.hash in taken]
        if not giving and who != self.founder:
            return False
        return all(any(b.hash in self.past[g.hash] for g in giving) for b in against)

    def _in_charge(self, who: str, past: set[str], sure: set[str], taken: set[str]) -> bool:
        return who == self.recovery or self._has(who, ("manager",), past, sure, taken)

    def _may(self, act: Any, sure: set[str], taken: set[str]) -> bool:
        past = self.past[act.hash]
        if act.hash not in self.signed or self._subject(act) == self.recovery:
            return False
        if not self._in_charge(act.till, past, sure, taken):
            return False
        return act.kind != "role" or self._has(self._subject(act), ("manager", "till"), past, sure, taken)

    def _in_time(self, element: Any, sure: set[str], taken: set[str]) -> bool:
        """Whether no removal or demotion of its author that it had not seen takes effect on it; of a change of key no
        removal, since who is demoted stays."""
        unseen = [
            a
            for a in self.acts
            if (self._revokes(a) if element.kind != "key" else a.kind == "remove")
            and self._subject(a) == element.till
            and a.hash not in self.past[element.hash]
            and a.hash != element.hash
        ]
        if all(element.hash in self.past[a.hash] for a in unseen if a.hash in taken):
            return True
        if any(element.hash in self.past[a.hash] for a in unseen if a.hash in sure):
            return True
        return any(a.kind == "accept" and a.hash in sure and element.hash in a.body["entries"] for a in self.acts)

    # -- which stand ------------------------------------------------------------------------------------------------

    def _derive(self, taken: set[str]) -> set[str]:
        """What stands if just `taken` speak against anything."""
        stand: set[str] = set()
        while True:
            more = {
                act.hash
                for act in self.acts
                if act.hash not in stand
                and act.hash not in self.dropped
                and self._may(act, stand, taken)
                and (act.hash in self.last_resort or self._in_time(act, stand, taken))
            }
            if not more:
                return stand
            stand |= more

    def _bounds(self) -> tuple[set[str], set[str]]:
        sure: set[str] = set()
        while True:
            possible = self._derive(sure | self.last_resort)
            more = self._derive(possible | self.last_resort)
            if more == sure:
                return sure, possible
            sure = more

    def _settle(self) -> set[str]:
        while True:
            sure, possible = self._bounds()
            if sure == possible:
                return sure
            open_ = possible - sure
            hangs = {hash: self._hangs_on(self.held[hash], sure, possible) & open_ for hash in open_}
            for circle in _innermost(hangs):
                removals = {h for h in circle if self._revokes(self.held[h])} - self.last_resort
                accepts = {h for h in circle if self.held[h].kind == "accept"}
                if removals:
                    self.last_resort |= removals
                else:
                    self.dropped |= accepts or circle

    def _hangs_on(self, act: Any, sure: set[str], possible: set[str]) -> set[str]:
        taken, on = possible | self.last_resort, set()
        if not self._may(act, sure, taken):
            whose = {act.till, self._subject(act)} - {""}
            on |= {a.hash for a in self.acts if a.hash in self.past[act.hash] and self._subject(a) in whose}
        if act.hash not in self.last_resort and not self._in_time(act, sure, taken):
            for a in self.acts:
                against = self._revokes(a) and self._subject(a) == act.till and a.hash not in self.past[act.hash]
                if a.hash != act.hash and against:
                    on.add(a.hash)
                if a.kind == "accept" and act.hash in a.body["entries"]:
                    on.add(a.hash)
        return on

    # -- the answer -------------------------------------------------------------------------------------------------

    def sit(self) -> None:
        """Fill in the answer."""
        sure = self._settle()
        taken = sure | self.last_resort
        found = self.found
        found.recovery = self.recovery
        found.keys[self.recovery] = [(0, unbase64(self.first[self.recovery]))]
        found.stands = taken | {self.founding.hash}
        admitted = {self._subject(a) for a in self.acts if a.hash in sure and a.kind == "member"}
        for who in {self.founder} | admitted:
            if who != self.recovery:
                changes = [c for c in self.changes if c.till == who]
                timely = [c for c in changes if self._in_time(c, sure, taken)]
                found.keys[who], good = self._rotated(who, timely)
                found.stands |= good
                found.held |= {c.hash for c in changes if c not in timely}
                found.invalid |= {c.hash for c in timely} - good
            about = [a for a in self.acts if a.kind != "accept" and self._subject(a) == who]
            giving = [a for a in about if self._gives(a) and a.hash in sure]

            def last(some: list[Any], giving: list[Any] = giving) -> list[Any]:
                return [a for a in some if not any(a.hash in self.past[g.hash] for g in giving)]

            roles = {self._gives(a) for a in last([a for a in about if self._gives(a) and a.hash in taken])}
            order = ("reader", "till", "head office", "manager")
            found.roles[who] = next((role for role in order if role in roles), "manager")
            removals = last([a for a in about if a.kind == "remove" and a.hash in taken])
            if removals:
                found.ends[who] = {
                    tuple(point) for a in removals if a.hash in sure for point in a.body["points"]
                }
        found.invalid |= {c.hash for c in self.changes if c.till == self.recovery}
        for act in self.acts:
            if act.hash in found.stands or act.till not in found.keys:
                continue
            if self._falls(act, sure, taken):
                found.invalid.add(act.hash)
            else:
                found.held.add(act.hash)
        found.accepted = {h for a in self.acts if a.hash in sure and a.kind == "accept" for h in a.body["entries"]}

    def _falls(self, act: Any, sure: set[str], taken: set[str]) -> bool:
        """Whether an act that does not stand never will, whatever comes."""
        if act.hash not in self.signed or self._subject(act) == self.recovery:
            return True
        if act.hash in self.gap and not self._may(act, sure, taken):
            return False
        return not self._may(act, sure, taken)


def _innermost(hangs: dict[str, set[str]]) -> list[set[str]]:
    """The circles that hang on nothing outside themselves."""
    reach: dict[str, set[str]] = {}
    for start in hangs:
        seen, work = {start}, [start]
        while work:
            for other in hangs[work.pop()] - seen:
                seen.add(other)
                work.append(other)
        reach[start] = seen
    circles = {frozenset(o for o in reach[h] if h in reach[o]) for h in hangs}
    return [set(c) for c in circles if all(reach[h] <= c for h in c)]
