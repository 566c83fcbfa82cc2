"""Repair: digests differ while state vectors agree; it mends what it can, and ends in any case."""

from __future__ import annotations

import random

import pytest

from posline.core import entry as entries
from posline.core.document import Document, lone_update
from posline.errors import Refused
from posline.replica import Replica
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.messages import Authors, Missing, Prefixes
from posline.sync.repair import ROUNDS_AN_HOUR, Repair
from tests.kit import DAY, JOURNAL, StillTime, commit, founded, key_of, sale, send
from tests.sync.pair import Net, shop

STRANGER = key_of("stranger").id


def two() -> tuple[Net, Replica, Replica]:
    """Two tills that hold the same."""
    net = shop("alif", "beh", relay=False)
    net.link("alif", "beh")
    net.wait(2.0)
    net.cut(net.lines[0])
    return net, net.devices["alif"].replica, net.devices["beh"].replica


def squat(one: Replica, other: Replica, client: int, mine: str, theirs: str) -> None:
    """One Yjs clock is used for two elements: each side holds another."""
    one.integrate(JOURNAL, lone_update(client, STRANGER, [mine]), origin="x")
    other.integrate(JOURNAL, lone_update(client, STRANGER, [theirs]), origin="x")
    commit(one)
    commit(other)
    assert one.head(JOURNAL).state == other.head(JOURNAL).state
    assert one.root() != other.root()


def tell_of_the_last_row(net: Net) -> None:
    """As the hub would say of what another link brought."""
    for device in net.devices.values():
        for link in device.hub.links(device.replica.shop):
            link.committed({JOURNAL: device.replica.head(JOURNAL).n - 1})


def test_a_client_id_used_twice_is_mended_at_the_next_connection() -> None:
    net, alif, beh = two()
    squat(alif, beh, 4711, "one", "two")
    net.link("alif", "beh")
    net.wait(1.0)
    assert alif.root() == beh.root()
    assert alif.head(JOURNAL).count == beh.head(JOURNAL).count
    assert [len(Reports(r.store, r.shop, here="").day(DAY)["invalid"]) for r in (alif, beh)] == [2, 2]


def test_a_client_id_used_twice_is_mended_on_a_line_that_never_breaks() -> None:
    """The elements come from elsewhere while the two are linked; the digests are compared when they come to rest."""
    net, alif, beh = two()
    net.link("alif", "beh")
    net.wait(3.0)
    squat(alif, beh, 4711, "one", "two")
    tell_of_the_last_row(net)
    net.wait(70.0, step=0.5)
    assert alif.root() == beh.root()


def test_a_sale_lost_to_a_reused_clock_counts_again() -> None:
    """An honest sale of a disk that was put back under a clock that somebody else's element has at the other till."""
    net, alif, beh = two()
    alif.write("sale", sale(700))
    commit(alif)
    client = max(alif.head(JOURNAL).state.items() - beh.head(JOURNAL).state.items())[0]
    squatter = Document(client)
    squatter.load([row.update for row in beh.rows(JOURNAL, 0, 256)])
    clocks = beh.head(JOURNAL).state.get(client, 0)
    fake = [squatter.append(STRANGER, [f"fake {n}"]) for n in range(alif.head(JOURNAL).state[client] - clocks)]
    for update in fake:
        beh.integrate(JOURNAL, update, origin="x")
    commit(beh)
    net.link("alif", "beh")
    net.wait(2.0)
    assert alif.root() == beh.root()
    assert Reports(beh.store, beh.shop, here="").day(DAY)["sales"]["total"] == 700


def copied(seed: int) -> tuple[Net, Replica, Replica]:
    """A till and a copy of its running process: what was drawn at random before is the same in both."""
    net = shop("alif", relay=False)
    alif = net.devices["alif"].replica
    twin = Replica(
        Store.open(":memory:"),
        alif.shop,
        author=alif.author,
        clock=StillTime().clock(),
        random=random.Random("alif"),
        documents=True,
    )
    send(alif, twin)
    net.add("twin", twin)
    for replica in (alif, twin):
        replica._random = random.Random(seed)
        replica._open.clear()
        replica._recall()
        replica.begin()
        replica._random = random.Random(f"{seed} {replica is alif}")
        commit(replica)
    return net, alif, twin


def test_two_lives_of_one_till_repair_each_difference_once() -> None:
    """Both bear one store id: were it for that alone, both would begin, and each repair would count twice."""
    for seed in range(4):
        net, alif, twin = copied(seed)
        for n in range(ROUNDS_AN_HOUR):
            squat(alif, twin, 4711 + n, f"one {n}", f"two {n}")
            line = net.link("alif", "twin")
            net.wait(1.0)
            assert alif.root() == twin.root()
            net.cut(line)
        assert "digests" not in alif.alarms.keys() | twin.alarms.keys()


def test_after_a_repair_a_copied_process_goes_on_under_another_client_id() -> None:
    """Both sold under one client id, as many sales each: no state is ahead of the other, and it is seen only by the
    digests. Whatever they sell from then on lies under ids of their own."""
    net, alif, twin = copied(1)
    for n in range(10):
        alif.write("sale", sale(100 + n))
        twin.write("sale", sale(200 + n))
        commit(alif)
        commit(twin)
        collided = alif.head(JOURNAL).state == twin.head(JOURNAL).state
        assert collided is (n == 0)
        line = net.link("alif", "twin")
        net.wait(1.0)
        assert alif.root() == twin.root()
        net.cut(line)
    assert "digests" not in alif.alarms.keys() | twin.alarms.keys()
    assert {"clone", "foreign"} <= alif.alarms.keys() & twin.alarms.keys()
    for replica in (alif, twin):
        report = Reports(replica.store, replica.shop, here="").day(DAY)
        assert report["sales"]["total"] + sum(d["amount"] for d in report["disputed"]) == 10 * 300 + 90


def test_a_copied_process_that_hears_of_the_other_from_a_third_goes_on_under_another_client_id() -> None:
    """The repair is between two others; what it brings bears our name, and is answered with a run of each life."""
    _, alif, twin = copied(2)
    alif.write("sale", sale(100))
    twin.write("sale", sale(200))
    commit(alif)
    commit(twin)
    assert alif.head(JOURNAL).state == twin.head(JOURNAL).state
    for replica, other in ((alif, twin), (twin, alif)):
        lost = other.elements(JOURNAL, other.prefixes(JOURNAL, other.store_id))
        replica.integrate(JOURNAL, lone_update(4711, replica.store_id, lost), origin=STRANGER)
    for replica in (alif, twin):
        commit(replica)
        replica.tick(0.0)
        commit(replica)
    assert alif.head(JOURNAL).state.keys() - twin.head(JOURNAL).state.keys(), "their new runs lie under one client id"


def test_a_hundred_connections_add_nothing_once_both_hold_the_same() -> None:
    net, alif, beh = two()
    squat(alif, beh, 4711, "one", "two")
    net.link("alif", "beh")
    net.wait(1.0)
    before = [r.store.read.execute("SELECT count(*), sum(length(data)) FROM log").fetchone() for r in (alif, beh)]
    for _ in range(100):
        net.cut(net.lines[0])
        net.link("alif", "beh")
        net.wait(0.2)
    after = [r.store.read.execute("SELECT count(*), sum(length(data)) FROM log").fetchone() for r in (alif, beh)]
    assert before == after


def test_replicas_of_different_versions_end_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """One knows a kind that the other has never heard of, and thinks otherwise of what the other counts."""
    net, alif, beh = two()
    squat(alif, beh, 4711, "one", "two")
    alif.write("gift", {"note": "from a newer version"})
    commit(alif)
    honest = entries.check_body

    def strict(kind: str, till: str, body: dict[str, object]) -> str | None:
        return "never heard of" if kind == "gift" else honest(kind, till, body)

    line = net.link("alif", "beh")
    for _ in range(40):  # beh's version refuses in its ledger what alif's counts
        for direction in (0, 1):
            with monkeypatch.context() as patch:
                if direction == 0:
                    patch.setattr(entries, "check_body", strict)
                while line.up and net.move(line, direction):
                    pass
        net.devices["alif"].commit()
        with monkeypatch.context() as patch:
            patch.setattr(entries, "check_body", strict)
            net.devices["beh"].commit()
    assert alif.root() == beh.root()
    assert line.carried < 60
    days = [Reports(r.store, r.shop, here="").day(DAY) for r in (alif, beh)]
    assert len(days[1]["invalid"]) == len(days[0]["invalid"]) + 1


def test_an_element_that_is_gone_from_a_ledger_ends_in_an_alarm_not_in_a_storm() -> None:
    """A disk that lies: its digest says what no element bears out. Rounds are bounded, and people are told."""
    net, alif, beh = two()
    beh.write("sale", sale(5))
    commit(beh)
    send(beh, alif)
    send(alif, beh)
    with_fault = beh.store._db
    with_fault.execute("UPDATE digest SET sum = ?", (bytes(32),))
    with_fault.execute("UPDATE document SET sum = ?", (bytes(32),))
    beh.store._heads.clear()
    beh.store._sums.clear()
    said = 0
    for _ in range(12):
        line = net.link("alif", "beh")
        net.wait(0.3)
        said += line.carried
        net.cut(line)
    assert said < 12 * 20 + ROUNDS_AN_HOUR * 20
    assert "digests" in (set(alif.alarms) | set(beh.alarms))
    assert alif.head(JOURNAL).count == beh.head(JOURNAL).count


def test_rounds_that_lies_used_up_hold_a_repair_up_for_an_hour_and_no_sale_is_needed_for_it() -> None:
    """Found by the simulator: nobody compared digests again before something was sold."""
    net, alif, beh = two()
    net.link("alif", "beh")
    net.wait(3.0)
    for device in net.devices.values():
        for link in device.hub.links(alif.shop):
            for _ in range(ROUNDS_AN_HOUR):  # as a member that lies would say
                link._repair.on_authors(Authors(JOURNAL, {}), net.now)
    squat(alif, beh, 4711, "one", "two")
    tell_of_the_last_row(net)
    net.wait(3000.0, step=5.0)
    assert alif.root() != beh.root() and {"digests"} <= alif.alarms.keys() | beh.alarms.keys()
    net.wait(700.0, step=5.0)
    assert alif.root() == beh.root()


def test_only_what_was_asked_for_is_appended_and_each_once() -> None:
    till = founded()
    for total in range(1, 20):
        till.write("sale", sale(total))
    commit(till)
    held = till.prefixes(JOURNAL, till.store_id)
    answering = Repair(till)
    answering.on_missing(Missing(JOURNAL, tuple(held)))
    assert till.staged == []  # nothing was offered
    assert answering.on_authors(Authors(JOURNAL, {}), 0.0)
    answering.on_missing(Missing(JOURNAL, tuple(held[:3])))
    answering.on_missing(Missing(JOURNAL, tuple(held[:3])))
    assert sum(len(s.entries) for s in till.staged) == 3
    for _ in range(10):
        answering.on_authors(Authors(JOURNAL, {}), 1.0)
        answering.on_missing(Missing(JOURNAL, tuple(held)))
    assert sum(len(s.entries) for s in till.staged) <= ROUNDS_AN_HOUR * len(held)
    assert "digests" in till.alarms
    with pytest.raises(Refused):
        Repair(till).on_prefixes(Prefixes(JOURNAL, STRANGER, (bytes(8),), False))


def test_elements_that_are_no_entries_are_repaired_too() -> None:
    chance = random.Random(5)
    net, alif, beh = two()
    odd = ["", "{}", '{"till":"x"}', "[1]", "\N{SNOWMAN}", "x" * 40_000, "y" * 40_000]
    for index, text in enumerate(odd):
        squat(alif, beh, 9000 + index, text, f"{chance.random()}")
    line = net.link("alif", "beh")
    net.wait(1.0)
    assert alif.root() == beh.root() and line.up
    assert line.largest <= 65 * 1024


def test_thousands_are_named_and_brought_in_bounded_messages() -> None:
    net, alif, beh = two()
    for start in range(0, 5000, 250):
        texts = [[f"{side} {start + n}" for n in range(250)] for side in "ab"]
        alif.integrate(JOURNAL, lone_update(50_000 + start, STRANGER, texts[0]), origin="x")
        beh.integrate(JOURNAL, lone_update(50_000 + start, STRANGER, texts[1]), origin="x")
    commit(alif)
    commit(beh)
    line = net.link("alif", "beh")
    net.wait(2.0)
    assert alif.root() == beh.root() and line.up
    assert line.largest <= 65 * 1024
