"""A receipt scanned back in after its till was lost: the sale is there again, and once, wherever it is scanned."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

from posline.core.proof import make_proof, open_codes
from posline.errors import BadRequest
from posline.storage.verify import verify
from posline.till.membership import remove, set_role
from posline.till.restoring import Restored
from posline.till.till import Till, open_till
from tests.kit import key_of
from tests.till.shop import TEA, invited, running, sale, until


def alone(till: Till) -> None:
    """Put a till out of everybody's reach."""
    for dialler in till.engine.dialled(till.shop_id):
        dialler.stop()


async def scan(till: Till, codes: tuple[str, ...]) -> Restored:
    return await till.restoring.scan({"id": str(uuid.uuid4()), "code": list(codes)})


def codes_of(till: Till, id: str) -> tuple[str, ...]:
    """What is printed on a receipt of the till's own."""
    papers = till.printing.papers
    return papers.proof(papers.find(id))


async def shop_with_a_lost_till(path: Path, a: Till) -> tuple[list[tuple[str, ...]], int]:
    """Tills B and C join; B sells twice where nobody hears it, and its receipts are all that is left. Answers their
    codes and what they come to."""
    await invited(a, path / "b")
    await invited(a, path / "c")
    async with open_till(path / "b") as b:
        await b.sell([TEA])
        await until(lambda: a.day_report()["sales"]["count"] == 1 and not b.status()["waiting"])
    async with open_till(path / "b") as b:
        alone(b)
        sales = [await b.sell([TEA]), await b.sell([{**TEA, "quantity": "3"}])]
        codes = [codes_of(b, each.id) for each in sales]
    shutil.move(path / "b", path / "burnt")
    return codes, sum(each.total for each in sales)


async def test_scanned_again_and_again_at_two_tills_apart_it_counts_once(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a:
        codes, lost = await shop_with_a_lost_till(tmp_path, a)
        shutil.rmtree(tmp_path / "burnt")
        before = a.day_report()["sales"]["total"]
        async with open_till(tmp_path / "c") as c:
            await until(lambda: c.day_report() == a.day_report())
        async with open_till(tmp_path / "c") as c:
            alone(c)
            for till in (a, c):
                firsts = [await scan(till, each) for each in codes]
                assert [(r.new, r.accepted, r.counts) for r in firsts] == [(True, True, True)] * 2
                assert [r.to_dict()["state"] for r in firsts] == ["restored"] * 2
                for _ in range(2):
                    again = [await scan(till, each) for each in codes]
                    assert [(r.new, r.accepted, r.counts) for r in again] == [(False, False, True)] * 2
                    assert [r.to_dict()["state"] for r in again] == ["known"] * 2
                assert till.day_report()["sales"]["total"] == before + lost
        async with open_till(tmp_path / "c") as c:
            await until(lambda: c.replica.root() == a.replica.root())
            assert c.day_report() == a.day_report()
            report = a.day_report()
            assert (report["sales"]["count"], report["sales"]["total"]) == (3, before + lost)
            assert (report["held"], report["duplicates"], report["disputed"]) == ([], [], [])
            for till in (a, c):
                assert not [alarm for alarm in till.alarms() if alarm["kind"] in ("conflict", "fork", "foreign")]
                lacking = list(verify(till.store, till.shop_id))
                assert all("till B lacks" in problem for problem in lacking), "what no receipt brings back is named"


async def test_the_lost_till_may_come_back(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        codes, _ = await shop_with_a_lost_till(tmp_path, a)
        for each in codes:
            await scan(a, each)
        report = a.day_report()["sales"]
        async with open_till(tmp_path / "burnt") as b:
            await until(lambda: b.replica.root() == a.replica.root())
            assert (await scan(b, codes[0])).to_dict()["state"] == "known"
            assert a.day_report()["sales"] == report == b.day_report()["sales"]
            assert a.day_report() == b.day_report()
            assert not [alarm for alarm in b.alarms() if alarm["kind"] in ("conflict", "fork", "foreign")]
            mine = await b.sell([TEA])
            assert mine.receipt.startswith("B-4-"), "its numbers go on"


async def test_a_till_that_is_no_manager_keeps_it_for_one(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        codes, lost = await shop_with_a_lost_till(tmp_path, a)
        await remove(a, "B")
        await set_role(a, "C", "till")
        before = a.day_report()["sales"]["total"]
        async with open_till(tmp_path / "c") as c:
            await until(lambda: c.replica.root() == a.replica.root())
            found = await scan(c, codes[0])
            assert (found.new, found.accepted, found.counts) == (True, False, False)
            answer = found.to_dict()
            assert answer["state"] == "held" and "a manager's till lets it count" in answer["detail"]
            assert c.day_report()["sales"]["total"] == before
            await until(lambda: c.replica.root() == a.replica.root())
            seen = [await scan(a, each) for each in codes]
            assert [(r.new, r.accepted) for r in seen] == [(False, True), (True, True)]
            await until(lambda: c.day_report() == a.day_report())
            assert c.day_report()["sales"]["total"] == before + lost


async def test_what_is_forged_altered_or_another_shops_is_refused(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "other", shop="Other") as other:
        codes, _ = await shop_with_a_lost_till(tmp_path, a)
        (code,) = codes[0]
        with pytest.raises(BadRequest, match="damaged"):
            await scan(a, (code[:40] + ("Z" if code[40] != "Z" else "Y") + code[41:],))
        proof = open_codes(codes[0])
        dearer = proof.raw.replace(b'"price":250', b'"price":950').replace(b'"total":500', b'"total":1900')
        for forger in (lambda _: proof.signature, key_of("thief").sign):
            with pytest.raises(BadRequest, match="is not signed by till"):
                await scan(a, make_proof(dearer, a.shop_id, forger))
        theirs = await other.sell([TEA])
        with pytest.raises(BadRequest, match="the receipt is another shop's"):
            await scan(a, codes_of(other, theirs.id))
        with pytest.raises(BadRequest, match="is not signed by till"):
            await scan(a, make_proof(proof.raw, other.shop_id, other.key.sign))
        assert a.day_report()["sales"]["count"] == 1 and not a.day_report()["held"]


async def test_what_the_till_did_not_write_itself_it_does_not_sign(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        codes, _ = await shop_with_a_lost_till(tmp_path, a)
        found = await scan(a, codes[0])
        assert found.recorded is not None and a.printing.papers.proof(found.recorded) == ()


async def test_a_till_put_back_to_an_older_disk_takes_its_own_receipts(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        before = await a.sell([TEA])
    shutil.copytree(tmp_path / "a", tmp_path / "old")
    async with open_till(tmp_path / "a") as a:
        lost = await a.sell([TEA])
        codes = codes_of(a, lost.id)
    async with open_till(tmp_path / "old") as a:
        found = await scan(a, codes)
        assert found.counts and found.recorded is not None
        assert a.printing.papers.proof(found.recorded) == (), "it signs only what this disk wrote"
        after = await a.sell([TEA])
        assert len({before.receipt, lost.receipt, after.receipt}) == 3
        assert (await scan(a, codes)).to_dict()["state"] == "known"
        assert a.day_report()["sales"]["count"] == 3 and not a.day_report()["disputed"]
    async with open_till(tmp_path / "old") as a:
        assert (await scan(a, codes)).counts and a.day_report()["sales"]["count"] == 3


async def test_codes_come_one_by_one_under_one_id(tmp_path: Path) -> None:
    lines = [{"sku": f"S{n}", "name": f"Thing number {n}", "quantity": "1", "price": 100 + n} for n in range(30)]
    async with running(tmp_path / "a") as (a, client):
        mine = (await client.post("/api/sales", json=sale(lines=lines))).json()
        other = (await client.post("/api/sales", json=sale())).json()
        codes = codes_of(a, mine["id"])
        assert len(codes) == 2
        id = str(uuid.uuid4())
        first = await client.post("/api/restore", json={"id": id, "code": codes[1]})
        assert (first.status_code, first.json()["missing"]) == (202, [1])
        mixed = await client.post("/api/restore", json={"id": id, "code": codes_of(a, other["id"])[0]})
        assert mixed.status_code == 422 and "another sale" in mixed.json()["detail"]
        last = await client.post("/api/restore", json={"id": id, "code": codes[0]})
        assert (last.status_code, last.json()["state"], last.json()["receipt"]) == (200, "known", mine["receipt"])
        again = await client.post("/api/restore", json={"id": id, "code": "\n".join(codes)})
        assert (again.status_code, again.json()) == (200, last.json())
        taken = await client.post("/api/restore", json={"id": id, "code": codes_of(a, other["id"])[0]})
        assert taken.status_code == 409
        for wrong in (None, 7, [], [7], "", "x" * 5000):
            refused = await client.post("/api/restore", json={"id": str(uuid.uuid4()), "code": wrong})
            assert refused.status_code == 422, wrong
        assert (await client.post("/api/restore", json={"code": codes[0]})).status_code == 422
