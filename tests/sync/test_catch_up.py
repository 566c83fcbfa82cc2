"""Catching up and forwarding between several devices, on simulated lines: resumed, not repeated, by any way."""

from __future__ import annotations

import pytest

from posline.sync.frames import Update, decode
from tests.kit import sale
from tests.sync.pair import Net, shop


def days_of(net: Net, name: str, days: int, sales: int) -> None:
    """Many days of sales at one till."""
    device = net.devices[name]
    for _ in range(days):
        for total in range(sales):
            device.replica.write("sale", sale(total + 1))
        device.commit()
        for each in net.devices.values():
            each.time.pass_ms(86_400_000)


def test_reconnecting_with_nothing_new_costs_one_round_trip_whatever_the_history() -> None:
    net = shop("alif", relay=True)
    days_of(net, "alif", 40, 100)
    net.link("alif", "relay")
    net.wait(3.0)
    alif, relay = net.devices["alif"].replica, net.devices["relay"].replica
    assert alif.root() == relay.root() and len(alif.documents()) > 40
    net.cut(net.lines[0])
    line = net.link("alif", "relay")
    net.settle()
    assert line.carried <= 6, "token, hello and live links each way"
    assert line.carried_bytes < 900


def test_catch_up_resumes_however_often_the_line_breaks() -> None:
    net = shop("alif", relay=True)
    days_of(net, "alif", 3, 700)
    relay = net.devices["relay"].replica
    messages = connections = 0
    while relay.root() != net.devices["alif"].replica.root():
        line = net.link("alif", "relay")
        connections += 1
        for _ in range(24):
            net.move(line, 0), net.move(line, 1)
            messages += 2
            net.devices["relay"].commit()
        net.cut(line)
        assert connections < 200, "it makes no progress"
    assert connections > 2


def test_a_chain_and_a_relay_behind_another_till() -> None:
    net = shop("alif", "beh", "jeem", relay=True)
    net.link("alif", "beh")
    net.link("beh", "jeem")
    net.link("jeem", "relay")
    net.wait(1.0)
    for name in ("alif", "beh", "jeem"):
        net.devices[name].replica.begin()
        net.devices[name].replica.write("sale", sale(5))
    net.wait(6.0)
    assert len({d.replica.root() for d in net.devices.values()}) == 1
    from posline.storage.reports import Reports

    for name in ("alif", "beh", "jeem"):
        replica = net.devices[name].replica
        books = Reports(replica.store, replica.shop, here=replica.store_id)
        assert books.waiting(replica.store_id) == 0, name
        for sold in books.sales():
            if sold.entry.till == replica.store_id:
                assert books.durable(sold.entry) == {"here": True, "tills": 2, "head_office": True}


def test_an_own_sale_goes_to_every_link_at_once() -> None:
    net = shop("alif", "beh", "jeem", relay=False)
    for pair in (("alif", "beh"), ("alif", "jeem"), ("beh", "jeem")):
        net.link(*pair)
    net.wait(3.0)
    net.devices["alif"].replica.write("sale", sale(5))
    net.settle()  # no time goes by
    assert len({d.replica.root() for d in net.devices.values()}) == 1


@pytest.mark.parametrize("apart_s", [0.5, 3.0])
def test_forwarding_in_a_mesh_of_five_costs_about_one_message_a_till(apart_s: float) -> None:
    """Naive flooding costs 16 a sale where 4 are needed."""
    names = ("alif", "beh", "jeem", "dal", "waw")
    net = shop(*names, relay=False)
    for n, one in enumerate(names):
        for other in names[n + 1 :]:
            net.link(one, other)
    net.wait(5.0)
    for name in names:
        net.devices[name].replica.begin()
    net.wait(5.0)
    updates = 0
    for line in net.lines:
        for device, link in line.ends:
            receive = link.receive

            def watch(message: bytes | str, now: float, receive=receive) -> None:  # type: ignore[no-untyped-def]
                nonlocal updates
                updates += isinstance(decode(message), Update) if isinstance(message, bytes) else 0
                receive(message, now)

            link.receive = watch  # type: ignore[method-assign]
            assert device.replica.root() == net.devices["alif"].replica.root()
    sales = 40
    for n in range(sales):
        net.devices[names[n % 5]].replica.write("sale", sale(n + 1))
        net.wait(apart_s)
    net.wait(3.0)
    assert len({d.replica.root() for d in net.devices.values()}) == 1
    assert updates / sales < 4.8, updates / sales


def test_a_row_that_the_sender_could_not_bring_comes_another_way() -> None:
    """jeem lists alif among its links, but that line is dead: beh passes alif's sale on a little later."""
    net = shop("alif", "beh", "jeem", relay=False)
    net.link("alif", "beh")
    net.link("beh", "jeem")
    dead = net.link("alif", "jeem")
    net.wait(3.0)
    net.lines.remove(dead)  # nothing is carried on it any more, and nobody has noticed yet
    net.devices["alif"].replica.write("sale", sale(5))
    net.wait(1.8)
    assert net.devices["jeem"].replica.root() == net.devices["alif"].replica.root()
