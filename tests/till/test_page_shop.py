"""What a page keeps of its shop, to sell alone."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from posline.core.tax import PAKISTAN
from posline.till.membership import set_role
from tests.till.shop import invited, running

KEYS = [
    "till", "label", "shop", "shop_id", "day", "day_start", "currency", "minor_digits", "zone", "manager", "settings",
    "classes", "cash_unit", "tax_by_receipt", "scales", "cashiers", "departments", "printer", "urdu", "raast", "fiscal",
    "version", "host", "host_kind",
]  # fmt: skip


async def test_a_shop_that_set_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, label="C", shop="Corner") as (till, client):
        found = (await client.get("/api/shop")).json()
        assert list(found) == KEYS
        assert (found["till"], found["label"]) == (till.id, "C")
        assert (found["shop"], found["shop_id"]) == ("Corner", till.shop_id)
        assert (found["day"], found["day_start"], found["zone"]) == (till.day, "04:00", "Asia/Karachi")
        assert (found["currency"], found["minor_digits"], found["manager"]) == ("PKR", 2, True)
        assert set(found["settings"].values()) == {None} and found["settings"].keys() >= {"tax", "receipt", "limits"}
        assert found["classes"].keys() == PAKISTAN.keys()
        assert found["classes"]["standard"] == {
            "name": "Standard rate", "mode": "inclusive",
            "rates": [{"from": "", "rate": "17", "by_tender": {}},
                      {"from": "2023-02-14", "rate": "18", "by_tender": {}}],
        }  # fmt: skip
        assert found["classes"]["services"]["rates"][0]["by_tender"]["card"] == "5"
        assert found["scales"] == [
            {"pattern": "21.....{NNDDD}", "value": "weight"}, {"pattern": "23.....{NNNDD}", "value": "price"}
        ]  # fmt: skip
        assert (found["cash_unit"], found["tax_by_receipt"]) == (0, False)
        assert (found["cashiers"], found["departments"]) == ([], [])
        assert (found["raast"], found["fiscal"], found["version"]) == (False, {"on": False}, version("posline"))
        assert found["printer"] == {
            "state": "off", "why": "", "waiting": 0, "unsure": 0, "lapsed": 0, "automatic": True, "language": "",
            "drawer": False,
        }  # fmt: skip


async def test_what_was_set_comes_as_it_holds_and_without_secrets(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        for name, value in (
            ("rounding", 500),
            ("tax_rounding", "receipt"),
            ("tax", {"standard": "18"}),
            ("scales", [
                {"pattern": "24.....{NNNN}*", "value": "pieces"}, {"pattern": "02.....C{NNDD}", "value": "price"}
            ]),
        ):  # fmt: skip
            assert (await client.put(f"/api/settings/{name}", json={"value": value})).status_code == 200, name
        receipt = {"header": "Fresh every day", "logo": "iVBORw0KGgo="}
        await till.write("setting", {"name": "receipt", "value": receipt}, document="shop")
        await client.put("/api/cashiers/Sana", json={"role": "manager", "pin": "4711", "language": "ur"})
        await till.write("products", {"products": [
            {"sku": "1", "name": "Tea", "price": 5, "department": "Hot"}
        ]}, document="catalog/1")  # fmt: skip
        answer = await client.get("/api/shop")
        found = answer.json()
        assert (found["cash_unit"], found["tax_by_receipt"]) == (500, True)
        rates = [{"from": "", "rate": "18", "by_tender": {}}]
        assert found["classes"] == {"standard": {"name": "standard", "mode": "inclusive", "rates": rates}}
        assert [scale["pattern"] for scale in found["scales"]] == ["24.....{NNNN}*", "02.....C{NNDD}"]
        assert found["settings"]["receipt"] == {"header": "Fresh every day"} and found["settings"]["rounding"] == 500
        assert found["cashiers"] == [
            {"name": "Sana", "role": "manager", "active": True, "language": "ur", "pin": True}
        ]  # fmt: skip
        assert found["departments"] == [{"department": "Hot", "products": 1}]
        assert "scrypt" not in answer.text and "4711" not in answer.text
        await invited(till, tmp_path / "b")
        [other] = set(till.store.members(till.shop_id)) - {till.id}
        await set_role(till, till.id, "till", force=True)
        assert (await client.get("/api/shop")).json()["manager"] is False and other
