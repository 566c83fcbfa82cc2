"""A head office that dies at any moment between a device's post and its answer: each sale is there, once, in order."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import httpx

from examples.rig.programs import free_port
from posline.till.hosting.pairing import Cookie
from tests.faults.rig import Process as Program
from tests.relay.hosting.offices import Phone, process, shop_at
from tests.relay.processes import Serving
from tests.till.shop import sale

PROOF = os.environ.get("POSLINE_PROOF") == "1"
KILLS, EACH = 60 if PROOF else 4, 3
MOMENTS_S = (0.0, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03)


def program(place: Path | str, folder: Path) -> tuple[Program, str]:
    """A process of the head office, and where devices reach it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["serve", "--port", "0", "--tills", url, "--tills-port", str(port)]
    if isinstance(place, Path):
        return Program(place, "relay.cli", arguments), url
    return Serving(folder / f"serving{port}", "relay.cli", [*arguments, "--database", place]), url


async def test_a_head_office_killed_between_recording_and_answering_loses_and_doubles_nothing(
    place: Path | str, tmp_path: Path
) -> None:
    """On a database there are two processes, of which one is killed; the device asks the other one then."""
    die = random.Random(int(os.environ.get("POSLINE_SEED", "8")))
    async with process(place) as at, shop_at(tmp_path / "till", at) as shop:
        phone = await shop.paired(at)
        secret, store = phone.client.cookies[Cookie.named(at.relay.key.id).name], at.relay.key.id
    several = [program(place, tmp_path) for _ in range(1 if isinstance(place, Path) else 2)]
    cookies = {Cookie.named(store, secure=False).name: secret}
    asked = [sale() for _ in range(EACH * KILLS)]
    outbox = list(asked)
    devices = []
    for _, url in several:
        devices.append(Phone(httpx.AsyncClient(base_url=url, cookies=cookies, trust_env=False)))
        devices[-1].till = phone.till
    try:
        for each, _ in several:
            await asyncio.to_thread(each.start)
        for n in range(KILLS):
            turn = n % len(several)
            posting = asyncio.ensure_future(drain(devices[turn], outbox))
            await asyncio.sleep(die.choice(MOMENTS_S) + 0.02)
            await asyncio.to_thread(several[turn][0].kill)
            await posting
            others = devices[turn + 1 :] + devices[:turn]
            if others and len(outbox) > EACH * (KILLS - n):
                await drain(others[0], outbox, leave=len(outbox) - 1)
            await asyncio.to_thread(several[turn][0].start)
        await drain(devices[0], outbox)
        assert outbox == []
        for each, _ in several:
            assert await asyncio.to_thread(each.stop) == 0
    finally:
        for each, _ in several:
            each.kill()
        for device in devices:
            await device.client.aclose()
    async with process(place) as at:
        branch = at.relay.branch(shop.id)
        assert shop.sold(branch, phone) == [(body["id"], n) for n, body in enumerate(asked, 1)]
        assert branch.reports.forks() == []
        till = next(each for each in branch.reports.day(branch.day)["tills"] if each["till"] == phone.till)
        assert till["unvouched"]["count"] == 0


async def drain(device: Phone, outbox: list[dict[str, Any]], leave: int = 0) -> None:
    """As the page's outbox: in order, and each leaves for its own answer alone; until the line breaks."""
    while len(outbox) > leave:
        try:
            answer = await device.sell(outbox[0])
        except httpx.HTTPError:
            return
        if answer.status_code == 503:  # another process was faster: the same id once more
            continue
        assert answer.status_code in (200, 201) and answer.json()["id"] == outbox[0]["id"], answer.text
        outbox.pop(0)
