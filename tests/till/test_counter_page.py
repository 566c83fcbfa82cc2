"""The examples of docs/counter.md, called one after another at a till: a page for newcomers that cannot lie."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from posline.cli import app
from posline.till.till import open_till
from tests.till.shop import running

PAGE = Path(__file__).parents[2] / "docs" / "counter.md"
HELD = "HELD"  # stands in the page for the id that a till gave


def blocks(language: str) -> list[str]:
    """The page's blocks in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)


def said(answer: Any, expected: Any) -> Any:
    """The part of an answer that the page speaks of."""
    if isinstance(expected, dict):
        return {name: said(answer[name], value) for name, value in expected.items()}
    if isinstance(expected, list):
        return [said(item, value) for item, value in zip(answer, expected, strict=True)]
    return answer


def test_each_example_answers_what_the_page_says(tmp_path: Path) -> None:
    async def found() -> None:
        async with open_till(tmp_path):
            pass

    async def called() -> int:
        held = HELD
        count = 0
        async with running(tmp_path) as (_till, client):
            for step in (step for block in blocks("json") for step in json.loads(block)):
                method, url = step["call"].split(" ", 1)
                step = json.loads(json.dumps(step).replace(f'"{HELD}"', json.dumps(held)))
                answer = await client.request(method, url, json=step.get("body"))
                assert answer.status_code == step.get("status", 200), (step, answer.text)
                if url == "/api/holds" and method == "POST":
                    held = answer.json()["sale"]
                    step["answers"]["sale"] = held
                expected = step.get("answers", {})
                assert said(answer.json(), expected) == expected, step["call"]
                count += 1
            assert (await client.get("/api/holds")).json()["holds"] == []
        return count

    asyncio.run(found())
    typed = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ posline ")]
    for line in typed:
        done = CliRunner().invoke(app, ["--data", str(tmp_path), *shlex.split(line)[1:]])
        assert done.exit_code == 0, (line, done.output, done.exception)
    assert len(typed) >= 5
    assert asyncio.run(called()) >= 20
