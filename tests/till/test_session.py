"""Sessions: a PIN that was given once counts for a browser, for a while, and for nobody else's page."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from posline.errors import NotAllowed
from posline.till import session
from posline.till.opening import Clockwork
from posline.till.refunding import refund
from posline.till.till import Till
from tests.till.shop import running, sale


@dataclass
class Clock:
    ms: int = 1_000_000
    work: Clockwork = field(init=False)

    def __post_init__(self) -> None:
        self.work = Clockwork(monotonic_ms=lambda: self.ms)


@asynccontextmanager
async def shop(folder: Path, clock: Clock | None = None) -> AsyncIterator[tuple[Till, httpx.AsyncClient]]:
    """A shop where a refund needs a supervisor: Sana is one, Ali is not."""
    async with running(folder, clockwork=(clock or Clock()).work) as (till, client):
        for name, role, pin in (("Ali", "cashier", "1234"), ("Sana", "supervisor", "5678")):
            assert (await client.put(f"/api/cashiers/{name}", json={"role": role, "pin": pin})).status_code == 200
        needed = {"value": {"refund": "supervisor"}}
        assert (await client.put("/api/settings/permissions", json=needed)).status_code == 200
        yield till, client


async def sign_in(client: httpx.AsyncClient, by: str = "Sana", pin: str = "5678") -> httpx.Response:
    return await client.post("/api/session", json={"by": by, "pin": pin})


async def try_refund(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    sold = (await client.post("/api/sales", json=sale())).json()
    asked = {"id": str(uuid.uuid4()), "reason": "stale", "by": "Ali"} | more
    return await client.post(f"/api/sales/{sold['id']}/refund", json=asked)


async def test_a_session_proves_its_cashier_and_the_entry_names_them(tmp_path: Path) -> None:
    async with shop(tmp_path) as (till, client):
        assert (await try_refund(client)).status_code == 403
        assert (await client.get("/api/session")).json() == {"name": None}
        begun = await sign_in(client)
        assert begun.status_code == 200 and begun.json() == {"name": "Sana", "role": "supervisor", "language": "en"}
        cookie = begun.headers["set-cookie"]
        assert cookie.startswith(f"posline-session-{till.id[:8]}=")
        assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}
        assert (await client.get("/api/session")).json() == begun.json()
        done = await try_refund(client)
        assert (done.status_code, done.json()["approved"], done.json()["by"]) == (201, "Sana", "Ali")
        ended = await client.delete("/api/session")
        assert ended.json() == {"name": None} and "Max-Age=0" in ended.headers["set-cookie"]
        assert (await client.get("/api/session")).json()["name"] is None
        assert (await try_refund(client)).status_code == 403


async def test_it_is_no_more_than_its_role_and_a_second_person_may_approve(tmp_path: Path) -> None:
    async with shop(tmp_path) as (_, client):
        await sign_in(client, "Ali", "1234")
        assert (await try_refund(client)).status_code == 403
        approved = await try_refund(client, approve={"by": "Sana", "pin": "5678"})
        assert (approved.status_code, approved.json()["approved"]) == (201, "Sana")
        await sign_in(client)
        wrong = await try_refund(client, approve={"by": "Sana", "pin": "0000"})
        assert wrong.status_code == 403, "a PIN that is given is looked at"


async def test_limits_of_a_sale_hear_of_it_too(tmp_path: Path) -> None:
    async with shop(tmp_path) as (_, client):
        limits = {"cashier": {"discount_percent": "10"}, "supervisor": {"discount_percent": "50"}}
        await client.put("/api/settings/limits", json={"value": limits})
        assert (await client.post("/api/sales", json=sale(discount_percent="20", by="Ali"))).status_code == 403
        await sign_in(client)
        assert (await client.post("/api/sales", json=sale(discount_percent="20", by="Ali"))).status_code == 201
        assert (await client.post("/api/sales", json=sale(discount_percent="60", by="Ali"))).status_code == 403


async def test_a_wrong_pin_begins_none_and_has_to_wait_like_any(tmp_path: Path) -> None:
    async with shop(tmp_path) as (_, client):
        for _ in range(5):
            assert (await sign_in(client, pin="0000")).status_code == 403
        assert "wait" in (await sign_in(client)).json()["detail"]
        assert (await sign_in(client, by="Nobody")).status_code == 404
        assert (await client.post("/api/session", json={"by": 5})).status_code == 422
        assert (await client.post("/api/session", json={"by": "Ali", "pine": "1"})).status_code == 422
        assert not client.cookies


async def test_it_ends_by_itself(tmp_path: Path) -> None:
    clock = Clock()
    async with shop(tmp_path, clock) as (_, client):

        async def who() -> Any:
            return (await client.get("/api/session")).json()["name"]

        await sign_in(client)
        clock.ms += 30 * 60_000 - 1
        assert await who() == "Sana"
        clock.ms += 30 * 60_000
        gone = await client.get("/api/session")
        assert gone.json() == {"name": None} and "Max-Age=0" in gone.headers["set-cookie"]
        await sign_in(client)
        for _ in range(36):
            assert await who() == "Sana"
            clock.ms += 20 * 60_000
        assert await who() is None, "twelve hours, however busy"


@pytest.mark.parametrize("change", [{"pin": "9999"}, {"role": "cashier"}, {"active": False}, {"pin": ""}])
async def test_it_ends_with_the_cashier_who_gave_the_pin(tmp_path: Path, change: dict[str, Any]) -> None:
    async with shop(tmp_path) as (_, client):
        await sign_in(client)
        await client.put("/api/cashiers/Ali", json={"language": "ur"})
        assert (await client.get("/api/session")).json()["name"] == "Sana"
        await client.put("/api/cashiers/Sana", json=change)
        assert (await client.get("/api/session")).json()["name"] is None
        await client.put("/api/cashiers/Sana", json={"role": "supervisor", "active": True})
        assert (await try_refund(client)).status_code == 403, "what ended stays so"


async def test_it_is_only_for_its_own_browser_till_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SESSIONS_MAX", 3)
    async with shop(tmp_path / "a") as (till, client), shop(tmp_path / "b") as (other, elsewhere):
        token = (await sign_in(client)).cookies[till.people.sessions.cookie]
        assert till.people.sessions.cookie != other.people.sessions.cookie
        elsewhere.cookies.set(other.people.sessions.cookie, token)
        assert (await try_refund(elsewhere)).status_code == 403
        assert token not in repr(till.people.sessions._held), "only its hash is kept"
        again = (await sign_in(client)).cookies[till.people.sessions.cookie]
        assert again != token and till.people.sessions.cashier(token) is None, "one browser is one person"
        cashier = till.people.cashier("Sana")
        assert cashier is not None
        tokens = [till.people.sessions.begin(cashier) for _ in range(3)]
        assert till.people.sessions.cashier(again) is None
        assert till.people.sessions.cashier(tokens[0]) and till.people.sessions.begin(cashier)
        held = [till.people.sessions.cashier(token) is not None for token in tokens]
        assert held == [True, False, True], "the one unused for longest makes room"
    async with running(tmp_path / "a") as (till, client):
        client.cookies.set(till.people.sessions.cookie, tokens[0])
        assert (await client.get("/api/session")).json()["name"] is None


async def test_a_page_of_another_site_gains_nothing_by_the_cookie(tmp_path: Path) -> None:
    async with shop(tmp_path) as (till, client):
        await sign_in(client)
        sold = (await client.post("/api/sales", json=sale())).json()
        asked = {"id": str(uuid.uuid4()), "reason": "stale"}
        for headers in (
            {"origin": "http://elsewhere.example"},
            {"origin": "http://127.0.0.1:9999"},  # the same site to a browser, which sends the cookie along
            {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
            {"host": "elsewhere.example"},
        ):
            refused = await client.post(f"/api/sales/{sold['id']}/refund", json=asked, headers=headers)
            assert refused.status_code == 403 and refused.json()["title"] == "Forbidden", headers
        assert till.refunds() == []


async def test_what_is_not_a_request_has_no_session(tmp_path: Path) -> None:
    async with shop(tmp_path) as (till, client):
        await sign_in(client)
        sold = (await client.post("/api/sales", json=sale())).json()
        with pytest.raises(NotAllowed):
            await refund(till, sold["id"], {"id": str(uuid.uuid4()), "reason": "x", "session": "Sana"})
