"""Three tills, a partition, crashes and a service that misbehaves: no sale is filed twice, and none slips through.

One till files for all. The others sell while it is away, one sale is even rung at both of them; it dies between intent
and request and between request and answer; the service swallows answers, cuts lines, rejects and forgets numbers.
"""

from __future__ import annotations

import os
import random
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from posline.core.fiscal import FiscalSetting, State
from posline.core.fiscal_answers import Answer
from posline.storage.verify import verify
from posline.till.fiscal import acts
from posline.till.fiscal.outbox import Outbox
from posline.till.fiscal.sending import HttpService
from posline.till.fiscal.simulator import Simulator
from posline.till.till import Till, open_till
from tests.till.fiscal.shop import TEA, Killed, quick, set_up, simulated, states
from tests.till.shop import invited, until

LOCAL = "/api/IMSFiscal/GetInvoiceNumberByModel"
SCRIPT = (
    "accept", "timeout-after", "accept-text", "cut-before", "reject", "empty", "cut-after", "timeout-before", "error",
    "down", "unauthorised",
)  # fmt: skip


class Dying(HttpService):
    """Dies with the request not sent yet, or just after it was taken."""

    def __init__(self, setting: FiscalSetting, token: str, *, before: bool) -> None:
        super().__init__(setting, token, answer_s=0.1)
        self._before = before

    async def send(self, body: bytes) -> Answer:
        if not self._before:
            await super().send(body)
        raise Killed


async def die(till: Till, *, before: bool) -> None:
    """File one, and die on the way."""
    outbox = Outbox(till.fiscal.desk, service=lambda setting, token: Dying(setting, token, before=before))
    with pytest.raises(Killed):
        await outbox.turn()


async def file_all(till: Till, simulator: Simulator) -> None:
    """Go round until nothing is left that may be sent."""
    outbox = quick(till, simulator, answer_s=0.1)
    for _ in range(60):
        outbox.retry()
        await outbox.turn()
        if not till.fiscal.filed.waiting(till.id, 1) and not till.fiscal.filed.count(State.SENDING):
            return
    raise AssertionError(till.fiscal.queue())


@pytest.mark.parametrize("seed", range(12 if os.environ.get("POSLINE_PROOF") else 1))
async def test_no_sale_is_filed_twice_and_each_is_settled_or_listed(tmp_path: Path, seed: int) -> None:
    rng = random.Random(f"filing {seed}")
    folders = {name: tmp_path / name for name in "abc"}
    async with simulated() as simulator:
        async with open_till(folders["a"]) as a:
            await set_up(a, url=simulator.url + LOCAL)
            for name in "bc":
                await invited(a, folders[name])
                async with open_till(folders[name]) as other:
                    await until(lambda other=other: other.fiscal.naming() == {"adapter": "fbr_ims", "filer": a.id})
            own = [await a.sell(TEA) for _ in range(3)]
            await die(a, before=True)
        # the filer is away; the others sell, part of it the same sale
        both = str(uuid.uuid4())
        async with AsyncExitStack() as stack:
            b, c = [await stack.enter_async_context(open_till(folders[name])) for name in "bc"]
            for till in (b, c):
                await till.sell(TEA, id=both)
                for _ in range(6):
                    await till.sell([{"sku": "X", "quantity": rng.randint(1, 9), "price": rng.randint(1, 999)}])
            refunded = await b.sell(TEA)
            await b.refund(refunded.id, reason="broken")
            voided = await c.sell(TEA)
            await c.void(voided.id, "mistake")
            for till in (b, c):  # they are not the filer, and file nothing
                await Outbox(till.fiscal.desk).turn()
            assert simulator.requests == 0

            a = await stack.enter_async_context(open_till(folders["a"]))
            await die(a, before=False)
            simulator.plan(rng.sample(SCRIPT, len(SCRIPT)))
            half = quick(a, simulator, answer_s=0.1)
            await half.turn()
            url = await a.listen()
            for till in (b, c):
                await till.connect(url)
            await until(lambda: len({t.day_report()["digest"] for t in (a, b, c)}) == 1 and len(a.sales()) >= 19)
            await file_all(a, simulator)

            assert simulator.duplicates == {}
            await until(lambda: states(a) == states(b) == states(c))
            counts = Counter(states(a))
            assert counts.keys() <= {"accepted", "rejected", "unknown", "queued"}
            assert counts["queued"] <= 1, "only a return whose sale is not settled waits"
            filed = {entry["usin"]: entry["number"] for entry in simulator.accepted}
            listed = {each["usin"]: each for each in a.fiscal.queue(every=True)}
            assert filed.keys() <= listed.keys()
            for usin, each in listed.items():
                if each["state"] == "accepted":
                    assert each["number"] == filed[usin]
                elif each["state"] in ("rejected", "queued"):
                    assert usin not in filed
                assert each["alarms"] == []
            assert a.fiscal.filed.named(both)[0].state in (State.ACCEPTED, State.REJECTED, State.UNKNOWN)
            assert {sale.id for sale in own} <= {each["id"] for each in listed.values()}

            # a person looks at the service for each that is in doubt, at another till than the filer
            while doubtful := b.fiscal.filed.standing_so(State.UNKNOWN, 99):
                for found in doubtful:
                    await acts.resolve(b, found.usin, number=filed.get(found.usin))
                await until(lambda: states(a) == states(b))
                await file_all(a, simulator)
                await until(lambda: states(a) == states(b))
                filed = {entry["usin"]: entry["number"] for entry in simulator.accepted}
            assert simulator.duplicates == {}
            assert states(a).keys() <= {"accepted", "rejected", "queued"}
            assert list(verify(a.store, a.shop_id)) == []
            assert list(verify(b.store, b.shop_id)) == []
