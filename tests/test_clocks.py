"""Wrong clocks are harmless: the right business day, or flagged and moved; order kept, totals equal, never trapped."""

from __future__ import annotations

import random

from posline.core.build import BUILD_MS
from posline.core.clock import Clock
from posline.replica import Replica
from posline.storage.reports import Reports
from posline.storage.verify import verify
from tests.kit import DAY, NOON_MS, StillTime, commit, founded, joined, sale, send
from tests.sync.pair import Device, Net

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
Y1970_MS = 60_000
Y2035_MS = 2_066_000_000_000


def ring(device: Device, total: int) -> str:
    """Ring and commit; returns the day that the sale was filed under."""
    staged = device.replica.write("sale", sale(total))
    device.commit()
    return staged.entries[0].day


def sales(device: Device, day: str) -> tuple[int, int]:
    """(count, total) of a day."""
    report = Reports(device.replica.store, device.replica.shop, here=device.replica.store_id).day(day)
    return report["sales"]["count"], report["sales"]["total"]


def one_till(time: StillTime) -> tuple[Net, Device]:
    net = Net()
    return net, net.add("alif", founded("alif", time), time=time)


def two_tills(time: StillTime, other: StillTime) -> tuple[Net, Device, Device]:
    net, a = one_till(time)
    return net, a, net.add("be", joined(a.replica, "be", other), time=other)


def whole(*devices: Device) -> None:
    """All hold the same, and every number is there."""
    assert len({d.replica.root() for d in devices}) == 1
    days = Reports(devices[0].replica.store, devices[0].replica.shop, here="").days()
    for day in days:
        reports = [Reports(d.replica.store, d.replica.shop, here="").day(day) for d in devices]
        assert all(report == reports[0] for report in reports)
        assert all(till["missing"] == [] for till in reports[0]["tills"])
    for device in devices:
        assert list(verify(device.replica.store, device.replica.shop)) == []


def test_a_first_boot_in_1970_sells_flagged_and_moves_to_the_right_day() -> None:
    time = StillTime(Y1970_MS, synchronised=False)
    _, a = one_till(time)
    assert ring(a, 100) >= "2026-11"  # not before this version was built
    assert a.replica.rows(a.replica.documents()[0], 0, 9)
    time.pass_ms(2 * HOUR_MS)
    time.wall_ms, time.synchronised = NOON_MS + DAY_MS, True
    a.replica.tick(5.0)
    a.commit()
    assert sales(a, "2026-11-24") == (1, 100)
    assert ring(a, 50) == "2026-11-24"
    whole(a)


def test_a_first_boot_in_2035_is_believed_and_not_trapped_there() -> None:
    time = StillTime(Y2035_MS, synchronised=False)
    _, a = one_till(time)
    wrong = ring(a, 100)
    assert wrong.startswith("2035")
    time.pass_ms(HOUR_MS)
    time.wall_ms, time.synchronised = NOON_MS, True
    a.replica.tick(5.0)
    a.commit()
    assert ring(a, 50) == DAY
    assert sales(a, DAY) == (2, 150)
    assert sales(a, wrong) == (0, 0)
    whole(a)


def test_a_clock_that_jumps_to_2035_on_an_old_shop_is_not_believed() -> None:
    time = StillTime()
    _, a = one_till(time)
    ring(a, 100)
    time.synchronised, time.wall_ms = False, Y2035_MS
    staged = a.replica.write("sale", sale(50)).entries[0]
    a.commit()
    assert (staged.day, staged.body["clock"]) == (DAY, "suspect")
    assert sales(a, DAY) == (2, 150)
    whole(a)


def test_a_clock_set_back_three_hours_keeps_the_day_and_the_order() -> None:
    time = StillTime(NOON_MS - 7 * HOUR_MS, synchronised=False)  # 05:00, one hour into the business day
    _, a = one_till(time)
    first = a.replica.write("sale", sale(1)).entries[0]
    time.wall_ms -= 3 * HOUR_MS
    second = a.replica.write("sale", sale(2)).entries[0]
    a.commit()
    assert first.day == second.day == DAY
    assert second.at >= first.at and second.seq == first.seq + 1
    whole(a)


def test_a_till_closed_for_five_days_files_under_today() -> None:
    time = StillTime(synchronised=False)
    net, a = one_till(time)
    ring(a, 100)
    time.wall_ms += 5 * DAY_MS
    time.mono_ms += 1000
    assert a.replica.clock is not None and a.replica.clock.now().warning
    assert ring(a, 50) == "2026-11-28"
    whole(a)
    assert net.devices


def test_two_tills_at_1970_together_do_not_confirm_each_other() -> None:
    times = StillTime(Y1970_MS, synchronised=False), StillTime(Y1970_MS, synchronised=False)
    net, a, b = two_tills(*times)
    net.link("be", "alif")
    net.wait(2)
    ring(a, 100)
    ring(b, 200)
    net.wait(3)
    for device in (a, b):
        assert device.replica.clock is not None and not device.replica.clock.confirmed
    whole(a, b)


def test_a_till_at_1970_learns_the_time_from_a_peer_and_moves_its_sales() -> None:
    wrong = StillTime(Y1970_MS, synchronised=False)
    net, a, b = two_tills(StillTime(NOON_MS + DAY_MS), wrong)
    send(a.replica, b.replica)
    before = ring(b, 70)
    assert before != "2026-11-24"
    net.link("be", "alif")
    net.wait(3)
    assert b.replica.clock is not None and b.replica.clock.confirmed
    assert ring(b, 30) == "2026-11-24"
    net.wait(3)
    assert sales(a, "2026-11-24") == sales(b, "2026-11-24") == (2, 100)
    assert sales(a, before) == (0, 0)
    whole(a, b)


def test_time_reaches_a_till_through_another_that_was_wrong_itself() -> None:
    net, a, b = two_tills(StillTime(NOON_MS + DAY_MS), StillTime(Y1970_MS, synchronised=False))
    time = StillTime(Y1970_MS, synchronised=False)
    c = net.add("jim", joined(a.replica, "jim", time), time=time)
    net.link("jim", "be")
    net.wait(1)
    assert c.replica.clock is not None and not c.replica.clock.confirmed
    net.link("be", "alif")
    net.wait(3)
    assert c.replica.clock.confirmed
    assert ring(c, 5) == "2026-11-24"
    net.wait(3)
    whole(a, b, c)


def test_a_peer_in_2035_pulls_nobody_along() -> None:
    net, a, b = two_tills(StillTime(synchronised=False), StillTime(synchronised=False))
    net.link("be", "alif")
    net.wait(1)
    b.time.wall_ms = Y2035_MS - DAY_MS * 2920  # within what is believed: 2027
    for i in range(30):
        ring(b, 1 + i)
    net.wait(3)
    assert ring(a, 100) == DAY
    net.wait(3)
    whole(a, b)
    assert BUILD_MS <= NOON_MS


def test_a_clock_that_lies_below_what_was_said_is_not_believed_until_more_is_said() -> None:
    def clock(wall_ms: int, *, kernel: bool = False) -> Clock:
        return Clock(wall_ms=lambda: wall_ms, monotonic_ms=lambda: 0, synchronised=lambda: kernel, floor_ms=NOON_MS,
                     last_own_ms=NOON_MS, said_ms=Y2035_MS)  # fmt: skip

    behind = clock(NOON_MS + HOUR_MS)
    assert behind.now().trust == "suspect" and behind.heard(NOON_MS + 2 * HOUR_MS, True)
    assert behind.now().trust == "confirmed" and behind.said_ms == NOON_MS + 2 * HOUR_MS
    assert clock(Y2035_MS + HOUR_MS).now().trust == "unconfirmed"
    known = clock(NOON_MS + HOUR_MS, kernel=True)
    assert (known.now().trust, known.said_ms, known.floor_ms) == ("confirmed", 0, NOON_MS + HOUR_MS)


def test_whoever_says_that_it_is_2035_traps_nobody_there() -> None:
    """A member whose kernel is wrong, or that lies: a person's word goes before it, the kernel's before both, and a
    restart forgets it."""
    time = StillTime(synchronised=False)
    _, a = one_till(time)
    ring(a, 100)
    clock = a.replica.clock
    assert clock is not None and clock.heard(Y2035_MS, True)
    assert ring(a, 1).startswith("2035")
    assert clock.floor_ms < NOON_MS and clock.now().warning, "its own clock says something else, and may be right"
    clock.set_by_person(NOON_MS + HOUR_MS)
    assert ring(a, 2) == DAY
    clock.set_by_person(Y2035_MS)  # a slip of a finger
    assert ring(a, 3).startswith("2035")
    assert not clock.sure
    time.synchronised = True
    assert clock.sure and ring(a, 4) == DAY and clock.now().warning is None
    whole(a)


def test_a_restart_at_1970_goes_on_behind_the_last_sale() -> None:
    time = StillTime()
    _, a = one_till(time)
    ring(a, 100)
    cut = StillTime(Y1970_MS, synchronised=False)
    assert a.replica.author is not None
    again = Replica(
        a.replica.store,
        a.replica.shop,
        author=a.replica.author,
        clock=cut.clock(last_own_ms=time.wall_ms),
        random=random.Random("again"),
        documents=True,
        monotonic_ms=lambda: cut.mono_ms,
    )
    entry = again.write("sale", sale(50)).entries[0]
    commit(again)
    assert entry.day == DAY and entry.body["clock"] == "suspect"
