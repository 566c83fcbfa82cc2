"""Who belongs to a shop: each rule, and each way in which somebody who was thrown out may try to come back."""

from __future__ import annotations

import random
from collections.abc import Sequence

from posline.core.entry import Entry
from posline.core.members import Role, Shop, read_shop
from posline.core.status import Status, Verdict, judge
from tests.kit import JOURNAL, Writer, all_entries, key_of, shop_of


def shop_as(shop: str, *writers: Writer) -> Shop:
    """The shop of what these wrote, the same in any order."""
    entries = [entry for entry in all_entries(*writers) if entry.document == "shop"]
    wanted = read_shop(entries, shop)
    for seed in range(5):
        random.Random(seed).shuffle(entries)
        assert read_shop(entries, shop) == wanted
    return wanted


def names(shop: Shop) -> set[str]:
    return {member.label for member in shop.members.values()}


def verdicts(shop: str, entries: Sequence[Entry]) -> dict[bytes, Verdict]:
    return {hash: verdict for (_, hash), verdict in judge(entries, shop).items()}


def trio() -> tuple[str, Writer, Writer, Writer]:
    """A shop of three managers who know of each other."""
    a, b, c = Writer("alif"), Writer("be"), Writer("jim")
    shop = shop_of(a, b, c)
    for writer in (b, c):
        writer.hear(a)
    return shop, a, b, c


# -- the rules ---------------------------------------------------------------------------------------------------------


def test_the_founder_and_whom_managers_admit_are_members() -> None:
    shop, a, b, c = trio()
    d = Writer("dal")
    b.admit(d, "till")
    found = shop_as(shop, a, b, c)
    assert names(found) == {"A", "BE", "JIM", "DAL"} and found.removals == {}
    assert found.members[d.id].role is Role.TILL and found.key_of(d.id) == d.key.public
    assert found.recovery is not None and found.key_of(found.recovery.author) == key_of("recovery").public
    assert [m.label for m in found.in_charge()] == ["A", "BE", "JIM"]
    assert shop_as(shop, b, c) == Shop(), "nothing is known before the founding is here"


def test_a_till_admits_and_removes_nobody() -> None:
    shop, a, b, _ = trio()
    d, e = Writer("dal"), Writer("ein")
    a.admit(d, "till")
    acts = [d.admit(e), d.remove(b), d.set_role(b, "till"), d.accept(a.entries[0])]
    found = shop_as(shop, a, b, d)
    assert {act.hash for act in acts} == found.unfit.keys() and names(found) == {"A", "BE", "JIM", "DAL"}


def test_a_removed_member_is_none_and_its_name_and_key_are_remembered() -> None:
    shop, a, b, c = trio()
    sale = b.sale()
    a.remove(b, sale)
    found = shop_as(shop, a, b, c)
    assert names(found) == {"A", "JIM"}
    assert found.everyone[b.id].label == "BE" and found.key_of(b.id) == b.key.public
    assert found.removals[b.id].points == {(sale.run, sale.seq, sale.hash)} and found.removals[b.id].by == (a.id,)


def test_what_a_removed_member_had_admitted_stays_as_far_as_its_remover_had_seen() -> None:
    shop, a, b, c = trio()
    d, e = Writer("dal"), Writer("ein")
    b.admit(d)
    a.hear(b)
    late = b.admit(e)
    a.remove(b)
    found = shop_as(shop, a, b, c)
    assert names(found) == {"A", "JIM", "DAL"} and set(found.late) == {late.hash}
    a.accept(late)
    assert names(shop_as(shop, a, b, c)) == {"A", "JIM", "DAL", "EIN"}


def test_the_furthest_that_a_remover_had_seen_counts() -> None:
    shop, a, b, c = trio()
    d = Writer("dal")
    admission = b.admit(d)
    first = b.sale()
    a.remove(b)
    assert d.id not in shop_as(shop, a, b, c).members
    c.hear(b)
    c.remove(b, first)
    found = shop_as(shop, a, b, c)
    assert d.id in found.members and admission.hash in found.acts
    assert found.removals[b.id].points == {(first.run, first.seq, first.hash)}
    assert set(found.removals[b.id].by) == {a.id, c.id}


def test_who_is_admitted_again_by_one_who_had_seen_the_removal_is_a_member() -> None:
    shop, a, b, c = trio()
    a.remove(b)
    c.admit(b)
    assert names(shop_as(shop, a, b, c)) == {"A", "JIM"}, "without having seen the removal it changes nothing"
    c.hear(a)
    c.admit(b, "till")
    found = shop_as(shop, a, b, c)
    assert found.members[b.id].role is Role.TILL and found.removals == {}
    assert b.id not in {m.author for m in found.in_charge()}


def test_a_role_is_taken_and_given_again_and_of_two_at_once_the_lesser_stands() -> None:
    shop, a, b, c = trio()
    a.set_role(b, "till")
    assert shop_as(shop, a, b, c).members[b.id].role is Role.TILL
    a.set_role(b, "manager")
    assert shop_as(shop, a, b, c).members[b.id].role is Role.MANAGER
    c.hear(a)
    a.set_role(b, "till")
    c.set_role(b, "manager")
    assert shop_as(shop, a, b, c).members[b.id].role is Role.TILL
    c.hear(a)
    c.set_role(b, "manager")
    assert shop_as(shop, a, b, c).members[b.id].role is Role.MANAGER


def test_a_demoted_member_admits_nobody_that_its_demoter_had_not_seen() -> None:
    shop, a, b, c = trio()
    d, e = Writer("dal"), Writer("ein")
    a.set_role(b, "till")
    late = b.admit(d)
    b.hear(a)
    unfit = b.admit(e)
    found = shop_as(shop, a, b, c)
    assert names(found) == {"A", "BE", "JIM"} and set(found.late) == {late.hash} and set(found.unfit) == {unfit.hash}


def test_roles_of_head_offices_and_readers_never_change() -> None:
    shop, a, b, c = trio()
    office, reader, stranger = Writer("office"), Writer("reader"), Writer("stranger")
    a.admit(office, "head office")
    a.admit(reader, "reader")
    acts = [a.set_role(who, "manager") for who in (office, reader, stranger)]
    found = shop_as(shop, a, b, c)
    assert {act.hash for act in acts} == set(found.unfit)
    assert found.members[office.id].role is Role.HEAD_OFFICE and found.readers == {reader.id}


def test_nobody_removes_or_demotes_the_recovery_key_and_it_admits_when_all_are_gone() -> None:
    a, b, recovery = Writer("alif"), Writer("be"), Writer("recovery")
    shop = shop_of(a, b)
    b.hear(a)
    acts = [a.remove(recovery), a.set_role(recovery, "till")]
    a.remove(b)
    b.remove(a)
    found = shop_as(shop, a, b)
    assert found.members == {} and {act.hash for act in acts} <= set(found.unfit) | set(found.late)
    recovery.hear(a, b)
    c = Writer("jim")
    recovery.admit(c)
    recovery.admit(a)
    assert names(shop_as(shop, a, b, recovery)) == {"ALIF", "JIM"}


def test_two_who_remove_each_other_are_both_removed() -> None:
    shop, a, b, c = trio()
    first, second = a.remove(b), b.remove(a)
    found = shop_as(shop, a, b, c)
    assert names(found) == {"JIM"} and {first.hash, second.hash} <= found.acts


def test_three_who_remove_each_other_in_a_circle_are_all_removed() -> None:
    shop, a, b, c = trio()
    a.remove(b)
    b.remove(c)
    c.remove(a)
    assert shop_as(shop, a, b, c).members == {}


def test_a_manager_may_leave() -> None:
    shop, a, b, c = trio()
    b.remove(b, b.entries[-1])
    assert names(shop_as(shop, a, b, c)) == {"A", "JIM"}


def test_a_seen_entry_that_comes_later_changes_what_was_seen() -> None:
    """The closure goes through entries of every kind, settings too; what is not here yet is passed over."""
    shop, a, b, c = trio()
    d = Writer("dal")
    a.set_role(c, "till")
    note = a.act("setting", {"name": "x", "value": 1})
    c.seen[a.id] = note.hash.hex()  # it had seen its demotion, by way of a setting
    act = c.admit(d)
    everything = [e for e in all_entries(a, b, c) if e.document == "shop"]
    assert act.hash in read_shop(everything, shop).unfit
    assert act.hash in read_shop([e for e in everything if e is not note], shop).late


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_new_key_counts_from_its_entry_on_and_the_author_stays_the_same() -> None:
    shop, a, b, c = trio()
    old, before = b.key.public, b.sale()
    change = b.rotate()
    b.begin()
    sale = b.sale()
    d = Writer("dal")
    admission = b.admit(d)
    found = shop_as(shop, a, b, c)
    assert found.key_of(b.id) == b.key.public != old and found.members[b.id].key == b.key.public
    assert found.keys[b.id] == [(0, old), (change.seq, b.key.public)]
    assert admission.hash in found.acts and d.id in found.members
    answer = verdicts(shop, all_entries(a, b, c))
    assert {answer[e.hash].status for e in (before, change, sale, admission)} == {Status.COUNTED}
    assert answer[before.hash].vouched


def test_a_till_that_changed_its_key_as_somebody_made_it_a_till_sells_and_links_on() -> None:
    shop, a, b, c = trio()
    demotion = a.set_role(b, "till")  # neither has heard of the other's act
    change = b.rotate()
    run, sale = b.begin(), b.sale()
    found = shop_as(shop, a, b, c)
    assert {demotion.hash, change.hash} <= found.acts and found.members[b.id].role is Role.TILL
    assert found.key_of(b.id) == b.key.public, "a link shows the new key"
    answer = verdicts(shop, all_entries(a, b, c))
    assert {answer[e.hash].status for e in (change, run, sale)} == {Status.COUNTED}


def test_a_new_key_needs_the_old_ones_signature_and_its_own_proof() -> None:
    shop, a, b, c = trio()
    thief = b.twin()
    thief.key = key_of("thief")
    forged = thief.rotate()
    assert forged.hash in shop_as(shop, a, b, c, thief).unfit
    copied = c.twin().rotate(proof=key_of("somebody else").sign(b"x"))
    found = read_shop([*(e for e in all_entries(a, b, c) if e.document == "shop"), copied], shop)
    assert copied.hash in found.unfit and found.key_of(c.id) == c.key.public


def test_a_stolen_key_cannot_undo_what_the_till_signed_by_naming_a_new_one_at_a_low_number() -> None:
    shop, a, b, c = trio()
    thief = b.twin()
    run = b.entries[-1]
    sale, seal, act = b.sale(), b.seal(), b.admit(Writer("dal"))
    forged = thief.rotate(seq=2, prev=run.prev)
    b.seen[b.id] = forged.hash.hex()
    later = b.admit(Writer("he"))
    honest = b.rotate()
    b.begin()
    last = b.sale()
    thief.entries.append(forged)
    found = shop_as(shop, a, b, c, thief)
    assert [after for after, _ in found.keys[b.id]] == [0, 2, honest.seq] and found.key_of(b.id) == b.key.public
    answer = verdicts(shop, all_entries(a, b, c, thief))
    assert {answer[e.hash].status for e in (sale, seal, act, later, honest, last)} == {Status.COUNTED}
    assert forged.hash in found.acts, "it is signed with the till's key: what helps is to remove the till"


def test_a_thief_that_changes_the_key_after_its_removal_changes_nothing() -> None:
    shop, a, b, c = trio()
    thief = b.twin()
    run, sale, seal = b.entries[-1], b.sale(), b.seal()
    a.hear(b)
    a.remove(b, seal)
    forged = thief.rotate(seq=2, prev=run.prev)  # far back, so that all that followed would bear a wrong signature
    answer = verdicts(shop, [*all_entries(a, b, c), forged])
    assert answer[forged.hash].status is Status.HELD
    assert {answer[e.hash].status for e in (run, sale, seal)} == {Status.COUNTED}


# -- what a thief may try ----------------------------------------------------------------------------------------------


def test_a_removed_member_cannot_admit_itself_again() -> None:
    shop, a, b, c = trio()
    a.remove(b)
    blind = b.admit(b)
    b.hear(a)
    knowing = b.admit(b)
    found = shop_as(shop, a, b, c)
    assert names(found) == {"A", "JIM"} and blind.hash in found.late and knowing.hash in found.unfit


def test_a_removed_member_cannot_come_back_by_a_puppet_that_removes_or_accepts_it() -> None:
    """The puppet's admission would stand if its own act stood: nothing is its own support."""
    shop, a, b, c = trio()
    puppet = Writer("puppet")
    a.remove(b)
    admission = b.admit(puppet)
    puppet.remove(b)
    puppet.accept(admission)
    puppet.admit(b)
    puppet.remove(c)
    found = shop_as(shop, a, b, c, puppet)
    assert names(found) == {"A", "JIM"} and admission.hash in found.late


def test_a_puppet_in_a_circle_with_the_remover_is_no_member_for_it() -> None:
    shop, a, b, c = trio()
    puppet = Writer("puppet")
    a.remove(b)
    admission = b.admit(puppet)
    forged = b.remove(a)
    puppet.hear(b)
    puppet.remove(b, forged)
    puppet.accept(admission)
    puppet.remove(c)
    found = shop_as(shop, a, b, c, puppet)
    assert names(found) == {"JIM"}, "the remover goes with the thief, and nobody else does or comes"
    assert found.removals[b.id].points == frozenset(), "and a puppet names no points"


def test_a_thief_takes_its_remover_along_and_nobody_else() -> None:
    shop, a, b, c = trio()
    d, e = Writer("dal"), Writer("ein")
    a.admit(d)
    for writer in (b, c, d):
        writer.hear(a)
    a.remove(b)
    lies = {"seen": {a.id: a.entries[-2].hash.hex()}}  # all but its own removal
    forged = [
        b.remove(a, **lies),
        b.remove(c, **lies),
        b.set_role(d, "till", **lies),
        b.admit(e, "manager"),
        b.set_role(b, "manager"),
    ]
    found = shop_as(shop, a, b, c, d, e)
    assert names(found) == {"JIM", "DAL"}
    assert found.members[d.id].role is Role.MANAGER
    assert {act.hash for act in forged} & found.acts == {forged[0].hash}


def test_two_removers_are_both_taken_along_and_the_thief_goes_all_the_same() -> None:
    shop, a, b, c = trio()
    d = Writer("dal")
    a.admit(d)
    for writer in (b, c, d):
        writer.hear(a)
    a.remove(b)
    c.remove(b)
    b.remove(a)
    b.remove(c)
    b.remove(d)
    assert names(shop_as(shop, a, b, c, d)) == {"DAL"}


def test_a_thief_cannot_undo_its_removal_by_removing_who_admitted_its_remover() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    c, d = Writer("jim"), Writer("dal")
    a.admit(d)
    for writer in (b, d):
        writer.hear(a)
    before = dict(b.seen)
    a.admit(c)
    c.remove(b)
    b.remove(a, seen=before)
    found = shop_as(shop, a, b, c, d)
    assert b.id not in found.members and d.id in found.members


def test_a_removed_member_overwrites_neither_its_removal_nor_a_role() -> None:
    shop, a, b, c = trio()
    removal = a.remove(b)
    a.set_role(c, "till")
    b.hear(a)
    forged = [b.remove(b), b.set_role(b, "manager"), b.set_role(c, "manager"), b.accept(removal)]
    found = shop_as(shop, a, b, c)
    assert names(found) == {"A", "JIM"} and found.members[c.id].role is Role.TILL
    assert not {act.hash for act in forged} & found.acts


def test_an_act_that_a_stranger_signs_in_a_managers_name_is_invalid() -> None:
    shop, a, b, c = trio()
    forger = a.twin()
    forger.key = key_of("stranger")
    forged = [forger.admit(Writer("dal")), forger.remove(b)]
    found = shop_as(shop, a, b, c, forger)
    assert {act.hash for act in forged} == set(found.unfit) and names(found) == {"A", "BE", "JIM"}


def test_a_paradox_of_an_accept_that_undoes_its_own_right_ends() -> None:
    shop, a, b, c = trio()
    d = Writer("dal")
    a.admit(d)
    for writer in (b, c, d):
        writer.hear(a)
    a.remove(b)
    again = b.admit(d, "till")  # late, unless accepted by one who then may not accept
    d.accept(again)
    found = shop_as(shop, a, b, c, d)
    assert found.members[d.id].role is Role.MANAGER


# -- what it means for sales -------------------------------------------------------------------------------------------


def test_what_lies_behind_the_points_of_a_removal_counts_and_what_lies_beyond_is_held() -> None:
    shop, a, b, c = trio()
    early = b.sale(1)
    b.begin()
    sales = [b.sale(10), b.sale(20)]
    b.sale(30)
    b.seal()
    b.begin()
    b.sale(40)
    a.remove(b, sales[-1])
    answer = verdicts(shop, all_entries(a, b, c))
    for entry in (early, *sales):
        assert (answer[entry.hash].status, answer[entry.hash].vouched) == (Status.COUNTED, True)
    beyond = b.entries[b.entries.index(sales[-1]) + 1 :]
    assert {(answer[e.hash].status, answer[e.hash].vouched) for e in beyond} == {(Status.HELD, False)}
    a.accept(*beyond)
    assert {v.status for v in verdicts(shop, all_entries(a, b, c)).values()} == {Status.COUNTED}


def test_a_removal_without_points_holds_everything_of_a_till() -> None:
    shop, a, b, c = trio()
    b.sale()
    b.seal()
    a.hear(b)
    a.remove(b)
    answer = verdicts(shop, all_entries(a, b, c))
    assert {answer[e.hash].status for e in b.entries} == {Status.HELD}


def test_a_removed_tills_chain_forged_at_lower_numbers_is_held_and_disputes_nothing() -> None:
    shop, a, b, c = trio()
    thief = b.twin()
    honest = [b.sale(10), b.sale(20)]
    seal = b.seal()
    a.remove(b, seal)
    forged = [thief.sale(900), thief.seal(), thief.begin(), thief.sale(901), thief.seal()]
    forged.append(b.sale(902, seq=honest[0].seq, prev=honest[0].prev))
    answer = verdicts(shop, [*all_entries(a, b, c), *forged])
    assert {answer[e.hash].status for e in (*honest, seal)} == {Status.COUNTED}
    assert {answer[e.hash].status for e in forged} == {Status.HELD}


def test_an_accepted_disputed_sale_and_a_strangers_accepted_sale_count() -> None:
    shop, a, b, c = trio()
    stranger = Writer("stranger")
    stranger.begin()
    sale, other = stranger.sale(7), stranger.sale(8)
    before = b.last
    assert before is not None
    honest = b.sale(10)
    b.seal()
    forged = b.sale(11, seq=honest.seq, prev=before.hash.hex()[:24])
    a.accept(sale, forged)
    answer = verdicts(shop, [*all_entries(a, b, c, stranger), forged])
    assert {answer[e.hash].status for e in (sale, forged, honest)} == {Status.COUNTED}
    assert answer[other.hash].status is Status.HELD


def test_an_invalid_entry_stays_invalid_though_accepted() -> None:
    shop, a, b, c = trio()
    b.key = key_of("stranger")
    seal = b.seal()
    a.accept(seal)
    assert verdicts(shop, all_entries(a, b, c))[seal.hash].status is Status.INVALID


def test_a_readers_entries_do_not_count() -> None:
    shop, a, b, c = trio()
    reader = Writer("reader")
    a.admit(reader, "reader")
    reader.begin()
    sale = reader.sale()
    reader.seal()
    assert judge(all_entries(a, b, c, reader), shop)[JOURNAL, sale.hash].status is Status.HELD


def test_a_settings_entry_of_a_removed_member_beyond_its_points_is_held() -> None:
    shop, a, b, c = trio()
    setting = b.act("setting", {"name": "x", "value": 1})
    later = b.act("setting", {"name": "x", "value": 2})
    a.remove(b, setting)
    answer = verdicts(shop, all_entries(a, b, c))
    assert (answer[setting.hash].status, answer[later.hash].status) == (Status.COUNTED, Status.HELD)
