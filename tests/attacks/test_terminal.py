"""Attacks by a name: what somebody wrote is shown on a terminal and in a log, and never obeyed there."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pytest

from posline.till.commands import COMMANDS
from posline.till.shift_commands import print_shift
from posline.till.terminal import console, fail, log_to_stderr
from posline.till.text import print_day, print_status
from tests.till.shop import running, sale

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b5m\r\x08"  # a window's title, a cleared screen, and a line written over


@pytest.fixture
def handlers() -> Any:
    """The log as it was before a test set it up."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = kept, level


async def test_a_name_is_shown_on_a_terminal_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], handlers: Any
) -> None:
    name = f"Ali{ESCAPES}"
    async with running(tmp_path, shop=f"Shop{ESCAPES}") as (till, client):
        await client.post("/api/sales", json=sale(by=name))
        closed = {"id": str(uuid.uuid4()), "counted": {"cash": 5}, "by": name, "note": name}
        assert (await client.post("/api/shifts/close", json=closed)).status_code == 201
        capsys.readouterr()
        print_shift(await COMMANDS["report_shift"](till, {}))
        print_status(till.status())
        print_day(till.day_report())
        console().print(f"[b]{ESCAPES}[/b]")
        log_to_stderr()
        logging.getLogger("posline").warning("the drawer was opened by %s", name)
        with pytest.raises(SystemExit):
            fail("posline", f"no cashier is called {name}")
    told = capsys.readouterr()
    assert "Ali" in told.out and "Shop" in told.out and told.err.count("Ali") == 2
    assert not set("\x1b\x07\x9b\r\x08") & set(told.out + told.err)
