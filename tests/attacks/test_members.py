"""Attacks from within: members that were removed, that write as somebody else, or that only may read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posline.core.base64url import base64url
from posline.core.document import lone_update
from posline.core.entry import compose
from posline.storage.folder import Folder
from posline.storage.verify import verify
from posline.till.commands import COMMANDS
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.membership import accept, remove, set_role
from posline.till.till import Till, open_till
from posline.trust.keys import Key
from tests.attacks.intruder import intruding
from tests.sync.wire import until
from tests.till.shop import TEA


async def shop_of(path: Path, count: int) -> None:
    """Folders a, b, c...: tills of one shop, each of which knows all."""
    async with open_till(path / "a", shop="Corner shop") as a:
        await a.listen()
        for name in "bcde"[: count - 1]:
            link = Invitation.parse((await COMMANDS["invite"](a, {"expires_s": 60}))["link"], "join")
            with Folder(path / name) as folder:
                await request_membership(folder, link, label="")
        for name in "bcde"[: count - 1]:
            async with open_till(path / name) as till:
                await together(a, till)
        assert len(a.store.members(a.shop_id)) == count


def linked(*tills: Till) -> bool:
    return all(
        t.engine.hub.linked(t.shop_id, other.id) for t in tills for other in tills if other is not t
    )  # fmt: skip


async def together(*tills: Till) -> None:
    """Let them link, and wait until they hold the same."""
    for till in tills:
        if not till.links.listening:
            await till.listen()
    for till in tills[1:]:
        await till.connect(tills[0].links.addresses()[0])
    await until(lambda: linked(*tills))
    await until(lambda: len({digest(till) for till in tills}) == 1)


def digest(till: Till) -> frozenset[bytes]:
    return frozenset(hash for (hash,) in till.store.read.execute("SELECT hash FROM entry"))


def statuses(till: Till, ids: Sequence[str]) -> set[str]:
    return {till.sale(id).status for id in ids}


async def test_what_a_removed_till_writes_late_is_held_even_if_an_honest_one_brings_it(tmp_path: Path) -> None:
    """B is removed by A. Neither B nor C has heard of it: C takes B's sales, counts them, and passes them on."""
    await shop_of(tmp_path, 3)
    async with open_till(tmp_path / "b") as b:
        kept = str((await b.sell([TEA])).id)
        async with open_till(tmp_path / "a") as a:
            await together(a, b)
    async with open_till(tmp_path / "a") as a:
        gone = await remove(a, "B")
        assert gone["last_receipt"].startswith("B-1-")
    async with open_till(tmp_path / "b") as b, open_till(tmp_path / "c") as c:
        await together(c, b)
        late = [str((await b.sell([TEA])).id) for _ in range(3)]
        await until(lambda: len(c.sales()) == 4)
        assert statuses(c, late) == {"counted"}, "nobody told them"
        mate = Key(bytes(range(32)))
        fields = {"key": base64url(mate.public), "member": mate.id, "label": "X", "role": "manager"}
        await b.write("member", fields, document="shop")
        await b.write("role", {"member": c.id, "role": "till"}, document="shop")
        await until(lambda: digest(b) == digest(c))
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "c") as c:
        await together(a, c)
        for till in (a, c):
            await until(lambda till=till: statuses(till, late) == {"held"})
            assert statuses(till, [kept]) == {"counted"}
            members = till.store.members(till.shop_id)
            assert set(members) == {a.id, c.id} and members[c.id].role == "manager"
            assert {alarm["kind"] for alarm in till.alarms()} == {"held"}
        assert a.day_report() == c.day_report() and a.day_report()["sales"]["count"] == 1
        await accept(c, [late[1]])
        await until(lambda: statuses(a, [late[1]]) == {"counted"})
        assert statuses(a, late[::2]) == {"held"}
        assert not [p for p in verify(a.store, a.shop_id) if "held" not in p and "lacks" not in p]


async def test_a_removed_till_finds_no_door_open_and_is_told_why(tmp_path: Path) -> None:
    await shop_of(tmp_path, 3)
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b:
        await together(a, b)
        key = b.key
        await remove(a, "B")
        await until(lambda: not a.engine.hub.linked(a.shop_id, b.id))
        await until(lambda: any("removed" in peer["why"] for peer in b.status()["peers"]))
        assert (await b.sell([TEA])).receipt, "it goes on selling"
        await until(lambda: any(alarm["kind"] == "removed" for alarm in b.alarms()))
        async with intruding(f"wss://{a.links.addresses()[0]}/sync") as intruder:
            assert "removed" in str(await intruder.auth(intruder.token(key)))
    async with open_till(tmp_path / "c") as c, open_till(tmp_path / "a") as a:
        await together(a, c)
        async with intruding(f"wss://{c.links.addresses()[0]}/sync") as intruder:
            assert "removed" in str(await intruder.auth(intruder.token(key))), "every till knows by then"


async def test_two_managers_that_remove_each_other_are_both_gone(tmp_path: Path) -> None:
    await shop_of(tmp_path, 3)
    for name, victim in (("a", "B"), ("b", "A")):
        async with open_till(tmp_path / name) as till:
            await remove(till, victim)
            assert len(till.store.members(till.shop_id)) == 2
    async with open_till(tmp_path / "c") as c:
        await c.listen()
        for name in ("a", "b"):  # each links with C while C knows of nothing that bars it, or of the other's act only
            async with open_till(tmp_path / name) as till:
                await till.connect(c.links.addresses()[0])
                await until(lambda till=till: removals_of(till) <= removals_of(c) or not may(c, till))
        # whichever came second is barred; what it wrote comes by a third one that still talks to it
        async with open_till(tmp_path / "b") as b:
            carry(b, c)
            await until(lambda: len(removals_of(c)) == 2)
        assert set(c.store.members(c.shop_id)) == {c.id}
        assert (await c.sell([TEA])).status == "counted"
    async with open_till(tmp_path / "c") as c, open_till(tmp_path / "a") as a:
        carry(c, a)
        await until(lambda: set(a.store.members(a.shop_id)) == {c.id})


def removals_of(till: Till) -> set[bytes]:
    return {entry.hash for entry in till.store.acts(till.shop_id) if entry.kind == "remove"}


def may(door: Till, other: Till) -> bool:
    return other.id in door.store.members(door.shop_id)


def carry(source: Till, target: Till) -> None:
    """What a third one would bring over that still talks to both."""
    for document in source.replica.documents():
        for row in source.replica.rows(document, 0, 10_000):
            target.replica.integrate(document, row.update, origin="x" * 26)
    target.engine.poke()


def forged(victim: Till, **changed: Any) -> tuple[str, str, str]:
    """An entry under the victim's name that somebody else made: (document, its text, its id)."""
    number = 900_000
    fields = {
        "number": number, "label": "A", "lines": [{"sku": "TEA", "quantity": "1", "price": 1}], "total": 1,
    }  # fmt: skip
    real = next(iter(victim.sales(limit=1)))
    recorded = victim.reports.by_id(real.id)[0].entry
    place = {"till": victim.id, "run": recorded.run, "seq": recorded.seq + 1000, "prev": "0" * 24} | changed
    id = "00000000-0000-4000-8000-00000000000f"
    body = {"v": 1, "id": id, "kind": "sale", **place, "at": recorded.at, "day": real.day, "by": "", **fields}
    entry = compose(f"journal/{real.day}", body, None)
    return entry.document, entry.raw.decode(), id


async def test_a_member_that_writes_under_another_members_name(tmp_path: Path) -> None:
    await shop_of(tmp_path, 3)
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b, open_till(tmp_path / "c") as c:
        await a.sell([TEA])
        await together(a, b, c)
        document, text, id = forged(a)
        staged = b.replica.integrate(document, lone_update(77, a.id, [text]), origin="x" * 26)
        assert staged is not None
        await b.engine.durable(staged)
        await until(lambda: all(till.reports.by_id(id) for till in (a, c)))
        await a.sell([TEA])
        await until(lambda: all(till.day_report()["sales"]["count"] == 2 for till in (a, b, c)))
        for till in (a, b, c):
            await until(lambda till=till: statuses(till, [id]) <= {"disputed", "held", "invalid"})
        assert any(alarm["kind"] == "foreign" for alarm in a.alarms())


async def test_a_till_that_may_only_sell_changes_no_members(tmp_path: Path) -> None:
    await shop_of(tmp_path, 3)
    async with open_till(tmp_path / "a") as a, open_till(tmp_path / "b") as b:
        await together(a, b)
        await set_role(a, "B", "till")
        await until(lambda: b.store.members(b.shop_id)[b.id].role == "till")
        await b.write("role", {"member": b.id, "role": "manager"}, document="shop")
        await b.write("remove", {"member": a.id, "points": []}, document="shop")
        await b.write("accept", {"entries": ["00" * 32]}, document="shop")
        await b.sell([TEA])
        await until(lambda: digest(a) == digest(b))
        for till in (a, b):
            members = till.store.members(till.shop_id)
            assert members[b.id].role == "till" and members[a.id].role == "manager" and len(members) == 3
            assert till.day_report()["sales"]["count"] == 1
            assert any(alarm["kind"] == "invalid" and alarm["count"] == 3 for alarm in till.alarms())


async def test_a_token_that_may_only_read_writes_nothing(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        await a.listen()
        await a.sell([TEA])
        token = (await COMMANDS["token_add"](a, {"role": "read", "name": "ERP"}))["token"]
        document, text, id = forged(a)
        async with intruding(f"wss://{a.links.addresses()[0]}/sync") as intruder:
            granted = await intruder.attach(document, token)
            assert granted == "readonly"
            assert not await intruder.update(document, lone_update(78, a.id, [text]))
        assert not a.reports.by_id(id) and a.day_report()["sales"]["count"] == 1
