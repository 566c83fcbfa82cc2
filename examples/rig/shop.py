"""One relay and three tills of one shop, and the lines between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx

from examples.rig.audit import Books
from examples.rig.lines import Line
from examples.rig.programs import Program, endpoint, last_line, run, through

LABELS = ("A", "B", "C")
SHOP = "Corner shop"


class Shop:
    """The programs and the lines between them."""

    def __init__(self, folder: Path) -> None:
        self.relay = Program(
            "relay", "posline-relay", ["serve", "--data", str(folder / "relay"), "--port", "0"], folder / "relay"
        )
        self.tills = {label: self._till(folder / label, label) for label in LABELS}
        self.internet = Line("internet")
        # Who dials whom on the LAN: B dials A, C dials A and B.
        self.lan = {pair: Line(f"{pair[0]}-{pair[1]}") for pair in (("B", "A"), ("C", "A"), ("C", "B"))}
        self.id = ""
        self.relay_token = ""

    @staticmethod
    def _till(data: Path, label: str) -> Program:
        arguments = ["till", "--data", str(data), "--port", "0", "--sync-port", "0", "--no-discovery"]
        return Program(f"till {label}", "posline", arguments, data)

    @property
    def lines(self) -> list[Line]:
        return [self.internet, *self.lan.values()]

    @property
    def programs(self) -> list[Program]:
        return [*self.tills.values(), self.relay]

    async def start_till(self, label: str) -> None:
        """Start a till, and lead the lines to where it listens now."""
        till = self.tills[label]
        await till.start()
        for (_, dialled), line in self.lan.items():
            if dialled == label:
                line.target = endpoint(till.urls["sync"])

    async def _join(self, label: str) -> None:
        """Take a till into A's shop, over the line between the two."""
        link = last_line(await run("posline", "invite", "--data", str(self.tills["A"].data)))
        link = through(link, self.lan[label, "A"].address)
        await run("posline", "join", link, "--data", str(self.tills[label].data), "--label", label)

    async def start_relay(self) -> None:
        """Start the relay, and lead the internet to it."""
        await self.relay.start()
        self.internet.target = endpoint(self.relay.urls["page"])

    async def set_up(self, say: Callable[[str], None], catalogue: Path) -> None:
        """From empty folders to three tills of one shop under one head office."""
        for line in self.lines:
            await line.open()
        self.tills["A"].arguments += ["--label", "A", "--shop", SHOP, "--currency", "USD", "--zone", "America/New_York"]
        for dialler, dialled in self.lan:
            self.tills[dialler].arguments += ["--peer", f"ws://{self.lan[dialler, dialled].address}"]
        await asyncio.gather(self.start_relay(), self.start_till("A"))
        say("relay and till A run; till A founded the shop by itself")
        await asyncio.gather(*(self._join(label) for label in LABELS[1:]))
        # With the invitation B and C also learnt the port on which A really listens. It takes another one, so that the
        # lines, which are led there, are the only way.
        await self.tills["A"].stop()
        await asyncio.gather(*(self.start_till(label) for label in LABELS))
        say("tills B and C joined by invitation")
        relay = str(self.relay.data)
        link = last_line(await run("posline-relay", "invite", "--data", relay, "--shop", SHOP))
        await run("posline", "attach", through(link, self.internet.address), "--data", str(self.tills["A"].data))
        async with httpx.AsyncClient(trust_env=False) as http:
            self.id = (await http.get(self.tills["A"].urls["page"] + "/api/status")).json()["shop_id"]
        say("the shop is attached to the relay; the other tills learn it by sync")
        printed = await run("posline-relay", "token", "add", "--data", relay, "--shop", self.id, "--role", "read")
        self.relay_token = last_line(printed)
        await run("posline", "catalog", "import", str(catalogue), "--data", str(self.tills["A"].data))
        say("the catalogue is imported at till A")

    def books(self) -> list[Books]:
        """Where each replica's books are read, straight and not through a line."""
        tills = [Books(till.name, till.urls["page"] + "/api") for till in self.tills.values()]
        relay = Books("relay", f"{self.relay.urls['page']}/api/shops/{self.id}", self.relay_token)
        return [*tills, relay]

    async def close(self) -> None:
        """Stop whatever runs."""
        for program in self.programs:
            program.kill_now()
        await asyncio.gather(*(program.kill() for program in self.programs))
        for line in self.lines:
            await line.close()
