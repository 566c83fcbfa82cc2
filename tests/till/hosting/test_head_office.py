"""A head office hosts as a till does: with no till behind it, only a store, an engine and a shop's replica."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

from posline.core.base64url import base64url
from posline.core.clock import Clock
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.storage.removal import points_of
from posline.storage.verify import verify
from posline.sync.engine import Engine
from posline.till.hosting.door import Door, device_app
from posline.till.hosting.hosting import Hosting
from posline.till.opening import Clockwork, close_store, open_store
from posline.till.till import Till, open_till
from posline.trust.keys import Key
from tests.kit import StillTime
from tests.till.hosting.hosts import paired
from tests.till.shop import sale


class Office:
    """A head office, as far as hosting asks. A till of the shop admits for it."""

    def __init__(self, folder: Folder, till: Till) -> None:
        self._till, self.folder, self.clockwork = till, folder, Clockwork()
        self.store, self.key = open_store(folder), Key(secrets.token_bytes(32))
        self.engine = Engine(self.store, kind="head office")
        self.whole = Replica(
            self.store, till.shop_id, author=None, clock=None, random=random.SystemRandom(), documents=False,
            store_id=self.key.id, sign=self.key.sign,
        )  # fmt: skip
        self.engine.add(self.whole)
        self.label, self.running = "HO", True

    @property
    def clock(self) -> Clock:
        return StillTime().clock()

    def addresses(self) -> list[str]:
        return ["127.0.0.1"]

    def check_may_admit(self) -> None:
        pass

    async def take(self) -> None:
        """What the till has of the shop's document."""
        for row in self._till.whole.rows("shop", 0, 1000):
            self.whole.integrate("shop", row.update, origin=self._till.id)
        await self.engine.durable(*self.whole.staged)

    async def admit(self, key: bytes, label: str) -> str:
        fields = {"key": base64url(key), "label": label, "role": "till", "hosted_by": self.key.id}
        await self._till.write("member", fields, document="shop")
        await self.take()
        return label

    async def dismiss(self, author: str) -> None:
        points = [list(point) for point in points_of(self.store, self.whole.shop, author, vouched_only=False)]
        await self._till.write("remove", {"member": author, "points": points}, document="shop")
        await self.take()


async def test_a_head_office_hosts_without_a_till_or_a_document(tmp_path: Path) -> None:
    async with open_till(tmp_path / "till") as till:
        with Folder(tmp_path / "office") as folder:
            office = Office(folder, till)
            await office.engine.start()
            await office.take()
            host = Hosting(office, Door, device_app)
            await host.switch(True, port=0)
            device = await paired(host, "WEB")
            sold = [(await device.sell(sale())).json() for _ in range(3)]
            assert [each["number"] for each in sold] == [1, 2, 3]
            closed = await device.ask("POST", "/api/shifts/close", {"id": sale()["id"], "counted": {"cash": 1500}})
            assert closed.json()["over_short"] == {"cash": 0}
            shop = (await device.ask("GET", "/api/shop")).json()
            assert (shop["label"], shop["shop"]) == ("WEB", till.shop)
            assert not office.whole._open, "no document is in memory"
            await host.remove("WEB")
            assert (await device.sell(sale())).status_code == 401
            await host.stop()
            await office.engine.stop()  # signs what was sold
            assert list(verify(office.store, till.shop_id)) == []
            for document in office.whole.documents():
                for row in office.whole.rows(document, 0, 1000):
                    till.whole.integrate(document, row.update, origin=office.key.id)
            await till.engine.durable(*till.whole.staged)
            assert len(till.listed(day=None, till=device.till, after=None, limit=10)) == 3
            close_store(office.store)
            await device.client.aclose()
