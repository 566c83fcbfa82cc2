"""The line itself: that its rate, its delay, its losses and its cuts are what they are said to be."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from tests.network.hosts import Network, needs_namespaces
from tests.network.path import Wire, WireFailed

SOON_S = 5.0
TOLERANCE = 0.05  # of rate and delay


class Echo:
    """A server on this machine that sends back what it gets, or swallows it and keeps the times."""

    def __init__(self, *, swallow: bool = False) -> None:
        self._swallow = swallow
        self.got: list[tuple[float, int]] = []  # when, and how many bytes by then, of all connections
        self._counts = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with taken:
            try:
                while chunk := taken.recv(65536):
                    with self._counts:
                        before = self.got[-1][1] if self.got else 0
                        self.got.append((time.monotonic(), before + len(chunk)))
                    if not self._swallow:
                        taken.sendall(chunk)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def sink() -> Iterator[Echo]:
    server = Echo(swallow=True)
    yield server
    server.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


def call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SOON_S)


def ping(line: socket.socket, size: int = 1) -> float:
    """Seconds until that many bytes are back."""
    began = time.monotonic()
    line.sendall(b"x" * size)
    while size:
        size -= len(line.recv(size))
    return time.monotonic() - began


def send_for(port: int, seconds: float) -> None:
    """Send as fast as it goes."""
    until = time.monotonic() + seconds
    with call(port) as line:
        while time.monotonic() < until:
            line.sendall(b"x" * 4096)


def rate_bits(got: list[tuple[float, int]]) -> float:
    """Over all but the beginning, when buffers fill."""
    (first_s, first), (last_s, last) = got[len(got) // 4], got[-1]
    return (last - first) * 8 / (last_s - first_s)


def best_bits(got: list[tuple[float, int]], seconds: float = 0.4) -> float:
    """In the best stretch of so long: in others the wire or its caller may have waited for a processor."""
    return max(
        (last - first) * 8 / (last_s - first_s)
        for n, (first_s, first) in enumerate(got)
        for last_s, last in [next((at for at in got[n:] if at[0] >= first_s + seconds), (float("inf"), 0))]
    )


@pytest.mark.parametrize("rate", [1_000_000, 20_000_000])
def test_the_rate_is_held(wire: Wire, sink: Echo, rate: int) -> None:
    wire.set("out", rate_bits=rate)
    port = wire.road(sink.port)
    held(sink, rate, lambda: send_for(port, 1.5))


def held(sink: Echo, rate: int, send: Callable[[], None]) -> None:
    """It is never more; and as much in one of three tries, since others may have the processor in the others."""
    for _ in range(3):
        sink.got.clear()
        send()
        got = list(sink.got)
        measured, best = rate_bits(got), best_bits(got[len(got) // 4 :])
        print(f"rate {rate}: measured {measured:.0f}, at best {best:.0f}")
        assert measured <= rate * (1 + TOLERANCE)
        if best >= rate * (1 - TOLERANCE):
            return
    pytest.fail(f"{best:.0f} bits/s at best, of {rate}")


def test_connections_share_the_rate(wire: Wire, sink: Echo) -> None:
    wire.set("out", rate_bits=1_000_000)
    port = wire.road(sink.port)

    def send() -> None:
        senders = [threading.Thread(target=send_for, args=(port, 1.5)) for _ in range(3)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    held(sink, 1_000_000, send)


def test_one_way_is_not_the_other(wire: Wire, echo: Echo) -> None:
    wire.set("out", delay_ms=40)
    wire.set("back", rate_bits=400_000)
    with call(wire.road(echo.port)) as line:
        assert 0.040 <= min(ping(line) for _ in range(5)) < 0.060
        assert min(ping(line, 50_000) for _ in range(2)) == pytest.approx(0.040 + 50_000 * 8 / 400_000, rel=0.1)


@pytest.mark.parametrize("delay_ms", [20, 150])
def test_the_delay_is_held(wire: Wire, echo: Echo, delay_ms: int) -> None:
    wire.set(delay_ms=delay_ms)
    with call(wire.road(echo.port)) as line:
        times = [ping(line) * 1000 for _ in range(9)]
    print(f"delay {delay_ms} each way: there and back {statistics.median(times):.1f} ms")
    held = min(times)  # what is above it waited for a processor, not for the wire
    assert 2 * delay_ms <= held <= 2 * delay_ms * (1 + TOLERANCE) + 3


def test_delay_alone_holds_no_rate_back(wire: Wire, sink: Echo) -> None:
    wire.set(delay_ms=50)
    send_for(wire.road(sink.port), 1.0)
    assert rate_bits(sink.got) > 100_000_000


def test_a_throttled_line_hides_little(wire: Wire, sink: Echo) -> None:
    """What a sender gets rid of and nobody has got yet: the buffers of the line, and the kernel's of the sender."""
    wire.set(rate_bits=1_000_000, delay_ms=20)
    sent = 0
    with call(wire.road(sink.port)) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            sent += line.send(b"x" * 4096)
        hidden = sent - sink.got[-1][1]
    print(f"hidden {hidden} bytes")
    assert hidden < 120_000


def test_a_loss_is_a_stall_of_its_connection(wire: Wire, echo: Echo) -> None:
    wire.set("out", loss=0.5, stall_ms=300)
    with call(wire.road(echo.port)) as line:
        times = [ping(line) for _ in range(18)]
    stalled = sum(took > 0.29 for took in times)
    assert stalled <= wire.count()["stalls"] <= stalled + 2 and 2 <= stalled <= 16  # the end may stall too
    assert min(times) < 0.05


def test_cut_breaks_and_refuses_until_healed(wire: Wire, echo: Echo) -> None:
    port = wire.road(echo.port)
    with call(port) as line:
        ping(line)
        wire.cut()
        with pytest.raises(ConnectionResetError):
            line.recv(1)
        with pytest.raises(ConnectionRefusedError):
            call(port)
        wire.heal()
    with call(port) as line:
        ping(line)
    counted = wire.count()
    assert (counted["connections"], counted["cuts"], counted["out"], counted["back"]) == (2, 1, 2, 2)


def test_dead_holds_what_is_said_and_heal_lets_it_through(wire: Wire, echo: Echo) -> None:
    port = wire.road(echo.port)
    with call(port) as line:
        ping(line)
        wire.die()
        line.sendall(b"held")
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            line.recv(1)
        wire.heal()
        line.settimeout(SOON_S)
        assert line.recv(100) == b"held"


def test_cut_every(wire: Wire, echo: Echo) -> None:
    port, times = wire.road(echo.port), []
    wire.cut_every(0.4)
    while len(times) < 4:
        try:
            with call(port) as line:
                while True:
                    ping(line)
        except OSError:
            times.append(time.monotonic())
            while wire.count()["cuts"] < len(times) or wire.count()["state"] != "up":
                pass
    wire.cut_every(0)
    assert statistics.mean(b - a for a, b in pairwise(times)) == pytest.approx(0.4, rel=0.1)
    with call(port) as line:
        ping(line)


def test_what_ends_at_one_side_ends_at_the_other(wire: Wire, sink: Echo) -> None:
    with call(wire.road(sink.port)) as line:
        line.sendall(b"x" * 1_000_000)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1) == b""  # the sink has seen the end, and ended
        assert sink.got[-1][1] == 1_000_000
    free = socket.create_server(("127.0.0.1", 0))
    port = wire.road(free.getsockname()[1])
    free.close()
    with pytest.raises(ConnectionResetError), call(port) as line:
        line.recv(1)


def test_a_bite_ends_a_connection_in_the_middle_of_a_word(wire: Wire, echo: Echo) -> None:
    port = wire.road(echo.port)
    wire.bite(1000)
    for _ in range(2):
        with call(port) as line:
            line.sendall(b"x" * 700)
            got = b""
            while chunk := line.recv(4096):
                got += chunk
            assert got == b"x" * 300, "700 went there, and 300 came back before it ended, with no reset"
    wire.bite(0)
    with call(port) as line:
        ping(line, 5000)
    assert wire.count()["bites"] == 2


def test_a_stutter_says_once_more_what_is_under_way(wire: Wire, echo: Echo) -> None:
    port = wire.road(echo.port)
    wire.stutter(13)
    with call(port) as line:
        for word in (b"one", b"two"):
            line.sendall(word)
            assert line.recv(100) == word
        line.sendall(b"three")
        got = b""
        while len(got) < 10:
            got += line.recv(100)
        assert got == b"threethree"
        ping(line)
    assert wire.count()["stutters"] == 1


def test_a_portal_answers_in_the_others_place(wire: Wire, sink: Echo) -> None:
    port = wire.road(sink.port)
    wire.portal("html")
    with call(port) as line:
        line.sendall(b"hello")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 OK")
    wire.portal("silence")
    with call(port) as line:
        line.sendall(b"hello")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)
    counted = wire.count()
    assert (counted["answered"], counted["connections"], sink.got) == (2, 0, [])
    wire.portal("off")
    with call(port) as line:
        line.sendall(b"hello")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1) == b"" and sink.got[-1][1] == 5


def test_it_says_what_it_does_not_understand(wire: Wire) -> None:
    wrongs = ("bend", "set out bend=1", "portal maybe", "bite much", "road out - nowhere 0 - x 1", "set rate_bits=fast")
    for wrong in wrongs:
        with pytest.raises(WireFailed):
            wire.say(wrong)
    assert wire.count()["connections"] == 0


def test_between_hosts_each_has_its_own_address() -> None:
    needs_namespaces()
    with Network() as network:
        here, there = network.switch(), network.switch()
        a, b = network.host("a", (here, "10.77.0.1/16")), network.host("b", (here, "10.77.0.2/16"))
        office = network.host("office", (there, "10.77.9.1/16"))
        wire = Wire.between(network, a.ports + b.ports, office.ports, [9000])
        wire.set("out", delay_ms=30)
        for host, other in ((a, office), (b, office), (office, b)):
            with other.socket() as server, host.socket() as client:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((other.ip, 9000))
                server.listen()
                client.settimeout(SOON_S)
                server.settimeout(SOON_S)
                client.connect((other.ip, 9000))
                began = time.monotonic()
                client.sendall(b"x")
                taken, address = server.accept()
                with taken:
                    assert address[0] == host.ip
                    assert taken.recv(1) == b"x"
                    assert (time.monotonic() - began >= 0.03) == (host is not office)
        assert wire.count()["out"] == 2 and wire.count()["back"] == 1
