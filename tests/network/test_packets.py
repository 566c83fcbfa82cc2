"""The cable itself: that packets are lost, doubled, swapped, damaged, held up and blocked as it says, and that TCP over
it loses and doubles nothing."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.network.hosts import Host, Network, needs_namespaces
from tests.network.path import Cable, WireFailed

SOON_S = 10.0
PORT = 9000
SENT = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(4000))


class Two:
    """Two hosts with a cable between them, and a connection over it."""

    def __init__(self, network: Network) -> None:
        here, there = network.switch(), network.switch()
        self.a = network.host("a", (here, "10.77.0.1/16"))
        self.b = network.host("b", (there, "10.77.0.2/16"))
        self.cable = Cable(network, here, there, seed=1)
        self.listener = self._listening(self.b)
        self.near = self.a.socket()
        self.near.settimeout(SOON_S)
        self.near.connect((self.b.ip, PORT))
        self.far, _ = self.listener.accept()
        self.far.settimeout(SOON_S)

    @staticmethod
    def _listening(host: Host) -> socket.socket:
        listener = host.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.ip, PORT))
        listener.listen()
        listener.settimeout(SOON_S)
        return listener

    def send(self, what: bytes = SENT) -> float:
        """Send it over, whole and as it was; how long that took."""
        began = time.monotonic()
        sender = threading.Thread(target=self.near.sendall, args=(what,))
        sender.start()
        got = b""
        while len(got) < len(what):
            got += self.far.recv(65536)
        sender.join()
        assert got == what
        return time.monotonic() - began

    def close(self) -> None:
        for each in (self.near, self.far, self.listener):
            each.close()


@pytest.fixture
def two() -> Iterator[Two]:
    needs_namespaces()
    with Network() as network:
        made = Two(network)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ({"loss": 0.1}, "lost"),
        ({"twice": 0.5}, "doubled"),
        ({"late": 0.5, "late_ms": 10}, "delayed"),
        ({"flip": 0.1}, "flipped"),
    ],
)
def test_packets_suffer_and_what_is_said_does_not(two: Two, how: dict[str, float], counted: str) -> None:
    two.send()
    assert two.cable.count()[counted] == 0
    two.cable.set(**how)
    two.send()
    two.cable.mend()  # before it is counted: the last acknowledgements may be on their way
    frames, suffered = (two.cable.count()[name] for name in ("frames", counted))
    chance = next(iter(how.values()))
    assert chance / 3 < suffered / (frames / 2) < 2 * chance
    two.send()
    assert two.cable.count()[counted] == suffered
    assert two.cable.count()["dials"] == 1


def test_rate_and_delay_are_held(two: Two) -> None:
    two.cable.set("out", rate_bits=800_000)
    assert two.send(SENT[:50_000]) == pytest.approx(0.55, rel=0.4)
    two.cable.mend()
    two.cable.set(delay_ms=60)
    assert 0.06 <= two.send(b"x") < 0.12


def test_one_way_may_be_dead_and_nobody_is_told(two: Two) -> None:
    two.cable.block("back")
    two.send(b"there")  # and no packet says that it came
    two.far.sendall(b"never")
    two.near.settimeout(0.3)
    with pytest.raises(TimeoutError):
        two.near.recv(1)
    two.cable.mend()
    two.near.settimeout(SOON_S)
    assert two.near.recv(100) == b"never", "it was sent again"


def test_it_says_what_it_does_not_understand(two: Two) -> None:
    for wrong in ("bend", "set out bend=1", "set loss=often"):
        with pytest.raises(WireFailed):
            two.cable.say(wrong)
