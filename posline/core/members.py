"""Who belongs to a shop: a pure function of the entries in its `shop` document, with no order of arrival in it.

An **act** is a signed `member`, `role`, `remove` or `accept` entry. What its author had seen is its *past*: the closure
over the hashes in `seen`. An act stands if its author was a manager by what stands in that past, and if no removal or
demotion of its author that it had not seen takes effect, unless one of them had seen the act, or an `accept` names it.

So acts hang on each other, and where removals contest each other even in circles. `_Acts.settle` works that out: first
what follows whatever is assumed (a well-founded model, so nothing can be its own support); then, where a circle is left
that hangs on nothing outside itself, every removal and demotion in it takes effect; and so on until nothing is open.

The rules are those of docs/protocol.md, "Members". Knows nothing of runs, chains or ledgers.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from posline.core.base64url import from_base64url
from posline.core.entry import Entry, verify
from posline.core.kinds import MEMBERSHIP
from posline.core.numbers import author_id

__all__ = ["Member", "Point", "Removal", "Role", "Shop", "key_proof", "member_key", "read_shop", "shop_id"]

PROOF_DOMAIN = b"posline-key-v1\0"  # so that a new key's proof can never pass for a signature of anything else
CHECKED_KEPT = 4096  # signatures whose check is remembered, some 4 MB: the same acts are read again at each change

LATE = "its author was removed or demoted without having seen this"
GAP = "something that its author had seen is not here yet"
NOT_MANAGER = "its author was no manager in what it had seen"
WRONG_SIGNATURE = "its signature is wrong"

_HASH = re.compile(r"[0-9a-f]{64}")
Point = tuple[int, int, bytes]  # run, seq, hash


class Role(StrEnum):
    """What a member may do."""

    MANAGER = "manager"
    TILL = "till"
    HEAD_OFFICE = "head office"
    READER = "reader"


_LEAST_FIRST = (Role.READER, Role.TILL, Role.HEAD_OFFICE, Role.MANAGER)  # of several that stand, the first does
_BY_ROLE = (Role.MANAGER, Role.TILL)  # what a `role` act may change


@dataclass(frozen=True, slots=True)
class Member:
    """One admitted author. `key` is the public key (32 bytes) that counts now; `host` whose disk has what it writes,
    where that is another one's."""

    author: str
    key: bytes
    label: str
    role: Role
    host: str = ""


@dataclass(frozen=True, slots=True)
class Removal:
    """How far a removed author's entries count: what lies on the chain behind `points`. `by` are those who removed."""

    points: frozenset[Point]
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shop:
    """What the shop's document says; empty until the founding entry is here.

    `members` are those of now, `everyone` also the removed ones, with the label and role that they had. `acts` are the
    hashes of the membership entries that stand; `unfit` are invalid and `late` held, each with its reason. `keys` has
    each author's keys, [(number behind which it counts, key)...], the newest last; `accepted` what managers accepted
    by hash.
    """

    founding: Entry | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    everyone: Mapping[str, Member] = field(default_factory=dict)
    removals: Mapping[str, Removal] = field(default_factory=dict)
    recovery: Member | None = None
    acts: frozenset[bytes] = frozenset()
    unfit: Mapping[bytes, str] = field(default_factory=dict)
    late: Mapping[bytes, str] = field(default_factory=dict)
    accepted: frozenset[bytes] = frozenset()
    keys: Mapping[str, Sequence[tuple[int, bytes]]] = field(default_factory=dict)
    readers: frozenset[str] = frozenset()

    def key_of(self, author: str) -> bytes | None:
        """The newest public key of an author, with which it links; also of one who was removed. None for an author that
        nobody admitted."""
        keys = self.keys.get(author)
        return None if keys is None else keys[-1][1]

    def signed(self, entry: Entry) -> bool | None:
        """Whether one of its author's keys signed an entry; None for an author that nobody admitted.

        A key that another one followed goes on counting for entries: else whoever has stolen one could name a new key
        at a low number, and so make all that the till signed behind it worthless.
        """
        keys = self.keys.get(entry.till)
        if keys is None:
            return None
        return any(verify(key, entry) for after, key in reversed(keys) if entry.seq > after)

    def in_charge(self) -> list[Member]:
        """The members that may admit and remove, by label."""
        return sorted((m for m in self.members.values() if m.role is Role.MANAGER), key=lambda m: (m.label, m.author))


def member_key(text: str) -> bytes:
    """The 32 bytes of a public key written in base64url."""
    return from_base64url(text)


def shop_id(founding: Entry) -> str:
    """A shop is named by its founding entry: lower-case base32 of the first 16 bytes of its hash, so that nobody can
    put another founding in its place."""
    return base64.b32encode(founding.hash[:16]).decode().rstrip("=").lower()


def key_proof(author: str, seq: int, prev: str) -> bytes:
    """What a new key signs to show that its owner agrees to be `author` behind this place of the chain."""
    return PROOF_DOMAIN + f"{author}\0{seq}\0{prev}".encode()


def read_shop(entries: Iterable[Entry], shop: str) -> Shop:
    """Who is a member, from all the entries of the `shop` document."""
    founding: Entry | None = None
    unfit: dict[bytes, str] = {}
    held: dict[bytes, Entry] = {}
    for entry in entries:
        if entry.fault is not None or entry.hash in held:
            continue
        if entry.kind != "founding":
            held[entry.hash] = entry
        elif shop_id(entry) == shop and verify(member_key(entry.body["key"]), entry):
            founding = held[entry.hash] = entry
        else:
            unfit[entry.hash] = "it founds another shop"
    if founding is None:
        return Shop(unfit=unfit)
    return _Acts(founding, held).shop(unfit)


# -- pasts and signatures: what hangs on nothing but the entries themselves -------------------------


def _pasts(held: Mapping[bytes, Entry], founding: bytes) -> tuple[dict[bytes, int], set[bytes]]:
    """Each entry's past as a set of places (bits), in an order in which every entry comes behind all that it had seen;
    and the entries in whose past something is not here yet. Hashes can form no circle."""
    gaps: set[bytes] = set()
    places: dict[bytes, int] = {founding: 0}
    pasts: dict[bytes, int] = {founding: 0}
    for first in sorted(held):
        waiting = [first]
        while waiting:
            hash = waiting[-1]
            if hash in pasts:
                waiting.pop()
                continue
            named = _seen(held[hash])
            seen = [h for h in named if h in held]
            open_ = [h for h in seen if h not in pasts]
            if open_:
                waiting += open_
                continue
            if len(seen) < len(named) or not gaps.isdisjoint(seen):
                gaps.add(hash)
            past = 1  # the founding is in everybody's
            for h in seen:
                past |= pasts[h] | 1 << places[h]
            places[hash], pasts[hash] = len(places), past
            waiting.pop()
    return {hash: pasts[hash] for hash in places}, gaps  # in the order of places


def _seen(entry: Entry) -> list[bytes]:
    seen = entry.body.get("seen")
    if type(seen) is not dict:  # of a kind that is not known here
        return []
    return [bytes.fromhex(text) for text in seen.values() if type(text) is str and _HASH.fullmatch(text)]


class _Signed:
    """An entry and a key, comparable, so that a signature is checked once however often the shop is read."""

    __slots__ = ("entry", "key")

    def __init__(self, key: bytes, entry: Entry) -> None:
        self.key, self.entry = key, entry

    def __hash__(self) -> int:
        return hash((self.key, self.entry.hash))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Signed) and (self.key, self.entry.hash) == (other.key, other.entry.hash)


@lru_cache(maxsize=CHECKED_KEPT)
def _stands(signed: _Signed) -> bool:
    return verify(signed.key, signed.entry)


def _follows(keys: Iterable[tuple[int, bytes]], change: Entry) -> bool:
    """Whether a `key` entry is signed by a key from before it, and its new key agrees."""
    if not any(_stands(_Signed(key, change)) for after, key in keys if change.seq > after):
        return False
    proof = from_base64url(change.body["proof"])
    try:
        Ed25519PublicKey.from_public_bytes(member_key(change.body["key"])).verify(
            proof, key_proof(change.till, change.seq, change.prev)
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _rotated(first: bytes, changes: Iterable[Entry]) -> tuple[list[tuple[int, bytes]], set[bytes]]:
    """An author's keys, each with the number behind which it counts, and the `key` entries that brought them."""
    keys, good = [(0, first)], set()
    for change in sorted(changes, key=lambda c: (c.seq, c.hash)):
        if _follows(keys, change):
            keys.append((change.seq, member_key(change.body["key"])))
            good.add(change.hash)
    return keys, good


# -- acts -------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Act:
    """An act with what is asked of it all the time. `past` has bits of places; `subject` is whom it is about."""

    entry: Entry
    place: int
    past: int
    subject: str
    role: Role | None  # that it gives; None for a removal or an `accept`
    signed: bool
    revokes: bool

    def saw(self, other: _Act) -> bool:
        return bool(self.past >> other.place & 1)


class _Acts:
    """All acts of a shop, and which of them stand."""

    def __init__(self, founding: Entry, held: Mapping[bytes, Entry]) -> None:
        self._founding = founding
        self._founder = founding.till
        first = member_key(founding.body["key"])
        recovery = member_key(founding.body["recovery"])
        self._recovery = Member(author_id(recovery), recovery, "", Role.MANAGER)
        self._first = {self._founder: first, self._recovery.author: recovery}
        pasts, self._gaps = _pasts(held, founding.hash)
        self._places = {hash: place for place, hash in enumerate(pasts)}
        self._pasts = pasts
        entries = [held[hash] for hash in pasts]
        for entry in entries:
            if entry.kind == "member":
                key = member_key(entry.body["key"])
                self._first.setdefault(author_id(key), key)
        self._changes: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.kind == "key":
                self._changes[entry.till].append(entry)
        self.acts = [self._act(e) for e in entries if e.kind in MEMBERSHIP and e.kind not in ("founding", "key")]
        self._about: dict[str, list[_Act]] = defaultdict(list)
        self._revoking: dict[str, list[_Act]] = defaultdict(list)
        self._accepting: dict[bytes, list[_Act]] = defaultdict(list)
        for act in self.acts:
            if act.entry.kind == "accept":
                for text in act.entry.body["entries"]:
                    self._accepting[bytes.fromhex(text)].append(act)
            else:
                self._about[act.subject].append(act)
            if act.revokes:
                self._revoking[act.subject].append(act)
        self._past_at = {act.place: act.past for act in self.acts}
        self._about_bits = {who: _as_bits(acts) for who, acts in self._about.items()}
        self._revoking_bits = {who: _as_bits(acts) for who, acts in self._revoking.items()}
        self._removing_bits = {who: _as_bits(a for a in acts if a.role is None) for who, acts in self._revoking.items()}
        self._gives: dict[tuple[str, Role], int] = defaultdict(int)
        for act in self.acts:
            if act.role is not None:
                self._gives[act.subject, act.role] |= 1 << act.place

    def _act(self, entry: Entry) -> _Act:
        body: Mapping[str, Any] = entry.body
        past = self._pasts[entry.hash]
        role = Role(body["role"]) if entry.kind in ("member", "role") else None
        subject = author_id(member_key(body["key"])) if entry.kind == "member" else str(body.get("member", ""))
        first = self._first.get(entry.till)
        keys = [] if first is None else [(0, first)]
        if first is not None and (changes := self._changes.get(entry.till)):
            keys = _rotated(first, (c for c in changes if c.seq < entry.seq and past >> self._places[c.hash] & 1))[0]
        signed = any(_stands(_Signed(key, entry)) for _, key in keys)
        revokes = entry.kind == "remove" or (entry.kind == "role" and role is Role.TILL)
        return _Act(entry, self._places[entry.hash], past, subject, role, signed, revokes)

    # -- what one act needs ------------------------------------------------------------------------
    # `sure` are the acts that support, `taken` those that speak against: while things are open, the two differ. Sets of
    # acts are sets of places (bits of an int), so that a flood of acts costs bits and not loops.

    def _has(self, who: str, roles: Sequence[Role], within: int, sure: int, taken: int) -> bool:
        """Whether `who` is a member with one of these roles by the acts in `within`: somebody gave it one, and whatever
        took it away was seen by somebody who gave it again."""
        about = self._about_bits.get(who, 0) & within
        given = 0
        for role in roles:
            given |= self._gives.get((who, role), 0)
        giving, against = about & given & sure, about & ~given & taken
        if not giving and who != self._founder:
            return False
        while against and giving.bit_length() > against.bit_length():  # who saw something comes behind it
            last = giving.bit_length() - 1
            against &= ~self._past_at[last]
            giving ^= 1 << last
        return not against

    def _in_charge(self, who: str, within: int, sure: int, taken: int) -> bool:
        return who == self._recovery.author or self._has(who, (Role.MANAGER,), within, sure, taken)

    def _may(self, act: _Act, sure: int, taken: int) -> bool:
        """Whether its author may do this, by what it had seen."""
        if not act.signed or act.subject == self._recovery.author:
            return False
        if not self._in_charge(act.entry.till, act.past, sure, taken):
            return False
        return act.entry.kind != "role" or self._has(act.subject, _BY_ROLE, act.past, sure, taken)

    def _in_time(self, act: _Act, sure: int, taken: int) -> bool:
        """Whether no removal or demotion of its author that it had not seen takes effect on it."""
        against = self._revoking_bits.get(act.entry.till, 0)
        return self._timely(act.entry, act.place, act.past, against, sure, taken)

    def _timely(self, entry: Entry, place: int, past: int, against: int, sure: int, taken: int) -> bool:
        unseen = against & ~past & ~(1 << place)
        if all(self._past_at[d] >> place & 1 for d in _bits(unseen & taken)):
            return True
        if any(self._past_at[d] >> place & 1 for d in _bits(unseen & sure)):
            return True
        return any(sure >> accept.place & 1 for accept in self._accepting.get(entry.hash, ()))

    # -- which stand -------------------------------------------------------------------------------

    def settle(self) -> tuple[set[_Act], set[_Act]]:
        """(the acts that stand, with their author's right; those that take effect since they stood in a circle)."""
        forced = fallen = 0
        while True:
            sure, possible = self._well_founded(forced, fallen)
            if sure == possible:
                return self._chosen(sure), self._chosen(forced)
            for circle in _sources(self._waits(sure, possible, forced)):
                removals = _as_bits(act for act in circle if act.revokes) & ~forced
                accepts = _as_bits(act for act in circle if act.entry.kind == "accept")
                if removals:
                    forced |= removals
                else:
                    fallen |= accepts or _as_bits(circle)

    def _chosen(self, places: int) -> set[_Act]:
        return {act for act in self.acts if places >> act.place & 1}

    def _well_founded(self, forced: int, fallen: int) -> tuple[int, int]:
        """(what stands whatever the open ones do, what may stand at all)."""
        sure = 0
        while True:
            possible = self._derive(sure | forced, forced, fallen)
            more = self._derive(possible | forced, forced, fallen)
            if more == sure:
                return sure, possible
            sure = more

    def _derive(self, taken: int, forced: int, fallen: int) -> int:
        """What stands if just `taken` speak against anything: built up from nothing, so that no act supports itself."""
        stand = 0
        left = [act for act in self.acts if not fallen >> act.place & 1]
        while True:
            rest = []
            for act in left:  # in an order in which the past comes first
                if self._may(act, stand, taken) and (forced >> act.place & 1 or self._in_time(act, stand, taken)):
                    stand |= 1 << act.place
                else:
                    rest.append(act)
            if len(rest) == len(left):
                return stand
            left = rest

    def _waits(self, sure: int, possible: int, forced: int) -> dict[_Act, set[_Act]]:
        """For each open act the open ones that it hangs on."""
        taken, still = possible | forced, self._chosen(possible & ~sure)
        waits: dict[_Act, set[_Act]] = {}
        for act in still:
            on: set[_Act] = set()
            if not self._may(act, sure, taken):
                about = [*self._about.get(act.entry.till, ()), *self._about.get(act.subject, ())]
                on |= {other for other in about if act.saw(other)}
            if not forced >> act.place & 1 and not self._in_time(act, sure, taken):
                on |= {d for d in self._revoking.get(act.entry.till, ()) if not act.saw(d) and d is not act}
                on |= set(self._accepting.get(act.entry.hash, ()))
            waits[act] = on & still
        return waits

    # -- the answer --------------------------------------------------------------------------------

    def shop(self, unfit: dict[bytes, str]) -> Shop:
        """The shop as it stands; `unfit` are the foundings of others."""
        sure, forced = self.settle()
        taken = sure | forced
        sure_bits, taken_bits = _as_bits(sure), _as_bits(taken)
        everyone: dict[str, Member] = {}
        removals: dict[str, Removal] = {}
        late: dict[bytes, str] = {}
        keys: dict[str, list[tuple[int, bytes]]] = {self._recovery.author: [(0, self._recovery.key)]}
        stand = {act.entry.hash for act in taken} | {self._founding.hash}
        admitted = [act.subject for act in self.acts if act in sure and act.entry.kind == "member"]
        for who in dict.fromkeys((self._founder, *admitted)):
            if who != self._recovery.author:
                keys[who], good = self._keys(who, sure_bits, taken_bits, late)
                stand |= good
            said = self._admission(who, sure).body
            label, host = str(said.get("label", "")), str(said.get("hosted_by") or "")
            everyone[who] = Member(who, keys[who][-1][1], label, self._role(who, sure, taken), host)
            standing = self._unseen([a for a in self._about.get(who, ()) if a in taken and a.role is None], who, sure)
            if standing:
                points = frozenset(point for a in standing if a in sure for point in _points(a.entry))
                removals[who] = Removal(points, tuple(sorted({a.entry.till for a in standing})))
        for change in (change for who in keys for change in self._changes.get(who, ())):
            if change.hash not in stand and change.hash not in late:
                unfit[change.hash] = WRONG_SIGNATURE
        for act in self.acts:
            if act.entry.hash in stand or act.entry.till not in keys:
                continue
            if not act.signed:
                unfit[act.entry.hash] = WRONG_SIGNATURE
            elif act.subject == self._recovery.author:
                unfit[act.entry.hash] = "the recovery key is no till, and nobody changes what it may"
            elif act.entry.hash in self._gaps and not self._may(act, sure_bits, taken_bits):
                late[act.entry.hash] = GAP
            elif not self._in_charge(act.entry.till, act.past, sure_bits, taken_bits):
                unfit[act.entry.hash] = NOT_MANAGER
            elif not self._may(act, sure_bits, taken_bits):
                unfit[act.entry.hash] = "whom it names has no role that can be changed"
            else:
                late[act.entry.hash] = LATE
        members = {who: member for who, member in everyone.items() if who not in removals}
        return Shop(
            founding=self._founding,
            members=members,
            everyone=everyone,
            removals=removals,
            recovery=self._recovery,
            acts=frozenset(stand),
            unfit=unfit,
            late=late,
            accepted=frozenset(
                bytes.fromhex(text) for act in sure if act.entry.kind == "accept" for text in act.entry.body["entries"]
            ),
            keys=keys,
            readers=frozenset(who for who, member in everyone.items() if member.role is Role.READER),
        )

    def _keys(
        self, who: str, sure: int, taken: int, late: dict[bytes, str]
    ) -> tuple[list[tuple[int, bytes]], set[bytes]]:
        """An author's keys and the entries that brought them; those beyond its removal are put among the late ones. Who
        is demoted keeps what it sells, and so its new key."""
        changes, against = [], self._removing_bits.get(who, 0)
        for change in self._changes.get(who, ()):
            if self._timely(change, self._places[change.hash], self._pasts[change.hash], against, sure, taken):
                changes.append(change)
            else:
                late[change.hash] = LATE
        return _rotated(self._first[who], changes)

    def _admission(self, who: str, sure: set[_Act]) -> Entry:
        """The last admission, the founder's founding; of several at once, that of the lowest hash."""
        admissions = [a for a in self._about.get(who, ()) if a in sure and a.entry.kind == "member"]
        last = [a for a in admissions if not any(other.saw(a) for other in admissions)]
        return min((a.entry for a in last), key=lambda entry: entry.hash, default=self._founding)

    def _role(self, who: str, sure: set[_Act], taken: set[_Act]) -> Role:
        """The least of the roles that stand; of one who was removed, the one it had."""
        top = self._unseen([a for a in self._about.get(who, ()) if a in taken and a.role is not None], who, sure)
        return min((a.role for a in top if a.role is not None), key=_LEAST_FIRST.index, default=Role.MANAGER)

    def _unseen(self, acts: Sequence[_Act], who: str, sure: set[_Act]) -> list[_Act]:
        """Those of `acts` about `who` that nobody had seen who gave it a role after them."""
        giving = [a for a in self._about.get(who, ()) if a.role is not None and a in sure]
        return [act for act in acts if not any(other.saw(act) for other in giving)]


def _as_bits(acts: Iterable[_Act]) -> int:
    """Acts as the set of their places."""
    bits = 0
    for act in acts:
        bits |= 1 << act.place
    return bits


def _bits(places: int) -> Iterator[int]:
    """The places in a set of them, the highest first."""
    while places:
        last = places.bit_length() - 1
        yield last
        places ^= 1 << last


def _points(removal: Entry) -> frozenset[Point]:
    return frozenset((run, seq, bytes.fromhex(hash)) for run, seq, hash in removal.body["points"])


def _sources(waits: Mapping[_Act, set[_Act]]) -> list[set[_Act]]:
    """The circles (strongly connected components) that hang on nothing outside themselves; Tarjan's way."""
    number: dict[_Act, int] = {}
    low: dict[_Act, int] = {}
    circle_of: dict[_Act, int] = {}
    circles: list[set[_Act]] = []
    stack: list[_Act] = []
    for root in waits:
        if root in number:
            continue
        number[root] = low[root] = len(number)
        stack.append(root)
        work = [(root, iter(waits[root]))]
        while work:
            act, rest = work[-1]
            following = next((other for other in rest if other not in circle_of), None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[act])
                if low[act] == number[act]:
                    circle: set[_Act] = set()
                    while act not in circle:
                        circle.add(stack.pop())
                    for member in circle:
                        circle_of[member] = len(circles)
                    circles.append(circle)
            elif following in number:
                low[act] = min(low[act], number[following])
            else:
                number[following] = low[following] = len(number)
                stack.append(following)
                work.append((following, iter(waits[following])))
    return [c for index, c in enumerate(circles) if all(circle_of[o] == index for act in c for o in waits[act])]
