"""What happens to networks of shops: power comes back before the router does, addresses are swapped, a machine hangs, a
link names an address that leads nowhere. Each till is a program on a host of its own; see tests.network.shop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from tests.network.conftest import Rig
from tests.network.path import Wire
from tests.network.shop import RELAY_PORT, SYNC_PORT, Account, Shop, Till, baskets_for_ever, until
from tests.network.test_shop_network import (
    DEAD_LAN_S,
    FOUND_S,
    LOOK_S,
    MOVED_S,
    SHARED_S,
    all_linked,
    basket,
    change_address,
    has,
    shared,
)
from tests.proof import PROOF, Note

QUIET_S = 3.0  # for links that were made twice to have settled
HANG_S = 6.0
SHARED_MAX_S = 1.0 if PROOF else 5.0  # for a sale, while another till hangs; more while other tests run too
EVERY_S = 0.05


async def test_tills_that_boot_before_the_network_is_up(rig: Rig, note: Note) -> None:
    """After a power cut the tills are up first; cable and address come later, and another address than before."""
    lan = rig.switch()
    a, b = rig.till("a", (lan, "10.77.0.1/16")), rig.till("b", (lan, "10.77.0.2/16"))
    await Shop().found(b, by=a)
    await asyncio.gather(a.stop(), b.stop())
    for till in (a, b):
        till.host.ports[0].lose_address()
        till.host.ports[0].unplug()
    await asyncio.gather(a.start(), b.start())
    account = Account()
    sale = await account.ring(a, basket())
    for at, till in enumerate((a, b), 11):
        till.host.ports[0].plug_in()
        await change_address(till, f"10.77.0.{at}/16")
    took_s = await until("B has A's sale", has(b, sale), MOVED_S)
    note(shared_s=round(took_s, 2))
    await until("they are linked", all_linked(a, b), FOUND_S)


async def test_two_tills_swap_addresses(rig: Rig, note: Note) -> None:
    """Each is now where the other was known to be. Nobody hears multicast; C has stayed where it was."""
    lan = rig.switch()
    lan.multicast(False)
    a, b, c = (rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1))
    await Shop().found(b, c, by=a)
    await until("all are linked", all_linked(a, b, c), FOUND_S)
    await asyncio.gather(a.stop(), b.stop())
    await change_address(a, "10.77.0.2/16")
    await change_address(b, "10.77.0.1/16")
    await asyncio.gather(a.start(), b.start())
    took_s = await until("all are linked again", all_linked(a, b, c), MOVED_S)
    note(linked_s=round(took_s, 2))
    account = Account()
    await shared(account, b, a, c)
    await Shop([a, b, c]).agreed(account, SHARED_S)


async def test_a_till_that_hangs_holds_nobody_up_and_catches_up(rig: Rig, note: Note) -> None:
    """Its kernel still answers for it, and takes what its sockets take."""
    lan = rig.switch()
    a, b, c = (rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1))
    await Shop().found(b, c, by=a)
    await until("all are linked", all_linked(a, b, c), FOUND_S)
    label = (await c.status())["label"]
    account, stop = Account(), asyncio.Event()
    before = a.memory_bytes()
    c.send(signal.SIGSTOP)
    hung = time.monotonic()

    async def gone() -> bool:
        return not await a.linked(label)

    async with asyncio.TaskGroup() as cashiers:
        cashiers.create_task(account.ring_for(a, baskets_for_ever(), EVERY_S, stop))
        noticed_s = await until("A sees that C hangs", gone, 2 * DEAD_LAN_S)
        took_s = []
        while time.monotonic() - hung < HANG_S:
            took_s.append(await shared(account, b, a))
        stop.set()
    grown = a.memory_bytes() - before
    c.send(signal.SIGCONT)
    agreed_s = await Shop([a, b, c]).agreed(account, MOVED_S)
    note(noticed_s=round(noticed_s, 2), shared_max_s=max(took_s), sales=len(account.confirmed), grown_bytes=grown,
         agreed_s=round(agreed_s, 2), ring_p99_ms=account.milliseconds(0.99))  # fmt: skip
    assert noticed_s <= DEAD_LAN_S + LOOK_S
    assert max(took_s) < SHARED_MAX_S


async def test_a_link_whose_first_address_leads_nowhere(rig: Rig, note: Note) -> None:
    """A is on two networks, B on the second alone, and B's router swallows what is for the first."""
    office, shop_floor = rig.switch(), rig.switch()
    a = rig.till("a", (office, "10.1.0.1/16"), (shop_floor, "10.2.0.1/16"))
    b = rig.till("b", (shop_floor, "10.2.0.2/16"))
    rig.network.host("router", (shop_floor, "10.2.0.254/16"))
    b.host.route("10.2.0.254")
    await a.start()
    link = await a.invite()
    assert link.index("10.1.0.1") < link.index("10.2.0.1")
    began = time.monotonic()
    await b.join(link)
    joined_s = time.monotonic() - began
    await b.start()
    took_s = await until("they are linked", all_linked(a, b), FOUND_S)
    note(joined_s=round(joined_s, 2), linked_s=round(took_s, 2))
    await shared(Account(), b, a)


async def test_one_connection_between_any_two(rig: Rig, note: Note) -> None:
    """Both dial each other at once; one link is enough, after a partition too."""
    lan = rig.switch()
    tills = [rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1)]
    await Shop().found(*tills[1:], by=tills[0])
    counts = []
    for _ in range(2):
        await until("all are linked", all_linked(*tills), FOUND_S)

        async def settled() -> bool:
            await asyncio.sleep(QUIET_S / 4)
            return await connections(*tills) == [2, 2, 2]

        await until("each has one connection to each", settled, MOVED_S)
        await asyncio.sleep(QUIET_S)  # and it stays so
        counts.append(await connections(*tills))
        rig.network.part(*([till.host.ports[0]] for till in tills))
        await until("all are apart", apart(*tills), FOUND_S)
        rig.network.heal()
    note(connections=counts)
    assert counts == [[2, 2, 2]] * 2


async def test_a_head_office_far_away_behind_a_lossy_line(rig: Rig, note: Note) -> None:
    """300 ms each way and one packet in twenty lost, as by satellite; links stay up, and lights come on."""
    here, there = rig.switch(), rig.switch()
    a = rig.till("a", (here, "10.77.0.1/16"))
    shop = Shop([a], rig.office((there, "10.77.9.1/16")))
    assert shop.office is not None
    wire = Wire.between(rig.network, a.host.ports, shop.office.host.ports, [RELAY_PORT, SYNC_PORT])
    await asyncio.gather(a.start(), shop.office.start())
    await shop.attach(a)
    wire.set(delay_ms=300, loss=0.05, stall_ms=800)
    await until("A is linked with the head office", lambda: a.linked("HQ"), FOUND_S)
    before, account = wire.count()["connections"], Account()
    for number in range(30):
        await account.ring(a, basket(number))
    took_s = await shop.agreed(account, MOVED_S)
    counted = wire.count()
    note(agreed_s=round(took_s, 2), stalls=counted["stalls"], reconnected=counted["connections"] - before)
    assert counted["connections"] == before
    await shop.close()


async def connections(*tills: Till) -> list[int]:
    """How many connections between tills each has, both ways counted alike."""
    counts = []
    for till in tills:
        listed = await asyncio.to_thread(till.host.run, ["ss", "-Htn", "state", "established"])
        counts.append(sum(f":{SYNC_PORT}" in line for line in listed.stdout.splitlines()))
    return counts


def apart(*tills: Till) -> Callable[[], Awaitable[bool]]:
    """Whether none is linked with any."""

    async def check() -> bool:
        states = [await till.status() for till in tills]
        return not any(peer["connected"] for state in states for peer in state["peers"])

    return check
