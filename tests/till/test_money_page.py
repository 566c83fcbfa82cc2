"""The examples of docs/money.md, rung one after another at a till: a page for newcomers that cannot lie."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from posline.core.scales import PATTERNS
from tests.till.shop import running

PAGE = Path(__file__).parents[2] / "docs" / "money.md"


def steps() -> list[dict[str, Any]]:
    """The JSON of the page's blocks, in order; a block may hold a list of steps."""
    found: list[dict[str, Any]] = []
    for block in re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        value = json.loads(block)
        found += value if isinstance(value, list) else [value]
    return found


def said(answer: Any, expected: Any) -> Any:
    """The part of an answer that the page speaks of."""
    if isinstance(expected, dict):
        return {name: said(answer[name], value) for name, value in expected.items()}
    if isinstance(expected, list):
        return [said(item, value) for item, value in zip(answer, expected, strict=True)]
    return answer


async def test_each_example_comes_to_what_the_page_says(tmp_path: Path) -> None:
    sold: dict[str, Any] = {}
    async with running(tmp_path) as (till, client):
        for step in steps():
            if "products" in step:
                await till.write("products", step, document="catalog/1")
            elif "setting" in step:
                answer = await client.put(f"/api/settings/{step['setting']}", json={"value": step["value"]})
                assert answer.status_code == 200, answer.text
            else:
                request = {"id": str(uuid.uuid4())} | step.get("ring", step.get("refund"))
                url = "/api/sales" if "ring" in step else f"/api/sales/{sold['id']}/refund"
                answer = await client.post(url, json=request)
                assert answer.status_code == 201, answer.text
                assert said(answer.json(), step["answers"]) == step["answers"], step
                sold = answer.json() if "ring" in step else sold
        assert till.reports.setting("scales") == [dict(pattern) for pattern in PATTERNS], "the page names the default"
    assert sum("answers" in step for step in steps()) >= 10
