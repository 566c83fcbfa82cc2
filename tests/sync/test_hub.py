"""The hub: which links live, what passes between them, and what a failed commit ends."""

from __future__ import annotations

import random
import tracemalloc
import uuid
from dataclasses import replace

import msgspec
import pytest

from posline.core.document import lone_update
from posline.replica import Replica
from posline.storage.records import Mark
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.sync.frames import Stateless, encode
from posline.sync.hub import Hub
from posline.sync.link import SILENT, Link
from posline.sync.messages import Have, write
from posline.sync.moods import Mood
from posline.trust.gate import TokenGate
from tests.kit import DAY, StillTime, founded, key_of, sale
from tests.sync.pair import TOKEN, Device, Line, Net, shop


def books(net: Net, name: str) -> Reports:
    replica = net.devices[name].replica
    return Reports(replica.store, replica.shop, here=replica.store_id)


def live(net: Net, name: str) -> list[Link]:
    device = net.devices[name]
    return [link for link in device.hub.links(device.replica.shop) if link.mood is Mood.OPEN]


def test_a_dialler_that_meets_itself_hangs_up() -> None:
    net = shop("alif", relay=False)
    line = net.link("alif", "alif")
    net.settle()
    assert not line.up and live(net, "alif") == []
    assert {link.closing for _, link in line.ends} & {"this is myself"}


def test_two_links_between_two_devices_become_one() -> None:
    for first, second in ((("alif", "beh"), ("beh", "alif")), (("alif", "beh"), ("alif", "beh"))):
        net = shop("alif", "beh", relay=False)
        net.link(*first)
        net.link(*second)
        net.wait(1.0)
        assert len(live(net, "alif")) == len(live(net, "beh")) == 1
        assert live(net, "alif")[0].dialling is not live(net, "beh")[0].dialling
        net.devices["alif"].replica.write("sale", sale())
        net.settle()
        assert net.devices["alif"].replica.root() == net.devices["beh"].replica.root()


def test_two_lives_of_one_till_that_dial_each_other_keep_one_link() -> None:
    """A copied data folder: both ends bear one store id, so the sessions decide which link stays."""
    for seed in range(6):
        net = shop("alif", relay=False)
        original = net.devices["alif"].replica
        assert original.author is not None
        twin_store = Store.open(":memory:")
        time = StillTime()
        net.now = float(seed)
        twin = Replica(
            twin_store,
            original.shop,
            author=original.author,
            clock=time.clock(),
            random=random.Random(seed),
            documents=True,
        )
        net.add("twin", twin, time=time)
        net.link("alif", "twin")
        net.link("twin", "alif")
        net.wait(1.0)
        assert len(live(net, "alif")) == len(live(net, "twin")) == 1
        assert "clone" in original.alarms and "clone" in twin.alarms
        assert original.root() == twin.root()


def test_what_one_life_of_a_till_sells_reaches_its_other_life_through_a_third() -> None:
    net = shop("alif", "beh", relay=False)
    original = net.devices["alif"].replica
    time = StillTime()
    twin = Replica(
        Store.open(":memory:"),
        original.shop,
        author=original.author,
        clock=time.clock(),
        random=random.Random(1),
        documents=True,
    )
    net.add("twin", twin, time=time)
    net.link("alif", "beh")
    net.link("twin", "beh")
    net.wait(2.0)
    sold = original.write("sale", sale(5)).entries[0]
    net.wait(2.0)
    assert sold.hash in {r.entry.hash for r in books(net, "twin").by_id(sold.id)}


def test_two_lives_that_bear_one_session_take_other_names_and_settle() -> None:
    """A running process was copied, memory and all: for a third device both would be one, of which it keeps the newer
    link, and each would take the other for itself."""
    for seed in range(6):
        net = shop("alif", "beh", relay=False)
        net.now = float(seed)
        original = net.devices["alif"].replica
        assert original.author is not None
        random_of_both = random.Random(seed)
        twin = Replica(
            Store.open(":memory:"),
            original.shop,
            author=original.author,
            clock=StillTime().clock(),
            random=random_of_both,
            documents=True,
        )
        net.add("twin", twin).hub.session = net.devices["alif"].hub.session
        wanted = [("alif", "twin"), ("alif", "beh"), ("beh", "alif"), ("twin", "beh")]
        lines = [net.link(*pair) for pair in wanted]
        for _ in range(5):  # whoever is not linked dials again
            net.wait(1.0)
            for index, (dialler, listener) in enumerate(wanted):
                theirs = net.devices[listener].hub.session
                if not lines[index].up and theirs not in {link.peer.session for link in live(net, dialler)}:
                    lines[index] = net.link(dialler, listener)
        held = list(net.lines)
        net.wait(3.0)
        assert net.lines == held and len(held) == 3
        assert [len(live(net, name)) for name in ("alif", "beh", "twin")] == [2, 2, 2]
        assert "clone" in original.alarms and "clone" in twin.alarms
        assert original.root() == twin.root() == net.devices["beh"].replica.root()


def test_a_failed_commit_ends_the_links_that_wait_for_it_and_no_other() -> None:
    net = shop("alif", "beh", "jeem", relay=False)
    net.link("alif", "beh")
    net.link("alif", "jeem")
    net.wait(2.0)
    alif, beh = net.devices["alif"], net.devices["beh"]
    beh.replica.begin()
    beh.replica.write("sale", sale(9))
    beh.commit()
    line = net.lines[0]
    while net.move(line, 1):
        pass
    assert alif.replica.staged
    alif.replica.reset()
    alif.hub.failed([alif.replica.shop])
    assert [link.closing is not None for link in alif.hub.links(alif.replica.shop)] == [True, False]
    net.settle()
    assert not line.up and len(net.lines) == 1
    net.link("beh", "alif")
    net.wait(1.0)
    assert len({d.replica.root() for d in net.devices.values()}) == 1
    assert books(net, "alif").day("2026-11-23")["sales"]["total"] == 9


def test_lights_come_on_for_every_disk_along_a_chain() -> None:
    """Sale at alif, head office two tills further on: `have` is passed on, once each."""
    net = shop("alif", "beh", "jeem", relay=True)
    net.link("alif", "beh")
    net.link("beh", "jeem")
    net.link("jeem", "relay")
    net.wait(3.0)
    alif = net.devices["alif"].replica
    sold = alif.write("sale", sale(5)).entries[0]
    assert books(net, "alif").durable(sold)["tills"] == 0
    net.wait(4.0)
    assert books(net, "alif").durable(sold) == {"here": True, "tills": 2, "head_office": True}
    assert books(net, "alif").waiting(alif.store_id) == 0
    assert books(net, "relay").durable(sold)["tills"] == 3


def test_a_have_is_passed_on_once_and_never_an_older_one() -> None:
    net = shop("alif", "beh", "jeem", relay=False)
    for pair in (("alif", "beh"), ("beh", "jeem"), ("alif", "jeem")):
        net.link(*pair)
    net.wait(3.0)
    beh = net.devices["beh"]
    from_alif = next(link for link in live(net, "beh") if link.peer.store == net.devices["alif"].replica.store_id)
    heard: list[Have] = []
    for link in live(net, "beh"):
        if link is not from_alif:
            tell = link.pass_on

            def spy(have: Have, tell=tell) -> None:  # type: ignore[no-untyped-def]
                heard.append(have)
                tell(have)

            link.pass_on = spy  # type: ignore[method-assign]
    jeem = net.devices["jeem"].replica
    far = Have(jeem.store_id, 10**15, (Mark(key_of("x").id, 1, 5, bytes(32)),))
    far = replace(far, signature=jeem.sign(far.signed(jeem.shop)))
    message = encode(Stateless("shop", write(far)))
    for _ in range(3):
        beh.hub.received(from_alif, message, net.now)
    forged = replace(far, counter=10**15 + 2)  # by alif, which passes it on
    beh.hub.received(from_alif, encode(Stateless("shop", write(forged))), net.now)
    older = replace(far, counter=10**15 - 1)
    older = replace(older, signature=jeem.sign(older.signed(jeem.shop)))
    beh.hub.received(from_alif, encode(Stateless("shop", write(older))), net.now)
    stranger = replace(far, store=key_of("nobody").id, counter=10**15 + 1)
    beh.hub.received(from_alif, encode(Stateless("shop", write(stranger))), net.now)
    assert heard == [far]
    net.settle()


def test_a_light_that_a_cut_swallowed_comes_on_after_the_next_connection() -> None:
    """beh commits alif's sale, and the line breaks before it can say so; alif has restarted by the next connection, so
    that the roots differ there."""
    net = shop("alif", "beh", relay=False)
    line = net.link("alif", "beh")
    net.wait(3.0)
    alif, beh = net.devices["alif"], net.devices["beh"]
    alif.replica.write("sale", sale(5))
    alif.commit()
    while net.move(line, 0):
        pass
    beh.commit()
    net.cut(line)
    assert alif.replica.author is not None
    time = StillTime()
    again = Replica(
        alif.replica.store,
        alif.replica.shop,
        author=alif.replica.author,
        clock=time.clock(),
        random=random.Random("again"),
        documents=True,
    )
    again.begin()
    net.add("alif", again, time=time).commit()
    assert books(net, "alif").waiting(again.store_id) > 0
    net.link("alif", "beh")
    net.wait(4.0)
    assert again.root() == beh.replica.root()
    assert books(net, "alif").waiting(again.store_id) == 0


def test_a_resting_shop_is_silent_but_for_pings() -> None:
    net = shop("alif", "beh", "jeem")
    for pair in (("alif", "beh"), ("beh", "jeem"), ("alif", "jeem"), ("jeem", "relay")):
        net.link(*pair)
    for name in ("alif", "beh", "jeem"):
        net.devices[name].replica.begin()
    net.wait(400.0, step=0.5)
    said = 0
    for line in net.lines:
        for _, link in line.ends:
            receive = link.receive

            def watch(message: bytes | str, now: float, receive=receive) -> None:  # type: ignore[no-untyped-def]
                nonlocal said
                said += len(message) > 1
                receive(message, now)

            link.receive = watch  # type: ignore[method-assign]
    net.wait(300.0, step=0.5)
    assert said == 0


def test_a_shop_that_is_dropped_ends_its_links() -> None:
    net = shop("alif", "beh", relay=False)
    net.link("alif", "beh")
    net.wait(1.0)
    alif = net.devices["alif"]
    alif.hub.drop(alif.replica.shop)
    assert alif.hub.replica(alif.replica.shop) is None
    net.settle()
    assert net.lines == []


def test_a_hub_tells_who_is_there_and_how_far_behind() -> None:
    net = shop("alif", "beh", relay=False)
    line = net.link("alif", "beh")
    net.wait(1.0)
    alif, beh = net.devices["alif"], net.devices["beh"]
    assert alif.hub.linked(alif.replica.shop, beh.replica.store_id)
    for total in range(1, 6):
        alif.replica.write("sale", sale(total))
    alif.commit()
    alif.hub.tick(net.now)
    (seen,) = alif.hub.seen(alif.replica.shop)
    assert (seen.store, seen.kind, seen.connected) == (beh.replica.store_id, "till", True) and seen.behind > 0
    net.wait(1.0)
    net.cut(line)
    (seen,) = alif.hub.seen(alif.replica.shop)
    assert not seen.connected and seen.behind == 0


def test_shops_in_which_nothing_happens_cost_a_hub_nearly_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head office has thousands of links at rest."""
    ticks: list[Link] = []
    tick = Link.tick

    def counted(link: Link, now: float) -> None:
        ticks.append(link)
        tick(link, now)

    net, lines, gate = Net(), [], TokenGate(TOKEN)
    office = Hub(random=random.Random(1), kind="head office")
    for n in range(20):
        till = net.add(f"till {n}", founded(f"till {n}"))
        there = Replica(
            Store.open(":memory:"), till.replica.shop, author=None, clock=None, random=random.Random(n),
            documents=False, store_id=key_of("office").id, sign=key_of("office").sign,
        )  # fmt: skip
        office.add(there)
        net.devices[f"office {n}"] = there_too = Device("office", there, office, till.time)
        dialled = till.hub.connect(there.shop, gate, dialling=True, now=0.0)
        taken = office.connect(there.shop, gate, dialling=False, now=0.0)
        lines.append(Line(((till, dialled), (there_too, taken))))
    net.lines += lines
    net.wait(65.0)  # digests are compared once more
    monkeypatch.setattr(Link, "tick", counted)
    for _ in range(50):  # before a line on which nothing comes is given up
        net.now += 0.1
        office.tick(net.now)
    assert all(link.greeted and link.closing is None for line in lines for _, link in line.ends)
    assert 0 < len(ticks) <= 20 * 3  # and not 20 * 50


def test_a_link_of_the_first_moment_dies_of_silence_like_any_other() -> None:
    replica = shop("alif", relay=False).devices["alif"].replica
    hub = Hub(random=random.Random(1), kind="till")
    hub.add(replica)
    link = hub.connect(replica.shop, TokenGate(TOKEN), dialling=False, now=50_000.0)  # this machine is up for hours
    for tenth in range(1, 25):
        hub.tick(50_000 + tenth / 10)
    assert link.closing == SILENT


def test_a_link_of_another_shop_hears_nothing() -> None:
    hub = Hub(random=random.Random(1), kind="head office")
    one, other = shop("alif", relay=False), shop("beh", relay=False)
    for net, name in ((one, "alif"), (other, "beh")):
        hub.add(net.devices[name].replica)
    shops = [one.devices["alif"].replica.shop, other.devices["beh"].replica.shop]
    links = [hub.connect(s, TokenGate(TOKEN), dialling=False, now=0.0) for s in shops]
    replica = one.devices["alif"].replica
    replica.write("sale", sale())
    batch = list(replica.staged)
    commit = replica.store.commit(batch)
    replica.release(batch, commit)
    hub.released(batch, commit)
    assert links[1].take() is None
    assert links[0].take() is None  # nobody has said who it is


def test_what_is_forged_under_a_tills_name_does_not_wait_for_a_light() -> None:
    net = shop("alif", "beh", relay=False)
    net.link("alif", "beh")
    net.wait(3.0)
    alif, beh = net.devices["alif"].replica, net.devices["beh"].replica
    sold = alif.write("sale", sale(5)).entries[0]
    net.wait(2.0)
    for fields in ({"seq": 2**53 - 1}, {"run": 77, "seq": 1}):
        forged = msgspec.json.encode(sold.body | {"id": str(uuid.uuid4())} | fields).decode()
        beh.integrate(sold.document, lone_update(4711 + fields["seq"] % 7, alif.store_id, [forged]), origin="thief")
    net.wait(70.0, step=0.5)
    assert alif.root() == beh.root() and books(net, "alif").day(DAY)["sales"]["total"] == 5
    assert books(net, "alif").waiting(alif.store_id) == 0


def test_a_peer_that_says_hashes_longer_than_any_is_refused_and_nothing_of_it_is_kept() -> None:
    net = shop("alif", "beh", relay=False)
    line = net.link("alif", "beh")
    net.wait(3.0)
    (alif, link), (beh, _) = line.ends
    tracemalloc.start()
    try:
        for n in range(200):
            have = Have(beh.replica.store_id, 10**15 + n, (Mark("x", n, 1, bytes(45_000)),), b"")
            alif.hub.received(link, encode(Stateless("shop", write(have))), net.now)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
