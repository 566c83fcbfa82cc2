"""What a till says of itself and of the others: who is linked, how far behind, what is wrong and what helps."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from posline.storage.folder import Folder
from posline.till import health, text
from posline.till.commands import COMMANDS
from posline.till.health import ALARMS, Refusals
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.till import Till, open_till
from tests.till.shop import TEA, WITHIN_S, until


@contextlib.asynccontextmanager
async def joined(path: Path) -> AsyncIterator[Till]:
    """A till that listens, whose shop another one in folder `b` has joined."""
    async with open_till(path / "a", shop="Corner shop") as a:
        await a.listen()
        link = Invitation.parse((await COMMANDS["invite"](a, {"expires_s": 60}))["link"], "join")
        with Folder(path / "b") as folder:
            await request_membership(folder, link, label="")
        yield a


def peer(till: Till, name: str) -> dict[str, Any]:
    return next(peer for peer in till.status()["peers"] if peer["name"] == name)


def printed(status: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `posline status` prints."""
    out = io.StringIO()
    from rich.console import Console

    monkeypatch.setattr(text, "console", lambda: Console(file=out, width=140, highlight=False))
    text.print_status(status)
    return out.getvalue()


async def test_a_member_is_listed_before_it_ever_linked_and_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(tmp_path) as a:
        await a.sell([TEA])
        await a.sell([TEA])
        b = peer(a, "B")
        assert (b["connected"], b["last_seen"], b["kind"]) == (False, None, "till")
        assert b["behind"] >= 4, "the founding, its own admission, a run and two sales"
        said = printed(a.status(), monkeypatch)
        assert "B       down  all but" in said and "never" in said and "alone; passed on as soon as" in said
        async with open_till(tmp_path / "b") as till:
            await until(lambda: peer(a, "B")["connected"] and not a.status()["waiting"])
            await until(lambda: peer(a, "B")["behind"] == 0 and peer(till, "A")["behind"] == 0)
            assert "up    everything" in printed(a.status(), monkeypatch)
        await until(lambda: not peer(a, "B")["connected"])
        a.watch.keep()
        seen = datetime.fromisoformat(peer(a, "B")["last_seen"])
        assert timedelta(0) <= datetime.now(UTC) - seen < timedelta(seconds=WITHIN_S)
        await a.sell([TEA])
    async with open_till(tmp_path / "a") as a:
        b = peer(a, "B")
        assert not b["connected"] and abs(datetime.fromisoformat(b["last_seen"]) - seen) < timedelta(seconds=5)
        assert b["behind"] >= 1
    async with open_till(tmp_path / "a", read_only=True) as a:
        assert peer(a, "B")["last_seen"] == b["last_seen"], "also where the till does not run"


async def test_why_a_device_cannot_be_reached_is_said_in_words(tmp_path: Path) -> None:
    async with joined(tmp_path) as a:
        await a.connect("127.0.0.1:9")
        async with open_till(tmp_path / "b") as b:
            await b.listen()
            await until(lambda: peer(a, "B")["connected"])
        await until(lambda: any(p["why"] for p in a.status()["peers"]))
        found = next(p for p in a.status()["peers"] if p["url"] == "wss://127.0.0.1:9/sync")
        await until(lambda: next(p for p in a.status()["peers"] if p["url"] == found["url"])["why"])
        assert "nothing listens at 127.0.0.1:9: is Posline running there?" in {p["why"] for p in a.status()["peers"]}


async def test_whom_a_till_does_not_let_in_is_in_the_status_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(tmp_path) as a:
        async with open_till(tmp_path / "b") as b:
            await until(lambda: peer(a, "B")["connected"])
            await COMMANDS["remove"](a, {"till": "B"})
            await until(lambda: any("removed" in r["why"] for r in a.status()["refused"]))
            (refused,) = a.status()["refused"]
            assert refused["who"] == "a device that says it is B"
            assert not any(p["name"] == "B" and p["connected"] for p in a.status()["peers"])
            await until(lambda: any("removed" in p["why"] for p in b.status()["peers"]))
        assert "not let in:" in (said := printed(a.status(), monkeypatch)) and "removed" in said


def test_refusals_are_few_however_many_knock() -> None:
    refusals = Refusals()
    for number in range(1000):
        refusals.note(f"device {number}", "no member", number)
    refusals.note("device 999", "no member", 1001)
    listed = refusals.listed()
    assert len(listed) == health.REFUSALS_KEPT and listed[0]["who"] == "device 999" and listed[0]["times"] == 2


async def test_every_alarm_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(advice.means.endswith(".") and advice.do.endswith(".") for advice in ALARMS.values())
    async with open_till(tmp_path / "a") as a:
        a.replica.alarm("digests", "journal/2026-11-24 still differs")
        a.replica.alarm("disk", "no room")
        shown = a.status()["alarms"]
        assert [alarm["kind"] for alarm in shown] == ["disk", "digests"], "the most urgent first"
        assert all(alarm["do"] == ALARMS[alarm["kind"]].do for alarm in shown)
        said = printed(a.status(), monkeypatch)
        assert "DISK" in said and "no room" in said and "what to do  Free some room" in said


async def test_clocks_that_differ_are_an_alarm_that_goes_again(tmp_path: Path) -> None:
    async with joined(tmp_path) as a, open_till(tmp_path / "b") as b:
        await until(lambda: peer(a, "B")["connected"] and len(a.engine.hub.links(a.shop_id)) == 1)
        (link,) = a.engine.hub.links(a.shop_id)
        link.clock_apart_ms = 3 * 3_600_000 + 600_000
        await until(lambda: any(alarm["kind"] == "clock" for alarm in a.alarms()))
        (alarm,) = [alarm for alarm in a.alarms() if alarm["kind"] == "clock"]
        assert alarm["detail"] == "the clock of B is 3 hours 10 minutes ahead of this till's"
        link.clock_apart_ms = -1000
        await until(lambda: not a.alarms())
        assert not b.alarms()


async def test_what_is_missing_is_an_alarm_once_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_till(tmp_path / "a") as a:
        gaps = [(a.id, 3, [[5, 6], [9, 9]])]
        monkeypatch.setattr(a.reports, "gaps", lambda: gaps)
        a.watch.look()
        assert not a.alarms(), "it may be on its way"
        monkeypatch.setattr(health, "GAP_S", -1.0)
        (alarm,) = a.alarms()
        assert alarm["detail"] == "till A: 3 of its entries are not here: 5 to 6, 9"
        assert (alarm["count"], alarm["missing"]) == (3, [[5, 6], [9, 9]]) and "they come by themselves" in alarm["do"]
        gaps.clear()
        a.watch.look()
        assert not a.alarms()
