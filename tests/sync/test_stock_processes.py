"""A stock provider on the real programs: the same journal from a till and from its head office, reading and writing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.faults.rig import Process, relay, run, sale, till
from tests.kit import Writer, text_key
from tests.stock import stock_folder
from tests.sync.test_stock_client import Client
from tests.sync.wire import until


def last(printed: str) -> str:
    return printed.strip().splitlines()[-1]


@pytest.mark.timeout(180)
async def test_a_journal_is_followed_and_written_at_a_till_and_at_its_head_office(tmp_path: Path) -> None:
    with till(tmp_path / "till", "--zone", "UTC") as shop, relay(tmp_path / "relay") as office:
        link = last(run("invite", "--data", str(office.data), "--shop", "S", module="relay.cli"))
        run("attach", link, "--data", str(shop.data))
        status = shop.get("/api/status")
        day, id = status["day"], status["shop_id"]
        journal = f"journal/{day}"
        for price in range(1, 301):
            assert shop.post("/api/sales", sale(price=price)).status_code == 201
        author = Writer("erp")
        author_key = ["--key", text_key(author.key.public), "--label", "ERP"]
        write_here = _token(run("token", "add", "--role", "write", *author_key, "--data", str(shop.data)))
        read_here = _token(run("token", "add", "--role", "read", "--data", str(shop.data)))
        office_token = ["token", "add", "--shop", id, "--data", str(office.data), "--role"]
        read_there = _token(run(*office_token, "read", module="relay.cli"))
        await until(lambda: shop.get("/api/status")["waiting"] == 0, 30)
        write_there = _token(run(*office_token, "write", "--author", author.id, module="relay.cli"))
        places = {
            f"{shop.urls['sync']}/sync": (shop, read_here, write_here, str(shop.data / "certificate.pem")),
            f"{office.page.replace('http', 'ws')}/sync/{id}": (office, read_there, write_there, None),
        }
        author.run = 5
        for url, (program, read, write, ca) in places.items():
            async with Client(stock_folder() / "client.mjs") as reader, Client(stock_folder() / "client.mjs") as writer:
                reader.do("connect", url=url, ca=ca)
                reader.do("attach", name=journal, token=read)
                first = await reader.hear("synced")
                held = await reader.settles(journal)
                assert sum(map(len, held["roots"].values())) == first["count"] >= 301
                writer.do("connect", url=url, ca=ca)
                writer.do("attach", name=journal, token=write)
                assert (await writer.hear("authenticated"))["scope"] == "read-write"
                await writer.hear("synced")
                begun = author.last is not None
                entry = (author.sale if begun else author.begin)(day=day, document=journal)
                writer.do("push", name=journal, root=author.id, texts=[entry.raw.decode()])
                await writer.settles(journal)  # unsynced reaches 0 only behind the commit
                assert entry.raw.decode() in _held(program, entry.id)
                await reader.hear("update", name=journal, count=first["count"] + 1)
                reader.do("push", name=journal, root=author.id, texts=["not mine to write"])
                assert (await reader.hear("stateless"))["payload"]["t"] == "refused"
                assert (await reader.show(journal))["unsynced"] == 1


def _token(printed: str) -> str:
    """The token, which `token add` prints on a line of its own."""
    return next(line.split()[-1] for line in reversed(printed.strip().splitlines()) if line.strip())


def _held(program: Process, id: str) -> str:
    """What is on the program's disk under an id, read behind its back."""
    with sqlite3.connect(f"file:{program.data}/posline.db?mode=ro", uri=True) as db:
        return "\n".join(raw.decode() for (raw,) in db.execute("SELECT raw FROM entry WHERE id = ?", (id,)))
