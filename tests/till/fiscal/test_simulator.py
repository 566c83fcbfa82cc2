"""Filing over HTTP with the simulator: each of its behaviours, its ledger, its own checks, and the token's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.core.fiscal import FiscalSetting, read_setting
from posline.core.fiscal_answers import Answer, Verdict
from posline.errors import BadRequest, NotPossible
from posline.till.fiscal import acts
from posline.till.fiscal.outbox import Outbox
from posline.till.fiscal.sending import HttpService
from posline.till.fiscal.simulator import BEHAVIOURS, Simulator
from posline.till.keeping import backup
from posline.till.till import open_till
from tests.core.test_fiscal import SELLER
from tests.till.fiscal.shop import TEA, quick, set_up, simulated, states, turns
from tests.till.shop import running

SECRET = "s3cret-token-of-the-service"
LOCAL = "/api/IMSFiscal/GetInvoiceNumberByModel"


@pytest.mark.parametrize(
    ("behaviour", "state", "taken"),
    [
        ("accept", "accepted", 1),
        ("accept-text", "accepted", 1),
        ("reject", "rejected", 0),
        ("empty", "unknown", 1),
        ("timeout-before", "unknown", 0),
        ("timeout-after", "unknown", 1),
        ("cut-before", "unknown", 0),
        ("cut-after", "unknown", 1),
        ("error", "unknown", 0),
        ("down", "queued", 0),
        ("unauthorised", "queued", 0),
    ],
)
async def test_how_each_behaviour_ends(tmp_path: Path, behaviour: str, state: str, taken: int) -> None:
    async with simulated(behaviour) as simulator, open_till(tmp_path) as till:
        await set_up(till, url=simulator.url + LOCAL)
        sold = await till.sell(TEA)
        outbox = quick(till, simulator)
        await outbox.turn()
        assert states(till) == {state: 1}
        assert len(simulator.accepted) == taken
        if state == "accepted":
            assert till.fiscal.view(till.one(sold.id).entry).number == simulator.accepted[0]["number"]


def test_every_behaviour_is_tried_above() -> None:
    mark = test_how_each_behaviour_ends.pytestmark[0]  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == set(BEHAVIOURS)


@pytest.mark.parametrize(
    ("adapter", "path", "more"),
    [
        ("fbr_ims", LOCAL, {}),
        ("pra_eims", "/pra" + LOCAL, {}),
        ("fbr_di", "/di_data/v1/di/postinvoicedata_sb", {"seller": SELLER}),
    ],
)
async def test_each_service_takes_a_sale_and_its_return(
    tmp_path: Path, adapter: str, path: str, more: dict[str, Any]
) -> None:
    async with simulated(token=SECRET) as simulator, open_till(tmp_path) as till:
        await set_up(till, adapter=adapter, url=simulator.url + path, **more)
        acts.keep_token(till, SECRET)
        sold = await till.sell([*TEA, {"sku": "X", "quantity": "0.333", "price": 1000, "discount": 1}])
        await till.refund(sold.id, [{"line": 1, "quantity": 1}], reason="broken")
        await turns(quick(till, simulator))
        assert states(till) == {"accepted": 2}, till.fiscal.queue()
        assert len(simulator.accepted) == 2
        assert simulator.duplicates == {}


async def test_refused_connections_leave_everything_queued(tmp_path: Path) -> None:
    async with simulated() as simulator, open_till(tmp_path) as till:
        await set_up(till, url=simulator.url + LOCAL)
        await till.sell(TEA)
        await simulator.stop()
        outbox = quick(till, simulator)
        await outbox.turn()
        assert states(till) == {"queued": 1}
        assert "cannot be reached" in outbox.trouble
        assert till.fiscal.status()["down_since"] is not None
        await simulator.start()
        await turns(outbox)
        assert states(till) == {"accepted": 1}
        assert till.fiscal.status()["down_since"] is None


async def test_a_gateway_that_can_be_asked_settles_what_the_simulator_swallowed(tmp_path: Path) -> None:
    async with simulated("timeout-after", "cut-before", "empty") as simulator, open_till(tmp_path) as till:
        await set_up(till, url=simulator.url + LOCAL, inquiry=simulator.url + "/inquiry")
        for _ in range(3):
            await till.sell(TEA)
        await turns(quick(till, simulator), 40)
        assert states(till) == {"accepted": 3}
        assert len(simulator.accepted) == 3
        assert simulator.duplicates == {}


async def test_the_simulator_s_ledger_script_and_checks() -> None:
    with pytest.raises(BadRequest):
        Simulator(["nonsense"])
    async with simulated() as simulator, httpx.AsyncClient(base_url=simulator.url, trust_env=False) as http:
        assert (await http.get("/api/IMSFiscal/get")).json() == ["Service is responding"]
        assert (await http.post("/script", json=["reject"])).json() == {"script": ["reject"]}
        assert (await http.post("/script", json=["nonsense"])).status_code == 422
        simulator.script.clear()
        item = {"ItemCode": "1", "TotalAmount": 1, "SaleValue": 1, "TaxCharged": 0, "Discount": 0, "Quantity": 1,
                "FurtherTax": 0, "PCTCode": "00000000", "InvoiceType": 1}  # fmt: skip
        invoice = {"USIN": "U", "POSID": 1, "TotalBillAmount": 1, "TotalSaleValue": 1, "TotalTaxCharged": 0,
                   "Discount": 0, "TotalQuantity": 1, "InvoiceType": 1, "RefUSIN": "", "Items": [item]}  # fmt: skip
        for change in ({"TotalBillAmount": 2}, {"Items": [item | {"SaleValue": 2}]}, {"InvoiceType": 3}, {"USIN": ""}):
            assert (await http.post(LOCAL, json=invoice | change)).json()["Code"] == "104", change
        assert (await http.post(LOCAL, content=b"{")).json()["Code"] == "104"
        for _ in range(2):
            assert (await http.post(LOCAL, json=invoice)).json()["Code"] == 100
        ledger = (await http.get("/ledger")).json()
        assert ledger["duplicates"] == {"U": 2}
        assert ledger["requests"] == 7


# -- the token -------------------------------------------------------------------------------------------------------


async def test_a_token_stays_in_its_file_and_comes_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    folder = tmp_path / "till"
    async with simulated("unauthorised", token=SECRET) as simulator, running(folder) as (till, client):
        with pytest.raises(NotPossible):
            acts.keep_token(till, SECRET)
        await set_up(till, url=simulator.url + LOCAL)
        acts.keep_token(till, SECRET)
        await till.sell(TEA)
        outbox = till.fiscal.outbox = quick(till, simulator)
        await turns(outbox)
        assert states(till) == {"accepted": 1}
        assert (folder / "fiscal-token").stat().st_mode & 0o777 == 0o600
        seen = [(await client.get(path)).text for path in ("/api/fiscal?all=true", "/api/status", "/metrics")]
        assert json.loads(seen[0])["token"] is True
        backup(till, tmp_path / "backup")
        assert not any(SECRET in text for text in [*seen, caplog.text])
    for path in [tmp_path / "backup", *folder.rglob("*")]:
        if path.is_file() and path.name != "fiscal-token":
            assert SECRET.encode() not in path.read_bytes(), path


async def test_a_token_is_shown_to_nobody_but_whom_it_is_for(tmp_path: Path) -> None:
    """The address is a shared setting: whoever changes it does not get the token."""
    presented: list[str] = []

    class Listening(HttpService):
        def __init__(self, setting: FiscalSetting, token: str) -> None:
            presented.append(token)
            super().__init__(setting, token)

        async def send(self, body: bytes) -> Answer:
            return Answer(Verdict.UNKNOWN)

    async with simulated() as simulator, open_till(tmp_path) as till:
        await set_up(till, adapter="fbr_di", seller=SELLER, url="https://gw.fbr.example/di")
        acts.keep_token(till, SECRET)
        await till.sell(TEA)
        await set_up(till, adapter="fbr_di", seller=SELLER, url=simulator.url + "/di_data")
        outbox = Outbox(till.fiscal.desk, service=Listening)
        await outbox.turn()
        assert presented == []
        assert "set it again" in outbox.trouble
        assert "set it again" in till.fiscal.alarms()[0]["detail"]
        await set_up(till, url=simulator.url + LOCAL)
        await outbox.turn()
        assert presented == [""], "what needs no token gets none"
        assert acts.forget_token(till) == {"token": False, "removed": True}


@pytest.mark.parametrize("token", ["", " ", "two words", "x" * 5000, "line\nfeed", "é"])
async def test_a_token_that_is_none_is_refused(tmp_path: Path, token: str) -> None:
    async with open_till(tmp_path) as till:
        await set_up(till)
        with pytest.raises(BadRequest):
            acts.keep_token(till, token)


# -- how it is set up ------------------------------------------------------------------------------------------------


async def test_setting_up_is_checked_and_may_be_one_till_s_own(tmp_path: Path) -> None:
    async with open_till(tmp_path) as till:
        with pytest.raises(BadRequest, match=r"fiscal\.pos_id"):
            await acts.set_up(till, {"adapter": "fbr_ims"})
        with pytest.raises(BadRequest, match="no member"):
            await acts.set_up(till, {"adapter": "fbr_ims", "pos_id": 1, "filer": "b" * 26})
        status = await acts.set_up(till, {"adapter": "fbr_ims", "pos_id": 1})
        assert (status["on"], status["filer"], status["here"]) == (True, till.id, True)
        assert (await acts.set_up(till, "off", own=True))["on"] is False
        assert till.fiscal.naming() is None
        await acts.set_up(till, {"adapter": "fbr_ims", "pos_id": 2}, own=True)
        assert till.fiscal.status()["pos_id"] == 2
        assert read_setting(till.reports.setting("fiscal")) is not None


async def test_one_sale_s_filing_is_shown(tmp_path: Path) -> None:
    async with simulated() as simulator, running(tmp_path) as (till, client):
        await set_up(till, url=simulator.url + LOCAL)
        sold = await till.sell(TEA)
        await turns(quick(till, simulator))
        shown = (await client.get(f"/api/fiscal/{sold.receipt}")).json()
        assert (shown["sale"], shown["variant"]) == (sold.id, "accepted")
        assert shown["number"] == shown["qr"] == simulator.accepted[0]["number"]
        listed = (await client.get("/api/fiscal?all=true")).json()
        assert [each["state"] for each in listed["queue"]] == ["accepted"]
        assert 'posline_fiscal_entries{state="accepted"} 1.0' in (await client.get("/metrics")).text
