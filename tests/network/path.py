"""The path between hosts as a line that can be bad: tests.network.wire, run between two switches, for what breaks
connections, and tests.network.packets for what befalls packets.

On each side a wire has the addresses of the hosts on the other, so nobody has to be told of it: what was advertised,
learnt or printed in a link leads through it. What is no TCP to one of its ports, multicast too, does not pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.network.hosts import Host, Network, Port, Switch, end

__all__ = ["Cable", "Told", "Wire", "WireFailed"]

ROOT = Path(__file__).parents[2]
HERE = "-"


class WireFailed(Exception):
    """The program said no, or is gone."""


class Told:
    """A program that is told by lines on its stdin and answers each with one line of JSON."""

    def __init__(self, module: str, network: Network | None, *arguments: str) -> None:
        """`network` ends it at its own end; without one, `close` does."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        if network is not None:
            network.on_close(self.close)

    def count(self) -> dict[str, Any]:
        """What it counted."""
        return self.say("count")

    def say(self, command: str) -> dict[str, Any]:
        """One command and its answer. Raises WireFailed."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(command + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the program is gone"}
        if "error" in answer:
            raise WireFailed(f"{command}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the program."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        end([self._child])
        self._child.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Wire(Told):
    """One line, and the program that is it. Out is from the near side to the far one."""

    def __init__(self, network: Network | None = None) -> None:
        """`network` ends it at its own end; without one, `close` does, and the line is within this machine."""
        super().__init__("tests.network.wire", network)

    @classmethod
    def between(
        cls,
        network: Network,
        near: Sequence[Port],
        far: Sequence[Port],
        ports: Sequence[int],
        *,
        near_switch: Switch | None = None,
    ) -> Self:
        """Join the hosts on two switches: each reaches those of the other side, on these TCP ports, under their own
        addresses. `near_switch` is where the line begins, if that is not the one that the near hosts are on."""
        wire = cls(network)
        near_end = wire._stand_in(network, "near", near_switch or near[0].switch, far)
        far_end = wire._stand_in(network, "far", far[0].switch, near)
        for here, there, hosts, way in ((near_end, far_end, far, "out"), (far_end, near_end, near, "back")):
            for host in hosts:
                for port in ports:
                    wire.say(f"road {way} {here.namespace} {host.ip} {port} {there.namespace} {host.ip} {port}")
        return wire

    @staticmethod
    def _stand_in(network: Network, name: str, switch: Switch, others: Sequence[Port]) -> Host:
        """A host on a switch with the addresses of those on the other one."""
        host = network.host(name)
        port = host.plug(switch, others[0].address)
        for other in others[1:]:
            port.also(other.address)
        return host

    def road(self, port: int) -> int:
        """Lead a free port of this machine to that one."""
        return int(self.say(f"road out {HERE} 127.0.0.1 0 {HERE} 127.0.0.1 {port}")["port"])

    def set(self, way: str = "", **values: float) -> None:
        """delay_ms, rate_bits, loss, stall_ms of 'out' or 'back', or of both."""
        self.say(f"set {way} " + " ".join(f"{name}={value}" for name, value in values.items()))

    def cut(self) -> None:
        """Break all connections and refuse new ones, until `heal`."""
        self.say("cut")

    def die(self) -> None:
        """Hold everything, with connections open, until `heal`."""
        self.say("dead")

    def heal(self) -> None:
        """Work again."""
        self.say("heal")

    def cut_every(self, seconds: float, pause_s: float = 0.0) -> None:
        """Cut it again and again, each time for `pause_s`; 0 stops that."""
        self.say(f"cut_every {seconds} {pause_s}")

    def count(self) -> dict[str, Any]:
        """Bytes `out` and `back`, `connections` ever and `open` now, `refused`, `cuts`, `stalls`, `bites`, `answered`
        in the far side's place."""
        return super().count()

    def bite(self, after_bytes: int) -> None:
        """End each connection behind so many bytes more, in the middle of whatever is under way; 0 stops that."""
        self.say(f"bite {after_bytes}")

    def stutter(self, after_bytes: int) -> None:
        """Say what is under way twice, behind so many bytes more of each connection; 0 stops that."""
        self.say(f"stutter {after_bytes}")

    def portal(self, kind: str) -> None:
        """Answer new connections here, as a portal that wants a login does: with `html` or with `silence`; `off`."""
        self.say(f"portal {kind}")


class Cable(Told):
    """A cable between two switches that loses, doubles, delays, swaps and damages what goes over it; see
    tests.network.packets. Out is from the first switch to the second."""

    def __init__(self, network: Network, first: Switch, second: Switch, seed: int = 0) -> None:
        ends = [f"tap{first.name}", f"tap{second.name}"]
        super().__init__("tests.network.packets", network, network.board, str(seed), *ends)
        self.count()  # both ends are there
        network.attach(ends[0], first)
        network.attach(ends[1], second)

    def set(self, way: str = "", **values: float) -> None:
        """loss, twice, late, flip (chances), late_ms, delay_ms, rate_bits of 'out' or 'back', or of both."""
        self.say(f"set {way} " + " ".join(f"{name}={value}" for name, value in values.items()))

    def block(self, way: str = "") -> None:
        """Let nothing more through 'out' or 'back', or either; nobody is told."""
        self.say(f"block {way}")

    def mend(self) -> None:
        """Be a good cable again."""
        self.say("mend")
