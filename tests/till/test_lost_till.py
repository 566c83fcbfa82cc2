"""A till that is lost: what it had shared is all there, what it had not is named, and a new one takes its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from posline.storage.folder import Folder
from posline.storage.verify import verify
from posline.till import health
from posline.till.joining import request_membership
from posline.till.keeping import backup, restore
from posline.till.membership import accept, remove
from posline.till.till import Till, open_till
from posline.trust.keys import Key
from tests.till.shop import TEA, invitation, invited, until


def count(till: Till) -> int:
    return int(till.day_report()["sales"]["count"])


async def test_a_new_till_has_the_history_and_the_dead_ones_last_numbers_are_named(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            shared = [await b.sell([TEA]) for _ in range(3)]
            await until(lambda: count(a) == 3 and not b.status()["waiting"])
        async with open_till(tmp_path / "b") as b:  # out of everybody's reach
            for dialler in b.engine.dialled(b.shop_id):
                dialler.stop()
            alone = [await b.sell([TEA]) for _ in range(2)]
            assert b.status()["waiting"] >= 2, "it says so itself, as long as anybody can read it"
        shutil.move(tmp_path / "b", tmp_path / "burnt")
        gone = await remove(a, "B")
        assert gone["last_receipt"] == shared[-1].receipt and gone["detail"].startswith("till B is removed. ")
        (of_b,) = [till for till in a.day_report()["tills"] if till["label"] == "B"]
        assert (of_b["receipts"]["first"], of_b["receipts"]["last"]) == (1, 3), "up to where its paper is in the books"
        await invited(a, tmp_path / "c")
        async with open_till(tmp_path / "c") as c:
            await until(lambda: c.day_report() == a.day_report())
            assert {sale.receipt for sale in c.sales()} == {sale.receipt for sale in shared}
            assert (await c.sell([TEA])).receipt.startswith("C-1-"), "labels of the dead are not given again"
            await until(lambda: count(a) == 4)
        # the disk turns out to be readable after all: what was on it comes, and a manager looks at it
        async with open_till(tmp_path / "burnt", read_only=True) as b:
            backup(b, tmp_path / "b.backup")
        with Folder(tmp_path / "d") as folder:
            answer = restore(folder, tmp_path / "b.backup", recovery=None, label="")
            await request_membership(folder, await invitation(a), label=answer["label"], succeeds=answer["succeeds"])
        async with open_till(tmp_path / "d") as d:
            assert d.label == "B2"
            await until(lambda: all(a.reports.by_id(str(sale.id)) for sale in alone))
            await until(lambda: d.day_report() == a.day_report())
        assert {a.sale(sale.id).status for sale in alone} == {"held"} and count(a) == 4
        await accept(a, [str(sale.id) for sale in alone])
        assert count(a) == 6 and not [p for p in verify(a.store, a.shop_id) if "lacks" not in p and "is held" not in p]


async def test_a_restored_till_succeeds_the_old_one_and_misses_by_number_what_nobody_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B was backed up, sold on, shared the end of that day with A only in part, and is gone."""
    monkeypatch.setattr(health, "GAP_S", -1.0)
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        code = a.recovery
        assert code is not None
        await invited(a, tmp_path / "b")
        async with open_till(tmp_path / "b") as b:
            before = [await b.sell([TEA]) for _ in range(3)]
            await until(lambda: count(a) == 3)
            backup(b, tmp_path / "b.backup")
            after = [await b.sell([TEA]) for _ in range(2)]
            await until(lambda: count(a) == 5)
            dead = b.id
        shutil.rmtree(tmp_path / "b")
        with Folder(tmp_path / "b") as folder:
            answer = restore(folder, tmp_path / "b.backup", recovery=Key.from_code(code), label="")
        assert answer["admitted"] and answer["succeeds"] == dead and answer["label"] == "B2"
        async with open_till(tmp_path / "b") as b:
            assert b.id != dead and count(b) == 3
            await until(lambda: count(b) == 5 and b.day_report() == a.day_report())
            new = await b.sell([TEA])
            assert new.receipt.startswith("B2-1-") and new.number == 1
            await until(lambda: count(a) == 6)
            assert {sale.receipt for sale in [*before, *after]} < {sale.receipt for sale in b.sales()}
            for till in (a, b):
                till.watch.look()
                assert not till.alarms() and not list(verify(till.store, till.shop_id)), "no fork, no gap"
