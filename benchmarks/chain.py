"""A head office under a whole chain: how many tills it holds, what each costs, how fast sales are acknowledged.

    python -m benchmarks.chain --shops 2000 --tills 4 [--database postgresql://...]

The tills are simulated (examples/rig/crowd.py), the sockets are real, and the head office is a process of its own. Both
share this machine, so beside each figure stand the seconds of CPU that either used: what was short of CPU waited.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import percentile
from examples.rig.crowd import Crowd
from examples.rig.programs import Program
from posline.till.invitation import Invitation
from posline.till.local import ask, run_here
from relay.commands import COMMANDS
from relay.relay import Relay
from relay.serve import database_home

__all__ = ["main"]

LINKS_A_SECOND = 150  # that come up: a head office that starts again has all its tills at the door
LINKED_S = 300.0
SETTLED_S = 5.0
QUIET_S = 10.0
RING_S = 20.0
DRAINED_S = 120.0


class Chain:
    """One head office and its shops."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.figures = options, dict[str, Any]()
        self.data = folder / "relay"
        place = ["--database", options.database] if options.database else ["--data", str(self.data)]
        self.relay = Program("relay", "posline-relay", ["serve", "--port", "0", *place], self.data)
        self.random = random.Random(5)

    async def measure(self) -> dict[str, Any]:
        """Everything, one after the other."""
        await self.relay.start()
        empty = self.relay.memory_bytes()
        crowd = Crowd(self.options.shops, self.options.tills)
        try:
            await crowd.start()
            office = await self._attach(crowd)
            await asyncio.sleep(SETTLED_S)
            attached = self.relay.memory_bytes()
            self._note(relay_mib=empty >> 20, attached_mib=attached >> 20)
            self._note(bytes_an_attached_shop=(attached - empty) // len(crowd.shops))
            await self.relay.stop()  # so that nothing is left of attaching them
            await self.relay.start()
            await asyncio.sleep(SETTLED_S)
            attached = self.relay.memory_bytes()
            self._note(idle_mib=attached >> 20, bytes_an_idle_shop=max(0, attached - empty) // len(crowd.shops))
            await self._link(crowd, office)
            await asyncio.sleep(SETTLED_S)
            linked = self.relay.memory_bytes()
            self._note(linked_mib=linked >> 20, bytes_an_idle_till=(linked - attached) // len(crowd.tills))
            gc.collect()
            gc.freeze()  # a till is alone in its process: none waits while the garbage of 8,000 others is looked for
            await self._quiet()
            for rate in self.options.rates:
                await self._ring(crowd, rate)
            self._note(rung_mib=self.relay.memory_bytes() >> 20)
        finally:
            await self.relay.kill()  # all was measured; thousands of links would take a while to go
            await crowd.stop()
        return self.figures

    def _note(self, **figures: Any) -> None:
        self.figures |= figures
        print(json.dumps(figures), flush=True)

    def _invitation(self) -> Invitation:
        said = {"expires_s": 600, "shop": "", "operator": ""}
        if self.options.database:
            home = database_home(self.options.database)
            found = run_here(lambda: Relay(home, serving=False), said, COMMANDS["invite"])
        else:
            found = ask(self.data, "invite", said, command=COMMANDS["invite"], open_here=Relay)
        return Invitation.parse(found["link"], "attach")

    async def _attach(self, crowd: Crowd) -> str:
        began_s = time.monotonic()
        office = ""
        for shop in crowd.shops:
            invitation = await asyncio.to_thread(self._invitation)
            key = await crowd.attach(shop, invitation.urls, invitation.token)
            if not office:
                office = invitation.of
                crowd.admit(key, office)
        self._note(shops=len(crowd.shops), attached_s=round(time.monotonic() - began_s, 1))
        return office

    async def _link(self, crowd: Crowd, office: str) -> None:
        began_s, cpu_s = time.monotonic(), self.relay.cpu_s()
        base = self.relay.urls["page"].replace("http", "ws", 1)
        for n, till in enumerate(crowd.tills):
            url = f"{base}/sync/{till.replica.shop}"
            till.start(office, lambda url=url: [url])  # type: ignore[misc]
            if n % 10 == 9:
                await asyncio.sleep(10 / LINKS_A_SECOND)
        while (linked := sum(till.linked for till in crowd.tills)) < len(crowd.tills):
            if time.monotonic() - began_s > LINKED_S:
                break
            await asyncio.sleep(0.5)
        took_s = time.monotonic() - began_s
        self._note(links=linked, of=len(crowd.tills), linked_s=round(took_s, 1),
                   relay_cpu_share_linking=round((self.relay.cpu_s() - cpu_s) / took_s, 2))  # fmt: skip

    async def _quiet(self) -> None:
        began_s, cpu_s = time.monotonic(), self.relay.cpu_s()
        await asyncio.sleep(QUIET_S)
        self._note(relay_cpu_share_idle=round((self.relay.cpu_s() - cpu_s) / (time.monotonic() - began_s), 2))

    async def _ring(self, crowd: Crowd, rate: float) -> None:
        """Sales at random tills, `rate` a second; 0 as fast as tills that each wait for their last one can."""
        for till in crowd.tills:
            till.replica.held.clear()
        began_s, cpu_s, own_s = time.monotonic(), self.relay.cpu_s(), time.process_time()
        rung = await (self._steadily(crowd, rate) if rate else self._closely(crowd))
        while (held := sum(len(till.replica.held) for till in crowd.tills)) < rung:
            if time.monotonic() - began_s > RING_S + DRAINED_S:
                break
            await asyncio.sleep(0.05)
        took_s = time.monotonic() - began_s
        waits = [wait for till in crowd.tills for wait, _ in till.replica.held] or [0.0]
        name = f"at_{rate:g}_a_second" if rate else "closely"
        self._note(**{name: {
            "rung": rung, "held": held, "held_a_second": round(held / took_s, 1),
            "held_p50_ms": round(1000 * percentile(waits, 0.5), 1),
            "held_p99_ms": round(1000 * percentile(waits, 0.99), 1),
            "relay_cpu_share": round((self.relay.cpu_s() - cpu_s) / took_s, 2),
            "tills_cpu_share": round((time.process_time() - own_s) / took_s, 2),
        }})  # fmt: skip

    async def _steadily(self, crowd: Crowd, rate: float) -> int:
        began_s, rung = time.monotonic(), 0
        while (at_s := time.monotonic() - began_s) < RING_S:
            while rung < at_s * rate:
                await self.random.choice(crowd.tills).sell(self.random)
                rung += 1
            await asyncio.sleep(0.005)
        return rung

    async def _closely(self, crowd: Crowd) -> int:
        until_s, rung = time.monotonic() + RING_S, 0

        async def one(n: int) -> None:
            nonlocal rung
            till, rng = crowd.tills[n], random.Random(n)
            while time.monotonic() < until_s:
                await till.sell(rng)
                rung += 1
                await till.replica.wait_held(until_s - time.monotonic())

        await asyncio.gather(*(one(n) for n in range(min(self.options.ringing, len(crowd.tills)))))
        return rung


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print each figure as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shops", type=int, default=200)
    parser.add_argument("--tills", type=int, default=4)
    parser.add_argument("--database", default="", help="postgresql://...; without it SQLite in a folder")
    parser.add_argument("--rates", type=float, nargs="*", default=[20, 100, 0], help="sales a second; 0: closely")
    parser.add_argument("--ringing", type=int, default=64, help="tills that ring closely")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="posline-chain-") as folder:
        figures = asyncio.run(Chain(options, Path(folder)).measure())
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
