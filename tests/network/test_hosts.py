"""The rig of hosts itself: who reaches whom, multicast, changed addresses, and that nothing stays behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.hosts import NAMESPACES, PREFIX, Host, Network, needs_namespaces, sweep

PORT = 9000
SOON_S = 5.0  # what must come, comes by then
NEVER_S = 0.3  # what must not come, has had time by then
GROUP = "224.0.0.251"  # the group of mDNS


@pytest.fixture
def network() -> Iterator[Network]:
    needs_namespaces()
    with Network() as network:
        yield network


def reaches(source: Host, ip: str, port: int = PORT, *, within_s: float = SOON_S) -> bool:
    """Whether a connection can be made; to tell that something answers, 'refused' counts as reached."""
    with source.socket() as out:
        out.settimeout(within_s)
        try:
            out.connect((ip, port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True


def hears(listener: Host, speaker: Host, *, within_s: float) -> bool:
    """Whether a multicast packet of one host comes to the other."""
    with listener.socket(socket.SOCK_DGRAM) as ear, speaker.socket(socket.SOCK_DGRAM) as mouth:
        ear.bind((GROUP, PORT))
        member = socket.inet_aton(GROUP) + socket.inet_aton(listener.ip)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        ear.settimeout(within_s)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(speaker.ip))
        mouth.sendto(b"here", (GROUP, PORT))
        try:
            return ear.recv(100) == b"here"
        except TimeoutError:
            return False


def ended(pid: int) -> bool:
    """Whether that process runs no more; it may still wait for whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_hosts_on_one_switch_reach_each_other_and_nobody_else(network: Network) -> None:
    lan, other = network.switch("lan"), network.switch("other")
    a, b = network.host("a", (lan, "10.1.0.1/16")), network.host("b", (lan, "10.1.0.2/16"))
    c = network.host("c", (other, "10.1.0.3/16"))
    assert reaches(a, b.ip) and reaches(b, a.ip)
    assert not reaches(a, c.ip, within_s=NEVER_S)
    assert not reaches(a, "192.0.2.1", within_s=NEVER_S)


def test_a_host_with_two_interfaces_is_on_two_switches_and_is_no_router(network: Network) -> None:
    left, right = network.switch(), network.switch()
    a, c = network.host("a", (left, "10.1.0.1/16")), network.host("c", (right, "10.2.0.3/16"))
    b = network.host("b", (left, "10.1.0.2/16"), (right, "10.2.0.2/16"))
    a.route("10.1.0.2")
    c.route("10.2.0.2")
    assert reaches(a, "10.1.0.2") and reaches(c, "10.2.0.2")
    assert reaches(b, a.ip) and reaches(b, c.ip)
    assert not reaches(a, c.ip, within_s=NEVER_S)


def test_a_partition_holds_packets_up_and_no_carrier_is_lost(network: Network) -> None:
    lan = network.switch()
    a, b, c = (network.host(name, (lan, f"10.1.0.{at}/16")) for at, name in enumerate("abc", 1))
    with a.socket() as server, b.socket() as client:
        server.bind((a.ip, PORT))
        server.listen()
        client.connect((a.ip, PORT))
        client.settimeout(SOON_S)
        taken, _ = server.accept()
        with taken:
            network.part(a.ports, b.ports + c.ports)
            assert reaches(b, c.ip) and not reaches(b, a.ip, within_s=NEVER_S)
            taken.sendall(b"held up")
            assert "LOWER_UP" in b.run(["ip", "link", "show", "eth0"]).stdout
            network.heal()
            assert client.recv(100) == b"held up"


def test_pulling_the_cable_takes_the_carrier(network: Network) -> None:
    lan = network.switch()
    a, b = network.host("a", (lan, "10.1.0.1/16")), network.host("b", (lan, "10.1.0.2/16"))
    a.ports[0].unplug()
    assert "NO-CARRIER" in a.run(["ip", "link", "show", "eth0"]).stdout
    assert not reaches(b, a.ip, within_s=NEVER_S)
    a.ports[0].plug_in()
    assert reaches(b, a.ip)


def test_multicast_passes_until_the_switch_is_told_otherwise(network: Network) -> None:
    lan = network.switch()
    a, b = network.host("a", (lan, "10.1.0.1/16")), network.host("b", (lan, "10.1.0.2/16"))
    assert hears(a, b, within_s=SOON_S)
    lan.multicast(False)
    c = network.host("c", (lan, "10.1.0.3/16"))  # one that comes later, too
    assert not hears(a, b, within_s=NEVER_S) and not hears(c, a, within_s=NEVER_S)
    assert reaches(a, b.ip) and reaches(c, a.ip)  # and nothing else is lost
    lan.multicast(True)
    assert hears(a, b, within_s=SOON_S)


def test_isolated_ports_reach_only_those_that_are_not(network: Network) -> None:
    lan = network.switch()
    a, b, c = (network.host(name, (lan, f"10.1.0.{at}/16")) for at, name in enumerate("abc", 1))
    a.ports[0].isolate()
    c.ports[0].isolate()
    assert reaches(a, b.ip) and reaches(c, b.ip)
    assert not reaches(a, c.ip, within_s=NEVER_S)
    assert not hears(a, c, within_s=NEVER_S) and hears(a, b, within_s=SOON_S)


def test_a_changed_address_is_found_under_the_new_one_alone(network: Network) -> None:
    lan = network.switch()
    a, b = network.host("a", (lan, "10.1.0.1/16")), network.host("b", (lan, "10.1.0.2/16"))
    b.ports[0].change_address("10.1.0.9/16")
    assert b.ip == "10.1.0.9" and reaches(a, "10.1.0.9")
    assert not reaches(a, "10.1.0.2", within_s=NEVER_S)


def test_a_program_runs_on_its_host_and_gets_the_signals(network: Network) -> None:
    a = network.host("a", (network.switch(), "10.1.0.1/16"))
    assert "10.1.0.1/16" in a.run(["ip", "addr"]).stdout
    child = a.start(["sleep", "600"])
    child.send_signal(signal.SIGTERM)
    assert child.wait(SOON_S) == -signal.SIGTERM


def test_nothing_stays_behind_even_where_a_test_fails(network: Network) -> None:
    with pytest.raises(RuntimeError), Network() as inner:
        host = inner.host("a", (inner.switch(), "10.1.0.1/16"))
        child = host.start(["sleep", "600"])
        names = [host.namespace, inner.board]
        assert all((NAMESPACES / name).exists() for name in names)
        raise RuntimeError
    assert child.poll() is not None
    assert not any((NAMESPACES / name).exists() for name in names)


def test_what_a_killed_run_left_behind_is_swept_and_what_runs_is_not(network: Network) -> None:
    own = network.host("own")
    script = """
        import sys
        from tests.network.hosts import Network
        network = Network()
        child = network.host("left").start(["sleep", "600"])
        print(child.pid, flush=True)
        sys.stdin.read()
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None and run.stdin is not None
    with run:
        sleeper = int(run.stdout.readline())
        left = [path.name for path in NAMESPACES.glob(f"{PREFIX}-{run.pid}-*")]
        assert len(left) == 2 and not set(sweep()) & set(left)  # its process lives
        run.kill()
        run.wait()
    assert set(left) <= set(sweep())
    assert not any((NAMESPACES / name).exists() for name in left) and (NAMESPACES / own.namespace).exists()
    until = time.monotonic() + SOON_S
    while not ended(sleeper):
        assert time.monotonic() < until, "its program still runs"
