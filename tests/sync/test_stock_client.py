"""A stock `@hocuspocus/provider` against the sync port: what it sees, what it counts, what it may write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from posline.replica import Replica
from posline.storage.reports import Reports
from posline.sync import link
from posline.sync.liveness import Pace
from posline.trust.gate import TokenGate
from tests.kit import DAY, JOURNAL, Writer, commit, sale, text_key
from tests.stock import stock_folder
from tests.sync.wire import READ, TOKEN, WRITE, Served, on_disk, serving, shop_gate, until


@pytest.fixture(scope="session")
def provider() -> Path:
    """The script that drives the provider."""
    return stock_folder() / "client.mjs"


class Client:
    """The provider in a process of its own."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self.events: list[dict[str, Any]] = []

    async def __aenter__(self) -> Client:
        self._child = await asyncio.create_subprocess_exec(
            "node", str(self._script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24
        )
        self._reading = asyncio.create_task(self._read())
        await self.hear("ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._child.kill()
        await self._child.wait()
        self._reading.cancel()

    async def _read(self) -> None:
        assert self._child.stdout is not None
        while line := await self._child.stdout.readline():
            self.events.append(json.loads(line))

    def do(self, what: str, **about: Any) -> None:
        """Tell it to do something."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": what, **about}).encode() + b"\n")

    def heard(self, event: str, **about: Any) -> list[dict[str, Any]]:
        """Events of a kind so far."""
        return [e for e in self.events if e["event"] == event and about.items() <= e.items()]

    async def hear(self, event: str, times: int = 1, within_s: float = 15.0, **about: Any) -> dict[str, Any]:
        """Wait for the nth event of a kind."""
        await until(lambda: len(self.heard(event, **about)) >= times, within_s)
        return self.heard(event, **about)[times - 1]

    async def show(self, name: str) -> dict[str, Any]:
        """What it holds of a document now, and what it thinks is not yet with us."""
        times = len(self.heard("held", name=name)) + 1
        self.do("show", name=name)
        return await self.hear("held", times, name=name)

    async def settles(self, name: str, unsynced: int = 0) -> dict[str, Any]:
        """Wait until it counts that many changes that are not with us."""
        async with asyncio.timeout(15):
            while (found := await self.show(name))["unsynced"] != unsynced:  # noqa: ASYNC110 -- asked, not told
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def client(provider: Path) -> AsyncIterator[Client]:
    async with Client(provider) as client:
        yield client


@pytest.fixture
def writer(till: Replica) -> Writer:
    """An author that is a member and writes through a stock client."""
    writer = Writer("erp")
    fields = {"key": text_key(writer.key.public), "label": "ERP", "role": "till"}
    till.write("member", fields, document="shop")
    commit(till)
    return writer


@pytest.fixture
def till(tmp_path: Path) -> Replica:
    return on_disk(tmp_path, "a")[0]


@pytest.fixture
async def served(till: Replica) -> AsyncIterator[Served]:
    async with serving(till, shop_gate(Writer("erp").id)) as served:
        yield served


def stored(till: Replica, kind: str = "sale") -> int:
    """How many entries of a kind are on the disk."""
    rows = till.store.read.execute("SELECT count(*) FROM entry WHERE kind = ?", (kind,))
    return int(rows.fetchone()[0])


async def test_a_reader_is_synced_when_it_has_all_and_then_follows_live(
    client: Client, till: Replica, served: Served
) -> None:
    for n in range(3000):
        till.write("sale", sale(n + 1) | {"note": f"{n:05} " * 30})
    commit(till)
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token=READ)
    assert (await client.hear("authenticated"))["scope"] == "readonly"
    assert (await client.hear("synced"))["count"] == 3001
    held = await client.settles(JOURNAL)
    assert list(held["roots"]) == [till.store_id]
    rows = till.store.read.execute("SELECT raw FROM entry WHERE day IS NOT NULL ORDER BY n")
    assert held["roots"][till.store_id] == [raw.decode() for (raw,) in rows]
    await served.engine.durable(till.write("sale", sale(5)))
    await client.hear("update", name=JOURNAL, count=3002, within_s=2)
    assert (await client.show(JOURNAL))["unsynced"] == 0
    assert not client.heard("unsynced", number=-1)


async def test_an_empty_document_is_synced_too(client: Client, served: Served) -> None:
    client.do("connect", url=served.url)
    client.do("attach", name="catalog/7", token=READ)
    assert (await client.hear("synced", name="catalog/7"))["count"] == 0
    await client.settles("catalog/7")


async def test_what_a_reader_writes_is_refused_and_stays_unsynced(
    client: Client, till: Replica, served: Served
) -> None:
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token=READ)
    await client.hear("synced")
    await client.settles(JOURNAL)
    for n in range(1, 8):  # it is told each time, and the line stays up
        client.do("push", name=JOURNAL, root=till.store_id, texts=[f"mine {n}"])
        await client.hear("stateless", n)
    assert (await client.show(JOURNAL))["unsynced"] == 7
    assert "read" in client.heard("stateless")[0]["payload"]["reason"]
    assert till.head(JOURNAL).count == 1
    assert not client.heard("closed")


async def test_a_writers_entries_are_on_the_disk_when_it_counts_them_as_synced(
    client: Client, till: Replica, served: Served, writer: Writer
) -> None:
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token=WRITE)
    assert (await client.hear("authenticated"))["scope"] == "read-write"
    await client.hear("synced")
    await client.settles(JOURNAL)
    writer.begin()
    for n in range(20):
        writer.sale(n + 1)
    for entry in writer.entries:
        client.do("push", name=JOURNAL, root=writer.id, texts=[entry.raw.decode()])
    await client.settles(JOURNAL)
    assert stored(till) == 20
    assert Reports(till.store, till.shop, here=till.store_id).day(DAY)["sales"]["count"] == 20


async def test_a_writer_writes_for_its_own_author_alone(
    client: Client, till: Replica, served: Served, writer: Writer
) -> None:
    other = Writer("other")
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token=WRITE)
    await client.hear("synced")
    await client.settles(JOURNAL)
    client.do("push", name=JOURNAL, root=other.id, texts=[other.begin().raw.decode()])
    await client.hear("stateless")
    assert (await client.show(JOURNAL))["unsynced"] == 1
    assert till.head(JOURNAL).count == 1


@pytest.mark.parametrize("evil", ["remove", "map"])
async def test_deletions_and_maps_are_refused(
    client: Client, till: Replica, served: Served, writer: Writer, evil: str
) -> None:
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token=WRITE)
    await client.hear("synced")
    await client.settles(JOURNAL)
    client.do(evil, name=JOURNAL, root=till.store_id if evil == "remove" else writer.id)
    await client.hear("stateless")
    assert (await client.show(JOURNAL))["unsynced"] == 1
    assert till.head(JOURNAL).count == 1


async def test_a_line_that_breaks_is_made_good(client: Client, till: Replica, served: Served, writer: Writer) -> None:
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token=WRITE)
    await client.hear("synced")
    await client.settles(JOURNAL)
    client.do("drop")
    await client.hear("closed")
    client.do("push", name=JOURNAL, root=writer.id, texts=[writer.begin().raw.decode(), writer.sale().raw.decode()])
    await served.engine.durable(till.write("sale", sale(7)))
    await client.hear("synced", 2)
    held = await client.settles(JOURNAL)
    assert len(held["roots"][till.store_id]) == 2
    await until(lambda: stored(till) == 2)


async def test_several_documents_on_one_line_and_one_that_is_none(
    client: Client, till: Replica, served: Served
) -> None:
    client.do("connect", url=served.url)
    for name in ("shop", JOURNAL, "catalog/1", "journal/2019-01-01", "posts/1"):
        client.do("attach", name=name, token=READ)
    for name in ("shop", JOURNAL, "catalog/1"):
        await client.hear("synced", name=name)
    for name in ("journal/2019-01-01", "posts/1"):
        assert (await client.hear("failed", name=name))["reason"]
    client.do("detach", name="shop")
    await served.engine.durable(till.write("setting", {"name": "x", "value": 1}, document="shop"))
    await served.engine.durable(till.write("sale", sale(7)))
    await client.hear("update", name=JOURNAL, count=2)
    assert not client.heard("update", name="shop", count=2)


async def test_a_wrong_token_opens_nothing(client: Client, served: Served) -> None:
    client.do("connect", url=served.url)
    client.do("attach", name=JOURNAL, token="guessed")
    assert "token" in (await client.hear("failed"))["reason"]
    assert not client.heard("synced")


async def test_pings_keep_a_silent_line(client: Client, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "STOCK", Pace(0.3, 5.0))
    client.do("connect", url=served.url, silence=1000)
    client.do("attach", name=JOURNAL, token=READ)
    await client.hear("synced")
    await asyncio.sleep(2.5)
    assert not client.heard("closed")


async def test_what_one_client_writes_reaches_the_others_and_other_tills(
    client: Client, provider: Path, tmp_path: Path
) -> None:
    a, b = on_disk(tmp_path, "x", "y")
    erp = Writer("erp")
    a.write("member", {"key": text_key(erp.key.public), "label": "ERP", "role": "till"}, document="shop")
    commit(a)
    gate = shop_gate(erp.id)
    async with serving(a, gate) as one, serving(b, gate) as other, Client(provider) as reader:
        other.engine.dial(b.shop, one.url, TokenGate(TOKEN))
        await until(lambda: a.root() == b.root())
        client.do("connect", url=one.url)
        client.do("attach", name=JOURNAL, token=WRITE)
        reader.do("connect", url=other.url)
        reader.do("attach", name=JOURNAL, token=READ)
        await client.hear("synced")
        before = (await reader.hear("synced"))["count"]
        client.do("push", name=JOURNAL, root=erp.id, texts=[erp.begin().raw.decode(), erp.sale(9).raw.decode()])
        await reader.hear("update", count=before + 2)
        await client.settles(JOURNAL)
        await until(lambda: a.root() == b.root())
        assert len(client.heard("update", name=JOURNAL)) <= 3  # nothing is echoed back to whoever wrote it
