"""Shops on real networks: tills that find each other, keep up with each other however they are joined, and notice a
line that is dead. Each till is a program on a host of its own; see tests.network.shop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import islice

import pytest

from examples.rig.baskets import Basket
from tests.network.conftest import Rig
from tests.network.hosts import Port
from tests.network.shop import SYNC_PORT, Account, Shop, Till, baskets_for_ever, until
from tests.proof import PROOF, Note

FIRST_SALE_S = 40.0  # from nothing to a shared sale; the promise is two minutes
FOUND_S = 20.0  # for tills that can hear each other to be linked: interfaces are looked at every 3 s
MOVED_S = 45.0  # the same, where only redialling finds the other
SHARED_S = 10.0  # for a sale to cross links that are up
DEAD_LAN_S, DEAD_FAR_S = 2.0, 10.0  # the promise
LOOK_S = 0.35 if PROOF else 3.0  # between two looks, and the tick of the program; more while other tests run too
HEALED_S = 15.0
APART_S = 4.0  # long enough for strangers to have found each other, if they did


def basket(number: int = 0) -> Basket:
    return next(islice(baskets_for_ever(number), 1))


async def everywhere(sale: str, *tills: Till) -> bool:
    """Whether all of them hold the sale."""
    return all(await asyncio.gather(*(till.has(sale) for till in tills)))


async def shared(account: Account, at: Till, *others: Till) -> float:
    """Ring a sale at one till; the seconds until all others have it."""
    sale = await account.ring(at, basket(len(account.confirmed)))
    return await until(f"{at.name}'s sale is everywhere", lambda: everywhere(sale, *others), SHARED_S)


def all_linked(*tills: Till) -> Callable[[], Awaitable[bool]]:
    """Whether each is linked with all the others, by name."""

    async def linked() -> bool:
        labels = [(await till.status())["label"] for till in tills]
        return all(
            [await till.linked(*(label for other, label in zip(tills, labels, strict=True) if other is not till))
             for till in tills]
        )  # fmt: skip

    return linked


def has(till: Till, sale: str) -> Callable[[], Awaitable[bool]]:
    """Whether the till holds the sale."""
    return lambda: till.has(sale)


async def change_address(till: Till, address: str, port: int = 0) -> None:
    """As a DHCP server may do it to a till that runs."""
    await asyncio.to_thread(till.host.ports[port].change_address, address)


# -- from nothing ------------------------------------------------------------------------------------------------------


async def test_from_two_empty_machines_to_the_first_shared_sale(rig: Rig, note: Note) -> None:
    """`posline till` at both, `posline invite` at one, `posline join LINK` at the other, and nothing else."""
    lan = rig.switch()
    a, b = rig.till("a", (lan, "10.77.0.1/16")), rig.till("b", (lan, "10.77.0.2/16"))
    began = time.monotonic()
    await asyncio.gather(a.start(), b.start())
    ready_s = time.monotonic() - began
    await b.join(await a.invite())
    account = Account()
    share_s = await shared(account, a, b)
    took_s = time.monotonic() - began
    share_back_s = await shared(account, b, a)
    await Shop([a, b]).agreed(account, SHARED_S)
    note(commands=4, seconds=round(took_s, 2), ready_s=round(ready_s, 2), share_s=[share_s, share_back_s])
    assert took_s < FIRST_SALE_S


async def test_both_moved_while_they_were_off_and_multicast_alone_finds_them(rig: Rig, note: Note) -> None:
    lan = rig.switch()
    a, b = rig.till("a", (lan, "10.77.0.1/16")), rig.till("b", (lan, "10.77.0.2/16"))
    await Shop().found(b, by=a)
    await asyncio.gather(a.stop(), b.stop())
    await change_address(a, "10.77.0.11/16")
    await change_address(b, "10.77.0.12/16")
    await asyncio.gather(a.start(), b.start())
    took_s = await until("they are linked again", all_linked(a, b), FOUND_S)
    note(linked_s=round(took_s, 2))
    await shared(Account(), a, b)


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multicast", [True, False])
async def test_a_till_that_runs_gets_another_address(rig: Rig, note: Note, multicast: bool) -> None:
    lan = rig.switch()
    lan.multicast(multicast)
    a, b, c = (rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1))
    await Shop().found(b, c, by=a)
    await until("all are linked", all_linked(a, b, c), FOUND_S)
    await change_address(b, "10.77.0.22/16")
    account = Account()
    await account.ring(b, basket())  # selling goes on meanwhile
    changed = time.monotonic()

    async def noticed() -> bool:
        return not await all_linked(a, b, c)() or time.monotonic() - changed > DEAD_LAN_S + LOOK_S

    await until("the old links are gone", noticed, FOUND_S)
    await until("all are linked again", all_linked(a, b, c), MOVED_S)
    note(multicast=multicast, linked_again_s=round(time.monotonic() - changed, 2))
    await shared(account, c, a, b)
    await Shop([a, b, c]).agreed(account, SHARED_S)


async def test_two_interfaces_join_two_networks_and_either_may_fail(rig: Rig, note: Note) -> None:
    """A and B are on the cable and on the Wi-Fi, C on the Wi-Fi alone. The cable fails without a word, then the Wi-Fi:
    one of them carried the link."""
    cable, wifi = rig.switch(), rig.switch()
    a = rig.till("a", (cable, "10.1.0.1/16"), (wifi, "10.2.0.1/16"))
    b = rig.till("b", (cable, "10.1.0.2/16"), (wifi, "10.2.0.2/16"))
    await Shop().found(b, by=a)
    await until("A and B are linked", all_linked(a, b), FOUND_S)
    account, took_s = Account(), []
    for at in (0, 1):
        rig.network.part([a.host.ports[at]])
        sale = await account.ring(b, basket(at))
        took_s.append(round(await until("A has B's sale over the other network", has(a, sale), MOVED_S), 2))
        rig.network.heal()
    note(shared_s=took_s)
    assert max(took_s) > 0.35  # or no link was lost at all
    c = rig.till("c", (wifi, "10.2.0.3/16"))
    await Shop().found(c, by=b)
    await until("C is linked with both", all_linked(a, b, c), FOUND_S)
    a.host.ports[0].unplug()
    await shared(account, a, b, c)
    await Shop([a, b, c]).agreed(account, SHARED_S)


async def test_without_multicast_addresses_are_learnt_from_peers(rig: Rig, note: Note) -> None:
    lan = rig.switch()
    lan.multicast(False)
    a, b, c = (rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1))
    await Shop().found(b, by=a)
    await Shop().found(c, by=b)  # C has a link of B's, and learns of A
    took_s = await until("all are linked", all_linked(a, b, c), FOUND_S)
    note(linked_s=round(took_s, 2))
    await shared(Account(), c, a, b)


async def test_without_multicast_and_with_stale_addresses_peer_leads_there(rig: Rig, note: Note) -> None:
    """Where all have moved at once and nobody hears anybody, one `--peer` at one till joins all."""
    lan = rig.switch()
    lan.multicast(False)
    a, b, c = tills = [rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1)]
    await Shop().found(b, c, by=a)
    await until("all are linked", all_linked(a, b, c), FOUND_S)
    await asyncio.gather(*(till.stop() for till in tills))
    for at, till in enumerate(tills, 11):
        await change_address(till, f"10.77.0.{at}/16")
    for till in (b, c):
        till.arguments += ["--peer", f"{a.host.ip}:{SYNC_PORT}"]
    await asyncio.gather(*(till.start() for till in tills))
    took_s = await until("all are linked, B and C with each other too", all_linked(a, b, c), FOUND_S)
    note(linked_s=round(took_s, 2))
    await shared(Account(), b, a, c)


async def test_strangers_on_the_same_switch_stay_strangers(rig: Rig) -> None:
    """Two shops; a till of the one even dials the other's."""
    lan = rig.switch()
    a, b, x, y = (rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abxy", 1))
    y.arguments += ["--peer", f"{a.host.ip}:{SYNC_PORT}"]
    await asyncio.gather(Shop().found(b, by=a), Shop().found(y, by=x))
    await until("the one shop is linked", all_linked(a, b), FOUND_S)
    await until("the other shop is linked", all_linked(x, y), FOUND_S)
    ours, theirs = Account(), Account()
    sale, other = await ours.ring(a, basket(1)), await theirs.ring(y, basket(2))
    await asyncio.sleep(APART_S)  # nothing can be waited for: what must not happen has time to
    assert await everywhere(sale, a, b) and await everywhere(other, x, y)
    for till, stranger in ((a, other), (b, other), (x, sale), (y, sale)):
        status = await till.status()
        assert not await till.has(stranger)
        assert sum(peer["connected"] for peer in status["peers"]) == 1, status["peers"]
        assert not status["alarms"], status["alarms"]
    assert "another shop" in y.said() and "Traceback" not in a.said() + b.said() + x.said() + y.said()


# -- shapes ------------------------------------------------------------------------------------------------------------


async def test_a_line_of_three_whose_ends_cannot_reach_each_other(rig: Rig, note: Note) -> None:
    lan = rig.switch()
    a, b, c = (rig.till(name, (lan, f"10.77.0.{at}/16")) for at, name in enumerate("abc", 1))
    for end in (a, c):
        end.host.ports[0].isolate()
    await Shop().found(a, c, by=b)
    account = Account()
    took_s = [await shared(account, a, b, c), await shared(account, c, b, a), await shared(account, b, a, c)]
    note(share_s=[round(each, 3) for each in took_s])
    labels = {till: (await till.status())["label"] for till in (a, c)}
    assert not await a.linked(labels[c]) and not await c.linked(labels[a])
    sale = next(iter(account.confirmed))

    async def held_by_both() -> bool:
        lights = (await a.desk.get(f"/api/sales/{sale}"))["durable"]
        return bool(lights["tills"] == 2)

    await until("A knows that C holds its sale too", held_by_both, SHARED_S)
    await Shop([a, b, c]).agreed(account, SHARED_S)


async def test_a_till_reaches_the_head_office_through_another(rig: Rig, note: Note) -> None:
    lan, internet = rig.switch(), rig.switch()
    a = rig.till("a", (lan, "10.77.0.1/16"))
    b = rig.till("b", (lan, "10.77.0.2/16"), (internet, "10.99.0.2/16"))
    shop = Shop([], rig.office((internet, "10.99.0.1/16")))
    assert shop.office is not None
    await asyncio.gather(shop.office.start(), shop.found(b, by=a))
    await shop.attach(b)
    account = Account()
    sale = await account.ring(a, basket())

    async def in_head_office() -> bool:
        return bool((await a.desk.get(f"/api/sales/{sale}"))["durable"]["head_office"])

    took_s = await until("A knows that the head office holds its sale", in_head_office, SHARED_S)
    note(light_s=round(took_s, 3))
    assert not (await a.peer("HQ")).get("connected")
    await shop.agreed(account, SHARED_S)
    await shop.close()


# -- dead lines --------------------------------------------------------------------------------------------------------


async def test_a_dead_line_behind_a_live_router_is_noticed_and_heals(rig: Rig, note: Note) -> None:
    """Nothing is closed, no carrier is lost: packets just come no more."""
    lan, internet = rig.switch(), rig.switch()
    a = rig.till("a", (lan, "10.77.0.1/16"), (internet, "10.99.0.2/16"))
    b = rig.till("b", (lan, "10.77.0.2/16"))
    shop = Shop([], rig.office((internet, "10.99.0.1/16")))
    assert shop.office is not None
    await asyncio.gather(shop.office.start(), shop.found(b, by=a))
    await shop.attach(a)
    other = (await b.status())["label"]
    await until("A is linked with B and the head office", lambda: a.linked(other, "HQ"), FOUND_S)
    for name, port, within_s in ((other, a.host.ports[0], DEAD_LAN_S), ("HQ", a.host.ports[1], DEAD_FAR_S)):
        noticed_s, healed_s = await kill_and_heal(rig, a, name, port, within_s)
        note(**{f"{'far' if name == 'HQ' else 'lan'}_noticed_s": noticed_s, f"{name}_healed_s": healed_s})
        assert noticed_s <= within_s + LOOK_S
    account = Account()
    await shared(account, a, b)
    await shop.agreed(account, SHARED_S)
    await shop.close()


async def kill_and_heal(rig: Rig, till: Till, peer: str, port: Port, within_s: float) -> tuple[float, float]:
    """Seconds until the till says that the peer is not connected, and from the healing on until it is."""

    async def gone() -> bool:
        return not await till.linked(peer)

    rig.network.part([port])
    noticed_s = await until(f"{peer} is seen to be gone", gone, 2 * within_s + 1)
    rig.network.heal()
    healed_s = await until(f"{peer} is back", lambda: till.linked(peer), HEALED_S)
    return round(noticed_s, 2), round(healed_s, 2)
