"""The commands around the counter, as a person types them."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from posline.cli import app
from posline.till.till import Till, open_till
from tests.till.shop import TEA


def say(folder: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["--data", str(folder), *words], input=stdin)


def told(folder: Path, *words: str) -> Any:
    """What a command answers in JSON."""
    done = say(folder, "--json", *words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    async def found() -> None:
        async with open_till(tmp_path / "a") as till:
            await till.sell([TEA])

    asyncio.run(found())
    return tmp_path / "a"


def test_cashiers_are_added_changed_and_removed(shop: Path) -> None:
    assert "nobody yet" in say(shop, "cashier", "list").stdout
    assert say(shop, "cashier", "add", "Sana", "--role", "manager", "--pin", "-", stdin="5678\n").exit_code == 0
    again = say(shop, "cashier", "add", "Sana")
    assert again.exit_code == 1 and "is a cashier already" in str(again.exception)
    assert say(shop, "cashier", "set", "Nobody", "--no-pin").exit_code == 1
    assert say(shop, "cashier", "set", "Sana").exit_code == 2, "nothing to change"
    assert say(shop, "cashier", "add", "Ali", "--pin", "-", stdin="").exit_code == 2
    assert say(shop, "cashier", "add", "Ali", "--role", "king").exit_code == 1
    assert say(shop, "cashier", "set", "Sana", "--language", "ur").exit_code == 0
    sana = {"name": "Sana", "role": "manager", "active": True, "language": "ur", "pin": True}
    assert told(shop, "cashier", "list") == {"cashiers": [sana]}

    async def check(till: Till, pin: str) -> str:
        return (await till.people.check("Sana", pin)).name

    async def checked(pin: str) -> str:
        async with open_till(shop) as till:
            return await check(till, pin)

    assert asyncio.run(checked("5678")) == "Sana", "what was changed beside left the PIN as it was"
    assert say(shop, "cashier", "remove", "Sana").exit_code == 0
    assert "removed" in say(shop, "cashier", "list").stdout
    with pytest.raises(Exception, match="no cashier"):
        asyncio.run(checked("5678"))
    assert say(shop, "cashier", "add", "Sana").exit_code == 0, "somebody who comes back"
    assert told(shop, "cashier", "list") == {"cashiers": [sana]}


def test_settings_are_typed_as_people_type_them(shop: Path, tmp_path: Path) -> None:
    for typed, name, value in (
        ("100", "rounding", 100), ("2.5", "low_stock", "2.5"), ("5", "low_stock", "5"),
        ("receipt", "tax_rounding", "receipt"),
        ("true", "blind_count", True), ('{"refund": "manager"}', "permissions", {"refund": "manager"}),
        ("null", "rounding", None),
    ):  # fmt: skip
        assert told(shop, "setting", "set", name, typed) == {"name": name, "value": value}
        assert told(shop, "setting", "get", name) == {"name": name, "value": value}
    assert say(shop, "setting", "get", "low_stock").stdout.strip() == '"5"'
    (tmp_path / "limits.json").write_text('{"cashier": {"discount_percent": "10"}}')
    assert say(shop, "setting", "set", "limits", f"@{tmp_path / 'limits.json'}").exit_code == 0
    assert told(shop, "setting", "get", "limits")["value"]["cashier"] == {"discount_percent": "10"}
    listed = say(shop, "setting", "list").stdout
    assert "low_stock" in listed and "how far a role may lower prices" in listed
    for name, typed, reason in (
        ("colour", "red", "is no setting"), ("limits", "{oops", "is no JSON"), ("limits", "[NaN]", "is no JSON"),
        ("limits", "many", "must be an object"), ("rounding", "half", "whole number"),
    ):  # fmt: skip
        refused = say(shop, "setting", "set", name, typed)
        assert refused.exit_code == 1 and reason in str(refused.exception), (name, typed)
    assert say(shop, "setting", "set", "limits", f"@{tmp_path}/nothing").exit_code == 2
    assert say(shop, "setting", "get", "colour").exit_code == 1


def test_stock_is_listed(shop: Path) -> None:
    async def receive() -> None:
        async with open_till(shop) as till:
            moves = [{"sku": "RICE", "quantity": "2.5", "reason": "receipt"}]
            await till.stock.move({"id": str(uuid.uuid4()), "moves": moves})
            await till.stock.move(
                {"id": str(uuid.uuid4()), "moves": [{"sku": "TEA", "counted": "-1", "reason": "count"}]}
            )

    asyncio.run(receive())
    assert [(item["sku"], item["on_hand"]) for item in told(shop, "stock")["stock"]] == [("RICE", "2.5"), ("TEA", "-1")]
    assert [item["sku"] for item in told(shop, "stock", "--low")["stock"]] == ["TEA"]
    assert "BELOW 0" in say(shop, "stock", "TEA").stdout
    assert say(shop, "stock", "NEVER").stdout.split()[-2:] == ["NEVER", "0"]
