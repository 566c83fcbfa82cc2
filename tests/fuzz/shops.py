"""A shop's document: who is a member follows from any entries at all, whatever order they come in."""

from __future__ import annotations

from dataclasses import astuple
from functools import cache
from random import Random

from posline.core.entry import decode, verify
from posline.core.members import Role, Shop, member_key, read_shop, shop_id
from posline.core.numbers import author_id
from tests.fuzz.entries import resign
from tests.fuzz.mutate import Pairs, dump, pack, spoil, tree, twist, unpack
from tests.fuzz.target import Target
from tests.kit import Writer, shop_of

__all__ = ["SHOPS"]

ENTRIES_MAX = 24
NAMES = ("alif", "be", "pe")


def _history(rng: Random) -> list[bytes]:
    """What managers do to each other, with and without knowing of it."""
    writers = [Writer(name) for name in NAMES]
    shop_of(*writers)
    for _ in range(rng.randrange(8)):
        one, other = rng.sample(writers, 2)
        if rng.random() < 0.5:
            one.hear(other)
        how = rng.randrange(6)
        if how == 0:
            one.remove(other, *other.entries[-1:])
        elif how == 1:
            one.set_role(other, rng.choice(("manager", "till")))
        elif how == 2 and other.entries:
            one.accept(other.entries[-1])
        elif how == 3:
            one.rotate()
        elif how == 4:
            one.admit(other, rng.choice(("manager", "till", "reader", "head office")))
        else:
            one.admit(Writer(f"g{rng.randrange(3)}"), "manager")
    found = [entry.raw for writer in writers for entry in writer.entries if entry.document == "shop"]
    return found[:ENTRIES_MAX]


@cache
def _signers() -> dict[str, Writer]:
    writers = [Writer(name) for name in (*NAMES, "g0", "g1")]
    return {writer.id: writer for writer in writers}


@cache
def _founding() -> tuple[bytes, str]:
    writer = Writer(NAMES[0])
    shop_of(writer)
    founding = next(entry for entry in writer.entries if entry.kind == "founding")
    return founding.raw, shop_id(founding)


def _mutate(data: bytes, rng: Random) -> bytes:
    parts = unpack(data)
    how = rng.randrange(12)
    if not parts or how == 0:
        return pack(_history(rng))
    if how == 1:
        rng.shuffle(parts)
    elif how == 2:
        parts.remove(rng.choice(parts))
    elif how == 3:
        parts += rng.sample(mine := _history(rng), min(4, len(mine)))
    else:
        at = rng.randrange(len(parts))
        parts.append(_twisted(parts[at], parts, rng))
        if rng.random() < 0.5:
            del parts[at]
    return pack(parts[-ENTRIES_MAX:])


def _twisted(raw: bytes, others: list[bytes], rng: Random) -> bytes:
    """An act that says something else, signed by the author that it names, mostly."""
    try:
        found = tree(raw)
    except (ValueError, RecursionError):
        return spoil(raw, rng)
    if not isinstance(found, Pairs) or not found:
        return spoil(raw, rng)
    own = [
        at
        for at, (name, _) in enumerate(found)
        if name in ("seen", "points", "role", "member", "key", "proof", "entries", "seq", "till", "kind")
    ]
    at = rng.choice(own) if own and rng.random() < 0.8 else rng.randrange(len(found))
    name, item = found[at]
    borrowed = [value for other in others for n, value in _pairs(other) if n == name]
    found[at] = (name, rng.choice(borrowed) if borrowed and rng.random() < 0.5 else twist(item, rng))
    made = dump(found)
    signer = _signers().get(str(dict(found).get("till")))
    return resign(made, signer) if rng.random() < 0.85 and made[:1] == b"{" and len(made) > 2 else made


def _pairs(raw: bytes) -> Pairs:
    try:
        found = tree(raw)
    except (ValueError, RecursionError):
        return Pairs()
    return found if isinstance(found, Pairs) else Pairs()


def _form(shop: Shop) -> object:
    members = {who: astuple(member) for who, member in shop.members.items()}
    return (
        members,
        {who: astuple(m) for who, m in shop.everyone.items()},
        {who: (removal.points, removal.by) for who, removal in shop.removals.items()},
        shop.acts,
        shop.unfit,
        shop.late,
        shop.accepted,
        {who: list(keys) for who, keys in shop.keys.items()},
        shop.readers,
    )


def _check(data: bytes) -> str:
    founding, shop = _founding()
    entries = [decode("shop", raw) for raw in (founding, *unpack(data)[:ENTRIES_MAX])]
    found = read_shop(entries, shop)
    assert found.founding is not None and found.founding.raw == founding
    founder = entries[0].till
    assert founder in found.everyone and found.keys[founder], "the founder is gone"
    assert found.recovery is not None and found.recovery.author not in found.everyone
    assert (
        found.members.keys() | found.removals.keys() >= found.everyone.keys()
        and not found.members.keys() & found.removals.keys()
    )
    admitted = {author_id(keys[0][1]) for keys in found.keys.values()}
    assert admitted == found.keys.keys(), "an author is not named after its first key"
    sound = {entry.hash for entry in entries if entry.fault is None}
    assert found.acts <= sound and not found.acts & (found.unfit.keys() | found.late.keys())
    for entry in entries:
        if entry.hash not in found.acts or entry.kind in ("founding", "key"):
            continue
        if entry.kind == "remove" or entry.body.get("role") == "till":
            continue  # in a circle these take effect although the admission of their author may fall with it
        assert entry.till in found.everyone or entry.till == found.recovery.author, "one acts who was never admitted"
        # with a key that it had then: an act that was accepted stands, also where its author's change of key does not
        changed = [
            member_key(one.body["key"])
            for one in entries
            if one.kind == "key" and one.till == entry.till and not one.fault
        ]
        assert any(verify(key, entry) for key in (found.keys[entry.till][0][1], *changed)), (
            "an act that its author did not sign"
        )
    form = _form(found)
    for seed in (1, 2):
        shuffled = list(entries)
        Random(seed).shuffle(shuffled)
        assert _form(read_shop(shuffled, shop)) == form, "it hangs on the order of arrival"
    roles = sorted({member.role for member in found.members.values()})
    assert all(role in Role for role in roles)
    reasons = len(set(found.unfit.values())), len(set(found.late.values())), bool(found.accepted)
    return f"{min(len(found.members), 4)} members {min(len(found.removals), 2)} gone {reasons}"


def _seeds() -> list[bytes]:
    rng = Random("shops")
    return [pack(_history(rng)) for _ in range(30)]


SHOPS = Target("shops", _seeds, _mutate, _check, 10_000)
