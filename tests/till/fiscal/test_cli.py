"""`posline fiscal`, typed: set up, token, queue, resolve, release; beside no running till, and with wrong usage."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from posline.cli import app
from posline.core.fiscal_answers import Answer, Verdict
from posline.till.fiscal.outbox import Outbox
from posline.till.till import open_till
from tests.till.fiscal.shop import TEA, Fake, set_up


def typed(folder: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["--data", str(folder), *words], input=stdin)


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Path, str, str]:
    """A shop in which one sale is in doubt and one rejected: (its folder, their receipts)."""
    folder = tmp_path / "till"

    async def work() -> tuple[str, str]:
        async with open_till(folder) as till:
            await set_up(till)
            doubtful, rejected = await till.sell(TEA), await till.sell(TEA)
            answers = Answer(Verdict.UNKNOWN, errors=("no answer",)), Answer(Verdict.REJECTED, errors=("bad [NTN]",))
            outbox = Outbox(till.fiscal.desk, service=Fake(*answers))
            await outbox.turn()
            outbox.retry()
            await outbox.turn()
            return doubtful.receipt, rejected.receipt

    return folder, *asyncio.run(work())


def test_a_person_settles_what_is_left(shop: tuple[Path, str, str]) -> None:
    folder, doubtful, rejected = shop
    status = typed(folder, "fiscal", "status")
    assert "1 rejected, 1 need reconciliation" in status.output
    assert "not running" in status.output
    queue = typed(folder, "fiscal", "queue").output
    assert doubtful in queue
    assert "bad [NTN]" in queue
    refused = typed(folder, "fiscal", "release", doubtful)
    assert "may have been filed" in str(refused.exception)
    assert typed(folder, "fiscal", "resolve", doubtful, "accepted", "812345X").output == f"{doubtful} is accepted\n"
    assert typed(folder, "fiscal", "release", rejected, "--by", "Amna").output == f"{rejected} is queued\n"
    typed_json = CliRunner().invoke(app, ["--data", str(folder), "--json", "fiscal", "queue", "--all"])
    assert {each["number"] for each in json.loads(typed_json.output)["queue"]} == {"", "812345X"}
    assert typed(folder, "fiscal", "set", "off").output.startswith("filing is off")


def test_a_token_is_read_from_stdin_and_never_shown(shop: tuple[Path, str, str]) -> None:
    folder, *_ = shop
    kept = typed(folder, "fiscal", "token", "set", stdin="t0p-s3cret\n")
    assert "localhost:8524" in kept.output
    assert "t0p-s3cret" not in kept.output + typed(folder, "fiscal", "status").output
    assert typed(folder, "fiscal", "token", "remove").output == "removed\n"
    assert typed(folder, "fiscal", "token", "remove").output == "there was none\n"


@pytest.mark.parametrize(
    "words",
    [
        ("resolve", "A-1", "accepted"),
        ("resolve", "A-1", "not-sent", "5"),
        ("resolve", "A-1", "perhaps"),
        ("set", "{"),
        ("simulate", "--script", "nonsense"),
    ],
)
def test_wrong_usage_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert typed(tmp_path, "fiscal", *words).exit_code == 2
