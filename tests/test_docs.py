"""What the docs say is so: commands in them run, pages made from the code are fresh, links lead somewhere."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from pathlib import Path

import httpx
import pytest

from docs import generate
from examples.rig.programs import Program, command_line, last_line, run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "data" / "README.md",
         ROOT / "examples" / "ledger" / "README.md", ROOT / "examples" / "operations" / "README.md"]  # fmt: skip


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page: Path) -> list[str]:
    """What stands behind `$ ` in the console blocks, in order."""
    return [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("page", generate.PAGES)
def test_pages_made_from_the_code_are_fresh(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == generate.PAGES[page](), "run `make docs`"


def test_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {line.split()[1] for page in PAGES for line in commands(page) if line.startswith("make ")}
    assert {"run", "demo", "test", "bench"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_in_the_docs_is_one() -> None:
    known = set(re.findall(r"^### `(posline(?:-relay)?(?: [a-z-]+)+)", generate.commands(), re.M))
    for page in PAGES:
        for line in commands(page):
            words = shlex.split(line)
            if words[0] in ("posline", "posline-relay"):
                assert any(line.startswith(name) for name in known), line


async def test_the_readme_can_be_typed(tmp_path: Path) -> None:
    """Each command of "Use it" in turn, as a person would type it, but on free ports and in a folder of its own."""
    page = link = ""
    running: list[Program] = []

    def here(words: list[str]) -> list[str]:
        at = words.index("--data") + 1
        return [*words[:at], str(tmp_path / words[at]), *words[at + 1 :]]

    async def there() -> bool:
        """Whether the head office has the sale, too."""
        asked = ("report", "day", "--shop", "Corner shop", "--json", "--data", str(tmp_path / "hq"))
        return bool(json.loads(await run("posline-relay", *asked))["sales"]["count"])

    try:
        for line in commands(ROOT / "README.md"):
            words = shlex.split(line.replace("LINK", link))
            if words[0] == "curl":
                body = words[words.index("-d") + 1]
                async with httpx.AsyncClient(trust_env=False) as http:
                    url = words[2].replace("http://127.0.0.1:8700", page)
                    answer = await http.post(url, content=body, headers={"content-type": "application/json"})
                assert answer.status_code == 201, answer.text
                expected = {"sales": ("total", 500), "refund": ("total", 250), "close": ("over_short", {"cash": 0})}
                name, value = expected[url.rsplit("/", 1)[-1]]
                assert answer.json()[name] == value
            elif words[0] == "posline-relay" and words[-1] == "&":
                office = Program("head office", "posline-relay", [*here(words[1:-1]), "--port", "0"], tmp_path / "hq")
                running.append(office)
                await office.start()
            elif words[0] == "posline" and words[-1] == "&":
                arguments = [*here(words[1:-1]), "--port", "0", "--sync-port", "0"]  # the last of an option counts
                till = Program("till", "posline", arguments, Path(arguments[arguments.index("--data") + 1]))
                running.append(till)
                await till.start()
                page = page or till.urls["page"]
            elif words[0] in ("posline", "posline-relay"):
                printed = await run(words[0], *here(words[1:]))
                if words[1] == "invite":
                    link = last_line(printed)
                    assert link.startswith("posline://")
                elif words[1:3] == ["export", "sales"]:
                    assert "TEA" in printed
        async with asyncio.timeout(60):
            while not await there():
                pass  # a command takes its while
    finally:
        for program in running:
            await program.stop()
    assert running and link


async def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    [code] = blocks(ROOT / "README.md", "python")
    said = await _python(code, tmp_path)
    assert re.match(r"A-1-[0-9A-HJKMNP-TV-Z]{4} 500 ", said)
    assert "'count': 1, 'total': 500" in said


async def test_the_embedding_of_the_examples_runs(tmp_path: Path) -> None:
    said = ""
    for _ in range(2):  # the second time the shop is there already
        said = await _python(None, tmp_path, "-m", "examples.embed", str(tmp_path / "shop"))
    assert re.fullmatch(r"A-2-[0-9A-HJKMNP-TV-Z]{4}: 500 of 1000 today\n", said)


async def _python(code: str | None, folder: Path, *arguments: str) -> str:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *(arguments if code is None else ("-c", code)),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await child.communicate()
    assert child.returncode == 0, complaints.decode()
    return out.decode()


def test_json_in_the_docs_is_json() -> None:
    for page in PAGES:
        for block in blocks(page, "json"):
            json.loads(block)


def test_the_programs_are_those_of_this_python() -> None:
    assert command_line("posline")
    assert command_line("benchmarks.echo") == [sys.executable, "-m", "benchmarks.echo"]
