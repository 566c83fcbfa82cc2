"""A lost filer: what waits for it goes to another till by a manager's word, and never while it may still be sent."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from posline.core.fiscal import State
from posline.core.fiscal_answers import Answer, Verdict
from posline.errors import BadRequest, NotAllowed, NotFound, NotPossible
from posline.till.fiscal import acts
from posline.till.fiscal.outbox import Outbox
from posline.till.membership import remove, set_role
from posline.till.till import Till, open_till
from tests.till.fiscal.shop import TEA, Fake, Killed, set_up, turns
from tests.till.shop import invited, until


async def two(stack: AsyncExitStack, path: Path) -> tuple[Till, Till]:
    """Till A, and till B which files for the shop; linked."""
    a = await stack.enter_async_context(open_till(path / "a"))
    await invited(a, path / "b")
    b = await stack.enter_async_context(open_till(path / "b"))
    await until(lambda: b.id in a.store.members(a.shop_id) and a.id in b.store.members(b.shop_id))
    await set_up(a, filer=b.id)
    await until(lambda: b.fiscal.naming() is not None)
    return a, b


async def test_what_waits_for_a_lost_till_is_given_away_by_a_person(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        a, b = await two(stack, tmp_path)
        sold = await a.sell(TEA)
        await b.close()
        with pytest.raises(NotPossible, match="may be sending it"):
            await acts.release(a, sold.receipt)
        with pytest.raises(BadRequest):
            await acts.release(a, sold.receipt, filer="Z")
        with pytest.raises(NotFound):
            await acts.release(a, "A-999-ABCD")
        assert (await acts.release(a, sold.receipt, filer="A", not_sent=True))["filer"] == a.id
        service = Fake()
        await acts.set_up(a, {"adapter": "fbr_ims", "pos_id": 5})
        await turns(Outbox(a.fiscal.desk, service=service))
        assert len(service.sent) == 1


async def test_what_a_removed_till_had_not_begun_goes_on_without_a_look(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        a, b = await two(stack, tmp_path)
        waiting, begun = await a.sell(TEA), await a.sell(TEA)
        await until(lambda: len(b.sales()) == 2)
        dying = Outbox(b.fiscal.desk, service=Fake(Answer(Verdict.NOT_TAKEN, code="http-401"), Killed()))
        await dying.turn()
        dying.retry()
        with pytest.raises(Killed):
            await dying.turn()
        await until(lambda: a.fiscal.filed.count(State.SENDING) == 1)
        label = b.label
        await b.close()
        await remove(a, label, vouched_only=False, force=False)
        assert f"till {label}, which left the shop" in a.fiscal.alarms()[0]["detail"]
        await acts.set_up(a, {"adapter": "fbr_ims", "pos_id": 5})
        states = {f.id: f.state for f in a.fiscal.filed.standing_so(State.SENDING, 9)}
        (stuck,) = states
        other = next(id for id in (waiting.id, begun.id) if id != stuck)
        assert (await acts.release(a, other))["state"] == "queued"
        with pytest.raises(NotPossible, match="when it was lost"):
            await acts.release(a, stuck)
        assert (await acts.release(a, stuck, not_sent=True, why="not in the portal", by="Amna"))["state"] == "queued"
        service = Fake()
        await turns(Outbox(a.fiscal.desk, service=service))
        assert len(service.sent) == 2


async def test_a_till_that_was_released_from_behind_its_back_is_found_out(tmp_path: Path) -> None:
    """A person said that it was not sent, while its filer sent it: `accepted` wins, and nobody files it again."""
    async with AsyncExitStack() as stack:
        a, b = await two(stack, tmp_path)
        sold = await a.sell(TEA)
        await until(lambda: len(b.sales()) == 1)
        service = Fake()

        async def send(body: bytes) -> Answer:
            await acts.release(a, sold.id, filer="A", not_sent=True)
            return Answer(Verdict.ACCEPTED, "N1", code="100")

        service.send = send  # type: ignore[method-assign]
        await Outbox(b.fiscal.desk, service=service).turn()
        await until(lambda: a.fiscal.filed.named(sold.id)[0].state is State.ACCEPTED)
        await set_up(a, filer=a.id)
        other = Fake()
        await turns(Outbox(a.fiscal.desk, service=other))
        assert other.sent == []
        assert a.fiscal.view(a.one(sold.id).entry).number == "N1"


async def test_only_a_manager_s_till_releases_and_sets_up(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        a, b = await two(stack, tmp_path)
        sold = await b.sell(TEA)
        await set_role(a, b.label, "till", force=False)
        await until(lambda: b.store.members(b.shop_id)[b.id].role.value == "till")
        for act in (acts.release(b, sold.id), acts.set_up(b, "off")):
            with pytest.raises(NotAllowed):
                await act
