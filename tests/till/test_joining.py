"""Tills that join a shop, a shop that attaches to a head office, and what a cut in the middle of either leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from posline.errors import BadRequest, FolderError
from posline.storage.folder import Folder
from posline.storage.store import Store
from posline.storage.verify import verify
from posline.sync import link
from posline.sync.accept import WebSocketProtocol
from posline.till import joining
from posline.till import till as till_module
from posline.till.anchor import Anchor
from posline.till.asking import AskFailed
from posline.till.commands import COMMANDS
from posline.till.invitation import Invitation
from posline.till.joining import attach, request_membership
from posline.till.listener import Listener
from posline.till.membership import remove
from posline.till.opening import Clockwork
from posline.till.settings import Settings
from posline.till.till import open_till
from relay.api import build_app
from relay.relay import Relay
from tests.till.shop import TEA, invitation, until


async def join(path: Path, link: Invitation, label: str = "") -> str:
    with Folder(path) as folder:
        return await request_membership(folder, link, label=label)


@asynccontextmanager
async def head_office(path: Path) -> AsyncIterator[tuple[Relay, Listener]]:
    with Folder(path) as folder:
        async with Relay(folder) as relay:
            app = build_app(relay, relay.engine.routes(relay.find))
            front = Listener(app, host="127.0.0.1", port=0, websocket=WebSocketProtocol)
            await front.start()
            try:
                yield relay, front
            finally:
                front.refuse()
        await front.stop()


def attaching(relay: Relay, front: Listener, note: str = "") -> Invitation:
    return Invitation("attach", (front.address,), relay.key.id, relay.invitations.add(note=note))


async def test_three_tills_and_a_head_office_hold_the_same_day(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a, head_office(tmp_path / "office") as (relay, front):
        assert await join(tmp_path / "b", await invitation(a)) == "B"
        assert await join(tmp_path / "c", await invitation(a), label="A") == "A2", "a clash appends a digit"
        await attach(a, attaching(relay, front, note="North"))
        async with open_till(tmp_path / "b") as b, open_till(tmp_path / "c") as c:
            tills = [a, b, c]
            assert [t.shop_id for t in tills] == [a.shop_id] * 3 and [t.label for t in tills] == ["A", "B", "A2"]
            sales = [await till.sell([TEA]) for till in tills for _ in range(4)]
            assert {s.status for s in sales} == {"counted"}
            branch = relay.branch("Corner shop")
            reports = [*(t.reports for t in tills), branch.reports]
            day = sales[0].day

            def alike() -> bool:
                found = [r.day(day) for r in reports]
                return found[0]["sales"]["count"] == 12 and all(f == found[0] for f in found)

            await until(alike)
            await until(lambda: not any(t.status()["waiting"] for t in tills))
            await until(lambda: all(t.sale(sales[-1].id).durable.head_office for t in tills))  # told once a second
            last = [t.sale(sales[-1].id) for t in tills]
            assert last[2].durable.tills >= 1
            assert {tuple(sorted(d.to_dict())) for d in last} == {tuple(sorted(sales[-1].to_dict()))}
            assert relay.branch("North") is branch and relay.branch(a.shop_id) is branch
            await until(lambda: {p["name"] for p in b.status()["peers"] if p["connected"]} >= {"A", "HQ"})


async def test_a_retry_at_another_till_is_one_sale_once_it_is_known_there(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        await join(tmp_path / "b", await invitation(a))
        async with open_till(tmp_path / "b") as b:
            first = await a.sell([TEA])
            await until(lambda: b.reports.by_id(first.id))
            again = await b.ring({"id": first.id, "lines": [dict(TEA)]})
            assert again.repeated and again.sale.receipt == first.receipt
            assert b.day_report()["sales"]["count"] == 1


async def test_an_invitation_admits_one_till(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        link = await invitation(a)
        await join(tmp_path / "b", link)
        with pytest.raises(AskFailed, match="used already"):
            await join(tmp_path / "c", link)
        wrong = Invitation("join", link.addresses, link.of, "guess", link.pin)
        with pytest.raises(AskFailed, match="expired or is not from here"):
            await join(tmp_path / "c", wrong)
        assert len(a.store.members(a.shop_id)) == 2


async def test_a_join_whose_answer_was_lost_may_be_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_till(tmp_path / "a") as a:
        link = await invitation(a)
        honest = joining.ask_first

        async def lost(urls: list[str], pin: str, question: Any) -> Any:
            await honest(urls, pin, question)
            raise AskFailed("the line broke")

        monkeypatch.setattr(joining, "ask_first", lost)
        with pytest.raises(AskFailed):
            await join(tmp_path / "b", link)
        monkeypatch.setattr(joining, "ask_first", honest)
        assert await join(tmp_path / "b", link) == "B"
        assert len(a.store.members(a.shop_id)) == 2


@pytest.mark.parametrize("cut", ["before the old shop goes", "after the key", "after the entries"])
async def test_a_join_that_was_cut_off_is_finished_by_the_next_start(tmp_path: Path, cut: str) -> None:
    async with open_till(tmp_path / "b", shop="Not for long") as b:
        given_up = b.shop_id
    async with open_till(tmp_path / "a") as a:
        await join(tmp_path / "b", await invitation(a))
        path = tmp_path / "b"
        if cut != "before the old shop goes":
            (path / "posline.db").unlink()
            (path / "key.new").replace(path / "key")
        if cut == "after the entries":
            with Folder(path) as folder:
                joining_still = Settings.load(folder)
            async with open_till(path) as b:
                assert b.shop_id == a.shop_id
            with Folder(path) as folder:
                joining_still.save(folder)
        async with open_till(path) as b:
            assert b.shop_id == a.shop_id != given_up and b.id in a.store.members(a.shop_id)
            assert (await b.sell([TEA])).status == "counted"


@pytest.mark.parametrize("cut", ["after the answer", "after the key", "in the middle of the entries"])
async def test_who_asks_again_after_a_cut_is_the_same_till(tmp_path: Path, cut: str) -> None:
    """The join is repeated with another invitation, where a start would have finished the first one."""
    path = tmp_path / "b"
    async with open_till(tmp_path / "a") as a:
        await join(path, await invitation(a))
        if cut != "after the answer":
            (path / "key.new").replace(path / "key")
        if cut == "in the middle of the entries":
            Store.open(path / "posline.db").close()
        again = await invitation(a)
        assert await join(path, again) == "B"
        async with open_till(path) as b:
            assert b.id in a.store.members(a.shop_id) and b.label == "B"
        assert len(a.store.members(a.shop_id)) == 2


async def test_a_shop_with_sales_is_not_given_up(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a:
        link = await invitation(a)
        async with open_till(tmp_path / "b") as b:
            await b.sell([TEA])
        with pytest.raises(FolderError, match="name an empty folder"):
            await join(tmp_path / "b", link)
        async with open_till(tmp_path / "b") as b:
            assert b.day_report()["sales"]["count"] == 1
        with pytest.raises(FolderError, match="is a member of that shop already"):
            with Folder(tmp_path / "c") as folder:
                await request_membership(folder, await invitation(a), label="")
            async with open_till(tmp_path / "c"):
                pass
            await join(tmp_path / "c", await invitation(a))


async def test_what_is_sold_while_a_join_waits_for_its_answer_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = joining.ask_first
    async with open_till(tmp_path / "a", shop="Corner shop") as a, open_till(tmp_path / "b") as b:

        async def slow(*arguments: Any) -> Any:
            answer = await ask(*arguments)
            await b.sell([TEA])
            return answer

        monkeypatch.setattr(joining, "ask_first", slow)
        shop = b.shop_id
        with pytest.raises(BadRequest, match="sold while it waited"):
            await COMMANDS["join"](b, {"link": str(await invitation(a)), "label": ""})
        assert b.shop_id == shop != a.shop_id
        await b.sell([TEA])
        assert b.day_report()["sales"]["count"] == 2
    async with open_till(tmp_path / "b") as b:
        assert b.shop_id == shop and b.day_report()["sales"]["count"] == 2


async def test_a_till_that_runs_with_a_label_joins_where_that_is_taken(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", label="A") as a, open_till(tmp_path / "b", label="A") as b:
        await b.listen()
        found: dict[str, str] = await COMMANDS["join"](b, {"link": str(await invitation(a)), "label": ""})
        assert (found["shop_id"], b.label) == (a.shop_id, found["label"])
        sale = await b.sell([TEA])
        await until(lambda: a.reports.by_id(sale.id))


async def test_a_till_that_runs_joins_and_goes_on_at_its_addresses(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a", shop="Corner shop") as a, open_till(tmp_path / "b") as b:
        address = await b.listen()
        found: dict[str, str] = await COMMANDS["join"](b, {"link": str(await invitation(a)), "label": "X"})
        assert found == {"shop": "Corner shop", "shop_id": a.shop_id, "label": "X"}
        assert b.links.bound() == [("127.0.0.1", int(address.split(":")[2].split("/")[0]))]
        sale = await b.sell([TEA])
        assert sale.receipt.startswith("X-1-") and sale.status == "counted"
        await until(lambda: a.reports.by_id(sale.id))


async def test_attaching_twice_and_with_a_lost_answer_changes_nothing(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a, head_office(tmp_path / "office") as (relay, front):
        link = attaching(relay, front)
        for _ in range(2):
            await attach(a, link)
        await attach(a, attaching(relay, front))
        assert len(relay.branches()) == 1 and len(a.store.members(a.shop_id)) == 2
        sale = await a.sell([TEA])
        await until(lambda: a.sale(sale.id).durable.head_office)
        other = Invitation("attach", link.addresses, "a" * 26, relay.invitations.add())
        with pytest.raises(AskFailed, match="not from the head office"):
            await attach(a, other)


async def test_the_head_office_says_whom_it_did_not_let_in(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a, head_office(tmp_path / "office") as (relay, front):
        with pytest.raises(AskFailed):
            await attach(a, Invitation("attach", (front.address,), relay.key.id, "guess"))
        assert "not from here" in relay.refusals.listed()[0]["why"]
        await attach(a, attaching(relay, front))
        await join(tmp_path / "b", await invitation(a))
        async with open_till(tmp_path / "b") as b:
            await until(lambda: b.store.members(b.shop_id) and b.reports.setting("relay"))
        await remove(a, "B")
        branch = relay.branch(a.shop_id)
        await until(lambda: b_removed(branch))
        async with open_till(tmp_path / "b"):
            await until(branch.refusals.listed)
        refused = branch.refusals.listed()[0]
        assert refused["who"].endswith("a device that says it is B") and "removed" in refused["why"]


def b_removed(branch: Any) -> bool:
    return len(branch.replica.store.authority(branch.id).removals) == 1


async def test_a_till_that_wakes_up_in_1970_joins_links_and_learns_the_time(tmp_path: Path) -> None:
    """Its clock battery is empty. Nothing between members asks a calendar: neither TLS nor tokens nor invitations."""
    lost = Clockwork(wall_ms=lambda: 1000, synchronised=lambda: False)
    async with open_till(tmp_path / "a", clockwork=Clockwork(synchronised=lambda: True)) as a:
        await join(tmp_path / "b", await invitation(a))
        async with open_till(tmp_path / "b", clockwork=lost) as b:
            await until(lambda: a.engine.hub.linked(a.shop_id, b.id) and b.replica.clock.confirmed)
            assert b.day == a.day and not b.alarms()
            sale = await b.sell([TEA])
            assert (sale.day, sale.status) == (a.day, "counted")
    async with open_till(tmp_path / "b", clockwork=lost) as b:
        assert b.status()["clock"] != "confirmed", "it did not last over the restart, with nobody there"
        first = await b.sell([TEA])
        assert any(alarm["kind"] == "clock" for alarm in b.alarms())
        async with open_till(tmp_path / "a", clockwork=Clockwork(synchronised=lambda: True)) as a:
            await a.listen()
            await b.connect(a.links.addresses()[0])
            await until(lambda: b.replica.clock.confirmed and not b.alarms())
            await until(lambda: len(a.sales()) == 2 and {s.day for s in a.sales()} == {a.day})
            assert a.sale(first.id).status == "counted"


async def test_a_running_program_that_joins_finds_no_damage_and_its_commands_find_it(tmp_path: Path) -> None:
    """It closed its own shop's file well, log and all, while the note lay there that it runs."""
    async with open_till(tmp_path / "a") as a:
        with Folder(tmp_path / "b") as folder:
            async with open_till(folder) as b:
                folder.announce_local("http://127.0.0.1:1", "secret")
                await COMMANDS["join"](b, {"link": str(await invitation(a))})
                assert b.shop_id == a.shop_id and not b.alarms()
                assert Folder.read_local(folder.path) == ("http://127.0.0.1:1", "secret")
                sale = await b.sell([TEA])
                await until(lambda: a.reports.by_id(sale.id))


async def test_where_the_others_listen_is_kept_beside_the_database_as_soon_as_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the next look: a log that is lost in the first seconds of a link takes all else that says it."""
    monkeypatch.setattr(till_module, "LOOK_TURNS", 1 << 60)
    async with open_till(tmp_path / "a") as a:
        await join(tmp_path / "b", await invitation(a))
        for _ in range(2):  # where it listens the second time comes with no entry
            async with open_till(tmp_path / "b") as b:
                await b.listen()
                (address,) = {url.removeprefix("wss://").removesuffix("/sync") for url in b.links.addresses()}
                await until(lambda: address in Anchor.load(tmp_path / "a").places)  # noqa: B023  # waited for here


async def test_what_a_newer_version_writes_passes_through_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A and C are of the next version, B between them of this one, which knows neither the kind nor the words."""
    async with open_till(tmp_path / "a") as a:
        await join(tmp_path / "b", await invitation(a))
        await join(tmp_path / "c", await invitation(a))
        async with open_till(tmp_path / "c") as c:
            await until(lambda: a.engine.hub.linked(a.shop_id, c.id))
        monkeypatch.setattr(link, "VERSION", "posline/2")
        staged = a.replica.write("gift", {"note": "wrapped"})
        await a.engine.durable(staged)
        (gift,) = staged.entries
        sale = await a.sell([TEA])
    async with open_till(tmp_path / "b") as b:
        async with open_till(tmp_path / "a") as a:
            await a.listen()
            await b.connect(a.links.addresses()[0])
            await until(lambda: b.reports.by_id(sale.id))
        await b.listen()
        async with open_till(tmp_path / "c") as c:
            await c.connect(b.links.addresses()[0])
            await until(lambda: c.reports.by_id(sale.id))
            for till in (b, c):
                (kept,) = till.reports.by_id(gift.id)
                assert kept.entry.body["note"] == "wrapped" and not list(verify(till.store, till.shop_id))
                assert till.day_report()["sales"]["count"] == 1


async def test_no_document_carries_a_secret(tmp_path: Path) -> None:
    async with open_till(tmp_path / "a") as a, head_office(tmp_path / "office") as (relay, front):
        await attach(a, attaching(relay, front))
        await join(tmp_path / "b", await invitation(a))
        assert a.recovery is not None
        keys = [tmp_path / "a" / "key", tmp_path / "b" / "key.new"]
        secrets = [a.recovery, *(path.read_text().split()[1] for path in keys)]
        stores = [a.store, *(branch.replica.store for branch in relay.branches())]
        kept = b"".join(raw for store in stores for (raw,) in store.read.execute("SELECT raw FROM entry"))
        kept += (tmp_path / "office" / "settings.json").read_bytes()
        assert not any(secret.encode() in kept or bytes.fromhex(secret) in kept for secret in secrets[1:])
        assert secrets[0].encode() not in kept, "the head office never learns the shop's secrets"
