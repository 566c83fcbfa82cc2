"""`posline host`, as a person types it, at a till that does not run; and how often a caller may ask."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from posline.cli import app
from posline.till.hosting.door import Rates
from tests.till.hosting.hosts import hosting, paired
from tests.till.shop import sale


def say(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--data", str(folder), "host", *words])


def told(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, ["--json", "--data", str(folder), "host", *words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A till with a device, that does not run."""

    async def made() -> None:
        async with hosting(tmp_path / "a", port=0) as (_, host):
            device = await paired(host, "TAB")
            await device.sell(sale())

    asyncio.run(made())
    return tmp_path / "a"


def test_what_is_switched_while_the_till_is_off_holds_at_its_next_start(folder: Path) -> None:
    found = told(folder, "list")
    assert (found["on"], found["listening"], found["port"]) == (True, False, 0)
    assert [device["label"] for device in found["devices"]] == ["TAB"]
    assert "TAB" in say(folder, "list").stdout
    assert not told(folder, "off")["on"]
    assert "hosting is off" in say(folder, "list").stdout
    on = told(folder, "on", "--port", "48704", "--name", "till.lan")
    assert (on["on"], on["port"], on["urls"][0]) == (True, 48_704, "https://till.lan:48704")
    assert "once the till runs" in say(folder, "on").stdout


def test_what_cannot_be_is_said(folder: Path) -> None:
    for words, why in (
        (("on", "--name", "shop.example.com"), "no address or name of a local network"),
        (("invite",), "with the till running"),
        (("remove", "NOBODY"), "no device here is called"),
    ):
        done = say(folder, *words)
        assert done.exit_code == 1 and why in str(done.exception), words


def test_a_device_is_removed_while_the_till_is_off(folder: Path) -> None:
    assert "TAB is removed" in say(folder, "remove", "TAB").stdout
    assert told(folder, "list")["devices"] == []
    assert not list((folder / "hosted").iterdir())


def test_a_caller_may_ask_so_many_at_once_and_so_many_a_second() -> None:
    now = [0]
    rates = Rates(lambda: now[0])
    assert [rates.take("a", 10, 3) for _ in range(4)] == [True, True, True, False]
    assert rates.take("b", 10, 3), "another one's business"
    now[0] = 100
    assert [rates.take("a", 10, 3) for _ in range(2)] == [True, False]
    now[0] = 60_000
    assert [rates.take("a", 10, 3) for _ in range(4)] == [True, True, True, False]
