"""A host that dies at any moment between a device's post and its answer: each sale is there, once, in order."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from pathlib import Path
from typing import Any

import httpx

from examples.rig.programs import free_port
from posline.storage.verify import verify
from posline.till.till import open_till
from tests.faults.nursery import Program, nursery
from tests.till.hosting.hosts import Phone, hosting, paired, phone
from tests.till.shop import sale

KILLS = 60 if os.environ.get("POSLINE_PROOF") == "1" else 6
MOMENTS_S = (0.0, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03)


async def test_a_host_killed_between_recording_and_answering_loses_and_doubles_nothing(tmp_path: Path) -> None:
    die = random.Random(int(os.environ.get("POSLINE_SEED", "8")))
    folder, port = tmp_path / "till", free_port()
    async with hosting(folder, port=port) as (_, host):
        device = await paired(host, "TAB")
        cookies, till, pem = device.client.cookies, device.till, host.authority.pem
        waiting = phone(host)
    client = httpx.AsyncClient(base_url=waiting.client.base_url, verify=_context(pem), trust_env=False, cookies=cookies)
    waiting.client, waiting.till = client, till
    program = Program(
        nursery(), folder, "posline.cli", ["till", "--port", "0", "--sync-port", "0", "--no-discovery"]
    )
    asked = [sale() for _ in range(3 * KILLS)]
    outbox = list(asked)
    async with client:
        for _ in range(KILLS):
            await asyncio.to_thread(program.start)
            posting = asyncio.ensure_future(_drain(waiting, outbox))
            await asyncio.sleep(die.choice(MOMENTS_S) + 0.02)
            await asyncio.to_thread(program.kill)
            await posting
        await asyncio.to_thread(program.start)
        await _drain(waiting, outbox)
        assert outbox == []
        await asyncio.to_thread(program.stop)
    async with open_till(folder) as found:
        own = found.listed(day=None, till=till, after=None, limit=1000)
        assert [recorded.entry.id for recorded in own] == [body["id"] for body in asked]
        assert [recorded.entry.number for recorded in own] == list(range(1, len(asked) + 1))
        assert list(verify(found.store, found.shop_id)) == []


async def _drain(device: Phone, outbox: list[dict[str, Any]]) -> None:
    """As the page's outbox: in order, and each leaves for its own answer alone."""
    while outbox:
        try:
            answer = await device.sell(outbox[0])
        except httpx.HTTPError:
            return
        if answer.status_code >= 500:
            return
        assert answer.status_code in (200, 201) and answer.json()["id"] == outbox[0]["id"]
        outbox.pop(0)


def _context(pem: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem.decode())
