"""Accounting and webhooks through the head office's API and its commands."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from examples.ledger.books import Books
from examples.rig.programs import Program, free_port, run
from posline.errors import NotPossible
from posline.till.till import Till
from relay.accounting import added_up
from relay.bookkeeping import books_of
from relay.cli import app
from relay.commands import COMMANDS
from relay.delivering import Deliverer
from relay.webhooks import Message, Outcome, Subscription
from tests.relay.test_relay import Office, office
from tests.till.shop import TEA
from tests.till.test_joining import until


async def a_day(found: Office, till: Till) -> str:
    """A till sells, counts and closes; returns the day, once the head office has it."""
    await till.sell([TEA])
    await till.shifts.close({"id": str(uuid.uuid4()), "counted": {"cash": 480}})
    await till.shifts.close_day({"id": str(uuid.uuid4())}, till.day)
    await same(found, till)
    return till.day


async def same(found: Office, till: Till) -> None:
    reports, day = found.relay.branch(till.shop_id).reports, till.day
    await until(lambda: reports.day(day)["digest"] == till.day_report(day)["digest"])


async def test_a_day_and_a_span_over_http(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        day = await a_day(found, found.tills[0])
        await a_day(found, found.tills[1])
        one, every = await found.token("North"), await found.token(None)
        north = (await found.http.get(f"/api/shops/North/accounting/{day}", headers=one)).json()
        assert (north["state"], north["ties"], north["figures"]["net"]) == ("closed", True, 500)
        assert {line["what"]: line["debit"] - line["credit"] for line in north["journal"]} == {
            "tender:cash": 480, "sales:none:none": -500, "over_short:cash": 20,
        }  # fmt: skip
        span = {"from": day, "to": day}
        both = (await found.http.get("/api/accounting", params=span, headers=every)).json()
        assert both["figures"]["net"] == 1000 and both["ties"] and both["currency"] == "PKR"
        assert len(both["days"]) == 2 and both["provisional"] == []
        own = (await found.http.get("/api/shops/North/accounting", params=span, headers=one)).json()
        assert own["days"] == [north] == (await found.http.get("/api/accounting", headers=one)).json()["days"]
        empty = (await found.http.get("/api/shops/North/accounting/2026-01-01", headers=one)).json()
        assert (empty["state"], empty["journal"], empty["ties"]) == ("empty", [], True)
        for path, headers, status in (
            ("/api/shops/South/accounting/2026-11-23", one, 403), ("/api/accounting?shop=South", one, 403),
            ("/api/accounting", {}, 401), ("/api/shops/North/accounting/x", one, 422),
            ("/api/shops/North/accounting?from=2026-02-02&to=2026-02-01", one, 422),
        ):  # fmt: skip
            assert (await found.http.get(path, headers=headers)).status_code == status, path


async def test_a_day_is_posted_once_and_what_is_late_as_an_addendum(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        (till,), headers = found.tills, await found.token("North")
        path = f"/api/shops/North/accounting/{till.day}/postings"

        async def post(**asked: Any) -> Any:
            return await found.http.post(path, headers=headers, json=asked)

        await till.sell([TEA])
        await same(found, till)
        refused = await post()
        assert refused.status_code == 409 and "waits for till A" in refused.json()["detail"]
        await a_day(found, till)
        first = (await post()).json()["postings"]
        assert [(p["posting"], p["number"]) for p in first] == [("day", 0)]
        assert (await post()).json()["postings"] == first, "asked again it is the same"
        await till.sell([TEA])
        await same(found, till)
        both = (await post(after=first[0]["id"])).json()["postings"]
        assert both[0] == first[0] and both[1]["posting"] == "addendum"
        assert {line["what"]: line["debit"] - line["credit"] for line in both[1]["journal"]} == {
            "tender:cash": 500, "sales:none:none": -500,
        }  # fmt: skip
        for listing in (path, "/api/shops/North/postings"):
            assert (await found.http.get(listing, headers=headers)).json()["postings"] == both
        now = (await found.http.get(f"/api/shops/North/accounting/{till.day}", headers=headers)).json()
        assert added_up(p["journal"] for p in both) == added_up([now["journal"]])
        assert (await post(after=str(uuid.uuid4()))).status_code == 409, "the books were put back"
        assert (await post(provisional="yes")).status_code == 422
        trail = [line.act for line in found.relay.office.trail()]
        assert trail.count("day_posted") == 2
        found.relay.store._db.execute("DELETE FROM entry WHERE kind = 'sale'")
        with pytest.raises(NotPossible, match="does not tie"):
            await COMMANDS["accounting_post"](found.relay, {"shop": "North", "day": till.day, "provisional": True})


async def test_who_added_a_day_up_before_another_posted_it_takes_nothing_of_that_back(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        (till,), relay = found.tills, found.relay
        day = await a_day(found, till)
        with books_of(relay.store, till.shop_id, relay.chart) as books:
            older = books.day(day)
        await till.sell([TEA])
        await same(found, till)
        posted = (await COMMANDS["accounting_post"](relay, {"shop": "North", "day": day}))["postings"]
        assert relay.postings.post(older, known=0) is None
        assert [one.to_dict() for one in relay.postings.listed(till.shop_id, day, day)] == posted


async def test_a_chain_chooses_its_accounts_and_old_postings_keep_theirs(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        day, owner = await a_day(found, found.tills[0]), await found.token(None)
        program = await found.token("North")
        path = f"/api/shops/North/accounting/{day}"
        (before,) = (await found.http.post(f"{path}/postings", headers=owner, json={})).json()["postings"]
        asked = {"account": "4100", "name": "Untaxed sales"}
        put = await found.http.put("/api/accounts/sales:none", headers=owner, json=asked)
        assert {"what": "sales:none", **asked} in put.json()["accounts"]
        now = (await found.http.get(path, headers=owner)).json()["journal"]
        assert [line["account"] for line in now if line["what"] == "sales:none:none"] == ["4100"]
        assert (await found.http.post(f"{path}/postings", headers=owner, json={})).json()["postings"] == [before]
        assert (await found.http.put("/api/accounts/sales", headers=program, json=asked)).status_code == 403
        for what, body in (("colour", asked), ("sales", {"account": "", "name": "x"}), ("sales", {"account": "1"})):
            assert (await found.http.put(f"/api/accounts/{what}", headers=owner, json=body)).status_code == 422
        assert (await found.http.delete("/api/accounts/sales:none", headers=owner)).status_code == 200
        assert (await found.http.delete("/api/accounts/sales:none", headers=owner)).status_code == 404
        listed = (await found.http.get("/api/accounts", headers=program)).json()["accounts"]
        assert not any(each["account"] == "4100" for each in listed)


class Remembers:
    """A receiver that refuses one event."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refused = ""

    async def send(self, one: Subscription, message: Message) -> Outcome:
        if self.refused in message.ids:
            return Outcome(400, "no")
        self.got += json.loads(message.body)["events"]
        return Outcome(200)

    async def close(self) -> None:
        pass


async def test_webhooks_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.webhooks.DELAY_S", 0.0)
    async with office(tmp_path, "North", "South") as found:
        owner, program = await found.token(None), await found.token("North")
        url = "https://erp.example.com/hook"

        async def call(method: str, path: str, json: Any = None, headers: Any = owner) -> Any:
            return await found.http.request(method, f"/api/webhooks{path}", json=json, headers=headers)

        assert (await call("POST", "", {"url": url}, program)).status_code == 403
        assert (await call("GET", "", None, {})).status_code == 401
        for wrong in (
            {}, {"url": "http://x/"}, {"url": url, "private": True}, {"url": url, "colour": 1},
            {"url": url, "batch": "5"}, {"url": url, "shops": [1]}, {"url": url, "after": "x"},
            {"url": url, "secret": 5},
        ):  # fmt: skip
            assert (await call("POST", "", wrong)).status_code == 422, wrong
        assert (await call("POST", "", {"url": url, "shops": ["West"]})).status_code == 404
        assert (await call("POST", "", {"url": url, "after": "99999"})).status_code == 409
        asked = {"url": url, "shops": ["North"], "kinds": ["sale"], "after": "0", "batch": 2}
        made = (await call("POST", "", asked)).json()
        assert made["secret"].startswith("whsec_") and made["shop_names"] == ["North"]
        listed = (await call("GET", "")).json()["webhooks"]
        assert [each["id"] for each in listed] == [made["id"]] and "secret" not in listed[0]
        receiver, path = Remembers(), f"/{made['id']}"
        deliverer = Deliverer(found.relay.store, found.relay.webhooks, receiver, found.relay.arrivals)
        deliverer.start()
        try:
            north, south = found.tills
            sale = await north.sell([TEA])
            await south.sell([TEA])
            await until(lambda: [event["id"] for event in receiver.got] == [sale.id])
            n = int(receiver.got[0]["cursor"])
            receiver.refused = receiver.got[0]["event_id"]
            assert (await call("POST", f"{path}/replay", {"after": "0"})).status_code == 200
            await until(lambda: found.relay.webhooks.dead(made["id"]))
            (dead,) = (await call("GET", f"{path}/dead")).json()["dead"]
            assert (dead["n"], dead["why"], dead["queued"]) == (n, "it answered 400: no", False)
            assert (await call("POST", f"{path}/dead/requeue", {"numbers": ["x"]})).status_code == 422
            assert (await call("POST", f"{path}/dead/requeue", {"numbers": [n + 1]})).status_code == 404
            receiver.refused = ""
            assert (await call("POST", f"{path}/dead/requeue", {})).json() == {"requeued": 1}
            await until(lambda: len(receiver.got) == 2 and not found.relay.webhooks.dead(made["id"]))
        finally:
            await deliverer.stop()
        metrics = (await found.http.get("/metrics")).text
        assert f'posline_relay_webhook_active{{webhook="{made["id"]}"}} 1\n' in metrics
        assert f'posline_relay_webhook_given_up{{webhook="{made["id"]}"}} 0\n' in metrics
        assert (await call("POST", f"{path}/dead/discard", {})).json() == {"discarded": 0}
        changed = (await call("PATCH", path, {"active": False, "shops": [], "kinds": ["sale", "void"]})).json()
        assert (changed["active"], changed["shops"], changed["kinds"]) == (False, [], ["sale", "void"])
        rotated = (await call("POST", f"{path}/rotate", None)).json()
        assert rotated["secret"] != made["secret"]
        assert (await call("GET", path)).json()["batch"] == 2
        assert (await call("DELETE", path)).status_code == 200
        assert (await call("GET", path)).status_code == 404
        trail = [line.act for line in found.relay.office.trail()]
        for act in ("added", "changed", "rotated", "replayed", "removed"):
            assert f"webhook_{act}" in trail


async def test_a_session_alone_changes_nothing(tmp_path: Path) -> None:
    """A page of somebody else's can make a browser send its cookies, but no token."""
    async with office(tmp_path, "North") as found:
        cookies = {"cookie": "session=guess"}
        for method, path in (
            ("POST", "/api/webhooks"), ("POST", "/api/shops/North/accounting/2026-11-23/postings"),
            ("PUT", "/api/accounts/sales"),
        ):  # fmt: skip
            assert (await found.http.request(method, path, json={}, headers=cookies)).status_code == 401


async def test_the_commands_print_what_people_read(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        day = await a_day(found, found.tills[0])

    def ask(*arguments: str, json_: bool = False) -> Any:
        where = ["--data", str(tmp_path / "office"), *(["--json"] if json_ else [])]
        return CliRunner().invoke(app, [*where, *arguments])

    async def said(*arguments: str, exit_code: int = 0, **more: Any) -> str:
        found = await asyncio.to_thread(ask, *arguments, **more)
        assert found.exit_code == exit_code, (found.output, found.exception)
        return str(found.output)

    assert f"{day}  " in (shown := await said("accounting", "show", "--from", day)) and "closed, ties" in shown
    assert "4.80" in shown and "over_short:cash" in shown
    posted = await said("accounting", "post", "--shop", "North", day)
    assert f"{day}  day 0" in posted
    assert (
        json.loads(await said("accounting", "post", "--shop", "North", day, json_=True))["postings"][0]["number"] == 0
    )
    assert "4018" in await said("accounting", "set-account", "sales:standard", "4018", "Sales, standard rate")
    assert "4018" not in await said("accounting", "reset-account", "sales:standard")
    assert "tender:cash" in await said("accounting", "accounts")
    added = await said(
        "webhook", "add", "http://127.0.0.1:1/x", "--private", "--from-beginning", "--kinds", "sale,void"
    )
    id = added.split()[0]
    assert "secret whsec_" in added and "heard up to 0 of" in added and "sale, void" in added
    assert id in await said("webhook", "list")
    assert "off" in await said("webhook", "off", id) and "  on" in await said("webhook", "on", id)
    assert await said("webhook", "dead", id) == ""
    assert "0 to be sent again" in await said("webhook", "requeue", id)
    assert "0 will not be sent" in await said("webhook", "discard", id)
    assert "secret" in await said("webhook", "rotate", id)
    assert id in await said("webhook", "replay", id, "--after", "0")
    assert "is removed" in await said("webhook", "remove", id)
    await said("webhook", "remove", id, exit_code=1)
    await said("webhook", "add", "http://example.com/", exit_code=1)


async def test_a_running_head_office_delivers_through_being_killed(tmp_path: Path) -> None:
    """The real programs: a till, a head office that is killed and started again, and the example that receives."""
    hook, port = str(free_port()), str(free_port())
    data, books = tmp_path / "office", tmp_path / "books.db"
    secret = "whsec_ZXhhbXBsZS1zZWNyZXQtb2YtMjQtYnl0ZXM="
    receive = Program(
        "receiver", "examples.ledger.receive", ["--port", hook, "--secret", secret, "--books", str(books)], books
    )
    relay = Program("office", "posline-relay", ["serve", "--data", str(data), "--port", port], data)
    till = Program("till", "posline", ["till", "--data", str(tmp_path / "till"), "--port", "0", "--sync-port", "0",
                                       "--no-discovery"], tmp_path / "till")  # fmt: skip
    try:
        await asyncio.gather(relay.start(), till.start(), receive.start())
        link = await run("posline-relay", "invite", "--data", str(data))
        await run("posline", "attach", link.strip().splitlines()[-1], "--data", str(till.data))
        url = f"http://127.0.0.1:{hook}/"
        await run("posline-relay", "webhook", "add", url, "--private", "--from-beginning", "--secret", secret,
                  "--data", str(data))  # fmt: skip
        async with httpx.AsyncClient(trust_env=False) as http:
            for n in range(3):
                body = {"id": str(uuid.uuid4()), "lines": [dict(TEA)]}
                assert (await http.post(f"{till.urls['page']}/api/sales", json=body)).status_code == 201
                ours = Books(books)
                await until(lambda n=n, ours=ours: ours.balances().get("tender:cash") == 500 * (n + 1))
                ours.close()
                await relay.kill()
                await relay.start()
    finally:
        for program in (receive, relay, till):
            await program.kill()
