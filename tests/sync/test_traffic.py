"""What goes over the lines, counted: messages for a sale in a mesh, and bytes to find out that nothing is new."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import date, timedelta

import pytest

from posline.replica import Replica
from posline.storage.store import Store
from posline.sync.frames import Stateless, decode
from tests.kit import StillTime, Writer, commit, key_of, sale, shop_of, take
from tests.sync.pair import Line, Net, shop

YEARS = 3
DAYS_A_YEAR = 360  # a shop is closed now and then
FIRST_DAY = date(2023, 1, 1)
CONNECT_BYTES_MAX = 1000
TILLS = "abcde"
SALES = 40


def kind_of(message: bytes) -> str:
    """What a message is, for people."""
    frame = decode(message)
    return str(json.loads(frame.payload)["t"]) if isinstance(frame, Stateless) else type(frame).__name__


def watched(net: Net, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The kinds of the messages that are carried from now on."""
    counted: Counter[str] = Counter()
    move = Net.move

    def counting(self: Net, line: Line, direction: int) -> bool:
        if not line.under_way[direction]:
            message = line.ends[direction][1].take()
            if message is None:
                return False
            line.under_way[direction].append(message)
        counted[kind_of(line.under_way[direction][0])] += 1
        return move(self, line, direction)

    monkeypatch.setattr(Net, "move", counting)
    return counted


def mesh(*names: str, relay: bool) -> Net:
    """A shop in which everybody is linked with everybody, and that has come to rest."""
    net = shop(*names, relay=relay)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            net.link(other, one)
        if relay:
            net.link(one, "relay")
        net.settle()
    net.wait(10)
    for name in names:
        net.devices[name].replica.begin()
        net.devices[name].commit()
    net.wait(5)
    return net


@pytest.mark.parametrize("relay", [False, True])
def test_a_sale_in_a_mesh_goes_once_to_each_of_the_others(monkeypatch: pytest.MonkeyPatch, relay: bool) -> None:
    net = mesh(*TILLS, relay=relay)
    counted = watched(net, monkeypatch)
    dice = random.Random(1)
    for number in range(SALES):
        device = net.devices[dice.choice(TILLS)]
        device.replica.write("sale", sale(number + 1))
        device.commit()
        net.settle()
        net.wait(0.5)
    net.wait(5)
    assert len({device.replica.root() for device in net.devices.values()}) == 1
    others = len(net.devices) - 1
    print({kind: round(count / SALES, 2) for kind, count in counted.items()}, "a sale")
    assert others <= counted["Update"] / SALES <= others + 0.1, "naive flooding takes four times as many"
    assert counted["SyncStatus"] == counted["Update"]
    assert counted["have"] / SALES <= others * (others + 1)


def years(name: str, writers: list[Writer], at: str) -> Replica:
    """The replica of one author with the whole history."""
    store = Store.open(":memory:")
    for writer in writers:
        for start in range(0, len(writer.entries), 250):
            take(store, at, [writer.entries[start : start + 250]])
    time = StillTime()
    return Replica(
        store, at, author=key_of(name), clock=time.clock(), random=random.Random(name), documents=True,
        monotonic_ms=lambda: time.mono_ms,
    )  # fmt: skip


@pytest.mark.many
def test_after_years_a_connection_with_nothing_new_costs_a_few_hundred_bytes() -> None:
    writers = [Writer("alif"), Writer("be")]
    at = shop_of(*writers)
    for number in range(YEARS * DAYS_A_YEAR):
        day = (FIRST_DAY + timedelta(days=number)).isoformat()
        for writer in writers:
            writer.begin(document=f"journal/{day}", day=day)
            writer.sale(document=f"journal/{day}", day=day)
            writer.seal(document=f"journal/{day}", day=day)
    net = Net()
    for name in ("alif", "be"):
        net.add(name, years(name, writers, at))
    assert len(net.devices["alif"].replica.documents()) > YEARS * DAYS_A_YEAR
    line = net.link("be", "alif")
    net.settle()
    print(f"{line.carried_bytes} bytes in {line.carried} messages")
    assert line.carried_bytes < CONNECT_BYTES_MAX
    net.wait(2)
    net.cut(line)
    be = net.devices["be"]
    be.replica.write("sale", sale(5))
    commit(be.replica)
    line = net.link("be", "alif")
    net.settle()
    print(f"{line.carried_bytes} bytes in {line.carried} messages for one new sale")
    assert net.devices["alif"].replica.root() == be.replica.root()
    assert line.carried_bytes < 12 * CONNECT_BYTES_MAX, "the way down the ladder, and no more"
