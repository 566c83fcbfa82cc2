"""The commands around paper, as a person types them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner, Result

from posline.cli import app
from posline.till.till import open_till
from tests.till.shop import TEA


def say(folder: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["--data", str(folder), *words], input=stdin)


def sold(folder: Path) -> tuple[str, tuple[str, ...]]:
    """(the receipt of a sale that was just rung, its codes)."""

    async def ring() -> tuple[str, tuple[str, ...]]:
        async with open_till(folder) as till:
            sale = await till.sell([TEA])
            papers = till.printing.papers
            return sale.receipt, papers.proof(papers.find(sale.id))

    return asyncio.run(ring())


def test_a_receipt_is_shown_in_every_form(tmp_path: Path) -> None:
    receipt, _ = sold(tmp_path / "a")
    shown = say(tmp_path / "a", "receipt", receipt)
    assert shown.exit_code == 0 and receipt in shown.stdout and "PAYABLE" in shown.stdout
    for form, start in (("html", b"<!doctype html>"), ("png", b"\x89PNG"), ("escpos", b"\x1b@")):
        path = tmp_path / form
        options = ("--format", form, "--copy", "--language", "ur", "--out", str(path))
        made = say(tmp_path / "a", "receipt", receipt, *options)
        assert made.exit_code == 0 and path.read_bytes().startswith(start)
    assert say(tmp_path / "a", "receipt", receipt, "--format", "pdf").exit_code == 2
    assert say(tmp_path / "a", "receipt", "A-77-K7QM").exit_code == 1


def test_a_printer_is_set_shown_and_tested(tmp_path: Path) -> None:
    sold(tmp_path / "a")
    paper = tmp_path / "paper"
    made = say(tmp_path / "a", "printer", "set", f"file:{paper}", "--paper", "58", "--drawer", "0")
    assert made.exit_code == 0, made.output
    shown = say(tmp_path / "a", "printer", "show")
    assert f"target: file:{paper}" in shown.stdout and "paper: 58" in shown.stdout
    assert say(tmp_path / "a", "printer", "test").exit_code == 0
    assert b"12345678901234567890123456789012\n" in paper.read_bytes()
    assert say(tmp_path / "a", "printer", "set", "lpt1").exit_code != 0
    assert say(tmp_path / "a", "printer", "set", f"file:{tmp_path}/no/such/place").exit_code == 0
    failed = say(tmp_path / "a", "printer", "test")
    assert failed.exit_code == 1 and "is not there" in failed.stdout


def test_a_receipt_is_scanned_on_the_command_line(tmp_path: Path) -> None:
    receipt, codes = sold(tmp_path / "a")
    for given in ((list(codes), ""), ([], "\n".join(codes))):
        found = say(tmp_path / "a", "restore-receipt", *given[0], stdin=given[1])
        assert found.exit_code == 0 and found.stdout == f"{receipt} it was here already, and counts once\n"
    wrong = say(tmp_path / "a", "restore-receipt", "PL1:11ABC.")
    assert wrong.exit_code == 1
    answer = CliRunner().invoke(app, ["--json", "--data", str(tmp_path / "a"), "restore-receipt", *codes])
    assert json.loads(answer.stdout)["state"] == "known"
