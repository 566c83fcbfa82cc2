"""Devices that know each other only by what a third one said, which is gone: they introduce themselves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from posline.core.entry import Entry
from posline.core.members import Shop, read_shop
from posline.trust.doors import MemberDoors
from posline.trust.gate import Gate, Grant, Scope, Stranger
from tests.kit import Writer, all_entries, shop_of

TLS, NONCE = "the certificate's fingerprint", "the dialler's nonce"


def doors_of(shop: str, writer: Writer, held: Sequence[Entry]) -> MemberDoors:
    """The doorkeeper of a device that holds these entries."""
    acts = [entry for entry in held if entry.document == "shop"]
    authority = read_shop(acts, shop)
    return MemberDoors(shop, lambda: writer.key, lambda: authority, lambda: acts, lambda token: None)


def meet(dialler: MemberDoors, listener: MemberDoors) -> str | None:
    """Why the two do not link, None when they do: as the shells do it, once plainly and once with introductions."""
    reason: str | None = None
    for introduce in (False, True):
        proof, incoming = listener.welcome(NONCE, introduce=introduce, tls=TLS)
        try:
            outgoing: Gate = dialler.approach(proof, NONCE, introduce=introduce, tls=TLS)
        except Stranger as error:
            reason = f"the dialler: {error}"
            continue
        found = incoming.admit("shop", outgoing.token())
        if isinstance(found, Grant):
            return None
        reason = f"the listener: {found}"
    return reason


def meet_both_ways(one: MemberDoors, other: MemberDoors) -> list[str | None]:
    return [meet(one, other), meet(other, one)]


@pytest.mark.parametrize("known", [0, 1, 3, 12])
def test_a_till_that_changed_its_key_many_times_while_alone(known: int) -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    for _ in range(known):
        b.rotate()
    heard = list(all_entries(a, b))
    for _ in range(8):
        b.rotate()
    assert meet_both_ways(doors_of(shop, a, heard), doors_of(shop, b, all_entries(a, b))) == [None, None]


def test_a_long_chain_of_admissions_in_a_shop_of_eight() -> None:
    """Each of the eight has written, so that an admission names what its writer had seen of all of them."""
    writers = [Writer(f"till{n}") for n in range(8)]
    shop = shop_of(*writers)
    last = writers[0]
    for writer in writers:
        writer.hear(last)
        writer.set_role(writers[1], "manager")
        last = writer
    heard = list(all_entries(*writers))
    chain = []
    for n in range(12):
        fresh = Writer(f"new{n}")
        last.admit(fresh)
        fresh.begin()
        chain.append(fresh)
        last = fresh
    proof, _ = doors_of(shop, last, all_entries(*writers, *chain)).welcome(NONCE, introduce=True, tls=TLS)
    assert len(proof) > 8192, "more than a client takes in one header"
    newest = doors_of(shop, last, all_entries(*writers, *chain))
    assert meet_both_ways(newest, doors_of(shop, writers[1], heard)) == [None, None]


@pytest.mark.parametrize("heard", [True, False])
def test_who_admitted_it_had_changed_its_key_before_or_after(heard: bool) -> None:
    a, b, c = Writer("alif"), Writer("be"), Writer("jim")
    shop = shop_of(a, b)
    if not heard:
        known = list(all_entries(a, b))
    a.rotate()
    a.rotate()
    if heard:
        known = list(all_entries(a, b))
    a.admit(c)
    c.begin()
    a.rotate()
    everything = all_entries(a, b, c)
    assert meet_both_ways(doors_of(shop, c, everything), doors_of(shop, b, known)) == [None, None]


def test_a_thief_with_an_old_key_names_a_new_one() -> None:
    """It has b's key of before the last change. Its own change names a new key; who knows b's newest does not fall for
    it, whatever the thief brings along."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    thief = b.twin()
    b.rotate("honest")
    held = list(all_entries(a, b))
    for over in ({}, {"seq": 1}, {"seq": 1000}):
        forger = thief.twin()
        forged = forger.rotate("forged", **over)
        mine = doors_of(shop, forger, [*(e for e in held if e.kind != "key"), forged])
        reasons = meet_both_ways(mine, doors_of(shop, a, held))
        assert all(reason is not None for reason in reasons), (over, reasons)


def test_a_token_that_is_revoked_ends_the_links_that_it_opened() -> None:
    writer = Writer("alif")
    shop = shop_of(writer)
    open_to = {"token": Grant(Scope.READER)}
    reasons: list[str] = []
    doors = MemberDoors(
        shop, lambda: writer.key, Shop, list, open_to.get,
        closed=lambda: reasons[0] if reasons else None,
    )  # fmt: skip
    _, gate = doors.welcome("", introduce=False, tls="")
    assert gate.admit("shop", "token") == Grant(Scope.READER) and gate.objection() is None
    open_to.clear()
    assert "revoked" in str(gate.objection()) and isinstance(gate.admit("shop", "token"), str)
    open_to["token"] = Grant(Scope.READER)
    assert gate.objection() is None
    reasons.append("nobody may")
    assert gate.objection() == "nobody may" and gate.admit("shop", "token") == "nobody may"
