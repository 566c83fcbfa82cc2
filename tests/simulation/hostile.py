"""A member that lies: it holds a key of the shop, speaks the protocol, and writes and says what it should not.

It speaks on its own lines only. What it may reach is bounded by the rules: its own sales, and the unsigned tail of a
till that never comes back.
"""

from __future__ import annotations

import json
import random
from typing import Any

from posline.core.document import lone_update
from posline.core.entry import Entry, decode, sign
from posline.storage.records import Mark
from posline.sync.frames import Stateless, Update, encode
from posline.sync.messages import Announce, Authors, Have, Message, Missing, Prefixes, Tree, write
from posline.writer import CLIENT_BITS
from tests.kit import DAY, text_key
from tests.simulation.actions import action, fresh_id, line_of, pick
from tests.simulation.world import Machine, World, key_of

__all__: list[str] = []


def _thief(world: World, chance: random.Random) -> Machine | None:
    return pick(chance, (machine for machine in world.machines if machine.hostile and machine.up))


def _say(world: World, chance: random.Random, *frames: bytes) -> None:
    """Put frames on one of the thief's lines, between or instead of what its program says."""
    thief = _thief(world, chance)
    found = line_of(world, chance, thief) if thief is not None else None
    if found is not None:
        line, direction = found
        line.spoilt = True
        for frame in frames:
            line.under_way[direction].append((world.now, frame))


def _tell(world: World, chance: random.Random, *messages: Message) -> None:
    _say(world, chance, *(encode(Stateless("shop", write(message))) for message in messages))


def _victims(world: World, chance: random.Random, *kinds: str) -> tuple[Machine, list[Entry]]:
    """The thief, and entries of others that it has seen."""
    thief = _thief(world, chance)
    if thief is None:
        return world.machines[0], []
    marks = ",".join("?" * len(kinds))
    rows = thief.disk.read.execute(
        "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
        f" WHERE e.kind IN ({marks}) AND e.author <> ? AND e.fault IS NULL ORDER BY e.hash",
        (*kinds, thief.key.id),
    ).fetchall()
    return thief, [decode(name, raw) for name, raw in rows]


def _bring(world: World, chance: random.Random, entry: Entry, client: int = 0) -> None:
    """Send an entry as an update under some client id."""
    update = lone_update(client or chance.getrandbits(CLIENT_BITS) or 1, entry.till or "a" * 26, [entry.raw.decode()])
    world.book.forged.add(entry.hash)
    _say(world, chance, encode(Update(entry.document, update)))


def _raw(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


@action(6, "hostile")
def forge(world: World, chance: random.Random) -> None:
    """Under another's name, a sale that it never rang."""
    _, seen = _victims(world, chance, "sale", "run", "seal")
    seen = [entry for entry in seen if entry.document.startswith("journal/")]
    if not seen:
        return
    victim = chance.choice(seen)
    fields: dict[str, Any] = {
        "v": 1, "id": fresh_id(chance), "kind": "sale", "till": victim.till, "run": victim.run, "seq": victim.seq,
        "prev": victim.prev, "at": victim.at, "day": victim.day, "by": "", "number": chance.randint(1, 50),
        "label": "X", "lines": [{"sku": "1", "quantity": "1", "price": 666_666}], "total": 666_666,
    }  # fmt: skip
    how = chance.choice(("number", "next", "far", "run", "signed", "stranger", "refund", "id", "broken"))
    if how == "next":
        fields |= {"seq": victim.seq + 1, "prev": victim.hash.hex()[:24]}
    elif how == "far":
        fields |= {"seq": chance.choice((2**53 - 1, victim.seq + 7))}
    elif how == "run":
        fields |= {"run": chance.getrandbits(53), "seq": 1, "prev": ""}
    elif how == "stranger":
        fields |= {"id": victim.id, "till": key_of("a stranger").id}
    elif how == "id":
        fields |= {"id": victim.id, "seq": victim.seq + 1, "prev": victim.hash.hex()[:24]}
    elif how == "refund":
        fields |= {"kind": "refund", "sale": fresh_id(chance), "of": victim.hash.hex(), "reason": "x",
                   "lines": [{"line": 1, "sku": "1", "quantity": "1", "total": 666_666}]}  # fmt: skip
        fields |= {"seq": victim.seq + 1, "prev": victim.hash.hex()[:24]}
    elif how == "broken":
        name, value = chance.choice((("total", 1), ("lines", []), ("number", 0), ("by", None), ("day", "2019-01-01"),
                                     ("seq", 0), ("at", "now"), ("v", 2), ("prev", "x"), ("total", "1")))  # fmt: skip
        fields |= {name: value}
    raw = _raw(fields)
    if how == "signed":
        raw = raw[:-1] + b',"sig":"' + b"A" * 86 + b'"}'
    _bring(world, chance, decode(f"journal/{victim.day or DAY}", raw))
    world.did(f"forged, {how}")


@action(3, "hostile")
def forge_act(world: World, chance: random.Random) -> None:
    """An act of membership, signed with its own key: in its own name, which is no manager's, or in another's."""
    thief, seen = _victims(world, chance, "run", "member", "founding")
    if not seen:
        return
    victim = chance.choice(seen)
    own = chance.random() < 0.5
    rows = thief.disk.read.execute("SELECT author, lower(hex(hash)), max(seq) FROM entry WHERE day IS NULL GROUP BY 1")
    kind, fields = chance.choice((
        ("remove", {"member": victim.till, "points": []}),
        ("role", {"member": thief.key.id, "role": "manager"}),
        ("member", {"key": text_key(key_of(f"friend {chance.randrange(3)}").public), "label": "F", "role": "manager"}),
        ("key", {"key": text_key(key_of("friend").public), "proof": "A" * 86}),
        ("accept", {"entries": [victim.hash.hex()]}),
        ("setting", {"name": "name 1", "value": "stolen"}),
    ))  # fmt: skip
    envelope: dict[str, Any] = {
        "v": 1, "id": fresh_id(chance), "kind": kind, "till": thief.key.id if own else victim.till,
        "run": chance.getrandbits(53), "seq": chance.choice((1, victim.seq, victim.seq + 1)), "prev": "",
        "at": victim.at, "day": victim.day, "by": "", "seen": {author: hash for author, hash, _ in rows},
    }  # fmt: skip
    entry = decode("shop", sign(envelope | fields, thief.key.sign).encode())
    _bring(world, chance, entry)
    world.did(f"a forged {kind}")


@action(3, "hostile")
def squat(world: World, chance: random.Random) -> None:
    """Something of its own under the client id and clock that a till uses next, so that others take this for that."""
    thief, seen = _victims(world, chance, "sale", "run")
    if not seen:
        return
    document = chance.choice(seen).document
    state = thief.running.head(document).state
    if not state:
        return
    client = chance.choice(sorted(state))
    entry = decode(document, _raw({"squat": chance.getrandbits(32)}))
    update = _shifted(client, state[client], thief.key.id, entry.raw)
    if update is not None:
        world.book.forged.add(entry.hash)
        world.watch.reused = True
        _say(world, chance, encode(Update(document, update)))
        world.did("a squatted client id")


def _shifted(client: int, clock: int, author: str, raw: bytes) -> bytes | None:
    """An update of one string at a clock, written by hand: a root's array, no neighbours."""
    from pycrdt import write_var_uint

    if not 0 < client < 2**53:
        return None
    name, text = author.encode(), raw
    struct = bytes([8]) + b"\x01" + write_var_uint(len(name)) + name + b"\x01" + bytes([119])
    struct += write_var_uint(len(text)) + text
    return b"\x01\x01" + write_var_uint(client) + write_var_uint(clock) + struct + b"\x00"


@action(3, "hostile")
def squat_id(world: World, chance: random.Random) -> None:
    """A sale of its own under the id of somebody else's, as it was or as another."""
    thief, seen = _victims(world, chance, "sale")
    if seen and thief.sells:
        victim = chance.choice(seen)
        fields = {"lines": victim.body["lines"], "total": victim.body["total"]}
        if chance.random() < 0.5:
            fields = {"lines": [{"sku": "1", "quantity": "1", "price": 1}], "total": 1}
        thief.running.write("sale", fields, id=victim.id)
        world.did("a squatted id")


@action(2.1, "hostile")
def lie_of_holding(world: World, chance: random.Random) -> None:
    """It says that it, or another, holds what nobody holds."""
    thief, seen = _victims(world, chance, "sale", "run")
    if seen:
        victim = chance.choice(seen)
        mark = Mark(victim.till, victim.run, victim.seq + chance.choice((0, 1, 1000)), victim.hash)
        of = thief.key.id if chance.random() < 0.3 else pick(chance, world.machines).key.id  # type: ignore[union-attr]
        have = Have(of, 2**52 + chance.getrandbits(20), (mark,))
        have = Have(of, have.counter, have.marks, thief.key.sign(have.signed(world.shop)))
        _tell(world, chance, have)
        world.did("a lie of what is held")


@action(3, "hostile")
def lie_of_digests(world: World, chance: random.Random) -> None:
    """It says digests, states and counts that are nobody's."""
    thief, seen = _victims(world, chance, "sale", "run")
    document = chance.choice(seen).document if seen else "shop"
    digest = f"{chance.getrandbits(256):064x}"
    state = thief.running.head(document).state if thief.up else {}
    false = {client: clock + chance.choice((0, 0, 1, 50)) for client, clock in state.items()}
    lies: list[Message] = [
        Tree("", {"shop": digest, "2026": digest}), Tree("2026", {"2026-11": digest}), Tree("2026-11", {}),
        Announce(document, state, 7, digest), Announce(document, false, 7, digest), Announce(document, {}, 0, digest),
        Announce("journal/2099-01-01", {5: 5}, 1, digest),
    ]  # fmt: skip
    _tell(world, chance, *chance.sample(lies, 2))
    world.did("a lie of digests")


@action(2.1, "hostile")
def ask_without_end(world: World, chance: random.Random) -> None:
    """It asks for repairs that nobody needs, again and again."""
    _, seen = _victims(world, chance, "sale", "run")
    if not seen:
        return
    victim = chance.choice(seen)
    prefix = victim.hash[:8]
    asked: list[Message] = [
        Authors(victim.document, {victim.till: (1, "00" * 32)}),
        Prefixes(victim.document, victim.till, (prefix, bytes(8)), True),
        Missing(victim.document, (prefix,)),
        Missing(victim.document, (bytes(8),)),
    ]
    _tell(world, chance, *(chance.choice(asked) for _ in range(chance.choice((2, 10)))))
    world.did("repairs without end")


@action(1.2, "hostile")
def flood(world: World, chance: random.Random) -> None:
    """Garbage, much of it."""
    _say(world, chance, *(chance.randbytes(chance.choice((2, 30, 2000))) for _ in range(chance.choice((3, 20)))))
    world.did("a flood")
