"""What counts: the status of entries as a pure function of the set of elements held.

Three questions, each answered by one function without arrival order, clock or setting:

1. `read_shop` (posline.core.members): who is a member, from the founding entry outwards;
2. `judge_run`: what the chain of one run says of its entries (vouched, linked, disputed, beyond a removal), and then
   `overruled`: what the shop's document says of them whatever their chain says;
3. `judge_id`: which of the entries that claim one id counts.

`judge` puts them together from nothing: the plain, slow answer that `posline verify` and the tests hold against the
ledger's incremental one, which calls the same functions for just the keys that an arrival touches.

The rules are those of docs/protocol.md, "What counts".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from posline.core.entry import Entry
from posline.core.kinds import MEMBERSHIP
from posline.core.members import Shop, read_shop

__all__ = [
    "NO_MEMBER",
    "PASSED",
    "SHORT",
    "UNREACHED",
    "Chained",
    "Judgement",
    "Status",
    "Verdict",
    "chained",
    "is_act",
    "judge",
    "judge_id",
    "judge_run",
    "overruled",
]

SHORT = 24  # hex digits of a hash that `prev` carries
NO_MEMBER = "its author is no member of this shop (yet)"
REMOVED = "its till was removed before it"
PASSED = "its till signed past it without it"
UNREACHED = "its till signed later entries, and one between them and it is missing here"
READS_ONLY = "a reader's entries do not count"


class Status(StrEnum):
    """What an entry is worth. Only counted entries have an effect."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"
    DISPUTED = "disputed"
    HELD = "held"
    INVALID = "invalid"


# -- one run ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Chained:
    """What the chain needs to know of an entry: its place, its link, and whether its author's signature stands.

    `key` is whatever the caller knows the entry by. `faulty` entries are invalid: the chain's evidence passes through
    them, but they rival nobody.
    """

    key: object
    hash: bytes
    seq: int
    prev: str
    kind: str
    signed: bool
    faulty: bool = False


@dataclass(slots=True)
class Judgement:
    """What a run's chain says of one entry. `standing` is HELD, DISPUTED or COUNTED (then ids decide further)."""

    vouched: bool
    standing: Status
    reason: str = ""


def chained(key: object, entry: Entry, signed: bool, faulty: bool) -> Chained:
    """The chain's view of an entry."""
    return Chained(key, entry.hash, entry.seq, entry.prev, entry.kind, signed, faulty)


def _short(hash: bytes) -> str:
    return hash.hex()[:SHORT]


def judge_run(
    entries: Sequence[Chained], named: Iterable[tuple[int, bytes]], *, removed: bool = False
) -> dict[object, Judgement]:
    """Judge the entries of one author's run.

    `named` are the points of this run, (seq, hash), that valid `run` entries of the author's other runs name as
    `after`. Of a `removed` author they are the run's ends: the points that its removal names, and those named by `run`
    entries that lie behind an end themselves. Then they alone vouch, and whatever is not behind one is held.

    An entry is vouched for if it is signed, or named, or on the chain behind such a one. It is

    - held: its author was removed, and it is not behind an end;
    - held: unsigned, and the run's own `run` entry is not here;
    - disputed: not vouched for, and rivalled for its number, or passed by (a vouched entry of its run has its number or
      a higher one), or beyond a point from which another run of its author went on, or not fitting the entry before it;
    - held: not vouched for, and the chain behind it breaks off before it reaches anything vouched for. (Without this a
      forged entry with a number far ahead would count until that number is reached, which is never.)

    An entry that is passed by may be a rival of what is vouched for, or the past of it where an entry between the two
    is missing: nobody can tell, so it does not count either way (who holds back an entry must not make a forged one
    count), but the reason given is another one, `UNREACHED`, and a removal of its till names it.
    """
    at: dict[int, list[Chained]] = defaultdict(list)
    for entry in entries:
        at[entry.seq].append(entry)
    points = set(named)
    vouched: set[int] = set()
    work = [e for e in entries if (e.signed and not e.faulty and not removed) or (e.seq, e.hash) in points]
    while work:
        entry = work.pop()
        if id(entry) in vouched:
            continue
        vouched.add(id(entry))
        work.extend(p for p in at.get(entry.seq - 1, ()) if _short(p.hash) == entry.prev)
    begun = any(e.kind == "run" and e.signed and not e.faulty for e in entries)
    sound = [e for e in entries if not e.faulty]
    top = max((e.seq for e in sound if id(e) in vouched), default=0)
    # the numbers that what is vouched for decides; of what lies behind a hole in that chain it says nothing
    decided = {seq for e in entries if id(e) in vouched for seq in (e.seq - 1, e.seq)}
    cut = min((seq for seq, _ in points), default=None)

    rooted: dict[int, Status] = {}  # unvouched -> what its chain back ends in
    verdicts: dict[object, Judgement] = {}
    for seq in sorted(at):
        before = at.get(seq - 1, ())
        for entry in at[seq]:
            is_vouched = id(entry) in vouched
            if is_vouched:
                rooted[id(entry)] = Status.COUNTED
            else:
                fits = [p for p in before if _short(p.hash) == entry.prev]
                if fits:
                    roots = {rooted[id(p)] for p in fits}
                    rooted[id(entry)] = Status.COUNTED if Status.COUNTED in roots else min(roots)
                else:
                    rooted[id(entry)] = Status.DISPUTED if any(not p.faulty for p in before) else Status.HELD
            if entry.faulty:
                verdicts[entry.key] = Judgement(is_vouched, Status.INVALID)
            elif removed and not is_vouched:
                verdicts[entry.key] = Judgement(False, Status.HELD, REMOVED)
            elif not begun and not entry.signed:
                verdicts[entry.key] = Judgement(is_vouched, Status.HELD, "the start of its run is not here yet")
            elif is_vouched:
                verdicts[entry.key] = Judgement(True, Status.COUNTED)
            elif sum(not rival.faulty for rival in at[seq]) > 1:
                verdicts[entry.key] = Judgement(False, Status.DISPUTED, "another entry has its number")
            elif top >= seq:
                verdicts[entry.key] = Judgement(False, Status.DISPUTED, PASSED if seq in decided else UNREACHED)
            elif cut is not None and cut < seq:
                verdicts[entry.key] = Judgement(False, Status.DISPUTED, "its till went on from an earlier entry")
            elif rooted[id(entry)] is Status.DISPUTED:
                verdicts[entry.key] = Judgement(False, Status.DISPUTED, "it does not fit the entry before it")
            elif rooted[id(entry)] is Status.HELD:
                verdicts[entry.key] = Judgement(False, Status.HELD, "an entry before it is missing here")
            else:
                verdicts[entry.key] = Judgement(False, Status.COUNTED)
    return verdicts


# -- what the shop says, whatever the chain does ----------------------------------------------------


def is_act(document: str, kind: str) -> bool:
    """Whether an entry is of membership, which the shop's document alone decides."""
    return document == "shop" and kind in MEMBERSHIP


def overruled(shop: Shop, act: bool, author: str, hash: bytes, chain: Judgement) -> Judgement:
    """What the chain said of an entry without a fault, as the shop has it: an act stands or not by the shop's document
    alone, who is no member or only reads counts for nothing, and what a manager accepted counts."""
    if act:
        if hash in shop.acts:
            return Judgement(chain.vouched, Status.COUNTED)
        if hash in shop.unfit:
            return Judgement(chain.vouched, Status.INVALID, shop.unfit[hash])
        return Judgement(chain.vouched, Status.HELD, shop.late.get(hash, NO_MEMBER))
    if author in shop.readers:
        chain = Judgement(chain.vouched, Status.HELD, READS_ONLY)
    if chain.standing in (Status.HELD, Status.DISPUTED) and hash in shop.accepted:
        return Judgement(chain.vouched, Status.COUNTED)
    return chain


# -- one id ----------------------------------------------------------------------------------------


def judge_id(
    claims: Iterable[tuple[object, tuple[str, int, int, bytes], Callable[[], bytes]]],
) -> tuple[dict[object, object | None], bool]:
    """Which of the entries that claim one id count.

    Each claim is (key, (author, run, seq, hash), content). Equal content is one: the lowest is counted, the others are
    duplicates of it. Returns ({key: None or the key it is a duplicate of}, whether contents differ).
    """
    lowest: dict[bytes, object] = {}
    answer: dict[object, object | None] = {}
    ordered = sorted(claims, key=lambda claim: claim[1])
    if len(ordered) == 1:
        return {ordered[0][0]: None}, False
    for key, _, content in ordered:
        kept = lowest.setdefault(content(), key)
        answer[key] = None if kept is key else kept
    return answer, len(lowest) > 1


# -- everything, from nothing ----------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    """The full answer for one element: its status and why, whether it is vouched for, and what it is a duplicate of."""

    status: Status
    reason: str
    vouched: bool
    kept: bytes | None = None


def judge(entries: Iterable[Entry], shop: str) -> dict[tuple[str, bytes], Verdict]:
    """The status of every element of a shop, keyed (document, hash), worked out from nothing."""
    held = {(entry.document, entry.hash): entry for entry in entries}
    authority = read_shop((e for e in held.values() if e.document == "shop"), shop)
    faults: dict[tuple[str, bytes], str] = {}
    chains: dict[object, Judgement] = {}
    runs: dict[str, dict[int, list[Chained]]] = defaultdict(lambda: defaultdict(list))
    for key, entry in held.items():
        if not entry.placed:
            faults[key] = entry.fault or ""
            continue
        known = entry.till in authority.keys
        signed = bool(authority.signed(entry))
        forged = known and entry.signature is not None and not signed
        act = is_act(entry.document, entry.kind)
        wrong = authority.unfit.get(entry.hash) if act else "its signature is wrong" if forged else None
        fault = entry.fault or wrong
        if fault is not None:
            faults[key] = fault
        if not known:
            chains[key] = Judgement(False, Status.HELD, NO_MEMBER)
        else:
            runs[entry.till][entry.run].append(chained(key, entry, signed, fault is not None))
    for author, own in runs.items():
        chains |= _judge_author(authority, author, own, held)
    verdicts: dict[tuple[str, bytes], Verdict] = {}
    for key, entry in held.items():
        chain = chains.get(key, Judgement(False, Status.INVALID))
        if key in faults:
            verdicts[key] = Verdict(Status.INVALID, faults[key], chain.vouched)
            continue
        found = overruled(authority, is_act(entry.document, entry.kind), entry.till, entry.hash, chain)
        verdicts[key] = Verdict(found.standing, found.reason, found.vouched)
    claims: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for key, verdict in verdicts.items():
        if verdict.status is Status.COUNTED:
            claims[held[key].id].append(key)
    for keys in claims.values():
        answer, _ = judge_id((k, _order(held[k]), held[k].content) for k in keys)
        for claimed, kept in answer.items():
            if kept is not None:
                assert isinstance(claimed, tuple) and isinstance(kept, tuple)
                verdicts[claimed].status, verdicts[claimed].kept = Status.DUPLICATE, kept[1]
                verdicts[claimed].reason = "the same sale is recorded once already"
    return verdicts


def _judge_author(
    authority: Shop,
    author: str,
    runs: Mapping[int, list[Chained]],
    held: Mapping[tuple[str, bytes], Entry],
) -> dict[object, Judgement]:
    """What the chains say of all runs of an author. Which points vouch is known at once of a member, whose every signed
    `run` entry counts; of a removed one it follows from the points of its removal backwards, from run to run."""
    removal = authority.removals.get(author)
    named: dict[int, set[tuple[int, bytes]]] = defaultdict(set)
    for run, seq, hash in removal.points if removal is not None else ():
        named[run].add((seq, hash))
    answer: dict[object, Judgement] = {}
    waiting = dict.fromkeys(sorted(runs, key=lambda run: max(link.seq for link in runs[run])))
    while waiting:
        run, _ = waiting.popitem()  # the last first, for others follow from it
        answer |= judge_run(runs[run], named[run], removed=removal is not None)
        for link in runs[run]:
            if link.kind != "run" or not link.signed or link.faulty or (removal and not answer[link.key].vouched):
                continue
            after = held[link.key].body["after"]  # type: ignore[index]
            if after is None or after["run"] == run:
                continue
            point = after["seq"], bytes.fromhex(after["hash"])
            if point not in named[after["run"]]:
                named[after["run"]].add(point)
                if after["run"] in runs:
                    waiting[after["run"]] = None
    return answer


def _order(entry: Entry) -> tuple[str, int, int, bytes]:
    return entry.till, entry.run, entry.seq, entry.hash
