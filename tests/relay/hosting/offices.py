"""What the tests of a head office's devices share: a shop that is attached, phones, and one process or several."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from posline.core.members import Role
from posline.storage.folder import Folder
from posline.storage.verify import verify
from posline.till.admitting import admit, shop_updates
from posline.till.opening import Clockwork
from posline.till.till import Till, open_till
from relay.authoring import authoring_of
from relay.home import FolderHome
from relay.hosting import desk
from relay.hosting.door import build_tills, origin_of
from relay.hosting.steward import Steward
from relay.office import CONSOLE
from relay.postgres.home import DatabaseHome
from relay.relay import Branch, Relay
from relay.web.frame import WebOptions
from tests.till.hosting import hosts

__all__ = ["URL", "Phone", "Process", "Shop", "process", "shop_at"]

URL = "https://tills.example.pk"
PHONE = "Mozilla/5.0 (Linux; Android 14)"


class Process:
    """One process of a head office, at work."""

    def __init__(self, relay: Relay) -> None:
        self.relay, self.steward = relay, Steward(relay, authoring_of(relay))
        self.app = build_tills(relay, origin_of(URL), WebOptions())

    def phone(self, of: Phone | None = None, **options: Any) -> Phone:
        """A browser; with `of`, that phone's, whose requests come here."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(
            transport=transport, base_url=URL, headers={"user-agent": PHONE}, **options
        )
        made = Phone(client)
        if of is not None:
            client.cookies, made.till = of.client.cookies, of.till
        return made

    def invite(self, shop: str, label: str = "WEB") -> str:
        """The token of a code for one device."""
        link = desk.invite(self.relay, self.relay.branch(shop), label, by=CONSOLE, expires_s=900)
        assert link.startswith(URL + "/pair#")
        return link.partition("#")[2]


class Phone(hosts.Phone):
    """A device's browser, as it asks."""

    async def pair(self, token: str, request: str | None = None) -> httpx.Response:
        """Show a token."""
        return await super().pair(f"#{token}", request)

    async def state(self) -> str:
        """What its page for pairing is told."""
        return str((await self.client.get("/pair/host")).json()["state"])


class Shop:
    """A shop with one till, and its line to the head office, which is up only when it is asked for."""

    def __init__(self, till: Till) -> None:
        self.till, self.id = till, till.shop_id

    async def give(self, at: Process) -> None:
        """The head office takes what the shop has."""
        branch = at.relay.branch(self.id)
        at.relay.tills.join(branch.replica)
        for document in self.till.whole.documents():
            for row in self.till.whole.rows(document, 0, 1000):
                branch.replica.integrate(document, row.update, origin=self.till.id)
        await at.relay.engine.durable(*branch.replica.staged)

    async def take(self, at: Process) -> None:
        """The shop takes what the head office has."""
        replica = at.relay.branch(self.id).replica
        for document in replica.documents():
            for row in replica.rows(document, 0, 1000):
                self.till.whole.integrate(document, row.update, origin=at.relay.key.id)
        await self.till.engine.durable(*self.till.whole.staged)

    def asks(self, author: str) -> Any:
        """What the head office says of a device."""
        return self.till.reports.setting(f"device/{author}")

    async def let_in(self, at: Process, phone: Phone, label: str = "WEB") -> None:
        """As a manager does at a till: what the head office asks for becomes a member."""
        await at.steward.round()
        await self.take(at)
        fields = {"key": self.asks(phone.till)["key"], "label": label, "role": "till", "hosted_by": at.relay.key.id}
        await self.till.write("member", fields, document="shop")
        await self.give(at)

    async def paired(self, at: Process, label: str = "WEB") -> Phone:
        """A phone that was let in."""
        phone = at.phone()
        assert (await phone.pair(at.invite(self.id, label))).status_code == 201
        await self.let_in(at, phone, label)
        return phone

    def sold(self, at: Branch | Process, phone: Phone) -> list[tuple[str, int]]:
        """(id, number) of what stands of a phone's at the head office, in order; and all of it is sound."""
        branch = at.relay.branch(self.id) if isinstance(at, Process) else at
        wrong = [problem for problem in verify(branch.replica.store, self.id) if "sqlite" not in problem.lower()]
        assert wrong == []
        found = branch.reports.sales(day=None, till=phone.till, after=0, limit=1000)
        assert all(each.status.value == "counted" for each in found)
        return [(each.entry.id, each.entry.number or 0) for each in found]


@asynccontextmanager
async def process(place: Path | str, clockwork: Clockwork | None = None) -> AsyncIterator[Process]:
    """A process of the head office that lies in a folder or a database."""
    async with AsyncExitStack() as stack:
        home = DatabaseHome(place) if isinstance(place, str) else FolderHome(stack.enter_context(Folder(place)))
        relay = await stack.enter_async_context(Relay(home, clockwork=clockwork))
        relay.devices.remember(URL)
        yield Process(relay)


@asynccontextmanager
async def shop_at(folder: Path, at: Process) -> AsyncIterator[Shop]:
    """A shop that has admitted the head office and is attached to it."""
    async with open_till(folder, shop="Corner shop") as till:
        await admit(till, at.relay.key.public, role=Role.HEAD_OFFICE, label="HQ")
        await at.relay.attach(shop=till.shop_id, name=till.shop, updates=shop_updates(till), alias="")
        yield Shop(till)
