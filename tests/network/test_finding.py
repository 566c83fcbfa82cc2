"""The shop's network between hosts of their own: nothing is configured, and whatever the cables do, the books agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import sale
from tests.network.namespaces import Host, HostedProcess, Network, network

WITHIN_S = 30.0
POLL_S = 0.1


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as found:
        yield found


def until(true: Callable[[], Any], within_s: float = WITHIN_S) -> float:
    """Wait until something is so; how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, "it did not come about"
        time.sleep(POLL_S)
    return time.monotonic() - began


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def joined(first: Host, folder: Path, *others: Host) -> None:
    """Each of the others has joined the shop of the first, by typing one link."""
    for other in others:
        link = last_line(first.run("invite", "--data", str(folder / first.name)))
        other.run("join", link, "--data", str(folder / other.name), "--label", other.name.upper())


def linked(program: HostedProcess, *names: str) -> bool:
    """Whether a till's status says that it is linked with all of these."""
    return all((peer := program.peer(name)) is not None and peer["connected"] for name in names)


def rung(program: HostedProcess, price: int = 100) -> str:
    """The id of a sale that was confirmed."""
    answer = program.post("/api/sales", sale(price=price))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def alike(*programs: HostedProcess) -> bool:
    """Whether all tell the same of today."""
    day = programs[0].get("/api/status")["day"]
    reports = [program.get(f"/api/reports/day/{day}") for program in programs]
    return all(report == reports[0] for report in reports)


def count(program: HostedProcess) -> int:
    return int(program.get(f"/api/reports/day/{program.get('/api/status')['day']}")["sales"]["count"])


@pytest.mark.timeout(120)
def test_from_two_empty_machines_to_the_first_shared_sale(net: Network, tmp_path: Path) -> None:
    """One command at each machine to run a till, one at each to pass the link on; no address is typed anywhere."""
    a, b = net.host("a"), net.host("b")
    began = time.monotonic()
    first = a.till(tmp_path / "a", "--shop", "Corner shop")
    link = last_line(a.run("invite", "--data", str(tmp_path / "a")))
    assert "10.0.0.1:8701" in link
    b.run("join", link, "--data", str(tmp_path / "b"))
    second = b.till(tmp_path / "b")
    id = rung(first)
    until(lambda: count(second) == 1)
    took = time.monotonic() - began
    print(f"first shared sale after {took:.1f} s")
    assert took < 120
    until(lambda: first.get(f"/api/sales/{id}")["durable"]["tills"] == 1)
    rung(second)
    until(lambda: alike(first, second) and count(first) == 2)
    assert first.urls["sync"] == "wss://10.0.0.1:8701"


@pytest.mark.timeout(120)
def test_addresses_change_and_tills_find_each_other_again(net: Network, tmp_path: Path) -> None:
    """After a power cut the router gives all of them other addresses; also one till gets its new one while it runs."""
    hosts = [net.host(name) for name in "abc"]
    tills = [hosts[0].till(tmp_path / "a")]
    joined(*hosts[:1], tmp_path, *hosts[1:])
    tills += [host.till(tmp_path / host.name) for host in hosts[1:]]
    until(lambda: linked(tills[1], "A", "C") and linked(tills[0], "B", "C"))
    for till in tills:
        till.kill()
    for number, host in enumerate(hosts):
        host.readdress(f"10.0.7.{20 + number}/24")
    tills = [host.till(tmp_path / host.name) for host in hosts]
    print(f"linked {until(lambda: linked(tills[1], 'A', 'C') and linked(tills[0], 'B', 'C')):.1f} s after the cut")
    hosts[2].readdress("10.0.7.99/24")
    until(lambda: not linked(tills[0], "C") or not linked(tills[1], "C"))
    took = until(lambda: linked(tills[0], "C") and linked(tills[1], "C"))
    print(f"linked {took:.1f} s after the new address")
    rung(tills[2])
    until(lambda: count(tills[0]) == count(tills[1]) == 1)


@pytest.mark.timeout(120)
def test_a_switch_without_multicast(net: Network, tmp_path: Path) -> None:
    """B and C only ever heard of A; each learns from it where the other is. A till that nobody knows says `--peer`."""
    a, b, c = (net.host(name) for name in "abc")
    net.deaf(a, b, c)
    tills = [a.till(tmp_path / "a")]
    joined(a, tmp_path, b, c)
    tills += [b.till(tmp_path / "b"), c.till(tmp_path / "c")]
    until(lambda: linked(tills[1], "A", "C") and linked(tills[2], "A", "B"))
    tills[0].kill()
    rung(tills[1])
    until(lambda: count(tills[2]) == 1)
    tills[2].stop()
    c.readdress("10.0.0.77/24")
    tills[2] = c.till(tmp_path / "c", "--peer", "10.0.0.2:8701")
    until(lambda: linked(tills[2], "B"))


@pytest.mark.timeout(120)
def test_strangers_on_the_same_wire_stay_strangers(net: Network, tmp_path: Path) -> None:
    a, b, other = (net.host(name) for name in "abo")
    tills = [a.till(tmp_path / "a")]
    joined(a, tmp_path, b)
    tills.append(b.till(tmp_path / "b"))
    stranger = other.till(tmp_path / "o", "--shop", "Another shop", "--peer", "10.0.0.1")
    until(lambda: linked(tills[0], "B") and linked(tills[1], "A"))
    rung(tills[0])
    rung(stranger)
    until(lambda: count(tills[1]) == 1)
    assert [peer["name"] for peer in tills[0].get("/api/status")["peers"]] == ["B"]
    assert not any(peer["connected"] for peer in stranger.get("/api/status")["peers"])
    assert count(stranger) == 1


@pytest.mark.timeout(180)
def test_a_line_and_a_head_office_behind_the_second_till(net: Network, tmp_path: Path) -> None:
    """A and C see only B, which has two cards; only B sees the head office."""
    a, b, c = net.host("a"), net.host("b"), net.host("c", "10.0.1.3/24", "back")
    office = net.host("o", "10.0.2.9/24", "uplink")
    b.plug("back", "10.0.1.2/24")
    b.plug("uplink", "10.0.2.2/24")
    tills = {"A": a.till(tmp_path / "a")}
    joined(a, tmp_path, b)
    tills["B"] = b.till(tmp_path / "b")
    joined(b, tmp_path, c)
    tills["C"] = c.till(tmp_path / "c")
    relay = office.relay(tmp_path / "o")
    link = last_line(office.run("invite", "--data", str(tmp_path / "o"), module="relay.cli"))
    b.run("attach", link, "--data", str(tmp_path / "b"))
    until(lambda: linked(tills["B"], "A", "C", "HQ"))
    ids = [rung(till) for till in tills.values() for _ in range(3)]
    until(lambda: all(count(till) == 9 for till in tills.values()) and alike(*tills.values()))
    until(lambda: tills["A"].get(f"/api/sales/{ids[0]}")["durable"] == {"here": True, "tills": 2, "head_office": True})
    until(lambda: tills["C"].get(f"/api/sales/{ids[-1]}")["durable"]["head_office"])
    assert not linked(tills["A"], "C") and not linked(tills["A"], "HQ")
    assert relay.running
