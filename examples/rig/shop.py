"""One relay and three tills of one shop, and the lines between them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx

from examples.rig.audit import Books
from examples.rig.lines import Line
from examples.rig.programs import Program, endpoint, free_port, last_line, run

LABELS = ("A", "B", "C")
SHOP = "Corner shop"


class Shop:
    """The programs and the lines between them."""

    def __init__(self, folder: Path) -> None:
        arguments = ["serve", "--data", str(folder / "relay"), "--port", "0", "--own-certificate"]
        self.relay = Program("relay", "posline-relay", arguments, folder / "relay")
        self.tills = {label: self._till(folder / label, label) for label in LABELS}
        self.internet = Line("internet")
        # The cable of each till: whoever dials the till comes through it, since that is the address that it gives.
        self.lan = {label: Line(f"to {label}") for label in LABELS}
        self.id = ""
        self.relay_token = ""

    @staticmethod
    def _till(data: Path, label: str) -> Program:
        arguments = ["till", "--data", str(data), "--port", "0", "--host", "127.0.0.1"]
        return Program(f"till {label}", "posline", arguments, data)

    @property
    def lines(self) -> list[Line]:
        return [self.internet, *self.lan.values()]

    @property
    def programs(self) -> list[Program]:
        return [*self.tills.values(), self.relay]

    async def start_till(self, label: str) -> None:
        """Start a till. It listens behind its line."""
        await self.tills[label].start()

    def _lay(self, label: str) -> None:
        """Lead a till's line to the port on which it will listen."""
        line, port = self.lan[label], free_port()
        line.target = ("127.0.0.1", port)
        self.tills[label].arguments += ["--sync-port", str(port), "--address", line.address]

    async def _join(self, label: str) -> None:
        """Take a till into A's shop with a link of A's."""
        link = last_line(await run("posline", "invite", "--data", str(self.tills["A"].data)))
        await run("posline", "join", link, "--data", str(self.tills[label].data), "--label", label)

    async def start_relay(self) -> None:
        """Start the relay, and lead the internet to it."""
        await self.relay.start()
        self.internet.target = endpoint(self.relay.urls["page"])  # where it listens, behind the line

    async def set_up(self, say: Callable[[str], None], catalogue: Path) -> None:
        """From empty folders to three tills of one shop under one head office."""
        for line in self.lines:
            await line.open()
        self.tills["A"].arguments += ["--label", "A", "--shop", SHOP, "--currency", "USD", "--zone", "America/New_York"]
        for label in LABELS:
            self._lay(label)
        self.relay.arguments += ["--address", self.internet.address]
        await asyncio.gather(self.start_relay(), self.start_till("A"))
        say("relay and till A run; till A founded the shop by itself")
        await asyncio.gather(*(self._join(label) for label in LABELS[1:]))
        await asyncio.gather(*(self.start_till(label) for label in LABELS[1:]))
        say("tills B and C joined by invitation, and find each other by themselves")
        relay = str(self.relay.data)
        link = last_line(await run("posline-relay", "invite", "--data", relay, "--shop", SHOP))
        await run("posline", "attach", link, "--data", str(self.tills["A"].data))
        async with httpx.AsyncClient(trust_env=False) as http:
            self.id = (await http.get(self.tills["A"].urls["page"] + "/api/status")).json()["shop_id"]
        say("the shop is attached to the relay; the other tills learn it by sync")
        printed = await run("posline-relay", "token", "add", "--data", relay, "--shop", self.id, "--role", "read")
        self.relay_token = last_line(printed)
        await run("posline", "catalog", "import", str(catalogue), "--data", str(self.tills["A"].data))
        say("the catalogue is imported at till A")

    def trust(self) -> ssl.SSLContext:
        """What a program needs to ask the relay over TLS: its certificate."""
        return ssl.create_default_context(cafile=str(self.relay.data / "certificate.pem"))

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
